"""How many frames 8 KiB take in an 80x24 terminal: Vestry's transfer against a BC-UR fountain in the same code.

Both have version 6, level L, alphanumeric mode: 195 characters. Vestry's frames are made and taken by the program
itself. BC-UR's need is simulated from its published parts: two characters a byte, a CBOR header and a checksum in each
frame, the fragments themselves first, then sums of d of them with a probability of d in proportion to 1/d; whoever
receives takes known fragments, and sums that are part of others, out of sums, as its reference decoder does.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator

from vestry.media import qr, qr_cargo, qr_transfer
from vestry.media.qr_transfer import Receiver

PAYLOAD = 8192
VERSION = 6
RUNS = 30
LATE = 3000
"""A frame far from the first, where a camera begins that comes late."""


def vestry(content: bytes, lost: float, first: int, chance: random.Random) -> tuple[int, int]:
    """Frames shown and frames received until the payload is whole."""
    sent, receiver = qr_transfer.send(content, qr.room(VERSION)), Receiver()
    received, n = 0, first
    while not receiver.contents:
        if chance.random() >= lost:
            receiver.take(sent.text(n))
            received += 1
        n += 1
    return n - first, received


def fragments() -> int:
    """Into how many fragments BC-UR cuts the payload, so that a frame fits."""
    message = PAYLOAD + 3  # a CBOR byte string
    for count in range(1, message):
        header = len(f"UR:BYTES/{LATE}-{count}/")
        cbor = 1 + 3 + (1 if count < 24 else 2) + 3 + 5 + 2 + -(-message // count)
        if header + 2 * (cbor + 4) <= qr.room(VERSION):
            return count
    raise AssertionError


def parts(count: int, first: int, chance: random.Random) -> Iterator[frozenset[int]]:
    """The sets of fragments that frames sum, from frame `first` on."""
    degrees = range(1, count + 1)
    weights = [1 / d for d in degrees]
    for n in range(first, first + 100 * count):
        mixed = chance.sample(range(count), *chance.choices(degrees, weights))
        yield frozenset([n]) if n < count else frozenset(mixed)


def bc_ur(count: int, lost: float, first: int, chance: random.Random) -> tuple[int, int]:
    """Frames shown and frames received until every fragment is known."""
    known: set[int] = set()
    sums: set[frozenset[int]] = set()
    received = 0
    for shown, part in enumerate(parts(count, first, chance), start=1):
        if chance.random() < lost:
            continue
        received += 1
        queue = [part]
        while queue:
            left = queue.pop() - known
            left = next((left - other for other in sums if other < left), left)
            if not left or left in sums:
                continue
            if len(left) == 1:
                known |= left
            reduced = {other for other in sums if left < other or (len(left) == 1 and left <= other)}
            sums -= reduced
            queue += [other - left for other in reduced]
            if len(left) > 1:
                sums.add(left)
        if len(known) == count:
            return shown, received
    raise AssertionError


def main() -> None:
    """Measure both."""
    chance = random.Random(1)
    content = qr_cargo.pack({"payload.bin": chance.randbytes(PAYLOAD)})
    own = -(-PAYLOAD // qr_transfer.send(content, qr.room(VERSION)).packet_length)
    count = fragments()
    print(f"8 KiB in version {VERSION}: {own} packets of its own; BC-UR {count} fragments ({count / own:.2f} x)")
    for name, lost, first in (
        ("no frame lost, from the first", 0.0, 0),
        ("no frame lost, beginning late", 0.0, LATE),
        ("30 % lost, from the first", 0.3, 0),
        ("30 % lost, beginning late", 0.3, LATE),
    ):
        ours = [vestry(content, lost, first, chance) for _ in range(RUNS)]
        theirs = [bc_ur(count, lost, first, chance) for _ in range(RUNS)]
        shown, taken = (statistics.mean(r[i] for r in ours) for i in (0, 1))
        their_shown = statistics.mean(r[0] for r in theirs)
        print(
            f"{name}: {shown:.1f} frames shown, {taken:.1f} received ({taken / own:.2f} x its own, at most "
            f"{max(r[1] for r in ours) / own:.2f}, allowed 1.10); "
            f"BC-UR {their_shown:.1f} shown ({their_shown / shown:.2f} x)"
        )
    sent = qr_transfer.send(content, qr.room(15))
    begin = time.perf_counter()
    for n in range(50):
        qr.matrix(sent.text(n), version=15)
    print(f"a frame of version 15: {(time.perf_counter() - begin) * 20:.1f} ms of the 100 that the fastest speed has")


if __name__ == "__main__":
    main()
