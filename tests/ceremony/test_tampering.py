"""Tamper evidence, exhaustively: every byte and every line of a small complete ceremony, and every byte of its outputs.

A change is detected, or it leaves a shorter transcript that holds and visibly is not the whole: not complete, or not
sealed. Each byte gets a few other values here, and each of its 255 others in `make faults` (EVERY_VALUE=1).
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from people import People

from vestry.ceremony import chain, codec, conductor, rehearsal, transcript
from vestry.ceremony.account import statement, summary
from vestry.ceremony.clock import SystemClock
from vestry.ceremony.replay import ReplayStep, _compared, compare_files, continued, replay
from vestry.ceremony.transcript import Transcript, _Scan
from vestry.cli.dispatch import main
from vestry.errors import NotTrusted, VestryError

EVERY_VALUE = "EVERY_VALUE" in os.environ
CHUNKS = 8 if EVERY_VALUE else 1
BYTES = tuple(bytes([value]) for value in range(256))


def others(byte: int) -> set[int]:
    """What a byte is changed to: its lowest bit, its case, a line feed; or anything."""
    few = {byte ^ 1, byte ^ 0x20, 0x0A}
    return (set(range(256)) if EVERY_VALUE else few) - {byte}


@dataclass(frozen=True)
class Whole:
    """A ceremony's folder, the lines of its transcript, the head before each of them, and its replay."""

    folder: Path
    lines: tuple[bytes, ...]
    heads: tuple[str, ...]
    steps: tuple[ReplayStep, ...]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("tampering") / "r"
    script, inputs = rehearsal.prepare(folder, holders=2, threshold=2)
    conductor.conduct(script, inputs, folder, People())
    lines = tuple((folder / "transcript.jsonl").read_bytes().splitlines(keepends=True))
    read = transcript.read(folder / "transcript.jsonl")
    heads = (chain.NO_HEAD, *(r.head for r in read[:-1]))
    return Whole(folder, lines, heads, tuple(replay(read)))


def at_line(whole: Whole, n: int) -> _Scan:
    """A reader that has come to line `n`, so that the lines above need not be read for each change."""
    scan = _Scan("transcript")
    scan.n, scan.head = n, whole.heads[n]
    return scan


def refused(whole: Whole, n: int, *instead: bytes) -> bool:
    """Whether a reader at line `n` takes none of `instead`, nor the two lines after it; then it takes no other."""
    scan = at_line(whole, n)
    try:
        return all(scan.feed(line) is None for line in (*instead, *whole.lines[n + 1 : n + 3]))
    except NotTrusted:
        return True


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_changed_byte_is_found(whole: Whole, chunk: int) -> None:
    """One digit of a bag number, one letter of a name.

    A changed line has no longer the form of one, or just one of its parts differs: its number, its head, or what was
    hashed. `chain.check`, all that a reader asks of a line, takes only one of two such lines, or SHA-256 has a
    collision; that it does, it is asked itself at each byte. A newline makes two lines of one, so that the reader is
    asked.
    """
    for n in range(chunk, len(whole.lines), CHUNKS):
        line, before = whole.lines[n], whole.heads[n]
        assert chain.check(line, n=n, before=before) == whole.steps[n].recorded
        right = chain.parts(line)[:3]
        for at, byte in enumerate(line):
            above, below = line[:at], line[at + 1 :]
            for value in others(byte):
                other = BYTES[value]
                if value == 0x0A:
                    assert refused(whole, n, *(above + other + below).splitlines(keepends=True)), (n, at)
                    continue
                try:
                    parts = chain.parts(above + other + below)
                except NotTrusted:
                    continue
                a, b, c = (mine == theirs for mine, theirs in zip(parts[:3], right, strict=True))
                assert a + b + c == 2, (n, at, value)
            with pytest.raises(NotTrusted):
                chain.check(above + BYTES[byte ^ 1] + below, n=n, before=before)


