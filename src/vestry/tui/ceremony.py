"""The ceremony's screen: header, rail, the pane with the one thing to do now, what happened, and the keys that work."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.screen import Screen

from vestry.ceremony.dialogue import Departed, Noted, ReadReview
from vestry.tui.dialogs import NoteDialog, digest_dialog, help_dialog, trouble_dialog
from vestry.tui.front import Asked, Shown, Told, Troubled, Waiting
from vestry.tui.glyphs import Glyphs
from vestry.tui.help_text import text_of
from vestry.tui.lines import BLANK, Line, Span, Tone, folded, key, line, packed, paragraph
from vestry.tui.outlook import Outlook, facts, header_lines, rail_lines
from vestry.tui.panes import Answered, Changed, Pane, pane_for
from vestry.tui.review import ReviewPane
from vestry.tui.widgets.line_view import LineView

RAIL = 18
_KEPT = 500
_MORE = (
    "Up to the line in the rail everything can be repeated; after it signatures exist. "
    "F2 notes what went off the script; F6 skips or repeats a step, or states the time from a watch. "
    "F3 shows a digest for a camera, Esc stops and keeps everything."
)


class CeremonyScreen(Screen[None]):
    """Shows what the conductor says and hands back what people answer."""

    ALLOW_SELECT = False
    CSS_PATH = "app.tcss"

    def __init__(
        self,
        frame: Outlook,
        *,
        offline: Callable[[], bool | None],
        isolated: bool,
        glyphs: Glyphs,
        now: Callable[[], datetime],
        settle: float,
    ) -> None:
        super().__init__()
        self._frame, self._offline, self._isolated = frame, offline, isolated
        self._glyphs, self._now, self._settle = glyphs, now, settle
        self._told: list[tuple[str, bool | None]] = []
        self._told_room = 0
        self._amiss = ""
        self._pane: Pane | None = None
        self._busy, self._busy_for, self._idle = "", 0, False
        self._cancel: Callable[[], None] | None = None

    @property
    def pane(self) -> Pane | None:
        """The open question's pane."""
        return self._pane

    @property
    def busy(self) -> str:
        """What a device is doing, if one is at work."""
        return "" if self._idle else self._busy

    def compose(self) -> ComposeResult:
        """Header, rail and middle, keys."""
        yield LineView(self._header, glyphs=self._glyphs, id="header")
        with Horizontal(id="middle"):
            yield LineView(self._rail, glyphs=self._glyphs, id="rail")
            with Vertical(id="main"):
                yield LineView(self._resting, glyphs=self._glyphs, id="resting")
                yield Vertical(id="now")
                yield LineView(self._narration, glyphs=self._glyphs, id="narration")
        yield LineView(self._keys, glyphs=self._glyphs, id="keys")

    def on_mount(self) -> None:
        """Start the clock."""
        self.query_one("#rail").styles.border_right = (self._glyphs.border, "ansi_bright_black")
        self.set_interval(1, self._tick)
        self._rest()

    def on_resize(self, _: events.Resize) -> None:
        """Share the rows out anew."""
        self.call_after_refresh(self._share)

    def on_shown(self, message: Shown) -> None:
        """Header and rail after an event."""
        self._frame = message.frame
        self.query_one("#header", LineView).show(self._header)
        rail = self.query_one("#rail", LineView)
        _, now = rail_lines(self._frame.rail, max(1, rail.size.width), self._glyphs)
        rail.show(self._rail, anchor=now)
        self.call_after_refresh(self._share)

    def on_told(self, message: Told) -> None:
        """A line of narration."""
        self._told.append((message.text, message.good))
        del self._told[:-_KEPT]
        self._amiss = message.text if message.good is False else ""
        self._show_told()

    def on_waiting(self, message: Waiting) -> None:
        """A device is at work, or waited for, or has finished."""
        self._busy, self._busy_for, self._cancel, self._idle = message.what, 0, message.cancel, message.idle
        if self._pane is None:
            self._rest()
            self.query_one("#keys", LineView).show(self._keys)

    async def on_asked(self, message: Asked) -> None:
        """Put a question."""
        question = message.question
        if isinstance(question, ReadReview):
            pane: Pane = ReviewPane(question, message.reply, self._glyphs, self._amiss, self._settle)
        else:
            pane = pane_for(question, message.reply, self._glyphs, self._amiss, self._settle)
        self._amiss = ""
        now = self.query_one("#now", Vertical)
        await now.remove_children()
        await now.mount(pane)
        self._pane = pane
        self.query_one("#rail").display = not isinstance(pane, ReviewPane)
        pane.start()
        self.query_one("#keys", LineView).show(self._keys)
        self.call_after_refresh(self._share)

    async def on_answered(self, message: Answered) -> None:
        """The question is gone."""
        message.stop()
        if message.pane is not self._pane:
            return  # the next question was here before the news that this one is answered
        self._pane = None
        await self.query_one("#now", Vertical).remove_children()
        self.query_one("#rail").display = True
        self._rest()
        self.query_one("#keys", LineView).show(self._keys)

    def on_changed(self, message: Changed) -> None:
        """A pane wants other rows."""
        message.stop()
        self.call_after_refresh(self._share)

    def on_troubled(self, message: Troubled) -> None:
        """Three lines, until read."""
        self._told.append((message.error.what, False))
        self._show_told()
        reply = message.reply
        self.app.push_screen(trouble_dialog(message.error, message.meaning, self._glyphs), lambda _: reply.answer(None))

    def on_key(self, event: events.Key) -> None:
        """Keys that work everywhere."""
        if event.key in ("f1", "question_mark"):
            name = self._pane.question.name if self._pane is not None else ""
            self.app.push_screen(help_dialog(text_of(name), self._glyphs, _MORE))
        elif event.key == "f2":
            self._note()
        elif event.key == "f6" and self._pane is not None:
            self._depart(self._pane)
        elif event.key == "f8" and self._pane is None and self._cancel is not None:
            self._cancel()
        elif event.key == "f3" and self._pane is not None and self._pane.digest:
            self.app.push_screen(digest_dialog(self._pane.digest, self._glyphs))
        elif event.key in ("pageup", "pagedown", "up", "down"):
            self._scroll(event.key)
        else:
            return
        event.stop()

    def _note(self) -> None:
        pane = self._pane
        if pane is None:
            self.on_told(Told("A note can be taken as soon as a question is here.", None))
            return

        def noted(text: str | None) -> None:
            if text and pane is self._pane:
                pane.reply.fail(Noted(text))
                pane.post_message(Answered(pane))

        self.app.push_screen(NoteDialog(self._glyphs), noted)

    def _depart(self, pane: Pane) -> None:
        """The conductor asks what is to be done off the script; whatever was typed here is gone."""
        pane.reply.fail(Departed())
        pane.post_message(Answered(pane))

    def _scroll(self, name: str) -> None:
        if self._pane is not None:
            view = self._pane.query_one("#question", LineView)
            view.scroll_lines({"pagedown": view.room - 1, "pageup": 1 - view.room, "down": 1}.get(name, -1))

    def _tick(self) -> None:
        self.query_one("#header", LineView).show(self._header)
        if self._busy and self._pane is None:
            self._busy_for += 1
            self._rest()

    def _rest(self) -> None:
        """Nothing to do now but wait."""
        self.query_one("#resting", LineView).show(self._resting)
        self.call_after_refresh(self._share)

    def _resting(self, width: int) -> list[Line]:
        since = f" ({self._busy_for} s)" if self._busy_for else ""
        if self._busy.startswith("Touch"):
            return paragraph(f"{self._busy}{since}", width, "accent")
        rows = paragraph("Wait.", width, "accent")
        if self._busy:
            rows += [BLANK, *paragraph(f"{self._busy}{since}", width)]
        return rows

    def _share(self) -> None:
        """The pane gets the rows that it needs, what happened gets the rest."""
        main = self.query_one("#main", Vertical)
        width, height = main.content_size.width, main.content_size.height
        if not width or not height:
            return
        told = self.query_one("#narration", LineView)
        pane, resting = self._pane, self.query_one("#resting", LineView)
        # What happened gets at least its last line, whole, and a rule; a question that needs these rows gets them.
        least = 1 + len(told_lines(*self._told[-1], width)) if self._told else 0
        wanted = pane.needed(width, height - least) if pane is not None else len(self._resting(width)) + 1
        rows = min(wanted, height)
        told.display = bool(self._told) and height - rows >= least
        resting.display, resting.styles.height = pane is None, rows
        now = self.query_one("#now", Vertical)
        now.display, now.styles.height = pane is not None, rows
        told.styles.height = max(0, height - rows)
        self._told_room = max(0, height - rows - 1)
        if pane is not None:
            pane.share_out(width, rows)
        self._show_told()

    def _show_told(self) -> None:
        self.query_one("#narration", LineView).show(self._narration)

    def _header(self, width: int) -> list[Line]:
        clock = f"{self._now():%Y-%m-%d %H:%M:%S} UTC"
        air = facts(self._offline(), clock, isolated=self._isolated)
        return header_lines(self._frame, air, width, self._glyphs)

    def _rail(self, width: int) -> list[Line]:
        return rail_lines(self._frame.rail, width, self._glyphs)[0]

    def _narration(self, width: int) -> list[Line]:
        """The last lines that fit whole: an old one is left out rather than cut."""
        rows: list[Line] = []
        for text, good in reversed(self._told):
            more = told_lines(text, good, width)
            if len(rows) + len(more) > self._told_room:
                break
            rows = more + rows
        return [line(self._glyphs.rule * width, "quiet"), *rows]

    def _keys(self, width: int) -> list[Line]:
        keys = [key("F1", "help")]
        if self._pane is not None:
            keys.append(key("F2", "note an exception"))
            keys.append(key("F6", "skip or repeat"))
            if self._pane.digest:
                keys.append(key("F3", "digest and QR"))
        elif self._cancel is not None:
            keys.append(key("F8", "stop waiting"))
        keys.append(key("Esc", "stop here"))
        return packed(keys, width)


def told_lines(text: str, good: bool | None, width: int) -> list[Line]:
    """A line of narration, with a word for what it means."""
    words: dict[bool | None, tuple[str, Tone]] = {
        True: ("ok  ", "good"),
        False: ("NO  ", "bad"),
        None: ("    ", "plain"),
    }
    mark, tone = words[good]
    texts = folded(text, width - len(mark))
    first: Line = (Span(mark, tone), Span(texts[0], "bad" if good is False else "plain"))
    return [first, *(line(" " * len(mark) + rest, "bad" if good is False else "plain") for rest in texts[1:])]
