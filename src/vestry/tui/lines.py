"""Lines of text as the screen draws them: spans with a tone, made by pure functions, wrapped to a width.

Every widget paints such lines and nothing else, through `visible`: the last look before the terminal. Texts from
outside were made printable long before; what slips through anyway shows as an escape and is never obeyed.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from vestry.text import group_hex, words
from vestry.tui.glyphs import ASCII, Glyphs
from vestry.words import EVEN, ODD

Tone = Literal["plain", "strong", "quiet", "accent", "good", "bad", "warn", "key", "band", "cursor", "qr"]


class Span(NamedTuple):
    """A piece of a line."""

    text: str
    tone: Tone = "plain"


Line = tuple[Span, ...]
BLANK: Line = ()

_DIGEST = re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{64}(?![0-9A-Za-z])")
_BREAKS = re.compile(r"\s*[\n\r\t]\s*")
_SPOKEN = frozenset(EVEN) | frozenset(ODD)
_WORDS = 32
_EVEN_WIDTH, _ODD_WIDTH = max(map(len, EVEN)), max(map(len, ODD))


def visible(text: str, glyphs: Glyphs) -> str:
    """`text` with each character that this terminal should not get as an escape. Printable text stays as it is."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if " " <= c <= "~" or c in glyphs.drawn else f"\\u{{{ord(c):x}}}" for c in text)


def shown(text: str) -> str:
    """`text` from outside as plain ASCII, before it is measured: an escape takes more columns than its character."""
    return visible(_BREAKS.sub(" ", text), ASCII)


def line(text: str, tone: Tone = "plain") -> Line:
    """A line of one span."""
    return (Span(text, tone),)


def length(of: Line) -> int:
    """Columns that a line takes."""
    return sum(len(span.text) for span in of)


def folded(text: str, width: int, *, first: str = "", then: str | None = None) -> list[str]:
    """Text in lines of at most `width` columns, broken at spaces; a word too long for a line goes over several."""
    indent = " " * len(first) if then is None else then
    found = textwrap.wrap(
        shown(text),
        max(width, 8),
        initial_indent=first,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
    return found or [first.rstrip()]


def paragraph(text: str, width: int, tone: Tone = "plain", *, indent: int = 0) -> list[Line]:
    """Text in lines; a digest in it gets lines of its own, in groups of four, and so do the words of one."""
    pad = " " * indent
    spoken = text.split()
    if len(spoken) == _WORDS and all(w in _SPOKEN for w in spoken):
        return [(Span(pad), *row) for row in word_rows(spoken, width - indent)]
    lines: list[Line] = []
    for place, piece in enumerate(_DIGEST.split(text)):
        if place:
            digest = _DIGEST.findall(text)[place - 1]
            lines += [(Span(pad), *row) for row in hex_rows(digest, width - indent)]
        if piece.strip() or not place:
            lines += [line(folded_line, tone) for folded_line in folded(piece.strip(), width, first=pad)]
    return lines


def headed(person: str, sentence: str, width: int) -> list[Line]:
    """A sentence after the name of the person that it is for, where it does not name that person itself."""
    person = "" if person in sentence else shown(person)
    texts = folded(f"{person}: {sentence}" if person else sentence, width)
    if not person or not texts[0].startswith(f"{person}: "):
        return [line(text, "accent") for text in texts]
    first: Line = (Span(f"{person}: ", "strong"), Span(texts[0][len(person) + 2 :], "accent"))
    return [first, *(line(text, "accent") for text in texts[1:])]


def hex_rows(digest: str, width: int) -> list[Line]:
    """A digest whole, in groups of four: eight groups a line, four where that is too wide."""
    rows: list[Line] = []
    for grouped in group_hex(digest):
        groups = grouped.split()
        a_line = 8 if len(grouped) <= width else 4
        rows += [line(" ".join(groups[i : i + a_line]), "strong") for i in range(0, len(groups), a_line)]
    return rows


def word_rows(spoken: Sequence[str], width: int) -> list[Line]:
    """The words of a digest, numbered, four a line where they fit, else two. Even places have the shorter words."""
    pair = 3 + _EVEN_WIDTH + 1 + 3 + _ODD_WIDTH
    a_line = 4 if 2 * pair + 1 <= width else 2
    rows = []
    for start in range(0, len(spoken), a_line):
        spans: list[Span] = []
        for place in range(start, min(start + a_line, len(spoken))):
            column = _ODD_WIDTH if place % 2 else _EVEN_WIDTH
            last = place + 1 == min(start + a_line, len(spoken))
            spans.append(Span(f"{place + 1:>2} ", "quiet"))
            spans.append(Span(spoken[place] if last else f"{spoken[place]:<{column + 1}}"))
        rows.append(tuple(spans))
    return rows


def digest_rows(digest: str, width: int) -> list[Line]:
    """A digest in hex, a blank line, and its words."""
    return [*hex_rows(digest, width), BLANK, *word_rows(words(digest), width)]


def digest_in(texts: Iterable[str]) -> str:
    """The first whole digest named in `texts`, or an empty string."""
    return next((found[0] for text in texts if (found := _DIGEST.findall(text))), "")


def packed(items: Sequence[Line], width: int, gap: int = 3) -> list[Line]:
    """Items side by side, as many to a line as fit."""
    rows: list[Line] = []
    for item in items:
        if rows and length(rows[-1]) + gap + length(item) <= width:
            rows[-1] = (*rows[-1], Span(" " * gap), *item)
        else:
            rows.append(item)
    return rows


def key(name: str, does: str) -> Line:
    """A key and what it does."""
    return (Span(name, "key"), Span(f" {shown(does)}"))
