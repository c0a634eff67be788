"""``vestry preflight``, with a script and without."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from small import script_text

from vestry.cli.main import main
from vestry.machine import preflight
from vestry.machine.check import Check

OFF = Check("pass", "no interface but loopback is up, no default route")


@pytest.fixture
def script(tmp_path: Path, online: Any) -> Callable[[str, str], str]:
    """A small script whose step preflight requires `names`, with `more` in its head; its path."""

    def write(names: str, more: str = "") -> str:
        require = f"require = [{names}]" if names else ""
        text = script_text(online, {}, {})
        text = text.replace("[[steps]]", f'[[steps]]\ndo = "preflight"\n{require}\n[[steps]]', 1)
        (tmp_path / "online.pem").write_bytes(online.pem)
        (tmp_path / "s.toml").write_text(text.replace("rehearsal = true", f"rehearsal = true\n{more}"))
        return str(tmp_path / "s.toml")

    return write


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """The exit status and the checks, on a machine without a network."""
    monkeypatch.setattr(preflight, "look_at_network", lambda _=None: OFF)

    def call(*arguments: str) -> tuple[int, Mapping[str, Any]]:
        status = main(["preflight", *arguments, "--json"])
        return status, json.loads(capsys.readouterr().out)["checks"]

    return call


def test_what_a_script_requires_must_pass(script: Callable[..., str], look: Callable[..., Any], softhsm: Path) -> None:
    """A warning is no reason to stop, unless the script makes it one: this is no terminal."""
    status, checks = look(script(""))
    assert checks["terminal"]["verdict"] == "warn"
    assert (status, tuple(checks)) == (0, preflight.CHECKS)
    assert "softhsm2 2." in checks["modules"]["text"]
    status, checks = look(script('"terminal"'))
    assert (status, [n for n, c in checks.items() if c["required"]]) == (1, ["terminal"])


def test_a_scripts_date_and_modules_are_looked_at(
    script: Callable[..., str], look: Callable[..., Any], softhsm: Path
) -> None:
    status, checks = look(script("", 'date = "2031-01-01"'))
    assert (status, checks["clock"]["verdict"]) == (1, "stop")
    assert "2031-01-01" in checks["clock"]["text"]
    path = Path(script(""))
    path.write_text(path.read_text().replace('"softhsm2"', '"/nowhere/module.so"'))
    status, checks = look(str(path))
    assert (status, checks["modules"]["verdict"]) == (1, "stop")


def test_a_check_that_there_is_not_is_refused_with_those_there_are(
    script: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A script that requires a check which is never made would promise what nobody looks at."""
    assert main(["check", "--desk", script('"firewall"')]) == 2
    said = capsys.readouterr().err
    assert all(name in said for name in preflight.CHECKS), said


def test_on_a_terminal_a_check_is_folded_at_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal breaks words anywhere, and the names of the checks would drown among the rest."""
    seen = " ".join(["a word and another"] * 12)
    monkeypatch.setattr(preflight, "take", lambda plan: {"network": Check("warn", seen)})
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["preflight"]) == 0
    assert capsys.readouterr().out.count("\n") == 1
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["preflight"]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert rest
    assert max(map(len, (first, *rest))) <= 80
    assert all(row.startswith(" " * 24) for row in rest)
    assert " ".join([first, *rest]).split()[2:] == seen.split()
