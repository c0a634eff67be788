"""Each check of the machine, both ways: fit and unfit."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vestry.machine import preflight

UP, LOOPBACK, RUNNING = 0x1, 0x8, 0x40
HEADER = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
ROUTE = "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
LOCAL = "eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
ZERO = "0" * 32


def network(tmp_path: Path, seen: dict[str, int], routes: str = "", routes6: str = "") -> preflight.Check:
    (tmp_path / "route").write_text(HEADER + routes)
    (tmp_path / "route6").write_text(routes6)
    return preflight.network(lambda: seen, tmp_path / "route", tmp_path / "route6", tmp_path / "rfkill")


def radio(tmp_path: Path, soft: str, hard: str) -> None:
    folder = tmp_path / "rfkill" / "rfkill0"
    folder.mkdir(parents=True)
    for name, value in (("soft", soft), ("hard", hard), ("type", "wlan")):
        (folder / name).write_text(value + "\n")


def test_a_machine_with_loopback_alone_is_off_the_network(tmp_path: Path) -> None:
    lo6 = f"{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200       lo\n"
    assert network(tmp_path, {"lo": UP | LOOPBACK | RUNNING, "eth0": 0}, routes6=lo6)[0] == "pass"


@pytest.mark.parametrize(
    ("seen", "routes", "routes6", "verdict", "says"),
    [
        ({"eth0": UP | RUNNING}, "", "", "stop", "eth0 is up"),
        ({"eth0": UP | RUNNING, "wlan0": UP | RUNNING}, "", "", "stop", "eth0, wlan0 are up"),
        ({"eth0": UP}, "", "", "warn", "eth0 switched on"),
        ({"eth0": UP}, ROUTE, "", "stop", "default route leads through eth0"),
        ({"eth0": UP}, LOCAL, "", "warn", "nothing connected"),
        ({}, "", f"{ZERO} 00 {ZERO} 00 {ZERO} 00000400 00000001 00000000 00000003 tun0\n", "stop", "through tun0"),
        ({"\x1b[2J": UP | RUNNING}, "", "", "stop", "is up"),
    ],
)
def test_a_machine_on_a_network_is_told(
    tmp_path: Path, seen: dict[str, int], routes: str, routes6: str, verdict: str, says: str
) -> None:
    found, line = network(tmp_path, seen, routes, routes6)
    assert (found, says in line) == (verdict, True), line
    assert "\x1b" not in line


@pytest.mark.parametrize(("soft", "hard", "verdict"), [("0", "0", "warn"), ("1", "0", "pass"), ("0", "1", "pass")])
def test_a_radio_that_is_on_is_told(tmp_path: Path, soft: str, hard: str, verdict: str) -> None:
    radio(tmp_path, soft, hard)
    assert network(tmp_path, {})[0] == verdict


def test_interfaces_are_the_kernels_own() -> None:
    """The real call, not only its stand-ins: every machine has loopback."""
    assert any(flags & LOOPBACK for flags in preflight.interfaces().values())


@pytest.mark.parametrize(
    ("year", "verdict"),
    [(1970, "stop"), (2025, "stop"), (2027, "pass"), (2046, "pass"), (2047, "stop"), (2099, "stop")],
)
def test_the_year_makes_sense(year: int, verdict: str) -> None:
    assert preflight.clock(datetime(year, 1, 1, tzinfo=UTC))[0] == verdict


@pytest.mark.parametrize(
    ("areas", "verdict"),
    [("", "pass"), ("/dev/sda2 partition 1 0 -2\n", "warn"), ("/dev/zram0 partition 1 0 5\n", "pass")],
)
def test_swap_on_a_disk_is_told(tmp_path: Path, areas: str, verdict: str) -> None:
    (tmp_path / "swaps").write_text("Filename Type Size Used Priority\n" + areas)
    assert preflight.swap(tmp_path / "swaps")[0] == verdict


@pytest.mark.parametrize(
    ("limit", "pattern", "verdict"),
    [
        (0, "core", "pass"),
        (-1, "core", "warn"),
        (1024, "core", "warn"),
        (0, "|/usr/bin/keep %p", "warn"),
        (0, "|", "warn"),
    ],
)
def test_core_dumps_are_told(tmp_path: Path, limit: int, pattern: str, verdict: str) -> None:
    (tmp_path / "core_pattern").write_text(pattern + "\n")
    assert preflight.core(limit, tmp_path / "core_pattern")[0] == verdict


def test_random_numbers_are_ready_or_not(tmp_path: Path) -> None:
    def not_yet() -> bytes:
        raise BlockingIOError

    (tmp_path / "rng").write_text("tpm-rng-0\n")
    assert preflight.entropy(source=tmp_path / "rng") == (
        "pass",
        "the kernel's random numbers are ready; hardware source tpm-rng-0",
    )
    assert preflight.entropy(source=tmp_path / "none")[0] == "pass"
    assert preflight.entropy(not_yet, tmp_path / "none")[0] == "stop"


def installed(folder: Path, files: dict[str, str]) -> importlib.metadata.Distribution:
    info = folder / "vestry-0.1.dist-info"
    info.mkdir()
    lines = ["vestry-0.1.dist-info/RECORD,,"]
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(text)}")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vestry\nVersion: 0.1\n")
    (info / "RECORD").write_text("\n".join(lines) + "\n")
    return importlib.metadata.Distribution.at(info)


def test_own_files_are_compared_with_the_record(tmp_path: Path) -> None:
    wheel = installed(tmp_path, {"vestry/__init__.py": "", "vestry/a.py": "x = 1\n"})
    package = tmp_path / "vestry"
    assert preflight.software(lambda: wheel, package) == ("pass", "2 files of this program are as installed")
    (package / "a.py").write_text("x = 2\n")
    assert preflight.software(lambda: wheel, package)[0] == "stop"
    (package / "a.py").unlink()
    assert preflight.software(lambda: wheel, package)[0] == "stop"
    (package / "a.py").write_text("x = 1\n")
    (package / "added.py").write_text("")
    verdict, line = preflight.software(lambda: wheel, package)
    assert (verdict, "0 files changed and 1 added" in line) == ("stop", True)


def test_a_source_folder_has_no_record(tmp_path: Path) -> None:
    wheel = installed(tmp_path, {"vestry/__init__.py": ""})
    assert preflight.software(lambda: wheel, tmp_path / "elsewhere" / "vestry")[0] == "unknown"

    def absent() -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError("vestry")

    assert preflight.software(absent, tmp_path / "vestry")[0] == "unknown"


@pytest.mark.parametrize(("mib", "verdict"), [(10, "stop"), (100, "warn"), (2000, "pass")])
def test_room_is_looked_for(tmp_path: Path, mib: int, verdict: str) -> None:
    assert preflight.space(tmp_path / "not" / "made", lambda _: mib * 1024 * 1024)[0] == verdict


def test_root_is_told() -> None:
    assert preflight.user(0)[0] == "warn"
    assert preflight.user(1000)[0] == "pass"


@pytest.mark.parametrize(
    ("here", "columns", "rows", "verdict"),
    [(True, 80, 24, "pass"), (True, 79, 24, "warn"), (True, 80, 23, "warn"), (False, 0, 0, "warn")],
)
def test_a_small_terminal_is_told(here: bool, columns: int, rows: int, verdict: str) -> None:
    assert preflight.terminal(is_terminal=here, kind="linux", columns=columns, rows=rows)[0] == verdict


def test_all_checks_are_taken_each_in_one_line(tmp_path: Path) -> None:
    taken = preflight.take(tmp_path)
    assert tuple(taken) == preflight.CHECKS
    for verdict, line in taken.values():
        assert verdict in ("pass", "warn", "stop", "unknown")
        assert line
        assert all(" " <= c <= "~" for c in line)


def test_a_system_that_does_not_tell_is_unknown(tmp_path: Path) -> None:
    """A check that can't look must not pass."""
    for look in (lambda: preflight.swap(tmp_path / "no"), lambda: preflight.network(dict, tmp_path / "no")):
        assert preflight._guarded(look)[0] == "unknown"
