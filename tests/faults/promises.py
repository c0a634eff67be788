"""What holds of a ceremony that was cut off and went on: what every resume must reach, and must have told."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from people import SOFTHSM
from supervised import settings

from vestry.ceremony import conductor, events, transcript
from vestry.ceremony.replay import compare_files, replay
from vestry.ceremony.state import evolve
from vestry.errors import NotTrusted
from vestry.tokens.process import Pkcs11Source
from vestry.tokens.software import SoftwareSource

Records = Sequence[events.Recorded]


def recorded(folder: Path) -> tuple[events.Recorded, ...]:
    """The events of the ceremony in `folder`."""
    path = folder / conductor.TRANSCRIPT
    if not path.exists():
        return ()
    try:
        return transcript.read(path)
    except NotTrusted:
        return ()  # not one whole line; what is resumed says whether that is well


def documents(folder: Path) -> dict[str, Any]:
    """The signed documents, with each key and its id as the script's name for it, and without times and signatures."""
    names = {r.event.keyid: r.event.key for r in recorded(folder) if isinstance(r.event, events.KeyGenerated)}
    random = {"sig": "", "public": ""}

    def plain(value: Any, at: str = "") -> Any:
        if isinstance(value, dict):
            return {names.get(k, k): random.get(k, plain(v, k)) for k, v in value.items()}
        if isinstance(value, list):
            items = [plain(v) for v in value]
            return sorted(items, key=json.dumps) if at in ("signatures", "keyids") else items
        if isinstance(value, str):
            return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", names.get(value, value))
        return value

    found = {p.name: plain(json.loads(p.read_bytes())) for p in sorted((folder / "signed").iterdir())}
    assert len(found) == 3
    return found


def whole(folder: Path, tokens: str, expected: dict[str, Any], *, replayed: bool) -> None:
    """The ceremony is at its end and left what it leaves undisturbed; each key was made once. `replayed`: an auditor's
    replay holds as well, which asks of each line once more what was asked when it was written."""
    state, records = None, recorded(folder)
    for record in records:
        state = evolve(state, record)
    assert state is not None
    failed = [(s.recorded.n, s.why) for s in replay(records if replayed else ()) if s.verdict == "failed"]
    assert not failed, failed
    files = [f for f in compare_files(state, folder) if f.verdict != "recomputed"]
    assert not files, files
    assert documents(folder) == expected
    exported = {p.name: p.read_bytes() for p in (folder / "export" / "metadata").iterdir()}
    assert exported == {p.name: p.read_bytes() for p in (folder / "signed").iterdir()}
    sums = ["sha256sum", "-c", "--status", "--strict", "SHA256SUMS"]
    assert subprocess.run(sums, cwd=folder / "export", check=False).returncode == 0
    assert set(state.seals) == {"Alice", "Bob"}
    alive = Counter(name for name, facts in state.keys.items() if not facts.destroyed)
    assert Counter(_listed(folder, tokens)) == alive
    litter = [p for p in folder.rglob("*") if re.search(r"\.part$|\.new|\.gone-", p.name)]
    assert not litter, litter


def strays(folder: Path, before: Records, tokens: str) -> list[str]:
    """Keys on the tokens that the transcript does not tell of, where it tells that one was to be made."""
    intent = _unanswered(before)
    if intent is None or not isinstance(intent.event, events.GenerateIntended):
        return []
    return [name for name in _listed(folder, tokens) if name == intent.event.key]


def told(before: Records, after: Records, said: Sequence[str], stray: Sequence[str]) -> None:
    """Nothing recorded was lost; what was open after `before` was said to be, and recorded once as what it was."""
    assert after[: len(before)] == before, "events were lost"
    if after[len(before)].n and not isinstance(after[len(before)].event, events.Resumed):
        before = after[: len(before) + 1]  # a line that lacked nothing but its newline: it was given that
    intent = _unanswered(before)
    if intent is None:
        return
    new = [r.event for r in after[len(before) :]]
    (closed,) = [event for event in new if getattr(event, "intent", None) == intent.n]
    assert any(f"Line {intent.n} of the transcript has no result" in line for line in said), said
    if isinstance(intent.event, events.SignatureIntended | events.SealIntended):
        # Whether the token signed is not known: the transcript says so, and so was its holder told.
        assert isinstance(closed, events.IntentAbandoned)
        assert "signatures" in closed.found
        assert any(f"Looked into line {intent.n}" in line for line in said), said
    for name in stray:
        kept = isinstance(closed, events.KeyGenerated) and closed.key == name and closed.found
        assert kept or (isinstance(closed, events.IntentAbandoned) and name in closed.found), name


def _listed(folder: Path, tokens: str) -> list[str]:
    """Labels of all keys on all tokens."""
    source: Any = SoftwareSource(folder / "tokens")
    if tokens == "softhsm":
        settings(folder, tokens)
        source = Pkcs11Source(SOFTHSM)
    try:
        return [k.label for t in source.tokens() if t.info.initialised for k in t.public_keys()]
    finally:
        source.close()


def _unanswered(records: Records) -> events.Recorded | None:
    while records and isinstance(records[-1].event, events.Resumed):
        records = records[:-1]
    return records[-1] if records and type(records[-1].event).__name__.endswith("Intended") else None
