"""Token types of third parties: entry points of the group ``vestry.tokens``.

An entry point names a callable without arguments that returns a `TokenSource`; its name is what a script writes for
``module``. It runs in this process, as part of the program, so it is loaded only where a person or a script names it,
never to look what is there. What was loaded is told by `TokenInfo.module`, which this module sets, with the digest of
the distribution's files. Whatever a plug-in raises that is no `TokenTrouble` becomes one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TypeVar

from vestry.errors import TokenTrouble
from vestry.machine.integrity import Module
from vestry.text import printable
from vestry.tokens.token import (
    KeyKind,
    Pin,
    Token,
    TokenCertificate,
    TokenInfo,
    TokenKey,
    TokenObject,
    TokenSource,
    Unlocked,
)

GROUP = "vestry.tokens"

T = TypeVar("T")


def names() -> tuple[str, ...]:
    """Names of all installed plug-ins; none is loaded."""
    return tuple(sorted(point.name for point in metadata.entry_points(group=GROUP)))


def open_plugin(name: str) -> TokenSource:
    """Load the plug-in called `name` and open its tokens.

    Raises:
        TokenTrouble: E-MODULE-LOAD: there is none of that name, there are two, or it does not load.
    """
    found = list(metadata.entry_points(group=GROUP, name=name))
    shown = printable(name, 60)
    if len(found) != 1:
        raise TokenTrouble(
            f"{len(found) or 'no'} token plug-ins are called '{shown}'",
            where=f"entry points {GROUP}",
            do="install it, and only once",
            code="E-MODULE-LOAD",
        )
    point = found[0]
    try:
        source: Callable[[], TokenSource] = point.load()
        opened = source()
    except Exception as error:  # noqa: BLE001 - a stranger's code; whatever it raises, it is not usable
        raise TokenTrouble(
            f"the token plug-in '{shown}' does not load: {printable(str(error) or type(error).__name__, 200)}",
            where=str(printable(point.value, 100)),
            do="install a version for this release of Vestry, or ask its maker",
            code="E-MODULE-LOAD",
        ) from None
    version = f" {point.dist.version}" if point.dist is not None else ""
    return _Source(opened, f"plug-in {point.name}{version}", _sha256(point))


def about(name: str) -> Module:
    """What is installed as the plug-in called `name`; it is not loaded."""
    points = list(metadata.entry_points(group=GROUP, name=name))
    if len(points) != 1:
        return Module(name, trouble=f"{len(points) or 'no'} token plug-ins are called that")
    version = points[0].dist.version if points[0].dist is not None else ""
    return Module(name, f"plug-in {points[0].value}", version, _sha256(points[0]))


def _sha256(point: metadata.EntryPoint) -> str:
    """One digest over the distribution's files, sorted by name."""
    total = hashlib.sha256()
    files = point.dist.files if point.dist is not None else None
    for file in sorted(files or (), key=str):
        path = Path(str(file.locate()))
        if path.is_file() and path.suffix != ".pyc":
            total.update(f"{file}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


class _Source:
    """A plug-in's source; its tokens say which plug-in they come from."""

    def __init__(self, inner: TokenSource, module: str, sha256: str) -> None:
        self._inner, self._module, self._sha256 = inner, module, sha256

    def tokens(self) -> tuple[Token, ...]:
        return tuple(_Token(t, self._module, self._sha256) for t in _told(self._inner.tokens))

    def cancel(self) -> None:
        _told(self._inner.cancel)

    def close(self) -> None:
        _told(self._inner.close)


class _Token:
    def __init__(self, inner: Token, module: str, sha256: str) -> None:
        self._inner, self._module, self._sha256 = inner, module, sha256

    @property
    def info(self) -> TokenInfo:
        return replace(_told(lambda: self._inner.info), module=self._module, module_sha256=self._sha256)

    def public_keys(self) -> tuple[TokenKey, ...]:
        return _told(self._inner.public_keys)

    def objects(self) -> tuple[TokenObject, ...]:
        return _told(self._inner.objects)

    def certificates(self) -> tuple[TokenCertificate, ...]:
        return _told(self._inner.certificates)

    def kinds(self) -> tuple[KeyKind, ...]:
        return _told(self._inner.kinds)

    def initialise(self, label: str, so_pin: Pin, pin: Pin) -> Token:
        fresh = _told(lambda: self._inner.initialise(label, so_pin, pin), acting=True)
        return _Token(fresh, self._module, self._sha256)

    @contextmanager
    def unlock(self, pin: Pin) -> Iterator[Unlocked]:
        opened = _told(lambda: self._inner.unlock(pin))
        unlocked = _told(opened.__enter__)
        try:
            yield _Unlocked(unlocked)
        finally:
            _told(lambda: opened.__exit__(None, None, None))


class _Unlocked:
    def __init__(self, inner: Unlocked) -> None:
        self._inner = inner

    def keys(self) -> tuple[TokenKey, ...]:
        return _told(self._inner.keys)

    def objects(self) -> tuple[TokenObject, ...]:
        return _told(self._inner.objects)

    def generate(self, kind: KeyKind, label: str) -> TokenKey:
        return _told(lambda: self._inner.generate(kind, label), acting=True)

    def sign(self, key: TokenKey, message: bytes) -> bytes:
        return _told(lambda: self._inner.sign(key, message), acting=True)

    def destroy(self, key: TokenKey) -> None:
        _told(lambda: self._inner.destroy(key), acting=True)


def _told(ask: Callable[[], T], *, acting: bool = False) -> T:
    try:
        return ask()
    except TokenTrouble:
        raise
    except Exception as error:  # noqa: BLE001 - a stranger's code; its text may hold anything, so only its kind is told
        raise TokenTrouble(
            f"the token plug-in failed ({printable(type(error).__name__, 60)})",
            do="go on from the same place, or use another token",
            code="E-MODULE-CRASHED",
            unknown=acting,
        ) from None
