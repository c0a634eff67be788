"""What starts with what: help is at once, and only the screen loads the screen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vestry.cli.main import VERBS, help_text, main

HEAVY = ("textual", "rich", "tuf", "securesystemslib", "cryptography", "pkcs11", "segno", "orjson")


def loaded(arguments: list[str], cwd: Path, watched: tuple[str, ...]) -> tuple[int, set[str]]:
    """Exit status of ``vestry ARGUMENTS``, and which of `watched` its process had imported at the end."""
    program = (
        "import sys\n"
        "from vestry.cli.main import main\n"
        "status = main(sys.argv[2:])\n"
        "print('\\n@', status, *(m for m in sys.argv[1].split(',') if m in sys.modules))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, ",".join(watched), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=True,
    )
    status, *modules = result.stdout.rsplit("@", 1)[1].split()
    return int(status), set(modules)


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    """Whoever asks for help must not wait for a user interface and four cryptographic libraries."""
    assert loaded(["--help"], tmp_path, (*HEAVY, "argparse", "json", "vestry.errors")) == (0, set())


def test_parsing_loads_nothing_heavy(tmp_path: Path) -> None:
    """A mistyped option is answered at once, too."""
    assert loaded(["sign", "--nonsense"], tmp_path, HEAVY) == (2, set())
    assert loaded(["stage", "root", "--help"], tmp_path, HEAVY) == (0, set())


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "nothing.toml"],
        ["run", "nothing.toml", "--plain"],
        ["stage", "root", "--root-key", "a=nothing.pem", "--into", "b"],
        ["review", "nothing"],
        ["sign", "nothing"],
        ["verify", "nothing"],
        ["collect", "nothing", "nothing"],
        ["export", "nothing", "drive"],
        ["import", "nothing", "bundle"],
        ["replay", "nothing", "--plain"],
        ["print", "nothing.toml"],
        ["record", "nothing"],
        ["tokens", "--software", "nothing"],
        ["preflight"],
    ],
    ids=lambda a: a[0],
)
def test_no_verb_but_the_screen_loads_textual(tmp_path: Path, arguments: list[str]) -> None:
    """A verb in a script on a small machine must not pay for a screen it never shows."""
    status, modules = loaded(arguments, tmp_path, ("textual", "vestry.tui"))
    assert modules == set()
    assert status in ((0, 1) if arguments[0] == "preflight" else (2, 3))


def test_help_names_every_verb() -> None:
    """A verb that help does not name is one that nobody finds."""
    for verb in VERBS:
        assert f"\n  {verb} " in help_text()
    assert max(len(line) for line in help_text().splitlines()) <= 80


def test_without_a_terminal_the_home_screen_is_help() -> None:
    """A screen that opens into a pipe would hang a script."""
    result = subprocess.run(
        [sys.executable, "-m", "vestry"], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    assert (result.returncode, result.stdout) == (0, help_text())


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Help of a verb must render; argparse only finds mistakes in it when asked."""
    assert main([verb, "--help"]) == 0
    assert "usage: vestry" in capsys.readouterr().out
