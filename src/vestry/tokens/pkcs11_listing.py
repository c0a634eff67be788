"""What a PKCS #11 token lists beside its signing keys: certificates, all objects, and the keys it could make.

Child processes only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import pkcs11
from pkcs11 import Attribute, Mechanism, ObjectClass
from pkcs11.exceptions import AttributeValueInvalid, PKCS11Error

from vestry.tokens import encodings, pkcs11_keys
from vestry.tokens.token import RSA_BITS, KeyKind, TokenCertificate, TokenObject

_CLASSES: Mapping[ObjectClass, str] = {
    ObjectClass.PRIVATE_KEY: "private key",
    ObjectClass.PUBLIC_KEY: "public key",
    ObjectClass.CERTIFICATE: "certificate",
    ObjectClass.SECRET_KEY: "secret key",
    ObjectClass.DATA: "data",
}


def certificates(session: pkcs11.Session) -> tuple[TokenCertificate, ...]:
    """X.509 certificates that show in `session`, those that a module makes up (attestations) included."""
    found = []
    for item in list(session.get_objects({Attribute.CLASS: ObjectClass.CERTIFICATE})):
        der = pkcs11_keys.read(item, Attribute.VALUE)
        if isinstance(der, bytes) and der:
            found.append(TokenCertificate(pkcs11_keys.label_of(item), pkcs11_keys.identity(item), der))
    return tuple(sorted(found, key=lambda c: (c.id, c.label, c.der)))


def objects(session: pkcs11.Session, device: Callable[[str, bytes], bool]) -> tuple[TokenObject, ...]:
    """All objects of `session`; `device` tells by kind and id which of them belong to the device itself."""
    found, items = [], []
    try:
        items = list(session.get_objects())
    except AttributeValueInvalid:
        # One that a cut left without as much as a class spoils the listing of all: it is told, and the others listed.
        found.append(TokenObject("other", "", b""))
        for kind in _CLASSES:
            items += list(session.get_objects({Attribute.CLASS: kind}))
    for item in items:
        name = _CLASSES.get(pkcs11_keys.read(item, Attribute.CLASS), "other")
        identity = pkcs11_keys.identity(item)
        found.append(
            TokenObject(name, pkcs11_keys.label_of(item), identity, _sha256(item, name), device(name, identity))
        )
    return tuple(sorted(found, key=lambda o: (o.kind, o.label, o.id, o.sha256)))


def _sha256(item: Any, name: str) -> str:
    if name in ("certificate", "data"):
        value = pkcs11_keys.read(item, Attribute.VALUE)
    elif name == "public key":
        value = pkcs11_keys.spki(item)
    else:
        value = None
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) and value else ""


def kinds(slot: pkcs11.Slot) -> tuple[KeyKind, ...]:
    """What the mechanisms and their key sizes say the token can generate and sign with."""
    offered = _Offered(slot)
    found = []
    if offered.has(Mechanism.EC_KEY_PAIR_GEN) and offered.has(Mechanism.ECDSA):
        sizes = {c.curve.key_size: c.scheme for c in encodings.CURVES.values()}
        found += [KeyKind(s) for bits, s in sizes.items() if offered.fits(Mechanism.EC_KEY_PAIR_GEN, bits)]
    if offered.has(Mechanism.EC_EDWARDS_KEY_PAIR_GEN) and offered.has(Mechanism.EDDSA):
        found.append(KeyKind(encodings.ED25519))
    if offered.has(Mechanism.RSA_PKCS_KEY_PAIR_GEN):
        for scheme, whole in pkcs11_keys.PSS_WHOLE.items():
            if offered.has(Mechanism.RSA_PKCS_PSS) or offered.has(whole):
                found += [KeyKind(scheme, b) for b in RSA_BITS if offered.fits(Mechanism.RSA_PKCS_KEY_PAIR_GEN, b)]
    if offered.has(Mechanism.ML_DSA_KEY_PAIR_GEN) and offered.has(Mechanism.ML_DSA):
        found += [KeyKind(scheme) for scheme in encodings.ML_DSA]
    return tuple(found)


class _Offered:
    def __init__(self, slot: pkcs11.Slot) -> None:
        self._slot = slot
        self._all = frozenset(int(m) for m in slot.get_mechanisms())

    def has(self, mechanism: Mechanism) -> bool:
        return int(mechanism) in self._all

    def fits(self, mechanism: Mechanism, bits: int) -> bool:
        """Whether a key of `bits` is within the sizes told; modules that tell none are believed."""
        try:
            info = self._slot.get_mechanism_info(mechanism)
        except (PKCS11Error, ValueError):
            return True
        least, most = info.min_key_length or 0, info.max_key_length or 0
        # RSA sizes are in bits (PKCS #11 2.40, 2.1); some modules give bytes.
        return not most or least <= bits <= most or least <= bits // 8 <= most < 1024
