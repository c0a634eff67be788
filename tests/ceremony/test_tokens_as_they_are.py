"""Tokens that keep what is on them, keys that were there before, and a script held against the tokens that are here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nss
import pytest
from devices import initialised
from people import SOFTHSM, People
from small import P256, script_text

from vestry.ceremony import conductor, order, present, provisioning, reading, replay, transcript
from vestry.ceremony import events as e
from vestry.ceremony.bench import Bench
from vestry.ceremony.problem import Case
from vestry.ceremony.script import Script
from vestry.ceremony.signing import possession_message
from vestry.cli.main import main
from vestry.errors import InputRejected, Stopped
from vestry.metadata import document
from vestry.tokens import capacity, naming
from vestry.tokens.process import Pkcs11Source
from vestry.tokens.token import KeyKind, Pin, TokenInfo


@pytest.fixture
def read(tmp_path: Path, online: Any) -> Callable[..., tuple[Script, dict[str, bytes]]]:
    def make(**parts: Any) -> tuple[Script, dict[str, bytes]]:
        (tmp_path / "online.pem").write_bytes(online.pem)
        path = tmp_path / "s.toml"
        path.write_text(script_text(online, parts.get("tokens", {}), parts.get("keys", {}), parts.get("scheme", P256)))
        return reading.load(path)

    make.online = online  # type: ignore[attr-defined]
    return make


@pytest.fixture
def carols(softhsm: Path) -> tuple[str, str]:
    """Carol's token of before: initialised elsewhere, with a key on it. Its serial, and the key's URI."""
    source = Pkcs11Source(SOFTHSM)
    (token,) = initialised(source, "carols own", pin="pin-of-Carol")
    with token.unlock(Pin("pin-of-Carol")) as unlocked:
        made = unlocked.generate(KeyKind(P256), "code signing")
        unlocked.generate(KeyKind(P256), "another")
    serial = token.info.serial
    source.close()
    return serial, made.uri


def recorded(folder: Path, kind: type) -> list[Any]:
    return [r.event for r in transcript.read(folder / "transcript.jsonl") if isinstance(r.event, kind)]


def test_a_key_that_was_there_takes_part_and_nothing_on_its_token_is_erased(
    tmp_path: Path, people: People, read: Callable[..., Any], carols: tuple[str, str]
) -> None:
    """A holder's own signing key can hold a role; a program that erased its token would destroy it."""
    serial, uri = carols
    script, inputs = read(tokens={"Carol": f'erase = false\nserial = "{serial}"'}, keys={"Carol": f'uri = "{uri}"'})
    people.answers = {"which-token": lambda q: q.options[0][0]}
    conductor.conduct(script, inputs, tmp_path / "c", people)
    (adopted,) = recorded(tmp_path / "c", e.TokenAdopted)
    assert adopted.serial == serial
    assert any("code signing" in line for line in adopted.holds)
    assert any("another" in line for line in adopted.holds)
    asked = [q.name for q in people.asked if q.person == "Carol"]
    assert asked.index("digits") < asked.index("pin"), "a look-alike would have got to know the PIN"
    (taken,) = recorded(tmp_path / "c", e.KeyTaken)
    assert taken.uri == uri
    assert {v.verdict for v in replay.replay(transcript.read(tmp_path / "c" / "transcript.jsonl"))} <= {
        "recomputed",
        "witnessed",
    }
    source = Pkcs11Source(SOFTHSM)
    token = next(t for t in source.tokens() if t.info.serial == serial)
    assert {k.label for k in token.public_keys()} == {"code signing", "another"}
    source.close()


def test_a_reset_is_proved_by_what_the_token_lists(
    tmp_path: Path, people: People, read: Callable[..., Any], softhsm: Path
) -> None:
    """A key of someone else that survived a reset would later pass for one of the ceremony."""
    script, inputs = read()
    people.answers = {"new-pin": _stop_at(people, "Bob")}
    with pytest.raises(Stopped):
        conductor.conduct(script, inputs, tmp_path / "c", people)
    (done,) = recorded(tmp_path / "c", e.TokenInitialised)
    assert done.left == ()
    (intent,) = recorded(tmp_path / "c", e.InitialiseIntended)
    assert intent.before == ()


