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
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(json.dumps([status, time.perf_counter() - begun, peak]))
"""


def measured(*command: str) -> tuple[float, float]:
    """Seconds, and MiB at the most; what it prints is thrown away."""
    done = subprocess.run([sys.executable, "-c", _BETWEEN, *command], check=True, stdout=subprocess.PIPE)
    status, seconds, peak = json.loads(done.stdout)
    if status:
        raise SystemExit(f"what was to be measured failed: {command[:4]}")
    return seconds, peak
