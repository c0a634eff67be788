"""A role's document: its bytes, its signed part, its signatures.

`signed_bytes` is the canonical form of ``signed`` as it stood in exactly these bytes; nothing between reading and
signing writes it again. What TUF 1.0.34 makes mandatory is checked on reading (`shape`).
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from vestry.errors import InputRejected
from vestry.metadata import crowd, following, forms, intake, shape
from vestry.metadata.canonical import encode
from vestry.metadata.edits import named
from vestry.metadata.keys import Key
from vestry.metadata.runs import Run
from vestry.metadata.shape import ROLES, Signature

__all__ = [
    "ROLES",
    "Document",
    "LargeDocument",
    "Signature",
    "escaped",
    "keys",
    "read",
    "read_large",
    "role_entry",
    "to_file",
]

_NOTHING: Mapping[str, Any] = {}


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


_CONTROLS = bytes(range(0x20))
_CONTROL = re.compile(rb"[\x00-\x1f]")


def escaped(canonical: bytes) -> bytes:
    """Canonical bytes as JSON: OLPC leaves control characters as they are, and JSON escapes them (RFC 8259, 7)."""
    if len(canonical.translate(None, _CONTROLS)) == len(canonical):
        return canonical
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
    found = shape.check(intake.parse(raw, where=where, limits=limits), where=where, old_forms=old_forms)
    signed, signed_bytes = found.signed, encode(found.signed)
    if len(raw) >= crowd.LARGE:
        # Written in another order or with escapes: the crowd is then left in the canonical bytes.
        file = b'{"signatures":[],"signed":' + escaped(signed_bytes) + b"}"
        limits = replace(limits, bytes=max(limits.bytes, len(file)))
        large = read_large(file, where=where, limits=limits, old_forms=old_forms, before=before)
        if large is not None:
            made = LargeDocument(
                raw, large.left, large.pieces, found.signatures, found.type, found.version, found.expires, found.extra
            )
            made.steps.update(large.steps)
            return made
    return Document(raw, signed, found.signatures, signed_bytes, found.type, found.version, found.expires, found.extra)


def _read_ordered(
    raw: bytes, value: Any, *, where: str, limits: intake.Limits, old_forms: bool, before: Document | None
) -> LargeDocument | None:
    """A large file in whose bytes no crowd was found, since members stand in another order or letters are escaped: it
    is looked for in the canonical bytes of its `value`. None where it has none there either."""
    if len(raw) < crowd.LARGE or not isinstance(value, dict):
        return None
    file = escaped(encode(value))
    limits = replace(limits, bytes=max(limits.bytes, len(file)))
    large = read_large(file, where=where, limits=limits, old_forms=old_forms, before=before)
    if large is None:
        return None
    made = LargeDocument(
        raw, large.left, large.pieces, large.signatures, large.type, large.version, large.expires, large.extra
    )
    made.steps.update(large.steps)
    return made


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
        checked = shape.check({**top, "signed": placed.signed}, where=where, old_forms=old_forms)
        if checked.type != "targets":
            return None
        pieces = tuple(crowd.canonical(encode(top["signed"]), found))
    except InputRejected:
        return None
    large = LargeDocument(
        raw, placed, pieces, checked.signatures, "targets", checked.version, checked.expires, checked.extra
    )
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
