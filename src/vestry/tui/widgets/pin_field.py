"""The PIN's field. It keeps what is typed in one buffer of fixed length and nowhere else.

No `value` that a debugger, a message or a style sheet could see; no clipboard, selection or paste; a mask of fixed
width, so that a camera does not learn the length from a still picture; wiped when taken, left or cleared.
"""

from __future__ import annotations

from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from vestry.tokens.token import Pin
from vestry.tui.glyphs import ASCII, Glyphs
from vestry.tui.lines import Span
from vestry.tui.widgets.line_view import strip

_MASK = 8
_LONGEST = 256


class PinField(Widget, can_focus=True):
    """``PIN [*****+**]``: eight marks once anything is typed; the plus moves with each key, to show that it counts."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "PinField { height: 1; width: 1fr; }"

    class Submitted(Message):
        """Enter was pressed; the PIN is fetched with `take`."""

    def __init__(self, label: str, *, glyphs: Glyphs = ASCII) -> None:
        super().__init__()
        self._label, self._glyphs = label, glyphs
        self._typed, self._length = bytearray(_LONGEST), 0
        self._turn = 0

    @property
    def empty(self) -> bool:
        """Whether nothing is typed."""
        return self._length == 0

    def take(self) -> Pin:
        """What was typed; the field is wiped."""
        copy = self._typed[: self._length]
        pin = Pin(copy)
        copy[:] = bytes(len(copy))
        self.wipe()
        return pin

    def wipe(self) -> None:
        """Overwrite and forget."""
        self._typed[:] = bytes(_LONGEST)
        self._length = self._turn = 0
        self.refresh()

    def on_key(self, event: events.Key) -> None:
        """Letters are kept, and backspace takes the last one away; all else belongs to the screen."""
        if event.key == "enter":
            self.post_message(self.Submitted())
        elif event.is_printable and event.character:
            self._add(event.character.encode())
        elif event.key == "backspace":
            self._rub_out()
        elif event.key == "ctrl+u":
            self.wipe()
        else:
            return
        event.stop()
        event.prevent_default()
        self.refresh()

    def _add(self, typed: bytes) -> None:
        end = self._length + len(typed)
        if end <= _LONGEST:
            self._typed[self._length : end] = typed
            self._length = end
            self._turn += 1

    def _rub_out(self) -> None:
        # A character may be several bytes of UTF-8: all but its first begin with the bits 10.
        while self._length:
            self._length -= 1
            last, self._typed[self._length] = self._typed[self._length], 0
            if last & 0xC0 != 0x80:
                break
        self._turn += 1

    def on_paste(self, event: events.Paste) -> None:
        """A PIN is typed by its holder; a pasted one lay in a clipboard."""
        event.stop()
        event.prevent_default()

    def on_unmount(self) -> None:
        """Leave nothing behind."""
        self.wipe()

    def render_line(self, y: int) -> Strip:
        """The label and the mask."""
        del y
        at = self._turn % _MASK
        mask = " " * _MASK if self.empty else "*" * at + "+" + "*" * (_MASK - at - 1)
        row = (
            Span(f"{self._label} ", "strong"),
            Span("["),
            Span(mask, "strong"),
            Span(" ", "cursor" if self.has_focus else "plain"),
            Span("]"),
        )
        return strip(row, self.size.width, self._glyphs)
