"""What tests use: virtual YubiKeys in two readers of a private pcscd, and a fixture for them.

    def test_something(yubikeys: Bench) -> None:
        source = Pkcs11Source(YKCS11)        # the environment is set already
        yubikeys.cards["alice"].remove()

"alice" and "bob" are in the readers when a test begins, new from the factory; `Bench.card` makes more. The process is
started once a worker, in about half a second, and the cards are made anew for each test.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_public_key

from virtual_yubikey.room import DRIVER
from virtual_yubikey.state import Settings

YKCS11 = next(iter(sorted(Path("/usr/lib").glob("*/libykcs11.so.2"))), Path("/usr/lib/libykcs11.so.2"))
PCSCD = Path("/usr/sbin/pcscd")
ALICE, BOB = Settings(serial=11_111_111), Settings(serial=22_222_222)
TWO = {"alice": ALICE, "bob": BOB}


class Refused(Exception):
    """The room did not do it."""


class NoWalls(Exception):
    """This machine allows no namespaces of our own."""


class VirtualCard:
    """A card by its name. `reader` in the calls is 0 or 1."""

    def __init__(self, bench: Bench, name: str, settings: Settings) -> None:
        self._bench, self.name, self.settings = bench, name, settings

    @property
    def serial(self) -> str:
        """As ykcs11 shows it."""
        return str(self.settings.serial)

    def insert(self, reader: int) -> None:
        """Into a reader, in the place of what is there; returns when pcscd has seen it."""
        self._bench.order("insert", reader=reader, card=self.name)

    def remove(self) -> None:
        """Out of its reader, even in the midst of a command; returns when pcscd has seen it. In the drawer: nothing."""
        self._bench.order("remove", card=self.name)

    def touch(self) -> None:
        """Touch it, now."""
        self._bench.order("touch", card=self.name)

    def change(self, **settings: Any) -> None:
        """Other settings, from the next command on: `Settings` says which."""
        self._bench.order("set", card=self.name, **settings)
        self.settings = dataclasses.replace(self.settings, **settings)

    def next_signature(self, how: str) -> None:
        """``"wrong"``: of other bytes; ``"remove"``: it leaves instead; ``"remove-after"``: it signs, then leaves."""
        self._bench.order("next", card=self.name, signature=how)

    def lie_about_next_key(self, *, attested: bool = True) -> None:
        """The next key it makes shows another's public half: everywhere but in its attestation; without, everywhere.

        ykcs11 shows the public half from the attestation where there is one; the answer to GENERATE is seen in the
        session that made the key, and in the certificate beside it.
        """
        self._bench.order("next", card=self.name, other_public_key="attested" if attested else "imported")

    def put_key(self, slot: str, kind: str, **how: Any) -> Any:
        """A key in slot ``"9a"`` of kind ``"p256"``, as if long there; its public half. `how`: `State.put_key`."""
        answer = self._bench.order("key", card=self.name, slot=slot, kind=kind, **how)
        return load_der_public_key(bytes.fromhex(answer["spki"]))

    def set_secrets(self, *, pin: str = "", puk: str = "") -> None:
        """Have another PIN or PUK, as if it had been changed."""
        self._bench.order("secrets", card=self.name, pin=pin, puk=puk)

    def state(self) -> dict[str, Any]:
        """What it remembers, and whether it waits for a touch: `State.described`, and its reader."""
        return self._bench.order("state", card=self.name)


class Bench:
    """A running room.

    Args:
        folder: An empty folder with a short path (Unix sockets take about 100 bytes).
        cards: The drawer; the first two are in the readers.

    Raises:
        NoWalls, Refused: it does not start.
    """

    def __init__(self, folder: Path, cards: Mapping[str, Settings] = TWO) -> None:
        self._folder = folder
        self._line: socket.socket | None = None
        self._lock = threading.Lock()
        self.cards: dict[str, VirtualCard] = {}
        (folder / "room.json").write_text(json.dumps(self._outset(cards)), encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "virtual_yubikey.room", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
            start_new_session=True,
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline().decode().strip()
        if said != "ready":
            self.close()
            raise NoWalls(said) if said.startswith("no walls") else Refused(f"{said}\n{self.log()}")
        self._line = socket.socket(socket.AF_UNIX)
        self._line.connect(str(folder / "control"))
        self._stream = self._line.makefile("rwb")
        authority = self.order("authority")
        self.root = x509.load_pem_x509_certificate(authority["root"].encode())
        self.intermediate = x509.load_pem_x509_certificate(authority["intermediate"].encode())

    @property
    def environment(self) -> dict[str, str]:
        """What processes need to find this pcscd; set it before a module is loaded."""
        return {"PCSCLITE_CSOCK_NAME": str(self._folder / "pcscd.comm")}

    def card(self, name: str, settings: Settings) -> VirtualCard:
        """A new card, in the drawer."""
        self.order("card", name=name, settings=dataclasses.asdict(settings))
        self.cards[name] = VirtualCard(self, name, settings)
        return self.cards[name]

    def fresh(self, cards: Mapping[str, Settings] = TWO) -> None:
        """Everything as at the start, with new cards; nothing may hold a connection to the old ones."""
        self.order("fresh", **self._outset(cards))

    def order(self, what: str, **words: Any) -> dict[str, Any]:
        """One order to the room, from any thread.

        Raises:
            Refused: with its reason.
        """
        with self._lock:
            self._stream.write(json.dumps({"do": what, **words}).encode() + b"\n")
            self._stream.flush()
            answer: dict[str, Any] = json.loads(self._stream.readline() or b'{"error": "the room is gone"}')
        if "error" in answer:
            raise Refused(answer["error"])
        return answer

    def log(self) -> str:
        """What pcscd said."""
        file = self._folder / "pcscd.log"
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    def close(self) -> None:
        """End the room, and pcscd with it."""
        if self._line is not None:
            self._stream.close()
            self._line.close()
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def _outset(self, cards: Mapping[str, Settings]) -> dict[str, Any]:
        self.cards = {name: VirtualCard(self, name, settings) for name, settings in cards.items()}
        return {
            "cards": {name: dataclasses.asdict(settings) for name, settings in cards.items()},
            "readers": [*cards, "", ""][:2],
        }


@contextmanager
def running(cards: Mapping[str, Settings] = TWO) -> Iterator[Bench]:
    """A bench of one's own, without pytest."""
    # Not under pytest's long folders: the path of a Unix socket has a limit.
    folder = Path(tempfile.mkdtemp(prefix="yk-"))
    try:
        bench = Bench(folder, cards)
        try:
            yield bench
        finally:
            bench.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _yubikey_room() -> Iterator[Bench]:
    missing = [
        package
        for package, file in (("pcscd", PCSCD), ("vsmartcard-vpcd", DRIVER), ("ykcs11", YKCS11))
        if not file.exists()
    ]
    if missing:
        pytest.skip(f"not installed: apt-get install {' '.join(missing)}")
    try:
        with running() as bench:
            yield bench
    except NoWalls as error:
        pytest.skip(f"the kernel allows this user no namespaces, which a private pcscd needs ({error})")


@pytest.fixture
def yubikeys(_yubikey_room: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Two new YubiKeys in two readers, and the environment in which modules and tools find them."""
    _yubikey_room.fresh()
    for name, value in _yubikey_room.environment.items():
        monkeypatch.setenv(name, value)
    return _yubikey_room
