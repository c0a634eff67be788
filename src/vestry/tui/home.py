"""The home screen: what Vestry is, and what one can do. It loads the screen and nothing else, to be there at once;
who looks for drives, once a path is asked for.

What is chosen runs as a command of its own, exactly the one that the screen names; home comes back after it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from textual import events
from textual.app import ComposeResult

from vestry import __version__
from vestry.errors import ExitStatus
from vestry.text import printable
from vestry.tui import glyphs as tiers
from vestry.tui.base import QuietApp, terminal
from vestry.tui.glyphs import Glyphs
from vestry.tui.lines import BLANK, Line, Span, Tone, folded, key, line, packed, paragraph
from vestry.tui.widgets.field import Field
from vestry.tui.widgets.line_view import LineView

ABOUT = (
    "Vestry runs key ceremonies for TUF root key holders, offline, on hardware tokens.",
    "It leaves a transcript that anyone who was not there can replay.",
)

_INSIDE = ("bundle.json", "transcript.jsonl")
"""Files that stand for the folder they lie in."""


@dataclass(frozen=True)
class Choice:
    """A line of the menu. `verb` is what runs, in one word or two; `path` asks for one, `patterns` find those here."""

    key: str
    name: str
    about: str
    verb: str
    path: str = ""
    patterns: tuple[str, ...] = ()


_PICTURES = tuple(f"*.{ending}" for ending in ("png", "jpg", "jpeg", "webp", "mp4", "mov", "webm"))
CHOICES = (
    Choice("1", "Rehearse", "a whole practice ceremony; nothing to plug in", "rehearse"),
    Choice(
        "2", "Run a script", "a ceremony, from its start or where it stopped", "run", "Script", ("*.toml", "*/*.toml")
    ),
    Choice(
        "3",
        "Review a bundle",
        "what changed, who must sign",
        "review",
        "Bundle",
        ("bundle.json", "*/bundle.json", "*/*/*/bundle.json"),
    ),
    Choice(
        "4",
        "Replay a transcript",
        "every event gets its verdict",
        "replay",
        "Transcript",
        ("transcript.jsonl", "*/transcript.jsonl"),
    ),
    Choice("5", "Tokens", "which are here, and their keys", "tokens"),
    Choice("6", "Preflight", "is this machine fit for a ceremony", "preflight"),
    Choice(
        "7",
        "Show QR codes",
        "a bundle or signature, for a camera",
        "qr show",
        "Bundle or file",
        ("bundle.json", "*/bundle.json", "*/*/*/bundle.json"),
    ),
    Choice("8", "Read QR codes", "pictures or videos of them, into a folder here", "qr read", "Pictures", _PICTURES),
)


@dataclass(frozen=True)
class Shelf:
    """Paths that lie in one place, and how that is called."""

    name: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Wanted:
    """What to run."""

    arguments: tuple[str, ...]


class HomeApp(QuietApp[Wanted]):
    """Menu, and a line for a path."""

    def __init__(self, *, glyphs: Glyphs, folder: Path | None = None) -> None:
        super().__init__()
        self._glyphs, self._folder = glyphs, folder or Path()
        self._choice: Choice | None = None
        self._shelves: tuple[Shelf, ...] = ()
        self._at: int | None = None
        self._amiss = ""

    def compose(self) -> ComposeResult:
        """Text and keys; the line for a path comes when it is needed."""
        yield LineView(self._text, glyphs=self._glyphs, id="home")
        yield LineView(self._keys, glyphs=self._glyphs, id="keys")

    def on_key(self, event: events.Key) -> None:
        """Choose, scroll, go back, leave."""
        view = self.query_one("#home", LineView)
        if self._choice is not None and event.key in ("down", "up") and self._found:
            self._take(1 if event.key == "down" else -1)
        elif self._choice is not None and event.key == "f5":
            self._look(self._choice)
            self._show()
        elif event.key in ("pagedown", "space", "down", "pageup", "up"):
            step = view.room - 1 if event.key in ("pagedown", "space", "pageup") else 1
            view.scroll_lines(-step if event.key in ("pageup", "up") else step)
        elif event.key == "escape":
            self._back()
        elif event.key == "q" and self._choice is None:
            self.exit()
        elif self._choice is None:
            chosen = next((c for c in CHOICES if c.key == event.key), None)
            if chosen is not None:
                self._choose(chosen)

    def on_field_submitted(self) -> None:
        """Run on the path, if there is something."""
        typed = self.query_one(Field).value.strip()
        assert self._choice is not None
        if not typed or not (self._folder / Path(typed).expanduser()).exists():
            self._amiss = "There is no such file or folder." if typed else "Type a path, or take one with the arrows."
            self.query_one("#home", LineView).show(self._text)
            return
        self.exit(Wanted((*self._choice.verb.split(), str(Path(typed).expanduser()))))

    async def action_quit(self) -> None:
        """Leave."""
        self.exit()

    def action_help_quit(self) -> None:
        """Ctrl+C leaves too."""
        self.exit()

    def _choose(self, choice: Choice) -> None:
        if not choice.path:
            # A rehearsal gets its folder by name, so that the line shown is the line that resumes it.
            named = ("--into", f"rehearsal-{datetime.now(UTC):%Y-%m-%d-%H%M%S}") if choice.verb == "rehearse" else ()
            self.exit(Wanted((choice.verb, *named)))
            return
        self._choice = choice
        self._look(choice)
        field = Field(choice.path, glyphs=self._glyphs)
        self.mount(field, after=self.query_one("#home"))
        self.screen.set_focus(field)
        self._show()

    @property
    def _found(self) -> list[str]:
        return [path for shelf in self._shelves for path in shelf.paths]

    def _look(self, choice: Choice) -> None:
        self._at, self._amiss = None, ""
        self._shelves = shelves(self._folder, choice)

    def _take(self, step: int) -> None:
        self._at = (min(step, 0) if self._at is None else self._at + step) % len(self._found)
        self.query_one(Field).fill(self._found[self._at])
        self._amiss = ""
        view = self.query_one("#home", LineView)
        _, chosen = self._asked(view.size.width)
        view.show(self._text, top=view.top, anchor=chosen)

    def _back(self) -> None:
        if self._choice is None:
            self.exit()
            return
        self._choice = None
        self.query(Field).remove()
        self._show()

    def _show(self) -> None:
        self.query_one("#home", LineView).show(self._text)
        self.query_one("#keys", LineView).show(self._keys)

    def _text(self, width: int) -> list[Line]:
        if self._choice is not None:
            return self._asked(width)[0]
        rows: list[Line] = [(Span("Vestry", "accent"), Span(f" {__version__}", "quiet")), BLANK]
        for text in ABOUT:
            rows += paragraph(text, width)
        rows.append(BLANK)
        name = max(len(c.name) for c in CHOICES) + 2
        for choice in CHOICES:
            first: Line = (Span(f" {choice.key}  ", "key"), Span(f"{choice.name:<{name}}", "strong"))
            texts = folded(choice.about, width - name - 4)
            rows += [(*first, Span(texts[0], "quiet")), *(line(" " * (name + 4) + t, "quiet") for t in texts[1:])]
        return [*rows, (Span(" q  ", "key"), Span("Leave", "strong"))]

    def _asked(self, width: int) -> tuple[list[Line], int]:
        """What was found, and the number of the line that the one taken ends on."""
        assert self._choice is not None
        rows = [line(f"{self._choice.name}: {self._choice.about}", "accent"), BLANK]
        if self._amiss:
            rows += [line(self._amiss, "bad"), BLANK]
        chosen = number = 0
        for shelf in self._shelves:
            rows += paragraph(shelf.name, width, "quiet")
            for path in shelf.paths:
                taken = number == self._at
                texts = folded(printable(path), width - 2)
                tone: Tone = "strong" if taken else "plain"
                rows += [line(("> " if taken and not n else "  ") + text, tone) for n, text in enumerate(texts)]
                chosen = len(rows) - 1 if taken else chosen
                number += 1
            rows.append(BLANK)
        return rows, chosen

    def _keys(self, width: int) -> list[Line]:
        if self._choice is not None:
            arrows = [key("Down/Up", "take one of those found")] if self._found else []
            return packed([*arrows, key("F5", "look again"), key("Enter", "go"), key("Esc", "back")], width)
        return packed([key(f"1-{len(CHOICES)}", "choose"), key("Esc", "leave")], width)


def found(folder: Path, choice: Choice) -> list[str]:
    """Paths that lie near, by the patterns of a choice: for a bundle or transcript the folder that holds it."""
    paths: list[str] = []
    for pattern in choice.patterns:
        for path in sorted(folder.glob(pattern)):
            known = path.parent if path.name in _INSIDE else path
            if path.is_file() and path.name != "pyproject.toml":
                paths.append(str(known.relative_to(folder)))
    return list(dict.fromkeys(paths))


def shelves(folder: Path, choice: Choice) -> tuple[Shelf, ...]:
    """What lies in `folder`, then what lies on each drive that is in, and why a drive can't be looked at."""
    from vestry.media import discovery  # noqa: PLC0415 - home is there at once

    here = found(folder, choice)
    made = [Shelf("Found here:" if here else "None was found in this folder; type where it is.", tuple(here))]
    known = {(folder / path).resolve() for path in here}
    for drive in discovery.find():
        why_not, paths = drive.why_not(None), []
        if drive.mounted is not None:
            try:
                paths = [str(drive.mounted / path) for path in found(drive.mounted, choice)]
            except OSError as error:
                why_not = error.strerror or "it can't be read"
        said = f": {why_not}" if why_not else ":" if paths else ": none on it"
        made.append(Shelf(f"{drive.describe()}{said}", tuple(p for p in paths if Path(p).resolve() not in known)))
    return tuple(made)


