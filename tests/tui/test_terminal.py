"""A real pseudo-terminal: what bytes reach it, and how it is left."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import Terminal

PROGRAM = r"""
import sys
from vestry.ceremony.dialogue import *
from vestry.errors import InputRejected, VestryError
from vestry.tui.app import run_ceremony
EVIL = "\x1b]0;pwned\x07\x1b[31;5m\x9b2Jred\u202egnp\u200bz\x0bv\rR\x7f[b]markup[/b]\u3164"
def run(front):
    what = sys.argv[1]
    if what == "hostile":
        front.tell("told " + EVIL, good=True)
        front.ask(Confirm("a", "sentence " + EVIL, "person " + EVIL, ("detail " + EVIL,), otherwise="way out " + EVIL,
                          yes="yes " + EVIL, no="no " + EVIL))
        front.ask(Choose("b", "choose " + EVIL, options=(("x", "option " + EVIL), ("y", "second"))))
        front.ask(Secret("c", "secret " + EVIL, warning="warning " + EVIL))
        front.ask(Ask("d", "ask " + EVIL, default="default " + EVIL))
        front.waiting("waiting " + EVIL)
        front.trouble(VestryError("trouble " + EVIL, do="do " + EVIL, code="E-X"), "meaning " + EVIL)
        front.waiting("")
    elif what == "fails":
        raise InputRejected("the script is not one", where="script.toml", do="mend line 3")
    elif what == "breaks":
        raise ZeroDivisionError("a fault")
    front.ask(Confirm("last", "The last question stands here.", "Olivia"))
