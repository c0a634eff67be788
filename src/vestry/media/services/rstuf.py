"""RSTUF's payloads, read and written: bootstrap, metadata update, what waits for signatures, one signature.

    bootstrap   POST /api/v1/bootstrap       {"settings": {"roles": …}, "metadata": {"root": …}, "timeout": …}
    update      POST /api/v1/metadata        {"metadata": {"root": …}}
    pending     GET  /api/v1/metadata/sign   {"data": {"metadata": {"root": …, "trusted_root": …, …}}, "message": …}
    signature   POST /api/v1/metadata/sign   {"role": …, "signature": {"keyid": …, "sig": …}}

They are what its CLI writes to files and reads from them: JSON with an indent of two spaces. Documents keep the order
of their fields, though nothing depends on it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NoReturn

from vestry.errors import InputRejected, Refused
from vestry.media.services.incoming import Incoming, Pending
from vestry.metadata import document, intake
from vestry.metadata.document import Document, Signature
from vestry.text import printable

LIMIT = 64 << 20
BINS = tuple(2**n for n in range(1, 15))
"""Numbers of hash bins that its CLI offers: 2 to 16,384."""

DAYS: Mapping[str, int] = MappingProxyType({"root": 365, "targets": 365, "snapshot": 1, "timestamp": 1, "bins": 1})
"""Days that its CLI offers for the life of each version."""

_TOP = ("root", "timestamp", "snapshot", "targets")


@dataclass(frozen=True)
class Settings:
    """What the service is told beside the first root: days that each version lives, by role; and either `bins`, how
    many hash bins there are, or `delegations`, as TUF has them, whose roles carry ``x-rstuf-expire-policy``."""

    days: Mapping[str, int]
    bins_days: int = 1
    bins: int = 0
    delegations: Mapping[str, Any] | None = None
    timeout: int = 300


@dataclass(frozen=True)
class Bootstrap:
    """A first root with its settings."""

    settings: Settings
    root: Document

    def encode(self) -> bytes:
        """The payload.

        Raises:
            Refused: the settings are none that the service takes, or nobody has signed the root.
        """
        said = self.settings
        if bool(said.bins) == (said.delegations is not None):
            raise Refused("RSTUF wants hash bins or delegations, one of the two", where="RSTUF bootstrap")
        if said.bins and said.bins not in BINS:
            raise Refused(f"{said.bins} hash bins", where="RSTUF bootstrap", do="take a power of two, 2 to 16384")
        if not self.root.signatures:
            raise Refused("nobody has signed the root", where="RSTUF bootstrap", do="collect a signature first")
        if self.root.version != 1:
            raise Refused(f"root v{self.root.version} begins nothing", where="RSTUF bootstrap", do="write an update")
        bins = {"expiration": said.bins_days, "number_of_delegated_bins": said.bins} if said.bins else None
        roles = {role: {"expiration": said.days[role]} for role in _TOP}
        return _file(
            {
                "settings": {"roles": {**roles, "bins": bins, "delegations": said.delegations}},
                "metadata": {"root": _object(self.root)},
                "timeout": said.timeout,
            }
        )


@dataclass(frozen=True)
class Update:
    """Next versions of documents, by role."""

    documents: Mapping[str, Document]

    def encode(self) -> bytes:
        """The payload."""
        return _file({"metadata": {role: _object(found) for role, found in self.documents.items()}})


@dataclass(frozen=True)
class Waiting:
    """Documents that wait for signatures, and the trusted ones, by role; `message` is the service's."""

    documents: Mapping[str, Document]
    trusted: Mapping[str, Document]
    message: str | None = None

    def encode(self) -> bytes:
        """The answer that the service gives."""
        inner: dict[str, Any] = {}
        for role, found in self.documents.items():
            inner[role] = _object(found)
            if role in self.trusted:
                inner[f"trusted_{role}"] = _object(self.trusted[role])
        for role, found in self.trusted.items():
            inner.setdefault(f"trusted_{role}", _object(found))
        value: dict[str, Any] = {"data": {"metadata": inner}}
        return _file(value if self.message is None else value | {"message": self.message})


@dataclass(frozen=True)
class Signed:
    """One signature going back."""

    role: str
    signature: Signature

    def encode(self) -> bytes:
        """The payload."""
        return _file({"role": self.role, "signature": {"keyid": self.signature.keyid, "sig": self.signature.sig}})


Payload = Bootstrap | Update | Waiting | Signed


def parse(raw: bytes, *, where: str) -> Payload:
    """One of the four payloads.

    Raises:
        InputRejected: none of them, or a part of it is not what it must be.
    """
    value = intake.parse(raw, where=where)
    if isinstance(value, dict):
        kind = frozenset(value)
        if kind == {"settings", "metadata", "timeout"}:
            return _bootstrap(value, where)
        if kind == {"metadata"}:
            return Update(_documents(value["metadata"], where))
        if kind in ({"data"}, {"data", "message"}):
            return _waiting(value, where)
        if kind == {"role", "signature"}:
            return _signed(value, where)
    raise InputRejected("this is none of RSTUF's payloads", where=where, do="is it the right file?", code="E-SERVICE")


