"""References to keys on tokens: PKCS #11 URIs (RFC 7512), written and read strictly.

A reference travels in transcripts and bundles, so it never carries a PIN, a way to a PIN, or the path of a module:
those attributes are refused, not ignored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from vestry.errors import InputRejected
from vestry.text import printable

_SCHEME = "pkcs11:"
_LONGEST = 2000
# RFC 7512 2.3: pk11-pchar, without the percent sign; quote() leaves letters, digits and "_.-~" as they are.
_SAFE = ":[]@!$'()*+,="
_TEXTS = ("serial", "token", "object", "manufacturer", "model")
_TYPES = ("public", "private", "cert", "secret-key", "data")
_IGNORED = ("library-manufacturer", "library-description", "library-version", "slot-manufacturer", "slot-description")
_VALUE = re.compile(r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=&]|%[0-9A-Fa-f]{2})*")


@dataclass(frozen=True)
class KeyUri:
    """The attributes Vestry writes and understands; empty where absent. `id` is CKA_ID, raw."""

    serial: str = ""
    token: str = ""
    id: bytes = b""
    object: str = ""
    type: str = ""
    manufacturer: str = ""
    model: str = ""


ANY = KeyUri()
"""A reference that says nothing, and so fits everything."""


def build(key: KeyUri) -> str:
    """The URI of `key`; attributes in a fixed order, `id` with every byte percent-encoded (RFC 7512 2.3)."""
    parts = [
        f"{name}={value}"
        for name, value in (
            ("manufacturer", quote(key.manufacturer, safe=_SAFE)),
            ("model", quote(key.model, safe=_SAFE)),
            ("serial", quote(key.serial, safe=_SAFE)),
            ("token", quote(key.token, safe=_SAFE)),
            ("id", "".join(f"%{byte:02X}" for byte in key.id)),
            ("object", quote(key.object, safe=_SAFE)),
            ("type", key.type),
        )
        if value
    ]
    return _SCHEME + ";".join(parts)


def parse(text: str) -> KeyUri:
    """Read a URI.

    Raises:
        InputRejected: not RFC 7512, an attribute twice, or one that has no place in a reference (a PIN, a module).
    """
    if len(text) > _LONGEST or not text.startswith(_SCHEME):
        raise _rejected("a key reference begins with 'pkcs11:' and is at most 2000 characters", text)
    path, question, query = text.removeprefix(_SCHEME).partition("?")
    found: dict[str, bytes] = {}
    for part in [*path.split(";"), *(query.split("&") if question else [])]:
        name, equals, value = part.partition("=")
        if not part and not found and path == "":
            continue
        if name in ("pin-value", "pin-source", "module-path", "module-name"):
            raise _rejected(f"a key reference has no place for '{name}'", "")
        if not equals or not _VALUE.fullmatch(value):
            raise _rejected("a part of the key reference is not 'name=value' in the characters of RFC 7512", text)
        if name in found:
            raise _rejected(f"the key reference names '{printable(name)}' twice", text)
        if name not in (*_TEXTS, "id", "type", *_IGNORED) and not name.startswith("x-"):
            raise _rejected(f"the key reference has an unknown part '{printable(name)}'", text)
        found[name] = unquote_to_bytes(value)
    try:
        words = {name: found.get(name, b"").decode() for name in (*_TEXTS, "type")}
    except UnicodeDecodeError:
        raise _rejected("the key reference is not UTF-8", text) from None
    if words["type"] and words["type"] not in _TYPES:
        raise _rejected(f"the key reference has an unknown type '{printable(words['type'])}'", text)
    return KeyUri(id=found.get("id", b""), **words)


def _rejected(what: str, text: str) -> InputRejected:
    do = "take the reference from the transcript"
    return InputRejected(what, where=printable(text[:80]), do=do, code="E-KEY-URI")


def fits(like: KeyUri, key: KeyUri) -> bool:
    """Whether `key` shows everything that `like` says; what `like` leaves out is not compared (RFC 7512, 2.6)."""
    names = ("serial", "token", "id", "object", "manufacturer", "model")
    return all(getattr(like, name) in ("", b"", getattr(key, name)) for name in names)
