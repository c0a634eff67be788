"""Projects that move from recently-claimed, which an online key signs, to claimed, which people sign (PEP 480, "Maximum
Security Model"): what is looked at for each of them, and what comes of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from vestry.metadata import drafting, forms, scope
from vestry.metadata.delegation_index import Index
from vestry.metadata.document import ROLES, Document, LargeDocument
from vestry.metadata.edits import DELEGATED
from vestry.metadata.keys import Key
from vestry.metadata.lookalike import Known, normal, project_of, skeleton, skeletons
from vestry.metadata.parts import Delegation
from vestry.metadata.policy import ORDER, Severity
from vestry.metadata.rulebook import Finding
from vestry.metadata.rules_delegations import delegated, patterns
from vestry.metadata.thresholds import Authority, named, tally
from vestry.text import printable

CODES: Mapping[str, tuple[Severity, str]] = MappingProxyType(
    {
        "CLAIM-NAME": (
            "stop",
            "A project's name can be none, is a role's, not written as indexes compare it, or there twice.",
        ),
        "CLAIM-UNKNOWN": ("stop", "A project that is to move is not in recently-claimed."),
        "CLAIM-ALREADY": ("stop", "A project that is to move is in claimed already."),
        "CLAIM-KEYS": ("stop", "A project's keys can't meet its threshold, or are not its own."),
        "CLAIM-PATHS": ("stop", "A project's paths are not its own, or not among those that claimed was given."),
        "CLAIM-METADATA": ("stop", "A project's own metadata is not what its keys and paths allow."),
        "CLAIM-TERMINATING": (
            "warn",
            "A project ends the search for its files, or does not, unlike all that are claimed.",
        ),
        "CLAIM-LOOKALIKE": ("warn", "A project's name looks like a well-known or a claimed one."),
        "CLAIM-UNSEEN": ("note", "A project's own metadata was not here to be looked at."),
    }
)
"""Severity and sentence of each code."""


@dataclass(frozen=True)
class Roles:
    """The documents that a move is about: what delegates to both, claimed (None: there is none yet) and
    recently-claimed, with their roles' names."""

    delegator: Document
    claimed: Document | None
    recently: Document
    claimed_role: str = "claimed"
    recently_role: str = "recently-claimed"


def judge(
    projects: Sequence[str], roles: Roles, *, well_known: Known, metadata: Mapping[str, Document], now: datetime
) -> tuple[Finding, ...]:
    """What there is to say about each project that is to move, worst first. `metadata` holds projects' own documents,
    as far as they are at hand."""
    look = _Look(roles, frozenset(projects), well_known)
    found: list[Finding] = []
    seen: Counter[str] = Counter()
    for project in projects:
        seen[project] += 1
        hits = list(look.project(project)) if seen[project] == 1 else []
        if seen[project] == 2:
            hits = [("CLAIM-NAME", "stands twice in the list")]
        entry = look.recently.get(project)
        if entry is not None and seen[project] == 1:
            own = metadata.get(project)
            hits += look.metadata(project, own, now) if own is not None else []
            if own is None and metadata:
                hits.append(("CLAIM-UNSEEN", "has no metadata here"))
        found += [_finding(code, project, text) for code, text in hits]
    return tuple(sorted(found, key=lambda f: (ORDER[f.severity], f.code, f.where)))


def move(
    projects: Sequence[str], roles: Roles, *, expires: datetime, recently_expires: datetime
) -> tuple[bytes, bytes]:
    """The unsigned next versions of claimed, with `projects` after those it has, and of recently-claimed, without them.
    Their delegations and keys are carried over as they stand.

    Raises:
        InputRejected: a delegation can't be drafted; `judge` says why before.
    """
    listed = delegated(roles.recently.signed)
    keys = roles.recently.signed["delegations"]["keys"]
    put = [_delegation(listed[project], keys) for project in projects]
    claimed = drafting.next_delegator(roles.claimed, expires=expires, put=put)
    return claimed, drafting.next_delegator(roles.recently, expires=recently_expires, remove=projects)


