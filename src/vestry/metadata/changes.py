"""Old and new signed part of a TUF document -> the list of what changed, lossless and in the field's language.

`apply(old, changes(old, new))` equals `new`, canonical byte for canonical byte: nothing can hide from a reader. What
has a name in TUF is found first (keys, thresholds, delegations, targets); whatever then still differs shows as a
field. A document whose shape fits no name shows as fields altogether.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vestry.metadata import edits, quoting
from vestry.metadata.edits import DELEGATED, PREFIX, SUCCINCT, Edit, holders, key_ids, named, same
from vestry.metadata.keys import Key
from vestry.metadata.wording import Wording
from vestry.text import Safe, printable

DANGEROUS = 50

Names = Callable[[str], str]
"""Key id -> name of its holder, or an empty string."""


@dataclass(frozen=True)
class Change:
    """One change.

    Kinds: version-, expiry-, spec-version-, consistent-snapshot-, threshold-changed; key-added, -removed, -renamed
    (same key, other id), -changed (same id, other key); delegation-added, -removed, -changed, -reordered;
    target-added, -removed, -changed; field-added, -removed, -changed for everything else.

    `where` is `path` for people and for JSON: segments with ``~`` and ``/`` escaped as in RFC 6901, then printable.
    `old` and `new` are JSON values as `edits` describes them. `text` is one sentence, printable. `roles` are the roles
    whose keys or threshold it is about. The higher `danger`, the closer to the trust of clients; from `DANGEROUS` on
    it decides whom or what they trust.
    """

    kind: str
    path: tuple[str, ...]
    where: Safe
    old: Any
    new: Any
    text: Safe
    roles: tuple[str, ...]
    danger: int

    def to_dict(self) -> dict[str, Any]:
        """The object of ``review --json``."""
        return {"kind": self.kind, "where": self.where, "old": self.old, "new": self.new}


def changes(
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any],
    *,
    known: Names | None = None,
    located: Callable[[Edit], Edit] | None = None,
    moved: Container[str] | None = None,
    digits: int = 0,
) -> tuple[Change, ...]:
    """What turns `old` (None: there was nothing before) into `new`, most dangerous first. `located` says where an edit
    is in the whole documents, where these are parts of larger ones, and `moved` which delegations changed their places
    there; `digits` how many characters tell the key ids that the reader meets from each other, which 0 leaves to those
    that changed.
    """
    base = old or {}
    found = _list_and_keys(base, new, moved)
    now = edits.apply(base, found)
    if members := list(_members(now, new)):
        found += members
        now = edits.apply(base, found)
    others = [*_role_fields(now, new), *_scalars(base, new), *_targets(base, new)]
    found += others
    found += _fields(edits.apply(now, others), new, (), base)
    if not same(edits.apply(base, found), new):
        # Shapes so odd that named edits and fields disagree; fields alone are exact.
        found = list(_fields(base, new, (), base))
    found = [located(edit) for edit in found] if located is not None else found
    say = Wording(old, new, found, known or (lambda _: ""), digits)
    dressed = [
        Change(e.kind, e.path, where(e.path), e.old, e.new, say.sentence(e), say.roles(e), say.danger(e)) for e in found
    ]
    return tuple(sorted(dressed, key=lambda c: (-c.danger, c.kind, c.path)))


def apply(old: Mapping[str, Any] | None, listed: Iterable[Change]) -> dict[str, Any]:
    """The new signed part, from the old one (which stays as it is) and all changes, in any order."""
    return edits.apply(old, listed)


def where(path: tuple[str, ...]) -> Safe:
    """A path as one printable string, still unambiguous."""
    return printable(quoting.place(path))


def _list_and_keys(old: Mapping[str, Any], new: Mapping[str, Any], moved: Container[str] | None) -> list[Edit]:
    found = [*_delegations(old, new, moved), *_succinct(old, new), *_keys(old, new, ("keys",))]
    return found + list(_keys(old, new, ("delegations", "keys")))


def _scalars(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Edit]:
    for field, (kind, wanted) in _SCALARS.items():
        if edit := _scalar(kind, (field,), wanted, old, new):
            yield edit


def _scalar(
    kind: str, path: tuple[str, ...], wanted: type, old: Mapping[str, Any], new: Mapping[str, Any]
) -> Edit | None:
    """An edit of one member, where both sides have the type that TUF gives it, or one side has no such member."""
    field = path[-1]
    sides = [side[field] for side in (old, new) if field in side]
    if not all(type(v) is wanted for v in sides) or same(old.get(field), new.get(field)):
        return None
    return Edit(kind, path, old.get(field), new.get(field))


def _targets(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Edit]:
    before, after = old.get("targets", {}), new.get("targets", {})
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return
    for path in before.keys() | after.keys():
        was, now = before.get(path), after.get(path)
        if was is now or not all(isinstance(side[path], dict) for side in (before, after) if path in side):
            continue
        kind = "target-added" if path not in before else "target-removed" if path not in after else "target-changed"
        if not same(was, now):
            yield Edit(kind, ("targets", path), was, now)


def _keys(old: Mapping[str, Any], new: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Edit]:
    before, after = _look(old, path, {}), _look(new, path, {})
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return
    scope = path[0]
    serving, served = _serving(new, scope), _serving(old, scope)
    gone = {i: k for i, k in before.items() if i not in after and isinstance(k, dict)}
    come = {i: k for i, k in after.items() if i not in before and isinstance(k, dict)}
    by_bytes: dict[bytes, list[str]] = {}
    # Where one key comes back under several ids, the first of them takes the place of the first that goes.
    for keyid in sorted(come, reverse=True):
        by_bytes.setdefault(_identity(keyid, come[keyid]), []).append(keyid)
    for keyid in sorted(gone):
        was = _key_value(keyid, gone[keyid], served)
        heirs = by_bytes.get(_identity(keyid, gone[keyid]))
        if heirs:
            heir = heirs.pop()
            yield Edit("key-renamed", (*path, keyid), was, _key_value(heir, come.pop(heir), serving))
        else:
            was["roles"] = [r for r in was["roles"] if r not in serving.get(keyid, {})]
            yield Edit("key-removed", (*path, keyid), was, None)
    for keyid, key in come.items():
        places = {"places": list(serving.get(keyid, {}).values())}
        yield Edit("key-added", (*path, keyid), None, _key_value(keyid, key, serving) | places)
    for keyid in before.keys() & after.keys():
        was, now = before[keyid], after[keyid]
        if was is now or not (isinstance(was, dict) and isinstance(now, dict)) or same(was, now):
            continue
        if _identity(keyid, was) != _identity(keyid, now):
            kind = "key-changed"
            yield Edit(kind, (*path, keyid), _key_value(keyid, was, served), _key_value(keyid, now, serving))


def _identity(keyid: str, key: dict[str, Any]) -> bytes:
    """What makes a key that key: its SubjectPublicKeyInfo, or what stands in the file where that can't be read."""
    read = Key.from_dict(keyid, key)
    return read.spki or repr((key.get("keytype"), key.get("keyval"))).encode("utf-8", "surrogatepass")


