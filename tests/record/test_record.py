"""The record: everything that an auditor asks for is in it, with the verdict of the replay."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from paper import BAG, EXCEPTION, HOSTILE, REASON, Reader, assert_harmless, hold
from people import People

from vestry.ceremony import chain, codec, conductor, reading, rehearsal, transcript
from vestry.ceremony import events as e
from vestry.ceremony.account import ranges, summary
from vestry.ceremony.drafts import ceremony_key
from vestry.ceremony.replay import compare_files, replay
from vestry.ceremony.script import Person, Script
from vestry.record import story
from vestry.record.prompts import foretell
from vestry.record.protocol import protocol
from vestry.record.record import record
from vestry.record.story import initials, reviews
from vestry.text import group_hex, printable, words

STRICT = """
[review]
overrule = 2
[review.most_days]
root = 100
[review.severities]
EXPIRY-FAR = "stop"
[review.silenced]
FIELD-UNKNOWN = "a practice <b>is</b> marked"
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hold(tmp_path_factory.mktemp("r") / "r")


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hold(tmp_path_factory.mktemp("t") / "t", trouble=True)


def page_of(source: Path | bytes, folder: Path | None = None) -> str:
    lines = list(replay(transcript.read(source)))
    state = lines[-1].state
    return record(lines, compare_files(state, folder) if folder and state else ())


def said_of(folder: Path) -> str:
    return assert_harmless(page_of(folder / "transcript.jsonl", folder)).said


def hexed(value: str) -> str:
    return " ".join(value[i : i + 4] for i in range(0, len(value), 4))


def whole(digest: str, said: str) -> bool:
    """Whether a digest is there in groups of four (two rows of eight) and in words."""
    rows = "".join(group_hex(digest))
    spoken = "".join(f"{n} {word}" for n, word in enumerate(words(digest), 1))
    return rows.replace(" ", "") in said.replace(" ", "") and spoken.replace(" ", "") in said.replace(" ", "")


