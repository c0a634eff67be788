"""The shape that TUF 1.0.34 demands of a document: each fault is one exact error that names the field.

What python-tuf lets through (thresholds that are no integers, unpadded times, nulls) is refused, since clients disagree
about it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

from vestry.errors import InputRejected
from vestry.metadata import legacy
from vestry.text import printable

ROLES = ("root", "targets", "snapshot", "timestamp")
_SPEC = re.compile(r"1\.\d+(\.\d+)?", re.ASCII)
_MOST_BITS = 32  # TAP 15
_YEAR_LEAST = 1000  # below, python-tuf writes the year without its zeros, and so other bytes than it read


@dataclass(frozen=True)
class Signature:
    """A key id and a signature (hex, if it is to count), as a document lists them."""

    keyid: str
    sig: str


@dataclass(frozen=True)
class Checked:
    """A document whose shape is TUF's: its parts, the type in today's spelling, `expires` in UTC. `extra` holds fields
    beside ``signed`` and ``signatures``."""

    signed: dict[str, Any]
    signatures: tuple[Signature, ...]
    type: str
    version: int
    expires: datetime
    extra: Mapping[str, Any]


def check(value: Any, *, where: str, old_forms: bool = False) -> Checked:
    """Check the shape of a document; with `old_forms`, what `legacy` reads passes, too.

    Raises:
        InputRejected: it is no TUF metadata; says which field and why.
    """
    reader = _Reader(where, old_forms=old_forms)
    top = reader.object(value, "the document")
    signed = reader.object(_get(top, "signed"), "signed")
    signatures = reader.signatures(_get(top, "signatures"))
    kind, version, expires = reader.common(signed)
    of_type = {
        "root": reader.root,
        "targets": reader.targets,
        "snapshot": reader.snapshot,
        "timestamp": reader.timestamp,
    }
    of_type[kind](signed)
    extra = {k: v for k, v in top.items() if k not in ("signed", "signatures")}
    return Checked(signed, signatures, kind, version, expires, extra)


class _Missing:
    """Stands for a field that is not there, which is not the same as null."""


_MISSING = _Missing()


def _get(entry: Mapping[str, Any], name: str) -> Any:
    return entry.get(name, _MISSING)


class _Reader:
    """Checks of shape, each with one error that names the field."""

    def __init__(self, where: str, *, old_forms: bool = False) -> None:
        self.where, self.old_forms = where, old_forms

    def bad(self, name: str, what: str) -> NoReturn:
        raise InputRejected(f"{printable(name, 120)} {what}", where=self.where, code="E-METADATA")

    def wrong(self, value: Any, name: str, wanted: str) -> NoReturn:
        """`value` is not of the kind that is `wanted`."""
        if value is _MISSING:
            self.bad(name, "is missing")
        self.bad(name, "is null" if value is None else f"is not {wanted}")

    def object(self, value: Any, name: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            self.wrong(value, name, "an object")
        return value

    def array(self, value: Any, name: str) -> Sequence[Any]:
        if not isinstance(value, list):
            self.wrong(value, name, "a list")
        return value

    def text(self, value: Any, name: str) -> str:
        if not isinstance(value, str):
            self.wrong(value, name, "a string")
        return value

    def truth(self, value: Any, name: str) -> None:
        if not isinstance(value, bool):
            self.wrong(value, name, "true or false")

    def whole(self, value: Any, name: str, least: int) -> int:
        # True is an int to Python, and 1 to python-tuf.
        if type(value) is not int:
            self.wrong(value, name, "an integer")
        if value < least:
            self.bad(name, f"is {value}, less than {least}")
        return value

    def texts(self, value: Any, name: str) -> Sequence[str]:
        return [self.text(v, f"{name}[{i}]") for i, v in enumerate(self.array(value, name))]

    def signatures(self, value: Any) -> tuple[Signature, ...]:
        return tuple(self.signature(s, f"signatures[{i}]") for i, s in enumerate(self.array(value, "signatures")))

    def signature(self, value: Any, name: str) -> Signature:
        entry = self.object(value, name)
        # Whether it is hex is left to the tally: a signature may be as odd as it likes, it just does not count.
        return Signature(self.text(_get(entry, "keyid"), f"{name}/keyid"), self.text(_get(entry, "sig"), f"{name}/sig"))

    def common(self, signed: dict[str, Any]) -> tuple[str, int, datetime]:
        kind = self.text(_get(signed, "_type"), "_type")
        if self.old_forms and kind.lower() in ROLES:  # before TUF 1.0, types began with a capital
            kind = kind.lower()
        if kind not in ROLES:
            self.bad("_type", f"is '{printable(kind, 40)}', which is none of {', '.join(ROLES)}")
        if not self.old_forms:  # in a review a finding says so
            spec = self.text(_get(signed, "spec_version"), "spec_version")
            if not _SPEC.fullmatch(spec):
                self.bad("spec_version", f"is '{printable(spec, 40)}', where 1.0.x is understood")
        version = self.whole(_get(signed, "version"), "version", 1)
        return kind, version, self.time(_get(signed, "expires"))

    def time(self, value: Any) -> datetime:
        text = self.text(value, "expires")
        if self.old_forms and not legacy.EXACT.fullmatch(text) and (old := legacy.moment(text)) is not None:
            return old
        if not legacy.EXACT.fullmatch(text):
            self.bad("expires", f"is '{printable(text, 40)}', not a time like 2027-01-31T00:00:00Z")
        try:
            found = datetime.fromisoformat(text).astimezone(UTC)
        except ValueError:
            self.bad("expires", f"is '{text}', a time that does not exist")
        if found.year < _YEAR_LEAST:
            self.bad("expires", f"is '{text}', a year that clients write in other ways")
        return found

    def key_objects(self, value: Any, name: str) -> None:
        for keyid, key in self.object(value, name).items():
            label = f"{name}/{keyid[:16]}"
            entry = self.object(key, label)
            if self.old_forms:  # kinds of keys that nobody knows here are shown, not refused
                continue
            self.text(_get(entry, "keytype"), f"{label}/keytype")
            self.text(_get(entry, "scheme"), f"{label}/scheme")
            keyval = self.object(_get(entry, "keyval"), f"{label}/keyval")
            self.text(_get(keyval, "public"), f"{label}/keyval/public")

    def role(self, value: Any, name: str) -> dict[str, Any]:
        entry = self.object(value, name)
        keyids = self.texts(_get(entry, "keyids"), f"{name}/keyids")
        if len(set(keyids)) != len(keyids):
            self.bad(f"{name}/keyids", "names a key id twice")
        self.whole(_get(entry, "threshold"), f"{name}/threshold", 1)
        return entry

    def root(self, signed: dict[str, Any]) -> None:
        self.key_objects(_get(signed, "keys"), "keys")
        roles = self.object(_get(signed, "roles"), "roles")
        for role in ROLES if not self.old_forms else ():  # in a review a finding says so
            if role not in roles:
                self.bad(f"roles/{role}", "is missing")
        for role, entry in roles.items():
            self.role(entry, f"roles/{role}")
        if "consistent_snapshot" in signed:
            self.truth(signed["consistent_snapshot"], "consistent_snapshot")

    def targets(self, signed: dict[str, Any]) -> None:
        for path, target in self.object(_get(signed, "targets"), "targets").items():
            self.file(target, f"targets/{path}", must=True)
        if "delegations" in signed:
            self.delegations(self.object(signed["delegations"], "delegations"))

    def delegations(self, value: dict[str, Any]) -> None:
        self.key_objects(_get(value, "keys"), "delegations/keys")
        if ("roles" in value) == ("succinct_roles" in value):
            self.bad("delegations", "has not exactly one of roles and succinct_roles")
        if "succinct_roles" in value:
            name = "delegations/succinct_roles"
            entry = self.role(value["succinct_roles"], name)
            if (bits := self.whole(_get(entry, "bit_length"), f"{name}/bit_length", 1)) > _MOST_BITS:
                self.bad(f"{name}/bit_length", f"is {bits}, more than {_MOST_BITS}")
            self.text(_get(entry, "name_prefix"), f"{name}/name_prefix")
            return
        seen = set()
        for i, role in enumerate(self.array(value["roles"], "delegations/roles")):
            place = f"delegations/roles[{i}]"
            name = self.text(_get(self.object(role, place), "name"), f"{place}/name")
            if name in seen:
                self.bad(f"delegations/{name}", "stands twice")
            seen.add(name)
            self.delegation(role, f"delegations/{name}")

    def delegation(self, value: dict[str, Any], name: str) -> None:
        entry = self.role(value, name)
        self.truth(_get(entry, "terminating"), f"{name}/terminating")
        if ("paths" in entry) == ("path_hash_prefixes" in entry):
            self.bad(name, "has not exactly one of paths and path_hash_prefixes")
        which = "paths" if "paths" in entry else "path_hash_prefixes"
        self.texts(entry[which], f"{name}/{which}")

    def snapshot(self, signed: dict[str, Any]) -> None:
        for file, entry in self.object(_get(signed, "meta"), "meta").items():
            name = f"meta/{file}"
            self.whole(_get(self.object(entry, name), "version"), f"{name}/version", 1)
            self.file(entry, name, must=False)

    def timestamp(self, signed: dict[str, Any]) -> None:
        self.snapshot(signed)
        if "snapshot.json" not in signed["meta"]:
            self.bad("meta/snapshot.json", "is missing")

    def file(self, value: Any, name: str, *, must: bool) -> None:
        entry = self.object(value, name)
        if must or "length" in entry:
            self.whole(_get(entry, "length"), f"{name}/length", 0)
        if must or "hashes" in entry:
            hashes = self.object(_get(entry, "hashes"), f"{name}/hashes")
            if not hashes:
                self.bad(f"{name}/hashes", "is empty")
            for algorithm, digest in hashes.items():
                self.text(digest, f"{name}/hashes/{algorithm}")
