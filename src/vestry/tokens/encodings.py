"""What tokens hand out, in the encodings of TUF: public keys as SubjectPublicKeyInfo, ECDSA signatures as ASN.1 DER.

A token's bytes are input like any other. Each decoder accepts exactly the encodings listed with it and nothing near
them; points must lie on their curve, lengths must fit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from vestry.errors import TokenTrouble
from vestry.tokens.token import KeyKind

ED25519 = "ed25519"
_RSA_BITS = range(2048, 4097)
_OCTET_STRING, _BIT_STRING = 0x04, 0x03
_UNCOMPRESSED = 0x04
_ED25519_LENGTH = 32


@dataclass(frozen=True)
class Curve:
    """A NIST curve as TUF uses it. `size` is the length of a coordinate in bytes, `oid` CKA_EC_PARAMS in DER."""

    scheme: str
    curve: ec.EllipticCurve
    size: int
    oid: bytes


CURVES: Mapping[str, Curve] = {
    c.scheme: c
    for c in (
        Curve("ecdsa-sha2-nistp256", ec.SECP256R1(), 32, bytes.fromhex("06082a8648ce3d030107")),
        Curve("ecdsa-sha2-nistp384", ec.SECP384R1(), 48, bytes.fromhex("06052b81040022")),
        Curve("ecdsa-sha2-nistp521", ec.SECP521R1(), 66, bytes.fromhex("06052b81040023")),
    )
}
_HASHES: Mapping[str, str] = {
    "ecdsa-sha2-nistp256": "sha256",
    "ecdsa-sha2-nistp384": "sha384",
    "ecdsa-sha2-nistp521": "sha512",
    "rsassa-pss-sha256": "sha256",
    "rsassa-pss-sha384": "sha384",
    "rsassa-pss-sha512": "sha512",
}


@dataclass(frozen=True)
class MlDsa:
    """A parameter set of ML-DSA (FIPS 204): its number in PKCS #11 3.2, and how `cryptography` reads a public key."""

    parameter_set: int
    read: Callable[[bytes], PublicKeyTypes]


ML_DSA: Mapping[str, MlDsa] = {
    "ml-dsa-44/1": MlDsa(1, mldsa.MLDSA44PublicKey.from_public_bytes),
    "ml-dsa-65/1": MlDsa(2, mldsa.MLDSA65PublicKey.from_public_bytes),
    "ml-dsa-87/1": MlDsa(3, mldsa.MLDSA87PublicKey.from_public_bytes),
}
# CKA_EC_PARAMS of Ed25519 as tokens write it: PrintableString "edwards25519" (PKCS #11 3.0), id-Ed25519 (RFC 8410).
ED25519_NAME = bytes.fromhex("130c656477617264733235353139")
ED25519_OID = bytes.fromhex("06032b6570")


def hash_name(scheme: str) -> str:
    """The hash of `scheme`, by its name in hashlib; KeyError for schemes that sign messages whole."""
    return _HASHES[scheme]


def hash_algorithm(scheme: str) -> hashes.HashAlgorithm:
    """The same, for `cryptography`."""
    return {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}[_HASHES[scheme]]


def digest(scheme: str, message: bytes) -> bytes:
    """The hash of `message` that `scheme` signs."""
    return hashlib.new(_HASHES[scheme], message).digest()


def ml_dsa_message(message: bytes) -> bytes:
    """What ML-DSA signs for TUF: a fixed prefix and SHA-512 of `message` (TAP 21)."""
    return b"tuf\x01" + hashlib.sha512(message).digest()


def ml_dsa_spki(parameter_set: int | None, value: bytes) -> tuple[str, bytes]:
    """Scheme and SubjectPublicKeyInfo (RFC 9881) of CKA_PARAMETER_SET and CKA_VALUE.

    Raises:
        TokenTrouble: E-TOKEN-ANSWER: another parameter set, or a wrong length.
    """
    for scheme, known in ML_DSA.items():
        if known.parameter_set == parameter_set:
            try:
                return scheme, _spki(known.read(value))
            except ValueError:
                break
    raise _malformed("an ML-DSA key of an unknown form")


def check_rsa(kind: KeyKind) -> None:
    """Refuse RSA outside 2048 to 4096 bits, in steps of 8.

    Raises:
        TokenTrouble: E-TOKEN-MECHANISM.
    """
    if kind.bits not in _RSA_BITS or kind.bits % 8:
        raise TokenTrouble(
            f"RSA with {kind.bits} bits is not made here",
            do="ask for 2048, 3072 or 4096 bits",
            code="E-TOKEN-MECHANISM",
        )


