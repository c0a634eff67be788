"""A view of lines that paints only what is visible, wraps to its width, and says when there is more."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.segment import Segment
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from vestry.tui.glyphs import ASCII, Glyphs
from vestry.tui.lines import BLANK, Line, Span, visible
from vestry.tui.theme import STYLES

Make = Callable[[int], Sequence[Line]]
_WIDE_ENOUGH_FOR_KEYS = 40
_FEW = 60


def strip(of: Line, width: int, glyphs: Glyphs) -> Strip:
    """A line as Textual paints it, filled up to `width`; a band fills it in its own colour."""
    segments = [Segment(visible(span.text, glyphs), STYLES[span.tone]) for span in of if span.text]
    fill = STYLES["band"] if of and of[-1].tone == "band" else STYLES["plain"]
    return Strip(segments).adjust_cell_length(width, fill)


class LineView(Widget):
    """Lines made for a width by a function. What does not fit is scrolled to; the last row then says where one is."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "LineView { height: auto; width: 1fr; }"

    class Moved(Message):
        """Other lines came on screen: `first` to `last` (0-based, `last` excluded)."""

        def __init__(self, view: LineView, first: int, last: int) -> None:
            super().__init__()
            self.view, self.first, self.last = view, first, last

        @property
        def control(self) -> LineView:
            """Whose lines."""
            return self.view

    def __init__(self, make: Make = lambda _: (), *, glyphs: Glyphs = ASCII, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._make, self._glyphs = make, glyphs
        self._made: tuple[int, Sequence[Line]] = (-1, ())
        self._anchor: int | None = None
        self.top = 0

    def show(self, make: Make, *, top: int = 0, anchor: int | None = None) -> None:
        """Show other lines, from `top` on, or so that line `anchor` is visible."""
        width, before = self._made
        self._make, self._made, self._anchor = make, (-1, ()), anchor
        if self._only_text_changed(width, before, top):
            return
        self.top = top
        self.refresh(layout=True)
        self.call_after_refresh(self._settle)

    def _only_text_changed(self, width: int, before: Sequence[Line], top: int) -> bool:
        """Whether as many short lines as before took their place; then only rows that differ are painted again."""
        if width != self.size.width or top != self.top or len(before) > _FEW or len(self.lines(width)) != len(before):
            return False
        after = self.lines(width)
        for at in range(self.top, min(len(after), self.top + self.size.height)):
            if after[at] != before[at]:
                self.refresh(Region(0, at - self.top, width, 1))
        if self._anchor is not None:
            self._settle()
        return True

    def lines(self, width: int) -> Sequence[Line]:
        """The lines for a width."""
        if self._made[0] != width:
            self._made = (width, self._make(width))
        return self._made[1]

    @property
    def total(self) -> int:
        """How many lines there are at the present width."""
        return len(self.lines(self.size.width))

    @property
    def room(self) -> int:
        """How many of them fit at once."""
        height = self.size.height
        return height if self.total <= height else max(1, height - 1)

    def scroll_lines(self, by: int) -> None:
        """Move down (or up, when negative)."""
        self.go_to(self.top + by)

    def go_to(self, top: int) -> None:
        """Have line `top` at the top, as far as that is possible."""
        self.top = max(0, min(top, self.total - self.room))
        self.refresh()
        self._moved()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """All lines, where the layout asks for an automatic height."""
        del container, viewport
        return len(self.lines(width))

    def render_line(self, y: int) -> Strip:
        """One row."""
        width, lines = self.size.width, self.lines(self.size.width)
        if len(lines) > self.size.height and y == self.size.height - 1 and y > 0:
            return strip(self._where(len(lines)), width, self._glyphs)
        at = self.top + y
        return strip(lines[at] if at < len(lines) else BLANK, width, self._glyphs)

    def on_resize(self, _: events.Resize) -> None:
        """Lines wrap anew, so keep a place that exists."""
        self._settle()

    def _settle(self) -> None:
        if self._anchor is not None and self.size.height and not self.top <= self._anchor < self.top + self.room:
            self.top = self._anchor - self.room // 2
        self.go_to(self.top)

    def _where(self, total: int) -> Line:
        here = f"{self.top + 1}-{min(self.top + self.room, total)} of {total:,}"
        if self.size.width < _WIDE_ENOUGH_FOR_KEYS:
            return (Span(here, "quiet"),)
        more = "PgDn: more" if self.top + self.room < total else "PgUp: back"
        return (Span(f"lines {here}   ", "quiet"), Span(more, "key"))

    def _moved(self) -> None:
        if self.size.height and self.size.width:
            self.post_message(self.Moved(self, self.top, min(self.top + self.room, self.total)))
