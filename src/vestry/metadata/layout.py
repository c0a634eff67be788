"""in-toto layouts (specification 1.0, section 4.3), as Metablock or in a DSSE envelope: read for review, and signed in
the form in which they came.

What is signed are canonical JSON bytes of ``signed`` (Metablock), or the DSSE pre-authentication encoding of exactly
the payload's bytes. A layout has no version and nobody above it who names its signers: those who verify bring the keys.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any, NoReturn

from vestry.errors import InputRejected
from vestry.metadata import document, intake, legacy
from vestry.metadata.canonical import encode
from vestry.metadata.document import Document, Signature
from vestry.metadata.edits import named
from vestry.metadata.keys import Key
from vestry.metadata.thresholds import Authority
from vestry.text import printable

TYPE = "layout"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
PARTS = ("steps", "inspect")
"""Members that list things with names, in order."""

_DSSE = b"DSSEv1 "
FIELDS = {
    "layout": frozenset({"_type", "expires", "readme", "keys", "steps", "inspect"}),
    "steps": frozenset(
        {"_type", "name", "threshold", "expected_materials", "expected_products", "pubkeys", "expected_command"}
    ),
    "inspect": frozenset({"_type", "name", "expected_materials", "expected_products", "run"}),
}
"""What in-toto defines, of the layout itself and of what its parts list."""

_TYPES = {"layout": TYPE, "steps": "step", "inspect": "inspection"}
_TRIED = 100


def read(raw: bytes, *, where: str, limits: intake.Limits = intake.LIMITS, before: Document | None = None) -> Document:
    """A document for review or verification: a layout, or TUF metadata, also in the old forms of other tools.
    For `before` see `document.read`.

    Raises:
        InputRejected: it is neither; says which field and why.
    """
    large = document.read_large(raw, where=where, limits=limits, old_forms=True, before=before)
    if large is not None:
        return large
    if b"layout" in raw or b"payload" in raw:
        value = intake.parse(raw, where=where, limits=limits)
        if isinstance(value, dict) and "payload" in value and "signed" not in value:
            return _envelope(raw, value, where, limits)
        signed = value.get("signed") if isinstance(value, dict) else None
        if isinstance(signed, dict) and signed.get("_type") == TYPE:
            return _layout(raw, value, signed, encode(signed), where)
    return document.read(raw, where=where, limits=limits, old_forms=True)


def read_strictly(raw: bytes, *, where: str) -> Document:
    """A document to sign or to follow: a layout, or TUF metadata in today's form.

    Raises:
        InputRejected: it is neither; says which field and why.
    """
    found = read(raw, where=where)
    return found if found.type == TYPE else document.read(raw, where=where)


def with_signatures(unsigned: Document, signatures: Iterable[Signature]) -> Document:
    """`Document.with_signatures` for layouts as well: each keeps the form of envelope that it came in, and a DSSE
    payload its very text."""
    chosen = tuple(signatures)
    top = json.loads(unsigned.raw) if unsigned.type == TYPE else {}  # the door has seen it
    if "payload" not in top or "signed" in top:
        return unsigned.with_signatures(chosen)
    chosen = tuple(sorted({s.keyid: s for s in chosen}.values(), key=lambda s: s.keyid))
    top["signatures"] = [{"keyid": s.keyid, "sig": base64.b64encode(bytes.fromhex(s.sig)).decode()} for s in chosen]
    raw = json.dumps(top, sort_keys=True, indent=1, separators=(",", ": ")).encode()
    return replace(unsigned, raw=raw, signatures=chosen)


def differs(layout: Document) -> str:
    """Why in-toto's own reader makes another layout of this one, or signatures on it count for nothing there; empty
    where neither is so. It drops fields that it does not know, and puts in those that are left out: of a Metablock, it
    then verifies other bytes than were signed.
    """
    parts = [("the layout", "layout", layout.signed)]
    parts += [(f"{p} {t['name']}", p, t) for p in PARTS for t in layout.signed.get(p, [])]
    for what, kind, fields in parts:
        extra, missing = sorted(fields.keys() - FIELDS[kind]), sorted(FIELDS[kind] - fields.keys())
        if extra:
            return f"{what} has a field '{extra[0]}', which it drops"
        if missing and not layout.signed_bytes.startswith(_DSSE):
            return f"{what} has no field '{missing[0]}', which it puts in"
        if fields.get("_type", _TYPES[kind]) != _TYPES[kind]:
            return f"{what} is of the type '{fields['_type']}', which it refuses"
    return ""


def pae(payload_type: str, payload: bytes) -> bytes:
    """What a DSSE signature is over (DSSE 1.0, "PAE")."""
    kind = payload_type.encode()
    return _DSSE + b"%d %b %d %b" % (len(kind), kind, len(payload), payload)


def signers(layout: Document, keys: Sequence[Key], threshold: int) -> Authority:
    """What those who brought `keys` ask of `layout`: `threshold` of them must have signed.

    The layout may call a key by another id than PEM gives it; each key is found by what it verifies.
    """
    return Authority("the keys given", TYPE, threshold, tuple(_as_called(layout, key) for key in keys))


def _as_called(layout: Document, key: Key) -> Key:
    given = list(islice(layout.signatures, _TRIED))
    for signature in given:
        if _holds(key, signature.sig, layout.signed_bytes):
            return replace(key, keyid=signature.keyid)
    ids = {k.keyid for k in document.keys(layout).values() if k.fingerprint == key.fingerprint} | key.computed_keyids()
    return replace(key, keyid=next((s.keyid for s in given if s.keyid in ids), key.keyid))


def _holds(key: Key, sig: str, message: bytes) -> bool:
    try:
        return key.verify(bytes.fromhex(sig), message)
    except ValueError:
        return False


def _bad(where: str, name: str, what: str) -> NoReturn:
    raise InputRejected(f"{printable(name, 120)} {what}", where=where, code="E-METADATA")


def _envelope(raw: bytes, value: dict[str, Any], where: str, limits: intake.Limits) -> Document:
    kind, text = value.get("payloadType"), value["payload"]
    if kind != PAYLOAD_TYPE:
        shown = printable(str(kind), 60)
        _bad(where, "payloadType", f"is '{shown}'; of DSSE envelopes, only in-toto layouts ({PAYLOAD_TYPE}) are read")
    payload = _base64(text) if isinstance(text, str) else None
    if payload is None:
        _bad(where, "payload", "is not base64")
    signed = intake.parse(payload, where=f"{where}, payload", limits=limits)
    if not isinstance(signed, dict) or signed.get("_type") != TYPE:
        what = signed.get("_type") if isinstance(signed, dict) else "no object"
        _bad(where, "the payload", f"is '{printable(str(what), 40)}', not a layout")
    return _layout(raw, value, signed, pae(PAYLOAD_TYPE, payload), where)


def _base64(text: str) -> bytes | None:
    """DSSE takes base64 in either alphabet."""
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (ValueError, binascii.Error):
        return None


def _layout(raw: bytes, top: dict[str, Any], signed: dict[str, Any], signed_bytes: bytes, where: str) -> Document:
    is_envelope = "payload" in top and "signed" not in top
    signatures = tuple(_signatures(top.get("signatures"), where, is_envelope=is_envelope))
    keys = signed.get("keys", {})
    if not isinstance(keys, dict) or not all(isinstance(k, dict) for k in keys.values()):
        _bad(where, "keys", "is not an object of key objects")
    for part in PARTS:
        things = named(signed.get(part, []))
        if things is None:
            _bad(where, part, "is not a list of objects that each have a name of their own")
        for name, thing in things.items():
            _thing(thing, f"{part}/{name}", where)
    known = ("payload", "payloadType", "signatures") if is_envelope else ("signed", "signatures")
    extra = {k: v for k, v in top.items() if k not in known}
    return Document(raw, signed, signatures, signed_bytes, TYPE, 0, _expires(signed, where), extra)


def _thing(thing: dict[str, Any], name: str, where: str) -> None:
    """A step or an inspection: what decides whom and what a verifier trusts has the shape that in-toto gives it."""
    ids = thing.get("pubkeys", [])
    if not isinstance(ids, list) or not all(isinstance(i, str) for i in ids) or len(set(ids)) != len(ids):
        _bad(where, f"{name}/pubkeys", "is not a list of different key ids")
    if name.startswith("steps/") and type(thing.get("threshold")) is not int:
        _bad(where, f"{name}/threshold", "is not an integer" if "threshold" in thing else "is missing")
    for field in ("expected_materials", "expected_products"):
        rules = thing.get(field, [])
        if not isinstance(rules, list) or not all(_strings(r) for r in rules):
            _bad(where, f"{name}/{field}", "is not a list of artifact rules")
    for field in ("expected_command", "run"):
        if not _strings(thing.get(field, [])):
            _bad(where, f"{name}/{field}", "is not a list of strings")


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def _expires(signed: dict[str, Any], where: str) -> datetime:
    text = signed.get("expires")
    if not isinstance(text, str):
        # in-toto-python puts a month from now there, so that every reader has another layout.
        _bad(where, "expires", "is not a string" if "expires" in signed else "is missing, and tools make up their own")
    found = legacy.moment(text)
    if found is None:
        _bad(where, "expires", f"is '{printable(text, 40)}', not a time like 2027-01-31T00:00:00Z")
    return found


def _signatures(value: Any, where: str, *, is_envelope: bool) -> Iterator[Signature]:
    """Signatures in hex. A GPG signature is kept as text, so that it can't count: it is over other bytes."""
    if not isinstance(value, list):
        _bad(where, "signatures", "is not a list" if value is not None else "is missing")
    for place, entry in enumerate(value):
        fields = entry if isinstance(entry, dict) else {}
        keyid, sig = fields.get("keyid", "" if is_envelope else None), fields.get("sig")
        if isinstance(fields.get("signature"), str):
            sig = f"gpg:{fields['signature']}"
        if not isinstance(keyid, str) or not isinstance(sig, str):
            _bad(where, f"signatures[{place}]", "has not a key id and a signature, both strings")
        if is_envelope:
            decoded = _base64(sig)
            sig = sig if decoded is None else decoded.hex()
        yield Signature(keyid, sig)
