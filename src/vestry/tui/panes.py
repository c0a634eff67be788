"""The one thing to do now: a pane for each type of question.

A pane is text that may scroll, and below it, always visible, the place to act: keys or a field, and what was wrong with
the last answer. It answers its `Reply` and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget

from vestry.ceremony.dialogue import Ask, Choose, Confirm, Declined, NewSecret, Question, Secret, TypeBack
from vestry.text import words
from vestry.tui.glyphs import Glyphs
from vestry.tui.lines import (
    BLANK,
    Line,
    Span,
    digest_in,
    folded,
    headed,
    hex_rows,
    key,
    length,
    line,
    packed,
    paragraph,
    word_rows,
)
from vestry.tui.reply import Reply
from vestry.tui.widgets.field import Field
from vestry.tui.widgets.line_view import LineView
from vestry.tui.widgets.pin_field import PinField

SETTLE = 0.3
"""Seconds for which a question takes no key that decides: nobody has read it yet, so the key was meant for another."""

_CHOICES = "123456789abcdefghijklmnoprstuvwxyz"


class Answered(Message):
    """The pane's question has its answer."""

    def __init__(self, pane: Pane) -> None:
        super().__init__()
        self.pane = pane


class Pane(Vertical, can_focus=True):
    """Text above, action below. Subclasses say what stands in the action area and what keys do."""

    ALLOW_SELECT = False

    def __init__(self, question: Question[Any], reply: Reply, glyphs: Glyphs, amiss: str = "", settle: float = SETTLE):
        super().__init__(classes="pane")
        self.question, self.reply, self.glyphs = question, reply, glyphs
        self._amiss, self._opens = amiss, time.monotonic() + settle
        self._tight = False

    @property
    def digest(self) -> str:
        """The digest that this question shows, if any; F3 draws it."""
        shown = self.question.digest if isinstance(self.question, TypeBack) else ""
        return shown or digest_in(self.question.details)

    @property
    def settled(self) -> bool:
        """Whether it has been on screen long enough to be what a key was meant for."""
        return time.monotonic() >= self._opens

    def compose(self) -> ComposeResult:
        """Text, fields, what was wrong."""
        yield LineView(self.text, glyphs=self.glyphs, id="question")
        with Vertical(id="action"):
            yield from self.fields()
            yield LineView(self.foot, glyphs=self.glyphs, id="foot")

    def fields(self) -> Sequence[Widget]:
        """Where to type; none by default."""
        return ()

    def keys(self) -> Sequence[Line]:
        """Keys that answer, each with what it means."""
        return ()

    def start(self) -> None:
        """Take the focus."""
        # Not `focus()`, which comes into force a moment later: the first key typed would be lost.
        self.screen.set_focus(self)

    def text(self, width: int) -> list[Line]:
        """Who acts, the sentence, the details, with blank rows between where there is room for them."""
        blocks = self.blocks(width)
        rows = list(blocks[0])
        for block in blocks[1:]:
            rows += block if self._tight else [BLANK, *block]
        return rows

    def blocks(self, width: int) -> list[list[Line]]:
        """The text in groups that belong together: the sentence, the details."""
        details = [row for detail in self.question.details for row in paragraph(detail, width)]
        sentence = headed(self.question.person, self.question.sentence, width)
        return [sentence, details] if details else [sentence]

    def foot(self, width: int) -> list[Line]:
        """Keys that answer, the way out, and what was wrong."""
        keys = [*self.keys(), *([key("F4", self.question.otherwise)] if self.question.otherwise else [])]
        rows = packed(keys, width) if self._tight else [row for item in keys for row in _hanging(item, width)]
        if any(length(row) > width for row in rows):
            rows = [row for item in keys for row in _hanging(item, width)]
        if self._amiss:
            rows += [line(text, "bad") for text in folded(self._amiss, width)]
        return rows

    def needed(self, width: int, height: int) -> int:
        """Rows that the pane would like to have. Where `height` is less, blank rows and spread-out keys go first."""
        self._tight = False
        if self._rows(width) > height:
            self._tight = True
        return self._rows(width)

    def share_out(self, width: int, height: int) -> None:
        """Give the text what the action leaves of `height`; one blank row stands between."""
        rest = max(2, height - self._action_rows(width) - 1)
        text = self.query_one("#question", LineView)
        text.styles.max_height = rest
        text.show(self.text, top=text.top)
        self.query_one("#foot", LineView).show(self.foot)

    def _rows(self, width: int) -> int:
        return len(self.text(width)) + 1 + self._action_rows(width)

    def _action_rows(self, width: int) -> int:
        return len(list(self.query(Field))) + len(list(self.query(PinField))) + len(self.foot(width))

    def done(self, value: object) -> None:
        """Give the answer."""
        self.reply.answer(value)
        self.post_message(Answered(self))

    def complain(self, text: str) -> None:
        """Say what was wrong, beside the field."""
        self._amiss = text
        self.query_one("#foot", LineView).show(self.foot)
        self.post_message(Changed())

    def on_key(self, event: events.Key) -> None:
        """The way out; the pane's own keys."""
        if event.key == "f4" and self.question.otherwise:
            event.stop()
            self.reply.fail(Declined())
            self.post_message(Answered(self))
        elif self.settled and self.press(event):
            event.stop()

    def press(self, event: events.Key) -> bool:
        """Act on a key; True if it was one of the pane's."""
        del event
        return False


