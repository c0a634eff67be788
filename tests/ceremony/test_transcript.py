"""The file a ceremony is: nothing can be changed unseen, and a crash loses nothing that was shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical

from vestry.ceremony import chain, transcript
from vestry.ceremony.clock import FixedClock, SystemClock
from vestry.ceremony.events import Opened, Recorded, Resumed, Said, TroubleMet, Withheld
from vestry.ceremony.transcript import Transcript, iter_read, read
from vestry.errors import InputRejected, MediumTrouble, NotTrusted, Refused

OPENED = Opened(1, "vestry 0", "aa", "bb", 'title = "é"\n', {"online": "line\nline\n"}, True)


def a_clock() -> FixedClock:
    return FixedClock(datetime(2026, 11, 23, 9, tzinfo=UTC), timedelta(seconds=1))


def made(path: Path, events: int = 2) -> tuple[Recorded, ...]:
    opened, first = Transcript.create(path, OPENED, "Olivia", clock=a_clock())
    rest = [opened.append(Said(i, {"bag": f"A{i}\n\x07 \u202e"}), "Zoë") for i in range(events)]
    opened.close()
    return (first, *rest)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "transcript.jsonl"


def test_what_was_appended_is_what_is_read(path: Path) -> None:
    records = made(path)
    assert read(path) == records == read(path.read_bytes()) == tuple(iter_read(path))
    assert [r.n for r in records] == [0, 1, 2]
    assert records[2].at == "2026-11-23T09:00:02Z"
    assert records[2].by == "Zoë"


def test_the_chain_is_the_one_that_the_format_describes(path: Path) -> None:
    """An auditor's own program must come to the same heads from the description alone."""
    records = made(path)
    head = bytes(32)
    for n, line in enumerate(path.read_bytes().splitlines()):
        value = json.loads(line)
        assert sorted(value) == ["event", "head", "n", "salt"]
        assert sorted(value["event"]) == ["at", "by", "mono", "what", "with"]
        leaf = sha256(b"\0" + bytes.fromhex(value["salt"]) + encode_canonical(value["event"]).encode()).digest()
        head = sha256(b"\1" + head + n.to_bytes(8, "big") + leaf).digest()
        assert value["head"] == head.hex() == records[n].head


def test_each_event_is_one_physical_line(path: Path) -> None:
    """Control characters in an event must not break lines, nor reach a terminal through `cat`."""
    records = made(path)
    raw = path.read_bytes()
    assert raw.count(b"\n") == len(records)
    assert all(0x20 <= b < 0x7F or b == 0x0A for b in raw)


def test_equal_events_have_unlike_leaves(tmp_path: Path) -> None:
    """Without a salt, a withheld event could be guessed from its leaf."""
    made(tmp_path / "a", 0)
    made(tmp_path / "b", 0)
    assert chain.withhold((tmp_path / "a").read_bytes()) != chain.withhold((tmp_path / "b").read_bytes())


def outcome(raw: bytes) -> tuple[Recorded, ...] | None:
    try:
        return read(raw)
    except NotTrusted:
        return None


