"""The ceremony in lines and prompts: what a screen reader or a serial console gets."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from vestry.ceremony import conductor, rehearsal, transcript
from vestry.ceremony import events as e
from vestry.errors import Stopped
from vestry.plain.prompts import Prompts


class Typist(io.StringIO):
    """Reads what was printed since the last answer and types what it asks for; `first` are typed before that."""

    def __init__(self, out: io.StringIO, first: list[str] | None = None) -> None:
        super().__init__()
        self.out, self.first, self.read_to, self.typed = out, list(first or []), 0, 0

    def readline(self, *_: object) -> str:
        text = self.out.getvalue()[self.read_to :]
        self.typed += 1
        typed = self.first.pop(0) if self.first else self.answer(text)
        self.out.write("\n")  # what a terminal shows of Enter
        self.read_to = len(self.out.getvalue())
        return f"{typed}\n"

    def answer(self, text: str) -> str:
        prompt = text.rsplit("\n", 1)[-1]
        if "yes" in prompt:
            return "yes"
        if "number" in prompt:
            return "1"
        if "PIN" in prompt or "again" in prompt:
            return "practice-pin"
        if asked := re.search(r"Type\s+words\s+(\d+)\s+and\s+(\d+)", text):
            spoken = dict(re.findall(r"(\d+) ([A-Za-z]+)", text[asked.end() :]))
            return f"{spoken[asked[1]]} {spoken[asked[2]]}"
        if serial := re.search(r"serial\s+(\d{10})", text):
            return serial[1][-4:]
        return ""


def conduct(folder: Path, typist_first: list[str] | None = None) -> tuple[io.StringIO, Typist]:
    out = io.StringIO()
    typist = Typist(out, typist_first)
    script, inputs = rehearsal.prepare(folder, holders=3, threshold=2)
    conductor.conduct(script, inputs, folder, Prompts(read=typist, out=out))
    return out, typist


def test_a_whole_ceremony_in_lines(tmp_path: Path) -> None:
    """Who can't use a full screen must be able to hold the same ceremony, without an escape code."""
    out, _ = conduct(tmp_path / "r")
    text = out.getvalue()
    assert "All steps are done." in text
    assert "REHEARSAL" in text
    assert set(text) <= {chr(c) for c in range(0x20, 0x7F)} | {"\n"}
    assert [line for line in text.splitlines() if len(line) > 78 and "export" not in line] == []


def test_quit_note_and_wrong_answers(tmp_path: Path) -> None:
    """The words that always work, and answers that fit nothing."""
    with pytest.raises(Stopped):
        conduct(tmp_path / "r", ["quit"])
    with pytest.raises(Stopped):
        conduct(
            tmp_path / "r", ["note the lamp flickered", "maybe", "yes", "short", "practice-pin", "other-pin", "quit"]
        )
    conduct(tmp_path / "r")
    noted = [r.event for r in transcript.read(tmp_path / "r" / "transcript.jsonl")]
    assert [x.text for x in noted if isinstance(x, e.ExceptionNoted)] == ["the lamp flickered"]


def test_the_end_of_the_input_stops(tmp_path: Path) -> None:
    """A closed terminal must stop the ceremony, not spin."""
    script, inputs = rehearsal.prepare(tmp_path / "r", holders=3, threshold=2)
    with pytest.raises(Stopped, match="input ended"):
        conductor.conduct(script, inputs, tmp_path / "r", Prompts(read=io.StringIO(""), out=io.StringIO()))
