"""The tier of glyphs: what was asked for, else what the terminal can draw."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vestry.tui import glyphs, qr


def test_the_wish_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it nobody could help themselves on a terminal that is taken for another."""
    monkeypatch.setattr(glyphs, "console_font", lambda _: frozenset("─│┌┐└┘█░▀▄"))
    assert glyphs.choose("ascii", environ={}) == glyphs.ASCII
    assert glyphs.choose(environ={"VESTRY_GLYPHS": "vt"}) == glyphs.VT
    assert glyphs.choose("nonsense", environ={}).tier == "vt"


@pytest.mark.parametrize(
    ("font", "tier", "halves"),
    [("─│┌┐└┘█░▒", "vt", False), ("─│┌┐└┘█░▒▀▄▌▐", "vt", True), ("abc", "ascii", False)],
)
def test_a_console_is_asked_for_its_font(monkeypatch: pytest.MonkeyPatch, font: str, tier: str, halves: bool) -> None:
    """Without it a stock Debian console would show a QR code as a field of question marks."""
    monkeypatch.setattr(glyphs, "console_font", lambda _: frozenset(font))
    found = glyphs.choose(environ={"TERM": "linux"})
    assert (found.tier, found.half_blocks) == (tier, halves)


def test_other_terminals_are_no_console() -> None:
    """Without it a pipe or a terminal window would be asked for a font that it does not have."""
    with Path(os.devnull).open("rb") as file:
        assert glyphs.console_font(file.fileno()) is None


@pytest.mark.parametrize("tier", [glyphs.ASCII, glyphs.VT, glyphs.FULL])
def test_a_qr_code_is_drawn_cell_by_cell(tier: glyphs.Glyphs) -> None:
    """Without it the picture could miss a row, and no camera would read it."""
    modules = qr.matrix("ab" * 32)
    rows = ["".join(s.text if s.tone != "cursor" else "██" for s in row) for row in qr.drawn(modules, tier)]
    columns, lines = qr.size(len(modules), tier)
    assert len(rows) == lines
    assert all(len(row) == columns for row in rows)
    if tier.half_blocks:
        light = [[c in "▀█" for c in row] for row in rows], [[c in "▄█" for c in row] for row in rows]
        seen = [half for pair in zip(*light, strict=True) for half in pair][: len(modules)]
    else:
        seen = [[row[2 * i] == "█" for i in range(len(modules))] for row in rows]
    assert seen == [[not dark for dark in row] for row in modules]