_FIELDS = frozenset({"name", "keyids", "threshold", "paths", "path_hash_prefixes", "terminating"})


def _delegation(entry: Mapping[str, Any], keys: Mapping[str, Any]) -> Delegation:
    return Delegation(
        entry["name"],
        tuple(Key.from_dict(keyid, keys[keyid]) for keyid in entry["keyids"]),
        entry["threshold"],
        tuple(entry.get("paths") or ()),
        tuple(entry.get("path_hash_prefixes") or ()),
        terminating=entry["terminating"],
        extra={name: value for name, value in entry.items() if name not in _FIELDS},
    )


def _finding(code: str, project: str, text: str) -> Finding:
    where = printable("/".join((*DELEGATED, project)), 200)
    return Finding(code, CODES[code][0], where, printable(f"Project {project[:100]} {text}", 300))


_Hit = tuple[str, str]
_NAME = re.compile("[a-z0-9]+(?:-[a-z0-9]+)*")  # as normalised (PEP 508, PEP 503)


class _Look:
    """What is the same for all projects, found out once."""

    def __init__(self, roles: Roles, projects: frozenset[str], well_known: Known) -> None:
        self.roles, self.well_known = roles, well_known
        self.recently = delegated(roles.recently.signed)
        self._keys = roles.recently.signed.get("delegations", {}).get("keys", {})
        online = named(roles.delegator, roles.recently_role)
        self._online = {key.fingerprint for key in online.keys} if online is not None else set()
        self._given = Index()
        self._given.add(0, list(scope.given(roles.delegator, roles.claimed_role)))
        self._is_claimed, self._alike = _claimed(roles.claimed, projects)
        self._ends = _endings(roles.claimed)
        self._roles = {*ROLES, roles.claimed_role, roles.recently_role, *delegated(roles.delegator.signed)}
        self._spelled = {normal(name): name for name in self.recently if normal(name) != name}

    def project(self, name: str) -> Iterator[_Hit]:
        yield from self._name(name)
        other = self._alike.get(name)
        if self._is_claimed(name):
            yield "CLAIM-ALREADY", "is in claimed already"
        elif other is not None and normal(other) == name:
            yield "CLAIM-ALREADY", f"is in claimed already, as {other[:100]}"
        if (found := self.well_known.like(name)) is not None:
            yield "CLAIM-LOOKALIKE", f"looks like the well-known {found[0]}: it {found[1]}"
        elif other is not None and normal(other) != name:
            yield "CLAIM-LOOKALIKE", f"differs from {other[:100]}, which is claimed, only in letters that look alike"
        entry = self.recently.get(name)
        if entry is None:
            yield "CLAIM-UNKNOWN", "is not in recently-claimed"
            return
        yield from self._keys_of(entry)
        yield from self._paths_of(name, entry)
        if self._ends and entry["terminating"] not in self._ends:
            does = "ends the search for its files" if entry["terminating"] else "does not end the search for its files"
            yield "CLAIM-TERMINATING", f"{does}, unlike every project that is claimed"

    def _name(self, name: str) -> Iterator[_Hit]:
        if not _NAME.fullmatch(normal(name)):
            yield "CLAIM-NAME", "has a name that no project can have"
        elif normal(name) != name:
            yield "CLAIM-NAME", f"is {normal(name)[:100]}, as indexes compare names"
        elif name in self._spelled:
            yield "CLAIM-NAME", f"is in recently-claimed as {self._spelled[name][:100]}, too"
        if name in self._roles:
            yield "CLAIM-NAME", "is called as a role of the repository, whose documents it would have to replace"

    def _keys_of(self, entry: Mapping[str, Any]) -> Iterator[_Hit]:
        keys = [Key.from_dict(keyid, self._keys[keyid]) for keyid in entry["keyids"] if keyid in self._keys]
        if len(keys) < len(entry["keyids"]):
            yield "CLAIM-KEYS", "names a key that recently-claimed does not list"
        if any(not key.spki for key in keys):
            yield "CLAIM-KEYS", "has a key that can't be read"
        distinct = {key.fingerprint for key in keys if key.spki}
        if len(distinct) < sum(bool(key.spki) for key in keys):
            yield "CLAIM-KEYS", "has one key under two key ids"
        if not 1 <= entry["threshold"] <= len(distinct):
            yield "CLAIM-KEYS", f"needs {entry['threshold']} signatures of {len(distinct)} keys"
        if distinct & self._online:
            yield "CLAIM-KEYS", "has the online key of recently-claimed among its own"

    def _paths_of(self, name: str, entry: Mapping[str, Any]) -> Iterator[_Hit]:
        listed = patterns(entry)
        if not listed:
            yield "CLAIM-PATHS", "has no paths"
        for kind, pattern in listed:
            if kind == "prefix":
                yield "CLAIM-PATHS", "is delegated to by hash prefix, which any project's files may have"
            elif normal(project_of(pattern)) != normal(name):
                yield "CLAIM-PATHS", f"has a path that is not its own: {pattern[:100]}"
            elif self._given.first((kind, pattern), 1, "covers") is None:
                yield "CLAIM-PATHS", f"has a path that {self.roles.claimed_role} was not given: {pattern[:100]}"

    def metadata(self, name: str, own: Document, now: datetime) -> Iterator[_Hit]:
        held = named(self.roles.recently, name)
        who = held if held is not None else Authority("recently-claimed", name, 1, ())
        if not (count := tally(own, who)).met:
            yield "CLAIM-METADATA", f"has metadata signed by {count.sentence} only"
        if own.type != "targets":
            yield "CLAIM-METADATA", f"has metadata that is a {own.type[:20]}"
            return
        if own.expires <= now:
            yield "CLAIM-METADATA", f"has metadata that expired on {own.expires:%Y-%m-%d}"
        if outside := next((p for p in own.signed["targets"] if not scope.allows(self.roles.recently, name, p)), ""):
            yield "CLAIM-METADATA", f"lists a file that it was not given: {outside[:100]}"