def _key_value(keyid: str, key: dict[str, Any], roles: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    return {"keyid": keyid, "key": key, "roles": list(roles.get(keyid, ()))}


def _serving(signed: Mapping[str, Any], scope: str) -> dict[str, dict[str, int]]:
    """Key id -> its place in the roles that list it, among those that take their keys from `keys` or `delegations`."""
    found: dict[str, dict[str, int]] = {}
    for name, path, role in holders(signed):
        if (path[0] == "delegations") == (scope == "delegations"):
            for place, keyid in enumerate(key_ids(role) or ()):
                found.setdefault(keyid, {})[name] = place
    return found


def _members(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Edit]:
    """Keys that join or leave a role, beyond those that come or go as such."""
    before = {path: role for _, path, role in holders(old)}
    for name, path, role in holders(new):
        was, now = key_ids(before.get(path, {})), key_ids(role)
        if was is None or now is None or was == now:
            continue
        listed, left = set(now), set(was)
        for keyid in was:
            if keyid not in listed:
                yield Edit("key-removed", (*path, "keyids", keyid), {"keyid": keyid, "roles": [name]}, None)
        for place, keyid in enumerate(now):
            if keyid not in left:
                value = {"keyid": keyid, "roles": [name], "places": [place]}
                yield Edit("key-added", (*path, "keyids", keyid), None, value)


def _role_fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Edit]:
    """Thresholds of all roles, and everything else about delegations but their keys."""
    before = {path: role for _, path, role in holders(old)}
    for _, path, now in holders(new):
        was = before.get(path, {})
        if was is now:
            continue
        edit = _scalar("threshold-changed", (*path, "threshold"), int, was, now)
        if edit:
            yield edit
        if path[0] == "roles":
            continue
        for field in sorted((was.keys() | now.keys()) - {"keyids", "name"}):
            if same(was.get(field), now.get(field)) and (field in was) == (field in now):
                continue
            if field == "threshold" and edit:
                continue
            kind = "field-added" if field not in was else "field-removed" if field not in now else "field-changed"
            if field in _DELEGATION_FIELDS and None not in (was.get(field, ""), now.get(field, "")):
                kind = "delegation-changed"
            yield Edit(kind, (*path, field), was.get(field), now.get(field))


