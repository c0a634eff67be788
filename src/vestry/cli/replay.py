"""``vestry replay``: every event of a transcript gets its verdict."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from vestry.ceremony import codec, late, transcript
from vestry.ceremony.account import Account, row, statement
from vestry.ceremony.late import LateSeal
from vestry.ceremony.replay import MISSING, FileVerdict, ReplayStep, compare_files, replay
from vestry.cli import output
from vestry.errors import ExitStatus
from vestry.text import printable

_IN_MEMORY = 4 * 1024 * 1024


def run(args: argparse.Namespace) -> int:
    """Replay; exit status 1 when an event or a file failed."""
    path = Path(args.transcript)
    if path.is_dir():
        path = path / "transcript.jsonl"
    account = Account()
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    steps = (account.add(step) for step in replay(transcript.iter_read(path), now=now))
    if args.json or args.plain or not output.screen_here():
        # Nothing is said before the end: where the chain is broken, there is no verdict.
        with tempfile.SpooledTemporaryFile(_IN_MEMORY, "w+", encoding="utf-8") as said:
            result = (_object if args.json else _lines)(said, steps, account, path)
            said.seek(0)
            shutil.copyfileobj(said, sys.stdout)
    else:
        from vestry.tui.replay import run_replay  # noqa: PLC0415 - only the screen loads Textual

        shown = list(steps)
        result = account.result(*beside(account.last, path))
        run_replay(shown, statement(result))
        sys.stdout.write("\n".join(statement(result)) + "\n")
    return int(ExitStatus.DONE if result["ok"] else ExitStatus.DOES_NOT_HOLD)


def beside(last: ReplayStep | None, path: Path) -> tuple[tuple[FileVerdict, ...], tuple[LateSeal, ...]]:
    """The verdicts on the ceremony's files beside its transcript, and on the seals that were added later."""
    if last is None:
        return (), ()
    files = () if last.state is None else compare_files(last.state, path.parent)
    # A transcript that lies alone, without any file of its ceremony, is judged by itself.
    files = () if all(file.why == MISSING for file in files) else files
    return files, late.judge_all(last.recorded.head, last.state, path.parent)


def _object(said: IO[str], steps: Iterator[ReplayStep], account: Account, path: Path) -> dict[str, Any]:
    """One JSON object, written as the events are judged, so that nothing is kept of them."""
    said.write('{"events": [')
    for number, step in enumerate(steps):
        said.write((", " if number else "") + json.dumps(row(step)))
    result = account.result(*beside(account.last, path))
    said.write("], " + json.dumps(result)[1:] + "\n")
    return result


def _lines(said: IO[str], steps: Iterator[ReplayStep], account: Account, path: Path) -> dict[str, Any]:
    for step in steps:
        r = step.recorded
        name = codec.name_of(r.event)
        line = f"{r.n:>4}  {r.at:<20}  {step.verdict:<10}  {name:<18}  {printable(r.by)}"
        said.write(f"{line.rstrip()}\n      {step.why}\n")
    files, seals = beside(account.last, path)
    for file in (f for f in files if f.verdict == "failed"):
        said.write(f"file  failed      {printable(file.name)}: {file.why}\n")
    result = account.result(files, seals)
    said.write("\n" + "\n".join(statement(result)) + "\n")
    return result
