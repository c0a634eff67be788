"""One PKCS #11 module, through python-pkcs11. Imported in its child process only, and used from one thread.

`Module.answer` takes the requests of `messages` one at a time. Tokens are found anew for each request, by what they
show: slot numbers move and are never kept. Mechanisms and parameters are always given, never left to a default;
messages are hashed here; what was generated is read back from the token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

import pkcs11
from pkcs11.exceptions import (
    ArgumentsBad,
    PKCS11Error,
    SlotIDInvalid,
    TokenNotPresent,
    TokenNotRecognised,
    UserNotLoggedIn,
)

from vestry.errors import TokenTrouble
from vestry.text import printable
from vestry.tokens import messages, pkcs11_keys, pkcs11_listing, pkcs11_piv
from vestry.tokens.cryptoki import LABEL_LENGTH, OK, PIN_INCORRECT, PIN_LEN_RANGE, Cryptoki
from vestry.tokens.inventory import sha256_of
from vestry.tokens.messages import Frame, Named
from vestry.tokens.pkcs11_errors import trouble
from vestry.tokens.token import KeyKind, TokenInfo, TokenKey, TokenObject

_FLAG = pkcs11.TokenFlag


class Module:
    """A loaded module, and the one login it may hold.

    Raises:
        TokenTrouble: E-MODULE-LOAD.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._sha256 = sha256_of(path)
            self._lib = pkcs11.lib(path)
            self._raw = Cryptoki(path)
        except (PKCS11Error, OSError, AttributeError) as error:
            raise TokenTrouble(
                f"the PKCS #11 module does not load: {printable(str(error) or type(error).__name__, 300)}",
                where=str(printable(path, 200)),
                do="look whether it is a PKCS #11 module for this machine, and whether its service runs",
                code="E-MODULE-LOAD",
            ) from None
        self._login: _Login | None = None
        # Management keys of YubiKeys that were set up by this process, by serial; they die with it.
        self._management: dict[str, str] = {}
        self._requests: Mapping[str, Callable[[Frame], Frame]] = {
            "tokens": self._tokens,
            "info": self._info,
            "public_keys": self._public_keys,
            "certificates": self._certificates,
            "kinds": self._kinds,
            "initialise": self._initialise,
            "login": self._log_in,
            "keys": self._keys,
            "objects": self._objects,
            "all_objects": self._all_objects,
            "generate": self._generate,
            "sign": self._sign,
            "destroy": self._destroy,
            "logout": self._log_out,
        }

    def answer(self, request: Frame) -> Frame:
        """Do what `request` asks.

        Raises:
            TokenTrouble: as `vestry.tokens.token` has it.
        """
        name = messages.text(request.head, "do")
        where = str(printable(str(request.head.get("serial", "")) or self._path, 80))
        try:
            return self._requests[name](request)
        except PKCS11Error as error:
            if name == "sign" and self._login is not None and self._login.piv and isinstance(error, UserNotLoggedIn):
                raise pkcs11_piv.untouched(self._login.token) from None
            found = trouble(error, where, acting=name in messages.ACTING)
            if found.code == "E-TOKEN-GONE":
                # What the module still holds of a device that went away would spoil the next try, after it came back.
                self._start_afresh()
            raise found from None

    def _start_afresh(self) -> None:
        self._login = None
        with suppress(PKCS11Error):
            self._lib.reinitialize()

    def close(self) -> None:
        """Log out and finalise; a module that can't is left as it is, since the process ends."""
        try:
            self._drop_login()
            self._lib.finalize()
        except PKCS11Error:
            pass

    # Tokens

    def _present(self) -> Iterator[pkcs11.Token]:
        for slot in self._lib.get_slots(token_present=True):
            try:
                yield slot.get_token()
            except (TokenNotPresent, TokenNotRecognised, SlotIDInvalid):
                continue  # unplugged between the two calls, or a card of another kind

    def _find(self, named: Named) -> pkcs11.Token:
        found = [token for token in self._present() if _named(token) == named]
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

    def _describe(self, token: pkcs11.Token) -> TokenInfo:
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
        lengths, version = self._raw.pin_range(token.slot.slot_id), token.firmware_version
        return TokenInfo(
            module=self._path,
            module_sha256=self._sha256,
            manufacturer=token.manufacturer_id,
            model=token.model,
            serial=_serial(token),
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

    def _tokens(self, _: Frame) -> Frame:
        return Frame({"tokens": [messages.info_to(self._describe(t)) for t in self._present()]})

    def _info(self, request: Frame) -> Frame:
        token = self._find(messages.named_from(request.head))
        return Frame({"token": messages.info_to(self._describe(token))})

    @contextmanager
    def _view(self, token: pkcs11.Token) -> Iterator[pkcs11.Session]:
        """A session to look at `token` with; the one of a login, where there is one: closing another would end it."""
        if self._login is not None and _named(self._login.token) == _named(token):
            yield self._login.session
            return
        session = token.open()
        try:
            yield session
        finally:
            session.close()

    def _public_keys(self, request: Frame) -> Frame:
        token = self._find(messages.named_from(request.head))
        if not token.flags & _FLAG.TOKEN_INITIALIZED:
            return _keys_frame(())
        with self._view(token) as session:
            return _keys_frame(_own(pkcs11_keys.public_keys(session, _serial(token), token.label), token))

    def _objects(self, request: Frame) -> Frame:
        token = self._find(messages.named_from(request.head))
        if not token.flags & _FLAG.TOKEN_INITIALIZED:
            return _objects_frame(())
        with self._view(token) as session:
            return _objects_frame(pkcs11_listing.objects(session, _device(token)))

    def _certificates(self, request: Frame) -> Frame:
        token = self._find(messages.named_from(request.head))
        if not token.flags & _FLAG.TOKEN_INITIALIZED:
            return Frame({"certificates": []})
        with self._view(token) as session:
            return Frame({"certificates": [messages.certificate_to(c) for c in pkcs11_listing.certificates(session)]})

    def _kinds(self, request: Frame) -> Frame:
        token = self._find(messages.named_from(request.head))
        return Frame({"kinds": [messages.kind_to(k) for k in pkcs11_listing.kinds(token.slot)]})

    # Initialising

    def _initialise(self, request: Frame) -> Frame:
        if self._login is not None:
            raise _busy()
        token = self._find(messages.named_from(request.head))
        so_pin, pin = request.parts
        so_text, text = _text(so_pin), _text(pin)
        if pkcs11_piv.is_piv(token):
            return self._initialise_piv(token, messages.text(request.head, "new_label").encode(), so_pin, pin)
        label = messages.text(request.head, "new_label").encode()
        if len(label) > LABEL_LENGTH:
            raise TokenTrouble("a token's label has at most 32 bytes", do="shorten it", code="E-TOKEN-INIT")
        for name, secret in (("security officer PIN", so_pin), ("PIN", pin)):
            self._check_length(token, name, len(secret))
        before = [_serial(t) for t in self._present() if t.flags & _FLAG.TOKEN_INITIALIZED]
        returned = self._raw.init_token(token.slot.slot_id, so_pin, label)
        if returned != OK:
            raise _init_trouble(returned, _serial(token), blank=not token.flags & _FLAG.TOKEN_INITIALIZED)
        # Slots move, and the library keeps what it saw first.
        self._lib.reinitialize()
        try:
            fresh = self._initialised(_serial(token), label.decode(), before)
            session = fresh.open(rw=True, so_pin=so_text)
            try:
                session.init_pin(text)
            finally:
                session.close()
        except (PKCS11Error, TokenTrouble) as error:
            self._lib.reinitialize()
            raise TokenTrouble(
                f"the token was erased, but its PIN was not set ({type(error).__name__})",
                where=str(printable(_serial(token), 40)),
                do="initialise it again with the same security officer PIN",
                code="E-TOKEN-INIT",
                unknown=True,
            ) from None
        self._lib.reinitialize()
        ready = self._find(Named(_serial(fresh), fresh.label, True))
        return Frame({"token": messages.info_to(self._describe(ready))})

    def _initialise_piv(self, token: pkcs11.Token, label: bytes, puk: bytes, pin: bytes) -> Frame:
        for name, secret in (("PUK", puk), ("PIN", pin)):
            pkcs11_piv.check_secret(name, secret, pkcs11_piv.where_of(token))
        serial, named = _serial(token), _named(token)
        pkcs11_piv.reset(self._raw, token, label[:LABEL_LENGTH])
        try:
            self._lib.reinitialize()
            self._management[serial] = pkcs11_piv.personalise(self._find(named), _text(pin), _text(puk))
        except (PKCS11Error, TokenTrouble) as error:
            self._lib.reinitialize()
            raise TokenTrouble(
                f"the YubiKey was erased, but its PIN, PUK or management key was not set ({type(error).__name__})",
                where=str(printable(serial, 40)),
                do="erase it again, with 'ykman piv reset' if it does not go otherwise",
                code="E-TOKEN-INIT",
                unknown=True,
            ) from None
        self._lib.reinitialize()
        return Frame({"token": messages.info_to(self._describe(self._find(named)))})

    def _initialised(self, serial: str, label: str, before: list[str]) -> pkcs11.Token:
        """The token that was just initialised: of the same serial, or where it had none, the one that is new."""
        now = [t for t in self._present() if t.flags & _FLAG.TOKEN_INITIALIZED and t.label == label]
        same = [t for t in now if serial and _serial(t) == serial]
        new = same or [t for t in now if _serial(t) not in before]
        if len(new) != 1:
            raise TokenTrouble("the initialised token can't be told from others", code="E-TOKEN-TWO-ALIKE")
        return new[0]

    def _check_length(self, token: pkcs11.Token, name: str, length: int) -> None:
        lengths = self._raw.pin_range(token.slot.slot_id)
        if not lengths.fits(length):
            raise TokenTrouble(
                f"the {name} is too {'short' if length < lengths.least else 'long'} for this token; no try was used",
                where=str(printable(_serial(token), 40)),
                do=f"use {lengths.least} to {lengths.most} characters",
                code="E-PIN-LENGTH",
            )

    # Logged in

    def _log_in(self, request: Frame) -> Frame:
        if self._login is not None:
            raise _busy()
        named = messages.named_from(request.head)
        token = self._find(named)
        (pin,) = request.parts
        if pkcs11_piv.is_piv(token):
            pkcs11_piv.check_secret("PIN", pin, pkcs11_piv.where_of(token))
        self._check_length(token, "PIN", len(pin))
        secret = _text(pin)
        try:
            session = token.open(rw=True, user_pin=secret)
        except PKCS11Error as error:
            raise self._refused_login(error, named) from None
        again = pkcs11_piv.is_piv(token) or pkcs11_keys.any_always_authenticate(session)
        self._login = _Login(token, session, secret if again else None)
        return Frame({})

    def _refused_login(self, error: PKCS11Error, named: Named) -> TokenTrouble:
        # A failed login leaks its session, which would stand in the way of all that follows.
        self._lib.reinitialize()
        left = None
        if not isinstance(error, ArgumentsBad):
            try:
                left = self._describe(self._find(named)).tries_left
            except (PKCS11Error, TokenTrouble):
                left = None
        where = str(printable(f"token {named.serial} '{named.label}'", 100))
        if isinstance(error, ArgumentsBad):
            return TokenTrouble(
                "the module takes no such PIN", where=where, do="look whether it was typed whole", code="E-PIN-LENGTH"
            )
        return trouble(error, where, acting=False, tries_left=left)

    def _keys(self, _: Frame) -> Frame:
        login = self._logged_in()
        return _keys_frame(self._told(login, tuple(held.key for held in login.held())))

    def _all_objects(self, _: Frame) -> Frame:
        login = self._logged_in()
        return _objects_frame(pkcs11_listing.objects(login.session, _device(login.token)))

    def _generate(self, request: Frame) -> Frame:
        login = self._logged_in()
        kind = KeyKind(messages.text(request.head, "scheme"), messages.whole(request.head, "bits"))
        login.forget()
        if login.piv:
            return _keys_frame(self._told(login, (self._generate_piv(login, kind),)))
        place = pkcs11_keys.new_place(login.session, messages.text(request.head, "key_label"), login.label)
        key = pkcs11_keys.generate(login.session, login.mechanisms, kind, place, login.serial, login.label)
        return _keys_frame((key,))

    def _told(self, login: _Login, keys: tuple[TokenKey, ...]) -> tuple[TokenKey, ...]:
        """Keys of the token's holder, with all that the token tells of them."""
        own = _own(keys, login.token)
        return pkcs11_piv.with_policies(own, login.session) if login.piv else own

    def _generate_piv(self, login: _Login, kind: KeyKind) -> TokenKey:
        place = pkcs11_piv.free_place(login.session, login.token)
        with self._officer(login) as session:
            return pkcs11_keys.generate(session, login.mechanisms, kind, place, login.serial, login.label)

    @contextmanager
    def _officer(self, login: _Login) -> Iterator[pkcs11.Session]:
        """PIV makes keys for the security officer alone: the user logs out for that, and in again after it."""
        login.session.close()
        try:
            session = pkcs11_piv.officer_session(login.token, self._management.get(login.serial))
            try:
                yield session
            finally:
                session.close()
        finally:
            login.open()

    def _sign(self, request: Frame) -> Frame:
        login = self._logged_in()
        key = messages.key_from(messages.objects(request.head, "keys")[0])
        (message,) = request.parts
        held = login.hold(key)
        return Frame({}, (pkcs11_keys.sign(held, login.mechanisms, key.kind.scheme, message, login.pin),))

    def _destroy(self, request: Frame) -> Frame:
        login = self._logged_in()
        key = messages.key_from(messages.objects(request.head, "keys")[0])
        login.forget()
        if login.piv:
            with self._officer(login) as session:
                pkcs11_piv.overwrite(session, login.mechanisms, key, login.serial, login.label)
        else:
            pkcs11_keys.destroy(login.session, key, login.serial, login.label)
        return Frame({})

    def _log_out(self, _: Frame) -> Frame:
        self._drop_login()
        return Frame({})

    def _logged_in(self) -> _Login:
        if self._login is None:
            raise TokenTrouble(
                "the token is locked again", where=self._path, do="unlock it with its PIN", code="E-TOKEN-GONE"
            )
        return self._login

    def _drop_login(self) -> None:
        if self._login is None:
            return
        session, self._login = self._login.session, None
        try:
            session.close()
        except PKCS11Error:
            # C_Logout failed, so C_CloseSession was never called: let go of everything at once.
            self._lib.reinitialize()


class _Login:
    """A session after its PIN was accepted. The PIN is kept only where a key asks for it at each signature."""

    def __init__(self, token: pkcs11.Token, session: pkcs11.Session, pin: str | None) -> None:
        self.token, self.session, self.pin = token, session, pin
        self.piv = pkcs11_piv.is_piv(token)
        self.serial, self.label = _serial(token), token.label
        self.mechanisms = frozenset(int(m) for m in token.slot.get_mechanisms())
        self._held: tuple[pkcs11_keys.Held, ...] | None = None

    def held(self) -> tuple[pkcs11_keys.Held, ...]:
        """Read from the token, now."""
        self._held = pkcs11_keys.held(self.session, self.serial, self.label)
        return self._held

    def hold(self, key: TokenKey) -> pkcs11_keys.Held:
        """The private half of `key`, by its public bytes."""
        found = pkcs11_keys.fitting_one(self._held or (), key) or pkcs11_keys.fitting_one(self.held(), key)
        if found is None:
            raise pkcs11_keys.key_gone(key)
        return found

    def forget(self) -> None:
        """Handles may be stale now."""
        self._held = None

    def open(self) -> None:
        """Log in again after the session was closed, with the PIN that was accepted before."""
        self.session = self.token.open(rw=True, user_pin=self.pin)

    def __repr__(self) -> str:
        return "<login>"


def _serial(token: pkcs11.Token) -> str:
    return token.serial.decode("utf-8", errors="replace").strip("\0 ")


def _named(token: pkcs11.Token) -> Named:
    return Named(_serial(token), token.label, bool(token.flags & _FLAG.TOKEN_INITIALIZED))


def _text(pin: bytes) -> str:
    try:
        return pin.decode()
    except UnicodeDecodeError:
        # Without its cause: that holds the bytes.
        raise TokenTrouble("the PIN is not UTF-8 text; no try was used", code="E-PIN-LENGTH") from None


def _keys_frame(keys: tuple[TokenKey, ...]) -> Frame:
    return Frame({"keys": [messages.key_to(k) for k in keys]})


def _objects_frame(objects: tuple[TokenObject, ...]) -> Frame:
    return Frame({"objects": [messages.object_to(o) for o in objects]})


def _own(keys: tuple[TokenKey, ...], token: pkcs11.Token) -> tuple[TokenKey, ...]:
    """Keys of the token's holder: without those that the maker put on the device."""
    device = _device(token)
    return tuple(k for k in keys if not device("private key", k.id))


def _device(token: pkcs11.Token) -> Callable[[str, bytes], bool]:
    return pkcs11_piv.of_device if pkcs11_piv.is_piv(token) else lambda _kind, _id: False


def _busy() -> TokenTrouble:
    return TokenTrouble(
        "another token of this module is unlocked", do="finish with that one first", code="E-TOKEN-BUSY"
    )


def _init_trouble(returned: int, serial: str, *, blank: bool) -> TokenTrouble:
    where = str(printable(serial, 40))
    if returned == PIN_INCORRECT and not blank:
        return TokenTrouble(
            "the token is not blank, and its security officer PIN is another",
            where=where,
            do="type the one it has, or take a blank token",
            code="E-TOKEN-INIT",
        )
    if returned in (PIN_INCORRECT, PIN_LEN_RANGE):
        return TokenTrouble("the token does not take this security officer PIN", where=where, code="E-PIN-LENGTH")
    return TokenTrouble(
        f"the module does not initialise this token (CKR {returned:#x})",
        where=where,
        do="initialise it with its maker's tool, then name its serial in the script",
        code="E-TOKEN-INIT",
        unknown=returned in (0x05, 0x06, 0x30, 0x32),  # general error, function failed, device error, device removed
    )
