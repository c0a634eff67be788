"""What stands in Vestry's QR codes, as text: a frame of a transfer, or one signature. docs/formats.md specifies both.

    VQ1 base45( header, packet )       header: 8 bytes, big-endian: length - 1 (20 bits), number (20), name (24)
    VS1 base45( key id, signature )    32 bytes, then all others

Codes are untrusted. What is malformed is no code of Vestry's, and None here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from vestry.media.raptorq_tables import SOURCE_PACKETS_LIMIT
from vestry.metadata.document import Signature

PAYLOAD_LIMIT = 1 << 20
PACKETS_LIMIT = SOURCE_PACKETS_LIMIT
NUMBERS = 1 << 20
"""Packets have numbers below this."""

_FRAME, _SIGNATURE = "VQ1", "VS1"
_HEADER = 8
_ALIGNED = 8
_TEXT_LIMIT = 4296  # what the largest QR code holds
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_KEYID = 32


@dataclass(frozen=True)
class Frame:
    """One packet of a transfer.

    Args:
        name: The first three bytes of the digest that the payload begins with.
        length: Bytes of the payload: RFC 6330's transfer length F.
        number: The packet's encoding symbol id; below ``enough`` it is a piece of the payload itself.
        packet: The encoding symbol. Its length is the symbol size T, a multiple of 8.
    """

    name: bytes
    length: int
    number: int
    packet: bytes

    @property
    def enough(self) -> int:
        """Packets that the payload itself has; these, or about as many others, are enough."""
        return -(-self.length // len(self.packet))

    def text(self) -> str:
        """What the code says."""
        header = (self.length - 1) << 44 | self.number << 24 | int.from_bytes(self.name, "big")
        return _FRAME + base45(header.to_bytes(_HEADER, "big") + self.packet)


def name_of(payload: bytes) -> bytes:
    """The name of the transfer that carries `payload`."""
    return payload[:3]


def sealed(content: bytes) -> bytes:
    """The payload that carries `content`: its SHA-256 first."""
    return hashlib.sha256(content).digest() + content


def opened(payload: bytes) -> bytes | None:
    """The content of a payload; None where it differs from its digest."""
    digest, content = payload[:32], payload[32:]
    return content if hashlib.sha256(content).digest() == digest else None


def packet_length(characters: int) -> int:
    """Bytes of the packets whose frames fit into so many characters; 0 or less where none fits."""
    groups, left = divmod(characters - len(_FRAME), 3)
    return (2 * groups + (left == 2) - _HEADER) // _ALIGNED * _ALIGNED


def frame(text: str) -> Frame | None:
    """The frame that a code holds; None where it is none, or not one that a sender may make."""
    raw = _opened(text, _FRAME)
    if raw is None or len(raw) < _HEADER + _ALIGNED or len(raw) % _ALIGNED:
        return None
    header, packet = int.from_bytes(raw[:_HEADER], "big"), raw[_HEADER:]
    name = (header & 0xFFFFFF).to_bytes(3, "big")
    found = Frame(name, (header >> 44) + 1, header >> 24 & 0xFFFFF, packet)
    return found if found.enough <= PACKETS_LIMIT else None


def signature_text(signature: Signature) -> str:
    """One signature as the text of a still code."""
    return _SIGNATURE + base45(bytes.fromhex(signature.keyid) + bytes.fromhex(signature.sig))


def signature(text: str) -> Signature | None:
    """The signature that a code holds, which nothing here judges; None where it is none."""
    raw = _opened(text, _SIGNATURE)
    if raw is None or len(raw) <= _KEYID:
        return None
    return Signature(raw[:_KEYID].hex(), raw[_KEYID:].hex())


def base45(data: bytes) -> str:
    """RFC 9285: two bytes as three characters of alphanumeric mode, a last one as two."""
    pairs = [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data) - 1, 2)]
    text = "".join(_ALPHABET[n % 45] + _ALPHABET[n // 45 % 45] + _ALPHABET[n // 2025] for n in pairs)
    return text + (_ALPHABET[data[-1] % 45] + _ALPHABET[data[-1] // 45] if len(data) % 2 else "")


def unbase45(text: str) -> bytes | None:
    """The bytes; None where the text is not what `base45` makes of any."""
    if len(text) % 3 == 1 or not all(c in _VALUES for c in text):
        return None
    found = bytearray()
    for at in range(0, len(text), 3):
        digits = [_VALUES[c] for c in text[at : at + 3]]
        number, count = sum(d * 45**i for i, d in enumerate(digits)), len(digits) - 1
        if number >= 256**count:
            return None
        found += number.to_bytes(count, "big")
    return bytes(found)


def _opened(text: str, magic: str) -> bytes | None:
    if len(text) > _TEXT_LIMIT or not text.startswith(magic):
        return None
    return unbase45(text[len(magic) :])
