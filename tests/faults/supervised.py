"""One small ceremony under the supervisor: prepared once, conducted in forks of one warmed interpreter."""

from __future__ import annotations

import ctypes
import functools
import math
import os
import re
import shutil
import signal
import subprocess
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from people import People

from vestry.ceremony import conductor, reading, rehearsal
from vestry.errors import VestryError
from vestry.machine import integrity
from vestry.tokens import child, children, pkcs11  # noqa: F401 - what a module's child would import itself
from vestry.tokens.software import SoftwareSource

MODES = ("count", "kill", "child-before", "child-after", "fail", "fail-on")
"""By their numbers in the supervisor: nothing; all are killed before the call; the process that makes the call is
killed, before it or after it; the call fails, or it and all after it do."""
PATIENCE = 3
"""How often the people of these ceremonies try again before they stop."""

_LOOK = ctypes.CFUNCTYPE(None, ctypes.c_int)


class Report(ctypes.Structure):
    """What the supervisor saw."""

    _fields_ = [
        ("points", ctypes.c_long),
        ("status", ctypes.c_int),
        ("hit", ctypes.c_int),
        ("what", ctypes.c_char * (4096 + 64)),
    ]


@dataclass(frozen=True)
class Fault:
    """The `n`-th point goes wrong by `mode`; `error` is what a call fails with."""

    mode: str = "count"
    n: int = 0
    error: int = 0


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit status (negative: a signal), the call that went wrong, and what people were told."""

    status: int
    points: int
    what: str
    told: tuple[str, ...]

    def well(self, mode: str) -> None:
        """By a kill, or as a program ends that a fault of `mode` does not throw off."""
        if mode == "kill":
            assert self.status in (-signal.SIGKILL, 0), self
        else:
            # The program went on, or said in one line that the disk, the token or the operator ended it.
            assert self.status in (-signal.SIGKILL, 0, 13, 14), self
            assert self.status < 10 or "vestry: " in self.told[-1], self
            assert self.status != 14 or any("trouble: " in line for line in self.told), self


class Scenario:
    """The ceremony in `work`, on software tokens or on SoftHSM."""

    def __init__(self, work: Path, tokens: str) -> None:
        self._library = _compiled(work)
        self._work, self.tokens = work, tokens
        self._count = 0
        self._prepared = work / "prepared"
        _prepare(self._prepared, tokens)
        # All forks of this interpreter, a module's child among them, find loaded and looked up what a run needs; what
        # is installed here does not change with what is killed.
        children._start = _forked  # type: ignore[assignment]
        integrity.software = functools.cache(integrity.software)
        conductor.software = functools.cache(conductor.software)
        assert self._conduct(self.fresh(), work / "warm.said", traced=False) == 0

    def fresh(self) -> Path:
        """A folder in which everything is prepared and nothing has happened."""
        self._count += 1
        folder = self._work / f"run{self._count}"
        shutil.copytree(self._prepared, folder)
        return folder

    def run(self, folder: Path, fault: Fault | None = None, look: Callable[[str], None] | None = None) -> Ended:
        """Conduct from where the folder stands, under the supervisor, in a fork of this warmed interpreter; `look` is
        called before each point, with the call that is about to be made, and in the midst of Vestry's own writes."""
        fault = fault or Fault()
        said = folder.with_suffix(".said")
        said.unlink(missing_ok=True)
        pid = os.fork()
        if pid == 0:
            os._exit(self._conduct(folder, said))
        report = Report()
        looking = _LOOK(lambda torn: look("torn " * torn + report.what.decode(errors="replace"))) if look else None
        trouble = self._library.supervise(
            pid,
            str(folder).encode(),
            ctypes.c_long(fault.n),
            MODES.index(fault.mode),
            ctypes.c_long(fault.error),
            not fault.mode.startswith("fail"),
            looking,
            ctypes.byref(report),
        )
        assert trouble == 0, os.strerror(trouble)
        told = tuple(said.read_text().splitlines()) if said.exists() else ()
        what = report.what.decode(errors="replace") if report.hit else ""
        return Ended(os.waitstatus_to_exitcode(report.status), report.points, what, told)

    def _conduct(self, folder: Path, said: Path, *, traced: bool = True) -> int:
        people = Patient(copies=copies(folder))
        try:
            if traced and self._library.traced():
                raise OSError(ctypes.get_errno(), "cannot be traced")
            settings(folder, self.tokens)
            parsed, inputs = reading.load(folder / rehearsal.SCRIPT)
            conductor.conduct(parsed, inputs, folder, people)
            return 0
        except VestryError as error:
            people.told.append(f"vestry: {error}")
            return 10 + int(error.status)
        except BaseException:  # noqa: BLE001 - a traceback is what must never be
            traceback.print_exc()
            return 1
        finally:
            said.write_text("\n".join(people.told))


