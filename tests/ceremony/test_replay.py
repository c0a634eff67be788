"""Replay of a ceremony that was changed after the fact, and of one that wasn't."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, get_args

import pytest
from people import People

from vestry.ceremony import chain, codec, conductor, rehearsal, transcript
from vestry.ceremony import events as e
from vestry.ceremony import replay as verdicts
from vestry.ceremony.account import statement, summary
from vestry.ceremony.replay import compare_files, replay
from vestry.cli.main import main
from vestry.errors import NotTrusted


@pytest.fixture(scope="module")
def ceremony(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("r") / "r"
    script, inputs = rehearsal.prepare(folder, holders=3, threshold=2)
    conductor.conduct(script, inputs, folder, People())
    return folder


def forged(ceremony: Path, kind: str, change: Any) -> bytes:
    """The transcript with one event changed and every head made anew: what a forger with an editor can do at best."""
    lines, head = [], chain.NO_HEAD
    done = False
    for n, line in enumerate((ceremony / "transcript.jsonl").read_text().splitlines()):
        body = json.loads(line)["event"]
        if body["what"] == kind and not done:
            change(body)
            done = True
        event = codec.from_json(body["what"], body["with"])
        raw, recorded = chain.make(event, n=n, before=head, at=body["at"], mono=body["mono"], by=body["by"])
        lines.append(raw)
        head = recorded.head
    assert done
    return b"".join(lines)


def set_with(name: str, value: Any) -> Any:
    return lambda body: body["with"].update({name: value})


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("opened", set_with("format", 2)),
        ("opened", set_with("rehearsal", False)),
        ("opened", lambda body: body.update(by="Bob")),
        ("gathered", lambda body: body.update(by="Mallory")),
        ("token_confirmed", lambda body: body.update(by="Bob")),
        ("signature_added", lambda body: body.update(by="Bob")),
        ("verified", lambda body: body.update(by="Alice")),
        ("drafted", set_with("sha256", "00" * 32)),
        ("drafted", set_with("digest", "00" * 32)),
        ("key_generated", set_with("keyid", "00" * 32)),
        ("key_generated", set_with("proof", "00")),
        ("key_generated", lambda body: body["with"].update(public=body["with"]["public"] + "Bob's key\n")),
        ("signature_added", set_with("sig", "00" * 70)),
        ("signature_added", set_with("role", "targets")),
        ("review_read", set_with("changes", 1)),
        ("signature_intended", set_with("words", {"1": "absurd", "2": "absurd"})),
        ("verified", set_with("files", {"1.root.json": "00" * 32})),
        ("sealed", set_with("agree", False)),
        ("sealed", set_with("reason", "added")),
        ("gathered", set_with("people", ["Olivia"])),
        ("gathered", lambda body: body["with"]["people"].append("Mallory")),
        ("review_read", set_with("answers", {"NO-FINDING root": "it is well"})),
        ("review_read", set_with("overruled", {"NO-FINDING root": ["Olivia", "Alice"]})),
        ("token_confirmed", set_with("digits", "0000x")),
        ("opened", set_with("script_sha256", "00" * 32)),
        ("drafted", lambda body: body.update(at="2020-01-01T00:00:00Z")),
    ],
)
def test_a_forged_event_fails(ceremony: Path, kind: str, change: Any) -> None:
    """A forger can make the chain anew; what the events say must still add up."""
    steps = list(replay(transcript.read(forged(ceremony, kind, change))))
    failed = [codec.name_of(s.recorded.event) for s in steps if s.verdict == "failed"]
    # Any change breaks the seals; what a forger changes before them fails without them.
    said = summary(steps, ())
    assert set(failed) - ({"sealed"} - {kind}) or said["clock"], "only its seals show it"
    assert not said["ok"]


@pytest.mark.parametrize(
    ("kind", "change", "told"),
    [
        ("opened", set_with("software", "another"), "on a word: which software it was"),
        (
            "key_generated",
            set_with("uri", "pkcs11:token=another"),
            "on a word: a key's URI, facts and `found`",
        ),
        ("key_generated", set_with("found", True), "on a word: a key's URI, facts and `found`"),
        ("draft_proved", set_with("client", "another"), "on a word: which client walked"),
        ("verified", set_with("client", "another"), "on a word: which client looked"),
    ],
)
def test_what_cannot_be_recomputed_is_never_called_so(ceremony: Path, kind: str, change: Any, told: str) -> None:
    """A value that nothing else in a transcript shows may be forged: the reason names it, and whose word it is."""
    steps = replay(transcript.read(forged(ceremony, kind, change)))
    step = next(s for s in steps if codec.name_of(s.recorded.event) == kind)
    assert (step.verdict, told in step.why) == ("recomputed", True), step


def test_an_exception_at_no_step_of_the_script_fails(ceremony: Path) -> None:
    """It would be told under a step that nobody finds."""
    noted = {"what": "exception_noted", "with": {"step": 99, "text": "x"}}
    step = list(replay(transcript.read(forged(ceremony, "gathered", lambda body: body.update(noted)))))[1]
    assert (step.verdict, "no such step" in step.why) == ("failed", True)


def test_another_key_in_the_place_of_one_fails_at_the_draft(ceremony: Path) -> None:
    """Keys, drafts and signatures hang together: none can be changed alone."""
    steps = list(replay(transcript.read((ceremony / "transcript.jsonl").read_bytes())))
    first = next(s.recorded.event for s in steps if isinstance(s.recorded.event, e.KeyGenerated))
    later = [s.recorded.event for s in steps if isinstance(s.recorded.event, e.KeyGenerated)][1]
    change = set_with("public", later.public)
    bad = list(replay(transcript.read(forged(ceremony, "key_generated", change))))
    assert first.public != later.public
    assert [s.verdict for s in bad].count("failed") >= 1


def test_changed_outputs_are_found(ceremony: Path, tmp_path: Path) -> None:
    """Every file that the transcript accounts for is made again and compared."""
    copy = tmp_path / "copy"
    shutil.copytree(ceremony, copy)
    state = list(replay(transcript.read(copy / "transcript.jsonl")))[-1].state
    assert state is not None
    names = [f.name for f in compare_files(state, copy)]
    assert "signed/1.root.json" in names
    for name in names:
        raw = (copy / name).read_bytes()
        (copy / name).write_bytes(raw[:-2] + b" " + raw[-1:])
        assert [f.name for f in compare_files(state, copy) if f.verdict == "failed"] == [name]
        (copy / name).write_bytes(raw)
    (copy / "signed" / "1.root.json").unlink()
    assert any(f.why == "is missing" for f in compare_files(state, copy))


def test_the_verb_says_the_same_in_json_and_plain(
    ceremony: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a script reads and what an auditor reads must agree, status included."""

    def said(*args: str) -> tuple[int, str]:
        return main(["replay", *args]), capsys.readouterr().out

    status, text = said(str(ceremony / "transcript.jsonl"), "--json")
    assert status == 0
    result = json.loads(text)
    assert result["ok"]
    assert set(result["events"][0]) >= {"n", "event", "verdict", "why"}
    assert {v["verdict"] for v in result["events"]} == {"recomputed", "witnessed"}
    status, text = said(str(ceremony), "--plain")
    assert status == 0
    assert result["head"] in text
    (tmp_path / "t.jsonl").write_bytes(forged(ceremony, "signature_added", set_with("sig", "00" * 70)))
    assert said(str(tmp_path / "t.jsonl"), "--json")[0] == 1
    (tmp_path / "cut.jsonl").write_bytes((ceremony / "transcript.jsonl").read_bytes()[:-3000])
    cut = json.loads(said(str(tmp_path / "cut.jsonl"), "--json")[1])
    assert not cut["complete"]


