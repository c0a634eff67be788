"""Is this machine fit for a ceremony? Each check says what was seen, in one line, and what that means.

``pass``: as it should be. ``warn``: worth a word in the room. ``stop``: mend it or waive it, with a reason on record.
``unknown``: this system does not tell. What is seen here is what the kernel says; it proves nothing about a machine
whose kernel lies.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import importlib.metadata
import os
import resource
import shutil
import socket
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from vestry.text import printable

Verdict = Literal["pass", "warn", "stop", "unknown"]
Check = tuple[Verdict, str]

RELEASED = datetime(2026, 11, 1, tzinfo=UTC)
CHECKS = ("network", "clock", "swap", "core", "entropy", "software", "space", "user", "terminal")

_YEARS_OF_USE = 20
_MIB = 1024 * 1024
_SPACE_STOP, _SPACE_WARN = 64 * _MIB, 512 * _MIB
_COLUMNS, _ROWS = 80, 24
# Linux: ioctl number and the three flags of an interface, netdevice(7).
_SIOCGIFFLAGS, _UP, _LOOPBACK, _RUNNING = 0x8913, 0x1, 0x8, 0x40


def take(folder: Path | None = None) -> Mapping[str, Check]:
    """Every check of `CHECKS`: its verdict and one line. `folder` is where the ceremony will be written."""
    looks: Mapping[str, Callable[[], Check]] = {
        "network": network,
        "clock": lambda: clock(datetime.now(UTC)),
        "swap": swap,
        "core": lambda: core(resource.getrlimit(resource.RLIMIT_CORE)[0]),
        "entropy": entropy,
        "software": software,
        "space": lambda: space(folder if folder is not None else Path.cwd()),
        "user": lambda: user(os.geteuid()),
        "terminal": _this_terminal,
    }
    return {name: _guarded(looks[name]) for name in CHECKS}


def _guarded(look: Callable[[], Check]) -> Check:
    try:
        return look()
    except (OSError, ValueError) as error:
        return "unknown", f"this system does not tell: {printable(str(error), 100)}"


def interfaces() -> Mapping[str, int]:
    """Network interfaces of this process with their flags (netdevice(7)).

    Asked of the kernel by a socket, since ``/sys/class/net`` may show another network namespace than the process is in.
    """
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            answer = fcntl.ioctl(probe, _SIOCGIFFLAGS, struct.pack("16s16x", name.encode()[:15]))
            found[name] = struct.unpack_from("H", answer, 16)[0]
    return found


def network(
    seen: Callable[[], Mapping[str, int]] = interfaces,
    routes: Path = Path("/proc/net/route"),
    routes6: Path = Path("/proc/net/ipv6_route"),
    radios: Path = Path("/sys/class/rfkill"),
) -> Check:
    """No interface but loopback is up, nothing leads out, no radio is on."""
    outside = {str(printable(name, 20)): flags for name, flags in seen().items() if not flags & _LOOPBACK}
    live = [name for name, flags in outside.items() if flags & _UP and flags & _RUNNING]
    leads = _default_routes(routes, routes6)
    if live or leads:
        what = [f"{_list(live)} {'is' if len(live) == 1 else 'are'} up"] if live else []
        what += [f"a default route leads through {_list(leads)}"] if leads else []
        return "stop", f"{' and '.join(what)}: take this machine off the network"
    idle = [name for name, flags in outside.items() if flags & _UP]
    if idle:
        return "warn", f"{_list(idle)} switched on, with nothing connected: switch it off"
    on = _radios(radios)
    if on:
        return "warn", f"radio on: {_list(on)}: block it"
    down = f"; down: {_list(list(outside))}" if outside else ""
    return "pass", f"no interface but loopback is up, no default route{down}"


def _default_routes(routes: Path, routes6: Path) -> list[str]:
    found = []
    for line in routes.read_text("ascii", "replace").splitlines()[1:]:
        cells = line.split()
        if len(cells) > 7 and cells[1] == cells[7] == "00000000":
            found.append(cells[0])
    if routes6.exists():
        for line in routes6.read_text("ascii", "replace").splitlines():
            cells = line.split()
            # The kernel keeps an unreachable default route on lo; it leads nowhere.
            if len(cells) > 9 and cells[0] == "0" * 32 and cells[1] == "00" and cells[9] != "lo":
                found.append(cells[9])
    return [str(printable(name, 20)) for name in dict.fromkeys(found)]


def _radios(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    found = []
    for radio in sorted(folder.iterdir()):
        blocked = [(radio / name).read_text().strip() for name in ("soft", "hard") if (radio / name).exists()]
        if blocked and "1" not in blocked:
            kind = radio / "type"
            found.append(str(printable(kind.read_text().strip() if kind.exists() else radio.name, 20)))
    return list(dict.fromkeys(found))


def clock(now: datetime, released: datetime = RELEASED) -> Check:
    """The year makes sense: not before this software existed, not long after it could still be in use."""
    shown = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if now < released:
        return "stop", f"{shown} is before this software was released: set the clock, in UTC"
    if now.year > released.year + _YEARS_OF_USE:
        years = now.year - released.year
        return "stop", f"{shown} is {years} years after this software was released: set the clock, in UTC"
    return "pass", f"{shown}; compare it with a watch"


def swap(swaps: Path = Path("/proc/swaps")) -> Check:
    """Nothing in memory may be written to a disk behind our back; compressed memory (zram) is no disk."""
    areas = [line.split()[0] for line in swaps.read_text("utf-8", "replace").splitlines()[1:] if line.split()]
    disks = [str(printable(a, 40)) for a in areas if not Path(a).name.startswith("zram")]
    if disks:
        return "warn", f"swap is on ({_list(disks)}): run swapoff -a"
    return "pass", "no swap on a disk"


def core(limit: int, pattern: Path = Path("/proc/sys/kernel/core_pattern")) -> Check:
    """A crash leaves no copy of memory. `limit` is RLIMIT_CORE in bytes, -1 for none."""
    handler = pattern.read_text("utf-8", "replace").strip() if pattern.exists() else ""
    if handler.startswith("|"):
        # core(5): the limit is not enforced for core dumps that are piped to a program.
        program = (handler[1:].split() or ["a program"])[0]
        return "warn", f"a crash hands a copy of memory to {printable(program, 40)}"
    if limit != 0:
        return "warn", "a crash would write memory to a file: run ulimit -c 0 first"
    return "pass", "a crash leaves no copy of memory"


def entropy(
    draw: Callable[[], bytes] = lambda: os.getrandom(32, os.GRND_NONBLOCK),
    source: Path = Path("/sys/class/misc/hw_random/rng_current"),
) -> Check:
    """The kernel's random number generator is seeded; which hardware source it names, if any."""
    try:
        draw()
    except BlockingIOError:
        return "stop", "the kernel's random numbers are not ready yet: wait, type, move the mouse"
    named = source.read_text("utf-8", "replace").strip() if source.exists() else ""
    hardware = f"hardware source {printable(named, 40)}" if named and named != "none" else "no hardware source named"
    return "pass", f"the kernel's random numbers are ready; {hardware}"


