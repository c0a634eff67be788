"""Work on bytes that are at hand, done by a second core: a forked child sees them without a copy, and says little."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import BinaryIO

WORTH = 16 << 20
"""Bytes to look at from which on a child is worth it."""


def possible() -> bool:
    """Whether there is a second core, and no other thread that could hold a lock which the child would wait for."""
    return sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1 and threading.active_count() == 1


class Aside:
    """What a child finds. Whoever asks for it does the work again where there is no answer."""

    def __init__(self, work: Callable[[], bytes]) -> None:
        """Begin `work` in a child if that can be."""
        self._pipe: BinaryIO | None = None
        self._child = 0
        if possible():
            self._begin(work)

    def _begin(self, work: Callable[[], bytes]) -> None:
        out, into = os.pipe()
        try:
            self._child = os.fork()
        except OSError:
            os.close(out)
            os.close(into)
            return
        if not self._child:
            status = 1
            try:
                os.close(out)
                with os.fdopen(into, "wb") as pipe:
                    pipe.write(work())
                status = 0
            finally:
                os._exit(status)  # nothing that the parent meant to do is done twice, whatever was raised
        os.close(into)
        self._pipe = os.fdopen(out, "rb")

    @cached_property
    def answer(self) -> bytes | None:
        """What the child found; None where there was none, or it did not come to an end."""
        if self._pipe is None:
            return None
        with self._pipe as pipe:
            found = pipe.read()
        try:
            _, status = os.waitpid(self._child, 0)
        except ChildProcessError:
            return None
        return found if status == 0 else None

    def __del__(self) -> None:
        """End a child that nobody asked."""
        if self._pipe is not None and not self._pipe.closed:
            self._pipe.close()
            with suppress(OSError):
                os.kill(self._child, signal.SIGKILL)
                os.waitpid(self._child, 0)
