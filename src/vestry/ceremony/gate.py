"""What the rules of the gate have in common: where the ceremony is, and what the script calls by a name."""

from __future__ import annotations

from typing import TypeVar

from vestry.ceremony import agenda
from vestry.ceremony import script as s
from vestry.ceremony.state import State
from vestry.errors import Refused
from vestry.text import printable

StepT = TypeVar("StepT", bound=s.Step)

SERIAL_DIGITS = 4


def serial_digits(serial: str) -> str:
    """What a holder types of a serial: its last four characters, lower case."""
    return serial[-SERIAL_DIGITS:].lower()


def step_now(state: State, *kinds: type[StepT], index: int | None = None) -> StepT:
    """The step that the ceremony is at, which must be of one of `kinds`, and the one at `index`."""
    here = agenda.position(state)
    steps = state.script.steps
    if here == len(steps):
        raise Refused("the ceremony is over")
    step = steps[here]
    if not isinstance(step, kinds) or (index is not None and index != here):
        raise Refused(f"the ceremony is at step {here + 1}, '{printable(step.title)}', and this belongs elsewhere")
    return step


def list_name(index: int) -> str:
    """The file in the ceremony's folder that lists what the step `compare` at `index` found."""
    return f"comparison-{index + 1}.jsonl"


def key_spec(state: State, name: str) -> s.KeySpec:
    """The key that the script calls `name`."""
    try:
        return state.script.key(name)
    except StopIteration:
        raise Refused(f"the script has no key '{printable(name)}'") from None


def token_spec(state: State, name: str) -> s.TokenSpec:
    """The token that the script calls `name`."""
    try:
        return state.token(name)
    except StopIteration:
        raise Refused(f"the script has no token '{printable(name)}'") from None


def confirmed_token(state: State, name: str, serial: str) -> None:
    """Refuse unless the holder of the token `name` has read `serial` off it."""
    facts = state.tokens.get(name)
    if facts is None or not facts.confirmed:
        raise Refused(f"the serial of token '{name}' was not read by its holder yet")
    if facts.serial != serial:
        raise Refused(f"this is the token with serial {printable(serial)}; '{name}' is {printable(facts.serial)}")
