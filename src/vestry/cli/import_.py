"""``vestry import``: a bundle from a drive, into a new folder or into the bundle that is there."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from vestry.ceremony.dialogue import Choose
from vestry.cli import collect, exchange, output
from vestry.cli.export import chosen
from vestry.errors import InputRejected, VestryError
from vestry.media import arrivals, bundle, entries, repository, standing
from vestry.media.arrivals import bundle_folder
from vestry.media.bundle import Bundle
from vestry.media.repository import Found
from vestry.plain.prompts import Prompts
from vestry.text import printable

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
_BESIDE = 12
_BUNDLES = 64


def run(args: argparse.Namespace) -> int:
    """List what is there, then take what was read and checked, never the files themselves."""
    source = Path(args.source) if args.source is not None else _chosen()
    found = exchange.recognised(source, args.delegator)
    if found is not None:
        return exchange.take(found, Path(args.to), args.json)
    path, files = arrivals.files(source)
    came = bundle.of_files(files, path)
    if not args.json:
        output.narrate(*_listing(source, path, files))
    return take(came, Path(args.to), args.json, args.known)


def _chosen() -> Path:
    """The bundle that a person chooses, on the drive that they choose."""
    mounted = chosen(need=None)
    found = [*([mounted] if (mounted / "bundle.json").is_file() else ()), *arrivals.bundles_on(mounted)]
    found += sorted(p for p in mounted.iterdir() if p.name.endswith(_ARCHIVES) and p.is_file())
    if len(found) <= 1:
        return found[0] if found else mounted
    options = tuple((str(p), str(printable(str(p.relative_to(mounted)), 120))) for p in found)
    return Path(Prompts().ask(Choose("bundle", "Choose the bundle to import.", options=options)))


def _listing(source: Path, path: Path, files: Mapping[str, bytes]) -> list[str]:
    """What is in the bundle, by name and size, and what lies beside it and is not taken."""
    lines = [f"{printable(str(path), 200)} holds:"]
    lines += [f"  {len(data):>12,} bytes  {name}" for name, data in sorted(files.items())]
    if source.is_dir() and source != path:
        beside = sorted(p.name for p in source.iterdir() if p != path)
        lines += [f"  not taken: {printable(name, 80)}" for name in beside[:_BESIDE]]
        lines += [f"  not taken: {len(beside) - _BESIDE} more"] if len(beside) > _BESIDE else []
    return lines


def take(source: Bundle, to: Path, as_json: bool, known: Sequence[str] = ()) -> int:
    """Make the bundle `to` of `source`, or add its signatures to the bundle that is there; unless what is there, beside
    it or `known` has gone past it."""
    if known:
        standing.check_known(source, repository.chain(_known(known)))
    there = bundle_folder(to)
    if there is not None and not entries.cut_short(there):
        return collect.finish(bundle.collect(bundle.open_bundle(there), [source]), as_json)
    output.narrate(*standing.check_beside(source, _beside(to)))
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
            f"{made.title} is in {printable(str(made.path), 200)}, digest:",
            *output.digest_lines(made.document.digest),
        )
    return collect.finish(collected, as_json)


def _known(paths: Sequence[str]) -> tuple[Found, ...]:
    found = [
        f for p in map(Path, paths) for f in (repository.read_folder(p) if p.is_dir() else repository.read_files([p]))
    ]
    if not any(f.document.type == "root" for f in found):
        raise InputRejected("there is no root among it", where="--known", do="name the root, too", code="E-NOTHING")
    return tuple(found)


def _beside(to: Path) -> list[Bundle]:
    """The bundles in the folder that `to` is to lie in; what is there and is no bundle says nothing."""
    found = []
    for path in sorted(to.absolute().parent.glob("*/bundle.json"))[:_BUNDLES]:
        with suppress(VestryError):
            found.append(bundle.open_bundle(path.parent))
    return found
