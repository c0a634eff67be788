"""The maker's command-line tools, and the bench itself: it starts fast, ends whole, and runs side by side."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from virtual_yubikey.bench import Bench, Refused, running
from virtual_yubikey.state import Settings

PIV_TOOL, YKMAN = "yubico-piv-tool", "ykman"


def said(*line: str, environment: dict[str, str] | None = None) -> str:
    """What a tool prints; it must end well."""
    done = subprocess.run(line, check=False, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def need(tool: str, package: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed: apt-get install {package}")


def test_the_makers_tool_sees_a_card(yubikeys: Bench) -> None:
    """A card that only ykcs11 understands could be wrong in the same way as a test that was written to it."""
    need(PIV_TOOL, PIV_TOOL)
    yubikeys.cards["bob"].put_key("9c", "p256")
    told = said(PIV_TOOL, "-r", "00 01", "-a", "status")
    assert "5.4.3" in told
    assert "22222222" in told
    assert "Slot 9c" in told
    assert "ECCP256" in told
    assert "PIN tries left:\t3" in told


def test_the_makers_tool_makes_a_key_with_policies(yubikeys: Bench, tmp_path: Path) -> None:
    """Touch and PIN policies come from this tool, not from PKCS#11: the card must keep what it is told."""
    need(PIV_TOOL, PIV_TOOL)
    line = [PIV_TOOL, "-r", "00 00", "-s", "9c", "-a", "generate", "-A", "ECCP384"]
    public = said(*line, "--pin-policy", "once", "--touch-policy", "always")
    assert "BEGIN PUBLIC KEY" in public
    certificate = said(PIV_TOOL, "-r", "00 00", "-s", "9c", "-a", "attest")
    (tmp_path / "leaf.pem").write_text(certificate, encoding="ascii")
    told = said("openssl", "x509", "-in", str(tmp_path / "leaf.pem"), "-noout", "-text") if _openssl() else ""
    assert "BEGIN CERTIFICATE" in certificate
    assert not told or "1.3.6.1.4.1.41482.3.8" in told
    assert yubikeys.cards["alice"].state()["keys"] == {"9c": 0x14}


def _openssl() -> bool:
    return shutil.which("openssl") is not None


def test_the_manager_lists_both_and_tells_their_firmware(yubikeys: Bench) -> None:
    """The manager reads the management applet, which ykcs11 never asks."""
    need(YKMAN, "yubikey-manager")
    listed = said(YKMAN, "list")
    assert "Serial: 11111111" in listed
    assert "Serial: 22222222" in listed
    assert "5.4.3" in said(YKMAN, "--device", "11111111", "info")
    yubikeys.cards["alice"].put_key("9a", "p256")
    assert "PIN tries remaining: 3/3" in said(YKMAN, "--device", "11111111", "piv", "info")


@pytest.mark.parametrize("firmware", ["4.3.5", "5.7.1"])
def test_other_firmware(firmware: str, yubikeys: Bench) -> None:
    """Serial, management key and metadata go other ways before 5.0 and after 5.7."""
    need(PIV_TOOL, PIV_TOOL)
    yubikeys.fresh({"alice": Settings(serial=44_444_444, firmware=firmware), "bob": Settings(serial=5)})
    told = said(PIV_TOOL, "-r", "00 00", "-a", "status")
    assert firmware in told
    assert "44444444" in told


def test_a_full_bench_starts_fast_and_leaves_nothing(yubikeys: Bench) -> None:
    """Two at once, as under pytest -n: each with its own pcscd; none leaves a process or a folder behind."""
    began = time.monotonic()
    with running({"carol": Settings(serial=77)}) as other:
        assert time.monotonic() - began < 2
        environment = {**os.environ, **other.environment}
        if shutil.which(PIV_TOOL):
            assert "Serial Number:\t77" in said(PIV_TOOL, "-r", "00 00", "-a", "status", environment=environment)
            assert "11111111" in said(PIV_TOOL, "-r", "00 00", "-a", "status")
        folder = Path(environment["PCSCLITE_CSOCK_NAME"]).parent
        assert _using(folder)
    assert not folder.exists()
    assert _using(folder) == []


def _using(folder: Path) -> list[str]:
    """Processes that name `folder` in their arguments."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and str(folder) in (process / "cmdline").read_text(errors="replace"):
                found.append(process.name)
        except OSError:
            continue
    return found


def test_an_order_that_makes_no_sense_is_refused(yubikeys: Bench) -> None:
    """A test that misspells a card would else pass by asking for nothing."""
    with pytest.raises(Refused, match="nobody"):
        yubikeys.order("touch", card="nobody")
    with pytest.raises(Refused, match="sideways"):
        yubikeys.cards["alice"].next_signature("sideways")
    with pytest.raises(Refused, match="already"):
        yubikeys.cards["alice"].insert(1)
