"""A repository as a client finds it: python-tuf's own client walks a folder from a root that is trusted, without a
network (TUF 1.0.34, section 5).

The client asks for URLs that lead nowhere, and a shelf answers from memory or from the folder. What it says of expiry
is by this machine's clock, unless it is given another time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

import tuf
from cryptography.exceptions import UnsupportedAlgorithm
from securesystemslib.exceptions import StorageError
from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from vestry.errors import InputRejected
from vestry.media import repository
from vestry.metadata import intake, layout
from vestry.metadata.document import Document
from vestry.text import printable

NAME = f"python-tuf {tuf.__version__}"
LOOKED_UP = 1000
"""Target paths looked up where none are named: the first of each role, and others up to this number."""

BASE = "https://walk.invalid"  # never looked up: a shelf has no network

REFUSALS = (RepositoryError, DownloadError, StorageError, UnsupportedAlgorithm, ValueError, KeyError, TypeError)
"""Whatever the client or its libraries stumble over is a reason not to trust; their message is the reason."""


@dataclass(frozen=True)
class Fetched:
    """A target that the client asked for: whether it was verified to the last byte, or why not.

    `missing` says that its metadata holds, and that the file itself is not in this folder.
    """

    path: str
    why: str = ""
    missing: bool = False


@dataclass(frozen=True)
class Walk:
    """How far the client came.

    `roots` are the versions it followed, the trusted one first; `roles` what it trusts in the end, by role; `listed` is
    how many target paths the documents list. `refused` is why it stopped, empty where it did not. `notes` tell
    where this folder serves what a server would not, or what a client's usual limits would refuse.
    """

    roots: tuple[int, ...]
    roles: Mapping[str, int]
    targets: tuple[Fetched, ...] = ()
    listed: int = 0
    refused: str = ""
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """The client went all the way, and what it asked for was right."""
        return not self.refused and not any(t.why for t in self.targets)


class Shelf(FetcherInterface):
    """Answers the client: `find` gives the bytes of a URL's path (decoded, as a server would), or None for a 404."""

    def __init__(self, find: Callable[[str], bytes | None]) -> None:
        super().__init__()
        self._find = find

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = urlsplit(url).path
        content = self._find(path)
        if content is None:
            raise DownloadHTTPError(f"not here: {path}", 404)
        yield content


def updater(home: str, shelf: Shelf, bootstrap: bytes, *, limit: int = 0, now: datetime | None = None) -> Updater:
    """The client, with its files in the folder `home`, its clock at `now`, and `limit` bytes for a document.

    Metadata is asked for below ``/m/``, targets below ``/t/``.
    """
    usual = UpdaterConfig()
    config = UpdaterConfig(
        root_max_length=max(limit, usual.root_max_length),
        timestamp_max_length=max(limit, usual.timestamp_max_length),
        snapshot_max_length=max(limit, usual.snapshot_max_length),
        targets_max_length=max(limit, usual.targets_max_length),
    )
    made = Updater(
        metadata_dir=str(Path(home) / "metadata"),
        metadata_base_url=f"{BASE}/m/",
        target_dir=str(Path(home) / "targets"),
        target_base_url=f"{BASE}/t/",
        fetcher=shelf,
        config=config,
        bootstrap=bootstrap,
    )
    if now is not None:
        # The client has no public way to be given the time. An auditor repeats a walk years later, when the documents
        # have expired by the clock on the wall; the version of the client is pinned, and a test watches this line.
        made._trusted_set.reference_time = now
    return made


def walk(
    folder: Path,
    *,
    trusted: bytes | None = None,
    paths: Sequence[str] = (),
    limit: int = repository.FILE_LIMIT,
    now: datetime | None = None,
) -> Walk:
    """Walk a repository's folder from `trusted` (a root's file; the lowest version in the folder if None).

    Targets named in `paths` must be listed, and their files be here; where none are named, what the documents list is
    looked up, and checked where the file is here.

    Raises:
        InputRejected: no root is here, a file is not metadata, or is larger than `limit` bytes.
        MediumTrouble: the folder cannot be read.
    """
    found = repository.read_folder(folder, limit=limit)
    roots = sorted((f.document for f in found if f.document.type == "root"), key=lambda d: d.version)
    bootstrap = roots[0].raw if trusted is None else trusted
    place = _Place(folder, limit)
    with TemporaryDirectory(prefix="vestry-client-") as home:
        shelf = Shelf(place.find)
        fetched: list[Fetched] = []
        listed = _listed([f.document for f in found if f.document.type == "targets"])
        refused = ""
        try:
            client = updater(home, shelf, bootstrap, limit=limit, now=now)
            client.refresh()
        except REFUSALS as error:
            refused = _reason(error)
        else:
            asked = list(paths) if paths else list(listed)[:LOOKED_UP]
            fetched = [_fetch(client, path, required=bool(paths)) for path in asked]
        roots_followed, roles = _kept(Path(home) / "metadata", limit)
    return Walk(roots_followed, roles, tuple(fetched), len(listed), refused, tuple(place.notes))


