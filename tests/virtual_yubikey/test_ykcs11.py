"""Yubico's own PKCS#11 module, over a real pcscd, on virtual cards: what Vestry's support for PIV has to live with."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from devices import refused

from vestry.tokens.process import Pkcs11Source
from vestry.tokens.token import Pin, TokenKey, Unlocked
from virtual_yubikey.bench import ALICE, YKCS11, Bench
from virtual_yubikey.driver import SO_PIN, Driver, Failed, driving
from virtual_yubikey.state import DEFAULT_PIN, DEFAULT_PUK, Settings

ECDSA, RSA_PKCS = 0x1041, 0x0001
LOW, LAST, LOCKED = 0x10000, 0x20000, 0x40000
SLOT_9A, SLOT_9C, SLOT_F9 = 1, 2, 0x19
DIGEST = hashlib.sha256(b"root").digest()


@pytest.fixture
def driver(yubikeys: Bench) -> Iterator[Driver]:
    with driving(os.environ) as running:
        yield running


@pytest.fixture
def source(yubikeys: Bench) -> Iterator[Pkcs11Source]:
    opened = Pkcs11Source(YKCS11)
    yield opened
    opened.close()


def failing(name: str) -> Any:
    return pytest.raises(Failed, check=lambda error: error.name == name)


def flags(driver: Driver, serial: str) -> int:
    return next(t["flags"] for t in driver.tokens() if t["serial"] == serial) & (LOW | LAST | LOCKED)


def spki(public: Any) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return public.public_bytes(serialization.Encoding.DER, form)


def held(unlocked: Unlocked, identity: bytes) -> list[TokenKey]:
    return [key for key in unlocked.keys() if key.id == identity]  # noqa: SIM118 - no mapping


def attested(driver: Driver, serial: str, slot: int) -> list[x509.Certificate]:
    """Attestation certificates are session objects of the key's id; the slot's own is a token object."""
    found = [o for o in driver.objects(serial=serial) if o[0] == "CERTIFICATE" and int(o[1], 16) == slot and not o[2]]
    return [x509.load_der_x509_certificate(bytes.fromhex(o[4])) for o in found]


def test_two_cards_are_listed_by_serial(source: Pkcs11Source, yubikeys: Bench) -> None:
    """A bench of one card would not show that keys of two holders are told apart."""
    infos = {t.info.serial: t.info for t in source.tokens()}
    assert set(infos) == {card.serial for card in yubikeys.cards.values()}
    assert infos["11111111"].label == "YubiKey PIV #11111111"
    assert infos["11111111"].pin_ready
    assert infos["11111111"].tries == "ok"


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa2048"])
def test_a_key_is_made_and_signs(kind: str, driver: Driver, yubikeys: Bench) -> None:
    """The card's own signatures must hold against the public key that the module shows."""
    serial = yubikeys.cards["alice"].serial
    driver.generate(serial=serial, slot=SLOT_9C, kind=kind)
    (certificate,) = attested(driver, serial, SLOT_9C)
    public: Any = certificate.public_key()
    if kind == "rsa2048":
        prefix = bytes.fromhex("3031300d060960864801650304020105000420")
        (made,) = driver.sign(
            serial=serial, slot=SLOT_9C, pin=DEFAULT_PIN, mechanism=RSA_PKCS, data=(prefix + DIGEST).hex()
        )
        public.verify(bytes.fromhex(made), b"root", padding.PKCS1v15(), hashes.SHA256())
        return
    algorithm = hashes.SHA256() if kind == "p256" else hashes.SHA384()
    digest = hashlib.new(algorithm.name, b"root").digest()
    (made,) = driver.sign(serial=serial, slot=SLOT_9C, pin=DEFAULT_PIN, mechanism=ECDSA, data=digest.hex())
    raw = bytes.fromhex(made)
    half = len(raw) // 2
    der = utils.encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
    public.verify(der, b"root", ec.ECDSA(algorithm))


