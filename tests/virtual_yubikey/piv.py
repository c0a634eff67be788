"""The PIV applet: NIST SP 800-73-4 part 2 section 3, and Yubico's own commands."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from virtual_yubikey import keys
from virtual_yubikey.authority import der, key_certificate
from virtual_yubikey.keys import GENERATED, IMPORTED, Key
from virtual_yubikey.state import (
    AES128,
    AES192,
    AES256,
    ATTESTATION_OBJECT,
    ATTESTATION_SLOT,
    DEFAULT_MANAGEMENT_KEY,
    DEFAULT_PIN_POLICY,
    TRIPLE_DES,
    Secret,
    State,
)
from virtual_yubikey.tlv import parsed, tlv

AID = bytes.fromhex("a000000308")
_FULL_AID = bytes.fromhex("a000000308000010000100")

SECURITY, BLOCKED, CONDITIONS, WRONG_DATA, NO_ROOM = 0x6982, 0x6983, 0x6985, 0x6A80, 0x6A84
NO_OBJECT, NO_REFERENCE, WRONG_P, NO_INSTRUCTION = 0x6A82, 0x6A88, 0x6B00, 0x6D00

NEVER, ONCE, ALWAYS = 1, 2, 3
TOUCH_NEVER, TOUCH_CACHED = 1, 3
_TOUCH_CACHE_SECONDS = 15.0
_MANAGEMENT = 0x9B
_SLOTS = {0x9A, 0x9C, 0x9D, 0x9E, ATTESTATION_SLOT, *range(0x82, 0x96)}
_LARGEST_OBJECT = 3063
_DISCOVERY = 0x7E
_NEEDS_PIN = {0x5FC103, 0x5FC108, 0x5FC109, 0x5FC121}
_KEY_LENGTHS = {TRIPLE_DES: 24, AES128: 16, AES192: 24, AES256: 32}
_MOVE_SINCE, _METADATA_SINCE, _SERIAL_SINCE, _AES_SINCE, _NEW_KEYS_SINCE = (
    bytes(v) for v in ((5, 7, 0), (5, 3, 0), (5, 0, 0), (5, 4, 0), (5, 7, 0))
)


class Status(Exception):
    """An answer that is not 9000."""

    def __init__(self, word: int) -> None:
        super().__init__(f"{word:04x}")
        self.word = word


class Removed(Exception):
    """The card leaves the reader in the midst of a command."""


class Piv:
    """The applet from selection to the loss of power: what is verified now, over the lasting `State`."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._verified = self._fresh = self._managed = False
        self._challenge = b""
        self._commands: dict[int, Callable[[int, int, bytes], bytes]] = {
            0x20: self._verify,
            0x24: self._change,
            0x2C: self._unblock,
            0x47: self._generate,
            0x87: self._authenticate,
            0xCB: self._get_object,
            0xDB: self._put_object,
            0xF6: self._move,
            0xF7: self._metadata,
            0xF8: self._serial,
            0xF9: self._attest,
            0xFA: self._set_tries,
            0xFB: self._reset,
            0xFD: lambda _p1, _p2, _data: self._state.settings.version,
            0xFE: self._import,
            0xFF: self._set_management_key,
        }

    def select(self) -> bytes:
        """The application property template."""
        return tlv(0x61, tlv(0x4F, _FULL_AID[5:]) + tlv(0x79, tlv(0x4F, AID)))

    def command(self, ins: int, p1: int, p2: int, data: bytes) -> bytes:
        """Do one command.

        Raises:
            Status: an answer other than 9000.
            Removed: no answer at all.
        """
        self._state.log.append(ins)
        if ins not in self._commands:
            raise Status(NO_INSTRUCTION)
        try:
            return self._commands[ins](p1, p2, data)
        except (ValueError, KeyError, IndexError) as error:
            raise Status(WRONG_DATA) from error

    # PIN and PUK

    def _verify(self, p1: int, p2: int, data: bytes) -> bytes:
        if p2 != 0x80 or p1 not in {0, 0xFF}:
            raise Status(NO_REFERENCE)
        if p1 == 0xFF:
            self._verified = self._fresh = False
            return b""
        pin = self._state.pin
        if not data:
            if self._verified:
                return b""
            raise Status(0x63C0 | pin.left if pin.left else BLOCKED)
        self._verified = self._fresh = False
        self._try(pin, data)
        self._verified = self._fresh = True
        return b""

    def _try(self, secret: Secret, given: bytes) -> None:
        if len(given) != 8:
            raise Status(WRONG_DATA)
        if secret.left == 0:
            raise Status(BLOCKED)
        if not secret.check(given):
            raise Status(0x63C0 | secret.left if secret.left else BLOCKED)

    def _change(self, _p1: int, p2: int, data: bytes) -> bytes:
        secret = {0x80: self._state.pin, 0x81: self._state.puk}.get(p2)
        if secret is None or len(data) != 16:
            raise Status(WRONG_DATA)
        self._try(secret, data[:8])
        secret.value = data[8:]
        return b""

    def _unblock(self, _p1: int, p2: int, data: bytes) -> bytes:
        if p2 != 0x80 or len(data) != 16:
            raise Status(WRONG_DATA)
        self._try(self._state.puk, data[:8])
        pin = self._state.pin
        pin.value, pin.left = data[8:], pin.tries
        return b""

    def _set_tries(self, p1: int, p2: int, _data: bytes) -> bytes:
        if not (self._managed and self._verified):
            raise Status(SECURITY)
        for secret, tries in ((self._state.pin, p1), (self._state.puk, p2)):
            secret.tries = secret.left = tries or 1
            secret.value = secret.default
        return b""

    def _reset(self, _p1: int, _p2: int, _data: bytes) -> bytes:
        if self._state.pin.left or self._state.puk.left:
            raise Status(CONDITIONS)
        self._state.reset()
        self._verified = self._fresh = self._managed = False
        return b""

    # The management key

    def _cipher(self) -> Any:
        key = self._state.management_key
        kind = TripleDES if self._state.management_algorithm == TRIPLE_DES else algorithms.AES
        return Cipher(kind(key), modes.ECB())

    def _manage(self, algorithm: int, parts: dict[int, bytes]) -> bytes:
        if algorithm not in {0, self._state.management_algorithm}:
            raise Status(WRONG_DATA)
        cipher = self._cipher()
        block = 8 if self._state.management_algorithm == TRIPLE_DES else 16
        known, self._challenge = self._challenge, b""
        if 0x80 in parts and not parts[0x80]:
            self._challenge = secrets.token_bytes(block)
            witness = cipher.encryptor().update(self._challenge)
            return tlv(0x7C, tlv(0x80, witness))
        if 0x81 in parts and not parts[0x81]:
            # The card keeps the answer that it expects.
            plain = secrets.token_bytes(block)
            self._challenge = cipher.encryptor().update(plain)
            return tlv(0x7C, tlv(0x81, plain))
        given = parts.get(0x80) or parts.get(0x82) or b""
        if not known or given != known:
            raise Status(SECURITY)
        self._managed = True
        if parts.get(0x81):
            return tlv(0x7C, tlv(0x82, cipher.encryptor().update(parts[0x81])))
        return b""

    def _set_management_key(self, p1: int, p2: int, data: bytes) -> bytes:
        self._need_management()
        algorithm, slot, size = data[0], data[1], data[2]
        if p1 != 0xFF or p2 not in {0xFF, 0xFE, 0xFD} or slot != _MANAGEMENT or size != len(data) - 3:
            raise Status(WRONG_DATA)
        if _KEY_LENGTHS.get(algorithm) != size or (algorithm != TRIPLE_DES and self._before(_AES_SINCE)):
            raise Status(WRONG_DATA)
        self._state.management_algorithm, self._state.management_key = algorithm, data[3:]
        return b""

    def _need_management(self) -> None:
        if not self._managed:
            raise Status(SECURITY)

    # Keys

    def _policies(self, slot: int, parts: dict[int, bytes]) -> tuple[int, int]:
        pin = parts.get(0xAA, b"\0")[0] or DEFAULT_PIN_POLICY.get(slot, ONCE)
        touch = parts.get(0xAB, b"\0")[0] or TOUCH_NEVER
        if pin > ALWAYS or touch > TOUCH_CACHED:
            raise Status(WRONG_DATA)
        return pin, touch

    def _put_key(self, slot: int, algorithm: int, private: Any, origin: int, parts: dict[int, bytes]) -> Key:
        public = private.public_key()
        pin, touch = self._policies(slot, parts)
        key = self._state.keys[slot] = Key(algorithm, private, origin, pin, touch, public)
        return key

    def _checked(self, slot: int, algorithm: int) -> None:
        self._need_management()
        if slot not in _SLOTS:
            raise Status(WRONG_P)
        if algorithm not in keys.NAMES or (algorithm in keys.NEW_IN_5_7 and self._before(_NEW_KEYS_SINCE)):
            raise Status(WRONG_DATA)

    def _generate(self, _p1: int, slot: int, data: bytes) -> bytes:
        parts = parsed(parsed(data)[0xAC])
        (algorithm,) = parts[0x80]
        self._checked(slot, algorithm)
        time.sleep(self._state.settings.generate_delay_ms / 1000)
        lie, self._state.other_public_key = self._state.other_public_key, ""
        origin = IMPORTED if lie == "imported" else GENERATED
        key = self._put_key(slot, algorithm, keys.generate(algorithm), origin, parts)
        if lie:
            key.shown = keys.generate(algorithm).public_key()
        return tlv(0x7F49, keys.public_template(key.shown))

    def _import(self, algorithm: int, slot: int, data: bytes) -> bytes:
        self._checked(slot, algorithm)
        parts = parsed(data)
        self._put_key(slot, algorithm, keys.imported(algorithm, parts), IMPORTED, parts)
        return b""

    def _move(self, target: int, source: int, _data: bytes) -> bytes:
        if self._before(_MOVE_SINCE):
            raise Status(NO_INSTRUCTION)
        self._need_management()
        if source not in self._state.keys:
            raise Status(NO_REFERENCE)
        key = self._state.keys.pop(source)
        if target != 0xFF:
            self._state.keys[target] = key
        return b""

    def _authenticate(self, algorithm: int, slot: int, data: bytes) -> bytes:
        parts = parsed(parsed(data)[0x7C])
        if slot == _MANAGEMENT:
            return self._manage(algorithm, parts)
        key = self._state.keys.get(slot)
        if key is None or slot == ATTESTATION_SLOT:
            raise Status(NO_REFERENCE)
        if key.algorithm != algorithm:
            raise Status(WRONG_DATA)
        if key.pin_policy != NEVER and not (self._fresh if key.pin_policy == ALWAYS else self._verified):
            raise Status(SECURITY)
        self._fresh = False
        if 0x85 in parts:
            self._wait_for_touch(key)
            curve = key.private.curve
            shared = key.private.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(curve, parts[0x85]))
            return tlv(0x7C, tlv(0x82, shared))
        return tlv(0x7C, tlv(0x82, self._signature(key, parts[0x81])))

    def _signature(self, key: Key, message: bytes) -> bytes:
        mode, self._state.next_signature = self._state.next_signature, ""
        if mode == "remove":
            raise Removed
        self._wait_for_touch(key)
        time.sleep(self._state.settings.sign_delay_ms / 1000)
        if mode == "wrong":
            message = message[:-1] + bytes([message[-1] ^ 1])
        signature = keys.sign(key, message)
        self._state.signatures += 1
        if mode == "remove-after":
            raise Removed
        return signature

    def _wait_for_touch(self, key: Key) -> None:
        state, settings = self._state, self._state.settings
        if key.touch_policy == TOUCH_NEVER:
            return
        if key.touch_policy == TOUCH_CACHED and time.monotonic() < state.touch_cached_until:
            return
        state.touched.clear()
        state.waiting = True
        limit, comes = settings.touch_limit_ms / 1000, settings.touch_after_ms
        by_itself = comes is not None and comes / 1000 <= limit
        try:
            touched = state.touched.wait(limit if comes is None or not by_itself else comes / 1000)
        finally:
            state.waiting = False
        if state.removed.is_set():
            raise Removed
        if not touched and not by_itself:
            raise Status(SECURITY)
        state.touch_cached_until = time.monotonic() + _TOUCH_CACHE_SECONDS

    def _attest(self, slot: int, _p2: int, _data: bytes) -> bytes:
        key = self._state.keys.get(slot)
        signer = self._state.keys[ATTESTATION_SLOT]
        if key is None or key.origin != GENERATED or slot == ATTESTATION_SLOT:
            raise Status(WRONG_DATA)
        issuer = x509.load_der_x509_certificate(parsed(self._state.objects[ATTESTATION_OBJECT])[0x70])
        settings = self._state.settings
        serial = settings.serial
        extensions = {
            3: settings.version,
            7: tlv(0x02, serial.to_bytes(serial.bit_length() // 8 + 1, "big")),
            8: bytes((key.pin_policy, key.touch_policy)),
            9: bytes((settings.form_factor,)),
        }
        # From the key itself, whatever the card shows elsewhere: so a swapped public key is found out.
        return der(key_certificate(slot, key.private.public_key(), issuer, signer.private, extensions))

    # What it tells

    def _before(self, version: bytes) -> bool:
        return self._state.settings.version < version

    def _serial(self, _p1: int, _p2: int, _data: bytes) -> bytes:
        if self._before(_SERIAL_SINCE):
            raise Status(NO_INSTRUCTION)
        return self._state.settings.serial.to_bytes(4, "big")

    def _metadata(self, _p1: int, slot: int, _data: bytes) -> bytes:
        if self._before(_METADATA_SINCE):
            raise Status(NO_INSTRUCTION)
        secret = {0x80: self._state.pin, 0x81: self._state.puk}.get(slot)
        if secret is not None:
            default = bytes((secret.value == secret.default,))
            return tlv(1, b"\xff") + tlv(5, default) + tlv(6, bytes((secret.tries, secret.left)))
        if slot == _MANAGEMENT:
            default = bytes((self._state.management_key == DEFAULT_MANAGEMENT_KEY,))
            return tlv(1, bytes((self._state.management_algorithm,))) + tlv(2, bytes((0, 1))) + tlv(5, default)
        key = self._state.keys.get(slot)
        if key is None:
            raise Status(NO_REFERENCE)
        return (
            tlv(1, bytes((key.algorithm,)))
            + tlv(2, bytes((key.pin_policy, key.touch_policy)))
            + tlv(3, bytes((key.origin,)))
            + tlv(4, keys.public_template(key.shown))
        )

    # Objects

    def _get_object(self, p1: int, p2: int, data: bytes) -> bytes:
        if (p1, p2) != (0x3F, 0xFF):
            raise Status(WRONG_P)
        tag = int.from_bytes(parsed(data)[0x5C], "big")
        if tag == _DISCOVERY:
            return tlv(_DISCOVERY, tlv(0x4F, _FULL_AID) + tlv(0x5F2F, b"\x40\x00"))
        if tag in _NEEDS_PIN and not self._verified:
            raise Status(SECURITY)
        if tag not in self._state.objects:
            raise Status(NO_OBJECT)
        return tlv(0x53, self._state.objects[tag])

    def _put_object(self, p1: int, p2: int, data: bytes) -> bytes:
        self._need_management()
        parts = parsed(data)
        if (p1, p2) != (0x3F, 0xFF):
            raise Status(WRONG_P)
        tag, value = int.from_bytes(parts[0x5C], "big"), parts[0x53]
        if len(value) > _LARGEST_OBJECT or not self._state.room_for(tag, value):
            raise Status(NO_ROOM)
        if value:
            self._state.objects[tag] = value
        else:
            self._state.objects.pop(tag, None)
        return b""
