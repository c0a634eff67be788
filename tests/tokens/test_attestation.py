"""Makers' proofs: real ones hold, and whatever was changed, swapped or made up does not."""

from __future__ import annotations

import base64
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from vestry.tokens import attestation, attestation_rules, certificates
from vestry.tokens.attestation import Anchors, Attestation, Maker, verify

PIV, HSM, OPENPGP = "1.3.6.1.4.1.41482.3.", "1.3.6.1.4.1.41482.4.", "1.3.6.1.4.1.41482.5."
DER = serialization.Encoding.DER
SERIAL = 12345678


def integer(value: int) -> bytes:
    raw = value.to_bytes(value.bit_length() // 8 + 1, "big")
    return bytes((2, len(raw))) + raw


YUBIKEY = {f"{PIV}3": bytes((5, 7, 1)), f"{PIV}7": integer(SERIAL), f"{PIV}8": bytes((3, 2)), f"{PIV}9": b"\x01"}
YUBIHSM = {
    f"{HSM}1": bytes.fromhex("0403020401"),
    f"{HSM}2": integer(SERIAL),
    f"{HSM}3": bytes.fromhex("03020001"),
    f"{HSM}5": bytes.fromhex("0309000000000000000080"),
    f"{HSM}6": bytes.fromhex("020103"),
    f"{HSM}9": b"\x0c\x04root",
}


@dataclass
class Issuer:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Any

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(DER)


def issue(
    name: str,
    by: Issuer | None,
    *,
    key: Any = None,
    ca: bool | None = True,
    length: int | None = None,
    extensions: dict[str, bytes] | None = None,
    days: tuple[int, int] = (-10, 3650),
    algorithm: Any = None,
) -> Issuer:
    private = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
    )
    if ca is not None:
        built = built.add_extension(x509.BasicConstraints(ca=ca, path_length=length if ca else None), critical=True)
    for oid, value in (extensions or {}).items():
        built = built.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), critical=False)
    return Issuer(built.sign(by.key if by else private, algorithm or hashes.SHA256()), private)


@dataclass
class World:
    """A maker with a root, an authority below it, a device, and the proof of a key."""

    root: Issuer
    middle: Issuer
    device: Issuer
    leaf: Issuer

    def verify(self, leaf: Issuer | None = None, *others: Issuer, anchors: Any = None, **more: Any) -> Attestation:
        beside = [o.der for o in others] or [self.middle.der, self.device.der]
        return verify((leaf or self.leaf).der, beside, anchors or Anchors.of([self.root.der]), **more)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    root = issue("Maker Root", None)
    middle = issue("Maker PIV Attestation A 1", root)
    device = issue("Yubico PIV Attestation", middle, length=0)
    leaf = issue("YubiKey PIV Attestation 9c", device, ca=None, extensions=YUBIKEY)
    monkeypatch.setattr(attestation, "MAKERS", {attestation.sha256(root.der): Maker("the maker")})
    return World(root, middle, device, leaf)


def codes(found: Attestation) -> set[str]:
    return {f.code for f in found.findings}


def test_a_proof_holds_and_says_what_the_device_said(world: World) -> None:
    """Serial, firmware, policies, slot: what a ceremony records must be what the device wrote."""
    found = world.verify(expected_serial=f"00{SERIAL}")
    assert found.ok
    assert (found.model, found.serial, found.firmware, found.anchor) == ("YubiKey", str(SERIAL), "5.7.1", "the maker")
    assert found.claims is not None
    assert (found.claims.pin_policy, found.claims.touch_policy, found.claims.slot) == ("always", "always", "9c")
    assert codes(found) == set()


