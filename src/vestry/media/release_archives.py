"""Archives that are looked into and never unpacked: what one reader of a ZIP file would see and another would not.

Everything here is bounded: entries, what they unfold to, and what is read of one.
"""

from __future__ import annotations

import re
import stat
import struct
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, BinaryIO, NamedTuple

UNFOLDED_LIMIT = 4 << 30
"""Bytes that an archive may unfold to."""
ENTRIES_LIMIT = 200_000
TEXT_LIMIT = 16 << 20
"""Bytes of a file that is read as text: metadata, or a list of files."""
_PIECE = 1 << 20

_LOCAL = struct.Struct("<4s5H3L2H")
_EOCD = struct.Struct("<4s4H2LH")
_EOCD64_LOCATOR, _EOCD64 = 20, 56
_DESCRIPTORS = (0, 12, 16, 20, 24)
_UNICODE_PATH = 0x7075


class Hit(NamedTuple):
    """Something found in a file: a code, the place in it, and a sentence (neither is printable yet)."""

    code: str
    place: str
    text: str


class Broken(Exception):
    """The archive can't be read any further."""


Consumer = Callable[[bytes], object]


def escapes(name: str) -> str:
    """Why a name in an archive may lead out of the folder it is unpacked in; empty where it does not."""
    if not name or name[0] in "/\\" or re.match(r"[A-Za-z]:", name):
        return "is absolute"
    if "\\" in name:
        return "holds a backslash, which parts folders on some systems"
    if ".." in name.split("/"):
        return "leads out of its folder"
    if not name.isprintable():
        return "holds characters that can't be seen"
    if not all(part.strip(".") for part in name.removesuffix("/").split("/")):
        return "has a part that says nothing, so that two names may be one file"
    return ""


def clashes(files: Iterable[str]) -> Iterator[Hit]:
    """Files of an archive of which some systems keep only one: a name that is another's folder, or that differs from
    another in nothing but case or composition (Unicode Standard Annex 15)."""
    alike: dict[str, str] = {}
    names = list(files)
    folders = {parent for name in names for parent in _parents(name)}
    for name in names:
        if name in folders:
            yield Hit("DIST-ARCHIVE", name, "is a file, and the folder of other files")
        if (other := alike.setdefault(unicodedata.normalize("NFC", name).casefold(), name)) != name:
            yield Hit("DIST-ALIKE", name, f"is one file with {other[:120]} where case does not count")


def _parents(name: str) -> Iterator[str]:
    while name := name.rpartition("/")[0]:
        yield name


def read_zip(archive: zipfile.ZipFile, file: BinaryIO) -> Iterator[Hit]:
    """Whether the directory at the end of a ZIP file and the headers before its entries say the same, and leave nothing
    between. Installers go by the one, scanners by the other.

    Raises:
        Broken: it can't be read further, or unfolds too far.
    """
    entries = archive.infolist()
    if len(entries) > ENTRIES_LIMIT:
        raise Broken(f"it has {len(entries):,} entries, more than {ENTRIES_LIMIT:,}")
    if (total := sum(e.file_size for e in entries)) > UNFOLDED_LIMIT:
        raise Broken(f"it unfolds to {total:,} bytes, more than {UNFOLDED_LIMIT:,}")
    seen: set[str] = set()
    at = 0
    for entry in sorted(entries, key=lambda e: e.header_offset):
        name = entry.filename
        if name in seen:
            yield Hit("DIST-ARCHIVE", name, "stands twice in the archive, and readers differ in which they take")
        seen.add(name)
        if why := escapes(name):
            yield Hit("DIST-PATH", name, why)
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            yield Hit("DIST-PATH", name, "is a link or a device")
        if entry.flag_bits & 1:
            raise Broken(f"{name} is encrypted")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Broken(f"{name} is packed in a way that installers need not know")
        if _has_unicode_path(entry.extra):
            yield Hit("DIST-ARCHIVE", name, "has a second name, in a field that some readers go by")
        if entry.header_offset not in {at + size for size in (_DESCRIPTORS if at else (0,))}:
            yield Hit("DIST-ARCHIVE", name, "has bytes before it that belong to no entry, or shares some with another")
        at, why = _local(entry, file)
        if why:
            yield Hit("DIST-ARCHIVE", name, why)
    yield from clashes(name for name in seen if not name.endswith("/"))
    yield from _end(archive, file, at)


def _local(entry: zipfile.ZipInfo, file: BinaryIO) -> tuple[int, str]:
    """Where the data of an entry ends, and how its own header contradicts the directory."""
    file.seek(entry.header_offset)
    raw = file.read(_LOCAL.size)
    if len(raw) < _LOCAL.size or raw[:4] != b"PK\x03\x04":
        raise Broken(f"{entry.filename} has no header of its own")
    _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack(raw)
    name, extra = file.read(name_length), file.read(extra_length)
    end = entry.header_offset + _LOCAL.size + name_length + extra_length + entry.compress_size
    encoding = "utf-8" if flags & 0x800 else "cp437"
    if name != entry.orig_filename.encode(encoding, "replace"):
        return end, "is called otherwise in its own header"
    if method != entry.compress_type or (flags & 0x809) != (entry.flag_bits & 0x809):
        return end, "is packed otherwise, as its own header has it"
    told = (crc, packed, size)
    there = (entry.CRC, entry.compress_size, entry.file_size)
    zip64 = 0xFFFFFFFF in told
    if not flags & 8 and not zip64 and told != there:
        return end, "has another length or checksum in its own header"
    return end, "has a second name, in a field that some readers go by" if _has_unicode_path(extra) else ""


def _end(archive: zipfile.ZipFile, file: BinaryIO, at: int) -> Iterator[Hit]:
    if archive.start_dir not in {at + size for size in _DESCRIPTORS}:
        yield Hit("DIST-ARCHIVE", "", "bytes stand between the last entry and the directory")
    if archive.comment:
        yield Hit("DIST-ARCHIVE", "", "a comment stands at its end, where another archive could hide")
    length = file.seek(0, 2)
    file.seek(length - _EOCD.size - len(archive.comment))
    found = _EOCD.unpack(file.read(_EOCD.size))
    size, start = found[5], found[6]
    if found[0] != b"PK\x05\x06":
        yield Hit("DIST-ARCHIVE", "", "bytes stand behind its end")
    elif start != 0xFFFFFFFF:
        tail = length - _EOCD.size - len(archive.comment) - (start + size)
        if start != archive.start_dir or tail not in (0, _EOCD64 + _EOCD64_LOCATOR):
            yield Hit("DIST-ARCHIVE", "", "bytes stand before it or behind its directory")


def _has_unicode_path(extra: bytes) -> bool:
    while len(extra) >= 4:
        kind, length = struct.unpack("<2H", extra[:4])
        if kind == _UNICODE_PATH:
            return True
        extra = extra[4 + length :]
    return False


def pour(source: IO[bytes], into: Consumer, most: int) -> int:
    """Read to the end, a piece at a time; how many bytes there were.

    Raises:
        Broken: there are more than `most`.
    """
    count = 0
    while piece := source.read(_PIECE):
        count += len(piece)
        if count > most:
            raise Broken(f"it unfolds to more than {most:,} bytes")
        into(piece)
    return count


def text(source: IO[bytes], name: str) -> bytes:
    """The whole of a file that holds text.

    Raises:
        Broken: it is too large for that.
    """
    kept = source.read(TEXT_LIMIT + 1)
    if len(kept) > TEXT_LIMIT:
        raise Broken(f"{name} is larger than {TEXT_LIMIT:,} bytes")
    return kept
