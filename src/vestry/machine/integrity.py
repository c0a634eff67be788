"""Is the program that runs the one that was installed, and what are the modules that it will load.

The record of an installation lies beside the files that it is about: whoever can change the one can change the other.
This finds damage and carelessness; against more, compare `software_sha256` in the transcript with that of a release.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path

from vestry.machine.check import Check, shown
from vestry.text import printable

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_PROGRAM, _PACKAGE = "vestry", Path(__file__).resolve().parent.parent
_CODE = (".py", ".so")


@dataclass(frozen=True)
class Module:
    """A PKCS #11 module, or a plug-in, that is to be loaded: what it says of itself, and the SHA-256 of its file.
    `trouble` says why it can't be."""

    name: str
    path: str = ""
    version: str = ""
    sha256: str = ""
    trouble: str = ""


def software(
    find: Callable[[str], Distribution] = metadata.distribution,
    package: Path = _PACKAGE,
) -> Check:
    """Vestry's own files, and those of the packages that it stands on, against the records of their installation."""
    try:
        own = find(_PROGRAM)
    except PackageNotFoundError:
        return Check("cannot tell", "not installed as a package: its files can't be compared with a record")
    here = Path(str(own.locate_file(package.name))).resolve() == package
    compared = [_compared(distribution) for distribution in _standing_on(own, find)[0 if here else 1 :]]
    files, packages = sum(listed for listed, _ in compared), len(compared) - here
    amiss = [name for _, wrong in compared for name in wrong]
    added = [str(p) for p in _added(own, package)] if here else []
    if amiss or added:
        first = shown((amiss or added)[0], 60)
        seen = f"since the installation {len(amiss)} files were changed and {len(added)} added: {first}"
        return Check("stop", seen, "install it again")
    if not here:
        return Check(
            "cannot tell",
            f"runs from a source folder, which has no record; {files:,} files of {packages} packages that it "
            "stands on are as installed",
        )
    return Check("pass", f"{files:,} files of this program and of {packages} packages are as installed")


def _standing_on(own: Distribution, find: Callable[[str], Distribution]) -> list[Distribution]:
    """A package and all that it needs and that is here, itself first."""
    found: dict[str, Distribution] = {}
    waiting = [own]
    while waiting:
        distribution = waiting.pop()
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        if name in found:
            continue
        found[name] = distribution
        for requirement in distribution.requires or ():
            match = _NAME.match(requirement)
            if match and (distribution is own or "extra ==" not in requirement):
                with suppress(PackageNotFoundError):  # for another platform, or an extra that is not installed
                    waiting.append(find(match[0]))
    return list(found.values())


def _compared(distribution: Distribution) -> tuple[int, list[str]]:
    """How many files the record has digests of, and the names of those that differ or are gone.

    Launchers lie elsewhere (``../../../bin``) and are written for the place; what was compiled here has no digest.
    """
    listed, wrong = 0, []
    base = str(distribution.locate_file(""))
    for name, digest, *_ in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
        if digest and not name.startswith(".."):
            listed += 1
            if not _is(os.path.join(base, name), digest):  # noqa: PTH118 - quicker, and there are thousands
                wrong.append(name)
    return listed, wrong


def _is(path: str, digest: str) -> bool:
    """Whether there is a file with that digest, in the form of RECORD."""
    try:
        seen = os.stat(path)  # noqa: PTH116
        return _digest(path, digest.partition("=")[0], seen.st_ino, seen.st_size, seen.st_ctime_ns) == digest
    except OSError:
        return False


@cache
def _digest(path: str, kind: str, *_: int) -> str:
    """Digest of a file that is told apart by its inode, size and time of change, which nobody can set: looking again
    is quick."""
    with Path(path).open("rb", buffering=0) as file:
        found = hashlib.file_digest(file, kind).digest()
    return f"{kind}={base64.urlsafe_b64encode(found).rstrip(b'=').decode('ascii')}"


def _added(own: Distribution, package: Path) -> Iterator[Path]:
    known = {Path(str(own.locate_file(f))).resolve() for f in own.files or ()}
    for path in sorted(package.rglob("*")):
        if path.suffix in _CODE and path.resolve() not in known:
            yield path.relative_to(package.parent)


def modules(found: Sequence[Module]) -> Check:
    """What will be loaded to reach tokens: versions and digests, to be compared with those one expects."""
    if not found:
        return Check("pass", "no PKCS #11 module will be loaded")
    bad = [m for m in found if m.trouble]
    if bad:
        seen = "; ".join(f"{shown(m.name)} can't be used: {printable(m.trouble, 200)}" for m in bad)
        return Check("stop", seen, "mend it, or the script")
    said = "; ".join(
        f"{shown(m.name)} {shown(m.version) or '(no version)'}, {printable(m.path, 200)}, SHA-256 {m.sha256}"
        for m in found
    )
    loose = [shown(m.name) for m in found if m.path.startswith("/") and _anyone_writes(Path(m.path))]
    if loose:
        return Check("warn", f"any user may change {', '.join(loose)}: {said}", "take that right away")
    return Check("pass", said)


def _anyone_writes(path: Path) -> bool:
    above = path.parent.stat().st_mode
    return bool(path.stat().st_mode & stat.S_IWOTH or (above & stat.S_IWOTH and not above & stat.S_ISVTX))
