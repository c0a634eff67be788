"""A disk that fills up, is read-only, or is in use by another program, under a whole ceremony: real file systems."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from people import People

from vestry.ceremony import conductor, reading, rehearsal, transcript
from vestry.ceremony.dialogue import Question
from vestry.ceremony.events import Recorded
from vestry.ceremony.replay import compare_files, replay
from vestry.cli.main import main
from vestry.errors import VestryError
from vestry.machine import isolation
from vestry.tokens.software import SoftwareSource


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a PIN of a software token takes to try is not what is tested here."""
    monkeypatch.setitem(SoftwareSource.__init__.__kwdefaults__, "scrypt_n", 16)  # type: ignore[arg-type]


def _mount(*arguments: str | Path) -> bool:
    return subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=False).returncode == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that holds a prepared rehearsal and little more."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not _mount("-t", "tmpfs", "-o", "size=64M", "none", folder):
        pytest.skip("no right to mount a file system here: run as root")
    rehearsal.prepare(folder / "c", holders=2, threshold=2)
    yield folder
    subprocess.run(["umount", folder], check=True)


def _room(disk: Path, more: int) -> None:
    """Leave `more` bytes on it, in whole pages."""
    full = os.statvfs(disk)
    used = (full.f_blocks - full.f_bfree) * full.f_frsize
    assert _mount("-o", f"remount,size={used + more}", disk)


def test_a_disk_that_fills_up_again_and_again_costs_nothing_but_time(disk: Path) -> None:
    """Each time there is no room, people are told that it is the disk; they make some, and the same line goes on."""
    folder = disk / "c"
    script, inputs = reading.load(folder / rehearsal.SCRIPT)
    people, told = People(answers={"trouble": lambda _: "stop"}), list[str]()
    before: tuple[Recorded, ...] = ()
    for _ in range(60):
        _room(disk, 16384)
        people.troubles.clear()
        try:
            conductor.conduct(script, inputs, folder, people)
            break
        except VestryError as error:
            told.append(people.troubles[-1][0].code if people.troubles else error.code)
        now = transcript.read(folder / "transcript.jsonl") if (folder / "transcript.jsonl").exists() else ()
        assert now[: len(before)] == before
        before = now
    assert set(told) <= {"E-TRANSCRIPT-DISK", "E-DRIVE-FULL", "E-TOKEN-FULL"}
    assert len(told) > 5
    _whole(folder)


def test_a_disk_that_is_read_only_is_told_and_read(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A write lock left on is one clear line; nothing is asked of anyone before, and what is there can be replayed."""
    folder = disk / "c"
    script, inputs = reading.load(folder / rehearsal.SCRIPT)
    for whole in (False, True):
        assert _mount("-o", "remount,ro", disk)
        people = People()
        with pytest.raises(VestryError, match=r"[Rr]ead-only") as told:
            conductor.conduct(script, inputs, folder, people)
        assert (told.value.status, people.asked) == (3, [])
        if whole:
            assert main(["replay", str(folder), "--plain"]) == 0
            assert main(["record", str(folder), "-o", str(folder / "record.html")]) == 3
            assert "read-only" in capsys.readouterr().err
        assert _mount("-o", "remount,rw", disk)
        if not whole:
            conductor.conduct(script, inputs, folder, people)
    _whole(folder)


def test_two_programs_at_one_ceremony(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of one run: a second is told so and changes nothing, nobody seals what is not complete, and whoever
    replays reads what is there."""
    folder, seen = tmp_path / "c", list[tuple[int, str]]()
    script, inputs = rehearsal.prepare(folder, holders=2, threshold=2)
    monkeypatch.setattr(isolation, "enter", lambda **_: isolation.OPEN)

    def elsewhere(question: Question[Any]) -> Any:
        if not seen:
            before = (folder / "transcript.jsonl").read_bytes()
            key = str(_key(tmp_path))
            for line in (
                ("run", str(folder / rehearsal.SCRIPT), "--plain", "--into", str(folder)),
                ("seal", str(folder), "--person", "Walter", "--agree", "--key", key),
                ("replay", str(folder), "--plain"),
            ):
                seen.append((main([*line]), "".join(capsys.readouterr())))
            assert (folder / "transcript.jsonl").read_bytes() == before
        return people.sensible(question)

    people = People(answers={"words": elsewhere})
    conductor.conduct(script, inputs, folder, people)
    (ran, busy), (sealed, refused), (replayed, told) = seen
    assert (ran, sealed, replayed) == (3, 1, 0)
    assert "open in another program" in busy
    assert "[E-TRANSCRIPT-BUSY]" in busy
    assert "the ceremony is not complete" in refused
    assert "not complete" in told
    _whole(folder)


def _key(folder: Path) -> Path:
    path = folder / "walter.pem"
    lock = serialization.NoEncryption()
    private = ed25519.Ed25519PrivateKey.generate()
    path.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock))
    return path


def _whole(folder: Path) -> None:
    steps = list(replay(transcript.read(folder / "transcript.jsonl")))
    assert {step.verdict for step in steps} <= {"recomputed", "witnessed"}
    assert steps[-1].state is not None
    assert not [f for f in compare_files(steps[-1].state, folder) if f.verdict == "failed"]
