"""Where verbs put a page for paper: a file that is not there yet, or stdout."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from vestry.cli import output
from vestry.errors import InputRejected, Refused
from vestry.media.drives import write_file
from vestry.text import printable

STDOUT = "-"


def write(args: argparse.Namespace, page: str, told: Mapping[str, object]) -> None:
    """Write `page` (ASCII) where ``-o`` says, or to stdout for ``-``. `told` is for ``--json``, with the file's name.

    Raises:
        InputRejected: the page and ``--json`` were both to go to stdout.
        Refused: something else is there already, and ``--overwrite`` was not given.
        MediumTrouble: the file can't be written.
    """
    if args.output == STDOUT:
        if args.json:
            raise InputRejected(
                "the page and --json cannot both go to stdout", where="-o", do="name a file", code="E-USAGE"
            )
        sys.stdout.write(page)
        return
    path, raw = Path(args.output), page.encode("ascii")
    where = printable(str(path), 200)
    if (path.exists() or path.is_symlink()) and not args.overwrite:
        if path.is_file() and path.read_bytes() == raw:
            output.narrate(f"{where} is there already, with the same bytes")
        else:
            raise Refused(
                "something else is there already",
                where=where,
                do="name another file, or add --overwrite; nothing was written",
                code="E-OUTPUT-EXISTS",
            )
    else:
        write_file(path, raw)
        output.narrate(f"written: {where}, one file to print")
    if args.json:
        output.emit({"file": str(path), **told})
