"""Fixtures that all tests share."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from vestry.cli import arguments, dispatch
from vestry.machine import isolation
from vestry.tokens.software import SoftwareSource

pytest_plugins = ["nss", "people", "sticks", "virtual_yubikey.bench"]


# A busy machine is no fault of an example.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def _pins_cost_little() -> Iterator[None]:
    """Hundreds of tokens are made and unlocked within this process; runs of the program
    itself keep what a PIN really costs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SoftwareSource.__init__.__kwdefaults__, "scrypt_n", 16)
        yield


@pytest.fixture(scope="session", autouse=True)
def _arguments_are_known_once() -> Iterator[None]:
    """The program parses one line; within this process hundreds are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatch, "parser", functools.cache(arguments.parser))
        yield


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
