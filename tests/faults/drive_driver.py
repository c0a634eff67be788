"""Export a bundle again and again to a drive that fails at another call each time (drive_shim.c is loaded before).

Run as a program: ``drive_driver.py BUNDLE PREPARED WORK FAULT...``, a FAULT being ``CALL HOW NUMBER STEP``. For each,
the N-th call fails, for N = 1, 1 + STEP, ... until an export meets no fault; each prints a JSON line.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sys
from contextlib import redirect_stdout
from pathlib import Path

from vestry.cli.main import main


def attempt(bundle: Path, drive: Path, said: Path, fault: str) -> tuple[int, int]:
    """Export in a child of its own: its exit status, and how many calls the fault was counted over."""
    child = os.fork()
    if child == 0:
        status, calls = 99, 0
        try:
            os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT), 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.environ["DRIVE_FAULT"] = fault
            status = main(["export", str(bundle), str(drive / "bundle")])
            calls = ctypes.CDLL(None).drive_calls()
        finally:
            os.environ.pop("DRIVE_FAULT", None)
            said.with_suffix(".calls").write_text(str(calls))
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), int(said.with_suffix(".calls").read_text())


def run(bundle: Path, prepared: Path, work: Path, fault: str) -> None:
    """All attempts with one kind of fault."""
    call, how, number, step = fault.split()
    at = 1
    while True:
        name = f"{call}-{how}-{number}-{at}"
        drive, said = work / name, work / f"{name}.said"
        shutil.copytree(prepared, drive)
        status, calls = attempt(bundle, drive, said, f"{drive} {call} {at} {how} {number}")
        met = calls >= at
        line = {"name": name, "drive": str(drive), "met": met, "status": status, "said": said.read_text()}
        sys.stdout.write(json.dumps(line) + "\n")
        if not met:
            return
        at += int(step)


if __name__ == "__main__":
    # Everything is loaded once, before there are children.
    with redirect_stdout(sys.stderr):
        main(["export", sys.argv[1], str(Path(sys.argv[3]) / "warm")])
    for each in sys.argv[4:]:
        run(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), each)
