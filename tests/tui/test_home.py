"""The home screen: everything a newcomer can do, and nothing loaded that it does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from stage import SIZES, assert_whole, text_of

from vestry.cli.main import VERBS
from vestry.media import discovery
from vestry.tui.glyphs import ASCII, FULL
from vestry.tui.home import CHOICES, HomeApp, Wanted, found


@pytest.mark.parametrize("size", SIZES)
async def test_all_choices_are_there(size: tuple[int, int]) -> None:
    """Without it a newcomer would not find the practice ceremony."""
    app = HomeApp(glyphs=ASCII)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        assert_whole(app)
        for choice in CHOICES:
            assert choice.name in text_of(app)
            assert choice.verb.split()[0] in VERBS
        await pilot.press("1")
    assert isinstance(app.return_value, Wanted)
    assert app.return_value.arguments[:2] == ("rehearse", "--into")


async def test_a_path_is_asked_for_and_checked(tmp_path: Path) -> None:
    """Without it a slip in a path would only show after the screen is gone."""
    (tmp_path / "ceremony-scripts").mkdir()
    (tmp_path / "ceremony-scripts" / "pypi-root.toml").write_text("x")
    app = HomeApp(glyphs=FULL, folder=tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        await pilot.pause()
        assert_whole(app)
        assert "ceremony-scripts/pypi-root.toml" in text_of(app)
        await pilot.press("n", "o", "enter")
        await pilot.pause()
        assert "There is no such file or folder." in text_of(app)
        await pilot.press("escape")
        await pilot.pause()
        assert "Rehearse" in text_of(app)
        await pilot.press("2", "down", "enter")
    assert app.return_value == Wanted(("run", "ceremony-scripts/pypi-root.toml"))


async def test_more_than_fit_are_said_and_reached(tmp_path: Path) -> None:
    """Without it what lies below the edge would not be there for anyone."""
    for n in range(40):
        (tmp_path / f"c{n:02}").mkdir()
        (tmp_path / f"c{n:02}" / "bundle.json").write_text("")
    app = HomeApp(glyphs=ASCII, folder=tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await pilot.pause()
        assert_whole(app)
        assert "PgDn: more" in text_of(app)
        assert "c39" not in text_of(app)
        await pilot.press(*["down"] * 30)
        await pilot.pause()
        assert_whole(app)
        assert "> c29" in text_of(app)
        await pilot.press("up", "enter")
    assert app.return_value == Wanted(("review", "c28"))


async def test_bundles_on_a_stick_are_offered_beside_those_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a bundle that came is; and why a drive that is in shows nothing."""
    stick = tmp_path / "stick"
    for place in ("here/a", "stick/b"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "bundle.json").write_text("")
    known = discovery.Drive("/dev/sdb1", "BLADE", file_system="vfat", mounted=stick)
    closed = discovery.Drive("/dev/sdc1", "OTHER", file_system="vfat")
    inserted: list[discovery.Drive] = []
    monkeypatch.setattr(discovery, "find", lambda: tuple(inserted))
    app = HomeApp(glyphs=ASCII, folder=tmp_path / "here")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await pilot.pause()
        assert "BLADE" not in text_of(app)
        inserted += [known, closed]
        await pilot.press("f5", "up")
        await pilot.pause()
        assert_whole(app)
        assert "BLADE" in text_of(app)
        assert "udisksctl mount -b /dev/sdc1" in " ".join(text_of(app).split())
        await pilot.press("enter")
    assert app.return_value == Wanted(("review", str(stick / "b")))


def test_folders_are_named_for_what_they_hold(tmp_path: Path) -> None:
    """Without it one would have to know that a ceremony is a file in a folder."""
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "transcript.jsonl").write_text("")
    (tmp_path / "pyproject.toml").write_text("")
    by_verb = {c.verb: c for c in CHOICES}
    assert found(tmp_path, by_verb["replay"]) == ["done"]
    assert found(tmp_path, by_verb["run"]) == []


def test_home_loads_the_screen_and_nothing_else() -> None:
    """Without it the first screen would wait for cryptography that it does not use."""
    program = "import vestry.tui.home, sys; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(eval(done.stdout))
    heavy = ("tuf", "securesystemslib", "cryptography", "pkcs11", "segno", "orjson")
    ours = ("vestry.ceremony", "vestry.metadata", "vestry.tokens", "vestry.media", "vestry.machine")
    assert not [m for m in loaded if m.split(".")[0] in heavy or m.startswith(ours)]
