"""``vestry print``: the protocol of a ceremony, before it, as a page for paper."""

from __future__ import annotations

import argparse
from pathlib import Path

from vestry.ceremony import reading
from vestry.cli import paper
from vestry.cli.documents import named_inputs
from vestry.errors import ExitStatus
from vestry.record.protocol import protocol


def run(args: argparse.Namespace) -> int:
    """Write the protocol; 2 where the script or an input of it cannot be read."""
    script, inputs = reading.load(Path(args.script), inputs=named_inputs(args.input))
    paper.write(args, protocol(script, inputs), {"title": script.title, "sha256": script.sha256})
    return int(ExitStatus.DONE)