@dataclass
class Patient(People):
    """Careful people who try again a few times, and then stop; and who do what an error says is to be done."""

    copies: Path = Path()

    def sensible(self, question: Any) -> Any:
        if question.name in ("trouble", "not-destroyed", "again-blank"):
            return question.options[0][0] if len(self.troubles) <= PATIENCE else "stop"
        return super().sensible(question)

    def trouble(self, error: Any, meaning: str) -> None:
        super().trouble(error, meaning)
        self.told.append(f"trouble: {error} {meaning}")
        if error.code in ("E-TOKEN-HALF-MADE", "E-TOKEN-DAMAGED"):
            token = Path(error.where)
            assert token.parent.name == "softhsm", error
            if error.code == "E-TOKEN-HALF-MADE":
                shutil.rmtree(token)
            elif (copy := self.copies / token.name).exists():
                shutil.copyfile(copy, token / "token.object")


def copies(folder: Path) -> Path:
    """Where copies of SoftHSM's tokens lie, where there are any."""
    return folder.with_suffix(".copies")


def settings(folder: Path, tokens: str) -> None:
    """Have this process find the tokens of `folder`."""
    if tokens == "softhsm":
        path = folder.with_suffix(".conf")
        path.write_text(f"directories.tokendir = {folder / 'softhsm'}\nobjectstore.backend = file\nlog.level = ERROR\n")
        os.environ["SOFTHSM2_CONF"] = str(path)
    else:
        # What is tested is not how long a PIN takes to try; a thousand ceremonies would mostly do that.
        assert SoftwareSource.__init__.__kwdefaults__ is not None
        SoftwareSource.__init__.__kwdefaults__["scrypt_n"] = 16


class Forked:
    """As much of `subprocess.Popen` as `children.Child` uses."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: int | None = None

    def poll(self) -> int | None:
        if self._status is None and (ended := os.waitpid(self.pid, os.WNOHANG))[0]:
            self._status = os.waitstatus_to_exitcode(ended[1])
        return self._status

    def wait(self, timeout: float = math.inf) -> int:
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("child", timeout)
            time.sleep(0.001)
        assert self._status is not None
        return self._status

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def _forked(arguments: list[str], descriptors: tuple[int, int]) -> Forked:
    """In place of `children._start`: a fork serves as the module's child, where the program starts an interpreter."""
    pid = os.fork()
    if pid:
        return Forked(pid)
    try:
        for entry in Path("/proc/self/fd").iterdir():
            if int(entry.name) not in descriptors:
                with suppress(OSError):
                    os.close(int(entry.name))
        for _ in range(3):
            os.open(os.devnull, os.O_RDWR)
        os.setsid()
        os._exit(child.main(arguments))
    finally:
        os._exit(1)


def _compiled(folder: Path) -> ctypes.CDLL:
    library = folder / "supervisor.so"
    source = Path(__file__).with_name("supervisor.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, source], check=True)
    return ctypes.CDLL(str(library), use_errno=True)


def _prepare(folder: Path, tokens: str) -> None:
    rehearsal.prepare(folder, holders=2, threshold=2)
    if tokens == "softhsm":
        shutil.rmtree(folder / "tokens")
        path = folder / rehearsal.SCRIPT
        text, count = re.subn(
            r'use = "software"\nserial = "\d+"', 'use = "pkcs11"\nmodule = "softhsm2"', path.read_text()
        )
        assert count == 2
        path.write_text(text)
        (folder / "softhsm").mkdir()
