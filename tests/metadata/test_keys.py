"""Keys: what they are called, what they are, and what verifies under them."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any

import pytest
import signers
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, padding, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner, SSlibKey

from vestry.errors import InputRejected
from vestry.metadata import document, intake
from vestry.metadata.keys import Key

MESSAGE = b"the bytes that people read"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=4), v, max_size=3),
    max_leaves=6,
)


def pem(public: Any) -> str:
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def der(public: Any) -> bytes:
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


RSA = rsa.generate_private_key(65537, 2048)
PUBLIC = {
    "ed25519": ed25519.Ed25519PrivateKey.generate().public_key(),
    "ecdsa-sha2-nistp256": ec.generate_private_key(ec.SECP256R1()).public_key(),
    "ecdsa-sha2-nistp384": ec.generate_private_key(ec.SECP384R1()).public_key(),
    "ecdsa-sha2-nistp521": ec.generate_private_key(ec.SECP521R1()).public_key(),
    "rsassa-pss-sha256": RSA.public_key(),
    "ml-dsa-44/1": mldsa.MLDSA44PrivateKey.generate().public_key(),
    "ml-dsa-65/1": mldsa.MLDSA65PrivateKey.generate().public_key(),
    "ml-dsa-87/1": mldsa.MLDSA87PrivateKey.generate().public_key(),
}


@pytest.mark.parametrize("scheme", PUBLIC)
def test_same_key_object_and_id_as_securesystemslib(scheme: str) -> None:
    """Without it other tools would know a holder's key by another id."""
    public = PUBLIC[scheme]
    theirs = SSlibKey.from_crypto(public)
    for key in (Key.from_pem(pem(public)), Key.from_spki(der(public)), Key.from_spki(der(public), scheme)):
        assert key.scheme == scheme
        assert key.keyid == theirs.keyid
        assert key.to_dict() == theirs.to_dict()
        assert key.spki == der(public)
        assert key.pem == pem(public)
        assert key.fingerprint == hashlib.sha256(der(public)).hexdigest()
        assert key.keyid in key.computed_keyids()
        assert key == Key.from_dict(key.keyid, key.to_dict())


@pytest.mark.parametrize("scheme", ["rsassa-pss-sha384", "rsassa-pss-sha512"])
def test_rsa_takes_the_scheme_that_is_asked_for(scheme: str) -> None:
    """Without it a script's scheme would be replaced by the usual one, unseen."""
    key = Key.from_pem(pem(RSA.public_key()), scheme)
    assert (key.scheme, key.keyid) == (scheme, SSlibKey.from_crypto(RSA.public_key(), scheme=scheme).keyid)
    assert key.fingerprint == Key.from_pem(pem(RSA.public_key())).fingerprint


UNFIT = {
    "RSA with 1024 bits is too short": pem(rsa.generate_private_key(65537, 1024).public_key()),
    "on the curve secp256k1 are not used": pem(ec.generate_private_key(ec.SECP256K1()).public_key()),
    "X25519 are not used": pem(x25519.X25519PrivateKey.generate().public_key()),
    "Ed448 are not used": pem(ed448.Ed448PrivateKey.generate().public_key()),
    "DSA are not used": pem(dsa.generate_private_key(1024).public_key()),
    "not a PEM public key": "hello",
    "this is a private key": RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    "PEM blocks": pem(PUBLIC["ed25519"]) + pem(PUBLIC["ecdsa-sha2-nistp256"]),
}


@pytest.mark.parametrize(("why", "text"), UNFIT.items(), ids=list(UNFIT))
def test_keys_that_do_not_fit(why: str, text: str) -> None:
    """Without it a key that no client takes, or a private one, could get into a root."""
    with pytest.raises(InputRejected) as caught:
        Key.from_pem(text, where="alice.pem")
    assert why in str(caught.value)
    assert str(caught.value).startswith("alice.pem: ")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "scheme", ["ecdsa-sha2-nistp384", "rsassa-pss-sha256", "rsa-pkcs1v15-sha256", "nonsense", "\x1b[2J"]
)
def test_a_scheme_that_is_not_the_keys(scheme: str) -> None:
    """Without it a key would be written with a scheme under which nothing verifies."""
    with pytest.raises(InputRejected) as caught:
        Key.from_pem(pem(PUBLIC["ed25519"]), scheme, where="alice.pem")
    assert str(caught.value).isprintable()


