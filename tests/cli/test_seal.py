"""``vestry seal``: people say yes or no later, elsewhere, with keys of their own, and readers know whose word it is."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from devices import PIN, initialised
from people import SOFTHSM, People
from test_standalone_verifier import verify as verify_alone

from vestry.ceremony import conductor, reading, rehearsal, transcript
from vestry.ceremony.replay import replay
from vestry.cli.main import main
from vestry.record.story import last_state
from vestry.text import words
from vestry.tokens import inventory
from vestry.tokens.token import KeyKind, Pin

PASSPHRASE = "canary horse 7712"
NO = "Camera two was dark for a minute."


def pinned(folder: Path, name: str, key: bytes) -> None:
    """Have the script of `folder` name `key` for the person called `name`."""
    (folder / f"{name.lower()}.key").write_bytes(key)
    path = folder / rehearsal.SCRIPT
    line = f'name = "{name}"\n'
    pin = f'key = "{name.lower()}.key"\nkey_sha256 = "{hashlib.sha256(key).hexdigest()}"\n'
    path.write_text(path.read_text().replace(line, line + pin, 1))


def held(folder: Path, **keys: bytes) -> Path:
    """A whole rehearsal with two holders, whose script names `keys`."""
    rehearsal.prepare(folder, holders=2, threshold=2)
    for name, key in keys.items():
        pinned(folder, name, key)
    script, inputs = reading.load(folder / rehearsal.SCRIPT)
    conductor.conduct(script, inputs, folder, People())
    return folder


def pem(private: Any) -> bytes:
    public = private.public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_file(path: Path, private: Any, passphrase: str = "") -> Path:
    lock: Any = serialization.NoEncryption()
    if passphrase:
        lock = serialization.BestAvailableEncryption(passphrase.encode())
    path.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock))
    return path


WALTER, OLIVIA = ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def ceremony(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return held(tmp_path_factory.mktemp("c") / "c", Walter=pem(WALTER))


@pytest.fixture
def copy(ceremony: Path, tmp_path: Path) -> Path:
    """What someone elsewhere has: no tokens, no private keys."""
    folder = tmp_path / "copy"
    shutil.copytree(ceremony, folder, ignore=shutil.ignore_patterns("tokens", "rehearsal.toml", "*.pem", "walter.key"))
    shutil.copytree(ceremony / "inputs", folder / "inputs", dirs_exist_ok=True)
    return folder


class Typist:
    """Types words of the digest that was shown, and the secret."""

    def __init__(self, screen: io.StringIO, head: str, secret: str) -> None:
        self.screen, self.right, self.secret = screen, words(head), secret

    def isatty(self) -> bool:
        return False

    def readline(self) -> str:
        shown = self.screen.getvalue()
        if "Type them" in shown.splitlines()[-1]:
            places = re.findall(r"Type words (\d+) and (\d+)", shown)[-1]
            return " ".join(self.right[int(p) - 1] for p in places) + "\n"
        return f"{self.secret}\n"


Seal = Callable[..., tuple[int, str, str]]


@pytest.fixture
def seal(monkeypatch: pytest.MonkeyPatch) -> Seal:
    """Runs ``vestry seal`` with a keyboard; gives exit status, stdout and stderr."""

    def run(folder: Path, *arguments: str | Path, secret: str = PASSPHRASE) -> tuple[int, str, str]:
        head = [x.head for x in transcript.iter_read(folder / "transcript.jsonl")][-1]
        out, err = io.StringIO(), io.StringIO()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", Typist(err, head, secret))
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            status = main(["seal", str(folder), *map(str, arguments)])
        return status, out.getvalue(), err.getvalue()

    return run


def replayed(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    status = main(["replay", str(folder), "--json"])
    return status, json.loads(capsys.readouterr().out)


def late(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [x for x in result["seals"] if x["where"].startswith("seals/")]


def only(folder: Path) -> Path:
    (path,) = (p for p in (folder / "seals").iterdir() if "-" in p.stem)
    return path


def test_a_witness_seals_later_with_an_encrypted_key_file(
    copy: Path, seal: Seal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script names Walter's key, so that his no is known to be his; nothing of his passphrase is anywhere."""
    file = key_file(tmp_path / "w.pem", WALTER, PASSPHRASE)
    before = (copy / "transcript.jsonl").read_bytes()
    status, out, err = seal(copy, "--person", "Walter", "--disagree", "--reason", NO, "--key", file)
    assert status == 0, err
    assert "recomputed" in err, "the replay is told before anything is signed"
    assert (copy / "transcript.jsonl").read_bytes() == before
    status, result = replayed(copy, capsys)
    (found,) = late(result)
    assert (status, found["verdict"], found["person"], found["agree"], found["reason"]) == (
        0,
        "recomputed",
        "Walter",
        False,
        NO,
    )
    assert "the script names for Walter" in found["why"]
    everything = b"".join(p.read_bytes() for p in copy.rglob("*") if p.is_file())
    assert PASSPHRASE.encode() not in everything
    assert PASSPHRASE not in out + err
    assert main(["replay", str(copy), "--plain"]) == 0
    assert f"Walter sealed it and does NOT agree: {NO}" in capsys.readouterr().out
    assert main(["record", str(copy), "-o", str(tmp_path / "r.html")]) == 0
    assert NO in (tmp_path / "r.html").read_text()
    status, said = verify_alone(copy, capsys)
    assert status == 0, said
    assert f"sealed: Walter does not agree: {NO}" in said


