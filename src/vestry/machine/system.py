"""What the kernel says of this machine and this process: clock, swap, core dumps, tracers, random numbers, user."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from vestry.machine.check import Check, shown
from vestry.machine.isolation import memory_sealed
from vestry.text import printable

RELEASED = datetime(2026, 11, 1, tzinfo=UTC)

_YEARS_OF_USE = 20
_COLUMNS, _ROWS = 80, 24


def clock(now: datetime, doubts: Sequence[str] = (), released: datetime = RELEASED) -> Check:
    """The time can be right: not before this software existed or long after its use, and in no contradiction to the
    documents at hand, of which `doubts` are sentences. A network's time plays no part."""
    time = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    do = "set the clock, in UTC"
    if now < released:
        return Check("stop", f"{time} is before this software was released", do)
    if now.year > released.year + _YEARS_OF_USE:
        return Check("stop", f"{time} is {now.year - released.year} years after this software was released", do)
    if doubts:
        said = "; ".join(str(printable(doubt)) for doubt in doubts)
        return Check("stop", said, f"compare {time} with a watch, and set the clock or look at the documents")
    return Check("pass", time, "compare it with a watch")


def swap(root: Path = Path("/")) -> Check:
    """Nothing in memory is written to a disk behind our back; compressed memory (zram) is no disk, if none backs it."""
    lines = (root / "proc/swaps").read_text("utf-8", "replace").splitlines()[1:]
    areas = [line.split()[0] for line in lines if line.split()]
    disks = [shown(area) for area in areas if not _in_memory(root, Path(area).name)]
    if disks:
        return Check("warn", f"swap is on ({', '.join(disks)})", "run swapoff -a")
    return Check("pass", "swap is compressed memory, on no disk" if areas else "no swap")


def _in_memory(root: Path, device: str) -> bool:
    if not device.startswith("zram"):
        return False
    backing = root / "sys/block" / device / "backing_dev"
    return not backing.exists() or backing.read_text("utf-8", "replace").strip() == "none"


def core(
    root: Path = Path("/"),
    limit: Callable[[], int] = lambda: resource.getrlimit(resource.RLIMIT_CORE)[0],
    sealed: Callable[[], bool] = memory_sealed,
) -> Check:
    """A crash leaves no copy of memory. `limit` is RLIMIT_CORE in bytes, -1 for none; `sealed`, whether the kernel
    keeps this process from dumps altogether. What is piped to a program knows no limit (core(5)), and PINs pass through
    other processes too: pcscd's is one."""
    kernel = root / "proc/sys"
    handler = (kernel / "kernel/core_pattern").read_text("utf-8", "replace").strip()
    if handler.startswith("|"):
        program = shown((handler[1:].split() or ["a program"])[0])
        seen = f"a crash of any program, the smart card service for one, hands its memory to {program}"
        return Check("warn", seen, "run sysctl kernel.core_pattern=core")
    set_user = kernel / "fs/suid_dumpable"
    if set_user.exists() and set_user.read_text("ascii", "replace").strip() == "1":
        return Check("warn", "programs that change their user leave their memory too", "run sysctl fs.suid_dumpable=0")
    if limit() != 0 and not sealed():
        return Check("warn", "a crash would write memory to a file", "run ulimit -c 0 first")
    return Check("pass", "a crash leaves no copy of memory")


def tracer(
    root: Path = Path("/"),
    environment: Mapping[str, str] = os.environ,
    traced: Callable[[], object] = sys.gettrace,
) -> Check:
    """Nobody looks into this process: no tracer on any thread, nothing loaded ahead of its libraries."""
    for status in sorted((root / "proc/self/task").glob("*/status")):
        pid = _field(status, "TracerPid:")
        if pid != "0":
            name = root / "proc" / pid / "comm"
            who = shown(name.read_text("utf-8", "replace"), 20) if pid.isdigit() and name.exists() else "another"
            return Check("stop", f"a debugger or tracer is attached: {who} (process {shown(pid, 12)})", "end it")
    if traced() is not None:
        return Check("stop", "a debugger of Python is attached", "start without it")
    ahead = [name for name in ("LD_PRELOAD", "LD_AUDIT", "PYTHONINSPECT") if environment.get(name)]
    preload = root / "etc/ld.so.preload"
    if preload.exists() and preload.read_text("utf-8", "replace").strip():
        ahead.append(str(Path("/etc/ld.so.preload")))
    if ahead:
        return Check("warn", f"other code may run ahead of this program's: {', '.join(ahead)}", "take that out")
    return Check("pass", "no debugger or tracer is attached")


def _field(status: Path, name: str) -> str:
    for line in status.read_text("ascii", "replace").splitlines():
        if line.startswith(name):
            return line.removeprefix(name).strip()
    raise ValueError(f"{status.name} does not say {name}")


def entropy(root: Path = Path("/"), draw: Callable[[], bytes] = lambda: os.getrandom(32, os.GRND_NONBLOCK)) -> Check:
    """The kernel's random number generator is seeded; which hardware source it names, if any."""
    try:
        draw()
    except BlockingIOError:
        seen = "the kernel's random numbers are not ready yet"
        return Check("stop", seen, "wait, type, move the mouse")
    source = root / "sys/class/misc/hw_random/rng_current"
    named = source.read_text("utf-8", "replace").strip() if source.exists() else ""
    hardware = f"hardware source {shown(named)}" if named and named != "none" else "no hardware source named"
    return Check("pass", f"the kernel's random numbers are ready; {hardware}")


def user(uid: int) -> Check:
    """Not the system's administrator: nothing here needs that power."""
    if uid == 0:
        return Check("warn", "this runs as root, and nothing in a ceremony needs that", "use another account")
    return Check("pass", f"an ordinary user (uid {uid})")


def terminal(*, is_terminal: bool, kind: str, columns: int, rows: int) -> Check:
    """A screen large enough that nothing is cut."""
    name = shown(kind, 20) or "of no kind"
    if not is_terminal:
        return Check("warn", "input or output is not a terminal")
    if columns < _COLUMNS or rows < _ROWS:
        return Check("warn", f"terminal {name}, {columns}x{rows}", f"make it {_COLUMNS}x{_ROWS} or larger")
    return Check("pass", f"terminal {name}, {columns}x{rows}")


def this_terminal() -> Check:
    """`terminal` of this process."""
    here = bool(sys.__stdin__ and sys.__stdout__ and sys.__stdin__.isatty() and sys.__stdout__.isatty())
    size = os.get_terminal_size(sys.__stdout__.fileno()) if here and sys.__stdout__ else os.terminal_size((0, 0))
    return terminal(is_terminal=here, kind=os.environ.get("TERM", ""), columns=size.columns, rows=size.lines)
