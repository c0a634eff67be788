"""Imports run down the floors of the house only."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts of `root`'s pyproject.toml over `root`'s own sources."""
    program = "import sys; sys.path.insert(0, 'src'); from importlinter.cli import lint_imports_command as c; c()"
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache"], cwd=root, capture_output=True, text=True, check=False
    )


@pytest.fixture
def house(repository: Path, tmp_path: Path) -> Path:
    """A copy of the sources that a test may break."""
    shutil.copytree(repository / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(repository / "pyproject.toml", tmp_path)
    return tmp_path


def test_imports_run_down_only(repository: Path) -> None:
    """Without it a floor could come to need the floor above, and could no longer be understood alone."""
    result = lint(repository)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("metadata/upward.py", "from vestry.media import drives", "Imports run down"),
        ("tokens/upward.py", "import vestry.metadata", "Imports run down"),
        ("text.py", "import vestry.machine", "Imports run down"),
        ("plain/sideways.py", "import vestry.tui", "Imports run down"),
        ("newfloor.py", "", "Imports run down"),
        ("cli/early.py", "import textual", "Only the full screen"),
        ("ceremony/direct.py", "import pkcs11", "Only the floor of tokens"),
    ],
)
def test_a_broken_contract_is_seen(house: Path, module: str, line: str, contract: str) -> None:
    """Contracts that hold whatever one does would prove nothing."""
    path = house / "src" / "vestry" / module
    path.write_text((path.read_text() if path.exists() else "") + f"\n{line}\n")
    result = lint(house)
    assert result.returncode != 0
    assert "BROKEN" in result.stdout or "exhaustive" in (result.stdout + result.stderr).lower(), result.stdout
    assert contract in result.stdout
