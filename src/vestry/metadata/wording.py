"""What a change means, in one sentence that a root key holder understands, and how dangerous it is.

All sentences are printable; what they quote from a document is escaped and, where over-long, cut with its length
told. Digests are never cut.
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from vestry.metadata import quoting
from vestry.metadata.delegation_index import segment_covers
from vestry.metadata.edits import SUCCINCT, Edit, holders, key_ids, same_content, succinct_name
from vestry.metadata.quoting import clip
from vestry.text import Safe, printable

_NONE: Mapping[str, Any] = {}
NAME_FIELDS = ("x-rstuf-key-name", "x-tuf-on-ci-keyowner")
"""Members of a key object in which other tools keep the name of its holder."""


class Wording:
    """Sentences about the edits between two documents. `digits` tell key ids apart (`quoting.digits`)."""

    def __init__(
        self,
        old: Mapping[str, Any] | None,
        new: Mapping[str, Any],
        edits: Sequence[Edit],
        known: Callable[[str], str],
        digits: int = 0,
    ) -> None:
        self._old, self._new, self._known = old, new, known
        self._roles = {path: role for _, path, role in holders(new)}
        self._names = {path: name for side in (old or {}, new) for name, path, _ in holders(side)}
        self._come = _by_roles(edits, "key-added")
        self._gone = _by_roles(edits, "key-removed")
        ids = {side["keyid"] for e in edits if e.kind.startswith("key-") for side in (e.old, e.new) if side}
        self._digits = digits or quoting.digits(ids)

    def sentence(self, edit: Edit) -> Safe:
        """One sentence without its full stop."""
        return printable(_SENTENCES.get(edit.kind, Wording._field)(self, edit))

    def roles(self, edit: Edit) -> tuple[str, ...]:
        """The roles whose keys or threshold an edit is about."""
        if edit.kind.startswith("key-"):
            return tuple(dict.fromkeys(r for side in (edit.old, edit.new) if side for r in side["roles"]))
        for length in (2, 3):
            if edit.path[:length] in self._names:
                return (self._names[edit.path[:length]],)
        return edit.path[2:3] if edit.kind.startswith("delegation-") else ()

    def danger(self, edit: Edit) -> int:
        """0 (bookkeeping) to 99 (decides whom clients trust)."""
        kind = edit.kind
        if kind.startswith("key-"):
            held = 0 if not self.roles(edit) else 5 if "root" in self.roles(edit) else 3
            return (_KEY_DANGER[kind] + held) if held else 40
        if kind == "threshold-changed":
            falls = isinstance(edit.old, int) and isinstance(edit.new, int) and edit.new < edit.old
            return (90 if falls else 82) + (5 if "root" in self.roles(edit) else 0)
        if kind.startswith("field-"):
            return self._field_danger(edit)
        return _DANGER[kind]

    def _field_danger(self, edit: Edit) -> int:
        path = edit.path
        if path[-1] == "keyids" or path[-1].startswith("x-") or path == ("_type",):
            return 10
        if path[0] in ("keys", "roles", "delegations", "consistent_snapshot", "spec_version"):
            return 75
        if path[0] == "targets":
            return 55
        return 20 if path[0] == "meta" else 50

    def key(self, keyid: str) -> str:
        """``Key 3f2a1b2c (Carol)``."""
        objects = [key for side in (self._new, self._old or {}) for key in _objects(side, keyid)]
        names = [self._known(keyid), *(owner(key) for key in objects)]
        return key_label(keyid, next(filter(None, names), ""), self._digits)

    # keys

    def _key_added(self, edit: Edit) -> str:
        keyid, roles = edit.new["keyid"], edit.new["roles"]
        scheme = edit.new.get("key", {}).get("scheme")
        who = self.key(keyid) + (f", {clip(scheme, 40)}," if isinstance(scheme, str) else "")
        if not roles:
            return f"{who} is listed, but serves no role"
        if self._old is None:
            return f"{who} signs for {_listed(roles)}"
        partner = self._partner(roles, self._gone)
        place = f" in place of {_lower(self.key(partner))}" if partner else ""
        return f"{who} joins {_listed(roles)}{place}"

    def _key_removed(self, edit: Edit) -> str:
        keyid, roles = edit.old["keyid"], edit.old["roles"]
        if not roles:
            return f"{self.key(keyid)} is dropped; it served no role any more"
        partner = self._partner(roles, self._come)
        place = f"; {_lower(self.key(partner))} takes its place" if partner else ""
        return f"{self.key(keyid)} leaves {_listed(roles)}{place}"

    def _partner(self, roles: Sequence[str], others: Mapping[tuple[str, ...], list[str]]) -> str:
        """The one key that goes where the only one comes, or the reverse."""
        both = [side.get(tuple(roles), []) for side in (self._come, self._gone)]
        return others[tuple(roles)][0] if [len(keyids) for keyids in both] == [1, 1] else ""

    def _key_renamed(self, edit: Edit) -> str:
        serves = f"; it serves {_listed(edit.new['roles'])}" if edit.new["roles"] else ""
        now = clip(edit.new["keyid"], self._digits, tell=False)
        written = _rewritten(edit.old["key"], edit.new["key"])
        return f"{self.key(edit.old['keyid'])} is the same key under another key id, {now}{written}{serves}"

    def _key_changed(self, edit: Edit) -> str:
        serves = f"; it serves {_listed(edit.new['roles'])}" if edit.new["roles"] else ""
        return f"{self.key(edit.new['keyid'])} keeps its key id, but another key stands behind it{serves}"

    # roles

    def _threshold(self, edit: Edit) -> str:
        name = self._role(edit)
        if edit.new is None:
            return f"Threshold of {name} is dropped (it was {edit.old})"
        if edit.old is None:
            ids = key_ids(self._roles.get(edit.path[:-1], {})) or []
            return f"Threshold of {name} is {edit.new}, of {len(ids)} {'key' if len(ids) == 1 else 'keys'}"
        return f"Threshold of {name} {'falls' if edit.new < edit.old else 'rises'} from {edit.old} to {edit.new}"

    def _role(self, edit: Edit) -> str:
        return clip(self._names.get(edit.path[:-1], edit.path[-2]), 60)

    def _delegation_added(self, edit: Edit) -> str:
        role = edit.new["role"]
        ids = key_ids(role) or []
        needs = f"{quoting.one(role.get('threshold'))} of {len(ids)} {'key' if len(ids) == 1 else 'keys'}"
        if edit.path == SUCCINCT:
            return f"Hash bins {clip(succinct_name(role), 60)} are delegated: {_bins(role)}, {needs}"
        ends = ", and ends the search" if role.get("terminating") is True else ""
        return (
            f"Delegation {clip(edit.path[-1], 60)} is added at place {edit.new['position'] + 1}: "
            f"{_paths(role)}, {needs}{ends}"
        )

    def _delegation_removed(self, edit: Edit) -> str:
        if edit.path == SUCCINCT:
            return f"Hash bins {clip(succinct_name(edit.old['role']), 60)} are no longer delegated"
        return f"Delegation {clip(edit.path[-1], 60)} is dropped: it had {_paths(edit.old['role'])}"

    def _delegation_moved(self, edit: Edit) -> str:
        was, now = edit.old["position"] + 1, edit.new["position"] + 1
        return f"Delegation {clip(edit.path[-1], 60)} moves in the order of search, from place {was} to {now}"

    def _delegation_changed(self, edit: Edit) -> str:
        name, field = self._role(edit), edit.path[-1]
        if field == "terminating" and isinstance(edit.new, bool):
            return f"Delegation {name} {'ends the search now' if edit.new else 'no longer ends the search'}"
        what = {"path_hash_prefixes": "path hash prefixes"}.get(field, field.replace("_", " "))
        if isinstance(edit.old, list) and isinstance(edit.new, list):
            was, now = ({json.dumps(v): v for v in side} for side in (edit.old, edit.new))
            gone, come = [was[v] for v in was if v not in now], [now[v] for v in now if v not in was]
            return f"Delegation {name}: {what} {_moved(field, gone, come)}"
        if edit.path[:2] == SUCCINCT:
            return f"Hash bins {name}: {what} {_from_to(edit)}"
        return f"Delegation {name}: {what} {_from_to(edit)}"

    # the rest

    def _version(self, edit: Edit) -> str:
        if edit.old is None or edit.new is None:
            return f"Version is {edit.new}" if edit.old is None else f"Version {edit.old} is dropped"
        return f"Version goes from {edit.old} to {edit.new}"

    def _expiry(self, edit: Edit) -> str:
        if edit.new is None:
            return f"Expiry is dropped (it was {clip(edit.old, 40)})"
        return f"Expires {clip(edit.new, 40)}" + (f" instead of {clip(edit.old, 40)}" if edit.old else "")

    def _spec_version(self, edit: Edit) -> str:
        if edit.new is None:
            return f"TUF specification is dropped (it was {clip(edit.old, 40)})"
        return f"TUF specification {f'changes from {clip(edit.old, 40)} to' if edit.old else 'is'} {clip(edit.new, 40)}"

    def _snapshots(self, edit: Edit) -> str:
        if edit.new is None:
            return "Consistent snapshots are no longer spoken of"
        return f"Consistent snapshots are switched {'on' if edit.new else 'off'}"

    def _target(self, edit: Edit) -> str:
        name = f"Target file {clip(edit.path[-1], 200)}"
        if edit.new is None:
            return f"{name} is dropped"
        if edit.old is None:
            return f"{name} is added: {_content(edit.new)}"
        if all(edit.old.get(f) == edit.new.get(f) for f in ("hashes", "length")):
            return f"{name}: same content, other description"
        if same_content(edit.old, edit.new):
            return f"{name}: same content, with other kinds of hashes"
        return f"{name} has other content: {_content(edit.new, edit.old)}; it was {_content(edit.old, edit.new)}"

    def _field(self, edit: Edit) -> str:
        path = edit.path
        if path == ("_type",) and edit.kind == "field-added":
            return f"The document is a {quoting.one(edit.new)}"
        ids = [key_ids({"keyids": side}) for side in (edit.old, edit.new)]
        if path[-1] == "keyids" and edit.kind == "field-changed" and None not in ids:
            # Who joins and who leaves is said by changes of their own; the order is all that is left.
            return f"Key ids of {self._role(edit)} are listed in another order"
        if path[0] == "meta" and len(path) == 2 and isinstance(edit.new, dict) and edit.kind == "field-added":
            return f"{clip(path[1], 200)} is listed, at version {quoting.one(edit.new.get('version'))}"
        if path[0] == "meta" and len(path) == 2 and edit.kind == "field-removed":
            return f"{clip(path[1], 200)} is no longer listed"
        if path[0] == "meta" and len(path) == 3 and path[2] == "version" and edit.kind == "field-changed":
            return (
                f"{clip(path[1], 200)} is listed at version {quoting.one(edit.new)} instead of {quoting.one(edit.old)}"
            )
        if path[-2:] == ("keyval", "public") and edit.kind == "field-changed":
            # Another key under this id would be a change of its own, so this is the same one.
            return f"{self.key(path[-3])} is the same key under the same key id{_written(edit.old, edit.new)}"
        return f"{self._place(path)} {_from_to(edit)}"

    def _place(self, path: tuple[str, ...]) -> str:
        for start in (("keys",), ("delegations", "keys")):
            rest = path[len(start) :]
            if path[: len(start)] == start and len(rest) > 1:
                return f"{self.key(rest[0])}: field {clip(quoting.place(rest[1:]))}"
        return f"Field {clip(quoting.place(path))}"


def key_label(keyid: str, name: str, digits: int = 8) -> str:
    """A key as sentences name it: ``Key``, the first characters of its id, its holder. Not yet printable."""
    return f"Key {clip(keyid, digits, tell=False)}" + (f" ({clip(name, 60)})" if name else "")


def owner(key: Mapping[str, Any]) -> str:
    """The name of its holder that a key object itself gives, or an empty string."""
    names = [key[field] for field in NAME_FIELDS if isinstance(key.get(field), str)]
    return next((str(name) for name in names if name.strip()), "")


def _objects(signed: Mapping[str, Any], keyid: str) -> Iterator[Mapping[str, Any]]:
    """The objects of a key in a document."""
    delegations = signed.get("delegations")
    for keys in (signed.get("keys"), delegations.get("keys") if isinstance(delegations, dict) else None):
        key = keys.get(keyid) if isinstance(keys, dict) else None
        if isinstance(key, dict):
            yield key


def _rewritten(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    values = [side["keyval"].get("public") for side in (was, now) if isinstance(side.get("keyval"), dict)]
    return _written(*values) if len(values) == 2 else ""


def _written(was: Any, now: Any) -> str:
    """How a key is written now, where that differs."""
    if was == now:
        return ""
    forms = [_form(str(side)) for side in (was, now)]
    if forms[0] == forms[1]:
        before, after = quoting.pair(was, now)
        return f", written in another way: {after} instead of {before}"
    return f", written as {forms[1]} instead of {forms[0]}"


def _form(public: str) -> str:
    return "PEM" if "-----BEGIN" in public else "hex" if _HEX.fullmatch(public) else "base64"


def _by_roles(edits: Sequence[Edit], kind: str) -> dict[tuple[str, ...], list[str]]:
    """Roles -> ids of the keys that come to (or leave) exactly these."""
    found: dict[tuple[str, ...], list[str]] = {}
    for value in [side for e in edits if e.kind == kind for side in (e.old, e.new) if side]:
        found.setdefault(tuple(value["roles"]), []).append(value["keyid"])
    return found


def _from_to(edit: Edit) -> str:
    if edit.kind.endswith("-added") or (edit.old is None and not edit.kind.startswith("field-")):
        return f"is {quoting.one(edit.new)}"
    if edit.kind.endswith("-removed") or (edit.new is None and not edit.kind.startswith("field-")):
        return f"is dropped (it was {quoting.one(edit.old)})"
    was, now = quoting.pair(edit.old, edit.new)
    return f"changes from {was} to {now}"


def _listed(names: Sequence[str]) -> str:
    shown = [clip(n, 60) for n in names[:4]] + ([f"{len(names) - 4:,} more"] if len(names) > 4 else [])
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _some(values: Sequence[Any]) -> str:
    # The widest first: one `*` among a hundred paths is what an attacker would hide.
    shown = ", ".join(quoting.one(v, strings=True) for v in heapq.nsmallest(4, values, key=_reach))
    return shown + (f" and {len(values) - 4:,} more" if len(values) > 4 else "")


def _moved(field: str, gone: Sequence[Any], come: Sequence[Any]) -> str:
    """What became of a list, from what it lost and gained."""
    covers = _COVERS.get(field)
    if covers is not None and 0 < len(gone) * len(come) <= _COMPARED:
        for how, outer, inner, every in (("widened", come, gone, covers[0]), ("narrowed", gone, come, covers[1])):
            if all(any(every(str(one), str(other)) for one in outer) for other in inner):
                return f"{how} from {_some(gone)} to {_some(come)}"
    parts = [f"lose {_some(gone)}"] * bool(gone) + [f"gain {_some(come)}"] * bool(come)
    return " and ".join(parts) or "come in another order or number"


def _segments_cover(one: str, other: str) -> bool:
    both = one.split("/"), other.split("/")
    return len(both[0]) == len(both[1]) and all(map(segment_covers, *both))


def _starts(one: str, other: str) -> bool:
    return other.startswith(one)


def _reach(value: Any) -> tuple[bool, int]:
    """Sorts patterns and hash prefixes by how much they leave open: the less is fixed before that, the more."""
    text = str(value)
    wild = _WILD.search(text)
    return wild is None, wild.start() if wild else len(text)


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _paths(role: Mapping[str, Any]) -> str:
    for field, what in (("paths", "paths"), ("path_hash_prefixes", "path hash prefixes")):
        found = role.get(field)
        if isinstance(found, list):
            return f"{what} {_some(found)}" if found else f"no {what}"
    return "no paths"


def _bins(role: Mapping[str, Any]) -> str:
    bits = role.get("bit_length")
    return f"{2**bits:,} bins" if type(bits) is int and 0 < bits <= 32 else f"bit length {quoting.one(bits)}"


def _content(target: Mapping[str, Any], beside: Mapping[str, Any] = _NONE) -> str:
    """Length and digest; of several digests one that is not the same `beside`."""
    hashes, length = target.get("hashes"), target.get("length")
    shown = [f"{length:,} bytes"] if type(length) is int else []
    if isinstance(hashes, dict) and hashes:
        other = beside.get("hashes")
        differ = [n for n in hashes if not (isinstance(other, dict) and hashes[n] == other.get(n))] or hashes
        name = next((n for n in ("sha256", "sha512") if n in differ), min(differ))
        # Whole, but not without end: the longest digest that TUF knows has 128 digits.
        shown.append(f"{clip(name, 20)} {clip(hashes[name], 128)}")
    return ", ".join(shown) or "with neither length nor hash"


_COMPARED = 10_000
_COVERS: Mapping[str, tuple[Callable[[str, str], bool], Callable[[str, str], bool]]] = {
    # To old clients a wildcard went beyond a slash: what is wider for them alone is called so, too.
    "paths": (segment_covers, _segments_cover),
    "path_hash_prefixes": (_starts, _starts),
}
"""Whether one covers another, to be called wider, and to be called narrower."""
_WILD = re.compile(r"[*?\[]")
_HEX = re.compile("[0-9a-fA-F]*")
_KEY_DANGER = {"key-changed": 94, "key-added": 84, "key-removed": 80, "key-renamed": 60}
_DANGER = {
    "consistent-snapshot-changed": 78,
    # Before those that are new: one widened path among thousands of additions is what an attacker would hide.
    "delegation-changed": 77,
    "delegation-added": 76,
    "delegation-reordered": 74,
    "delegation-removed": 72,
    "target-changed": 70,
    "target-removed": 62,
    "target-added": 58,
    "spec-version-changed": 52,
    "expiry-changed": 45,
    "version-changed": 30,
}
_SENTENCES: dict[str, Callable[[Wording, Edit], str]] = {
    "key-added": Wording._key_added,
    "key-removed": Wording._key_removed,
    "key-renamed": Wording._key_renamed,
    "key-changed": Wording._key_changed,
    "threshold-changed": Wording._threshold,
    "delegation-added": Wording._delegation_added,
    "delegation-removed": Wording._delegation_removed,
    "delegation-reordered": Wording._delegation_moved,
    "delegation-changed": Wording._delegation_changed,
    "version-changed": Wording._version,
    "expiry-changed": Wording._expiry,
    "spec-version-changed": Wording._spec_version,
    "consistent-snapshot-changed": Wording._snapshots,
    "target-added": Wording._target,
    "target-removed": Wording._target,
    "target-changed": Wording._target,
}
