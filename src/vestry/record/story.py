"""What a replayed transcript tells, gathered for the record: pure questions about the steps of a replay."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from vestry.ceremony import agenda
from vestry.ceremony import events as e
from vestry.ceremony.decide import read_review
from vestry.ceremony.replay import ReplayStep, word
from vestry.ceremony.state import State
from vestry.errors import VestryError
from vestry.metadata.review import Review
from vestry.record.telling import told
from vestry.text import Safe, printable


@dataclass(frozen=True)
class Read:
    """A review that was read, and the same review made again; None, with the reason, where it can't be."""

    line: ReplayStep
    event: e.ReviewRead
    again: Review | None
    why: str


@dataclass(frozen=True)
class Trouble:
    """Something that went off the script's way, and what came of it."""

    line: ReplayStep
    what: Safe
    done: Safe


@dataclass(frozen=True)
class Word:
    """What rests on someone's word: who, what, and the lines of the transcript."""

    person: str
    what: str
    lines: tuple[int, ...]


def last_state(lines: Sequence[ReplayStep]) -> State | None:
    """The last state that the transcript could be folded to."""
    return next((x.state for x in reversed(lines) if x.state is not None), None)


def by_step(lines: Sequence[ReplayStep]) -> Mapping[int, tuple[ReplayStep, ...]]:
    """The events of each step of the script, by its index: those recorded while the ceremony stood there. Line 0 and
    what comes after the last step are left out."""
    found: dict[int, list[ReplayStep]] = {}
    for before, line in pairwise(lines):
        if before.state is not None and (here := agenda.position(before.state)) < len(before.state.script.steps):
            found.setdefault(here, []).append(line)
    return {index: tuple(events) for index, events in found.items()}


def reviews(lines: Sequence[ReplayStep]) -> tuple[Read, ...]:
    """Every review that was read, made again from the state and the time at which it was."""
    found = []
    for before, line in pairwise(lines):
        event = line.recorded.event
        if isinstance(event, e.ReviewRead):
            again, why = None, "the transcript cannot be folded up to here"
            if before.state is not None:
                try:
                    again, why = read_review(before.state, event.role, line.recorded.at), ""
                except (VestryError, KeyError) as error:
                    why = str(printable(str(error)))
            found.append(Read(line, event, again, why))
    return tuple(found)


def troubles(lines: Sequence[ReplayStep]) -> tuple[Trouble, ...]:
    """Troubles, stops, cut-off actions and waived checks, in order, each with what followed."""
    found = []
    for place, line in enumerate(lines):
        event = line.recorded.event
        after = lines[place + 1 :]
        if isinstance(event, e.TroubleMet):
            token = f"token '{event.token}': " if event.token else ""
            code = f" [{event.code}]" if event.code else ""
            found.append(Trouble(line, printable(f"{token}{event.text}{code}"), _next(after)))
        elif isinstance(event, e.Resumed):
            torn = f"; {event.torn_bytes} bytes of an unfinished line were left" if event.torn_bytes else ""
            text = f"the program had stopped and was started again, as {event.software}{torn}"
            found.append(Trouble(line, printable(text), _next(after)))
        elif isinstance(event, e.IntentAbandoned):
            text = f"the outcome of line {event.intent} was looked into: {event.found}"
            found.append(Trouble(line, printable(text), _next(after)))
        elif isinstance(event, e.KeyGenerated) and event.found:
            text = f"key '{event.key}' was on the token when the outcome of line {event.intent} was looked into"
            found.append(Trouble(line, printable(text), printable("it was kept; no second one was made")))
        elif isinstance(event, e.KeyKept):
            found.append(Trouble(line, printable(f"key '{event.key}' was not destroyed"), printable(event.reason)))
        elif isinstance(event, e.NetworkSeen) and event.verdict != "pass":
            found.append(Trouble(line, printable(f"before a signature: {event.text}"), _next(after)))
        elif isinstance(event, e.PreflightTaken):
            for check, reason in event.waived.items():
                seen = event.checks.get(check, ("unknown", "not made"))
                text = f"the check '{check}' says {seen[0]}: {seen[1]}"
                found.append(Trouble(line, printable(text), printable(f"passed over: {reason}")))
    return tuple(found)


def _next(after: Iterable[ReplayStep]) -> Safe:
    """What was recorded next, other than more of the same kind of trouble."""
    for line in after:
        if not isinstance(line.recorded.event, e.TroubleMet | e.Resumed):
            return printable(f"next, line {line.recorded.n}: {told(line.recorded)}")
    return printable("nothing was recorded after it")


def initials(lines: Iterable[ReplayStep], state: State) -> dict[str, str]:
    """Letters that stand for each person of the script, and for whoever else is said to have acted: of the words of the
    name, numbered where two have the same."""
    names = dict.fromkeys([*(p.name for p in state.script.people), *(x.recorded.by for x in lines)])
    letters = {name: "".join(w[0] for w in re.findall(r"[A-Za-z0-9]+", name)[:3]).upper() or "?" for name in names}
    alike: dict[str, list[str]] = {}
    for name, short in letters.items():
        alike.setdefault(short, []).append(name)
    return {n: s if len(alike[s]) == 1 else f"{s}{alike[s].index(n) + 1}" for n, s in letters.items()}


def words_of(lines: Iterable[ReplayStep]) -> tuple[Word, ...]:
    """What rests on whose word, by person, then in the order of its first line."""
    found: dict[tuple[str, str], list[int]] = {}
    for line in lines:
        if rests := word(line):
            found.setdefault((line.recorded.by, rests), []).append(line.recorded.n)
    first = {person: min(ns[0] for (p, _), ns in found.items() if p == person) for person, _ in found}
    order = sorted(found, key=lambda k: (first[k[0]], found[k][0]))
    return tuple(Word(person, why, tuple(found[person, why])) for person, why in order)
