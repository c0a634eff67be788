"""Lines: wrapped without loss, digests whole, nothing that a terminal would obey."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestry.text import group_hex, words
from vestry.tui.glyphs import ASCII, FULL, VT, Glyphs
from vestry.tui.lines import (
    Line,
    digest_in,
    folded,
    headed,
    hex_rows,
    length,
    paragraph,
    shown,
    visible,
    word_rows,
)

DIGEST = hashlib.sha256(b"a document").hexdigest()
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200)


def plain(rows: list[Line]) -> list[str]:
    return ["".join(span.text for span in row) for row in rows]


@given(PRINTABLE, st.integers(8, 140))
def test_folding_keeps_every_word_and_the_width(text: str, width: int) -> None:
    """Without it a word could be clipped at the right edge, or be lost at a line's end."""
    rows = folded(text, width)
    assert all(len(row) <= width for row in rows)
    assert "".join("".join(rows).split()) == "".join(text.split())
    if all(len(word) <= width for word in text.split()):
        assert [word for row in rows for word in row.split()] == text.split()


@given(st.text(max_size=80), st.sampled_from([ASCII, VT, FULL]))
def test_only_what_the_terminal_may_get(text: str, glyphs: Glyphs) -> None:
    """Without it a control character, or a glyph that the font lacks, could reach the terminal."""
    out = visible(text, glyphs)
    assert all(" " <= c <= "~" or c in glyphs.drawn for c in out)
    assert visible(out, glyphs) == out
    assert shown(text).isascii()
    assert shown(text).isprintable()


@given(st.text(max_size=80), st.integers(20, 100))
def test_escapes_are_counted_before_wrapping(text: str, width: int) -> None:
    """Without it an escape would push the rest of its line over the edge."""
    for rows in (paragraph(text, width), headed("Zo\u00eb", text, width)):
        assert all(length(row) <= max(width, 8) for row in rows)


@pytest.mark.parametrize("width", [40, 59, 78, 130])
def test_a_digest_is_shown_whole(width: int) -> None:
    """Without it people would compare the beginnings of two digests and take them for the same."""
    assert "".join("".join(plain(hex_rows(DIGEST, width))).split()) == DIGEST
    assert [w for row in plain(word_rows(words(DIGEST), width)) for w in row.split() if not w.isdigit()] == list(
        words(DIGEST)
    )
    assert all(length(row) <= width for row in (*hex_rows(DIGEST, width), *word_rows(words(DIGEST), width)))


def test_a_digest_inside_a_text_gets_lines_of_its_own() -> None:
    """Without it wrapping would break a digest in the middle of a group."""
    rows = plain(paragraph(f"head {DIGEST} of all", 59))
    assert rows == ["head", *group_hex(DIGEST), "of all"]
    assert plain(paragraph(" ".join(words(DIGEST)), 59)) == plain(word_rows(words(DIGEST), 59))
    assert digest_in(["nothing", f"see {DIGEST}"]) == DIGEST
    assert digest_in([DIGEST + "0"]) == ""
