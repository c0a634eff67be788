"""Each check of the machine, both ways: fit and unfit. Made-up trees stand for machines that can't be here."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vestry.machine import integrity, network, preflight, storage, system
from vestry.machine.check import Check
from vestry.machine.integrity import Module
from vestry.machine.network import LOOPBACK, RUNNING, UP, Network
from vestry.machine.preflight import Plan

LO = ("lo", UP | LOOPBACK | RUNNING)


def write(root: Path, name: str, text: str = "") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with nothing in it."""
    for folder in ("sys/class", "sys/block", "sys/bus/usb/devices", "proc/self/task/1"):
        (tmp_path / folder).mkdir(parents=True)
    write(tmp_path, "proc/swaps", "Filename Type Size Used Priority\n")
    write(tmp_path, "proc/sys/kernel/core_pattern", "core\n")
    write(tmp_path, "proc/self/task/1/status", "Name:\tvestry\nTracerPid:\t0\n")
    write(tmp_path, "proc/self/mountinfo", "27 1 254:0 / / rw - ext4 /dev/vda rw\n")
    return tmp_path


# Network


def test_a_machine_with_loopback_alone_is_off_the_network() -> None:
    assert network.network(Network((LO, ("eth0", 0)))) == Check(
        "pass", "no interface but loopback is up, no default route; down: eth0"
    )


@pytest.mark.parametrize(
    ("seen", "verdict", "says"),
    [
        (Network((LO, ("eth0", UP | RUNNING))), "stop", "eth0 is up"),
        (Network((("eth0", UP | RUNNING), ("wlan0", UP | RUNNING))), "stop", "eth0, wlan0 are up"),
        (Network((("eth0", UP),)), "warn", "eth0 switched on"),
        (Network((("eth0", UP),), ("eth0",)), "stop", "default route leads through eth0"),
        (Network((LO,), ("tun0",)), "stop", "through tun0"),
        (Network((("\x1b[2J", UP | RUNNING),)), "stop", "is up"),
    ],
)
def test_a_machine_on_a_network_is_told(seen: Network, verdict: str, says: str) -> None:
    found = network.network(seen)
    assert (found.verdict, says in found.line) == (verdict, True), found
    assert "\x1b" not in found.line


LOOK = "import sys; from vestry.machine import preflight as p; print(p.look_at_network().verdict)"


