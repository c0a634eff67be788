"""What the rules and the clock of today would say of what was judged by those of its day."""

from __future__ import annotations

from datetime import datetime

from vestry.ceremony import attesting
from vestry.ceremony import events as e
from vestry.ceremony.decide import read_review
from vestry.ceremony.state import State
from vestry.metadata.keys import Key
from vestry.text import printable

_NAMED = 5


def differences(state: State, event: e.Event, now: str) -> str:
    """Findings that today's rules at the time `now` (as in a transcript) would add to those in `event`, or drop, as one
    printable sentence; empty where there are none. `state` is that before the event, which was decided already."""
    if isinstance(event, e.ReviewRead):
        fresh = read_review(state, event.role, now, today=True)
        found = {f.name for f in fresh.findings} | {s.finding.name for s in fresh.silenced}
        return _told(found, {*event.findings, *event.silenced})
    if isinstance(event, e.KeyGenerated | e.KeyTaken) and event.certificates:
        key_spec = state.script.key(event.key)
        spec = state.script.token(key_spec.token)
        key = Key.from_pem(event.public, key_spec.scheme, where=f"key '{event.key}'")
        serial, day = state.tokens[spec.name].serial, datetime.fromisoformat(now)
        judged = attesting.judge(state, spec, serial, key, event.certificates, now=day, today=True)
        return _told(set(judged.findings), set(event.findings))
    return ""


def _told(found: set[str], recorded: set[str]) -> str:
    parts = [
        f"{verb} {_listed(sorted(names))}"
        for verb, names in (("add", found - recorded), ("drop", recorded - found))
        if names
    ]
    return f"today's rules would {' and '.join(parts)}" if parts else ""


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(str(printable(name, 80)) for name in names[:_NAMED]) + more
