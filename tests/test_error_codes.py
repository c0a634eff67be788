"""Every code that a person may be shown is in the guide, and the guide lists no other."""

from __future__ import annotations

import re
from pathlib import Path

CODE = re.compile(r"E-[A-Z]+(?:-[A-Z]+)*")


def test_the_guide_lists_every_code(repository: Path) -> None:
    """A code without an entry leaves a person alone with it at the worst moment."""
    used = set()
    for path in (repository / "src").rglob("*.py"):
        used |= set(re.findall(r'"(E-[A-Z]+(?:-[A-Z]+)*)"', path.read_text()))
    listed = set()
    for line in (repository / "docs" / "errors.md").read_text().splitlines():
        if line.startswith("| E-"):
            listed |= set(CODE.findall(line.split("|")[1]))
    assert used - listed == set()
    assert listed - used == set()
