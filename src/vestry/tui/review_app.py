"""`vestry review` on the full screen: the list of a ceremony's review, to look at; nothing is signed or written."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical

from vestry.ceremony.dialogue import ReadReview
from vestry.metadata.review import Review
from vestry.text import printable
from vestry.tui import glyphs as tiers
from vestry.tui.base import QuietApp, terminal
from vestry.tui.dialogs import digest_dialog, help_dialog
from vestry.tui.glyphs import Glyphs
from vestry.tui.help_text import LOOKING
from vestry.tui.lines import Line, Span, key, length, line, packed
from vestry.tui.panes import Changed
from vestry.tui.reply import Reply
from vestry.tui.review import ReviewPane
from vestry.tui.widgets.line_view import LineView

_ASIDE = "nothing is signed here"


class ReviewApp(QuietApp[None]):
    """One review. `about` are lines on the document that decides who must sign: the first stands above everything, the
    rest where the signers are."""

    def __init__(self, review: Review, about: Sequence[str] = (), *, glyphs: Glyphs) -> None:
        super().__init__()
        self._review, self._glyphs = review, glyphs
        question = ReadReview("review", f"Look through {_what(review)}.", "", tuple(about[:1]), review=review)
        self.pane = ReviewPane(question, Reply(), glyphs, settle=0, looking=True, decider=about[1:])

    def compose(self) -> ComposeResult:
        """Header, the review, keys."""
        yield LineView(self._header, glyphs=self._glyphs, id="header")
        with Vertical(id="review"):
            yield self.pane
        yield LineView(self._keys, glyphs=self._glyphs, id="keys")

    def on_mount(self) -> None:
        """Keys go to the list."""
        self.pane.focus()
        self.call_after_refresh(self._share)

    def on_resize(self, _: events.Resize) -> None:
        """Share the rows out anew."""
        self.call_after_refresh(self._share)

    def on_changed(self, message: Changed) -> None:
        """The pane wants other rows."""
        message.stop()
        self.call_after_refresh(self._share)

    def on_key(self, event: events.Key) -> None:
        """Help, the digest, back, leave."""
        if event.key in ("f1", "question_mark"):
            self.push_screen(help_dialog(LOOKING, self._glyphs))
        elif event.key == "f3":
            self.push_screen(digest_dialog(self.pane.digest, self._glyphs))
        elif event.key == "escape":
            if not self.pane.back():
                self.exit()
        elif event.key == "q":
            self.exit()

    async def action_quit(self) -> None:
        """Leave; nothing is at stake."""
        self.exit()

    def action_help_quit(self) -> None:
        """Ctrl+C leaves too."""
        self.exit()

    def _share(self) -> None:
        size = self.query_one("#review", Vertical).content_size
        if size.width and size.height:
            self.pane.share_out(size.width, size.height)

    def _header(self, width: int) -> list[Line]:
        aside: Line = (Span("STOP  ", "bad") if not self._review.ok else Span(""), Span(_ASIDE, "quiet"))
        title = f"Review of {_what(self._review)}"
        room = width - length(aside) - 2
        if len(title) > room:
            title = f"{title[: max(0, room - 3)]}..."
        left: Line = (Span(title, "strong"), Span(" " * (width - len(title) - length(aside))))
        return [(*left, *aside), line(self._glyphs.rule * width, "quiet")]

    def _keys(self, width: int) -> list[Line]:
        return packed([key("F1", "help"), key("F3", "digest and QR"), key("Esc", "back, leave")], width)


def _what(review: Review) -> str:
    return f"{printable(review.role, 60)} {review.step}"


def run_review(review: Review, about: Sequence[str] = (), *, glyphs: str | None = None) -> None:
    """Show `review` on the full screen until a person leaves; `about` as `ReviewApp` has it.

    Raises:
        InputRejected: there is no terminal to draw on.
        Exception: a fault of the program itself, after the terminal was restored.
    """
    app = ReviewApp(review, about, glyphs=tiers.choose(glyphs, terminal=terminal()))
    app.run(mouse=False)
    if app.fault is not None:
        raise app.fault
