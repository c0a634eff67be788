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

from vestry.ceremony import agenda, codec, outputs, proof, reading
from vestry.ceremony import events as e
from vestry.ceremony.decide import decide
from vestry.ceremony.state import State, evolve
from vestry.errors import InputRejected, VestryError
from vestry.text import printable

Verdict = Literal["recomputed", "witnessed", "failed"]

MISSING = "is missing"

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
    e.Exported: "that the files were written and read back; their digests are those of the outputs",
    e.SealIntended: "the intent of its signer",
    e.TroubleMet: "what the device or medium reported",
    e.ExceptionNoted: "what was noted",
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


def replay(records: Iterable[e.Recorded]) -> Iterator[ReplayStep]:
    """Fold `records` (as `transcript.read` gives them: their chain holds already), one verdict each."""
    state: State | None = None
    lost = ""
    before: e.Recorded | None = None
    for recorded in records:
        if lost:
            yield ReplayStep(recorded, "failed", lost, None)
            continue
        verdict, why = _judge(state, recorded, before)
        try:
            state = evolve(state, recorded)
        except (VestryError, KeyError, ValueError, StopIteration) as error:
            verdict, why = "failed", f"cannot be folded: {printable(str(error))}"
            lost = f"not looked at: line {recorded.n} before it can't be folded"
            state = None
        before = recorded
        yield ReplayStep(recorded, verdict, why, state)


def _judge(state: State | None, recorded: e.Recorded, before: e.Recorded | None) -> tuple[Verdict, str]:
    event = recorded.event
    if before is not None and recorded.at < before.at:
        return "failed", f"its time, {recorded.at}, lies before that of the line above, {before.at}"
    try:
        decide(state, event, at=recorded.at)
        if isinstance(event, e.Opened):
            _opened(event)
        if isinstance(event, e.DraftProved) and state is not None:
            proof.prove(state, at=recorded.at)
    except VestryError as error:
        return "failed", str(printable(str(error)))
    except (KeyError, ValueError, StopIteration) as error:
        # A forged event may hold any value; whatever it trips is a failure of that event, never of the replay.
        return "failed", f"its values make no sense: {printable(repr(error))}"
    if type(event) in _RECOMPUTED:
        return "recomputed", _RECOMPUTED[type(event)]
    return "witnessed", _WITNESSED[type(event)]


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
    """Compare every file that the transcript accounts for with what lies in `folder`."""
    verdicts = []
    for name, content in outputs.files(state):
        path = folder / name
        if not path.is_file():
            verdicts.append(FileVerdict(name, "failed", MISSING))
        elif path.read_bytes() != content:
            verdicts.append(FileVerdict(name, "failed", "has other bytes than the transcript gives"))
        else:
            verdicts.append(FileVerdict(name, "recomputed", "made again from the transcript: the same bytes"))
    return tuple(verdicts)


def summary(steps: list[ReplayStep], files: tuple[FileVerdict, ...]) -> dict[str, Any]:
    """The object that ``vestry replay --json`` prints."""
    last = steps[-1].state if steps else None
    failed = any(s.verdict == "failed" for s in steps) or any(f.verdict == "failed" for f in files)
    return {
        "ok": bool(steps) and not failed,
        "head": steps[-1].recorded.head if steps else "",
        "complete": last is not None and agenda.position(last) == len(last.script.steps) and last.unanswered is None,
        "rehearsal": last is not None and last.script.rehearsal,
        "sealed": {person: sealed.agree for person, sealed in (last.seals if last else {}).items()},
        "counts": {v: sum(s.verdict == v for s in steps) for v in ("recomputed", "witnessed", "failed")},
        "events": [
            {
                "n": s.recorded.n,
                "at": s.recorded.at,
                "by": printable(s.recorded.by),
                "event": codec.name_of(s.recorded.event),
                "verdict": s.verdict,
                "why": s.why,
            }
            for s in steps
        ],
        "files": [{"name": f.name, "verdict": f.verdict, "why": f.why} for f in files],
    }
