"""The image, started in a computer in software, and looked at from within: `make image-test`, some minutes.

Not among the default tests, since it takes an image. The computer has a network card and a stick from the start.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from machine import Machine

SECTORS = 2048  # in a MiB
BOOT, SLOW = 1800, 900  # seconds; without acceleration on a busy computer


@pytest.fixture(scope="module")
def image(repository: Path) -> Path:
    found = sorted((repository / "dist").glob("vestry-image-*/*.iso"))
    assert found, "there is no image: make image"
    return found[-1]


@pytest.fixture(scope="module")
def stick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stick") / "stick"
    # One partition, FAT16, from the second MiB on.
    entry = struct.pack("<B3sB3sII", 0, b"", 0x06, b"", SECTORS, 15 * SECTORS)
    path.write_bytes((bytes(446) + entry + bytes(48) + b"\x55\xaa").ljust(16 << 20, b"\0"))
    subprocess.run(["mformat", "-v", "CARRIER", "-T", str(15 * SECTORS), "-i", f"{path}@@1M", "::"], check=True)
    (path.parent / "hello").write_text("from outside\n")
    subprocess.run(["mcopy", "-i", f"{path}@@1M", str(path.parent / "hello"), "::hello.txt"], check=True)
    return path


@pytest.fixture(scope="module")
def machine(image: Path, stick: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Started, home screen seen, and left for the shell."""
    folder = tmp_path_factory.mktemp("machine")
    with Machine(image, folder, stick) as machine:
        machine.wait_for("Rehearse", BOOT)
        print(f"\nthe home screen after {time.monotonic() - machine.started:.0f} s", file=sys.stderr)
        if picture := os.environ.get("SCREEN"):
            time.sleep(60)  # the screen may come later than the serial line
            machine.monitor(f"screendump {picture}")
        machine.type("q")
        machine.wait_for("$ ", SLOW)
        yield machine


def run(machine: Machine, command: str) -> str:
    status, said = machine.run(command, SLOW)
    print(f"\n$ {command}\n{said}", file=sys.stderr)
    assert status == 0, said
    return said


def test_the_image_is_as_its_sums_say(image: Path) -> None:
    done = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=image.parent, check=False)
    assert done.returncode == 0
    assert hashlib.sha256(image.read_bytes()).hexdigest() in (image.parent / "SHA256SUMS").read_text()


def test_there_is_no_network(machine: Machine) -> None:
    """The card is there, and nothing that could drive it."""
    assert run(machine, "cat /sys/bus/pci/devices/*/class | grep -c 0x0200") == "1"
    interfaces = run(machine, "busybox ip -o link").splitlines()
    assert [line.split(":")[1].strip() for line in interfaces] == ["lo"]
    loaded = run(machine, "busybox lsmod")
    assert "squashfs" in loaded
    assert not any(name in loaded for name in ("e1000", "cfg80211", "bluetooth", "virtio_net"))
    assert run(machine, "find /lib/modules -path '*/net/*' -name '*.ko' | wc -l") == "0"
    assert run(machine, "grep -rla register_netdev /lib/modules --include='*.ko' | wc -l") == "0"


def test_preflight_stops_nothing(machine: Machine) -> None:
    checks = json.loads(run(machine, "vestry preflight --json"))["checks"]
    verdicts = {name: check["verdict"] for name, check in checks.items()}
    assert "stop" not in verdicts.values()
    # The stick of this test is plugged in, and the ceremony's folder lies in memory: both are told.
    amiss = {name: verdict for name, verdict in verdicts.items() if verdict != "pass"}
    assert amiss == {"usb": "warn", "folder": "warn"}
    assert "in memory (overlay over tmpfs)" in checks["folder"]["text"]


def test_tokens_and_modules_are_there(machine: Machine) -> None:
    """SoftHSM shows its empty slot; Yubico's and OpenSC's modules load, and find the service but no card."""
    assert "SoftHSM" in run(machine, "vestry tokens")
    for module in ("libykcs11.so.2", "opensc-pkcs11.so"):
        load = f"import ctypes, glob; ctypes.CDLL(glob.glob('/usr/lib/*/{module}')[0]).C_GetFunctionList"
        run(machine, f'/opt/vestry/bin/python -I -c "{load}"')
    # A look for cards starts the service.
    run(machine, "/opt/vestry/bin/python -I -c 'import socket; socket.socket(1).connect(\"/run/pcscd/pcscd.comm\")'")
    run(machine, "sleep 5; grep -x pcscd /proc/[0-9]*/comm")


def test_nothing_here_can_become_more(machine: Machine) -> None:
    assert run(machine, "id -un") == "ceremony"
    assert run(machine, "grep NoNewPrivs /proc/self/status").split()[-1] == "1"
    assert run(machine, "ulimit -c") == "0"
    assert run(machine, "wc -l </proc/swaps") == "1"
    # Every file system but those of sticks lies in memory.
    kinds = set(run(machine, "grep ^/dev /proc/mounts | cut -d' ' -f3 | sort -u").split())
    assert kinds <= {"squashfs", "vfat"}


def test_a_stick_is_read_and_written(machine: Machine, stick: Path) -> None:
    """And is whole when it is pulled, without anyone's unmounting it."""
    drives = {drive["device"]: drive for drive in json.loads(run(machine, "vestry drives --json"))}
    assert (drives["/dev/sda1"]["label"], drives["/dev/sda1"]["mounted"]) == ("CARRIER", "/media/sda1")
    assert not any("loop" in device for device in drives)
    assert run(machine, "cat /media/sda1/hello.txt") == "from outside"
    options = run(machine, "grep ' /media/sda1 vfat' /proc/mounts")
    assert all(option in options for option in ("nosuid", "nodev", "noexec"))
    run(machine, "echo from within >/media/sda1/answer.txt")
    time.sleep(10)
    assert run(machine, "grep -c ' /media/sda1 vfat' /proc/mounts || true") == "0"
    copied = subprocess.run(["mtype", "-i", f"{stick}@@1M", "::answer.txt"], capture_output=True, text=True, check=True)
    assert copied.stdout.strip() == "from within"


def test_a_rehearsal_runs_to_its_end(machine: Machine) -> None:
    run(
        machine,
        "vestry rehearse --unattended --into r --holders 2 --threshold 2 >said 2>&1; s=$?; tail -3 said; (exit $s)",
    )
    assert run(machine, "vestry replay r >said; s=$?; tail -1 said; (exit $s)")


def test_the_clock_is_set_by_hand(machine: Machine) -> None:
    assert run(machine, "set-clock 2031-02-03 04:05:06").startswith("2031-02-03 04:05")
    assert run(machine, "busybox hwclock -u >/dev/null 2>&1; date -u +%Y") == "2031"


def test_it_turns_off(machine: Machine) -> None:
    machine.type("turn-off\r")
    assert machine.off(SLOW)
