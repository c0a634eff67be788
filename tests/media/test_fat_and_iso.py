"""The file systems that sticks and discs have, by programs of their own where the kernel does not mount them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from archives import contents
from holders import first_root, holder

from vestry.cli.main import main
from vestry.media import bundle
from vestry.media.bundle import Bundle


@pytest.fixture
def made(tmp_path: Path) -> Bundle:
    people = [holder(name) for name in ("ada", "bob")]
    return bundle.create(tmp_path / "made", role="root", unsigned=first_root(people, 2, holder("online")).raw)


@contextmanager
def mounted(place: Path, *command: object) -> Iterator[Path]:
    """What a program in user space mounts at `place`."""
    place.mkdir()
    done = subprocess.run([*map(str, command), place], capture_output=True, text=True, check=False)
    if not place.is_mount():
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()[-200:]}")
    try:
        yield place
    finally:
        subprocess.run(["fusermount", "-u", place], check=True)


def needs(*programs: str) -> None:
    if missing := [p for p in programs if not shutil.which(p)]:
        pytest.skip(f"{', '.join(missing)} not installed")


def test_a_bundle_crosses_on_fat(made: Bundle, tmp_path: Path) -> None:
    """Sticks come with FAT: without links, modes or case, and with names that it must keep."""
    needs("mkfs.vfat", "fusefat", "fusermount")
    image = tmp_path / "stick.img"
    image.touch()
    os.truncate(image, 16 << 20)
    subprocess.run(["mkfs.vfat", image], check=True, capture_output=True)
    with mounted(tmp_path / "stick", "fusefat", "-o", "rw+", image) as stick:
        assert main(["export", str(made.path), str(stick / "out")]) == 0
    with mounted(tmp_path / "again", "fusefat", "-o", "ro", image) as stick:
        assert main(["import", str(stick / "out"), str(tmp_path / "here")]) == 0
    assert contents(bundle.open_bundle(tmp_path / "here")) == contents(made)


def test_a_bundle_is_taken_from_a_disc(made: Bundle, tmp_path: Path) -> None:
    """A disc can't be written to; nothing on the way in may want to."""
    needs("xorriso", "fuseiso", "fusermount")
    disc = tmp_path / "disc.iso"
    burn = ["xorriso", "-as", "mkisofs", "-quiet", "-J", "-R", "-o", disc, made.path]
    subprocess.run(burn, check=True, capture_output=True)
    with mounted(tmp_path / "disc", "fuseiso", disc) as place:
        assert main(["import", str(place), str(tmp_path / "here")]) == 0
    assert contents(bundle.open_bundle(tmp_path / "here")) == contents(made)
