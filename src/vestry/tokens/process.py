"""PKCS #11 tokens, each module in a child process of its own. Nothing of a vendor is loaded here.

A child that crashes, hangs or answers nonsense is killed and becomes a `TokenTrouble`; the next use starts a fresh one.
Where the request could have acted on the token, the trouble's `unknown` is true: read the token before anything else. A
PIN crosses once an unlock; the child that was given it is killed where it can't log out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from vestry.errors import TokenTrouble
from vestry.machine.integrity import Module
from vestry.text import printable
from vestry.tokens import messages
from vestry.tokens.children import Child
from vestry.tokens.messages import Frame, FrameError, Named
from vestry.tokens.token import (
    KeyKind,
    Pin,
    Token,
    TokenCertificate,
    TokenInfo,
    TokenKey,
    TokenObject,
    Unlocked,
)

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """How long, in seconds, a child may take to answer before it is killed: for generating a key, and for all else."""

    usual: float = 60.0
    generate: float = 300.0


class Pkcs11Source:
    """The tokens of one module. Safe to use from several threads; requests go one at a time.

    Args:
        module: Path of the module; resolved, so that one module by two names is one.
        limits: Time limits of requests.
    """

    def __init__(self, module: Path, *, limits: Limits | None = None) -> None:
        self._line = _Line(str(module.resolve()), limits or Limits())

    def start(self) -> None:
        """Start the child and load the module, now rather than at first use.

        Raises:
            TokenTrouble: E-MODULE-LOAD, E-MODULE-CRASHED, E-TOKEN-HUNG.
        """
        self._line.child()

    def about(self) -> Module:
        """What the module says of itself, and the digest of its file.

        Raises:
            TokenTrouble: E-MODULE-LOAD, E-MODULE-CRASHED, E-TOKEN-HUNG.
        """
        head = self._line.ask(Frame({"do": "about"})).head
        said = self._line.decoded(lambda: (messages.text(head, "version"), messages.text(head, "sha256")))
        return Module(self._line.path, self._line.path, *said)

    def tokens(self) -> tuple[Token, ...]:
        """Tokens present now, blank ones included."""
        head = self._line.ask(Frame({"do": "tokens"})).head
        infos = self._line.decoded(lambda: [messages.info_from(t) for t in messages.objects(head, "tokens")])
        return tuple(_Pkcs11Token(self._line, _named(info)) for info in infos)

    def cancel(self) -> None:
        """Kill the child, from any thread, whatever it waits for; the request under way ends in E-TOKEN-CANCELLED."""
        self._line.cancel()

    def close(self) -> None:
        """Log out and end the child. It waits for a request under way in another thread: `cancel` first to cut that."""
        self._line.close()

    def __repr__(self) -> str:
        return f"Pkcs11Source({self._line.path!r})"


class _Pkcs11Token:
    """A token by what it shows."""

    def __init__(self, line: _Line, named: Named) -> None:
        self._line, self._named = line, named

    @property
    def info(self) -> TokenInfo:
        return self._described(self._line.ask(Frame({"do": "info", **messages.named_to(self._named)})))

    def public_keys(self) -> tuple[TokenKey, ...]:
        answer = self._line.ask(Frame({"do": "public_keys", **messages.named_to(self._named)}))
        return self._line.decoded(lambda: _keys(answer))

    def objects(self) -> tuple[TokenObject, ...]:
        answer = self._line.ask(Frame({"do": "objects", **messages.named_to(self._named)}))
        return self._line.decoded(lambda: _objects(answer))

    def certificates(self) -> tuple[TokenCertificate, ...]:
        answer = self._line.ask(Frame({"do": "certificates", **messages.named_to(self._named)}))
        listed = messages.objects
        return self._line.decoded(
            lambda: tuple(messages.certificate_from(c) for c in listed(answer.head, "certificates"))
        )

    def kinds(self) -> tuple[KeyKind, ...]:
        answer = self._line.ask(Frame({"do": "kinds", **messages.named_to(self._named)}))
        return self._line.decoded(lambda: tuple(messages.kind_from(k) for k in messages.objects(answer.head, "kinds")))

    def initialise(self, label: str, so_pin: Pin, pin: Pin) -> Token:
        head = {"do": "initialise", **messages.named_to(self._named), "new_label": label}
        answer = self._line.ask(Frame(head, (so_pin.reveal(), pin.reveal())))
        return _Pkcs11Token(self._line, _named(self._described(answer)))

    @contextmanager
    def unlock(self, pin: Pin) -> Iterator[Unlocked]:
        child = self._line.child()
        self._line.ask(Frame({"do": "login", **messages.named_to(self._named)}, (pin.reveal(),)), child)
        unlocked = _Pkcs11Unlocked(self._line, child)
        try:
            yield unlocked
        finally:
            unlocked.lock()

    def _described(self, answer: Frame) -> TokenInfo:
        return self._line.decoded(lambda: messages.info_from(messages.item(answer.head, "token")))

    def __repr__(self) -> str:
        return f"<token {self._named.serial!r} {self._named.label!r}>"


class _Pkcs11Unlocked:
    """A login, which lives in one child and ends with it."""

    def __init__(self, line: _Line, child: Child) -> None:
        self._line, self._child, self._open = line, child, True

    def keys(self) -> tuple[TokenKey, ...]:
        answer = self._ask({"do": "keys"})
        return self._line.decoded(lambda: _keys(answer))

    def objects(self) -> tuple[TokenObject, ...]:
        answer = self._ask({"do": "all_objects"})
        return self._line.decoded(lambda: _objects(answer))

    def generate(self, kind: KeyKind, label: str) -> TokenKey:
        answer = self._ask({"do": "generate", "scheme": kind.scheme, "bits": kind.bits, "key_label": label})
        return self._line.decoded(lambda: _one(_keys(answer)))

    def sign(self, key: TokenKey, message: bytes) -> bytes:
        answer = self._ask({"do": "sign", "keys": [messages.key_to(key)]}, message)
        return self._line.decoded(lambda: _one(answer.parts))

    def destroy(self, key: TokenKey) -> None:
        self._ask({"do": "destroy", "keys": [messages.key_to(key)]})

    def lock(self) -> None:
        """Log out, or end the child that can't."""
        self._open = False
        self._line.log_out(self._child)

    def _ask(self, head: Mapping[str, object], *parts: bytes) -> Frame:
        if not self._open:
            raise self._line.locked()
        return self._line.ask(Frame(head, parts), self._child)

    def __repr__(self) -> str:
        return "<unlocked token>"