def test_every_reader_refuses_what_the_line_refuses(whole: Whole, tmp_path: Path) -> None:
    """A change in each line, at places and to values by lot: reading, going on, and the verb that replays."""
    lot = Random(5)
    path = tmp_path / "transcript.jsonl"
    raw = b"".join(whole.lines)
    begins = [len(b"".join(whole.lines[:n])) for n in range(len(whole.lines))]
    for n, line in enumerate(whole.lines):
        at = begins[n] + lot.randrange(len(line) - 1)
        spoilt = raw[:at] + bytes([(raw[at] + lot.randrange(1, 256)) % 256]) + raw[at + 1 :]
        path.write_bytes(spoilt)
        with pytest.raises(NotTrusted):
            transcript.read(path)
        last = n == len(whole.lines) - 1
        # At the very end, what no longer is a line looks like one that a crash cut short, and is told by `resumed`.
        with suppress(NotTrusted) if last else pytest.raises(NotTrusted):
            Transcript.open(path, clock=SystemClock())[0].close()
        assert path.read_bytes() == spoilt
        if n % 8 == 0:
            assert main(["replay", str(path), "--json"]) == 1


def test_the_end_of_the_last_line_changed_is_a_shorter_transcript(whole: Whole) -> None:
    """Without its newline the last line is one that was never finished: less is left, and it is not sealed by all."""
    raw = b"".join(whole.lines)
    shorter = [step.recorded for step in whole.steps[:-1]]
    for other in BYTES:
        if other != b"\n":
            assert list(transcript.read(raw[:-1] + other)) == shorter
    left = list(replay(shorter))
    assert [step.recorded for step in left] == shorter
    assert not summary(left, ())["complete"]


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_truncation_leaves_less_and_shows_it(whole: Whole, chunk: int) -> None:
    """A transcript without its end must never pass for one that was sealed."""
    last = len(whole.lines) - 1
    for n in range(chunk, len(whole.lines), CHUNKS):
        for at in range(len(whole.lines[n])):
            assert at_line(whole, n).feed(whole.lines[n][:at]) is None
        for at in {1, len(whole.lines[n]) // 2, len(whole.lines[n]) - 1} if n else ():
            left = transcript.read(b"".join(whole.lines[:n]) + whole.lines[n][:at])
            assert [r.head for r in left] == [step.recorded.head for step in whole.steps[:n]]
        result = summary(list(whole.steps[: n + 1]), ())
        assert (result["complete"] and len(result["sealed"]) == 2) == (n == last)
        if n < last:
            assert "Nobody sealed it." in statement(result) or not result["complete"]
    with pytest.raises(NotTrusted):
        transcript.read(b"")


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_line_that_is_gone_doubled_put_in_or_moved_is_found(whole: Whole, chunk: int) -> None:
    """An event that did not happen, or one that did and is not told."""
    count = len(whole.lines)
    for n in range(chunk, count, CHUNKS):
        if n < count - 1:  # without its last line it is shorter, and shows it
            assert refused(whole, n)
        assert refused(whole, n, whole.lines[n - 1]) or n == 0
        for other in range(count):
            if other != n:
                # In the place of this line, or before it: at once, or as soon as the lines after it are read.
                assert at_line(whole, n).feed(whole.lines[other]) is None
                swapped = list(whole.lines)
                swapped[n], swapped[other] = swapped[other], swapped[n]
                first = min(n, other)
                assert refused(whole, first, *swapped[first : first + 3])
        doubled = b"".join([*whole.lines[: n + 1], *whole.lines[n:]])
        if n < count - 1:
            with pytest.raises(NotTrusted):
                transcript.read(doubled)
        with pytest.raises(NotTrusted):
            transcript.read(doubled + whole.lines[0])


class Held:
    """A file whose content is in memory, as far as a comparison looks at one."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def is_file(self) -> bool:
        return True

    def stat(self) -> SimpleNamespace:
        return SimpleNamespace(st_size=len(self.content))

    def read_bytes(self) -> bytes:
        return self.content


def found(content: bytes, instead: bytes) -> bool:
    """Whether replay finds that a file holds `instead` of `content`."""
    return _compared(cast("Path", Held(instead)), content)[0] == "failed"


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_change_to_every_output_is_found(whole: Whole, chunk: int) -> None:
    """The transcript gives each file again, to the last byte; so whatever lies beside it is held against that: each
    byte, each cut, each line gone, doubled or moved."""
    state = whole.steps[-1].state
    assert state is not None
    names = [f.name for f in compare_files(state, whole.folder)]
    assert {"signed/1.root.json", "bundles/root/SHA256SUMS", "script.toml", "seals/alice.json"} <= set(names)
    assert {"export/metadata/1.root.json", "export/SHA256SUMS"} <= set(names)
    for name in names[chunk::CHUNKS]:
        content = (whole.folder / name).read_bytes()
        assert not found(content, content)
        for at, byte in enumerate(content):
            above, below = content[:at], content[at + 1 :]
            assert all(found(content, above + BYTES[value] + below) for value in others(byte)), (name, at)
            assert found(content, above), (name, at)
        assert found(content, content + b"\n")
        lines = content.splitlines(keepends=True)
        for n, line in enumerate(lines):
            assert found(content, b"".join(lines[:n] + lines[n + 1 :]))
            assert found(content, b"".join([*lines[:n], line, *lines[n:]]))
            for other in range(n):
                if lines[other] != line:
                    moved = list(lines)
                    moved[n], moved[other] = lines[other], line
                    assert found(content, b"".join(moved))


def test_files_that_are_changed_gone_or_added_are_found(whole: Whole, tmp_path: Path) -> None:
    """On a real disk: a byte, an end, a whole file, a folder in its place, and files that nothing accounts for."""
    folder = tmp_path / "r"
    shutil.copytree(whole.folder, folder)
    state = whole.steps[-1].state
    assert state is not None

    def failed() -> list[str]:
        return [f.name for f in compare_files(state, folder) if f.verdict == "failed"]

    assert failed() == []
    for name in [f.name for f in compare_files(state, folder)]:
        path, content = folder / name, (folder / name).read_bytes()
        for instead in (content[:-1], content[:-1] + bytes([content[-1] ^ 1]), b""):
            path.write_bytes(instead)
            assert failed() == [name]
        path.unlink()
        assert failed() == [name]
        path.mkdir()
        assert failed() == [name]
        path.rmdir()
        path.write_bytes(content)
    for name in ("signed/2.root.json", "bundles/root/signatures/00.json", "bundles/x/y/z", "inputs/other.pem"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"{}")
        assert failed() == [name]
        assert main(["replay", str(folder), "--plain"]) == 1
        (folder / name).unlink()
    (folder / "signed" / "3.root.json").symlink_to("1.root.json")
    assert failed() == ["signed/3.root.json"]


WRONG: tuple[Any, ...] = (
    "",
    "x",
    "00" * 32,
    "ff" * 40,
    -1,
    0,
    2**63,
    True,
    None,
    [],
    {},
    ["x"],
    {"x": "y"},
    "\x00",
    "9" * 400,
)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_whatever_an_event_is_made_to_say_replay_ends_with_verdicts(whole: Whole, chunk: int) -> None:
    """A forger who makes the chain anew can put any value anywhere; an auditor must get verdicts, never an error."""
    told, lot = set[str](), Random(chunk)
    records = [step.recorded for step in whole.steps]
    for n in range(chunk, len(records), CHUNKS):
        body = json.loads(whole.lines[n])["event"]
        for name, value in body["with"].items():
            for wrong in WRONG if EVERY_VALUE else lot.sample(WRONG, 3):
                if wrong == value or (name == "script" and wrong == ""):
                    continue
                event = {**body, "with": {**body["with"], name: wrong}}
                try:
                    _, recorded = chain.make(
                        codec.from_json(event["what"], event["with"]),
                        n=n,
                        before=whole.heads[n],
                        at=body["at"],
                        mono=body["mono"],
                        by=body["by"],
                    )
                except VestryError:
                    continue  # no line can hold it
                # The line itself and the one after it: a state that was led astray must not trip what comes.
                before = whole.steps[n - 1] if n else None
                steps = list(continued(before, [recorded, *records[n + 1 : n + 2]]))
                told |= {step.verdict for step in steps}
                state = steps[-1].state
                if state is not None:
                    compare_files(state, whole.folder)
    assert "failed" in told
