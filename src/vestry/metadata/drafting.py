"""Drafts of documents: pure functions from keys, thresholds and times to the bytes of an unsigned file."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from vestry.errors import InputRejected
from vestry.metadata import document
from vestry.metadata.document import ROLES, Document
from vestry.metadata.keys import Key
from vestry.text import printable

SPEC_VERSION = "1.0.34"
_HASH_BITS_USED = 16  # four hex digits of the path's SHA-256, as PEP 458 has it
_FIELDS = frozenset({"_type", "spec_version", "version", "expires", "consistent_snapshot", "keys", "roles"})
_NOTHING: Mapping[str, Any] = {}

Role = tuple[int, Sequence[Key]]


def root(*, version: int, expires: datetime, roles: Mapping[str, Role], extra: Mapping[str, Any] = _NOTHING) -> bytes:
    """A root. `roles` maps each of the four top-level roles to its threshold and keys.

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
            "keys": _objects(keys, "draft of root"),
            "roles": {name: _role(name, *role) for name, role in roles.items()},
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
) -> bytes:
    """The root after `previous`: its version plus one, new root keys, and `roles` where they change.

    Everything else, unknown fields included, is carried over; `extra` adds fields or replaces such. Keys that no role
    uses any more are dropped; a key that stays keeps its object as it stands.

    Raises:
        InputRejected: `previous` is no root, a threshold can't be reached by distinct keys, or `previous` has another
            key under the id of a new one.
    """
    if previous.type != "root":
        raise InputRejected(f"the document before is a {previous.type}, not a root", where="draft of root")
    before = document.keys(previous)
    for key in (k for _, keys in (root, *roles.values()) for k in keys):
        if key.keyid in before and before[key.keyid].fingerprint != key.fingerprint:
            raise _two_keys(key, "draft of root")
    signed = copy.deepcopy(dict(previous.signed))
    signed |= {"version": previous.version + 1, "expires": _time(expires)}
    for name, (threshold, keys) in {"root": root, **roles}.items():
        signed["roles"][name] = {**signed["roles"].get(name, {}), **_role(name, threshold, keys)}
        for key in keys:
            signed["keys"].setdefault(key.keyid, key.to_dict())
    used = {keyid for role in signed["roles"].values() for keyid in role["keyids"]}
    signed["keys"] = {keyid: key for keyid, key in signed["keys"].items() if keyid in used}
    kept = {k: v for k, v in signed.items() if k in _FIELDS or k not in (extra or {})}
    return _file(kept, extra or {})


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
        **_role("bins", bins_threshold, bins_keys),
    }
    return _file(
        {
            **_common("targets", version, expires),
            "targets": {},
            "delegations": {"keys": _objects(bins_keys, "draft of targets"), "roles": [delegation]},
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
    delegations: dict[str, Any] = {"keys": _objects([online], "draft of bins")}
    if style == "succinct":
        delegations["succinct_roles"] = {"bit_length": bits, "name_prefix": "bin", **_role("bins", 1, [online])}
    else:
        delegations["roles"] = [
            {"name": name, "path_hash_prefixes": prefixes, "terminating": False, **_role(name, 1, [online])}
            for name, prefixes in _prefixes(bits)
        ]
    return _file({**_common("targets", version, expires), "targets": {}, "delegations": delegations}, extra)


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


def _role(name: str, threshold: int, keys: Sequence[Key]) -> dict[str, Any]:
    distinct = {key.fingerprint for key in keys}
    if not 1 <= threshold <= len(distinct):
        raise InputRejected(
            f"a threshold of {threshold} with {len(distinct)} distinct keys can't be reached", where=f"draft of {name}"
        )
    keyids = list(dict.fromkeys(key.keyid for key in keys))
    if len(keyids) != len(distinct):
        raise InputRejected("one key stands here under two key ids", where=f"draft of {name}", do="name it once")
    return {"keyids": keyids, "threshold": threshold}


def _objects(keys: Iterable[Key], where: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key in keys:
        if made.setdefault(key.keyid, key.to_dict()) != key.to_dict():
            raise _two_keys(key, where)
    return made


def _two_keys(key: Key, where: str) -> InputRejected:
    return InputRejected(f"key id {printable(key.keyid[:16])} stands for two different keys", where=where)


def _file(signed: Mapping[str, Any], extra: Mapping[str, Any]) -> bytes:
    taken = sorted(set(signed) & set(extra))
    if taken:
        raise InputRejected(f"an extra field can't replace {printable(taken[0], 40)}", where="draft")
    return document.to_file({**signed, **extra})
