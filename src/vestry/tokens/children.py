"""One child process: start it, exchange a frame with it within a time, kill it.

Children are started by one thread that lives as long as this process: Linux sends a child its parent-death signal when
the *thread* that started it ends, and threads of a screen come and go.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vestry.tokens import messages
from vestry.tokens.messages import Frame

_PATHS = ("SOFTHSM2_CONF", "YUBIHSM_PKCS11_CONF", "OPENSC_CONF", "PCSCLITE_CSOCK_NAME")
_SECRETIVE = ("PIN", "PASSWORD", "PASSPHRASE", "SECRET")
_LEAVE_SECONDS = 2.0
_PIECE = 1 << 16


class Child:
    """A fresh ``python -m vestry.tokens.child`` without terminal, standard streams or working directory of ours."""

    def __init__(self) -> None:
        their_requests, self._requests = os.pipe()
        self._answers, their_answers = os.pipe()
        os.set_blocking(self._requests, False)
        os.set_blocking(self._answers, False)
        self.cancelled = self._left = False
        arguments = [str(their_requests), str(their_answers), str(os.getpid())]
        try:
            self._process = _starter().submit(_start, arguments, (their_requests, their_answers)).result()
        except BaseException:
            os.close(self._requests)
            os.close(self._answers)
            raise
        finally:
            os.close(their_requests)
            os.close(their_answers)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def exchange(self, request: Frame, deadline: float) -> Frame:
        """Send `request`, return the answer.

        Args:
            request: What to send.
            deadline: By `time.monotonic`.

        Raises:
            TimeoutError: the deadline passed.
            EOFError, BrokenPipeError: the child ended.
            messages.FrameError: it answered nonsense.
        """
        messages.write_frame(request, lambda data: self._write(data, deadline))
        return messages.read_frame(lambda length: self._read(length, deadline))

    @property
    def usable(self) -> bool:
        """Whether it runs and was not cancelled."""
        return not self.cancelled and self._process.poll() is None

    def kill(self) -> None:
        """End it now, whatever it does."""
        self._process.kill()

    def leave(self) -> None:
        """Close its pipes; it logs out and ends, or is killed soon after. The second time, nothing."""
        if self._left:
            return
        self._left = True
        os.close(self._requests)
        try:
            self._process.wait(_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._answers)

    def ending(self) -> str:
        """How it ended, in words."""
        try:
            status = self._process.wait(_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            return "its pipe closed"
        if status >= 0:
            return f"exit status {status}"
        try:
            return f"signal {signal.Signals(-status).name}"
        except ValueError:
            return f"signal {-status}"

    def _write(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            _wait([], [self._requests], deadline)
            view = view[os.write(self._requests, view[:_PIECE]) :]

    def _read(self, length: int, deadline: float) -> bytes:
        pieces = bytearray()
        while len(pieces) < length:
            _wait([self._answers], [], deadline)
            piece = os.read(self._answers, min(length - len(pieces), 1 << 20))
            if not piece:
                raise EOFError
            pieces += piece
        return bytes(pieces)


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """The child's environment: ours, with paths made absolute, and without anything named like a secret."""
    theirs = {name: value for name, value in ours.items() if not any(word in name.upper() for word in _SECRETIVE)}
    for name in _PATHS:
        if theirs.get(name):
            theirs[name] = str(Path(theirs[name]).absolute())
    if theirs.get("PYTHONPATH"):
        entries = theirs["PYTHONPATH"].split(os.pathsep)
        theirs["PYTHONPATH"] = os.pathsep.join(str(Path(e).absolute()) for e in entries if e)
    return theirs


def _wait(reading: list[int], writing: list[int], deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0 or not any(select.select(reading, writing, [], left)):
        raise TimeoutError


def _start(arguments: list[str], descriptors: tuple[int, int]) -> subprocess.Popen[bytes]:
    # -P and a neutral working directory: nothing that lies where we were started, a stick for example, is ever imported
    # or read as a module's settings. A vendor's noise, which may even hold a PIN, goes nowhere.
    return subprocess.Popen(  # noqa: S603 - this interpreter and our own module; the arguments are numbers
        [sys.executable, "-P", "-m", "vestry.tokens.child", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=descriptors,
        start_new_session=True,
        cwd="/",
        env=environment(os.environ),
    )


_executor: list[ThreadPoolExecutor] = []


def _starter() -> ThreadPoolExecutor:
    if not _executor:
        _executor.append(ThreadPoolExecutor(1, thread_name_prefix="vestry-children"))
    return _executor[0]


# After a fork there is no such thread; a new one is made when needed.
os.register_at_fork(after_in_child=_executor.clear)
