"""``vestry run``: run a ceremony, or resume it."""

from __future__ import annotations

import argparse
import getpass
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from vestry.ceremony import reading
from vestry.ceremony.conductor import conduct
from vestry.ceremony.dialogue import Front
from vestry.ceremony.script import Script
from vestry.cli.documents import named_inputs
from vestry.cli.output import screen_here
from vestry.errors import ExitStatus, Stopped
from vestry.machine import isolation, network
from vestry.machine.isolation import Confinement
from vestry.text import printable


def run(args: argparse.Namespace) -> int:
    """Run the script in its folder, on the full screen or in lines."""
    confined = isolation.enter(keep_network=args.keep_network)
    path = Path(args.script)
    script, inputs = reading.load(path, inputs=named_inputs(args.input))
    folder = Path(args.into) if args.into else Path(f"ceremony-{path.stem}")
    tokens = Path(args.software) if args.software else None
    again = ["run", args.script, "--into", str(folder)]
    again += ["--software", args.software] if args.software else []
    again += [part for pair in args.input for part in ("--input", pair)]
    again += ["--keep-network"] if args.keep_network else []
    plain = args.plain or args.json
    return perform(
        script, inputs, folder, tokens=tokens, plain=plain, again=again, confined=confined, beside=path.parent
    )


def perform(
    script: Script,
    inputs: Mapping[str, bytes],
    folder: Path,
    *,
    tokens: Path | None = None,
    plain: bool,
    again: Sequence[str],
    confined: Confinement,
    beside: Path = Path(),
) -> int:
    """Conduct on the screen where there is one to use, else in lines; both ask the same questions.

    `confined` says how far this process was cut off. `again` are the arguments that go on from where a stop leaves the
    ceremony; whoever stops is told the whole line.
    """
    line = printable(f"{_called_as()} {shlex.join(again)}")

    def ceremony(front: Front) -> None:
        try:
            conduct(script, inputs, folder, front, tokens=tokens, confined=confined, beside=beside)
        except Stopped as stopped:
            raise Stopped(stopped.what, do=f"to go on: {line}") from None

    if plain or not screen_here():
        from vestry.plain.prompts import Prompts  # noqa: PLC0415 - one front is loaded, never both

        ceremony(Prompts(secret=getpass.getpass if sys.stdin.isatty() else None))
        _say_where(folder)
        return int(ExitStatus.DONE)
    from vestry.tui.app import run_ceremony  # noqa: PLC0415 - only the screen loads Textual

    status = run_ceremony(
        ceremony,
        title=script.title,
        rehearsal=script.rehearsal,
        offline=lambda: offline(confined),
        isolated=confined.isolated,
        resume_hint=line,
    )
    if status == ExitStatus.DONE:
        _say_where(folder)
    return status


def _called_as() -> str:
    """How this program was called, so that the line to go on with works where it is typed."""
    name = Path(sys.argv[0])
    if name.name == "__main__.py":
        return f"{sys.executable} -m vestry"
    here = Path.cwd()
    return str(name.relative_to(here)) if name.is_absolute() and name.is_relative_to(here) else str(name)


def _say_where(folder: Path) -> None:
    where = printable(str(folder))
    sys.stderr.write(f"The ceremony is in {where}. To check every step of it: vestry replay {where}\n")


def offline(confined: Confinement) -> bool | None:
    """Whether the machine has no network now, also after this process left it; None where it can't tell."""
    if confined.outside is None:
        return None
    try:
        return network.network(confined.outside.look()).verdict == "pass"
    except OSError:
        return None
