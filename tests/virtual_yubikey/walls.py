"""Namespaces of our own: a network in which only we listen, and a /run in which only our pcscd writes its process id.

vpcd listens on every address at fixed ports and pcscd writes one fixed file; behind these walls any number of test
workers run side by side, nobody else reaches the cards, and no root is needed where the kernel allows user namespaces.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

_NEW_MOUNTS, _NEW_USER, _NEW_NETWORK = 0x00020000, 0x10000000, 0x40000000
_RECURSIVE, _PRIVATE = 0x4000, 0x40000
_PARENT_DEATH_SIGNAL = 1
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1

_libc = ctypes.CDLL(None, use_errno=True)


def enter() -> None:
    """Move this process, which has one thread, behind the walls.

    Raises:
        OSError: the kernel does not allow it; the text says which step.
    """
    user, group = os.geteuid(), os.getegid()
    flags = _NEW_MOUNTS | _NEW_NETWORK
    try:
        _call("unshare", flags)
    except PermissionError:
        _call("unshare", flags | _NEW_USER)
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")
    _call("mount", None, b"/", None, _RECURSIVE | _PRIVATE, None)
    _call("mount", b"tmpfs", b"/run", b"tmpfs", 0, None)
    Path("/run/pcscd").mkdir()
    _loopback_up()


def die_with_parent(number: int) -> None:
    """Have the kernel send this process signal `number` when the one that started it ends."""
    _libc.prctl(_PARENT_DEATH_SIGNAL, number)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", b"lo", 0)
        (_, flags) = struct.unpack("16sH14x", fcntl.ioctl(any_socket, _GET_FLAGS, request))
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH14x", b"lo", flags | _UP))


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