_BARE = str.maketrans("", "", "-_.")


def _claimed(claimed: Document | None, projects: frozenset[str]) -> tuple[Callable[[str], bool], Mapping[str, str]]:
    """Whether a project is claimed, and for some of `projects` a claimed one whose name looks alike."""
    if isinstance(claimed, LargeDocument):
        few = set(delegated(claimed.left.signed))
        many = claimed.left.numbers()
        names = [*few, *map(bytes.decode, many)]
    else:
        few, many = set(delegated(claimed.signed)) if claimed is not None else set(), {}
        names = list(few)
    shapes = {skeleton(project).translate(_BARE): project for project in sorted(projects)}
    alike: dict[str, str] = {}
    for name, shape in skeletons(names):
        project = shapes.get(shape.translate(_BARE))
        if project is not None and project != name:
            # One that indexes take for it, or else the first by name: large files are not met in their order.
            both = (alike.get(project, name), name)
            alike[project] = min((normal(other) != project, other) for other in both)[1]
    return lambda name: name in few or name.encode("utf-8", "surrogateescape") in many, alike


def _endings(claimed: Document | None) -> frozenset[bool]:
    """Which values of ``terminating`` claimed projects have."""
    if claimed is None:
        return frozenset()
    part = claimed.left if isinstance(claimed, LargeDocument) else claimed
    found = {role["terminating"] for role in delegated(part.signed).values()}
    if isinstance(claimed, LargeDocument):
        runs = [run for run, _ in claimed.left.runs if run.form is forms.ROLES]
        texts = {value: f'"terminating":{str(value).lower()}'.encode() for value in (True, False)}
        found |= {v for v, text in texts.items() if any(run.raw.find(text, run.start, run.end) >= 0 for run in runs)}
    return frozenset(found)
