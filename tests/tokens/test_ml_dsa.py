"""ML-DSA on a PKCS #11 3.2 token. A mock: no module that runs here makes such keys (SoftHSM from 2.7 on will)."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from devices import refused, verify
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass

from vestry.tokens import encodings, pkcs11_keys
from vestry.tokens.token import KeyKind

MECHANISMS = frozenset({int(Mechanism.ML_DSA_KEY_PAIR_GEN), int(Mechanism.ML_DSA)})
MAKE = {1: mldsa.MLDSA44PrivateKey, 2: mldsa.MLDSA65PrivateKey, 3: mldsa.MLDSA87PrivateKey}


class Object(dict[Attribute, Any]):
    """An object of a token: its attributes."""


class Private(Object):
    """A private half that signs as PKCS #11 3.2 says: pure ML-DSA, the message as given."""

    key: Any

    def sign(self, message: bytes, *, mechanism: Mechanism, pin: str | None) -> bytes:
        assert mechanism == Mechanism.ML_DSA
        return bytes(self.key.sign(message))


class Session:
    """As much of a session as making, reading and signing need."""

    def __init__(self) -> None:
        self.objects: list[Object] = []

    def generate_keypair(self, key_type: KeyType, *, mechanism: Mechanism, id: bytes, label: str, **more: Any) -> None:  # noqa: A002 - python-pkcs11's own
        assert (key_type, mechanism) == (KeyType.ML_DSA, Mechanism.ML_DSA_KEY_PAIR_GEN)
        chosen = more["public_template"][Attribute.PARAMETER_SET]
        key = MAKE[chosen].generate()
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        shared = {Attribute.KEY_TYPE: KeyType.ML_DSA, Attribute.ID: id, Attribute.LABEL: label}
        shared[Attribute.PARAMETER_SET] = chosen
        self.objects.append(Object({**shared, Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.VALUE: raw}))
        private = Private({**shared, Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.SIGN: True})
        private |= {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
        private.key = key
        self.objects.append(private)

    def get_objects(self, wanted: dict[Attribute, Any] | None = None) -> list[Object]:
        return [o for o in self.objects if all(o.get(k) == v for k, v in (wanted or {}).items())]


@pytest.mark.parametrize("scheme", list(encodings.ML_DSA))
def test_a_key_is_made_read_back_and_signs_for_tuf(scheme: str) -> None:
    """The signature is over TAP 21's payload, and TUF's own library verifies it."""
    session: Any = Session()
    place = pkcs11_keys.new_place(session, "root", "token")
    key = pkcs11_keys.generate(session, MECHANISMS, KeyKind(scheme), place, "1", "token")
    assert key.kind == KeyKind(scheme)
    (held,) = pkcs11_keys.held(session, "1", "token")
    verify(key, pkcs11_keys.sign(held, MECHANISMS, scheme, b"root", None), b"root")


def test_a_module_without_it_says_so() -> None:
    """Before anything is made."""
    session: Any = Session()
    with refused("E-TOKEN-MECHANISM"):
        place = pkcs11_keys.new_place(session, "root", "token")
        pkcs11_keys.generate(session, frozenset(), KeyKind("ml-dsa-65/1"), place, "1", "token")


def test_a_public_half_of_another_length_is_refused() -> None:
    """What a token hands out is input."""
    with refused("E-TOKEN-ANSWER"):
        encodings.ml_dsa_spki(2, b"\0" * 100)
    with refused("E-TOKEN-ANSWER"):
        encodings.ml_dsa_spki(9, b"\0" * 1952)
