"""A loaded PKCS #11 module and the tokens it shows. Child processes only.

Tokens are found anew for each request, by what they show: slot numbers move and are never kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pkcs11
from pkcs11.exceptions import GeneralError, PKCS11Error, SlotIDInvalid, TokenNotPresent, TokenNotRecognised

from vestry.errors import TokenTrouble
from vestry.text import printable
from vestry.tokens import pkcs11_piv, softhsm
from vestry.tokens.cryptoki import Cryptoki
from vestry.tokens.inventory import sha256_of
from vestry.tokens.messages import Named
from vestry.tokens.token import TokenInfo

_FLAG = pkcs11.TokenFlag


class Library:
    """The module at `path`, loaded: through python-pkcs11, and for what that lacks, through ctypes (`raw`).

    Raises:
        TokenTrouble: E-MODULE-LOAD.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self.sha256 = sha256_of(path)
            self._lib = pkcs11.lib(path)
            self.raw = Cryptoki(path)
        except (PKCS11Error, OSError, AttributeError) as error:
            raise TokenTrouble(
                f"the PKCS #11 module does not load: {printable(str(error) or type(error).__name__, 300)}",
                where=str(printable(path, 200)),
                do="look whether it is a PKCS #11 module for this machine, and whether its service runs",
                code="E-MODULE-LOAD",
            ) from None

    @property
    def version(self) -> str:
        """What the module says of itself (CK_INFO): whose it is, and its version."""
        number = ".".join(str(n) for n in self._lib.library_version)
        return f"{number} ({self._lib.manufacturer_id.strip()})"

    def reinitialize(self) -> None:
        """Let the module forget what it holds: sessions, logins, what it saw of devices."""
        self._lib.reinitialize()

    def finalize(self) -> None:
        """The end of it; a module that can't is left as it is, since the process ends."""
        with suppress(PKCS11Error):
            self._lib.finalize()

    def present(self) -> Iterator[pkcs11.Token]:
        """Tokens that are there now.

        Raises:
            TokenTrouble: E-TOKEN-HALF-MADE, E-TOKEN-DAMAGED.
        """
        for slot in self._lib.get_slots(token_present=True):
            try:
                yield slot.get_token()
            except (TokenNotPresent, TokenNotRecognised, SlotIDInvalid):
                continue  # unplugged between the two calls, or a card of another kind
            except GeneralError:
                self.look_for_damage()
                raise

    def look_for_damage(self) -> None:
        """What a module does not say of its tokens, where their files tell.

        Raises:
            TokenTrouble: E-TOKEN-HALF-MADE, E-TOKEN-DAMAGED.
        """
        if self._lib.manufacturer_id.strip() == softhsm.MAKER and (found := softhsm.damage()) is not None:
            raise found from None

    def find(self, named: Named) -> pkcs11.Token:
        """The one token of that name.

        Raises:
            TokenTrouble: E-TOKEN-GONE, E-TOKEN-TWO-ALIKE.
        """
        found = [token for token in self.present() if named_of(token) == named]
        where = str(printable(f"token {named.serial or '(no serial)'} '{named.label}'", 100))
        if not found:
            raise TokenTrouble("the token is not there", where=where, do="plug it in again", code="E-TOKEN-GONE")
        if len(found) > 1:
            raise TokenTrouble(
                f"{len(found)} tokens show the same serial and label",
                where=where,
                do="leave only the right one plugged in",
                code="E-TOKEN-TWO-ALIKE",
            )
        return found[0]

    def describe(self, token: pkcs11.Token) -> TokenInfo:
        """How it presents itself."""
        flags = token.flags
        tries = (
            "locked"
            if flags & _FLAG.USER_PIN_LOCKED
            else "last"
            if flags & _FLAG.USER_PIN_FINAL_TRY
            else "low"
            if flags & _FLAG.USER_PIN_COUNT_LOW
            else "ok"
        )
        ready = bool(flags & _FLAG.USER_PIN_INITIALIZED)
        piv = pkcs11_piv.is_piv(token)
        lengths, version = self.raw.pin_range(token.slot.slot_id), token.firmware_version
        return TokenInfo(
            module=self.path,
            module_sha256=self.sha256,
            manufacturer=token.manufacturer_id,
            model=token.model,
            serial=serial_of(token),
            label=token.label,
            firmware=pkcs11_piv.firmware(version) if piv else ".".join(str(n) for n in version),
            initialised=bool(flags & _FLAG.TOKEN_INITIALIZED),
            pin_ready=ready,
            tries=tries if ready else "",
            tries_left={"locked": 0, "last": 1, **({"low": 2} if piv else {})}.get(tries) if ready else None,
            reset="puk" if piv else "so-pin",
            pin_least=pkcs11_piv.PIN_LEAST if piv else lengths.least,
            pin_most=pkcs11_piv.PIN_MOST if piv else lengths.most,
        )


def serial_of(token: pkcs11.Token) -> str:
    """Its serial, without what pads it."""
    return token.serial.decode("utf-8", errors="replace").strip("\0 ")


def named_of(token: pkcs11.Token) -> Named:
    """What it is found by again."""
    return Named(serial_of(token), token.label, bool(token.flags & _FLAG.TOKEN_INITIALIZED))


def text_of(pin: bytes) -> str:
    """A PIN as python-pkcs11 takes it.

    Raises:
        TokenTrouble: E-PIN-LENGTH; no try was used.
    """
    try:
        return pin.decode()
    except UnicodeDecodeError:
        # Without its cause: that holds the bytes.
        raise TokenTrouble("the PIN is not UTF-8 text; no try was used", code="E-PIN-LENGTH") from None
