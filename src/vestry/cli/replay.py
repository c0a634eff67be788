"""``vestry replay``: every event of a transcript gets its verdict."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from vestry.ceremony import codec, transcript
from vestry.ceremony.replay import MISSING, FileVerdict, ReplayStep, compare_files, replay, statement, summary
from vestry.cli.run import screen_here
from vestry.errors import ExitStatus
from vestry.text import printable


def run(args: argparse.Namespace) -> int:
    """Replay; exit status 1 when an event or a file failed."""
    path = Path(args.transcript)
    if path.is_dir():
        path = path / "transcript.jsonl"
    steps = list(replay(transcript.read(path)))
    last = steps[-1].state if steps else None
    files = () if last is None else compare_files(last, path.parent)
    if all(file.why == MISSING for file in files):
        files = ()  # a transcript that lies alone, without any file of its ceremony, is judged by itself
    result = summary(steps, files)
    if args.json:
        sys.stdout.write(json.dumps(result) + "\n")
    elif args.plain or not screen_here():
        _print(steps, files, result)
    else:
        from vestry.tui.replay import run_replay  # noqa: PLC0415 - only the screen loads Textual

        run_replay(steps)
    return int(ExitStatus.DONE if result["ok"] else ExitStatus.DOES_NOT_HOLD)


def _print(steps: list[ReplayStep], files: tuple[FileVerdict, ...], result: dict[str, object]) -> None:
    for step in steps:
        r = step.recorded
        name = codec.name_of(r.event)
        sys.stdout.write(f"{r.n:>4}  {r.at}  {step.verdict:<10}  {name:<18}  {printable(r.by)}\n      {step.why}\n")
    for file in (f for f in files if f.verdict == "failed"):
        sys.stdout.write(f"file  failed      {printable(file.name)}: {file.why}\n")
    sys.stdout.write("\n" + "\n".join(statement(result)) + "\n")
