"""How a verb ends: one line, an exit status, never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from vestry.cli import check, dispatch
from vestry.errors import InputRejected, MediumTrouble, NotTrusted, Refused, Stopped, TokenTrouble


def ends(error: BaseException) -> Callable[[object], int]:
    """A verb that ends so."""

    def run(_: object) -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputRejected("a"), 2),
        (NotTrusted("a"), 1),
        (Refused("a"), 1),
        (TokenTrouble("a"), 3),
        (MediumTrouble("a"), 3),
        (Stopped("a"), 4),
        (KeyboardInterrupt(), 130),
        (ValueError("secret detail"), 3),
        (RecursionError(), 3),
        (OSError(5, "Input/output error", "/media/stick/\x1b[2J"), 3),
    ],
)
def test_each_error_has_its_status_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, status: int
) -> None:
    """Scripts act on the status, people on the line; a traceback would hide both."""
    monkeypatch.setattr(check, "run", ends(error))
    assert dispatch.main(["check", "x.toml"]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err
    assert "secret detail" not in err


def test_json_gives_the_error_as_an_object(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A program that reads stdout must not find a sentence there."""
    error = TokenTrouble("the PIN is wrong", where="token 4", do="type it again", code="E-PIN-WRONG")
    monkeypatch.setattr(check, "run", ends(error))
    assert dispatch.main(["check", "x.toml", "--json"]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "error": "TokenTrouble",
        "what": "the PIN is wrong",
        "where": "token 4",
        "do": "type it again",
        "code": "E-PIN-WRONG",
    }
    assert err == ""


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without it a report of an internal error would say nothing."""
    monkeypatch.setattr(check, "run", ends(ValueError("detail")))
    assert dispatch.main(["check", "x.toml", "--debug"]) == 3
    assert "ValueError: detail" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["--nonsense"],
        ["sign"],
        ["stage"],
        ["stage", "root"],
        ["stage", "root", "--into", "b", "--threshold", "0"],
        ["stage", "root", "--into", "b", "--threshold", "9" * 5000],
        ["rehearse", "--holders", "-1"],
        ["verify", "--js"],
        ["check", "a", "b"],
        ["check", "\x1b]0;owned\x07", "\x1b[2J"],
    ],
)
def test_wrong_usage_is_one_line_and_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """argparse would print its usage, then a line; and would obey no one about escape sequences."""
    assert dispatch.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert "\x1b" not in err
    assert err.startswith("vestry: ")


def test_options_may_stand_before_the_verb_or_after(capsys: pytest.CaptureFixture[str]) -> None:
    """``vestry --json check X`` and ``vestry check X --json`` mean the same."""
    for arguments in (["--json", "check", "nothing.toml"], ["check", "nothing.toml", "--json"]):
        assert dispatch.main(arguments) == 2
        assert json.loads(capsys.readouterr().out)["error"] == "InputRejected"


def test_a_closed_pipe_ends_quietly() -> None:
    """``vestry ... | head`` must not end in a complaint."""
    program = f"{sys.executable} -m vestry sign --help | true; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    assert result.stderr == ""
    assert result.stdout.strip() == "0"