def test_the_pin_cannot_unlock_itself(tmp_path: Path, people: People, read: Callable[..., Any], softhsm: Path) -> None:
    """A PUK that equals the PIN is found by whoever watched the PIN, and a locked token stays locked to nobody."""
    script, inputs = read(tokens={"Bob": 'security_officer = "holder"'})
    typed: list[str] = []

    def officer(question: Any) -> Any:
        if typed:
            raise Stopped("stopped")
        typed.append(people.pins["Bob"])
        return Pin(people.pins["Bob"])

    people.answers = {"new-so-pin": officer}
    with pytest.raises(Stopped):
        conductor.conduct(script, inputs, tmp_path / "c", people)
    assert typed
    assert any("is the PIN itself" in line for line in people.told)
    assert "bob" not in {x.token for x in recorded(tmp_path / "c", e.InitialiseIntended)}


def test_an_officer_pin_that_nobody_knows_is_as_long_as_devices_want(
    tmp_path: Path, people: People, read: Callable[..., Any], softhsm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A SmartCard-HSM takes 16 hex digits and no others, and says 15 of its user's PIN."""
    script, inputs = read()
    seen: list[Pin] = []
    whole = provisioning._officer_secret

    def watch(room: Any, spec: Any, info: TokenInfo, pin: Pin) -> Pin:
        made = whole(room, spec, replace(info, pin_most=15), pin)
        seen.append(Pin(made.reveal().decode()))
        return made

    monkeypatch.setattr(provisioning, "_officer_secret", watch)
    people.answers = {"digits": _stop_at(people, "Alice")}
    with pytest.raises(Stopped):
        conductor.conduct(script, inputs, tmp_path / "c", people)
    assert all(re.fullmatch("[0-9a-f]{16}", pin.reveal().decode()) for pin in seen)
    assert seen


def test_check_passes_over_a_token_that_no_key_names(tmp_path: Path, read: Callable[..., Any], softhsm: Path) -> None:
    """The order check says so; the look at the tokens must not fall over it."""
    script, inputs = read()
    unused = replace(script, keys=tuple(k for k in script.keys if k.token != "bob"))
    with Bench(unused, tmp_path) as bench:
        problems = present.look(Case(unused, inputs), bench, day="2026-11-23")
    assert not [p for p in problems if "bob" in p.text]


def _stop_at(people: People, person: str) -> Callable[[Any], Any]:
    def answer(question: Any) -> Any:
        if question.person == person:
            raise Stopped("stopped")
        return people.sensible(question)

    return answer


def test_a_look_alike_is_refused(
    tmp_path: Path, people: People, read: Callable[..., Any], carols: tuple[str, str]
) -> None:
    """A token of the right serial and another make is not the holder's."""
    serial, uri = carols
    script, inputs = read(
        tokens={"Carol": f'erase = false\nuri = "pkcs11:serial={serial};model=YubiKey%20YK5"'},
        keys={"Carol": f'uri = "{uri}"'},
    )
    with Bench(script, tmp_path) as bench:
        problems = present.look(Case(script, inputs), bench, day="2026-11-23")
    assert [p.code for p in problems if "carol" in p.text] == ["TOKEN-NOT-HERE"]


@pytest.mark.parametrize(
    ("scheme", "code"),
    [("ml-dsa-65/1", "KEY-NO-MECHANISM"), (P256, None)],
)
def test_check_says_what_a_token_lacks(
    tmp_path: Path, read: Callable[..., Any], softhsm: Path, scheme: str, code: str | None
) -> None:
    """SoftHSM 2.6 makes no ML-DSA key: on the day, that would end the ceremony in its middle."""
    script, inputs = read(scheme=scheme)
    with Bench(script, tmp_path) as bench:
        problems = present.look(Case(script, inputs), bench, day="2026-11-23")
    assert {p.code for p in problems} == ({code} if code else set())


def test_check_tells_on_the_command_line(
    tmp_path: Path, read: Callable[..., Any], softhsm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same, as the administrator sees it; --desk leaves the tokens alone."""
    read(scheme="ml-dsa-44/1")
    assert main(["check", str(tmp_path / "s.toml"), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["problems"]
    assert "KEY-NO-MECHANISM" in {p["code"] for p in found}
    assert main(["check", str(tmp_path / "s.toml"), "--desk"]) == 0


@pytest.mark.parametrize(
    ("tokens", "keys", "says"),
    [
        ({"Carol": "erase = false"}, {}, "told by what it shows"),
        ({}, {"Carol": 'uri = "pkcs11:id=%02"'}, "that is erased"),
        ({"Carol": 'uri = "pkcs11:pin-value=1234"'}, {}, "has no place for"),
        ({"Carol": 'serial = "1"\nuri = "pkcs11:serial=2"'}, {}, "write one of them"),
        ({"Carol": 'attestation = "maybe"'}, {}, "not known"),
    ],
)
def test_odd_references_are_one_exact_line(
    read: Callable[..., Any], tokens: dict[str, str], keys: dict[str, str], says: str
) -> None:
    """A script that could mean two devices must not reach the day."""
    with pytest.raises(InputRejected) as caught:
        read(tokens=tokens, keys=keys)
    assert says in str(caught.value)
    assert "s.toml:" in str(caught.value)


def test_ml_dsa_works_wherever_the_token_offers_it(
    tmp_path: Path, people: People, read: Callable[..., Any], online: Any
) -> None:
    """Post-quantum root keys: drafted, proved by a client, signed; on software tokens, for want of others."""
    text = script_text(online, {}, {}, "ml-dsa-65/1").replace('use = "pkcs11"\nmodule = "softhsm2"', 'use = "software"')
    (tmp_path / "online.pem").write_bytes(online.pem)
    (tmp_path / "s.toml").write_text(text)
    script, inputs = reading.load(tmp_path / "s.toml")
    from vestry.tokens.software import SoftwareSource

    for serial in ("0000000001", "0000000002", "0000000003"):
        SoftwareSource(tmp_path / "tokens").create(serial)
    assert [p for p in order.check(script, inputs) if p.severity == "stop"] == []
    conductor.conduct(script, inputs, tmp_path / "c", people, tokens=tmp_path / "tokens")
    root = json.loads((tmp_path / "c" / "signed" / "1.root.json").read_text())
    assert {k["scheme"] for k in root["signed"]["keys"].values()} >= {"ml-dsa-65/1"}
    assert {v.verdict for v in replay.replay(transcript.read(tmp_path / "c" / "transcript.jsonl"))} <= {
        "recomputed",
        "witnessed",
    }


def test_an_ed25519_token_proves_itself_at_the_length_to_come(
    tmp_path: Path, people: People, read: Callable[..., Any], softhsm: Path
) -> None:
    """Some devices sign Ed25519 messages only up to 2 or 3 kB: that must come up when the key is made."""
    script, inputs = read(scheme="ed25519")
    conductor.conduct(script, inputs, tmp_path / "c", people)
    made = {x.key: x for x in recorded(tmp_path / "c", e.KeyGenerated)}
    root = (tmp_path / "c" / "bundles" / "root" / "unsigned" / "root.json").read_bytes()
    signed = document.read(root, where="root").signed_bytes
    assert len(possession_message(bytes.fromhex(made["alice-root"].challenge))) == len(signed)
    assert len(bytes.fromhex(made["alice-targets"].challenge)) == 32


def test_check_knows_what_a_yubikey_takes(tmp_path: Path, online: Any) -> None:
    """Seven Ed25519 holders make a root that a YubiKey can't sign in one command."""
    assert capacity.longest_ed25519(INFO) == 3062
    assert capacity.longest_ed25519(replace(INFO, model="YubiHSM")) == 2046
    assert capacity.longest_ed25519(replace(INFO, model="SoftHSM v2")) is None


INFO = TokenInfo(
    "m", "", "Yubico (www.yubico.com)", "YubiKey YK5", "12345678", "YubiKey PIV #12345678", "5.7.1", True, True
)


def test_tokens_are_named_as_people_know_them() -> None:
    """The serial on the screen must be found on the device: same digits, same groups."""
    assert naming.of_holder("Alice", "alice", INFO) == "Alice's YubiKey 5 'alice', serial 12 345 678"
    soft = replace(INFO, manufacturer="SoftHSM", model="SoftHSM v2", serial="075e96044905cedb")
    assert naming.of_holder("Bob", "bob", soft) == "Bob's token 'bob' (SoftHSM v2), serial 075e96044905cedb"
    assert naming.serial(replace(INFO, model="YubiHSM", serial="0013200460")) == "13 200 460"
    assert naming.of_holder("Eve\x1b[2J", "eve", INFO).startswith("Eve\\u{1b}[2J's")


def test_a_ceremony_with_tokens_of_two_modules(
    tmp_path: Path,
    people: People,
    read: Callable[..., Any],
    softhsm: Path,
    nss_module: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A device that only its maker's tool sets up: it is taken as it is, makes its key, and signs beside the others."""
    monkeypatch.setenv("NSS_SETTINGS", nss.database(tmp_path / "nss", "pin-of-Carol"))
    text = script_text(read.online, {}, {})  # type: ignore[attr-defined]
    old = 'name = "carol"\nholder = "Carol"\nuse = "pkcs11"\nmodule = "softhsm2"\n'
    uri = f"pkcs11:token={nss.LABEL.replace(' ', '%20')}"
    assert old in text
    text = text.replace(old, old.replace("softhsm2", str(nss_module)) + f'erase = false\nuri = "{uri}"\n')
    (tmp_path / "online.pem").write_bytes(read.online.pem)  # type: ignore[attr-defined]
    (tmp_path / "s.toml").write_text(text)
    script, inputs = reading.load(tmp_path / "s.toml")
    conductor.conduct(script, inputs, tmp_path / "c", people)
    (adopted,) = recorded(tmp_path / "c", e.TokenAdopted)
    assert adopted.manufacturer.startswith("Mozilla")
    assert {x.key for x in recorded(tmp_path / "c", e.KeyGenerated)} >= {"alice-root", "carol-root"}
    assert {v.verdict for v in replay.replay(transcript.read(tmp_path / "c" / "transcript.jsonl"))} <= {
        "recomputed",
        "witnessed",
    }


def test_every_scheme_signs_on_a_token(tmp_path: Path, people: People, read: Callable[..., Any], softhsm: Path) -> None:
    """A token shows an RSA key without its hash: the document's scheme decides, and the signature must verify:
    that of two on the document, and of the third on the proof that it is there."""
    schemes = {
        "Alice": 'scheme = "rsassa-pss-sha384"\nbits = 2048',
        "Bob": 'scheme = "ecdsa-sha2-nistp521"',
        "Carol": 'scheme = "rsassa-pss-sha512"\nbits = 2048',
    }
    script, inputs = read(keys=schemes)
    conductor.conduct(script, inputs, tmp_path / "c", people)
    root = json.loads((tmp_path / "c" / "signed" / "1.root.json").read_text())
    signed = {root["signed"]["keys"][s["keyid"]]["scheme"] for s in root["signatures"] if s["sig"]}
    assert signed == {"rsassa-pss-sha384", "ecdsa-sha2-nistp521"}
    proved = next(x for x in recorded(tmp_path / "c", e.KeyGenerated) if x.key == "carol-root")
    assert root["signed"]["keys"][proved.keyid]["scheme"] == "rsassa-pss-sha512"
