"""A stage for the screen's tests: a ceremony app with a made-up conductor, and a real terminal for a child process."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from textual import events
from textual.app import App
from textual.pilot import Pilot

from vestry.ceremony.dialogue import Declined, Front, Noted
from vestry.errors import VestryError
from vestry.tui.app import CeremonyApp
from vestry.tui.glyphs import FULL, Glyphs
from vestry.tui.lines import length
from vestry.tui.widgets.field import Field
from vestry.tui.widgets.line_view import LineView
from vestry.tui.widgets.pin_field import PinField

SIZES = ((80, 24), (80, 25), (132, 43))
NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
PATIENCE = 10.0


def painted(app: App[Any]) -> list[str]:
    """The screen as rows of text."""
    strips = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip) for strip in strips]


def text_of(app: App[Any]) -> str:
    """The screen as one string."""
    return "\n".join(painted(app))


def assert_whole(app: App[Any]) -> None:
    """No line is cut at the right, none at the bottom without a word that there is more, nothing overlaps."""
    rows = painted(app)
    width, height = app.size
    for view in app.screen.query(LineView):
        if not view.display or not view.size:
            continue
        place = app.screen.find_widget(view)
        assert place.visible_region == place.region, f"{view} is cut by the edge: {place}"
        lines = view.lines(view.size.width)
        for number, row in enumerate(lines):
            assert length(row) <= view.size.width, f"line {number} of {view} is cut: {row}"
        if len(lines) > view.size.height:
            last = rows[view.region.bottom - 1]
            assert f"of {len(lines):,}" in last, f"{view} hides lines and does not say so: {last!r}"
        region = view.content_region
        for y in range(min(len(lines) - view.top, view.room)):
            said = "".join(span.text for span in lines[view.top + y]).rstrip()
            there = rows[region.y + y][region.x : region.right].rstrip()
            assert there == said, f"painted {there!r} instead of {said!r}"
    for typed in (*app.screen.query(Field), *app.screen.query(PinField)):
        if typed.display:
            place = app.screen.find_widget(typed)
            assert place.visible_region == place.region, f"{typed} is cut: {place}"
            assert place.region.height == 1
            assert rows[typed.region.y][typed.region.x : typed.region.right].rstrip().endswith("]")
    assert len(rows) == height
    assert all(len(row) == width for row in rows)


@dataclass
class Staged:
    """An app on stage. `answers` holds what the conductor got, in order; exceptions among them."""

    app: CeremonyApp
    pilot: Pilot[None]
    answers: list[Any] = field(default_factory=list)

    async def until(self, met: Callable[[], bool], what: str = "") -> None:
        """Wait for something, then for the screen to have drawn it."""
        end = time.monotonic() + PATIENCE
        while not met():
            assert time.monotonic() < end, f"never came: {what}\n{text_of(self.app)}"
            assert self.app.fault is None, self.app.fault
            await asyncio.sleep(0.005)
        await self.pilot.pause()

    async def asked(self, name: str = "") -> None:
        """Wait for a question."""
        await self.until(
            lambda: self.app.page.pane is not None and name in ("", self.app.page.pane.question.name),
            name or "question",
        )
        await self.pilot.pause()

    async def sees(self, text: str) -> None:
        """Wait for a text on the screen."""
        await self.until(lambda: text in text_of(self.app), text)

    async def answered(self, how_many: int = 1) -> None:
        """Wait until the conductor has so many answers."""
        await self.until(lambda: len(self.answers) >= how_many, f"{how_many} answers")

    async def type(self, text: str) -> None:
        """Type, faster than `Pilot.press`, which waits after each key."""
        typed = self.app.focused
        assert typed is not None
        for character in text:
            typed.post_message(events.Key(character, character))
        await self.pilot.pause()


@asynccontextmanager
async def staged(
    *questions: Any,
    run: Callable[[Front], None] | None = None,
    size: tuple[int, int] = (80, 24),
    glyphs: Glyphs = FULL,
    title: str = "A test ceremony",
    rehearsal: bool = True,
    settle: float = 0,
    before: Callable[[Front], None] | None = None,
) -> AsyncIterator[Staged]:
    """Run an app whose conductor asks `questions` one after the other, or is `run`."""
    answers: list[Any] = []

    def conduct(front: Front) -> None:
        if before is not None:
            before(front)
        if run is not None:
            run(front)
            return
        for question in questions:
            try:
                answers.append(front.ask(question))
            except (Noted, Declined, VestryError) as ending:
                answers.append(ending)
                if isinstance(ending, VestryError):
                    raise

    app = CeremonyApp(
        conduct,
        title=title,
        rehearsal=rehearsal,
        offline=lambda: True,
        glyphs=glyphs,
        resume_hint="vestry run script.toml --into DIR",
        now=lambda: NOON,
        settle=settle,
    )
    async with app.run_test(size=size) as pilot:
        yield Staged(app, pilot, answers)
        app.front.close()
    app.join()


class Terminal:
    """A child process on a pseudo-terminal of 80x24, and what it wrote there."""

    def __init__(self, program: str, *arguments: str, environ: Mapping[str, str] | None = None) -> None:
        self._master, self._slave = pty.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(self._slave)
        kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES", "COLORTERM")}
        self.child = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env=kept | {"TERM": "xterm-256color", **(environ or {})},
            start_new_session=True,
        )
        self.written = b""

    def sees(self, text: str) -> None:
        """Read until `text` was written."""
        end = time.monotonic() + 2 * PATIENCE
        while text.encode() not in self.written:
            assert time.monotonic() < end, f"never came: {text}\n{self.written[-2000:]!r}"
            self._read(0.1)

    def types(self, keys: str) -> None:
        """Type."""
        os.write(self._master, keys.encode())

    def rests(self, seconds: float) -> None:
        """Read on for a while: a key that decides counts only once its question has stood for a moment."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._read(left)

    def signals(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.child.send_signal(number)

    def ends(self) -> int:
        """Read to the end; the exit status."""
        end = time.monotonic() + 2 * PATIENCE
        while self.child.poll() is None:
            assert time.monotonic() < end, f"does not end\n{self.written[-2000:]!r}"
            self._read(0.05)
        self._read(0.1)
        self.after = termios.tcgetattr(self._slave)
        return self.child.returncode

    def close(self) -> None:
        """End it for certain."""
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        os.close(self._master)
        os.close(self._slave)

    def _read(self, patience: float) -> None:
        while select.select([self._master], [], [], patience)[0]:
            self.written += os.read(self._master, 65536)
            patience = 0
