"""``vestry collect``: gather signatures from bundles that came back."""

from __future__ import annotations

import argparse
from pathlib import Path

from vestry.cli import output
from vestry.cli.documents import open_bundle
from vestry.errors import ExitStatus
from vestry.media import arrivals, aside, bundle, entries, signatures
from vestry.media.bundle import Bundle, Collected
from vestry.media.services import returned
from vestry.metadata.document import Signature
from vestry.text import printable


def run(args: argparse.Namespace) -> int:
    """Gather; 0 also where thresholds are not met yet, 1 where a signature was set aside."""
    into = open_bundle(args.bundle)
    paths = [Path(other) for other in args.others]
    others: list[Bundle] = []
    loose: list[tuple[Signature, str]] = []
    for path in paths:
        found = _loose(path) if _is_loose(path) else returned.signatures_for(into, path)
        if found is None:
            others.append(arrivals.open_bundle(path))
        loose += [(signature, printable(str(path), 200)) for signature in found or ()]
    collected = bundle.collect(into, others, loose)
    return finish(collected, args.json)


def _is_loose(path: Path) -> bool:
    """Whether signatures lie there by themselves: one file, or a folder of nothing else."""
    try:
        names = [p.name for p in path.iterdir()] if path.is_dir() else [path.name]
    except OSError:
        return False  # opening it as a bundle says why
    return bool(names) and all(entries.is_signature(name) for name in names)


def _loose(path: Path) -> list[Signature]:
    files = entries.signature_files(path).values() if path.is_dir() else [path]
    return [signatures.read(file) for file in files]


def finish(collected: Collected, as_json: bool) -> int:
    """Keep what was set aside, tell everything; 1 where a signature was set aside."""
    aside.keep(collected.set_aside, aside.beside(collected.bundle.path))
    _report(collected, as_json)
    return int(ExitStatus.DOES_NOT_HOLD if collected.set_aside else ExitStatus.DONE)


def _report(collected: Collected, as_json: bool) -> None:
    """What was added, was known, was set aside, and what is still missing."""
    found = collected.bundle
    if as_json:
        left = [{"keyid": one.keyid, "from": one.where, "why": one.why} for one in collected.set_aside]
        output.emit(
            {
                "bundle": str(found.path),
                "added": list(collected.added),
                "known": list(collected.known),
                "set_aside": left,
                "thresholds": [t.to_dict() for t in found.tallies()],
            }
        )
        return
    for keyid in collected.added:
        output.line(f"added      {keyid}  {holder(found, keyid)}".rstrip())
    for keyid in collected.known:
        output.line(f"known      {keyid}  {holder(found, keyid)}".rstrip())
    for one in collected.set_aside:
        output.line(f"set aside  {printable(one.keyid, 80)}  {one.why} ({one.where})")
    if collected.set_aside:
        output.narrate(f"What was set aside is kept in {printable(str(aside.beside(found.path)), 200)}")
    for count in found.tallies():
        output.line(count.sentence)


def holder(found: Bundle, keyid: str) -> str:
    """The name that came with the bundle for a key; safe to show."""
    return printable(found.holders.get(keyid, ""), 80)
