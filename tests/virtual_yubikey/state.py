"""What a card remembers: settings, PINs and their counters, keys, objects, and the faults that a test asked for."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from virtual_yubikey.authority import Authority, der, placeholder
from virtual_yubikey.keys import GENERATED, IMPORTED, NAMES, Key, generate
from virtual_yubikey.tlv import tlv

DEFAULT_PIN, DEFAULT_PUK = "123456", "12345678"
DEFAULT_MANAGEMENT_KEY = bytes(range(1, 9)) * 3
TRIPLE_DES, AES128, AES192, AES256 = 0x03, 0x08, 0x0A, 0x0C
MANAGEMENT = {"3des": TRIPLE_DES, "aes192": AES192}
ATTESTATION_SLOT, ATTESTATION_OBJECT = 0xF9, 0x5FFF01
_OBJECTS = {0x9A: 0x5FC105, 0x9C: 0x5FC10A, 0x9D: 0x5FC10B, 0x9E: 0x5FC101}
# Never 1, once 2, always 3: what a slot has unless told otherwise is "once".
DEFAULT_PIN_POLICY = {0x9C: 3, 0x9E: 1}
_ATTESTATION_KINDS = {"p256": 0x11, "p384": 0x14, "rsa2048": 0x07}


@dataclass(frozen=True)
class Settings:
    """How a card leaves the factory, and how it behaves.

    Args:
        serial: Its number.
        firmware: ``"4.3.5"``, ``"5.4.3"``, ``"5.7.1"``: what it can do follows from it.
        management: ``"3des"`` or ``"aes192"`` for the management key; empty is what the firmware has.
        touch_after_ms: It is touched so long after it begins to wait; None: only when a test touches it.
        touch_limit_ms: After so long untouched it refuses.
        sign_delay_ms: Each signature takes so much longer.
        generate_delay_ms: Each new key takes so much longer.
        store_limit: Bytes for all objects (certificates, mostly) together; beyond, it answers "no room".
        attestation: Kind of the key in slot F9.
        genuine: Whether the authority that tests trust issued its F9 certificate, or another of the same names.
        form_factor: As in attestation certificates: 1 is a USB-A keychain.
    """

    serial: int = 10_000_001
    firmware: str = "5.4.3"
    management: str = ""
    touch_after_ms: int | None = 0
    touch_limit_ms: int = 15_000
    sign_delay_ms: int = 0
    generate_delay_ms: int = 0
    store_limit: int = 51_200
    attestation: str = "p256"
    genuine: bool = True
    form_factor: int = 1

    @property
    def version(self) -> bytes:
        """The firmware in three bytes."""
        return bytes(int(part) for part in self.firmware.split("."))

    @property
    def management_algorithm(self) -> int:
        """Of the management key a new card has: 3DES before firmware 5.7, then AES-192."""
        return MANAGEMENT[self.management or ("aes192" if self.version >= bytes((5, 7, 0)) else "3des")]


@dataclass
class Secret:
    """A PIN or PUK and its counter."""

    value: bytes
    default: bytes
    tries: int = 3
    left: int = 3

    def check(self, given: bytes) -> bool:
        """One try."""
        if self.left == 0:
            return False
        if given == self.value:
            self.left = self.tries
            return True
        self.left -= 1
        return False


def padded(text: str) -> bytes:
    """A PIN as the card gets it."""
    return text.encode().ljust(8, b"\xff")


@dataclass
class State:
    """All of one card; it outlives removal. `log` holds the instruction bytes of the PIV applet's commands."""

    settings: Settings
    issuer: Authority
    pin: Secret = field(init=False)
    puk: Secret = field(init=False)
    management_key: bytes = DEFAULT_MANAGEMENT_KEY
    management_algorithm: int = TRIPLE_DES
    keys: dict[int, Key] = field(default_factory=dict)
    objects: dict[int, bytes] = field(default_factory=dict)
    signatures: int = 0
    log: list[int] = field(default_factory=list)
    # What the next signature does: "" as it should, "wrong", "remove", "remove-after".
    next_signature: str = ""
    # What the next generated key does: "" as it should; "attested" and "imported" show another's public half.
    other_public_key: str = ""
    touched: threading.Event = field(default_factory=threading.Event)
    removed: threading.Event = field(default_factory=threading.Event)
    waiting: bool = False
    touch_cached_until: float = 0.0

    def __post_init__(self) -> None:
        algorithm = _ATTESTATION_KINDS[self.settings.attestation]
        private = generate(algorithm)
        certificate = self.issuer.card_certificate(private.public_key(), self.settings.version)
        self._attestation = Key(algorithm, private, 1, 1, 1, private.public_key()), certificate
        self.reset()

    def reset(self) -> None:
        """As it left the factory; the attestation key stays."""
        key, certificate = self._attestation
        self.pin = Secret(padded(DEFAULT_PIN), padded(DEFAULT_PIN))
        self.puk = Secret(padded(DEFAULT_PUK), padded(DEFAULT_PUK))
        self.management_key = DEFAULT_MANAGEMENT_KEY
        self.management_algorithm = self.settings.management_algorithm
        self.keys = {ATTESTATION_SLOT: self.keys.get(ATTESTATION_SLOT, key)}
        kept = self.objects.get(ATTESTATION_OBJECT, stored(certificate))
        self.objects = {ATTESTATION_OBJECT: kept}

    def put_key(
        self,
        slot: int,
        kind: str,
        *,
        imported: bool = False,
        pin_policy: int = 0,
        touch_policy: int = 0,
        certificate: bool = True,
    ) -> bytes:
        """A key put here as if generated or imported, with the placeholder certificate that tools write; its SPKI."""
        algorithm = {name: number for number, name in NAMES.items()}[kind]
        private = generate(algorithm)
        public = private.public_key()
        origin = IMPORTED if imported else GENERATED
        pin, touch = pin_policy or DEFAULT_PIN_POLICY.get(slot, 2), touch_policy or 1
        self.keys[slot] = Key(algorithm, private, origin, pin, touch, public)
        if certificate:
            self.objects[certificate_object(slot)] = stored(placeholder(private))
        return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def room_for(self, tag: int, data: bytes) -> bool:
        """Whether the object `tag` may become `data`."""
        others = sum(len(v) for t, v in self.objects.items() if t not in {tag, ATTESTATION_OBJECT})
        return others + len(data) <= self.settings.store_limit

    def described(self) -> dict[str, Any]:
        """For tests."""
        return {
            "serial": self.settings.serial,
            "pin_left": self.pin.left,
            "puk_left": self.puk.left,
            "signatures": self.signatures,
            "waiting": self.waiting,
            "keys": {f"{slot:02x}": key.algorithm for slot, key in self.keys.items() if slot != ATTESTATION_SLOT},
            "objects": {f"{tag:06x}": len(data) for tag, data in self.objects.items()},
            "log": list(self.log),
        }


def certificate_object(slot: int) -> int:
    """The tag of the certificate that belongs to a slot."""
    return _OBJECTS[slot] if slot in _OBJECTS else 0x5FC10D + slot - 0x82


def stored(certificate: x509.Certificate) -> bytes:
    """A certificate as PIV stores it: 70 the certificate, 71 not compressed, FE no checksum."""
    return tlv(0x70, der(certificate)) + tlv(0x71, b"\0") + tlv(0xFE, b"")