def test_vestry_reads_and_signs_with_a_key_on_the_card(source: Pkcs11Source, yubikeys: Bench) -> None:
    """The whole way: a child process, the module, pcscd, the card, and back."""
    card = yubikeys.cards["bob"]
    public: Any = card.put_key("9c", "p384")
    (token,) = [t for t in source.tokens() if t.info.serial == card.serial]
    with token.unlock(Pin(DEFAULT_PIN)) as unlocked:
        (key,) = held(unlocked, b"\x02")
        assert key.spki == spki(public)
        for message in (b"first", b"second"):
            public.verify(unlocked.sign(key, message), message, ec.ECDSA(hashes.SHA384()))
    assert card.state()["signatures"] == 2


def test_a_wrong_pin_counts_down_and_locks(driver: Driver, yubikeys: Bench) -> None:
    """Holders are told how many tries are left by these flags alone."""
    card = yubikeys.cards["alice"]
    for left, seen, name in ((2, LOW, "PinIncorrect"), (1, LAST, "PinIncorrect"), (0, LOCKED, "PinLocked")):
        with failing(name):
            driver.log_in(serial=card.serial, pin="000000")
        assert flags(driver, card.serial) & seen
        assert card.state()["pin_left"] == left
    with failing("PinLocked"):
        driver.log_in(serial=card.serial, pin=DEFAULT_PIN)
    driver.set_pin(serial=card.serial, old=f"puk:{DEFAULT_PUK}", new="pin:654321")
    driver.log_in(serial=card.serial, pin="654321")
    assert flags(driver, card.serial) == 0
    assert flags(driver, yubikeys.cards["bob"].serial) == 0


def test_vestry_tells_a_locked_pin(source: Pkcs11Source, yubikeys: Bench) -> None:
    """The count of tries reaches the holder through the child, not only the test's own driver."""
    (token,) = [t for t in source.tokens() if t.info.serial == yubikeys.cards["alice"].serial]
    for code in ("E-PIN-WRONG", "E-PIN-WRONG", "E-PIN-LOCKED"):
        with refused(code), token.unlock(Pin("000000")):
            pass
    assert token.info.tries == "locked"


def test_initialising_is_a_reset(driver: Driver, yubikeys: Bench) -> None:
    """C_InitToken takes the management key, empties the card, sets the PIN of the factory, and ignores the label."""
    card = yubikeys.cards["alice"]
    card.put_key("9c", "p256")
    card.set_secrets(pin="777777")
    assert driver.initialise(serial=card.serial, so_pin="11" * 24) == 0xA0
    assert driver.initialise(serial=card.serial, so_pin="1234") == 0xA1
    assert card.state()["keys"]
    assert driver.initialise(serial=card.serial, so_pin=SO_PIN) == 0
    assert card.state()["keys"] == {}
    assert [t["label"] for t in driver.tokens() if t["serial"] == card.serial] == ["YubiKey PIV #11111111"]
    driver.log_in(serial=card.serial, pin=DEFAULT_PIN)


def test_keys_are_made_by_the_security_officer_alone(driver: Driver, yubikeys: Bench) -> None:
    """The management key is 48 hex digits; another costs no try. It must not be told EXTRACTABLE."""
    card = yubikeys.cards["alice"]
    with failing("PinIncorrect"):
        driver.generate(serial=card.serial, slot=SLOT_9C, kind="p256", so_pin="11" * 24)
    with failing("AttributeTypeInvalid"):
        driver.generate(serial=card.serial, slot=SLOT_9C, kind="p256", extractable=False)
    state = card.state()
    assert (state["keys"], state["pin_left"]) == ({}, 3)


def test_slot_9c_wants_its_pin_at_each_signature(driver: Driver, yubikeys: Bench) -> None:
    """A signer that logs in once and signs twice fails at the second document."""
    card = yubikeys.cards["alice"]
    card.put_key("9c", "p256")
    card.put_key("9a", "p256")
    words = {"serial": card.serial, "pin": DEFAULT_PIN, "mechanism": ECDSA, "data": DIGEST.hex(), "times": 2}
    assert len(driver.sign(slot=SLOT_9C, again=True, **words)) == 2
    with failing("UserNotLoggedIn"):
        driver.sign(slot=SLOT_9C, again=False, **words)
    assert len(driver.sign(slot=SLOT_9A, again=False, **words)) == 2