def test_order_and_duplicates_of_the_files_do_not_matter(world: World) -> None:
    """Certificates come from a folder; their names and order mean nothing."""
    stray = issue("Maker PIV Attestation A 1", issue("Maker Root", None))
    assert world.verify(None, world.device, stray, world.middle, world.middle, world.root, world.leaf).ok


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({f"{PIV}3": bytes((5, 4, 3))}, "EUCLEAK"),
        ({f"{PIV}8": bytes((1, 2))}, "ATTEST-PIN-NEVER"),
        ({f"{PIV}8": bytes((3, 1))}, "ATTEST-TOUCH-NEVER"),
        ({f"{PIV}8": bytes((3,))}, "ATTEST-MALFORMED"),
        ({f"{PIV}8": bytes((9, 1))}, "ATTEST-MALFORMED"),
        ({f"{PIV}3": b"\x05\x07"}, "ATTEST-MALFORMED"),
        ({f"{PIV}7": b"\x02\x02\x00\x01"}, "ATTEST-MALFORMED"),
        ({f"{PIV}7": integer(SERIAL) + b"\0"}, "ATTEST-MALFORMED"),
        ({f"{PIV}9": b"\x01\x02"}, "ATTEST-MALFORMED"),
        ({f"{PIV}7": None}, "ATTEST-SERIAL-UNTOLD"),
        ({f"{PIV}3": None}, "EUCLEAK"),
    ],
)
def test_what_a_yubikey_says_is_looked_at(world: World, changed: dict[str, bytes | None], code: str) -> None:
    """Each field of the maker's has a rule; one that is not in its form is never guessed at."""
    extensions = {k: v for k, v in (YUBIKEY | changed).items() if v is not None}
    found = world.verify(issue("YubiKey PIV Attestation 9c", world.device, ca=None, extensions=extensions))
    assert code in codes(found)
    assert found.ok == (attestation_rules.FINDINGS[code][0] != "stop")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({}, None),
        ({f"{HSM}1": bytes.fromhex("0403020102")}, "EUCLEAK"),
        ({f"{HSM}3": bytes.fromhex("03020002")}, "ATTEST-IMPORTED"),
        ({f"{HSM}3": bytes.fromhex("03020010")}, "ATTEST-IMPORTED"),
        ({f"{HSM}3": bytes.fromhex("03020011")}, "ATTEST-IMPORTED"),
        ({f"{HSM}3": bytes.fromhex("03020004")}, "ATTEST-MALFORMED"),
        ({f"{HSM}5": bytes.fromhex("0309000000000000010080")}, "ATTEST-EXPORTABLE"),
        ({f"{HSM}5": None}, "ATTEST-MALFORMED"),
        ({f"{HSM}9": b"\x0c\x02\xff\xfe"}, "ATTEST-MALFORMED"),
    ],
)
def test_what_a_yubihsm_says_is_looked_at(world: World, changed: dict[str, bytes | None], code: str | None) -> None:
    """Origin and capabilities decide whether copies of the key may exist."""
    extensions = {k: v for k, v in (YUBIHSM | changed).items() if v is not None}
    found = world.verify(issue("YubiHSM Attestation id:0x0003", world.device, ca=None, extensions=extensions))
    assert codes(found) == ({code} if code else set())


def test_a_key_of_the_holder_is_no_issuer(world: World) -> None:
    """Whoever has a genuine device could else sign a proof for any key with a key of it."""
    fake = issue("YubiKey PIV Attestation 9c", world.leaf, ca=None, extensions=YUBIKEY)
    assert not world.verify(fake, world.leaf, world.device, world.middle).ok
    posing = issue("YubiKey OPGP Attestation SIG", world.device, extensions={f"{OPENPGP}1": b"\x0c\x00"})
    fake = issue("YubiKey PIV Attestation 9c", posing, ca=None, extensions=YUBIKEY)
    assert not world.verify(fake, posing, world.device, world.middle).ok


def test_a_proof_from_the_root_itself_is_none(world: World) -> None:
    """Makers' roots attest no keys; one that did was misused."""
    straight = issue("YubiKey PIV Attestation 9c", world.root, ca=None, extensions=YUBIKEY)
    assert "ATTEST-CHAIN" in codes(world.verify(straight))
    own = issue("YubiKey PIV Attestation 9c", None, ca=None, extensions=YUBIKEY)
    assert not world.verify(own, anchors=Anchors.of([own.der])).ok


