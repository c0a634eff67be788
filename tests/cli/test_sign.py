"""``vestry sign``: with software tokens, typed line by line, as on a serial console."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from holders import EXPIRES, holder

from vestry.cli.main import main
from vestry.cli.sign import choose
from vestry.errors import TokenTrouble
from vestry.media import bundle
from vestry.metadata import drafting
from vestry.metadata.keys import Key
from vestry.text import words
from vestry.tokens.software import SoftwareSource
from vestry.tokens.token import KeyKind, Pin

PIN = "correct horse 7"
KIND = KeyKind("ecdsa-sha2-nistp256")


class Typist:
    """Types what the last prompt asks for. `habits` overrides by a word in the prompt."""

    def __init__(self, screen: io.StringIO, digest: str, habits: dict[str, str] | None = None) -> None:
        self.screen, self.right, self.habits = screen, words(digest), habits or {}
        self.typed: list[str] = []

    def isatty(self) -> bool:
        return False

    def readline(self) -> str:
        shown = self.screen.getvalue()
        prompt = shown.splitlines()[-1]
        for word, answer in self.habits.items():
            if word in prompt:
                return self._type(answer)
        if "Type them" in prompt:
            places = re.findall(r"Type words (\d+) and (\d+)", shown)[-1]
            return self._type(" ".join(self.right[int(p) - 1] for p in places))
        if "PIN" in prompt:
            return self._type(PIN)
        if "yes" in prompt:
            return self._type("yes")
        return self._type("seen, and meant")

    def _type(self, text: str) -> str:
        self.typed.append(text)
        return f"{text}\n"


class Desk:
    """Two software tokens, a bundle that their keys may sign, and a keyboard."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.tokens, self._patch = folder, folder / "tokens", monkeypatch
        source = SoftwareSource(self.tokens)
        self.keys: dict[str, Key] = {}
        for name, serial in (("ada", "0000000001"), ("bob", "0000000002")):
            source.create(serial)
            blank = next(t for t in source.tokens() if t.info.serial == serial)
            token = blank.initialise(name, Pin("12345678"), Pin(PIN))
            with token.unlock(Pin(PIN)) as unlocked:
                self.keys[name] = Key.from_spki(unlocked.generate(KIND, f"{name} root").spki, KIND.scheme)
        source.close()
        self.online = holder("online").key
        self.bundle = self._bundle("bundle", [*self.keys.values(), holder("cleo").key], threshold=2)

    def _bundle(self, name: str, keys: list[Key], threshold: int) -> Path:
        roles = dict.fromkeys(("root", "targets"), (threshold, keys))
        roles |= {r: (1, [self.online]) for r in ("snapshot", "timestamp")}
        raw = drafting.root(version=1, expires=EXPIRES, roles=roles)
        names = {k.keyid: n for n, k in self.keys.items()}
        return bundle.create(self.folder / name, role="root", unsigned=raw, holders=names).path

    def sign(self, *more: str, habits: dict[str, str] | None = None) -> tuple[int, str, str, Typist]:
        """Exit status, stdout, stderr, and who typed."""
        out, err = io.StringIO(), io.StringIO()
        typist = Typist(err, bundle.open_bundle(self.bundle).document.digest, habits)
        with self._patch.context() as patch:
            patch.setattr(sys, "stdin", typist)
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            status = main(["sign", str(self.bundle), "--software", str(self.tokens), *more])
        return status, out.getvalue(), err.getvalue(), typist

    def signed_by(self) -> set[str]:
        """Names of those whose signature counts."""
        names = {k.keyid: n for n, k in self.keys.items()}
        return {names[s.keyid] for s in bundle.open_bundle(self.bundle).signed_document().signatures}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """The desk."""
    return Desk(tmp_path, monkeypatch)


def test_two_holders_sign_and_the_threshold_is_met(desk: Desk) -> None:
    """The whole of what a holder does, twice."""
    for name in ("ada", "bob"):
        status, out, err, _ = desk.sign("--key", name)
        assert status == 0, err
        assert desk.keys[name].keyid in out
    assert desk.signed_by() == {"ada", "bob"}
    assert main(["verify", str(desk.bundle)]) == 0


def test_json_is_one_object_and_nothing_else(desk: Desk) -> None:
    """The review and the questions are narration; stdout is for programs."""
    status, out, _, _ = desk.sign("--token", "0000000002", "--json")
    found: dict[str, Any] = json.loads(out)
    assert (status, found["keyid"]) == (0, desk.keys["bob"].keyid)
    assert len(found["thresholds"][0]["valid"]) == 1


