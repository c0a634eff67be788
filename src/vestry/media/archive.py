"""A bundle that comes as one file: zip, tar, or tar in gzip. What it holds is listed first, then read into memory, each
file within the bounds that the bundle's own description sets; nothing is ever unpacked to a disk.

The two readers know the plain core of each format and refuse the rest, since whatever two programs may read in two ways
has no place in a bundle: `unzip` (PKWARE APPNOTE 6.3.10), `untar` (POSIX.1-1988 ustar, long names).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vestry.errors import InputRejected
from vestry.media import description, entries, names, untar, unzip
from vestry.media.member import Member, Odd
from vestry.metadata import intake
from vestry.text import printable

RATIO = 100
"""Metadata shrinks to a tenth at most; what unfolds a hundred times was made to."""

_SMALL = 1 << 20
_ENTRIES = 2 * (entries.FILES_LIMIT + len(entries.FOLDERS) + 1)
_UNFOLDED = entries.BYTES_LIMIT + (_ENTRIES << 10)
_FOREIGN = {
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"7z\xbc\xaf": "7-Zip",
    b"Rar!": "RAR",
    b"\x28\xb5\x2f\xfd": "Zstandard",
}


def read(path: Path) -> Mapping[str, bytes]:
    """The files of the one bundle in an archive, by their name in the bundle: at its top, or in one folder.

    Raises:
        InputRejected: E-ARCHIVE: no archive of a known kind, damaged, ambiguous, encrypted, or it unfolds too far;
            E-BUNDLE-ENTRY: it holds something that a bundle does not; E-BUNDLE-PART, -WHICH: not one bundle.
        MediumTrouble: it can't be read.
    """
    raw = intake.read_file(path, limit=entries.BYTES_LIMIT)
    try:
        members = _members(raw)
        files = _one_bundle(members, path)
        return _unfolded(files)
    except Odd as error:
        raise InputRejected(
            str(error),
            where=printable(str(path / error.name if error.name else path), 200),
            do=error.do or "do not use it; ask for the bundle's folder itself",
            code="E-BUNDLE-ENTRY" if error.name else "E-ARCHIVE",
        ) from None


def _members(raw: bytes) -> Sequence[Member]:
    reader, content = _kind(raw)
    members = reader(content, _ENTRIES)
    listed = [m.name.removesuffix("/") if m.is_folder else m.name for m in members]
    if wrong := names.first_odd(listed):
        raise Odd(wrong[1], name=wrong[0])
    if sum(m.size for m in members) > entries.BYTES_LIMIT:
        raise Odd(f"it unfolds to more than {entries.BYTES_LIMIT:,} bytes")
    for m in members:
        if m.size > max(_SMALL, RATIO * m.packed):
            raise Odd(f"it unfolds to more than {RATIO} times its size", name=m.name)
    return members


def _kind(raw: bytes) -> tuple[Callable[[bytes, int], Sequence[Member]], bytes]:
    if raw.startswith(b"\x1f\x8b"):
        return untar.members, _gunzip(raw)
    if raw[257:262] == b"ustar":
        return untar.members, raw
    if raw.startswith(b"PK"):
        return unzip.members, raw
    foreign = next((name for magic, name in _FOREIGN.items() if raw.startswith(magic)), "")
    if b"PK\x05\x06" in raw[-unzip.END_LONGEST :]:
        raise Odd("something stands before the zip archive in this file")
    what = f"this is {foreign}" if foreign else "this is neither a zip nor a tar archive"
    raise Odd(what, do="bring the bundle as a folder, .zip, .tar or .tar.gz")


def _gunzip(raw: bytes) -> bytes:
    most = min(_UNFOLDED, max(_SMALL, RATIO * len(raw)))
    unfolding = zlib.decompressobj(31)
    try:
        whole = unfolding.decompress(raw, most + 1)
    except zlib.error:
        raise Odd("it is damaged: it does not unfold") from None
    if len(whole) > most:
        raise Odd(f"it unfolds to more than {most:,} bytes")
    if not unfolding.eof:
        raise Odd("it is cut short")
    if unfolding.unused_data:
        raise Odd("something follows after the archive")
    return whole


@dataclass(frozen=True)
class _File:
    """A member, and what it is called in the bundle."""

    name: str
    member: Member


def _one_bundle(members: Sequence[Member], path: Path) -> Sequence[_File]:
    files = [m for m in members if not m.is_folder]
    named = [m.name.split("/") for m in files]
    tops = ["/".join([*parts[:-1], ""]) for parts in named if parts[-1] == "bundle.json" and len(parts) <= 2]
    top = "" if "" in tops else tops[0] if tops else None
    if top is None:
        raise InputRejected(
            "bundle.json is missing, so this is no bundle or only part of one",
            where=printable(str(path), 200),
            do="pack the whole folder of the bundle",
            code="E-BUNDLE-PART",
        )
    if len(tops) > 1 and top:
        raise InputRejected(
            f"{len(tops)} bundles lie here",
            where=printable(str(path), 200),
            do="pack each into an archive of its own",
            code="E-BUNDLE-WHICH",
        )
    beside = next((m for m in members if not m.name.startswith(top)), None)
    if beside is not None:
        raise Odd("it lies beside the bundle, not in it", name=beside.name)
    entries.check([m.name.removeprefix(top) for m in files], path / top)
    empty = {m.name.removeprefix(top) for m in members if m.is_folder} - {"", *(f"{f}/" for f in entries.FOLDERS)}
    if empty:
        raise Odd("a bundle has no folder of this name", name=min(empty))
    return [_File(m.name.removeprefix(top), m) for m in files]


def _unfolded(files: Sequence[_File]) -> Mapping[str, bytes]:
    by_name = {f.name: f.member for f in files}
    first = by_name["bundle.json"]
    found = {"bundle.json": first.unfold(description.LIMIT)}
    said = description.parse(found["bundle.json"], where=printable(first.name, 200))
    for name, member in by_name.items():
        if name not in found:
            length, _ = said.files.get(name, (entries.limit(name), ""))
            found[name] = member.unfold(min(length, entries.limit(name)))
    return found
