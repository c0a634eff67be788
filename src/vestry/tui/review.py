"""A review on the screen: everything in one tree, most dangerous first, and a count of what was on screen.

"All of it was read" can only be said once each dangerous change and each finding was visible. Then each finding that
wants an answer gets one, one at a time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from textual import events
from textual.widget import Widget

from vestry.ceremony.dialogue import ReadReview
from vestry.metadata.changes import Change
from vestry.metadata.findings import Finding
from vestry.text import printable
from vestry.tui.entry import canonical_rows, side_by_side
from vestry.tui.front import Reply
from vestry.tui.glyphs import Glyphs
from vestry.tui.hunt import Hunt
from vestry.tui.lines import BLANK, Line, Span, folded, hex_rows, key, line, packed, paragraph
from vestry.tui.outline import Outline, Place
from vestry.tui.panes import SETTLE, Pane
from vestry.tui.review_page import MANY, SEVERITIES, TOPICS, Page, alike, finding_rows, page, sections
from vestry.tui.widgets.field import Field
from vestry.tui.widgets.line_view import LineView

__all__ = ["MANY", "Page", "ReviewPane", "alike", "page", "raw_lines"]

_ALL_ROWS = 10_000
_PAUSE = 0.002
_NO_PAGE = Page(Outline((), 1))
_FILTERS: Sequence[tuple[str, frozenset[str]]] = (
    ("stops only", frozenset({"stop"})),
    ("stops and warnings", frozenset({"stop", "warn"})),
    ("findings", frozenset(SEVERITIES)),
    *((name.lower(), frozenset({topic})) for topic, name in TOPICS.items()),
)


class ReviewPane(Pane):
    """Reading, then answering.

    ``d`` goes to the next place that was not on screen yet, ``f`` and ``F`` to findings, ``/`` searches, ``v`` filters,
    Enter folds a group or shows old and new, ``c`` shows canonical bytes, ``r`` the file itself.
    """

    question: ReadReview

    def __init__(self, question: ReadReview, reply: Reply, glyphs: Glyphs, amiss: str = "", settle: float = SETTLE):
        super().__init__(question, reply, glyphs, amiss, settle)
        assert question.review is not None
        self.review = question.review
        self._sections = sections(self.review, question.details)
        self._pages: dict[int, Page] = {}
        self._seen: set[int] = set()
        self._partly: dict[int, set[int]] = {}
        self._partly_width = 0
        self._close: Change | None = None
        self._mode = ""
        self._back_to = 0
        self._placed = self._typing = False
        self._filter = -1
        self._hunt: Hunt | None = None
        self._answers: dict[str, str] = {}
        self._answering = -1

    @property
    def digest(self) -> str:
        """What gets signed."""
        return self.review.new.digest

    @property
    def all_read(self) -> bool:
        """Whether each dangerous change and each finding was on screen."""
        page_ = self._page()
        return page_ is not _NO_PAGE and len(self._seen) == len(page_.items)

    @property
    def reading(self) -> bool:
        """Whether the review is still being read."""
        return self._answering < 0

    def text(self, width: int) -> list[Line]:
        """What stands above the list: what is read, its digest in hex."""
        review, rows = self.review, []
        step = f"v{review.old.version} -> v{review.new.version}" if review.old else f"v{review.new.version}, the first"
        rows += paragraph(self.question.sentence, width, "accent")
        if self.reading:
            role = printable(review.role)
            rows += [
                line(text, "quiet") for text in folded(f"{role} {step}, expires {review.new.expires:%Y-%m-%d}", width)
            ]
            rows += hex_rows(review.new.digest, width)
        return rows

    def fields(self) -> Sequence[Widget]:
        """The list, the line for answers and the line for searches."""
        answer = Field("Answer", glyphs=self.glyphs)
        answer.display = False
        view = LineView(self._lines, glyphs=self.glyphs, id="page")
        view.styles.height = 1
        return (view, answer)

    def foot(self, width: int) -> list[Line]:
        """The count, or what is asked."""
        rows: list[Line] = []
        if not self.reading:
            rows += packed([key("Enter", "when answered")], width)
        elif self._typing:
            rows += packed([key("Enter", "search (nothing typed: leave)")], width)
        elif self._mode:
            name = "r" if self._mode == "file" else "Enter"
            also = {"sides": [key("c", "canonical bytes")], "bytes": [key("c", "side by side")]}.get(self._mode, [])
            rows += packed([key(name, "back to the list"), *also, key("Space", "next page")], width)
        else:
            seen, of = len(self._seen), len(self._page().items)
            count: Line = (Span(f"{seen:,} of {of:,} seen", "good" if self.all_read else "warn"),)
            on = key("y", "all of it was read") if self.all_read else key("d", "next unseen")
            found = self._hunt.said if self._hunt is not None else "search"
            shows = _FILTERS[self._filter][0] if self._filter >= 0 else "everything"
            hunt = key("/", "search") if self._hunt is None else key("/ n N", found)
            keys = [count, on, hunt, key("v", f"showing: {shows}"), key("f F", "finding"), key("Space", "next page")]
            keys += [key("Enter", "open, fold"), key("c", "its bytes"), key("r", "the file itself")]
            rows += packed(keys, width, gap=2)
        if self._amiss:
            rows += [line(text, "bad") for text in folded(self._amiss, width)]
        return rows

    def needed(self, width: int, height: int) -> int:
        """All rows that there are: a list has use for each."""
        del width, height
        return _ALL_ROWS

    def share_out(self, width: int, height: int) -> None:
        """The list gets the rest."""
        typed = 1 if self._typing or not self.reading else 0
        taken = len(self.text(width)) + 1 + len(self.foot(width)) + typed
        view = self.query_one("#page", LineView)
        view.styles.height = max(3, height - taken)
        if not self._placed:
            self._placed = True
            view.show(self._lines)

    def on_line_view_moved(self, event: LineView.Moved) -> None:
        """Count what is on screen now."""
        if event.view.id != "page" or self._mode or not self.reading or not self._on_screen(event.view):
            return
        outline = self._page_at(event.view.size.width).lines
        if outline.width != self._partly_width:
            self._partly, self._partly_width = {}, outline.width
        before = len(self._seen)
        for number, first, last, tall in outline.entries_in(event.first, event.last):
            section, entry = outline.at_number(number)
            if number in self._seen or not _among(outline.sections[section].must, entry):
                continue
            rows = self._partly.setdefault(number, set())
            rows.update(range(first, last))
            if len(rows) == tall:
                self._seen.add(number)
                del self._partly[number]
        if len(self._seen) > before:
            self.complain("")

    def _on_screen(self, view: LineView) -> bool:
        """Whether the list is painted whole: laid out, not cut by an edge, and not behind a panel."""
        if not self._placed or self.app.screen is not self.screen:
            return False
        place = self.screen.find_widget(view)
        return place.visible_region == place.region and view.size == place.region.size

    def press(self, event: events.Key) -> bool:
        """Move, switch, or say that all was read."""
        view = self.query_one("#page", LineView)
        name = event.key
        in_tree = self.reading and not self._mode
        moves = {"down": 1, "up": -1, "space": view.room - 1, "pagedown": view.room - 1, "pageup": 1 - view.room}
        if name in ("down", "up") and in_tree:
            self._step(view, back=name == "up")
        elif name in moves:
            view.scroll_lines(moves[name] or 1)
            self._follow(view)
        elif name in ("home", "end"):
            view.go_to(0 if name == "home" else view.total)
            self._follow(view)
        elif not self.reading:
            return False
        elif self._mode:
            return self._press_close(name, view)
        else:
            return self._press_tree(name, view)
        return True

    def _press_close(self, name: str, view: LineView) -> bool:
        if name == "enter" or (name == "r" and self._mode == "file"):
            self._mode = ""
            view.show(self._lines, top=self._back_to)
            view.refresh()
        elif name == "c" and self._mode in ("sides", "bytes"):
            self._mode = "bytes" if self._mode == "sides" else "sides"
            view.show(self._lines)
        elif self._mode != "file":
            # A key of the list goes back to it first.
            self._mode = ""
            view.show(self._lines, top=self._back_to)
            return self._press_tree(name, view)
        else:
            return False
        self.complain("")
        return True

    def _press_tree(self, name: str, view: LineView) -> bool:
        if name == "r":
            self._open("file", view)
        elif name in ("enter", "c"):
            return self._at_cursor(name, view)
        elif name == "d":
            self._to_unseen(view)
        elif name == "y":
            self._read()
        elif name in ("f", "F", "upper_f"):
            self._to_finding(view, back=name != "f")
        elif name == "v":
            self._next_filter(view)
        elif name == "slash":
            self._type_search()
        elif name in ("n", "N", "upper_n") and self._hunt is not None:
            self._to_hit(view, back=name != "n")
        else:
            return False
        return True

    def _open(self, mode: str, view: LineView) -> None:
        self._back_to, self._mode = view.top, mode
        view.show(self._lines)
        self.complain("")

    def _at_cursor(self, name: str, view: LineView) -> bool:
        outline = self._page().lines
        here = outline.cursor
        if here is None:
            return False
        section = outline.sections[here.section]
        if here.entry < 0 and name == "enter":
            section.folded = not section.folded
            outline.settle()
            view.go_to(view.top)
            return True
        entry = outline.entry(here)
        if isinstance(entry, Change):
            self._close = entry
            self._open("sides" if name == "enter" else "bytes", view)
        return isinstance(entry, Change)

    def _step(self, view: LineView, *, back: bool) -> None:
        outline = self._page().lines
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

    def _follow(self, view: LineView) -> None:
        """Keep the cursor among what is on screen."""
        if self._mode or not self.reading:
            return
        outline = self._page().lines
        here = outline.cursor
        if here is not None and not outline.sections[here.section].hidden:
            row = outline.first_row(here.section, here.entry)
            if view.top <= row < view.top + view.room:
                return
        outline.cursor = outline.stop_from(view.top) or here
        view.refresh()

    def _jump(self, view: LineView, number: int) -> None:
        """Put the cursor on an entry, wherever it is."""
        outline = self._page().lines
        if outline.sections[outline.at_number(number)[0]].hidden:
            self._show_topics(-1)
        row = outline.reveal(number)
        outline.cursor = Place(*outline.at_number(number), 0)
        view.go_to(row)

    def _to_unseen(self, view: LineView) -> None:
        number = next((i for i in self._page().items if i not in self._seen), None)
        if number is not None:
            self._jump(view, number)

    def _here(self) -> int:
        outline = self._page().lines
        here = outline.cursor
        return outline.number(here.section, max(here.entry, 0)) - (here.entry < 0) if here is not None else -1

    def _to_finding(self, view: LineView, *, back: bool) -> None:
        outline = self._page().lines
        all_ = [
            outline.number(at, entry)
            for at, section in enumerate(outline.sections)
            if section.topic in SEVERITIES
            for entry in range(len(section.entries))
        ]
        if not all_:
            self.complain("There are no findings.")
            return
        here = self._here()
        if back:
            found = next((n for n in reversed(all_) if n < here), all_[-1])
        else:
            found = next((n for n in all_ if n > here), all_[0])
        self._jump(view, found)

    def _next_filter(self, view: LineView) -> None:
        there = {section.topic for section in self._sections}
        at = self._filter + 1
        while at < len(_FILTERS) and not _FILTERS[at][1] & there:
            at += 1
        self._show_topics(at if at < len(_FILTERS) else -1)
        self._page().lines.cursor = None
        view.go_to(0)
        self._follow(view)
        self.complain("")

    def _show_topics(self, at: int) -> None:
        self._filter = at
        for section in self._sections:
            section.hidden = at >= 0 and section.topic not in _FILTERS[at][1]
        self._page().lines.settle()

    def _type_search(self) -> None:
        self._typing = True
        field = self.query_one(Field)
        field.label("Search")
        field.display = True
        field.fill("")
        self.screen.set_focus(field)
        self.complain("")

    def _search(self, wanted: str) -> None:
        field = self.query_one(Field)
        self._typing, field.display = False, False
        field.label("Answer")
        self.screen.set_focus(self)
        self._hunt = None
        if wanted:
            of = sum(len(section.entries) for section in self._sections if section.stops and not section.hidden)
            self._hunt = Hunt(wanted, self._searched(), of)
            self._hunt_on(self._hunt)
        self.complain("")

    def _searched(self) -> Iterator[tuple[int, str]]:
        """What a search looks through: the sentence and the place of each entry that the filter lets through."""
        base = 0
        for section in self._sections:
            if section.stops and not section.hidden:
                for number, entry in enumerate(section.entries, base):
                    if isinstance(entry, Change):
                        yield number, f"{entry.text} {entry.where}"
                    elif isinstance(entry, Finding):
                        yield number, f"{entry.text} {entry.code} {entry.where}"
                    else:
                        yield number, ""
            base += len(section.entries)

    def _hunt_on(self, hunt: Hunt) -> None:
        if hunt is not self._hunt or not self.is_mounted:
            return
        none_yet = not hunt.hits
        hunt.slice()
        if none_yet and hunt.hits and not self._mode and self.reading:
            self._to_hit(self.query_one("#page", LineView), back=False)
        elif self.reading:
            self.query_one("#foot", LineView).show(self.foot)
        if not hunt.done:
            self.set_timer(_PAUSE, lambda: self._hunt_on(hunt))

    def _to_hit(self, view: LineView, *, back: bool) -> None:
        hunt = self._hunt
        number = hunt.go(self._here(), back=back) if hunt is not None else None
        if number is not None:
            self._jump(view, number)
        self.complain("")

    def _read(self) -> None:
        if not self.all_read:
            self.complain("Not all of it was on screen yet: press d for the rest.")
        else:
            self._hunt = None
            self._next()

    def _next(self) -> None:
        self._answering += 1
        wanted = self.review.to_answer
        if self._answering == len(wanted):
            self.done(self._answers)
            return
        answer = self.query_one(Field)
        answer.display = True
        answer.fill("")
        self.screen.set_focus(answer)
        self.query_one("#page", LineView).show(self._lines)
        self.query_one("#question", LineView).show(self.text)
        self.complain("")

    def on_field_submitted(self, event: Field.Submitted) -> None:
        """Search, or keep the answer and go to the next finding."""
        event.stop()
        typed = self.query_one(Field).value.strip()
        if self._typing:
            self._search(typed)
            return
        if not typed:
            self.complain("Write an answer: why this is meant, or what will be done about it.")
            return
        finding = self.review.to_answer[self._answering]
        self._answers[f"{finding.code} {finding.where}"] = typed
        self._next()

    def _lines(self, width: int) -> Sequence[Line]:
        if not self._placed or not width:
            return ()
        if not self.reading:
            return self._asked(width)
        if self._mode == "file":
            return raw_lines(self.review.new.raw, width)
        if self._mode and self._close is not None:
            return (side_by_side if self._mode == "sides" else canonical_rows)(self._close, width)
        return self._page_at(width).lines

    def _asked(self, width: int) -> list[Line]:
        wanted = self.review.to_answer
        if not wanted:
            return []
        finding = wanted[min(self._answering, len(wanted) - 1)]
        return [
            *paragraph(f"Answer {self._answering + 1} of {len(wanted)}", width, "quiet"),
            *finding_rows(finding, width),
            BLANK,
            *paragraph("Everyone can read the answer in the transcript, for good.", width, "quiet"),
        ]

    def _page(self) -> Page:
        # Before it has its place a list would be made for a width that it never gets.
        width = self.query_one("#page", LineView).size.width if self._placed else 0
        return self._page_at(width) if width else _NO_PAGE

    def _page_at(self, width: int) -> Page:
        if width not in self._pages:
            # One width at a time: the heights of a million entries take megabytes.
            cursor = next((p.lines.cursor for p in self._pages.values()), None)
            for section in self._sections:
                section.sums = None
            outline = Outline(self._sections, max(width, 20))
            outline.cursor = cursor or outline.stop_from(0)
            self._pages = {width: Page(outline)}
        return self._pages[width]


def _among(must: Sequence[int], entry: int) -> bool:
    """Whether a rising sequence has it; there may be half a million."""
    at = bisect_left(must, entry)
    return at < len(must) and must[at] == entry


def raw_lines(raw: bytes, width: int) -> Sequence[Line]:
    """The file as it is, line by line, wrapped without a word lost."""
    rows: list[Line] = []
    for text in raw.decode("utf-8", errors="backslashreplace").split("\n"):
        shown = printable(text)
        rows.extend(line(shown[i : i + width]) for i in range(0, max(1, len(shown)), max(1, width)))
    return rows
