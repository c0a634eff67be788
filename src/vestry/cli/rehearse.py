"""``vestry rehearse``: a whole practice ceremony on software tokens."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from vestry.ceremony.conductor import conduct
from vestry.ceremony.rehearsal import Unattended, prepare
from vestry.cli.run import perform
from vestry.errors import ExitStatus
from vestry.machine import isolation


def run(args: argparse.Namespace) -> int:
    """Prepare the practice, then run it like any ceremony."""
    confined = isolation.enter()
    folder = Path(args.into) if args.into else Path(f"rehearsal-{datetime.now(UTC):%Y-%m-%d-%H%M%S}")
    script, inputs = prepare(folder, holders=args.holders, threshold=args.threshold)
    if not args.unattended:
        again = ["rehearse", "--into", str(folder)]
        return perform(script, inputs, folder, plain=args.plain or args.json, again=again, confined=confined)
    state = conduct(script, inputs, folder, Unattended(), confined=confined)
    if args.json:
        sys.stdout.write(json.dumps({"folder": str(folder), "head": state.head, "outputs": dict(state.outputs)}) + "\n")
    else:
        sys.stderr.write(f"The practice ceremony is in {folder}\n")
    return int(ExitStatus.DONE)
