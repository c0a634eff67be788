"""Where an answer goes that another thread, or nobody, waits for."""

from __future__ import annotations

from concurrent.futures import Future


class Reply:
    """Where one answer goes, once."""

    def __init__(self) -> None:
        self._future: Future[object] = Future()

    def answer(self, value: object) -> None:
        """Give the answer."""
        if not self._future.done():
            self._future.set_result(value)

    def fail(self, why: Exception) -> None:
        """Raise in the thread that asked: `Stopped`, `Noted` or `Declined`."""
        if not self._future.done():
            self._future.set_exception(why)

    def wait(self) -> object:
        """Block until there is an answer."""
        return self._future.result()