def with_a_torn_line(path: Path) -> bytes:
    made(path)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"event":{"at":"2026')
    again, _ = Transcript.open(path, clock=a_clock())
    again.resume("vestry 0", "aa", by="Olivia")
    again.append(Said(3, {}), "Olivia")
    again.close()
    return path.read_bytes()


@pytest.mark.parametrize("torn", [False, True])
def test_no_byte_can_be_changed_unseen(path: Path, torn: bool) -> None:
    """One bit of every byte, each in turn, and every byte turned into a newline or a space, of a whole small
    transcript; `test_tampering` takes a ceremony's, and every value."""
    made(path)
    raw = with_a_torn_line(path.with_name("torn")) if torn else path.read_bytes()
    good = read(raw)
    for at, byte in enumerate(raw):
        for other in {byte ^ (1 << at % 8), 0x0A, 0x20} - {byte}:
            seen = outcome(raw[:at] + bytes([other]) + raw[at + 1 :])
            assert seen is None or (len(seen) < len(good) and seen == good[: len(seen)]), (at, other)


def test_a_cut_leaves_a_shorter_transcript_or_none(path: Path) -> None:
    raw = with_a_torn_line(path)
    good = read(raw)
    lengths = set()
    for at in range(len(raw)):
        seen = outcome(raw[:at])
        assert seen is None or (len(seen) < len(good) and seen == good[: len(seen)]), at
        lengths.add(None if seen is None else len(seen))
    assert lengths == {None, 1, 2, 3, 4}


def test_lines_cannot_be_removed_repeated_swapped_or_inserted(path: Path) -> None:
    made(path, 4)
    lines = path.read_bytes().splitlines(keepends=True)
    good = read(b"".join(lines))
    made(path.with_name("other"), 4)
    foreign = path.with_name("other").read_bytes().splitlines(keepends=True)
    for i in range(len(lines)):
        removed = outcome(b"".join(lines[:i] + lines[i + 1 :]))
        assert removed is None or (i == len(lines) - 1 and removed == good[:-1])
        assert outcome(b"".join([*lines[: i + 1], *lines[i:]])) is None
        assert outcome(b"".join([*lines[:i], foreign[i], *lines[i + 1 :]])) is None
        assert outcome(b"".join([*lines[:i], b"\n", *lines[i:]])) is None
        for j in range(i):
            swapped = list(lines)
            swapped[i], swapped[j] = swapped[j], swapped[i]
            assert outcome(b"".join(swapped)) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.replace(b'"n":1', b'"n":1.0'),
        lambda line: line.replace(b'"n":1', b'"n":true'),
        lambda line: line.replace(b'"n":1', b'"n": 1'),
        lambda line: line.replace(b'{"event"', b'{"n":1,"event"'),
        lambda line: line.replace(b'{"event"', b'{"extra":1,"event"'),
        lambda line: line[:-1] + b"\r\n",
        lambda line: b" " + line,
        lambda line: b"[" * 100_000 + b"\n",
        lambda line: b"9" * 10_000 + b"\n",
        lambda line: b"null\n",
        lambda line: line.replace(b"\\u00eb", "ë".encode()),
        lambda line: line.replace(b'"mono":', b'"mono":-'),
        lambda line: line.replace(b"2026-11-23T", b"2026-13-23T"),
        lambda line: line.replace(b'"what":"said"', b'"what":"unsaid"'),
        lambda line: line.replace(b'"step":0', b'"step":"0"'),
        lambda line: line.replace(b'"step":0', b'"step":false'),
    ],
)
def test_other_bytes_for_the_same_meaning_are_refused(path: Path, change: object) -> None:
    """Two readers that disagree about a line would see two ceremonies."""
    made(path, 1)
    lines = path.read_bytes().splitlines(keepends=True)
    changed = change(lines[1])  # type: ignore[operator]
    assert changed != lines[1]
    with pytest.raises(NotTrusted, match="line 1"):
        read(lines[0] + changed)


def test_a_line_cut_anywhere_is_gone_on_from(path: Path) -> None:
    """A crash in the middle of a write: what was whole stays, the rest is committed to, the ceremony goes on."""
    records = made(path, 1)
    raw = path.read_bytes()
    last = raw.rstrip(b"\n").rfind(b"\n") + 1
    for cut in range(last, len(raw)):
        path.write_bytes(raw[:cut])
        again, past = Transcript.open(path, clock=a_clock())
        lacks_its_newline_alone = cut == len(raw) - 1
        assert past == (records if lacks_its_newline_alone else records[:1])
        torn = 0 if lacks_its_newline_alone else cut - last
        assert again.torn[0] == torn
        if torn:
            with pytest.raises(Refused):
                again.append(Said(9, {}), "Olivia")
        resumed = again.resume("vestry 0", "aa", by="Olivia")
        final = again.append(Said(9, {}), "Olivia")
        again.close()
        assert read(path) == (*past, resumed, final)
        assert path.read_bytes().startswith(raw[:cut])


def test_a_resumed_line_cut_anywhere_is_gone_on_from(path: Path) -> None:
    """The power may fail twice: while the torn bytes are being committed to."""
    made(path, 1)
    raw = path.read_bytes()[:-40]
    path.write_bytes(raw)
    again, past = Transcript.open(path, clock=a_clock())
    again.resume("vestry 0", "aa", by="Olivia")
    again.close()
    longer = path.read_bytes()
    for cut in range(len(raw), len(longer)):
        path.write_bytes(longer[:cut])
        third, seen = Transcript.open(path, clock=a_clock())
        resumed = third.resume("vestry 0", "aa", by="Olivia")
        third.close()
        assert read(path) == (*seen, resumed)
        assert seen[:1] == past


def test_a_changed_last_line_is_not_taken_for_a_torn_one(path: Path) -> None:
    made(path, 1)
    path.write_bytes(path.read_bytes().replace(b'"bag"', b'"bug"'))
    with pytest.raises(NotTrusted, match="line 1"):
        Transcript.open(path, clock=a_clock())