title = "A test " + (EVIL if sys.argv[1] == "hostile" else "ceremony")
sys.exit(run_ceremony(run, title=title, rehearsal=True, offline=lambda: None, resume_hint="vestry run x"))
"""


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def restored(terminal: Terminal) -> None:
    """The terminal as a shell expects it."""
    assert terminal.before == terminal.after, "modes of the terminal (echo, line by line) are not what they were"
    for on, off in ((b"\x1b[?1049h", b"\x1b[?1049l"), (b"\x1b[?25l", b"\x1b[?25h"), (b"\x1b[?2004h", b"\x1b[?2004l")):
        if on in terminal.written:
            assert terminal.written.rindex(off) > terminal.written.rindex(on), f"{on!r} is not undone"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_the_terminal_as_it_was(terminals: list[Terminal], number: signal.Signals) -> None:
    """Without it a shutdown would leave a prompt that does not echo, in the middle of an office."""
    terminals.append(Terminal(PROGRAM, "plain"))
    terminal = terminals[0]
    terminal.sees("The last question stands here.")
    terminal.signals(number)
    status = terminal.ends()
    restored(terminal)
    assert status == 4
    assert b"vestry: stopped; everything recorded stays; to go on, run vestry run x" in terminal.written


def test_an_end_leaves_the_terminal_as_it_was(terminals: list[Terminal]) -> None:
    """Without it every ceremony would end in a spoiled shell."""
    terminals.append(Terminal(PROGRAM, "plain"))
    terminal = terminals[0]
    terminal.sees("The last question stands here.")
    terminal.types("\x1b")
    terminal.sees("Stop here?")
    terminal.types("y")
    assert terminal.ends() == 4
    restored(terminal)


@pytest.mark.parametrize(
    ("what", "status", "says"), [("fails", 2, b"vestry: script.toml: the script is not one; mend line 3")]
)
def test_an_error_is_one_line_after_the_screen(terminals: list[Terminal], what: str, status: int, says: bytes) -> None:
    """Without it the reason would vanish with the screen."""
    terminals.append(Terminal(PROGRAM, what))
    terminal = terminals[0]
    assert terminal.ends() == status
    restored(terminal)
    assert says in terminal.written


def test_a_fault_is_raised_after_the_screen(terminals: list[Terminal]) -> None:
    """Without it a fault of the program would be taken for the end of a ceremony."""
    terminals.append(Terminal(PROGRAM, "breaks"))
    terminal = terminals[0]
    assert terminal.ends() == 1
    restored(terminal)
    assert b"ZeroDivisionError: a fault" in terminal.written


def test_hostile_text_is_shown_and_never_obeyed(terminals: list[Terminal]) -> None:
    """Without it a name in a file could paint over the screen on which people decide."""
    terminals.append(Terminal(PROGRAM, "hostile"))
    terminal = terminals[0]
    for seen, then, rest in (
        ("sentence", "y", 0.4),
        ("choose", "1", 0.4),
        ("warning", "1234\r", 0),
        ("Left empty", "\r", 0),
        ("meaning", "g", 0),
        ("The last question", "\x1b", 0),
        ("Stop here?", "y", 0),
    ):
        terminal.sees(seen)
        terminal.rests(rest)
        terminal.types(then)
    terminal.ends()
    written = terminal.written.decode()
    written = written[: written.rindex("\x1b[?1049l")]
    assert "pwned" in written
    assert "\\u{1b}" in written
    assert "\\u{202e}" in written
    # The last is Textual's own: the shape of a mouse pointer.
    sequences = re.compile(r"\x1b\[[0-9;?><=$]*[a-zA-Z@`~]|\x1b[=>78]|\x1bP[^\x1b]*\x1b\\|\x1b\]22;[a-z]*\x07")
    rest = sequences.sub("", written)
    strange = {c for c in rest if not (" " <= c <= "~" or c in "\r\n" or c in "─│┌┐└┘█░")}
    assert not strange, f"reached the terminal: {strange!r}"
    assert not re.search(r"\x1b\[31;5m|\x1b\](?!22;)", written)


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "linux"}, {"TERM": "linux", "NO_COLOR": "1"}])
def test_colours_are_those_of_the_terminal_or_none(terminals: list[Terminal], environ: dict[str, str]) -> None:
    """Without it a console with sixteen colours, or eyes that want none, would get something unreadable."""
    terminals.append(Terminal(PROGRAM, "plain", environ=environ))
    terminal = terminals[0]
    terminal.sees("The last question stands here.")
    terminal.signals(signal.SIGTERM)
    terminal.ends()
    styles = {code for found in re.findall(rb"\x1b\[([0-9;]*)m", terminal.written) for code in found.split(b";")}
    assert not {b"38", b"48"} & styles, "more than sixteen colours"
    if "NO_COLOR" in environ:
        assert not {b"%d" % n for n in (*range(30, 38), *range(40, 48), *range(90, 98))} & styles
        assert b"7" in styles, "the band of a rehearsal must show without colours"
    assert b"REHEARSAL" in terminal.written
    if environ.get("TERM") == "linux":
        assert not set(terminal.written.decode()) & set("▀▄▌▐✓•…")


HOME = "import sys; from vestry.tui.home import run_home; sys.exit(run_home())"


def test_home_leaves_the_terminal_as_it_was(terminals: list[Terminal], tmp_path: Path) -> None:
    """Without it the first screen a newcomer sees would spoil their shell."""
    for number in (None, signal.SIGTERM):
        terminal = Terminal(HOME)
        terminals.append(terminal)
        terminal.sees("Rehearse")
        if number is None:
            terminal.types("q")
        else:
            terminal.signals(number)
        assert terminal.ends() == (0 if number is None else 4)
        restored(terminal)


def test_home_runs_a_verb_and_comes_back(terminals: list[Terminal]) -> None:
    """Without it one would have to know the verbs before one has seen them."""
    terminal = Terminal(HOME)
    terminals.append(terminal)
    terminal.sees("Rehearse")
    terminal.types("6")
    terminal.sees("Press Enter to go back to Vestry.")
    assert b"network" in terminal.written
    terminal.types("\n")
    terminal.written = b""
    terminal.sees("Rehearse")
    terminal.types("q")
    assert terminal.ends() == 0


def test_without_a_terminal_it_says_so(tmp_path: Path) -> None:
    """Without it the screen would be painted into a file."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, "plain"], capture_output=True, text=True, check=False)
    assert "the full screen needs a terminal; give --plain" in done.stderr
    assert done.stdout == ""
