"""Fixtures that all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from vestry.machine import isolation

pytest_plugins = ["nss", "people", "sticks", "virtual_yubikey.bench"]


@pytest.fixture(autouse=True)
def _own_process_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verb that is called within this process would cut off all tests after it, for good."""
    monkeypatch.setattr(isolation, "enter", lambda **_: isolation.OPEN)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of this checkout."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data(repository: Path) -> Path:
    """Facts that third parties published; not part of the project."""
    for above in repository.parents:
        if (above / "shared" / "data").is_dir():
            return above / "shared" / "data"
    pytest.skip("no published data in shared/data beside the checkout or above it")
