"""Leaving the script on the screen: a key that works at any question, what it asks, and a rail that shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from people import People
from stage import assert_whole, staged, text_of

from vestry.ceremony import conductor, rehearsal, transcript
from vestry.ceremony import events as e
from vestry.ceremony.dialogue import Front, Question
from vestry.errors import Stopped


class OnScreen(People):
    """Careful people, who sit at the screen once a question of that name was asked."""

    screen: Front
    seated = False
    since = "agree"

    def ask(self, question: Question[Any]) -> Any:
        self.seated = self.seated or question.name == self.since
        return self.screen.ask(question) if self.seated else super().ask(question)

    def tell(self, line: str, *, good: bool | None = None) -> None:
        self.screen.tell(line, good=good)

    def show(self, state: Any) -> None:
        self.screen.show(state)


@pytest.mark.parametrize("size", [(80, 24), (132, 43)])
async def test_a_step_is_skipped_on_the_screen(tmp_path: Path, size: tuple[int, int]) -> None:
    """Without a key for it people would stop the program at the one step that can't be held; and a step that was
    skipped must not look done."""
    people = OnScreen()
    script, inputs = rehearsal.prepare(tmp_path / "r", holders=3, threshold=2)

    def run(front: Front) -> None:
        people.screen = front
        conductor.conduct(script, inputs, tmp_path / "r", people)

    async with staged(run=run, size=size) as stage:
        await stage.asked("agree")
        await stage.sees("F6 skip or repeat")
        await stage.pilot.press("f6")
        await stage.asked("depart")
        await stage.sees("people to agree")
        assert_whole(stage.app)
        # A way back first; a key by habit changes nothing.
        await stage.pilot.press("1")
        await stage.asked("agree")
        await stage.pilot.press("f6")
        await stage.asked("depart")
        await stage.pilot.press("3")
        await stage.asked("why")
        await stage.pilot.press("f6")  # within it, there is no second one
        await stage.asked("why")
        await stage.type("the sealer was called away")
        await stage.pilot.press("enter")
        await stage.asked("agree-exception")
        assert_whole(stage.app)
        await stage.pilot.press("2")
        await stage.sees("(1 of 2)")
        await stage.pilot.press("2")
        await stage.sees("[-]")
        await stage.asked("finished")
        assert_whole(stage.app)
        assert "[-]" in text_of(stage.app)
        stage.app.front.close()
        stage.app.join()
    assert isinstance(stage.app.outcome, Stopped | None)
    found = [r.event for r in transcript.read(tmp_path / "r" / "transcript.jsonl")]
    (event,) = [x for x in found if isinstance(x, e.StepSkipped)]
    assert event.reason == "the sealer was called away"
    assert len(set(event.people)) == 2


async def test_the_script_can_be_left_in_the_middle_of_a_review(tmp_path: Path) -> None:
    """A review is where people find that a key is wrong: its pane must not swallow the way to another token."""
    people = OnScreen()
    people.since = "review"
    script, inputs = rehearsal.prepare(tmp_path / "r", holders=3, threshold=2)

    def run(front: Front) -> None:
        people.screen = front
        conductor.conduct(script, inputs, tmp_path / "r", people)

    async with staged(run=run) as stage:
        await stage.asked("review")
        await stage.pilot.press("f6")
        await stage.asked("depart")
        await stage.sees("never skipped")
        await stage.pilot.press("3")
        await stage.asked("which-step")
        await stage.sees("3. Make the keys")
        assert_whole(stage.app)
        await stage.type("3")
        await stage.pilot.press("enter")
        await stage.asked("which-one")
        await stage.pilot.press("2")
        await stage.asked("set-aside")
        assert_whole(stage.app)
        await stage.pilot.press("1")
        await stage.asked("why")
        await stage.type("its case is cracked")
        await stage.pilot.press("enter")
        await stage.asked("agree-exception")
        assert_whole(stage.app)
        await stage.pilot.press("2")
        await stage.sees("(1 of 2)")
        await stage.pilot.press("2")
        await stage.asked("new-pin")
        assert "[ ] Draft" in text_of(stage.app)
        stage.app.front.close()
        stage.app.join()
    found = [r.event for r in transcript.read(tmp_path / "r" / "transcript.jsonl")]
    (event,) = [x for x in found if isinstance(x, e.StepRepeated)]
    assert (event.tokens, len(event.aside)) == (("alice",), 1)


async def test_a_watch_is_stated_on_the_screen(tmp_path: Path) -> None:
    """The one check of a clock that needs no network must be a key away."""
    people = OnScreen()
    script, inputs = rehearsal.prepare(tmp_path / "r", holders=3, threshold=2)

    def run(front: Front) -> None:
        people.screen = front
        conductor.conduct(script, inputs, tmp_path / "r", people)

    async with staged(run=run) as stage:
        await stage.asked("agree")
        await stage.pilot.press("f6")
        await stage.asked("depart")
        await stage.pilot.press("2")
        await stage.asked("watch")
        assert_whole(stage.app)
        await stage.type("2001-01-01 00:00")
        await stage.pilot.press("enter")
        await stage.sees("a watch differs")
        assert_whole(stage.app)
        await stage.asked("agree")
        stage.app.front.close()
        stage.app.join()
    found = [r.event for r in transcript.read(tmp_path / "r" / "transcript.jsonl")]
    assert [x.watch for x in found if isinstance(x, e.ClockStated)] == ["2001-01-01T00:00:00Z"]
