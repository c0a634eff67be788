"""What a whole replay comes to: counts, what rests on whose word, the seals, and a statement for auditors to quote."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, get_args

from vestry.ceremony import agenda, codec
from vestry.ceremony import events as e
from vestry.ceremony.late import FOLDER, LateSeal
from vestry.ceremony.replay import FileVerdict, ReplayStep, Verdict, word
from vestry.ceremony.state import State
from vestry.text import printable, printable_again, words

MAY_BE = (
    "What is withheld is not known: it may be a failure, an exception, a stop that was overruled, or a seal that does "
    "not agree. Ask for it, or for the reason."
)
_NAMED = 20
_APART = (e.ExceptionNoted, e.StepSkipped, e.StepRepeated, e.KeyKept)
_VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


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
        self._counts: dict[Verdict, int] = dict.fromkeys(_VERDICTS, 0)
        self._failed: list[int] = []
        self._withheld: list[int] = []
        self._apart: list[dict[str, Any]] = []
        self._apart_lines = 0
        self._seals: list[dict[str, Any]] = []
        self._word: dict[str, dict[str, int]] = {}

    def add(self, step: ReplayStep) -> ReplayStep:
        """Take the next step into account, and hand it on."""
        self.last = step
        self._counts[step.verdict] += 1
        event = step.recorded.event
        if step.verdict == "withheld":
            self._withheld.append(step.recorded.n)
        if _is_apart(event):
            self._apart_lines += 1
            if self._apart_lines <= _NAMED:
                self._apart += [{"n": step.recorded.n, "text": text} for text in _apart(event)]
        if step.verdict == "failed":
            self._failed += [step.recorded.n] if len(self._failed) < _NAMED else []
        if isinstance(event, e.Sealed):
            person, reason = str(printable(event.person)), str(printable_again(event.reason))
            said = {"person": person, "agree": event.agree, "reason": reason}
            self._seals.append({"where": f"line {step.recorded.n}", **said, "verdict": step.verdict, "why": step.why})
        if rests := word(step):
            told = self._word.setdefault(step.recorded.by, {})
            told[rests] = told.get(rests, 0) + 1
        return step

    def result(self, files: tuple[FileVerdict, ...], late: tuple[LateSeal, ...] = ()) -> dict[str, Any]:
        """The object that ``vestry replay --json`` prints, but for the events. ``word`` maps each person to what rests
        on that person's word, or on that of a device in their hands, and to how many events that is; ``failed`` are the
        first lines that failed; ``withheld`` names those that a copy doesn't show; ``apart`` is what left the script,
        or what it asks for, in the first of ``apart_lines``; ``seals`` are those of the ceremony and the `late` ones;
        ``complete`` and ``rehearsal`` are null where a published copy doesn't show them."""
        state = self.last.state if self.last is not None else None
        bad = any(f.verdict == "failed" for f in files) or any(x.verdict == "failed" for x in late)
        whole = state is not None and agenda.position(state) == len(state.script.steps) and state.unanswered is None
        gaps = self._counts["withheld"] > 0
        return {
            "ok": self.last is not None and not self._counts["failed"] and not bad,
            "head": self.last.recorded.head if self.last is not None else "",
            "complete": None if gaps else whole,
            "rehearsal": state.script.rehearsal if state is not None else None if gaps else False,
            "sealed": {x["person"]: x["agree"] for x in self._seals if x["verdict"] != "failed"},
            "skipped": {i + 1: printable_again(x.reason) for i, x in sorted(state.skipped.items())} if state else {},
            "clock": [{"n": f.n, "code": f.code, "text": f.text} for f in state.clock] if state else [],
            "clock_open": _clock_open(state),
            "counts": dict(self._counts),
            "failed": list(self._failed),
            "withheld": ranges(self._withheld, _NAMED),
            "apart": list(self._apart),
            "apart_lines": self._apart_lines,
            "word": {str(printable(person)): dict(told) for person, told in self._word.items()},
            "files": [{"name": f.name, "verdict": f.verdict, "why": f.why} for f in files],
            "seals": [*self._seals, *({"where": f"{FOLDER}/{x.file}", **_late(x)} for x in late)],
        }


def _late(x: LateSeal) -> dict[str, Any]:
    said = {"person": x.person, "agree": x.agree, "reason": x.reason, "key": x.keyid} if x.person else {}
    return {**said, "verdict": x.verdict, "why": x.why}


def summary(
    steps: Iterable[ReplayStep], files: tuple[FileVerdict, ...], late: tuple[LateSeal, ...] = ()
) -> dict[str, Any]:
    """The object that ``vestry replay --json`` prints."""
    account = Account()
    rows = [row(account.add(step)) for step in steps]
    return {**account.result(files, late), "events": rows}


def _is_apart(event: e.Event) -> bool:
    if isinstance(event, e.ReviewRead):
        return bool(event.overruled)
    if isinstance(event, e.PreflightTaken):
        return bool(event.waived)
    return isinstance(event, _APART)


