"""What verbs print: data on stdout, narration on stderr, a digest to be read aloud; and whether a screen is there."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from vestry.text import group_hex, words


def emit(value: Mapping[str, object]) -> None:
    """One JSON object on stdout. ASCII alone, so that no terminal obeys what a document says."""
    sys.stdout.write(json.dumps(value, indent=1) + "\n")


def array(values: Sequence[Mapping[str, object]]) -> None:
    """One JSON array on stdout, ASCII alone."""
    sys.stdout.write(json.dumps(list(values), indent=1) + "\n")


def line(*texts: str) -> None:
    """Lines of data; what comes from outside has passed `printable()`."""
    for text in texts:
        sys.stdout.write(f"{text}\n")


def row(head: str, text: str) -> None:
    """A line of data. On a terminal that is too narrow for it, `text` goes on below itself, not below `head`."""
    if not sys.stdout.isatty():
        return line(head + text)
    width = max(20, shutil.get_terminal_size().columns - len(head))
    folded = textwrap.wrap(text, width, break_on_hyphens=False) or [""]
    return line(head + folded[0], *(" " * len(head) + rest for rest in folded[1:]))


def narrate(*texts: str) -> None:
    """Lines that tell what happens."""
    for text in texts:
        sys.stderr.write(f"{text}\n")


def digest_lines(digest: str) -> Iterable[str]:
    """A SHA-256 whole, in hex and in words."""
    for text in group_hex(digest):
        yield f"    {text}"
    spoken = words(digest)
    for start in range(0, len(spoken), 4):
        row = (f"{n + 1:>2} {word:<11}" for n, word in enumerate(spoken[start : start + 4], start=start))
        yield f"    {'  '.join(row)}".rstrip()


def screen_here() -> bool:
    """Whether a full screen makes sense: a terminal on both sides, not dumb, no request for plain text."""
    wanted = not os.environ.get("ACCESSIBLE") and os.environ.get("TERM", "dumb") != "dumb"
    return wanted and sys.stdin.isatty() and sys.stdout.isatty()
