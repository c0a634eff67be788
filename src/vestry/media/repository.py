"""Published metadata in files: which decides which, from the first root on (TUF 1.0.34, sections 5.3 to 5.6)."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from vestry.errors import InputRejected, MediumTrouble, NotTrusted
from vestry.metadata import intake, layout
from vestry.metadata.document import Document
from vestry.metadata.thresholds import named
from vestry.text import printable

FILE_LIMIT = 64 << 20
FILES_LIMIT = 70_000  # 65,536 hash bins, and a root a month for a lifetime

_NAME = re.compile(r"(?:(?P<version>[0-9]+)\.)?(?P<role>.+)\.json")
TOP = ("root", "timestamp", "snapshot", "targets")
_INNER = ("metadata", "signed")
_HISTORIES = ("root_history",)


@dataclass(frozen=True)
class Found:
    """A document and the name of the role that its file name gives. `misnamed` says that the name gives a version, and
    it is another one."""

    role: str
    document: Document
    where: str
    misnamed: bool = False


@dataclass(frozen=True)
class Link:
    """A document with what decides it: `old`, the root before a root, or `delegator`, the document that delegates.

    `superseded` says that a newer version is there. `problems` are lines on how it fails to fit its neighbours.
    """

    role: str
    document: Document
    old: Document | None = None
    delegator: Document | None = None
    superseded: bool = False
    problems: tuple[str, ...] = ()


def read_files(paths: Iterable[Path], *, limit: int = FILE_LIMIT) -> tuple[Found, ...]:
    """Read files of metadata; the same bytes under several names count once.

    Raises:
        InputRejected: a file is not metadata.
    """
    return distinct(_read(path, limit) for path in paths)


def distinct(found: Iterable[Found]) -> tuple[Found, ...]:
    """The first of those that have a role and its bytes in common, and of misnamed ones."""
    first: dict[tuple[str, str, bool], Found] = {}
    for one in found:
        first.setdefault((one.role, one.document.file_sha256, one.misnamed), one)
    return tuple(first.values())


def role_in_name(path: Path) -> str | None:
    """The role that a file's name gives; None where it gives none."""
    match = _NAME.fullmatch(path.name)
    return unquote(match["role"]) if match else None


def _read(path: Path, limit: int) -> Found:
    where = printable(str(path), 200)
    read = layout.read(intake.read_file(path, limit=limit), where=where, limits=intake.Limits(bytes=limit))
    # The type decides but for delegated targets, which do not carry their role's name.
    role = role_in_name(path) if read.type == "targets" else None
    match = _NAME.fullmatch(path.name)
    misnamed = match is not None and match["version"] is not None and int(match["version"]) != read.version
    return Found(role or read.type, read, where, misnamed)


def read_folder(folder: Path, *, limit: int = FILE_LIMIT) -> tuple[Found, ...]:
    """Read a repository: `folder`, its ``metadata``, or what a ceremony left in its ``signed``.

    A ``root_history`` beside the documents is read, too.

    Raises:
        InputRejected: no root lies there, too many files do, or one of them is not metadata.
        MediumTrouble: the folder cannot be read.
    """
    found = read_files(document_files(metadata_folder(folder)), limit=limit)
    if not any(f.document.type == "root" for f in found):
        raise InputRejected(
            "there is no root here, so neither a bundle nor a repository",
            where=printable(str(folder), 200),
            do="name a bundle, a folder of metadata, or files",
            code="E-NOTHING",
        )
    return found


def metadata_folder(folder: Path) -> Path:
    """Where a repository's documents lie: in `folder` itself, or in the one inside that is for them."""
    return next((folder / inner for inner in _INNER if (folder / inner).is_dir()), folder)


def document_files(base: Path) -> list[Path]:
    """Files of documents in `base`, and in a ``root_history`` there.

    Raises:
        InputRejected: there are too many.
        MediumTrouble: the folder cannot be read.
    """
    return [p for part in (base, *(base / h for h in _HISTORIES)) if part.is_dir() for p in _json_files(part)]


def chain(found: Sequence[Found], *, whole: bool = False) -> tuple[Link, ...]:
    """Put documents in the order in which a client trusts them, each with what decides it.

    `whole` says that these are all of a repository: what timestamp or snapshot list and is not among them is a problem.

    Raises:
        NotTrusted: nothing decides a document, a root is missing in between, or two differ under one version.
    """
    roots = _roots([f for f in found if f.document.type == "root"])
    links = [
        Link("root", new, old=roots[i - 1] if i else None, superseded=i + 1 < len(roots)) for i, new in enumerate(roots)
    ]
    others = [f for f in found if f.document.type != "root"]
    if others and not roots:
        raise NotTrusted(
            f"no root decides who may sign {printable(others[0].role, 60)}",
            where=others[0].where,
            do="name the root, and what delegates, together with it",
            code="E-CHAIN",
        )
    newest = _newest(others)
    for role in ("timestamp", "snapshot", "targets"):
        if role in newest:
            links.append(Link(role, newest[role].document, delegator=roots[-1]))
    links += _delegated(newest, links)
    # Clients ask for every root; of others, for the one that is listed, of which there may be a copy of the right name.
    misnamed = {(f.role, f.document.version) for f in found if f.misnamed and f is newest.get(f.role, f)}
    fitted = [
        replace(k, problems=(*_fits(k, newest), *_wrong_name((k.role, k.document.version) in misnamed))) for k in links
    ]
    if whole:
        here = {f.role for f in found}
        fitted = [replace(k, problems=(*k.problems, *_missing(k, here))) for k in fitted]
    return tuple(fitted)


