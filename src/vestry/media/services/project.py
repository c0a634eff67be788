"""A project's transaction (PEP 480): a ZIP with ``metadata/``, the project's signed roles, and ``targets/``, its files.

The file is made the same way from the same content: entries in the order of their names, stored, without a time.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from vestry.errors import InputRejected
from vestry.media import names, unzip
from vestry.media.member import Member, Odd
from vestry.metadata import document, intake
from vestry.metadata.document import Document
from vestry.text import printable

_METADATA, _TARGETS = "metadata/", "targets/"
_ENTRIES = 10_000
_HASHES = {"sha256": "sha256", "sha512": "sha512", "sha384": "sha384", "sha224": "sha224"}
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Transaction:
    """What came: documents by role, and for each what is wrong with the files in the archive that it lists, or that
    nothing lists. `absent` are paths that a document lists and the archive does not hold."""

    documents: Mapping[str, Document]
    problems: Mapping[str, tuple[str, ...]]
    absent: tuple[str, ...] = ()


def write(documents: Mapping[str, Document], files: Sequence[bytes]) -> bytes:
    """The archive of signed documents and of files, each under the path at which one of the documents lists it.

    Raises:
        InputRejected: no document lists a file.
    """
    contents = {f"{_METADATA}{quote(role, safe='')}.json": doc.raw for role, doc in documents.items()}
    contents |= {f"{_TARGETS}{path}": data for path, data in placed(documents.values(), files).items()}
    names.check(contents)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in sorted(contents):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), contents[name])
    return made.getvalue()


def placed(documents: Iterable[Document], files: Sequence[bytes]) -> Mapping[str, bytes]:
    """Files by the paths at which documents list their content.

    Raises:
        InputRejected: no document lists a file.
    """
    listed = [entry for doc in documents for entry in _listed(doc)]
    found: dict[str, bytes] = {}
    for data in files:
        paths = [p for p, entry in listed if not _wrong(entry, data)]
        if not paths:
            raise InputRejected(
                f"no document lists a file of {len(data):,} bytes with SHA-256 {hashlib.sha256(data).hexdigest()}",
                where="--files",
                do="stage the file first",
                code="E-SERVICE",
            )
        found |= dict.fromkeys(paths, data)
    return found


def is_transaction(path: Path) -> bool:
    """Whether a file may be one: a ZIP that is no bundle's."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.startswith(_METADATA) for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


def read(path: Path, *, limit: int) -> Transaction:
    """Read a transaction, and hold its files against its documents. Nothing is unpacked to a disk.

    Raises:
        InputRejected: more than `limit` bytes, an archive that could be read in two ways, an entry that a transaction
            does not have, or a document that is malformed.
    """
    shown = printable(str(path), 200)
    try:
        members = [m for m in unzip.members(intake.read_file(path, limit=limit), _ENTRIES) if not m.is_folder]
        if odd := names.first_odd([m.name for m in members]):
            raise Odd(odd[1], name=odd[0])
        if sum(m.size for m in members) > limit:
            raise Odd(f"it unfolds to more than {limit:,} bytes", do="give a larger --limit")
        return _checked(members, limit, shown)
    except Odd as error:
        where = f"{shown}, {printable(error.name, 120)}" if error.name else shown
        raise InputRejected(
            str(error), where=where, do=error.do or "ask for the transaction again", code="E-ARCHIVE"
        ) from None


def _checked(members: Sequence[Member], limit: int, shown: str) -> Transaction:
    documents: dict[str, Document] = {}
    files: dict[str, bytes] = {}
    for m in members:
        if m.name.startswith(_TARGETS):
            files[m.name.removeprefix(_TARGETS)] = m.unfold(limit)
        elif m.name.startswith(_METADATA) and m.name.endswith(".json") and m.name.count("/") == 1:
            role = unquote(m.name.removeprefix(_METADATA).removesuffix(".json"))
            documents[role] = document.read(m.unfold(limit), where=f"{shown}, {printable(m.name, 120)}")
            if documents[role].type != "targets":
                raise Odd("a project signs targets alone", name=m.name)
        else:
            raise Odd("a transaction holds metadata/ROLE.json and targets/ alone", name=m.name)
    if not documents:
        raise Odd("it holds no metadata")
    listed = {path: (role, entry) for role, doc in documents.items() for path, entry in _listed(doc)}
    problems: dict[str, list[str]] = {role: [] for role in documents}
    for path, data in files.items():
        role, entry = listed.get(path, (next(iter(documents)), None))
        why = "nothing lists it" if entry is None else _wrong(entry, data)
        if why:
            problems[role].append(f"{path[:120]}: {why}")
    absent = tuple(path for path in listed if path not in files)
    return Transaction(documents, {role: tuple(found) for role, found in problems.items()}, absent)


def _listed(found: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from (found.signed.get("targets") or {}).items()


def _wrong(entry: Mapping[str, Any], data: bytes) -> str:
    if entry.get("length") != len(data):
        return f"it has {len(data):,} bytes, and {entry.get('length')} are listed"
    hashes = entry.get("hashes") or {}
    known = [name for name in hashes if name in _HASHES or name == "blake2b-256"]
    if not known:
        return "no hash is listed that is known here"
    for name in known:
        if name == "blake2b-256":
            found = hashlib.blake2b(data, digest_size=32).hexdigest()
        else:
            found = hashlib.new(_HASHES[name], data).hexdigest()
        if found != hashes[name]:
            return f"another {name} is listed"
    return ""
