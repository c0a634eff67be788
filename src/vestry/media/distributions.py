"""Files of a release, looked into before they are signed: does what a file is called agree with what is in it.

Nothing is unpacked, imported or run. What disagrees is a finding, like those of a review; docs/findings.md has a
section for each code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import BinaryIO

from packaging.utils import canonicalize_name

from vestry.media import sdists, wheels
from vestry.media.release_archives import Broken, Hit
from vestry.metadata.policy import ORDER, Severity
from vestry.metadata.rulebook import Finding
from vestry.text import printable

CODES: Mapping[str, tuple[Severity, str]] = MappingProxyType(
    {
        "DIST-ARCHIVE": ("stop", "An archive is damaged, or two readers of it see different things."),
        "DIST-PATH": ("stop", "Something in an archive leads out of the folder that it is unpacked in."),
        "DIST-ALIKE": ("warn", "Two files of an archive are one where case does not count, and one of them is lost."),
        "DIST-METADATA": ("stop", "A file's name and the metadata in it are about different projects or versions."),
        "DIST-RECORD": ("stop", "A wheel holds something else than its RECORD lists."),
        "DIST-TAGS": ("warn", "A wheel's name and its WHEEL file are about different systems."),
        "DIST-PROJECT": ("warn", "A file is of another project than the role is for."),
        "DIST-OTHER": ("note", "A file is no wheel and no source distribution: it was not looked into."),
    }
)
"""Severity and sentence of each code."""
_MOST = 20
"""Findings of one code that are listed for a file; a line says how many more there are."""


@dataclass(frozen=True)
class Looked:
    """What a file is: the project (normalised) and version in its name, empty where it is no distribution; and what was
    found in it."""

    project: str
    version: str
    findings: tuple[Finding, ...]


def look(name: str, file: BinaryIO) -> Looked:
    """Look into a file that is called `name`. Never fails because of what is in it."""
    kind = wheels if name.endswith(".whl") else sdists if name.endswith((".tar.gz", ".zip")) else None
    if kind is None:
        return Looked("", "", _findings(name, [Hit("DIST-OTHER", "", "is no wheel or source distribution")]))
    try:
        project, version, hits = kind.look(name, file)
    except Broken as error:
        return Looked("", "", _findings(name, [Hit("DIST-ARCHIVE", "", str(error))]))
    return Looked(project, version, _findings(name, hits))


def of_project(name: str, looked: Looked, project: str) -> tuple[Finding, ...]:
    """What is found where a role is for one project (empty: for several, or it is not known)."""
    if not project or not looked.project or canonicalize_name(project) == looked.project:
        return ()
    return _findings(name, [Hit("DIST-PROJECT", "", f"is of {looked.project}, and the role is for {project}")])


def _findings(name: str, hits: list[Hit]) -> tuple[Finding, ...]:
    found: list[Finding] = []
    counts: dict[str, int] = {}
    for hit in hits:
        counts[hit.code] = counts.get(hit.code, 0) + 1
        if counts[hit.code] <= _MOST:
            place = f"{name}/{hit.place}" if hit.place else name
            text = f"{hit.place or name} {hit.text}"
            found.append(Finding(hit.code, CODES[hit.code][0], printable(place, 200), printable(text, 300)))
    found += [
        Finding(
            code, CODES[code][0], printable(f"{name}/*", 200), printable(f"{name}: and {count - _MOST:,} more like it")
        )
        for code, count in counts.items()
        if count > _MOST
    ]
    return tuple(sorted(found, key=lambda f: (ORDER[f.severity], f.code)))
