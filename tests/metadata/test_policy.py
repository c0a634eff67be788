"""The policy of a review: nothing that it quietens vanishes, and a stop takes the people it says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from holders import EXPIRES, first_root, holder, next_root, signed

from vestry.errors import InputRejected, Refused
from vestry.metadata import document
from vestry.metadata.policy import DEFAULT, Policy
from vestry.metadata.review import Review, conclude, review
from vestry.metadata.review_text import render_lines

NOW = EXPIRES - timedelta(days=365)
PEOPLE = [holder(name) for name in ("Ann", "Ben", "Carol")]
ONLINE = holder("online")
ROOT = signed(first_root(PEOPLE, 2, ONLINE), PEOPLE[:2])
NEXT = next_root(ROOT, PEOPLE, 2)
STOP = "VERSION-STEP version"


def shown(policy: Policy = DEFAULT, **fields: Any) -> Review:
    new = document.read(document.to_file({**NEXT.signed, **fields}), where="test")
    return review("root", new, old=ROOT, now=NOW, policy=policy)


def codes(found: Review) -> dict[str, str]:
    return {f.code: f.severity for f in found.findings}


def test_a_silenced_finding_is_kept_with_its_reason() -> None:
    """A script could hide what an auditor must see."""
    policy = Policy(silenced={"EXPIRY-FAR": "agreed in the\x1b minutes"})
    found = shown(policy, expires="2099-01-01T00:00:00Z")
    assert "EXPIRY-FAR" not in codes(found)
    assert [(s.finding.code, s.finding.severity) for s in found.silenced] == [("EXPIRY-FAR", "warn")]
    assert found.to_dict()["silenced"][0]["code"] == "EXPIRY-FAR"
    text = " ".join(" ".join(render_lines(found)).split())
    assert "Silenced by the script:" in text
    assert "[EXPIRY-FAR]; the reason: agreed in the\\u{1b} minutes" in text
    assert not found.to_answer
    assert conclude(found, {}).answers == {}


def test_a_stop_is_never_silenced() -> None:
    """One line in a script would undo what takes several people."""
    found = shown(Policy(silenced={"VERSION-STEP": "we know"}), version=7)
    assert codes(found)["VERSION-STEP"] == "stop"
    assert not found.silenced


def test_severities_are_raised_and_never_lowered() -> None:
    """A script could turn a stop into a note."""
    policy = Policy(severities={"EXPIRY-FAR": "stop", "VERSION-STEP": "note"})
    found = codes(shown(policy, expires="2099-01-01T00:00:00Z", version=7))
    assert (found["EXPIRY-FAR"], found["VERSION-STEP"]) == ("stop", "stop")


def test_expiry_by_role() -> None:
    """What is long for one index is short for another."""
    assert "EXPIRY-FAR" in codes(shown(Policy(most_days={"root": 300}, least_days={})))
    assert "EXPIRY-FAR" not in codes(shown(Policy(most_days={"root": 366}, least_days={})))
    assert "EXPIRY-SOON" in codes(shown(Policy(least_days={"*": 366}, most_days={})))
    assert "EXPIRY-SOON" not in codes(shown(Policy(least_days={"root": 365})))


@pytest.mark.parametrize(
    "fields",
    [
        {"silenced": {"EXPIRY-FAR": " "}},
        {"severities": {"EXPIRY-FAR": "loud"}},
        {"overrule": -1},
        {"least_days": {"root": 20}, "most_days": {"root": 10}},
        {"least_days": {"root": -1}},
    ],
)
def test_odd_policies_are_refused(fields: dict[str, Any]) -> None:
    """A slip would show on the day of the ceremony."""
    with pytest.raises(InputRejected) as refused:
        Policy(**fields)
    assert refused.value.code == "E-POLICY"


@pytest.mark.parametrize("field", ["silenced", "severities"])
def test_unknown_codes_are_refused(field: str) -> None:
    """A misspelt code would leave the finding as it was, unnoticed."""
    with pytest.raises(InputRejected, match="no rule has the code EXPIRY-FAAR"):
        shown(Policy(**{field: {"EXPIRY-FAAR": "stop"}}))


def test_a_policy_does_not_change_after_it_was_given() -> None:
    """What was reviewed under it would not be what it says."""
    mine = {"EXPIRY-FAR": "agreed"}
    policy = Policy(silenced=mine)
    mine["VERSION-STEP"] = "oh"
    assert dict(policy.silenced) == {"EXPIRY-FAR": "agreed"}


@pytest.mark.parametrize(
    ("needed", "people", "lifted"),
    [
        (0, ("Ann", "Ben", "Carol"), False),
        (2, (), False),
        (2, ("Ann",), False),
        (2, ("Ann", " ann "), False),
        (2, ("Ann", ""), False),
        (2, "Ann", False),
        (2, ("Ann", "Ben"), True),
        (1, ("Ann",), True),
    ],
)
def test_a_stop_is_overruled_by_as_many_different_people(needed: int, people: Any, lifted: bool) -> None:
    """One person with two spellings of a name would be two."""
    found = shown(Policy(overrule=needed), version=7)
    answers = {f.name: "we know" for f in found.to_answer}
    if lifted:
        reviewed = conclude(found, answers, overruled={STOP: people})
        assert reviewed.overruled == {STOP: people}
        assert reviewed.answers[STOP] == "we know"
    else:
        with pytest.raises(Refused, match="does not follow"):
            conclude(found, answers, overruled={STOP: people})


def test_overruling_wants_an_answer_and_names_its_stop() -> None:
    """Agreement to something else is none to this."""
    found = shown(Policy(overrule=1), version=7)
    with pytest.raises(Refused, match="no answer"):
        conclude(found, {}, overruled={STOP: ("Ann",)})
    with pytest.raises(Refused, match="does not follow"):
        conclude(found, {STOP: "we know"}, overruled={"EXPIRY-FAR expires": ("Ann",)})


def test_without_a_policy_nothing_changes() -> None:
    """Callers that know of no policy would review otherwise than before."""
    assert shown().policy == Policy()
    assert conclude(shown(), {}).overruled == {}
