"""Makers' proofs of new keys, as the gate looks at them: when a key comes in, and at every replay."""

from __future__ import annotations

from vestry.ceremony import events as e
from vestry.ceremony.state import State
from vestry.metadata.keys import Key


def admit(state: State, event: e.KeyGenerated | e.KeyTaken, key: Key) -> None:
    """Refuse a key whose token must prove it, and does not."""
    del state, event, key
