"""A QR code, or many in turn, on the whole screen, and beside it what the person with the camera needs to know."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.geometry import Size
from textual.timer import Timer

from vestry.errors import InputRejected
from vestry.media import qr, qr_transfer
from vestry.media.qr_transfer import Sending
from vestry.text import printable
from vestry.tui import glyphs as tiers
from vestry.tui.base import QuietApp, terminal
from vestry.tui.glyphs import Glyphs
from vestry.tui.lines import BLANK, Line, Span, key, line, packed, paragraph
from vestry.tui.qr import drawn, fitting, size
from vestry.tui.widgets.line_view import LineView

SPEEDS = (1, 2, 3, 4, 6, 8, 10)
"""Frames a second. A phone takes 30 pictures in one, and a frame wants to be on two of them undisturbed."""
USUAL = 6

_BESIDE, _BELOW = 31, 7
"""Columns of the panel beside a code, rows of the one below it."""
_WIDEST = 4


@dataclass(frozen=True)
class Plan:
    """How it is shown in a window: the version and its border, beside the panel or above it."""

    version: int
    border: int
    beside: bool
    sending: Sending | None = None
    still: str = ""

    @property
    def moving(self) -> bool:
        """Whether there is more than one frame."""
        return self.sending is not None and self.sending.enough > 1


def plan(content: bytes, still: str, columns: int, rows: int, glyphs: Glyphs) -> Plan | None:
    """The best for a window: `still` where that fits, else the frames of `content`; None where no code fits.

    Raises:
        InputRejected: the content is more than frames of the largest code here carry.
    """
    beside, below = fitting(columns - _BESIDE, rows, glyphs), fitting(columns, rows - _BELOW, glyphs)
    versions, aside = (below, False) if below[-1:] > beside[-1:] else (beside, True)
    if not versions:
        return None
    alone = qr.smallest(still, versions) if still else None
    version = alone or versions[-1]
    sending = None if alone else qr_transfer.send(content, qr.room(version))
    room = (columns - _BESIDE, rows) if aside else (columns, rows - _BELOW)
    border = qr.BORDER
    for wider in range(qr.BORDER + 1, _WIDEST + 1):
        wide, high = size(qr.side(version) + 2 * wider, glyphs)
        if wide <= room[0] and high <= room[1]:
            border = wider
    return Plan(version, border, aside, sending, still if alone else "")


class QrApp(QuietApp[None]):
    """One code, or a transfer's codes in turn. `frame` is the number of the one on the screen, from 0 on."""

    CSS = "#code { width: auto; } #panel { width: 1fr; height: 1fr; padding: 0 0 0 1; } #whole { height: 100%; }"

    def __init__(
        self,
        title: str,
        content: bytes,
        *,
        still: str = "",
        glyphs: Glyphs,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._title, self._content, self._still = title, content, still
        self._glyphs, self._now = glyphs, now
        self._plan: Plan | None = None
        self._why = ""
        self._timer: Timer | None = None
        self._speed, self._since, self._before = USUAL, now(), 0.0
        self.frame = 0
        self.paused = False

    def compose(self) -> ComposeResult:
        """The code and the panel."""
        with Container(id="whole"):
            yield LineView(self._code, glyphs=self._glyphs, id="code")
            yield LineView(self._panel, glyphs=self._glyphs, id="panel")

    def on_mount(self) -> None:
        """Begin."""
        self._lay_out(self.size)

    def on_resize(self, event: events.Resize) -> None:
        """A window of another size has room for another code, whose frames are others."""
        self._lay_out(event.size)

    def on_key(self, event: events.Key) -> None:
        """Pause, step, go faster or slower, begin again, leave."""
        if event.key in ("escape", "q", "ctrl+c", "ctrl+q"):
            self.exit()
        elif self._plan is None or not self._plan.moving:
            return
        elif event.key == "space":
            self._pause(not self.paused)
        elif event.key in ("right", "left"):
            self._pause(True)
            self._go(max(0, self.frame + (1 if event.key == "right" else -1)))
        elif event.character in ("+", "-"):
            at = SPEEDS.index(self._speed) + (1 if event.character == "+" else -1)
            self._speed = SPEEDS[max(0, min(at, len(SPEEDS) - 1))]
            self._run()
            self._show()
        elif event.key == "r":
            self._since, self._before = self._now(), 0.0
            self._go(0)

    async def action_quit(self) -> None:
        """Leave; nothing is at stake."""
        self.exit()

    def action_help_quit(self) -> None:
        """Ctrl+C leaves too."""
        self.exit()

    def _lay_out(self, window: Size) -> None:
        before, self._why = self._plan, ""
        try:
            self._plan = plan(self._content, self._still, window.width, window.height, self._glyphs)
        except InputRejected as error:
            self._plan, self._why = None, f"{error.what[:1].upper()}{error.what[1:]}: {error.do}."
        code = self.query_one("#code", LineView)
        code.display = self._plan is not None
        if self._plan is not None:
            wide, high = size(qr.side(self._plan.version) + 2 * self._plan.border, self._glyphs)
            code.styles.width, code.styles.height = wide, high
            self.query_one("#whole").styles.layout = "horizontal" if self._plan.beside else "vertical"
        if before is None or self._plan is None or before.version != self._plan.version:
            self.frame, self._since, self._before = 0, self._now(), 0.0
        self._run()
        self._show()

    def _run(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        moving = self._plan is not None and self._plan.moving and not self.paused
        self._timer = self.set_interval(1 / self._speed, self._next) if moving else None

    def _pause(self, pause: bool) -> None:
        if pause != self.paused:
            now = self._now()
            self._before, self._since = (self._before + now - self._since, now) if pause else (self._before, now)
            self.paused = pause
            self._run()
            self._show()

    def _next(self) -> None:
        self._go(self.frame + 1)

    def _go(self, frame: int) -> None:
        self.frame = frame
        self._show()

    def _show(self) -> None:
        self.query_one("#code", LineView).show(self._code)
        self.query_one("#panel", LineView).show(self._panel)

    def _code(self, _: int) -> list[Line]:
        planned = self._plan
        if planned is None:
            return []
        if planned.sending is None:
            return drawn(qr.matrix(planned.still, border=planned.border), self._glyphs)
        text = planned.sending.text(self.frame)
        return drawn(qr.matrix(text, version=planned.version, border=planned.border), self._glyphs)

    def _panel(self, width: int) -> list[Line]:
        rows = paragraph(printable(self._title), width, "accent")
        leave = key("Esc", "leave")
        if self._plan is None:
            return [*rows, BLANK, *paragraph(self._why or self._too_small(), width, "warn"), BLANK, leave]
        hint = "Hold the camera so that the whole code and its white edge are in the picture."
        if not self._plan.moving:
            return [*rows, BLANK, *paragraph(f"One picture is enough. {hint}", width), BLANK, leave]
        keys = [
            key("Space", "go on" if self.paused else "pause"),
            key("+ -", "speed"),
            key("Left Right", "one frame"),
            key("r", "again"),
            leave,
        ]
        if not self._plan.beside:
            return [*rows, *self._progress(width), *packed(keys, width, gap=2)]
        return [
            *rows,
            BLANK,
            *self._progress(width),
            BLANK,
            *paragraph(hint, width, "quiet"),
            BLANK,
            *packed(keys, width),
        ]

    def _progress(self, width: int) -> list[Line]:
        assert self._plan is not None
        assert self._plan.sending is not None
        enough, seen = self._plan.sending.enough, self.frame + 1
        passed = int(self._before + (0 if self.paused else self._now() - self._since))
        whole = max(4, min(width, 40) - 2)
        filled = min(whole, whole * seen // enough)
        pace = f"{passed // 60}:{passed % 60:02}" + ("" if self.paused else f", {self._speed} a second")
        said = f"{enough} frames are enough, any of them, in any order."
        if seen > enough:
            said = f"{enough} were enough; others make up for those that were missed. Stop when the reader says so."
        return [
            (Span(f"Frame {seen}  ", "strong"), Span("PAUSED  ", "warn") if self.paused else Span(""), Span(pace)),
            line(f"[{self._glyphs.filled * filled}{self._glyphs.open * (whole - filled)}]"),
            *paragraph(said, width),
        ]

    def _too_small(self) -> str:
        wide, high = size(qr.side(qr.VERSIONS[0]) + 2 * qr.BORDER, self._glyphs)
        return (
            f"No QR code fits into this window with this font: it takes {wide + _BESIDE} columns and "
            f"{high} rows at least. "
            "Make the window larger or the font smaller, or carry the files on a drive: vestry export."
        )


def run_qr(title: str, content: bytes, *, still: str = "", glyphs: str | None = None) -> None:
    """Show `content` as a transfer, or where `still` fits into one code that alone, until a person leaves.

    Raises:
        InputRejected: there is no terminal to draw on.
        Exception: a fault of the program itself, after the terminal was restored.
    """
    app = QrApp(title, content, still=still, glyphs=tiers.choose(glyphs, terminal=terminal()))
    app.run(mouse=False)
    if app.fault is not None:
        raise app.fault
