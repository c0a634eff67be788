"""A role's document: its bytes, its signed part, its signatures.

`signed_bytes` is the canonical form of ``signed`` as it stood in exactly these bytes; nothing between reading and
signing writes it again. What TUF 1.0.34 makes mandatory is checked on reading, with one exact error; what python-tuf
lets through (thresholds that are no integers, unpadded times, nulls) is refused, since clients disagree about it.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NoReturn

from vestry.errors import InputRejected
from vestry.metadata import crowd, following, forms, intake, legacy
from vestry.metadata.canonical import encode
from vestry.metadata.edits import named
from vestry.metadata.keys import Key
from vestry.metadata.runs import Run
from vestry.text import printable

ROLES = ("root", "targets", "snapshot", "timestamp")
_SPEC = re.compile(r"1\.\d+(\.\d+)?", re.ASCII)
_MOST_BITS = 32  # TAP 15
_YEAR_LEAST = 1000  # below, python-tuf writes the year without its zeros, and so other bytes than it read
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Signature:
    """A key id and a signature (hex, if it is to count), as a document lists them."""

    keyid: str
    sig: str


@dataclass(frozen=True)
class Document:
    """A document as read.

    `raw` is the file, `signed` its signed part (never changed), `signed_bytes` the canonical form of that; `expires` is
    in UTC; `extra` holds fields beside ``signed`` and ``signatures``, which nothing signs.
    """

    raw: bytes = field(repr=False)
    signed: dict[str, Any] = field(repr=False)
    signatures: tuple[Signature, ...]
    signed_bytes: bytes = field(repr=False)
    type: str
    version: int
    expires: datetime
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of the signed bytes, in hex: what people read aloud."""
        return hashlib.sha256(self.signed_bytes).hexdigest()

    @property
    def file_sha256(self) -> str:
        """SHA-256 of the file, in hex."""
        return hashlib.sha256(self.raw).hexdigest()

    @cached_property
    def delegated(self) -> Mapping[str, Mapping[str, Any]]:
        """The delegations of its list by name, in order: of 16,384 bins, each is asked for."""
        inner = self.signed.get("delegations")
        return named(inner.get("roles")) or {} if isinstance(inner, dict) else {}

    @property
    def message(self) -> bytes | memoryview:
        """The signed bytes, for verifying: of a large document without another copy of them where that can be."""
        return self.signed_bytes

    def with_signatures(self, signatures: Iterable[Signature]) -> Document:
        """The same signed part with these signatures, one a key id, sorted by it; the signed bytes stay as they are."""
        chosen = tuple(sorted({s.keyid: s for s in signatures}.values(), key=lambda s: s.keyid))
        return replace(self, raw=to_file(self.signed, chosen, self.extra), signatures=chosen)


