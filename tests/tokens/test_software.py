"""Software tokens: the count of tries, cuts at every write, damage."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from devices import P256, PIN, SO_PIN, fingerprint, refused, verify

from vestry.tokens import software
from vestry.tokens.software import SoftwareSource
from vestry.tokens.token import Pin, Token


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture
def token(folder: Path) -> Token:
    """One ready token with one key, 'kept'."""
    token = SoftwareSource(folder, scrypt_n=2).create("0001").initialise("alice", Pin(SO_PIN), Pin(PIN))
    with token.unlock(Pin(PIN)) as unlocked:
        unlocked.generate(P256, "kept")
    return token


def open_with(token: Token, pin: str) -> None:
    with token.unlock(Pin(pin)):
        pass


def test_three_wrong_pins_lock(token: Token) -> None:
    """Without a limit a stolen folder's PIN could be tried by hand; with a hidden one a holder locks it unwarned."""
    for left, tries in ((2, "low"), (1, "last")):
        with refused("E-PIN-WRONG") as caught:
            open_with(token, "wrong-pin")
        assert caught.value.tries_left == left
        assert (token.info.tries, token.info.tries_left) == (tries, left)
    with refused("E-PIN-LOCKED") as caught:
        open_with(token, "wrong-pin")
    assert caught.value.tries_left == 0
    assert token.info.tries == "locked"
    with refused("E-PIN-LOCKED"):
        open_with(token, PIN)
    token.initialise("alice", Pin(SO_PIN), Pin(PIN))
    open_with(token, PIN)


def test_a_try_counts_even_if_the_program_dies_in_it(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killing the program before it writes the count down must not give free tries."""
    synced: list[str] = []
    real = os.fsync

    def derive(*_: Any) -> bytes:
        assert synced
        raise SystemExit

    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append("sync"), real(fd))[1])
    monkeypatch.setattr(software, "_derive", derive)
    with pytest.raises(SystemExit):
        open_with(token, PIN)
    monkeypatch.undo()
    assert token.info.tries_left == 2
    open_with(token, PIN)
    assert token.info.tries_left == 3


class Cut(BaseException):
    """The program ends here."""


def cut_at(monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    """End the program before its `place`-th step on the disk."""
    left = place

    def counting(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Cut
            return real(*args, **kwargs)

        return step

    for name in ("open", "fsync"):
        monkeypatch.setattr(os, name, counting(getattr(os, name)))
    for name in ("rename", "unlink", "mkdir"):
        monkeypatch.setattr(Path, name, counting(getattr(Path, name)))


@pytest.mark.parametrize("act", ["initialise", "generate", "destroy"])
def test_cut_at_any_step(token: Token, folder: Path, tmp_path: Path, act: str) -> None:
    """A power cut leaves the state before or the state after; a token that can't be read would stop the ceremony."""
    shutil.copytree(folder, tmp_path / "before")
    outcomes = set()
    for place in range(200):
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "before", folder)
        with pytest.MonkeyPatch.context() as patch:
            try:
                _act(token, act, lambda patch=patch, place=place: cut_at(patch, place))
                done = True
            except Cut:
                done = False
        fresh = SoftwareSource(folder, scrypt_n=2)
        (again,) = fresh.tokens()
        labels = tuple(k.label for k in again.public_keys())
        if act == "initialise":
            pin = {"alice": PIN, "again": "second-pin"}[again.info.label]
            assert labels == (("kept",) if pin == PIN else ())
        else:
            pin = PIN
            assert labels in {("kept",), ("kept", "new"), ()}
        with again.unlock(Pin(pin)) as unlocked:
            held = unlocked.keys()
            for key in held:
                verify(key, unlocked.sign(key, b"m"), b"m")
        outcomes.add((again.info.label, labels))
        if done:
            break
    assert place > 3
    assert len(outcomes) == 2


def _act(token: Token, act: str, arm: Callable[[], None]) -> None:
    if act == "initialise":
        arm()
        token.initialise("again", Pin(SO_PIN), Pin("second-pin"))
        return
    with token.unlock(Pin(PIN)) as unlocked:
        held = unlocked.keys()
        arm()
        if act == "generate":
            unlocked.generate(P256, "new")
        else:
            unlocked.destroy(held[0])


