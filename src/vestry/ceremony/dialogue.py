"""What the conductor asks people, and who asks it: the seam between a ceremony and its screens.

The conductor runs a step as a conversation: it tells lines, and asks questions, each of a frozen type. A `Front`
(the full screen, the line-oriented prompts, a test) renders them. Both fronts thereby run the same ceremony, and a
question counts once wherever it is asked.

Answers never contain a decision that the conductor did not check: the typed words, digits and answers to findings come
back as typed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from vestry.tokens.token import Pin

if TYPE_CHECKING:
    from vestry.ceremony.state import State
    from vestry.errors import VestryError
    from vestry.metadata.review import Review

T = TypeVar("T")


@dataclass(frozen=True)
class Question(Generic[T]):
    """One thing to answer. `sentence` starts with a verb; `details` are lines below it; `person` is who acts.

    All texts already passed `printable()`. `name` is stable, for tests and scripted answers: ``pin``, ``new-pin``,
    ``present``, ``digits``, ``words``, ... Where `otherwise` is not empty it names a way out ("let another holder go
    first"); a front offers it under a key of its own and raises `Declined`.
    """

    name: str
    sentence: str
    person: str = ""
    details: tuple[str, ...] = ()
    otherwise: str = ""


@dataclass(frozen=True)
class Confirm(Question[bool]):
    """Yes goes on (`yes` says what yes means, verb first), no leaves things as they are."""

    yes: str = "go on"
    no: str = "not yet"


@dataclass(frozen=True)
class Choose(Question[str]):
    """One of `options`, each (value, label). The first is the suggestion; nothing is chosen by Enter alone."""

    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Secret(Question[Pin]):
    """A PIN or passphrase, not echoed. `warning` is a line to show with it (tries left)."""

    warning: str = ""


@dataclass(frozen=True)
class NewSecret(Question[Pin]):
    """A new PIN, typed twice; the front compares both (`Pin.same_as`) and asks again when they differ or when it is
    shorter than `shortest` or longer than `longest` characters. Counts as two prompts."""

    shortest: int = 6
    longest: int = 64


@dataclass(frozen=True)
class TypeBack(Question[str]):
    """Something read off an object or a paper and typed: last digits of a serial, two words of a digest.

    `digest` (hex) is shown whole, in hex, words and QR where it is not empty; `positions` are the 1-based places of
    the words asked for. A front that shows the digest must not show the answer beside the input line.
    """

    digest: str = ""
    positions: tuple[int, ...] = ()


@dataclass(frozen=True)
class Ask(Question[str]):
    """A line of free text; `default` stands in when the line is left empty."""

    default: str = ""


@dataclass(frozen=True)
class ReadReview(Question[Mapping[str, str]]):
    """Read a review to its end and answer each finding that wants an answer.

    The answer maps ``f"{finding.code} {finding.where}"`` to what the reader typed. Counts as one prompt (the reader
    says that all was read) and one for each finding to answer.
    """

    review: Review | None = None


class Noted(Exception):
    """Raised by a front instead of an answer: someone notes an exception. The question is asked again."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Departed(Exception):
    """Raised by a front instead of an answer: someone wants to leave the script, or to state the time. The question is
    asked again unless the step at hand is another by then."""


class Declined(Exception):
    """Raised by a front instead of an answer: the way out that `Question.otherwise` names was taken."""


class Front(Protocol):
    """A screen, a serial console, or a test."""

    def ask(self, question: Question[T]) -> T:
        """Ask and wait.

        Raises:
            Stopped: the operator quits; everything recorded stays.
            Noted: someone notes an exception.
            Departed: someone wants to leave the script, or to state the time.
            Declined: the question's way out was taken.
        """

    def tell(self, line: str, *, good: bool | None = None) -> None:
        """One line of narration ("Signature verified with the key that root v1 names"), already printable."""

    def show(self, state: State) -> None:
        """The state after an event was recorded, for rail, header and meter."""

    def trouble(self, error: VestryError, meaning: str) -> None:
        """What happened (`error`), what it means (`meaning`: was anything signed or not), what to do (`error.do`)."""

    def waiting(self, what: str, cancel: Callable[[], None] | None = None, *, idle: bool = False) -> None:
        """A token or disk is at work now; an empty string ends it. `cancel`, from any thread, ends the wait; a front
        offers it under a key of its own. `idle`: nothing is at work, and whoever stops the ceremony ends this too."""


def prompts(question: Question[object]) -> int:
    """How many prompts a question counts for."""
    if isinstance(question, NewSecret):
        return 2
    if isinstance(question, ReadReview) and question.review is not None:
        return 1 + len(question.review.to_answer)
    return 1