def test_several_keys_are_a_question_not_a_guess(desk: Desk) -> None:
    """Which key signs is the holder's choice."""
    status, _, err, typist = desk.sign()
    assert (status, typist.typed) == (2, [])
    assert "--key" in err


def test_a_wrong_pin_is_tried_once_and_signs_nothing(desk: Desk) -> None:
    """Trying again blindly locks tokens."""
    status, out, err, typist = desk.sign("--key", "ada", habits={"PIN": "wrong horse 7"})
    assert (status, out) == (3, "")
    assert typist.typed.count("wrong horse 7") == 1
    assert "wrong horse" not in err
    assert desk.signed_by() == set()


def test_wrong_words_sign_nothing(desk: Desk) -> None:
    """Three times wrong is not a typing mistake: someone has another document."""
    status, _, err, typist = desk.sign("--key", "ada", habits={"Type them": "zebra apple"})
    assert status == 4
    assert typist.typed.count("zebra apple") == 3
    assert PIN not in typist.typed
    assert "nothing was signed" in err
    assert desk.signed_by() == set()


def test_quitting_signs_nothing(desk: Desk) -> None:
    """At any prompt."""
    status, _, _, _ = desk.sign("--key", "ada", habits={"yes": "quit"})
    assert status == 4
    assert desk.signed_by() == set()


def test_a_key_signs_once(desk: Desk) -> None:
    """The second time says so, before anything is asked."""
    assert desk.sign("--key", "ada")[0] == 0
    status, _, err, typist = desk.sign("--key", "ada")
    assert (status, typist.typed) == (1, [])
    assert "signed already" in err


def test_a_key_that_is_not_here(desk: Desk) -> None:
    """The document names it, no token holds it: say what to insert, ask for no PIN."""
    absent = next(k for k in bundle.open_bundle(desk.bundle).authorities()[0].keys if k not in desk.keys.values())
    status, _, err, typist = desk.sign("--key", absent.keyid[:16])
    assert (status, typist.typed) == (3, [])
    assert "insert your token" in err
    assert desk.sign("--key", "nobody")[0] == 2


def test_a_module_that_fails_does_not_stand_before_the_token_that_is_here(desk: Desk) -> None:
    """With Yubico's module installed and no reader, nobody with another device could sign; and where no key is found,
    the failure is what is told. The failing module is a stand-in: whether a real one fails depends on the machine."""

    class Failing:
        def tokens(self) -> list[Any]:
            raise TokenTrouble("no smart card service", code="E-MODULE-SERVICE")

        def close(self) -> None:
            """Nothing is open."""

    opened, source = bundle.open_bundle(desk.bundle), SoftwareSource(desk.tokens)
    key, _ = choose(opened, [Failing(), source], wanted="ada", serial=None)
    assert key.keyid == desk.keys["ada"].keyid
    with pytest.raises(TokenTrouble, match="no smart card service"):
        choose(opened, [Failing()], wanted="ada", serial=None)
    source.close()


def test_a_private_key_file_is_refused(desk: Desk, tmp_path: Path) -> None:
    """Vestry signs with tokens; a private key in a file is not one."""
    path = tmp_path / "key.pem"
    path.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    status, _, err, _ = desk.sign("--key", str(path))
    assert status == 2
    assert "private key" in err


def test_a_public_key_file_chooses(desk: Desk, tmp_path: Path) -> None:
    """Whoever has the file need not copy 64 digits."""
    path = tmp_path / "bob.pem"
    path.write_text(desk.keys["bob"].pem)
    assert desk.sign("--key", str(path))[0] == 0
    assert desk.signed_by() == {"bob"}


def test_no_pin_is_left_anywhere(desk: Desk, tmp_path: Path) -> None:
    """Neither in the bundle nor on the screen."""
    _, out, err, _ = desk.sign("--key", "ada")
    assert PIN not in out + err
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert PIN.encode() not in path.read_bytes()


def test_tokens_lists_them_without_a_pin(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """A holder looks which token is in before the ceremony."""
    assert main(["tokens", "--software", str(desk.tokens), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["tokens"]
    assert {t["serial"] for t in found} == {"0000000001", "0000000002"}
    assert all(len(t["keys"]) == 1 for t in found)
    assert main(["tokens", "--software", str(desk.tokens)]) == 0
    assert "0000000001" in capsys.readouterr().out


def test_a_factory_pin_signs_nothing_real(desk: Desk) -> None:
    """A key behind the PIN of the manual is anybody's key; only practice documents take it."""
    status, out, err, _ = desk.sign("--key", "ada", habits={"PIN": "123456"})
    assert (status, out) == (1, "")
    assert "E-PIN-FACTORY" in err
    assert desk.signed_by() == set()
