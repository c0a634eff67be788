"""The applet by its commands alone, where no tool in Debian goes: newer firmware, refusals, limits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from virtual_yubikey.authority import Authority
from virtual_yubikey.card import Card
from virtual_yubikey.state import DEFAULT_MANAGEMENT_KEY, Settings, State, padded
from virtual_yubikey.tlv import parsed, tlv

SELECT = bytes.fromhex("00a4040005a000000308")
OK = 0x9000
PIN, WRONG = padded("123456"), padded("000000")


def command(card: Card, ins: int, p1: int, p2: int, data: bytes = b"") -> tuple[int, bytes]:
    """In extended form, so that the answer comes whole; status word and data."""
    body = b"\0" + len(data).to_bytes(2, "big") + data if data else b"\0"
    answer = card.answer(bytes((0, ins, p1, p2)) + body + b"\0\0")
    return int.from_bytes(answer[-2:], "big"), answer[:-2]


def powered(**settings: object) -> tuple[Card, State]:
    """A card with its PIV applet selected."""
    state = State(Settings(**settings), Authority("Test"))  # type: ignore[arg-type]
    card = Card(state)
    assert card.answer(SELECT)[-2:] == b"\x90\x00"
    return card, state


def manage(card: Card, algorithm: int) -> int:
    """Authenticate with the management key of the factory, AES-192 or 3DES; the last status word."""
    status, answer = command(card, 0x87, algorithm, 0x9B, tlv(0x7C, tlv(0x81, b"")))
    if status != OK:
        return status
    kind = TripleDES if algorithm == 3 else algorithms.AES
    plain = parsed(parsed(answer)[0x7C])[0x81]
    secret = Cipher(kind(DEFAULT_MANAGEMENT_KEY), modes.ECB()).encryptor().update(plain)
    return command(card, 0x87, algorithm, 0x9B, tlv(0x7C, tlv(0x82, secret)))[0]


def generate(card: Card, slot: int, algorithm: int, *policies: bytes) -> tuple[int, bytes]:
    return command(card, 0x47, 0, slot, tlv(0xAC, tlv(0x80, bytes((algorithm,))) + b"".join(policies)))


def sign(card: Card, slot: int, algorithm: int, data: bytes) -> tuple[int, bytes]:
    status, answer = command(card, 0x87, algorithm, slot, tlv(0x7C, tlv(0x82, b"") + tlv(0x81, data)))
    return status, parsed(parsed(answer)[0x7C])[0x82] if status == OK else b""


def test_firmware_5_7_makes_what_older_does_not() -> None:
    """RSA 3072, RSA 4096 and Ed25519 begin with 5.7.0, and so does an AES management key by default."""
    old, _ = powered(firmware="5.4.3")
    assert manage(old, 3) == OK
    assert generate(old, 0x9A, 0xE0)[0] == 0x6A80
    new, state = powered(firmware="5.7.1")
    assert manage(new, 3) == 0x6A80
    assert manage(new, 0x0A) == OK
    status, answer = generate(new, 0x9A, 0xE0)
    assert status == OK
    public = ed25519.Ed25519PublicKey.from_public_bytes(parsed(parsed(answer)[0x7F49])[0x86])
    assert command(new, 0x20, 0, 0x80, PIN)[0] == OK
    status, signature = sign(new, 0x9A, 0xE0, b"whole message" * 100)
    public.verify(signature, b"whole message" * 100)
    status, answer = generate(new, 0x9D, 0x05)
    assert status == OK
    assert len(parsed(parsed(answer)[0x7F49])[0x81]) == 384
    assert isinstance(state.keys[0x9D].private, rsa.RSAPrivateKey)


def test_metadata_and_moving_begin_with_their_firmware() -> None:
    """A tool that asks an old card must be told that it has no such command."""
    old, state = powered(firmware="4.3.5")
    state.put_key(0x9A, "p256")
    assert command(old, 0xF7, 0, 0x9A)[0] == 0x6D00
    assert command(old, 0xF8, 0, 0)[0] == 0x6D00
    new, state = powered(firmware="5.7.1")
    state.put_key(0x9A, "p256", imported=True)
    status, answer = command(new, 0xF7, 0, 0x9A)
    assert (status, parsed(answer)[1], parsed(answer)[2], parsed(answer)[3]) == (OK, b"\x11", b"\2\1", b"\2")
    assert command(new, 0xF6, 0xFF, 0x9A)[0] == 0x6982
    assert manage(new, 0x0A) == OK
    assert command(new, 0xF6, 0xFF, 0x9A)[0] == OK
    assert command(new, 0xF7, 0, 0x9A)[0] == 0x6A88


def test_a_reset_wants_pin_and_puk_locked() -> None:
    """A reset that goes at once would let a test pass that forgets to lock them."""
    card, state = powered()
    state.put_key(0x9A, "p256")
    assert command(card, 0xFB, 0, 0)[0] == 0x6985
    assert [command(card, 0x20, 0, 0x80, WRONG)[0] for _ in range(4)] == [0x63C2, 0x63C1, 0x6983, 0x6983]
    assert [command(card, 0x2C, 0, 0x80, WRONG + PIN)[0] for _ in range(3)] == [0x63C2, 0x63C1, 0x6983]
    assert command(card, 0xFB, 0, 0)[0] == OK
    assert (state.pin.left, state.puk.left) == (3, 3)
    assert set(state.keys) == {0xF9}
    assert command(card, 0xF9, 0xF9, 0)[0] == 0x6A80


def test_pin_policies() -> None:
    """Never, once and always differ in the second signature and in the first."""
    card, state = powered()
    for slot, policy in ((0x9A, 1), (0x9D, 2), (0x9E, 3)):
        state.put_key(slot, "p256", pin_policy=policy)
    slots = (0x9A, 0x9D, 0x9E)
    assert [sign(card, slot, 0x11, bytes(32))[0] for slot in slots] == [OK, 0x6982, 0x6982]
    assert command(card, 0x20, 0, 0x80, PIN)[0] == OK
    assert sign(card, 0x9E, 0x11, bytes(32))[0] == OK
    assert [sign(card, slot, 0x11, bytes(32))[0] for slot in slots] == [OK, OK, 0x6982]


def test_touch_policies() -> None:
    """A touch counts once, or for fifteen seconds; without one the card gives up after its time."""
    card, state = powered(touch_after_ms=None, touch_limit_ms=20)
    for slot, policy in ((0x9A, 2), (0x9D, 3)):
        state.put_key(slot, "p256", pin_policy=1, touch_policy=policy)
    assert [sign(card, slot, 0x11, bytes(32))[0] for slot in (0x9A, 0x9D)] == [0x6982, 0x6982]
    state.settings = replace(state.settings, touch_after_ms=1)
    assert sign(card, 0x9D, 0x11, bytes(32))[0] == OK
    state.settings = replace(state.settings, touch_after_ms=None)
    assert [sign(card, slot, 0x11, bytes(32))[0] for slot in (0x9A, 0x9D)] == [0x6982, OK]


@pytest.mark.parametrize("attestation", ["p256", "p384", "rsa2048"])
def test_attestation_by_each_kind_of_key(attestation: str) -> None:
    """Cards of different years sign attestations with different keys; an RSA one is what most have."""
    card, state = powered(attestation=attestation)
    state.put_key(0x9C, "p384")
    status, answer = command(card, 0xF9, 0x9C, 0)
    assert status == OK
    leaf = x509.load_der_x509_certificate(answer)
    status, answer = command(card, 0xCB, 0x3F, 0xFF, tlv(0x5C, b"\x5f\xff\x01"))
    device = x509.load_der_x509_certificate(parsed(parsed(answer)[0x53])[0x70])
    leaf.verify_directly_issued_by(device)
    device.verify_directly_issued_by(state.issuer.intermediate)


def test_nothing_is_made_or_stored_without_the_management_key() -> None:
    """A card that generates for anyone would hide a missing login."""
    card, state = powered()
    assert generate(card, 0x9A, 0x11)[0] == 0x6982
    assert command(card, 0xDB, 0x3F, 0xFF, tlv(0x5C, b"\x5f\xc1\x05") + tlv(0x53, b"x"))[0] == 0x6982
    wrong = tlv(0x7C, tlv(0x82, bytes(8)))
    assert command(card, 0x87, 3, 0x9B, tlv(0x7C, tlv(0x81, b"")))[0] == OK
    assert command(card, 0x87, 3, 0x9B, wrong)[0] == 0x6982
    assert set(state.keys) == {0xF9}


def test_a_store_has_an_end() -> None:
    """Objects up to the limit are kept, one more is refused, and room comes back with what is deleted."""
    card, _ = powered(store_limit=3000)
    assert manage(card, 3) == OK

    def put(last: int, size: int) -> int:
        return command(card, 0xDB, 0x3F, 0xFF, tlv(0x5C, bytes((0x5F, 0xC1, last))) + tlv(0x53, bytes(size)))[0]

    assert [put(5, 2000), put(10, 2000), put(5, 0), put(10, 2000)] == [OK, 0x6A84, OK, OK]
    status, answer = command(card, 0xCB, 0x3F, 0xFF, tlv(0x5C, b"\x5f\xc1\x0a"))
    assert (status, len(parsed(answer)[0x53])) == (OK, 2000)


def test_chained_commands_and_answers_in_pieces() -> None:
    """Every tool here sends long data in pieces of 255 bytes and fetches answers by GET RESPONSE."""
    card, _ = powered()
    assert manage(card, 3) == OK
    body = tlv(0x5C, b"\x5f\xc1\x05") + tlv(0x53, bytes(range(256)) * 2)
    pieces = [body[at : at + 200] for at in range(0, len(body), 200)]
    for number, piece in enumerate(pieces):
        cla = 0x10 if number < len(pieces) - 1 else 0
        assert card.answer(bytes((cla, 0xDB, 0x3F, 0xFF, len(piece))) + piece) == b"\x90\x00"
    answer = card.answer(bytes.fromhex("00cb3fff055c035fc10500"))
    whole = answer[:-2]
    while answer[-2] == 0x61:
        answer = card.answer(b"\x00\xc0\x00\x00\x00")
        whole += answer[:-2]
    assert parsed(whole)[0x53] == bytes(range(256)) * 2


@pytest.mark.parametrize("bad", ["00", "00a404", "0020008008aa", "00870000027c05", "004700990bac09800111aa0109ab0101"])
def test_broken_commands_get_a_status(bad: str) -> None:
    """A card that dies of a bad command would look like one that was pulled out."""
    card, _ = powered()
    assert len(card.answer(bytes.fromhex(bad))) == 2


def test_an_imported_key_signs_and_is_not_attested() -> None:
    """Import takes the number itself; the card must sign with that very key."""
    card, _ = powered()
    assert manage(card, 3) == OK
    private = ec.generate_private_key(ec.SECP256R1())
    number = private.private_numbers().private_value.to_bytes(32, "big")
    assert command(card, 0xFE, 0x11, 0x9E, tlv(0x06, number))[0] == OK
    _, signature = sign(card, 0x9E, 0x11, bytes(32))
    private.public_key().verify(signature, bytes(32), ec.ECDSA(Prehashed(hashes.SHA256())))
    assert command(card, 0xF9, 0x9E, 0)[0] == 0x6A80
