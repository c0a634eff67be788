"""Tar archives, the plain core of them: ustar (POSIX.1-1988) with plain files and folders, long names of GNU and of pax
(POSIX.1-2001) that go on where the short one ends, times and owners. Whatever else a tar archive can be is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from vestry.media.member import Member, Odd, stored

_BLOCK = 512
_EXTENDED_LONGEST = 64 << 10
_HEADERS_AN_ENTRY = 3
_OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ([^=\n]+)=")
_HARMLESS = re.compile(
    rb"[acm]time|[ug]id|[ug]name|LIBARCHIVE\.creationtime|SCHILY\.(?:dev|ino|nlink|fflags)"
    rb"|(?:LIBARCHIVE|SCHILY)\.xattr\..*|SCHILY\.acl\..*"
)
_FILE, _FOLDER, _LONG_NAME, _EXTENDED = (b"0", b"\0"), b"5", b"L", b"x"
_KINDS = {
    b"1": "a hard link, where a bundle has plain files",
    b"2": "a link, where a bundle has plain files",
    b"3": "a device, where a bundle has plain files",
    b"4": "a device, where a bundle has plain files",
    b"6": "a pipe, where a bundle has plain files",
    b"K": "a link with a long name, where a bundle has plain files",
    b"S": "a sparse file, which unfolds to more than is there",
    b"g": "a pax header for all that follows, which a bundle has no use for",
    b"M": "it is one of several parts",
}


def members(raw: bytes, most: int) -> Sequence[Member]:
    """The entries of an archive in their order; at most `most` of them.

    Raises:
        Odd: it is not a tar archive of the plain kind.
    """
    found: list[Member] = []
    at, headers, long_name = 0, 0, ""
    while any(block := raw[at : at + _BLOCK]):
        name, kind, size = _header(block)
        data = raw[at + _BLOCK : at + _BLOCK + size]
        if len(data) < size:
            raise Odd("it is cut short")
        at += _BLOCK + -(-size // _BLOCK) * _BLOCK
        headers += 1
        if len(found) == most or headers > _HEADERS_AN_ENTRY * most:
            raise Odd(f"it has more than {most:,} entries, where a bundle never has as many")
        if kind == _LONG_NAME:
            long_name = _long_name(data, name)
        elif kind == _EXTENDED:
            long_name = _extended_name(data, long_name or name) or long_name
        elif kind in _FILE or kind == _FOLDER:
            found.append(_member(_one_name(name, long_name), kind, data))
            long_name = ""
        else:
            raise Odd(_KINDS.get(kind, "an entry of unknown kind"), name=long_name or name)
    if not block:
        raise Odd("it is cut short: it has no end")
    if long_name:
        raise Odd("a name that belongs to no entry", name=long_name)
    if any(raw[at:]):
        raise Odd("something follows after the archive")
    return found


def _header(block: bytes) -> tuple[str, bytes, int]:
    """Name, kind and size in bytes."""
    if len(block) < _BLOCK:
        raise Odd("it is cut short")
    if block[257:263] not in (b"ustar\0", b"ustar "):
        raise Odd("it is damaged, or a kind of tar that is not read here")
    summed = sum(block[:148]) + sum(b" " * 8) + sum(block[156:])
    if _number(block[148:156]) != summed:
        raise Odd("it is damaged: a header's checksum differs")
    name = block[:100].split(b"\0")[0]
    before = block[345:500].split(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    return _shown(before + b"/" + name if before else name), block[156:157], _number(block[124:136])


def _number(field: bytes) -> int:
    match = _OCTAL.fullmatch(field)
    if match is None:
        raise Odd("it is damaged, or says a size that no bundle has")
    return int(match[1], 8)


def _long_name(data: bytes, header: str) -> str:
    name, _, rest = data.partition(b"\0")
    if header != "././@LongLink" or any(rest) or len(data) > _BLOCK:
        raise Odd("it is damaged: a long name is none")
    return _shown(name)


def _one_name(short: str, long: str) -> str:
    # Programs that know no long names take the short one; both must be the same as far as it goes.
    if long and not long.startswith(short):
        raise Odd("it has two names", name=long)
    return long or short


def _extended_name(data: bytes, name: str) -> str:
    """The long name in records ``LENGTH KEY=VALUE\\n``, else empty; no other key may change what an entry is."""
    if len(data) > _EXTENDED_LONGEST:
        raise Odd("a pax header of this length, which no bundle needs", name=name)
    at, long_name = 0, ""
    while at < len(data):
        match = _RECORD.match(data, at)
        end = at + int(match[1]) if match else at
        if match is None or data[end - 1 : end] != b"\n" or end <= match.end():
            raise Odd("it is damaged: a pax header is malformed", name=name)
        if match[2] == b"path":
            long_name = _shown(data[match.end() : end - 1])
        elif match[2] == b"linkpath":
            raise Odd(_KINDS[b"2"], name=name)
        elif not _HARMLESS.fullmatch(match[2]):
            raise Odd("a pax header that could change what it is", name=name)
        at = end
    return long_name


def _member(name: str, kind: bytes, data: bytes) -> Member:
    is_folder = kind == _FOLDER
    if is_folder and data:
        raise Odd("a folder with content", name=name)
    if is_folder and not name.endswith("/"):
        name += "/"
    return Member(name, is_folder, len(data), len(data), partial(stored, name, data))


def _shown(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("latin-1")
