"""Wheels: whether file name, metadata and list of files agree with what is in the archive (binary distribution format,
version 1.0, and recording of installed projects; packaging.python.org)."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from packaging.tags import Tag, parse_tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from vestry.media import release_archives as archives
from vestry.media.core_metadata import compare, headers
from vestry.media.release_archives import Broken, Hit

_UNHASHED = ("RECORD", "RECORD.jws", "RECORD.p7s")
_STRONG = ("sha256", "sha384", "sha512")
_SHOWN = 20


def look(name: str, file: BinaryIO) -> tuple[str, str, list[Hit]]:
    """Project (normalised), version (as the file's name has it) and what was found.

    Raises:
        Broken: it can't be read to the end.
    """
    try:
        project, version, build, tags = parse_wheel_filename(name)
    except InvalidWheelFilename as error:
        raise Broken(f"the name is none of a wheel: {error}") from error
    try:
        with zipfile.ZipFile(file) as archive:
            hits = list(archives.read_zip(archive, file))
            hits += _content(archive, project, str(version), (build, tags))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError) as error:
        raise Broken(f"the archive can't be read: {error}") from error
    return project, str(version), hits


def _content(
    archive: zipfile.ZipFile, project: str, version: str, named: tuple[tuple[()] | tuple[int, str], frozenset[Tag]]
) -> Iterator[Hit]:
    files = {e.filename: e for e in archive.infolist() if not e.is_dir()}
    tops = {top for top, slash, _ in (f.partition("/") for f in files) if slash}
    infos = sorted(top for top in tops if top.lower().endswith(".dist-info"))
    if len(infos) != 1:
        yield Hit("DIST-METADATA", "", f"has {len(infos)} folders of metadata (.dist-info), where a wheel has one")
        return
    info = infos[0]
    for top in (info, *sorted(top for top in tops if top.endswith(".data"))):
        stem, _, of_version = top.rpartition(".")[0].partition("-")
        if canonicalize_name(stem) != project or compare(of_version, version):
            yield Hit("DIST-METADATA", top, f"is not called as {project} {version}, as the file is")

    def text(name: str) -> bytes | None:
        if (entry := files.get(f"{info}/{name}")) is None:
            return None
        with archive.open(entry) as inner:
            return archives.text(inner, entry.filename)

    yield from headers(text("METADATA"), f"{info}/METADATA", project, version)
    yield from _wheel(text("WHEEL"), f"{info}/WHEEL", *named)
    yield from _record(archive, text("RECORD"), info, files)


def _wheel(raw: bytes | None, place: str, build: tuple[()] | tuple[int, str], tags: frozenset[Tag]) -> Iterator[Hit]:
    if raw is None:
        yield Hit("DIST-METADATA", place, "is missing")
        return
    lines = [line.partition(":") for line in raw.decode("utf-8", "replace").splitlines()]
    said = {tag for field, _, value in lines if field.strip().lower() == "tag" for tag in parse_tag(value.strip())}
    if said != tags:
        theirs = ", ".join(sorted(map(str, said))) or "none"
        yield Hit("DIST-TAGS", place, f"names other systems than the file's name: {theirs}")
    builds = [value.strip() for field, _, value in lines if field.strip().lower() == "build"]
    if builds and builds != ["".join(map(str, build))]:
        yield Hit("DIST-TAGS", place, f"names build {builds[0]}, and the file's name another or none")


def _record(archive: zipfile.ZipFile, raw: bytes | None, info: str, files: dict[str, zipfile.ZipInfo]) -> Iterator[Hit]:
    place = f"{info}/RECORD"
    if raw is None:
        yield Hit("DIST-RECORD", place, "is missing")
        return
    listed: dict[str, tuple[str, str]] = {}
    try:
        for row in csv.reader(io.StringIO(raw.decode("utf-8"), newline=""), strict=True):
            if row and len(row) != 3:
                yield Hit("DIST-RECORD", place, f"has a line that is no path, digest and length: {row[0][:80]}")
            elif row and row[0] in listed:
                yield Hit("DIST-RECORD", row[0], "stands twice in RECORD")
            elif row:
                listed[row[0]] = (row[1], row[2])
    except (UnicodeDecodeError, csv.Error) as error:
        yield Hit("DIST-RECORD", place, f"can't be read: {error}")
        return
    for name in sorted(listed.keys() - files.keys()):
        yield Hit("DIST-RECORD", name, "is in RECORD, and not in the archive")
    own = {f"{info}/{name}" for name in _UNHASHED}
    for name, entry in files.items():
        said = listed.get(name)
        if said is None and (name not in own or name == place):
            yield Hit("DIST-RECORD", name, "is in the archive, and not in RECORD")
        elif said is not None and (said[0] or name not in own) and (why := _differs(archive, entry, *said)):
            yield Hit("DIST-RECORD", name, why)


def _differs(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, said: str, length: str) -> str:
    """How a file is not what RECORD says; empty where it is."""
    algorithm, _, digest = said.partition("=")
    if algorithm not in _STRONG:
        return f"has no SHA-2 digest in RECORD, but '{said[:_SHOWN]}'"
    whole = hashlib.new(algorithm)
    with archive.open(entry) as inner:
        count = archives.pour(inner, whole.update, entry.file_size)
    if base64.urlsafe_b64encode(whole.digest()).rstrip(b"=").decode() != digest.rstrip("="):
        return f"has other content than RECORD says ({algorithm})"
    return f"has {count} bytes, where RECORD says {length[:_SHOWN]}" if length and length != str(count) else ""
