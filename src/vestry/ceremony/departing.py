"""Leaving the script, as people do it: what can be skipped or repeated now, why, and who agrees; and the time from a
watch. The gate (`exceptions`) decides again whatever is asked here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vestry.ceremony import agenda, exceptions, timekeeping
from vestry.ceremony import events as e
from vestry.ceremony import script as s
from vestry.ceremony.dialogue import Ask, Choose
from vestry.errors import Refused
from vestry.text import printable

if TYPE_CHECKING:
    from vestry.ceremony.room import Room
    from vestry.ceremony.state import State

_BACK = ("back", "go back; nothing changes")
_AT_ONCE = 8  # options that fit on a small screen, each with a digit of its own


class Unwound(Exception):
    """The script was left: the step that was under way ends here, and the ceremony goes on where it stands now."""


def depart(room: Room) -> None:
    """Ask what is to be done off the script, and record it. A refusal is told, and changes nothing.

    Raises:
        Unwound: a step was skipped or is to be done again.
    """
    here = agenda.position(room.state)
    options = [_BACK, ("watch", "state the time from a watch")]
    if not _refusal(exceptions.skippable, room.state, here):
        title = room.state.script.steps[here].title
        options.append(("skip", str(printable(f"skip step {here + 1}, '{title}'"))))
    again = [i for i in range(here + 1) if not _refusal(exceptions.repeatable, room.state, i)]
    if again:
        options.append(("repeat", "repeat a step, or take another token"))
    if room.state.doubt or room.state.jumped:
        options.append(("clock", "go on with a clock that is in doubt"))
    chosen = room.ask(
        Choose(
            "depart",
            "Say what is to be done off the script.",
            person=room.administrator,
            details=_details(room.state, here),
            options=tuple(options),
        )
    )
    try:
        _DO[chosen](room, here, again)
    except Refused as error:
        room.tell(str(printable(str(error))), good=False)


def _details(state: State, here: int) -> tuple[str, ...]:
    wanted = state.script.exceptions
    lines = [f"The script wants {wanted} people to agree." if wanted else "The script lets no step be left."]
    if here < len(state.script.steps) and (why := _refusal(exceptions.skippable, state, here)):
        lines.append(why)
    return tuple(lines)


def _refusal(rule: Callable[[State, int], None], state: State, index: int) -> str:
    try:
        rule(state, index)
    except Refused as error:
        return str(printable(error.what))
    return ""


def _nothing(_room: Room, _here: int, _again: list[int]) -> None:
    return


def _skip(room: Room, here: int, _: list[int]) -> None:
    title = room.state.script.steps[here].title
    reason = _why(room, "this step is skipped")
    people = _people(room, f"Step {here + 1}, '{title}', is skipped: {reason}", ())
    if not people:
        return
    room.record(e.StepSkipped(here, reason, people), room.administrator)
    room.tell(f"Step {here + 1} is skipped: {reason}")
    raise Unwound


def _repeat(room: Room, _: int, again: list[int]) -> None:
    steps = room.state.script.steps
    listed = tuple(str(printable(f"{i + 1}. {steps[i].title}")) for i in again)
    typed = room.ask(
        Ask("which-step", "Type the number of the step to do again.", room.administrator, listed, default="none")
    ).strip()
    if typed == "none":
        return
    if typed not in {str(i + 1) for i in again}:
        room.tell(f"'{printable(typed, 40)}' is none of these steps. Nothing changes.", good=False)
        return
    index = int(typed) - 1
    tokens: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    if isinstance(steps[index], s.ProvisionStep) and (known := exceptions.replaceable(room.state, index)):
        name = _which(room, known)
        if not name:
            return
        tokens, aside = (name,), _aside(room, name)
    reason = _why(room, "it is done again")
    what = f"Step {index + 1}, '{steps[index].title}', is done again"
    what += f" for token '{tokens[0]}'" if tokens else ""
    what += f", with another device than {aside[0]}" if aside else ""
    people = _people(room, f"{what}: {reason}", tuple(room.holder(t) for t in tokens))
    if not people:
        return
    room.record(e.StepRepeated(index, reason, people, tokens, aside), room.administrator)
    room.tell(f"Step {index + 1} is done again: {reason}")
    raise Unwound


def _which(room: Room, known: tuple[str, ...]) -> str:
    """The token to set up again; where many are there, by its name."""
    pending = room.state.unanswered
    labels = {name: f"{room.holder(name)}'s token '{name}'" for name in known}
    if pending is not None and isinstance(pending.event, e.GenerateIntended | e.InitialiseIntended):
        labels = {pending.event.token: labels[pending.event.token]}  # what is unknown must be given up first
    if len(labels) > _AT_ONCE:
        typed = room.ask(Ask("which-one", "Type the name of the token.", room.administrator, tuple(labels.values())))
        return typed.strip() if typed.strip() in labels else ""
    return room.ask(
        Choose(
            "which-one",
            "Say which token is set up again. Its keys of this ceremony are given up.",
            person=room.administrator,
            options=(("", _BACK[1]), *((name, str(printable(text))) for name, text in labels.items())),
        )
    )


def _aside(room: Room, name: str) -> tuple[str, ...]:
    """The serial of the device that another one takes the place of; none, where the same is set up again."""
    facts, pending = room.state.tokens.get(name), room.state.unanswered
    serial = facts.serial if facts is not None else room.state.former.get(name, "")
    if not serial and pending is not None and isinstance(pending.event, e.InitialiseIntended):
        serial = pending.event.serial
    if not serial or not room.state.script.token(name).erase:
        return ()
    other = room.ask(
        Choose(
            "set-aside",
            f"Say which device becomes {printable(room.holder(name))}'s token '{printable(name)}'.",
            person=room.holder(name),
            options=(
                ("other", f"another one; serial {printable(serial, 40)} is set aside, and never used again here"),
                ("same", "the same one, erased again"),
            ),
        )
    )
    return (serial,) if other == "other" else ()


def _watch(room: Room, _here: int, _again: list[int]) -> None:
    machine = room.now()
    typed = room.ask(
        Ask(
            "watch",
            "Type the time that a watch says, in UTC.",
            person=room.administrator,
            details=("As 14:05:30, or with its day as 2026-11-23 14:05:30.", f"The machine said {machine}."),
        )
    )
    machine = room.now()  # typing takes its time: the watch is compared with this moment
    watch = read_watch(typed, machine)
    if not watch:
        room.tell(f"'{printable(typed, 40)}' is no time. Nothing was recorded.", good=False)
        return
    seconds = int((timekeeping.parsed(watch) - timekeeping.parsed(machine)).total_seconds())
    room.record(e.ClockStated(watch, machine, seconds), room.administrator)
    if room.state.doubt:
        room.tell(f"{room.state.doubt}. Nothing more is drafted until this is answered.", good=False)
    else:
        room.tell(f"The watch differs from the machine's clock by {seconds:+} s, as witnessed", good=True)


def read_watch(typed: str, machine: str) -> str:
    """A time as typed, ``HH:MM``, ``HH:MM:SS``, or with a day before it, as events have it; empty if it is none.
    Without a day, that of the machine counts."""
    day, _, clock = typed.strip().rstrip("Zz").replace("T", " ").rpartition(" ")
    clock = f"{clock}:00" if clock.count(":") == 1 else clock
    text = f"{day.strip() or machine[:10]}T{clock}Z"
    try:
        return timekeeping.parsed(text).strftime("%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return ""


def _clock(room: Room, _here: int, _again: list[int]) -> None:
    reason = _why(room, "the clock is relied on")
    people = _people(room, f"The ceremony goes on with its clock: {reason}", ())
    if people:
        room.record(e.ClockAnswered(reason, people), room.administrator)
        room.tell(f"The ceremony goes on with its clock: {reason}")


def _why(room: Room, what: str) -> str:
    reason = ""
    while not reason.strip():
        reason = room.ask(Ask("why", f"Write why {what}.", person=room.administrator))
    return str(printable(reason.strip()))


def _people(room: Room, what: str, holders: tuple[str, ...]) -> tuple[str, ...]:
    """The people who agree, as many as the script demands; none, where someone does not."""
    state = room.state
    wanted = max(state.script.exceptions, len(set(holders)))
    here = [p.name for p in state.script.people if not state.present or p.name in state.present]
    agreed: list[str] = []
    while len(agreed) < wanted:
        must = [h for h in dict.fromkeys(holders) if h not in agreed and h in here]
        left = must or [name for name in here if name not in agreed]
        offered = left[:_AT_ONCE]
        chosen = room.ask(
            Choose(
                "agree-exception",
                f"Say who agrees to this ({len(agreed)} of {wanted}).",
                person=room.administrator,
                details=(
                    str(printable(what)),
                    "Each of them must be here and say so; administrators alone are not enough.",
                ),
                options=(("", "nobody: " + _BACK[1]), *((name, str(printable(name))) for name in offered)),
            )
        )
        if not chosen:
            return ()
        agreed.append(chosen)
    return tuple(agreed)


_DO: dict[str, Callable[[Room, int, list[int]], None]] = {
    "back": _nothing,
    "watch": _watch,
    "skip": _skip,
    "repeat": _repeat,
    "clock": _clock,
}
