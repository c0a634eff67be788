"""Which earlier delegation covers a pattern, or shares a path with it, without comparing each with each.

Wildcards stay within a segment (TUF 1.0.34, 4.5), and segments match as python-tuf has them (`fnmatchcase`). Patterns
stand in a tree of segments, one tree a number of segments; a wild segment is filed under the letters before its first
wildcard. Hostile lists could still need very many comparisons, so they are counted; the index says when it stopped.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Literal

How = Literal["covers", "meets"]
Pattern = tuple[str, str]
"""("path", pattern) or ("prefix", prefix of the SHA-256 of a path, in hex)."""

_MOST_SEGMENTS = 64
_MOST_STEPS = 3_000_000
_LONGEST_SEGMENT = 300


def wild(segment: str) -> bool:
    """Whether a segment has wildcards."""
    return "*" in segment or "?" in segment or "[" in segment


def head(segment: str) -> str:
    """The letters of a segment before its first wildcard."""
    return segment[: min(i for i in map(segment.find, "*?[") if i >= 0)] if wild(segment) else segment


def segment_covers(one: str, other: str) -> bool:
    """Whether every segment that fits `other` surely fits `one`."""
    if one in (other, "*"):
        return True
    if not wild(other):
        return wild(one) and fnmatchcase(other, one)
    return one.endswith("*") and not wild(one[:-1]) and head(other).startswith(one[:-1])


def segments_meet(one: str, other: str) -> bool:
    """Whether some segment fits both. A class in brackets is taken for any letter, so that no overlap is missed."""
    if not wild(one):
        return fnmatchcase(one, other)
    if not wild(other):
        return fnmatchcase(other, one)
    if not _ends_agree(one, other):
        return False
    left, right = _tokens(one), _tokens(other)
    reach = [True] + [False] * len(right)
    for j, b in enumerate(right):
        reach[j + 1] = reach[j] and b == "*"
    for a in left:
        now = [reach[0] and a == "*"]
        for j, b in enumerate(right):
            same = reach[j] and (a == b or "?" in (a, b)) and "*" not in (a, b)
            now.append((a == "*" and (reach[j + 1] or now[j])) or (b == "*" and (now[j] or reach[j + 1])) or same)
        reach = now
    return reach[-1]


def _ends_agree(one: str, other: str) -> bool:
    """Whether the letters before the first wildcards, and those after the last, can be the same. Spares the table."""
    starts, ends = (head(one), head(other)), (_tail(one), _tail(other))
    return (starts[0].startswith(starts[1]) or starts[1].startswith(starts[0])) and (
        ends[0].endswith(ends[1]) or ends[1].endswith(ends[0])
    )


def _tail(segment: str) -> str:
    return segment[max(map(segment.rfind, "*?[]")) + 1 :]


def _tokens(segment: str) -> list[str]:
    """Letters, ``?`` and ``*``; a class in brackets is one ``?``."""
    found, i = [], 0
    while i < len(segment):
        # As fnmatch has it: the first member of a class may be "]", after "!" too.
        start = i + 2 + (segment[i + 1 : i + 2] == "!")
        end = segment.find("]", start) if segment[i] == "[" else -1
        found.append("?" if end >= 0 else segment[i])
        i = end + 1 if end >= 0 else i + 1
    return found


_Leaf = tuple[int, tuple[str, ...]]


class _Node:
    """One place in the tree. `after` holds what follows by segment: a node, or place and rest of the only pattern."""

    __slots__ = ("after", "least", "literals", "starts", "wilds")

    def __init__(self, least: int) -> None:
        self.least = least
        self.after: dict[str, _Node | _Leaf] = {}
        self.wilds: dict[str, list[str]] = {}
        self.literals: list[str] | None = None
        self.starts: list[str] | None = None


class Index:
    """The patterns of delegations in order; each is told apart by its place (0-based) in the list."""

    def __init__(self) -> None:
        self._trees: dict[int, _Node] = {}
        self._prefixes: dict[str, int] = {}
        self._sorted: list[str] | None = None
        self._rests: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._steps = _MOST_STEPS
        self.skipped = 0
        """Patterns too long to be compared."""

    @property
    def stopped(self) -> bool:
        """Whether something was not compared."""
        return self._steps <= 0 or self.skipped > 0

    def add(self, place: int, patterns: Iterable[Pattern]) -> None:
        """Add patterns; places must not fall."""
        for kind, pattern in patterns:
            if kind == "prefix":
                self._prefixes.setdefault(pattern, place)
                self._sorted = None
            elif (parts := self._parts(pattern)) is None:
                self.skipped += 1
            else:
                self._insert(parts, place)

    def _parts(self, pattern: str) -> tuple[str, ...] | None:
        if len(pattern) > _MOST_SEGMENTS * _LONGEST_SEGMENT or pattern.count("/") >= _MOST_SEGMENTS:
            return None
        parts = tuple(pattern.split("/"))
        return parts if len(pattern) <= _LONGEST_SEGMENT or all(len(p) <= _LONGEST_SEGMENT for p in parts) else None

    def _insert(self, parts: tuple[str, ...], place: int) -> None:
        node = self._trees.setdefault(len(parts), _Node(place))
        for depth, part in enumerate(parts):
            rest = self._rests.setdefault(parts[depth + 1 :], parts[depth + 1 :]) if depth + 3 > len(parts) else ()
            rest = rest or parts[depth + 1 :]
            child = node.after.get(part)
            if child is None:
                node.after[part] = (place, rest)
                node.literals = node.starts = None
                if wild(part):
                    node.wilds.setdefault(head(part), []).append(part)
                return
            if isinstance(child, tuple):
                if child[1] == rest:
                    return
                split = _Node(child[0])
                split.after[child[1][0]] = (child[0], child[1][1:])
                if wild(child[1][0]):
                    split.wilds[head(child[1][0])] = [child[1][0]]
                node.after[part] = child = split
            node = child

    def first(self, pattern: Pattern, before: int, how: How) -> int | None:
        """The place of a delegation before `before` whose pattern covers this one, or shares a path with it."""
        if pattern[0] == "prefix":
            return self._first_prefix(pattern[1], before, how)
        parts = self._parts(pattern[1])
        tree = self._trees.get(len(parts)) if parts is not None else None
        if parts is None or tree is None:
            return None
        test = segment_covers if how == "covers" else segments_meet
        if not tree.wilds and not wild(parts[0]):
            child = tree.after.get(parts[0])
            if child is None or (child[0] if isinstance(child, tuple) else child.least) >= before:
                return None  # what nearly all come to
        stack: list[Iterator[tuple[_Node | _Leaf, int]]] = [self._next(tree, parts, 0, before, how)]
        while stack and self._steps > 0:
            found = next(stack[-1], None)
            if found is None:
                stack.pop()
                continue
            child, depth = found
            if not isinstance(child, tuple):
                stack.append(self._next(child, parts, depth, before, how))
            elif child[0] < before and all(test(a, b) for a, b in zip(child[1], parts[depth:], strict=True)):
                return child[0]
        return None

    def _next(
        self, node: _Node, parts: tuple[str, ...], depth: int, before: int, how: How
    ) -> Iterator[tuple[_Node | _Leaf, int]]:
        part = parts[depth]
        for name in self._candidates(node, part, how):
            self._steps -= 1
            if self._steps <= 0:
                return
            child = node.after[name]
            least = child[0] if isinstance(child, tuple) else child.least
            if least < before:
                yield child, depth + 1
            elif part == "*" and how == "meets":
                return  # members stand in the order of their least place

    def _candidates(self, node: _Node, part: str, how: How) -> Iterator[str]:
        if how == "meets" and part == "*":
            yield from node.after  # in the order of their least place
            return
        if part in node.after:
            yield part
        start = head(part)
        if how == "covers" and wild(part):
            yield from (n for n in (f"{start[:i]}*" for i in range(len(start) + 1)) if n in node.after and n != part)
            return
        test = segment_covers if how == "covers" else segments_meet
        for end in range(len(start) + 1) if node.wilds else ():
            yield from self._tested(node.wilds.get(start[:end], ()), part, test)
        if wild(part):
            if node.literals is None or node.starts is None:
                node.literals = sorted(n for n in node.after if not wild(n))
                node.starts = sorted(node.wilds)
            yield from self._tested(_starting(node.literals, start), part, test)
            for longer in _starting(node.starts, start):
                if longer != start:
                    yield from self._tested(node.wilds[longer], part, test)

    def _tested(self, names: Iterable[str], part: str, test: object) -> Iterator[str]:
        assert callable(test)
        for name in names:
            # Letters are what the comparison takes time for.
            self._steps -= 1 + (len(name) * len(part) >> 4)
            if self._steps <= 0:
                return
            if name != part and test(name, part):
                yield name

    def _first_prefix(self, prefix: str, before: int, how: How) -> int | None:
        for end in range(min(len(prefix), 64) + 1):
            place = self._prefixes.get(prefix[:end])
            if place is not None and place < before:
                return place
        if how == "covers":
            return None
        if self._sorted is None:
            self._sorted = sorted(self._prefixes)
        for longer in _starting(self._sorted, prefix):
            self._steps -= 1
            if self._steps <= 0:
                return None
            if self._prefixes[longer] < before:
                return self._prefixes[longer]
        return None


def _starting(names: list[str], start: str) -> Iterator[str]:
    """Members of a sorted list that start so."""
    for i in range(bisect_left(names, start), len(names)):
        if not names[i].startswith(start):
            return
        yield names[i]
