"""One entry of an archive, and what is odd about an archive or an entry."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass


class Odd(Exception):
    """Why an archive, or its entry `name`, is refused; `do` is what to do instead, where that is known."""

    def __init__(self, what: str, *, name: str = "", do: str = "") -> None:
        super().__init__(what)
        self.name, self.do = name, do


@dataclass(frozen=True)
class Member:
    """A file or folder in an archive: its size in bytes as the archive says, and what it takes up there (`packed`).

    `unfold` gives its bytes, and raises `Odd` where they are more than a limit, or others than the archive says.
    """

    name: str
    is_folder: bool
    size: int
    packed: int
    unfold: Callable[[int], bytes]


def stored(name: str, data: bytes, limit: int) -> bytes:
    """A file that was not compressed."""
    if len(data) > limit:
        raise Odd(f"{len(data):,} bytes, where the bundle has at most {limit:,}", name=name)
    return data


def inflated(name: str, data: bytes, size: int, limit: int) -> bytes:
    """A file that was deflated (RFC 1951) from `size` bytes."""
    stored_limit = min(size, limit)
    unfolding = zlib.decompressobj(-15)
    try:
        found = unfolding.decompress(data, stored_limit + 1)
    except zlib.error:
        raise Odd("it is damaged: it does not unfold", name=name) from None
    if len(found) > size:
        raise Odd("it unfolds to more bytes than the archive says", name=name)
    stored(name, found, limit)
    if len(found) < size or not unfolding.eof or unfolding.unused_data:
        raise Odd("it unfolds to other bytes than the archive says", name=name)
    return found
