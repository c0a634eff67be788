"""A review on the screen: everything in one tree, most dangerous first, and a count of what was on screen.

"All of it was read" can only be said once each dangerous change and each finding was visible. Then each finding that
wants an answer gets one, one at a time. A review that is only looked at has neither.
"""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.widget import Widget

from vestry.ceremony.dialogue import ReadReview
from vestry.metadata.changes import Change
from vestry.metadata.findings import Finding
from vestry.text import printable
from vestry.tui.entry import canonical_rows, side_by_side
from vestry.tui.glyphs import Glyphs
from vestry.tui.hunt import Hunt
from vestry.tui.lines import BLANK, Line, Span, folded, hex_rows, key, line, packed, paragraph
from vestry.tui.panes import SETTLE, Pane
from vestry.tui.reply import Reply
from vestry.tui.review_page import Page, finding_rows, sections
from vestry.tui.review_tree import NO_PAGE, ReviewTree
from vestry.tui.widgets.field import Field
from vestry.tui.widgets.line_view import LineView

_ALL_ROWS = 10_000
_PAUSE = 0.002
_LIST_KEYS = frozenset(("d", "f", "F", "upper_f", "n", "N", "upper_n", "r", "slash", "v", "y"))


class ReviewPane(Pane):
    """Reading, then answering; with `looking`, reading alone, which answers nothing.

    ``d`` goes to the next place that was not on screen yet, ``f`` and ``F`` to findings, ``/`` searches, ``v`` filters,
    Enter folds a group, goes from a finding to its change, or shows old and new; ``c`` shows canonical bytes, ``r`` the
    file itself.
    """

    question: ReadReview

    def __init__(
        self,
        question: ReadReview,
        reply: Reply,
        glyphs: Glyphs,
        amiss: str = "",
        settle: float = SETTLE,
        *,
        looking: bool = False,
        decider: Sequence[str] = (),
    ):
        super().__init__(question, reply, glyphs, amiss, settle)
        assert question.review is not None
        self.review, self.looking = question.review, looking
        self.list = ReviewTree(sections(self.review, question.details, decider))
        self._close: Change | None = None
        self._mode = ""
        self._back_to = 0
        self._placed = self._typing = self._counted = False
        self._answers: dict[str, str] = {}
        self._answering = -1

    @property
    def digest(self) -> str:
        """What gets signed."""
        return self.review.new.digest

    @property
    def all_read(self) -> bool:
        """Whether each dangerous change and each finding was on screen."""
        self._page()
        return self.list.all_seen

    @property
    def reading(self) -> bool:
        """Whether the review is still being read."""
        return self._answering < 0

    def text(self, width: int) -> list[Line]:
        """What stands above the list: what is read, its digest in hex."""
        review, rows = self.review, []
        if not self.looking:
            rows += paragraph(self.question.sentence, width, "accent")
        if self.reading:
            expires = f"expires {review.new.expires:%Y-%m-%d}"
            about = f"{printable(review.role)} {review.step}, {expires}"
            if self.looking:  # the header above says the rest
                about = f"It {expires}. SHA-256 of what gets signed:"
            rows += [line(text, "quiet") for text in folded(about, width)]
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
        if not self.reading:
            keys = [
                key("Enter", "when answered"),
                key("Up", "the one before" if self._answering else "back to the list"),
            ]
        elif self._typing:
            keys = [key("Enter", "search (nothing typed: leave)")]
        elif self._mode:
            name = "r" if self._mode == "file" else "Enter"
            also = {"sides": [key("c", "canonical bytes")], "bytes": [key("c", "side by side")]}.get(self._mode, [])
            keys = [key(name, "back to the list"), *also, key("Space", "next page")]
        else:
            keys = self._tree_keys()
        rows = packed(keys, width, gap=2)
        if self._amiss:
            rows += [line(text, "bad") for text in folded(self._amiss, width)]
        return rows

    def _tree_keys(self) -> list[Line]:
        read, of = self.all_read, len(self._page().items)
        # Before the first layout, and where nothing must be seen, there is nothing to count.
        count: list[Line] = (
            [(Span(f"{len(self.list.seen):,} of {of:,} seen", "good" if read else "warn"),)] if of else []
        )
        on = [key("d", "next unseen")] if not read else [] if self.looking else [key("y", "all of it was read")]
        hunt = key("/", "search") if self.list.hunt is None else key("/ n N", self.list.hunt.said)
        keys = [*count, *on, hunt, key("v", f"showing: {self.list.shows}"), key("f F", "finding")]
        keys += [key("Space", "next page"), key("Enter", "open, fold"), key("c", "its bytes")]
        return [*keys, key("r", "the file itself")]

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
        first, self._counted = not self._counted, True
        if self.list.count(event.view.size.width, event.first, event.last) or first:
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
        if name == "up" and not self.reading:
            self._before()
        elif name in ("down", "up") and in_tree:
            self._page()
            self.list.step(view, back=name == "up")
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

    def back(self) -> bool:
        """Leave what is open: an entry, the file, the line for a search; false where nothing is."""
        if self._typing:
            self._search("")
        elif self._mode:
            self._close_up(self.query_one("#page", LineView))
        else:
            return False
        return True

    def _follow(self, view: LineView) -> None:
        if not self._mode and self.reading:
            self._page()
            self.list.follow(view)

    def _press_close(self, name: str, view: LineView) -> bool:
        if name == "enter" or (name == "r" and self._mode == "file"):
            self._close_up(view)
        elif name == "c" and self._mode in ("sides", "bytes"):
            self._mode = "bytes" if self._mode == "sides" else "sides"
            view.show(self._lines)
            self.complain("")
        elif self._mode != "file" and name in _LIST_KEYS:
            # A key of the list goes back to it first.
            self._close_up(view)
            return self._press_tree(name, view)
        else:
            return False
        return True

    def _close_up(self, view: LineView) -> None:
        self._mode = ""
        view.show(self._lines, top=self._back_to)
        view.refresh()
        self.complain("")

    def _press_tree(self, name: str, view: LineView) -> bool:
        self._page()
        if name == "r":
            self._open("file", view)
        elif name in ("enter", "c"):
            return self._at_cursor(name, view)
        elif name == "d":
            self.list.to_unseen(view)
        elif name == "y" and not self.looking:
            self._read()
        elif name in ("f", "F", "upper_f"):
            if not self.list.to_finding(view, back=name != "f"):
                self.complain("There are no findings.")
        elif name == "v":
            self.list.next_filter(view)
            self.complain("")
        elif name == "slash":
            self._type_search()
        elif name in ("n", "N", "upper_n") and self.list.hunt is not None:
            self.list.to_hit(view, back=name != "n")
            self.complain("")
        else:
            return False
        return True

    def _open(self, mode: str, view: LineView) -> None:
        self._back_to, self._mode = view.top, mode
        view.show(self._lines)
        self.complain("")

    def _at_cursor(self, name: str, view: LineView) -> bool:
        if name == "enter" and self.list.fold(view):
            return True
        if isinstance(found := self.list.entry(), Finding):
            if not self.list.to_change(view, found.where):
                self.complain(f"No change is at the place of this: {found.where or 'the document as a whole'}")
            return True
        self._close = self.list.change()
        if self._close is not None:
            self._open("sides" if name == "enter" else "bytes", view)
        return self._close is not None

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
        self.list.search(wanted)
        if self.list.hunt is not None:
            self._hunt_on(self.list.hunt)
        self.complain("")

    def _hunt_on(self, hunt: Hunt) -> None:
        if hunt is not self.list.hunt or not self.is_mounted:
            return
        none_yet = not hunt.hits
        hunt.slice()
        if none_yet and hunt.hits and not self._mode and self.reading:
            self.list.to_hit(self.query_one("#page", LineView), back=False)
            self.complain("")
        elif self.reading:
            self.query_one("#foot", LineView).show(self.foot)
        if not hunt.done:
            self.set_timer(_PAUSE, lambda: self._hunt_on(hunt))

    def _read(self) -> None:
        if not self.all_read:
            self.complain("Not all of it was on screen yet: press d for the rest.")
        else:
            self.list.hunt = None
            self._next()

    def _next(self) -> None:
        self._answering += 1
        wanted = self.review.to_answer
        if self._answering == len(wanted):
            self.done(self._answers)
            return
        self._show_answering()

    def _before(self) -> None:
        """Back to the finding before, or to the list; what was typed here stays."""
        self._keep()
        self._answering -= 1
        self._show_answering()

    def _keep(self) -> str:
        typed = self.query_one(Field).value.strip()
        self._answers[self.review.to_answer[self._answering].name] = typed
        return typed

    def _show_answering(self) -> None:
        answer = self.query_one(Field)
        answer.display = not self.reading
        if answer.display:
            answer.fill(self._answers.get(self.review.to_answer[self._answering].name, ""))
        self.screen.set_focus(self if self.reading else answer)
        self.query_one("#page", LineView).show(self._lines)
        self.query_one("#question", LineView).show(self.text)
        self.complain("")

    def on_field_submitted(self, event: Field.Submitted) -> None:
        """Search, or keep the answer and go to the next finding."""
        event.stop()
        if self._typing:
            self._search(self.query_one(Field).value.strip())
        elif self._keep():
            self._next()
        else:
            self.complain("Write an answer: why this is meant, or what will be done about it.")

    def _lines(self, width: int) -> Sequence[Line]:
        if not self._placed or not width:
            return ()
        if not self.reading:
            return self._asked(width)
        if self._mode == "file":
            return raw_lines(self.review.new.raw, width)
        if self._mode and self._close is not None:
            if self._mode == "sides":
                return side_by_side(self._close, width)
            return canonical_rows(self._close, self.review, width)
        return self.list.at(width).lines

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
        return self.list.at(width) if width else NO_PAGE


def raw_lines(raw: bytes, width: int) -> Sequence[Line]:
    """The file as it is, line by line, wrapped without a word lost."""
    rows: list[Line] = []
    for text in raw.decode("utf-8", errors="backslashreplace").split("\n"):
        shown = printable(text)
        rows.extend(line(shown[i : i + width]) for i in range(0, max(1, len(shown)), max(1, width)))
    return rows
