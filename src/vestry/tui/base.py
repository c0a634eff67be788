"""What every screen of Vestry is: quiet, without a palette, tidy on signals, and never a traceback on the terminal."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from typing import TypeVar

from textual.app import App

from vestry.errors import InputRejected
from vestry.tui.theme import THEME

R = TypeVar("R")
# SIGINT too, when another program sends it: asyncio would cancel the app between any two awaits of its clean-up.
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class QuietApp(App[R]):
    """A Textual app in the terminal's own colours. `fault` is an error of the program itself, to raise afterwards."""

    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False
    CSS_PATH = "app.tcss"

    def __init__(self) -> None:
        # Said here and not by the theme alone: what NO_COLOR does is decided before a theme is set, and the filter that
        # is meant for RGB themes would paint the terminal's own colours black.
        super().__init__(ansi_color=True)
        self.register_theme(THEME)
        self.theme = THEME.name
        self.fault: Exception | None = None
        self.signalled = False

    async def on_load(self) -> None:
        """Take the signals that would leave the terminal raw, with its echo off."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                asyncio.get_running_loop().add_signal_handler(number, self._signal)

    def leaving(self) -> None:
        """What to do before a signal closes the screen."""

    def _signal(self) -> None:
        self.signalled = True
        self.leaving()
        self.exit()

    def _handle_exception(self, error: Exception) -> None:
        # Textual would print the traceback with all local variables, a PIN's buffer among them.
        if self.fault is None:
            self.fault = error
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        self._close_messages_no_wait()


def terminal() -> int:
    """The descriptor that the screen is drawn on.

    Raises:
        InputRejected: it is no terminal.
    """
    screen = sys.__stderr__
    if screen is None or not screen.isatty():
        raise InputRejected("the full screen needs a terminal", do="give --plain", code="E-USAGE")
    return screen.fileno()
