"""QR codes on the screen: what was painted is read back from a picture of it."""

from __future__ import annotations

import asyncio
import random

import pytest
from pictures import codes, screen
from stage import assert_whole, text_of
from textual import events

from vestry.media import qr, qr_cargo, qr_text
from vestry.media.qr_transfer import Receiver
from vestry.metadata.document import Signature
from vestry.tui.glyphs import ASCII, FULL, VT, Glyphs
from vestry.tui.qr_screen import SPEEDS, QrApp, plan

PAYLOAD = {"payload.bin": random.Random(80).randbytes(8192)}
CONTENT = qr_cargo.pack(PAYLOAD)
OWN = -(-8192 // qr_text.packet_length(qr.room(6)))
"""The packets that 8 KiB have of themselves, in the code that fits into 80x24."""
SMALL = qr_cargo.pack({"a.bin": random.Random(1).randbytes(900)})


def app(content: bytes = SMALL, *, glyphs: Glyphs = FULL, still: str = "") -> QrApp:
    made = QrApp("root v2, the bundle", content, still=still, glyphs=glyphs, now=lambda: 0.0)
    made.paused = True
    return made


async def test_8_kib_through_pictures_of_an_80x24_terminal() -> None:
    """Without it the promise of at most a tenth more frames would rest on matrices that nobody sees."""
    shown, read = app(CONTENT), []
    async with shown.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert_whole(shown)
        for _ in range(int(1.10 * OWN / 0.6)):
            read.append(codes(screen(shown)))
            shown.post_message(events.Key("right", None))
            while shown.frame < len(read):
                await asyncio.sleep(0)
        await pilot.pause()
        assert f"Frame {len(read) + 1} " in text_of(shown)
    texts = [found[0] for found in read if len(found) == 1]
    assert len(texts) == len(read) == len(set(texts)), "a frame on the screen was not read"
    assert needed(texts) <= 1.10 * OWN
    for seed in range(20):
        chance = random.Random(seed)
        assert needed([text for text in texts if chance.random() >= 0.30]) <= 1.10 * OWN


def needed(texts: list[str]) -> int:
    """How many of these frames a reader takes until the payload is whole and right."""
    receiver = Receiver()
    for count, text in enumerate(texts, start=1):
        receiver.take(text)
        if receiver.contents:
            assert [qr_cargo.unpack(c) for c in receiver.contents.values()] == [PAYLOAD]
            return count
    pytest.fail(f"{len(texts)} frames were not enough")


@pytest.mark.parametrize(
    ("size", "glyphs", "version"),
    [
        ((80, 24), FULL, 6),
        ((80, 25), FULL, 7),
        ((132, 43), FULL, 15),
        ((60, 40), FULL, 9),
        ((128, 48), VT, 6),
        ((128, 48), ASCII, 6),
        ((80, 40), VT, 3),
    ],
)
async def test_the_code_grows_with_the_window_and_is_read(size: tuple[int, int], glyphs: Glyphs, version: int) -> None:
    """Without it a larger window would not be used, or a poorer font would paint what no camera reads."""
    shown = app(glyphs=glyphs)
    async with shown.run_test(size=size) as pilot:
        await pilot.pause()
        assert_whole(shown)
        planned = plan(SMALL, "", *size, glyphs)
        assert planned is not None
        assert planned.version == version
        assert planned.sending is not None
        assert codes(screen(shown)) == [planned.sending.text(0)]


@pytest.mark.parametrize(("size", "glyphs"), [((80, 24), VT), ((80, 24), ASCII), ((40, 12), FULL)])
async def test_where_no_code_fits_the_screen_says_what_to_do(size: tuple[int, int], glyphs: Glyphs) -> None:
    """Without it a console with a poor font would show rubbish, or nothing."""
    shown = app(glyphs=glyphs)
    async with shown.run_test(size=size) as pilot:
        await pilot.pause()
        assert_whole(shown)
        said = " ".join(text_of(shown).split())
        assert "No QR code fits" in said
        assert "vestry export" in said
        assert codes(screen(shown)) == []
        await pilot.press("right", "space", "+", "r")
    assert shown.fault is None


async def test_what_is_too_long_for_this_window_is_said() -> None:
    """Without it a small window would end the program, or show codes for hours."""
    shown = app(qr_cargo.pack({"a.bin": random.Random(1).randbytes(100_000)}), glyphs=VT)
    async with shown.run_test(size=(80, 40)) as pilot:
        await pilot.pause()
        assert_whole(shown)
        assert "enlarge the window" in " ".join(text_of(shown).split())


async def test_another_window_begins_the_frames_of_its_own_code() -> None:
    """Without it frames of two sizes would follow each other, and the count would be of both."""
    shown = app()
    async with shown.run_test(size=(80, 24)) as pilot:
        await pilot.press("right", "right")
        assert shown.frame == 2
        await pilot.resize_terminal(132, 43)
        await pilot.pause()
        assert shown.frame == 0
        (text,) = codes(screen(shown))
        frame = qr_text.frame(text)
        assert frame is not None
        assert len(frame.packet) == qr_text.packet_length(qr.room(15))


async def test_keys() -> None:
    """Without it whoever holds the camera could not slow it down, stop it, or look again."""
    shown = app()
    async with shown.run_test(size=(80, 24)) as pilot:
        assert "PAUSED" in text_of(shown)
        await pilot.press("right", "right", "left")
        assert shown.frame == 1
        await pilot.press("left", "left", "left")
        assert shown.frame == 0
        await pilot.press("space", *"+++")
        async with asyncio.timeout(10):
            while shown.frame < 2:
                await asyncio.sleep(0.02)
        await pilot.pause()
        assert f"{SPEEDS[-1]} a second" in text_of(shown)
        await pilot.press("space", "r")
        assert shown.frame == 0
        await pilot.press(*"------", "space")
        await pilot.pause()
        assert f"{SPEEDS[0]} a second" in text_of(shown)
        await pilot.press("escape")
    assert shown.fault is None


def test_nothing_is_shown_faster_than_a_phone_reads() -> None:
    """Without it two frames would share one picture of a camera that takes thirty a second."""
    assert max(SPEEDS) <= 10


async def test_a_signature_is_one_still_code() -> None:
    """Without it a holder elsewhere could not answer with a single picture."""
    signature = Signature("ab" * 32, "cd" * 72)
    shown = app(still=qr_text.signature_text(signature))
    async with shown.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert_whole(shown)
        assert "One picture is enough" in text_of(shown)
        (text,) = codes(screen(shown))
        await pilot.press("right", "space")
        assert codes(screen(shown)) == [text]
    assert qr_text.signature(text) == signature


async def test_a_signature_too_long_for_one_code_goes_as_a_file() -> None:
    """Without it a holder with an RSA key would see nothing."""
    signature = Signature("ab" * 32, "cd" * 512)
    shown = app(SMALL, still=qr_text.signature_text(signature))
    async with shown.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        (text,) = codes(screen(shown))
    assert qr_text.frame(text) is not None
