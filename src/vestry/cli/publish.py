"""``vestry publish``: a copy of a ceremony in which chosen events are withheld, and what that leaves."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from vestry.ceremony import codec, transcript
from vestry.ceremony.account import Account, statement
from vestry.ceremony.publishing import TRANSCRIPT, Published, publish
from vestry.ceremony.replay import replay
from vestry.ceremony.table import nearest
from vestry.cli import output
from vestry.cli.replay import beside
from vestry.errors import ExitStatus, InputRejected
from vestry.media import drives
from vestry.metadata import intake
from vestry.text import printable

_LIMIT = 1 << 30
_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?", re.ASCII)


def run(args: argparse.Namespace) -> int:
    """Write the copy; 1 where it shows something that fails, as the whole transcript does."""
    path, dest = Path(args.transcript), Path(args.output)
    path = path / TRANSCRIPT if path.is_dir() else path
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise InputRejected(
            "something is there already", where=printable(str(dest), 200), do="name a new folder", code="E-USAGE"
        )
    made = publish(
        intake.read_file(path, limit=_LIMIT),
        path.parent,
        lines=_numbers(args.withhold),
        kinds=_kinds(args.withhold_kind),
        people=args.withhold_person,
        texts=args.withhold_text,
    )
    drives.export(made.files, dest)
    account = Account()
    for step in replay(transcript.iter_read(dest / TRANSCRIPT)):
        account.add(step)
    result = account.result(*beside(account.last, dest / TRANSCRIPT))
    kinds = {r.n: codec.name_of(r.event) for r in transcript.iter_read(path)}
    if args.json:
        lines = [{"n": n, "event": kinds[n], "why": why} for n, why in made.withheld.items()]
        told = {name: result[name] for name in ("ok", "head", "counts")}
        output.emit({"dest": str(dest), "withheld": lines, "left_out": list(made.left_out), **told})
    else:
        _tell(made, kinds, statement(result))
    return int(ExitStatus.DONE if result["ok"] else ExitStatus.DOES_NOT_HOLD)


def _tell(made: Published, kinds: dict[int, str], lines: Sequence[str]) -> None:
    for n, why in made.withheld.items():
        output.line(f"withheld  {n:>4}  {kinds[n]:<18}  {why}")
    for name in made.left_out:
        output.line(f"left out  {printable(name, 200)}")
    output.line("", *lines)
    if 0 in made.withheld:
        output.narrate("Line 0 holds the script and everyone's name. Without it nothing is recomputed from this copy:")
        output.narrate("that its lines stand in their places, and what seals sign, is all that it proves.")


def _numbers(given: Sequence[str]) -> set[int]:
    found: set[int] = set()
    for part in (x for text in given for x in text.split(",")):
        match = _RANGE.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise InputRejected(
                f"'{printable(part, 40)}' is no line, nor lines from one to another",
                where="--withhold",
                do="write 12 or 12-15, with commas between",
                code="E-USAGE",
            )
        found |= set(range(first, min(last, 10_000_000) + 1))
    return found


def _kinds(given: Sequence[str]) -> list[str]:
    for kind in given:
        if kind not in codec.NAMES:
            what = f"no event is called '{printable(kind, 40)}'"
            raise InputRejected(what, where="--withhold-kind", do=nearest(kind, codec.NAMES), code="E-USAGE")
    return list(given)
