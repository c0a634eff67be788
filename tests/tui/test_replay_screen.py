"""A replay on the screen: every event can be reached, both ways, and the first failure with one key."""

from __future__ import annotations

from pathlib import Path

import pytest
from stage import SIZES, assert_whole, text_of

from vestry.ceremony import events as e
from vestry.ceremony import transcript
from vestry.ceremony.conductor import TRANSCRIPT, conduct
from vestry.ceremony.dialogue import Choose, Question
from vestry.ceremony.rehearsal import Unattended, prepare
from vestry.ceremony.replay import ReplayStep, replay
from vestry.text import group_hex
from vestry.tui.glyphs import FULL
from vestry.tui.replay import ReplayApp, event_lines


class _Careless(Unattended):
    """Goes on in spite of what preflight says of the machine that the tests run on."""

    def ask(self, question: Question[object]) -> object:
        if isinstance(question, Choose) and question.name == "preflight":
            return "waive"
        return super().ask(question)


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[ReplayStep]:
    folder: Path = tmp_path_factory.mktemp("ceremony")
    script, inputs = prepare(folder, holders=2, threshold=2)
    conduct(script, inputs, folder, _Careless())
    return list(replay(transcript.read(folder / TRANSCRIPT)))


@pytest.mark.parametrize("size", SIZES)
async def test_one_steps_through_all_of_it(steps: list[ReplayStep], size: tuple[int, int]) -> None:
    """Without it an auditor could miss an event, or see one that is cut."""
    app = ReplayApp(steps, glyphs=FULL)
    async with app.run_test(size=size) as pilot:
        for number, step in enumerate(steps):
            if size != SIZES[0] and number % 5:
                continue
            app.go(number)
            await pilot.pause()
            assert_whole(app)
            screen = text_of(app)
            assert f"Line {number} of {len(steps) - 1}: {step.verdict}" in screen
            assert step.recorded.at.replace("T", " ").replace("Z", " UTC") in screen
        await pilot.press("home", "right", "right", "left")
        await pilot.pause()
        assert app.at == 1
        await pilot.press("end")
        assert app.at == len(steps) - 1
        await pilot.pause()
        assert "[x] Seal" in text_of(app)
        assert "2 of 2" in text_of(app)


async def test_the_first_failure_is_one_key_away(steps: list[ReplayStep]) -> None:
    """Without it one false line among hundreds would have to be searched for."""
    broken = [
        s if n < 9 else s._replace(verdict="failed", why="it would have been refused", state=None)
        for n, s in enumerate(steps)
    ]
    app = ReplayApp(broken, glyphs=FULL)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert f"{len(steps) - 9} failed" in text_of(app)
        await pilot.press("f")
        await pilot.pause()
        assert app.at == 9
        assert "it would have been refused" in text_of(app)
        assert_whole(app)
        await pilot.press("f3")
        await pilot.pause()
        assert_whole(app)
        await pilot.press("escape", "f1")
        await pilot.pause()
        assert_whole(app)


async def test_of_a_copy_that_withholds_something_nobody_says_that_none_failed(steps: list[ReplayStep]) -> None:
    """What is withheld may be just the failure."""
    copy = [s if n else s._replace(verdict="withheld", why="not shown") for n, s in enumerate(steps)]
    app = ReplayApp(copy, glyphs=FULL)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "1 withheld" in text_of(app)
        assert "none failed" not in text_of(app)
        assert_whole(app)


@pytest.mark.parametrize("steps_", [[]])
async def test_an_empty_transcript_is_no_fault(steps_: list[ReplayStep]) -> None:
    """Without it a file with nothing in it would end in an error of the program."""
    app = ReplayApp(steps_, glyphs=FULL)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("right", "left", "f", "f3", "end")
        await pilot.pause()
        assert "An empty transcript" in text_of(app)


def test_a_head_is_whole_and_hostile_values_are_escaped() -> None:
    """Without it a forged transcript could write on the auditor's terminal."""
    event = e.ExceptionNoted(3, "\x1b]0;pwned\x07 \u202e")
    recorded = e.Recorded(4, "2026-11-23T12:00:00Z", 1, "Al\x1bice", event, "ab" * 32)
    rows = ["".join(s.text for s in row) for row in event_lines(ReplayStep(recorded, "witnessed", "why", None), 5, 59)]
    text = "\n".join(rows)
    assert all(" " <= c <= "~" or c == "\n" for c in text)
    assert "\\u{1b}]0;pwned\\u{7}" in text
    assert all(group in text for group in group_hex("ab" * 32))


async def test_one_jumps_to_steps_and_people_both_ways(steps: list[ReplayStep]) -> None:
    """An auditor asks what Bob did, and what happened at the export: not line by line."""
    app = ReplayApp(steps, glyphs=FULL)
    async with app.run_test(size=(80, 24)) as pilot:
        people = [step.recorded.by for step in steps]
        script = steps[-1].state.script
        await pilot.press("p")
        assert people[app.at] != people[0]
        first = app.at
        assert set(people[:first]) == {people[0]}
        await pilot.press("t")
        assert people[app.at] == people[first]
        assert app.at == people.index(people[first], first + 1)
        await pilot.press("T")
        assert app.at == first
        await pilot.press("P")
        assert people[app.at] != people[first]
        await pilot.press("home")
        seen = []
        while not seen or app.at != seen[-1]:
            seen.append(app.at)
            await pilot.press("s")
            await pilot.pause()
            assert f"Step: {script.steps[min(len(seen), len(script.steps) - 1)].title}" in text_of(app)
        assert len(seen) == len(script.steps)
        await pilot.press("S")
        assert app.at == seen[-2]
        await pilot.press("f")
        assert app.at == seen[-2], "nothing failed, so there is nowhere to go"
