"""Parse, run a verb, and translate how it ends into an exit status.

Data goes to stdout, narration to stderr; an error is one line on stderr, or one object on stdout with ``--json``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

from vestry.cli.arguments import parser
from vestry.cli.main import help_text
from vestry.cli.output import screen_here
from vestry.errors import ExitStatus, MediumTrouble, VestryError
from vestry.text import printable


def main(argv: Sequence[str]) -> int:
    """Parse, run, and translate how it ends into an exit status. Never raises for anything a person did."""
    as_json, debug = "--json" in argv, "--debug" in argv
    try:
        status = _dispatch(argv)
        sys.stdout.flush()
        return status
    except VestryError as error:
        return _failed(error, as_json, debug)
    except KeyboardInterrupt:
        sys.stderr.write("\nvestry: interrupted\n")
        return int(ExitStatus.INTERRUPTED)
    except BrokenPipeError:
        return reader_gone()
    except Exception as error:  # noqa: BLE001 - whatever it is, a person gets one line and never a traceback
        _failed(_unforeseen(error), as_json, debug)
        return int(ExitStatus.DEVICE_FAILED)


def _unforeseen(error: Exception) -> VestryError:
    # A drive may go at any call, also at one that only asks whether a file is there.
    if isinstance(error, OSError) and error.filename is not None:
        return MediumTrouble(
            f"this cannot be read or written ({error.strerror})",
            where=printable(str(error.filename), 200),
            do="check the drive, or name another place",
            code="E-DRIVE-ERROR",
        )
    what = f"internal error ({type(error).__name__})"
    return VestryError(what, do="run again with --debug and report what it shows", code="E-INTERNAL")


def reader_gone() -> int:
    """The reader of stdout went away (a pager, ``head``); Python would complain once more while it closes stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return int(ExitStatus.DONE)


def _dispatch(argv: Sequence[str]) -> int:
    try:
        args = parser().parse_args(argv)
    except SystemExit as leaving:  # --help and --version print, then leave
        return int(leaving.code or 0)
    for option in ("json", "plain", "debug"):
        setattr(args, option, getattr(args, option, False))
    if args.verb is None:
        return _home(args)
    verb_module = import_module(f"vestry.cli.{args.runs}")
    return int(verb_module.run(args))


def _home(args: argparse.Namespace) -> int:
    if args.json or args.plain or not screen_here():
        sys.stdout.write(help_text())
        return int(ExitStatus.DONE)
    home = import_module("vestry.tui.home")
    return int(home.run_home())


def _failed(error: VestryError, as_json: bool, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    if as_json:
        sys.stdout.write(json.dumps(error.to_dict()) + "\n")
    else:
        sys.stderr.write(f"vestry: {error}\n")
    return int(error.status)