def test_a_key_that_the_script_does_not_name_is_told_as_such(
    copy: Path, seal: Seal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Anybody can make a key and call it Olivia's: a reader must see that nothing but somebody's word says so."""
    for person, who in (("Olivia", "no key for Olivia"), ("Nobody Known", "nobody called Nobody Known")):
        file = key_file(tmp_path / "o.pem", OLIVIA)
        status, _, err = seal(copy, "--person", person, "--agree", "--key", file)
        assert status == 0, err
        found = next(x for x in late(replayed(copy, capsys)[1]) if x["person"] == person)
        assert found["verdict"] == "witnessed"
        assert f"rests on who brought it: the script names {who}" in found["why"]


def test_nobody_seals_in_the_name_of_another(copy: Path, seal: Seal, tmp_path: Path) -> None:
    """A seal by a wrong key would not hold; it is refused before anything is signed."""
    walter, olivia = key_file(tmp_path / "w.pem", WALTER), key_file(tmp_path / "o.pem", OLIVIA)
    for person, key, why in (("Walter", olivia, "by another key"), ("Olivia", walter, "by the key of Walter")):
        status, _, err = seal(copy, "--person", person, "--agree", "--key", key)
        assert (status, why in err) == (1, True), err
        assert "Type words" not in err
    status, _, err = seal(copy, "--person", "Alice", "--agree", "--key", olivia)
    assert (status, "by another key than the script names for Alice" in err) == (1, True)
    assert not [p for p in (copy / "seals").iterdir() if "-" in p.stem]


def changed(path: Path, change: Callable[[dict[str, Any]], None], *, signer: Any = None) -> None:
    """Change what a seal says; with `signer`, sign that anew, as a forger does with a key of their own."""
    value = json.loads(path.read_text())
    statement = json.loads(base64.b64decode(value["payload"]))
    change(statement)
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
    value["payload"] = base64.b64encode(payload).decode()
    if signer is not None:
        kind = value["payloadType"].encode()
        pae = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
        value["signatures"][0]["sig"] = base64.b64encode(signer.sign(pae)).decode()
    path.write_text(json.dumps(value, sort_keys=True))


def put(where: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda statement: statement["predicate"].update({where: value})


@pytest.mark.parametrize(
    ("change", "resigned", "why"),
    [
        (put("reason", "All was well."), False, "its signature does not hold"),
        (put("agree", True), False, "its signature does not hold"),
        (put("person", "Olivia"), True, "by the key of Walter"),
        (put("person", "Alice"), True, "another key than the script names for Alice"),
        (put("transcript", {"head": "00" * 32}), True, "another head"),
        (put("ceremony", "Another"), True, "something else than the transcript"),
        (put("software", {"name": "x", "sha256": "00" * 32}), True, "something else than the transcript"),
        (put("reason", " "), True, "gives no reason"),
        (put("more", 1), True, "not written as a seal"),
        (lambda s: s["subject"].pop(), True, "something else than the transcript"),
        (lambda s: s["predicate"].pop("key"), True, "no line with it"),
        (lambda s: s.update(predicateType="urn:other"), True, "not a seal of a ceremony"),
    ],
)
def test_a_seal_is_bound_to_all_that_it_says(
    change: Callable[[dict[str, Any]], None],
    resigned: bool,
    why: str,
    copy: Path,
    seal: Seal,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever is changed in it, signed anew or not, it holds no longer, here and in the other verifier."""
    file = key_file(tmp_path / "w.pem", WALTER)
    assert seal(copy, "--person", "Walter", "--disagree", "--reason", NO, "--key", file)[0] == 0
    changed(only(copy), change, signer=WALTER if resigned else None)
    status, result = replayed(copy, capsys)
    (found,) = late(result)
    assert (status, result["ok"], found["verdict"]) == (1, False, "failed")
    assert why in found["why"]
    assert verify_alone(copy, capsys)[0] == 1


def test_a_seal_without_or_with_two_signatures_holds_nothing(
    copy: Path, seal: Seal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What stands in an envelope beside the one signature is nobody's word."""
    assert seal(copy, "--person", "Walter", "--agree", "--key", key_file(tmp_path / "w.pem", WALTER))[0] == 0
    path = only(copy)
    whole = json.loads(path.read_text())
    entry = whole["signatures"][0]
    for wrong in (
        {**whole, "signatures": []},
        {**whole, "signatures": [entry, entry]},
        {**whole, "signatures": [{**entry, "other_headers": "04"}]},
        {**whole, "signatures": [{**entry, "keyid": "00" * 32}]},
        {**whole, "note": "unsigned"},
        {**whole, "payloadType": "text/plain"},
        [],
    ):
        path.write_text(json.dumps(wrong))
        status, result = replayed(copy, capsys)
        assert (status, late(result)[0]["verdict"]) == (1, "failed"), wrong
        assert verify_alone(copy, capsys)[0] == 1
    path.write_text("no JSON")
    assert replayed(copy, capsys)[0] == 1
    path.unlink()
    path.symlink_to(copy / "transcript.jsonl")
    assert replayed(copy, capsys)[0] == 1


def test_another_ceremonys_seal_and_a_change_of_mind_are_told(
    copy: Path, seal: Seal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Gathering is copying files together: none overwrites another, and a foreign one is not taken for ours."""
    file = key_file(tmp_path / "w.pem", WALTER)
    assert seal(copy, "--person", "Walter", "--agree", "--key", file)[0] == 0
    assert seal(copy, "--person", "Walter", "--disagree", "--reason", NO, "--key", file)[0] == 0
    status, result = replayed(copy, capsys)
    assert (status, len(late(result))) == (0, 2)
    assert all("not the only seal in this name" in x["why"] for x in late(result))
    other = held(tmp_path / "other", Walter=pem(WALTER))
    assert seal(other, "--person", "Walter", "--agree", "--key", file)[0] == 0
    shutil.copy(only(other), copy / "seals" / "foreign.json")
    status, result = replayed(copy, capsys)
    assert status == 1
    assert [x["why"] for x in late(result) if x["where"].endswith("foreign.json")] == [
        "it names another head than the last of this transcript"
    ]


def test_nobody_agrees_to_what_does_not_hold(copy: Path, seal: Seal, tmp_path: Path) -> None:
    """A person far away is kept from signing a yes that the files refute; a no is always free, and has a reason."""
    file = key_file(tmp_path / "w.pem", WALTER)
    (copy / "signed" / "1.root.json").write_bytes(b"{}")
    status, _, err = seal(copy, "--person", "Walter", "--agree", "--key", file)
    assert (status, "E-SEAL-NOT" in err) == (1, True), err
    assert seal(copy, "--person", "Walter", "--disagree", "--key", file)[0] == 2
    assert seal(copy, "--person", "Walter", "--disagree", "--reason", NO, "--key", file)[0] == 0
    lines = (copy / "transcript.jsonl").read_bytes().splitlines(keepends=True)
    (copy / "transcript.jsonl").write_bytes(b"".join(lines[:-2]))
    status, _, err = seal(copy, "--person", "Walter", "--agree", "--key", file)
    assert (status, "E-SEAL-NOT" in err) == (1, True), err


def test_wrong_passphrases_and_files_seal_nothing(copy: Path, seal: Seal, tmp_path: Path) -> None:
    """Each ends in one line, and nothing is written."""
    locked = key_file(tmp_path / "w.pem", WALTER, PASSPHRASE)
    (tmp_path / "x").write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    said = ("--person", "Walter", "--agree")
    status, _, err = seal(copy, *said, "--key", locked, secret="wrong")
    assert (status, err.splitlines()[-1].count("E-SEAL-KEY")) == (2, 1)
    assert seal(copy, *said, "--key", tmp_path / "x")[0] == 2
    assert seal(copy, *said, "--key", tmp_path / "none")[0] in (2, 3)
    assert seal(copy, *said, "--gpg", "ABCD --homedir /tmp")[0] == 2
    assert not [p for p in (copy / "seals").iterdir() if "-" in p.stem]


def test_a_drive_that_takes_no_seal_is_told(copy: Path, seal: Seal, tmp_path: Path) -> None:
    """One line, and nothing of a seal is left."""
    status, _, err = seal(
        copy, "--person", "Walter", "--agree", "--key", key_file(tmp_path / "w.pem", WALTER), "-o", "/proc/seals"
    )
    assert (status, "vestry: /proc/seals: " in err) == (3, True), err


def test_a_witness_seals_with_a_token(
    softhsm: Path, seal: Seal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through PKCS #11, as a YubiKey or an HSM of the witness's own would."""
    with contextlib.closing(inventory.open_named(str(SOFTHSM))) as source:
        (token,) = initialised(source, "walter")
        with token.unlock(Pin(PIN)) as opened:
            made = opened.generate(KeyKind("ecdsa-sha2-nistp256"), "seal")
    public = serialization.load_der_public_key(made.spki).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    folder = held(tmp_path / "c", Walter=public)
    said = ("--person", "Walter", "--agree", "--module", SOFTHSM)
    assert seal(folder, *said, secret="0000")[0] == 3
    status, out, err = seal(folder, *said, secret=PIN)
    assert status == 0, err
    assert PIN not in out + err
    assert [(x["person"], x["verdict"]) for x in late(replayed(folder, capsys)[1])] == [("Walter", "recomputed")]
    assert seal(folder, "--person", "Olivia", "--agree", "--module", SOFTHSM, secret=PIN)[0] == 1


def test_a_holder_seals_later_with_a_token_of_the_ceremony(
    ceremony: Path, tmp_path: Path, seal: Seal, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who left before the end can still say what they saw, under the root key that the script gives them."""
    folder = tmp_path / "c"
    shutil.copytree(ceremony, folder)
    said = ("--person", "Bob", "--disagree", "--reason", NO, "--software", folder / "tokens")
    status, _, err = seal(folder, *said, secret="pin-of-Bob")
    assert status == 0, err
    assert [(x["person"], x["verdict"]) for x in late(replayed(folder, capsys)[1])] == [("Bob", "recomputed")]


@pytest.mark.parametrize("kind", ["ed25519", "rsa2048"])
def test_a_witness_seals_with_an_openpgp_key(
    kind: str, keyring: Callable[[str], str], seal: Seal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Signing asks GnuPG; verifying needs no more than the key that the script names."""
    fingerprint = keyring(kind)
    assert main(["seal", "--show-key", "--gpg", fingerprint]) == 0
    shown = capsys.readouterr().out.encode()
    folder = held(tmp_path / "c", Walter=shown)
    status, _, err = seal(folder, "--person", "Walter", "--disagree", "--reason", NO, "--gpg", fingerprint)
    assert status == 0, err
    assert [(x["person"], x["verdict"]) for x in late(replayed(folder, capsys)[1])] == [("Walter", "recomputed")]
    for name in ("tokens", "rehearsal.toml", "walter.key"):
        shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()
    assert verify_alone(folder, capsys)[0] == 0
    changed(only(folder), put("reason", "All was well."))
    assert replayed(folder, capsys)[0] == 1
    assert verify_alone(folder, capsys)[0] == 1
    assert seal(folder, "--person", "Walter", "--disagree", "--reason", NO, "--gpg", "00" * 20)[0] == 2


def test_the_guides_snippet_verifies_seals_with_securesystemslib_alone(
    copy: Path, seal: Seal, repository: Path, tmp_path: Path
) -> None:
    """What docs/formats.md prints is run as it stands, in a process that has never heard of Vestry."""
    assert (
        seal(copy, "--person", "Walter", "--disagree", "--reason", NO, "--key", key_file(tmp_path / "w", WALTER))[0]
        == 0
    )
    text = (repository / "docs" / "formats.md").read_text().partition("## Seal")[2]
    snippet = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    assert "vestry" not in snippet
    for path in (only(copy), copy / "seals" / "alice.json"):
        command = [sys.executable, "-I", "-c", snippet, str(path), str(copy / "signed" / "1.root.json")]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        printed = json.loads(ran.stdout)
        sealed = json.loads(base64.b64decode(json.loads(path.read_text())["payload"]))
        assert printed == sealed, "also the key, which readers compare with the person's own"
    changed(only(copy), put("agree", True))
    command = [sys.executable, "-I", "-c", snippet, str(only(copy)), str(copy / "signed" / "1.root.json")]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_the_transcript_alone_is_enough(ceremony: Path) -> None:
    """The text of a witness's key is in line 0, so that nobody has to keep a file for it."""
    state = last_state(list(replay(transcript.read(ceremony / "transcript.jsonl"))))
    assert state is not None
    assert state.inputs["sealing key of Walter"] == pem(WALTER).decode()
