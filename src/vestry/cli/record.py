"""``vestry record``: a transcript, judged, as a page for paper."""

from __future__ import annotations

import argparse
from pathlib import Path

from vestry.ceremony import transcript
from vestry.ceremony.replay import MISSING, compare_files, replay, summary
from vestry.cli import output, paper
from vestry.errors import ExitStatus
from vestry.record.record import record
from vestry.record.story import last_state


def run(args: argparse.Namespace) -> int:
    """Write the record; 1 where an event or a file failed, which the record says as well."""
    path = Path(args.transcript)
    if path.is_dir():
        path = path / "transcript.jsonl"
    lines = list(replay(transcript.read(path)))
    state = last_state(lines)
    files = compare_files(state, path.parent) if state is not None else ()
    if all(file.why == MISSING for file in files):
        files = ()
    result = summary(lines, files)
    told = {name: result[name] for name in ("ok", "head", "complete", "rehearsal", "counts")}
    paper.write(args, record(lines, files), told)
    counts = result["counts"]
    output.narrate(f"{counts['recomputed']} recomputed, {counts['witnessed']} witnessed, {counts['failed']} failed")
    return int(ExitStatus.DONE if result["ok"] else ExitStatus.DOES_NOT_HOLD)