def test_two_programs_cannot_write_one_transcript(path: Path) -> None:
    made(path)
    first, _ = Transcript.open(path, clock=a_clock())
    with pytest.raises(MediumTrouble, match="open in another program"):
        Transcript.open(path, clock=a_clock())
    with pytest.raises(Refused, match="already"):
        Transcript.create(path, OPENED, "Olivia", clock=a_clock())
    first.close()
    Transcript.open(path, clock=a_clock())[0].close()


def test_another_process_is_kept_out_too(path: Path) -> None:
    made(path)
    first, _ = Transcript.open(path, clock=a_clock())
    code = (
        "import sys; from pathlib import Path; from vestry.ceremony.clock import SystemClock\n"
        "from vestry.ceremony.transcript import Transcript; from vestry.errors import MediumTrouble\n"
        "try: Transcript.open(Path(sys.argv[1]), clock=SystemClock())\n"
        "except MediumTrouble as error: print(error.code)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "E-TRANSCRIPT-BUSY"
    first.close()


FULL_DISK = """
import resource, shutil, signal, sys
from pathlib import Path
from vestry.ceremony.clock import SystemClock
from vestry.ceremony.events import Said
from vestry.ceremony.transcript import Transcript
from vestry.errors import MediumTrouble
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
whole, path = Path(sys.argv[1]), Path(sys.argv[1] + ".full")
for room in range(10_000):
    shutil.copyfile(whole, path)
    full, past = Transcript.open(path, clock=SystemClock())
    size = path.stat().st_size + room
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    codes = []
    for _ in range(2):
        try:
            full.append(Said(7, {}), "Olivia")
        except MediumTrouble as error:
            codes.append(error.code)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    full.close()
    if codes == ["E-TRANSCRIPT-DISK"]:  # the first line found room
        break
    again, seen = Transcript.open(path, clock=SystemClock())
    print(*codes, again.torn[0], len(seen) - len(past), seen[: len(past)] == past)
    again.resume("vestry 0", "aa", by="Olivia")
    again.close()
    Transcript.open(path, clock=SystemClock())[0].close()
"""


APPENDING = """
import sys
from pathlib import Path
from vestry.ceremony.clock import SystemClock
from vestry.ceremony.events import Said
from vestry.ceremony.transcript import Transcript
again, past = Transcript.open(Path(sys.argv[1]), clock=SystemClock())
again.resume("vestry 0", "aa", by="Olivia")
while True:
    recorded = again.append(Said(7, {"x": "y" * 3000}), "Olivia")
    sys.stdout.write(recorded.head + "\\n")
    sys.stdout.flush()
"""


def test_what_was_told_survives_a_kill(path: Path) -> None:
    """SIGKILL at any moment: every head that was shown is in the transcript, which then goes on."""
    made(path, 0)
    told: list[str] = []
    for lines in (1, 4, 9):
        with subprocess.Popen([sys.executable, "-c", APPENDING, str(path)], stdout=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None
            told += [run.stdout.readline().strip() for _ in range(lines)]
            run.kill()
            told += [line.strip() for line in run.stdout if line.endswith("\n")]
    again, past = Transcript.open(path, clock=a_clock())
    again.close()
    heads = [r.head for r in past]
    assert [h for h in heads if h in set(told)] == told
    assert len(told) >= 14


def test_a_disk_full_at_any_byte_of_a_line_loses_nothing(path: Path) -> None:
    """The kernel itself takes a part of the line, or none: nothing is shown as recorded, and reopening goes on. A line
    that lacked nothing but its newline was decided: it counts."""
    made(path)
    run = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True)
    told = run.stdout.splitlines()
    assert len(told) > 250
    for room, line in enumerate(told):
        torn, more = (0, 1) if room == len(told) - 1 else (room, 0)
        assert line == f"E-TRANSCRIPT-DISK E-TRANSCRIPT-CLOSED {torn} {more} True"


def test_a_failed_sync_counts_as_not_recorded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(path)
    again, past = Transcript.open(path, clock=a_clock())

    def fails(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(transcript.os, "fsync", fails)
    with pytest.raises(MediumTrouble, match="Input/output error"):
        again.append(Said(7, {}), "Olivia")
    monkeypatch.undo()
    with pytest.raises(MediumTrouble, match="takes no more lines"):
        again.append(Said(7, {}), "Olivia")
    again.close()
    third, seen = Transcript.open(path, clock=a_clock())
    third.close()
    assert seen[: len(past)] == past


def test_a_line_is_synced_before_it_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    write, fsync = transcript.os.write, transcript.os.fsync
    monkeypatch.setattr(transcript.os, "write", lambda fd, data: (calls.append("write"), write(fd, data))[1])
    monkeypatch.setattr(transcript.os, "fsync", lambda fd: (calls.append("fsync"), fsync(fd))[1])
    opened, _ = Transcript.create(path, OPENED, "Olivia", clock=a_clock())
    assert calls == ["write", "fsync", "fsync"]  # the line, and the folder that names it
    opened.append(Said(0, {}), "Olivia")
    assert calls[3:] == ["write", "fsync"]
    opened.close()


def test_a_transcript_that_another_program_grew_takes_no_line(path: Path) -> None:
    made(path)
    again, _ = Transcript.open(path, clock=a_clock())
    with path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(MediumTrouble, match="another program"):
        again.append(Said(7, {}), "Olivia")
    again.close()


def test_a_transcript_that_was_removed_takes_no_line(path: Path) -> None:
    made(path)
    again, _ = Transcript.open(path, clock=a_clock())
    path.unlink()
    with pytest.raises(MediumTrouble, match="removed"):
        again.append(Said(7, {}), "Olivia")
    again.close()


def test_a_medium_without_links_holds_a_transcript_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAT, which most sticks have, gives a file one name only."""

    def refuses(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(transcript.os, "link", refuses)
    records = made(path)
    assert read(path) == records
    with pytest.raises(Refused, match="already"):
        Transcript.create(path, OPENED, "Olivia", clock=a_clock())
    assert list(path.parent.iterdir()) == [path]


def test_create_leaves_nothing_where_it_fails(tmp_path: Path) -> None:
    with pytest.raises(MediumTrouble):
        Transcript.create(tmp_path / "no" / "transcript.jsonl", OPENED, "Olivia", clock=a_clock())
    with pytest.raises(InputRejected):
        Transcript.create(tmp_path / "t", Opened("1", "", "", "", "", {}, True), "O", clock=a_clock())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_only_regular_files_are_transcripts(tmp_path: Path) -> None:
    """A pipe would hang the reader; a link could lead anywhere."""
    os.mkfifo(tmp_path / "pipe")
    made(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for name in ("pipe", "link", "."):
        with pytest.raises((InputRejected, MediumTrouble)):
            read(tmp_path / name)
        with pytest.raises((InputRejected, MediumTrouble)):
            Transcript.open(tmp_path / name, clock=a_clock())
    with pytest.raises(MediumTrouble):
        read(tmp_path / "missing")


@pytest.mark.parametrize("raw", [b"", b"\n", b"hello", b"hello\n", b"\0" * 100])
def test_what_holds_no_line_is_no_transcript(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "t").write_bytes(raw)
    with pytest.raises(NotTrusted):
        read(raw)
    with pytest.raises(NotTrusted):
        Transcript.open(tmp_path / "t", clock=a_clock())


def test_a_published_copy_keeps_its_heads(path: Path) -> None:
    records = made(path)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = chain.withhold(lines[1])
    copy = b"".join(lines)
    assert tuple(iter_read(copy)) == (records[0], Recorded(1, "", 0, "", Withheld(), records[1].head), records[2])
    assert b"A0" not in copy
    with pytest.raises(NotTrusted, match="withheld"):
        read(copy)
    path.write_bytes(copy)
    with pytest.raises(NotTrusted, match="published"):
        Transcript.open(path, clock=a_clock())
    with pytest.raises(NotTrusted):
        tuple(iter_read(copy.replace(b'"leaf":"', b'"leaf":"0', 1)))


def test_resumed_events_cannot_lie_about_torn_bytes(path: Path) -> None:
    made(path)
    again, past = Transcript.open(path, clock=a_clock())
    with pytest.raises(Refused):
        again.append(Resumed("vestry 0", "aa", 5, "00" * 32), "Olivia")
    again.close()
    line, _ = chain.make(
        Resumed("vestry 0", "aa", 5, "00" * 32), n=3, before=past[-1].head, at="2026-11-23T09:00:00Z", mono=1, by="O"
    )
    with pytest.raises(NotTrusted, match="torn"):
        read(path.read_bytes() + line)


def test_the_given_time_is_recorded(path: Path) -> None:
    opened, _ = Transcript.create(path, OPENED, "Olivia", clock=SystemClock())
    moment = datetime(2026, 11, 23, 12, 0, 7, tzinfo=UTC)
    assert opened.append(TroubleMet("t", "E", "x"), "Olivia", at=moment).at == "2026-11-23T12:00:07Z"
    opened.close()


@given(st.lists(st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=3), max_size=6))
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, notes: list[dict[str, str]]) -> None:
    path = tmp_path_factory.mktemp("t") / "t.jsonl"
    opened, first = Transcript.create(path, OPENED, "Olivia", clock=a_clock())
    rest = [opened.append(Said(i, note), "Olivia") for i, note in enumerate(notes)]
    opened.close()
    assert read(path) == (first, *rest)
