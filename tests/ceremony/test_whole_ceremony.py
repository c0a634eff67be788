"""Whole ceremonies, on software tokens and on SoftHSM 2 through the real child process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata

from vestry.ceremony import conductor, events, rehearsal, transcript
from vestry.ceremony.account import summary
from vestry.ceremony.replay import compare_files, replay
from vestry.tokens.inventory import open_source

Make = Callable[..., tuple[Any, dict[str, bytes]]]


def test_rehearsal_of_five_holders_takes_at_most_45_prompts(
    tmp_path: Path, people: Any, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A ceremony that asks more is one that tired people get wrong."""
    script, inputs = rehearsal.prepare(tmp_path / "r", holders=5, threshold=3)
    conductor.conduct(script, inputs, tmp_path / "r", people)
    record_property("prompts", people.count)
    with capsys.disabled():
        print(f"\nprompts of a whole 3-of-5 ceremony, key generation included: {people.count}")
    assert people.count <= 45
    steps = list(replay(transcript.read(tmp_path / "r" / "transcript.jsonl")))
    assert [s for s in steps if s.verdict == "failed"] == []
    assert all(f.verdict == "recomputed" for f in compare_files(steps[-1].state, tmp_path / "r"))
    result = summary(steps, ())
    assert result["ok"]
    assert result["complete"]
    assert result["rehearsal"]


def test_pypi_root_on_softhsm(tmp_path: Path, softhsm: Path, pypi_root: Make, people: Any) -> None:
    """The shipped script runs as it is on PKCS#11 tokens; targets and bins keys go, root keys stay."""
    script, inputs = pypi_root()
    folder = tmp_path / "c"
    state = conductor.conduct(script, inputs, folder, people)
    root = Metadata.from_file(str(folder / "signed" / "1.root.json"))
    assert (root.signed.roles["root"].threshold, len(root.signed.roles["root"].keyids)) == (3, 5)
    assert state.keys["alice-targets"].destroyed
    assert state.keys["bob-bins"].destroyed
    source = open_source(Path("/usr/lib/softhsm/libsofthsm2.so"))
    try:
        labels = sorted(k.label for t in source.tokens() if t.info.initialised for k in t.public_keys())
    finally:
        source.close()
    assert labels == ["alice-root", "bob-root", "carol-root", "dave-root", "erin-root"]
    assert all(s.verdict != "failed" for s in replay(transcript.read(folder / "transcript.jsonl")))


@pytest.mark.parametrize(
    ("scheme", "bits"),
    [("ecdsa-sha2-nistp384", 0), ("ed25519", 0), ("rsassa-pss-sha256", 2048)],
)
def test_other_schemes(tmp_path: Path, pypi_root: Make, people: Any, scheme: str, bits: int) -> None:
    """The script chooses the scheme; each one ends in documents that python-tuf accepts (the step verify asks it)."""
    new = f'scheme = "{scheme}"' + (f"\nbits = {bits}" if bits else "")
    script, inputs = pypi_root(
        ('scheme = "ecdsa-sha2-nistp256"', new),
        ('use = "pkcs11"\nmodule = "softhsm2"\nsecurity_officer = "forgotten"', 'use = "software"'),
        ("number = 16384", "number = 256"),
        *([('style = "succinct"', 'style = "prefixes"')] if scheme == "ecdsa-sha2-nistp384" else []),
    )
    blanks(tmp_path / "c" / "tokens", 5)
    state = conductor.conduct(script, inputs, tmp_path / "c", people)
    assert set(state.outputs) == {"1.root.json", "1.targets.json", "1.bins.json"}


def blanks(folder: Path, count: int) -> None:
    from vestry.tokens.software import SoftwareSource

    source = SoftwareSource(folder)
    for number in range(count):
        source.create(f"00000000{number:02d}")
    source.close()


