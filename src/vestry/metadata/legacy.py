"""Old formats of other tools: read for review and verification as what they were, never for drafting or signing.

Where a document has one, a finding says so and names the clients that refuse it (`rules_legacy`).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

EXACT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
"""The one form of a time that TUF 1.0.34 (section 4.2.1) and in-toto allow."""

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d{1,9})?)(Z|[+-]\d\d:\d\d)?", re.ASCII)
_BEFORE_1_0 = re.compile(r" UTC$", re.ASCII)
_CURVES: dict[int, type[ec.EllipticCurve]] = {32: ec.SECP256R1, 48: ec.SECP384R1, 66: ec.SECP521R1}
"""Curves by the length of a coordinate in bytes."""


def moment(text: str) -> datetime | None:
    """A time of RFC 3339, as go-tuf before version 1 wrote it, or one of TUF before 1.0, which ends in ``UTC``; in UTC.
    Digits beyond microseconds are dropped. Without a zone it is taken for UTC, which TUF has alone.

    None where it is no such time.
    """
    found = _RFC3339.fullmatch(_BEFORE_1_0.sub("Z", text).upper())
    if found is None:
        return None
    try:
        return datetime.fromisoformat(f"{found[1]}T{found[2]}{found[3] or 'Z'}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def oddities(text: str) -> list[str]:
    """What a time that `moment` reads has, or lacks, that today's form does not."""
    found = ["a fraction of a second"] * ("." in text) + ["an offset from UTC"] * (text[-6:-5] in ("+", "-"))
    return found + ["no time zone"] * text[-1:].isdigit() * (text[-6:-5] not in ("+", "-"))


def public_key(keytype: str, text: str) -> tuple[Any, str] | None:
    """A public key in a form that TUF does not have any more, and what that form is called; None where it is none.

    Raw points and DER in hex (go-tuf before version 1, rust-tuf), DER, certificates and Ed25519 keys in base64
    (Notary).
    """
    readers: list[tuple[str, Callable[[], Any]]] = [
        (f"a {'raw' if text[:2] == '04' else 'compressed'} point in hex", lambda: _point(keytype, text)),
        ("DER in hex", lambda: load_der_public_key(bytes.fromhex(text))),
        ("a certificate", lambda: x509.load_pem_x509_certificate(text.encode()).public_key()),
        ("PEM in base64", lambda: load_pem_public_key(_base64(text))),
        ("a certificate in base64", lambda: x509.load_pem_x509_certificate(_base64(text)).public_key()),
        ("DER in base64", lambda: load_der_public_key(_base64(text))),
        ("base64", lambda: ed25519.Ed25519PublicKey.from_public_bytes(_base64(text))),
    ]
    for form, reader in readers:
        try:
            found = reader()
        except (ValueError, UnsupportedAlgorithm):
            continue
        if found is not None:
            return found, form
    return None


def _point(keytype: str, text: str) -> ec.EllipticCurvePublicKey | None:
    return raw_point(text) if keytype.startswith("ecdsa") else None


def _base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def signature(keytype: str, text: str) -> bytes:
    """A signature in hex, or in base64 as Notary wrote it: of ECDSA then the two numbers one after the other, which
    become DER here (RFC 3279, section 2.2.3).

    Raises:
        ValueError: it is neither.
    """
    try:
        return bytes.fromhex(text)
    except ValueError:
        raw = _base64(text)
    half, odd = divmod(len(raw), 2)
    if not keytype.startswith("ecdsa") or odd or half not in _CURVES:
        return raw
    return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))


def raw_point(text: str) -> ec.EllipticCurvePublicKey | None:
    """The key of a raw elliptic curve point in hex (SEC 1, section 2.3.3), compressed or not; None where it is none."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return None
    first = raw[:1]
    coordinate, odd = divmod(len(raw) - 1, 2) if first == b"\x04" else (len(raw) - 1, 0)
    if odd or coordinate not in _CURVES or first not in (b"\x02", b"\x03", b"\x04"):
        return None
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[coordinate](), raw)
    except (ValueError, UnsupportedAlgorithm):
        return None
