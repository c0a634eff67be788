"""Private keys in this process, for software tokens: made, written as PKCS #8, and signing as TUF's schemes do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from vestry.errors import TokenTrouble
from vestry.tokens.encodings import CURVES, ED25519, check_rsa, hash_algorithm, ml_dsa_message
from vestry.tokens.token import KeyKind

MlDsa: TypeAlias = type[mldsa.MLDSA44PrivateKey] | type[mldsa.MLDSA65PrivateKey] | type[mldsa.MLDSA87PrivateKey]

_RSA = ("rsassa-pss-sha256", "rsassa-pss-sha384", "rsassa-pss-sha512")
_MLDSA: Mapping[str, MlDsa] = {
    "ml-dsa-44/1": mldsa.MLDSA44PrivateKey,
    "ml-dsa-65/1": mldsa.MLDSA65PrivateKey,
    "ml-dsa-87/1": mldsa.MLDSA87PrivateKey,
}
SCHEMES = (*CURVES, ED25519, *_RSA, *_MLDSA)


def generate(kind: KeyKind) -> PrivateKeyTypes:
    """A new key for any of `SCHEMES`; RSA from 2048 to 4096 bits with exponent 65537.

    Raises:
        TokenTrouble: E-TOKEN-MECHANISM.
    """
    if kind.scheme in CURVES:
        return ec.generate_private_key(CURVES[kind.scheme].curve)
    if kind.scheme == ED25519:
        return ed25519.Ed25519PrivateKey.generate()
    if kind.scheme in _RSA:
        check_rsa(kind)
        return rsa.generate_private_key(65537, kind.bits)
    if kind.scheme in _MLDSA:
        return _MLDSA[kind.scheme].generate()
    raise _unknown(kind.scheme)


def sign(key: PrivateKeyTypes, scheme: str, message: bytes) -> bytes:
    """The signature of `message`, encoded as TUF stores it; ML-DSA over the payload of TAP 21.

    Raises:
        TokenTrouble: E-TOKEN-MECHANISM: `scheme` is not one for this key.
    """
    if isinstance(key, ec.EllipticCurvePrivateKey) and scheme in CURVES:
        return key.sign(message, ec.ECDSA(hash_algorithm(scheme)))
    if isinstance(key, ed25519.Ed25519PrivateKey) and scheme == ED25519:
        return key.sign(message)
    if isinstance(key, rsa.RSAPrivateKey) and scheme in _RSA:
        algorithm = hash_algorithm(scheme)
        return key.sign(message, padding.PSS(padding.MGF1(algorithm), algorithm.digest_size), algorithm)
    if scheme in _MLDSA and isinstance(key, _MLDSA[scheme]):
        return key.sign(ml_dsa_message(message))
    raise _unknown(scheme)


def spki(key: PrivateKeyTypes) -> bytes:
    """SubjectPublicKeyInfo (DER) of its public half."""
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def to_der(key: PrivateKeyTypes) -> bytes:
    """PKCS #8, DER, in the clear: for sealing at once."""
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _unknown(scheme: str) -> TokenTrouble:
    return TokenTrouble(
        f"a software token makes no key for scheme '{scheme[:60]}'",
        do=f"ask for one of {', '.join(SCHEMES)}",
        code="E-TOKEN-MECHANISM",
    )
