"""A review: what a reader sees, and that only what was read can be signed."""

from __future__ import annotations

import copy
import dataclasses
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from holders import EXPIRES, Holder, first_root, holder, next_root, signed
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vestry.errors import Refused
from vestry.metadata import canonical, document
from vestry.metadata.changes import apply
from vestry.metadata.document import Document
from vestry.metadata.review import Review, Reviewed, conclude, review
from vestry.metadata.review_text import render_lines
from vestry.text import group_hex, words

NOW = EXPIRES - timedelta(days=365)
PEOPLE = [holder(name) for name in ("Ann", "Ben", "Carol")]
NEW = holder("Dave")
ONLINE = holder("online")
ROOT = signed(first_root(PEOPLE, 2, ONLINE), PEOPLE[:2])
NEXT = next_root(ROOT, [*PEOPLE[1:], NEW], 2)


def known(keyid: str) -> str:
    return next((h.name for h in (*PEOPLE, NEW) if h.key.keyid == keyid), "")


def rotation(*by: Holder, new: Document = NEXT) -> Review:
    return review("root", signed(new, by), old=ROOT, now=NOW, known=known)


def altered(**fields: Any) -> Document:
    return document.read(document.to_file({**NEXT.signed, **fields}), where="test")


def test_the_object_of_json_is_the_designed_one() -> None:
    """Scripts of others read it; nothing may be renamed."""
    found = json.loads(json.dumps(rotation(PEOPLE[1]).to_dict()))
    assert list(found) == [
        "role", "old_version", "new_version", "sha256", "changes", "findings", "silenced",
        "thresholds", "look_ahead", "ok",
    ]  # fmt: skip
    assert (found["role"], found["old_version"], found["new_version"], found["ok"]) == ("root", 1, 2, True)
    assert found["sha256"] == NEXT.digest
    assert all(list(c) == ["kind", "where", "old", "new"] for c in found["changes"])
    assert all(list(f) == ["code", "severity", "where", "text"] for f in found["findings"])
    assert [list(t) for t in found["thresholds"]] == [["by", "threshold", "valid", "invalid", "missing", "met"]] * 2
    assert [(t["by"], len(t["valid"]), t["met"]) for t in found["thresholds"]] == [
        ("root v1", 1, False),
        ("root v2", 1, False),
    ]


def test_a_first_version_compares_with_nothing() -> None:
    """The object has no old version, and everything is added."""
    found = review("root", ROOT, now=NOW)
    assert found.to_dict()["old_version"] is None
    assert all(c.old is None for c in found.changes)
    assert found.ok
    assert not found.to_answer


def test_what_is_concluded_is_what_was_read() -> None:
    """Other bytes than those shown could be signed."""
    reviewed = conclude(rotation(), {})
    assert (reviewed.role, reviewed.signed_bytes, reviewed.digest) == ("root", NEXT.signed_bytes, NEXT.digest)
    assert dict(reviewed.answers) == {}


def test_nobody_else_makes_a_reviewed() -> None:
    """Signing would take bytes that nobody read."""
    reviewed = conclude(rotation(), {})
    with pytest.raises(TypeError):
        Reviewed("root", b"{}", "00", {})
    for seal in (None, object(), True):
        with pytest.raises(Refused, match="what was reviewed"):
            Reviewed("root", b"{}", "00", {}, seal)
    with pytest.raises((TypeError, ValueError, Refused)):
        dataclasses.replace(reviewed, signed_bytes=b"{}")
    with pytest.raises(dataclasses.FrozenInstanceError):
        reviewed.signed_bytes = b"{}"
    with pytest.raises(TypeError):
        reviewed.answers["x"] = "y"


def test_a_stop_can_not_be_answered_away() -> None:
    """A stop that an answer lifts is a warn."""
    found = rotation(new=altered(version=3))
    assert not found.ok
    answers = {f.name: "never mind" for f in found.findings}
    with pytest.raises(Refused, match="does not follow") as refused:
        conclude(found, answers)
    assert refused.value.code == "VERSION-STEP"


@pytest.mark.parametrize("answer", [None, "", "  \n "])
def test_a_warning_wants_an_answer(answer: str | None) -> None:
    """Passing over a warning would leave no trace."""
    found = rotation(new=altered(expires="2099-01-01T00:00:00Z"))
    name = "EXPIRY-FAR expires"
    assert [f"{f.code} {f.where}" for f in found.to_answer] == [name]
    with pytest.raises(Refused, match="no answer"):
        conclude(found, {} if answer is None else {name: answer})
    assert conclude(found, {name: " agreed by all three ", "OTHER x": "y"}).answers == {name: "agreed by all three"}


