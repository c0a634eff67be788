"""Edits to the signed part of a TUF document: the small steps that the change list is made of, and doing them.

An edit has a kind, a path, and the values before and after. Path segments are member names; inside the list
`delegations.roles`, a role's name stands for its place. Doing all edits on the old document gives the new one, so an
edit that is missing would show as a difference: `changes.changes` relies on that.

Values by kind:

    key-*                       {"keyid", "key", "roles"}; a key that only joins or leaves a role has no "key"; where a
                                key comes, "places" are its (0-based) in the lists of these roles
    delegation-added, -removed  {"position" (0-based), "role"}
    delegation-reordered        {"position"}
    all others                  what stands at the path
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

DELEGATED = ("delegations", "roles")
SUCCINCT = ("delegations", "succinct_roles")
PREFIX = (*SUCCINCT, "name_prefix")


class Step(Protocol):
    """What `apply` needs to know of a change."""

    @property
    def kind(self) -> str:
        """Kind of change."""

    @property
    def path(self) -> tuple[str, ...]:
        """Names of members, from the top."""

    @property
    def old(self) -> Any:
        """What was."""

    @property
    def new(self) -> Any:
        """What is to be."""


@dataclass(frozen=True)
class Edit:
    """One step from an old document to a new one."""

    kind: str
    path: tuple[str, ...]
    old: Any
    new: Any


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values. Python's own takes true for 1."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return len(one) == len(other) and all(k in other and same(v, other[k]) for k, v in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def same_content(was: Any, now: Any) -> bool:
    """Whether two entries describe one file: the same length, and a kind of hash in common, each of which agrees."""
    if not (isinstance(was, dict) and isinstance(now, dict) and same(was.get("length"), now.get("length"))):
        return same(was, now)
    before, after = was.get("hashes"), now.get("hashes")
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return same(before, after)
    shared = before.keys() & after.keys()
    return all(same(before[name], after[name]) for name in shared) and bool(shared or before == after)


def apply(old: Mapping[str, Any] | None, steps: Iterable[Step]) -> dict[str, Any]:
    """The document after all steps, whatever their order. `old` stays as it is, and shares what did not change."""
    work = _Work(old or {})
    ordered = sorted(steps, key=lambda s: (_phase(s), len(s.path), s.path))
    work.delegations([s for s in ordered if s.kind in _LIST_SURGERY and s.path != SUCCINCT])
    listed = [s for s in ordered if _phase(s) <= _JOINING]
    for step in listed:
        _DO.get(step.kind, _Work.put)(work, step)
    work.join([s for s in listed if s.kind == "key-added"])
    for step in ordered[len(listed) :]:
        work.put(step)
    return work.root


def holders(signed: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...], dict[str, Any]]]:
    """Every role object that names keys: its name, path and value. Odd shapes are left out."""
    roles = signed.get("roles")
    for name, role in roles.items() if isinstance(roles, dict) else ():
        if isinstance(role, dict):
            yield name, ("roles", name), role
    delegations = signed.get("delegations")
    if not isinstance(delegations, dict):
        return
    for name, role in (named(delegations.get("roles")) or {}).items():
        yield name, (*DELEGATED, name), role
    succinct = delegations.get("succinct_roles")
    if isinstance(succinct, dict):
        yield succinct_name(succinct), SUCCINCT, succinct


def listed_ids(signed: Mapping[str, Any]) -> Iterator[str]:
    """Every key id that a document says something of: of keys that it lists, and of those that its roles name."""
    for side in (signed, signed.get("delegations")):
        keys = side.get("keys") if isinstance(side, dict) else None
        yield from keys if isinstance(keys, dict) else ()
    for _, _, role in holders(signed):
        yield from key_ids(role) or ()


def succinct_name(role: Mapping[str, Any]) -> str:
    """What all bins of a succinct_roles object are called together (TAP 15)."""
    prefix = role.get("name_prefix")
    return f"{prefix if isinstance(prefix, str) else '?'}-*"


def named(roles: Any) -> dict[str, dict[str, Any]] | None:
    """Delegated roles by name, in order; None where the list is not one of objects with names of their own."""
    if not isinstance(roles, list):
        return None
    found = {r["name"]: r for r in roles if isinstance(r, dict) and isinstance(r.get("name"), str)}
    return found if len(found) == len(roles) else None


def key_ids(role: Mapping[str, Any]) -> list[str] | None:
    """The key ids of a role; None where they are not a list of different strings."""
    ids = role.get("keyids", [])
    if isinstance(ids, list) and all(isinstance(i, str) for i in ids) and len(set(ids)) == len(ids):
        return ids
    return None


class _Work:
    """A document that copies a container the first time something in it changes."""

    def __init__(self, old: Mapping[str, Any]) -> None:
        self.root: dict[str, Any] = dict(old)
        # Holding the copies themselves keeps their ids from being given to other objects.
        self._mine: dict[int, object] = {id(self.root): self.root}
        self._names: dict[int, dict[str, int]] = {}
        self._served: dict[str, list[tuple[str, ...]]] | None = None

    def at(self, path: tuple[str, ...], *, make: bool = False) -> Any:
        """The container at a path, ready to be changed; None where there is none (or a new one, if `make`)."""
        here: Any = self.root
        for segment in path:
            place = self._place(here, segment)
            if place is None:
                if not (make and isinstance(here, dict)):
                    return None
                here[segment] = self._own({})
                place = segment
            child = here[place]
            if not isinstance(child, (dict, list)):
                return None
            if id(child) not in self._mine:
                child = self._own(child.copy())
                here[place] = child
            here = child
        return here

    def _place(self, container: Any, segment: str) -> Any:
        """Key or index of a member; None where there is none."""
        if isinstance(container, dict):
            return segment if segment in container else None
        if not isinstance(container, list):
            return None
        # Names and their order are settled before any list is looked into, so an index of them stays right.
        if id(container) not in self._names:
            self._names[id(container)] = {name: i for i, name in enumerate(named(container) or ())}
        return self._names[id(container)].get(segment)

    def _own(self, container: Any) -> Any:
        self._mine[id(container)] = container
        return container

    def put(self, step: Step) -> None:
        """Set or delete what stands at the path."""
        gone = step.new is None and not step.kind.startswith("field-")
        parent = self.at(step.path[:-1], make=True)
        place = self._place(parent, step.path[-1])
        if gone or step.kind == "field-removed":
            if isinstance(parent, dict) and place is not None:
                del parent[place]
        elif isinstance(parent, dict):
            parent[step.path[-1]] = step.new

    def delegations(self, steps: list[Step]) -> None:
        """Take out the roles that leave or move, then put in those that come or move, at their new places."""
        if not steps:
            return
        roles = self.at(DELEGATED)
        if roles is None:
            parent = self.at(DELEGATED[:-1], make=True)
            if not isinstance(parent, dict):
                return
            parent["roles"] = roles = self._own([])
        before = named(roles) or {}
        out = {s.path[-1] for s in steps if s.kind != "delegation-added"}
        roles[:] = [r for name, r in before.items() if name not in out]
        into = [(s.new["position"], s) for s in steps if s.kind != "delegation-removed"]
        for position, step in sorted(into, key=lambda pair: pair[0]):
            roles.insert(position, step.new["role"] if step.kind == "delegation-added" else before[step.path[-1]])

    def key_added(self, step: Step) -> None:
        """Put the key in; `join` names it in its roles."""
        if "key" in step.new:
            self.put(Edit(step.kind, step.path, None, step.new["key"]))

    def join(self, steps: list[Step]) -> None:
        """Name keys in the roles that they join, each at its place; low places first, so that all end up right."""
        wanted = [
            (place, role, step)
            for step in steps
            for role, place in zip(step.new["roles"], step.new["places"], strict=True)
        ]
        self._make(steps)
        paths = self._where()
        for place, role, step in sorted(wanted, key=lambda w: w[0]):
            for ids in self._ids([role], paths):
                if step.new["keyid"] not in ids:
                    ids.insert(place, step.new["keyid"])

    def key_removed(self, step: Step) -> None:
        """Take the key out, and out of its roles."""
        if "key" in step.old:
            self.put(Edit(step.kind, step.path, None, None))
        for ids in self._ids(step.old["roles"], self._leaving()):
            if step.old["keyid"] in ids:
                ids.remove(step.old["keyid"])

    def key_changed(self, step: Step) -> None:
        """Other bytes under the same id."""
        self.put(Edit(step.kind, step.path, None, step.new["key"]))

    def key_renamed(self, step: Step) -> None:
        """The same key under another id, which takes the place of the old one in every role it serves."""
        was, now = step.old["keyid"], step.new["keyid"]
        self.put(Edit(step.kind, step.path, None, None))
        self.put(Edit(step.kind, (*step.path[:-1], now), None, step.new["key"]))
        for ids in self._ids(step.old["roles"], self._leaving()):
            if was in ids and now not in ids:
                ids[ids.index(was)] = now

    def _make(self, steps: list[Step]) -> None:
        """A first version of root has no roles for keys to join yet."""
        for step in steps:
            for name in step.new["roles"] if step.path[0] != "delegations" else ():
                made = self.at(("roles", name), make=True)
                if isinstance(made, dict):
                    made.setdefault("keyids", [])

    def _leaving(self) -> dict[str, list[tuple[str, ...]]]:
        """The same, kept: while keys go, no role comes."""
        if self._served is None:
            self._served = self._where()
        return self._served

    def _where(self) -> dict[str, list[tuple[str, ...]]]:
        """Where the roles that name keys stand, by name; one look for many roles."""
        found: dict[str, list[tuple[str, ...]]] = {}
        for name, path, role in holders(self.root):
            if key_ids(role) is not None:
                found.setdefault(name, []).append(path)
        return found

    def _ids(self, roles: list[str], paths: Mapping[str, list[tuple[str, ...]]]) -> Iterator[list[str]]:
        """The key ids of these roles, ready to be changed."""
        for path in (path for role in roles for path in paths.get(role, ())):
            ids = self.at((*path, "keyids"))
            if isinstance(ids, list):
                yield ids


_LIST_SURGERY = frozenset({"delegation-added", "delegation-removed", "delegation-reordered"})
_FIELDS = 9
_KEYS = ("key-renamed", "key-removed", "key-changed", "key-added")
_SCALARS = ("version-changed", "expiry-changed", "spec-version-changed", "consistent-snapshot-changed")
_OTHERS = ("threshold-changed", "delegation-changed", "target-added", "target-removed", "target-changed")
_PHASES = (
    dict.fromkeys(_LIST_SURGERY, 0)
    | {kind: phase for phase, kind in enumerate(_KEYS, start=1)}
    | dict.fromkeys((*_SCALARS, *_OTHERS), 5)
)
_JOINING = _PHASES["key-added"]


def _phase(step: Step) -> int:
    # Keys that leave hash bins know them by their old name, keys that join by the new one.
    return _JOINING if step.path == PREFIX else _PHASES.get(step.kind, _FIELDS)


def _bins(work: _Work, step: Step) -> None:
    """Put succinct_roles in or take them out; delegations of the list were dealt with together, before."""
    if step.path == SUCCINCT:
        work.put(Edit(step.kind, step.path, None, step.new and step.new["role"]))


_DO = {
    "key-added": _Work.key_added,
    "key-removed": _Work.key_removed,
    "key-changed": _Work.key_changed,
    "key-renamed": _Work.key_renamed,
} | dict.fromkeys(_LIST_SURGERY, _bins)
