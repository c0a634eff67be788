"""The frame: what kind of ceremony, which root, online or not, who has signed, which step."""

from __future__ import annotations

import pytest
from stage import SIZES, assert_whole, staged, text_of

from vestry.ceremony.agenda import RailEntry
from vestry.ceremony.dialogue import Confirm, Front
from vestry.tui.ceremony import RAIL
from vestry.tui.front import ScreenFront, Shown
from vestry.tui.glyphs import ASCII, FULL
from vestry.tui.lines import length
from vestry.tui.outlook import Meter, Outlook, facts, header_lines, meter, rail_lines

TITLES = ("Gather", "Preflight", "Make the keys", "Draft", "Review", "Sign", "Verify", "Destroy keys", "Export", "Seal")
LONG = tuple(f"{title} of the whole repository, once more" for title in TITLES)


def entries(titles: tuple[str, ...], now: int) -> tuple[RailEntry, ...]:
    return tuple(
        RailEntry(i, t, "done" if i < now else "now" if i == now else "later", t.startswith("Sign"))
        for i, t in enumerate(titles)
    )


ROTATION = Outlook(
    "Root rotation of the Python Package Index, autumn",
    "root v12 -> v13",
    False,
    entries(TITLES, 5),
    (Meter("root v12", 2, 3), Meter("root v13", 0, 4), Meter("targets", 1, 2), Meter("bins", 0, 20)),
)


def plain(rows: list[tuple[object, ...]]) -> list[str]:
    return ["".join(span.text for span in row) for row in rows]  # each row is a tuple of spans


@pytest.mark.parametrize("width", [40, 60, 80, 132])
@pytest.mark.parametrize("offline", [True, False, None])
def test_the_header_says_all_at_every_width(width: int, offline: bool | None) -> None:
    """Without it a long title would push the network, the clock or a threshold over the edge."""
    rows = header_lines(ROTATION, facts(offline, "2026-11-23 12:00:00 UTC"), width, FULL)
    assert all(length(row) <= width for row in rows)
    said = " ".join(" ".join(plain(rows)).split())
    assert "root v12 -> v13" in said
    assert {True: "OFFLINE", False: "NETWORK FOUND", None: "network unknown"}[offline] in said
    assert "root v12 [██░] 2 of 3" in said
    assert "root v13 [░░░░] 0 of 4" in said
    assert "bins 0 of 20" in said


def test_a_meter_reads_without_colours_or_blocks() -> None:
    """Without it a poor console would show a threshold as a row of unknown glyphs."""
    assert plain([meter(Meter("root v1", 2, 3), ASCII)]) == ["root v1 [##-] 2 of 3"]
    assert plain([meter(Meter("root v1", 4, 3), ASCII)]) == ["root v1 [###] 4 of 3"]


@pytest.mark.parametrize("titles", [TITLES, LONG])
@pytest.mark.parametrize("now", range(11))
def test_the_rail_marks_done_now_and_no_return(titles: tuple[str, ...], now: int) -> None:
    """Without it one could not tell whether a step can still be repeated."""
    rows, at = rail_lines(entries(titles, now), RAIL - 1, ASCII)
    assert all(length(row) <= RAIL - 1 for row in rows)
    said = plain(rows)
    assert sum(row.startswith("[x] ") for row in said) == now
    assert sum(row.startswith("[ ] ") for row in said) == max(0, 9 - now)
    assert now == 10 or said[at].startswith(" >  ")
    line = next(i for i, row in enumerate(said) if "no return" in row)
    assert said[line + 1].split()[-1 if titles is TITLES else -3].startswith("Sign")


@pytest.mark.parametrize("size", [*SIZES, (60, 20), (40, 12)])
async def test_the_step_that_is_on_is_always_in_the_rail(size: tuple[int, int]) -> None:
    """Without it a long script would scroll the present step out of sight."""

    def run(front: Front) -> None:
        assert isinstance(front, ScreenFront)
        for now in range(10):
            front._post(Shown(Outlook("A long script", "root v1", True, entries(LONG, now), ROTATION.meters)))
            front.ask(Confirm(f"step-{now}", f"Look at step {now}.", "Olivia"))

    async with staged(run=run, size=size) as stage:
        for now in range(10):
            await stage.asked(f"step-{now}")
            if size in SIZES:
                assert_whole(stage.app)
            assert " >  " + TITLES[now].split()[0] in text_of(stage.app)
            await stage.pilot.press("y")


async def test_a_resized_terminal_is_laid_out_anew() -> None:
    """Without it a window that someone pulls smaller would cut what it shows."""
    talk = [f"line {n} of what happened, which is longer than a narrow screen is wide by far" for n in range(30)]

    def run(front: Front) -> None:
        for text in talk:
            front.tell(text)
        front.ask(Confirm("one", "Read this. " * 20, "Olivia", ("A detail. " * 10,)))

    async with staged(run=run, size=(132, 43)) as stage:
        await stage.asked()
        for width, height in ((80, 24), (132, 43), (80, 25), (100, 30)):
            await stage.pilot.resize_terminal(width, height)
            await stage.pilot.pause(0.1)
            assert_whole(stage.app)
            assert "line 29 of what happened" in text_of(stage.app)
