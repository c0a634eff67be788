"""Kill a ceremony with SIGKILL right after its k-th event, then run the same line again to the end.

Run as a program, with folders of its own: it forks a warmed interpreter for each attempt, and prints a JSON line each.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

from people import People

from vestry.ceremony import conductor, reading, rehearsal
from vestry.ceremony.transcript import Transcript
from vestry.tokens.software import SoftwareSource


def attempt(folder: Path, kill_after: int) -> bool:
    """Conduct in a child that is killed after `kill_after` events (0: never). Whether it ended by itself."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if kill_after:
                _kill_after(kill_after)
            parsed, inputs = reading.load(folder / rehearsal.SCRIPT)
            conductor.conduct(parsed, inputs, folder, People())
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"the ceremony failed after a kill at {kill_after}")
    return True


def _kill_after(count: int) -> None:
    real, left = Transcript.append, count

    def append(self: Transcript, *args: object, **kwargs: object) -> object:
        nonlocal left
        recorded = real(self, *args, **kwargs)  # type: ignore[arg-type]
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return recorded

    Transcript.append = append  # type: ignore[method-assign,assignment]


def _cheaper_pins() -> None:
    # What is tested is not how long a PIN takes to try; a hundred ceremonies would mostly do that.
    assert SoftwareSource.__init__.__kwdefaults__ is not None
    SoftwareSource.__init__.__kwdefaults__["scrypt_n"] = 16


def main() -> None:
    """``kill_driver.py PREPARED WORK FIRST STEP``: kills after events FIRST, FIRST+STEP, ... until one run ends."""
    _cheaper_pins()
    prepared, work = Path(sys.argv[1]), Path(sys.argv[2])
    kill_after, step = int(sys.argv[3]), int(sys.argv[4])
    while True:
        folder = work / str(kill_after)
        shutil.copytree(prepared, folder)
        if attempt(folder, kill_after):
            return
        attempt(folder, 0)
        sys.stdout.write(json.dumps({"killed_after": kill_after, "folder": str(folder)}) + "\n")
        sys.stdout.flush()
        kill_after += step


if __name__ == "__main__":
    main()
