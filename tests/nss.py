"""NSS's softokn, a PKCS #11 module that shares no code with SoftHSM: Firefox's own, behind a shim that gives it a
database.

Its tokens are databases that `certutil` makes; the module itself neither labels nor erases them, so that they stand for
devices that are set up with their maker's tool.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

NSS = next(Path("/usr/lib").glob("*/libsoftokn3.so"), Path("/usr/lib/libsoftokn3.so"))
LABEL = "NSS Certificate DB"


def database(folder: Path, pin: str) -> str:
    """A new database with `pin`; the settings that open it."""
    folder.mkdir()
    secret = folder / "given"
    secret.write_text(pin)
    subprocess.run(["certutil", "-N", "-d", f"sql:{folder}", "-f", str(secret)], check=True, capture_output=True)
    secret.unlink()
    return f"configdir='sql:{folder}' certPrefix='' keyPrefix='' secmod='' flags= tokenDescription='nss'"


@pytest.fixture(scope="session")
def nss_module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module, with its shim."""
    missing = [
        package
        for package, there in (
            ("libnss3", NSS.exists()),
            ("libnss3-tools", shutil.which("certutil") is not None),
            ("gcc", shutil.which("gcc") is not None),
        )
        if not there
    ]
    if missing:
        pytest.skip(f"not installed: apt-get install {' '.join(missing)}")
    module = tmp_path_factory.mktemp("nss") / "libnss_shim.so"
    source = Path(__file__).with_name("nss_shim.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", str(module), str(source), "-ldl"], check=True)
    return module
