"""``vestry run``: run a ceremony, or resume it."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from vestry.ceremony import reading
from vestry.ceremony.conductor import conduct
from vestry.ceremony.dialogue import Front
from vestry.ceremony.script import Script
from vestry.errors import ExitStatus, InputRejected


def run(args: argparse.Namespace) -> int:
    """Run the script in its folder, on the full screen or in lines."""
    path = Path(args.script)
    script, inputs = reading.load(path, inputs=named_inputs(args.input))
    folder = Path(args.into) if args.into else Path(f"ceremony-{path.stem}")
    tokens = Path(args.software) if args.software else None
    return perform(script, inputs, folder, tokens=tokens, plain=args.plain or args.json)


def named_inputs(pairs: list[str]) -> Mapping[str, Path]:
    """``NAME=FILE`` pairs as a mapping."""
    found = {}
    for pair in pairs:
        name, equals, file = pair.partition("=")
        if not (name and equals and file):
            raise InputRejected(f"'{pair}' is not NAME=FILE", where="--input")
        found[name] = Path(file)
    return found


def perform(
    script: Script, inputs: Mapping[str, bytes], folder: Path, *, tokens: Path | None = None, plain: bool
) -> int:
    """Conduct on the screen where there is one to use, else in lines; both ask the same questions."""

    def ceremony(front: Front) -> None:
        conduct(script, inputs, folder, front, tokens=tokens)

    if plain or not screen_here():
        from vestry.plain.prompts import Prompts  # noqa: PLC0415 - one front is loaded, never both

        ceremony(Prompts(secret=getpass.getpass if sys.stdin.isatty() else None))
        sys.stderr.write(f"The ceremony is in {folder}\n")
        return int(ExitStatus.DONE)
    from vestry.tui.app import run_ceremony  # noqa: PLC0415 - only the screen loads Textual

    return run_ceremony(ceremony, title=script.title, rehearsal=script.rehearsal, offline=offline())


def screen_here() -> bool:
    """Whether a full screen makes sense: a terminal on both sides, not dumb, no request for plain text."""
    wanted = not os.environ.get("ACCESSIBLE") and os.environ.get("TERM", "dumb") != "dumb"
    return wanted and sys.stdin.isatty() and sys.stdout.isatty()


def offline() -> bool | None:
    """Whether the machine has no network, as preflight sees it; None where it can't tell."""
    from vestry.machine import preflight  # noqa: PLC0415 - only the screen shows it

    verdict = preflight.take().get("network", ("unknown", ""))[0]
    return {"pass": True, "stop": False, "warn": False}.get(verdict)
