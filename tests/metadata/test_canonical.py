"""Canonical bytes: those of securesystemslib, for everything that can be signed."""

from __future__ import annotations

import json
from collections import OrderedDict
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical

from vestry.errors import InputRejected
from vestry.metadata import canonical, intake

# Letters that encoders treat differently, much more often than chance would bring them.
AWKWARD = '"\\/\b\f\n\r\t\x00\x01\x1f\x7f\x80\x9b\xff\u2028\u2029\ufeff\uffff\ud7ff\ue000\U00010000\U0010ffff.e-0u'
LETTERS = st.sampled_from(AWKWARD) | st.characters(blacklist_categories=["Cs"])
TEXT = st.text(LETTERS, max_size=12)
PEM = st.binary(max_size=90).map(lambda b: f"-----BEGIN PUBLIC KEY-----\n{b.hex()}\r\n-----END PUBLIC KEY-----\n")
INTEGERS = st.integers(canonical.INT_MIN, canonical.INT_MAX) | st.sampled_from(
    [canonical.INT_MIN, canonical.INT_MAX, 2**63 - 1, 2**63, 2**53 + 1]
)
SCALARS = st.none() | st.booleans() | INTEGERS | TEXT | PEM
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=5) | st.dictionaries(TEXT, v, max_size=5), max_leaves=20)


def reference(value: Any) -> bytes:
    written = encode_canonical(value)
    assert written is not None
    return written.encode()


@settings(max_examples=400)
@given(VALUES)
@example({"\n": "\\n", "\\u000a": '"', "a": "\\u0041\x00", "\U00010000": 1, "\uffff": 2})
@example([":1.0", ",-2e3", "[0.5]", {"1.5": "null", ":1.": -0}])
def test_equal_to_securesystemslib(value: Any) -> None:
    """Without it Vestry's signatures would hold for Vestry only."""
    assert canonical.encode(value) == reference(value)


@settings(max_examples=150)
@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_what_intake_accepts_has_the_canonical_form_of_its_text(
    value: Any, ascii_only: bool, indent: int | None
) -> None:
    """Without it the bytes signed could depend on how the file was written."""
    raw = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert canonical.encode(intake.parse(raw, where="test")) == reference(value)


def test_every_character(subtests: pytest.Subtests) -> None:
    """Without it one character of 1,112,064 could be written in another way."""
    for start in range(0, 0x110000, 0x8000):
        with subtests.test(start=hex(start)):
            text = "".join(chr(c) for c in range(start, start + 0x8000) if not 0xD800 <= c < 0xE000)
            assert canonical.encode({text: [text]}) == reference({text: [text]})


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        -0.0,
        1e300,
        float("nan"),
        float("inf"),
        [float("nan")],
        {"a": [-float("inf")]},
        [{"a": 0.1}],
        {"1.0": {"x": [2.5]}},
        2**64,
        -(2**63) - 1,
        [10**400],
    ],
    ids=repr,
)
def test_numbers_without_one_form(value: Any) -> None:
    """Without it a float, or an integer that some readers round, would be signed in a form others do not reproduce."""
    with pytest.raises(InputRejected):
        canonical.encode(value)


@pytest.mark.parametrize(
    "value",
    [
        "\ud800",
        {"\udfff": 1},
        ["a\udc80b"],
        {1: 2},
        {None: 1},
        {True: 1},
        b"x",
        {1, 2},
        OrderedDict(a=1),
        [date(2027, 1, 1)],
    ],
)
def test_values_that_are_no_json(value: Any) -> None:
    """Without it something that can't be read back would be signed."""
    with pytest.raises(InputRejected):
        canonical.encode(value)


def test_the_order_of_a_file_does_not_matter() -> None:
    """Without it two files with one meaning would have two digests."""
    pairs = [("b", 1), ("a", {"z": 1, "y": [{"k": 1, "j": 2}]}), ("\U00010000", 1), ("\uffff", 2)]
    assert canonical.encode(dict(pairs)) == canonical.encode(dict(reversed(pairs))) == reference(dict(pairs))


@pytest.mark.parametrize("folder", ["roots", "rstuf", "tuf-on-ci", "vectors"])
def test_real_documents(shared_data: Path, folder: str) -> None:
    """Without it something in documents that people really sign could be written differently."""
    files = sorted((shared_data / folder).rglob("*.json"))
    accepted = [intake.parse(path.read_bytes(), where=path.name) for path in files]
    assert len(accepted) > 5
    assert all(canonical.encode(value) == reference(value) for value in accepted)
