"""Drives: found and told apart on trees as Linux makes them, and on real images that are loop-mounted."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sticks import Stick, insert, write

from vestry.ceremony import choosing
from vestry.ceremony.dialogue import Choose
from vestry.errors import MediumTrouble
from vestry.media import discovery, drives
from vestry.media.discovery import Drive

USB = "sys/devices/pci0000:00/0000:00:14.0/usb1/1-2"


@pytest.fixture
def linux(tmp_path: Path) -> Path:
    """A laptop: its own disk, a USB stick, a hard disk in a USB case, a disc, a card, a reader without one."""
    root = tmp_path / "root"

    def disk(name: str, at: str, parts: dict[str, str], **files: str) -> None:
        folder = root / at / "block" / name
        write(
            folder, dev=files.pop("dev"), size=files.pop("size"), ro=files.pop("ro", "0"), **{"removable": "0", **files}
        )
        for part, numbers in parts.items():
            write(folder / part, dev=numbers, partition="1", size="30000000", ro="0")
        (root / "sys/block").mkdir(parents=True, exist_ok=True)
        (root / "sys/block" / name).symlink_to(folder)
        (folder / "device").mkdir(exist_ok=True)

    disk("sda", "sys/devices/pci0000:00/ata1/host0", {"sda1": "8:1"}, dev="8:0", size="900000000")
    disk("sdb", f"{USB}/1-2:1.0/host2", {"sdb1": "8:17"}, dev="8:16", size="30720000", removable="1")
    disk("sdc", f"{USB}.4/1-2.4:1.0/host3", {"sdc1": "8:33"}, dev="8:32", size="2000000000")
    disk("sr0", "sys/devices/pci0000:00/ata2/host1", {}, dev="11:0", size="1400000", removable="1", ro="1")
    disk("mmcblk0", "sys/devices/mmc0", {"mmcblk0p1": "179:1"}, dev="179:0", size="62000000")
    disk("sdd", f"{USB}.5/1-2.5:1.0/host4", {}, dev="8:48", size="0", removable="1")
    disk("loop0", "sys/devices/virtual", {}, dev="7:0", size="100")
    write(root / "sys/block/sdc/device", vendor="WD      ", model="Elements 2620")
    write(root / f"{USB}.4", idVendor="1058", serial="WX11A")
    write(root / "sys/block/sr0/device", vendor="HL-DT-ST", model="DVDRAM")
    write(root / "sys/block/mmcblk0/device", type="SD", name="SC16G", serial="0x12ab")
    write(
        root,
        **{
            "run/udev/data/b8:16": "S:disk/x\nE:ID_VENDOR=KINGSTON\nE:ID_MODEL_ENC=DataTraveler\\x203.0\n"
            "E:ID_SERIAL_SHORT=1C6F654E\n",
            "run/udev/data/b8:17": "E:ID_FS_LABEL_ENC=CEREMONY\\x20A\nE:ID_FS_TYPE=vfat\n",
            "run/udev/data/b11:0": "E:ID_FS_LABEL=ROOT_V3\nE:ID_FS_TYPE=iso9660\n",
            "run/blkid/blkid.tab": '<device DEVNO="0x0821" LABEL="BACK UP" TYPE="ntfs">/dev/sdc1</device>\n',
            "proc/self/mountinfo": (
                "27 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"
                "40 27 8:17 / /media/olivia/CEREMONY\\040A rw,nosuid shared:9 - vfat /dev/sdb1 rw,fmask=0022\n"
                "41 27 11:0 / /media/cdrom ro,relatime - iso9660 /dev/sr0 ro\n"
                "42 27 8:17 /inner /somewhere rw - vfat /dev/sdb1 rw\n"
                "malformed\n"
            ),
        },
    )
    return root


def test_each_kind_of_drive_is_found_and_described(linux: Path) -> None:
    """The wrong stick is the commonest mistake: what tells them apart must be on the line."""
    found = {d.device: str(d.describe()) for d in discovery.find(linux)}
    assert found == {
        "/dev/sdb1": "KINGSTON DataTraveler 3.0 'CEREMONY A', 14.3 GiB, vfat, serial 1C6F654E, "
        "mounted at /media/olivia/CEREMONY A",
        "/dev/sdc1": "WD Elements 2620 'BACK UP', 14.3 GiB, ntfs, serial WX11A, /dev/sdc1, not mounted",
        "/dev/sr0": "HL-DT-ST DVDRAM 'ROOT_V3', 683.6 MiB, iso9660, mounted at /media/cdrom, read-only",
        "/dev/mmcblk0": "SC16G, 29.6 GiB, no file system, serial 0x12ab, /dev/mmcblk0, not mounted",
    }


def test_what_can_be_done_with_each_is_told_before(linux: Path) -> None:
    """A write lock or a missing mount is mended before the ceremony waits for it."""
    why = {d.device: (d.why_not(None), d.why_not(0)) for d in discovery.find(linux)}
    assert why["/dev/sr0"] == ("", "it is read-only: open its write lock, or take another one")
    assert why["/dev/sdc1"][0] == "it is not mounted: udisksctl mount -b /dev/sdc1"
    assert "no file system" in why["/dev/mmcblk0"][0]


def test_the_disk_that_the_machine_runs_from_is_no_drive(linux: Path) -> None:
    """A live system on a stick: to export onto it would be to lose it."""
    write(linux, **{"proc/self/mountinfo": "27 1 8:17 / / rw - ext4 /dev/sdb1 rw\n"})
    assert "/dev/sdb1" not in {d.device for d in discovery.find(linux)}


def test_an_empty_disc_drive_is_no_drive(linux: Path) -> None:
    """The kernel says 1 GiB of it; nobody could ever put anything there."""
    write(linux / "sys/block/sr0", size="2097151")
    write(linux, **{"run/udev/data/b11:0": "", "proc/self/mountinfo": ""})
    assert "/dev/sr0" not in {d.device for d in discovery.find(linux)}


def test_images_that_the_system_runs_from_are_no_drives(linux: Path) -> None:
    """The ceremony image itself lies in one, and an Ubuntu has one for each of its snaps."""
    write(linux / "sys/block/loop0/loop", backing_file="/var/lib/snapd/snaps/core_1.snap")
    write(linux, **{"proc/self/mountinfo": "40 27 7:0 / /snap/core/1 ro - squashfs /dev/loop0 ro\n"})
    assert "/dev/loop0" not in {d.device for d in discovery.find(linux)}


def test_what_is_encrypted_is_found_where_it_is_mounted(linux: Path) -> None:
    write(linux / "sys/block/sdc/sdc1/holders/dm-0", dev="253:0")
    write(linux, **{"proc/self/mountinfo": "40 27 253:0 / /media/x rw - ext4 /dev/mapper/luks rw\n"})
    (drive,) = [d for d in discovery.find(linux) if d.device == "/dev/sdc1"]
    assert (drive.mounted, drive.file_system) == (Path("/media/x"), "ext4")


def test_a_label_cannot_steer_the_terminal(linux: Path) -> None:
    """Labels are whatever someone wrote on the stick."""
    write(linux, **{"run/udev/data/b8:17": "E:ID_FS_LABEL_ENC=\\x1b[2J\\xe2\\x80\\xae\nE:ID_FS_TYPE=vfat\n"})
    lines = [str(d.describe()) for d in discovery.find(linux)]
    assert any("\\u{1b}[2J\\u{202e}" in line for line in lines)
    assert all(line.isascii() and line.isprintable() for line in lines)


def test_a_system_that_tells_nothing_has_no_drives(tmp_path: Path) -> None:
    assert discovery.find(tmp_path) == ()


def test_the_drive_that_a_path_is_on(linux: Path) -> None:
    here = (Drive("/dev/a", mounted=Path("/media")), Drive("/dev/b", mounted=Path("/media/b")), Drive("/dev/c"))
    assert discovery.holding(Path("/media/b/root/x"), here) == here[1]
    assert discovery.holding(Path("/media/bb"), here) == here[0]
    assert discovery.holding(Path("/home"), here) is None


def test_a_stick_that_mounts_itself_is_opened_to_be_seen(linux: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on the image, whose user can mount nothing; a far server's folder is never opened, it could hang."""
    waiting = "50 27 0:40 / {} rw - autofs systemd-1 rw,timeout=2,direct\n"
    before = waiting.format("/media/sdc1") + waiting.format("/net/far")
    write(linux, **{"proc/self/mountinfo": before})
    opened = []

    def listed(folder: Path) -> list[Path]:
        opened.append("/" + str(folder.relative_to(linux)))
        if folder == linux / "media/sdc1":
            write(linux, **{"proc/self/mountinfo": before + "51 50 8:33 / /media/sdc1 rw - vfat /dev/sdc1 rw\n"})
        return sorted(folder.iterdir()) if folder.exists() else []

    monkeypatch.setattr(discovery, "_listed", listed)
    (drive,) = [d for d in discovery.find(linux) if d.device == "/dev/sdc1"]
    assert (drive.mounted, drive.let_go) == (Path("/media/sdc1"), True)
    assert "/net/far" not in opened
    assert "unmounts itself" in drive.farewell()


