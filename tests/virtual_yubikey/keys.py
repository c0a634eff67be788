"""The algorithms of the PIV applet: generate, import, show, sign. Algorithms have the numbers they have in commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from virtual_yubikey.tlv import tlv

RSA = {0x06: 1024, 0x07: 2048, 0x05: 3072, 0x16: 4096}
CURVES: dict[int, tuple[Any, Any]] = {0x11: (ec.SECP256R1, hashes.SHA256), 0x14: (ec.SECP384R1, hashes.SHA384)}
ED25519 = 0xE0
NEW_IN_5_7 = {0x05, 0x16, ED25519}
NAMES = {
    0x06: "rsa1024",
    0x07: "rsa2048",
    0x05: "rsa3072",
    0x16: "rsa4096",
    0x11: "p256",
    0x14: "p384",
    0xE0: "ed25519",
}

GENERATED, IMPORTED = 1, 2


@dataclass
class Key:
    """A key in a slot. `shown` is the public half that the card tells of, which a lying card makes another one."""

    algorithm: int
    private: Any
    origin: int
    pin_policy: int
    touch_policy: int
    shown: Any


def generate(algorithm: int) -> Any:
    """A new private key.

    Raises:
        KeyError: no such algorithm.
    """
    if algorithm in RSA:
        return rsa.generate_private_key(65537, RSA[algorithm])
    if algorithm == ED25519:
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(CURVES[algorithm][0]())


def imported(algorithm: int, parts: dict[int, bytes]) -> Any:
    """The private key in the objects of an import command.

    Raises:
        KeyError, ValueError: no such algorithm, parts are missing or make no key.
    """
    if algorithm in RSA:
        p, q = (int.from_bytes(parts[tag], "big") for tag in (1, 2))
        d = pow(65537, -1, (p - 1) * (q - 1))
        numbers = rsa.RSAPrivateNumbers(
            p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(65537, p * q)
        )
        key = numbers.private_key()
        if key.key_size != RSA[algorithm]:
            raise ValueError("a modulus of another length")
        return key
    if algorithm == ED25519:
        return ed25519.Ed25519PrivateKey.from_private_bytes(parts[7])
    return ec.derive_private_key(int.from_bytes(parts[6], "big"), CURVES[algorithm][0]())


def public_template(public: Any) -> bytes:
    """What the card answers to GENERATE, without the outer 7F49."""
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        return tlv(0x81, numbers.n.to_bytes(public.key_size // 8, "big")) + tlv(0x82, numbers.e.to_bytes(3, "big"))
    if isinstance(public, ed25519.Ed25519PublicKey):
        return tlv(0x86, public.public_bytes_raw())
    numbers = public.public_numbers()
    size = (public.curve.key_size + 7) // 8
    return tlv(0x86, b"\x04" + numbers.x.to_bytes(size, "big") + numbers.y.to_bytes(size, "big"))


def sign(key: Key, data: bytes) -> bytes:
    """The private key's operation on `data`: a padded message (RSA), a digest (ECDSA), a whole message (Ed25519).

    Raises:
        ValueError: `data` has a length that the card does not take.
    """
    if key.algorithm in RSA:
        n = key.private.private_numbers()
        number = int.from_bytes(data, "big")
        if len(data) != key.private.key_size // 8 or number >= n.p * n.q:
            raise ValueError("not as long as the modulus")
        left, right = pow(number, n.dmp1, n.p), pow(number, n.dmq1, n.q)
        return (right + (left - right) * n.iqmp % n.p * n.q).to_bytes(len(data), "big")
    if key.algorithm == ED25519:
        return key.private.sign(data)
    digest = CURVES[key.algorithm][1]()
    if len(data) > digest.digest_size:
        raise ValueError("longer than the curve's order")
    return key.private.sign(data.rjust(digest.digest_size, b"\0"), ec.ECDSA(Prehashed(digest)))
