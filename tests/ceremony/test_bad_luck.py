"""What goes wrong on the day, with real (software) tokens: wrong PINs, wrong words, absent people, second thoughts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from people import People

from vestry.ceremony import conductor, rehearsal, transcript
from vestry.ceremony import events as e
from vestry.ceremony.dialogue import Declined, Noted
from vestry.errors import Stopped
from vestry.tokens.token import Pin


def conduct(folder: Path, people: People, holders: int = 3) -> Any:
    script, inputs = rehearsal.prepare(folder, holders=holders, threshold=2)
    return conductor.conduct(script, inputs, folder, people)


def once(first: Callable[[Any], Any], people: People) -> Callable[[Any], Any]:
    """Answer by `first` the first time, sensibly afterwards."""
    calls: list[Any] = []

    def answer(question: Any) -> Any:
        calls.append(question)
        return first(question) if len(calls) == 1 else people.sensible(question)

    return answer


def recorded(folder: Path, kind: type) -> list[Any]:
    return [r.event for r in transcript.read(folder / "transcript.jsonl") if isinstance(r.event, kind)]


def test_a_wrong_pin_is_told_with_the_tries_left_and_never_tried_again(tmp_path: Path, people: People) -> None:
    """A program that tries a PIN twice, or hides the count, locks a key that can't be replaced."""
    people.answers = {"pin": once(lambda _: Pin("wrong-pin"), people)}
    conduct(tmp_path / "r", people)
    troubles = recorded(tmp_path / "r", e.TroubleMet)
    assert [t.code for t in troubles] == ["E-PIN-WRONG"]
    pins = [q for q in people.asked if q.name == "pin"]
    assert "2 tries left" in pins[1].warning
    assert "wrong-pin" not in (tmp_path / "r" / "transcript.jsonl").read_text()


def test_the_last_try_is_asked_for_first(tmp_path: Path, people: People) -> None:
    """The last PIN try is a decision, not an accident."""
    wrong = iter([Pin("wrong-one"), Pin("wrong-two")])
    people.answers = {
        "pin": lambda q: next(wrong, None) or people.sensible(q),
        "last-try": lambda _: False,
    }
    with pytest.raises(Stopped, match="last PIN try"):
        conduct(tmp_path / "r", people)
    people.answers = {}
    conduct(tmp_path / "r", people)
    assert [q.name for q in people.asked].count("last-try") == 2
    assert len(recorded(tmp_path / "r", e.TroubleMet)) == 2


def test_a_locked_token_lets_another_holder_sign(tmp_path: Path, people: People) -> None:
    """One lost token must not end the ceremony while the threshold can still be met."""
    stops: list[Any] = []

    def pin(question: Any) -> Any:
        if question.person == "Alice" and "root" in question.details[0] and "destroys" not in question.details[0]:
            return Pin("wrong every time")
        return people.sensible(question)

    def words(question: Any) -> Any:
        if stops and question.person == "Alice":
            assert question.otherwise
            raise Declined
        return people.sensible(question)

    def trouble(question: Any) -> str:
        stops.append(question)
        return "again"

    people.answers = {"pin": pin, "words": words, "trouble": trouble}
    script, inputs = rehearsal.prepare(tmp_path / "r", holders=3, threshold=2)
    # Alice's targets and bins keys lie on the locked token, so only the root can be met: enough to see who may sign it.
    with pytest.raises(Stopped, match="enough seen"):
        conductor.conduct(script, inputs, tmp_path / "r", StopAfterRoot(people))
    state = people.state
    assert all(t.met for t in state.tallies("root"))
    assert {s.holder for s in script.keys if s.name in _signers(tmp_path / "r")} == {"Bob", "Carol"}


class StopAfterRoot(People):
    """Ends the ceremony once root has its signatures."""

    def __init__(self, inner: People) -> None:
        super().__init__()
        self.inner = inner

    def ask(self, question: Any) -> Any:
        state = self.inner.state
        if state and "root" in state.documents and all(t.met for t in state.tallies("root")):
            raise Stopped("enough seen")
        return self.inner.ask(question)

    def show(self, state: Any) -> None:
        self.inner.show(state)

    def trouble(self, error: Any, meaning: str) -> None:
        self.inner.trouble(error, meaning)


def _signers(folder: Path) -> set[str]:
    return {x.key for x in recorded(folder, e.SignatureIntended) if x.role == "root"}


def test_wrong_words_sign_nothing(tmp_path: Path, people: People) -> None:
    """Who typed other words read another document."""
    people.answers = {"words": once(lambda _: "wrong words", people)}
    conduct(tmp_path / "r", people)
    assert any("Nothing was signed" in line for line in people.told)


def test_quit_at_every_question_and_go_on(tmp_path: Path, people: People) -> None:
    """Quitting is always safe: the same line goes on where the ceremony stood."""
    left = [0]

    class Quitter(People):
        def ask(self, question: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Stopped("quit")
            return super().ask(question)

    rounds = 0
    while True:
        rounds += 1
        left[0] = 5  # three digests and a PIN: the fewest answers after which something is on record
        try:
            conduct(tmp_path / "r", Quitter())
            break
        except Stopped:
            assert rounds < 60
    assert rounds > 5
    made = [x.key for x in recorded(tmp_path / "r", e.KeyGenerated)]
    assert len(made) == len(set(made))


def test_an_exception_can_be_noted_at_any_question(tmp_path: Path, people: People) -> None:
    """What goes off the script is on the record, in the words of who saw it."""

    def note(_: Any) -> Any:
        raise Noted("a fire alarm rang; everyone stayed")

    people.answers = {"review": once(note, people)}
    conduct(tmp_path / "r", people)
    assert [x.text for x in recorded(tmp_path / "r", e.ExceptionNoted)] == ["a fire alarm rang; everyone stayed"]


def test_a_seal_that_does_not_agree_is_kept_with_its_reason(tmp_path: Path, people: People) -> None:
    """A signed "no" is as valid as a "yes"."""
    people.answers = {"agree": once(lambda _: "disagree", people), "reason": lambda _: "I was out of the room"}
    state = conduct(tmp_path / "r", people)
    assert sorted((s.agree, s.reason) for s in state.seals.values()) == [(False, "I was out of the room"), (True, "")]


def test_another_script_is_refused(tmp_path: Path, people: People) -> None:
    """A ceremony goes on with the script that it began with, or not at all."""
    from dataclasses import replace

    from vestry.errors import Refused

    script, inputs = rehearsal.prepare(tmp_path / "r", holders=3, threshold=2)
    conductor.conduct(script, inputs, tmp_path / "r", people)
    with pytest.raises(Refused, match="another script"):
        conductor.conduct(replace(script, sha256="00" * 32), inputs, tmp_path / "r", people)
