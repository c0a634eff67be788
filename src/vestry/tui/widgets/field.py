"""A line to type into. One row, no clipboard, no selection; what can't be shown safely shows as an escape."""

from __future__ import annotations

from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from vestry.text import printable
from vestry.tui.glyphs import ASCII, Glyphs
from vestry.tui.lines import Line, Span
from vestry.tui.widgets.line_view import strip

LONGEST = 1000


class Field(Widget, can_focus=True):
    """A labelled line: ``Label [typed   ]``. Longer than its row, it scrolls, with ``<`` and ``>`` where it goes on."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "Field { height: 1; width: 1fr; }"

    class Submitted(Message):
        """Enter was pressed."""

    def __init__(self, label: str, *, glyphs: Glyphs = ASCII, value: str = "") -> None:
        super().__init__()
        self._label, self._glyphs = label, glyphs
        self.value = value
        self._cursor = len(value)

    def label(self, text: str) -> None:
        """Ask for something else."""
        self._label = text
        self.refresh()

    def fill(self, value: str) -> None:
        """Put another text in."""
        self.value, self._cursor = value, len(value)
        self.refresh()

    def on_key(self, event: events.Key) -> None:
        """Edit."""
        if event.key == "enter":
            self.post_message(self.Submitted())
        elif event.is_printable and event.character:
            self._insert(event.character)
        elif not self._edit(event.key):
            return
        event.stop()
        event.prevent_default()
        self.refresh()

    def on_paste(self, event: events.Paste) -> None:
        """Take the first line; the rest of a paste was never looked at."""
        event.stop()
        first = event.text.splitlines()[0] if event.text else ""
        self._insert("".join(c for c in first if c.isprintable()))
        self.refresh()

    def _insert(self, text: str) -> None:
        text = text[: LONGEST - len(self.value)]
        self.value = self.value[: self._cursor] + text + self.value[self._cursor :]
        self._cursor += len(text)

    def _edit(self, key: str) -> bool:
        at, value = self._cursor, self.value
        if key == "backspace" and at:
            self.value, self._cursor = value[: at - 1] + value[at:], at - 1
        elif key == "delete":
            self.value = value[:at] + value[at + 1 :]
        elif key == "ctrl+u":
            self.value, self._cursor = value[at:], 0
        elif key in ("left", "right", "home", "end"):
            self._cursor = {"left": max(0, at - 1), "right": min(len(value), at + 1), "home": 0}.get(key, len(value))
        else:
            return key == "backspace"
        return True

    def render_line(self, y: int) -> Strip:
        """Label, bracket, the part around the cursor, bracket."""
        del y
        room = max(8, self.size.width - len(self._label) - 3)
        before, after = printable(self.value[: self._cursor]), printable(self.value[self._cursor :])
        return strip(self._row(before, after, room), self.size.width, self._glyphs)

    def _row(self, before: str, after: str, room: int) -> Line:
        start = max(0, len(before) + 1 - room)
        if start:
            start += 1
        shown = (before + (after or " "))[start:]
        at = len(before) - start
        tail_room = room - (1 if start else 0)
        cut = len(shown) > tail_room
        shown = shown[: tail_room - 1] if cut else shown
        cursor = shown[at : at + 1] or " "
        return (
            Span(f"{self._label} ", "strong"),
            Span("[" + ("<" if start else "")),
            Span(shown[:at], "strong"),
            Span(cursor, "cursor" if self.has_focus else "plain"),
            Span(shown[at + 1 :], "strong"),
            Span(">" if cut else " " * (tail_room - max(len(shown), at + 1))),
            Span("]"),
        )
