"""Cut the process off, before a ceremony begins: no network, no copy of memory, nobody who looks inside.

On Linux the process leaves its network namespace for a new one, in which even loopback is down (unshare(2),
network_namespaces(7)). Where only the administrator may do that, a user namespace comes with it, in which the user has
the same number and no power (user_namespaces(7)). Children inherit both. Sockets in the file system, such as that of
the smart card service, work from inside; anything on 127.0.0.1 does not.

What is done here lasts until the process ends; it can't be undone.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

from vestry.machine.check import Check
from vestry.machine.network import UP, Links

# linux/sched.h, linux/prctl.h, linux/capability.h
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
_GET_DUMPABLE, _SET_DUMPABLE = 3, 4
_CAPABILITY_VERSION = 0x20080522

_ISOLATED = "this program runs in a network namespace of its own, in which no interface is up"
_KEPT = "this program keeps the network, as it was told to"
_REASONS = {
    errno.EPERM: "this system does not let it",
    errno.EACCES: "this system does not let it",
    errno.EINVAL: "this system has no network namespaces",
    errno.ENOSYS: "this system has no network namespaces",
    errno.ENOSPC: "this system allows no more namespaces",
    errno.EUSERS: "this system allows no more namespaces",
}


@dataclass(frozen=True)
class Confinement:
    """Whether the process was cut off, in one sentence too; `outside` looks at the network that it left, or is in."""

    isolated: bool
    said: str
    outside: Links | None = None


OPEN = Confinement(False, "this program was not cut off from the network")


def enter(*, keep_network: bool = False) -> Confinement:
    """Cut this process off; it goes on if that can't be. Call it before there is any thread: each has a namespace."""
    try:
        outside = Links() if sys.platform.startswith("linux") else None
    except OSError:
        outside = None
    why_not = _KEPT if keep_network else _isolate()
    seal_memory()
    return Confinement(not why_not, why_not or _ISOLATED, outside)


def seal_memory() -> None:
    """No crash leaves a copy of this process' memory, and nobody else of this user reads it or traces it (Linux)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0)


def memory_sealed() -> bool:
    """Whether the kernel keeps the memory of this process from dumps and other processes of this user."""
    return sys.platform.startswith("linux") and int(ctypes.CDLL(None).prctl(_GET_DUMPABLE, 0, 0, 0, 0)) == 0


def isolation(confined: Confinement) -> Check:
    """The process is cut off from every network, and still is."""
    if not confined.isolated:
        return Check("warn", confined.said, "rely on what 'network' says")
    links = Links()
    try:
        up = [name for name, flags in links.look().interfaces if flags & UP]
    finally:
        links.close()
    if up:
        return Check("stop", "an interface came up in this program's own network namespace", "find out who did that")
    return Check("pass", confined.said)


def isolable() -> Check:
    """Whether a ceremony that is started now could be cut off."""
    why_not = _tried()
    if why_not:
        return Check("warn", f"a ceremony here can't be cut off from the network: {why_not}", "rely on 'network'")
    return Check("pass", "a ceremony here runs in a network namespace of its own, in which no interface is up")


def _isolate() -> str:
    """Why it can't be; empty when it is done."""
    if sys.platform.startswith("linux") and _threads() != 1:
        why_not = "threads run already"
    else:
        why_not = _tried()
    if not why_not:
        _leave()
    return f"this program is not cut off from the network: {why_not}" if why_not else ""


def _tried() -> str:
    """Why a child process could not do it; empty if it could. A system that kills whoever tries kills the child, and
    one that stops halfway leaves no ceremony behind in which files belong to nobody."""
    if not sys.platform.startswith("linux"):
        return "this system has no network namespaces"
    child = os.fork()
    if child == 0:
        status = 255
        try:
            _leave()
            status = 0
        except OSError as error:
            status = error.errno or status
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return "" if status == 0 else _REASONS.get(status, "this system ended the attempt")


def _leave() -> None:
    """Leave the network.

    Raises:
        OSError: the system does not let it.
    """
    try:
        _unshare(_NEW_NETWORK)
    except PermissionError:
        user, group = os.geteuid(), os.getegid()
        _unshare(_NEW_USER | _NEW_NETWORK)
        # user_namespaces(7): in this order, and while the process is dumpable. Files keep their owner.
        for name, said in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            Path("/proc/self", name).write_text(said)
        _give_up_capabilities()


def _unshare(flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _give_up_capabilities() -> None:
    """Whoever makes a user namespace is mighty in it, over this user's own files for one; this process is not to be."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(struct.pack("=Ii", _CAPABILITY_VERSION, 0), bytes(24)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _threads() -> int:
    status = Path("/proc/self/status").read_text("ascii", "replace")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("Threads:"))
