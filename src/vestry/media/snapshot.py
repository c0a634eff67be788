"""A snapshot of a repository in a folder: the files that one version of its snapshot role names, and what became of
them against a last good one.

A folder is pinned by one digest: the SHA-256 of the list of these files, as sha256sum(1) prints it, sorted by name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from vestry.errors import InputRejected
from vestry.metadata import document, intake
from vestry.metadata.comparison import Difference, differences
from vestry.metadata.document import Document
from vestry.text import printable

FILE_LIMIT = 16 << 20
ROLES_LIMIT = 70_000  # 65,536 hash bins, and what is above them
_NUMBERED = re.compile(r"([0-9]{1,12})\.snapshot\.json")


@dataclass(frozen=True)
class Snapshot:
    """A snapshot in `folder`: its document, and the file of each role that it names; empty where there is none."""

    folder: Path
    name: str
    document: Document
    files: Mapping[str, str]

    def read(self, role: str) -> Document | None:
        """The document of `role`; None where its file is missing, or is not the one that the snapshot names.

        Raises:
            InputRejected: the file is no metadata of a targets role.
        """
        if not self.files[role]:
            return None
        path = self.folder / self.files[role]
        raw = intake.read_file(path, limit=FILE_LIMIT)
        found = document.read(raw, where=printable(str(path), 200))
        meta = self.document.signed["meta"][f"{role}.json"]
        hashes = {n: d for n, d in meta.get("hashes", {}).items() if n in ("sha256", "sha512")}
        fits = found.type == "targets" and found.version == meta["version"] and meta.get("length", len(raw)) == len(raw)
        return found if fits and all(hashlib.new(n, raw).hexdigest() == d for n, d in hashes.items()) else None


def open_snapshot(folder: Path) -> Snapshot:
    """The snapshot that ``timestamp.json`` in `folder` (or its ``metadata``) names; without one, the newest.

    Raises:
        InputRejected: there is none, or it names too many roles.
        MediumTrouble: the folder cannot be read.
    """
    base = folder / "metadata" if (folder / "metadata").is_dir() else folder
    where = printable(str(base), 200)
    name = _current(base) or _newest(base)
    if not name or not (base / name).is_file():
        do = "name a folder with the metadata of one snapshot, bins included"
        raise InputRejected("there is no snapshot here", where=where, do=do, code="E-NOTHING")
    found = document.read(intake.read_file(base / name, limit=FILE_LIMIT), where=f"{where}/{name}")
    if found.type != "snapshot":
        raise InputRejected(f"this is a document of type {printable(found.type, 40)}", where=f"{where}/{name}")
    meta = found.signed["meta"]
    if len(meta) > ROLES_LIMIT:
        raise InputRejected(f"it names {len(meta):,} roles, more than {ROLES_LIMIT:,}", where=f"{where}/{name}")
    roles = [file.removesuffix(".json") for file in meta if file.endswith(".json")]
    return Snapshot(base, name, found, {r: _file(base, r, meta[f"{r}.json"]["version"]) for r in sorted(roles)})


def listing(snapshot: Snapshot) -> bytes:
    """The list that pins it: a line for each of its files, ``SHA-256  NAME``, sorted by name."""
    names = sorted({snapshot.name, *(name for name in snapshot.files.values() if name)})
    lines = []
    for name in names:
        raw = intake.read_file(snapshot.folder / name, limit=FILE_LIMIT)
        lines.append(f"{hashlib.sha256(raw).hexdigest()}  {name}\n")
    return "".join(lines).encode()


def compare(good: Snapshot, now: Snapshot) -> Iterator[Difference]:
    """What became of the last good snapshot, role by role; one pair of documents is in memory at a time.

    Raises:
        InputRejected: the good one is not whole, or a file is no metadata.
    """
    if now.document.version < good.document.version:
        yield Difference("rolled-back", "snapshot", good=good.document.version, now=now.document.version)
    for role in good.files:
        before = good.read(role)
        if before is None:
            where = printable(str(good.folder), 200)
            what = f"the good snapshot lacks {printable(role, 60)}, or has another file of it than it names"
            raise InputRejected(what, where=where, do="bring the whole of a snapshot that was good")
        if role not in now.files:
            yield Difference("role-gone", role)
        elif (after := now.read(role)) is None:
            yield Difference("role-wrong", role)
        else:
            yield from differences(role, before, after)
    for role in now.files:
        if role not in good.files:
            yield Difference("role-new", role)


def _current(base: Path) -> str:
    path = base / "timestamp.json"
    if not path.is_file():
        return ""
    found = document.read(intake.read_file(path, limit=FILE_LIMIT), where=printable(str(path), 200))
    version = found.signed["meta"]["snapshot.json"]["version"] if found.type == "timestamp" else 0
    return next((n for n in (f"{version}.snapshot.json", "snapshot.json") if (base / n).is_file()), "")


def _newest(base: Path) -> str:
    numbered = [int(m[1]) for p in base.glob("*.snapshot.json") if (m := _NUMBERED.fullmatch(p.name))]
    return f"{max(numbered)}.snapshot.json" if numbered else "snapshot.json"


def _file(base: Path, role: str, version: int) -> str:
    # Clients ask for a role's name with everything in it percent-encoded, so that none leads out of the folder.
    safe = quote(role, "")
    return next((n for n in (f"{version}.{safe}.json", f"{safe}.json") if (base / n).is_file()), "")
