"""Bytes from tokens: exactly what the standards allow, and nothing near it."""

from __future__ import annotations

import contextlib

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from devices import refused
from hypothesis import given
from hypothesis import strategies as st

from vestry.errors import TokenTrouble
from vestry.tokens import encodings
from vestry.tokens.token import KeyKind

SPKI = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def octet_string(raw: bytes) -> bytes:
    return b"\x04" + (bytes([len(raw)]) if len(raw) < 128 else bytes([0x81, len(raw)])) + raw


def bit_string(raw: bytes) -> bytes:
    return b"\x03" + octet_string(b"\0" + raw)[1:]


@pytest.fixture(params=list(encodings.CURVES.values()), ids=lambda c: c.scheme)
def curve(request: pytest.FixtureRequest) -> encodings.Curve:
    found = request.param
    assert isinstance(found, encodings.Curve)
    return found


def point_of(curve: encodings.Curve) -> tuple[bytes, bytes]:
    public = ec.generate_private_key(curve.curve).public_key()
    raw = public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return raw, public.public_bytes(*SPKI)


def test_points_in_the_three_wrappings_of_tokens(curve: encodings.Curve) -> None:
    """Modules differ in how they wrap CKA_EC_POINT; each must lead to the same key."""
    raw, spki = point_of(curve)
    for given_ in (raw, octet_string(raw), bit_string(raw)):
        assert encodings.ec_spki(curve.oid, given_) == (curve.scheme, spki)


def test_points_that_are_not_quite_right(curve: encodings.Curve) -> None:
    """A lenient decoder would make a key that the token does not hold (tpm2-pkcs11 returns broken P-521 points)."""
    raw, _ = point_of(curve)
    off = raw[:-1] + bytes([raw[-1] ^ 1])
    compressed = b"\x02" + raw[1 : 1 + curve.size]
    hybrid = b"\x06" + raw[1:]
    long_form = b"\x04\x82" + len(raw).to_bytes(2, "big") + raw
    unused_bits = bit_string(raw).replace(b"\0" + raw, b"\1" + raw)
    cases = [
        off,
        compressed,
        hybrid,
        long_form,
        unused_bits,
        raw[:-1],
        raw + b"\0",
        b"",
        b"\0",
        octet_string(raw) + b"\0",
    ]
    cases += [octet_string(raw)[:-1], octet_string(octet_string(raw)), b"\x04" + raw, octet_string(off)]
    for case in cases:
        with refused("E-TOKEN-ANSWER"):
            encodings.ec_spki(curve.oid, case)
    for other in encodings.CURVES.values():
        if other.size != curve.size:
            with refused("E-TOKEN-ANSWER"):
                encodings.ec_spki(other.oid, raw)


def test_ed25519() -> None:
    """SoftHSM names the curve in words, others by its OID; the point comes bare or wrapped."""
    public = ed25519.Ed25519PrivateKey.generate().public_key()
    raw, spki = public.public_bytes(*RAW), public.public_bytes(*SPKI)
    for params in (encodings.ED25519_NAME, encodings.ED25519_OID):
        for given_ in (raw, octet_string(raw), bit_string(raw)):
            assert encodings.ec_spki(params, given_) == ("ed25519", spki)
    for wrong in (raw[:-1], raw + b"\0", b"\x40" + raw):
        with refused("E-TOKEN-ANSWER"):
            encodings.ec_spki(encodings.ED25519_OID, wrong)


@pytest.mark.parametrize("params", [b"", b"\x06\x05\x2b\x81\x04\x00\x0a", bytes.fromhex("06032b6571"), b"\x05\x00"])
def test_other_curves_are_refused(params: bytes) -> None:
    """secp256k1 and Ed448 have no scheme in TUF."""
    with refused("E-TOKEN-ANSWER"):
        encodings.ec_spki(params, b"\4" + bytes(64))


def test_rsa() -> None:
    """Big-endian numbers, with or without a leading zero, as tokens have them."""
    public = rsa.generate_private_key(65537, 2048).public_key()
    modulus = public.public_numbers().n.to_bytes(256, "big")
    for given_ in (modulus, b"\0" + modulus):
        assert encodings.rsa_spki(given_, b"\x01\x00\x01") == (2048, public.public_bytes(*SPKI))
    assert encodings.kind_of(public) == KeyKind("rsassa-pss-sha256", 2048)


@pytest.mark.parametrize(
    ("modulus", "exponent"),
    [
        (b"", b""),
        (b"\xff" * 128, b"\1\0\1"),  # 1024 bits
        (b"\xff" * 1024, b"\1\0\1"),  # 8192 bits
        (b"\xff" * 255 + b"\xfe", b"\1\0\1"),  # even
        (b"\xff" * 256, b"\3"),
        (b"\xff" * 256, b"\1\0\0"),
    ],
)
def test_rsa_numbers_that_make_no_good_key(modulus: bytes, exponent: bytes) -> None:
    """A weak key must not become a root key because a token says so."""
    with refused("E-TOKEN-ANSWER"):
        encodings.rsa_spki(modulus, exponent)


@given(st.binary(max_size=140), st.binary(max_size=20))
def test_any_bytes_end_in_a_key_or_in_trouble(point: bytes, params: bytes) -> None:
    """No bytes of a token may raise anything else."""
    for known in (params, *(c.oid for c in encodings.CURVES.values()), encodings.ED25519_OID):
        with contextlib.suppress(TokenTrouble):
            encodings.ec_spki(known, point)
    with contextlib.suppress(TokenTrouble):
        encodings.rsa_spki(point, params)


@given(st.sampled_from(sorted(encodings.CURVES)), st.data())
def test_signatures_round_trip(scheme: str, data: st.DataObject) -> None:
    """r and s survive the way to DER, whatever their leading bytes."""
    size = encodings.CURVES[scheme].size
    numbers = st.integers(min_value=1, max_value=256**size - 1)
    r, s = data.draw(numbers), data.draw(numbers)
    raw = r.to_bytes(size, "big") + s.to_bytes(size, "big")
    assert decode_dss_signature(encodings.ecdsa_der(raw, scheme)) == (r, s)


@pytest.mark.parametrize(
    "raw", [b"", bytes(64), b"\1" * 63, b"\1" * 65, bytes(32) + b"\1" * 32, b"\1" * 32 + bytes(32)]
)
def test_signatures_of_the_wrong_form(raw: bytes) -> None:
    """A cut or empty signature is refused before anyone keeps it."""
    with refused("E-TOKEN-ANSWER"):
        encodings.ecdsa_der(raw, "ecdsa-sha2-nistp256")


def test_each_curve_goes_with_its_hash() -> None:
    """TUF fixes the hash by the scheme; another one would verify nowhere."""
    sizes = {s: encodings.hash_algorithm(s).digest_size for s in encodings.CURVES}
    assert list(sizes.values()) == [32, 48, 64]
    for scheme in encodings.CURVES:
        hasher = hashes.Hash(encodings.hash_algorithm(scheme))
        hasher.update(b"m")
        assert encodings.digest(scheme, b"m") == hasher.finalize()
