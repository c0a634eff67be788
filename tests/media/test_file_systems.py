"""Real file systems of real media: FAT that is pulled out, optical discs, and a stick that is smaller than it says.

FAT and ISO 9660 are mounted by FUSE, since many kernels that tests run on have neither. Killing its server is to pull
the stick out: from then on every call fails, and what had reached the medium is what is there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from archives import contents, tree
from holders import first_root, holder
from sticks import run

from vestry.cli.main import main
from vestry.errors import MediumTrouble
from vestry.media import arrivals, bundle, drives
from vestry.media.bundle import Bundle


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with one signature."""
    people = [holder(name) for name in ("ada", "bob")]
    root = first_root(people, 2, holder("online"))
    folder = tmp_path_factory.mktemp("made") / "home"
    return bundle.add_signature(bundle.create(folder, role="root", unsigned=root.raw), people[0].sign(root))


@contextmanager
def mounted(*server: object, at: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The server of a mounted file system; when it is killed inside, the mount is dead, and goes when this ends."""
    if not shutil.which(str(server[0])) or not os.access("/dev/fuse", os.W_OK):
        pytest.skip(f"{server[0]} or FUSE is not here")
    at.mkdir(exist_ok=True)
    started = subprocess.Popen([*map(str, server), str(at)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 10
        while not os.path.ismount(at):
            if started.poll() is not None or time.monotonic() > until:
                pytest.skip(f"{server[0]} can't mount here")
            time.sleep(0.01)
        yield started
    finally:
        subprocess.run(["umount", "--lazy", at], check=False, capture_output=True)
        started.wait(10)


def fat(image: Path, at: Path, mode: str = "rw+") -> Any:
    """A stick with FAT."""
    if not image.exists():
        with image.open("wb") as empty:
            empty.truncate(4 << 20)
        run(shutil.which("mkfs.vfat") or "/usr/sbin/mkfs.vfat", "-n", "STICK", image)
    return mounted("fusefat", "-f", "-o", mode, image, at=at)


def test_a_bundle_travels_on_fat(made: Bundle, tmp_path: Path) -> None:
    """What every stick has. It is written, taken out, and read again under write protection."""
    image, stick = tmp_path / "image", tmp_path / "stick"
    with fat(image, stick):
        for _ in range(2):
            assert main(["export", str(made.path), str(stick)]) == 0
    with fat(image, stick, "ro"):
        subprocess.run(["sha256sum", "-c", drives.SUMS], cwd=stick / "home", check=True, capture_output=True)
        assert main(["import", str(stick), str(tmp_path / "new")]) == 0
    assert contents(bundle.open_bundle(tmp_path / "new")) == contents(made)


@pytest.mark.parametrize("at", range(6))
def test_fat_pulled_out_at_any_write_holds_nothing_that_passes_for_whole(
    made: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], at: int
) -> None:
    """At 0 before anything is looked at; at 5 when all was written and compared, and only the last sync is to come."""
    image, stick = tmp_path / "image", tmp_path / "stick"
    real, calls = os.fsync, [0]
    with fat(image, stick) as server:

        def fsync(descriptor: int) -> None:
            calls[0] += 1
            if calls[0] == 2 * at:
                server.kill()
                server.wait()
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        if at == 0:
            server.kill()
            server.wait()
        assert main(["export", str(made.path), str(stick)]) == 3
        said = capsys.readouterr().err
        assert ("E-DRIVE-GONE" if at else "E-DRIVE-ERROR") in said
        assert said.count("\n") == 1
        assert main(["import", str(stick), str(tmp_path / "new")]) == 3
        assert "E-DRIVE-ERROR" in capsys.readouterr().err
        with pytest.raises(MediumTrouble):  # what a ceremony's step imports by: it must not end for a stick
            arrivals.signatures_in(stick)
    monkeypatch.undo()
    with fat(image, stick, "ro"):
        passes = main(["import", str(stick), str(tmp_path / "new")]) == 0
        assert passes == bool(list(stick.rglob(drives.SUMS))) == (at == 5)
    assert not passes or contents(bundle.open_bundle(tmp_path / "new")) == contents(made)


@pytest.mark.parametrize("names", [("-R",), ("-J",)], ids=["Rock Ridge", "Joliet"])
def test_a_bundle_comes_on_an_optical_disc(made: Bundle, tmp_path: Path, names: tuple[str, ...]) -> None:
    """Nothing can be written to it, so whoever burnt it knows what was sent. Joliet cuts names after 64 letters, so
    signatures need Rock Ridge."""
    sent = tmp_path / "sent" / "home"
    shutil.copytree(made.path, sent, ignore=shutil.ignore_patterns(*(["signatures"] if "-J" in names else [])))
    (sent / drives.SUMS).write_bytes(drives.sums(contents(Bundle(sent, "", made.document))))
    if shutil.which("xorriso") is None:
        pytest.skip("xorriso is not installed")
    image = tmp_path / "disc.iso"
    run("xorriso", "-as", "mkisofs", *names, "-o", image, sent.parent)
    with mounted("fuseiso", "-n", image, at=tmp_path / "disc"):
        assert main(["import", str(tmp_path / "disc"), str(tmp_path / "new")]) == 0
        assert main(["export", str(made.path), str(tmp_path / "disc")]) == 3
    came = bundle.open_bundle(tmp_path / "new")
    assert came.document == made.document
    assert len(came.signatures) == ("-R" in names)


def test_a_stick_that_is_smaller_than_it_says_is_found_out(
    made: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """16 MiB by its own word, 1 MiB in truth: the room that it says it has is no proof."""
    with ExitStack() as stack:
        try:
            for name in ("memory", "stick"):
                (tmp_path / name).mkdir()
            run("mount", "-t", "tmpfs", "-o", "size=1m", "none", tmp_path / "memory")
            stack.callback(run, "umount", tmp_path / "memory")
            image = tmp_path / "memory" / "image"
            with image.open("wb") as empty:
                empty.truncate(16 << 20)
            options = ("-q", "-F", "-O", "^has_journal", "-E", "nodiscard,lazy_itable_init=1")
            run(shutil.which("mkfs.ext4") or "/usr/sbin/mkfs.ext4", *options, image)
            device = run("losetup", "--find", "--show", image)
            stack.callback(run, "losetup", "--detach", device)
            run("mount", device, tmp_path / "stick")
            stack.callback(run, "umount", tmp_path / "stick")
        except OSError as error:
            pytest.skip(f"no file system can be mounted here: {error}")
        files = {**made.contents(), "notes": os.urandom(2 << 20)}
        del files[drives.SUMS]
        before = tree(tmp_path / "stick")
        with pytest.raises(MediumTrouble, match=r"E-DRIVE-(FULL|ERROR)"):
            drives.export(files, tmp_path / "stick" / "home")
        assert before != tree(tmp_path / "stick"), "it was taken at its word"
        assert main(["import", str(tmp_path / "stick"), str(tmp_path / "new")]) == 2
        assert "only part of one" in capsys.readouterr().err
