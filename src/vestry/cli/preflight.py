"""``vestry preflight``: is this machine fit for a ceremony."""

from __future__ import annotations

import argparse

from vestry.cli import output
from vestry.errors import ExitStatus
from vestry.machine import preflight
from vestry.text import printable


def run(args: argparse.Namespace) -> int:
    """Look; 1 where a check stops a ceremony."""
    checks = preflight.take()
    ok = not any(verdict == "stop" for verdict, _ in checks.values())
    if args.json:
        output.emit({"ok": ok, "checks": {name: {"verdict": v, "text": t} for name, (v, t) in checks.items()}})
    else:
        width = max((len(name) for name in checks), default=0)
        for name, (verdict, text) in checks.items():
            output.line(f"{printable(name):<{width}}  {verdict:<8}{printable(text)}")
    return int(ExitStatus.DONE if ok else ExitStatus.DOES_NOT_HOLD)
