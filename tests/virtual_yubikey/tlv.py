"""BER tag-length-value, as ISO 7816-4 and NIST SP 800-73 use it."""

from __future__ import annotations


def tlv(tag: int, value: bytes) -> bytes:
    """One object: `tag` of one to three bytes, the shortest length, `value`."""
    head = tag.to_bytes((tag.bit_length() + 7) // 8 or 1, "big")
    size = len(value)
    if size < 0x80:
        return head + bytes([size]) + value
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return head + bytes([0x80 | len(length)]) + length + value


def parsed(data: bytes) -> dict[int, bytes]:
    """The objects in `data`, one after another; the last of a tag wins.

    Raises:
        ValueError: `data` ends too early.
    """
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        tag = data[at]
        at += 1
        if tag & 0x1F == 0x1F:
            more = True
            while more:
                tag, more = tag << 8 | _byte(data, at), bool(_byte(data, at) & 0x80)
                at += 1
        size = _byte(data, at)
        at += 1
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(data[at : at + count], "big")
            at += count
        if at + size > len(data):
            raise ValueError("an object ends beyond its container")
        found[tag] = data[at : at + size]
        at += size
    return found


def _byte(data: bytes, at: int) -> int:
    if at >= len(data):
        raise ValueError("an object has no length")
    return data[at]