def below(one: Found, above: Sequence[Document], frame: Sequence[Found]) -> Link:
    """The link of a delegated document under the first of `above` that delegates to it, if one does, as `chain` makes
    it of all documents; `frame` has those that list it."""
    delegator = next((d for d in above if named(d, one.role) is not None), None)
    link = Link(one.role, one.document, delegator=delegator)
    return replace(link, problems=(*_fits(link, _newest(frame)), *_wrong_name(one.misnamed)))


def _wrong_name(misnamed: bool) -> tuple[str, ...]:
    wrong = "it lies in a file whose name gives another version: clients that ask for that one refuse it"
    return (wrong,) if misnamed else ()


def _newest(found: Iterable[Found]) -> dict[str, Found]:
    return {f.role: f for f in sorted(found, key=lambda f: (f.document.version, not f.misnamed))}


def _json_files(folder: Path) -> list[Path]:
    found: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".json") and not entry.name.startswith("."):
                    found.append(Path(entry.path))
                if len(found) > FILES_LIMIT:
                    raise InputRejected(f"more than {FILES_LIMIT} files", where=printable(str(folder), 200))
    except OSError as error:
        raise MediumTrouble(
            f"the folder cannot be read ({error.strerror})", where=printable(str(folder), 200), do="check the drive"
        ) from error
    return sorted(found)


def _roots(found: Sequence[Found]) -> list[Document]:
    by_version: dict[int, Found] = {}
    for one in sorted(found, key=lambda f: (f.document.version, -len(f.document.signatures))):
        before = by_version.setdefault(one.document.version, one)
        if before.document.digest != one.document.digest:
            raise NotTrusted(
                f"two different roots are version {one.document.version}",
                where=one.where,
                do=f"find out which one clients have; the other is {before.where}",
                code="E-CHAIN",
            )
    versions = sorted(by_version)
    gap = [v for v in versions[1:] if v - 1 not in by_version]
    if gap:
        raise NotTrusted(
            f"root v{gap[0] - 1} is missing, so nothing leads to root v{gap[0]}",
            where=by_version[gap[0]].where,
            do="name every root in between",
            code="E-CHAIN",
        )
    return [by_version[v].document for v in versions]


def _delegated(newest: Mapping[str, Found], links: Sequence[Link]) -> list[Link]:
    waiting = {role: f for role, f in newest.items() if role not in TOP}
    above = [k.document for k in links if k.role == "targets"]
    reached: list[Link] = []
    while waiting and above:
        delegator = above.pop(0)
        for role in [r for r in waiting if named(delegator, r) is not None]:
            new = waiting.pop(role).document
            reached.append(Link(role, new, delegator=delegator))
            above.append(new)
    for role, lost in waiting.items():
        raise NotTrusted(
            f"no document here delegates to {printable(role, 60)}",
            where=lost.where,
            do="name the document that delegates to it",
            code="E-CHAIN",
        )
    return reached


def _missing(link: Link, here: Set[str]) -> tuple[str, ...]:
    """What the document lists and is not `here`: a client that asks for it is refused."""
    if link.role not in ("timestamp", "snapshot"):
        return ()
    listed = (name.removesuffix(".json") for name in link.document.signed.get("meta", {}))
    lost = sorted(name for name in listed if name not in here)
    if not lost:
        return ()
    named_ones = ", ".join(printable(name, 40) for name in lost[:_NAMED]) + (", ..." if len(lost) > _NAMED else "")
    verb = "a document that is" if len(lost) == 1 else f"{len(lost):,} documents that are"
    return (f"it lists {verb} not here: {named_ones}",)


_NAMED = 3
"""Missing documents named; the others are counted."""


def _fits(link: Link, newest: Mapping[str, Found]) -> tuple[str, ...]:
    """How the document fails to be the one that timestamp or snapshot, where they are there, list."""
    lister = {"root": "", "timestamp": "", "snapshot": "timestamp"}.get(link.role, "snapshot")
    if lister not in newest:
        return ()
    meta = newest[lister].document.signed.get("meta", {})
    listed = meta.get(f"{link.role}.json")
    if not isinstance(listed, dict):
        return (f"{lister} does not list it",)
    problems = []
    if listed.get("version") != link.document.version:
        problems.append(f"{lister} lists version {listed.get('version')}")
    if "length" in listed and listed["length"] != len(link.document.raw):
        problems.append(f"{lister} lists {listed['length']} bytes, and it has {len(link.document.raw)}")
    hashes = listed.get("hashes", {})
    for name in ("sha256", "sha512"):
        if name in hashes and hashes[name] != hashlib.new(name, link.document.raw).hexdigest():
            problems.append(f"{lister} lists another {name}")
    return tuple(problems)
