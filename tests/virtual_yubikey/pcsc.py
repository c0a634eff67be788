"""pcscd asked which readers hold a card, with the messages of pcsc-lite's own clients (winscard_msg.h, version 4.4)."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

_VERSION, _READERS = 0x11, 0x12
_STATE = struct.Struct("=128sIIi33s3xII")
_SLOTS = 16
_PRESENT = 0x0004


def occupied(pcscd: Path) -> list[bool]:
    """For each reader in the order pcscd lists them, whether it holds a card.

    Raises:
        OSError: pcscd is not there.
    """
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(5)
        line.connect(str(pcscd))
        version = struct.pack("=iiI", 4, 4, 0)
        line.sendall(struct.pack("=II", len(version), _VERSION) + version)
        _exactly(line, len(version))
        line.sendall(struct.pack("=II", 0, _READERS))
        data = _exactly(line, _SLOTS * _STATE.size)
    found = [_STATE.unpack_from(data, at * _STATE.size) for at in range(_SLOTS)]
    return [bool(state & _PRESENT) for name, _events, state, *_ in sorted(found) if name.strip(b"\0")]


def wait_until(pcscd: Path, holds: Callable[[list[bool]], bool], seconds: float = 10.0) -> None:
    """Return when pcscd sees the readers as `holds` wants them.

    Raises:
        TimeoutError: it does not.
    """
    end = time.monotonic() + seconds
    seen: list[bool] | OSError | None = None
    while time.monotonic() < end:
        try:
            seen = occupied(pcscd)
            if holds(seen):
                return
        except OSError as error:
            seen = error
        time.sleep(0.01)
    raise TimeoutError(f"pcscd's readers stay as they are: {seen}")


def _exactly(line: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = line.recv(size - len(data))
        if not piece:
            raise ConnectionError("pcscd hung up")
        data += piece
    return data