def test_a_forged_transcript_is_not_gone_on_with(ceremony: Path, tmp_path: Path) -> None:
    """Who edits the transcript between two sessions must not get the next signature out of it."""
    folder = tmp_path / "r"
    shutil.copytree(ceremony, folder)
    (folder / "transcript.jsonl").write_bytes(forged(ceremony, "review_read", set_with("changes", 1)))
    script, inputs = rehearsal.prepare(folder, holders=3, threshold=2)
    with pytest.raises(NotTrusted) as caught:
        conductor.conduct(script, inputs, folder, People())
    assert caught.value.code == "E-TRANSCRIPT-FORGED"


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (e.ExceptionNoted(1, "x"), "an exception was noted: x"),
        (e.StepSkipped(1, "x", ()), "step 2 was skipped: x"),
        (e.StepRepeated(1, "x", (), (), ()), "step 2 was done again: x"),
        (e.ReviewRead("root", "", 0, (), {}, {}, {"STOP y": ("A", "B")}), "the stop STOP y was overruled by A, B"),
        (e.PreflightTaken(1, {}, {"swap": "x"}), "the check swap was waived: x"),
        (e.KeyKept("k", "", "x"), "key k was not destroyed: x"),
    ],
)
def test_what_left_the_script_is_quoted(event: e.Event, told: str) -> None:
    """A summary that counts verdicts alone would hide an overruled stop among what was recomputed."""
    recorded = e.Recorded(7, "2026-11-28T09:00:00Z", 0, "Olivia", event, "00" * 32)
    result = summary([verdicts.ReplayStep(recorded, "failed", "why", None)], ())
    assert f"Line 7: {told}." in statement(result)


def test_every_kind_of_event_has_a_verdict() -> None:
    """An event that replay has no word for would end it with an internal error, years later."""
    kinds = set(get_args(e.Event)) - {e.Withheld}  # has a verdict of its own
    assert kinds == verdicts._RECOMPUTED.keys() | verdicts._WITNESSED.keys()
    assert not verdicts._RECOMPUTED.keys() & verdicts._WITNESSED.keys()