def test_an_issuer_that_may_not_issue_breaks_the_chain(world: World) -> None:
    """Basic constraints (RFC 5280, 4.2.1.9), of every certificate above the key, and the length they allow."""
    for made in (
        issue("Yubico PIV Attestation", world.middle, ca=False),
        issue("Yubico PIV Attestation", world.middle, ca=None),
    ):
        leaf = issue("YubiKey PIV Attestation 9c", made, ca=None, extensions=YUBIKEY)
        assert "ATTEST-CHAIN" in codes(world.verify(leaf, made, world.middle))
    short = issue("Maker PIV Attestation A 1", world.root, length=0)
    device = issue("Yubico PIV Attestation", short)
    leaf = issue("YubiKey PIV Attestation 9c", device, ca=None, extensions=YUBIKEY)
    assert "ATTEST-CHAIN" in codes(world.verify(leaf, device, short))


def test_old_devices_say_less_and_hold_under_their_own_root_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """YubiKeys of before 2020 have device certificates without basic constraints, issued by the root itself."""
    device = issue("Yubico PIV Attestation", world.root, ca=None)
    leaf = issue("YubiKey PIV Attestation 9c", device, ca=None, extensions=YUBIKEY)
    assert not world.verify(leaf, device).ok
    monkeypatch.setattr(attestation, "MAKERS", {attestation.sha256(world.root.der): Maker("old", lenient=True)})
    assert world.verify(leaf, device).ok


