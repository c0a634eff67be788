"""``vestry record``: a transcript, judged, as a page for paper."""

from __future__ import annotations

import argparse
from pathlib import Path

from vestry.ceremony import transcript
from vestry.ceremony.account import summary
from vestry.ceremony.replay import replay
from vestry.cli import output, paper
from vestry.cli.replay import beside
from vestry.errors import ExitStatus
from vestry.record.record import record


def run(args: argparse.Namespace) -> int:
    """Write the record; 1 where an event or a file failed, which the record says as well."""
    path = Path(args.transcript)
    if path.is_dir():
        path = path / "transcript.jsonl"
    lines = list(replay(transcript.iter_read(path)))
    files, seals = beside(lines[-1], path)
    result = summary(lines, files, seals)
    told = {name: result[name] for name in ("ok", "head", "complete", "rehearsal", "counts")}
    paper.write(args, record(lines, files, seals), told)
    counts = result["counts"]
    output.narrate(f"{counts['recomputed']} recomputed, {counts['witnessed']} witnessed, {counts['failed']} failed")
    return int(ExitStatus.DONE if result["ok"] else ExitStatus.DOES_NOT_HOLD)
