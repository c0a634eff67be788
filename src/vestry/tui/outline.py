"""A review as a tree of lines, each made only when it comes into view.

A tree has sections, a section has entries, an entry has rows. Where a row is, is found by bisection in sums of heights;
a folded section has only its head, and its heights are not even counted. A million entries cost four bytes each.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, overload

from vestry.tui.lines import Line, Span

_KEPT = 256

Rows = Callable[[Any, int], list[Line]]
Height = Callable[[Any, int], int]


@dataclass
class Section:
    """Entries under one head.

    `topic` is what filters go by. An entry is drawn by `rows` and measured by `height`, both for a width. `must` says
    which entries have to be on screen before anyone may say that all was read, by index, rising. One without a `title`
    has no head and never folds.
    """

    topic: str
    entries: Sequence[Any]
    rows: Rows
    height: Height
    title: str = ""
    must: Sequence[int] = ()
    folded: bool = False
    hidden: bool = False
    stops: bool = True
    sums: array[int] | None = field(default=None, repr=False)

    @property
    def head(self) -> int:
        """Rows of the head: one, or none."""
        return 1 if self.title else 0

    def measured(self, width: int) -> array[int]:
        """Sums of the heights: where each entry ends, in rows below the head."""
        if self.sums is None:
            height = self.height
            self.sums = array("L", accumulate([height(entry, width) for entry in self.entries]))
        return self.sums

    def length(self, width: int) -> int:
        """Rows that it takes now."""
        if self.hidden:
            return 0
        if self.folded:
            return self.head
        sums = self.measured(width)
        return self.head + (sums[-1] if sums else 0)


@dataclass(frozen=True)
class Place:
    """What a row belongs to: an entry by index, or the head of its section (-1), and which row of it."""

    section: int
    entry: int
    row: int


class Outline(Sequence[Line]):
    """All rows of a tree, at one width. `items` are the entries that must be seen, as numbers over all sections."""

    def __init__(self, sections: Sequence[Section], width: int) -> None:
        self.sections, self.width = list(sections), width
        self.cursor: Place | None = None
        self._bases = [0, *accumulate(len(s.entries) for s in self.sections)]
        self.items: array[int] = array("L")
        for base, section in zip(self._bases, self.sections, strict=False):
            self.items.extend(base + at for at in section.must)
        self._made: OrderedDict[tuple[int, int], list[Line]] = OrderedDict()
        self._ends: list[int] = []
        self.settle()

    def settle(self) -> None:
        """Count anew, after something was folded, unfolded, hidden or shown."""
        self._ends = list(accumulate(section.length(self.width) for section in self.sections))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, at: int) -> Line: ...

    @overload
    def __getitem__(self, at: slice) -> list[Line]: ...

    def __getitem__(self, at: int | slice) -> Line | list[Line]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        if at < 0:
            at += len(self)
        place = self.place(at)
        row = self._row(place)
        here = self.cursor
        if here is not None and place.row == 0 and (here.section, here.entry) == (place.section, place.entry):
            return _marked(row)
        return row

    def place(self, at: int) -> Place:
        """What row `at` belongs to.

        Raises:
            IndexError: there is no such row.
        """
        if not 0 <= at < len(self):
            raise IndexError(at)
        number = bisect_right(self._ends, at)
        section = self.sections[number]
        below = at - (self._ends[number - 1] if number else 0) - section.head
        if below < 0:
            return Place(number, -1, 0)
        sums = section.measured(self.width)
        entry = bisect_right(sums, below)
        return Place(number, entry, below - (sums[entry - 1] if entry else 0))

    def first_row(self, section: int, entry: int) -> int:
        """The first row of an entry, or of a head (-1). The section must be open and not hidden."""
        start = self._ends[section - 1] if section else 0
        if entry < 0:
            return start
        of = self.sections[section]
        return start + of.head + (of.measured(self.width)[entry - 1] if entry else 0)

    def height(self, section: int, entry: int) -> int:
        """Rows of an entry or a head."""
        if entry < 0:
            return 1
        sums = self.sections[section].measured(self.width)
        return sums[entry] - (sums[entry - 1] if entry else 0)

    def entry(self, place: Place) -> Any:
        """The entry itself; None for a head."""
        return None if place.entry < 0 else self.sections[place.section].entries[place.entry]

    def number(self, section: int, entry: int) -> int:
        """An entry as a number over all sections."""
        return self._bases[section] + entry

    def at_number(self, number: int) -> tuple[int, int]:
        """Section and entry of such a number."""
        section = bisect_right(self._bases, number) - 1
        return section, number - self._bases[section]

    def reveal(self, number: int) -> int:
        """Unfold what hides an entry; its first row."""
        section, entry = self.at_number(number)
        of = self.sections[section]
        if of.folded or of.hidden:
            of.folded = of.hidden = False
            self.settle()
        return self.first_row(section, entry)

    def entries_in(self, first: int, last: int) -> Iterator[tuple[int, int, int, int]]:
        """Entries with rows in ``first <= row < last``: number, first row of it shown, row after the last, height."""
        row = first
        while row < min(last, len(self)):
            place = self.place(row)
            tall = self.height(place.section, place.entry)
            shown = min(tall - place.row, last - row)
            if place.entry >= 0:
                yield self.number(place.section, place.entry), place.row, place.row + shown, tall
            row += shown

    def step(self, back: bool) -> Place | None:
        """The next place that the cursor can stand on, in either direction; None at the end."""
        if self.cursor is None or self.sections[self.cursor.section].hidden:
            return self.stop_from(0)
        here = self.cursor
        row = self.first_row(here.section, here.entry)
        row = row - 1 if back else row + self.height(here.section, here.entry)
        return self.stop_from(row, back=back)

    def stop_from(self, row: int, *, back: bool = False) -> Place | None:
        """The first place from `row` on where the cursor can stand."""
        while 0 <= row < len(self):
            place = self.place(row)
            section = self.sections[place.section]
            if section.stops:
                return Place(place.section, place.entry, 0)
            start = self._ends[place.section - 1] if place.section else 0
            row = start - 1 if back else self._ends[place.section]
        return None

    def _row(self, place: Place) -> Line:
        section = self.sections[place.section]
        if place.entry < 0:
            sign = "[+]" if section.folded else "[-]"
            return (Span(f"  {sign} ", "key"), Span(section.title, "strong"))
        found = self._made.get((place.section, place.entry))
        if found is None:
            found = section.rows(section.entries[place.entry], self.width)
            self._made[place.section, place.entry] = found
            if len(self._made) > _KEPT:
                self._made.popitem(last=False)
        return found[place.row]


def _marked(row: Line) -> Line:
    """With the cursor before it. Rows where it can stand begin with two spaces."""
    return (Span("> ", "key"), Span(row[0].text[2:], row[0].tone), *row[1:])
