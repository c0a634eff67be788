"""Killed or failing at any system call, and the same line again: the ceremony ends, nothing is made twice or lost.

An even spread; `make faults` looks at all of them: docs/faults.md.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from people import SOFTHSM

SPREAD = (
    ("stop", "stop-twice", "fail:ENOSPC", "fail-on:EROFS", "--first", "9", "--step", "161"),
    ("kill", "--first", "100", "--step", "780", "--tokens", "softhsm"),
)


@pytest.mark.parametrize("arguments", SPREAD, ids=" ".join)
def test_cut_anywhere_the_same_line_goes_on(arguments: tuple[str, ...], repository: Path, tmp_path: Path) -> None:
    """A power cut, or a disk that fills up, must cost nothing but time: no key twice, no signature lost, no document
    left half signed, and whatever became of an open intent is told."""
    if platform.machine() != "x86_64" or sys.platform != "linux":
        pytest.skip("the supervisor knows the system calls of x86-64 Linux")
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed: apt-get install gcc")
    if "softhsm" in arguments and not SOFTHSM.exists():
        pytest.skip("softhsm2 is not installed: apt-get install softhsm2")
    ran = subprocess.run(
        [sys.executable, str(repository / "tests" / "faults" / "driver.py"), *arguments, "--work", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": f"{repository / 'tests'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    results = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [r["kind"] for r in results] == list(arguments[: len(results)])
    for result in results:
        assert result["points"] > 600
        assert result["resumes"] == result["faults"] >= 4, result
