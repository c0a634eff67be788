"""``vestry check``: is a ceremony script whole, in an order that can work, and do the tokens here fit it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from vestry.ceremony import order, present, reading
from vestry.ceremony.bench import Bench
from vestry.ceremony.problem import Case, Problem
from vestry.ceremony.script import Script
from vestry.cli import output
from vestry.cli.documents import named_inputs
from vestry.errors import ExitStatus
from vestry.text import printable


def run(args: argparse.Namespace) -> int:
    """Check; 1 where something must be mended first, 2 where the script or an input that is there cannot be read."""
    script, inputs = reading.load_as_is(Path(args.script), inputs=named_inputs(args.input))
    today = datetime.now(UTC).date()
    problems = list(order.check(script, inputs, today=today))
    if not args.desk and not any(p.code.startswith("INPUT-") for p in problems):
        with Bench(script, Path(args.script).parent) as bench:
            problems += present.look(Case(script, inputs), bench, day=today.isoformat())
    ok = not any(p.severity == "stop" for p in problems)
    if args.json:
        found = [p.to_dict() for p in problems]
        output.emit({"ok": ok, "title": script.title, "sha256": script.sha256, "problems": found})
    else:
        output.line(*_lines(args.script, script, problems, ok))
    return int(ExitStatus.DONE if ok else ExitStatus.DOES_NOT_HOLD)


def _lines(path: str, script: Script, problems: Sequence[Problem], ok: bool) -> list[str]:
    where = printable(path, 200)
    lines = [f"{where}:{p.line}: {p.severity}: {p.text} [{p.code}]" for p in problems]
    parts = (
        f"{len(script.people)} people, {len(script.tokens)} tokens, {len(script.keys)} keys, {len(script.steps)} steps"
    )
    lines.append(f"{printable(script.title, 120)}: {parts}")
    lines.append(
        f"A step is skipped or repeated by {script.exceptions} people who agree, with a reason."
        if script.exceptions
        else "No step is ever skipped or repeated."
    )
    if not ok:
        return [*lines, "This cannot work yet; mend each 'stop' first."]
    return [*lines, "The order holds. SHA-256 of the script, to be read aloud:", *output.digest_lines(script.sha256)]
