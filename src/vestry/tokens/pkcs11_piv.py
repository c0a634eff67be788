"""YubiKeys through Yubico's own module (ykcs11), where PIV differs from what PKCS #11 expects. Child processes only.

PIV (NIST SP 800-73) knows a PIN and a PUK, both of 6 to 8 characters, and a management key that is needed to make keys.
ykcs11 takes the management key, in hex, for the security officer's PIN; C_InitToken wants the old one, resets the PIV
application to the factory's PIN, PUK and key, and then sets that old management key again. Keys live in slots, which
show as CKA_ID.
"""

from __future__ import annotations

import secrets

import pkcs11
from pkcs11 import Attribute, ObjectClass
from pkcs11.exceptions import PKCS11Error

from vestry.errors import TokenTrouble
from vestry.text import printable
from vestry.tokens import pkcs11_keys
from vestry.tokens.cryptoki import OK, PIN_INCORRECT, Cryptoki
from vestry.tokens.pkcs11_keys import Place

PIN_LEAST, PIN_MOST = 6, 8
FACTORY_PIN, FACTORY_PUK = "123456", "12345678"
FACTORY_MANAGEMENT_KEY = "010203040506070801020304050607080102030405060708"
# The maker's attestation key and its certificate, in slot F9; no reset removes them.
_DEVICE_IDS = frozenset({b"\x19"})
# 9C first: it asks for the PIN at each signature. Then 9A and 9D, and the retired slots 82 to 95; never 9E, which
# asks for no PIN at all.
_SLOTS = (2, 1, 3, *range(5, 25))
_MANAGEMENT_KEY_BYTES = 24


def is_piv(token: pkcs11.Token) -> bool:
    """Whether it is a YubiKey's PIV application as ykcs11 shows it."""
    return token.manufacturer_id.startswith("Yubico") and token.model.startswith("YubiKey")


def device_ids(token: pkcs11.Token) -> frozenset[bytes]:
    """Ids of objects that belong to the device itself."""
    return _DEVICE_IDS if is_piv(token) else frozenset()


def reset(raw: Cryptoki, token: pkcs11.Token, label: bytes) -> None:
    """Reset the PIV application: keys, certificates, PIN, PUK and management key are as from the factory.

    Raises:
        TokenTrouble: E-TOKEN-INIT: its management key is another one, so only its maker's tool resets it.
    """
    returned = raw.init_token(token.slot.slot_id, FACTORY_MANAGEMENT_KEY.encode(), label)
    if returned == PIN_INCORRECT:
        raise TokenTrouble(
            "this YubiKey has a management key of its own (or one that this ykcs11 is too old for); nothing was erased",
            where=where_of(token),
            do="reset its PIV application with 'ykman piv reset', then go on (firmware 5.7 wants ykcs11 2.3 or later)",
            code="E-TOKEN-INIT",
        )
    if returned != OK:
        raise TokenTrouble(
            f"the YubiKey's PIV application was not reset (CKR {returned:#x})",
            where=where_of(token),
            do="reset it with 'ykman piv reset', then go on",
            code="E-TOKEN-INIT",
            unknown=True,
        )


def personalise(token: pkcs11.Token, pin: str, puk: str) -> str:
    """Set PIN, PUK and a random management key in place of the factory's. Returns the management key, in hex."""
    management_key = secrets.token_hex(_MANAGEMENT_KEY_BYTES)
    session = token.open(rw=True, so_pin=FACTORY_MANAGEMENT_KEY)
    try:
        session.set_pin(FACTORY_MANAGEMENT_KEY, management_key)
    finally:
        session.close()
    session = token.open(rw=True)
    try:
        session.set_pin(f"puk:{FACTORY_PUK}", f"puk:{puk}")
        session.set_pin(FACTORY_PIN, pin)
    finally:
        session.close()
    return management_key


def check_secret(name: str, secret: bytes, where: str) -> None:
    """Refuse a PIN or PUK that PIV can't take.

    Raises:
        TokenTrouble: E-PIN-LENGTH; no try was used.
    """
    if not PIN_LEAST <= len(secret) <= PIN_MOST:
        raise TokenTrouble(
            f"the {name} of a YubiKey has {PIN_LEAST} to {PIN_MOST} characters; no try was used",
            where=where,
            do="use another",
            code="E-PIN-LENGTH",
        )


def free_place(session: pkcs11.Session, token: pkcs11.Token) -> Place:
    """The next free slot for a key.

    Raises:
        TokenTrouble: E-TOKEN-FULL.
    """
    wanted = (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY)
    taken = {
        pkcs11_keys.identity(item) for kind in wanted for item in list(session.get_objects({Attribute.CLASS: kind}))
    }
    for slot in _SLOTS:
        if bytes((slot,)) not in taken:
            return Place(bytes((slot,)), "", piv=True)
    raise TokenTrouble(
        "all slots of this YubiKey hold a key",
        where=where_of(token),
        do="use another token, or reset this one",
        code="E-TOKEN-FULL",
    )


def officer_session(token: pkcs11.Token, management_key: str | None) -> pkcs11.Session:
    """A session that may make keys.

    Raises:
        TokenTrouble: E-TOKEN-OFFICER: nobody has the management key any more.
    """
    if management_key is None:
        raise TokenTrouble(
            "this YubiKey's management key is gone: it lived only while the token was being set up",
            where=where_of(token),
            do="erase the token again; its keys are then made anew",
            code="E-TOKEN-OFFICER",
        )
    try:
        return token.open(rw=True, so_pin=management_key)
    except PKCS11Error as error:
        raise TokenTrouble(
            f"the YubiKey does not take its management key ({type(error).__name__})",
            where=where_of(token),
            do="erase the token again; its keys are then made anew",
            code="E-TOKEN-OFFICER",
        ) from None


def where_of(token: pkcs11.Token) -> str:
    """The token in an error."""
    return str(printable(token.label, 60))
