"""An event is judged by the rules of its day; what today's rules would say of it is told, and changes no verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from people import People

from vestry import __version__
from vestry.ceremony import conductor, rehearsal, transcript
from vestry.ceremony import events as e
from vestry.ceremony.decide import read_review
from vestry.ceremony.replay import ReplayStep, replay
from vestry.metadata import rulebook
from vestry.metadata.findings import CODES
from vestry.metadata.rulebook import RULES, Context, Hit, rule
from vestry.release import FIRST, in_force, release
from vestry.tokens import attestation_rules

LATER = (9, 0, 0)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> tuple[e.Recorded, ...]:
    folder = tmp_path_factory.mktemp("day") / "r"
    script, inputs = rehearsal.prepare(folder, holders=2, threshold=2)
    conductor.conduct(script, inputs, folder, People())
    return transcript.read(folder / "transcript.jsonl")


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule book, to be written in: what a test registers is gone after it."""
    book = dict(RULES)
    monkeypatch.setattr(rulebook, "RULES", book)
    monkeypatch.setattr("vestry.metadata.findings.CODES", book)


def by(records: tuple[e.Recorded, ...], software: str) -> list[e.Recorded]:
    """The same, made by another release."""
    return [
        r._replace(event=replace(r.event, software=software)) if isinstance(r.event, e.Opened) else r for r in records
    ]


def review_of(steps: Iterator[ReplayStep]) -> ReplayStep:
    return next(s for s in steps if isinstance(s.recorded.event, e.ReviewRead))


def always(_: Context) -> Iterator[Hit]:
    yield Hit(("version",), "it is what it is")


@pytest.mark.usefixtures("rules")
def test_a_rule_that_came_later_is_told_and_fails_nothing(records: tuple[e.Recorded, ...]) -> None:
    """Without it, every new rule would make the ceremonies before it fail."""
    rule("TEST-LATER", "warn", "It came later.", since=LATER)(always)
    told = review_of(replay(records, now=records[-1].at))
    assert told.verdict == "recomputed"
    assert told.why.endswith("; today's rules would add TEST-LATER version")
    assert "today" not in review_of(replay(records)).why


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize("software", ["vestry 9.0.0", "vestry 9.1", "vestry", "another 0.1.0"])
def test_a_rule_that_was_there_must_have_been_shown(records: tuple[e.Recorded, ...], software: str) -> None:
    """Whoever wrote a review without a finding that its software has shows something else than what was read; a name
    that says nothing of a release gets no rule off."""
    rule("TEST-LATER", "warn", "It came later.", since=LATER)(always)
    told = review_of(replay(by(records, software), now=records[-1].at))
    assert told.verdict == "failed"
    assert "findings" in told.why


@pytest.mark.usefixtures("rules")
def test_a_rule_that_changed_is_asked_as_it_was(records: tuple[e.Recorded, ...]) -> None:
    """What a rule no longer finds was still read on the day; its place in the book must not be lost with it."""
    read = review_of(replay(records)).recorded.event
    assert isinstance(read, e.ReviewRead)
    code = read.findings[0].partition(" ")[0]
    rule(code, CODES[code].severity, "It finds nothing any more.", since=LATER)(lambda _: iter(()))
    told = review_of(replay(records, now=records[-1].at))
    assert told.verdict == "recomputed"
    assert f"today's rules would drop {read.findings[0]}" in told.why
    assert review_of(replay(by(records, "vestry 9.0.0"))).verdict == "failed"


def test_the_clock_of_today_is_told_and_fails_nothing(records: tuple[e.Recorded, ...]) -> None:
    """A root that has expired since was good when it was signed."""
    told = review_of(replay(records, now="2099-01-01T00:00:00Z"))
    assert told.verdict == "recomputed"
    assert "today's rules would add EXPIRY-PAST expires" in told.why
    assert all(s.verdict != "failed" for s in replay(records, now="2099-01-01T00:00:00Z"))


def test_a_review_in_the_room_looks_ahead_to_all_that_is_drafted(records: tuple[e.Recorded, ...]) -> None:
    """What expires before people meet again would be found out when it has."""
    told = review_of(replay(records))
    assert told.state is not None
    script = replace(told.state.script, next="2030-01-02")
    seen = read_review(replace(told.state, script=script), "root", told.recorded.at)
    assert seen.ahead is not None
    assert {x.role for x in seen.ahead.expiries if x.before_next} == {"root", "targets", "bins"}
    assert "before the next ceremony on 2030-01-02" in seen.ahead.sentences[-1]


def test_the_first_rules_hold_for_every_release() -> None:
    """A forged header must not be able to go back to before there were rules."""
    assert release("vestry 0.0.1") == (0, 0, 1)
    assert in_force(FIRST, release("vestry 0.0.1"))
    assert not in_force(LATER, release("vestry 8.99.99"))
    assert in_force(LATER, None)
    assert in_force((0, 2), release("vestry 0.10.0"))
    assert release(f"vestry {'9' * 5000}.0") is None


def test_no_rule_is_of_a_release_to_come() -> None:
    """A rule dated after its own release would not be asked in any ceremony."""
    here = release(f"vestry {__version__}")
    assert here is not None
    assert all(r.since <= here for r in CODES.values())
    assert all(since <= here for since in attestation_rules.SINCE.values())
    assert set(attestation_rules.SINCE) <= set(attestation_rules.FINDINGS)


def test_two_rules_of_one_release_are_not_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one would silently stand for the other."""
    monkeypatch.setattr(rulebook, "RULES", dict(RULES))
    with pytest.raises(AssertionError, match="two rules EXPIRY-PAST"):
        rule("EXPIRY-PAST", "stop", "Again.")(always)


def test_a_proof_is_judged_by_the_rules_of_the_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """A weakness that was found in a device later was not known to the holder who accepted it."""
    found = attestation_rules.finding("EUCLEAK")
    assert attestation_rules.known(found, FIRST)
    monkeypatch.setattr(attestation_rules, "SINCE", {"EUCLEAK": LATER})
    assert not attestation_rules.known(found, FIRST)
    assert attestation_rules.known(found, LATER)
    assert attestation_rules.known(found, None)
