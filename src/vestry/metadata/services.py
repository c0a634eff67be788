"""What services around a repository do to the documents that they are given: the fields that they understand, those
that they drop, and what they don't take.

Known are RSTUF (Repository Service for TUF: its API of 2026-07 and CLI of 2026-04) and tuf-on-ci (0.21).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from vestry.metadata import document, quoting
from vestry.metadata.canonical import encode
from vestry.metadata.document import Document
from vestry.metadata.edits import listed_ids
from vestry.metadata.keys import Key

Service = Literal["", "rstuf", "tuf-on-ci"]

NAMES: Mapping[str, str] = MappingProxyType({"rstuf": "RSTUF", "tuf-on-ci": "tuf-on-ci"})
"""What people call each service."""

KEY_NAME, KEY_URI = "x-rstuf-key-name", "x-rstuf-online-key-uri"
OWNER, ONLINE = "x-tuf-on-ci-keyowner", "x-tuf-on-ci-online-uri"
EXPIRY, SIGNING = "x-tuf-on-ci-expiry-period", "x-tuf-on-ci-signing-period"

FIELDS: Mapping[str, str] = MappingProxyType(
    {
        KEY_NAME: "RSTUF's name of the key",
        KEY_URI: "where RSTUF finds the online key",
        "x-rstuf-expire-policy": "days for which RSTUF signs the role",
        OWNER: "the account that signs with the key in tuf-on-ci",
        ONLINE: "where tuf-on-ci finds the online key",
        EXPIRY: "days that tuf-on-ci gives a new version",
        SIGNING: "days before expiry from which tuf-on-ci asks for signatures",
    }
)
"""Fields of theirs, explained."""

_RSTUF_KEPT = frozenset({"keytype", "scheme", "keyval", "name", KEY_NAME, KEY_URI})
_RSTUF_FIELD = re.compile(r"x-[^-]+-.+")
_RSTUF_ROLE = re.compile(r"[a-zA-Z0-9_-]+")
_SIGNED_FIELDS = frozenset({"_type", "spec_version", "version", "expires", "consistent_snapshot", "keys", "roles"})
_ONLINE_ROLES = ("timestamp", "snapshot", "targets")


@dataclass(frozen=True)
class Loss:
    """What a service would do to a document: drop what stands at `path` (``drops``), or not take it as it is."""

    drops: bool
    path: tuple[str, ...]
    text: str


def losses(service: Service, role: str, new: Document) -> Iterator[Loss]:
    """What `service` drops of a document of `role` when it stores it, and what it does not take."""
    if service:
        yield from _LOSSES[service](role, new)


def with_fields(key: Key, fields: Mapping[str, Any]) -> Key:
    """`key` with fields of a service, under the key id that the whole object then has (TUF 1.0.34, section 4.2)."""
    if not fields:
        return key
    value = {**key.to_dict(), **fields}
    return Key.from_dict(hashlib.sha256(encode(value)).hexdigest(), value)


def key_fields(service: Service, name: str, uri: str = "") -> Mapping[str, str]:
    """The fields that `service` has in a key: of the holder `name`, or, with its `uri`, of the online key."""
    if service == "rstuf":
        return {KEY_NAME: name} | ({KEY_URI: uri} if uri else {})
    if service == "tuf-on-ci":
        return {ONLINE: uri} if uri else {OWNER: name if name.startswith("@") else f"@{name.lower()}"}
    return {}


def periods(expiry: int, signing: int) -> Mapping[str, int]:
    """The fields that tuf-on-ci has in a document, or in the role of one that it signs itself, both in days."""
    return {EXPIRY: expiry, SIGNING: signing}


def rstuf_online_fields(key: Key, uri: str = "") -> Mapping[str, str]:
    """The fields that RSTUF has in its online key: without a `uri` it lies in the service's own folder of keys, under
    the id that the bare key has."""
    return key_fields("rstuf", "Online Key", uri or f"fn:{key.keyid}")


def _rstuf(role: str, new: Document) -> Iterator[Loss]:
    if role == "root":
        yield from _rstuf_fields(new)
        yield from _rstuf_roles(new)
    for name in _delegated(new.signed):
        if not _RSTUF_ROLE.fullmatch(name):
            yield Loss(False, ("delegations", "roles", name), f"the role name {name[:60]}")


def _rstuf_fields(new: Document) -> Iterator[Loss]:
    # A first root goes into the service as it is; what follows is read into models that know their own fields only.
    digits = quoting.digits(listed_ids(new.signed))
    later = " from the next version on" if new.version == 1 else ""
    for keyid, key in document.keys(new).items():
        for field in sorted(key.extra.keys() - _RSTUF_KEPT):
            yield Loss(True, ("keys", keyid, field), f"the field {field[:80]} of key {keyid[:digits]}{later}")
    for name, entry in _roles(new.signed):
        for field in sorted(entry.keys() - {"keyids", "threshold"}):
            yield Loss(True, ("roles", name, field), f"the field {field[:80]} of the role {name[:40]}{later}")
    for field in sorted(new.signed.keys() - _SIGNED_FIELDS):
        if not _RSTUF_FIELD.fullmatch(field):
            yield Loss(False, (field,), f"the field {field[:80]}: it wants names such as x-vendor-name")


def _rstuf_roles(new: Document) -> Iterator[Loss]:
    roles = dict(_roles(new.signed))
    held = {name: roles.get(name, {}) for name in _ONLINE_ROLES}
    online = {name: (tuple(role.get("keyids", ())), role.get("threshold")) for name, role in held.items()}
    keyids, threshold = online["timestamp"]
    if len(set(online.values())) != 1 or len(keyids) != 1 or threshold != 1:
        yield Loss(False, ("roles",), "these roles: it signs targets, snapshot and timestamp with one online key")
    elif keyids[0] in (keys := document.keys(new)) and KEY_URI not in keys[keyids[0]].extra:
        yield Loss(False, ("keys", keyids[0]), f"the online key without {KEY_URI}")
    if roles.get("root", {}).get("threshold") == 1:
        yield Loss(False, ("roles", "root"), "a threshold of 1 for root")


def _tuf_on_ci(role: str, new: Document) -> Iterator[Loss]:
    signed = new.signed
    if role in ("timestamp", "snapshot"):
        return
    for field in (EXPIRY, SIGNING):
        if field not in signed:
            yield Loss(False, (field,), f"the document without {field}")
    inside = () if role == "root" else ("delegations",)
    digits = quoting.digits(listed_ids(signed))
    for keyid, key in document.keys(new).items():
        place = (*inside, "keys", keyid)
        if hashlib.sha256(encode(key.to_dict())).hexdigest() != keyid:
            yield Loss(False, place, f"key {keyid[:digits]}: its id is not the hash of the whole key")
        if not {OWNER, ONLINE} & key.extra.keys():
            yield Loss(False, place, f"key {keyid[:digits]}, which names neither {OWNER} nor {ONLINE}")
    if role != "root":
        return
    roles = dict(_roles(signed))
    lone = [
        {k: v for k, v in roles.get(name, {}).items() if k in ("keyids", "threshold")}
        for name in ("timestamp", "snapshot")
    ]
    if lone[0] != lone[1]:
        yield Loss(False, ("roles",), "timestamp and snapshot with different keys or thresholds")
    for name in ("timestamp", "snapshot"):
        for field in (EXPIRY, SIGNING):
            if field not in roles.get(name, {}):
                yield Loss(False, ("roles", name), f"the role {name} without {field}")


_LOSSES: Mapping[str, Callable[[str, Document], Iterator[Loss]]] = {"rstuf": _rstuf, "tuf-on-ci": _tuf_on_ci}


def _roles(signed: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from signed.get("roles", {}).items()


def _delegated(signed: Mapping[str, Any]) -> Iterator[str]:
    for entry in (signed.get("delegations") or {}).get("roles") or ():
        yield entry["name"]
