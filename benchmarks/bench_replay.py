"""A transcript of 100,000 events replayed by the verb, against reading and hashing the same file.

python benchmarks/bench_replay.py [EVENTS]
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from dataclasses import fields, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import apart
from people import People

from vestry.ceremony import chain, conductor, rehearsal, transcript
from vestry.ceremony import events as e

EVENTS = 100_000
AFTER = 2
"""Lines after which the notes stand: the ceremony is open, and who is there is known."""


def long(folder: Path, count: int) -> Path:
    """A whole rehearsal in which `count` exceptions were noted. Its seals are left out: they are over another head."""
    script, inputs = rehearsal.prepare(folder / "r", holders=2, threshold=2)
    conductor.conduct(script, inputs, folder / "r", People())
    # No intent is open there, and all that name a line of theirs stand after the notes.
    events = [r for r in transcript.read(folder / "r" / "transcript.jsonl") if not isinstance(r.event, _SEALS)]
    notes = [events[AFTER]._replace(event=e.ExceptionNoted(1, f"note {n}")) for n in range(count - len(events))]
    path, head = folder / "transcript.jsonl", chain.NO_HEAD
    with path.open("wb") as file:
        for n, r in enumerate([*events[: AFTER + 1], *notes, *events[AFTER + 1 :]]):
            event = r.event
            if n > AFTER and any(f.name == "intent" for f in fields(event)):
                event = replace(event, intent=event.intent + len(notes))  # type: ignore[union-attr, call-arg]
            raw, made = chain.make(event, n=n, before=head, at=r.at, mono=r.mono, by=r.by)
            file.write(raw)
            head = made.head
    return path


_SEALS = (e.SealOpened, e.SealIntended, e.Sealed)


def replayed(path: Path) -> tuple[float, float]:
    """Seconds of the processor, and MiB."""
    _, seconds, peak = apart.counted(sys.executable, "-m", "vestry", "replay", str(path), "--plain")
    return seconds, peak


def main() -> None:
    """Print one line."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    with tempfile.TemporaryDirectory() as folder:
        few, least = replayed(long(Path(folder) / "few", 100))
        path = long(Path(folder) / "many", count)
        begun = time.process_time()
        hashlib.sha256(path.read_bytes()).hexdigest()
        floor = time.process_time() - begun
        seconds, peak = replayed(path)
        rate = (count - 100) / (seconds - few)
        print(
            f"replay of {count:,} events, {path.stat().st_size / 1e6:.0f} MB: {seconds:.1f} s, {rate:,.0f} events a"
            f" second (limit 10,000), {seconds / floor:.0f} x reading and hashing the file;"
            f" {peak:.0f} MiB against {least:.0f} MiB for 100 events"
        )


if __name__ == "__main__":
    main()
