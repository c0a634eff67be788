"""What is installed is what was locked, and every package has its reason written down."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

LOCKS = ("runtime", "build", "scan", "dev")
PIN = re.compile(r"^([a-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def pins(repository: Path, lock: str) -> dict[str, str]:
    """Package to version."""
    return dict(PIN.findall((repository / "requirements" / f"{lock}.lock").read_text()))


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_hashes_and_no_place(repository: Path, lock: str) -> None:
    """An address in it would send every clone to one index, or to someone's disk."""
    text = (repository / "requirements" / f"{lock}.lock").read_text()
    assert not re.search(r"://|^-|--(?!hash=sha256:)|(^|\s)/|file:", text, re.MULTILINE)
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert entries
    assert all("--hash=sha256:" in entry for entry in entries)


def test_the_locks_agree(repository: Path) -> None:
    """Tests must run on the very releases that a ceremony runs on."""
    dev = pins(repository, "dev")
    for lock in ("runtime", "build", "scan"):
        for name, version in pins(repository, lock).items():
            assert dev[name] == version


def test_the_runtime_lock_holds_what_the_package_needs(repository: Path) -> None:
    """A dependency added to pyproject.toml alone would be missing on the day."""
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    locked = pins(repository, "runtime")
    for requirement in project["dependencies"]:
        name, relation, version = re.fullmatch(r"([a-z0-9-]+)(==|>=)(.+)", requirement).groups()
        assert name in locked
        assert relation == ">=" or locked[name] == version


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_accounted_for(repository: Path, lock: str) -> None:
    """Nothing comes along on the machine that signs without a reason in docs/dependencies.md."""
    text = (repository / "docs" / "dependencies.md").read_text().replace("_", "-")
    missing = [n for n in pins(repository, lock) if not re.search(rf"(?<![\w-]){re.escape(n)}(?![\w-])", text)]
    assert missing == []


def test_the_package_is_typed(repository: Path) -> None:
    """Without the marker the types are there for nobody else."""
    assert (repository / "src" / "vestry" / "py.typed").exists()