def test_destroying_leaves_the_key_on_the_card(driver: Driver, yubikeys: Bench) -> None:
    """The module says yes, shows no key any more, and the next session has it again: no proof of destruction."""
    card = yubikeys.cards["alice"]
    card.put_key("9a", "p256")
    assert driver.destroy(serial=card.serial, slot=SLOT_9A) == 0
    assert "9a" in card.state()["keys"]
    assert ["PRIVATE_KEY", "01"] in [o[:2] for o in driver.objects(serial=card.serial, pin=DEFAULT_PIN)]


def test_removal_and_return(source: Pkcs11Source, yubikeys: Bench) -> None:
    """A card pulled out between two steps must be gone from the list, and the same card again afterwards."""
    card, other = yubikeys.cards["alice"], yubikeys.cards["bob"]
    card.put_key("9c", "p256")
    (token,) = [t for t in source.tokens() if t.info.serial == card.serial]
    card.remove()
    assert [t.info.serial for t in source.tokens()] == [other.serial]
    with refused("E-TOKEN-GONE"):
        _ = token.info
    card.insert(0)
    assert {t.info.serial for t in source.tokens()} == {card.serial, other.serial}
    with token.unlock(Pin(DEFAULT_PIN)) as unlocked:
        assert held(unlocked, b"\x02")


def test_another_card_in_the_same_reader(source: Pkcs11Source, yubikeys: Bench) -> None:
    """A holder's card that was changed for another must not pass under the first one's serial."""
    first = yubikeys.cards["alice"].serial
    (token,) = [t for t in source.tokens() if t.info.serial == first]
    yubikeys.card("carol", Settings(serial=33333333)).insert(0)
    assert {t.info.serial for t in source.tokens()} == {"33333333", "22222222"}
    with refused("E-TOKEN-GONE"), token.unlock(Pin(DEFAULT_PIN)):
        pass


@pytest.mark.parametrize(("how", "signed"), [("remove", 0), ("remove-after", 1)])
def test_removal_in_the_midst_of_a_signature(how: str, signed: int, source: Pkcs11Source, yubikeys: Bench) -> None:
    """It ends in an error that says it is unknown whether the card signed, at once and not after a minute."""
    card = yubikeys.cards["alice"]
    card.put_key("9c", "p256")
    (token,) = [t for t in source.tokens() if t.info.serial == card.serial]
    card.next_signature(how)
    began = time.monotonic()
    with token.unlock(Pin(DEFAULT_PIN)) as unlocked:
        (key,) = held(unlocked, b"\x02")
        with refused("E-TOKEN-GONE") as caught:
            unlocked.sign(key, b"root")
    assert caught.value.unknown
    assert time.monotonic() - began < 30
    assert card.state()["signatures"] == signed
    card.insert(0)
    with token.unlock(Pin(DEFAULT_PIN)) as unlocked:
        unlocked.sign(key, b"root")


def test_a_wrong_signature_is_wrong(source: Pkcs11Source, yubikeys: Bench) -> None:
    """The fault that tests of Vestry's own check ask for is a real one, and passes with the next signature."""
    card = yubikeys.cards["alice"]
    public: Any = card.put_key("9a", "p256")
    (token,) = [t for t in source.tokens() if t.info.serial == card.serial]
    card.next_signature("wrong")
    with token.unlock(Pin(DEFAULT_PIN)) as unlocked:
        (key,) = held(unlocked, b"\x01")
        bad, good = unlocked.sign(key, b"root"), unlocked.sign(key, b"root")
    with pytest.raises(InvalidSignature):
        public.verify(bad, b"root", ec.ECDSA(hashes.SHA256()))
    public.verify(good, b"root", ec.ECDSA(hashes.SHA256()))


