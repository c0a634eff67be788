"""What a published copy still shows: how a ceremony may go on below a line that is withheld, and what holds by itself.

A withheld line may have done anything: answered the open intent, finished a step. A line below it is tried under each
of these, and what is recomputed under one of them is recomputed from lines that are shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from vestry.ceremony import agenda, seal
from vestry.ceremony import events as e
from vestry.ceremony.state import State, evolve
from vestry.errors import VestryError
from vestry.metadata.keys import Key

SEAL_ALONE = (
    "its signature verifies with a key that was made here, and it names a head of this transcript; whose key it is, "
    "and the rest of what it says, rests on what is withheld"
)
_NAMED = 5


def candidates(state: State) -> Iterator[State]:
    """`state`, and what it may be instead, from the least that withheld lines must have done to the most."""
    yield state
    if state.unanswered is not None:
        state = replace(state, unanswered=None)
        yield state
    while (here := agenda.position(state)) < len(state.script.steps):
        state = replace(state, passed=state.passed | {here})
        yield state


def fold(state: State, recorded: e.Recorded) -> State:
    """`evolve`, and a look whether the rest of a replay can work with the result.

    Raises:
        Exception: it can't: something that this rests on is withheld.
    """
    after = evolve(state, recorded)
    agenda.position(after)
    agenda.meters(after)
    return after


class Alone:
    """What needs no state: keys that were made, and the heads that a seal can name. Grows with what is withheld."""

    def __init__(self) -> None:
        self.gaps: list[int] = []
        self._keys: dict[str, Key] = {}
        self._heads: set[str] = set()

    def add(self, recorded: e.Recorded) -> None:
        """Take a line into account."""
        event = recorded.event
        if isinstance(event, e.Withheld | e.SealOpened):
            self.gaps += [recorded.n] if isinstance(event, e.Withheld) else []
            self._heads.add(recorded.head)
        elif isinstance(event, e.KeyGenerated | e.KeyTaken):
            with suppress(VestryError):
                # The script, which may be withheld, says its scheme; under another than the usual one no seal holds.
                self._keys[event.keyid] = Key.from_pem(event.public)

    def holds(self, event: e.Sealed) -> bool:
        """Whether a seal holds by what is shown."""
        return seal.holds_alone(event, self._keys, self._heads)

    @property
    def told(self) -> str:
        """The withheld lines in words."""
        shown = ", ".join(str(n) for n in self.gaps[:_NAMED])
        more = f" and {len(self.gaps) - _NAMED:,} more" if len(self.gaps) > _NAMED else ""
        return f"line{'' if len(self.gaps) == 1 else 's'} {shown}{more}"