def _succinct(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Edit]:
    was, now = _look(old, SUCCINCT, None), _look(new, SUCCINCT, None)
    if isinstance(now, dict) and not isinstance(was, dict):
        yield Edit("delegation-added", SUCCINCT, None, {"role": now})
    elif isinstance(was, dict) and not isinstance(now, dict):
        yield Edit("delegation-removed", SUCCINCT, {"role": was}, None)
    elif isinstance(was, dict) and isinstance(now, dict):
        edit = _scalar("delegation-changed", PREFIX, str, was, now)
        if edit is not None and None not in (edit.old, edit.new):
            yield edit


def _delegations(old: Mapping[str, Any], new: Mapping[str, Any], moved: Container[str] | None) -> Iterator[Edit]:
    """Delegations that come, go, or change places. The order decides: the first that fits a path is asked first."""
    before, after = named(_look(old, DELEGATED, [])), named(_look(new, DELEGATED, []))
    if before is None or after is None:
        return
    was = {name: i for i, name in enumerate(before)}
    now = {name: i for i, name in enumerate(after)}
    for name, i in was.items():
        if name not in now:
            yield Edit("delegation-removed", (*DELEGATED, name), {"position": i, "role": before[name]}, None)
    moved = moved_names(before, after) if moved is None else moved
    for name, i in now.items():
        if name in moved:
            yield Edit("delegation-reordered", (*DELEGATED, name), {"position": was[name]}, {"position": i})
    for name, i in now.items():
        if name not in was:
            yield Edit("delegation-added", (*DELEGATED, name), None, {"position": i, "role": after[name]})


def moved_names(old: Iterable[str], new: Iterable[str]) -> set[str]:
    """Names that stand in another order: all but a longest run of those that kept theirs."""
    was = {name: place for place, name in enumerate(old)}
    stayed = {was[name]: name for name in new if name in was}
    return set(stayed.values()) - {stayed[place] for place in in_order(list(stayed))}


def in_order(places: Sequence[int]) -> set[int]:
    """The most places that already stand in rising order: whatever is not among them has moved."""
    tails: list[int] = []
    before: dict[int, int | None] = {}
    for place in places:
        if not tails or place > tails[-1]:  # as nearly all are
            before[place] = tails[-1] if tails else None
            tails.append(place)
            continue
        i = bisect_left(tails, place)
        before[place] = tails[i - 1] if i else None
        tails[i : i + 1] = [place]
    kept: set[int] = set()
    last = tails[-1] if tails else None
    while last is not None:
        kept.add(last)
        last = before[last]
    return kept


def _fields(
    old: Mapping[str, Any], new: Mapping[str, Any], path: tuple[str, ...], base: Mapping[str, Any]
) -> Iterator[Edit]:
    """Every difference, member by member. What is shown as old is what stood in `base`, the document before."""
    for name in old.keys() | new.keys():
        at = (*path, name)
        if name not in old:
            yield Edit("field-added", at, None, new[name])
        elif name not in new:
            yield Edit("field-removed", at, _look(base, at, old[name]), None)
        elif isinstance(old[name], dict) and isinstance(new[name], dict):
            yield from _fields(old[name], new[name], at, base)
        elif not same(old[name], new[name]):
            yield Edit("field-changed", at, _look(base, at, old[name]), new[name])


def _look(value: Any, path: tuple[str, ...], otherwise: Any) -> Any:
    for segment in path:
        if not isinstance(value, Mapping) or segment not in value:
            return otherwise
        value = value[segment]
    return value


_SCALARS: dict[str, tuple[str, type]] = {
    "version": ("version-changed", int),
    "expires": ("expiry-changed", str),
    "spec_version": ("spec-version-changed", str),
    "consistent_snapshot": ("consistent-snapshot-changed", bool),
}
_DELEGATION_FIELDS = frozenset({"paths", "path_hash_prefixes", "terminating", "bit_length", "name_prefix"})