class Changed(Message):
    """A pane needs another height."""


class ConfirmPane(Pane):
    """``y`` and ``n``, each with what it means."""

    question: Confirm

    def keys(self) -> Sequence[Line]:
        """Both answers."""
        return (key("y", self.question.yes), key("n", self.question.no))

    def press(self, event: events.Key) -> bool:
        """``y`` or ``n``."""
        if event.key in ("y", "n"):
            self.done(event.key == "y")
        return event.key in ("y", "n")


class ChoosePane(Pane):
    """A digit for each option; letters from the tenth on. ``q`` is left out: it stops."""

    question: Choose

    def keys(self) -> Sequence[Line]:
        """All options."""
        pairs = zip(_CHOICES, self.question.options, strict=False)
        return tuple(key(name, label) for name, (_, label) in pairs)

    def press(self, event: events.Key) -> bool:
        """Choose."""
        at = _CHOICES.find(event.key) if len(event.key) == 1 else -1
        if not 0 <= at < len(self.question.options):
            return False
        self.done(self.question.options[at][0])
        return True


class LinePane(Pane):
    """A line of text: `TypeBack` and `Ask`."""

    question: TypeBack | Ask

    def fields(self) -> Sequence[Widget]:
        """One line."""
        return (Field(self._label(), glyphs=self.glyphs),)

    def _label(self) -> str:
        if isinstance(self.question, Ask):
            return "Type"
        places = self.question.positions
        return f"Words {' and '.join(map(str, places))}" if places else "Type"

    def start(self) -> None:
        """Type at once."""
        self.screen.set_focus(self.query_one(Field))

    def blocks(self, width: int) -> list[list[Line]]:
        """The digest whole, or the default."""
        groups = super().blocks(width)
        if isinstance(self.question, TypeBack) and self.question.digest:
            groups += [hex_rows(self.question.digest, width), word_rows(words(self.question.digest), width)]
        if isinstance(self.question, Ask) and self.question.default:
            default = paragraph(self.question.default, width, indent=2)
            groups.append([*paragraph("Left empty, it is:", width, "quiet"), *default])
        return groups

    def keys(self) -> Sequence[Line]:
        """Enter takes what is typed."""
        if isinstance(self.question, TypeBack) and self.question.positions:
            return (key("Enter", "when typed, with a space between the words"),)
        return (key("Enter", "when typed"),)

    def on_field_submitted(self, event: Field.Submitted) -> None:
        """An empty line is an answer to `Ask` alone."""
        event.stop()
        typed = self.query_one(Field).value.strip()
        if isinstance(self.question, Ask):
            self.done(typed or self.question.default)
        elif typed:
            self.done(typed)
        else:
            self.complain("Nothing is typed yet.")


