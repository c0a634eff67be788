"""Zip archives, the plain core of them (PKWARE APPNOTE 6.3.10): entries one after the other without gaps, each stored
or deflated, then the directory, which says the same as the entries do. Whatever else a zip archive can be is refused.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from vestry.media.member import Member, Odd, inflated, stored

_END = struct.Struct("<4s4H2LH")
_LISTED = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
END_LONGEST = _END.size + 0xFFFF

_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13
_SIZES_FOLLOW = 1 << 3
_KNOWN_FLAGS = _SIZES_FOLLOW | 1 << 1 | 1 << 2 | 1 << 11
_TIMES_AND_OWNERS = {0x5455, 0x5855, 0x7855, 0x7875, 0x000A}
"""Extra fields that say nothing of name, size or kind: those of Info-ZIP, macOS and Windows."""
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075
_FOLDER_ATTRIBUTE, _LINK_ATTRIBUTE = 0x10, 0x400
_HUGE = "it is of the kind for huge files (ZIP64), which no bundle needs"


@dataclass(frozen=True)
class _Entry:
    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    mode: int


def members(raw: bytes, most: int) -> Sequence[Member]:
    """The entries of an archive, in the order of its directory; at most `most` of them.

    Raises:
        Odd: it is not a zip archive of the plain kind.
    """
    listed, start = _directory(raw, most)
    at = 0
    found: dict[int, Member] = {}
    for place, entry in sorted(enumerate(listed), key=lambda item: item[1].offset):
        if entry.offset < at:
            raise Odd("it overlaps with another entry", name=_shown(entry.name))
        if entry.offset > at:
            raise Odd("there are bytes that belong to no entry", name=_shown(entry.name))
        found[place], at = _member(raw, entry, start)
    if at != start:
        raise Odd("there are bytes that belong to no entry, before its directory")
    return [found[place] for place in range(len(listed))]


def _directory(raw: bytes, most: int) -> tuple[list[_Entry], int]:
    end = raw[-_END.size :]
    if len(end) < _END.size or not end.startswith(b"PK\x05\x06") or raw[-2:] != b"\0\0":
        known = b"PK\x05\x06" in raw[-END_LONGEST:]
        raise Odd("it has a comment, or something follows after it" if known else "it is cut short")
    _, disk, first_disk, here, count, size, start, _ = _END.unpack(end)
    if (disk, first_disk) != (0, 0) or here != count:
        raise Odd("it is one of several parts")
    if count == 0xFFFF or 0xFFFFFFFF in (size, start):
        raise Odd(_HUGE)
    if count > most:
        raise Odd(f"it has {count:,} entries, where a bundle never has as many")
    if start + size != len(raw) - _END.size:
        raise Odd("its directory is not where it should be: something stands before or in the archive")
    entries, at = [], start
    for _ in range(count):
        entry, at = _listed(raw, at)
        entries.append(entry)
    if at != len(raw) - _END.size:
        raise Odd("its directory does not end where it should")
    return entries, start


def _listed(raw: bytes, at: int) -> tuple[_Entry, int]:
    head = raw[at : at + _LISTED.size]
    if len(head) < _LISTED.size or not head.startswith(b"PK\x01\x02"):
        raise Odd("it is damaged: an entry of its directory is none")
    values = _LISTED.unpack(head)
    flags, method, (crc, packed, size) = values[3], values[4], values[7:10]
    (named, extra, comment, disk), attributes, offset = values[10:14], values[15], values[16]
    at += _LISTED.size
    name = raw[at : at + named]
    shown = _shown(name)
    if disk:
        raise Odd("it is one of several parts", name=shown)
    if comment:
        raise Odd("it has a comment", name=shown)
    if flags & _ENCRYPTED:
        raise Odd("it is encrypted", name=shown, do="bring the bundle unencrypted; nothing in it is secret")
    if flags & ~_KNOWN_FLAGS or method not in (_STORED, _DEFLATED):
        raise Odd("it is compressed in a way that is not read here", name=shown)
    if 0xFFFFFFFF in (packed, size, offset):
        raise Odd(_HUGE, name=shown)
    _check_extra(raw[at + named : at + named + extra], shown)
    _check_kind(attributes, name)
    entry = _Entry(name, flags, method, crc, packed, size, offset, attributes)
    return entry, at + named + extra


def _check_extra(extra: bytes, shown: str) -> None:
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == _ZIP64:
            raise Odd(_HUGE, name=shown)
        if kind == _UNICODE_PATH:
            raise Odd("it has a second name", name=shown)
        if kind not in _TIMES_AND_OWNERS:
            raise Odd(f"it has an extra field ({kind:#06x}) that could change what it is", name=shown)
        at += 4 + length
    if at != len(extra):
        raise Odd("its extra fields are malformed", name=shown)


def _check_kind(attributes: int, name: bytes) -> None:
    """The upper half of the attributes is the mode of a file under Unix, where one made it."""
    shown, mode, is_folder = _shown(name), attributes >> 16, name.endswith(b"/")
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFLNK or attributes & _LINK_ATTRIBUTE:
        raise Odd("a link, where a bundle has plain files", name=shown)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise Odd("a device or a pipe, where a bundle has plain files", name=shown)
    if (kind == stat.S_IFDIR or attributes & _FOLDER_ATTRIBUTE) and not is_folder:
        raise Odd("a folder with the name of a file", name=shown)
    if kind == stat.S_IFREG and is_folder:
        raise Odd("a file with the name of a folder", name=shown)


def _member(raw: bytes, entry: _Entry, end: int) -> tuple[Member, int]:
    """An entry whose own header agrees with the directory, and where the next one begins."""
    shown, at = _shown(entry.name), entry.offset
    head = raw[at : at + _LOCAL.size]
    if len(head) < _LOCAL.size or not head.startswith(b"PK\x03\x04"):
        raise Odd("it is damaged: there is no entry where its directory says", name=shown)
    _, _, flags, method, _, _, crc, packed, size, named, extra = _LOCAL.unpack(head)
    at += _LOCAL.size
    if raw[at : at + named] != entry.name:
        raise Odd("it has one name in the directory and another one itself", name=shown)
    _check_extra(raw[at + named : at + named + extra], shown)
    said = (entry.crc, entry.packed, entry.size)
    sizes = [said, (0, 0, 0)] if entry.flags & _SIZES_FOLLOW else [said]
    if (flags, method) != (entry.flags, entry.method) or (crc, packed, size) not in sizes:
        raise Odd("the directory says something else of it than it does itself", name=shown)
    begin = at + named + extra
    at = begin + entry.packed
    if entry.flags & _SIZES_FOLLOW:
        at += 4 if raw[at : at + 4] == b"PK\x07\x08" else 0
        if raw[at : at + 12] != struct.pack("<3L", *said):
            raise Odd("the directory says something else of it than it does itself", name=shown)
        at += 12
    if at > end:
        raise Odd("it overlaps with the directory", name=shown)
    if entry.method == _STORED and entry.size != entry.packed:
        raise Odd("it has two sizes", name=shown)
    is_folder = entry.name.endswith(b"/")
    if is_folder and entry.size:
        raise Odd("a folder with content", name=shown)
    data = raw[begin : begin + entry.packed]

    def unfold(limit: int) -> bytes:
        plain = entry.method == _STORED
        found = stored(shown, data, limit) if plain else inflated(shown, data, entry.size, limit)
        if zlib.crc32(found) != entry.crc:
            raise Odd("it is damaged: its checksum differs", name=shown)
        return found

    return Member(shown, is_folder, entry.size, entry.packed, unfold), at


def _shown(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("latin-1")
