"""Replay: fold a transcript again, recompute everything that can be, and give each event a verdict.

``recomputed``: derived again from other events and found equal. ``witnessed``: rests on a person's or a device's word.
``failed``: would have been refused, or its value is another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vestry.ceremony import agenda, codec, outputs, proof, reading, timekeeping, today
from vestry.ceremony import events as e
from vestry.ceremony.decide import decide
from vestry.ceremony.state import State, evolve
from vestry.errors import InputRejected, VestryError
from vestry.text import Safe, printable

Verdict = Literal["recomputed", "witnessed", "failed"]

MISSING, ADDED = "is missing", "is none that the transcript accounts for"

_RECOMPUTED: Mapping[type, str] = {
    e.Opened: "script and inputs have the digests that they name",
    e.KeyGenerated: "key id made from the key; possession proved; that it can't leave is the token's word",
    e.KeyTaken: "key id made from the key; possession proved; where it was made is the token's word",
    e.Drafted: "drafted again from script and keys: the same bytes",
    e.DraftProved: "walked again by a client under throwaway keys",
    e.ReviewRead: "changes and findings made again: the same; that it was read is its readers' word",
    e.SignatureIntended: "words and digest are those of the draft that was read",
    e.SignatureAdded: "verifies with the key that the document names",
    e.SignatureImported: "verifies with the key that the document names",
    e.Verified: "thresholds counted again; the signed files have the same digests",
    e.SealOpened: "the subjects are the outputs",
    e.Sealed: "the statement is about this transcript and its signature verifies",
}
_WITNESSED: Mapping[type, str] = {
    e.Resumed: "that the program was started again",
    e.Said: "what people did and wrote down",
    e.Gathered: "who was there",
    e.PreflightTaken: "what the machine showed",
    e.NetworkSeen: "what the machine showed of its network",
    e.InitialiseIntended: "the intent of its holder",
    e.TokenInitialised: "that the token erased itself, and that it lists nothing any more",
    e.TokenAdopted: "that its holder unlocked it, and what it lists",
    e.TokenConfirmed: "that the serial was read off the device",
    e.GenerateIntended: "the intent of its holder",
    e.ImportEnded: "that there were no more signatures",
    e.IntentAbandoned: "what the token showed when it was read",
    e.DestroyIntended: "the intent of its holder",
    e.KeyDestroyed: "that the token no longer lists the key",
    e.KeyKept: "why a key that the script destroys was left as it is",
    e.Compared: "what the two folders held beside their lists, and the answers; vestry compare does it again",
    e.Exported: "that the files were written and read back; their digests are those of the outputs",
    e.SealIntended: "the intent of its signer",
    e.TroubleMet: "what the device or medium reported",
    e.ExceptionNoted: "what was noted",
    e.StepSkipped: "why the step was skipped, and that these people agreed",
    e.StepRepeated: "why the step was done again, and that these people agreed",
    e.ClockStated: "what the watch said",
    e.ClockAnswered: "why the clock was relied on, and that these people agreed",
}


@dataclass(frozen=True)
class ReplayStep:
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
    """Fold `records` (as `transcript.read` gives them: their chain holds already), one verdict each. With the time
    `now` (as in a transcript), the reasons tell too what today's rules would add or drop; no verdict depends on it.
    """
    return continued(None, records, now=now)


def continued(last: ReplayStep | None, records: Iterable[e.Recorded], *, now: str = "") -> Iterator[ReplayStep]:
    """`replay` from after the step `last` on."""
    state = last.state if last is not None else None
    before = last.recorded if last is not None else None
    lost = f"not looked at: line {before.n} can't be folded" if before is not None and state is None else ""
    for recorded in records:
        if lost:
            yield ReplayStep(recorded, "failed", lost, None)
            continue
        verdict, why = _judge(state, recorded, before)
        if now and state is not None and verdict == "recomputed":
            why += _today(state, recorded.event, now)
        try:
            state = evolve(state, recorded)
        except _SENSELESS as error:
            verdict, why = "failed", f"cannot be folded: {_told(error)}"
            lost = f"not looked at: line {recorded.n} before it can't be folded"
            state = None
        if state is not None and (found := [f.text for f in state.clock[-3:] if f.n == recorded.n]):
            why = f"{why}; about its clock: {'; '.join(found)}"
        before = recorded
        yield ReplayStep(recorded, verdict, why, state)


def _judge(state: State | None, recorded: e.Recorded, before: e.Recorded | None) -> tuple[Verdict, str]:
    event = recorded.event
    if before is not None and timekeeping.backwards(before.mono, recorded):
        return "failed", "its monotonic clock lies before that of the line above"
    try:
        decide(state, event, at=recorded.at)
        if isinstance(event, e.Opened):
            _opened(event)
        if isinstance(event, e.DraftProved) and state is not None:
            proof.prove(state, at=recorded.at)
    except VestryError as error:
        return "failed", str(printable(str(error)))
    except _SENSELESS as error:
        return "failed", f"its values make no sense: {_told(error)}"
    if type(event) in _RECOMPUTED:
        return "recomputed", _RECOMPUTED[type(event)]
    return "witnessed", _WITNESSED[type(event)]


def _today(state: State, event: e.Event, now: str) -> str:
    try:
        told = today.differences(state, event, now)
    except _SENSELESS as error:
        told = f"today's rules can't be asked: {_told(error)}"
    return f"; {told}" if told else ""


# A forged event may hold any value; whatever it trips is a failure of that event, never of the replay.
_SENSELESS = (
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


def _opened(event: e.Opened) -> None:
    script = reading.read(event.script.encode(), where="script")
    if hashlib.sha256(event.script.encode()).hexdigest() != event.script_sha256:
        raise InputRejected("the script has another digest than the header says", where="line 0")
    for item in script.inputs:
        if item.name not in event.inputs:
            raise InputRejected(f"the input '{item.name}' is missing", where="line 0")
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
            verdicts.append(FileVerdict(name, *_compared(folder / name, content)))
        except StopIteration:
            break
        except _SENSELESS as error:
            verdicts.append(FileVerdict("the other files", "failed", f"can't be made again: {_told(error)}"))
            return tuple(verdicts)
    verdicts += (FileVerdict(name, *_listed(folder / name, digest)) for name, digest in state.lists.items())
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


def statement(result: Mapping[str, Any]) -> list[str]:
    """What an auditor can quote of a `summary`: one sentence a line, printable."""
    counts = result["counts"]
    events, failed = sum(counts.values()), [str(n) for n in result["failed"]]
    kind = "a rehearsal" if result["rehearsal"] else "a ceremony"
    end = "complete" if result["complete"] else "not complete"
    lines = [f"The transcript of {kind}, {end}, with the head {result['head']}, has {events:,} events:"]
    lines += [f"{counts['recomputed']:,} recomputed, {counts['witnessed']:,} witnessed, {counts['failed']:,} failed."]
    if failed:
        more = f" and {counts['failed'] - len(failed):,} more" if counts["failed"] > len(failed) else ""
        lines.append(f"Failed: line {', '.join(failed)}{more}.")
    lines += [f"Step {step} was skipped: {reason}" for step, reason in result["skipped"].items()]
    lines += [f"The clock, line {found['n']}: {found['text']} [{found['code']}]." for found in result["clock"]]
    if result["clock_open"]:
        lines.append(f"Nobody answered for it: {printable(result['clock_open'], 200)}.")
    files = [file["verdict"] == "recomputed" for file in result["files"]]
    if files:
        lines.append(f"{sum(files):,} of {len(files):,} files were made again from it, byte for byte.")
    else:
        lines.append("No file of the ceremony lay beside it; the transcript alone was judged.")
    for person, agree in result["sealed"].items():
        lines.append(f"{printable(person, 60)} sealed it and {'agrees' if agree else 'does NOT agree'}.")
    if not result["sealed"]:
        lines.append("Nobody sealed it.")
    for person, told in result["word"].items():
        lines.append(f"On the word of {printable(person, 60)}:")
        lines += [f"  {why}{f' ({count:,} times)' if count > 1 else ''}" for why, count in told.items()]
    return lines


def _clock_open(state: State | None) -> str:
    """What of the clock was not answered for at the end; empty where nothing is open."""
    if state is None or not (state.doubt or state.jumped):
        return ""
    return state.doubt or state.clock[-1].text


_NAMED = 20


def row(step: ReplayStep) -> dict[str, Any]:
    """An event as ``vestry replay --json`` prints it."""
    return {
        "n": step.recorded.n,
        "at": step.recorded.at,
        "by": printable(step.recorded.by),
        "event": codec.name_of(step.recorded.event),
        "verdict": step.verdict,
        "why": step.why,
    }


class Account:
    """What is to be said of a whole replay, added up step by step: it grows with what is said, not with the steps."""

    def __init__(self) -> None:
        self.last: ReplayStep | None = None
        self._counts: dict[Verdict, int] = {"recomputed": 0, "witnessed": 0, "failed": 0}
        self._failed: list[int] = []
        self._sealed: dict[str, bool] = {}
        self._word: dict[str, dict[str, int]] = {}

    def add(self, step: ReplayStep) -> ReplayStep:
        """Take the next step into account, and hand it on."""
        self.last = step
        self._counts[step.verdict] += 1
        event = step.recorded.event
        if step.verdict == "failed":
            self._failed += [step.recorded.n] if len(self._failed) < _NAMED else []
        elif isinstance(event, e.Sealed):
            self._sealed[event.person] = event.agree
        if step.verdict == "witnessed":
            told = self._word.setdefault(str(printable(step.recorded.by)), {})
            told[step.why] = told.get(step.why, 0) + 1
        return step

    def result(self, files: tuple[FileVerdict, ...]) -> dict[str, Any]:
        """The object that ``vestry replay --json`` prints, but for the events. ``word`` maps each person to what rests
        on that person's word, or on that of a device in their hands, and to how many events that is; ``failed`` are the
        first lines that failed."""
        state = self.last.state if self.last is not None else None
        failed = self._counts["failed"] > 0 or any(f.verdict == "failed" for f in files)
        whole = state is not None and agenda.position(state) == len(state.script.steps) and state.unanswered is None
        return {
            "ok": self.last is not None and not failed,
            "head": self.last.recorded.head if self.last is not None else "",
            "complete": whole,
            "rehearsal": state is not None and state.script.rehearsal,
            "sealed": dict(self._sealed),
            "skipped": {i + 1: printable(x.reason) for i, x in sorted(state.skipped.items())} if state else {},
            "clock": [{"n": f.n, "code": f.code, "text": f.text} for f in state.clock] if state else [],
            "clock_open": _clock_open(state),
            "counts": dict(self._counts),
            "failed": list(self._failed),
            "word": {person: dict(told) for person, told in self._word.items()},
            "files": [{"name": f.name, "verdict": f.verdict, "why": f.why} for f in files],
        }


def summary(steps: Iterable[ReplayStep], files: tuple[FileVerdict, ...]) -> dict[str, Any]:
    """The object that ``vestry replay --json`` prints."""
    account = Account()
    rows = [row(account.add(step)) for step in steps]
    return {**account.result(files), "events": rows}