@given(st.binary(max_size=120))
def test_any_bytes_as_spki(raw: bytes) -> None:
    """Without it a token that answers nonsense would end the program with a traceback."""
    with pytest.raises(InputRejected):
        Key.from_spki(raw)


def test_pypi_keys_of_2020(shared_data: Path) -> None:
    """Without it the keys of the one real ceremony that Vestry is made for might not load."""
    p384 = {"0013200460", "DENK0103189", "DENK0200473"}
    files = sorted((shared_data / "pypi-2020-ceremony").glob("*/*_pubkey.pem"))
    assert len(files) == 12
    found = {path: intake.pem_public_key(intake.read_file(path, limit=4096), where=path.name) for path in files}
    for path, key in found.items():
        scheme = "ecdsa-sha2-nistp384" if path.parent.name in p384 else "ecdsa-sha2-nistp256"
        assert (key.keytype, key.scheme) == ("ecdsa", scheme)
        assert key.keyid in key.computed_keyids()
        raw = path.with_suffix(".pub").read_bytes()
        assert raw in (key.spki, key.spki[-len(raw) :])
    assert len({key.fingerprint for key in found.values()}) == len({key.keyid for key in found.values()}) == 12


# --- what documents say


@given(JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(("keytype", "scheme", "keyval", "x-a"), JSON)))
def test_any_key_object_is_read_and_given_back(value: Any) -> None:
    """Without it a strange key object would hide something from a reviewer, or end the review."""
    before = copy.deepcopy(value)
    key = Key.from_dict("id", value)
    assert key.to_dict() == (before if isinstance(value, dict) else {})
    assert value == before
    assert key.verify(b"", b"") is False
    assert len(key.fingerprint) == 64


def test_extra_fields_are_kept() -> None:
    """Without it custom fields, which are signed, would vanish."""
    value = {**signers.key().to_dict(), "x-owner": "@alice", "keyid_hash_algorithms": ["sha256"]}
    value["keyval"] = {**value["keyval"], "certificate": "c"}
    key = Key.from_dict("id", value)
    assert key.to_dict() == value
    assert key.extra == {
        "x-owner": "@alice",
        "keyid_hash_algorithms": ["sha256"],
        "keyval": {"certificate": "c"},
    }


@pytest.mark.parametrize(
    "public", ["", "zz", "00", "-----BEGIN PUBLIC KEY-----\nnothing\n-----END PUBLIC KEY-----", "04" + "00" * 64]
)
@pytest.mark.parametrize("keytype", ["ed25519", "ecdsa", "rsa", "unheard-of"])
def test_unreadable_keys(keytype: str, public: str) -> None:
    """Without it a key of garbage could verify, or could not be told from another one."""
    key = Key.from_dict("id", {"keytype": keytype, "scheme": "ed25519", "keyval": {"public": public}})
    assert key.spki == b""
    assert not key.verify(b"\0" * 64, MESSAGE)
    assert (
        key.fingerprint
        != Key.from_dict("id", {"keytype": keytype, "scheme": "", "keyval": {"public": "x"}}).fingerprint
    )
    with pytest.raises(InputRejected):
        _ = key.pem


def test_one_key_written_in_several_ways_is_one_key() -> None:
    """Without it one holder could count as two by writing a key in another way."""
    public = PUBLIC["ecdsa-sha2-nistp256"]
    point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint).hex()
    texts = [pem(public), pem(public).rstrip("\n"), pem(public).replace("\n", "\r\n"), "# note\n" + pem(public), point]
    value = {"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256"}
    assert len({Key.from_dict("id", {**value, "keyval": {"public": t}}).fingerprint for t in texts}) == 1
    raw = PUBLIC["ed25519"].public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    value = {"keytype": "ed25519", "scheme": "ed25519"}
    texts = [raw, raw.upper(), raw[:2] + " " + raw[2:]]
    assert len({Key.from_dict("id", {**value, "keyval": {"public": t}}).fingerprint for t in texts}) == 1


def sha256(value: Any) -> str:
    text = encode_canonical(value)
    assert text is not None
    return hashlib.sha256(text.encode()).hexdigest()


def test_which_key_ids_are_right() -> None:
    """Without it a key id that strict clients refuse would pass, as in version 11 of Sigstore's root."""
    three = signers.key("ecdsa-sha2-nistp256").to_dict()
    whole = {**three, "x-tuf-on-ci-online-uri": "gcpkms:one"}
    right = {sha256(whole), sha256(three), sha256({**three, "keyid_hash_algorithms": ["sha256", "sha512"]})}
    assert Key.from_dict("id", whole).computed_keyids() == right
    moved = {**three, "x-tuf-on-ci-online-uri": "gcpkms:two"}
    assert sha256(whole) not in Key.from_dict(sha256(whole), moved).computed_keyids()


