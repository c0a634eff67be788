"""The process behind the bench: a private pcscd with two readers, the cards, and a Unix socket that takes orders.

Start: ``python -m virtual_yubikey.room FOLDER``. It reads FOLDER/room.json, ``{"cards": {NAME: SETTINGS}, "readers":
[NAME, NAME]}``, makes FOLDER/pcscd.comm (for PCSCLITE_CSOCK_NAME) and FOLDER/control, prints "ready" and ends with its
standard input. An order is one line of JSON, ``{"do": "remove", "card": "alice"}``; so is its answer, ``{}`` where
there is nothing to tell and ``{"error": ...}`` where it was not done.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from virtual_yubikey import pcsc, walls
from virtual_yubikey.authority import Authority, pem
from virtual_yubikey.reader import Reader
from virtual_yubikey.state import Settings, State, padded

PORT = 35963
DRIVER = Path("/usr/lib/pcsc/drivers/serial/libifdvpcd.so")
_READERS = """\
FRIENDLYNAME "Yubico YubiKey OTP+FIDO+CCID"
DEVICENAME /dev/null:0x{port:X}
LIBPATH {driver}
CHANNELID 0x{port:X}
"""
# What systemd hands a service that it started for a socket: the socket as descriptor 3.
_HANDED = 3


class Room:
    """Drawer of cards, two readers, two authorities: the trusted one, and one that only looks like it."""

    def __init__(self, folder: Path, port: int) -> None:
        self._pcscd = folder / "pcscd.comm"
        self._authority, self._forger = Authority("Test PIV"), Authority("Test PIV")
        self._drawer: dict[str, State] = {}
        self._readers = (Reader(port), Reader(port + 1))
        self._lock = threading.Lock()
        self._orders: dict[str, Callable[..., dict[str, Any] | None]] = {
            "authority": self._authorities,
            "card": self._card,
            "insert": self._insert,
            "remove": self._remove,
            "fresh": self._fresh,
            "touch": self._touch,
            "set": self._set,
            "next": self._next,
            "state": self._state,
            "key": self._key,
            "secrets": self._secrets,
        }

    def order(self, line: bytes) -> dict[str, Any]:
        """Do what one line asks; the answer."""
        try:
            words = json.loads(line)
            return self._orders[words.pop("do")](**words) or {}
        except (ValueError, KeyError, TypeError, OSError) as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def _authorities(self) -> dict[str, Any]:
        return {"root": pem(self._authority.root), "intermediate": pem(self._authority.intermediate)}

    def _card(self, name: str, settings: dict[str, Any]) -> None:
        wanted = Settings(**settings)
        self._drawer[name] = State(wanted, self._authority if wanted.genuine else self._forger)

    def _insert(self, reader: int, card: str) -> None:
        with self._lock:
            if any(r.occupied and r.name == card for r in self._readers):
                raise ValueError(f"card {card!r} is in a reader already")
            self._out(reader)
            self._readers[reader].insert(card, self._drawer[card])
            self._seen()

    def _remove(self, card: str) -> None:
        with self._lock:
            if card not in self._drawer:
                raise KeyError(card)
            for number, reader in enumerate(self._readers):
                # One that left by itself has still to be seen as gone.
                if reader.name == card:
                    self._out(number)

    def _out(self, reader: int) -> None:
        self._readers[reader].remove()
        self._seen()

    def _seen(self) -> None:
        wanted = [reader.occupied for reader in self._readers]
        pcsc.wait_until(self._pcscd, lambda seen: seen == wanted)

    def _fresh(self, cards: dict[str, dict[str, Any]], readers: list[str]) -> None:
        with self._lock:
            self._drawer.clear()
            for name, settings in cards.items():
                self._card(name, settings)
            for reader, name in zip(self._readers, readers, strict=True):
                if not name:
                    reader.remove()
                elif reader.occupied:
                    reader.replace(name, self._drawer[name])
                else:
                    if reader.name:
                        # It left by itself: pcscd has to see that before another comes.
                        reader.remove()
                        self._seen()
                    reader.insert(name, self._drawer[name])
            self._seen()

    def _touch(self, card: str) -> None:
        self._drawer[card].touched.set()

    def _set(self, card: str, **settings: Any) -> None:
        state = self._drawer[card]
        state.settings = dataclasses.replace(state.settings, **settings)

    def _next(self, card: str, signature: str = "", other_public_key: str = "") -> None:
        if signature not in {"", "wrong", "remove", "remove-after"}:
            raise ValueError(f"no such way to sign: {signature}")
        self._drawer[card].next_signature = signature
        self._drawer[card].other_public_key = other_public_key

    def _key(self, card: str, slot: str, kind: str, **how: Any) -> dict[str, Any]:
        return {"spki": self._drawer[card].put_key(int(slot, 16), kind, **how).hex()}

    def _secrets(self, card: str, pin: str = "", puk: str = "") -> None:
        state = self._drawer[card]
        for secret, text in ((state.pin, pin), (state.puk, puk)):
            if text:
                secret.value = padded(text)

    def _state(self, card: str) -> dict[str, Any]:
        readers = {reader.name: number for number, reader in enumerate(self._readers) if reader.occupied}
        return {**self._drawer[card].described(), "reader": readers.get(card)}


def _start_pcscd(folder: Path, port: int) -> subprocess.Popen[bytes]:
    drivers = folder / "drivers"
    drivers.mkdir(exist_ok=True)
    (drivers / "vpcd").write_text(_READERS.format(port=port, driver=DRIVER), encoding="ascii")
    with (folder / "pcscd.log").open("wb") as log:
        return subprocess.Popen(
            ["/bin/sh", "-c", 'LISTEN_PID=$$ exec "$0" -f -c "$1"', "/usr/sbin/pcscd", str(drivers)],
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LISTEN_FDS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(_HANDED,),
            preexec_fn=lambda: walls.die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - no thread runs yet
        )


def _free_pair() -> int:
    """The first of two neighbouring ports on which nothing listens, below those that the kernel hands out."""
    while True:
        port = random.randrange(20_000, 32_000, 2)
        try:
            for number in (port, port + 1):
                with socket.socket() as probe:
                    probe.bind(("", number))
        except OSError:
            continue
        return port


def _answer(room: Room, line: socket.socket) -> None:
    with line, line.makefile("rwb") as stream:
        for request in stream:
            stream.write(json.dumps(room.order(request)).encode() + b"\n")
            stream.flush()


def _serve(room: Room, control: socket.socket, pcscd: subprocess.Popen[bytes]) -> None:
    """Until standard input ends, or pcscd does."""
    with selectors.DefaultSelector() as ready:
        ready.register(control, selectors.EVENT_READ)
        ready.register(sys.stdin, selectors.EVENT_READ)
        while pcscd.poll() is None:
            for key, _ in ready.select(1.0):
                if key.fileobj is not control:
                    return
                threading.Thread(target=_answer, args=(room, control.accept()[0]), daemon=True).start()


def main() -> int:
    """Run a room."""
    folder = Path(sys.argv[1])
    handed = socket.socket(socket.AF_UNIX)
    handed.bind(str(folder / "pcscd.comm"))
    handed.listen(16)
    if handed.fileno() != _HANDED:
        os.dup2(handed.fileno(), _HANDED)
    port, user = PORT, os.geteuid()
    try:
        walls.enter()
    except OSError as error:
        if user != 0:
            print(f"no walls: {error.strerror or error}", flush=True)
            return 3
        # Root in a container without namespaces: pcscd may write where it wants, and ports are looked for.
        port = _free_pair()
    pcscd = _start_pcscd(folder, port)
    try:
        control = socket.socket(socket.AF_UNIX)
        control.bind(str(folder / "control"))
        control.listen(16)
        room = Room(folder, port)
        outset = json.loads((folder / "room.json").read_text(encoding="utf-8"))
        begun = room.order(json.dumps({"do": "fresh", **outset}).encode())
        print(begun.get("error", "ready"), flush=True)
        if not begun:
            _serve(room, control, pcscd)
    finally:
        pcscd.kill()
        pcscd.wait()
    # Threads that wait for a touch or for pcscd are left where they are.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