def _apart(event: e.Event) -> Iterator[str]:
    """What in an event leaves the script, or what it asks for; printable."""
    if isinstance(event, e.ExceptionNoted):
        yield f"an exception was noted: {printable_again(event.text, 200)}"
    elif isinstance(event, e.StepSkipped | e.StepRepeated):
        did = "skipped" if isinstance(event, e.StepSkipped) else "done again"
        yield f"step {event.step + 1} was {did}: {printable_again(event.reason, 200)}"
    elif isinstance(event, e.ReviewRead):
        for name, people in event.overruled.items():
            yield f"the stop {printable_again(name, 200)} was overruled by {printable_again(', '.join(people), 200)}"
    elif isinstance(event, e.PreflightTaken):
        for name, reason in event.waived.items():
            yield f"the check {printable_again(name, 40)} was waived: {printable_again(reason, 200)}"
    elif isinstance(event, e.KeyKept):
        yield f"key {printable_again(event.key, 80)} was not destroyed: {printable_again(event.reason, 200)}"


def ranges(numbers: Sequence[int], most: int | None = None) -> str:
    """Line numbers with runs drawn together, and with `most` no more runs than that: ``3, 5 to 8``."""
    runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])]
    told = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs[:most]]
    left = sum(map(len, runs[most:])) if most is not None else 0
    return ", ".join(told) + (f" and {left:,} more" if left else "")


def statement(result: Mapping[str, Any]) -> list[str]:
    """What an auditor can quote of a `summary`: one sentence a line, printable."""
    counts = result["counts"]
    events, failed = sum(counts.values()), [str(n) for n in result["failed"]]
    kind = {True: "a rehearsal", False: "a ceremony", None: "a ceremony or a rehearsal"}[result["rehearsal"]]
    told = f"{counts['recomputed']:,} recomputed, {counts['witnessed']:,} witnessed, {counts['failed']:,} failed"
    if counts["withheld"]:
        told += f", {counts['withheld']:,} withheld, and {counts['unknown']:,} that can't be recomputed without those"
        lines = [
            f"This published copy of {kind} has {events:,} lines: {told}.",
            f"Withheld: line {result['withheld']}. {MAY_BE}",
            "Whether the ceremony came to its end is not known.",
        ]
    else:
        end = "complete" if result["complete"] else "not complete"
        lines = [f"The transcript of {kind}, {end}, has {events:,} events: {told}."]
    lines.append(f"Its head, to compare with the paper of the day: {result['head']}")
    lines.append(f"In words: {' '.join(words(result['head']))}")
    if failed:
        more = f" and {counts['failed'] - len(failed):,} more" if counts["failed"] > len(failed) else ""
        lines.append(f"Failed: line {', '.join(failed)}{more}.")
    lines += [_sentence(f"Line {found['n']}: {found['text']}") for found in result["apart"]]
    if (left := result["apart_lines"] - _NAMED) > 0:
        lines.append(f"There are {left:,} more lines of exceptions and the like.")
    lines += [f"The clock, line {found['n']}: {found['text']} [{found['code']}]." for found in result["clock"]]
    if result["clock_open"]:
        lines.append(_sentence(f"Nobody answered for it: {printable_again(result['clock_open'], 200)}"))
    files = [file["verdict"] == "recomputed" for file in result["files"]]
    if files:
        lines.append(f"{sum(files):,} of {len(files):,} files are those that it gives, byte for byte.")
    else:
        lines.append("No file of the ceremony lay beside it; the transcript alone was judged.")
    nobody = "It shows no seal; others may be withheld." if counts["withheld"] else "Nobody sealed it."
    lines += [_told(x) for x in result["seals"]] or [nobody]
    for person, rests in result["word"].items():
        lines.append(f"On the word of {printable_again(person, 60)}:")
        lines += [f"  {why}{f' ({count:,} times)' if count > 1 else ''}" for why, count in rests.items()]
    lines.append("On the word of the machine: the time of each line.")
    return lines


def _told(seal: Mapping[str, Any]) -> str:
    if seal["verdict"] == "failed":
        whose = f" of {printable_again(seal['person'], 60)}" if "person" in seal else ""
        where, why = printable_again(seal["where"], 100), printable_again(seal["why"], 200)
        return _sentence(f"The seal{whose}, {where}, does not hold: {why}")
    says = "agrees" if seal["agree"] else f"does NOT agree: {printable_again(seal['reason'], 200)}"
    # In the ceremony, the line's verdict is told with the others; a seal from elsewhere stands for itself.
    aside = "" if seal["verdict"] == "recomputed" and seal["where"].startswith("line") else f" ({seal['why']})"
    return _sentence(f"{printable_again(seal['person'], 60)} sealed it and {says}{aside}")


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _clock_open(state: State | None) -> str:
    """What of the clock was not answered for at the end; empty where nothing is open."""
    if state is None or not (state.doubt or state.jumped):
        return ""
    return state.doubt or state.clock[-1].text