def test_key_ids_of_real_roots(shared_data: Path) -> None:
    """Without it the check would cry wolf on roots in use."""
    seen = 0
    for folder in ("arlosi-tuf-on-ci", "docker-tuf", "pqc-test-repo2", "tuf-demo", "tuf-root-signing"):
        for path in sorted((shared_data / "roots" / folder).rglob("*root.json")):
            for key in document.keys(document.read(path.read_bytes(), where=path.name)).values():
                assert key.keyid in key.computed_keyids(), path
                assert key.spki, path
                seen += 1
    assert seen > 50


# --- signatures


@pytest.mark.parametrize("scheme", signers.SCHEMES)
def test_verify(scheme: str) -> None:
    """Without it a good signature could be thrown away, or a bad one kept."""
    key, signature = signers.key(scheme), bytes.fromhex(signers.signer(scheme).sign(MESSAGE).signature)
    assert key.verify(signature, MESSAGE)
    assert not key.verify(signature, MESSAGE + b" ")
    assert not key.verify(signature, b"")
    assert not key.verify(b"", MESSAGE)
    assert not key.verify(signature[:-1], MESSAGE)
    assert not key.verify(signature + b"\0", MESSAGE)
    assert not key.verify(bytes([signature[0] ^ 1]) + signature[1:], MESSAGE)
    assert not signers.key(scheme, 1).verify(signature, MESSAGE)


def test_verify_ml_dsa() -> None:
    """Without it the first holders with keys for after quantum computers could not sign."""
    signer = CryptoSigner(mldsa.MLDSA65PrivateKey.generate())
    key = Key.from_dict(signer.public_key.keyid, signer.public_key.to_dict())
    signature = bytes.fromhex(signer.sign(MESSAGE).signature)
    assert key.verify(signature, MESSAGE)
    assert not key.verify(signature, MESSAGE + b" ")


@pytest.mark.parametrize("digest", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()], ids=lambda d: d.name)
def test_pss_salt_is_as_long_as_the_hash(digest: hashes.HashAlgorithm) -> None:
    """Without it a signature would be taken here that other clients refuse; securesystemslib takes any salt."""
    key = Key.from_pem(pem(RSA.public_key()), f"rsassa-pss-{digest.name}")
    library = SSlibKey(key.keyid, key.keytype, key.scheme, {"public": key.public})
    for salt in (0, 20, digest.digest_size, padding.PSS.MAX_LENGTH):
        signature = RSA.sign(MESSAGE, padding.PSS(padding.MGF1(digest), salt), digest)
        library._verify(signature, MESSAGE)
        assert key.verify(signature, MESSAGE) is (salt == digest.digest_size)


def test_pkcs1_is_not_pss() -> None:
    """Without it a signature of another scheme could count."""
    signature = RSA.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA256())
    assert not Key.from_pem(pem(RSA.public_key())).verify(signature, MESSAGE)
    old = {"keytype": "rsa", "scheme": "rsa-pkcs1v15-sha256", "keyval": {"public": pem(RSA.public_key())}}
    assert Key.from_dict("id", old).verify(signature, MESSAGE)


def test_only_pairs_of_type_and_scheme_that_clients_know() -> None:
    """Without it a signature would count here under a key for which clients refuse the whole document."""
    scheme = "ecdsa-sha2-nistp256"
    signature = bytes.fromhex(signers.signer(scheme).sign(MESSAGE).signature)
    value = signers.key(scheme).to_dict()
    assert Key.from_dict("id", {**value, "keytype": scheme}).verify(signature, MESSAGE), "the type's old name"
    for odd in (
        {"keytype": "rsa"},
        {"keytype": "ECDSA"},
        {"scheme": "ecdsa-sha2-nistp384"},
        {"scheme": "sigstore-oidc"},
    ):
        assert not Key.from_dict("id", {**value, **odd}).verify(signature, MESSAGE)


def test_keys_have_a_hash_and_tell_nothing_secret() -> None:
    """Without it keys could not be put in sets, where distinct ones are counted."""
    assert len({signers.key(), Key.from_dict(signers.key().keyid, signers.key().to_dict())}) == 1