class Asked:
    """A front that takes what `answers` give, and remembers what it was asked."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.questions, self.waited = list(answers), [], 0

    def ask(self, question: Choose) -> str:
        self.questions.append(question)
        return self.answers.pop(0)

    def waiting(self, what: str, cancel: Any = None, *, idle: bool = False) -> None:
        self.waited += bool(what)


def test_a_stick_that_is_inserted_while_the_program_waits_is_noticed(tmp_path: Path) -> None:
    """People must not have to start again for a stick that was not in yet."""
    mounted = Drive("/dev/sdb1", "KINGSTON", file_system="vfat", mounted=tmp_path)
    looks = iter([(), (), (), (mounted,)])
    seen: list[Any] = [()]

    def look() -> tuple[Drive, ...]:
        seen.append(next(looks, (mounted,)))
        return seen[-1]

    front = Asked("/dev/sdb1")
    chosen = choosing.choose(front.ask, front, need=0, otherwise="stop", look=look)  # type: ignore[arg-type]
    assert (chosen, front.waited) == (mounted, 1)
    assert front.questions[0].options[0] == ("/dev/sdb1", str(mounted.describe()))


def test_a_stick_that_was_changed_meanwhile_is_shown_again(tmp_path: Path) -> None:
    """The device's name stays when another stick is put in; what was chosen is what was shown."""
    one = Drive("/dev/sdb1", "A", file_system="vfat", mounted=tmp_path)
    other = Drive("/dev/sdb1", "B", file_system="vfat", mounted=tmp_path)
    looks = iter([(one,), (other,), (other,), (other,)])
    front = Asked("/dev/sdb1", "/dev/sdb1")
    chosen = choosing.choose(front.ask, front, need=0, otherwise="stop", look=lambda: next(looks))  # type: ignore[arg-type]
    assert (chosen, len(front.questions)) == (other, 2)


