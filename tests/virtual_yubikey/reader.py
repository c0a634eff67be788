"""A reader: its line to vpcd (vsmartcard's virtual reader in pcscd), and the card that is in it.

vpcd's protocol, over TCP: two bytes of length, then a command to the card, or one byte that is an order to the reader.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

from virtual_yubikey.card import ATR, Card
from virtual_yubikey.piv import Removed
from virtual_yubikey.state import State

_POWER_OFF, _POWER_ON, _RESET, _GET_ATR = 0, 1, 2, 4


class Reader:
    """One reader, empty at first. `name` is that of the card in it, as the drawer has it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._line: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._state: State | None = None
        self.name = ""

    @property
    def occupied(self) -> bool:
        """Whether a card is in it."""
        return self._thread is not None and self._thread.is_alive()

    def insert(self, name: str, state: State, seconds: float = 5.0) -> None:
        """Put a card in.

        Raises:
            OSError: pcscd does not listen within `seconds`.
        """
        self.remove()
        end = time.monotonic() + seconds
        while True:
            try:
                self._line = socket.create_connection(("127.0.0.1", self._port))
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.005)
        self._line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        state.removed.clear()
        self.name, self._state = name, state
        self._thread = threading.Thread(target=self._serve, args=(self._line,), daemon=True)
        self._thread.start()

    def remove(self) -> None:
        """Take the card out, whatever it does; nothing where there is none."""
        if self._line is None or self._thread is None or self._state is None:
            return
        self._state.removed.set()
        self._state.touched.set()
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._line = self._thread = self._state = None
        self.name = ""

    def replace(self, name: str, state: State) -> None:
        """Another card in its place without pcscd seeing a removal: for a fresh start between tests."""
        self.name, self._state = name, state

    def _serve(self, line: socket.socket) -> None:
        card: Card | None = None
        of: State | None = None
        with line, contextlib.suppress(ConnectionError, Removed):
            while True:
                message = _exactly(line, *struct.unpack(">H", _exactly(line, 2)))
                if len(message) == 1:
                    if message[0] == _GET_ATR:
                        _send(line, ATR)
                    elif message[0] in {_POWER_ON, _RESET, _POWER_OFF}:
                        card = None
                    continue
                state = self._state
                if state is None:
                    return
                if card is None or of is not state:
                    card, of = Card(state), state
                _send(line, card.answer(message))


def _send(line: socket.socket, data: bytes) -> None:
    line.sendall(struct.pack(">H", len(data)) + data)


def _exactly(line: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        # vpcd sends length and command apart: without this each waits 40 ms for the acknowledgement of the other.
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        piece = line.recv(size - len(data))
        if not piece:
            raise ConnectionError("the reader went away")
        data += piece
    return data
