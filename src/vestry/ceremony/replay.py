"""Replay: fold a transcript again, recompute everything that can be, and give each event a verdict.

``recomputed``: derived again from other events and found equal. ``witnessed``: rests on a person's or a device's word.
``failed``: would have been refused, or its value is another. In a published copy, too, ``withheld``: not shown; and
``unknown``: can't be recomputed, since it may rest on what is withheld.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from vestry.ceremony import actors, gaps, outputs, proof, reading, timekeeping, today
from vestry.ceremony import events as e
from vestry.ceremony.decide import decide
from vestry.ceremony.state import State, evolve
from vestry.errors import InputRejected, VestryError
from vestry.text import Safe, printable

Verdict = Literal["recomputed", "witnessed", "failed", "withheld", "unknown"]

MISSING, ADDED = "is missing", "is none that the transcript accounts for"

_MADE, _VERIFIES = "key id made from the key; possession proved", "verifies with the key that the document names"
_RECOMPUTED: Mapping[type, tuple[str, str]] = {
    e.Opened: ("script and inputs have the digests that they name", "which software it was"),
    e.KeyGenerated: (_MADE, "a key's URI, facts and `found`, and certificates that no maker signed"),
    e.KeyTaken: (_MADE, "a key's URI and facts, and certificates that no maker signed"),
    e.Drafted: ("drafted again from script and keys: the same bytes", ""),
    e.DraftProved: ("walked again by a client under throwaway keys", "which client walked the drafts then"),
    e.ReviewRead: ("changes and findings made again: the same", "that a review was read, the answers, who overruled"),
    e.SignatureIntended: ("words and digest are those of the draft that was read", ""),
    e.SignatureAdded: (_VERIFIES, ""),
    e.SignatureImported: (_VERIFIES, "where a signature came from"),
    e.Verified: ("thresholds counted again; signed files have the same digests", "which client looked at them then"),
    e.SealOpened: ("the subjects are the outputs", ""),
    e.Sealed: ("the statement is about this transcript and its signature verifies", ""),
}
"""What was derived again, and what in the event still rests on a word."""
_WITNESSED: Mapping[type, str] = {
    e.Resumed: "that the program was started again, and which software it was",
    e.Said: "what people did and wrote down",
    e.Gathered: "who was there",
    e.PreflightTaken: "what the machine showed, and why something was waived",
    e.NetworkSeen: "what the machine showed of its network",
    e.InitialiseIntended: "the intent of its holder; by which module, and what was there before",
    e.TokenInitialised: "that the token erased itself, what it shows of itself, and that it lists nothing any more",
    e.TokenAdopted: "that its holder unlocked it, by which module, what it shows of itself, and what it lists",
    e.TokenConfirmed: "that the serial was read off the device",
    e.GenerateIntended: "the intent of its holder, and which keys were there before",
    e.ImportEnded: "that there were no more signatures",
    e.IntentAbandoned: "what the token showed when it was read",
    e.DestroyIntended: "the intent of its holder to destroy a key",
    e.KeyDestroyed: "that the token no longer lists the key, and what it still lists",
    e.KeyKept: "why a key that the script destroys was left as it is",
    e.Compared: "how the two folders differ beyond their lists, and the answers; vestry compare does it again",
    e.Exported: "where files went, that they were read back, and the digest of the transcript among them",
    e.SealIntended: "the intent of its signer",
    e.TroubleMet: "what the device or medium reported",
    e.ExceptionNoted: "what was noted, and at which step",
    e.StepSkipped: "why the step was skipped, and that these people agreed",
    e.StepRepeated: "why the step was done again, and that these people agreed",
    e.ClockStated: "what the watch said",
    e.ClockAnswered: "why the clock was relied on, and that these people agreed",
}


class ReplayStep(NamedTuple):
    """An event with its verdict, and the state after it (None from the first event that can't be folded)."""

    recorded: e.Recorded
    verdict: Verdict
    why: str
    state: State | None


@dataclass(frozen=True)
class FileVerdict:
    """A file of the ceremony's folder against what the transcript says it holds."""

    name: str
    verdict: Verdict
    why: str


def replay(records: Iterable[e.Recorded], *, now: str = "") -> Iterator[ReplayStep]:
    """Fold `records` (as `transcript.iter_read` gives them: their chain holds already), one verdict each. With the time
    `now` (as in a transcript), the reasons tell too what today's rules would add or drop; no verdict depends on it.
    """
    return continued(None, records, now=now)


def continued(last: ReplayStep | None, records: Iterable[e.Recorded], *, now: str = "") -> Iterator[ReplayStep]:
    """`replay` from after the step `last` on."""
    state = last.state if last is not None else None
    before = last.recorded if last is not None else None
    lost = ""
    if last is not None and last.verdict == "failed" and state is None:
        lost = f"not looked at: line {last.recorded.n} can't be folded"
    alone = gaps.Alone()
    for recorded in records:
        alone.add(recorded)
        if lost:
            yield ReplayStep(recorded, "failed", lost, None)
        elif isinstance(recorded.event, e.Withheld):
            state = evolve(state, recorded) if state is not None else None
            yield ReplayStep(
                recorded, "withheld", "not shown in this copy, whatever it is; its place in the chain holds", state
            )
            before = None
        elif state.withheld if state is not None else alone.gaps:
            verdict, why, state = _judge_published(state, recorded, before, alone, now)
            yield ReplayStep(recorded, verdict, why, state)
            before = recorded
        else:
            verdict, why = _judge(state, recorded, before)
            if now and state is not None and verdict == "recomputed":
                why += _today(state, recorded.event, now)
            try:
                state = evolve(state, recorded)
            except SENSELESS as error:
                verdict, why = "failed", f"cannot be folded: {_told(error)}"
                lost = f"not looked at: line {recorded.n} before it can't be folded"
                state = None
            yield ReplayStep(recorded, verdict, why + _clock(state, recorded), state)
            before = recorded


def _judge_published(
    state: State | None, recorded: e.Recorded, before: e.Recorded | None, alone: gaps.Alone, now: str
) -> tuple[Verdict, str, State | None]:
    """The verdict on a line below one that is withheld. What holds under any way to fill the gap holds; whatever does
    not may only lack what is withheld, so it is never called failed."""
    with suppress(*SENSELESS):  # what is withheld may be what it lacks
        for candidate in gaps.candidates(state) if state is not None else ():
            verdict, why = _judge(candidate, recorded, before)
            if verdict != "failed":
                after = gaps.fold(candidate, recorded)
                added = _today(candidate, recorded.event, now) if now and verdict == "recomputed" else ""
                return verdict, why + added + _clock(after, recorded), after
    with suppress(*SENSELESS):  # the state stays as it was then
        state = gaps.fold(state, recorded) if state is not None else None
    with suppress(*SENSELESS):
        if isinstance(recorded.event, e.Sealed) and alone.holds(recorded.event):
            return "recomputed", gaps.SEAL_ALONE, state
    return "unknown", f"cannot be recomputed: it may rest on what is withheld in {alone.told}", state


def _clock(state: State | None, recorded: e.Recorded) -> str:
    if state is None or not state.clock or state.clock[-1].n != recorded.n:
        return ""
    return f"; about its clock: {'; '.join(f.text for f in state.clock[-3:] if f.n == recorded.n)}"


def _judge(state: State | None, recorded: e.Recorded, before: e.Recorded | None) -> tuple[Verdict, str]:
    event = recorded.event
    if before is not None and timekeeping.backwards(before.mono, recorded):
        return "failed", "its monotonic clock lies before that of the line above"
    try:
        decide(state, event, at=recorded.at)
        if isinstance(event, e.Opened):
            _opened(event, recorded.by)
        elif state is not None:
            actors.check(state, event, recorded.by)
        if isinstance(event, e.DraftProved) and state is not None:
            proof.prove(state, at=recorded.at)
    except VestryError as error:
        return "failed", str(printable(str(error)))
    except SENSELESS as error:
        return "failed", f"its values make no sense: {_told(error)}"
    if type(event) in _RECOMPUTED:
        made, word = _RECOMPUTED[type(event)]
        return "recomputed", f"{made}; on a word: {word}" if word else made
    return "witnessed", _WITNESSED[type(event)]


def word(step: ReplayStep) -> str:
    """What of an event that stands rests on the word of a person or a device; empty where nothing does."""
    kind = type(step.recorded.event)
    if step.verdict == "recomputed":
        return _RECOMPUTED[kind][1]
    return _WITNESSED[kind] if step.verdict == "witnessed" else ""


def _today(state: State, event: e.Event, now: str) -> str:
    try:
        told = today.differences(state, event, now)
    except SENSELESS as error:
        told = f"today's rules can't be asked: {_told(error)}"
    return f"; {told}" if told else ""


# A forged event may hold any value; whatever it trips is a failure of that event, never of the replay.
SENSELESS = (
    VestryError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    StopIteration,
    AssertionError,
    RecursionError,
)


def _told(error: Exception) -> Safe:
    return printable(str(error) if isinstance(error, VestryError) else repr(error), 300)


def _opened(event: e.Opened, by: str) -> None:
    script = reading.read(event.script.encode(), where="script")
    if by != actors.administrator(script):
        raise InputRejected(f"'{printable(by, 80)}' does not open a ceremony of this script", where="line 0")
    if event.format != e.FORMAT or event.rehearsal != script.rehearsal:
        raise InputRejected(
            "the header says another format, or another kind of ceremony than the script", where="line 0"
        )
    if hashlib.sha256(event.script.encode()).hexdigest() != event.script_sha256:
        raise InputRejected("the script has another digest than the header says", where="line 0")
    for name in event.inputs.keys() ^ {item.name for item in script.inputs}:
        said = "is missing" if name not in event.inputs else "is none of the script's"
        raise InputRejected(f"the input '{printable(name, 80)}' {said}", where="line 0")
    for item in script.inputs:
        if hashlib.sha256(event.inputs[item.name].encode()).hexdigest() != item.sha256:
            raise InputRejected(f"the input '{item.name}' has another digest than the script says", where="line 0")


def compare_files(state: State, folder: Path) -> tuple[FileVerdict, ...]:
    """Compare every file that the transcript accounts for with what lies in `folder`, and name what else lies among
    them. Where it does not account for them in any way that can be followed, that is a verdict too.
    """
    verdicts = []
    accounted = outputs.files(state)
    while True:
        try:
            name, content = next(accounted)
            if not (state.withheld and name.startswith("signed/")):  # whose signatures may be withheld
                verdicts.append(FileVerdict(name, *_compared(folder / name, content)))
        except StopIteration:
            break
        except SENSELESS as error:
            if not state.withheld:
                verdicts.append(FileVerdict("the other files", "failed", f"can't be made again: {_told(error)}"))
            return tuple(verdicts)
    listed = {**state.lists, **outputs.exports_in(state, folder)}
    if state.withheld:
        listed |= {f"signed/{name}": digest for name, digest in state.outputs.items()}
    verdicts += (FileVerdict(name, *_listed(folder / name, digest)) for name, digest in listed.items())
    if state.withheld:  # a published copy comes without the files that rest on what is withheld
        verdicts = [v for v in verdicts if v.why != MISSING]
    verdicts += (FileVerdict(name, "failed", ADDED) for name in outputs.unaccounted(state, folder))
    return tuple(verdicts)


def _listed(path: Path, digest: str) -> tuple[Verdict, str]:
    try:
        if not path.is_file():
            return "failed", MISSING
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return "failed", "has another digest than the transcript gives"
    except OSError as error:
        return "failed", f"can't be read: {printable(error.strerror or 'unknown')}"
    return "recomputed", "has the digest that the transcript gives"


def _compared(path: Path, content: bytes) -> tuple[Verdict, str]:
    try:
        if not path.is_file():
            return "failed", MISSING
        if path.stat().st_size != len(content) or path.read_bytes() != content:
            return "failed", "has other bytes than the transcript gives"
    except OSError as error:
        return "failed", f"can't be read: {printable(error.strerror or 'unknown')}"
    return "recomputed", "made again from the transcript: the same bytes"
