"""The maker's command-line tools, and the bench itself: it starts fast, ends whole, and runs side by side."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from virtual_yubikey.authority import ARC
from virtual_yubikey.bench import Bench, Refused, running
from virtual_yubikey.state import DEFAULT_MANAGEMENT_KEY, Settings

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


def test_the_makers_tool_makes_a_key_with_policies(yubikeys: Bench) -> None:
    """Touch and PIN policies come from this tool, not from PKCS#11: the card must keep what it is told."""
    need(PIV_TOOL, PIV_TOOL)
    line = [PIV_TOOL, "-r", "00 00", "-s", "9c", "-a", "generate", "-A", "ECCP384"]
    public = said(*line, "--pin-policy", "once", "--touch-policy", "always")
    assert "BEGIN PUBLIC KEY" in public
    certificate = said(PIV_TOOL, "-r", "00 00", "-s", "9c", "-a", "attest")
    leaf = x509.load_pem_x509_certificate(certificate[certificate.index("-----BEGIN") :].encode())
    assert _policies(leaf) == b"\2\2"
    assert yubikeys.cards["alice"].state()["keys"] == {"9c": 0x14}


def test_a_key_from_a_file_is_imported_and_signs(yubikeys: Bench, tmp_path: Path) -> None:
    """Import by the maker's tool: the card signs with that key, marks it imported and does not attest it."""
    need(PIV_TOOL, PIV_TOOL)
    private = rsa.generate_private_key(65537, 2048)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    (tmp_path / "key.pem").write_bytes(
        private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    )
    said(PIV_TOOL, "-r", "00 00", "-s", "9e", "-a", "import-key", "-i", str(tmp_path / "key.pem"))
    (tmp_path / "message").write_bytes(b"root")
    line = [PIV_TOOL, "-r", "00 00", "-s", "9e", "-a", "verify-pin", "-P", "123456", "--sign", "-A", "RSA2048"]
    said(*line, "-H", "SHA256", "-i", str(tmp_path / "message"), "-o", str(tmp_path / "signature"))
    signature = (tmp_path / "signature").read_bytes()
    private.public_key().verify(signature, b"root", padding.PKCS1v15(), hashes.SHA256())
    failed = subprocess.run(
        [PIV_TOOL, "-r", "00 00", "-s", "9e", "-a", "attest"], check=False, capture_output=True, timeout=60
    )
    assert failed.returncode != 0


def test_the_manager_makes_a_key_with_an_aes_management_key(yubikeys: Bench, tmp_path: Path) -> None:
    """AES management keys, which ykcs11 2.2.0 cannot use, and policies: made, shown and attested as asked."""
    need(YKMAN, "yubikey-manager")
    yubikeys.fresh({"alice": Settings(serial=11_111_111, management="aes192"), "bob": Settings(serial=5)})
    line = [YKMAN, "--device", "11111111", "piv", "keys"]
    key = DEFAULT_MANAGEMENT_KEY.hex()
    policies = ["--pin-policy", "ALWAYS", "--touch-policy", "CACHED"]
    public = tmp_path / "public.pem"
    said(*line, "generate", "-a", "ECCP384", *policies, "-m", key, "9a", str(public))
    certificate = tmp_path / "leaf.pem"
    said(*line, "attest", "9a", str(certificate))
    leaf = x509.load_pem_x509_certificate(certificate.read_bytes())
    assert leaf.public_key() == serialization.load_pem_public_key(public.read_bytes())
    assert _policies(leaf) == b"\3\3"


def _policies(leaf: x509.Certificate) -> bytes:
    """PIN and touch policy, in the bytes of the attestation."""
    told = leaf.extensions.get_extension_for_oid(x509.ObjectIdentifier(f"{ARC}8")).value
    assert isinstance(told, x509.UnrecognizedExtension)
    return told.value


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
        assert time.monotonic() - began < 20
        environment = {**os.environ, **other.environment}
        if shutil.which(PIV_TOOL):
            assert "Serial Number:\t77" in said(PIV_TOOL, "-r", "00 00", "-a", "status", environment=environment)
            assert "11111111" in said(PIV_TOOL, "-r", "00 00", "-a", "status")
        folder = Path(environment["PCSCLITE_CSOCK_NAME"]).parent
        assert _using(folder)
    assert not folder.exists()
    assert _using(folder) == []


def test_a_killed_test_run_leaves_no_process(yubikeys: Bench) -> None:
    """A worker that is killed cannot clean up; readers that stay behind would add up on a developer's machine."""
    script = (
        "import virtual_yubikey.bench as b\n"
        "with b.running() as bench: print(bench.environment['PCSCLITE_CSOCK_NAME'], flush=True); input()"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    line = [sys.executable, "-c", script]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().decode().strip()).parent
        assert _using(folder)
        process.kill()
    end = time.monotonic() + 5
    while _using(folder) and time.monotonic() < end:
        time.sleep(0.02)
    assert _using(folder) == []
    shutil.rmtree(folder)


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
