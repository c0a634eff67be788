"""The tree of a review: rows are found and made one by one, however many there are."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from stage import SIZES, assert_whole, staged, text_of
from tui.test_review_screen import NOW, ROOT, WARNED, bin_, question

from vestry.metadata import canonical, document
from vestry.metadata.changes import Change
from vestry.metadata.review import Review, review
from vestry.text import Safe, printable
from vestry.tui.entry import canonical_rows, escaped, side_by_side
from vestry.tui.glyphs import FULL
from vestry.tui.hunt import Hunt
from vestry.tui.lines import length
from vestry.tui.outline import Outline
from vestry.tui.review import ReviewPane
from vestry.tui.review_app import ReviewApp
from vestry.tui.review_page import FOLDED, page, sections
from vestry.tui.widgets.line_view import LineView

HOSTILE = "a\x1b[31m\u202e\u200b<script>" + "x" * 300


def target(number: int, old: object = None, name: str = "") -> Change:
    path = ("targets", name or f"file-{number:07}")
    where = printable("/".join(path))
    new = {"length": number, "custom": {HOSTILE: HOSTILE}}
    return Change("target-added", path, where, old, new, Safe(f"Target {where} is new"), (), 30)


def flat(row: tuple[object, ...]) -> str:
    return "".join(span.text for span in row)  # type: ignore[attr-defined]


def test_rows_are_made_only_when_looked_at() -> None:
    """Without it a million changes would be a million lists before the first is read."""
    made: list[int] = []
    many = [target(n) for n in range(5 * FOLDED)]
    tree = sections(replace(ROOT, changes=tuple(many)))
    (group,) = [section for section in tree if section.topic == "targets"]
    plain = group.rows
    group.rows = lambda entry, width: made.append(1) or plain(entry, width)  # type: ignore[func-returns-value]
    outline = Outline(tree, 78)
    assert group.folded
    folded = len(outline)
    last = outline.number(tree.index(group), len(many) - 1)
    row = outline.reveal(last)
    assert len(outline) == folded + len(many)
    assert many[-1].path[-1] in flat(outline[row])
    assert len(made) == 1
    place = outline.place(row)
    assert (tree[place.section], place.entry, place.row) == (group, len(many) - 1, 0)


@pytest.mark.parametrize("width", [48, 60, 78])
def test_every_row_is_where_the_sums_say(width: int) -> None:
    """Without it a jump would land beside its entry, or count the wrong one as seen."""
    outline = page(
        replace(WARNED, changes=(*WARNED.changes, *(target(n, name="é" * n) for n in range(40)))), width
    ).lines
    row = 0
    for number, first, last, tall in outline.entries_in(0, len(outline)):
        assert (first, last) == (0, tall)
        section, entry = outline.at_number(number)
        assert outline.number(section, entry) == number
        assert outline.sections[section].height(outline.sections[section].entries[entry], width) == tall
        assert outline.place(outline.first_row(section, entry)).entry == entry
        row += tall
    assert row + sum(s.head for s in outline.sections) == len(outline)
    assert all(length(line) <= width for line in outline)


@pytest.mark.parametrize("width", [40, 80, 132])
def test_old_and_new_lose_nothing(width: int) -> None:
    """Without it the tail of a long value could hide what matters, or an escape sequence could reach the terminal."""
    change = target(7, old={"length": 6, "custom": {}})
    rows = [flat(row) for row in side_by_side(change, width)]
    assert all(len(row) <= width and row.isascii() and row.isprintable() for row in rows)
    half = (width - 3) // 2
    right = [row[half + 3 :] for row in rows] if width >= 60 else rows
    assert printable(json.dumps(HOSTILE, ensure_ascii=False)) in "".join(
        part.removeprefix("* ").strip() for part in right
    )
    assert ("Old" in rows) == (width < 60)


def of_targets(old: object, new: object) -> Review:
    """A review of two targets documents with these members as ``targets``."""
    common = {"_type": "targets", "spec_version": "1.0.31", "version": 1, "expires": "2027-11-23T00:00:00Z"}
    made = [{"signed": {**common, "targets": targets}, "signatures": []} for targets in (old, new)]
    before, after = (document.read(json.dumps(value).encode(), where="test") for value in made)
    return review("targets", after, old=before, now=NOW)


def test_canonical_bytes_can_be_read_back() -> None:
    """Without it what is shown as the bytes would not be the bytes that are signed."""
    one = {"length": 1, "hashes": {"sha256": "00"}, "custom": {"back\\slash": "\\x41", "none": None}}
    of = of_targets({"a": one}, {"a": {**one, "length": 7, "custom": {HOSTILE: HOSTILE}}})
    (change,) = of.changes
    assert change.kind == "target-changed"
    rows = [flat(row) for row in canonical_rows(change, of, 50)]
    assert all(len(row) <= 50 and row.isascii() and row.isprintable() for row in rows)
    starts = [at for at, row in enumerate(rows) if "bytes of canonical JSON" in row]
    assert len(starts) == 2
    assert rows[starts[0] + 1] == rows[starts[1] + 1] == "at targets/a"
    assert of.old is not None
    sides = ((of.old, change.old, rows[starts[0] + 2 : starts[1]]), (of.new, change.new, rows[starts[1] + 2 :]))
    for whole, value, shown in sides:
        raw = canonical.encode(value)
        assert b'{"a":' + raw + b"}" in whole.signed_bytes
        assert "".join(shown) == escaped(raw)
        assert "".join(shown).encode().decode("unicode_escape").encode("latin-1") == raw
        assert json.loads(raw.decode(), strict=False) == value


def test_a_search_never_holds_a_key_up() -> None:
    """Without it a search through a million entries would freeze the screen."""
    now = [0.0]

    def clock() -> float:
        now[0] += 0.011
        return now[0]

    hunt = Hunt("FILE-9", ((n, f"file-{n}") for n in range(10_000)), 10_000)
    hunt.slice(clock)
    assert not hunt.done
    assert hunt.looked < 2_000
    assert "% searched" in hunt.said
    while not hunt.done:
        hunt.slice(clock)
    assert hunt.go(-1) == 9
    assert hunt.said == "1 of 1,111"
    assert hunt.go(9) == 90
    assert hunt.go(9, back=True) == 9999


@pytest.mark.parametrize("size", SIZES)
async def test_search_filter_fold_and_close_up(size: tuple[int, int]) -> None:
    """Without it one line among a million could only be found by paging."""
    many = (*ROOT.changes, *(target(n) for n in range(3000)))
    listed = {c.path[1]: c.new for c in many if c.path[0] == "targets"}
    with_targets = replace(WARNED.new, signed={**WARNED.new.signed, "targets": listed})
    async with staged(question(replace(WARNED, changes=many, new=with_targets)), size=size) as stage:
        await stage.asked()
        pane = stage.app.page.pane
        assert isinstance(pane, ReviewPane)
        view = stage.app.screen.query_one("#page", LineView)
        await stage.pilot.press("slash")
        await stage.sees("Search [")
        await stage.type("file-000299")
        assert_whole(stage.app)
        await stage.pilot.press("enter")
        await stage.sees("1 of 10")
        assert "> + added    Target targets/file-0002990 is new" in text_of(stage.app)
        assert_whole(stage.app)
        await stage.pilot.press("n")
        await stage.sees("2 of 10")
        await stage.pilot.press("N", "N")
        await stage.sees("10 of 10")
        assert "> + added    Target targets/file-0002999 is new" in text_of(stage.app)
        await stage.pilot.press("enter")
        await stage.sees("(not there)")
        assert_whole(stage.app)
        await stage.pilot.press("c")
        await stage.sees("bytes of canonical JSON")
        assert_whole(stage.app)
        assert "\x1b" not in text_of(stage.app)
        await stage.pilot.press("enter")
        await stage.sees("> + added    Target targets/file-0002999 is new")
        await stage.pilot.press("f")
        await stage.sees("> warn   The first thing to answer.")
        await stage.pilot.press("F")
        await stage.sees("> note   Something to know.")
        for shows in ("stops and warnings", "findings", "keys and thresholds", "targets", "fields", "everything"):
            await stage.pilot.press("v")
            await stage.sees(f"showing: {shows}")
            assert_whole(stage.app)
        await stage.pilot.press("v", "v", "v", "v")
        await stage.sees("showing: targets")
        open_ = view.total
        await stage.pilot.press("home", "enter")
        await stage.sees("> [+] Targets (3,000)")
        assert (view.total, open_) == (1, 3001)
        assert stage.answers == []


async def test_a_filter_hides_nothing_from_the_count() -> None:
    """Without it a filter that hides a dangerous change would count it as read."""
    async with staged(question(WARNED)) as stage:
        await stage.asked()
        pane = stage.app.page.pane
        assert isinstance(pane, ReviewPane)
        await stage.pilot.press("v")
        await stage.sees("showing: stops and warnings")
        for _ in range(5):
            await stage.pilot.press("space")
        assert not pane.all_read
        await stage.pilot.press("y")
        await stage.sees("Not all of it was on screen yet")
        await stage.pilot.press("d")
        await stage.sees("showing: everything")


def test_bins_stay_open_below_their_summary() -> None:
    """Without it what the summary stands for could not be read one by one."""
    bins = [bin_(n) for n in range(100)]
    rows = [flat(row) for row in page(replace(ROOT, changes=tuple(bins)), 78).lines]
    assert sum(row.startswith("  + added") for row in rows) == 101


async def test_a_finding_leads_to_its_change() -> None:
    """Without it one would have to search a million changes for the one that a finding is about."""
    of = of_targets({"a": {"length": 1, "hashes": {"sha256": "00"}}}, {"a": {"length": 2, "hashes": {"sha256": "01"}}})
    (changed,) = of.changes
    assert any(f.code == "TARGET-CHANGED" and f.where == changed.where for f in of.findings)
    app = ReviewApp(of, glyphs=FULL)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        tree = app.pane.list
        for _ in of.findings:
            await pilot.press("f")
            found = tree.entry()
            await pilot.press("enter")
            await pilot.pause()
            if found.where == changed.where:
                assert tree.change() is changed
                break
            assert "No change is at the place of this" in text_of(app)
            assert tree.entry() is found
        else:
            raise AssertionError("never came to the finding")