def test_a_touch_is_waited_for(driver: Driver, yubikeys: Bench) -> None:
    """A screen that says "touch it" needs a card that waits, and one that signs when it is touched."""
    card = yubikeys.cards["alice"]
    card.put_key("9a", "p256", touch_policy=2)
    words = {"serial": card.serial, "slot": SLOT_9A, "pin": DEFAULT_PIN, "mechanism": ECDSA, "data": DIGEST.hex()}
    card.change(touch_after_ms=300)
    began = time.monotonic()
    driver.sign(**words)
    assert time.monotonic() - began > 0.3
    card.change(touch_after_ms=None)
    made: list[Any] = []
    signing = threading.Thread(target=lambda: made.extend(driver.sign(**words)))
    signing.start()
    while not card.state()["waiting"]:
        time.sleep(0.005)
    assert not made
    card.touch()
    signing.join(5)
    assert len(made) == 1


def test_a_card_that_is_never_touched_refuses(source: Pkcs11Source, yubikeys: Bench) -> None:
    """After its time the real card answers 6982, which ykcs11 calls "not logged in"."""
    card = yubikeys.cards["alice"]
    card.put_key("9a", "p256", touch_policy=2)
    card.change(touch_after_ms=None, touch_limit_ms=200)
    (token,) = [t for t in source.tokens() if t.info.serial == card.serial]
    with token.unlock(Pin(DEFAULT_PIN)) as unlocked:
        (key,) = held(unlocked, b"\x01")
        with refused("E-TOKEN-REFUSED") as caught:
            unlocked.sign(key, b"root")
    assert not caught.value.unknown
    assert card.state()["signatures"] == 0


def test_removal_while_it_waits_for_a_touch(source: Pkcs11Source, yubikeys: Bench) -> None:
    """A holder who pulls the blinking card must not wait for the card's own time to run out."""
    card = yubikeys.cards["alice"]
    card.put_key("9a", "p256", touch_policy=2)
    card.change(touch_after_ms=None)
    (token,) = [t for t in source.tokens() if t.info.serial == card.serial]

    def pull() -> None:
        while not card.state()["waiting"]:
            time.sleep(0.005)
        card.remove()

    pulling = threading.Thread(target=pull)
    with token.unlock(Pin(DEFAULT_PIN)) as unlocked:
        (key,) = held(unlocked, b"\x01")
        began = time.monotonic()
        pulling.start()
        with refused("E-TOKEN-GONE"):
            unlocked.sign(key, b"root")
    assert time.monotonic() - began < 30
    pulling.join()
    assert card.state()["signatures"] == 0


def test_a_key_without_certificate_shows_explicit_curve_parameters(driver: Driver, yubikeys: Bench) -> None:
    """Of keys known by the card's metadata alone, ykcs11 tells the curve in full and not by name (2.2.0)."""
    card = yubikeys.cards["alice"]
    public: Any = card.put_key("9a", "p256", imported=True, certificate=False)
    (shown,) = [o for o in driver.objects(serial=card.serial) if o[:2] == ["PUBLIC_KEY", "01"]]
    form = serialization.PublicFormat.UncompressedPoint
    assert bytes.fromhex(shown[4])[2:] == public.public_bytes(serialization.Encoding.X962, form)
    assert driver.curve(serial=card.serial, slot=SLOT_9A).startswith("3081f7020101")
    card.put_key("9d", "p256")
    assert driver.curve(serial=card.serial, slot=3) == "06082a8648ce3d030107"


@pytest.mark.parametrize("firmware", ["4.3.5", "5.7.1"])
def test_other_firmware(firmware: str, driver: Driver, yubikeys: Bench) -> None:
    """Before 5.3 keys show by attestation and certificate alone; from 5.7 on 2.2.0 wants a 3DES management key set."""
    yubikeys.fresh({"alice": Settings(serial=4, firmware=firmware), "bob": Settings(serial=5)})
    if firmware == "5.7.1":
        with failing("PinIncorrect"):
            driver.generate(serial="4", slot=SLOT_9C, kind="p256")
        yubikeys.fresh({"alice": Settings(serial=4, firmware=firmware, management="3des"), "bob": Settings(serial=5)})
    driver.generate(serial="4", slot=SLOT_9C, kind="p256")
    assert len(attested(driver, "4", SLOT_9C)) == 1
    assert driver.sign(serial="4", slot=SLOT_9C, pin=DEFAULT_PIN, mechanism=ECDSA, data=DIGEST.hex())


