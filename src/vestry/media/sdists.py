"""Source distributions: whether file name and metadata agree, and nothing in the archive leads out of its one folder
(source distribution format; PEP 625, PEP 643, PEP 721)."""

from __future__ import annotations

import gzip
import io
import posixpath
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, BinaryIO, cast

from packaging.utils import InvalidSdistFilename, canonicalize_name, parse_sdist_filename

from vestry.media import release_archives as archives
from vestry.media.core_metadata import compare, headers
from vestry.media.release_archives import Broken, Hit


def look(name: str, file: BinaryIO) -> tuple[str, str, list[Hit]]:
    """Project (normalised), version (as the file's name has it) and what was found.

    Raises:
        Broken: it can't be read to the end.
    """
    try:
        project, version = parse_sdist_filename(name)
    except InvalidSdistFilename as error:
        raise Broken(f"the name is none of a source distribution: {error}") from error
    try:
        if name.endswith(".zip"):
            with zipfile.ZipFile(file) as archive:
                hits = list(archives.read_zip(archive, file))
                hits += _judged(_zipped(archive), project, str(version))
        else:
            hits = list(_judged(_tarred(file), project, str(version)))
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
        UnicodeDecodeError,
    ) as error:
        raise Broken(f"the archive can't be read: {error}") from error
    return project, str(version), hits


_Member = tuple[str, bytes | None, bool, str]
"""Name, content if it is ``PKG-INFO``, whether it is a symbolic link, and what is wrong with its kind."""


def _judged(members: Iterator[_Member], project: str, version: str) -> Iterator[Hit]:
    tops: dict[str, None] = {}
    seen: dict[str, bool] = {}
    links: set[str] = set()
    info: dict[str, bytes] = {}
    for name, content, is_link, wrong in members:
        clean = name.removeprefix("./").rstrip("/")
        if not clean or clean == ".":
            continue
        if why := archives.escapes(clean) or wrong:
            yield Hit("DIST-PATH", name, why)
        if any(clean.startswith(f"{link}/") for link in links):
            yield Hit("DIST-PATH", name, "lies behind a link of this archive, so that it is written somewhere else")
        if clean in seen and not name.endswith("/"):
            yield Hit("DIST-ARCHIVE", name, "stands twice in the archive, and the second overwrites the first")
        seen[clean] = seen.get(clean, False) or not name.endswith("/")
        links |= {clean} if is_link else set()
        tops[clean.split("/")[0]] = None
        if content is not None:
            info[clean] = content
    yield from archives.clashes(name for name, is_file in seen.items() if is_file)
    if len(tops) != 1:
        yield Hit(
            "DIST-METADATA", "", f"has {len(tops)} entries at its top, where a source distribution has one folder"
        )
        return
    top = next(iter(tops))
    stem, _, of_version = top.rpartition("-")
    if canonicalize_name(stem) != project or compare(of_version, version):
        yield Hit("DIST-METADATA", top, f"is not called as {project} {version}, as the file is")
    yield from headers(info.get(f"{top}/PKG-INFO"), f"{top}/PKG-INFO", project, version)


def _is_info(name: str) -> bool:
    parts = name.removeprefix("./").split("/")
    return len(parts) == 2 and parts[1] == "PKG-INFO"


def _zipped(archive: zipfile.ZipFile) -> Iterator[_Member]:
    for entry in archive.infolist():
        with archive.open(entry) as inner:
            content = archives.text(inner, entry.filename) if _is_info(entry.filename) else None
            archives.pour(inner, len, entry.file_size)  # reading to the end compares the checksum
        yield entry.filename, content, False, ""


class _Bounded(io.RawIOBase):
    """What a gzip file unfolds to, a bounded part of it."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source, self._left = source, archives.UNFOLDED_LIMIT

    def read(self, size: int = -1) -> bytes:
        piece = self._source.read(size)
        self._left -= len(piece)
        if self._left < 0:
            raise Broken(f"it unfolds to more than {archives.UNFOLDED_LIMIT:,} bytes")
        return piece


def _tarred(file: BinaryIO) -> Iterator[_Member]:
    with gzip.GzipFile(fileobj=file) as unfolded:
        bounded = _Bounded(cast(IO[bytes], unfolded))
        with tarfile.open(fileobj=bounded, mode="r|", errorlevel=2) as archive:
            for number, member in enumerate(archive):
                if number >= archives.ENTRIES_LIMIT:
                    raise Broken(f"it has more than {archives.ENTRIES_LIMIT:,} entries")
                content = None
                if member.isreg() and _is_info(member.name):
                    inner = archive.extractfile(member)
                    assert inner is not None, "a regular file has content"
                    content = archives.text(inner, member.name)
                yield member.name + ("/" if member.isdir() else ""), content, member.issym(), _kind(member)
            # A header that can't be read ends the list without a word; what stands behind it is not nothing then.
            assert archive.fileobj is not None, "it is open"
            while piece := archive.fileobj.read(1 << 20):
                if piece.strip(b"\0"):
                    raise Broken("bytes stand behind its end")


def _kind(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        base = posixpath.dirname(member.name) if member.issym() else ""
        leads = posixpath.normpath(posixpath.join(base, member.linkname))
        top = member.name.removeprefix("./").split("/")[0]
        out = member.linkname.startswith("/") or leads.split("/")[0] != top
        return f"is a link out of its folder, to {member.linkname[:80]}" if out else ""
    return "" if member.isreg() or member.isdir() else "is a device or another thing that is no file"
