"""What the image is made of; `make image-test` starts it and looks from within (boot.py)."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

# One driver, sound and transport each of what must not be there, as Debian's kernel package names them.
UNWANTED = (
    "drivers/net/ethernet/intel/e1000/e1000.ko",
    "drivers/net/wireless/intel/iwlwifi/iwlwifi.ko",
    "drivers/net/usb/cdc_ether.ko",
    "drivers/bluetooth/btusb.ko",
    "drivers/thunderbolt/thunderbolt.ko",
    "drivers/firewire/firewire-ohci.ko",
    "drivers/firmware/efi/efi-pstore.ko",
    "drivers/usb/gadget/function/usb_f_ecm.ko",
    "net/wireless/cfg80211.ko",
    "net/bluetooth/bluetooth.ko",
    "net/ipv4/ip_tunnel.ko",
    "sound/usb/snd-usb-audio.ko",
    "fs/nfs/nfs.ko",
    "fs/smb/client/cifs.ko",
)
# What a keyboard, a token, a stick and the image itself need.
WANTED = (
    "drivers/hid/usbhid/usbhid.ko",
    "drivers/hid/hid-generic.ko",
    "drivers/usb/host/xhci-pci.ko",
    "drivers/usb/storage/usb-storage.ko",
    "drivers/scsi/sd_mod.ko",
    "drivers/mmc/host/sdhci-pci.ko",
    "drivers/block/loop.ko",
    "fs/autofs/autofs4.ko",
    "fs/exfat/exfat.ko",
    "fs/fat/vfat.ko",
    "fs/nls/nls_ascii.ko",
    "fs/overlayfs/overlay.ko",
    "fs/squashfs/squashfs.ko",
)


@pytest.fixture(scope="module")
def live(repository: Path) -> Path:
    return repository / "kit" / "live"


def unpacked(rules: Path, name: str) -> bool:
    """Whether dpkg unpacks a file: the last rule that fits decides (dpkg(1), --path-exclude)."""
    kept = True
    for line in rules.read_text().splitlines():
        if line.startswith("path-"):
            kind, pattern = line.split("=", 1)
            # As fnmatch(3) without flags: a star goes over slashes.
            if re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name):
                kept = kind == "path-include"
    return kept


@pytest.mark.parametrize(("modules", "kept"), [(UNWANTED, False), (WANTED, True)], ids=["unwanted", "wanted"])
def test_no_driver_of_a_network_is_unpacked(live: Path, modules: tuple[str, ...], kept: bool) -> None:
    """A driver that is not there can't be loaded; and without those that are wanted nobody can type or sign."""
    for module in modules:
        assert unpacked(live / "dpkg.cfg", f"/lib/modules/6.1.0-56-amd64/kernel/{module}") is kept, module


def test_the_packages_are_few_and_none_talks(live: Path) -> None:
    """Sorted, so that a change of the list shows what changed."""
    packages = (live / "packages").read_text().split()
    assert packages == sorted(set(packages))
    assert set(packages) >= {"pcscd", "ykcs11", "opensc-pkcs11", "softhsm2", "linux-image-amd64", "python3"}
    talking = re.compile(r"ssh|network|dhcp|curl|wget|wpa|wireless|bluez|avahi|firmware|iproute|apt")
    assert not [p for p in packages if talking.search(p)]


def test_its_programs_are_whole(live: Path) -> None:
    """A mistake in them shows only when someone starts the image, on the day."""
    programs = [p for p in live.rglob("*") if p.is_file() and (p.name == ".bash_profile" or p.stat().st_mode & 0o100)]
    assert {"init", "customize.sh", "set-clock", ".bash_profile"} <= {p.name for p in programs}
    for program in programs:
        done = subprocess.run(["bash", "-n", program], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("2026-12-01 10:00:00", 127),
        ("2026-12-01 10:00", 1),
        ("tomorrow", 1),
        ("@0", 1),
        ("2026-12-01 10:00:00; reboot", 1),
        ("$(reboot)", 1),
        ("", 1),
    ],
)
def test_the_clock_takes_a_time_and_nothing_else(live: Path, line: str, status: int) -> None:
    """It is the one program with a right that takes words from the user."""
    program = live / "root" / "usr" / "local" / "lib" / "set-clock"
    # An empty PATH: what is let through fails as a program that is not found, with 127.
    done = subprocess.run(["/bin/sh", program], input=f"{line}\n", text=True, env={"PATH": ""}, check=False)
    assert done.returncode == status


def test_the_first_archive_is_one_that_others_unpack(repository: Path, tmp_path: Path) -> None:
    """The kernel reads it without a word where it is wrong."""
    files = {"init": (0o100755, b"odd"), "a/b.ko": (0o100644, bytes(5)), "empty": (0o100644, b"")}
    made = subprocess.run(
        [sys.executable, "-c", f"import sys, image; sys.stdout.buffer.write(image.cpio({files}))"],
        env={"PYTHONPATH": f"{repository / 'kit'}:{repository / 'src'}"},
        capture_output=True,
        check=True,
    ).stdout
    assert made.startswith(b"070701")
    found = {}
    at = 0
    while True:  # cpio(5), "New ASCII Format"
        fields = [int(made[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        mode, size, length = fields[1], fields[6], fields[11]
        name = made[at + 110 : at + 110 + length - 1].decode()
        start = at + (110 + length + 3) // 4 * 4
        if name == "TRAILER!!!":
            break
        found[name] = (mode, made[start : start + size])
        at = start + (size + 3) // 4 * 4
    assert {name: found[name] for name in files} == files
    assert list(found) == sorted(found)
    assert {name for name in found if found[name][0] == 0o40755} == {"a", "dev", "memory", "root", "system"}


@pytest.mark.parametrize("snapshot", ["today", "20261101", "20261101T000000Z/../x"])
def test_a_snapshot_is_a_time(repository: Path, snapshot: str) -> None:
    """It goes into an address that packages come from."""
    done = subprocess.run(
        [sys.executable, "kit/image.py", "--snapshot", snapshot],
        cwd=repository,
        env={"PYTHONPATH": "src", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "is no time of Debian's archive" in done.stderr) == (2, True)
    assert done.stderr.count("\n") == 1
