"""A drive that is full, pulled out, failing or lying, at every call that an export makes of it.

The real export runs in processes of its own over a shim between Python and the C library (drive_shim.c, in place of a
device that fails on command). After each fault, nothing on the drive may pass for the bundle unless it is the bundle.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from archives import contents
from holders import first_root, holder

from vestry.cli.main import main
from vestry.errors import VestryError
from vestry.media import bundle, drives

SHIM = Path(__file__).with_name("drive_shim.c")
DRIVER = Path(__file__).with_name("drive_driver.py")
CODES = {
    errno.ENOSPC: "E-DRIVE-FULL",
    errno.EIO: "E-DRIVE-ERROR",
    errno.ENODEV: "E-DRIVE-GONE",
    errno.EROFS: "E-DRIVE-READONLY",
}


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed: apt-get install gcc")
    made = tmp_path_factory.mktemp("shim") / "drive_shim.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-w", "-o", str(made), str(SHIM), "-ldl"], check=True)
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> bundle.Bundle:
    """A bundle with one signature, and one of before it was signed."""
    folder = tmp_path_factory.mktemp("made")
    people = [holder(name) for name in ("ada", "bob")]
    root = first_root(people, 2, holder("online"))
    before = bundle.create(folder / "before", role="root", unsigned=root.raw)
    shutil.copytree(before.path, folder / "bundle")
    return bundle.add_signature(bundle.open_bundle(folder / "bundle"), people[0].sign(root))


def attempts(shim: Path, made: bundle.Bundle, prepared: Path, work: Path, *faults: str) -> list[dict[str, Any]]:
    work.mkdir()
    done = subprocess.run(
        [sys.executable, str(DRIVER), str(made.path), str(prepared), str(work), *faults],
        env=os.environ | {"LD_PRELOAD": str(shim), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(not one["met"] for one in found) == len(faults), "each kind ends with an export that met no fault"
    return found


def taken_for_whole(folder: Path, tmp_path: Path) -> bool:
    """Whether `vestry import`, `vestry verify` or sha256sum(1) take a folder for a bundle; all three say the same."""
    imported = main(["import", str(folder), str(tmp_path / f"import-{folder.parent.name}")]) == 0
    try:
        bundle.open_bundle(folder)
        opened = True
    except VestryError:
        opened = False
    summed = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, check=False)
    assert imported == opened == (summed.returncode == 0), (folder, imported, opened, summed)
    return opened


@pytest.mark.parametrize("held", ["nothing", "an older export"])
def test_no_fault_at_any_call_leaves_what_passes_for_a_whole_export(
    shim: Path, made: bundle.Bundle, tmp_path: Path, held: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Full, failing, write-protected or pulled out, at every call of every kind."""
    prepared = tmp_path / "prepared"
    prepared.mkdir()
    if held != "nothing":
        shutil.copytree(made.path.with_name("before"), prepared / "bundle")
    whole = contents(made)
    often = 1 if held == "nothing" else 2
    faults = [
        f"any gone {errno.ENODEV} {often}",
        f"any once {errno.EIO} {2 * often}",
        f"write once {errno.ENOSPC} {often}",
        f"fsync once {errno.EIO} 2",
        f"open once {errno.EROFS} 7",
    ]
    found = attempts(shim, made, prepared, tmp_path / "work", *faults)
    assert len(found) > 80 / often
    for one in found:
        folder, number = Path(one["drive"]) / "bundle", int(one["name"].split("-")[2])
        passes = folder.is_dir() and taken_for_whole(folder, tmp_path)
        if one["met"]:
            assert one["status"] == 3, one
            assert one["said"].count("\n") == 1, one
            # What lies there already is read before anything is written.
            written = f"[{CODES[number]}]" in one["said"] and "not complete" in one["said"]
            assert written or (held != "nothing" and "can't be read" in one["said"]), one
        else:
            assert (one["status"], passes) == (0, True), one
        if passes:
            there = contents(bundle.open_bundle(folder))
            older = contents(bundle.open_bundle(made.path.with_name("before")))
            assert there in (whole, older), f"{one['name']} passes for whole and is neither"
            assert held != "nothing" or there == whole
    capsys.readouterr()


def test_silent_corruption_is_found_by_reading_back(shim: Path, made: bundle.Bundle, tmp_path: Path) -> None:
    """A bit that flips or a write that is lost, at every write and at every read, and no call fails."""
    prepared = tmp_path / "prepared"
    prepared.mkdir()
    found = attempts(shim, made, prepared, tmp_path / "work", "write flip 0 1", "write lose 0 1", "read flip 0 1")
    met = [one for one in found if one["met"]]
    assert len(met) >= 3 * len(contents(made))
    for one in met:
        assert (one["status"], "[E-DRIVE-LIES]" in one["said"]) == (3, True), one
        assert not (Path(one["drive"]) / "bundle" / drives.SUMS).exists(), one