def _fetch(client: Updater, path: str, *, required: bool) -> Fetched:
    try:
        info = client.get_targetinfo(path)
    except REFUSALS as error:
        return Fetched(path, _reason(error))
    if info is None:
        return Fetched(path, "the client finds nobody who lists it")
    try:
        client.download_target(info)
    except DownloadHTTPError:
        return Fetched(path, "its file is not in this folder") if required else Fetched(path, missing=True)
    except InputRejected as error:
        return Fetched(path, error.what)
    except (*REFUSALS, OSError) as error:
        return Fetched(path, _reason(error))
    return Fetched(path)


def _reason(error: Exception) -> str:
    return printable(f"{type(error).__name__}: {error}", 300)


def _listed(documents: Sequence[Document]) -> Mapping[str, None]:
    """Paths of targets by which each role is reached first, then all others, in the documents' order."""
    newest = {d.file_sha256: d for d in documents}.values()
    every = [list(d.signed.get("targets") or {}) for d in newest]
    heads = dict.fromkeys(names[0] for names in every if names)
    return heads | dict.fromkeys(path for names in every for path in names)


def _kept(cache: Path, limit: int) -> tuple[tuple[int, ...], Mapping[str, int]]:
    """Versions of roots, and of all roles, that the client came to trust: its cache is where it says so publicly."""
    if not cache.is_dir():
        return (), {}
    roots = sorted(int(p.name.split(".")[0]) for p in (cache / "root_history").iterdir())
    paths = sorted(cache.glob("*.json"))
    return tuple(roots), {unquote(p.name.removesuffix(".json")): _version(p.read_bytes(), limit) for p in paths}


def _version(raw: bytes, limit: int) -> int:
    return layout.read(raw, where="a document", limits=intake.Limits(bytes=limit)).version


class _Place:
    """A repository's folder as a server of files: documents by name, targets by path, nothing outside."""

    def __init__(self, folder: Path, limit: int) -> None:
        base = repository.metadata_folder(folder)
        self._targets = next((p for p in (folder / "targets", base.parent / "targets") if p.is_dir()), None)
        self._names = {p.name: p for p in repository.document_files(base)}
        self._limit = limit
        self.notes: list[str] = []

    def find(self, path: str) -> bytes | None:
        """The bytes of a path below ``/m/`` or ``/t/``."""
        kind, name = path[1:2], path[3:]
        return self._document(unquote(name)) if kind == "m" else self._target(unquote(name))

    def _document(self, name: str) -> bytes | None:
        content = self._read(self._names.get(name))
        version, _, plain = name.partition(".")
        if content is None and version.isdigit():
            # A repository in work keeps the newest of each under its plain name; a server would have both.
            content = self._read(self._names.get(plain))
            if content is not None and _version(content, self._limit) != int(version):
                content = None
            if content is not None:
                self._note(f"{plain} was taken for {name}, which a client asks for")
        if content is None:
            return None
        usual = _usual_limit(plain if version.isdigit() else name)
        if len(content) > usual:
            self._note(f"{name} has {len(content):,} bytes; clients take at most {usual:,} unless they are told more")
        return content

    def _target(self, name: str) -> bytes | None:
        parts = name.split("/")
        if self._targets is None or any(p in ("", ".", "..") or "\\" in p or "\0" in p for p in parts):
            return None
        here = self._targets
        for part in parts[:-1]:
            here = here / part
            if here.is_symlink() or not here.is_dir():
                return None
        path = here / parts[-1]
        return self._read(path) if os.path.lexists(path) else None

    def _read(self, path: Path | None) -> bytes | None:
        return None if path is None else intake.read_file(path, limit=self._limit)

    def _note(self, text: str) -> None:
        shown = printable(text, 200)
        if shown not in self.notes:
            self.notes.append(shown)


def _usual_limit(name: str) -> int:
    usual = UpdaterConfig()
    limits = {
        "root.json": usual.root_max_length,
        "timestamp.json": usual.timestamp_max_length,
        "snapshot.json": usual.snapshot_max_length,
    }
    return limits.get(name, usual.targets_max_length)


def trusted_root(path: Path, *, limit: int = repository.FILE_LIMIT) -> bytes:
    """The file of a root that someone trusts.

    Raises:
        InputRejected: it is not one.
    """
    read = repository.read_files([path], limit=limit)[0].document
    if read.type != "root":
        raise InputRejected(
            f"this is {printable(read.type, 20)}, not a root", where=printable(str(path), 200), do="name a root's file"
        )
    return read.raw
