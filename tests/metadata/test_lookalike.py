"""Look-alikes: what an eye confuses is found, and what is merely similar is left alone."""

from __future__ import annotations

import pytest
from growth import lines_run
from hypothesis import given
from hypothesis import strategies as st

from vestry.metadata.lookalike import (
    Known,
    known_with,
    normal,
    one_edit,
    project_of,
    skeleton,
    skeletons,
    unicode_skeleton,
)
from vestry.metadata.project_names import WELL_KNOWN

KNOWN = known_with(())


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("reqeusts", "requests"),
        ("requsts", "requests"),
        ("requestss", "requests"),
        ("rebuests", "requests"),
        ("scikitlearn", "scikit-learn"),
        ("type-guard", "typeguard"),
        ("Requ\u0435sts", "requests"),
        ("dj\u0430ngo", "django"),
        ("djang0", "django"),
        ("url1ib3", "urllib3"),
        ("nurnpy", "numpy"),
        ("rn0ck", "mock"),
        ("vvheel", "wheel"),
        ("\uff46\uff4c\uff41\uff53\uff4b", "flask"),
    ],
)
def test_copies_are_told(name: str, known: str) -> None:
    """The ways in which names have been faked."""
    found = KNOWN.like(name)
    assert found is not None
    assert found[0] == known


@pytest.mark.parametrize(
    "name", ["requests", "Requests", "typing_extensions", "vestry", "my-project", "req", "sixx", ""]
)
def test_others_are_left_alone(name: str) -> None:
    """The real name in another spelling is the real name; a rule that cries at every name is not read."""
    assert KNOWN.like(name) is None


def test_the_list_is_what_it_says() -> None:
    """A name that is not normalised would never be found."""
    assert len(set(WELL_KNOWN)) == len(WELL_KNOWN) > 300
    assert all(normal(n) == n and n.isascii() for n in WELL_KNOWN)


@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_one_edit_is_one_edit(one: str, other: str) -> None:
    """Against doing every edit there is."""
    places = range(len(one) + 1)
    edits = {one[:i] + x + one[i:] for i in places for x in "abc"} | {one[:i] + one[i + 1 :] for i in places}
    edits |= {one[:i] + x + one[i + 1 :] for i in range(len(one)) for x in "abc"}
    assert one_edit(one, other) == (other in edits - {one})


@given(st.text(max_size=30))
def test_a_skeleton_never_fails(text: str) -> None:
    """Whatever a file holds, it is only compared."""
    assert skeleton(text).isascii() or not text.isascii()
    plain = "".join(ch for ch in text if ch.isascii())
    assert skeleton(plain.upper()) == skeleton(plain.lower())
    assert unicode_skeleton(plain) == plain.lower()


@given(st.lists(st.text("aA0on1l\n\u0430rv", max_size=6), max_size=5))
def test_many_at_a_time_are_as_one_by_one(texts: list[str]) -> None:
    """A line feed in a path would shift all that follow."""
    assert list(skeletons(texts)) == [(text, skeleton(text)) for text in texts]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("requests/*", "requests"),
        ("requests-*", "requests"),
        ("packages/requests/2.0/x.whl", "requests"),
        ("projects/requests", "requests"),
        ("*", ""),
        ("*/x", ""),
        ("file.txt", ""),
        ("packages/*", ""),
    ],
)
def test_the_project_of_a_path(path: str, name: str) -> None:
    """A name that is not found is not guarded; one that is made up is a false alarm."""
    assert project_of(path) == name


def test_many_names_are_quick() -> None:
    """A delegator of PyPI has half a million, and each is compared with all that are known."""
    names = [f"some-project-{n}" for n in range(500)]
    assert lines_run(lambda: [KNOWN.like(n) for n in names]) < 500 * len(names)
    assert not any(KNOWN.like(n) for n in names)


def test_the_first_of_two_alike_is_named() -> None:
    """The answer must be the same on every machine."""
    assert Known.of(["foo-bar", "foobar"]).like("foo_b-ar") == ("foo-bar", "differs only in its hyphens")
