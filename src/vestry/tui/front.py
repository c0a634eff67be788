"""The `Front` of the full screen: carries what the conductor's thread says to the screen, and answers back.

Nothing of an answer travels in a message: a `Reply` holds it, and only the thread that asked reads it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

from textual.message import Message

from vestry.ceremony.dialogue import Question
from vestry.ceremony.state import State
from vestry.errors import Stopped, VestryError
from vestry.tui.outlook import Outlook, outlook
from vestry.tui.reply import Reply

T = TypeVar("T")


class Asked(Message):
    """A question waits for its answer."""

    def __init__(self, question: Question[Any], reply: Reply) -> None:
        super().__init__()
        self.question, self.reply = question, reply


class Told(Message):
    """A line of narration."""

    def __init__(self, text: str, good: bool | None) -> None:
        super().__init__()
        self.text, self.good = text, good


class Shown(Message):
    """The frame after an event."""

    def __init__(self, frame: Outlook) -> None:
        super().__init__()
        self.frame = frame


class Troubled(Message):
    """Something failed; the reply comes when a person has read it."""

    def __init__(self, error: VestryError, meaning: str, reply: Reply) -> None:
        super().__init__()
        self.error, self.meaning, self.reply = error, meaning, reply


class Waiting(Message):
    """A device is at work, or, when `idle`, is waited for; an empty text ends it."""

    def __init__(self, what: str, cancel: Callable[[], None] | None = None, *, idle: bool = False) -> None:
        super().__init__()
        self.what, self.cancel, self.idle = what, cancel, idle


class Ended(Message):
    """The ceremony's thread has ended."""


class Screenlike(Protocol):
    """What of the screen is used from the other thread. All messages go to one queue, so that they keep their order."""

    def post_message(self, message: Message) -> bool:
        """Queue a message; Textual makes that safe across threads."""


class ScreenFront:
    """A `Front` for the conductor's thread. After `close` every question is answered by `Stopped`."""

    def __init__(self, screen: Screenlike, stopped: Callable[[], Stopped]) -> None:
        self._screen, self._stopped = screen, stopped
        self._lock = threading.Lock()
        self._open: Reply | None = None
        self._idle: Callable[[], None] | None = None
        self._closed = False

    def close(self) -> None:
        """The screen goes away, or the operator stops: end what waits for an answer, and whatever asks next."""
        with self._lock:
            self._closed = True
            waiting, idle = self._open, self._idle
        if waiting is not None:
            waiting.fail(self._stopped())
        if idle is not None:
            idle()

    def ask(self, question: Question[T]) -> T:
        """Ask on the screen and wait."""
        return cast("T", self._await(lambda reply: Asked(question, reply)))

    def tell(self, line: str, *, good: bool | None = None) -> None:
        """One line of narration."""
        self._post(Told(line, good))

    def show(self, state: State) -> None:
        """The frame after an event."""
        self._post(Shown(outlook(state)))

    def trouble(self, error: VestryError, meaning: str) -> None:
        """Three lines, which stay until someone has read them."""
        self._await(lambda reply: Troubled(error, meaning, reply))

    def waiting(self, what: str, cancel: Callable[[], None] | None = None, *, idle: bool = False) -> None:
        """A device is at work, or is waited for."""
        with self._lock:
            self._idle = cancel if idle else None
            closed = self._closed
        if idle and closed and cancel is not None:
            cancel()
        self._post(Waiting(what, cancel, idle=idle))

    def _await(self, message: Callable[[Reply], Message]) -> object:
        reply = Reply()
        with self._lock:
            if self._closed:
                raise self._stopped()
            self._open = reply
        try:
            if not self._post(message(reply)):
                raise self._stopped()
            return reply.wait()
        finally:
            with self._lock:
                self._open = None

    def _post(self, message: Message) -> bool:
        try:
            return self._screen.post_message(message)
        except RuntimeError:
            # The screen's event loop has ended between two lines; what is recorded is on disk all the same.
            return False
