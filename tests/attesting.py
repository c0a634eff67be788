"""A made-up maker of devices: roots, devices, and attestations with anything wrong that one may wish."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from vestry.tokens import attestation
from vestry.tokens.attestation import Anchors, Attestation, verify

PIV, HSM = "1.3.6.1.4.1.41482.3.", "1.3.6.1.4.1.41482.4."
BEGIN, END = datetime(2016, 3, 14, tzinfo=UTC), datetime(2052, 4, 17, tzinfo=UTC)
NOW = datetime(2026, 11, 23, tzinfo=UTC)


@dataclass(frozen=True)
class Made:
    """A certificate and the private key that belongs to it."""

    key: Any
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def sha256(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def spki(self) -> bytes:
        return spki(self.key)


def spki(key: Any) -> bytes:
    """SubjectPublicKeyInfo (DER) of a private key."""
    return bytes(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def p256() -> ec.EllipticCurvePrivateKey:
    """A fresh key."""
    return ec.generate_private_key(ec.SECP256R1())


@cache
def rsa2048() -> rsa.RSAPrivateKey:
    """An RSA key, the same each time, since making one takes a while."""
    return rsa.generate_private_key(65537, 2048)


def issue(
    subject: str,
    issuer: Made | None,
    *,
    key: Any = None,
    ca: bool | None = None,
    length: int | None = None,
    extensions: Mapping[str, bytes] | None = None,
    critical: Iterable[str] = (),
    dates: tuple[datetime, datetime] = (BEGIN, END),
    digest: hashes.HashAlgorithm | None = None,
) -> Made:
    """A certificate; without an issuer, one that is signed with its own key. `ca` None leaves basic constraints out."""
    key = key or p256()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    by = issuer or Made(key, None)  # type: ignore[arg-type]
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dates[0])
        .not_valid_after(dates[1])
    )
    for oid, value in (extensions or {}).items():
        builder = builder.add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), critical=oid in critical
        )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, length), critical=True)
    eddsa = isinstance(by.key, ed25519.Ed25519PrivateKey)
    return Made(key, builder.sign(by.key, None if eddsa else digest or hashes.SHA256()))


def piv_extensions(**changes: bytes | None) -> dict[str, bytes]:
    """What a YubiKey 5 of firmware 5.7.1 and serial 12345678 writes; a change of None leaves an extension out."""
    values = {
        "3": b"\x05\x07\x01",
        "7": b"\x02\x04\x00\xbc\x61\x4e",
        "8": b"\x02\x02",
        "9": b"\x01",
        **{name.removeprefix("x"): value for name, value in changes.items()},
    }
    return {f"{PIV}{n}": value for n, value in values.items() if value is not None}


def hsm_extensions(**changes: bytes | None) -> dict[str, bytes]:
    """What a YubiHSM of firmware 2.4.0 and serial 7550123 writes for a key that only signs with ECDSA."""
    values = {
        "1": b"\x04\x03\x02\x04\x00",
        "2": b"\x02\x03\x73\x34\xab",
        "3": b"\x03\x02\x00\x01",
        "4": b"\x03\x03\x00\x00\x01",
        "5": b"\x03\x09\x00" + (1 << 7).to_bytes(8, "big"),
        "6": b"\x02\x01\x03",
        "9": b"\x0c\x08tuf-root",
        **{name.removeprefix("x"): value for name, value in changes.items()},
    }
    return {f"{HSM}{n}": value for n, value in values.items() if value is not None}


@dataclass(frozen=True)
class Maker:
    """A root, and one device below it. `between` are certificates between the two, the device's issuer first."""

    root: Made
    between: tuple[Made, ...]
    device: Made
    family: str

    def leaf(self, *, by: Made | None = None, key: Any = None, subject: str = "", **changes: Any) -> Made:
        """An attestation; `changes` are extensions (``x7=b"..."``)."""
        made = piv_extensions(**changes) if self.family == "piv" else hsm_extensions(**changes)
        named = "YubiKey PIV Attestation 9c" if self.family == "piv" else "YubiHSM Attestation id:0x0003"
        return issue(subject or named, by or self.device, key=key, extensions=made)

    @property
    def others(self) -> list[bytes]:
        """All that lies with an attestation, without the root."""
        return [self.device.der, *(c.der for c in self.between)]

    @property
    def anchors(self) -> Anchors:
        """The root."""
        return Anchors.of((self.root.der,))

    def verify(self, leaf: Made | bytes, others: list[bytes] | None = None, **more: Any) -> Attestation:
        """Verify with everything at hand."""
        der = leaf if isinstance(leaf, bytes) else leaf.der
        rest = self.others if others is None else others
        return verify(der, rest, more.pop("anchors", self.anchors), **{"now": NOW, **more})


def piv_maker(name: str = "Example PIV Root", **device: Any) -> Maker:
    """A maker of YubiKeys: root, device."""
    root = issue(name, None, ca=True, length=1)
    settings = {"ca": True, "length": 0, "extensions": {f"{PIV}3": b"\x05\x07\x01"}, **device}
    return Maker(root, (), issue("Yubico PIV Attestation", root, **settings), "piv")


def hsm_maker(name: str = "Example YubiHSM Root", **device: Any) -> Maker:
    """A maker of YubiHSMs: root, sub-CA, device."""
    root = issue(name, None, ca=True, length=2)
    sub = issue("Example YubiHSM Sub-CA", root, ca=True, length=1)
    settings = {"ca": True, "length": 0, "extensions": {f"{HSM}2": b"\x02\x03\x73\x34\xab"}, **device}
    return Maker(root, (sub,), issue("YubiHSM Attestation (7550123)", sub, **settings), "yubihsm")


def pin(monkeypatch: pytest.MonkeyPatch, root: Made, like: str) -> None:
    """Let Vestry know a made-up root as it knows the maker's root named `like`."""
    known = next(m for m in attestation.MAKERS.values() if m.name == like)
    monkeypatch.setattr(attestation, "MAKERS", {**attestation.MAKERS, root.sha256: known})


def codes(found: Attestation) -> list[str]:
    """The codes of its findings."""
    return [f.code for f in found.findings]


def with_tbs(original: Made, old: bytes, new: bytes, issuer: Made) -> bytes:
    """The certificate with `old` in its signed part changed to `new` (of the same length), signed again by `issuer`."""
    tbs = original.certificate.tbs_certificate_bytes
    assert tbs.count(old) == 1
    assert len(old) == len(new)
    changed = tbs.replace(old, new)
    signature = issuer.key.sign(changed, ec.ECDSA(hashes.SHA256()))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    return _der(0x30, changed + algorithm + _der(0x03, b"\0" + signature))


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 0x80 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + content
