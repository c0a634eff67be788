"""The crowd of a new version, found by walking along the crowd of the old one.

Nearly all entries of two versions are the same bytes at the same place in their order. What was proved of them in the
old version holds in the new one, so that only entries that differ are looked at again, and what differs is known.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from vestry.metadata.crowd import Placed
from vestry.metadata.forms import Form, entry_pattern
from vestry.metadata.runs import Run

_STEP = 1 << 16
_MOST = 50_000
"""Differences from which on nothing is spared any more."""
_CONTEXT = 24
_NEAR = 1 << 14
_FAR = 1 << 20
_LONGEST = 1 << 12
"""Bytes that the name of any plain entry ends before."""
# What stands before and after an entry; nothing, where all else was left away.
_OPEN = (b",", b"{", b"[", b"")
_END = (b"}", b"]")
_CLOSED = (b",", b"}", b"]", b"")


@dataclass(frozen=True)
class Steps:
    """What lies between the crowds of one form in two versions.

    `gone` and `come` are tokens (see `runs.Run`) with their numbers (0-based; 0 for files) in the old and in the new
    crowd; all others are in both, in one order. What changed its place may be in both. `runs` are those of the new
    version.
    """

    form: Form
    runs: tuple[Run, ...]
    gone: tuple[tuple[int, bytes], ...]
    come: tuple[tuple[int, bytes], ...]


@dataclass
class _Walk:
    form: Form
    start: int
    old: bytes
    new: bytes
    names: Mapping[bytes, int]
    pattern: re.Pattern[bytes] = field(init=False)
    gone: list[tuple[int, bytes]] = field(default_factory=list)
    come: list[tuple[int, bytes]] = field(default_factory=list)
    runs: list[tuple[int, int]] = field(default_factory=list)
    last: bytes = b""

    def __post_init__(self) -> None:
        self.pattern = entry_pattern(self.form)


@dataclass(frozen=True)
class Names:
    """The names of the plain delegations of a version that follows another."""

    before: Container[bytes]
    gone: frozenset[bytes]
    come: frozenset[bytes]

    def __contains__(self, name: object) -> bool:
        return name in self.come or (name in self.before and name not in self.gone)


def along(old: Placed, new: bytes) -> tuple[dict[tuple[str, ...], Steps], Names | None]:
    """The crowd of `new` as far as it follows that of `old`, by form, and the names of all its plain delegations where
    they are known to be different ones.
    """
    found: dict[tuple[str, ...], Steps] = {}
    names: Names | None = None
    for run, _ in old.runs:
        # A form with several runs is not worth the trouble.
        if sum(r.form is run.form for r, _ in old.runs) > 1 or (steps := follow(run, new, old.numbers())) is None:
            continue
        if run.form.is_list:
            gone, come = (frozenset(run.form.name(t) for _, t in side) for side in (steps.gone, steps.come))
            if len(come) != len(steps.come) or any(name in old.numbers() and name not in gone for name in come):
                continue
            names = Names(old.numbers(), gone, come)
        found[run.form.place] = steps
    return found, names


def follow(old: Run, new: bytes, names: Mapping[bytes, int]) -> Steps | None:
    """Walk along `old`, the only run of its form in a version without white space, in the file `new` of the next.

    `names` are the numbers of the old delegations by their names. None where the versions have too little in common, or
    where anything else is in the way: then the new one is looked at by itself.
    """
    context = old.raw[max(0, old.start - _CONTEXT) : old.start]
    at = new.find(context)
    if old.at is not None or at < 0:
        return None
    return walked(old, new, at + len(context), names)


def walked(old: Run, new: bytes, start: int, names: Mapping[bytes, int]) -> Steps | None:
    """As `follow`, where it is known that the entries of the new version begin at `start`."""
    form = old.form
    walk = _Walk(form, old.start, old.raw, new, names)
    i, j, end = old.start, start, old.end
    while i < end:
        same = _common(old.raw, i, end, new, j)
        if i + same == end and new[j + same : j + same + 1] in _CLOSED:
            if not _took(walk, i, end, j):
                return None
            i, j = end, j + same + 1
            break
        # Back to where the entry that differs begins.
        edge = form.edge(old.raw, i, i + same)
        if edge >= 0:
            if not _took(walk, i, edge - 1, j):
                return None
            i, j = edge, j + edge - i
        step = _differ(walk, i, j, end)
        if step is None or len(walk.gone) + len(walk.come) > _MOST:
            return None
        i, j = step
    count = old.count if form.is_list or form.length else 0
    if not _tail(walk, j, count):
        return None
    size = count + len(walk.come) - len(walk.gone) if count and len(walk.runs) == 1 else 0
    runs = tuple(Run(form, new, a, b, rising=not form.is_list, size=size) for a, b in walk.runs)
    return Steps(form, runs, tuple(walk.gone), tuple(walk.come))


def _common(one: bytes, i: int, end: int, other: bytes, j: int) -> int:
    """How many bytes are the same from `i` (before `end`) and from `j` on."""
    most = max(0, min(end - i, len(other) - j))
    at, step = 0, min(_STEP, most)
    while step:
        if one.startswith(other[j + at : j + at + step], i + at):
            at += step
            step = min(step, most - at)
        else:
            step //= 2
    return at


def _took(walk: _Walk, i: int, end: int, j: int) -> bool:
    """Entries that are the same on both sides: from `i` to before `end` in the old version, from `j` on in the new."""
    first = walk.form.name(walk.old[i + len(walk.form.before) : i + _LONGEST])
    if not walk.form.is_list and walk.last and first <= walk.last:
        return False
    _extend(walk, j, j + end - i)
    start = max(walk.form.edge(walk.old, i, end), i)
    walk.last = walk.form.name(walk.old[start + len(walk.form.before) : start + _LONGEST])
    return True


def _extend(walk: _Walk, start: int, end: int) -> None:
    if walk.runs and walk.runs[-1][1] == start - 1 and walk.new[start - 1 : start] == b",":
        walk.runs[-1] = (walk.runs[-1][0], end)
    else:
        walk.runs.append((start, end))


def _differ(walk: _Walk, i: int, j: int, end: int) -> tuple[int, int] | None:
    """One entry further: on the side that has what the other lacks, or on both where one took the other's place."""
    form = walk.form
    mine, theirs = walk.pattern.match(walk.old, i, end), walk.pattern.match(walk.new, j)
    if mine is None:
        return None
    if theirs is None and (j > len(walk.new) or walk.new[j - 1 : j] in _END):
        name = form.name(_token(form, mine[0]))
        number = walk.names[name] if form.is_list else (i - walk.start) // (form.length + 1)
        walk.gone.append((number, _token(form, mine[0])))
        return mine.end() + 1, j
    if theirs is None:
        # Something that is not plain stands here. It stays in its place, and is read as any.
        after = walk.pattern.search(walk.new, j, j + _FAR)
        return (i, after.start()) if after is not None else None
    was, now = form.name(_token(form, mine[0])), form.name(_token(form, theirs[0]))
    number = walk.names[was] if form.is_list else (i - walk.start) // (form.length + 1)
    going = _goes_first(walk, number, mine[0], now, j) if form.is_list else was < now
    if was == now or going:
        walk.gone.append((number, _token(form, mine[0])))
        i = mine.end() + 1
    if was == now or not going:
        more = len(walk.come) - len(walk.gone) + (was == now)
        return (i, theirs.end() + 1) if _came(walk, theirs, number + more) else None
    return i, j


