"""The exchange of go-tuf before version 2: a payload goes out alone, and signatures come back alone.

A payload is the canonical JSON of a document's ``signed``, and nothing else. Signatures are a JSON list of
``{"keyid", "sig"}``, hex; or one signature by itself, in hex or base64, which does not say whose it is.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Sequence

from vestry.errors import InputRejected
from vestry.metadata import document, intake
from vestry.metadata.canonical import encode
from vestry.metadata.document import Document, Signature
from vestry.metadata.thresholds import Authority

LIMIT = 1 << 20
_MOST = 1000
_CONTROL = re.compile(rb"[\x00-\x1f]")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")


def payload(found: Document) -> bytes:
    """What is to be signed."""
    return found.signed_bytes


def is_payload(raw: bytes) -> bool:
    """Whether a file begins as the canonical form of a document's signed part does."""
    return raw.startswith(b'{"_type":"')


def read_payload(raw: bytes, *, where: str) -> Document:
    """The document, without signatures, that a payload is the signed part of.

    Raises:
        InputRejected: it is not canonical JSON, or no document.
    """
    # Canonical JSON has no white space of its own, and leaves control characters in strings as they are: the line feeds
    # of keys in PEM. They are escaped to be read; that nothing else was changed shows when it is written again.
    signed = intake.parse(_CONTROL.sub(lambda m: b"\\u%04x" % m[0][0], raw), where=where)
    if encode(signed) != raw:
        raise InputRejected(
            "this is not canonical JSON, so its signatures would be over other bytes",
            where=where,
            do="write the payload again",
            code="E-SERVICE",
        )
    return document.read(document.to_file(signed, ()), where=where)


def write_signatures(found: Iterable[Signature]) -> bytes:
    """A list of signatures."""
    return json.dumps([{"keyid": s.keyid, "sig": s.sig} for s in found]).encode() + b"\n"


def read_signatures(raw: bytes, signed: Document, who: Sequence[Authority], *, where: str) -> tuple[Signature, ...]:
    """The signatures of a list; or the one that stands here by itself, with the id of the key that made it.

    Whether those of a list hold is not looked at.

    Raises:
        InputRejected: neither a list of signatures nor one in hex or base64, or no key that may sign made it.
    """
    text = raw.decode("ascii", "replace").strip()
    if text.startswith("["):
        return _listed(intake.parse(raw, where=where), where)
    text = "".join(text.split())  # tools that write base64 break its lines
    bare = bytes.fromhex(text) if _HEX.fullmatch(text) else _base64(text)
    if bare is None:
        raise _bad("neither a list of signatures nor one in hex or base64", where, "is it the right file?")
    keys = {key.keyid: key for authority in who for key in authority.keys}
    for keyid, key in keys.items():
        if key.verify(bare, signed.message):
            return (Signature(keyid, bare.hex()),)
    raise _bad("no key that may sign this document made this signature", where, "ask whose it is, and over what")


def _base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) or None
    except (binascii.Error, ValueError):
        return None


def _listed(value: object, where: str) -> tuple[Signature, ...]:
    if not isinstance(value, list) or len(value) > _MOST:
        raise _bad("this is no list of signatures", where, "is it the right file?")
    found = []
    for entry in value:
        keyid, sig = (entry.get("keyid"), entry.get("sig")) if isinstance(entry, dict) else (None, None)
        if not (isinstance(keyid, str) and isinstance(sig, str) and _HEX.fullmatch(sig)) or len(entry) != 2:
            raise _bad("an entry is not a signature: keyid and sig, in hex", where, "ask whoever wrote it")
        found.append(Signature(keyid, sig.lower()))
    return tuple(found)


def _bad(what: str, where: str, do: str) -> InputRejected:
    return InputRejected(what, where=where, do=do, code="E-SERVICE")
