"""RaptorQ, held against another implementation, and its promise: any packets, about as many as the payload has."""

from __future__ import annotations

import random

import pytest

from vestry.media.raptorq import Inconsistent, Solution, Solver
from vestry.media.raptorq_tables import PARAMETERS, SOURCE_PACKETS_LIMIT

SIZE = 16
KS = (1, 2, 3, 9, 10, 11, 26, 69, 70, 75, 100, 255, 256, 500, 999)


def sender(payload: bytes, size: int = SIZE) -> Solution:
    solver = Solver(len(payload), size)
    for number, start in enumerate(range(0, len(payload), size)):
        solver.add(number, payload[start : start + size].ljust(size, b"\0"))
    solution = solver.solution()
    assert solution is not None
    return solution


@pytest.mark.parametrize("k", KS)
def test_packets_are_those_of_another_implementation(k: int) -> None:
    """Without it a reader made from RFC 6330 could not read what Vestry shows, nor Vestry what others show."""
    theirs = pytest.importorskip("raptorq", reason="ready-made for x86-64 Linux alone")
    payload = random.Random(k).randbytes(k * SIZE - 5)
    ours = sender(payload)
    packets = theirs.Encoder.with_defaults(payload, SIZE).get_encoded_packets(k + 20)
    assert [ours.packet(n) for n in range(2 * k + 20)] == [p[4:] for p in packets]
    assert [int.from_bytes(p[:4], "big") for p in packets] == list(range(2 * k + 20))
    decoder = theirs.Decoder.with_defaults(len(payload), SIZE)
    there = [decoder.decode(n.to_bytes(4, "big") + ours.packet(n)) for n in range(k + 5, 2 * k + 10)]
    assert payload in there


def test_every_row_of_the_table_solves() -> None:
    """Without it a slip in table 2 would make one length of payload impossible to send."""
    for kp, *_ in PARAMETERS[:100:3]:
        payload = bytes(range(256)) * (kp * 8 // 256 + 1)
        assert sender(payload[: kp * 8], 8).packet(kp - 1) == payload[kp * 8 - 8 : kp * 8]
    assert PARAMETERS[-1][0] >= SOURCE_PACKETS_LIMIT > PARAMETERS[-2][0]


def test_any_packets_are_enough() -> None:
    """Without it frames that a camera missed would have to come again, every one of them."""
    chance = random.Random(6330)
    payload = chance.randbytes(70 * SIZE)
    made = sender(payload)
    packets = {n: made.packet(n) for n in range(300)}
    extra = []
    for _ in range(100):
        solver, numbers = Solver(len(payload), SIZE), chance.sample(sorted(packets), 100)
        for n in numbers:
            solver.add(n, packets[n])
            solver.add(n, packets[n])
            if (found := solver.payload()) is not None:
                break
        assert found == payload
        extra.append(solver.count - 70)
    assert max(extra) <= 2
    assert sum(extra) <= 10


def test_what_contradicts_itself_is_noticed() -> None:
    """Without it one wrong packet among more than enough would pass for right."""
    payload = bytes(20 * SIZE)
    made = sender(payload)
    solver = Solver(len(payload), SIZE)
    for n in range(1, 20):
        solver.add(n, made.packet(n))
    solver.add(30, b"\x01" * SIZE)
    with pytest.raises(Inconsistent):  # noqa: PT012 - whichever packet shows it
        for n in range(40, 60):
            solver.add(n, made.packet(n))
            solver.payload()