def rewritten(folder: Path, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The transcript with `change` done to each event, and every head made anew."""
    lines, head = [], chain.NO_HEAD
    for n, read in enumerate(transcript.read(folder / "transcript.jsonl")):
        fields = codec.to_json(read.event)
        if isinstance(read.event, e.Resumed):
            fields |= dict(zip(("torn_bytes", "torn_sha256"), transcript.NOTHING_TORN, strict=True))
        body = {"at": read.at, "mono": read.mono, "by": read.by, "what": codec.name_of(read.event), "with": fields}
        change(body)
        event = codec.from_json(body["what"], body["with"])
        raw, recorded = chain.make(event, n=n, before=head, at=body["at"], mono=body["mono"], by=body["by"])
        lines.append(raw)
        head = recorded.head
    return b"".join(lines)


def test_all_facts_are_there(plain: Path) -> None:
    """A record that lacks a key, a digest or a signature is one that nobody can hold against the transcript."""
    said = said_of(plain)
    lines = list(replay(transcript.read(plain / "transcript.jsonl")))
    state = lines[-1].state
    assert state is not None
    assert whole(lines[-1].recorded.head, said)
    assert whole(state.script.sha256, said)
    assert whole(state.seal_head, said)
    assert hexed(state.software_sha256) in said
    for document in state.documents.values():
        assert whole(document.digest, said)
        assert hexed(document.file_sha256) in said
    for spec in state.script.keys:
        key = ceremony_key(state, spec)
        assert whole(key.keyid, said)
        assert whole(key.fingerprint, said)
        assert state.keys[spec.name].uri in said
    for facts in state.tokens.values():
        for text in (facts.serial, facts.label, facts.firmware, f"{facts.manufacturer} {facts.model}"):
            assert text in said
    for pairs in state.signatures.values():
        for keyid, sig in pairs.items():
            assert f"key id {hexed(keyid)}" in said
            assert f"signature {hexed(sig)}" in said
    exported = next(x.recorded.event for x in lines if isinstance(x.recorded.event, e.Exported))
    for name, digest in exported.files.items():
        assert f"{name}{hexed(digest)}" in said
    short = initials(lines, state)
    assert len({*short.values()}) == len(short)
    for person in state.script.people:
        assert f"{person.name}{short[person.name]}{person.office}" in said
    for number, step in enumerate(state.script.steps, 1):
        assert f"{number}{step.title}" in said
    done = {line.recorded.by: None for line in story.by_step(lines)[2]}
    assert ", ".join(short[name] for name in done) in said
    for line in lines:
        r = line.recorded
        assert f"{r.n}{r.at}{r.by}" in said
        assert f"({codec.name_of(r.event)}){line.verdict}: {line.why}" in said
    assert f"Opened{lines[0].recorded.at}" in said


def test_the_summary_is_that_of_the_replay(plain: Path) -> None:
    """What an auditor quotes must be what the replay found."""
    said = said_of(plain)
    lines = list(replay(transcript.read(plain / "transcript.jsonl")))
    counts = summary(lines, ())["counts"]
    assert f"{counts['recomputed']} recomputed, {counts['witnessed']} witnessed, 0 failed." in said
    assert "All 10 steps of the script are done." in said
    assert "2 sealed it; all agree." in said
    # Whose word: every witnessed line, once.
    part = said.partition("What rests on whose word")[2].partition("Every event")[0]
    for line in lines:
        if line.verdict == "witnessed":
            assert line.recorded.by in part
            assert line.why in part
    assert "Carolthat the serial was read off the device" in part


def test_devices_are_told_with_their_modules(
    tmp_path: Path, softhsm: Path, pypi_root: Callable[..., tuple[Script, dict[str, bytes]]], people: People
) -> None:
    """The shipped script on PKCS #11: module, digest, model and serial of each token, keys that are gone, what
    was waived; and no word of a rehearsal. The protocol foretold the number of questions."""
    script, inputs = pypi_root()
    foretold = foretell(script, inputs)
    conductor.conduct(script, inputs, tmp_path / "c", people)
    said = said_of(tmp_path / "c")
    assert "REHEARSAL" not in said
    for read in transcript.read(tmp_path / "c" / "transcript.jsonl"):
        event = read.event
        if isinstance(event, e.InitialiseIntended):
            assert f"Module{event.module} SHA-256 of the module{hexed(event.module_sha256)}" in said
        elif isinstance(event, e.TokenInitialised):
            assert f"Model{event.manufacturer} {event.model} Serial{event.serial} Label{event.label}" in said
        elif isinstance(event, e.KeyDestroyed):
            assert f"Destroyed{read.at}; the token then listed" in said
        elif isinstance(event, e.PreflightTaken):
            assert all(f"passed over: {reason}" in said for reason in event.waived.values())
    assert foretold is not None
    assert foretold.total == people.count - sum(q.name in ("preflight", "waive") for q in people.asked)


def test_changes_and_findings_are_made_again(plain: Path) -> None:
    """The transcript keeps their number and names; the record must show what they said."""
    lines = list(replay(transcript.read(plain / "transcript.jsonl")))
    said = said_of(plain)
    found = reviews(lines)
    assert [r.event.role for r in found] == ["root", "targets", "bins"]
    for read in found:
        assert read.again is not None
        assert len(read.again.changes) == read.event.changes
        for change in read.again.changes:
            assert change.text in said
        for finding in read.again.findings:
            assert f"{finding.severity}{finding.text}{finding.code}" in said


def test_what_was_silenced_and_overruled_is_told(tmp_path: Path) -> None:
    """A stop that people overruled is what an auditor asks about first; the protocol says beforehand that it may be."""
    rehearsal.prepare(tmp_path / "r", holders=2, threshold=2)
    path = tmp_path / "r" / rehearsal.SCRIPT
    path.write_text(path.read_text() + STRICT)
    script, inputs = reading.load(path)
    people = People({"overrule": lambda q: next(v for v, _ in q.options if v)})
    foretold = foretell(script, inputs)
    conductor.conduct(script, inputs, tmp_path / "r", people)
    assert foretold is not None
    assert foretold.total == people.count
    said = said_of(tmp_path / "r")
    assert "EXPIRY-FARseen and meant (overruled by Olivia, Walter)" in said
    assert "FIELD-UNKNOWNa practice <b>is</b> marked" in said
    before = assert_harmless(protocol(script, inputs)).said
    assert "Stops may be overruledby 2 people who agree" in before
    assert "Not asked about: FIELD-UNKNOWNa practice <b>is</b> marked" in before
    assert "At least a stopEXPIRY-FAR" in before
    assert "root 100" in before


def test_trouble_is_told_with_what_was_done(troubled: Path) -> None:
    """Exceptions, troubles, stops and a seal against it are what an auditor reads first."""
    said = said_of(troubled)
    part = said.partition("Troubles, and what was done")[2].partition("Seals")[0]
    assert "the program had stopped and was started again" in part
    assert "[E-PIN-WRONG]" in part
    assert "typed words of root, to sign it with key 'alice-root'" in part
    exceptions = said.partition("Exceptions")[2].partition("Troubles")[0]
    assert printable(EXCEPTION) in exceptions
    assert f"Bobdoes not agree{REASON}recomputed" in said
    assert "2 sealed it; Bob did not agree." in said
    assert f"bag number of Bob{printable(BAG)}" in said


def test_hostile_text_stays_text(troubled: Path) -> None:
    """Names, what people typed and what a forger wrote must not act in the browser of an auditor."""
    page = page_of(troubled / "transcript.jsonl", troubled)
    said = assert_harmless(page).said
    assert printable(f"Record: {HOSTILE}") in said
    assert "<script" not in page
    assert "<img" not in page

    def forge(body: dict[str, Any]) -> None:
        body["by"] += HOSTILE + "\x1b[31m\u202e\x00"
        for name, value in body["with"].items():
            if body["what"] not in ("opened", "resumed") and type(value) is str:
                body["with"][name] = HOSTILE + value + "\u0430\x9b"

    forged = page_of(rewritten(troubled, forge))
    said = assert_harmless(forged).said
    assert "<script" not in forged
    assert "failed" in said


@pytest.mark.parametrize("field", ["keyid", "public", "digest", "sha256", "sig", "at", "role", "key", "token", "files"])
def test_any_forged_value_still_makes_a_record(plain: Path, field: str) -> None:
    """The record of a forged transcript is evidence; a traceback in its place is none."""

    def forge(body: dict[str, Any]) -> None:
        values = body["with"]
        if field in values:
            values[field] = {"x": "y"} if isinstance(values[field], dict) else "zz<b>"
        elif field == "at" and body["what"] == "drafted":
            body["at"] = "2020-01-01T00:00:00Z"

    said = assert_harmless(page_of(rewritten(plain, forge))).said
    assert ", 0 failed." not in said
    assert "What failed" in said


def test_every_page_of_a_rehearsal_says_so(plain: Path) -> None:
    """One loose sheet must not pass for a real ceremony, not even one of a transcript that can't be folded."""
    page = page_of(plain / "transcript.jsonl", plain)
    assert "REHEARSAL" in page.partition("<thead>")[2].partition("</thead>")[0]

    def break_script(body: dict[str, Any]) -> None:
        if body["what"] == "opened":
            body["with"]["script"] = "no script"

    broken = page_of(rewritten(plain, break_script))
    assert "REHEARSAL" in broken.partition("<thead>")[2].partition("</thead>")[0]
    assert "a ceremony that cannot be folded" in broken


def test_without_the_files_it_says_what_was_not_compared(plain: Path, tmp_path: Path) -> None:
    """A transcript that comes alone is still a record; that nothing was compared must not look like agreement."""
    shutil.copy(plain / "transcript.jsonl", tmp_path)
    alone = said_of(tmp_path)
    assert "No file of the ceremony lay beside the transcript, so none was compared" in alone
    assert "have the same bytes" not in alone
    shutil.copytree(plain, tmp_path / "c")
    (tmp_path / "c" / "signed" / "1.root.json").write_bytes(b"{}")
    (tmp_path / "c" / "seals" / "alice.json").unlink()
    changed = said_of(tmp_path / "c")
    assert "signed/1.root.jsonfailedhas other bytes than the transcript gives" in changed
    assert "seals/alice.jsonfailedis missing" in changed


def test_a_ceremony_that_was_cut_short_says_so(plain: Path) -> None:
    """Half a ceremony must not look whole."""
    raw = (plain / "transcript.jsonl").read_bytes().splitlines(keepends=True)
    cut = next(n for n, line in enumerate(raw) if b'"signature_intended"' in line)
    said = assert_harmless(page_of(b"".join(raw[: cut + 1]))).said
    assert "It stands at step 6 of 10, 'Sign'." in said
    assert f"Line {cut} has no result: its outcome is unknown." in said
    assert "Nobody sealed it." in said
    assert "The ceremony is not complete." in said


def test_the_same_transcript_gives_the_same_bytes(troubled: Path) -> None:
    """Two auditors must be able to compare their records."""
    once = page_of(troubled / "transcript.jsonl", troubled)
    assert page_of(troubled / "transcript.jsonl", troubled) == once


def test_initials_tell_people_apart(plain: Path) -> None:
    """Two people with the same letters would sign for each other on paper."""
    state = list(replay(transcript.read(plain / "transcript.jsonl")))[-1].state
    people = [Person(name, "holder") for name in ("Ada Bell", "Abe Burr", "ada bell", "\u05d0", "\u05d1", "Cy")]
    named = replace(state, script=replace(state.script, people=tuple(people)))
    assert [*initials((), named).values()] == ["AB1", "AB2", "AB3", "?1", "?2", "C"]


def test_runs_of_lines_are_drawn_together() -> None:
    """Numbers in a list of whose word must be exact."""
    assert ranges([3]) == "3"
    assert ranges([3, 5, 6, 7, 9]) == "3, 5 to 7, 9"
    assert ranges([]) == ""
    assert ranges([1, 2, 4, 6, 7], most=2) == "1 to 2, 4 and 2 more"


def test_the_verb(plain: Path, tmp_path: Path) -> None:
    """Status as with replay; the page is written in either case, because a failure is what one keeps paper about."""

    def vestry(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "vestry", "record", *args]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=os.environ)

    ran = vestry(str(plain), "-o", "a.html")
    assert (ran.returncode, ran.stdout) == (0, "")
    assert "0 failed" in ran.stderr
    page = (tmp_path / "a.html").read_text()
    assert page == page_of(plain / "transcript.jsonl", plain)
    assert vestry(str(plain / "transcript.jsonl"), "-o", "-").stdout == page
    told = json.loads(vestry(str(plain), "-o", "b.html", "--json").stdout)
    assert told["ok"]
    assert told["file"] == "b.html"
    assert whole(told["head"], Reader(page).said)

    def forge(body: dict[str, Any]) -> None:
        if body["what"] == "review_read":
            body["with"]["changes"] = 1

    (tmp_path / "f.jsonl").write_bytes(rewritten(plain, forge))
    ran = vestry("f.jsonl", "-o", "f.html")
    assert ran.returncode == 1
    assert "What failed" in Reader((tmp_path / "f.html").read_text()).said
    (tmp_path / "bad.jsonl").write_bytes((plain / "transcript.jsonl").read_bytes().replace(b"Olivia", b"Olivja", 1))
    assert vestry("bad.jsonl", "-o", "bad.html").returncode == 1
    assert not (tmp_path / "bad.html").exists()
    (tmp_path / "a.html").write_text("signed")
    assert vestry(str(plain), "-o", "a.html").returncode == 1
    assert (tmp_path / "a.html").read_text() == "signed"
