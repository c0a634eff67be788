"""Seconds and memory of a command that runs by itself.

A child counts what its parent held when it was made as its own, so that a small process stands between.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_BETWEEN = """
import json, resource, subprocess, sys, time
begun = time.perf_counter()
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([status, time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""


def measured(*command: str) -> tuple[float, float]:
    """Seconds, and MiB at the most; what it prints is thrown away."""
    seconds, _, peak = counted(*command)
    return seconds, peak


def peak(*command: str) -> float:
    """MiB that it and its children hold together at the most, what they share counted once (PSS), by looking fifty
    times a second; what it prints is thrown away. Looking takes time: seconds are for another run."""
    most = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as begun:
        while begun.poll() is None:
            most = max(most, sum(map(_held, _tree(begun.pid))))
            time.sleep(0.02)
    if begun.returncode:
        raise SystemExit(f"what was to be measured failed: {command[:4]}")
    return most / 1024


def _tree(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):  # it came to its end meanwhile
        for listed in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in listed.read_text().split():
                yield from _tree(int(child))


def _held(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def counted(*command: str) -> tuple[float, float, float]:
    """Seconds by the clock, seconds of the processor, and MiB at the most: the second says more on a busy machine."""
    done = subprocess.run([sys.executable, "-c", _BETWEEN, *command], check=True, stdout=subprocess.PIPE)
    status, seconds, used, peak = json.loads(done.stdout)
    if status:
        raise SystemExit(f"what was to be measured failed: {command[:4]}")
    return seconds, used, peak
