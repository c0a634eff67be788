"""One PKCS #11 module, through python-pkcs11. Imported in its child process only, and used from one thread.

`Module.answer` takes the requests of `messages` one at a time. Tokens are found anew for each request, by what they
show: slot numbers move and are never kept. Mechanisms and parameters are always given, never left to a default;
messages are hashed here; what was generated is read back from the token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

import pkcs11
from pkcs11.exceptions import ArgumentsBad, DeviceError, PKCS11Error, UserNotLoggedIn

from vestry.errors import TokenTrouble
from vestry.text import printable
from vestry.tokens import messages, pkcs11_initialise, pkcs11_keys, pkcs11_listing, pkcs11_piv
from vestry.tokens.messages import Frame, Named
from vestry.tokens.pkcs11_errors import trouble
from vestry.tokens.pkcs11_library import Library, named_of, serial_of, text_of
from vestry.tokens.token import KeyKind, TokenKey, TokenObject

_FLAG = pkcs11.TokenFlag


class Module:
    """A loaded module, and the one login it may hold.

    Raises:
        TokenTrouble: E-MODULE-LOAD.
    """

    def __init__(self, path: str) -> None:
        self._library = Library(path)
        self._login: _Login | None = None
        self._stale = False
        # Management keys of YubiKeys that were set up by this process, by serial; they die with it.
        self._management: dict[str, str] = {}
        self._requests: Mapping[str, Callable[[Frame], Frame]] = {
            "about": self._about,
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
        where = str(printable(str(request.head.get("serial", "")) or self._library.path, 80))
        if self._stale and name != "logout":
            self._start_afresh()
        try:
            return self._requests[name](request)
        except PKCS11Error as error:
            if name == "sign" and self._login is not None and self._login.piv and isinstance(error, UserNotLoggedIn):
                raise pkcs11_piv.untouched(self._login.token) from None
            found = trouble(error, where, acting=name in messages.ACTING)
            # What the module still holds of a device that went away would spoil the next try, after it came back.
            self._stale = found.code == "E-TOKEN-GONE"
            raise found from None
        except TokenTrouble as found:
            self._stale = self._stale or found.code in ("E-TOKEN-HALF-MADE", "E-TOKEN-DAMAGED")
            raise

    def _start_afresh(self) -> None:
        self._login, self._stale = None, False
        with suppress(PKCS11Error):
            self._library.reinitialize()

    def close(self) -> None:
        """Log out and finalise; a module that can't is left as it is, since the process ends."""
        with suppress(PKCS11Error):
            self._drop_login()
        self._library.finalize()

    def _about(self, _: Frame) -> Frame:
        return Frame({"sha256": self._library.sha256, "version": self._library.version})

    # Tokens

    def _tokens(self, _: Frame) -> Frame:
        self._library.look_for_damage()
        try:
            found = tuple(self._library.present())
        except DeviceError:
            self._stale = True
            raise TokenTrouble(
                "the module does not reach its devices: the smart card service (pcscd) may not be running",
                where=str(printable(self._library.path, 200)),
                do="start it, if a YubiKey or smart card is to be used",
                code="E-MODULE-SERVICE",
            ) from None
        return Frame({"tokens": [messages.info_to(self._library.describe(t)) for t in found]})

    def _info(self, request: Frame) -> Frame:
        token = self._library.find(messages.named_from(request.head))
        return Frame({"token": messages.info_to(self._library.describe(token))})

    @contextmanager
    def _view(self, token: pkcs11.Token) -> Iterator[pkcs11.Session]:
        """A session to look at `token` with; the one of a login, where there is one: closing another would end it."""
        if self._login is not None and named_of(self._login.token) == named_of(token):
            yield self._login.session
            return
        session = token.open()
        try:
            yield session
        finally:
            session.close()

    def _public_keys(self, request: Frame) -> Frame:
        token = self._library.find(messages.named_from(request.head))
        if not token.flags & _FLAG.TOKEN_INITIALIZED:
            return _keys_frame(())
        with self._view(token) as session:
            return _keys_frame(_own(pkcs11_keys.public_keys(session, serial_of(token), token.label), token))

    def _objects(self, request: Frame) -> Frame:
        token = self._library.find(messages.named_from(request.head))
        if not token.flags & _FLAG.TOKEN_INITIALIZED:
            return _objects_frame(())
        with self._view(token) as session:
            return _objects_frame(pkcs11_listing.objects(session, _device(token)))

    def _certificates(self, request: Frame) -> Frame:
        token = self._library.find(messages.named_from(request.head))
        if not token.flags & _FLAG.TOKEN_INITIALIZED:
            return Frame({"certificates": []})
        with self._view(token) as session:
            return Frame({"certificates": [messages.certificate_to(c) for c in pkcs11_listing.certificates(session)]})

    def _kinds(self, request: Frame) -> Frame:
        token = self._library.find(messages.named_from(request.head))
        return Frame({"kinds": [messages.kind_to(k) for k in pkcs11_listing.kinds(token.slot)]})

    def _initialise(self, request: Frame) -> Frame:
        if self._login is not None:
            raise _busy()
        token = self._library.find(messages.named_from(request.head))
        so_pin, pin = request.parts
        label = messages.text(request.head, "new_label").encode()
        if pkcs11_piv.is_piv(token):
            named, key = pkcs11_initialise.reset_piv(self._library, token, label, puk=so_pin, pin=pin)
            self._management[named.serial] = key
        else:
            named = pkcs11_initialise.initialise(self._library, token, label, so_pin=so_pin, pin=pin)
        return Frame({"token": messages.info_to(self._library.describe(self._library.find(named)))})

    # Logged in

    def _log_in(self, request: Frame) -> Frame:
        if self._login is not None:
            raise _busy()
        named = messages.named_from(request.head)
        token = self._library.find(named)
        (pin,) = request.parts
        if pkcs11_piv.is_piv(token):
            pkcs11_piv.check_secret("PIN", pin, pkcs11_piv.where_of(token))
        pkcs11_initialise.check_length(self._library, token, "PIN", len(pin))
        secret = text_of(pin)
        try:
            session = token.open(rw=True, user_pin=secret)
        except PKCS11Error as error:
            raise self._refused_login(error, named) from None
        again = pkcs11_piv.is_piv(token) or pkcs11_keys.any_always_authenticate(session)
        self._login = _Login(token, session, secret if again else None)
        return Frame({})

    def _refused_login(self, error: PKCS11Error, named: Named) -> TokenTrouble:
        # A failed login leaks its session, which would stand in the way of all that follows.
        self._library.reinitialize()
        left = None
        if not isinstance(error, ArgumentsBad):
            try:
                left = self._library.describe(self._library.find(named)).tries_left
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
        if self._stale:
            self._login = None  # there is nothing to log out of
        self._drop_login()
        return Frame({})

    def _logged_in(self) -> _Login:
        if self._login is None:
            raise TokenTrouble(
                "the token is locked again", where=self._library.path, do="unlock it with its PIN", code="E-TOKEN-GONE"
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
            self._library.reinitialize()


class _Login:
    """A session after its PIN was accepted. The PIN is kept only where a key asks for it at each signature."""

    def __init__(self, token: pkcs11.Token, session: pkcs11.Session, pin: str | None) -> None:
        self.token, self.session, self.pin = token, session, pin
        self.piv = pkcs11_piv.is_piv(token)
        self.serial, self.label = serial_of(token), token.label
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
