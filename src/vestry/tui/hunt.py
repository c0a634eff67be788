"""Search through a million entries in slices, so that no key waits for it."""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator

SLICE = 0.02
"""Seconds that one slice may take."""

_AT_ONCE = 500


class Hunt:
    """Looks for a text in entries, given as pairs of number (rising) and text. `hits` grows from slice to slice."""

    def __init__(self, wanted: str, entries: Iterator[tuple[int, str]], of: int) -> None:
        self.wanted, self.of, self.looked = wanted, of, 0
        self.hits: array[int] = array("L")
        self.done = False
        self.at = -1
        self._entries, self._needle = entries, wanted.lower()

    def slice(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """Look on for at most about `SLICE` seconds."""
        end = clock() + SLICE
        needle, hits = self._needle, self.hits
        while clock() < end:
            for _ in range(_AT_ONCE):
                pair = next(self._entries, None)
                if pair is None:
                    self.done = True
                    return
                self.looked += 1
                if needle in pair[1].lower():
                    hits.append(pair[0])

    def go(self, here: int, *, back: bool = False) -> int | None:
        """The next hit after entry `here`, or before it; from the end, on from the start. None: no hit so far."""
        if not self.hits:
            return None
        at = bisect_left(self.hits, here) - 1 if back else bisect_right(self.hits, here)
        self.at = at % len(self.hits)
        return self.hits[self.at]

    @property
    def said(self) -> str:
        """``3 of 17``, and how far it is where it is not done."""
        if not self.hits:
            found = "not found" if self.done else "nothing yet"
        else:
            found = f"{self.at + 1:,} of {len(self.hits):,}" if self.at >= 0 else f"{len(self.hits):,} found"
        return found if self.done else f"{found}, {100 * self.looked // max(1, self.of)}% searched"