def test_no_pin_is_left_behind(tmp_path: Path, softhsm: Path, pypi_root: Make, people: Any) -> None:
    """A PIN in any file, event or line told would be in the hands of whoever reads the record."""
    for name in ("Alice", "Bob", "Carol", "Dave", "Erin"):
        people.pins[name] = f"canary-{name}-7c1f"
    slips: list[str] = []

    def digits(question: Any) -> Any:
        """Where the serial was asked for, hands that expected the next line typed the PIN."""
        if question.person in slips:
            return people.sensible(question)
        slips.append(question.person)
        return people.pins[question.person]

    people.answers = {"digits": digits}
    script, inputs = pypi_root()
    conductor.conduct(script, inputs, tmp_path / "c", people)
    seen = "\n".join([*people.told, repr(people.asked), repr(people.state)])
    assert "canary" not in seen
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"canary" not in path.read_bytes(), path


def test_the_transcript_holds_every_step_in_words(tmp_path: Path, people: Any) -> None:
    """An auditor with a text viewer reads what happened: one JSON object a line, named for what it is."""
    script, inputs = rehearsal.prepare(tmp_path / "r", holders=3, threshold=2)
    conductor.conduct(script, inputs, tmp_path / "r", people)
    lines = (tmp_path / "r" / "transcript.jsonl").read_text().splitlines()
    whats = [json.loads(line)["event"]["what"] for line in lines]
    assert whats[0] == "opened"
    for wanted in ("gathered", "token_initialised", "key_generated", "drafted", "draft_proved", "review_read"):
        assert wanted in whats
    assert whats.count("signature_added") == 6
    assert whats.count("key_destroyed") == 4
    assert whats.count("sealed") == 2


def test_a_second_run_of_a_finished_ceremony_changes_nothing(tmp_path: Path, people: Any) -> None:
    """Running the same line again after the end must not make anything twice."""
    script, inputs = rehearsal.prepare(tmp_path / "r", holders=3, threshold=2)
    conductor.conduct(script, inputs, tmp_path / "r", people)
    before = {p.name: p.read_bytes() for p in (tmp_path / "r" / "signed").iterdir()}
    state = conductor.conduct(script, inputs, tmp_path / "r", people)
    assert {p.name: p.read_bytes() for p in (tmp_path / "r" / "signed").iterdir()} == before
    records = transcript.read(tmp_path / "r" / "transcript.jsonl")
    assert isinstance(records[-1].event, events.Resumed)
    assert state.lines == len(records)


def test_the_shipped_rotation_follows_the_shipped_ceremony_on_softhsm(
    tmp_path: Path, softhsm: Path, pypi_root: Make, people: Any
) -> None:
    """Old holders are recognised by their public keys, the new one gets a token; old and new threshold both sign."""
    script, inputs = pypi_root()
    first = conductor.conduct(script, inputs, tmp_path / "c", people)
    root = tmp_path / "c" / "signed" / "1.root.json"
    (tmp_path / "script" / "1.root.json").write_bytes(root.read_bytes())
    holders = ("alice", "bob", "carol", "dave", "erin")
    blanks_filled = [
        (f'keyid = "0000000{n}"', f'keyid = "{first.keys[f"{h}-root"].keyid[:8]}"') for n, h in enumerate(holders, 1)
    ]
    second, inputs = pypi_root(
        ("0" * 64, hashlib.sha256(root.read_bytes()).hexdigest()),
        *blanks_filled,
        ("threshold = 3", "threshold = 4"),
        name="root-rotation.toml",
    )
    state = conductor.conduct(second, inputs, tmp_path / "rotation", people)
    counts = {t.by: (len(t.valid), t.threshold, t.met) for t in state.tallies("root")}
    assert counts == {"root v1": (4, 3, True), "root v2": (4, 4, True)}
    before, after = (Metadata.from_file(str(p)).signed for p in (root, tmp_path / "rotation/signed/2.root.json"))
    assert set(before.roles["root"].keyids) - set(after.roles["root"].keyids) == {first.keys["erin-root"].keyid}
    assert set(after.roles["root"].keyids) - set(before.roles["root"].keyids) == {state.keys["frank-root"].keyid}
    assert all(s.verdict != "failed" for s in replay(transcript.read(tmp_path / "rotation" / "transcript.jsonl")))
