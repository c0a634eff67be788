"""Witnesses seal in the ceremony itself, with keys of their own, in the step that holders seal in."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from people import People
from test_standalone_verifier import verify as verify_alone

from vestry.ceremony import chain, conductor, events, reading, rehearsal, transcript
from vestry.ceremony.dialogue import Secret
from vestry.ceremony.replay import compare_files, replay
from vestry.cli.main import main
from vestry.tokens.software import SoftwareSource
from vestry.tokens.token import KeyKind, Pin

NO = "Camera two was dark for a minute."
PEM, SPKI = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a PIN of a software token takes to try is not what is tested here."""
    monkeypatch.setitem(SoftwareSource.__init__.__kwdefaults__, "scrypt_n", 16)  # type: ignore[arg-type]


def prepared(folder: Path, **keys: bytes) -> None:
    """A rehearsal whose script names `keys`, and has their people seal too."""
    rehearsal.prepare(folder, holders=2, threshold=2)
    path = folder / rehearsal.SCRIPT
    text = path.read_text()
    for name, key in keys.items():
        (folder / f"{name.lower()}.key").write_bytes(key)
        pin = f'key = "{name.lower()}.key"\nkey_sha256 = "{hashlib.sha256(key).hexdigest()}"\n'
        text = text.replace(f'name = "{name}"\n', f'name = "{name}"\n{pin}', 1)
    by = 'by = ["Alice", "Bob"]'
    assert by in text
    path.write_text(text.replace(by, f"by = {json.dumps(['Alice', 'Bob', *keys])}"))


def conducted(folder: Path, people: People) -> Any:
    return conductor.conduct(*reading.load(folder / rehearsal.SCRIPT), folder, people)


def put_away(folder: Path) -> None:
    """What is no part of the formats."""
    for path in (folder / "tokens", *folder.glob("*.key"), *folder.glob("*.pem"), folder / rehearsal.SCRIPT):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_a_witness_seals_from_a_file_and_another_from_a_token(
    tmp_path: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever watched must be able to say so, or say no, before anyone leaves the room."""
    walter = ed25519.Ed25519PrivateKey.generate()
    lock = serialization.BestAvailableEncryption(b"canary horse")
    file = tmp_path / "walter.pem"
    file.write_bytes(walter.private_bytes(PEM, serialization.PrivateFormat.PKCS8, lock))
    own = SoftwareSource(tmp_path / "own")
    token = own.create("777").initialise("olivia", Pin("87654321"), Pin("pin-of-Olivia"))
    with token.unlock(Pin("pin-of-Olivia")) as unlocked:
        spki = unlocked.generate(KeyKind("ecdsa-sha2-nistp256"), "hers").spki
    olivia = serialization.load_der_public_key(spki).public_bytes(PEM, SPKI)
    own.close()
    folder = tmp_path / "c"
    prepared(folder, Walter=walter.public_key().public_bytes(PEM, SPKI), Olivia=olivia)
    for path in (tmp_path / "own").iterdir():
        path.rename(folder / "tokens" / path.name)
    typed: list[Any] = []

    def passphrase(question: Secret) -> Pin:
        typed.append(question)
        return Pin("canary horse" if len(typed) > 1 else "canary mouse")

    people = People(
        answers={
            "agree": lambda q: "disagree" if q.person == "Walter" else "agree",
            "reason": lambda _: NO,
            "own-key": lambda q: "file" if q.person == "Walter" else "token",
            "key-file": lambda _: str(file),
            "passphrase": passphrase,
            "pin": lambda q: Pin("pin-of-Olivia") if "'olivia'" in q.sentence else people.sensible(q),
            "trouble": lambda _: "again",
        }
    )
    state = conducted(folder, people)
    assert [error.code for error, _ in people.troubles] == ["E-SEAL-KEY"]
    assert {name: x.agree for name, x in state.seals.items()} == {
        "Alice": True, "Bob": True, "Walter": False, "Olivia": True,
    }  # fmt: skip
    steps = list(replay(transcript.read(folder / "transcript.jsonl")))
    assert {s.verdict for s in steps if isinstance(s.recorded.event, events.Sealed)} == {"recomputed"}
    assert not [f for f in compare_files(state, folder) if f.verdict == "failed"]
    assert b"canary" not in (folder / "transcript.jsonl").read_bytes()
    put_away(folder)
    capsys.readouterr()
    assert main(["replay", str(folder), "--plain"]) == 0
    assert f"Walter sealed it and does NOT agree: {NO}" in capsys.readouterr().out
    status, told = verify_alone(folder, capsys)
    assert status == 0, told
    assert f"sealed: Walter does not agree: {NO}" in told
    snippet = re.findall(r"```python\n(.*?)```", (repository / "docs" / "formats.md").read_text(), re.DOTALL)[-1]
    for name in ("alice", "walter", "olivia"):
        line = [
            sys.executable,
            "-I",
            "-c",
            snippet,
            str(folder / f"seals/{name}.json"),
            str(folder / "signed/1.root.json"),
        ]
        said = json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)["predicate"]
        assert said["agree"] is (name != "walter")
    _in_anothers_name(folder, capsys)


def _in_anothers_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Walter's seal, in a chain made anew, as if Olivia had said it."""
    records = transcript.read(folder / "transcript.jsonl")
    place = next(r.n for r in records if isinstance(r.event, events.Sealed) and r.event.person == "Walter")
    raw, head = b"", chain.NO_HEAD
    for r in records:
        event = r.event
        if r.n in (place - 1, place):
            event = replace(event, person="Olivia")  # type: ignore[call-arg]
        line, made = chain.make(event, n=r.n, before=head, at=r.at, mono=r.mono, by=r.by)
        raw, head = raw + line, made.head
    (folder / "transcript.jsonl").write_bytes(raw)
    failed = [s.recorded.n for s in replay(transcript.read(raw)) if s.verdict == "failed"]
    assert place in failed
    assert verify_alone(folder, capsys)[0] == 1


def test_a_witness_seals_with_openpgp(
    tmp_path: Path, keyring: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Another key of the keyring is refused before anything is recorded; the named one seals."""
    wrong, right = keyring("rsa2048"), keyring("ed25519")
    capsys.readouterr()
    assert main(["seal", "--show-key", "--gpg", right]) == 0
    folder = tmp_path / "c"
    prepared(folder, Walter=capsys.readouterr().out.encode())
    named = iter((wrong, right))
    people = People(answers={"fingerprint": lambda _: next(named), "trouble": lambda _: "again"})
    state = conducted(folder, people)
    assert [error.code for error, _ in people.troubles] == ["E-SEAL-KEY"]
    assert state.seals["Walter"].agree
    intents = [r for r in transcript.read(folder / "transcript.jsonl") if isinstance(r.event, events.SealIntended)]
    assert [r.event.person for r in intents if isinstance(r.event, events.SealIntended)] == ["Alice", "Bob", "Walter"]
    put_away(folder)
    assert main(["replay", str(folder), "--plain"]) == 0
    status, told = verify_alone(folder, capsys)
    assert status == 0, told