def is_payload(value: object) -> bool:
    """Whether a JSON value has the members of one of the payloads."""
    return isinstance(value, dict) and frozenset(value) in (
        {"settings", "metadata", "timeout"},
        {"metadata"},
        {"data"},
        {"data", "message"},
        {"role", "signature"},
    )


def incoming(payload: Payload, *, where: str) -> Incoming:
    """The documents of a payload, with what decides their keys.

    Raises:
        InputRejected: it holds a signature, and no document; or nothing decides the keys of a document.
    """
    if isinstance(payload, Bootstrap):
        return Incoming("RSTUF, bootstrap", (Pending("root", payload.root),), "rstuf")
    if isinstance(payload, Signed):
        _bad("it holds a signature and no document", where, "collect it: vestry collect BUNDLE FILE")
    if isinstance(payload, Update):
        found = [Pending(role, doc) for role, doc in payload.documents.items()]
        what, trusted = "RSTUF, metadata update", dict[str, Document]()
    else:
        found = [Pending(role, doc) for role, doc in payload.documents.items()]
        what, trusted = "RSTUF, waiting for signatures", dict(payload.trusted)
    remarks: tuple[str, ...] = ()
    if "root" in payload.documents and what.endswith("signatures"):
        remarks = ("while a root waits, RSTUF does not tell of delegated roles that wait, too",)
    return Incoming(what, tuple(_decided(p, trusted) for p in found), "rstuf", remarks=remarks)


def _decided(pending: Pending, trusted: Mapping[str, Document]) -> Pending:
    above = {"root": "root"}.get(pending.role, "root" if pending.role in _TOP else "targets")
    return Pending(pending.role, pending.document, trusted.get(above))


def _bootstrap(value: Mapping[str, Any], where: str) -> Bootstrap:
    roles = _inner(_only(_inner(value, "settings", where), {"roles"}, where), "roles", where)
    _only(roles, {*_TOP, "bins", "delegations"}, where)
    days = {role: _days(_only(_inner(roles, role, where), {"expiration"}, where), where) for role in _TOP}
    bins, below = roles.get("bins"), roles.get("delegations")
    if (bins is None) == (below is None):
        _bad("settings.roles has neither bins nor delegations, or both", where)
    settings = Settings(days, delegations=below, timeout=_whole(value["timeout"], "timeout", where))
    if bins is not None:
        _only(_inner(roles, "bins", where), {"expiration", "number_of_delegated_bins"}, where)
        number = _whole(bins.get("number_of_delegated_bins"), "number_of_delegated_bins", where)
        settings = Settings(days, _days(bins, where), number, timeout=settings.timeout)
    documents = _documents(value["metadata"], where)
    if set(documents) != {"root"}:
        _bad("a bootstrap holds a root and nothing else", where)
    return Bootstrap(settings, documents["root"])


def _waiting(value: Mapping[str, Any], where: str) -> Waiting:
    found = _documents(_inner(_only(_inner(value, "data", where), {"metadata"}, where), "metadata", where), where)
    message = value.get("message")
    if message is not None and not isinstance(message, str):
        _bad("message is no text", where)
    trusted = {role.removeprefix("trusted_"): doc for role, doc in found.items() if role.startswith("trusted_")}
    return Waiting({r: doc for r, doc in found.items() if not r.startswith("trusted_")}, trusted, message)


def _signed(value: Mapping[str, Any], where: str) -> Signed:
    inner, role = _inner(value, "signature", where), value["role"]
    keyid, sig = inner.get("keyid"), inner.get("sig")
    if not (isinstance(role, str) and isinstance(keyid, str) and isinstance(sig, str)) or set(inner) - {"keyid", "sig"}:
        _bad("a signature has role, keyid and sig, and no more", where)
    return Signed(role, Signature(keyid, sig))


def _documents(value: object, where: str) -> dict[str, Document]:
    if not isinstance(value, dict) or not value:
        _bad("metadata holds no document", where)
    found = {}
    for role, inner in value.items():
        part = f"{where}, {printable(role, 60)}"
        found[role] = document.read(json.dumps(inner, indent=1, ensure_ascii=False).encode(), where=part)
        kind = role.removeprefix("trusted_")
        if found[role].type != (kind if kind in _TOP else "targets"):
            _bad(f"a {found[role].type} stands where a {printable(kind, 60)} should", where)
    return found


def _inner(value: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    inner = value.get(name)
    if not isinstance(inner, dict):
        _bad(f"{name} is no object", where)
    return inner


def _only(value: dict[str, Any], known: Set[str], where: str) -> dict[str, Any]:
    if unknown := sorted(value.keys() - known):
        _bad(f"it has a member '{printable(unknown[0], 60)}', which RSTUF does not know", where)
    return value


def _days(value: Mapping[str, Any], where: str) -> int:
    return _whole(value.get("expiration"), "expiration", where)


def _whole(value: object, name: str, where: str) -> int:
    if type(value) is not int or value < 1:
        _bad(f"{name} is no whole number from 1 on", where)
    return value


def _bad(what: str, where: str, do: str = "ask whoever wrote it") -> NoReturn:
    raise InputRejected(what, where=where, do=do, code="E-SERVICE")


def _object(found: Document) -> Any:
    return json.loads(found.raw)


def _file(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode()