def test_attestation_leads_to_the_test_authority(driver: Driver, yubikeys: Bench) -> None:
    """Generated keys have a certificate that leads to the root through the card's own; imported ones have none."""
    card = yubikeys.cards["alice"]
    driver.generate(serial=card.serial, slot=SLOT_9C, kind="p384")
    card.put_key("9a", "p256", imported=True)
    (leaf,) = attested(driver, card.serial, SLOT_9C)
    assert attested(driver, card.serial, SLOT_9A) == []
    device = next(o for o in driver.objects(serial=card.serial) if o[:2] == ["CERTIFICATE", f"{SLOT_F9:02x}"])
    chain = [leaf, x509.load_der_x509_certificate(bytes.fromhex(device[4])), yubikeys.intermediate, yubikeys.root]
    for certificate, issuer in zip(chain, [*chain[1:], yubikeys.root], strict=True):
        certificate.verify_directly_issued_by(issuer)
    told = {
        extension.oid.dotted_string.rpartition(".")[2]: extension.value.value
        for extension in leaf.extensions
        if isinstance(extension.value, x509.UnrecognizedExtension)
    }
    assert told == {"3": b"\5\4\3", "7": b"\2\4" + ALICE.serial.to_bytes(4, "big"), "8": b"\3\1", "9": b"\1"}


def test_another_authority_of_the_same_names_does_not_verify(driver: Driver, yubikeys: Bench) -> None:
    """A forged card must differ from a true one in its signatures alone, or tests of the check prove nothing."""
    forged = yubikeys.card("mallory", Settings(serial=ALICE.serial, genuine=False))
    forged.put_key("9c", "p256")
    forged.insert(0)
    device = next(o for o in driver.objects(serial=forged.serial) if o[:2] == ["CERTIFICATE", f"{SLOT_F9:02x}"])
    certificate = x509.load_der_x509_certificate(bytes.fromhex(device[4]))
    assert certificate.issuer == yubikeys.intermediate.subject
    with pytest.raises(InvalidSignature):
        certificate.verify_directly_issued_by(yubikeys.intermediate)


@pytest.mark.parametrize("caught_by_attestation", [True, False])
def test_a_lying_card(caught_by_attestation: bool, driver: Driver, yubikeys: Bench) -> None:
    """It shows one key and holds another; tests of Vestry's comparisons need such a card."""
    card = yubikeys.cards["alice"]
    card.lie_about_next_key(attested=caught_by_attestation)
    first = bytes.fromhex(driver.generate(serial=card.serial, slot=SLOT_9C, kind="p256"))
    later = next(o for o in driver.objects(serial=card.serial) if o[:2] == ["PUBLIC_KEY", "02"])
    assert (bytes.fromhex(later[4]) == first) is not caught_by_attestation
    (made,) = driver.sign(serial=card.serial, slot=SLOT_9C, pin=DEFAULT_PIN, mechanism=ECDSA, data=DIGEST.hex())
    raw = bytes.fromhex(made)
    der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    shown = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), first[2:])
    with pytest.raises(InvalidSignature):
        shown.verify(der, b"root", ec.ECDSA(hashes.SHA256()))


def test_a_full_card_keeps_the_key_and_reports_a_failure(driver: Driver, yubikeys: Bench) -> None:
    """The module writes a certificate after it made the key: without room it fails, and the key is there."""
    card = yubikeys.cards["alice"]
    card.change(store_limit=100)
    with pytest.raises(Failed) as caught:
        driver.generate(serial=card.serial, slot=SLOT_9C, kind="p256")
    assert caught.value.name == "DeviceError"
    assert "9c" in card.state()["keys"]


def test_signatures_take_as_long_as_they_are_told(driver: Driver, yubikeys: Bench) -> None:
    """Benchmarks set a card's own time to compare programs fairly."""
    card = yubikeys.cards["alice"]
    card.put_key("9a", "p256")
    card.change(sign_delay_ms=60)
    began = time.monotonic()
    driver.sign(serial=card.serial, slot=SLOT_9A, pin=DEFAULT_PIN, mechanism=ECDSA, data=DIGEST.hex(), times=5)
    assert time.monotonic() - began > 0.3