class SecretPane(Pane):
    """A PIN, typed once."""

    question: Secret

    def fields(self) -> Sequence[Widget]:
        """One field."""
        return (PinField("PIN", glyphs=self.glyphs),)

    def start(self) -> None:
        """Type at once."""
        self.screen.set_focus(self.query_one(PinField))

    def blocks(self, width: int) -> list[list[Line]]:
        """The warning comes last, right above the field."""
        warning = paragraph(self.question.warning, width, "warn") if self.question.warning else []
        return [*super().blocks(width), *([warning] if warning else [])]

    def keys(self) -> Sequence[Line]:
        """Enter uses a try."""
        return (key("Enter", "when typed: the token then checks it, once"),)

    def on_pin_field_submitted(self, event: PinField.Submitted) -> None:
        """An empty PIN is not sent: it would use up a try."""
        event.stop()
        field = self.query_one(PinField)
        if field.empty:
            self.complain("Nothing is typed yet; nothing was sent to the token.")
        else:
            self.done(field.take())


class NewSecretPane(Pane):
    """A new PIN, typed twice and compared."""

    question: NewSecret

    def __init__(self, question: NewSecret, reply: Reply, glyphs: Glyphs, amiss: str = "", settle: float = SETTLE):
        super().__init__(question, reply, glyphs, amiss, settle)
        self._first = PinField("New PIN       ", glyphs=glyphs)
        self._second = PinField("The same again", glyphs=glyphs)

    def fields(self) -> Sequence[Widget]:
        """Two fields."""
        return (self._first, self._second)

    def start(self) -> None:
        """Begin with the first."""
        self.screen.set_focus(self._first)

    def keys(self) -> Sequence[Line]:
        """Enter goes on."""
        return (key("Enter", "goes to the second line, then compares both"),)

    def on_pin_field_submitted(self, event: PinField.Submitted) -> None:
        """Go to the second line, or compare."""
        event.stop()
        if self._first.has_focus:
            self.screen.set_focus(self._second)
            return
        first, second = self._first.take(), self._second.take()
        problem = self._problem(len(first), same=first.same_as(second))
        second.wipe()
        if not problem:
            self.done(first)
            return
        first.wipe()
        self.screen.set_focus(self._first)
        self.complain(problem)

    def _problem(self, length: int, *, same: bool) -> str:
        if not same:
            return "The two differ. Nothing was set; type both again."
        if length < self.question.shortest:
            return (
                f"Too short: it takes at least {self.question.shortest} characters. Nothing was set; type both again."
            )
        if length > self.question.longest:
            return f"Too long: it takes at most {self.question.longest} characters. Nothing was set; type both again."
        return ""


def _hanging(item: Line, width: int) -> list[Line]:
    """A key and its meaning, wrapped beside the key."""
    name, does = item[0], item[1].text.strip()
    indent = len(name.text) + 2
    texts = folded(does, width - indent)
    first: Line = (name, Span(f"  {texts[0]}"))
    return [first, *(line(" " * indent + text) for text in texts[1:])]


_PANES: tuple[tuple[type, Callable[..., Pane]], ...] = (
    (Confirm, ConfirmPane),
    (Choose, ChoosePane),
    (NewSecret, NewSecretPane),
    (Secret, SecretPane),
    (TypeBack, LinePane),
    (Ask, LinePane),
)


def pane_for(question: Question[Any], reply: Reply, glyphs: Glyphs, amiss: str, settle: float) -> Pane:
    """The pane of a question.

    Raises:
        TypeError: there is none for its type.
    """
    for kind, make in _PANES:
        if isinstance(question, kind):
            return make(question, reply, glyphs, amiss, settle)
    raise TypeError(f"no pane for {type(question).__name__}")
