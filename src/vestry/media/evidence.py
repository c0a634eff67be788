"""Certificates that travel in a bundle beside the signatures: evidence of where a key lives, signed by its maker or a
certificate authority. Nothing is decided by them; whoever reads the bundle may judge them (`vestry attest`)."""

from __future__ import annotations

from vestry.errors import InputRejected
from vestry.tokens import certificates

FOLDER = "certificates"
LIMIT = 64 << 10
_END = "-----END CERTIFICATE-----"


def name(keyid: str) -> str:
    """Name of the file of a key's certificates in a bundle."""
    return f"{FOLDER}/{keyid}.pem"


def parse(raw: bytes, *, where: str) -> str:
    """The certificates in the content of a file: PEM, one after the other.

    Raises:
        InputRejected: E-BUNDLE-EVIDENCE: something else is in it.
    """
    try:
        text = raw.decode("ascii")
        ders = split(text)
    except (UnicodeDecodeError, ValueError):
        ders = ()
    if not ders:
        raise InputRejected(
            "this is not a file of certificates in PEM",
            where=where,
            do="remove it, or copy the bundle again",
            code="E-BUNDLE-EVIDENCE",
        )
    return text


def split(text: str) -> tuple[bytes, ...]:
    """The certificates in `text`, as DER.

    Raises:
        ValueError: it holds anything else.
    """
    pieces = [piece.strip() for piece in text.split(_END)]
    if pieces.pop():
        raise ValueError("something follows the last certificate")
    return tuple(certificates.from_pem(f"{piece}\n{_END}\n") for piece in pieces)


def fits(text: str, spki: bytes) -> bool:
    """Whether the certificates in `text` are about the key `spki`: the first one is for it."""
    ders = split(text)
    seen = certificates.read(ders[0]) if ders else None
    return seen is not None and seen.spki == spki
