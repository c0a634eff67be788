"""``vestry export``: a bundle, or the signed document that came of it, onto a drive."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from vestry.ceremony import choosing
from vestry.cli import exchange, output
from vestry.cli.documents import open_bundle
from vestry.cli.drives import farewell
from vestry.errors import ExitStatus, Refused, Stopped
from vestry.media import arrivals, bundle, drives, entries, names
from vestry.media.bundle import Bundle
from vestry.plain.prompts import Prompts
from vestry.text import printable


def run(args: argparse.Namespace) -> int:
    """Write, sync, read back, compare; onto a drive that a person chooses where none is named."""
    opened = open_bundle(args.bundle)
    files = _signed(opened) if args.signed else opened.contents()
    to = Path(args.to) if args.to is not None else chosen(need=sum(map(len, files.values())))
    if args.form:
        return exchange.write(opened, to, args)
    if not args.signed:
        to = place(opened, to)
    written = drives.export(files, to)
    if args.json:
        output.emit({"to": str(to), "files": dict(written)})
    else:
        output.line(f"{len(written)} files written to {printable(str(to), 200)}, read back and equal")
        output.narrate(*farewell(to))
    return int(ExitStatus.DONE)


def chosen(*, need: int | None) -> Path:
    """Where the drive that a person chooses is mounted.

    Raises:
        Stopped: they would rather name a folder.
    """
    front = Prompts()
    drive = choosing.choose(front.ask, front, need=need, otherwise="stop here, and name a folder")
    if drive is None or drive.mounted is None:
        raise Stopped("stopped; nothing was read or written", do="name the folder on the command line")
    return drive.mounted


def place(opened: Bundle, to: Path) -> Path:
    """Where a bundle goes: `to` itself where it is new or this very bundle; on a drive, a folder of its name, or the
    folder in which this very bundle lies already.

    Raises:
        Refused: another bundle, or something else, is there.
        InputRejected: a damaged bundle is there.
        MediumTrouble: a link stands where its folder should be.
    """
    if not to.exists():
        return to
    # A drive is a folder that is there already: like cp, the bundle becomes a folder in it.
    here = (to / "bundle.json").exists()
    if not here and (inside := [p for p in arrivals.bundles_on(to) if _same(p, opened)]):
        return inside[0]
    target = to if here else drives.folder_on(to, names.safe_part(opened.path.resolve().name))
    if not target.exists() or entries.cut_short(target):
        return target
    if not (target / drives.SUMS).exists():
        raise _taken(target, "something else is there already")
    if not _same(target, opened):
        raise _taken(target, "another bundle is there already")
    return target


def _same(there: Path, opened: Bundle) -> bool:
    if not (there / drives.SUMS).exists():
        return False
    found = bundle.open_bundle(there)
    return (found.role, found.document.digest) == (opened.role, opened.document.digest)


def _taken(target: Path, what: str) -> Refused:
    return Refused(
        what, where=printable(str(target), 200), do="name another folder; nothing was written", code="E-BUNDLE-EXISTS"
    )


def _signed(opened: Bundle) -> Mapping[str, bytes]:
    signed = exchange.complete(opened)
    # A layout has no version, and in-toto's own tools call it so.
    name = f"{signed.version}.{names.safe_part(opened.role)}.json" if opened.signers is None else "root.layout"
    return {name: signed.raw}
