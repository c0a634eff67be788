"""Where the time of a ceremony comes from."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """The wall clock, which people attest, and a clock that only ever runs forward."""

    def now(self) -> datetime:
        """The time in UTC, in whole seconds."""

    def mono(self) -> int:
        """Nanoseconds since some moment; never less than before in one run of the program."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """The system's time in UTC, in whole seconds."""
        return datetime.now(UTC).replace(microsecond=0)

    def mono(self) -> int:
        """The system's monotonic nanoseconds."""
        return time.monotonic_ns()


class FixedClock:
    """A clock that starts at `start` and moves by `step` each time it is asked for the time; for tests and practice."""

    def __init__(self, start: datetime, step: timedelta = timedelta(0)) -> None:
        if start.utcoffset() is None:
            raise ValueError("a clock needs a time zone")
        self._now, self._step, self._mono = start.astimezone(UTC).replace(microsecond=0), step, 0

    def now(self) -> datetime:
        """The time it stands at; it moves on afterwards."""
        now = self._now
        self._now += self._step
        self._mono += int(self._step.total_seconds() * 1e9)
        return now

    def mono(self) -> int:
        """One millisecond more at each call."""
        self._mono += 1_000_000
        return self._mono
