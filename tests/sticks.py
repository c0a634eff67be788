"""Sticks: a real file system in an image that is loop-mounted, and made-up trees of what Linux tells of drives."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class Stick:
    """A mounted image: the device, where it is mounted, and the file that plays the medium."""

    device: str
    mounted: Path
    image: Path

    def flip(self, found: bytes) -> None:
        """Change one bit on the medium, below the file system, where these bytes lie."""
        raw = self.image.read_bytes()
        at = raw.index(found)
        with self.image.open("r+b") as medium:
            medium.seek(at + len(found) // 2)
            medium.write(bytes([raw[at + len(found) // 2] ^ 1]))


def run(*command: object) -> str:
    """What a program says; OSError where it fails."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def insert(stack: ExitStack, folder: Path, label: str, *, kind: str = "ext4", read_only: bool = False) -> Stick:
    """Make an image of 4 MiB and mount it; `stack` takes it out again."""
    if f"\t{kind}\n" not in Path("/proc/filesystems").read_text():
        pytest.skip(f"this kernel has no {kind}")
    image, mounted = folder / f"{label}.img", folder / label
    mounted.mkdir()
    with image.open("wb") as empty:
        empty.truncate(4 << 20)
    options = {"ext4": ("-q", "-F", "-L", label), "vfat": ("-n", label)}[kind]
    try:
        run(shutil.which(f"mkfs.{kind}") or f"/usr/sbin/mkfs.{kind}", *options, image)
        device = run("losetup", "--find", "--show", *(["--read-only"] if read_only else []), image)
        stack.callback(run, "losetup", "--detach", device)
        run("mount", device, mounted)
        stack.callback(run, "umount", mounted)
    except OSError as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    return Stick(device, mounted, image)


@pytest.fixture(params=["ext4", "vfat"])
def stick(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stick]:
    """A stick of each kind that this kernel can mount."""
    with ExitStack() as stack:
        yield insert(stack, tmp_path, "CEREMONY-A", kind=request.param)


def write(root: Path, **files: str) -> None:
    """Files by path below a root."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
