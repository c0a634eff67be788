"""A review on the screen: everything in one list, most dangerous first, and a count of what was on screen.

"All of it was read" can only be said once each dangerous change and each finding was visible. Then each finding that
wants an answer gets one, one at a time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from textual import events
from textual.widget import Widget

from vestry.ceremony.dialogue import ReadReview
from vestry.metadata.changes import DANGEROUS, Change
from vestry.metadata.review import Review
from vestry.text import printable, words
from vestry.tui.front import Reply
from vestry.tui.glyphs import Glyphs
from vestry.tui.lines import BLANK, Line, Span, Tone, folded, hex_rows, key, line, packed, paragraph, word_rows
from vestry.tui.panes import SETTLE, Pane
from vestry.tui.widgets.field import Field
from vestry.tui.widgets.line_view import LineView

MANY = 50
"""From so many alike changes on, they count as one to be read: their number and what they share."""

_ALL_ROWS = 10_000
_KEYID = re.compile("[0-9a-f]{64}")
_MARKS: Mapping[str, tuple[str, Tone]] = {"added": ("+ added  ", "good"), "removed": ("- dropped", "bad")}
_SEVERITY: Mapping[str, Tone] = {"stop": "bad", "warn": "warn", "note": "plain"}


@dataclass(frozen=True)
class Page:
    """The review as lines. `items` are the places (first line, line after the last) that must have been on screen."""

    lines: Sequence[Line]
    items: tuple[tuple[int, int], ...]


_NO_PAGE = Page((), ())


def page(review: Review, width: int, details: Sequence[str] = ()) -> Page:
    """Findings, dangerous changes, the rest, who signs, the digest in words."""
    book = _Book(width)
    book.rows += [row for detail in details for row in paragraph(detail, width, "quiet")]
    _findings(review, book)
    _changes(review, book)
    book.heading("Who must sign")
    for count in review.tallies:
        book.rows += paragraph(printable(count.sentence).replace("\\\\", "\\"), width, indent=2)
    if not review.tallies:
        book.rows += paragraph("A document that is not here says who.", width, indent=2)
    book.heading("The digest of what gets signed, in words")
    book.rows += word_rows(words(review.new.digest), width)
    return Page(book.rows, tuple(book.items))


@dataclass
class _Book:
    """A page in the making."""

    width: int
    rows: list[Line] = field(default_factory=list)
    items: list[tuple[int, int]] = field(default_factory=list)

    def item(self, lines: list[Line]) -> None:
        """Lines that must have been on screen."""
        self.items.append((len(self.rows), len(self.rows) + len(lines)))
        self.rows += lines

    def heading(self, text: str) -> None:
        """A title, after a blank row."""
        self.rows += [*([BLANK] if self.rows else []), *paragraph(text, self.width, "accent")]


def _findings(review: Review, book: _Book) -> None:
    if review.findings:
        book.heading(f"Findings ({len(review.findings)})")
    for finding in review.findings:
        mark = f"{finding.severity:<4}  "
        book.item(_item(mark, _SEVERITY[finding.severity], f"{finding.text} [{finding.code}]", book.width))


def _changes(review: Review, book: _Book) -> None:
    dangerous = [c for c in review.changes if c.danger >= DANGEROUS]
    quiet = [c for c in review.changes if c.danger < DANGEROUS]
    if dangerous:
        book.heading(f"Changes that decide whom or what clients trust ({len(dangerous):,})")
    for group in alike(dangerous):
        if len(group) >= MANY:
            book.item(_summary(group, book.width))
            book.rows += [row for change in group for row in _change(change, book.width)]
        else:
            for change in group:
                book.item(_change(change, book.width))
    if quiet:
        book.heading(f"Other changes ({len(quiet):,})")
    book.rows += [row for change in quiet for row in _change(change, book.width)]
    if not review.changes:
        book.heading("Nothing changed")


def alike(changes: Sequence[Change]) -> list[list[Change]]:
    """Changes in order; together those that follow each other, differ only in name and place, and whose hash prefixes
    rise from each to the next, so that none takes over what another has."""
    groups: list[list[Change]] = []
    shape, last = "", ""
    for change in changes:
        mine, first, end = _shape(change)
        if groups and mine and mine == shape and first > last:
            groups[-1].append(change)
        else:
            groups.append([change])
        shape, last = mine, end
    return groups


def _shape(change: Change) -> tuple[str, str, str]:
    """What a delegation shares with others like it, and its first and last hash prefix; empty where it is odd."""
    role = change.new.get("role") if change.kind == "delegation-added" and isinstance(change.new, Mapping) else None
    prefixes = role.get("path_hash_prefixes") if isinstance(role, Mapping) else None
    if not isinstance(role, Mapping) or not isinstance(prefixes, list) or not prefixes:
        return "", "", ""
    if not all(isinstance(p, str) for p in prefixes) or sorted(set(prefixes)) != prefixes:
        return "", "", ""
    shared = {k: v for k, v in role.items() if k not in ("name", "path_hash_prefixes")}
    form = [shared, [len(p) for p in prefixes]]
    return json.dumps(form, sort_keys=True, default=str), prefixes[0], prefixes[-1]


def _summary(group: Sequence[Change], width: int) -> list[Line]:
    first, last = group[0].path[-1], group[-1].path[-1]
    text = (
        f"{len(group):,} delegations, {printable(first)} to {printable(last)}, with the same keys and threshold, "
        "as many hash prefixes each, rising, none twice. All follow here, one by one."
    )
    return _item("+ added   ", "good", text, width)


def _change(change: Change, width: int) -> list[Line]:
    mark, tone = _MARKS.get(change.kind.rpartition("-")[2], ("~ changed", "warn"))
    rows = _item(f"{mark} ", tone, change.text, width)
    keyid = change.path[-1]
    if change.kind.startswith("key-") and _KEYID.fullmatch(keyid):
        # The sentence names a key by its first digits; whoever compares needs them all.
        indent = " " * (len(mark) + 4)
        whole = [line(keyid)] if len(indent) + len(keyid) <= width else hex_rows(keyid, width - len(indent))
        rows += [(Span(indent), *(Span(s.text, "quiet") for s in row)) for row in whole]
    return rows


def _item(mark: str, tone: Tone, text: str, width: int) -> list[Line]:
    indent = len(mark) + 3
    texts = folded(text, width - indent)
    first: Line = (Span(f"  {mark} ", tone), Span(texts[0]))
    return [first, *(line(" " * indent + rest) for rest in texts[1:])]


class ReviewPane(Pane):
    """Reading, then answering. ``d`` goes to the next place that was not on screen yet, ``r`` shows the file itself."""

    question: ReadReview

    def __init__(self, question: ReadReview, reply: Reply, glyphs: Glyphs, amiss: str = "", settle: float = SETTLE):
        super().__init__(question, reply, glyphs, amiss, settle)
        assert question.review is not None
        self.review = question.review
        self._pages: dict[int, Page] = {}
        self._seen: set[int] = set()
        self._rows_seen: dict[int, set[int]] = {}
        self._raw = self._placed = False
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
        return page_ is not _NO_PAGE and self._seen >= set(range(len(page_.items)))

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
        """The list, and the line for answers."""
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
        elif self._raw:
            rows += packed([key("r", "back to the list"), key("Space", "next page")], width)
        else:
            seen, of = len(self._seen), len(self._page().items)
            count: Line = (Span(f"{seen} of {of} seen", "good" if self.all_read else "warn"),)
            on = key("y", "all of it was read") if self.all_read else key("d", "next unseen")
            rows += packed([count, on, key("Space", "next page"), key("r", "the file itself")], width)
        if self._amiss:
            rows += [line(text, "bad") for text in folded(self._amiss, width)]
        return rows

    def needed(self, width: int, height: int) -> int:
        """All rows that there are: a list has use for each."""
        del width, height
        return _ALL_ROWS

    def share_out(self, width: int, height: int) -> None:
        """The list gets the rest."""
        taken = len(self.text(width)) + 1 + len(self.foot(width)) + (0 if self.reading else 1)
        view = self.query_one("#page", LineView)
        view.styles.height = max(3, height - taken)
        if not self._placed:
            self._placed = True
            view.show(self._lines)

    def on_line_view_moved(self, event: LineView.Moved) -> None:
        """Count what is on screen now."""
        if event.view.id != "page" or self._raw or not self.reading or not self._on_screen(event.view):
            return
        width = event.view.size.width
        rows = self._rows_seen.setdefault(width, set())
        rows.update(range(event.first, event.last))
        now = {i for i, (a, b) in enumerate(self._page_at(width).items) if rows.issuperset(range(a, b))}
        if not now <= self._seen:
            self._seen |= now
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
        moves = {"down": 1, "up": -1, "space": view.room - 1, "pagedown": view.room - 1, "pageup": 1 - view.room}
        if event.key in moves:
            view.scroll_lines(moves[event.key] or 1)
        elif event.key in ("home", "end"):
            view.go_to(0 if event.key == "home" else view.total)
        elif not self.reading:
            return False
        elif event.key == "r":
            self._raw = not self._raw
            view.show(self._lines)
            self.complain("")
        elif event.key == "d" and not self._raw:
            self._to_unseen(view)
        elif event.key == "y" and not self._raw:
            self._read()
        else:
            return False
        return True

    def _read(self) -> None:
        if not self.all_read:
            self.complain("Not all of it was on screen yet: press d for the rest.")
        else:
            self._next()

    def _to_unseen(self, view: LineView) -> None:
        items = self._page().items
        at = next((items[i][0] for i in range(len(items)) if i not in self._seen), None)
        if at is not None:
            view.go_to(at)

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
        """Keep the answer, and go to the next finding."""
        event.stop()
        typed = self.query_one(Field).value.strip()
        if not typed:
            self.complain("Write an answer: why this is meant, or what will be done about it.")
            return
        finding = self.review.to_answer[self._answering]
        self._answers[f"{finding.code} {finding.where}"] = typed
        self._next()

    def _lines(self, width: int) -> Sequence[Line]:
        if not self._placed or not width:
            return ()
        if self._raw and self.reading:
            return raw_lines(self.review.new.raw, width)
        if not self.reading:
            return self._asked(width)
        return self._page_at(width).lines

    def _asked(self, width: int) -> list[Line]:
        wanted = self.review.to_answer
        finding = wanted[min(self._answering, len(wanted) - 1)]
        return [
            *paragraph(f"Answer {self._answering + 1} of {len(wanted)}", width, "quiet"),
            *_item(f"{finding.severity:<4}  ", _SEVERITY[finding.severity], f"{finding.text} [{finding.code}]", width),
            BLANK,
            *paragraph("Everyone can read the answer in the transcript, for good.", width, "quiet"),
        ]

    def _page(self) -> Page:
        # Before it has its place a list would be made for a width that it never gets.
        width = self.query_one("#page", LineView).size.width if self._placed else 0
        return self._page_at(width) if width else _NO_PAGE

    def _page_at(self, width: int) -> Page:
        if width not in self._pages:
            # One width at a time: a list may have tens of thousands of lines.
            self._pages = {width: page(self.review, max(width, 20), self.question.details)}
        return self._pages[width]


def raw_lines(raw: bytes, width: int) -> Sequence[Line]:
    """The file as it is, line by line, wrapped without a word lost."""
    rows: list[Line] = []
    for text in raw.decode("utf-8", errors="backslashreplace").split("\n"):
        shown = printable(text)
        rows.extend(line(shown[i : i + width]) for i in range(0, max(1, len(shown)), max(1, width)))
    return rows
