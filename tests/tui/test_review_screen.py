"""The review on the screen: all of it was on screen, whole and in order of danger, before anyone may say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from stage import SIZES, Staged, assert_whole, painted, staged, text_of

from vestry.ceremony.dialogue import ReadReview
from vestry.metadata import document, drafting
from vestry.metadata.changes import DANGEROUS, Change
from vestry.metadata.findings import Finding
from vestry.metadata.keys import Key
from vestry.metadata.review import Review, review
from vestry.text import Safe, group_hex, words
from vestry.tui.review import ReviewPane
from vestry.tui.review_page import MANY, alike, page
from vestry.tui.widgets.line_view import LineView

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def key(number: int) -> Key:
    private = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    der = private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Key.from_spki(der, "ed25519")


def made(extra: Mapping[str, Any] | None = None) -> Review:
    keys = [key(n) for n in range(1, 6)]
    online = key(9)
    roles = {"root": (3, keys), "targets": (2, keys[:2]), "snapshot": (1, [online]), "timestamp": (1, [online])}
    raw = drafting.root(version=1, expires=NOW + timedelta(days=365), roles=roles, extra=extra or {})
    return review("root", document.read(raw, where="draft"), now=NOW)


ROOT = made()
WARNED = replace(
    ROOT,
    findings=(
        Finding("A-WARN", "warn", Safe("roles/root"), Safe("The first thing to answer.")),
        Finding(
            "B-WARN", "warn", Safe("expires"), Safe("The second thing to answer, which is longer than a line. " * 3)
        ),
        Finding("C-NOTE", "note", Safe("x"), Safe("Something to know.")),
    ),
)


def question(of: Review) -> ReadReview:
    return ReadReview("review", "Read what root v1 says, to its end.", "Olivia", ("Everyone reads along.",), review=of)


async def read_all(stage: Staged) -> int:
    """Press the key that goes on until all was seen; how often that was."""
    pane = stage.app.page.pane
    assert isinstance(pane, ReviewPane)
    for pressed in range(100):
        if pane.all_read:
            return pressed
        await stage.pilot.press("d")
        await stage.pilot.pause()
        assert_whole(stage.app)
    raise AssertionError(text_of(stage.app))


@pytest.mark.parametrize("size", SIZES)
async def test_it_opens_only_when_all_was_on_screen(size: tuple[int, int]) -> None:
    """Without it one could say that all was read after the first page."""
    async with staged(question(ROOT), size=size) as stage:
        await stage.asked()
        pane = stage.app.page.pane
        assert isinstance(pane, ReviewPane)
        assert_whole(stage.app)
        assert all(group in text_of(stage.app) for group in group_hex(ROOT.new.digest))
        if size[1] < 30:
            assert "y all of it was read" not in text_of(stage.app)
            await stage.pilot.press("y")
            await stage.sees("Not all of it was on screen yet")
            assert stage.answers == []
        await read_all(stage)
        await stage.sees("y all of it was read")
        await stage.pilot.press("enter")
        assert stage.answers == []
        await stage.pilot.press("y")
        await stage.answered()
        assert stage.answers == [{}]


@pytest.mark.parametrize("size", SIZES)
async def test_every_line_can_be_reached(size: tuple[int, int]) -> None:
    """Without it the last change of a long list could not be read at all."""
    async with staged(question(WARNED), size=size) as stage:
        await stage.asked()
        seen: list[str] = []
        for _ in range(30):
            assert_whole(stage.app)
            seen += painted(stage.app)
            view = stage.app.screen.query_one("#page", LineView)
            if view.top + view.room >= view.total:
                break
            await stage.pilot.press("space")
        every = " ".join(" ".join(seen).split())
        for change in WARNED.changes:
            assert " ".join(change.text.split()[:6]) in every
        for keyid in {change.path[-1] for change in WARNED.changes if change.kind == "key-added"}:
            assert keyid in every, "a key id must be whole somewhere"
        assert set(words(WARNED.new.digest)) <= set(every.split())
        assert "0 of 3 of root v1" in every


async def test_seen_means_painted_and_not_behind_a_panel() -> None:
    """Without it lines below the fold, or behind the help, would count as read."""
    async with staged(question(ROOT)) as stage:
        await stage.asked()
        pane = stage.app.page.pane
        assert isinstance(pane, ReviewPane)
        first = len(pane.list.seen)
        on_screen = sum(change.text[:12] in text_of(stage.app) for change in ROOT.changes if change.danger >= DANGEROUS)
        assert first <= on_screen + len(ROOT.findings)
        await stage.pilot.press("f1")
        await stage.pilot.press("space", "pagedown", "d")
        await stage.pilot.pause()
        assert len(pane.list.seen) == first


async def test_each_finding_gets_its_answer() -> None:
    """Without it a warning would be waved through with the rest."""
    async with staged(question(WARNED)) as stage:
        await stage.asked()
        await read_all(stage)
        await stage.pilot.press("y")
        await stage.sees("Answer 1 of 2")
        assert "The first thing to answer." in text_of(stage.app)
        await stage.pilot.press("enter")
        await stage.sees("Write an answer")
        assert_whole(stage.app)
        await stage.type("it is meant")
        await stage.pilot.press("enter")
        await stage.sees("Answer 2 of 2")
        assert "The second thing to answer" in text_of(stage.app)
        assert_whole(stage.app)
        await stage.type("so is q and y")
        await stage.pilot.press("enter")
        await stage.answered()
        assert stage.answers == [{"A-WARN roles/root": "it is meant", "B-WARN expires": "so is q and y"}]


async def test_an_answer_can_be_mended_before_it_is_written_down() -> None:
    """A slip at the keyboard would stand in the transcript for good."""
    async with staged(question(WARNED)) as stage:
        await stage.asked()
        await read_all(stage)
        await stage.pilot.press("y")
        await stage.sees("Up back to the list")
        await stage.type("it is meant")
        await stage.pilot.press("enter")
        await stage.sees("Answer 2 of 2")
        await stage.type("half")
        await stage.pilot.press("up")
        await stage.sees("Answer 1 of 2")
        await stage.type(" so")
        await stage.pilot.press("up")
        await stage.sees("all of it was read")
        assert_whole(stage.app)
        await stage.pilot.press("y")
        await stage.sees("it is meant so")
        await stage.pilot.press("enter")
        await stage.sees("Answer 2 of 2")
        await stage.type(" and half")
        await stage.pilot.press("enter")
        await stage.answered()
        assert stage.answers == [{"A-WARN roles/root": "it is meant so", "B-WARN expires": "half and half"}]


async def test_the_file_itself_is_one_key_away() -> None:
    """Without it one would have to believe the list; and looking at the file must not count as reading the list."""
    async with staged(question(ROOT)) as stage:
        await stage.asked()
        pane = stage.app.page.pane
        assert isinstance(pane, ReviewPane)
        before = len(pane.list.seen)
        await stage.pilot.press("r")
        await stage.sees('"signatures": []')
        assert_whole(stage.app)
        await stage.pilot.press("space", "space", "y")
        await stage.pilot.pause()
        assert (len(pane.list.seen), stage.answers) == (before, [])
        await stage.pilot.press("r")
        await stage.sees("seen")


def test_danger_comes_first() -> None:
    """Without it the one line that matters could stand on the last page."""
    rows = ["".join(span.text for span in row) for row in page(WARNED, 78).lines]
    at = {
        name: next(i for i, row in enumerate(rows) if row.startswith(name)) for name in ("Findings", "Changes", "Other")
    }
    assert at["Findings"] < at["Changes"] < at["Other"]
    dangerous = [c for c in WARNED.changes if c.danger >= DANGEROUS]
    assert len(page(WARNED, 78).items) == len(WARNED.findings) + len(dangerous)


def bin_(number: int, **other: Any) -> Change:
    role = {
        "name": f"bin-{number:04x}",
        "keyids": ["ab"],
        "threshold": 1,
        "path_hash_prefixes": [f"{number:04x}"],
    } | other
    path = ("delegations", "roles", f"bin-{number:04x}")
    return Change(
        "delegation-added", path, Safe("/".join(path)), None, {"position": number, "role": role}, Safe("x"), (), 76
    )


def test_many_alike_count_as_one_and_an_odd_one_never_hides_among_them() -> None:
    """Without it 16,384 bins would have to be paged through; or one with another key would pass among them."""
    bins = [bin_(n) for n in range(3 * MANY)]
    assert [len(group) for group in alike(bins)] == [3 * MANY]
    for odd in (
        {"keyids": ["cd"]},
        {"threshold": 2},
        {"path_hash_prefixes": ["0001", "0002"]},
        {"x": 1},
        {"paths": []},
    ):
        mixed = [*bins[:MANY], bin_(MANY, **odd), *bins[MANY + 1 :]]
        groups = alike(mixed)
        assert [bins[MANY].where] in [[c.where for c in group] for group in groups] or len(groups[0]) == MANY, odd
        assert len(groups) > 1, odd
    listed = page(replace(ROOT, changes=tuple(bins)), 78)
    assert len(listed.items) == len(ROOT.findings) + 1
    assert len(listed.lines) > len(bins)
