"""A computer in software (QEMU, no acceleration) that starts from the image, with a person at its serial line."""

from __future__ import annotations

import os
import re
import select
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

_ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|[()][A-Z0-9]|[=>78])")


class Machine:
    """One start to its end. It has a network card, and sticks, each a file, from the beginning."""

    def __init__(self, image: Path, folder: Path, *sticks: Path, accelerator: str = "tcg", firmware: str = "") -> None:
        self._monitor = folder / "monitor"
        call = ["qemu-system-x86_64", "-accel", accelerator, "-m", "1024", "-smp", "1", "-no-reboot"]
        call += ["-display", "none", "-vga", "std", "-serial", "stdio", "-rtc", "base=utc"]
        call += ["-monitor", f"unix:{self._monitor},server,nowait", "-cdrom", str(image), "-boot", "d"]
        call += ["-nic", "user,model=e1000", "-device", "qemu-xhci", "-device", "virtio-rng-pci"]
        call += ["-bios", firmware] if firmware else []
        for n, stick in enumerate(sticks):
            call += ["-drive", f"if=none,id=stick{n},format=raw,file={stick}"]
            call += ["-device", f"usb-storage,drive=stick{n},removable=on"]
        self.started = time.monotonic()
        self._said = b""
        self._process = subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._process:  # which closes its pipes and waits
            self._process.kill()

    def wait_for(self, words: str, seconds: float) -> str:
        """What the serial line says up to and with `words`, escape sequences left out."""
        wanted, end = words.encode(), time.monotonic() + seconds
        assert self._process.stdout is not None
        while wanted not in (plain := _ESCAPES.sub(b"", self._said)):
            left = end - time.monotonic()
            assert left > 0, f"{words!r} did not come in {seconds} s; the end of what came: {plain[-2000:]!r}"
            if select.select([self._process.stdout], [], [], left)[0]:
                new = os.read(self._process.stdout.fileno(), 65536)
                assert new, f"the machine went off; the end of what it said: {plain[-2000:]!r}"
                self._said += new
        at = plain.index(wanted) + len(wanted)
        self._said = plain[at:]
        return plain[:at].decode("utf-8", "replace")

    def type(self, text: str) -> None:
        """Press keys, in no hurry: a serial port holds few."""
        assert self._process.stdin is not None
        for character in text:
            self._process.stdin.write(character.encode())
            time.sleep(0.01)

    def run(self, command: str, seconds: float = 120) -> tuple[int, str]:
        """Exit status and output of a command in the shell."""
        self.type(f"{command}; echo =$?=\r")
        self.wait_for("echo =$?=", 60)
        said = ""
        while not (end := re.search(r"=(\d+)=\r?\n", said)):
            said += self.wait_for("\n", seconds)
        return int(end[1]), said[: end.start()].replace("\r", "").strip()

    def monitor(self, command: str) -> None:
        """One line to QEMU itself."""
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(self._monitor))
            said = b""
            line.sendall(f"{command}\n".encode())
            while said.count(b"(qemu)") < 2:  # one before the command, one when it is done
                said += line.recv(4096)

    def off(self, seconds: float) -> bool:
        """Whether the machine turns itself off within `seconds`."""
        try:
            self._process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return False
        return True
