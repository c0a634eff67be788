"""How much work a function does, counted in lines of Python run, so that no test depends on a clock."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def lines_run(work: Callable[[], object]) -> int:
    """Lines of Python that `work` runs."""
    count = 0

    def watch(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def growth(work: Callable[[int], object], size: int) -> float:
    """By which factor the lines run grow as `size` doubles: 2 where each is looked at once, 4 where each meets each."""
    work(size)  # what is done once, such as filling a cache
    return lines_run(lambda: work(2 * size)) / lines_run(lambda: work(size))
