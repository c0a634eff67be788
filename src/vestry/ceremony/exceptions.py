"""The gate's rules about leaving the script: steps skipped or repeated, and a clock that is in doubt.

What is irreversible is never left without what guards it: drafts, reviews and verifications are never skipped, and
nothing before a signature is repeated once there is one, since the signature stays valid whoever repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from vestry.ceremony import agenda
from vestry.ceremony import events as e
from vestry.ceremony import script as s
from vestry.ceremony.state import State
from vestry.ceremony.timekeeping import JUMP, parsed
from vestry.errors import Refused
from vestry.text import printable

CODE = "E-EXCEPTION"

_NEVER_SKIPPED: Mapping[type, str] = {
    s.DraftStep: "nothing could be reviewed or signed without its drafts",
    s.ReviewStep: "nothing is signed that nobody read",
    s.VerifyStep: "nothing leaves the room that was not verified",
}
_NEVER_REPEATED: Mapping[type, str] = {
    s.SignStep: "a signature can't be taken back",
    s.DestroyStep: "a key that is destroyed stays so",
    s.SealStep: "a seal can't be taken back",
}
_BEFORE_SIGNING = (s.ProvisionStep, s.DraftStep, s.ReviewStep)


def skippable(state: State, index: int) -> None:
    """Refuse unless the step at `index` is at hand and may be skipped."""
    step = _step(state, index)
    if index != agenda.position(state):
        raise _refused(f"step {index + 1} is not the one at hand")
    if state.unanswered is not None:
        raise _refused(f"the outcome of line {state.unanswered.n} is not known yet; it is looked into first")
    if (why := _NEVER_SKIPPED.get(type(step))) is not None:
        raise _refused(f"step {index + 1}, '{printable(step.title)}', is never skipped: {why}")
    if isinstance(step, s.SignStep):
        for role in step.roles:
            unmet = [t for t in state.tallies(role) if not t.met]
            if unmet and not _later(state, index, role):
                raise _refused(f"{role} has {unmet[0].sentence}, and no later step brings more", _MORE_SIGNATURES)


_MORE_SIGNATURES = "collect the signatures that are missing, or stop"


def _later(state: State, index: int, role: str) -> bool:
    """Whether signatures on `role` come in after the step at `index` and before anything that counts on them."""
    for step in state.script.steps[index + 1 :]:
        if (isinstance(step, s.ImportStep) and step.role == role) or (
            isinstance(step, s.SignStep) and role in step.roles
        ):
            return True
        if isinstance(step, s.VerifyStep | s.DestroyStep | s.ExportStep | s.SealStep):
            return False
    return False


def repeatable(state: State, index: int) -> None:
    """Refuse unless the step at `index` was done, skipped, or is a provision step under way, and may be done again."""
    step = _step(state, index)
    here = agenda.position(state)
    named = f"step {index + 1}, '{printable(step.title)}',"
    if here == len(state.script.steps):
        raise _refused("the ceremony is over")
    if index > here or (index == here and not isinstance(step, s.ProvisionStep)):
        raise _refused(f"{named} was not done yet")
    intent = state.unanswered
    if intent is not None and not isinstance(step, s.ProvisionStep):
        raise _refused(f"the outcome of line {intent.n} is not known yet; it is looked into first")
    if index in state.skipped:
        # Nothing came of it yet; but what it would give must not come too late.
        if isinstance(step, s.ProvisionStep) and any(state.signatures.values()):
            raise _refused(f"{named} is never repeated once something is signed: its keys are named there")
        return
    if (why := _NEVER_REPEATED.get(type(step))) is not None:
        raise _refused(f"{named} is never repeated: {why}")
    if isinstance(step, _BEFORE_SIGNING) and any(state.signatures.values()):
        raise _refused(f"{named} is never repeated once something is signed: the signature would stay valid")
    if state.seal is not None and not isinstance(step, s.SayStep):
        raise _refused(f"{named} is never repeated once the seal is open: the seal speaks of what was done")
    if isinstance(step, s.ImportStep) and step.role in state.documents:
        name = state.documents[step.role]
        if f"{name.version}.{step.role}.json" in state.outputs:
            raise _refused(f"{named} is never repeated once {step.role} is verified: its file would be another")


def replaceable(state: State, index: int) -> tuple[str, ...]:
    """Names of the tokens of the provision step at `index` of which there is something to give up."""
    step = _step(state, index)
    if not isinstance(step, s.ProvisionStep):
        return ()
    pending = _token_of(state.unanswered.event) if state.unanswered is not None else ""
    return tuple(name for name in step.tokens if name in state.tokens or state.former.get(name) or name == pending)


def _token_of(event: e.Event) -> str:
    return event.token if isinstance(event, e.InitialiseIntended | e.GenerateIntended) else ""


def _skip(state: State, event: e.StepSkipped, _: str) -> None:
    _agreed(state, event.people, event.reason)
    skippable(state, event.step)


def _repeat(state: State, event: e.StepRepeated, _: str) -> None:
    repeatable(state, event.step)
    step = state.script.steps[event.step]
    holders: set[str] = set()
    if isinstance(step, s.ProvisionStep):
        holders = _tokens_given_up(state, event)
    elif event.tokens or event.aside:
        raise _refused("only a provision step gives up tokens")
    _agreed(state, event.people, event.reason, holders)


def _tokens_given_up(state: State, event: e.StepRepeated) -> set[str]:
    """Whose tokens are given up."""
    known = replaceable(state, event.step)
    if len(set(event.tokens)) != len(event.tokens) or not set(event.tokens) <= set(known):
        raise _refused("a token that was not set up at this step can't be given up")
    if not event.tokens and event.step not in state.skipped:
        raise _refused("say which tokens of the step are set up again")
    intent = state.unanswered
    if intent is not None and _token_of(intent.event) not in event.tokens:
        raise _refused(f"the outcome of line {intent.n} is not known yet; it is looked into first")
    serials = {state.tokens[name].serial for name in event.tokens if name in state.tokens}
    serials |= {state.former[name] for name in event.tokens if name in state.former}
    if intent is not None and isinstance(intent.event, e.InitialiseIntended):
        serials.add(intent.event.serial)
    if len(set(event.aside)) != len(event.aside) or not set(event.aside) <= serials - {""}:
        raise _refused("a device is set aside by the serial that it showed in this ceremony")
    kept = [name for name in event.tokens if event.aside and not state.script.token(name).erase]
    if kept:
        what = f"token '{kept[0]}' is meant for what is on it; another device can't stand for it"
        raise _refused(what, "stop, and begin with a changed script")
    if event.aside and len(event.aside) != len(event.tokens):
        raise _refused("either each of the tokens is set aside, or none")
    return {state.script.token(name).holder for name in event.tokens}


def _agreed(state: State, people: Collection[str], reason: str, holders: Collection[str] = ()) -> None:
    """Refuse unless as many different people as the script demands agreed: people who are here, not administrators
    alone, and each of `holders`."""
    wanted = state.script.exceptions
    if not wanted:
        raise _refused("the script lets no step be skipped or repeated", "stop, and begin with a changed script")
    if not reason.strip():
        raise _refused("say why")
    offices = {p.name: p.office for p in state.script.people}
    for name in people:
        if name not in offices:
            raise _refused(f"the script does not name {printable(name)}")
        if state.present and name not in state.present:
            raise _refused(f"{printable(name)} is not here")
    if len(set(people)) != len(people) or len(people) < wanted:
        raise _refused(f"{wanted} different people must agree")
    if all(offices[n] == "administrator" for n in people) and set(offices.values()) != {"administrator"}:
        raise _refused("a holder or witness must agree as well: who leads the ceremony does not leave the script alone")
    missing = [name for name in holders if name not in people]
    if missing:
        raise _refused(f"{printable(missing[0])} must agree: it is their token")


def _stated(_: State, event: e.ClockStated, at: str) -> None:
    try:
        watch, machine, now = parsed(event.watch), parsed(event.machine), parsed(at)
    except ValueError:
        raise _refused("a time is written as 2026-11-23T09:30:00Z") from None
    if (watch - machine).total_seconds() != event.seconds:
        raise _refused("the difference of the two times is another")
    if abs((now - machine).total_seconds()) > JUMP:
        raise _refused("the machine's clock said something else")


def _answered(state: State, event: e.ClockAnswered, _: str) -> None:
    if not (state.doubt or state.jumped):
        raise _refused("the clock is not in doubt")
    _agreed(state, event.people, event.reason)


def doubted(state: State) -> None:
    """Refuse to compute expiry while a watch contradicts the machine's clock."""
    if state.doubt:
        do = "set the clock and state the time again, or answer it as an exception"
        raise Refused(f"nothing is drafted: {state.doubt}", do=do, code="E-CLOCK")


def _step(state: State, index: int) -> s.Step:
    if not 0 <= index < len(state.script.steps):
        raise _refused(f"there is no step {index + 1}")
    return state.script.steps[index]


def _refused(what: str, do: str = "") -> Refused:
    return Refused(what, do=do or "go on with the step at hand", code=CODE)


RULES: Mapping[type, Callable[[State, Any, str], None]] = {
    e.StepSkipped: _skip,
    e.StepRepeated: _repeat,
    e.ClockStated: _stated,
    e.ClockAnswered: _answered,
}
