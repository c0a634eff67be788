"""Text that may reach a screen or a line of output, and digests as people read them.

Whatever comes from outside is shown only through `printable`, an allowlist: markup, escape sequences, bidirectional
controls and letters that look like others would otherwise be obeyed by the terminal, or by the eye.
"""

from __future__ import annotations

from itertools import accumulate
from typing import NewType

from vestry.words import EVEN, ODD

Safe = NewType("Safe", str)


def printable(text: str, limit: int | None = None) -> Safe:
    """`text` with everything but printable ASCII as a visible escape: ``\\u{202e}``.

    A backslash is doubled, so that the result is unambiguous. With `limit` (3 or more), at most that many characters,
    the last three of them ``...`` where something was left out; an escape is shown whole or not at all.
    """
    if (limit is None or len(text) <= limit) and text.isascii() and text.isprintable() and "\\" not in text:
        return Safe(text)
    # Only as much is escaped as may be shown: what comes from outside may be megabytes long.
    pieces = [_visible(c) for c in (text if limit is None else text[: limit + 1])]
    shown = "".join(pieces)
    if limit is None or len(shown) <= limit:
        return Safe(shown)
    fitting = sum(end <= limit - 3 for end in accumulate(map(len, pieces)))
    return Safe("".join(pieces[:fitting]) + "...")


def printable_again(text: str, limit: int | None = None) -> Safe:
    """The same for what says that it passed `printable` before: its backslashes are not doubled again. It is looked at
    once more, since a forged transcript may say anything."""
    if not (text.isascii() and text.isprintable()):
        return printable(text, limit)
    return Safe(text if limit is None or len(text) <= limit else f"{text[: limit - 3]}...")


def _visible(character: str) -> str:
    if character == "\\":
        return "\\\\"
    return character if " " <= character <= "~" else f"\\u{{{ord(character):x}}}"


def words(digest: str | bytes) -> tuple[Safe, ...]:
    """The PGP words of a digest (hex, or bytes): 32 words for SHA-256."""
    raw = bytes.fromhex(digest) if isinstance(digest, str) else digest
    return tuple(Safe((ODD if place % 2 else EVEN)[value]) for place, value in enumerate(raw))


def group_hex(digest: str) -> tuple[Safe, ...]:
    """A digest in hex as lines of eight groups of four."""
    groups = [digest[i : i + 4] for i in range(0, len(digest), 4)]
    return tuple(Safe(printable(" ".join(groups[i : i + 8]))) for i in range(0, len(groups), 8))
