"""Real keys of every scheme, and signatures as a token would make them; keys are made once a test run."""

from __future__ import annotations

from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import CryptoSigner

from vestry.metadata.document import Document, Signature
from vestry.metadata.keys import Key

SCHEMES = (
    "ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsassa-pss-sha256",
    "rsassa-pss-sha384",
    "rsassa-pss-sha512",
)


def signer(scheme: str = "ed25519", number: int = 0) -> CryptoSigner:
    """The `number`-th signer of a scheme."""
    return _signer(scheme, number)


@cache
def _signer(scheme: str, _: int) -> CryptoSigner:
    if scheme == "ed25519":
        return CryptoSigner.generate_ed25519()
    if scheme.startswith("ecdsa"):
        curve = {"256": ec.SECP256R1(), "384": ec.SECP384R1(), "521": ec.SECP521R1()}[scheme[-3:]]
        return CryptoSigner(ec.generate_private_key(curve))
    return CryptoSigner.generate_rsa(scheme=scheme, size=2048)


def key(scheme: str = "ed25519", number: int = 0) -> Key:
    """The public half of `signer`."""
    public = signer(scheme, number).public_key
    return Key.from_dict(public.keyid, public.to_dict())


def keys(count: int, scheme: str = "ed25519") -> list[Key]:
    """The first keys of a scheme."""
    return [key(scheme, n) for n in range(count)]


def sign(document: Document, *numbers: int, scheme: str = "ed25519") -> Document:
    """The document with the signatures of these signers, and no others."""
    made = (signer(scheme, n).sign(document.signed_bytes) for n in numbers)
    return document.with_signatures(Signature(s.keyid, s.signature) for s in made)
