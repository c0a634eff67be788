"""The room a ceremony happens in: its folder, transcript, tokens, clock and people, and the state so far."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from vestry.ceremony import actors, agenda, departing, outputs
from vestry.ceremony import events as e
from vestry.ceremony.bench import Bench
from vestry.ceremony.clock import Clock
from vestry.ceremony.decide import decide, read_review
from vestry.ceremony.dialogue import Choose, Confirm, Departed, Front, Noted, Question, Secret, TypeBack
from vestry.ceremony.drafts import ceremony_key
from vestry.ceremony.gate import serial_digits
from vestry.ceremony.script import PreflightStep, TokenSpec
from vestry.ceremony.state import ReadFacts, State, evolve
from vestry.ceremony.transcript import Transcript
from vestry.errors import Refused, Stopped, TokenTrouble
from vestry.machine import preflight
from vestry.machine.isolation import Confinement
from vestry.metadata.review import Reviewed, conclude
from vestry.text import Safe, printable
from vestry.tokens import naming, pins
from vestry.tokens.token import Token, TokenInfo, TokenKey, Unlocked
from vestry.tokens.uri import parse

T = TypeVar("T")

_PIN_REFUSED = ("E-PIN-WRONG", "E-PIN-LENGTH")


class Room:
    """Everything a step needs. `state` changes only through `record`; `beside` is the folder of the script."""

    def __init__(
        self,
        folder: Path,
        transcript: Transcript,
        state: State,
        front: Front,
        bench: Bench,
        clock: Clock,
        confined: Confinement | None = None,
        beside: Path = Path(),
    ) -> None:
        self.folder, self.front, self.bench, self.clock, self.beside = folder, front, bench, clock, beside
        self.state, self.confined = state, confined
        self._transcript = transcript
        self._departing = False
        self._reviewed: dict[str, tuple[ReadFacts, Reviewed]] = {}

    @property
    def administrator(self) -> str:
        """Who acts where no holder does."""
        return actors.administrator(self.state.script)

    def now(self) -> str:
        """The time, as events have it."""
        return self.clock.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def record(self, event: e.Event, by: str) -> e.Recorded:
        """Decide, append and sync, then fold and show: nothing is on a screen that is not on disk."""
        at, known = self.now(), len(self.state.clock)
        for admitted in decide(self.state, event, at=at):
            actors.check(self.state, admitted, by)
            recorded = self._transcript.append(admitted, by, at=datetime.fromisoformat(at))
            self.state = evolve(self.state, recorded)
            for found in self.state.clock[known:]:
                self.tell(f"{found.code}: {found.text}. Compare the clock with a watch.", good=False)
        outputs.write(self.state, self.folder, event)
        self.front.show(self.state)
        return recorded

    def look_at_network(self) -> None:
        """Look at the network again, as before each signature; what is not as it was recorded last is recorded.

        Raises:
            Refused: E-NETWORK: in a real ceremony whose machine was looked at, there is one now that nobody waived.
        """
        check = preflight.guarded(lambda: preflight.look_at_network(self.confined))
        if (check.verdict, check.line) != self.state.network:
            self.record(e.NetworkSeen(check.verdict, check.line), self.administrator)
            self.tell(f"network: {check.verdict}: {check.line}", good=check.verdict == "pass")
        steps = self.state.script.steps
        looked = any(isinstance(steps[index], PreflightStep) for index in self.state.done)
        if (
            check.verdict == "stop"
            and looked
            and not self.state.script.rehearsal
            and "network" not in self.state.waived
        ):
            raise Refused(check.seen, where="before a signature", do=check.do, code="E-NETWORK")

    def reviewed(self, role: str) -> Reviewed:
        """The draft of `role` as it was read: the review of that moment, concluded with the answers of that moment."""
        read = self.state.read[role]
        kept = self._reviewed.get(role)
        if kept is None or kept[0] != read:
            kept = read, conclude(read_review(self.state, role, read.at), read.answers, overruled=read.overruled)
            self._reviewed[role] = kept
        return kept[1]

    def ask(self, question: Question[T]) -> T:
        """Ask; an exception noted meanwhile is recorded and the question asked again.

        Raises:
            departing.Unwound: the step at hand is another now.
        """
        while True:
            try:
                return self.front.ask(question)
            except Noted as noted:
                self.record(
                    e.ExceptionNoted(agenda.position(self.state), str(printable(noted.text))),
                    question.person or self.administrator,
                )
            except Departed:
                self.depart()

    def depart(self) -> None:
        """Leave the script, or state the time; within that, nothing more of the kind.

        Raises:
            departing.Unwound: the step at hand is another now.
        """
        if self._departing:
            return
        self._departing = True
        try:
            departing.depart(self)
        finally:
            self._departing = False

    def tell(self, line: str, *, good: bool | None = None) -> None:
        """One line of narration."""
        self.front.tell(printable(line), good=good)

    @contextmanager
    def waiting(self, what: str, token: str = "") -> Iterator[None]:
        """Say that something works, until it is done. Where it is a `token`, people may stop waiting for it.

        Raises:
            TokenTrouble: E-TOKEN-CANCELLED: they did; what the token was to do may have happened.
        """
        cancel = self.bench.canceller(self.state.script.token(token)) if token else None
        self.front.waiting(printable(what), cancel)
        try:
            yield
        except KeyboardInterrupt:
            if cancel is None:
                raise
            raise TokenTrouble(
                "stopped waiting for the token",
                do="go on when you are ready",
                code="E-TOKEN-CANCELLED",
                unknown=True,
            ) from None
        finally:
            self.front.waiting("", None)

    def trouble(self, error: TokenTrouble, token: str) -> None:
        """Record a token's trouble and show it."""
        self.record(e.TroubleMet(token, error.code, str(printable(error.what))), self.holder(token))
        self.front.trouble(error, self.meaning())

    def meaning(self) -> str:
        """What a failure at this moment means for keys and signatures."""
        intent = self.state.unanswered
        if intent is None:
            return "Nothing was signed, made or erased by this."
        return f"The outcome of line {intent.n} is not known yet. It is looked into before anything else."

    def holder(self, token: str) -> str:
        """Whose token it is."""
        return next((t.holder for t in self.state.script.tokens if t.name == token), self.administrator)

    def describe(self, token: str, info: TokenInfo) -> Safe:
        """A token in words: holder, product, serial."""
        return naming.of_holder(self.holder(token), token, info)

    def signs(self, what: str, held: TokenKey) -> str:
        """The line to show while `held` signs `what`: that the device waits for a touch comes first, where it does."""
        wants = dict(held.facts).get("touch", "")
        if wants in ("always", "cached"):
            return f"Touch the device: it signs {what}"
        maybe = "" if wants == "never" or self.software(held) else "; touch it if it blinks"
        return f"The token signs {what}{maybe}"

    def software(self, held: TokenKey) -> bool:
        """Whether `held` is on a software token, which nobody can touch."""
        return any(
            t.use == "software" and f.serial == parse(held.uri).serial
            for t in self.state.script.tokens
            if (f := self.state.tokens.get(t.name)) is not None
        )

    def blank(self, spec: TokenSpec, taken: Collection[str]) -> Token:
        """The token that becomes `spec`: the one of the serial that the script names, else the blank one; where several
        are there, the one that its holder points out."""
        if spec.use == "software" and spec.name in self.state.replaced:
            return self.bench.spare()
        blanks = self.bench.to_initialise(spec, taken)
        if len(blanks) == 1 or spec.use == "software":
            return blanks[0]
        infos = {str(i): token.info for i, token in enumerate(blanks)}
        chosen = self.ask(
            Choose(
                "which-token",
                f"Say which of these becomes {spec.holder}'s token '{spec.name}'.",
                person=spec.holder,
                details=("Compare the serial with the one on the device.",),
                options=tuple((place, str(self.describe(spec.name, info))) for place, info in infos.items()),
            )
        )
        return blanks[int(chosen)]

    def token(self, name: str) -> Token:
        """The physical token that `name` stands for, recognised by serial or public key and confirmed by its holder."""
        spec = self.state.token(name)
        facts = self.state.tokens.get(name)
        if facts is not None:
            token = self.bench.by_serial(spec, facts.serial, facts.model)
        else:
            held = next(k for k in self.state.script.keys if k.token == name)
            token = self.bench.holding(spec, ceremony_key(self.state, held))
        if facts is None or not facts.confirmed:
            self.confirm_serial(name, token)
        return token

    def confirm_serial(self, name: str, token: Token) -> None:
        """Have the holder read the last characters of the serial, until they are right."""
        digits = self.read_serial(name, token.info)
        self.record(e.TokenConfirmed(name, token.info.serial, digits), self.holder(name))

    def read_serial(self, name: str, info: TokenInfo) -> str:
        """The last characters of the serial as the holder reads them off the device, asked for until they are right."""
        while True:
            typed = self.ask(
                TypeBack(
                    "digits",
                    f"Type the last four characters of the serial of {self.holder(name)}'s token.",
                    person=self.holder(name),
                    details=(self.describe(name, info),),
                )
            )
            if typed.strip().lower() == serial_digits(info.serial):
                return typed.strip().lower()
            # What was typed is not said again: hands that expected another line type a PIN here.
            self.tell(f"That is not the end of serial {info.serial}. Is it the right token?", good=False)

    @contextmanager
    def unlocked(self, name: str, token: Token, why: str) -> Iterator[Unlocked]:
        """The token behind its PIN. Each try is typed by the holder; the last one is asked for first. A PIN that makers
        set at the factory opens nothing but a rehearsal."""
        holder = self.holder(name)
        with ExitStack() as stack:
            while True:
                info = token.info
                if info.tries == "locked":
                    raise TokenTrouble(
                        f"the PIN of {self.describe(name, info)} is locked",
                        do="use another holder's key, or reset it outside this ceremony",
                        code="E-PIN-LOCKED",
                    )
                self._ask_before_last_try(holder, info.tries, info.tries_left)
                pin = self.ask(
                    Secret(
                        "pin",
                        f"Type the PIN of {self.describe(name, info)}.",
                        person=holder,
                        details=(str(printable(why)),),
                        warning=_tries(info.tries, info.tries_left),
                    )
                )
                if pins.factory(pin) and not self.state.script.rehearsal:
                    pin.wipe()
                    self.tell(
                        "This PIN is the factory's. It was not used: change it with the maker's tool.", good=False
                    )
                    continue
                try:
                    with self.waiting("The token checks the PIN", name):
                        unlocked = stack.enter_context(token.unlock(pin))
                    break
                except TokenTrouble as error:
                    if error.code not in _PIN_REFUSED:
                        raise
                    self.trouble(error, name)
                finally:
                    pin.wipe()
            yield unlocked

    def _ask_before_last_try(self, holder: str, tries: str, left: int | None) -> None:
        if tries != "last" and left != 1:
            return
        go_on = self.ask(
            Confirm(
                "last-try",
                "Decide whether to use the last try.",
                person=holder,
                details=("The token allows one more PIN. If it is wrong, the token locks and its keys are lost.",),
                yes="use the last try",
                no="stop here",
            )
        )
        if not go_on:
            raise Stopped("stopped before the last PIN try", do="run the same line again to go on")


def _tries(tries: str, left: int | None) -> str:
    if left is not None:
        return f"{left} {'try' if left == 1 else 'tries'} left."
    return {"low": "A wrong PIN was typed before: few tries are left.", "last": "One try is left."}.get(tries, "")
