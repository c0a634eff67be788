"""Which removable media are here: sticks, cards, discs and images, as Linux tells everyone, without special rights.

Read from ``/sys/block`` (sysfs), ``/proc/self/mountinfo`` (proc(5)), and what udev or blkid noted of file systems; all
below a root that a test may make up. No device is opened here, and nothing mounted but what mounts itself when someone
opens its folder (autofs(5)).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vestry.machine import storage
from vestry.text import Safe, printable

_SECTOR = 512
_MEDIA = (Path("/media"), Path("/run/media"))
_SYSTEM = re.compile(r"/(?:boot|usr|var|home|opt|srv|nix)?|/boot/.*")
_ESCAPED = re.compile(r"\\x([0-9a-fA-F]{2})|\\([0-7]{3})")
_NOTED = re.compile(r"<device ([^>]*)>([^<]*)</device>")
_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True)
class Drive:
    """A file system on a removable medium, or a medium without one (`file_system` is then empty).

    Every text but `device` and `mounted` is the medium's own word: shown through `describe`, and never trusted.
    `size` is in bytes. `let_go`: it is unmounted by itself, soon after its last use.
    """

    device: str
    product: str = ""
    serial: str = ""
    label: str = ""
    size: int = 0
    file_system: str = ""
    mounted: Path | None = None
    read_only: bool = False
    let_go: bool = False

    def describe(self) -> Safe:
        """One line: what it is, and where."""
        label = f"'{printable(self.label, 40)}'" if self.label else ""
        name = " ".join(part for part in (printable(self.product, 60), label) if part) or "a drive without a name"
        parts = [name, size(self.size), printable(self.file_system, 20) or "no file system"]
        parts += [f"serial {printable(self.serial, 60)}"] if self.serial else []
        parts += [f"mounted at {printable(str(self.mounted), 120)}" if self.mounted else f"{self.device}, not mounted"]
        return Safe(", ".join([*parts, "read-only"] if self.read_only else parts))

    def why_not(self, need: int | None) -> str:
        """Why it can't be read, or where `need` bytes are to be written, why they can't; empty where it can."""
        if self.mounted is None:
            if not self.file_system:
                return "it has no file system that this machine knows"
            return f"it is not mounted: udisksctl mount -b {self.device}"
        if need is None:
            return ""
        if self.read_only:
            return "it is read-only: open its write lock, or take another one"
        free = self.free()
        return f"it has {size(free)} free, and {size(need)} are needed" if free < need else ""

    def farewell(self) -> Safe:
        """What to do with it once everything was written."""
        if self.let_go:
            return Safe("All of it is on the medium, which unmounts itself: after five seconds it is safe to remove")
        at = printable(str(self.mounted), 120)
        return Safe(f"All of it is on the medium. Unmount it, then it is safe to remove: umount {at}")

    def free(self) -> int:
        """Bytes free; 0 where it is not mounted or gone."""
        try:
            found = os.statvfs(self.mounted) if self.mounted else None
        except OSError:
            return 0
        return found.f_bavail * found.f_frsize if found else 0


def size(count: int) -> Safe:
    """Bytes as people read them: ``14.6 GiB``."""
    number, unit = float(count), 0
    while number >= 1024 and unit < len(_UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return printable(f"{number:.1f} {_UNITS[unit]}" if unit else f"{count} bytes")


def find(root: Path = Path("/")) -> tuple[Drive, ...]:
    """Every removable medium that is here, in the order of device names; not the one that the machine runs from."""
    _waken(root)
    mounts, noted = _mounts(root), _blkid(root)
    found: list[Drive] = []
    for disk in _listed(root / "sys/block"):
        if not _removable(disk):
            continue
        parts = [disk, *(p for p in _listed(disk) if (p / "partition").exists())]
        where = {part: _mounts_of(part, mounts) for part in parts}
        if any(_SYSTEM.fullmatch(m.place) for each in where.values() for m in each):
            continue
        drives = [_drive(root, disk, part, where[part], noted) for part in parts]
        # Squashfs is what live systems and packaged programs run from; nobody carries a bundle in it.
        told = [d for d in drives if (d.mounted is not None or d.file_system) and d.file_system != "squashfs"]
        # A card reader without a card has no size; an image that nobody mounted is a file like any other.
        found += told or [d for d in drives[:1] if d.size and not disk.name.startswith("loop")]
    return tuple(found)


def holding(path: Path, drives: Sequence[Drive]) -> Drive | None:
    """The drive that a path lies on; None where it is none of `drives`."""
    whole = path.resolve()
    on = [d for d in drives if d.mounted is not None and whole.is_relative_to(d.mounted)]
    return max(on, key=lambda d: len(str(d.mounted)), default=None)


def _waken(root: Path) -> None:
    """Open folders that mount a medium when they are opened, so that it shows; elsewhere it could be a far server."""
    for mount in _mounts(root):
        place = Path(mount.place)
        if mount.file_system == "autofs" and any(place.is_relative_to(media) for media in _MEDIA):
            _listed(root / place.relative_to("/"))


@dataclass(frozen=True)
class _Mount:
    numbers: str
    place: str
    file_system: str
    source: str
    read_only: bool
    let_go: bool


def _mounts(root: Path) -> list[_Mount]:
    """What is mounted whole (proc(5)): ``36 35 98:0 / /mnt rw,noatime shared:1 - ext3 /dev/sdb1 rw``."""
    found: list[_Mount] = []
    for line in _read(root / "proc/self/mountinfo").splitlines():
        before, dash, after = line.partition(" - ")
        cells, kinds = before.split(" "), after.split(" ")
        if dash and len(cells) >= 6 and len(kinds) >= 3 and cells[3] == "/":
            read_only = "ro" in cells[5].split(",") or "ro" in kinds[2].split(",")
            place = _plain(cells[4])
            let_go = any(m.place == place and m.file_system == "autofs" for m in found)
            found.append(_Mount(cells[2], place, kinds[0], _plain(kinds[1]), read_only, let_go))
    return found


def _mounts_of(part: Path, mounts: Sequence[_Mount]) -> list[_Mount]:
    # What is encrypted is mounted by way of another device, which stands upon this one.
    own = {_read(part / "dev"), *(_read(upper / "dev") for upper in _listed(part / "holders"))}
    return [m for m in mounts if m.numbers in own or m.source == _device(part)]


def _device(part: Path) -> str:
    return f"/dev/{part.name.replace('!', '/')}"


def _removable(disk: Path) -> bool:
    """The medium comes out, or the device is plugged in by USB (which hard disks in a case call fixed), or is a card;
    or it is an image in place of one, as in a rehearsal."""
    if _read(disk / "removable") == "1" or _read(disk / "device/type") == "SD":
        return True
    return any(part.startswith("usb") for part in disk.resolve().parts) or (disk / "loop/backing_file").exists()


def _drive(
    root: Path, disk: Path, part: Path, mounts: Sequence[_Mount], noted: Mapping[str, Mapping[str, str]]
) -> Drive:
    numbers, device = _read(part / "dev"), _device(part)
    mount = mounts[0] if mounts else None
    udev = _udev(root, numbers)
    known = noted.get(device, {})
    kind = mount.file_system if mount else udev.get("ID_FS_TYPE", known.get("TYPE", ""))
    image = _read(part / "loop/backing_file")
    made = " ".join(_read(disk / f"device/{name}") for name in ("vendor", "model", "name"))
    whose = _udev(root, _read(disk / "dev"))
    told = " ".join(_plain(whose.get(f"ID_{name}_ENC", whose.get(f"ID_{name}", ""))) for name in ("VENDOR", "MODEL"))
    return Drive(
        device=device,
        product=f"image {Path(image).name}" if image else " ".join((told if told.strip() else made).split()),
        serial=whose.get("ID_SERIAL_SHORT", "") or _serial(disk),
        label=_plain(udev.get("ID_FS_LABEL_ENC", udev.get("ID_FS_LABEL", known.get("LABEL", "")))),
        size=storage.sectors(part) * _SECTOR,
        file_system="" if kind == "crypto_LUKS" else kind,
        mounted=Path(mount.place) if mount else None,
        let_go=mount is not None and mount.let_go,
        read_only=_read(part / "ro") == "1" or _read(disk / "ro") == "1" or (mount is not None and mount.read_only),
    )


def _serial(disk: Path) -> str:
    """The serial number that the device itself, or the USB device that it is part of, tells."""
    inner = (disk / "device").resolve()
    usb = next((above for above in (inner, *inner.parents) if (above / "idVendor").exists()), None)
    places = (*([usb / "serial"] if usb else []), inner / "serial", disk / "serial")
    return next(filter(None, map(_read, places)), "")


def _udev(root: Path, numbers: str) -> Mapping[str, str]:
    """What udev noted of a device: lines ``E:NAME=VALUE`` in ``/run/udev/data/bMAJOR:MINOR``."""
    lines = _read(root / f"run/udev/data/b{numbers}").splitlines()
    pairs = (line[2:].partition("=") for line in lines if line.startswith("E:"))
    return {name: value for name, _, value in pairs}


def _blkid(root: Path) -> Mapping[str, Mapping[str, str]]:
    """What blkid(8) noted of file systems, by device."""
    noted = _NOTED.findall(_read(root / "run/blkid/blkid.tab"))
    return {device: dict(_ATTRIBUTE.findall(attributes)) for attributes, device in noted}


def _plain(text: str) -> str:
    """The kernel writes a space as ``\\\\040``, udev as ``\\\\x20``; labels are UTF-8."""
    raw = _ESCAPED.sub(lambda m: chr(int(m[1], 16) if m[1] else int(m[2], 8) & 0xFF), text)
    try:
        return raw.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return raw


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _read(path: Path) -> str:
    """A small file of the kernel's, without the white space around it; empty where it is not there."""
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
