"""The tree of a review as a person moves through it: cursor, what was on screen, filter, search.

It knows the view that shows it and nothing else of the screen.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any

from vestry.metadata.changes import Change
from vestry.metadata.findings import Finding, Silenced
from vestry.tui.hunt import Hunt
from vestry.tui.outline import Outline, Place, Section
from vestry.tui.review_page import SEVERITIES, TOPICS, Page
from vestry.tui.widgets.line_view import LineView

NO_PAGE = Page(Outline((), 1))
"""Before there is a width to lay it out for."""

_FILTERS: Sequence[tuple[str, frozenset[str]]] = (
    ("stops only", frozenset({"stop"})),
    ("stops and warnings", frozenset({"stop", "warn"})),
    ("findings", frozenset(SEVERITIES)),
    *((name.lower(), frozenset({topic})) for topic, name in TOPICS.items()),
)


class ReviewTree:
    """Sections laid out for one width at a time, and where the reader is in them."""

    def __init__(self, sections: list[Section]) -> None:
        self.sections = sections
        self.seen: set[int] = set()
        self.hunt: Hunt | None = None
        self._places: dict[str, int] | None = None
        self._page = NO_PAGE
        self._partly: dict[int, set[int]] = {}
        self._partly_width = 0
        self._filter = -1

    @property
    def page(self) -> Page:
        """The page as it was laid out last."""
        return self._page

    @property
    def all_seen(self) -> bool:
        """Whether each entry that must be seen was on screen, all rows of it."""
        return self._page is not NO_PAGE and len(self.seen) == len(self._page.items)

    @property
    def shows(self) -> str:
        """What the filter lets through, in words."""
        return _FILTERS[self._filter][0] if self._filter >= 0 else "everything"

    def at(self, width: int) -> Page:
        """The page for a width."""
        if self._page is NO_PAGE or self._page.lines.width != max(width, 20):
            # One width at a time: the heights of a million entries take megabytes.
            cursor = self._page.lines.cursor
            for section in self.sections:
                section.sums = None
            outline = Outline(self.sections, max(width, 20))
            outline.cursor = cursor or outline.stop_from(0)
            self._page = Page(outline)
        return self._page

    def count(self, width: int, first: int, last: int) -> bool:
        """Rows `first` to `last` (excluded) are on screen now; whether that ended an entry that must be seen."""
        outline = self.at(width).lines
        if outline.width != self._partly_width:
            self._partly, self._partly_width = {}, outline.width
        before = len(self.seen)
        for number, top, end, tall in outline.entries_in(first, last):
            section, entry = outline.at_number(number)
            if number in self.seen or not _among(outline.sections[section].must, entry):
                continue
            rows = self._partly.setdefault(number, set())
            rows.update(range(top, end))
            if len(rows) == tall:
                self.seen.add(number)
                del self._partly[number]
        return len(self.seen) > before

    def fold(self, view: LineView) -> bool:
        """Fold or unfold the group whose head the cursor is on; whether it is on one."""
        outline = self._page.lines
        here = outline.cursor
        if here is None or here.entry >= 0:
            return False
        section = outline.sections[here.section]
        section.folded = not section.folded
        outline.settle()
        view.go_to(view.top)
        return True

    def entry(self) -> Any:
        """What the cursor is on; None for a head, or nowhere."""
        here = self._page.lines.cursor
        return self._page.lines.entry(here) if here is not None else None

    def change(self) -> Change | None:
        """The change that the cursor is on, if it is on one."""
        entry = self.entry()
        return entry if isinstance(entry, Change) else None

    def to_change(self, view: LineView, where: str) -> bool:
        """Go to the change at a place, or else to one around it or within it; whether there is any."""
        if self._places is None:
            self._places = {}
            for number, entry in self._entries():
                if isinstance(entry, Change):
                    self._places.setdefault(entry.where, number)
        # Paths are escaped as in RFC 6901, so that a slash always parts two members.
        parts = where.split("/")
        around = ("/".join(parts[:k]) for k in range(len(parts), 0, -1))
        hits = [self._places[place] for place in around if place in self._places]
        if not hits and where:
            hits = [n for place, n in self._places.items() if place.startswith(f"{where}/")]
        if hits:
            self.jump(view, hits[0])
        return bool(hits)

    def _entries(self) -> Iterator[tuple[int, Any]]:
        base = 0
        for section in self.sections:
            yield from enumerate(section.entries, base)
            base += len(section.entries)

    def step(self, view: LineView, *, back: bool) -> None:
        """Move the cursor by one, and the view with it as far as it must."""
        outline = self._page.lines
        place = outline.step(back)
        if place is None:
            view.scroll_lines(-1 if back else 1)
            return
        first = outline.first_row(place.section, place.entry)
        tall = outline.height(place.section, place.entry)
        if back and first < view.top - view.room:
            view.scroll_lines(1 - view.room)
        elif not back and first >= view.top + 2 * view.room:
            view.scroll_lines(view.room - 1)
        else:
            outline.cursor = place
            top = view.top
            if first < top:
                top = first
            elif first + tall > top + view.room:
                top = min(first, first + tall - view.room)
            view.go_to(top)

    def follow(self, view: LineView) -> None:
        """Keep the cursor among what is on screen."""
        outline = self._page.lines
        here = outline.cursor
        if here is not None and not outline.sections[here.section].hidden:
            row = outline.first_row(here.section, here.entry)
            if view.top <= row < view.top + view.room:
                return
        outline.cursor = outline.stop_from(view.top) or here
        view.refresh()

    def jump(self, view: LineView, number: int) -> None:
        """Put the cursor on an entry, wherever it is."""
        outline = self._page.lines
        if outline.sections[outline.at_number(number)[0]].hidden:
            self._show_topics(-1)
        row = outline.reveal(number)
        outline.cursor = Place(*outline.at_number(number), 0)
        view.go_to(row)

    def to_unseen(self, view: LineView) -> None:
        """Go to the first entry that was not on screen yet."""
        number = next((i for i in self._page.items if i not in self.seen), None)
        if number is not None:
            self.jump(view, number)

    def _here(self) -> int:
        outline = self._page.lines
        here = outline.cursor
        return outline.number(here.section, max(here.entry, 0)) - (here.entry < 0) if here is not None else -1

    def to_finding(self, view: LineView, *, back: bool) -> bool:
        """Go to the next finding, or the one before; false where there is none."""
        outline = self._page.lines
        all_ = [
            outline.number(at, entry)
            for at, section in enumerate(outline.sections)
            if section.topic in SEVERITIES
            for entry in range(len(section.entries))
        ]
        if not all_:
            return False
        here = self._here()
        if back:
            found = next((n for n in reversed(all_) if n < here), all_[-1])
        else:
            found = next((n for n in all_ if n > here), all_[0])
        self.jump(view, found)
        return True

    def next_filter(self, view: LineView) -> None:
        """Let through the next kind of entry that there is; after the last, everything."""
        there = {section.topic for section in self.sections}
        at = self._filter + 1
        while at < len(_FILTERS) and not _FILTERS[at][1] & there:
            at += 1
        self._show_topics(at if at < len(_FILTERS) else -1)
        self._page.lines.cursor = None
        view.go_to(0)
        self.follow(view)

    def _show_topics(self, at: int) -> None:
        self._filter = at
        for section in self.sections:
            section.hidden = at >= 0 and section.topic not in _FILTERS[at][1]
        self._page.lines.settle()

    def search(self, wanted: str) -> None:
        """Begin a search for `wanted`; empty: none."""
        of = sum(len(section.entries) for section in self.sections if section.stops and not section.hidden)
        self.hunt = Hunt(wanted, self._searched(), of) if wanted else None

    def to_hit(self, view: LineView, *, back: bool) -> None:
        """Go to the next hit of the search, or the one before, as far as there is one."""
        number = self.hunt.go(self._here(), back=back) if self.hunt is not None else None
        if number is not None:
            self.jump(view, number)

    def _searched(self) -> Iterator[tuple[int, str]]:
        """What a search looks through: the sentence and the place of each entry that the filter lets through."""
        base = 0
        for section in self.sections:
            if section.stops and not section.hidden:
                for number, entry in enumerate(section.entries, base):
                    if isinstance(entry, Change):
                        yield number, f"{entry.text} {entry.where}"
                    elif isinstance(entry, (Finding, Silenced)):
                        found = entry.finding if isinstance(entry, Silenced) else entry
                        yield number, f"{found.text} {found.code} {found.where}"
                    else:
                        yield number, ""
            base += len(section.entries)


def _among(must: Sequence[int], entry: int) -> bool:
    """Whether a rising sequence has it; there may be half a million."""
    at = bisect_left(must, entry)
    return at < len(must) and must[at] == entry
