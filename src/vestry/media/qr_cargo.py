"""Files as the content of a transfer: a line of canonical JSON that names them, then their bytes, all deflated.

Unpacking is bounded before anything unfolds. What comes out is files by name and nothing more: whoever takes them puts
them through the door that files of that kind come in by.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path

from vestry.errors import InputRejected
from vestry.media import drives, names
from vestry.media.entries import FILES_LIMIT
from vestry.metadata import intake
from vestry.metadata.canonical import encode
from vestry.text import printable

FORMAT = "vestry-qr-1"
UNFOLDED_LIMIT = 8 << 20
_LINE_LIMIT = 128 << 10


def pack(files: Mapping[str, bytes]) -> bytes:
    """The content that carries `files`. A bundle's ``SHA256SUMS`` stays behind: it follows from the others.

    Raises:
        InputRejected: a name is not safe, or there is more than may unfold.
    """
    kept = {name: files[name] for name in sorted(files) if name != drives.SUMS}
    names.check(kept)
    listed = [[name, len(data)] for name, data in kept.items()]
    whole = encode({"format": FORMAT, "files": listed}) + b"\n" + b"".join(kept.values())
    if len(whole) > UNFOLDED_LIMIT or len(kept) > FILES_LIMIT:
        raise InputRejected(
            f"{len(whole):,} bytes are more than QR codes carry",
            where="qr show",
            do="carry it on a drive: vestry export",
            code="E-QR-LARGE",
        )
    return zlib.compress(whole, 9)


def unpack(content: bytes) -> Mapping[str, bytes]:
    """The files that `content` carries: a bundle's, or one of its own.

    Raises:
        InputRejected: it is not what `pack` makes, unfolds too far, or has a name that is not safe.
    """
    whole = _unfolded(content)
    line, newline, rest = whole.partition(b"\n")
    if not newline or len(line) > _LINE_LIMIT:
        raise _bad("it does not begin with a list of files")
    listed = intake.parse(line, where=_WHERE)
    if not isinstance(listed, dict) or listed.get("format") != FORMAT or encode(listed) != line:
        raise _bad(f"the list of files is not {FORMAT}")
    files = listed.get("files")
    if sorted(listed) != ["files", "format"] or not isinstance(files, list) or not 1 <= len(files) <= FILES_LIMIT:
        raise _bad("the list of files is not one")
    found: dict[str, bytes] = {}
    at = 0
    for entry in files:
        if not isinstance(entry, list) or [type(part) for part in entry] != [str, int]:
            raise _bad("a file is not a name and a length")
        name, length = entry
        if length < 0 or at + length > len(rest) or name in found or name == drives.SUMS:
            raise _bad(f"{printable(name, 80)} can't have {length} bytes here")
        found[name] = rest[at : at + length]
        at += length
    if at != len(rest):
        raise _bad("bytes are left over")
    names.check(found)
    if not is_bundle(found) and (len(found) > 1 or "/" in next(iter(found))):
        raise _bad("it is neither a bundle nor one file")
    return found


def is_bundle(files: Mapping[str, bytes]) -> bool:
    """Whether files say of themselves that they are a bundle."""
    return "bundle.json" in files


def one_file(path: Path) -> Mapping[str, bytes]:
    """A file as `pack` takes it, by its last name.

    Raises:
        InputRejected: it is no regular file, too large, or its name is not safe.
        MediumTrouble: it can't be read.
    """
    return {path.name: intake.read_file(path, limit=UNFOLDED_LIMIT)}


_WHERE = "the codes"


def _unfolded(content: bytes) -> bytes:
    unfolding = zlib.decompressobj()
    try:
        whole = unfolding.decompress(content, UNFOLDED_LIMIT + 1)
    except zlib.error as error:
        raise _bad("it does not unfold") from error
    if len(whole) > UNFOLDED_LIMIT:
        raise _bad(f"it unfolds to more than {UNFOLDED_LIMIT:,} bytes")
    if not unfolding.eof or unfolding.unused_data:
        raise _bad("it does not end where it should")
    return whole


def _bad(what: str) -> InputRejected:
    return InputRejected(what, where=_WHERE, do="ask whoever showed them what they are", code="E-QR-CONTENT")
