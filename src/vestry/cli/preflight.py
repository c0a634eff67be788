"""``vestry preflight``: is this machine fit for a ceremony, or for the one of a script."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from vestry.ceremony import reading, timekeeping
from vestry.ceremony.bench import Bench
from vestry.ceremony.reading import PREDECESSOR
from vestry.ceremony.script import PreflightStep
from vestry.cli import output
from vestry.cli.documents import named_inputs
from vestry.errors import ExitStatus
from vestry.machine import preflight
from vestry.machine.preflight import Plan
from vestry.metadata import document


def run(args: argparse.Namespace) -> int:
    """Look; 1 where a check stops a ceremony, or one that the script requires does not pass."""
    plan, required = Plan(Path(args.into)), frozenset[str]()
    if args.script is not None:
        plan, required = _of_script(args)
    checks = preflight.take(plan)
    unfit = [n for n, c in checks.items() if c.verdict == "stop" or (n in required and c.verdict != "pass")]
    if args.json:
        found = {
            name: {"verdict": c.verdict, "text": c.seen, "do": c.do, "required": name in required}
            for name, c in checks.items()
        }
        output.emit({"ok": not unfit, "checks": found})
    else:
        width = max(len(name) for name in checks)
        for name, check in checks.items():
            mark = "*" if name in required else " "
            output.row(f"{mark} {name:<{width}}  {check.verdict:<11}  ", check.line)
        if required:
            output.narrate("* the script requires it")
        if unfit:
            output.narrate(f"Not fit yet: {', '.join(unfit)}. Mend it, or waive it in the ceremony, with a reason.")
    return int(ExitStatus.DOES_NOT_HOLD if unfit else ExitStatus.DONE)


def _of_script(args: argparse.Namespace) -> tuple[Plan, frozenset[str]]:
    """What the script's ceremony needs of this machine, and the checks that it requires."""
    path = Path(args.script)
    script, inputs = reading.load(path, inputs=named_inputs(args.input))
    required = frozenset(name for step in script.steps if isinstance(step, PreflightStep) for name in step.require)
    raw = inputs.get(PREDECESSOR)
    predecessor = document.read(raw, where=PREDECESSOR) if raw is not None else None
    doubts = timekeeping.doubts(script, predecessor, datetime.now(UTC))
    with Bench(script, path.parent) as bench:
        return Plan(Path(args.into), doubts, bench.modules()), required
