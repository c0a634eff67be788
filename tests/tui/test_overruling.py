"""A stop in a real ceremony, answered and overruled on the screen: by as many people as the script says, no fewer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from people import People
from small import script_text
from stage import Staged, assert_whole, staged, text_of

from vestry.ceremony import conductor, reading, transcript
from vestry.ceremony import events as e
from vestry.ceremony.dialogue import Front
from vestry.errors import Stopped
from vestry.tokens.software import SoftwareSource
from vestry.tui.review import ReviewPane

STOPS = '[review]\noverrule = 2\n[review.most_days]\nroot = 100\n[review.severities]\nEXPIRY-FAR = "stop"\n'


class OnScreen(People):
    """Careful people, but what is asked about the root's review is asked on the screen."""

    screen: Front
    role = ""

    def ask(self, question: Any) -> Any:
        if question.name == "review":
            self.role = question.review.role
        if question.name in ("review", "overrule") and self.role == "root":
            return self.screen.ask(question)
        return super().ask(question)


@pytest.fixture
def made(tmp_path: Path, online: Any) -> tuple[Any, Any]:
    """The small script on software tokens, whose root lives too long."""
    text = script_text(online, {}, {}).replace('use = "pkcs11"\nmodule = "softhsm2"', 'use = "software"')
    (tmp_path / "online.pem").write_bytes(online.pem)
    (tmp_path / "s.toml").write_text(text.replace("[online]", f"{STOPS}\n[online]"))
    for serial in ("0000000001", "0000000002", "0000000003"):
        SoftwareSource(tmp_path / "tokens").create(serial)
    return reading.load(tmp_path / "s.toml")


def question(stage: Staged) -> Any:
    """What the screen asks now."""
    assert stage.app.page.pane is not None
    return stage.app.page.pane.question


@pytest.mark.parametrize("agree", [2, 1])
async def test_a_stop_is_answered_and_overruled_on_the_screen(tmp_path: Path, made: Any, agree: int) -> None:
    """Without it one person could wave a stop through at the keyboard, or an answer could miss the transcript."""
    people = OnScreen()

    def run(front: Front) -> None:
        people.screen = front
        conductor.conduct(*made, tmp_path / "c", people, tokens=tmp_path / "tokens")

    async with staged(run=run) as stage:
        await stage.asked("review")
        pane = stage.app.page.pane
        assert isinstance(pane, ReviewPane)
        await stage.sees("The script lets 2 people overrule it.")
        for _ in range(100):
            if pane.all_read:
                break
            await stage.pilot.press("d")
            await stage.pilot.pause()
        await stage.pilot.press("y")
        wanted = pane.review.to_answer
        for number, finding in enumerate(wanted, 1):
            await stage.sees(f"Answer {number} of {len(wanted)}")
            assert_whole(stage.app)
            await stage.pilot.press("enter")  # an empty answer is none
            await stage.sees("Write an answer")
            await stage.type(f"because of {finding.code}")
            await stage.pilot.press("enter")
        await stage.asked("overrule")
        assert "(0 of 2)" in question(stage).sentence
        assert "EXPIRY-FAR" in text_of(stage.app)
        assert_whole(stage.app)
        await stage.pilot.press("2")
        await stage.until(lambda: "(1 of 2)" in question(stage).sentence, "the second to agree")
        # Who has agreed is not asked again.
        assert "Olivia" not in dict(question(stage).options)
        await stage.pilot.press("2" if agree == 2 else "1")
        stage.app.join()
    records = transcript.read(tmp_path / "c" / "transcript.jsonl")
    read = [r.event for r in records if isinstance(r.event, e.ReviewRead) and r.event.role == "root"]
    if agree == 1:
        assert read == []
        assert isinstance(stage.app.outcome, Stopped)
        return
    assert stage.app.outcome is None
    (event,) = read
    assert set(event.answers) == {f.name for f in wanted}
    assert all(said == f"because of {name.split()[0]}" for name, said in event.answers.items())
    assert list(event.overruled.values()) == [("Olivia", "Walter")]