@pytest.mark.parametrize(
    ("states", "verdict"),
    [
        ((), "pass"),
        (("link set lo up",), "pass"),
        (("link add far type veth peer name near", "link set far up"), "warn"),
        (("link add far type veth peer name near", "link set far up", "link set near up"), "stop"),
        (
            (
                "link add far type veth peer name near",
                "link set far up",
                "addr add 192.0.2.1/24 dev far",
                "route add default via 192.0.2.9",
            ),
            "stop",
        ),
        (
            (
                "link add far type veth peer name near",
                "link set far up",
                "-6 route add default dev far",
            ),
            "stop",
        ),
    ],
)
def test_real_interfaces_and_routes_are_the_kernels_own(states: tuple[str, ...], verdict: str) -> None:
    """The real kernel, not only its stand-ins: a namespace with nothing, with a link, with a route."""
    lines = "".join(f"ip {state} || exit 77\n" for state in states)
    ran = subprocess.run(
        ["unshare", "-r", "-n", "sh", "-c", f'{lines}exec "$0" -c "$1"', sys.executable, LOOK],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode == 77 or "unshare" in ran.stderr:
        pytest.skip(f"this system makes no such network: {ran.stderr}")
    assert ran.stdout.strip() == verdict, ran.stderr


# Radios


def switch(root: Path, name: str, kind: str, soft: str, hard: str) -> None:
    for file, value in (("soft", soft), ("hard", hard), ("type", kind)):
        write(root, f"sys/class/rfkill/{name}/{file}", value + "\n")


@pytest.mark.parametrize("kind", ["wlan", "wwan", "nfc", "gps"])
@pytest.mark.parametrize(("soft", "hard", "verdict"), [("0", "0", "warn"), ("1", "0", "pass"), ("0", "1", "pass")])
def test_a_radio_that_is_on_is_told(root: Path, kind: str, soft: str, hard: str, verdict: str) -> None:
    assert network.radios(root).verdict == "pass"
    switch(root, "rfkill0", kind, soft, hard)
    assert network.radios(root).verdict == verdict
    assert network.bluetooth(root).verdict == "pass"


def test_a_radio_without_a_switch_is_told(root: Path) -> None:
    (root / "sys/class/ieee80211/phy0").mkdir(parents=True)
    assert network.radios(root).verdict == "warn"


@pytest.mark.parametrize(
    ("adapter", "blocked", "verdict"),
    [(True, "0", "warn"), (True, "1", "pass"), (True, None, "warn"), (False, "0", "warn"), (False, None, "pass")],
)
def test_bluetooth_that_is_on_is_told(root: Path, adapter: bool, blocked: str | None, verdict: str) -> None:
    if adapter:
        (root / "sys/class/bluetooth/hci0").mkdir(parents=True)
    if blocked is not None:
        switch(root, "rfkill1", "bluetooth", blocked, "0")
    assert network.bluetooth(root).verdict == verdict
    assert network.radios(root).verdict == "pass"


# Storage


def disk(root: Path, name: str, place: str, size: int, removable: str = "0", number: str = "8:16") -> Path:
    real = root / "sys/devices" / place / "block" / name
    for file, text in (("size", str(size)), ("removable", removable), ("dev", number), ("holders/none", "")):
        write(real, file, text)
    write(real, "device/model", "Blade  ")
    (root / "sys/block" / name).symlink_to(real)
    return real


USB = "pci0000:00/usb1/1-4/1-4:1.0/host6/target6:0:0/6:0:0:0"


def test_usb_storage_that_nothing_here_needs_is_told(root: Path) -> None:
    disk(root, "sda", "pci0000:00/ata1/host0", 1000)
    disk(root, "sdc", USB + "x", 0)  # a card reader without a card
    assert storage.usb((Path("/"),), root).verdict == "pass"
    disk(root, "sdb", USB, 60_000_000)
    found = storage.usb((Path("/"),), root)
    assert (found.verdict, "sdb (Blade, 30.7 GB)" in found.seen) == ("warn", True), found


def test_a_card_is_storage_too(root: Path) -> None:
    disk(root, "mmcblk0", "platform/mmc0", 1000, removable="1")
    assert storage.usb((Path("/"),), root).verdict == "warn"


@pytest.mark.parametrize("held", ["disk", "partition", "encrypted", "squashfs", "overlay", "other"])
def test_the_stick_that_the_system_runs_from_is_expected(root: Path, held: str) -> None:
    real = disk(root, "sdb", USB, 1000, number="8:16")
    write(real, "sdb1/dev", "8:17")
    write(root, "sys/devices/virtual/block/dm-0/dev", "253:0")
    (real / "sdb1/holders").mkdir()
    (real / "sdb1/holders/dm-0").symlink_to(root / "sys/devices/virtual/block/dm-0")
    write(root, "sys/dev/block/7:0/loop/backing_file", "/run/live/medium/live.squashfs\n")
    medium = "30 27 8:17 / /run/live/medium ro - vfat /dev/sdb1 ro\n"
    loop = "31 27 7:0 / /run/live/rootfs ro - squashfs /dev/loop0 ro\n"
    place = {
        "disk": "27 1 8:16 / / rw - ext4 /dev/sdb rw\n",
        "partition": "27 1 8:17 / / rw - ext4 /dev/sdb1 rw\n",
        "encrypted": "27 1 253:0 / / rw - ext4 /dev/mapper/x rw\n",
        "squashfs": "27 1 7:0 / / ro - squashfs /dev/loop0 ro\n" + medium,
        "overlay": "27 1 0:9 / / rw - overlay overlay rw,lowerdir=/run/live/rootfs,upperdir=/cow\n" + medium + loop,
        "other": "27 1 254:0 / / rw - ext4 /dev/vda rw\n",
    }[held]
    write(root, "proc/self/mountinfo", place)
    found = storage.usb((Path("/"),), root)
    assert found.verdict == ("warn" if held == "other" else "pass"), found
    assert "sdb (Blade" in found.seen


@pytest.mark.parametrize(("name", "empty", "full"), [("sr0", 2097151, 1_400_000), ("fd0", 8, 2880)])
def test_an_empty_drive_is_no_storage(root: Path, name: str, empty: int, full: int) -> None:
    """The kernel gives a drive without a disc a size all the same; this check could never pass beside one."""
    real = disk(root, name, "pci0000:00/ata2/host1", empty, removable="1")
    assert storage.usb((Path("/"),), root).verdict == "pass"
    write(real, "size", str(full))
    assert storage.usb((Path("/"),), root).verdict == "warn"


def test_mass_storage_without_a_driver_is_told(root: Path) -> None:
    real = root / "sys/devices/pci0000:00/usb1/1-4/1-4:1.0"
    write(real, "bInterfaceClass", "03\n")
    write(real.parent, "product", "Blade\n")
    (root / "sys/bus/usb/devices/1-4:1.0").symlink_to(real)
    assert storage.usb((Path("/"),), root).verdict == "pass"
    write(real, "bInterfaceClass", "08\n")
    assert "Blade (1-4:1.0)" in storage.usb((Path("/"),), root).seen


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        ("28 27 0:5 / /home rw - tmpfs tmpfs rw\n", "warn"),
        ("28 27 0:5 / /home rw - ext4 /dev/sda1 rw\n", "pass"),
        ("28 27 0:5 / /home rw - ext4 /dev/sda1 rw\n29 28 0:6 / /home rw - ramfs none rw\n", "warn"),
        ("28 27 0:5 / /home rw - tmpfs tmpfs rw\n29 28 8:1 / /home/a\\040b rw - vfat /dev/sdb1 rw\n", "pass"),
        ("28 27 0:5 / /home rw - overlay o rw,lowerdir=/x,upperdir=/run/w\n29 27 0:6 / /run rw - tmpfs t rw\n", "warn"),
        ("28 27 0:5 / /home rw - overlay o rw,lowerdir=/x,upperdir=/var/up\n", "pass"),
        ("28 27 0:5 / /home rw - overlay o rw,lowerdir=/x\n", "cannot tell"),
        ("28 27 0:5 / /homely rw - tmpfs tmpfs rw\n", "pass"),
    ],
)
def test_a_folder_in_memory_is_told(root: Path, lines: str, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing secret is in it; the transcript is, and a power cut would take it."""
    write(root, "proc/self/mountinfo", "27 1 254:0 / / rw - ext4 /dev/vda rw\n" + lines)
    monkeypatch.setattr(storage, "existing", lambda path: path)
    assert storage.folder(Path("/home/a b/ceremony"), root).verdict == verdict


def test_real_folders_are_told_apart(tmp_path: Path) -> None:
    assert storage.folder(Path("/dev/shm/not/made")).verdict == "warn"
    kind = storage.mount_of(storage.existing(tmp_path), storage.mounts()).kind
    assert storage.folder(tmp_path / "not" / "made").verdict == ("warn" if kind == "tmpfs" else "pass")


@pytest.mark.parametrize(("mib", "verdict"), [(10, "stop"), (100, "warn"), (2000, "pass")])
def test_room_is_looked_for(tmp_path: Path, mib: int, verdict: str) -> None:
    assert storage.space(tmp_path / "not" / "made", lambda _: mib * 1024 * 1024).verdict == verdict


# System


@pytest.mark.parametrize(
    ("year", "verdict"),
    [(1970, "stop"), (2025, "stop"), (2027, "pass"), (2046, "pass"), (2047, "stop"), (2099, "stop")],
)
def test_the_year_makes_sense(year: int, verdict: str) -> None:
    assert system.clock(datetime(year, 1, 1, tzinfo=UTC)).verdict == verdict


def test_a_clock_that_the_documents_contradict_is_told() -> None:
    found = system.clock(datetime(2027, 1, 1, tzinfo=UTC), ("the trusted root expired on 2025-01-01",))
    assert (found.verdict, "2025-01-01" in found.seen) == ("stop", True)


@pytest.mark.parametrize(
    ("areas", "backing", "verdict"),
    [
        ("", None, "pass"),
        ("/dev/sda2 partition 1 0 -2\n", None, "warn"),
        ("/swapfile file 1 0 -2\n", None, "warn"),
        ("/dev/zram0 partition 1 0 5\n", None, "pass"),
        ("/dev/zram0 partition 1 0 5\n", "none\n", "pass"),
        ("/dev/zram0 partition 1 0 5\n", "/dev/sda3\n", "warn"),
        ("/dev/zram0 partition 1 0 5\n/dev/sda2 partition 1 0 -2\n", None, "warn"),
    ],
)
def test_swap_on_a_disk_is_told(root: Path, areas: str, backing: str | None, verdict: str) -> None:
    write(root, "proc/swaps", "Filename Type Size Used Priority\n" + areas)
    if backing is not None:
        write(root, "sys/block/zram0/backing_dev", backing)
    assert system.swap(root).verdict == verdict


@pytest.mark.parametrize(
    ("limit", "sealed", "pattern", "set_user", "verdict"),
    [
        (0, False, "core", "0", "pass"),
        (-1, False, "core", "0", "warn"),
        (1024, False, "core", "0", "warn"),
        (-1, True, "core", "0", "pass"),
        (0, True, "|/usr/bin/keep %p", "0", "warn"),
        (0, False, "|", "0", "warn"),
        (0, True, "core", "1", "warn"),
        (0, True, "core", "2", "pass"),
    ],
)
def test_core_dumps_are_told(root: Path, limit: int, sealed: bool, pattern: str, set_user: str, verdict: str) -> None:
    write(root, "proc/sys/kernel/core_pattern", pattern + "\n")
    write(root, "proc/sys/fs/suid_dumpable", set_user + "\n")
    assert system.core(root, lambda: limit, lambda: sealed).verdict == verdict


CORE = """
import sys
from pathlib import Path
from vestry.machine import system
print(system.core(Path(sys.argv[1])).verdict)
"""


@pytest.mark.parametrize(("limit", "verdict"), [(0, "pass"), (4096, "warn")])
def test_the_real_limit_on_core_dumps_is_told(root: Path, limit: int, verdict: str) -> None:
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            CORE,
            str(root),
        ],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (limit, limit)),
    )
    assert ran.stdout.strip() == verdict


def test_a_tracer_is_told(root: Path) -> None:
    def look(environment: dict[str, str] | None = None, traced: Callable[[], object] = lambda: None) -> str:
        return system.tracer(root, environment or {}, traced).verdict

    assert look() == "pass"
    assert look(traced=lambda: print) == "stop"
    assert look({"LD_PRELOAD": "/tmp/x.so"}) == "warn"
    write(root, "etc/ld.so.preload", "/lib/x.so\n")
    assert look() == "warn"
    write(root, "proc/self/task/2/status", "TracerPid:\t77\n")  # a thread of its own can be traced alone
    write(root, "proc/77/comm", "gdb\n")
    found = system.tracer(root, {}, lambda: None)
    assert (found.verdict, "gdb (process 77)" in found.seen) == ("stop", True)
    write(root, "proc/self/task/2/status", "Name:\tvestry\n")
    assert preflight.guarded(lambda: system.tracer(root, {}, lambda: None)).verdict == "cannot tell"


TRACED = """
import ctypes, os, sys
from vestry.machine import system
libc = ctypes.CDLL(None)
if sys.argv[1] == "traced":
    libc.ptrace(0, 0, 0, 0)  # PTRACE_TRACEME: the parent traces from now on
print(system.tracer(environment={}).line)
"""


@pytest.mark.parametrize("how", ["traced", "alone"])
def test_a_real_tracer_is_told(how: str) -> None:
    ran = subprocess.run([sys.executable, "-c", TRACED, how], capture_output=True, text=True, check=True)
    assert (f"(process {os.getpid()})" in ran.stdout) == (how == "traced"), ran.stdout


def test_random_numbers_are_ready_or_not(root: Path) -> None:
    def not_yet() -> bytes:
        raise BlockingIOError

    assert "no hardware source" in system.entropy(root).seen
    write(root, "sys/class/misc/hw_random/rng_current", "tpm-rng-0\n")
    assert system.entropy(root) == Check("pass", "the kernel's random numbers are ready; hardware source tpm-rng-0")
    assert system.entropy(root, not_yet).verdict == "stop"


def test_root_is_told() -> None:
    assert system.user(0).verdict == "warn"
    assert system.user(1000).verdict == "pass"


@pytest.mark.parametrize(
    ("here", "columns", "rows", "verdict"),
    [(True, 80, 24, "pass"), (True, 79, 24, "warn"), (True, 80, 23, "warn"), (False, 0, 0, "warn")],
)
def test_a_small_terminal_is_told(here: bool, columns: int, rows: int, verdict: str) -> None:
    assert system.terminal(is_terminal=here, kind="linux", columns=columns, rows=rows).verdict == verdict


# Integrity


def installed(folder: Path, name: str, files: dict[str, str], *needs: str) -> None:
    info = folder / f"{name}-0.1.dist-info"
    info.mkdir()
    lines = [f"{info.name}/RECORD,,", f"../../bin/{name},sha256=AAAA,1"]
    for file, text in files.items():
        write(folder, file, text)
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{file},sha256={digest},{len(text)}")
    required = "".join(f"Requires-Dist: {need}\n" for need in needs)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n{required}")
    (info / "RECORD").write_text("\n".join(lines) + "\n")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Vestry, installed with a package that it stands on, which stands on another."""
    installed(tmp_path, "vestry", {"vestry/__init__.py": "", "vestry/a.py": "x = 1\n"}, "mid>=1; python_version>'3'")
    installed(tmp_path, "mid", {"mid/__init__.py": "y = 1\n"}, "low", "absent; sys_platform == 'win32'")
    installed(tmp_path, "low", {"low/core.so": "binary\n"}, "other; extra == 'tests'")
    installed(tmp_path, "other", {"other.py": "z = 1\n"})
    return tmp_path


def software(site: Path, package: str = "vestry") -> Check:
    def find(name: str) -> importlib.metadata.Distribution:
        info = site / f"{name}-0.1.dist-info"
        if not info.is_dir():
            raise importlib.metadata.PackageNotFoundError(name)
        return importlib.metadata.Distribution.at(info)

    return integrity.software(find, site / package)


@pytest.mark.parametrize(
    ("file", "text", "verdict"),
    [
        ("vestry/a.py", "x = 1\n", "pass"),
        ("vestry/a.py", "x = 2\n", "stop"),
        ("vestry/a.py", None, "stop"),
        ("vestry/added.py", "", "stop"),
        ("vestry/added.so", "", "stop"),
        ("mid/__init__.py", "y = 2\n", "stop"),
        ("low/core.so", "Binary\n", "stop"),
        ("other.py", "z = 2\n", "pass"),
    ],
)
def test_files_are_compared_with_the_record(site: Path, file: str, text: str | None, verdict: str) -> None:
    """Own ones, and all that the program stands on; what it does not need is not its concern."""
    assert software(site) == Check("pass", "4 files of this program and of 2 packages are as installed")
    if text is None:
        (site / file).unlink()
    else:
        write(site, file, text)
    found = software(site)
    assert found.verdict == verdict, found
    assert verdict == "pass" or file in found.seen


def test_a_source_folder_has_no_record(site: Path) -> None:
    assert software(site, "elsewhere/vestry").verdict == "cannot tell"
    write(site, "mid/__init__.py", "y = 2\n")
    assert software(site, "elsewhere/vestry").verdict == "stop", "what it stands on has one"
    (site / "vestry-0.1.dist-info").rename(site / "gone")
    assert software(site).verdict == "cannot tell"


def test_modules_are_named_with_version_and_digest(tmp_path: Path) -> None:
    module = write(tmp_path, "module.so")
    known = Module("softhsm2", str(module), "2.6 (SoftHSM)", "ab" * 32)
    found = integrity.modules([known])
    assert (found.verdict, "softhsm2 2.6 (SoftHSM)" in found.seen, "ab" * 32 in found.seen) == ("pass", True, True)
    assert integrity.modules([]).verdict == "pass"
    assert integrity.modules([known, Module("ykcs11", trouble="it does not load")]).verdict == "stop"
    module.chmod(0o666)
    assert integrity.modules([known]).verdict == "warn"


# All of them


def test_all_checks_are_taken_each_in_one_line(tmp_path: Path) -> None:
    taken = preflight.take(Plan(tmp_path))
    assert tuple(taken) == preflight.CHECKS
    for check in taken.values():
        assert check.verdict in ("pass", "warn", "stop", "cannot tell")
        assert check.seen
        assert all(" " <= c <= "~" for c in check.line)


def test_a_system_that_does_not_tell_does_not_pass(tmp_path: Path) -> None:
    """A check that can't look must not pass."""
    bare = tmp_path / "nothing"
    looks: list[Callable[[], Check]] = [
        lambda: system.swap(bare),
        lambda: system.core(bare),
        lambda: network.radios(bare),
        lambda: network.bluetooth(bare),
        lambda: storage.usb((Path("/"),), bare),
        lambda: storage.folder(tmp_path, bare),
        lambda: integrity.modules([Module("x", "/nowhere/x.so", "1", "ab")]),
    ]
    for look in looks:
        assert preflight.guarded(look).verdict == "cannot tell"


def test_every_check_is_in_the_guide(repository: Path) -> None:
    """A line on the screen that nobody explains is waived unread."""
    rows = (repository / "docs" / "preflight.md").read_text().splitlines()
    assert [row.split("`")[1] for row in rows if row.startswith("| `")] == list(preflight.CHECKS)
