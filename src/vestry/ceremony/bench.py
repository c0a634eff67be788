"""The tokens on the table: which physical token a name in the script stands for, now."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from vestry.ceremony.script import Script, TokenSpec
from vestry.errors import TokenTrouble
from vestry.machine.integrity import Module
from vestry.metadata.keys import Key
from vestry.text import printable
from vestry.tokens import inventory, plugins
from vestry.tokens.process import Pkcs11Source
from vestry.tokens.software import SoftwareSource
from vestry.tokens.token import Token, TokenInfo, TokenSource
from vestry.tokens.uri import ANY, KeyUri, fits


class Bench:
    """Token sources, opened when first needed: one child process a module, and one folder of software tokens."""

    def __init__(self, script: Script, software: Path) -> None:
        self._script, self._software = script, software
        self._sources: dict[str, TokenSource] = {}

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        for source in self._sources.values():
            source.close()
        self._sources.clear()

    def modules(self) -> tuple[Module, ...]:
        """Every module and plug-in that the script names, with what it says of itself; modules are loaded for it."""
        named = {spec.module: spec for spec in self._script.tokens if spec.use != "software"}
        return tuple(self._about(spec) for spec in named.values())

    def _about(self, spec: TokenSpec) -> Module:
        if spec.use == "plugin":
            return plugins.about(spec.module)
        try:
            source = self._source(spec)
            assert isinstance(source, Pkcs11Source)
            return replace(source.about(), name=spec.module)
        except TokenTrouble as error:
            return Module(spec.module, trouble=error.what)

    def tokens(self, spec: TokenSpec) -> tuple[Token, ...]:
        """All tokens where `spec` is to be found."""
        return self._source(spec).tokens()

    def initialised_serials(self, spec: TokenSpec) -> tuple[str, ...]:
        """Serials of the initialised tokens there."""
        return tuple(sorted(t.info.serial for t in self.tokens(spec) if t.info.initialised))

    def to_initialise(self, spec: TokenSpec, taken: Collection[str]) -> tuple[Token, ...]:
        """Tokens that may become `spec`: the one that the script names, else blank ones. A YubiKey is blank when it
        holds no key of anybody's.

        Raises:
            TokenTrouble: none is there.
        """
        if spec.serial:
            return (self.by_serial(spec, spec.serial, ""),)
        like = replace(spec.like, id=b"", object="", type="", token="")
        blanks = tuple(
            t for t in self.tokens(spec) if _blank(t) and t.info.serial not in taken and fits(like, shown(t.info))
        )
        if not blanks:
            raise TokenTrouble(
                f"no blank token for '{spec.name}'",
                where=_place(spec),
                do=f"insert {spec.holder}'s token, or name its serial in the script if it is not blank",
                code="E-TOKEN-GONE",
            )
        return blanks

    def spare(self) -> Token:
        """A new blank software token, as from a drawer."""
        return SoftwareSource(self._software).create(f"{secrets.randbelow(10**10):010d}")

    def named(self, spec: TokenSpec) -> Token:
        """The one token that shows what the script says of `spec`: serial, label, maker, model.

        Raises:
            TokenTrouble: it is not there, or several fit.
        """
        like = replace(spec.like, serial=spec.serial, id=b"", object="", type="")
        return self._one(spec, [t for t in self.tokens(spec) if t.info.initialised and fits(like, shown(t.info))])

    def by_serial(self, spec: TokenSpec, serial: str, model: str) -> Token:
        """The one token with `serial`, of `model` where that is known.

        Raises:
            TokenTrouble: it is not there, two show the same serial, or it is a look-alike: of another model, or not
                what the script says of it.
        """
        found = self._one(spec, [t for t in self.tokens(spec) if t.info.serial == serial])
        info = found.info
        like = replace(spec.like, id=b"", object="", type="", token=spec.like.token if not spec.erase else "")
        if (model and info.model != model) or not fits(like, shown(info)):
            raise TokenTrouble(
                f"the token with serial {printable(serial)} is another device: {printable(info.model, 40)}",
                where=_place(spec),
                do=f"remove the look-alike and insert {spec.holder}'s token",
                code="E-TOKEN-TWO-ALIKE",
            )
        return found

    def _one(self, spec: TokenSpec, found: list[Token]) -> Token:
        if not found:
            serial = f", serial {printable(spec.serial)}," if spec.serial else ""
            raise TokenTrouble(
                f"the token '{spec.name}'{serial} is not there",
                where=_place(spec),
                do=f"insert {spec.holder}'s token",
                code="E-TOKEN-GONE",
            )
        if len(found) > 1:
            raise TokenTrouble(
                f"{len(found)} tokens look like '{spec.name}'",
                where=_place(spec),
                do="remove the look-alike",
                code="E-TOKEN-TWO-ALIKE",
            )
        return found[0]

    def canceller(self, spec: TokenSpec) -> Callable[[], None] | None:
        """What ends the wait for a token of `spec`, from any thread; None where there is nothing to wait for."""
        return None if spec.use == "software" else self._source(spec).cancel

    def holding(self, spec: TokenSpec, key: Key) -> Token:
        """The one token that shows the public half of `key`."""
        found = [
            t for t in self.tokens(spec) if t.info.initialised and any(k.spki == key.spki for k in t.public_keys())
        ]
        if spec.serial:
            found = [t for t in found if t.info.serial == spec.serial]
        if not found and (spec.serial or spec.like != ANY):
            return self.named(spec)  # some devices show no key before they are unlocked; it is looked for then
        if len(found) != 1:
            raise TokenTrouble(
                f"{'no' if not found else len(found)} token shows key {key.keyid[:8]}",
                where=_place(spec),
                do=f"insert {spec.holder}'s token and only that",
                code="E-TOKEN-GONE" if not found else "E-TOKEN-TWO-ALIKE",
            )
        return found[0]

    def showing(self, key: Key, holder: str) -> Token:
        """A token that shows the public half of `key`, which is none of the script's: of a module that the script names
        or that is installed here.

        Raises:
            TokenTrouble: none is there.
        """
        for spec in self._script.tokens:
            with suppress(TokenTrouble):
                self._source(spec)
        for path in inventory.modules():
            with suppress(TokenTrouble):
                self._pkcs11(path)
        for source in self._sources.values():
            with suppress(TokenTrouble):
                for token in source.tokens():
                    if token.info.initialised and any(k.spki == key.spki for k in token.public_keys()):
                        return token
        do = f"insert the token of {printable(holder, 80)}, or name a file"
        raise TokenTrouble(f"no token shows key {key.keyid[:8]}", do=do, code="E-TOKEN-GONE")

    def _source(self, spec: TokenSpec) -> TokenSource:
        if spec.use == "software":
            return self._opened(f"software:{self._software.resolve()}", lambda: SoftwareSource(self._software))
        if spec.use == "plugin":
            return self._opened(f"plug-in:{spec.module}", lambda: plugins.open_plugin(spec.module))
        return self._pkcs11(inventory.find_module(spec.module))

    def _pkcs11(self, path: Path) -> TokenSource:
        # One module by two paths must not be initialised twice.
        return self._opened(f"pkcs11:{path.resolve()}", lambda: inventory.open_source(path))

    def _opened(self, place: str, opener: Callable[[], TokenSource]) -> TokenSource:
        if place not in self._sources:
            self._sources[place] = opener()
        return self._sources[place]


def shown(info: TokenInfo) -> KeyUri:
    """What a token shows of itself, as a reference (RFC 7512) compares it."""
    return KeyUri(serial=info.serial, token=info.label, manufacturer=info.manufacturer, model=info.model)


def _blank(token: Token) -> bool:
    info = token.info
    return not info.initialised or (info.reset == "puk" and not token.public_keys())


def _place(spec: TokenSpec) -> str:
    return "software tokens" if spec.use == "software" else f"module {spec.module}"
