"""What leads from a root down to a role: root, targets and the delegating roles between, each verified by the one above
it (TUF 1.0.34, sections 5.3 to 5.6), out of files that were named and those that lie beside the root.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

from vestry.errors import InputRejected, NotTrusted
from vestry.media.repository import FILES_LIMIT
from vestry.metadata import scope
from vestry.metadata.document import ROLES, Document, role_entry
from vestry.metadata.thresholds import Authority, Tally, named, tally
from vestry.text import printable

_NAME = re.compile(r"(?:(?P<version>[0-9]{1,18})\.)?(?P<role>.+)\.json")
_BESIDE = 64
"""Documents beside the root that are read in search of a role."""


@dataclass(frozen=True)
class Given:
    """A document, where it came from, and the role that its file name gives."""

    role: str
    document: Document
    where: str


@dataclass(frozen=True)
class Link:
    """A role above the one in question, and its document."""

    role: str
    document: Document

    @property
    def title(self) -> str:
        """``claimed v7``."""
        return f"{printable(self.role, 60)} v{self.document.version}"


@dataclass(frozen=True)
class Lineage:
    """What decides about `role`: `links` from the root to what delegates to it. `previous` is its newest version that
    is at hand, and `vouched` says whether it bears the signatures that count for it today. `notes` are what a reader
    must know of all this, printable.
    """

    role: str
    links: tuple[Link, ...]
    previous: Document | None
    vouched: bool
    notes: tuple[str, ...]

    @property
    def delegator(self) -> Document:
        """The document that names the role's keys."""
        return self.links[-1].document

    @property
    def authority(self) -> Authority:
        """Who signs for the role."""
        found = named(self.delegator, self.role)
        assert found is not None, "a lineage ends in what names the role"
        return found

    def scopes(self) -> tuple[tuple[Link, str], ...]:
        """The delegations on the way: each document below the root with the role that it delegates to."""
        below = [*(link.role for link in self.links[2:]), self.role]
        return tuple(zip(self.links[1:], below, strict=True)) if len(self.links) > 1 else ()

    def outside(self, path: str) -> Link | None:
        """The first document on the way that did not give a target path to the role below it."""
        return next((link for link, role in self.scopes() if not scope.allows(link.document, role, path)), None)


class Beside:
    """Metadata in one folder, by role; a file is read when it is asked for. `read` reads one."""

    def __init__(self, folder: Path, read: Callable[[Path], Document]) -> None:
        self._folder, self._read = folder, read
        self._found: dict[str, list[tuple[int, str]]] | None = None

    def roles(self) -> set[str]:
        """Roles that files here are called by."""
        return set(self._listed())

    def newest(self, role: str) -> Given | None:
        """The newest version of a role that lies here: that of the highest number in a file's name, or the one in a
        file of the role's plain name, whichever is the newer."""
        listed = sorted(self._listed().get(role, []))
        plain = [name for version, name in listed if version < 0]
        names = plain + [name for version, name in listed if version >= 0][-1:]
        found = [Given(role, self._read(self._folder / n), printable(str(self._folder / n), 200)) for n in names]
        return max(found, key=lambda g: g.document.version, default=None)

    def _listed(self) -> dict[str, list[tuple[int, str]]]:
        if self._found is None:
            self._found = {}
            with os.scandir(self._folder) as entries:
                for number, entry in enumerate(entries):
                    match = _NAME.fullmatch(entry.name)
                    if match and not entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                        at = int(match["version"]) if match["version"] else -1
                        self._found.setdefault(unquote(match["role"]), []).append((at, entry.name))
                    if number > FILES_LIMIT:
                        break
        return self._found


def trace(root: Document, role: str, given: Sequence[Given], beside: Beside | None, now: datetime) -> Lineage:
    """What leads from `root` to `role`, out of the documents `given` and those `beside` the root.

    A document among those given that is on the way decides; one that is called as the role is its version before, and
    so is one that nothing else accounts for.

    Raises:
        NotTrusted: the root, or a given document on the way, does not meet its threshold; or nothing leads there.
        InputRejected: the role is not targets and not a delegated one.
    """
    if role in ROLES and role != "targets":
        raise InputRejected(f"{role} lists no files and delegates nothing", where="--role", code="E-STAGE")
    if not (held := _tally(root, root, "root")).met:
        raise NotTrusted(
            f"root v{root.version} is signed by {held.sentence} only",
            where="--root",
            do="start from a root that its own keys have signed",
            code="E-ROOT-UNSIGNED",
        )
    search = _Search(root, role, given, beside)
    links = search.links()
    notes = list(search.notes)
    notes += [
        f"{link.title} expired on {link.document.expires:%Y-%m-%d}; clients refuse it"
        for link in links
        if link.document.expires <= now
    ]
    used = {id(link.document) for link in links}
    before = _version_before(role, links[-1], [g for g in given if id(g.document) not in used])
    if before is None and beside is not None and (before := beside.newest(role)) is not None:
        notes.append(f"{printable(role, 60)} v{before.document.version} lies beside the root, and is followed")
    if before is None:
        return Lineage(role, links, None, vouched=False, notes=tuple(notes))
    held = _tally(before.document, links[-1].document, role)
    if not held.met:
        notes.append(
            f"{printable(role, 60)} v{before.document.version} is signed by {held.sentence} only, perhaps under earlier"
            " keys: what it lists is carried over, and reviewed as if all of it were new"
        )
    return Lineage(role, links, before.document, held.met, tuple(notes))


