"""Old formats of other tools: read for review and verification as what they were, never for drafting or signing.

Where a document has one, a finding says so and names the clients that refuse it (`rules_legacy`).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

EXACT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
"""The one form of a time that TUF 1.0.34 (section 4.2.1) and in-toto allow."""

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_BEFORE_1_0 = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC", re.ASCII)
_CURVES: dict[int, type[ec.EllipticCurve]] = {32: ec.SECP256R1, 48: ec.SECP384R1, 66: ec.SECP521R1}
"""Curves by the length of a coordinate in bytes."""


def moment(text: str) -> datetime | None:
    """A time of RFC 3339, as go-tuf before version 1 wrote it, or one of TUF before 1.0, which ends in ``UTC``; in UTC.
    Digits beyond microseconds are dropped.

    None where it is no such time.
    """
    text = _BEFORE_1_0.sub(r"\1T\2Z", text).upper()
    if not _RFC3339.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def offset(text: str) -> bool:
    """Whether a time that `moment` reads has an offset from UTC."""
    return text[-6:-5] in ("+", "-")


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
