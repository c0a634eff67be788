"""The tokens on the table: which physical token a name in the script stands for, now."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from types import TracebackType

from vestry.ceremony.script import Script, TokenSpec
from vestry.errors import TokenTrouble
from vestry.metadata.keys import Key
from vestry.text import printable
from vestry.tokens.inventory import find_module, open_source
from vestry.tokens.software import SoftwareSource
from vestry.tokens.token import Token, TokenSource


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

    def tokens(self, spec: TokenSpec) -> tuple[Token, ...]:
        """All tokens where `spec` is to be found."""
        return self._source(spec).tokens()

    def initialised_serials(self, spec: TokenSpec) -> tuple[str, ...]:
        """Serials of the initialised tokens there."""
        return tuple(sorted(t.info.serial for t in self.tokens(spec) if t.info.initialised))

    def to_initialise(self, spec: TokenSpec, taken: Collection[str]) -> Token:
        """The token that becomes `spec`: by its serial where the script names one, else a blank one.

        Raises:
            TokenTrouble: none is there.
        """
        if spec.serial:
            return self.by_serial(spec, spec.serial)
        for token in self.tokens(spec):
            info = token.info
            if not info.initialised and (not info.serial or info.serial not in taken):
                return token
        raise TokenTrouble(
            f"no blank token for '{spec.name}'",
            where=_place(spec),
            do=f"insert {spec.holder}'s token, or name its serial in the script if it is not blank",
            code="E-TOKEN-GONE",
        )

    def by_serial(self, spec: TokenSpec, serial: str) -> Token:
        """The one token with `serial`.

        Raises:
            TokenTrouble: it is not there, or two show the same serial.
        """
        found = [t for t in self.tokens(spec) if t.info.serial == serial]
        if not found:
            raise TokenTrouble(
                f"the token with serial {printable(serial)} is not there",
                where=_place(spec),
                do=f"insert {spec.holder}'s token",
                code="E-TOKEN-GONE",
            )
        if len(found) > 1:
            raise TokenTrouble(
                f"{len(found)} tokens show serial {printable(serial)}",
                where=_place(spec),
                do="remove the look-alike",
                code="E-TOKEN-TWO-ALIKE",
            )
        return found[0]

    def holding(self, spec: TokenSpec, key: Key) -> Token:
        """The one token that shows the public half of `key`."""
        found = [
            t for t in self.tokens(spec) if t.info.initialised and any(k.spki == key.spki for k in t.public_keys())
        ]
        if spec.serial:
            found = [t for t in found if t.info.serial == spec.serial]
        if len(found) != 1:
            raise TokenTrouble(
                f"{'no' if not found else len(found)} token shows key {key.keyid[:8]}",
                where=_place(spec),
                do=f"insert {spec.holder}'s token and only that",
                code="E-TOKEN-GONE" if not found else "E-TOKEN-TWO-ALIKE",
            )
        return found[0]

    def _source(self, spec: TokenSpec) -> TokenSource:
        path = self._software if spec.use == "software" else find_module(spec.module)
        place = f"{spec.use}:{path.resolve()}"  # one module by two paths must not be initialised twice
        if place not in self._sources:
            self._sources[place] = SoftwareSource(path) if spec.use == "software" else open_source(path)
        return self._sources[place]


def _place(spec: TokenSpec) -> str:
    return "software tokens" if spec.use == "software" else f"module {spec.module}"