def test_the_lines_say_it_all() -> None:
    """Whoever reads only the lines would miss a part of the review."""
    found = rotation(PEOPLE[1])
    text = "\n".join(render_lines(found))
    assert text.startswith("Review of root v1 -> v2\n")
    assert all(line in text for line in group_hex(NEXT.digest))
    spoken = [w for line in render_lines(found) for w in line.split() if w in words(NEXT.digest)]
    assert spoken == list(words(NEXT.digest))
    dave, ann = NEW.key.keyid[:8], PEOPLE[0].key.keyid[:8]
    flat = " ".join(text.split())
    assert f"+ added Key {dave} (Dave), ecdsa-sha2-nistp256, joins root in place of key {ann} (Ann)" in flat
    assert "1 of 2 of root v1: 1 more needed" in flat
    assert "1 of 2 of root v2: 1 more needed" in flat
    assert f"signed: key {PEOPLE[1].key.keyid[:8]} (Ben)" in flat
    assert all(c.text in flat for c in found.changes)
    assert all(f.text in flat and f.code in flat for f in found.findings)
    assert "2 of 2 of root v1: enough" in " ".join(render_lines(rotation(*PEOPLE[1:])))


def test_lines_without_an_old_version_or_an_authority() -> None:
    """A lone document is read as such."""
    assert render_lines(review("root", ROOT, now=NOW))[0] == "Review of root v1, with no earlier version to compare"
    value = {"_type": "targets", "version": 1, "spec_version": "1.0.34", "targets": {}}
    new = document.read(document.to_file({**value, "expires": "2099-01-01T00:00:00Z"}), where="test")
    assert "said by a document that is not here" in " ".join(render_lines(review("targets", new, now=NOW)))
    stopped = review("root", new, now=NOW)
    assert render_lines(stopped)[-1] == "A stop stands: this must not be signed."


@pytest.mark.parametrize("width", [10, 80, 132])
def test_lines_fit_and_never_cut_a_digest(width: int) -> None:
    """A line that the terminal wraps or clips can be misread."""
    lines = render_lines(rotation(PEOPLE[1], new=altered(**{"x-long": "a" * 3000})), width)
    assert max(map(len, lines)) <= max(width, 48)
    squeezed = "".join("".join(lines).split())
    assert rotation(new=altered(**{"x-long": "a" * 3000})).new.digest in squeezed


NASTY = [
    "\x1b[31;1mOK\x1b]0;t\x07",
    "\u202eevil",
    "a\u200bb",
    "[bold red]x[/]",
    "\\u{202e}",
    "\x9b2J",
    "e\u0301" * 50,
    "\r\n",
]


@settings(deadline=None)
@given(st.sampled_from(NASTY) | st.text(st.characters(blacklist_categories=("Cs",)), max_size=30))
def test_nothing_unprintable_comes_out(nasty: str) -> None:
    """A name in a document would command the terminal, or the eye."""
    value = copy.deepcopy(NEXT.signed)
    assume(nasty not in value and nasty not in value["roles"])
    key = value["keys"][NEW.key.keyid]
    value["keys"][nasty] = key | {"x-rstuf-key-name": nasty, "x-tuf-on-ci-keyowner": nasty}
    value["roles"]["root"]["keyids"].append(nasty)
    value["roles"][nasty] = {"keyids": [nasty], "threshold": 1, nasty: nasty}
    value[nasty] = {nasty: [nasty]}
    shown = review(
        "root", document.read(document.to_file(value), where="test"), old=ROOT, now=NOW, known=lambda _: nasty
    )
    texts = [*render_lines(shown), *(f.name + f.text for f in shown.findings)]
    texts += [c.where + c.text for c in shown.changes]
    assert all(0x20 <= ord(ch) <= 0x7E for text in texts for ch in text)
    delegated = {
        "_type": "targets",
        "version": 1,
        "spec_version": "1.0.34",
        "expires": "2027-01-01T00:00:00Z",
        "targets": {nasty: {"length": 1, "hashes": {nasty: nasty}}},
        "delegations": {
            "keys": {},
            "roles": [{"name": nasty, "keyids": [nasty], "threshold": 1, "terminating": True, "paths": [nasty]}],
        },
    }
    shown = review(nasty, document.read(document.to_file(delegated), where="test"), now=NOW)
    assert all(0x20 <= ord(ch) <= 0x7E for text in render_lines(shown) for ch in text)


def test_real_histories_step_by_step(shared_data: Path) -> None:
    """What public roots went through in years could not be followed."""
    steps = 0
    for folder in sorted(shared_data.glob("roots/*/root_history")):
        old = None
        for path in sorted(folder.glob("*.root.json"), key=lambda p: int(p.name.split(".")[0])):
            new = document.read(path.read_bytes(), where=path.name)
            found = review("root", new, old=old, now=new.expires - timedelta(days=60))
            before = old.signed if old else None
            assert canonical.encode(apply(before, found.changes)) == new.signed_bytes
            assert found.ok, [f.text for f in found.findings]
            assert all(t.met for t in found.tallies), path
            assert {c.kind for c in found.changes} >= {"version-changed"}
            assert render_lines(found)
            old, steps = new, steps + 1
    assert steps == 25


def test_reviewing_uses_no_clock() -> None:
    """A replay years later must find what was found then."""
    then = datetime(2020, 1, 1, tzinfo=UTC)
    found = review("root", ROOT, now=then)
    assert [f.code for f in found.to_answer] == ["EXPIRY-FAR"]
    assert review("root", ROOT, now=then).findings == found.findings