def _version_before(role: str, above: Link, rest: Sequence[Given]) -> Given | None:
    """The newest of the documents that are called as the role, or that its keys signed whatever they are called.

    Raises:
        NotTrusted: there are others alone.
    """
    # One key may serve several roles: what is called as another one is not taken for this.
    odd = [g for g in rest if g.role not in ROLES and role_entry(above.document, g.role) is None]
    mine = [g for g in rest if g.role == role] or [g for g in odd if _tally(g.document, above.document, role).met]
    if rest and not mine:
        called = printable(rest[0].role or "nothing", 60)
        raise NotTrusted(
            f"it is called as {called}, and is no {printable(role, 60)} by its signatures",
            where=rest[0].where,
            do=f"name its role, --role {called}, or the documents between, --delegator FILE",
            code="E-CHAIN",
        )
    return max(mine, key=lambda g: g.document.version, default=None)


class _Search:
    """Documents that lead to a role, nearest to the root first."""

    def __init__(self, root: Document, role: str, given: Sequence[Given], beside: Beside | None) -> None:
        self._root, self._role, self._given, self._beside = root, role, given, beside
        self.notes: list[str] = []

    def links(self) -> tuple[Link, ...]:
        top = Link("root", self._root)
        if self._role == "targets":
            return (top,)
        targets = self._targets()
        waiting: list[tuple[Link, ...]] = [(top, Link("targets", targets))] if targets is not None else []
        met = {"root", "targets"}
        while waiting:
            path = waiting.pop(0)
            if role_entry(path[-1].document, self._role) is not None:
                return path
            for below in self._below(path[-1], met):
                met.add(below.role)
                waiting.append((*path, below))
        return (top, self._loose())

    def _targets(self) -> Document | None:
        lying = self._beside.newest("targets") if self._beside is not None else None
        named_so = [g for g in self._given if g.role == "targets"]
        # One key may serve several roles: what is called as another one is not taken for targets.
        others = {
            self._role,
            *(g.role for g in self._given if lying and role_entry(lying.document, g.role) is not None),
        }
        nameless = [g for g in self._given if g.role not in others and g not in named_so]
        candidates: list[Given] = [*named_so, *nameless, *([lying] if lying else ())]
        for one in candidates:
            held = _tally(one.document, self._root, "targets")
            if held.met:
                return one.document
            if one not in nameless or held.valid or held.invalid:
                raise _unsigned(one, "targets", held)
        return None

    def _below(self, above: Link, met: set[str]) -> Iterator[Link]:
        """Documents of roles that `above` delegates to; those that were given first, and they must hold."""
        for one in self._given:
            if one.role not in met and role_entry(above.document, one.role) is not None:
                if not (held := _tally(one.document, above.document, one.role)).met:
                    if role_entry(one.document, self._role) is None:
                        continue  # the version before, perhaps under earlier keys
                    raise _unsigned(one, one.role, held)
                yield Link(one.role, one.document)
        if self._beside is None:
            return
        named_here = [r for r in sorted(self._beside.roles() - met) if role_entry(above.document, r) is not None]
        for role in named_here[:_BESIDE]:
            found = self._beside.newest(role)
            if role not in met and found is not None and _tally(found.document, above.document, role).met:
                yield Link(role, found.document)

    def _loose(self) -> Link:
        """A given document that names the role, though nothing leads to it: told, and never one without signatures."""
        for one in self._given:
            if role_entry(one.document, self._role) is not None and one.document.signatures:
                name = one.role or "a role without a name"
                self.notes.append(
                    f"{printable(name, 60)} v{one.document.version} names the keys, and could not be verified: nothing "
                    f"here leads from root v{self._root.version} to it. Compare its digest with the published one"
                )
                return Link(name, one.document)
        raise NotTrusted(
            f"nothing here leads from root v{self._root.version} to {printable(self._role, 60)}",
            where="--role",
            do="name the documents between, signed: --delegator FILE, from targets down",
            code="E-CHAIN",
        )


def _tally(new: Document, above: Document, role: str) -> Tally:
    held = named(above, role)
    if held is None:
        return Tally(f"{above.type} v{above.version}", 1, (), (), (), met=False)
    return tally(new, held)


def _unsigned(one: Given, role: str, held: Tally) -> NotTrusted:
    return NotTrusted(
        f"{printable(role, 60)} v{one.document.version} is signed by {held.sentence} only",
        where=one.where,
        do="take the published one, signed by its threshold",
        code="E-CHAIN",
    )
