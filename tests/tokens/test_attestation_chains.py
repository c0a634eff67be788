"""Chains that someone made up under the makers' rules: each is seen through, and none takes for ever."""

from __future__ import annotations

import random

import pytest
from attesting import (
    HSM,
    PIV,
    Made,
    Maker,
    codes,
    hsm_extensions,
    hsm_maker,
    issue,
    p256,
    pin,
    piv_extensions,
    piv_maker,
    with_tbs,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from growth import lines_run
from hypothesis import given, settings
from hypothesis import strategies as st

from vestry.tokens import attestation
from vestry.tokens.attestation import Anchors, Attestation
from vestry.tokens.attestation_rules import FINDINGS

PIV_ROOT, HSM_ROOT = "Yubico PIV Root CA Serial 263751", "Yubico YubiHSM Root CA"
NEW_ROOT, U2F_ROOT = "Yubico Attestation Root 1", "Yubico U2F Root CA Serial 457200631"


@pytest.fixture(params=["piv", "yubihsm"])
def maker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Maker:
    """A maker of either kind of device, known as Yubico is known."""
    made = piv_maker() if request.param == "piv" else hsm_maker()
    pin(monkeypatch, made.root, PIV_ROOT if made.family == "piv" else HSM_ROOT)
    return made


def stops(found: Attestation) -> set[str]:
    """Codes of the findings that say stop; the attestation must then not be ok."""
    stopping = {f.code for f in found.findings if f.severity == "stop"}
    assert found.ok == (not stopping)
    return stopping


def values(made: Made) -> dict[str, bytes]:
    """The extensions of an attestation."""
    return {e.oid.dotted_string: e.value.value for e in made.certificate.extensions}


def test_untouched_chains_hold(maker: Maker) -> None:
    """The cases below prove nothing unless the same chains hold as they are."""
    assert (codes(maker.verify(maker.leaf())), maker.verify(maker.leaf()).ok) == ([], True)


def test_a_hidden_serial_is_none_that_was_expected(maker: Maker) -> None:
    """Whoever brings another device could else hide its serial, and pass for the one on the table."""
    hidden = maker.leaf(x7=None) if maker.family == "piv" else maker.leaf(x2=None)
    assert maker.verify(hidden).ok
    for expected in ("12345678", "7550123", "0"):
        assert stops(maker.verify(hidden, expected_serial=expected)) == {"ATTEST-SERIAL-DIFFERS"}


def test_a_root_with_a_makers_name_is_no_anchor() -> None:
    """The name is what a reader sees; a folder of anchors that came on a stick may hold anything under it."""
    for made in (piv_maker(PIV_ROOT), hsm_maker(HSM_ROOT)):
        assert stops(made.verify(made.leaf())) == {"ATTEST-NAMESAKE"}


def test_of_two_certificates_of_one_root_the_right_one_counts(maker: Maker) -> None:
    """Yubico published its PIV root twice, with one key: the older allows no device below it, and may come first."""
    name = maker.root.certificate.subject.rfc4514_string().removeprefix("CN=")
    older = issue(name, None, key=maker.root.key, ca=True, length=0)
    for given_roots in ((older.der, maker.root.der), (maker.root.der, older.der)):
        found = maker.verify(maker.leaf(), anchors=Anchors.of(given_roots))
        assert (found.ok, found.anchor_sha256) == (True, maker.root.sha256)


def test_many_certificates_of_one_name_and_key_take_no_time(maker: Maker) -> None:
    """Each may issue each, so there are more ways than can be walked: a stick would stop the ceremony."""
    key = p256()
    ring = [issue("Ring", None, key=key, ca=True) for _ in range(40)]
    device = issue("Yubico PIV Attestation", ring[0], ca=True)
    heap = [device.der, *(c.der for c in ring)]
    strange, own = maker.leaf(by=device), maker.leaf()
    assert "ATTEST-CHAIN" in stops(maker.verify(strange, [*heap, *maker.others]))
    assert maker.verify(own, [*heap, *maker.others]).ok
    assert lines_run(lambda: maker.verify(strange, [*heap, *maker.others])) < 100_000


def test_order_does_not_matter(maker: Maker) -> None:
    """Nor do other devices of the same name."""
    strays = [issue("Yubico PIV Attestation", maker.root, ca=True, length=0).der for _ in range(30)]
    heap = [*maker.others, *strays, maker.leaf().der]
    for seed in range(3):
        random.Random(seed).shuffle(heap)
        assert maker.verify(maker.leaf(), heap).ok


@pytest.mark.parametrize("marked", [False, True])
def test_a_leaf_by_another_leaf(maker: Maker, marked: bool) -> None:
    """An attested key signs whatever its owner wants: the forgery that costs nothing. The rule must not rest on basic
    constraints, which some devices lack.
    """
    above = maker.between[0] if maker.between else maker.root
    device = maker.device if marked or maker.between else issue("Yubico PIV Attestation", above)
    attested = maker.leaf(by=device)
    assert maker.verify(attested, [device.der, *maker.others]).ok
    posing = issue("Yubico PIV Attestation", attested, ca=True)
    for issuer in (attested, posing):
        heap = [device.der, attested.der, posing.der, *maker.others]
        assert stops(maker.verify(maker.leaf(by=issuer), heap)) == {"ATTEST-CHAIN"}


def test_what_a_certificate_says_of_itself(maker: Maker) -> None:
    """A leaf that is an authority, a device with a key's extensions, an authority that may not sign certificates."""
    said = values(maker.leaf())
    assert stops(maker.verify(issue("L", maker.device, ca=True, extensions=said))) == {"ATTEST-CHAIN"}
    above = maker.between[0] if maker.between else maker.root
    both = issue("Yubico PIV Attestation", above, ca=True, extensions=said)
    assert stops(maker.verify(maker.leaf(by=both), [both.der, *maker.others])) == {"ATTEST-CHAIN"}
    root = issue("Root", None, ca=True)
    silent = issue("Between", root, ca=True, extensions={"2.5.29.15": b"\x03\x02\x07\x80"})
    device = issue("Device", silent, ca=True)
    found = maker.verify(maker.leaf(by=device), [device.der, silent.der], anchors=Anchors.of((root.der,)))
    assert stops(found) == {"ATTEST-CHAIN"}


def test_an_unknown_critical_extension(maker: Maker) -> None:
    """Critical means: refuse what you don't understand (RFC 5280, 4.2)."""
    said = values(maker.leaf())
    for critical, stopped in (((), set()), (("1.2.3.4",), {"ATTEST-MALFORMED"}), (tuple(said), set())):
        leaf = issue("L", maker.device, extensions={**said, "1.2.3.4": b"\x05\x00"}, critical=critical)
        assert stops(maker.verify(leaf)) == stopped


def test_short_curves(maker: Maker) -> None:
    """RSA below 2048 bits was refused, and curves of 192 bits were not."""
    above = maker.between[0] if maker.between else maker.root
    device = issue("Yubico PIV Attestation", above, key=ec.generate_private_key(ec.SECP192R1()), ca=True)
    assert stops(maker.verify(maker.leaf(by=device), [device.der, *maker.others])) == {"ATTEST-WEAK"}
    assert stops(maker.verify(maker.leaf(key=ec.generate_private_key(ec.SECP224R1())))) == {"ATTEST-WEAK"}


def test_the_u2f_root_of_early_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its path length of 0 forbids what it did; the devices are real, so it is let pass, for PIV alone."""
    root = issue(U2F_ROOT, None, ca=True, length=0)
    pin(monkeypatch, root, U2F_ROOT)
    for name, stopped in (("Yubico PIV Attestation", set()), ("Yubico U2F EE Serial 1383", {"ATTEST-CHAIN"})):
        made = Maker(root, (), issue(name, root), "piv")
        assert stops(made.verify(made.leaf())) == stopped


def test_the_new_root_and_its_applications(monkeypatch: pytest.MonkeyPatch) -> None:
    """It certifies FIDO and OpenPGP keys, too, four certificates deep."""
    root = issue(NEW_ROOT, None, ca=True, length=3)
    pin(monkeypatch, root, NEW_ROOT)
    first = issue("Yubico Attestation Intermediate B 1", root, ca=True, length=2)
    for name, stopped in (("Yubico PIV Attestation B 1", set()), ("Yubico FIDO Attestation B 1", {"ATTEST-CHAIN"})):
        second = issue(name, first, ca=True, length=1)
        made = Maker(root, (second, first), issue("YubiKey F9", second, ca=True, length=0), "piv")
        assert stops(made.verify(made.leaf())) == stopped


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("3", b"\x03\x03\x00\x00\x01"),
        ("3", b"\x03\x02\x00\x00"),
        ("5", b"\x03\x08\x00" + bytes(7)),
        ("5", b"\x03\x02\x00\x80"),
    ],
)
def test_bits_have_their_own_length(number: str, value: bytes) -> None:
    """Capabilities of one byte say nothing of whether the key may be exported: that bit is in the sixth."""
    made = hsm_maker()
    assert stops(made.verify(made.leaf(**{f"x{number}": value}))) == {"ATTEST-MALFORMED"}


def test_capabilities_beyond_signing() -> None:
    """A root key that can attest or decrypt is one that can be misused for it."""
    made = hsm_maker()
    found = made.verify(made.leaf(x5=b"\x03\x09\x00" + (1 << 7 | 1 << 11 | 1 << 34 | 1 << 63).to_bytes(8, "big")))
    assert codes(found) == ["ATTEST-ANCHOR", "ATTEST-CAPABILITIES"]
    assert "derive a shared secret, attest other keys, capability 63" in found.findings[1].text


def test_both_kinds_of_device_in_one() -> None:
    """No device is both; whichever reading suits the forger must not be picked."""
    made = piv_maker()
    leaf = issue("L", made.device, extensions={**piv_extensions(), **hsm_extensions()})
    assert stops(made.verify(leaf)) == {"ATTEST-MALFORMED"}


def test_fingerprint_policies_of_the_biometric_series() -> None:
    """A real device must not be called malformed for asking for a finger."""
    made = piv_maker()
    found = made.verify(made.leaf(x8=b"\x05\x02"))
    assert found.ok
    assert found.claims is not None
    assert found.claims.pin_policy == "fingerprint always"


def test_a_doubled_extension_is_damage() -> None:
    """Two readers could take two different ones; the library refuses the whole, and it must not vanish unseen."""
    made = piv_maker()
    said = values(made.leaf())
    leaf = issue("L", made.device, extensions={**said, PIV + "99": said[PIV + "8"]})
    mark = bytes.fromhex("2b0601040182c40a03")
    double = with_tbs(leaf, mark + b"\x63", mark + b"\x08", made.device)
    assert attestation.is_damaged(double)
    assert stops(made.verify(double)) == {"ATTEST-MALFORMED"}
    assert not attestation.is_damaged(leaf.der)
    assert not attestation.is_damaged(b"0" + bytes(20))


@settings(max_examples=100)
@given(
    st.dictionaries(st.sampled_from([f"{PIV}{n}" for n in range(1, 13)]), st.binary(max_size=40)),
    st.dictionaries(st.sampled_from([*(f"{HSM}{n}" for n in range(1, 11)), "2.5.29.15"]), st.binary(max_size=40)),
)
def test_no_extension_breaks_it(piv: dict[str, bytes], hsm: dict[str, bytes]) -> None:
    """Whatever certificates hold, the answer is a verdict; an exception would end a ceremony."""
    made = piv_maker()
    device = issue("D", made.root, ca=True, extensions=hsm)
    leaf = issue("L", device, extensions={**piv_extensions(), **piv, **hsm})
    found = made.verify(leaf, [device.der])
    assert all(f.code in FINDINGS and f.text.isprintable() for f in found.findings)


def test_pins_are_what_yubico_publishes(shared_data: object) -> None:
    """A digest with a typing error would refuse every device, or take a stranger's."""
    published = {}
    for file in (shared_data / "trust-anchors").glob("*.pem"):  # type: ignore[operator]
        for certificate in x509.load_pem_x509_certificates(file.read_bytes()):
            name = certificate.subject.rfc4514_string().removeprefix("CN=")
            published[certificate.fingerprint(hashes.SHA256()).hex()] = name
    known = {sha256: m.name for sha256, m in attestation.MAKERS.items() if m.name != U2F_ROOT}
    assert len(known) == 3
    assert known.items() <= published.items()
