"""``vestry tokens``: which tokens are here, and the public halves of their keys. No PIN is asked for."""

from __future__ import annotations

import argparse

from vestry.cli import output, sources
from vestry.errors import ExitStatus, VestryError
from vestry.text import printable
from vestry.tokens.token import Token, TokenKey


def run(args: argparse.Namespace) -> int:
    """List; 3 where a module or token failed."""
    listed: list[tuple[Token, tuple[TokenKey, ...]]] = []
    with sources.opened(args.software, args.module) as (found, troubles):
        failed: list[VestryError] = list(troubles)
        for source in found:
            try:
                for token in source.tokens():
                    listed.append((token, token.public_keys() if token.info.initialised else ()))
            except VestryError as error:
                failed.append(error)
        if args.json:
            output.emit(
                {"tokens": [_object(t, keys) for t, keys in listed], "troubles": [error.to_dict() for error in failed]}
            )
        else:
            for token, keys in listed:
                output.line(*_lines(token, keys))
            if not listed:
                output.narrate("No token is here.")
            output.narrate(*(str(error) for error in failed))
    return int(ExitStatus.DEVICE_FAILED if failed else ExitStatus.DONE)


def _object(token: Token, keys: tuple[TokenKey, ...]) -> dict[str, object]:
    info = token.info
    return {
        "module": info.module,
        "module_sha256": info.module_sha256,
        "manufacturer": info.manufacturer,
        "model": info.model,
        "serial": info.serial,
        "label": info.label,
        "firmware": info.firmware,
        "initialised": info.initialised,
        "pin_ready": info.pin_ready,
        "tries": info.tries,
        "tries_left": info.tries_left,
        "keys": [
            {"uri": k.uri, "label": k.label, "id": k.id.hex(), "scheme": k.kind.scheme, "facts": dict(k.facts)}
            for k in keys
        ],
    }


def _lines(token: Token, keys: tuple[TokenKey, ...]) -> list[str]:
    info = token.info
    state = "blank" if not info.initialised else "ready" if info.pin_ready else "no PIN set"
    tries = {"low": ", few PIN tries left", "last": ", one PIN try left", "locked": ", PIN locked"}.get(info.tries, "")
    named = f"serial {printable(info.serial, 40) or '(none)'}  {printable(info.label, 40) or '(no label)'}"
    lines = [
        f"{named}  {printable(info.manufacturer, 40)} {printable(info.model, 40)}  {state}{tries}",
        f"  module {printable(info.module, 200)}",
    ]
    lines += [f"  key {printable(k.label, 60)}  {k.kind.scheme}  {printable(k.uri, 300)}" for k in keys]
    return lines
