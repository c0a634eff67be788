"""``vestry import``: a bundle from a drive, into a new folder or into the bundle that is there."""

from __future__ import annotations

import argparse
from pathlib import Path

from vestry.cli import collect, exchange, output
from vestry.cli.documents import bundle_folder, open_source
from vestry.errors import ExitStatus
from vestry.media import bundle, entries
from vestry.media.bundle import Bundle
from vestry.text import printable


def run(args: argparse.Namespace) -> int:
    """Copy what was read and checked, never the files themselves; add to a bundle that is there."""
    found = exchange.recognised(Path(args.source), args.delegator)
    if found is not None:
        return exchange.take(found, Path(args.to), args.json)
    return take(open_source(args.source), Path(args.to), args.json)


def take(source: Bundle, to: Path, as_json: bool) -> int:
    """Make the bundle `to` of `source`, or add its signatures to the bundle that is there."""
    there = bundle_folder(to)
    if there is not None and not entries.cut_short(there):
        collected = bundle.collect(bundle.open_bundle(there), [source])
        collect.report(collected, as_json)
        return int(ExitStatus.DOES_NOT_HOLD if collected.set_aside else ExitStatus.DONE)
    made = bundle.create(
        to,
        role=source.role,
        unsigned=source.document.raw,
        trusted=source.trusted.raw if source.trusted is not None else None,
        previous=source.previous.raw if source.previous is not None else None,
        holders=source.holders,
        repository=source.repository,
        notes=source.notes,
        service=source.service,
        certificates=source.vouching(),
    )
    collected = bundle.collect(made, [source])
    if not as_json:
        output.line(
            f"{printable(made.role, 40)} v{made.document.version} is in {printable(str(made.path), 200)}, digest:",
            *output.digest_lines(made.document.digest),
        )
    collect.report(collected, as_json)
    return int(ExitStatus.DOES_NOT_HOLD if collected.set_aside else ExitStatus.DONE)
