"""One change from close by: old and new side by side, or the canonical bytes of what the documents themselves hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Any

from vestry.metadata import canonical, members
from vestry.metadata.changes import Change, where
from vestry.metadata.members import Side
from vestry.metadata.review import Review
from vestry.text import printable
from vestry.tui.lines import BLANK, Line, Span, Tone, folded, line, paragraph

_TWO_COLUMNS = 60
_COMPARED = 400
_GAP = " | "


def side_by_side(change: Change, width: int) -> list[Line]:
    """Old left, new right, each wrapped, nothing cut; one below the other where the screen is narrow. ``*`` marks a
    line that the other side does not have."""
    rows = _head(change, width)
    there = members.told(change)
    old, new = _told(change.old, there=there[0]), _told(change.new, there=there[1])
    left, right = _matched(old, new)
    if width < _TWO_COLUMNS:
        for name, side in (("Old", left), ("New", right)):
            rows += paragraph(name, width, "accent")
            rows += [row for text in side if text is not None for row in _cell(*text, width)]
        return rows
    half = (width - len(_GAP)) // 2
    rows.append((Span(f"{'Old':<{half}}", "accent"), Span(_GAP, "quiet"), Span("New", "accent")))
    for one, other in zip(left, right, strict=True):
        a = _cell(*one, half) if one is not None else []
        b = _cell(*other, half) if other is not None else []
        for at in range(max(len(a), len(b))):
            (mine,) = a[at] if at < len(a) else line("")
            theirs = b[at] if at < len(b) else BLANK
            rows.append((Span(f"{mine.text:<{half}}", mine.tone), Span(_GAP, "quiet"), *theirs))
    return rows


def canonical_rows(change: Change, review: Review, width: int) -> list[Line]:
    """The canonical JSON of what stands in the old and in the new document, byte for byte as it is signed there.

    Every byte beyond printable ASCII, and the backslash, is escaped so that it can be read back: ``\\xNN``, and a
    doubled backslash.
    """
    rows = _head(change, width)
    old, new = members.sides(change, *review.signed)
    for name, side in (("Old", old), ("New", new)):
        rows += _member(name, side, width)
    if about := members.remark(change):
        rows += [BLANK, *paragraph(printable(about).replace("\\\\", "\\"), width, "quiet")]
    return rows


def _member(name: str, side: Side, width: int) -> list[Line]:
    if not side.there:
        return paragraph(f"{name}: not there", width, "accent")
    raw = canonical.encode(side.value)
    at = [line(text, "quiet") for text in _hard(f"at {where(side.path)}", width)]
    size = "1 byte" if len(raw) == 1 else f"{len(raw):,} bytes"
    head = paragraph(f"{name}: {size} of canonical JSON", width, "accent")
    return [*head, *at, *(line(text) for text in _hard(escaped(raw), width))]


def escaped(raw: bytes) -> str:
    """Bytes as printable ASCII, unambiguous: ``\\xNN`` for what is none, ``\\\\`` for a backslash."""
    return "".join("\\\\" if b == 0x5C else chr(b) if 0x20 <= b <= 0x7E else f"\\x{b:02x}" for b in raw)


def _head(change: Change, width: int) -> list[Line]:
    at = [line(text, "quiet") for text in _hard(f"{change.kind} at {change.where}", width)]
    return [*[line(text, "strong") for text in folded(change.text, width)], *at, BLANK]


def _told(value: Any, *, there: bool) -> list[str]:
    """A value line by line, indented, printable. JSON's null is a value; what is absent is none."""
    if not there:
        return ["(not there)"]
    if isinstance(value, Mapping):
        value = dict(value)
    text = json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True)
    return [printable(part) for part in text.split("\n")]


_Side = list[tuple[str, bool] | None]


def _matched(old: list[str], new: list[str]) -> tuple[_Side, _Side]:
    """Both sides with gaps, so that equal lines stand beside each other; and whether each line differs."""
    left: _Side = []
    right: _Side = []
    if max(len(old), len(new)) > _COMPARED:
        ops = [("replace", 0, len(old), 0, len(new))]
    else:
        ops = list(SequenceMatcher(None, old, new, autojunk=False).get_opcodes())
    for what, a, b, c, d in ops:
        other = what != "equal"
        for at in range(max(b - a, d - c)):
            left.append((old[a + at], other) if a + at < b else None)
            right.append((new[c + at], other) if c + at < d else None)
    return left, right


def _cell(text: str, differs: bool, width: int) -> list[Line]:
    mark, tone = ("* ", "warn") if differs else ("  ", "plain")
    indent = " " * min(len(text) - len(text.lstrip(" ")), width // 3)
    pieces = _hard(text.lstrip(" "), max(1, width - 2 - len(indent)))
    shade: Tone = "warn" if tone == "warn" else "plain"
    return [line(f"{mark if not n else '  '}{indent}{piece}", shade) for n, piece in enumerate(pieces)]


def _hard(text: str, width: int) -> list[str]:
    """Cut into rows of at most `width` without a character lost."""
    return [text[i : i + width] for i in range(0, len(text), max(1, width))] or [""]
