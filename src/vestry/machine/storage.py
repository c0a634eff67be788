"""Where a ceremony is written, and which storage is plugged in."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vestry.machine.check import Check, shown

_MIB = 1024 * 1024
_SPACE_STOP, _SPACE_WARN = 64 * _MIB, 512 * _MIB
_SECTOR = 512
# What the kernel says of a drive that is empty (sr.c, floppy.c); no disc has an odd number of sectors.
_EMPTY = {"sr": 0x1FFFFF, "fd": 8}
_IN_MEMORY = ("tmpfs", "ramfs", "rootfs", "devtmpfs", "hugetlbfs")
_MASS_STORAGE = "08"
_ON_USB = re.compile(r"/usb\d+/")
# Where live systems keep the medium that they were started from.
_LIVE = ("/run/live/medium", "/lib/live/mount/medium", "/run/initramfs/live", "/run/archiso/bootmnt", "/cdrom")
_DEEPEST = 8


@dataclass(frozen=True)
class Mount:
    """A line of mountinfo (proc(5)): device as ``major:minor``, place, kind, source and options."""

    device: str
    place: Path
    kind: str
    source: str
    options: tuple[str, ...]

    def option(self, name: str) -> str:
        """The value of an option, empty without it."""
        return next((o.removeprefix(f"{name}=") for o in self.options if o.startswith(f"{name}=")), "")


def mounts(root: Path = Path("/")) -> tuple[Mount, ...]:
    """All mounts that this process sees, in the order in which they were made."""
    return tuple(_mount(line) for line in (root / "proc/self/mountinfo").read_text("utf-8", "replace").splitlines())


def _mount(line: str) -> Mount:
    before, _, after = line.partition(" - ")
    first, last = before.split(" "), after.split(" ")
    options = last[2] if len(last) > 2 else ""
    return Mount(first[2], Path(_unescaped(first[4])), last[0], _unescaped(last[1]), tuple(options.split(",")))


def _unescaped(text: str) -> str:
    for octal, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(octal, character)
    return text


def mount_of(path: Path, among: tuple[Mount, ...]) -> Mount:
    """The mount that `path` lies on: the last one whose place is the longest part of it.

    Raises:
        ValueError: there is none.
    """
    fitting = [m for m in among if path.is_relative_to(m.place)]
    if not fitting:
        raise ValueError(f"no mount holds {path}")
    return max(reversed(fitting), key=lambda m: len(m.place.parts))


def folder(path: Path, root: Path = Path("/")) -> Check:
    """A power cut leaves the ceremony's folder as it was: it is on a disk, not in memory. Nothing in it is secret; what
    a power cut would take is the only copy of the transcript."""
    among = mounts(root)
    place = mount_of(existing(path), among)
    kind = shown(place.kind, 20)
    if place.kind == "overlay":
        upper = Path(place.option("upperdir"))
        below = mount_of(upper, among) if upper.is_absolute() else place
        if below == place:
            return Check("cannot tell", "the ceremony's folder is on an overlay whose own place is not to be seen")
        place, kind = below, f"overlay over {shown(below.kind, 20)}"
    if place.kind in _IN_MEMORY:
        seen = f"the ceremony's folder is in memory ({kind}): a power cut takes the transcript with it"
        return Check("warn", seen, "give --into a folder on a stick, or export before power is lost")
    return Check("pass", f"the ceremony's folder is on {kind}, {shown(place.source)}; it outlives a power cut")


def space(path: Path, free: Callable[[Path], int] = lambda p: shutil.disk_usage(p).free) -> Check:
    """Room for transcript, documents and bundles."""
    left = free(existing(path))
    line = f"{left // _MIB:,} MiB free"
    if left < _SPACE_STOP:
        return Check("stop", line, f"make room: at least {_SPACE_STOP // _MIB} are needed")
    if left < _SPACE_WARN:
        return Check("warn", f"{line}, which is little", "make room")
    return Check("pass", line)


def existing(path: Path) -> Path:
    """`path`, or the folder above it that is there, as it really is."""
    whole = path.absolute()
    return next(p for p in (whole, *whole.parents) if p.exists()).resolve()


def usb(needed: tuple[Path, ...], root: Path = Path("/")) -> Check:
    """No storage can be taken out but that which holds the system, this program or the ceremony's folder."""
    disks = sorted((root / "sys/block").iterdir())
    held = {device for path in needed for device in _devices(path, mounts(root), root) if device}
    unexpected: list[str] = []
    expected: list[str] = []
    spoken: list[str] = []
    for disk in disks:
        where = str(disk.resolve())
        if not _ON_USB.search(where) and _text(disk / "removable") != "1":
            continue
        spoken.append(where)
        if sectors(disk):
            (expected if _numbers(disk) & held else unexpected).append(_described(disk))
    # A device of the class "mass storage" that no driver took shows no disk; it is here all the same.
    for interface in sorted((root / "sys/bus/usb/devices").glob("*:*")):
        place = f"{interface.resolve()}/"
        if _text(interface / "bInterfaceClass") == _MASS_STORAGE and not any(w.startswith(place) for w in spoken):
            unexpected.append(shown(f"{_text(interface.resolve().parent / 'product')} ({interface.name})"))
    if unexpected:
        return Check("warn", f"storage is plugged in: {', '.join(unexpected)}", "take it out until a step asks for it")
    known = f"; {', '.join(expected)} holds what runs here" if expected else ""
    return Check("pass", f"no storage is plugged in but what the system has in it{known}")


def sectors(disk: Path) -> int:
    """Size of a disk or partition in ``/sys/block``, in sectors of 512 bytes; 0 where no medium is in.

    Raises:
        ValueError: its size is no number.
    """
    told = int(_text(disk / "size") or 0)
    return 0 if told == _EMPTY.get(disk.name.rstrip("0123456789")) else told


def _devices(path: Path, among: tuple[Mount, ...], root: Path, depth: int = 0) -> Iterator[str]:
    """``major:minor`` of every device that `path` rests on, through overlays and loop devices."""
    place = mount_of(path, among)
    yield place.device
    # Some file systems (btrfs) have device numbers of their own.
    yield _text(root / "sys/class/block" / Path(place.source).name / "dev")
    if depth >= _DEEPEST:
        return
    if place.kind == "overlay":
        layers = [*place.option("lowerdir").split(":"), place.option("upperdir")]
    else:
        backing = root / "sys/dev/block" / place.device / "loop/backing_file"
        layers = [_text(backing)] if backing.exists() else []
    for layer in layers:
        if layer.startswith("/") and mount_of(Path(layer), among) != place:
            yield from _devices(Path(layer), among, root, depth + 1)


def _numbers(disk: Path) -> set[str]:
    """``major:minor`` of a disk and its partitions, and of what is made of them (crypt, raid, volumes)."""
    found = {_text(part) for part in (disk / "dev", *disk.glob("*/dev"))}
    for holder in (*disk.glob("holders/*"), *disk.glob("*/holders/*")):
        found |= _numbers(holder)
    return found


def _described(disk: Path) -> str:
    name = " ".join(t for t in (_text(disk / "device/vendor"), _text(disk / "device/model")) if t)
    size = sectors(disk) * _SECTOR / 1e9
    return f"{shown(disk.name, 20)} ({f'{shown(name)}, ' if name else ''}{size:.1f} GB)"


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def program_places() -> tuple[Path, ...]:
    """Where the system and this program lie, and what they were started from."""
    return Path(os.sep), Path(__file__).resolve().parent, *(Path(live) for live in _LIVE if Path(live).is_dir())