def software(
    installed: Callable[[], importlib.metadata.Distribution] | None = None, package: Path | None = None
) -> Check:
    """The program's own files against the digests in the RECORD of its installation."""
    folder = package if package is not None else Path(__file__).resolve().parent.parent
    try:
        distribution = installed() if installed is not None else importlib.metadata.distribution("vestry")
    except importlib.metadata.PackageNotFoundError:
        return "unknown", "not installed as a package: its files can't be compared with a record"
    prefix = f"{folder.name}/"
    listed = [f for f in distribution.files or [] if str(f).startswith(prefix) and f.hash is not None]
    if not listed or Path(str(distribution.locate_file(folder.name))).resolve() != folder.resolve():
        return "unknown", "runs from a source folder: its files can't be compared with a record"
    changed = []
    for entry in listed:
        path = Path(str(distribution.locate_file(entry)))
        assert entry.hash is not None
        if not path.is_file() or _record_hash(path, entry.hash.mode) != entry.hash.value:
            changed.append(str(entry))
    known = {str(f) for f in distribution.files or []}
    added = [p for p in _sources(folder) if p not in known]
    if changed or added:
        first = str(printable((changed or added)[0], 60))
        counts = f"{len(changed)} files changed and {len(added)} added"
        return "stop", f"{counts} in this program since it was installed: {first}"
    return "pass", f"{len(listed)} files of this program are as installed"


def _record_hash(path: Path, mode: str) -> str:
    digest = hashlib.new(mode, path.read_bytes(), usedforsecurity=True).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _sources(folder: Path) -> Sequence[str]:
    return [f"{folder.name}/{p.relative_to(folder).as_posix()}" for p in sorted(folder.rglob("*.py"))]


def space(folder: Path, free: Callable[[Path], int] = lambda p: shutil.disk_usage(p).free) -> Check:
    """Room for transcript, documents and bundles."""
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    left = free(there)
    line = f"{left // _MIB:,} MiB free"
    if left < _SPACE_STOP:
        return "stop", f"{line}: at least {_SPACE_STOP // _MIB} are needed"
    if left < _SPACE_WARN:
        return "warn", f"{line}: that is little"
    return "pass", line


def user(uid: int) -> Check:
    """Not the system's administrator: nothing here needs that power."""
    if uid == 0:
        return "warn", "this runs as root: nothing in a ceremony needs that; use another account"
    return "pass", f"an ordinary user (uid {uid})"


def terminal(*, is_terminal: bool, kind: str, columns: int, rows: int) -> Check:
    """A screen large enough that nothing is cut."""
    shown = printable(kind, 20) or "of no kind"
    if not is_terminal:
        return "warn", "input or output is not a terminal"
    if columns < _COLUMNS or rows < _ROWS:
        return "warn", f"terminal {shown}, {columns}x{rows}: at least {_COLUMNS}x{_ROWS} is wanted"
    return "pass", f"terminal {shown}, {columns}x{rows}"


def _this_terminal() -> Check:
    here = bool(sys.__stdin__ and sys.__stdout__ and sys.__stdin__.isatty() and sys.__stdout__.isatty())
    size = os.get_terminal_size(sys.__stdout__.fileno()) if here and sys.__stdout__ else os.terminal_size((0, 0))
    return terminal(is_terminal=here, kind=os.environ.get("TERM", ""), columns=size.columns, rows=size.lines)


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
