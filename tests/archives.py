"""Zip and tar archives written by hand, so that a test can make them say anything."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vestry.media.bundle import Bundle


@dataclass
class Z:
    """A zip entry. Whatever is not None is said in place of the truth."""

    name: str | bytes
    data: bytes = b""
    packed: bytes | None = None
    own_name: bytes | None = None
    flags: int = 0
    method: int = 8
    mode: int = 0o100644
    dos: int = 0
    size: int | None = None
    own_size: int | None = None
    crc: int | None = None
    offset: int | None = None
    extra: bytes = b""
    comment: bytes = b""
    disk: int = 0
    before: bytes = b""


def zipped(
    entries: Sequence[Z], *, prefix: bytes = b"", comment: bytes = b"", end: Mapping[int, int] | None = None
) -> bytes:
    """A zip archive; `end` replaces fields of its last record by their place."""
    body, listed = bytearray(prefix), bytearray()
    for e in entries:
        name = e.name.encode() if isinstance(e.name, str) else e.name
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = e.packed if e.packed is not None else e.data
        if e.method == 8 and e.packed is None:
            packed = deflate.compress(e.data) + deflate.flush()
        size = len(e.data) if e.size is None else e.size
        crc = zlib.crc32(e.data) if e.crc is None else e.crc
        body += e.before
        at = len(body) if e.offset is None else e.offset
        own = (crc, len(packed), size if e.own_size is None else e.own_size)
        own_name = name if e.own_name is None else e.own_name
        head = (20, e.flags, e.method, 0, 33)
        follows = bool(e.flags & 8)
        said = (0, 0, 0) if follows else own
        body += struct.pack("<4s5H3L2H", b"PK\x03\x04", *head, *said, len(own_name), len(e.extra))
        body += own_name + e.extra + packed
        if follows:
            body += b"PK\x07\x08" + struct.pack("<3L", *own)
        listed += struct.pack(
            "<4s6H3L5H2L",
            b"PK\x01\x02",
            0x0314,
            *head,
            crc,
            len(packed),
            size,
            len(name),
            len(e.extra),
            len(e.comment),
            e.disk,
            0,
            e.mode << 16 | e.dos,
            at,
        )
        listed += name + e.extra + e.comment
    last = [0, 0, len(entries), len(entries), len(listed), len(body), len(comment)]
    for place, value in (end or {}).items():
        last[place] = value
    return bytes(body + listed + struct.pack("<4s4H2LH", b"PK\x05\x06", *last) + comment)


@dataclass
class T:
    """A tar entry. Whatever is not None is said in place of the truth."""

    name: str
    data: bytes = b""
    kind: bytes = b"0"
    size: bytes | None = None
    link: str = ""
    magic: bytes = b"ustar\x0000"
    checksum: bytes | None = None
    before: str = ""


def tarred(entries: Sequence[T], end: bytes = bytes(1024)) -> bytes:
    """A tar archive."""
    body = bytearray()
    for e in entries:
        size = f"{len(e.data):011o}\0".encode() if e.size is None else e.size
        fields = e.name.encode().ljust(100, b"\0")[:100] + b"0000644\0" + b"0000000\0" * 2 + size + b"00000000000\0"
        fields += b" " * 8 + e.kind + e.link.encode().ljust(100, b"\0") + e.magic + bytes(80) + e.before.encode()
        block = bytearray(fields.ljust(512, b"\0"))
        block[148:156] = e.checksum or f"{sum(block):06o}\0 ".encode()
        body += block + e.data + bytes(-len(e.data) % 512)
    return bytes(body + end)


def pax(**said: str) -> T:
    """The pax header that comes before an entry."""
    data = b""
    for key, value in said.items():
        rest = f" {key.replace('__', '.')}={value}\n".encode()
        length = next(n for n in range(1000) if len(str(n)) + len(rest) == n)
        data += str(length).encode() + rest
    return T("PaxHeaders/x", data, b"x")


def contents(made: Bundle) -> dict[str, bytes]:
    """The files of a bundle."""
    return {p.relative_to(made.path).as_posix(): p.read_bytes() for p in sorted(made.path.rglob("*")) if p.is_file()}


def tree(folder: Path, besides: Path | None = None) -> dict[str, bytes | None]:
    """Everything below a folder, byte for byte."""
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() and not p.is_symlink() else None
        for p in sorted(folder.rglob("*"))
        if besides is None or besides not in (p, *p.parents)
    }
