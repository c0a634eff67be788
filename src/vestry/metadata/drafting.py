"""Drafts of documents: pure functions from keys, thresholds and times to the bytes of an unsigned file."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from vestry.errors import InputRejected
from vestry.metadata import document, parts, splicing
from vestry.metadata.document import ROLES, Document, LargeDocument
from vestry.metadata.keys import Key
from vestry.metadata.parts import Delegation, Target
from vestry.text import printable

SPEC_VERSION = "1.0.34"
_HASH_BITS_USED = 16  # four hex digits of the path's SHA-256, as PEP 458 has it
_FIELDS = frozenset({"_type", "spec_version", "version", "expires", "consistent_snapshot", "keys", "roles"})
_NOTHING: Mapping[str, Any] = {}

Role = tuple[int, Sequence[Key]]


def root(
    *,
    version: int,
    expires: datetime,
    roles: Mapping[str, Role],
    extra: Mapping[str, Any] = _NOTHING,
    fields: Mapping[str, Mapping[str, Any]] = _NOTHING,
) -> bytes:
    """A root. `roles` maps each of the four top-level roles to its threshold and keys; `extra` are fields of the root,
    and `fields` those that roles have beside them.

    Raises:
        InputRejected: a role is missing, or a threshold can't be reached by distinct keys, or one key id stands for two
            keys.
    """
    missing = [r for r in ROLES if r not in roles]
    if missing:
        raise InputRejected(f"the role {missing[0]} has no keys", where="draft of root")
    keys = [key for name in roles for key in roles[name][1]]
    return _file(
        {
            **_common("root", version, expires),
            "consistent_snapshot": True,
            "keys": parts.objects(keys, "draft of root"),
            "roles": {name: {**parts.role(name, *role), **fields.get(name, {})} for name, role in roles.items()},
        },
        extra,
    )


def next_root(
    previous: Document,
    *,
    expires: datetime,
    root: Role,
    roles: Mapping[str, Role] = _NOTHING,
    extra: Mapping[str, Any] | None = None,
    fields: Mapping[str, Mapping[str, Any]] = _NOTHING,
) -> bytes:
    """The root after `previous`: its version plus one, new root keys, and `roles` where they change.

    Everything else, unknown fields included, is carried over; `extra`, and in roles `fields`, add fields or replace
    such. Keys that no role uses any more are dropped; a key that stays keeps its object as it stands.

    Raises:
        InputRejected: `previous` is no root, a threshold can't be reached by distinct keys, or `previous` has another
            key under the id of a new one.
    """
    if previous.type != "root":
        raise InputRejected(f"the document before is a {previous.type}, not a root", where="draft of root")
    before = document.keys(previous)
    for key in (k for _, keys in (root, *roles.values()) for k in keys):
        if key.keyid in before and before[key.keyid].fingerprint != key.fingerprint:
            raise parts.two_keys(key, "draft of root")
    signed = copy.deepcopy(dict(previous.signed))
    signed |= {"version": previous.version + 1, "expires": _time(expires)}
    for name, (threshold, keys) in {"root": root, **roles}.items():
        signed["roles"][name] = {**signed["roles"].get(name, {}), **parts.role(name, threshold, keys)}
        for key in keys:
            signed["keys"].setdefault(key.keyid, key.to_dict())
    for name, more in fields.items():
        signed["roles"][name] |= more
    used = {keyid for role in signed["roles"].values() for keyid in role["keyids"]}
    signed["keys"] = {keyid: key for keyid, key in signed["keys"].items() if keyid in used}
    kept = {k: v for k, v in signed.items() if k in _FIELDS or k not in (extra or {})}
    return _file(kept, extra or {})


def next_targets(
    previous: Document | None,
    *,
    expires: datetime,
    add: Mapping[str, Target] = _NOTHING,
    remove: Iterable[str] = (),
    extra: Mapping[str, Any] = _NOTHING,
) -> bytes:
    """The targets role after `previous` (None: its version 1), top-level or delegated, with files added, replaced and
    removed. All else is carried over as it stands, unknown fields of a replaced file included; `extra` adds fields.

    Raises:
        InputRejected: `previous` is no targets, or does not list a file that is to be removed.
    """
    signed = _follows(previous, expires)
    files = signed["targets"] = dict(signed["targets"])
    for path in remove:
        if files.pop(path, None) is None:
            raise InputRejected(f"there is no target {printable(path, 200)}", where="draft of targets", code="E-STAGE")
    for path, target in add.items():
        files[path] = {**files.get(path, {}), **target.to_dict()}
    return _after(previous, signed, extra)


def next_delegator(
    previous: Document | None,
    *,
    expires: datetime,
    put: Sequence[Delegation] = (),
    remove: Iterable[str] = (),
    extra: Mapping[str, Any] = _NOTHING,
) -> bytes:
    """The targets role after `previous` (None: its version 1) with delegations added, changed and removed.

    A delegation that is there keeps its place and its unknown fields, and one that is new goes last, but where `before`
    says another place. Keys that only these delegations used are dropped; a key that stays keeps its object as it
    stands. All else is carried over; `extra` adds fields.

    Raises:
        InputRejected: `previous` is no targets, or delegates to hash bins; or a delegation can't be, see `Delegation`;
            or one that is to be removed or to be gone before is not there; or `previous` has another key under the id
            of a new one.
    """
    leaving = tuple(remove)
    if isinstance(previous, LargeDocument) and not (leaving or extra or any(one.before for one in put)):
        # Half a million delegations are not read to add some.
        head = {"version": previous.version + 1, "expires": _time(expires)}
        objects = parts.objects((key for one in put for key in one.keys), _WHERE)
        spliced = splicing.added(previous, head, objects, [one.to_dict() for one in put])
        if spliced is not None:
            return spliced
    signed = _follows(previous, expires)
    inner = signed["delegations"] = dict(signed.get("delegations") or {"keys": {}, "roles": []})
    if "roles" not in inner:
        raise InputRejected("it delegates to hash bins, and so to nobody else", where=_WHERE, code="E-STAGE")
    roles: dict[str, dict[str, Any]] = {role["name"]: role for role in inner["roles"]}
    changed = {*leaving, *(one.name for one in put)}
    held = {keyid for name in changed & roles.keys() for keyid in roles[name]["keyids"]}
    for name in leaving:
        if roles.pop(name, None) is None:
            raise _no_delegation(name)
    keys = inner["keys"] = dict(inner["keys"])
    before = document.keys(previous, (k.keyid for one in put for k in one.keys)) if previous is not None else {}
    for one in put:
        for key in one.keys:
            if key.keyid in before and before[key.keyid].fingerprint != key.fingerprint:
                raise parts.two_keys(key, _WHERE)
            keys.setdefault(key.keyid, key.to_dict())
        kept = {k: v for k, v in roles.get(one.name, {}).items() if k not in ("paths", "path_hash_prefixes")}
        roles[one.name] = kept | one.to_dict()
        if one.before:
            roles = _placed(roles, one.name, one.before)
    used = {keyid for role in roles.values() for keyid in role["keyids"]}
    inner["keys"] = {k: v for k, v in keys.items() if k in used or k not in held}
    inner["roles"] = list(roles.values())
    return _after(previous, signed, extra)


_WHERE = "draft of delegations"


def _placed(roles: Mapping[str, dict[str, Any]], name: str, before: str) -> dict[str, dict[str, Any]]:
    if before == name or before not in roles:
        raise _no_delegation(before)
    order = [n for n in roles if n != name]
    order.insert(order.index(before), name)
    return {n: roles[n] for n in order}


def _no_delegation(name: str) -> InputRejected:
    return InputRejected(f"there is no delegation {printable(name, 80)}", where=_WHERE, code="E-STAGE")


def _follows(previous: Document | None, expires: datetime) -> dict[str, Any]:
    """The signed part of version 1, or of the version after `previous`, to be changed at its top level."""
    if previous is None:
        return {**_common("targets", 1, expires), "targets": {}}
    if previous.type != "targets":
        raise InputRejected(f"the document before is a {previous.type}, not a targets", where="draft of targets")
    return {**previous.signed, "version": previous.version + 1, "expires": _time(expires)}


def _after(previous: Document | None, signed: dict[str, Any], extra: Mapping[str, Any]) -> bytes:
    kept = {k: v for k, v in signed.items() if k not in extra or k in _FIELDS or k in ("targets", "delegations")}
    if isinstance(previous, LargeDocument):
        return splicing.compact({**kept, **_checked(kept, extra)})
    return _file(kept, extra)


def targets_with_bins(
    *,
    version: int,
    expires: datetime,
    bins_threshold: int,
    bins_keys: Sequence[Key],
    extra: Mapping[str, Any] = _NOTHING,
) -> bytes:
    """The top-level targets of PEP 458: no targets of its own, all paths delegated to the role ``bins``.

    All paths are the sixteen hash prefixes of one digit: a pattern such as ``*`` does not match a slash (TUF 1.0.34,
    section 4.5), and clients take it so.
    """
    delegation = {
        "name": "bins",
        "path_hash_prefixes": list("0123456789abcdef"),
        "terminating": False,
        **parts.role("bins", bins_threshold, bins_keys),
    }
    return _file(
        {
            **_common("targets", version, expires),
            "targets": {},
            "delegations": {"keys": parts.objects(bins_keys, "draft of targets"), "roles": [delegation]},
        },
        extra,
    )


def bins(
    *,
    version: int,
    expires: datetime,
    number: int,
    online: Key,
    style: Literal["succinct", "prefixes"],
    extra: Mapping[str, Any] = _NOTHING,
) -> bytes:
    """The role ``bins``: `number` hash bins under one online key, by SHA-256 of the path.

    `number` is a power of two from 2 to 65,536. ``succinct`` writes succinct_roles (TAP 15), ``prefixes`` one
    delegation a bin with its path_hash_prefixes (TUF 1.0.34, section 4.5); both name a bin ``bin-`` and its number in
    hex. PEP 458 would pick a bin by SHA-512; clients do it by SHA-256, as the specification has it.

    Raises:
        InputRejected: `number` is not such a power.
    """
    bits = number.bit_length() - 1
    if number < 2 or number != 1 << bits or bits > _HASH_BITS_USED:
        raise InputRejected(f"{number} bins", where="draft of bins", do="take a power of two from 2 to 65,536")
    delegations: dict[str, Any] = {"keys": parts.objects([online], "draft of bins")}
    if style == "succinct":
        delegations["succinct_roles"] = {"bit_length": bits, "name_prefix": "bin", **parts.role("bins", 1, [online])}
    else:
        delegations["roles"] = [
            {"name": name, "path_hash_prefixes": prefixes, "terminating": False, **parts.role(name, 1, [online])}
            for name, prefixes in _prefixes(bits)
        ]
    return _file({**_common("targets", version, expires), "targets": {}, "delegations": delegations}, extra)


def rekeyed(
    previous: Document,
    *,
    expires: datetime,
    keys: Callable[[str], Role | None],
    version: int = 0,
    extra: Mapping[str, Any] = _NOTHING,
) -> bytes:
    """The targets role after `previous` whose delegations get the threshold and keys that `keys` gives for their names
    (hash bins: for their prefix); None leaves one as it is. `version` is the next one where it is 0.

    All else is carried over. Keys that no delegation uses any more are dropped.

    Raises:
        InputRejected: `previous` is no targets role, `version` is none that can follow it, a threshold can't be reached
            by distinct keys, or `previous` has another key under the id of a new one.
    """
    where = f"draft after {previous.type} v{previous.version}"
    if previous.type != "targets":
        raise InputRejected(f"the document before is a {previous.type}, not a targets role", where=where)
    if version and version <= previous.version:
        raise InputRejected(f"version {version} can't follow version {previous.version}", where=where)
    signed = copy.deepcopy(dict(previous.signed))
    signed |= {"version": version or previous.version + 1, "expires": _time(expires)}
    holder = signed.get("delegations", {})
    succinct = holder.get("succinct_roles")
    entries = [(succinct["name_prefix"], succinct)] if succinct else [(r["name"], r) for r in holder.get("roles", ())]
    before = document.keys(previous)
    for name, entry in entries:
        if (role := keys(name)) is None:
            continue
        entry.update(parts.role(name, *role))
        for key in role[1]:
            if key.keyid in before and before[key.keyid].fingerprint != key.fingerprint:
                raise parts.two_keys(key, where)
            holder["keys"].setdefault(key.keyid, key.to_dict())
    if entries:
        used = {keyid for _, entry in entries for keyid in entry["keyids"]}
        holder["keys"] = {keyid: key for keyid, key in holder["keys"].items() if keyid in used}
    kept = {k: v for k, v in signed.items() if k in _FIELDS or k in ("targets", "delegations") or k not in extra}
    return _file(kept, extra)


def _prefixes(bits: int) -> Sequence[tuple[str, list[str]]]:
    digits = -(-bits // 4)
    each = 1 << (4 * digits - bits)
    return [
        (f"bin-{i:0{digits}x}", [f"{p:0{digits}x}" for p in range(i * each, (i + 1) * each)]) for i in range(1 << bits)
    ]


def _common(kind: str, version: int, expires: datetime) -> dict[str, Any]:
    if version < 1:
        raise InputRejected(f"version {version} is less than 1", where=f"draft of {kind}")
    return {"_type": kind, "spec_version": SPEC_VERSION, "version": version, "expires": _time(expires)}


def _time(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError("a time without a zone could be anyone's local time")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _file(signed: Mapping[str, Any], extra: Mapping[str, Any]) -> bytes:
    return document.to_file({**signed, **_checked(signed, extra)})


def _checked(signed: Mapping[str, Any], extra: Mapping[str, Any]) -> Mapping[str, Any]:
    taken = sorted(set(signed) & set(extra))
    if taken:
        raise InputRejected(f"an extra field can't replace {printable(taken[0], 40)}", where="draft")
    return extra
