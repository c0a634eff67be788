"""Releases of Vestry, in the order in which they came: which rules there were on the day of a ceremony."""

from __future__ import annotations

import re

Release = tuple[int, ...]

FIRST: Release = (0, 1, 0)
"""What was in it is in force for every transcript, whatever release one says that it was made by."""

SECOND: Release = (0, 2, 0)
"""Asks whether keys fit their schemes, whether a key id has several signatures, and what services drop; of hundreds of
findings of one rule it tells the gravest."""

_NAME = re.compile(r"vestry (\d{1,4}(?:\.\d{1,4}){1,3})", re.ASCII)


def release(software: str) -> Release | None:
    """The release in a name such as ``vestry 0.1.0``, as a transcript has it; None where there is none to be read."""
    found = _NAME.fullmatch(software)
    return tuple(int(part) for part in found[1].split(".")) if found else None


def in_force(since: Release, as_of: Release | None) -> bool:
    """Whether a rule that came with the release `since` was there at the release `as_of`; None stands for today."""
    return as_of is None or since <= max(as_of, FIRST)
