"""What a script asks of its reviews: findings silenced with a reason, raised, stops that several may overrule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from people import People
from small import script_text

from vestry.ceremony import conductor, reading, replay, transcript
from vestry.ceremony import events as e
from vestry.ceremony.script import Script
from vestry.errors import InputRejected, Stopped
from vestry.metadata.lookalike import known_with
from vestry.tokens.software import SoftwareSource

Read = Callable[[str], tuple[Script, dict[str, bytes]]]


@pytest.fixture
def read(tmp_path: Path, online: Any) -> Read:
    """The small script on software tokens, with a table added."""

    def make(more: str) -> tuple[Script, dict[str, bytes]]:
        text = script_text(online, {}, {}).replace('use = "pkcs11"\nmodule = "softhsm2"', 'use = "software"')
        (tmp_path / "online.pem").write_bytes(online.pem)
        (tmp_path / "s.toml").write_text(text.replace("[online]", f"{more}\n[online]"))
        for serial in ("0000000001", "0000000002", "0000000003"):
            if not (tmp_path / "tokens" / serial).exists():
                SoftwareSource(tmp_path / "tokens").create(serial)
        return reading.load(tmp_path / "s.toml")

    return make


def conduct(made: tuple[Script, dict[str, bytes]], folder: Path, people: People) -> list[e.ReviewRead]:
    conductor.conduct(*made, folder / "c", people, tokens=folder / "tokens")
    records = transcript.read(folder / "c" / "transcript.jsonl")
    assert {v.verdict for v in replay.replay(records)} <= {"recomputed", "witnessed"}
    return [r.event for r in records if isinstance(r.event, e.ReviewRead)]


def codes(names: Any) -> set[str]:
    return {name.split()[0] for name in names}


def test_a_silenced_finding_is_in_the_transcript_with_its_reason(tmp_path: Path, people: People, read: Read) -> None:
    """Nobody is asked about what the script explains; and nobody can silence it unseen."""
    before = conduct(read(""), tmp_path, People())
    (tmp_path / "c").rename(tmp_path / "first")
    root = next(r for r in before if r.role == "root")
    code = sorted(codes(root.findings))[0]
    for token in ("0000000001", "0000000002", "0000000003"):
        (tmp_path / "tokens" / token).rename(tmp_path / f"used-{token}")
    after = conduct(read(f'[review.silenced]\n{code} = "as in every first root"\n'), tmp_path, people)
    root = next(r for r in after if r.role == "root")
    assert code not in codes(root.findings)
    assert set(root.silenced.values()) == {"as in every first root"}
    assert codes(root.silenced) == {code}


def test_a_stop_takes_as_many_people_as_the_script_says(tmp_path: Path, people: People, read: Read) -> None:
    """Two different people, named in the transcript; the same one twice does not count."""
    people.answers = {"overrule": lambda q: next(v for v, _ in q.options if v)}
    made = read('[review]\noverrule = 2\n[review.most_days]\nroot = 100\n[review.severities]\nEXPIRY-FAR = "stop"\n')
    read_ = conduct(made, tmp_path, people)
    root = next(r for r in read_ if r.role == "root")
    assert [sorted(p) for n, p in root.overruled.items() if n.startswith("EXPIRY-FAR")] == [["Olivia", "Walter"]]
    asked = [q for q in people.asked if q.name == "overrule"]
    assert len(asked) == 2
    assert "Olivia" not in dict(asked[1].options)


def test_without_overruling_a_stop_stands(tmp_path: Path, people: People, read: Read) -> None:
    """Nobody may wave a stop through where the script does not say who may."""
    people.answers = {"trouble": lambda _: "stop"}
    made = read('[review.most_days]\nroot = 100\n[review.severities]\nEXPIRY-FAR = "stop"\n')
    with pytest.raises(Stopped):
        conductor.conduct(*made, tmp_path / "c", people, tokens=tmp_path / "tokens")
    assert [err.code for err, _ in people.troubles] == ["EXPIRY-FAR"]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("[review]\noverrule = 1", "one person alone"),
        ("[review]\noverrule = 99", "out of range"),
        ('[review.silenced]\nNO-SUCH = "x"', "NO-SUCH"),
        ('[review.silenced]\nEXPIRY-FAR = ""', "is empty"),
        ('[review.severities]\nEXPIRY-FAR = "off"', "not known"),
        ("[review.most_days]\nroot = 1\n[review.least_days]\nroot = 9", "longer than it may"),
        ("[review]\nstrict = true", "not known here"),
        ("[review]\nwell_known = []", "is empty"),
        ('[review]\nwell_known = ["a", "a"]', "twice"),
        ('[review]\nwell_known = ["a\u200bb"]', "does not show"),
    ],
)
def test_an_odd_table_is_one_exact_line(read: Read, table: str, says: str) -> None:
    """A slip in how strict a review is must show at the desk."""
    with pytest.raises(InputRejected, match=says):
        read(table)


def test_a_script_brings_its_own_well_known_names(read: Read) -> None:
    """Names that matter to one repository alone could be copied unseen; Vestry's own list still counts."""
    script, _ = read('[review]\nwell_known = ["our-vault", "Inner_Tools"]')
    assert script.policy.well_known == ("our-vault", "Inner_Tools")
    known = known_with(script.policy.well_known)
    assert known.like("our-vau1t") == ("our-vault", "differs only in letters that look alike")
    assert known.like("innertools") == ("inner-tools", "differs only in its hyphens")
    assert known.like("our-vault") is None
    assert known.like("requsets") == ("requests", "has two letters in the other order")
    assert known_with(()).like("our-vau1t") is None
