"""The ceremony as numbered lines and prompts: for screen readers, serial consoles and scripts. No escape codes."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TextIO, TypeVar, cast

from vestry.ceremony import agenda
from vestry.ceremony.dialogue import (
    Ask,
    Choose,
    Confirm,
    Declined,
    Departed,
    NewSecret,
    Noted,
    Question,
    ReadReview,
    Secret,
    TypeBack,
)
from vestry.ceremony.state import State
from vestry.errors import Stopped, VestryError
from vestry.metadata.review_text import render_lines
from vestry.text import group_hex, printable, words
from vestry.tokens.token import Pin

T = TypeVar("T")

QUIT, NOTE, OTHER, DEPART = "quit", "note ", "other", "exception"
_WIDTH = 78


@dataclass
class Prompts:
    """A `Front` over two streams. `secret` reads a line without echo.

    At any prompt ``quit`` stops, ``note TEXT`` notes an exception, ``exception`` leaves the script (skip or
    repeat a step, state the time), and ``other`` takes the way out where one is named.
    """

    read: TextIO = field(default_factory=lambda: sys.stdin)
    out: TextIO = field(default_factory=lambda: sys.stderr)
    secret: Callable[[str], str] | None = None
    _place: int = -1

    def ask(self, question: Question[T]) -> T:
        """Ask on the streams."""
        self._line("")
        self._line(f"> {question.sentence}")
        for detail in question.details:
            self._line(f"  {detail}")
        return cast("T", self._answer(question))

    def tell(self, line: str, *, good: bool | None = None) -> None:
        """One line, with a word for what it means."""
        self._line({True: "  ok  ", False: "  NO  ", None: "      "}[good] + line)

    def show(self, state: State) -> None:
        """Say where the ceremony is, when that changes."""
        here = agenda.position(state)
        steps = state.script.steps
        if here == self._place:
            return
        self._place = here
        self._line("")
        if here == len(steps):
            self._line("All steps are done.")
            return
        mark = " (REHEARSAL)" if state.script.rehearsal else ""
        self._line(f"Step {here + 1} of {len(steps)}: {steps[here].title}{mark}")
        for role, count in agenda.meters(state):
            self._line(f"      {role}: {count.sentence}")

    def trouble(self, error: VestryError, meaning: str) -> None:
        """Three lines: what happened, what it means, what to do."""
        self._line("")
        self._line(f"  !!  {printable(error.what)}" + (f" [{error.code}]" if error.code else ""))
        self._line(f"      {meaning}")
        self._line(f"      {printable(error.do) or 'Look at the device, then go on.'}")

    def waiting(self, what: str, cancel: Callable[[], None] | None = None, *, idle: bool = False) -> None:
        """Say what is going on. Ctrl-C ends the wait for a token or drive, and nothing else."""
        del idle
        if what:
            self._line(f"  ..  {what}" + (" (Ctrl-C stops waiting)" if cancel else ""))

    def _answer(self, question: Question[T]) -> object:
        if isinstance(question, Confirm):
            return self._confirm(question)
        if isinstance(question, Choose):
            return self._choose(question)
        if isinstance(question, NewSecret):
            return self._new_secret(question)
        if isinstance(question, Secret):
            if question.warning:
                self._line(f"  {question.warning}")
            return self._secret("PIN: ")
        if isinstance(question, TypeBack):
            self._digest(question.digest)
            return self._input(question, "Type them, with a space between: " if question.positions else "Type it: ")
        if isinstance(question, Ask):
            if question.default:
                self._line(f"  (Enter alone takes {question.default})")
            return self._input(question, "Type it: ") or question.default
        if isinstance(question, ReadReview):
            return self._review(question)
        raise TypeError(f"no prompt for {type(question).__name__}")

    def _confirm(self, question: Confirm) -> bool:
        while True:
            typed = self._input(question, f"Type yes ({question.yes}) or no ({question.no}): ").lower()
            if typed in ("yes", "no"):
                return typed == "yes"

    def _choose(self, question: Choose) -> str:
        for number, (_, label) in enumerate(question.options, start=1):
            self._line(f"  {number}. {label}")
        while True:
            typed = self._input(question, f"Type a number, 1 to {len(question.options)}: ")
            if typed.isascii() and typed.isdigit() and 1 <= int(typed) <= len(question.options):
                return question.options[int(typed) - 1][0]

    def _new_secret(self, question: NewSecret) -> Pin:
        while True:
            first = self._secret("New PIN: ")
            if not question.shortest <= len(first) <= question.longest:
                self._line(f"  It takes {question.shortest} to {question.longest} characters. Nothing was set.")
                continue
            second = self._secret("The same again: ")
            if first.same_as(second):
                second.wipe()
                return first
            first.wipe()
            second.wipe()
            self._line("  The two differ. Nothing was set; type both again.")

    def _secret(self, prompt: str) -> Pin:
        if self.secret is not None:
            typed = self.secret(f"  {prompt}")
        else:
            self._prompt(prompt)
            typed = self._read()
        if typed == QUIT:  # no PIN is this short
            raise _stopped()
        return Pin(typed)

    def _review(self, question: ReadReview) -> dict[str, str]:
        assert question.review is not None
        for line in render_lines(question.review, width=_WIDTH):
            self._line(line)
        if not self._confirm(Confirm("read", "", person=question.person, yes="all of it was read", no="not yet")):
            raise Stopped("stopped in a review", do="run the same line again to read it again")
        answers = {}
        for finding in question.review.to_answer:
            self._line(f"  {finding.severity}: {finding.text}")
            answers[f"{finding.code} {finding.where}"] = self._input(question, "Type your answer to this: ")
        return answers

    def _digest(self, digest: str) -> None:
        if not digest:
            return
        for line in group_hex(digest):
            self._line(f"      {line}")
        spoken = words(digest)
        for start in range(0, len(spoken), 4):
            row = "  ".join(f"{i + 1:>2} {w:<11}" for i, w in enumerate(spoken[start : start + 4], start=start))
            self._line(f"      {row}".rstrip())

    def _input(self, question: Question[T], prompt: str) -> str:
        if question.otherwise:
            self._line(f"  (or type 'other' to {question.otherwise})")
        self._prompt(prompt)
        typed = self._read().strip()
        if typed == QUIT:
            raise _stopped()
        if typed.startswith(NOTE) and typed[len(NOTE) :].strip():
            raise Noted(typed[len(NOTE) :].strip())
        if typed == DEPART:
            raise Departed
        if typed == OTHER and question.otherwise:
            raise Declined
        return typed

    def _read(self) -> str:
        line = self.read.readline()
        if not line:
            raise Stopped("the input ended; everything recorded stays", do="run the same line again to go on")
        return line.rstrip("\r\n")

    def _prompt(self, prompt: str) -> None:
        self.out.write(f"  {prompt}")
        self.out.flush()

    def _line(self, line: str) -> None:
        # Serial consoles do not wrap at words, and a digest cut in two is misread: whole words go to the next line.
        indent = line[: len(line) - len(line.lstrip())]
        pieces = (
            textwrap.wrap(line, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
            if len(line) > _WIDTH
            else [line]
        )
        self.out.write("".join(f"{piece}\n" for piece in pieces))
        self.out.flush()


def _stopped() -> Stopped:
    return Stopped("stopped; everything recorded stays", do="run the same line again to go on")
