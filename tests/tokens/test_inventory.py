"""Finding modules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from devices import GET_SLOT_LIST, initialised, refused

from vestry.cli.main import main
from vestry.tokens import inventory
from vestry.tokens.process import Pkcs11Source


def test_a_well_known_name_and_a_path_lead_to_one_module(softhsm: Path) -> None:
    """One module under two names, loaded twice, would fight over its tokens."""
    found = inventory.find_module("softhsm2")
    assert found == found.resolve()
    assert inventory.find_module(str(found)) == found
    assert inventory.modules().count(found) == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("yubihsm", "Debian package"),
        ("nitro", "softhsm2, ykcs11, opensc, yubihsm"),
        ("/no/such/module.so", "/no/such/module.so"),
        ("./module.so", "whole path"),
        ("../../etc/pkcs11/modules/x", "whole path"),
        ("", "no PKCS #11 module"),
        ("a\x1b[31m", "\\u{1b}"),
    ],
)
def test_what_is_not_there(name: str, said: str) -> None:
    """Whoever prepares the machine needs to know where it was looked for and what to install."""
    with refused("E-MODULE-LOAD") as caught:
        inventory.find_module(name)
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_p11_kit_configurations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vendor's installer tells p11-kit, not us."""
    module = tmp_path / "vendor.so"
    module.write_bytes(b"\x7fELF")
    monkeypatch.setattr(inventory, "_P11_KIT", (tmp_path / "none", tmp_path))
    (tmp_path / "vendor.module").write_text(f"# a comment\nmodule: {module}\npriority: 1\n")
    (tmp_path / "gone.module").write_text("module: /no/such/file.so\n")
    (tmp_path / "odd.module").write_bytes(b"module:\n\xff\xfe: \0\nmodule-path\n")
    assert inventory.find_module("vendor") == module
    assert module in inventory.modules()
    with refused("E-MODULE-LOAD"):
        inventory.find_module("gone")


def test_the_list_tells_tokens_and_troubles(
    softhsm: Path, tmp_path: Path, shim: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One broken module must not hide the tokens of the others."""
    source = Pkcs11Source(inventory.find_module("softhsm2"))
    initialised(source, "alice")
    source.close()
    broken = tmp_path / "broken.so"
    broken.write_text("no module")
    monkeypatch.setenv("TROUBLE", f"{GET_SLOT_LIST}:abort")
    wanted = (inventory.find_module("softhsm2"), broken, shim)
    monkeypatch.setattr(inventory, "modules", lambda: wanted)
    assert main(["tokens", "--json"]) == 3
    seen = json.loads(capsys.readouterr().out)
    assert sorted(token["label"] for token in seen["tokens"]) == ["", "alice"]
    assert [trouble["code"] for trouble in seen["troubles"]] == ["E-MODULE-LOAD", "E-MODULE-CRASHED"]


def test_a_modules_digest(tmp_path: Path) -> None:
    """The record names the vendor's library by it."""
    (tmp_path / "m").write_bytes(b"abc")
    assert inventory.sha256_of(tmp_path / "m").startswith("ba7816bf8f01cfea")


def test_a_module_without_its_service_is_told_and_no_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, softhsm: Path
) -> None:
    """ykcs11 is installed and no pcscd runs: whoever has no YubiKey must not be alarmed, whoever named it must."""
    module = next(Path("/usr/lib").glob("*/libykcs11.so.2"), None)
    if module is None:
        pytest.skip("not installed: apt-get install ykcs11")
    monkeypatch.setenv("PCSCLITE_CSOCK_NAME", str(tmp_path / "nobody"))
    assert main(["tokens"]) == 0
    assert "pcscd" in capsys.readouterr().err
    assert main(["tokens", "--module", str(module)]) == 3
    assert "E-MODULE-SERVICE" in capsys.readouterr().err
