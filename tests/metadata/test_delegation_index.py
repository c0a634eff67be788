"""The index of delegations: it must say what comparing each with each would say, and stay quick."""

from __future__ import annotations

import itertools
from fnmatch import fnmatchcase

import pytest
from growth import lines_run
from hypothesis import given, settings
from hypothesis import strategies as st

from vestry.metadata import delegation_index
from vestry.metadata.delegation_index import Index, segment_covers, segments_meet
from vestry.metadata.rules_names import covers

SEGMENT = st.text("ab*?", min_size=0, max_size=4)
PATTERN = st.lists(SEGMENT, min_size=1, max_size=3).map("/".join)
WORDS = ["".join(w) for n in range(5) for w in itertools.product("abc", repeat=n)]


def fits_both(one: str, other: str) -> bool:
    return any(fnmatchcase(w, one) and fnmatchcase(w, other) for w in WORDS)


@settings(max_examples=150)
@given(SEGMENT, SEGMENT)
def test_meeting_is_having_a_word_in_common(one: str, other: str) -> None:
    """An overlap would be missed, or made up."""
    words = fits_both(one, other)
    assert segments_meet(one, other) == segments_meet(other, one)
    # Words of four letters are enough for patterns whose letters and question marks are no more than that together.
    if len(one.replace("*", "")) + len(other.replace("*", "")) <= 4:
        assert segments_meet(one, other) == words
    elif words:
        assert segments_meet(one, other)


@settings(max_examples=150)
@given(SEGMENT, SEGMENT)
def test_covering_is_never_claimed_wrongly(one: str, other: str) -> None:
    """A delegation would be called dead that is still asked."""
    if segment_covers(one, other):
        assert all(fnmatchcase(w, one) for w in WORDS if fnmatchcase(w, other))


def meets(one: str, other: str) -> bool:
    mine, theirs = one.split("/"), other.split("/")
    return len(mine) == len(theirs) and all(map(segments_meet, mine, theirs))


@settings(max_examples=150)
@given(st.lists(PATTERN, min_size=1, max_size=12))
def test_the_index_finds_what_comparing_all_finds(patterns: list[str]) -> None:
    """The tree is only a short cut."""
    index = Index()
    for place, pattern in enumerate(patterns):
        index.add(place, [("path", pattern)])
    for place, pattern in enumerate(patterns):
        for how, test in (("covers", covers), ("meets", meets)):
            found = index.first(("path", pattern), place, how)
            wanted = {i for i, p in enumerate(patterns[:place]) if test(p, pattern)}
            assert (found in wanted) if wanted else found is None, (how, pattern)
    assert not index.stopped


@given(st.lists(st.text("01", max_size=4), min_size=1, max_size=12))
def test_hash_prefixes_likewise(prefixes: list[str]) -> None:
    """A prefix takes all that starts with it."""
    index = Index()
    for place, prefix in enumerate(prefixes):
        index.add(place, [("prefix", prefix)])
    for place, prefix in enumerate(prefixes):
        before = prefixes[:place]
        assert (index.first(("prefix", prefix), place, "covers") is not None) == any(map(prefix.startswith, before))
        either = any(prefix.startswith(p) or p.startswith(prefix) for p in before)
        assert (index.first(("prefix", prefix), place, "meets") is not None) == either


def test_classes_and_odd_brackets() -> None:
    """python-tuf matches classes too; an open bracket is a letter."""
    assert segments_meet("[ab]x", "?x")
    assert segments_meet("[!]]x", "?x")
    assert not segments_meet("[ab]x", "[ab]xy")
    assert segments_meet("a[", "a[*")
    assert segment_covers("[ab]", "a")
    assert not segment_covers("[ab]", "c")


def test_hostile_wildcards_end_and_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list made so that every pattern could meet every other would keep a room waiting."""
    monkeypatch.setattr(delegation_index, "_MOST_STEPS", 100_000)
    index = Index()
    patterns = [f"*a{place}b" for place in range(1_000)]
    for place, pattern in enumerate(patterns):
        index.add(place, [("path", pattern)])
    assert index.first(("path", patterns[0]), 0, "meets") is None
    for place, pattern in enumerate(patterns):
        index.first(("path", pattern), place, "meets")
    assert index.stopped
    rest = lines_run(lambda: [index.first(("path", p), n, "meets") for n, p in enumerate(patterns)])
    assert rest < 100 * len(patterns)


def test_patterns_of_absurd_depth_are_skipped_and_told() -> None:
    """Ten thousand slashes are no reason to stop breathing."""
    index = Index()
    index.add(0, [("path", "/".join("a" * 10_000))])
    assert index.stopped
    assert index.first(("path", "/".join("a" * 10_000)), 1, "meets") is None
