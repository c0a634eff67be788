"""SIGKILL between any two events, and the same line again: the ceremony ends, nothing is made twice or lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from vestry.ceremony import rehearsal, transcript
from vestry.ceremony.replay import compare_files, replay
from vestry.tokens.software import SoftwareSource

SHARDS = 4


@pytest.mark.parametrize("first", range(1, SHARDS + 1))
def test_killed_between_any_two_events(first: int, repository: Path, tmp_path: Path) -> None:
    """A power cut must cost nothing but time: no key twice, no signature lost, no document left half signed."""
    rehearsal.prepare(tmp_path / "prepared", holders=2, threshold=2)
    ran = subprocess.run(
        [
            sys.executable,
            str(repository / "tests" / "faults" / "kill_driver.py"),
            str(tmp_path / "prepared"),
            str(tmp_path / "work"),
            str(first),
            str(SHARDS),
        ],
        env={**os.environ, "PYTHONPATH": f"{repository / 'tests'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    killed = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(killed) >= 10
    for one in killed:
        _whole(Path(one["folder"]), one["killed_after"])


def _whole(folder: Path, killed_after: int) -> None:
    records = transcript.read(folder / "transcript.jsonl")
    steps = list(replay(records))
    assert [s for s in steps if s.verdict == "failed"] == [], killed_after
    state = steps[-1].state
    assert state is not None
    assert set(state.outputs) == {"1.root.json", "1.targets.json", "1.bins.json"}
    assert all(t.met for role in state.documents for t in state.tallies(role)), killed_after
    made = Counter(r.event.key for r in records if type(r.event).__name__ == "KeyGenerated")
    assert set(made.values()) == {1}, (killed_after, made)
    assert all(f.verdict == "recomputed" for f in compare_files(state, folder)), killed_after
    tokens = SoftwareSource(folder / "tokens")
    listed = Counter(k.label for t in tokens.tokens() if t.info.initialised for k in t.public_keys())
    tokens.close()
    alive = Counter(name for name, facts in state.keys.items() if not facts.destroyed)
    assert listed == alive, killed_after