class LargeDocument(Document):
    """A large document whose crowd stays in its bytes (see `crowd`). `left` is the signed part without it.

    `signed_bytes` are put together when they are asked for, and `signed` is read then: slow, and large.
    """

    def __init__(
        self,
        raw: bytes,
        left: crowd.Placed,
        pieces: tuple[bytes | Run, ...],
        signatures: tuple[Signature, ...],
        kind: str,
        version: int,
        expires: datetime,
        extra: Mapping[str, Any],
    ) -> None:
        values: dict[str, Any] = {
            "raw": raw,
            "signatures": signatures,
            "type": kind,
            "version": version,
            "expires": expires,
        }
        values |= {"extra": extra, "left": left, "pieces": pieces, "steps": {}, "verdicts": {}}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    left: crowd.Placed
    pieces: tuple[bytes | Run, ...]
    steps: dict[tuple[int, tuple[str, ...]], following.Steps]
    """What lies between the crowd of another document, by its identity, and this one's."""
    verdicts: dict[tuple[Key, str], bool]
    """Whether signatures (hex) hold over it, as far as they were verified."""

    @cached_property
    def _whole(self) -> dict[str, Any]:
        signed: dict[str, Any] = json.loads(self.raw)["signed"]  # the door has seen all of it
        return signed

    @property
    def signed(self) -> dict[str, Any]:
        """The whole signed part, made anew from the file the first time."""
        return self._whole

    @property
    def signed_bytes(self) -> bytes:
        """The canonical form of the signed part, put together anew each time."""
        return crowd.joined(self.pieces)

    @property
    def message(self) -> bytes | memoryview:
        """As `Document.message`."""
        span = crowd.within(self.raw, self.pieces)
        return memoryview(self.raw)[span[0] : span[1]] if span is not None else self.signed_bytes

    @cached_property
    def _digest(self) -> Future[str]:
        pool = ThreadPoolExecutor(1)
        hashed = pool.submit(crowd.digest, self.pieces)
        pool.shutdown(wait=False)
        return hashed

    @property
    def digest(self) -> str:
        """SHA-256 of the signed bytes, in hex."""
        return self._digest.result()

    def expect_digest(self) -> None:
        """Begin to hash; other work goes on meanwhile."""
        _ = self._digest

    def plain(self, form: forms.Form, text: str) -> Any:
        """The entry of the crowd in whose canonical bytes `text` stands, as no other's; None if there is none."""
        for run in (run for run, _ in self.left.runs if run.form is form):
            at = run.raw.find(text.encode(), run.start, run.end)
            if at >= 0:
                start = run.raw.rfind(form.before, run.start, at + len(form.before))
                entry = forms.entry_pattern(form).match(run.raw, start, run.end)
                return json.loads(entry[0] if form.is_list else b"{%b}" % entry[0]) if entry else None
        return None

    def parts(self, role: str | None, keyids: Iterable[str] = ()) -> tuple[Mapping[str, Any] | None, dict[str, Any]]:
        """The delegation to `role` and the key objects of these ids, as far as they are there."""
        if any(run.spaced for run, _ in self.left.runs):
            inner = self.signed.get("delegations", {})
            few = inner.get("keys", {})
        else:
            inner = self.left.signed.get("delegations", {})
            few = dict(inner.get("keys", {}))
            for keyid in (i for i in keyids if i not in few):
                few |= self.plain(forms.KEYS, f"{json.dumps(keyid)}:{{") or {}
        entry = next((r for r in inner.get("roles", []) if r["name"] == role), None)
        if entry is None and role is not None:
            entry = self.plain(forms.ROLES, f'"name":{json.dumps(role)},"paths"')
        return entry, few

    def __repr__(self) -> str:
        return f"LargeDocument({self.type} v{self.version}, {len(self.raw):,} bytes)"

    def with_signatures(self, signatures: Iterable[Signature]) -> Document:
        """As `Document.with_signatures`; the file is compact, its signed part the bytes that stood there if they were
        canonical."""
        chosen = tuple(sorted({s.keyid: s for s in signatures}.values(), key=lambda s: s.keyid))
        span = crowd.within(self.raw, self.pieces)
        signed = memoryview(self.raw)[span[0] : span[1]] if span is not None else escaped(self.signed_bytes)
        listed, mark = [{"keyid": s.keyid, "sig": s.sig} for s in chosen], secrets.token_hex(16)
        frame = escaped(encode({**self.extra, "signatures": listed, "signed": mark}))
        head, tail = frame.split(f'"{mark}"'.encode())
        raw = b"".join([head, signed, tail])
        left, pieces = self.left, self.pieces
        if span is not None:
            by = len(head) - span[0]
            left = replace(
                left,
                runs=tuple(
                    (replace(run, raw=raw, start=run.start + by, end=run.end + by), at) for run, at in left.runs
                ),
            )
            pieces = tuple(
                piece
                if isinstance(piece, bytes)
                else replace(piece, raw=raw, start=piece.start + by, end=piece.end + by)
                for piece in pieces
            )
        made = LargeDocument(raw, left, pieces, chosen, self.type, self.version, self.expires, self.extra)
        made.steps.update(self.steps)
        object.__setattr__(made, "verdicts", self.verdicts)  # of the same signed part
        if "_digest" in self.__dict__:
            made.__dict__["_digest"] = self._digest  # of the same signed part
        return made


_CONTROL = re.compile(rb"[\x00-\x1f]")


def escaped(canonical: bytes) -> bytes:
    """Canonical bytes as JSON: OLPC leaves control characters as they are, and JSON escapes them (RFC 8259, 7)."""
    return _CONTROL.sub(lambda m: b"\\n" if m[0] == b"\n" else b"\\u%04x" % m[0][0], canonical)


def to_file(
    signed: Mapping[str, Any], signatures: Iterable[Signature] = (), extra: Mapping[str, Any] = _NOTHING
) -> bytes:
    """The file as python-tuf writes it: ASCII JSON, sorted keys, an indent of one space, no line feed at the end."""
    listed = [{"keyid": s.keyid, "sig": s.sig} for s in signatures]
    value = {**extra, "signatures": listed, "signed": signed}
    return json.dumps(value, sort_keys=True, indent=1, separators=(",", ": ")).encode()


