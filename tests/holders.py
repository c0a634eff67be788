"""Holders with real keys, and the documents they sign: real parts for tests of bundles and verbs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from vestry.metadata import document, drafting
from vestry.metadata.document import Document, Signature
from vestry.metadata.keys import Key

EXPIRES = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=365)


@dataclass(frozen=True)
class Holder:
    """Someone with a P-256 key."""

    name: str
    private: ec.EllipticCurvePrivateKey
    key: Key

    def sign(self, signed: Document) -> Signature:
        """A signature as a token would make it."""
        return Signature(self.key.keyid, self.private.sign(signed.signed_bytes, ec.ECDSA(hashes.SHA256())).hex())

    def write_pem(self, folder: Path) -> Path:
        """The public key in a file."""
        path = folder / f"{self.name}.pem"
        path.write_text(self.key.pem)
        return path


def holder(name: str) -> Holder:
    """A holder with a new key."""
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return Holder(name, private, Key.from_pem(pem))


def first_root(holders: Sequence[Holder], threshold: int, online: Holder) -> Document:
    """An unsigned root v1 whose holders keep root and targets."""
    keys = [h.key for h in holders]
    roles = dict.fromkeys(("root", "targets"), (threshold, keys))
    roles |= {role: (1, [online.key]) for role in ("snapshot", "timestamp")}
    return document.read(drafting.root(version=1, expires=EXPIRES, roles=roles), where="test")


def next_root(before: Document, holders: Sequence[Holder], threshold: int) -> Document:
    """The unsigned root after `before`."""
    raw = drafting.next_root(before, expires=EXPIRES, root=(threshold, [h.key for h in holders]))
    return document.read(raw, where="test")


def signed(unsigned: Document, holders: Sequence[Holder]) -> Document:
    """The document with their signatures."""
    return unsigned.with_signatures(h.sign(unsigned) for h in holders)
