"""``vestry publish``: what is withheld is nowhere in it, what is shown still holds, and nothing is called failed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from paper import TORN, hold, rotation
from people import People
from test_standalone_verifier import verify as verify_alone

from vestry.ceremony import chain, codec, conductor, transcript
from vestry.ceremony import events as e
from vestry.cli.main import main
from vestry.errors import InputRejected


@pytest.fixture(scope="module")
def ceremony(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hold(tmp_path_factory.mktemp("p") / "p")


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hold(tmp_path_factory.mktemp("t") / "t", trouble=True)


def published(
    source: Path, dest: Path, capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """Status, what ``publish`` says, and what a replay of the copy says."""
    capsys.readouterr()
    status = main(["publish", str(source), "-o", str(dest), "--json", *options])
    told = json.loads(capsys.readouterr().out)
    if "error" in told:
        return status, told, {}
    replayed = main(["replay", str(dest), "--json"])
    result = json.loads(capsys.readouterr().out)
    assert replayed == status
    return status, told, result


def kinds_of(result: dict[str, Any], verdict: str) -> set[str]:
    return {x["event"] for x in result["events"] if x["verdict"] == verdict}


def heads(folder: Path) -> list[str]:
    return [r.head for r in transcript.iter_read(folder / "transcript.jsonl")]


def test_every_kind_can_be_withheld_and_nothing_fails(
    ceremony: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever an organisation keeps to itself, the rest keeps its heads, and no reader is told of failures."""
    for kind in (
        "opened",
        "gathered",
        "token_confirmed",
        "key_generated",
        "drafted",
        "signature_added",
        "verified",
        "sealed",
    ):
        status, told, result = published(ceremony, tmp_path / kind, capsys, "--withhold-kind", kind)
        assert (status, result["ok"], result["counts"]["failed"]) == (0, True, 0), (kind, result)
        assert heads(tmp_path / kind) == heads(ceremony)
        assert {x["event"] for x in told["withheld"]} == {kind}
        assert f'"{kind}"' not in (tmp_path / kind / "transcript.jsonl").read_text()
        assert result["counts"]["recomputed"] > 0
        status, said = verify_alone(tmp_path / kind, capsys)
        assert status == 0, said
        assert f"head: {result['head']}\nverdict: holds as far as it shows" in said