def _goes_first(walk: _Walk, number: int, mine: bytes, now: bytes, j: int) -> bool:
    """Whether the old delegation with this number, `mine`, went, rather than that the new one at `j`, called `now`,
    came from further on in the old version: then that was a longer way than to `mine` in the new one."""
    ahead = walk.names.get(now, -1) - number
    return ahead > 0 and walk.new.find(mine, j, j + min(ahead * len(mine), _NEAR)) < 0


def _came(walk: _Walk, entry: re.Match[bytes], number: int) -> bool:
    token = _token(walk.form, entry[0])
    name = walk.form.name(token)
    if (not walk.form.is_list and name <= walk.last) or walk.new[entry.end() : entry.end() + 1] not in _CLOSED:
        return False
    walk.last = name
    walk.come.append((number, token))
    _extend(walk, entry.start(), entry.end())
    return True


def _tail(walk: _Walk, j: int, count: int) -> bool:
    """Entries of the new version, from `j` on, after the last of the `count` that the old one has."""
    while walk.new[j - 1 : j] in _OPEN and (found := walk.pattern.match(walk.new, j)) is not None:
        if len(walk.come) > _MOST or not _came(walk, found, count + len(walk.come) - len(walk.gone)):
            return False
        j = found.end() + 1
    return True


def _token(form: Form, entry: bytes) -> bytes:
    return entry[len(form.before) : -len(form.after)]
