"""YubiKeys through Yubico's own module (ykcs11), where PIV differs from what PKCS #11 expects. Child processes only.

PIV (NIST SP 800-73) knows a PIN and a PUK, both of 6 to 8 characters, and a management key that is needed to make keys.
ykcs11 takes the management key, in hex, for the security officer's PIN; C_InitToken wants the old one, resets the PIV
application to the factory's PIN, PUK and key, and then sets that old management key again. Keys live in slots, which
show as CKA_ID.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import replace

import pkcs11
from cryptography import x509
from pkcs11 import Attribute, ObjectClass
from pkcs11.exceptions import PKCS11Error

from vestry.errors import TokenTrouble
from vestry.text import printable
from vestry.tokens import pkcs11_keys
from vestry.tokens.cryptoki import OK, PIN_INCORRECT, Cryptoki
from vestry.tokens.pkcs11_keys import Place
from vestry.tokens.token import KeyKind, TokenKey

PIN_LEAST, PIN_MOST = 6, 8
FACTORY_PIN, FACTORY_PUK = "123456", "12345678"
FACTORY_MANAGEMENT_KEY = "010203040506070801020304050607080102030405060708"
# The maker's attestation key and its certificate, in slot F9; no reset removes them.
_ATTESTATION_ID = b"\x19"
# 9C first: it asks for the PIN at each signature. Then 9A and 9D, and the retired slots 82 to 95; never 9E, which
# asks for no PIN at all.
_SLOTS = (2, 1, 3, *range(5, 25))
_MANAGEMENT_KEY_BYTES = 24
# Two raw bytes in an attestation: PIN policy, touch policy.
_POLICY_OID = x509.ObjectIdentifier("1.3.6.1.4.1.41482.3.8")
_POLICIES = (
    ("pin_policy", {1: "never", 2: "once", 3: "always"}),
    ("touch", {1: "never", 2: "always", 3: "cached"}),
)


def is_piv(token: pkcs11.Token) -> bool:
    """Whether it is a YubiKey's PIV application as ykcs11 shows it."""
    return token.manufacturer_id.startswith("Yubico") and token.model.startswith("YubiKey")


def with_policies(keys: Iterable[TokenKey], session: pkcs11.Session) -> tuple[TokenKey, ...]:
    """`keys` with what their attestations say of PIN and touch (facts ``pin_policy`` and ``touch``): for the screen,
    which then knows that a device waits. Nothing is verified here."""
    told: dict[bytes, tuple[tuple[str, str], ...]] = {}
    for item in list(session.get_objects({Attribute.CLASS: ObjectClass.CERTIFICATE})):
        value = _policy(pkcs11_keys.read(item, Attribute.VALUE))
        if value is not None and len(value) == len(_POLICIES):
            told[pkcs11_keys.identity(item)] = tuple(
                (name, words[byte]) for (name, words), byte in zip(_POLICIES, value, strict=True) if byte in words
            )
    return tuple(replace(key, facts=(*key.facts, *told.get(key.id, ()))) for key in keys)


def _policy(der: object) -> bytes | None:
    if not isinstance(der, bytes):
        return None
    try:
        found = x509.load_der_x509_certificate(der).extensions.get_extension_for_oid(_POLICY_OID).value
    except (ValueError, TypeError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.InvalidVersion):
        return None
    return found.value if isinstance(found, x509.UnrecognizedExtension) else None


def of_device(kind: str, identity: bytes) -> bool:
    """Whether an object belongs to the device itself: the maker's attestation key, or data of the application, which
    can neither sign nor let anyone in."""
    return identity == _ATTESTATION_ID or kind == "data"


def firmware(version: tuple[int, int]) -> str:
    """The firmware, from the two numbers that ykcs11 makes of three."""
    return f"{version[0]}.{version[1] // 10}.{version[1] % 10}"


def overwrite(session: pkcs11.Session, mechanisms: frozenset[int], key: TokenKey, serial: str, label: str) -> None:
    """Destroy `key` for good. PIV deletes no single key (before firmware 5.7, and ykcs11 not at all), so another one,
    which nobody knows of, is made in its slot.

    Raises:
        TokenTrouble: E-TOKEN-FAILED: it is still there.
    """
    pkcs11_keys.generate(session, mechanisms, KeyKind("ecdsa-sha2-nistp256"), Place(key.id, "", True), serial, label)
    if any(h.key.spki == key.spki for h in pkcs11_keys.held(session, serial, label)):
        raise TokenTrouble(
            "the YubiKey still lists a key that was to be overwritten",
            where=str(printable(label, 60)),
            do="reset its PIV application with 'ykman piv reset' if the key must be gone",
            code="E-TOKEN-FAILED",
            unknown=True,
        )


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
            "this YubiKey's management key is gone: it was never kept beyond the run that set it up",
            where=where_of(token),
            do="before it signed anything, reset and erase it again; later, note what cannot be done",
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


def untouched(token: pkcs11.Token) -> TokenTrouble:
    """ykcs11 says "not logged in" of a key that was to be touched (status 6982), though the login was a moment ago."""
    return TokenTrouble(
        "the YubiKey was not touched in time; it signed nothing",
        where=where_of(token),
        do="go on, and touch it while it blinks",
        code="E-TOKEN-REFUSED",
    )


def where_of(token: pkcs11.Token) -> str:
    """The token in an error."""
    return str(printable(token.label, 60))