def test_what_does_not_rest_on_it_is_recomputed_all_the_same(
    ceremony: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without it a copy that hides who was there would prove nothing of what they signed."""
    options = [x for kind in ("gathered", "preflight_taken", "initialise_intended") for x in ("--withhold-kind", kind)]
    _, _, result = published(ceremony, tmp_path / "copy", capsys, *options)
    assert {"drafted", "review_read", "signature_added", "verified", "sealed"} <= kinds_of(result, "recomputed")
    assert (result["complete"], result["rehearsal"]) == (None, True)
    _, _, result = published(ceremony, tmp_path / "keys", capsys, "--withhold-kind", "key_generated")
    assert {"drafted", "signature_added", "verified"} <= kinds_of(result, "unknown")
    assert all("withheld in lines" in x["why"] for x in result["events"] if x["verdict"] == "unknown")


def test_what_is_withheld_may_be_a_failure_and_replay_says_so(
    troubled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever publishes may keep back just what speaks against them: a seal that does not agree, an exception."""
    assert main(["replay", str(troubled), "--plain"]) == 0
    whole = capsys.readouterr().out
    assert "an exception was noted: A fire alarm" in whole
    assert "\\u{202e}gnihton" in whole
    assert "\\\\u" not in whole
    kinds = ("--withhold-kind", "exception_noted", "--withhold-kind", "sealed")
    assert main(["publish", str(troubled), "-o", str(tmp_path / "copy"), *kinds]) == 0
    said = capsys.readouterr().out
    assert all(gone in whole and gone not in said for gone in ("an exception was noted", "does NOT agree"))
    assert "Withheld: line " in said
    assert "it may be a failure, an exception, a stop that was overruled, or a seal that does not agree" in said
    assert "Nobody sealed it" not in said


def test_two_ends_of_one_ceremony_have_two_heads(
    ceremony: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both hold by themselves. Which one the room saw is on its paper, so that the words are said; a later seal over
    the one does not hold for the other, nor for a copy with invented lines at its end."""
    lines = (ceremony / "transcript.jsonl").read_bytes().splitlines(keepends=True)
    end = list(transcript.iter_read(ceremony / "transcript.jsonl"))[-1]
    noted = {"event": e.ExceptionNoted(0, "another end"), "at": end.at, "mono": end.mono + 1, "by": end.by}
    other, _ = chain.make(n=end.n + 1, before=end.head, **noted)
    told = set()
    for raw in (b"".join(lines), b"".join([*lines, other]), b"".join([*lines, chain.withhold(other)])):
        (tmp_path / "t.jsonl").write_bytes(raw)
        assert main(["replay", str(tmp_path / "t.jsonl"), "--plain"]) == 0
        [head] = [x for x in capsys.readouterr().out.splitlines() if x.startswith("In words: ")]
        told.add(head)
    assert len(told) == 3 - 1, "what is withheld keeps its head, and only it"


def test_a_person_is_nowhere_in_the_copy(ceremony: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The name is in the script, in keys, tokens, bundles and seals; all of these go, and what that costs is said."""
    assert main(["publish", str(ceremony), "-o", str(tmp_path / "copy"), "--withhold-person", "bob"]) == 0
    said = capsys.readouterr()
    assert "Line 0 holds the script" in said.err
    copy = tmp_path / "copy"
    for path in copy.rglob("*"):
        assert "bob" not in path.name.lower()
        # Within a key's base64 three letters stand by chance.
        assert path.is_dir() or not re.search(rb"(?<![a-z])bob(?![a-z])", path.read_bytes().lower()), path
    assert main(["replay", str(copy), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert kinds_of(result, "recomputed") == {"sealed"}, "by a key that is still shown, over a head of this transcript"
    assert (result["rehearsal"], result["complete"]) == (None, None)
    assert main(["record", str(copy), "-o", str(tmp_path / "r.html")]) == 0
    assert "script is withheld" in (tmp_path / "r.html").read_text()
    assert main(["replay", str(copy), "--plain"]) == 0
    assert verify_alone(copy, capsys)[0] == 0


def test_hostile_names_torn_bytes_and_late_stops(
    troubled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a crash left may name somebody: it goes with the line that speaks of it, and only then."""
    assert TORN in (troubled / "transcript.jsonl").read_bytes()
    _, _, result = published(troubled, tmp_path / "a", capsys, "--withhold-kind", "said")
    assert TORN in (tmp_path / "a" / "transcript.jsonl").read_bytes()
    assert result["counts"]["failed"] == 0
    for name, options in (("b", ["--withhold-kind", "resumed"]), ("c", ["--withhold-person", "W" * 64])):
        _, told, result = published(troubled, tmp_path / name, capsys, *options)
        assert TORN not in (tmp_path / name / "transcript.jsonl").read_bytes()
        assert any(x["event"] == "resumed" for x in told["withheld"])
        assert (result["counts"]["failed"], heads(tmp_path / name)) == (0, heads(troubled))


def test_a_copy_is_published_again_and_never_gone_on_with(
    ceremony: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """More may be withheld later; nothing withheld comes back, and no ceremony or seal goes on from a copy."""
    published(ceremony, tmp_path / "a", capsys, "--withhold", "1,3-4")
    status, told, result = published(tmp_path / "a", tmp_path / "b", capsys, "--withhold", "2")
    assert (status, [x["n"] for x in told["withheld"]]) == (0, [1, 2, 3, 4])
    assert heads(tmp_path / "b") == heads(ceremony)
    assert result["counts"]["failed"] == 0
    assert main(["seal", str(tmp_path / "b"), "--person", "Walter", "--agree", "--key", "none"]) == 1
    assert "E-SEAL-NOT" in capsys.readouterr().err


def test_what_is_shown_is_still_held_against_its_head_and_files(
    ceremony: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A gap is no licence: a changed line, leaf or file is found as ever."""
    published(ceremony, tmp_path / "copy", capsys, "--withhold-kind", "gathered")
    path = tmp_path / "copy" / "transcript.jsonl"
    whole = path.read_bytes()
    for wrong in (whole.replace(b'"leaf":"', b'"leaf":"0', 1), whole.replace(b'"agree":true', b'"agree":false', 1)):
        path.write_bytes(wrong)
        assert main(["replay", str(tmp_path / "copy"), "--json"]) == 1
        assert verify_alone(tmp_path / "copy", capsys)[0] == 1
    path.write_bytes(whole)
    signed = tmp_path / "copy" / "signed" / "1.root.json"
    signed.write_bytes(signed.read_bytes().replace(b'"version": 1', b'"version": 2'))
    assert main(["replay", str(tmp_path / "copy"), "--json"]) == 1
    assert verify_alone(tmp_path / "copy", capsys)[0] == 1


def test_a_rotation_and_a_serial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A serial that the script does not name is withheld with every line and file that says it."""
    script, inputs = rotation(tmp_path)
    people = People(pins={n: f"pin-of-{n}" for n in ("Alice", "Bob", "Carol")})
    folder = tmp_path / "next"
    conductor.conduct(script, inputs, folder, people, tokens=tmp_path / "r" / "tokens")
    serials = [r.event.serial for r in transcript.iter_read(folder / "transcript.jsonl") if hasattr(r.event, "serial")]
    serial = next(s for s in serials if s)
    status, told, result = published(folder, tmp_path / "copy", capsys, "--withhold-text", serial)
    assert (status, bool(told["withheld"])) == (0, True)
    assert all(serial.encode() not in p.read_bytes() for p in (tmp_path / "copy").rglob("*") if p.is_file())
    assert result["counts"]["failed"] == 0


def test_wrong_usage_and_full_drives_are_one_line(
    ceremony: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name mistyped would publish what was to be withheld: it is refused, as is a folder that holds something."""
    dest = tmp_path / "copy"
    for options in (
        ["--withhold-person", "Bbo"],
        ["--withhold", "5000"],
        ["--withhold", "9-3"],
        ["--withhold", "x"],
        ["--withhold-kind", "gatherd"],
        ["--withhold-person", " "],
    ):
        status, told, _ = published(ceremony, dest, capsys, *options)
        assert (status, told["code"], dest.exists()) == (2, "E-USAGE", False), options
    assert published(ceremony, ceremony, capsys)[0] == 2
    assert published(ceremony, Path("/proc/copy"), capsys)[0] == 3


def test_no_line_is_ever_written_as_withheld() -> None:
    """A transcript can't hide an event from replay behind the name of a gap."""
    with pytest.raises(InputRejected, match="there is no event 'withheld'"):
        codec.from_json("withheld", {})
