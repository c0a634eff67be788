"""Seconds and memory of a command that runs by itself.

A child counts what its parent held when it was made as its own, so that a small process stands between.
"""

from __future__ import annotations

import json
import subprocess
import sys

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


def counted(*command: str) -> tuple[float, float, float]:
    """Seconds by the clock, seconds of the processor, and MiB at the most: the second says more on a busy machine."""
    done = subprocess.run([sys.executable, "-c", _BETWEEN, *command], check=True, stdout=subprocess.PIPE)
    status, seconds, used, peak = json.loads(done.stdout)
    if status:
        raise SystemExit(f"what was to be measured failed: {command[:4]}")
    return seconds, used, peak