def test_a_drive_that_will_not_do_is_told_and_not_offered(tmp_path: Path) -> None:
    full = Drive("/dev/sdb1", "FULL", file_system="vfat", mounted=tmp_path)
    good = Drive("/dev/sdc1", "GOOD", file_system="vfat", mounted=Path("/"))
    front = Asked("other")
    need = full.free() + (1 << 40)
    here = (full, Drive("/dev/sdd1", file_system="vfat"), good)
    assert choosing.choose(front.ask, front, need=None, otherwise="stop", look=lambda: here) is None  # type: ignore[arg-type]
    assert [value for value, _ in front.questions[0].options] == ["/dev/sdb1", "/dev/sdc1", "again", "other"]
    assert "not mounted" in front.questions[0].details[0]
    assert "are needed" in full.why_not(need)


# On a real file system


def test_a_mounted_image_is_found(stick: Stick) -> None:
    (drive,) = [d for d in discovery.find() if d.device == stick.device]
    assert (drive.mounted, drive.size, drive.read_only) == (stick.mounted, 4 << 20, False)
    assert drive.product == "image CEREMONY-A.img"
    assert drive.free() > 1 << 20


def test_write_protection_is_told_before_anything_is_written(tmp_path: Path) -> None:
    with ExitStack() as stack:
        locked = insert(stack, tmp_path, "LOCKED", read_only=True)
        (drive,) = [d for d in discovery.find() if d.device == locked.device]
        assert drive.read_only
        assert "read-only" in drive.why_not(0)
        assert drive.why_not(None) == ""
        with pytest.raises(MediumTrouble, match="read-only"):
            drives.export({"a": b"b"}, locked.mounted / "x")


@pytest.mark.parametrize("direct", [True, False], ids=["around the cache", "after dropping the cache"])
def test_what_the_medium_lost_is_found_although_the_cache_has_it(
    stick: Stick,
    monkeypatch: pytest.MonkeyPatch,
    direct: bool,
) -> None:
    """The kernel still has the right bytes in memory when the medium has others: the read-back must ask the medium."""
    data = os.urandom(3000)
    target = stick.mounted / "one" / "a"
    real = drives._read_back

    def read_back(path: Path) -> str:
        if path == target:
            stick.flip(data)
            assert path.read_bytes() == data, "the cache does have the right bytes"
        return real(path)

    monkeypatch.setattr(drives, "_read_back", read_back)
    if not direct:
        monkeypatch.delattr(os, "O_DIRECT")
    with pytest.raises(MediumTrouble, match="other bytes"):
        drives.export({"a": data, "b": b"x"}, target.parent)
    assert not (target.parent / drives.SUMS).exists()


def test_a_drive_that_fills_up_is_told_and_nothing_is_half_there(stick: Stick) -> None:
    """A real full file system."""
    with pytest.raises(MediumTrouble, match=r"[0-9,]+ bytes are free, and [0-9,]+ are needed"):
        drives.export({"a": b"x" * (5 << 20)}, stick.mounted / "x")
    assert list((stick.mounted / "x").iterdir()) == []