def test_a_full_disk(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC in the middle of making a key is trouble with a code, and the key is either there or not."""
    with token.unlock(Pin(PIN)) as unlocked:

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        with refused("E-TOKEN-FULL") as caught:
            unlocked.generate(P256, "new")
        assert caught.value.unknown
        monkeypatch.undo()
        left = unlocked.keys()
        assert [k.label for k in left] == ["kept"]


def test_a_destroyed_key_is_overwritten_first(
    token: Token, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unlinking alone leaves the file's blocks as they were."""
    (file,) = folder.rglob("*.key")
    os.link(file, tmp_path / "second name")
    with token.unlock(Pin(PIN)) as unlocked:
        (key,) = unlocked.keys()
        unlocked.destroy(key)
    assert not file.exists()
    assert set((tmp_path / "second name").read_bytes()) == {0}


def test_nothing_of_a_pin_or_key_lies_open(token: Token, folder: Path) -> None:
    """The folder may be copied; the PIN and the private half must not be in it, and others must not read it."""
    for path in folder.rglob("*"):
        if path.is_file():
            assert b"canary" not in path.read_bytes()
            assert path.stat().st_mode & 0o077 == 0
    (file,) = folder.rglob("*.key")
    assert set(json.loads(file.read_bytes())) == {"format", "id", "label", "scheme", "bits", "spki", "sealed"}


@pytest.mark.parametrize("field", ["label", "scheme", "spki", "sealed", "bits"])
def test_a_changed_key_file_does_not_sign(token: Token, folder: Path, field: str) -> None:
    """Exchanging the public half, or the name, of a sealed private key must not go unseen."""
    (file,) = folder.rglob("*.key")
    entry = json.loads(file.read_bytes())
    entry[field] = {"bits": 1, "label": "other", "scheme": "ed25519"}.get(field, "00" + str(entry[field])[2:])
    file.write_text(json.dumps(entry))
    with token.unlock(Pin(PIN)) as unlocked:
        (key,) = unlocked.keys()
        with refused("E-TOKEN-DAMAGED"):
            unlocked.sign(key, b"m")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff", b"null", b"{" * 100_000, b"[" * 60_000])
@pytest.mark.parametrize("name", ["token.json", "tries", "*.key"])
def test_damaged_files(token: Token, folder: Path, name: str, content: bytes) -> None:
    """Damage is named with its folder, in one line."""
    (file,) = folder.rglob(name)
    file.write_bytes(content)
    with refused("E-TOKEN-DAMAGED") as caught:
        _ = token.info
        token.public_keys()
    assert "0001" in str(caught.value)


def test_scrypt_cost_is_bounded_on_reading(token: Token, folder: Path) -> None:
    """A prepared folder must not make the program compute, or fill memory, without end."""
    (file,) = folder.rglob("token.json")
    entry = json.loads(file.read_bytes())
    file.write_text(json.dumps({**entry, "n": 2**40}))
    with refused("E-TOKEN-DAMAGED"):
        open_with(token, PIN)


@pytest.mark.parametrize("serial", ["", ".", "..", "a/b", "../x", "a\0", ".new-1", "é", "x" * 33, "a b"])
def test_serials_that_are_none(folder: Path, serial: str) -> None:
    """A serial is a folder's name; it must not lead out of the folder."""
    with refused("E-TOKEN-INIT"):
        SoftwareSource(folder).create(serial)
    assert not folder.exists() or fingerprint(folder)


def test_a_serial_is_taken_once(folder: Path, token: Token) -> None:
    """Making a token again would erase it."""
    before = fingerprint(folder)
    with refused("E-TOKEN-INIT"):
        SoftwareSource(folder).create("0001")
    assert fingerprint(folder) == before


def test_two_copies_of_one_token_are_refused(token: Token, folder: Path) -> None:
    """A copied folder would be the same token twice: keys made on one are missing on the other."""
    shutil.copytree(folder / "0001", folder / "copy")
    for use in (token.public_keys, lambda: open_with(token, PIN), lambda: token.initialise("x", Pin(SO_PIN), Pin(PIN))):
        with refused("E-TOKEN-TWO-ALIKE"):
            use()


def test_a_token_taken_away(token: Token, folder: Path) -> None:
    """Gone is gone, also in the middle of a login."""
    with token.unlock(Pin(PIN)) as unlocked:
        (folder / "0001").rename(folder.parent / "elsewhere")
        with refused("E-TOKEN-GONE"):
            unlocked.keys()
    with refused("E-TOKEN-GONE"):
        _ = token.info
    assert SoftwareSource(folder).tokens() == ()


def test_a_blank_token_has_no_pin(folder: Path) -> None:
    """Unlocking it says what to do first."""
    with refused("E-TOKEN-INIT"):
        open_with(SoftwareSource(folder).create("0001"), PIN)