def read(
    raw: bytes,
    *,
    where: str,
    limits: intake.Limits = intake.LIMITS,
    old_forms: bool = False,
    before: Document | None = None,
) -> Document:
    """Read a document strictly; with `old_forms`, which only review and verification take, what `legacy` reads, too.
    The version `before` it, if it is at hand, makes a large one quicker to read.

    Raises:
        InputRejected: it is no TUF metadata; says which field and why.
    """
    large = read_large(raw, where=where, limits=limits, old_forms=old_forms, before=before)
    if large is not None:
        return large
    value = intake.parse(raw, where=where, limits=limits)
    reader = _Reader(where, old_forms=old_forms)
    top = reader.object(value, "the document")
    signed = reader.object(_get(top, "signed"), "signed")
    signatures = reader.signatures(_get(top, "signatures"))
    kind, version, expires = reader.common(signed)
    readers = {
        "root": reader.root,
        "targets": reader.targets,
        "snapshot": reader.snapshot,
        "timestamp": reader.timestamp,
    }
    readers[kind](signed)
    extra = {k: v for k, v in top.items() if k not in ("signed", "signatures")}
    return Document(raw, signed, signatures, encode(signed), kind, version, expires, extra)


def read_large(
    raw: bytes, *, where: str, limits: intake.Limits, old_forms: bool = False, before: Document | None = None
) -> LargeDocument | None:
    """A large document of targets without its crowd; None where it has none, or where it must be read as a whole to say
    what is wrong with it."""
    if not crowd.LARGE <= len(raw) <= limits.bytes:
        return None
    steps, names = following.along(before.left, raw) if isinstance(before, LargeDocument) else ({}, None)
    found = crowd.cut(raw, {at: step.runs for at, step in steps.items()})
    if found is None:
        return None
    try:
        top = intake.parse(found.rest, where=where, limits=limits)
        if not isinstance(top, dict) or not isinstance(top.get("signed"), dict):
            return None
        placed = crowd.place(top["signed"], found, names)
        if placed is None:
            return None
        reader = _Reader(where, old_forms=old_forms)
        signatures = reader.signatures(_get(top, "signatures"))
        kind, version, expires = reader.common(placed.signed)
        if kind != "targets":
            return None
        reader.targets(placed.signed)
        pieces = tuple(crowd.canonical(encode(top["signed"]), found))
    except InputRejected:
        return None
    extra = {k: v for k, v in top.items() if k not in ("signed", "signatures")}
    large = LargeDocument(raw, placed, pieces, signatures, kind, version, expires, extra)
    large.steps.update({(id(before), at): step for at, step in steps.items()})
    return large


def keys(document: Document, only: Iterable[str] | None = None) -> Mapping[str, Key]:
    """The key objects of a root, or of a targets' delegations, by key id; of `only` these ids, where they are given."""
    if isinstance(document, LargeDocument) and only is not None:
        only = list(only)
        listed = document.parts(None, only)[1]
    else:
        holder = document.signed if document.type in ("root", "layout") else document.signed.get("delegations", {})
        listed = holder.get("keys", {})
    wanted = listed if only is None else [keyid for keyid in only if keyid in listed]
    return {keyid: Key.from_dict(keyid, listed[keyid]) for keyid in wanted}


def role_entry(document: Document, role: str) -> Mapping[str, Any] | None:
    """What `document` says of `role`: an object with ``keyids`` and ``threshold``; None where it does not name it."""
    if document.type == "root":
        entry: Mapping[str, Any] | None = document.signed["roles"].get(role)
        return entry
    large = document if isinstance(document, LargeDocument) else None
    delegations = (large.left if large else document).signed.get("delegations", {})
    succinct = delegations.get("succinct_roles")
    if succinct is not None:
        return succinct if _in_succinct(succinct, role) else None
    if large is not None:
        return large.parts(role)[0]
    return document.delegated.get(role)


def _in_succinct(entry: Mapping[str, Any], role: str) -> bool:
    bits = entry["bit_length"]
    digits = len(f"{2**bits - 1:x}")
    prefix, _, suffix = role.rpartition("-")
    fits = prefix == entry["name_prefix"] and len(suffix) == digits and re.fullmatch("[0-9a-f]+", suffix) is not None
    return fits and int(suffix, 16) < 2**bits


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
