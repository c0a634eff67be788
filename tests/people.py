"""People and tokens for ceremonies in tests."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from vestry.ceremony import reading
from vestry.ceremony.dialogue import (
    Ask,
    Choose,
    Confirm,
    NewSecret,
    Question,
    ReadReview,
    Secret,
    TypeBack,
    prompts,
)
from vestry.ceremony.script import Script
from vestry.text import words
from vestry.tokens.token import Pin

SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")


@dataclass
class People:
    """A front that answers as careful people do. `answers` overrides by question name; every prompt is counted."""

    answers: Mapping[str, Callable[[Question[Any]], Any]] = field(default_factory=dict)
    pins: dict[str, str] = field(default_factory=dict)
    asked: list[Question[Any]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    troubles: list[Any] = field(default_factory=list)
    count: int = 0
    state: Any = None

    def ask(self, question: Question[Any]) -> Any:
        self.asked.append(question)
        self.count += prompts(question)
        if question.name in self.answers:
            return self.answers[question.name](question)
        return self.sensible(question)

    def sensible(self, question: Question[Any]) -> Any:
        if isinstance(question, Confirm):
            return True
        if isinstance(question, Choose):
            if question.name == "preflight":
                return "waive"
            assert question.name != "trouble", (question, self.troubles)
            return question.options[0][0]
        if isinstance(question, NewSecret):
            made = (
                f"{question.name}-of-{question.person}" if question.name != "new-pin" else f"pin-of-{question.person}"
            )
            digits = "5127" if question.name == "new-pin" else "9034"
            pin = made if len(made) <= question.longest else f"{question.person}{digits}"[: question.longest]
            if question.name == "new-pin":
                self.pins.setdefault(question.person, pin)
                return Pin(self.pins[question.person])
            return Pin(pin)
        if isinstance(question, Secret):
            return Pin(self.pins.setdefault(question.person, f"pin-of-{question.person}"))
        if isinstance(question, TypeBack):
            if question.positions:
                return " ".join(words(question.digest)[p - 1] for p in question.positions)
            return question.details[0].rpartition("serial ")[2].replace(" ", "")[-4:]
        if isinstance(question, Ask):
            return question.default or "it is so"
        assert isinstance(question, ReadReview)
        assert question.review is not None
        return {f"{f.code} {f.where}": "seen and meant" for f in question.review.to_answer}

    def tell(self, line: str, *, good: bool | None = None) -> None:
        self.told.append(line)

    def show(self, state: Any) -> None:
        self.state = state

    def trouble(self, error: Any, meaning: str) -> None:
        self.troubles.append((error, meaning))

    def waiting(self, what: str, cancel: Any = None, *, idle: bool = False) -> None:
        pass


@dataclass(frozen=True)
class Online:
    """The online key of a test repository: private half, and the PEM file of the public one."""

    private: ed25519.Ed25519PrivateKey
    pem: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.pem).hexdigest()


@pytest.fixture
def people() -> People:
    return People()


@pytest.fixture(scope="session")
def online() -> Online:
    private = ed25519.Ed25519PrivateKey.generate()
    pem = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Online(private, pem)


@pytest.fixture
def softhsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """SoftHSM 2 with a token folder of its own."""
    if not SOFTHSM.exists() or shutil.which("softhsm2-util") is None:
        pytest.skip("softhsm2 is not installed: apt-get install softhsm2")
    folder = tmp_path / "softhsm"
    folder.mkdir()
    conf = tmp_path / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {folder}\nobjectstore.backend = file\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(conf))
    yield folder
    os.environ.pop("SOFTHSM2_CONF", None)


@pytest.fixture
def pypi_root(repository: Path, tmp_path: Path, online: Online) -> Callable[..., tuple[Script, dict[str, bytes]]]:
    """The shipped script with a test's online key, and replacements in its text."""

    def make(*replacements: tuple[str, str], name: str = "pypi-root.toml") -> tuple[Script, dict[str, bytes]]:
        text = (repository / "ceremony-scripts" / name).read_text()
        folder = tmp_path / "script"
        folder.mkdir(exist_ok=True)
        if name == "pypi-root.toml":
            example = (repository / "ceremony-scripts" / "example-online-key.pem").read_bytes()
            text = text.replace(hashlib.sha256(example).hexdigest(), online.sha256)
            text = text.replace("example-online-key.pem", "online.pem")
            (folder / "online.pem").write_bytes(online.pem)
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new)
        path = folder / name
        path.write_text(text)
        return reading.load(path)

    return make


@pytest.fixture
def keyring(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], str]]:
    """A GnuPG home of the test's own; makes keys of a kind and gives their fingerprints."""
    if shutil.which("gpg") is None:
        pytest.skip("gnupg is not installed: apt-get install gnupg")
    home = tmp_path_factory.mktemp("g")  # short: the agent's socket lies in it
    home.chmod(0o700)
    monkeypatch.setenv("GNUPGHOME", str(home))

    def make(kind: str) -> str:
        command = [
            "gpg",
            "--batch",
            "--passphrase",
            "",
            "--quick-generate-key",
            f"{kind} <w@example.org>",
            kind,
            "sign",
        ]
        subprocess.run(command, check=True, capture_output=True)
        listed = subprocess.run(
            ["gpg", "--list-keys", "--with-colons"], check=True, capture_output=True, text=True
        ).stdout
        return [line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:")][-1]

    yield make
    subprocess.run(["gpgconf", "--kill", "all"], check=False, env={**os.environ, "GNUPGHOME": str(home)})
