"""Transcripts of each format that was ever written replay for ever. They are kept as they were; never made anew."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vestry.ceremony import transcript
from vestry.ceremony.account import summary
from vestry.ceremony.replay import compare_files, replay

KEPT = Path(__file__).parents[1] / "transcripts"
VERIFIER = Path(__file__).parents[1] / "standalone_verifier.py"
HEADS = {
    "v1/complete": "7fd40ad8e5f3e6915accaa155e2e69557f5d3ce6d77cc680e6ba5126ab090731",
    "v1/resumed": "81f40394213d21f20e36e7b512d70dc170ce785ff78d733fc20f1190d6520a8c",
}


def test_none_is_missing() -> None:
    """A transcript that is gone is one that nobody promises to read."""
    assert {p.parent.relative_to(KEPT).as_posix() for p in KEPT.rglob("transcript.jsonl")} == HEADS.keys()


@pytest.mark.parametrize("name", HEADS)
def test_it_replays_as_on_its_day(name: str) -> None:
    """An auditor comes years later, with a newer program."""
    steps = list(replay(transcript.read(KEPT / name / "transcript.jsonl")))
    result = summary(steps, ())
    assert result["ok"], [step.why for step in steps if step.verdict == "failed"]
    assert result["head"] == HEADS[name]
    assert result["complete"]
    assert result["sealed"] == {"Alice": True, "Bob": True}


def test_its_files_are_made_again() -> None:
    """Bundles, signed documents and seals follow from it, byte for byte, however they are made today."""
    folder = KEPT / "v1" / "complete"
    state = list(replay(transcript.read(folder / "transcript.jsonl")))[-1].state
    assert state is not None
    assert [f.name for f in compare_files(state, folder) if f.verdict == "failed"] == []


def test_it_verifies_without_vestry() -> None:
    """The formats are documented so that somebody else's program reads them."""
    done = subprocess.run(
        [sys.executable, str(VERIFIER), str(KEPT / "v1" / "complete")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
