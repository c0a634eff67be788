"""`vestry review` on the full screen: everything of a ceremony's review but the answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from stage import SIZES, Terminal, assert_whole, text_of
from tui.test_review_screen import ROOT, WARNED, made

from vestry.metadata.findings import Finding, Silenced
from vestry.metadata.policy import Policy
from vestry.text import Safe, printable
from vestry.tui.glyphs import FULL
from vestry.tui.review_app import ReviewApp

HOSTILE = "\x1b]0;owned\x07\x1b[31m\u202e\u200b<b>[red]" + "\u0301" * 40


@pytest.mark.parametrize("size", SIZES)
async def test_all_of_it_can_be_read_and_nothing_answered(size: tuple[int, int]) -> None:
    """Without it a reader at a desk would see less than a holder in a ceremony, or believe to have agreed."""
    silent = Silenced(Finding("Q", "warn", Safe("x"), Safe("Not asked about.")), f"as {HOSTILE}")
    stop = Finding("A-STOP", "stop", Safe("x"), Safe("It stops here."))
    of = replace(WARNED, findings=(stop, *WARNED.findings), silenced=(silent,), policy=Policy(overrule=2))
    assert of.ahead is not None
    app = ReviewApp(of, ("A word beside it.", "Compare what decides."), glyphs=FULL)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        assert_whole(app)
        seen = text_of(app)
        assert "STOP" in seen.splitlines()[0]
        assert "A word beside it." in seen
        assert " of 0 seen" not in seen
        for _ in range(60):
            await pilot.press("space")
            await pilot.pause()
            assert_whole(app)
            seen += text_of(app)
            if not app.pane.query_one("#page").top + app.pane.query_one("#page").room < len(  # type: ignore[attr-defined]
                app.pane.list.page.lines
            ):
                break
        told = " ".join(seen.split())
        for text in (
            "Compare what decides.",
            "A stop stands: this must not be signed.",
            "The script lets 2 people overrule it.",
            "Looking ahead, once this is published",
            "Silenced by the script (1)",
            "may sign: key",
            printable("as \x1b]0;owned"),
        ):
            assert text in told, text
        assert "\x1b" not in seen
        await pilot.press("y")
        await pilot.pause()
        assert app.pane.reading
        assert "all of it was read" not in text_of(app)
        await pilot.press("f3")
        await pilot.pause()
        assert len(app.screen_stack) == 2
        await pilot.press("escape", "f1")
        await pilot.pause()
        assert "Nothing is signed" in text_of(app)
        await pilot.press("escape", "r")
        await pilot.pause()
        assert '"_type": "root"' in text_of(app)
        await pilot.press("escape")
        await pilot.pause()
        await pilot.press("home", "down", "down", "down", "down", "down")
        while app.pane.list.change() is None:
            await pilot.press("down")
        for opening in ("enter", "c", "slash"):
            await pilot.press(opening)
            await pilot.pause()
            assert "d next unseen" not in text_of(app)
            assert "/ search" not in text_of(app)
            await pilot.press("escape")
            await pilot.pause()
            assert app.is_running, opening
            assert "/ search" in text_of(app)
        assert "seen" in text_of(app)
        await pilot.press("escape")
        await pilot.pause()
    assert app.fault is None
    assert not app.is_running


def test_a_long_name_keeps_the_header_whole() -> None:
    """Without it a hostile role name would push the word STOP off the screen."""
    app = ReviewApp(replace(ROOT, role=HOSTILE * 3, findings=(WARNED.findings[0],)), glyphs=FULL)
    for width in (40, 80):
        first = app._header(width)[0]
        assert sum(len(span.text) for span in first) == width


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """An old root and a new one with another field."""
    old, new = tmp_path / "1.root.json", tmp_path / "2.root.json"
    old.write_bytes(made().new.raw)
    later = json.loads(made({"x-note": HOSTILE}).new.raw)
    later["signed"]["version"] = 2
    new.write_text(json.dumps(later))
    return old, new


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def test_it_opens_on_a_terminal_and_only_there(terminals: list[Terminal], files: tuple[Path, Path]) -> None:
    """Without it the screen would come up in a pipe, or never."""
    program = "import sys; from vestry.cli.main import main; sys.exit(main(sys.argv[1:]))"
    old, new = map(str, files)
    full, plain = Terminal(program, "review", old, new), Terminal(program, "review", old, new, "--plain")
    terminals += [full, plain]
    full.sees("nothing is signed here")
    full.sees("seen")
    full.types("q")
    # An unsigned change of a field stops nothing; what the two versions say decides the status, on either front.
    assert full.ends() == plain.ends()
    assert b"\x1b[?1049h" in full.written
    assert b"\x1b" not in plain.written
    assert b"\x1b]0;" not in full.written
    assert full.before == full.after


def test_a_stop_is_status_1_on_the_screen_too(terminals: list[Terminal], files: tuple[Path, Path]) -> None:
    """Without it a script around the screen would take a stop for consent."""
    program = "import sys; from vestry.cli.main import main; sys.exit(main(sys.argv[1:]))"
    old, new = map(str, files)
    terminal = Terminal(program, "review", new, old)
    terminals.append(terminal)
    terminal.sees("nothing is signed here")
    terminal.sees("seen")
    terminal.types("q")
    assert terminal.ends() == 1
