"""Panels over the ceremony: stop, help, trouble, a QR code, a note. Enter commits to nothing in any of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen

from vestry.errors import VestryError
from vestry.text import printable
from vestry.tui import qr
from vestry.tui.glyphs import Glyphs
from vestry.tui.help_text import Help
from vestry.tui.lines import BLANK, Line, Span, digest_rows, key, line, packed, paragraph
from vestry.tui.widgets.field import Field
from vestry.tui.widgets.line_view import LineView

_GUTTER = 6
_LINES_OF_FRAME = 4


class Dialog(ModalScreen[str]):
    """A box of lines that ends with one of `answers` (key -> result). Longer than the screen, it scrolls."""

    ALLOW_SELECT = False
    CSS_PATH = "app.tcss"

    def __init__(
        self, make: Callable[[int], Sequence[Line]], answers: Mapping[str, str], keys: Sequence[Line], glyphs: Glyphs
    ):
        super().__init__()
        self._make, self._answers, self._keys, self._glyphs = make, answers, keys, glyphs

    def compose(self) -> ComposeResult:
        """Text, a blank row, keys."""
        with Vertical(classes="box"):
            yield LineView(self._make, glyphs=self._glyphs, id="text")
            yield LineView(self._foot, glyphs=self._glyphs, id="foot")

    def on_mount(self) -> None:
        """Fit."""
        self.query_one(".box").styles.border = (self._glyphs.border, "ansi_cyan")
        self._fit()

    def on_resize(self, _: events.Resize) -> None:
        """Fit anew."""
        self._fit()

    def on_key(self, event: events.Key) -> None:
        """End with an answer, or scroll."""
        event.stop()
        event.prevent_default()
        text = self.query_one("#text", LineView)
        if event.key in self._answers:
            self.dismiss(self._answers[event.key])
        elif event.key in ("pagedown", "space", "down"):
            text.scroll_lines(1 if event.key == "down" else max(1, text.room - 1))
        elif event.key in ("pageup", "up"):
            text.scroll_lines(-1 if event.key == "up" else -max(1, text.room - 1))
        elif event.key in ("home", "end"):
            text.go_to(0 if event.key == "home" else text.total)

    def _foot(self, width: int) -> list[Line]:
        return [BLANK, *packed(self._keys, width)]

    def _fit(self) -> None:
        width = self.app.size.width - _GUTTER - _LINES_OF_FRAME
        rest = self.app.size.height - _LINES_OF_FRAME - len(self._foot(width))
        self.query_one("#text", LineView).styles.max_height = max(3, rest)


class NoteDialog(ModalScreen[str]):
    """Asks what happened off the script. Escape gives up the note."""

    ALLOW_SELECT = False
    CSS_PATH = "app.tcss"

    def __init__(self, glyphs: Glyphs):
        super().__init__()
        self._glyphs = glyphs

    def compose(self) -> ComposeResult:
        """What it is for, and a line."""
        with Vertical(classes="box"):
            yield LineView(self._text, glyphs=self._glyphs)
            yield Field("Note", glyphs=self._glyphs)
            yield LineView(lambda w: [BLANK, *packed([key("Enter", "record it"), key("Esc", "no note")], w)])

    def on_mount(self) -> None:
        """Draw the box in what the terminal has."""
        self.query_one(".box").styles.border = (self._glyphs.border, "ansi_cyan")
        self.set_focus(self.query_one(Field))

    def on_key(self, event: events.Key) -> None:
        """Escape leaves."""
        event.stop()
        if event.key == "escape":
            self.dismiss("")

    def on_field_submitted(self) -> None:
        """Give the note back; an empty one is no note."""
        self.dismiss(self.query_one(Field).value.strip())

    def _text(self, width: int) -> list[Line]:
        return [
            line("Write what happened off the script.", "accent"),
            BLANK,
            *paragraph(
                "It becomes a line of the transcript that everyone can read. Then the question comes again.", width
            ),
            BLANK,
        ]


def stop_dialog(resume: str, *, busy: bool, glyphs: Glyphs) -> Dialog:
    """Stop here? Answers "stop" or "stay"."""

    def text(width: int) -> list[Line]:
        rows = [line("Stop here?", "accent"), BLANK]
        rows += paragraph("Everything recorded so far stays; nothing is lost, and nothing more happens.", width)
        if busy:
            rows += paragraph("A device is at work: Vestry stops as soon as it has answered.", width)
        rows.append(BLANK)
        if not resume:
            return [*rows, *paragraph("To go on from here later, run the same command again.", width)]
        rows += paragraph("To go on from here later, run:", width)
        rows += paragraph(resume, width, "strong", indent=2)
        return rows

    return Dialog(
        text,
        {"y": "stop", "n": "stay", "escape": "stay"},
        [key("y", "stop here"), key("n", "stay")],
        glyphs,
    )


def help_dialog(about: Help, glyphs: Glyphs, more: str = "") -> Dialog:
    """What this proves, what to say aloud, what to do if it fails."""

    def text(width: int) -> list[Line]:
        rows: list[Line] = []
        for title, said in (
            ("What this proves", about.proves),
            ("What to say aloud", about.aloud),
            ("What to do if it fails", about.fails),
            ("Good to know", more),
        ):
            if said:
                rows += [line(title, "accent"), *paragraph(said, width, indent=2), BLANK]
        return rows[:-1]

    return Dialog(text, dict.fromkeys(("escape", "f1", "q"), "back"), [key("Esc", "back")], glyphs)


def outcome_dialog(lines: Sequence[str], glyphs: Glyphs) -> Dialog:
    """What a replay comes to: a statement, sentence by sentence."""

    def text(width: int) -> list[Line]:
        return [row for said in lines for row in paragraph(said.strip(), width, indent=2 if said[:1] == " " else 0)]

    return Dialog(text, dict.fromkeys(("escape", "o", "q"), "back"), [key("Esc", "back")], glyphs)


def trouble_dialog(error: VestryError, meaning: str, glyphs: Glyphs) -> Dialog:
    """Three lines: what happened, what it means, what to do. It stays until a key that no habit presses."""
    what = f"{printable(error.what)} [{error.code}]" if error.code else printable(error.what)

    def text(width: int) -> list[Line]:
        rows: list[Line] = []
        for title, said, tone in (
            ("What happened", what, "bad"),
            ("What it means", meaning, "accent"),
            ("What to do", printable(error.do) or "Look at the device, then go on", "accent"),
        ):
            rows += [(Span(title, "bad" if tone == "bad" else "accent"),), *paragraph(said, width, indent=2), BLANK]
        return rows[:-1]

    return Dialog(text, {"g": "read"}, [key("g", "go on: I have read this")], glyphs)


def digest_dialog(digest: str, glyphs: Glyphs) -> Dialog:
    """A digest whole: as a QR code where one fits on this screen, and in hex and words below it."""
    modules = qr.matrix(digest)
    columns, _ = qr.size(len(modules), glyphs)

    def text(width: int) -> list[Line]:
        rows: list[Line] = []
        if columns <= width:
            rows += [*qr.drawn(modules, glyphs), BLANK]
        else:
            rows += [*paragraph("This screen is too narrow for a QR code. The words say the same:", width), BLANK]
        return [*rows, *digest_rows(digest, width)]

    return Dialog(text, dict.fromkeys(("escape", "f3", "q"), "back"), [key("Esc", "back")], glyphs)