def test_another_application_of_the_device_does_not_vouch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One root stands above all applications: what vouches for sign-in keys says nothing about PIV."""
    maker = Maker("one root", purposes={"YubiKey": "PIV Attestation"})
    monkeypatch.setattr(attestation, "MAKERS", {attestation.sha256(world.root.der): maker})
    assert world.verify().ok
    fido = issue("Maker FIDO A 1", world.root)
    device = issue("Device", fido)
    leaf = issue("YubiKey PIV Attestation 9c", device, ca=None, extensions=YUBIKEY)
    assert "ATTEST-CHAIN" in codes(world.verify(leaf, device, fido))


def test_a_root_of_the_same_name_is_not_the_root(world: World) -> None:
    """Only digests are compared: anyone can call a certificate "Maker Root"."""
    root = issue("Maker Root", None)
    middle = issue("Maker PIV Attestation A 1", root)
    device = issue("Yubico PIV Attestation", middle)
    leaf = issue("YubiKey PIV Attestation 9c", device, ca=None, extensions=YUBIKEY)
    assert "ATTEST-CHAIN" in codes(world.verify(leaf, device, middle, root))
    known = world.verify(leaf, device, middle, anchors=Anchors.of([root.der]))
    assert known.ok
    assert codes(known) == {"ATTEST-ANCHOR"}
    assert known.anchor == "CN=Maker Root"


def test_the_right_key_and_the_right_device(world: World) -> None:
    """A genuine proof of another key, or from another device, proves nothing here."""
    assert "ATTEST-KEY-DIFFERS" in codes(world.verify(expected_spki=b"other"))
    assert "ATTEST-SERIAL-DIFFERS" in codes(world.verify(expected_serial="87654321"))
    device = issue("YubiHSM Attestation (7)", world.middle, extensions={f"{HSM}2": integer(7)})
    leaf = issue("YubiHSM Attestation id:0x0003", device, ca=None, extensions=YUBIHSM)
    assert "ATTEST-SERIAL-DIFFERS" in codes(world.verify(leaf, device, world.middle))


def test_expiry_warns_and_weakness_stops(world: World) -> None:
    """A proof is kept for years, so its dates are told; a weak signature proves nothing at any time."""
    old = issue("YubiKey PIV Attestation 9c", world.device, ca=None, extensions=YUBIKEY, days=(-100, -1))
    found = world.verify(old)
    assert (found.ok, codes(found)) == (True, {"ATTEST-EXPIRED"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weak = rsa.generate_private_key(65537, 1024)
        device = issue("Yubico PIV Attestation", world.middle, key=weak)
        leaf = issue("YubiKey PIV Attestation 9c", device, ca=None, extensions=YUBIKEY)
        assert "ATTEST-WEAK" in codes(world.verify(leaf, device, world.middle))


def test_roca_is_found_by_firmware_and_by_modulus(world: World) -> None:
    """Factorable keys: those that bad firmware made, and those of its structure wherever they come from."""
    key = rsa.generate_private_key(65537, 2048)
    for firmware, expected in (((4, 3, 1), True), ((4, 3, 5), False), ((5, 4, 3), False), ((4, 2, 5), False)):
        extensions = YUBIKEY | {f"{PIV}3": bytes(firmware)}
        leaf = issue("YubiKey PIV Attestation 9c", world.device, key=key, ca=None, extensions=extensions)
        assert ("ROCA" in codes(world.verify(leaf))) == expected
    assert not attestation_rules.has_roca_fingerprint(key.public_key().public_numbers().n)
    product = 1
    for prime in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97):
        product *= prime
    for prime in (101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167):
        product *= prime
    made = (product * 12345 + pow(65537, 77, product)) * (product * 54321 + pow(65537, 99, product))
    assert attestation_rules.has_roca_fingerprint(made)


def test_a_certificate_of_an_impossible_version_is_none(world: World) -> None:
    """The library says so with an error of its own kind, which must not reach a person as a fault of the program."""
    version = b"\xa0\x03\x02\x01"
    der = world.root.der.replace(version + b"\x02", version + b"\x05", 1)
    assert der != world.root.der
    text = f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE-----\n"
    with pytest.raises(ValueError, match="not a certificate"):
        certificates.from_pem(text)
    assert Anchors.from_pem(text) == Anchors()
    assert certificates.read(der) is None
    assert codes(verify(der, [der], Anchors.of([der]))) == {"ATTEST-MALFORMED"}


@pytest.mark.parametrize("junk", [b"", b"\x30", b"\x30\x80", b"hello", bytes(3000), b"\x30\x82\xff\xff" + bytes(100)])
def test_junk_is_a_finding(world: World, junk: bytes) -> None:
    """What lies in a folder may be anything."""
    found = verify(junk, [junk, world.device.der], Anchors.of([junk, world.root.der]))
    assert codes(found) == {"ATTEST-MALFORMED"}
    assert not attestation.is_attestation(junk)


def test_hostile_names_are_escaped(world: World) -> None:
    """A subject reaches a terminal."""
    leaf = issue("x\x1b[2J\u202e 9c", world.device, ca=None, extensions=YUBIKEY)
    assert world.verify(leaf).subject.isascii()
    assert "\x1b" not in world.verify(leaf).subject


def real(shared_data: Path) -> tuple[Anchors, list[Path]]:
    pems = "".join(p.read_text() for p in (shared_data / "trust-anchors").glob("*.pem"))
    return Anchors.from_pem(pems), sorted((shared_data / "pypi-2020-ceremony").glob("*/*attestation.der"))


def test_pypis_six_attestations_of_2020_hold(shared_data: Path) -> None:
    """Made by others, with real devices: they lead to Yubico's root, each with its serial and firmware, and EUCLEAK."""
    anchors, paths = real(shared_data)
    assert len(paths) == 6
    for path in paths:
        beside = [p.read_bytes() for p in path.parent.glob("*.der")]
        pem = path.with_name(path.name.replace("attestation.der", "pubkey.pem")).read_bytes()
        spki = serialization.load_pem_public_key(pem).public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        found = verify(path.read_bytes(), beside, anchors, expected_spki=spki, expected_serial=path.parent.name)
        assert found.ok
        assert (found.serial, found.firmware) == (path.parent.name.lstrip("0"), "2.1.2")
        assert found.anchor == "Yubico YubiHSM Root CA"
        assert codes(found) == {"EUCLEAK"}


def test_no_byte_of_a_real_proof_can_change(shared_data: Path) -> None:
    """Every single byte, each with two changes: none holds, and none ends in an exception."""
    anchors, paths = real(shared_data)
    good = paths[0].read_bytes()
    beside = [p.read_bytes() for p in paths[0].parent.glob("*_cert.der")]
    assert verify(good, beside, anchors).ok
    for place in range(len(good)):
        for mask in (0x01, 0x80):
            changed = bytearray(good)
            changed[place] ^= mask
            assert not verify(bytes(changed), beside, anchors).ok, place
