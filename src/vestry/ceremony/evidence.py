"""What a device shows beside a new key: its maker's proof, and any other certificate. Gathered here, judged by
`attesting`."""

from __future__ import annotations

from dataclasses import dataclass

from vestry.ceremony.room import Room
from vestry.ceremony.script import KeySpec
from vestry.metadata.keys import Key
from vestry.tokens.token import Token


@dataclass(frozen=True)
class Evidence:
    """Certificates (PEM) that came with a key, and the findings on them that people accepted."""

    certificates: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()


def gather(room: Room, spec: KeySpec, token: Token, key: Key) -> Evidence:
    """What the token, or its maker's files, say of `key`."""
    del room, spec, token, key
    return Evidence()
