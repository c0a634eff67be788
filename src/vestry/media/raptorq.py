"""RaptorQ (RFC 6330) for one source block of at most 2000 symbols: any packets, about as many as there are symbols.

The code is systematic: packets 0 to K - 1 are the payload itself, all others are as good as these. Every packet is a
linear equation over GF(2) in the L intermediate symbols; S more equations (LDPC) are binary too, and H (HDPC) are over
GF(256). Binary rows are reduced as they come; what they leave open, about H unknowns, the others settle.

A row is one integer: a bit for each intermediate symbol, the first the highest, above the bits of its data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from vestry.media.raptorq_tables import DEGREES, PARAMETERS, RANDOM

_POLYNOMIAL = 0x1D  # x^8 + x^4 + x^3 + x^2 + 1 (section 5.7), without its highest term


class Inconsistent(Exception):
    """Packets contradict each other: one of them at least is not of this payload."""


@dataclass(frozen=True)
class _Code:
    """The parameters of a source block with `k` symbols, by the names that the RFC gives them."""

    k: int
    kp: int
    j: int
    s: int
    h: int
    w: int

    @cached_property
    def l(self) -> int:  # noqa: E743 - the RFC's name
        """Intermediate symbols."""
        return self.kp + self.s + self.h

    @cached_property
    def p(self) -> int:
        """Those that are permanently inactive."""
        return self.l - self.w

    @cached_property
    def p1(self) -> int:
        """The smallest prime from `p` on."""
        return next(n for n in range(self.p, 2 * self.p) if all(n % d for d in range(2, int(n**0.5) + 1)))

    def internal(self, number: int) -> int:
        """The internal symbol id of a packet: padding stands between the payload's own and the others."""
        return number if number < self.k else number + self.kp - self.k

    def symbol(self, x: int) -> tuple[int, ...]:
        """The intermediate symbols whose sum is the internal symbol `x` (sections 5.3.5.3 and 5.3.5.4)."""
        y = (10267 * (self.j + 1) + x * (53591 + self.j * 997 | 1)) % 2**32
        v = _random(y, 0, 1 << 20)
        degree = min(next(d for d, f in enumerate(DEGREES, start=1) if v < f), self.w - 2)
        step, at = 1 + _random(y, 1, self.w - 1), _random(y, 2, self.w)
        found = [(at + i * step) % self.w for i in range(degree)]
        inactive = 2 + (_random(x, 3, 2) if degree < 4 else 0)
        step, at = 1 + _random(x, 4, self.p1 - 1), _random(x, 5, self.p1)
        while len(found) < degree + inactive:
            if at < self.p:
                found.append(self.w + at)
            at = (at + step) % self.p1
        return tuple(found)

    def low_density(self) -> list[set[int]]:
        """The S binary equations between intermediate symbols (section 5.3.3.3)."""
        b = self.w - self.s
        rows = [{b + i} ^ {self.w + i % self.p} ^ {self.w + (i + 1) % self.p} for i in range(self.s)]
        for i in range(b):
            for turn in range(3):
                rows[(i + turn * (1 + i // self.s)) % self.s] ^= {i}
        return rows

    def high_density(self, values: list[int], double: Callable[[int], int]) -> list[int]:
        """The left sides of the H equations over GF(256) (section 5.3.3.3), each of which must be nought."""
        sums = [0] * self.h
        last = self.kp + self.s - 1
        y = 0
        for at in range(last):
            y = double(y) ^ values[at]
            first = _random(at + 1, 6, self.h)
            second = (first + _random(at + 1, 7, self.h - 1) + 1) % self.h
            sums[first] ^= y
            sums[second] ^= y
        y = double(y) ^ values[last]
        for i in range(self.h):
            sums[i] ^= y ^ values[last + 1 + i]
            y = double(y)
        return sums


class _Doubling:
    """Multiplication by 2 in GF(256) of all bytes of an integer at once."""

    def __init__(self, length: int) -> None:
        ones = int.from_bytes(b"\x01" * length, "big")
        self._low, self._ones = ones * 0x7F, ones

    def __call__(self, vector: int) -> int:
        return ((vector & self._low) << 1) ^ ((vector >> 7 & self._ones) * _POLYNOMIAL)


@lru_cache(maxsize=16)
def _code(k: int) -> _Code:
    return _Code(k, *next(row for row in PARAMETERS if row[0] >= k))


class Solver:
    """Gathers packets of a payload until they are enough.

    Args:
        length: Bytes of the payload, at least 1.
        size: Bytes of a packet. The payload has at most `SOURCE_PACKETS_LIMIT` of them.
    """

    def __init__(self, length: int, size: int) -> None:
        self._length, self._size = length, size
        self._code = _code(-(-length // size))
        self._rows: dict[int, int] = {}
        self._own: dict[int, bytes] = {}
        self._seen: set[int] = set()
        for equation in self._code.low_density():
            self._reduce(tuple(equation), 0)
        for padding in range(self._code.k, self._code.kp):
            self._reduce(self._code.symbol(padding), 0)

    @property
    def count(self) -> int:
        """Different packets so far."""
        return len(self._seen)

    def add(self, number: int, packet: bytes) -> None:
        """Take a packet of `size` bytes by its encoding symbol id.

        Raises:
            Inconsistent: it contradicts those before it.
        """
        if number in self._seen:
            return
        self._seen.add(number)
        if number < self._code.k:
            self._own[number] = packet
        self._reduce(self._code.symbol(self._code.internal(number)), int.from_bytes(packet, "big"))

    def payload(self) -> bytes | None:
        """The payload; None where the packets are not enough yet.

        Raises:
            Inconsistent: they contradict each other.
        """
        k = self._code.k
        if len(self._own) == k:
            return b"".join(self._own[i] for i in range(k))[: self._length]
        solution = self.solution() if self.count >= k else None
        if solution is None:
            return None
        return b"".join(self._own.get(i) or solution.packet(i) for i in range(k))[: self._length]

    def solution(self) -> Solution | None:
        """Every intermediate symbol; None where the packets are not enough yet.

        Raises:
            Inconsistent: the packets contradict each other.
        """
        code, data = self._code, 8 * self._size
        free = [c for c in range(code.l) if c not in self._rows]
        if len(free) > code.h:
            return None
        # What is still unknown goes on as coefficients of the free symbols, a byte each, above the data.
        values = [0] * code.l
        for place, column in enumerate(free):
            values[column] = 1 << data + 8 * place
        for column in sorted(self._rows, reverse=True):
            row = self._rows[column]
            value, bits = row & (1 << data) - 1, f"{row >> data:b}"
            at = bits.find("1", 1)
            while at > 0:
                value ^= values[column + at]
                at = bits.find("1", at + 1)
            values[column] = value
        known = _settled(code.high_density(values, _Doubling(self._size + len(free))), len(free), self._size)
        return None if known is None else Solution(code, self._size, values, known)

    def _reduce(self, columns: tuple[int, ...], data: int) -> None:
        width, last = 8 * self._size, self._code.l - 1
        row = sum(1 << width + last - c for c in columns) | data
        while (top := row.bit_length() - 1) >= width:
            column = last - (top - width)
            if column not in self._rows:
                self._rows[column] = row
                return
            row ^= self._rows[column]
        if row:
            raise Inconsistent


@dataclass(frozen=True)
class Solution:
    """A payload's intermediate symbols, from which every packet follows.

    Args:
        code: Their parameters.
        size: Bytes of a packet.
        values: By intermediate symbol: coefficients of those that were free, a byte each, above the data.
        known: The data of those that were free.
    """

    code: _Code
    size: int
    values: list[int]
    known: list[bytes]

    def packet(self, number: int) -> bytes:
        """Any packet, by its encoding symbol id."""
        value = 0
        for column in self.code.symbol(self.code.internal(number)):
            value ^= self.values[column]
        whole = value.to_bytes(len(self.known) + self.size, "big")
        coefficients, found = whole[: len(self.known)], int.from_bytes(whole[len(self.known) :], "big")
        for coefficient, data in zip(reversed(coefficients), self.known, strict=True):
            if coefficient:
                found ^= int.from_bytes(data.translate(_times(coefficient)), "big")
        return found.to_bytes(self.size, "big")


def _settled(sums: list[int], unknowns: int, size: int) -> list[bytes] | None:
    """The unknowns whose coefficients stand above the data of `sums`, all of which are nought; None if they stay open.

    Raises:
        Inconsistent: no values of them make all sums nought.
    """
    rows = [s.to_bytes(unknowns + size, "big") for s in sums]
    for place in range(unknowns):
        # The coefficient of the first unknown stands last.
        at = unknowns - 1 - place
        pick = next((i for i in range(place, len(rows)) if rows[i][at]), None)
        if pick is None:
            return None
        rows[place], rows[pick] = rows[pick], rows[place]
        rows[place] = rows[place].translate(_times(_inverse(rows[place][at])))
        for i, row in enumerate(rows):
            if i != place and row[at]:
                rows[i] = _xor(row, rows[place].translate(_times(row[at])))
    if any(any(row) for row in rows[unknowns:]):
        raise Inconsistent
    return [row[unknowns:] for row in rows[:unknowns]]


def _xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")


@lru_cache(maxsize=256)
def _times(factor: int) -> bytes:
    """The products of `factor` in GF(256) with every byte."""
    return bytes(_product(factor, other) for other in range(256))


def _product(one: int, other: int) -> int:
    found = 0
    while other:
        found ^= one * (other & 1)
        one = one << 1 ^ (0x100 | _POLYNOMIAL) * (one >> 7)
        other >>= 1
    return found


def _inverse(value: int) -> int:
    return _times(value).index(1)


def _random(y: int, i: int, m: int) -> int:
    """Rand[y, i, m] of section 5.3.5.1."""
    v0, v1, v2, v3 = RANDOM
    return (v0[y + i & 255] ^ v1[(y >> 8) + i & 255] ^ v2[(y >> 16) + i & 255] ^ v3[(y >> 24) + i & 255]) % m
