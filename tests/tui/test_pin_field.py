"""The PIN: typed, taken once, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from stage import staged, text_of
from textual import events
from textual.message_pump import MessagePump

from vestry.ceremony.dialogue import Confirm, NewSecret, Secret
from vestry.tui.widgets.pin_field import PinField

PIN = "zq7-hunter"
SECRET = Secret("pin", "Type the PIN of Alice's token.", "Alice")
AFTER = Confirm("present", "Look around.")


def held(thing: object, depth: int = 3) -> Iterator[str]:
    """Every text that an object's attributes hold, a few levels down."""
    if isinstance(thing, (str, bytes, bytearray)):
        yield thing if isinstance(thing, str) else bytes(thing).decode("latin-1")
    elif depth and isinstance(thing, dict):
        for key, value in thing.items():
            yield from held(key, depth - 1)
            yield from held(value, depth - 1)
    elif depth and isinstance(thing, (list, tuple, set, frozenset)):
        for value in thing:
            yield from held(value, depth - 1)
    elif depth and hasattr(thing, "__dict__"):
        yield from held(vars(thing), depth)


async def test_a_pin_stays_out_of_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a PIN could be in a message, a widget, the clipboard or a picture of the screen."""
    posted: list[str] = []
    real = MessagePump.post_message

    def watch(self: MessagePump, message: Any) -> bool:
        posted.append(repr(message))
        if not isinstance(message, events.Key):
            # Who sent it is a widget, and those are looked into below.
            posted.extend(held({k: v for k, v in vars(message).items() if not isinstance(v, MessagePump)}))
        return real(self, message)

    monkeypatch.setattr(MessagePump, "post_message", watch)
    async with staged(SECRET, AFTER) as stage:
        await stage.asked("pin")
        field = stage.app.screen.query_one(PinField)
        await stage.type(PIN)
        await stage.pilot.press("shift+home", "ctrl+a", "ctrl+x", "ctrl+insert", "shift+left")
        seen = [text_of(stage.app), stage.app.export_screenshot(), stage.app.clipboard]
        await stage.pilot.press("enter")
        await stage.answered()
        assert stage.answers[0].reveal() == PIN.encode()
        stage.answers[0].wipe()
        await stage.asked("present")
        await stage.pilot.press("y")
        for thing in (stage.app, stage.app.page, field, *stage.app.screen.query("*")):
            seen += list(held(thing, 4))
    assert not [text for text in (*seen, *posted) if PIN in text or PIN[:6] in text]
    assert field.empty


async def test_what_is_not_sent_is_wiped() -> None:
    """Without it a PIN typed and then left, by a stop or a note, would stay in memory under its field."""
    async with staged(SECRET, SECRET) as stage:
        await stage.asked("pin")
        field = stage.app.screen.query_one(PinField)
        await stage.type(PIN)
        assert not field.empty
        await stage.pilot.press("f2")
        await stage.type("note")
        await stage.pilot.press("enter")
        await stage.answered(1)
        await stage.until(lambda: field.empty)
        assert not any(field._typed)


async def test_the_mask_has_one_width() -> None:
    """Without it a picture of the screen would tell how long the PIN is."""
    async with staged(SECRET) as stage:
        await stage.asked("pin")
        widths = set()
        for _ in range(20):
            await stage.pilot.press("x")
            row = next(row for row in text_of(stage.app).split("\n") if "PIN [" in row)
            widths.add(len(row[row.index("[") : row.index("]")]))
            assert row.count("*") + row.count("+") == 8
        assert len(widths) == 1


async def test_nothing_is_pasted() -> None:
    """Without it a PIN could come out of a clipboard, where others read it too."""
    async with staged(SECRET) as stage:
        await stage.asked("pin")
        field = stage.app.screen.query_one(PinField)
        field.post_message(events.Paste("0123456789"))
        await stage.pilot.pause()
        assert field.empty


async def test_backspace_takes_whole_characters() -> None:
    """Without it a corrected PIN would hold half a character, and the token refuse it."""
    async with staged(NewSecret("new-pin", "Choose a PIN.", "Alice", shortest=2)) as stage:
        await stage.asked()
        for _ in range(2):
            field = stage.app.focused
            assert isinstance(field, PinField)
            for character in ("a", "é", "ö"):
                field.post_message(events.Key(character, character))
            await stage.pilot.press("backspace", "enter")
        await stage.answered()
        assert stage.answers[0].reveal() == "aé".encode()


async def test_a_fault_never_shows_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    """Without it an error in the program would print its variables, a PIN among them, on the terminal."""

    async def break_it() -> None:
        async with staged(SECRET) as stage:
            await stage.asked("pin")
            await stage.type(PIN)
            stage.app.page.call_later(lambda: 1 // 0)
            await stage.pilot.pause(0.2)

    with pytest.raises(ZeroDivisionError):
        await break_it()
    printed = capsys.readouterr()
    assert PIN not in printed.out + printed.err
    assert "Traceback" not in printed.out + printed.err
