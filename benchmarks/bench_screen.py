"""A key press on a review of a million changes against the same press on one of a hundred, on the real screen."""

from __future__ import annotations

import asyncio
import resource
import statistics
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from textual import events
from textual.strip import Strip

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from stage import staged

from vestry.ceremony.dialogue import ReadReview
from vestry.metadata import document, drafting
from vestry.metadata.changes import Change
from vestry.metadata.keys import Key
from vestry.metadata.review import Review, review
from vestry.text import Safe
from vestry.tui.hunt import Hunt
from vestry.tui.review import ReviewPane
from vestry.tui.widgets.line_view import LineView

FEW, MANY = 100, 1_000_000
PRESSES = 30
KEYS = ("down", "pagedown", "end", "n")
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def made(count: int) -> Review:
    """A root with `count` changed targets besides: what they hang in does not matter to a list."""
    private = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
    der = private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    key = Key.from_spki(der, "ed25519")
    roles = {name: (1, [key]) for name in ("root", "targets", "snapshot", "timestamp")}
    raw = drafting.root(version=1, expires=NOW + timedelta(days=365), roles=roles)
    base = review("root", document.read(raw, where="bench"), now=NOW)
    changes = tuple(
        Change(
            "target-added",
            ("targets", name := f"packages/ab/cd/project-{n:07}-1.0.tar.gz"),
            where := Safe(f"targets/{name}"),
            None,
            {"length": n},
            Safe(f"Target {where} is new, {n} bytes, with one hash of 64 digits"),
            (),
            30,
        )
        for n in range(count)
    )
    return replace(base, changes=changes)


async def presses(count: int) -> tuple[dict[str, float], float]:
    """Median milliseconds from a key to its repaint, by key; and the longest that the search held the loop."""
    question = ReadReview("review", "Read.", "Olivia", (), review=made(count))
    async with staged(question) as stage:
        await stage.asked()
        pane = stage.app.page.pane
        assert isinstance(pane, ReviewPane)
        view = stage.app.screen.query_one("#page", LineView)
        slices: list[float] = []
        plain = Hunt.slice

        def timed(hunt: Hunt) -> None:
            begin = time.perf_counter()
            plain(hunt)
            slices.append(time.perf_counter() - begin)

        Hunt.slice = timed  # type: ignore[method-assign, assignment]
        painted = asyncio.Event()
        paint = view.render_line

        def watched(y: int) -> Strip:
            if y == view.size.height - 1:
                painted.set()
            return paint(y)

        view.render_line = watched  # type: ignore[method-assign]
        await stage.pilot.press("slash")
        await stage.type("9-1.0.tar")
        await stage.pilot.press("enter")
        assert pane.list.hunt is not None
        while not pane.list.hunt.done:
            await asyncio.sleep(0.01)
        assert len(pane.list.hunt.hits) == count // 10
        assert view.total > count
        found: dict[str, float] = {}
        for name in KEYS:
            times = []
            for turn in range(PRESSES):
                if name == "end" or (turn % 5 == 0 and name != "n"):
                    pane.post_message(events.Key("home", None))
                    await stage.pilot.pause()
                painted.clear()
                begin = time.perf_counter()
                pane.post_message(events.Key(name, name if len(name) == 1 else None))
                await painted.wait()
                times.append(time.perf_counter() - begin)
                await stage.pilot.pause()
            found[name] = 1000 * statistics.median(times)
        Hunt.slice = plain  # type: ignore[method-assign]
        return found, 1000 * max(slices)


def main() -> None:
    """Measure both, and say the ratio."""
    few, _ = asyncio.run(presses(FEW))
    many, worst = asyncio.run(presses(MANY))
    for name in KEYS:
        print(
            f"{name:<8} {few[name]:5.1f} ms of {FEW}, {many[name]:5.1f} ms of {MANY:,}: {many[name] / few[name]:.2f} x"
        )
    a, b = statistics.median(few.values()), statistics.median(many.values())
    print(f"a key press on a million changes: {b / a:.2f} x the one on a hundred ({b:.1f} : {a:.1f} ms, medians)")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"longest slice of a search {worst:.0f} ms; most memory, changes included, {memory} MiB")


if __name__ == "__main__":
    main()