def scheme_of(params: bytes) -> str:
    """The scheme that CKA_EC_PARAMS names: a named curve's OID, or either spelling of Ed25519.

    Raises:
        TokenTrouble: E-TOKEN-ANSWER, for any other curve.
    """
    if params in (ED25519_NAME, ED25519_OID):
        return ED25519
    for curve in CURVES.values():
        if params == curve.oid:
            return curve.scheme
    raise _malformed("a curve that TUF does not use")


def ec_spki(params: bytes, point: bytes) -> tuple[str, bytes]:
    """Scheme and SubjectPublicKeyInfo (DER) of CKA_EC_PARAMS and CKA_EC_POINT.

    The point may be a DER OCTET STRING (PKCS #11), a BIT STRING, or bare, as tokens have it; uncompressed, for Ed25519
    the 32 bytes of RFC 8032.

    Raises:
        TokenTrouble: E-TOKEN-ANSWER: another curve, another form, a wrong length, not on the curve.
    """
    scheme = scheme_of(params)
    if scheme == ED25519:
        raw = _unwrapped(point, _ED25519_LENGTH)
        return scheme, _spki(ed25519.Ed25519PublicKey.from_public_bytes(raw))
    curve = CURVES[scheme]
    raw = _unwrapped(point, 1 + 2 * curve.size)
    if raw[0] != _UNCOMPRESSED:
        raise _malformed("an elliptic curve point that is not uncompressed")
    try:
        return scheme, _spki(ec.EllipticCurvePublicKey.from_encoded_point(curve.curve, raw))
    except ValueError:
        raise _malformed("a point that is not on its curve") from None


def rsa_spki(modulus: bytes, exponent: bytes) -> tuple[int, bytes]:
    """Modulus length in bits and SubjectPublicKeyInfo (DER) of CKA_MODULUS and CKA_PUBLIC_EXPONENT (big-endian).

    Raises:
        TokenTrouble: E-TOKEN-ANSWER: shorter than 2048 bits, longer than 4096, or no RSA key.
    """
    n, e = int.from_bytes(modulus, "big"), int.from_bytes(exponent, "big")
    try:
        public = rsa.RSAPublicNumbers(e, n).public_key()
    except ValueError:
        raise _malformed("numbers that are no RSA key") from None
    if public.key_size not in _RSA_BITS or not n % 2 or e < 65537:
        raise _malformed("an RSA key that is too weak or too long")
    return public.key_size, _spki(public)


def kind_of(public: object) -> KeyKind:
    """What a public key of `cryptography` can sign with.

    Raises:
        TokenTrouble: E-TOKEN-ANSWER: nothing that TUF knows.
    """
    if isinstance(public, rsa.RSAPublicKey) and public.key_size in _RSA_BITS:
        return KeyKind("rsassa-pss-sha256", public.key_size)
    if isinstance(public, ed25519.Ed25519PublicKey):
        return KeyKind(ED25519)
    if isinstance(public, ec.EllipticCurvePublicKey):
        for curve in CURVES.values():
            if curve.curve.name == public.curve.name:
                return KeyKind(curve.scheme)
    raise _malformed("a kind of key that TUF does not use")


def ecdsa_der(raw: bytes, scheme: str) -> bytes:
    """Ecdsa-Sig-Value (RFC 3279) of the bare r || s that CKM_ECDSA returns, each as long as the curve's order.

    Raises:
        TokenTrouble: E-TOKEN-ANSWER.
    """
    size = CURVES[scheme].size
    r, s = int.from_bytes(raw[:size], "big"), int.from_bytes(raw[size:], "big")
    if len(raw) != 2 * size or not r or not s:
        raise _malformed("a signature of the wrong form")
    return encode_dss_signature(r, s)


def _unwrapped(value: bytes, length: int) -> bytes:
    """`length` bytes: bare, in an OCTET STRING, or in a BIT STRING without unused bits; DER, definite, minimal."""
    if len(value) == length:
        return value
    for tag, lead in ((_OCTET_STRING, b""), (_BIT_STRING, b"\0")):
        inner = length + len(lead)
        size = bytes([inner]) if inner < 0x80 else bytes([0x81, inner])
        head = bytes([tag]) + size + lead
        if value.startswith(head) and len(value) == len(head) + length:
            return value[len(head) :]
    raise _malformed("an elliptic curve point of the wrong length")


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _malformed(what: str) -> TokenTrouble:
    return TokenTrouble(
        f"the token answered with {what}",
        do="do not use this key; try the token with another module",
        code="E-TOKEN-ANSWER",
    )
