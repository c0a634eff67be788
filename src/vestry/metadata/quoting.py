"""Values of a document as sentences quote them: short, and two that differ never alike. Not yet printable."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from itertools import takewhile
from operator import eq
from typing import Any

SHOWN = 100
"""Characters of a value that are shown."""
_LED = 20
"""Characters shown before the first difference of two long values."""
# What JSON would read as another value than a string.
_OTHER = re.compile(r"-?[0-9][0-9.eE+-]*|true|false|null|[\[{\"].*", re.DOTALL)
# Spaces that a line break, or an eye, would swallow.
_BLURRED = re.compile(r"^$|^ | $|  ")


def clip(value: Any, limit: int = SHOWN, *, tell: bool = True) -> str:
    """At most `limit` characters of a text, and how many there were."""
    text = str(value)
    if len(text) <= limit:
        return text
    return text[:limit] + (f"... ({len(text):,} characters)" if tell else "")


def one(value: Any, *, strings: bool = False) -> str:
    """A JSON value. A string stands bare, unless its spaces could get lost, or it would pass for another value where
    not only `strings` can stand."""
    return clip(_text(value, strings=strings))


def pair(old: Any, new: Any, limit: int = SHOWN) -> tuple[str, str]:
    """Two JSON values that differ, from shortly before the first difference where that would not be shown else."""
    return texts(_text(old), _text(new), limit)


def texts(was: str, now: str, limit: int = SHOWN) -> tuple[str, str]:
    """As `pair`, of values that are texts already."""
    first = sum(takewhile(bool, map(eq, was, now)))
    start = first - _LED if first > limit - _LED else 0

    def cut(text: str) -> str:
        if not start:
            return clip(text, limit)
        more = "..." if len(text) > start + limit else ""
        return f"...{text[start : start + limit]}{more} ({len(text):,} characters)"

    return cut(was), cut(now)


def digits(ids: Iterable[str]) -> int:
    """How many of their characters tell key ids from each other: 8 if that is enough. Eight in common are made in an
    hour; then the whole ids are told."""
    different = set(ids)
    longest = max(map(len, different), default=0)
    return next((n for n in (8, 64) if len({i[:n] for i in different}) == len(different)), longest)


def place(path: Sequence[str]) -> str:
    """A path of members as one text, still unambiguous: ``~`` and ``/`` in a name are escaped as in RFC 6901."""
    return "/".join(name.replace("~", "~0").replace("/", "~1") for name in path)


def _text(value: Any, *, strings: bool = False) -> str:
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    if _BLURRED.search(value):
        return f"{json.dumps(value, ensure_ascii=False)} ({len(value):,} characters)" if value else '""'
    return json.dumps(value, ensure_ascii=False) if not strings and _OTHER.fullmatch(value) else value