def run_home() -> int:
    """Show the menu, run what is chosen, come back, until a person leaves.

    Returns:
        The exit status.

    Raises:
        InputRejected: there is no terminal to draw on.
        Exception: a fault of the program itself, after the terminal was restored.
    """
    drawn = tiers.choose(terminal=terminal())
    while True:
        app = HomeApp(glyphs=drawn)
        wanted = app.run(mouse=False)
        if app.fault is not None:
            raise app.fault
        if wanted is None:
            return int(ExitStatus.STOPPED if app.signalled else ExitStatus.DONE)
        run_verb(wanted)


def run_verb(wanted: Wanted) -> None:
    """Run a verb as its own command in this terminal."""
    # No shell is involved; the arguments are this module's own verbs and a path (hence S603 below).
    command = [sys.executable, "-m", "vestry", *wanted.arguments]
    # Ctrl+C is for the command. A function, unlike SIG_IGN, is not handed down to it.
    before = signal.signal(signal.SIGINT, _nothing)
    try:
        sys.stdout.write(f"$ vestry {' '.join(wanted.arguments)}\n")
        sys.stdout.flush()
        subprocess.run(command, check=False)  # noqa: S603
        _wait_for_enter()
    finally:
        signal.signal(signal.SIGINT, before)


def _wait_for_enter() -> None:
    sys.stdout.write("\nPress Enter to go back to Vestry. ")
    sys.stdout.flush()
    sys.stdin.readline()


def _nothing(number: int, frame: object) -> None:
    del number, frame
