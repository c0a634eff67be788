"""A payload as RaptorQ packets (RFC 6330), and back: any frames, in any order, about as many as the payload has.

One source block, one sub-block, symbols aligned to 8 bytes: Z = 1, N = 1, Al = 8. So length and packet length, which a
frame carries, are all that a reader needs, and there is nothing else for a hostile frame to lie about.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vestry.errors import InputRejected
from vestry.media import qr_text, raptorq
from vestry.media.qr_text import Frame
from vestry.metadata.document import Signature

AT_ONCE = 8
"""Transfers that a receiver gathers side by side; where more come, the one with the fewest packets is forgotten."""
SIGNATURES_AT_ONCE = 256


@dataclass(frozen=True)
class Sending:
    """A payload as frames of one size: first those of the payload itself, then others without end, each as good."""

    payload: bytes = field(repr=False)
    packet_length: int
    solution: raptorq.Solution = field(repr=False)

    @property
    def name(self) -> str:
        """What the transfer is called: six hex digits."""
        return qr_text.name_of(self.payload).hex()

    @property
    def enough(self) -> int:
        """Packets that the payload itself has."""
        return -(-len(self.payload) // self.packet_length)

    def text(self, n: int) -> str:
        """Frame `n`, from 0 on."""
        number = n % qr_text.NUMBERS
        packet = self.solution.packet(number)
        return Frame(qr_text.name_of(self.payload), len(self.payload), number, packet).text()


def send(content: bytes, characters: int) -> Sending:
    """The frames that carry `content`, each in a code with room for so many characters.

    Raises:
        InputRejected: the content is larger than frames of this size, or any frames, carry.
    """
    payload, size = qr_text.sealed(content), qr_text.packet_length(characters)
    if len(payload) > qr_text.PAYLOAD_LIMIT or size <= 0 or -(-len(payload) // size) > qr_text.PACKETS_LIMIT:
        raise InputRejected(
            f"{len(payload):,} bytes are more than QR codes of this size carry",
            where="qr show",
            do="enlarge the window, or carry it on a drive: vestry export",
            code="E-QR-LARGE",
        )
    solver = raptorq.Solver(len(payload), size)
    for number, start in enumerate(range(0, len(payload), size)):
        solver.add(number, payload[start : start + size].ljust(size, b"\0"))
    solution = solver.solution()
    assert solution is not None  # of every code in RFC 6330, the payload's own packets are enough
    return Sending(payload, size, solution)


@dataclass(frozen=True)
class Progress:
    """How far a transfer is: `have` packets of about `enough`."""

    name: str
    have: int
    enough: int


_Key = tuple[bytes, int, int]


class Receiver:
    """Takes what codes say, in any order and any number of times.

    Attributes:
        contents: What arrived whole and equal to its digest, by the name of its transfer.
        signatures: Signatures that codes of their own held. They are not judged here.
        spoilt: Names of transfers whose packets did not fit together; they are gathered anew from what comes after.
        codes: How many codes were Vestry's, and how many were not.
    """

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.signatures: dict[Signature, None] = {}
        self.spoilt: set[str] = set()
        self.codes = (0, 0)
        self._gathering: dict[_Key, raptorq.Solver] = {}

    def take(self, text: str) -> bool:
        """Take what one code says; whether it was something new."""
        ours, others = self.codes
        frame, signature = qr_text.frame(text), qr_text.signature(text)
        self.codes = (ours, others + 1) if frame is None and signature is None else (ours + 1, others)
        if signature is not None and signature not in self.signatures and len(self.signatures) < SIGNATURES_AT_ONCE:
            self.signatures[signature] = None
            return True
        return frame is not None and self._packet(frame)

    def progress(self) -> tuple[Progress, ...]:
        """The transfers under way, the furthest first."""
        found = [Progress(key[0].hex(), g.count, -(-key[1] // key[2])) for key, g in self._gathering.items()]
        return tuple(sorted(found, key=lambda p: -p.have / p.enough))

    def _packet(self, frame: Frame) -> bool:
        name = frame.name.hex()
        if name in self.contents:
            return False
        key = (frame.name, frame.length, len(frame.packet))
        gathering = self._gathering.get(key) or self._begin(key)
        before = gathering.count
        try:
            gathering.add(frame.number, frame.packet)
            payload = gathering.payload()
        except raptorq.Inconsistent:
            return self._forget(key)
        if payload is not None:
            content = qr_text.opened(payload)
            if content is None or qr_text.name_of(payload) != frame.name:
                return self._forget(key)
            self.contents[name] = content
            self.spoilt.discard(name)
            self._gathering = {k: g for k, g in self._gathering.items() if k[0] != frame.name}
        return payload is not None or gathering.count > before

    def _begin(self, key: _Key) -> raptorq.Solver:
        if len(self._gathering) == AT_ONCE:
            del self._gathering[min(self._gathering, key=lambda k: self._gathering[k].count)]
        begun = raptorq.Solver(key[1], key[2])
        self._gathering[key] = begun
        return begun

    def _forget(self, key: _Key) -> bool:
        # One packet at least is not what was sent, and none can be told from the others.
        del self._gathering[key]
        self.spoilt.add(key[0].hex())
        return True