class _Line:
    """The line to a module's child: one request at a time; a child that fails is replaced at the next use."""

    def __init__(self, path: str, limits: Limits) -> None:
        self.path = path
        self._limits = limits
        self._lock = threading.RLock()
        self._child: Child | None = None
        self._closed = False

    def child(self) -> Child:
        """The running child, started where there is none."""
        with self._lock:
            if self._closed:
                raise TokenTrouble("this module was closed", where=self._where, do="open it again", code="E-TOKEN-GONE")
            if self._child is not None and not self._child.usable:
                self._drop(self._child)
            if self._child is None:
                fresh = self._child = Child()
                try:
                    self._exchange(fresh, Frame({"do": "load", "path": self.path}))
                except TokenTrouble:
                    self._drop(fresh)
                    raise
            return self._child

    def ask(self, request: Frame, child: Child | None = None) -> Frame:
        """The answer to `request`, from `child` where given and from no other."""
        with self._lock:
            if child is not None and child is not self._child:
                raise self.locked()
            return self._exchange(child or self.child(), request)

    def log_out(self, child: Child) -> None:
        """Log out. Whatever came before has its own answer, so a failure here only ends the child, and the login."""
        with self._lock:
            if child is self._child:
                try:
                    self._exchange(child, Frame({"do": "logout"}))
                except TokenTrouble:
                    self._drop(child)

    def cancel(self) -> None:
        """Kill the child, without waiting for a turn."""
        child = self._child
        if child is not None:
            child.cancelled = True
            child.kill()

    def close(self) -> None:
        """Let the child end."""
        with self._lock:
            child, self._child, self._closed = self._child, None, True
        if child is not None:
            child.leave()

    def decoded(self, decode: Callable[[], T]) -> T:
        """What `decode` returns; an answer of the wrong form ends the child."""
        try:
            return decode()
        except FrameError as error:
            with self._lock:
                if self._child is not None:
                    self._drop(self._child)
            raise TokenTrouble(
                f"the token's module answered nonsense ({error})",
                where=self._where,
                do="do not use this module; read the token with another",
                code="E-MODULE-CRASHED",
                unknown=True,
            ) from None

    def locked(self) -> TokenTrouble:
        """The trouble of a login that ended."""
        return TokenTrouble(
            "the token is locked again", where=self._where, do="unlock it with its PIN", code="E-TOKEN-GONE"
        )

    def _exchange(self, child: Child, request: Frame) -> Frame:
        doing = str(request.head["do"])
        limit = self._limits.generate if doing == "generate" else self._limits.usual
        answer = None
        try:
            answer = child.exchange(request, time.monotonic() + limit)
        except (EOFError, OSError, FrameError) as error:
            raise self._failed(error, child, doing, limit) from None
        finally:
            # After KeyboardInterrupt too: an answer that comes later would be taken for that of the next request.
            if answer is None:
                self._drop(child)
        if "trouble" in answer.head:
            raise self.decoded(lambda: messages.trouble_from(messages.item(answer.head, "trouble")))
        return answer

    def _failed(self, error: Exception, child: Child, doing: str, limit: float) -> TokenTrouble:
        if child.cancelled:
            what, do, code = "stopped waiting for the token", "go on when you are ready", "E-TOKEN-CANCELLED"
        elif isinstance(error, TimeoutError):
            what = f"the token did not answer within {limit:g} seconds"
            do, code = "take it out and put it back, then go on from the same place", "E-TOKEN-HUNG"
        else:
            how = "answered nonsense" if isinstance(error, FrameError) else f"ended by itself ({child.ending()})"
            what = f"the token's module {how} while it was to {_DOING.get(doing, 'work')}"
            do, code = "go on from the same place; the module is started again", "E-MODULE-CRASHED"
        return TokenTrouble(what, where=self._where, do=do, code=code, unknown=doing in messages.ACTING)

    def _drop(self, child: Child) -> None:
        if child is self._child:
            self._child = None
        child.kill()
        child.leave()

    @property
    def _where(self) -> str:
        return str(printable(self.path, 200))

    def __repr__(self) -> str:
        return f"<line to {self.path!r}>"


_DOING = {
    "load": "start",
    "about": "say which it is",
    "tokens": "list its tokens",
    "info": "describe a token",
    "public_keys": "list public keys",
    "certificates": "list certificates",
    "kinds": "say what keys it makes",
    "objects": "list what shows",
    "all_objects": "list all it holds",
    "initialise": "erase a token",
    "login": "check a PIN",
    "keys": "list keys",
    "generate": "make a key",
    "sign": "sign",
    "destroy": "destroy a key",
    "logout": "log out",
}


def _named(info: TokenInfo) -> Named:
    return Named(info.serial, info.label, info.initialised)


def _keys(answer: Frame) -> tuple[TokenKey, ...]:
    return tuple(messages.key_from(k) for k in messages.objects(answer.head, "keys"))


def _objects(answer: Frame) -> tuple[TokenObject, ...]:
    return tuple(messages.object_from(o) for o in messages.objects(answer.head, "objects"))


def _one(items: tuple[T, ...]) -> T:
    if len(items) != 1:
        raise FrameError("one item")
    return items[0]
