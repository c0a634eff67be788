"""Erasing a PKCS #11 token and setting its PINs. Child processes only."""

from __future__ import annotations

import pkcs11
from pkcs11.exceptions import PKCS11Error

from vestry.errors import TokenTrouble
from vestry.text import printable
from vestry.tokens import pkcs11_piv
from vestry.tokens.cryptoki import LABEL_LENGTH, OK, PIN_INCORRECT, PIN_LEN_RANGE
from vestry.tokens.messages import Named
from vestry.tokens.pkcs11_library import Library, named_of, serial_of, text_of

_INITIALISED = pkcs11.TokenFlag.TOKEN_INITIALIZED


def initialise(library: Library, token: pkcs11.Token, label: bytes, *, so_pin: bytes, pin: bytes) -> Named:
    """C_InitToken and C_InitPIN (PKCS #11 2.40, 5.5). Returns what the token is found by from now on.

    Raises:
        TokenTrouble: E-TOKEN-INIT, `unknown` where it may be erased; E-PIN-LENGTH, and nothing was done.
    """
    so_text, text = text_of(so_pin), text_of(pin)
    if len(label) > LABEL_LENGTH:
        raise TokenTrouble("a token's label has at most 32 bytes", do="shorten it", code="E-TOKEN-INIT")
    for name, secret in (("security officer PIN", so_pin), ("PIN", pin)):
        check_length(library, token, name, len(secret))
    before = [serial_of(t) for t in library.present() if t.flags & _INITIALISED]
    returned = library.raw.init_token(token.slot.slot_id, so_pin, label)
    if returned != OK:
        raise _trouble(returned, serial_of(token), blank=not token.flags & _INITIALISED)
    # Slots move, and the library keeps what it saw first.
    library.reinitialize()
    try:
        fresh = _fresh(library, serial_of(token), label.decode(), before)
        session = fresh.open(rw=True, so_pin=so_text)
        try:
            session.init_pin(text)
        finally:
            session.close()
    except (PKCS11Error, TokenTrouble) as error:
        library.reinitialize()
        raise TokenTrouble(
            f"the token was erased, but its PIN was not set ({type(error).__name__})",
            where=str(printable(serial_of(token), 40)),
            do="initialise it again with the same security officer PIN; if nobody knows it, reset it as its maker says",
            code="E-TOKEN-INIT",
            unknown=True,
        ) from None
    library.reinitialize()
    return Named(serial_of(fresh), fresh.label, True)


def reset_piv(library: Library, token: pkcs11.Token, label: bytes, *, puk: bytes, pin: bytes) -> tuple[Named, str]:
    """Reset a YubiKey's PIV application, set its PIN, PUK and a random management key; returns that too, in hex.

    Raises:
        TokenTrouble: as `initialise` has it.
    """
    for name, secret in (("PUK", puk), ("PIN", pin)):
        pkcs11_piv.check_secret(name, secret, pkcs11_piv.where_of(token))
    named = named_of(token)
    pkcs11_piv.reset(library.raw, token, label[:LABEL_LENGTH])
    try:
        library.reinitialize()
        management = pkcs11_piv.personalise(library.find(named), text_of(pin), text_of(puk))
    except (PKCS11Error, TokenTrouble) as error:
        library.reinitialize()
        raise TokenTrouble(
            f"the YubiKey was erased, but its PIN, PUK or management key was not set ({type(error).__name__})",
            where=str(printable(named.serial, 40)),
            do="erase it again, with 'ykman piv reset' if it does not go otherwise",
            code="E-TOKEN-INIT",
            unknown=True,
        ) from None
    library.reinitialize()
    return named, management


def check_length(library: Library, token: pkcs11.Token, name: str, length: int) -> None:
    """Refuse a PIN of a length in bytes that the token says it never takes.

    Raises:
        TokenTrouble: E-PIN-LENGTH; no try was used.
    """
    lengths = library.raw.pin_range(token.slot.slot_id)
    if not lengths.fits(length):
        raise TokenTrouble(
            f"the {name} is too {'short' if length < lengths.least else 'long'} for this token; no try was used",
            where=str(printable(serial_of(token), 40)),
            do=f"use {lengths.least} to {lengths.most} characters",
            code="E-PIN-LENGTH",
        )


def _fresh(library: Library, serial: str, label: str, before: list[str]) -> pkcs11.Token:
    """The token that was just initialised: of the same serial, or where it had none, the one that is new."""
    now = [t for t in library.present() if t.flags & _INITIALISED and t.label == label]
    same = [t for t in now if serial and serial_of(t) == serial]
    new = same or [t for t in now if serial_of(t) not in before]
    if len(new) != 1:
        raise TokenTrouble("the initialised token can't be told from others", code="E-TOKEN-TWO-ALIKE")
    return new[0]


def _trouble(returned: int, serial: str, *, blank: bool) -> TokenTrouble:
    where = str(printable(serial, 40))
    if returned == PIN_INCORRECT and not blank:
        return TokenTrouble(
            "the token is not blank, and its security officer PIN is another",
            where=where,
            do="type the one it has, reset it as its maker says, or take a blank token",
            code="E-TOKEN-INIT",
        )
    if returned in (PIN_INCORRECT, PIN_LEN_RANGE):
        return TokenTrouble("the token does not take this security officer PIN", where=where, code="E-PIN-LENGTH")
    return TokenTrouble(
        f"the module does not initialise this token (CKR {returned:#x})",
        where=where,
        do="initialise it with its maker's tool, and write erase = false for it in the script",
        code="E-TOKEN-INIT",
        unknown=returned in (0x05, 0x06, 0x30, 0x32),  # general error, function failed, device error, device removed
    )
