"""Whole ceremonies with YubiKeys: Yubico's own module, a real pcscd, virtual cards. Two of five holders have one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from people import People
from virtual_yubikey.bench import YKCS11, Bench
from virtual_yubikey.state import Settings

from vestry.ceremony import agenda, conductor, reading, replay, transcript
from vestry.ceremony import events as e
from vestry.ceremony.script import ProvisionStep, Script
from vestry.errors import InputRejected, Stopped
from vestry.tokens import attestation, attestation_rules
from vestry.tokens.process import Pkcs11Source
from vestry.tokens.token import Pin

VERIFIER = Path(__file__).parents[1] / "standalone_verifier.py"
Make = Callable[..., tuple[Script, dict[str, bytes]]]


def pems(bench: Bench) -> str:
    return "".join(c.public_bytes(serialization.Encoding.PEM).decode() for c in (bench.root, bench.intermediate))


@pytest.fixture
def script(pypi_root: Make, yubikeys: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """The shipped script with Alice and Bob on YubiKeys, whose makers' root is the test authority's."""
    root = yubikeys.root.public_bytes(serialization.Encoding.DER)
    monkeypatch.setattr(attestation, "MAKERS", {attestation.sha256(root): attestation.Maker("the test authority")})

    def make(*more: tuple[str, str], extra: str = "", serial: bool = True) -> tuple[Script, dict[str, bytes]]:
        from hashlib import sha256

        anchors = pems(yubikeys).encode()
        (tmp_path / "script").mkdir(exist_ok=True)
        (tmp_path / "script" / "anchors.pem").write_bytes(anchors)
        pairs = []
        for name, person in (("alice", "Alice"), ("bob", "Bob")):
            told = f'serial = "{yubikeys.cards[name].serial}"\n' if serial else ""
            old = f'name = "{name}"\nholder = "{person}"\nuse = "pkcs11"\nmodule = "softhsm2"'
            new = f'name = "{name}"\nholder = "{person}"\nuse = "pkcs11"\nmodule = "ykcs11"\n{told}{extra}'
            pairs.append((old, new.rstrip("\n")))
        table = f'[attestation]\nanchors = "anchors.pem"\nsha256 = "{sha256(anchors).hexdigest()}"\n\n[[tokens]]'
        first = ('[[tokens]]\nname = "alice"', f'{table}\nname = "alice"')
        return pypi_root(*pairs, first, *more)

    return make


def recorded(folder: Path, kind: type) -> list[Any]:
    return [r.event for r in transcript.read(folder / "transcript.jsonl") if isinstance(r.event, kind)]


def replays(folder: Path) -> bool:
    verdicts = {v.verdict for v in replay.replay(transcript.read(folder / "transcript.jsonl"))}
    return verdicts == {"recomputed", "witnessed"}


def test_two_of_five_holders_on_yubikeys(
    tmp_path: Path, people: People, script: Make, yubikeys: Bench, softhsm: Path
) -> None:
    """Erase, prove the reset, make keys, attest, sign, destroy, seal: all of it, and an auditor can replay it."""
    made, inputs = script(extra='attestation = "required"')
    conductor.conduct(made, inputs, tmp_path / "c", people)
    keys = {x.key: x for x in recorded(tmp_path / "c", e.KeyGenerated)}
    assert all(keys[name].certificates for name in ("alice-root", "alice-targets", "bob-root"))
    assert not keys["carol-root"].certificates
    assert keys["alice-root"].facts["pin_policy"] == "always"
    shown = next(q.details[0] for q in people.asked if q.name == "digits")
    assert shown == "Alice's YubiKey 5 'alice', serial 11 111 111"
    assert {x.key for x in recorded(tmp_path / "c", e.KeyDestroyed)} >= {"alice-targets", "alice-bins"}
    assert replays(tmp_path / "c")
    bundle = tmp_path / "c" / "bundles" / "root"
    assert (bundle / "certificates" / f"{keys['alice-root'].keyid}.pem").read_text().count("BEGIN CERTIFICATE") >= 2
    assert (tmp_path / "c" / "inputs" / "anchors.pem").read_bytes() == inputs["anchors"]
    # The devices, too, are told well enough for someone without Vestry's code; the tokens' own files are none of it.
    check = [sys.executable, "-I", str(VERIFIER), str(tmp_path / "c")]
    verified = subprocess.run(check, capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    left = tmp_path.rglob("*")
    texts = [p.read_bytes() for p in left if p.is_file()]
    for pin in people.pins.values():
        assert all(pin.encode() not in text for text in texts), pin


def test_the_holder_points_out_a_yubikey_among_several(
    tmp_path: Path, people: People, script: Make, yubikeys: Bench, softhsm: Path
) -> None:
    """Two blank ones of a model: the program does not guess whose is whose."""
    asked: list[Any] = []

    def which(question: Any) -> str:
        asked.append(question)
        return next(value for value, label in question.options if "22 222 222" in label)

    people.answers = {"which-token": which, "gather": lambda q: True}
    made, inputs = script(serial=False)
    people.answers["new-pin"] = _stop_for(people, "Carol")
    with pytest.raises(Stopped):
        conductor.conduct(made, inputs, tmp_path / "c", people)
    assert [len(q.options) for q in asked] == [2]
    serials = {x.token: x.serial for x in recorded(tmp_path / "c", e.TokenInitialised)}
    assert serials == {"alice": "22222222", "bob": "11111111"}


def _stop_for(people: People, person: str) -> Callable[[Any], Any]:
    def answer(question: Any) -> Any:
        if question.person == person:
            raise Stopped("stopped")
        return people.sensible(question)

    return answer


def test_a_yubikey_of_another_maker_is_refused(
    tmp_path: Path, people: People, script: Make, yubikeys: Bench, softhsm: Path
) -> None:
    """A forged device whose certificates have the right names: its key is never used."""
    yubikeys.card("forged", Settings(serial=int(yubikeys.cards["alice"].serial), genuine=False)).insert(0)
    made, inputs = script(extra='attestation = "required"')
    people.answers = {"trouble": lambda q: "stop"}
    with pytest.raises(Stopped):
        conductor.conduct(made, inputs, tmp_path / "c", people)
    assert [err.code for err, _ in people.troubles][:1] == ["E-ATTESTATION"]
    assert recorded(tmp_path / "c", e.KeyGenerated) == []


def test_a_ceremony_goes_on_with_another_yubikey_in_place_of_a_forged_one(
    tmp_path: Path, people: People, script: Make, yubikeys: Bench, softhsm: Path
) -> None:
    """The forged device is named by its serial in the script, and its key is made when it is refused: the ceremony had
    to be begun anew. Now a genuine one, of another serial, takes its place, and the forged one never comes back."""
    forged = yubikeys.card("forged", Settings(serial=int(yubikeys.cards["alice"].serial), genuine=False))
    forged.insert(0)
    made, inputs = script(extra='attestation = "required"')
    provision = next(i for i, step in enumerate(made.steps) if isinstance(step, ProvisionStep))

    def trouble(_: Any) -> str:
        yubikeys.card("spare", Settings(serial=33333333)).insert(0)
        return "depart"

    people.answers = {
        "attestation": lambda q: True,
        "trouble": trouble,
        "depart": lambda _: "repeat",
        "which-step": lambda _: str(provision + 1),
        "which-one": lambda q: q.options[1][0],
        "set-aside": lambda _: "other",
        "why": lambda _: "its maker's proof does not hold",
        "agree-exception": lambda q: q.options[1][0],
    }
    state = conductor.conduct(made, inputs, tmp_path / "c", people)
    assert "E-ATTESTATION" in [err.code for err, _ in people.troubles]
    (event,) = recorded(tmp_path / "c", e.StepRepeated)
    assert (event.tokens, event.aside) == (("alice",), (forged.serial,))
    assert state.tokens["alice"].serial == "33333333"
    assert agenda.position(state) == len(made.steps)
    assert replays(tmp_path / "c")
    check = [sys.executable, "-I", str(VERIFIER), str(tmp_path / "c")]
    verified = subprocess.run(check, capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_old_firmware_is_told_and_accepted_by_its_holder(
    tmp_path: Path, people: People, script: Make, yubikeys: Bench, softhsm: Path
) -> None:
    """EUCLEAK: the holder reads it, and the transcript says that it was accepted."""
    made, inputs = script(extra='attestation = "required"')
    people.answers = {"new-pin": _stop_for(people, "Bob")}
    with pytest.raises(Stopped):
        conductor.conduct(made, inputs, tmp_path / "c", people)
    asked = [q for q in people.asked if q.name == "attestation"]
    assert len(asked) == 1  # of Alice's device, not of each of its keys
    assert "EUCLEAK" in asked[0].details[0]
    assert all("EUCLEAK" in x.findings for x in recorded(tmp_path / "c", e.KeyGenerated))


def test_a_management_key_that_died_lets_the_token_be_erased_again(
    tmp_path: Path, people: People, script: Make, yubikeys: Bench, softhsm: Path
) -> None:
    """The program was killed between two keys: nothing on the YubiKey makes keys any more, and nothing was signed
    yet."""
    made, inputs = script()

    def waiting(what: str, cancel: Any = None) -> None:
        if "makes key 'alice-targets'" in what:
            raise Stopped("the power went")

    people.waiting = waiting  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        conductor.conduct(made, inputs, tmp_path / "c", people)
    people = People(pins=people.pins)

    def reset(question: Any) -> str:
        assert "piv reset" in question.details[1]
        assert subprocess.run(["ykman", "--device", "11111111", "piv", "reset", "-f"], check=False).returncode == 0
        return "erase"

    people.answers = {"again-blank": reset}
    conductor.conduct(made, inputs, tmp_path / "c", people)
    assert "again-blank" in {q.name for q in people.asked}
    erased = [x.token for x in recorded(tmp_path / "c", e.TokenInitialised)]
    assert erased.count("alice") == 2
    assert replays(tmp_path / "c")


def test_a_key_that_cannot_be_destroyed_does_not_end_the_ceremony(
    tmp_path: Path, people: People, script: Make, yubikeys: Bench, softhsm: Path
) -> None:
    """Restarted after the keys were made: PIV destroys nothing for us any more. People say so, and go on."""
    made, inputs = script()
    people.answers = {"words": _stop_for(people, "Alice")}
    with pytest.raises(Stopped):
        conductor.conduct(made, inputs, tmp_path / "c", people)
    people.answers = {"not-destroyed": lambda q: "keep", "reason": lambda q: "reset after the ceremony, bag 7"}
    conductor.conduct(made, inputs, tmp_path / "c", people)
    kept = recorded(tmp_path / "c", e.KeyKept)
    assert {x.key for x in kept} == {"alice-targets", "alice-bins", "bob-targets", "bob-bins"}
    assert {x.reason for x in kept} == {"reset after the ceremony, bag 7"}
    assert recorded(tmp_path / "c", e.Sealed)
    assert replays(tmp_path / "c")


def test_a_key_with_a_touch_policy_waits_and_says_so(
    tmp_path: Path, people: People, script: Make, yubikeys: Bench, softhsm: Path
) -> None:
    """Made by the maker's tool with a touch policy, taken as it is; the screen says "touch", and a missed touch is no
    loss."""
    card = yubikeys.cards["alice"]
    card.put_key("9c", "p256", touch_policy=2)
    card.set_secrets(pin="274016")
    waited: list[str] = []

    def waiting(what: str, cancel: Any = None) -> None:
        waited.append(what)
        if what.startswith("Touch"):
            threading.Timer(0.2, card.touch).start()

    people.waiting = waiting  # type: ignore[method-assign]
    people.pins["Alice"] = "274016"
    card.change(touch_after_ms=None)
    made, inputs = script(*taken_from(card.serial))
    conductor.conduct(made, inputs, tmp_path / "c", people)
    assert any(w == "Touch the device: it signs root" for w in waited)
    (taken,) = recorded(tmp_path / "c", e.KeyTaken)
    assert taken.facts["touch"] == "always"
    assert replays(tmp_path / "c")


def taken_from(serial: str) -> list[tuple[str, str]]:
    """Alice's root key is on her YubiKey already; her other keys go to Carol."""
    found = 'name = "alice-root"\nholder = "Alice"\ntoken = "alice"\nroles = ["root"]\n'
    pairs = [(found, f'{found}uri = "pkcs11:id=%02"\n')]
    for role in ("targets", "bins"):
        old = f'name = "alice-{role}"\nholder = "Alice"\ntoken = "alice"'
        pairs.append((old, old.replace('"Alice"', '"Carol"').replace('token = "alice"', 'token = "carol"')))
    return [*pairs, (f'serial = "{serial}"', f'serial = "{serial}"\nerase = false')]


def test_a_factory_pin_opens_nothing_real(
    tmp_path: Path, people: People, script: Make, yubikeys: Bench, softhsm: Path
) -> None:
    """A device whose PIN is still the one in its manual is not a holder's device."""
    yubikeys.cards["alice"].put_key("9c", "p256")
    people.pins["Alice"] = "123456"
    said: list[Any] = []

    def pin(question: Any) -> Any:
        said.append(question)
        if len(said) > 1:
            raise Stopped("gave up")
        return Pin("123456")

    people.answers = {"pin": pin}
    made, inputs = script(*taken_from(yubikeys.cards["alice"].serial))
    with pytest.raises(Stopped):
        conductor.conduct(made, inputs, tmp_path / "c", people)
    assert any("factory" in line for line in people.told)
    assert yubikeys.cards["alice"].state()["pin_left"] == 3


def test_what_a_pulled_token_leaves(
    tmp_path: Path, people: People, script: Make, yubikeys: Bench, softhsm: Path
) -> None:
    """Out in the midst of a signature, and back: one message, the same bytes signed again, every signature on
    record."""
    made, inputs = script()
    card = yubikeys.cards["alice"]
    armed: list[int] = []

    def waiting(what: str, cancel: Any = None) -> None:
        if "signs root" in what and not armed:
            armed.append(1)
            card.next_signature("remove-after")

    def trouble(question: Any) -> str:
        card.insert(0)
        return "again"

    people.waiting = waiting  # type: ignore[method-assign]
    people.answers = {"trouble": trouble}
    conductor.conduct(made, inputs, tmp_path / "c", people)
    assert [err.code for err, _ in people.troubles] == ["E-TOKEN-GONE"]
    assert "not known yet" in people.troubles[0][1]
    assert len(recorded(tmp_path / "c", e.IntentAbandoned)) == 1
    assert replays(tmp_path / "c")


def test_check_knows_the_yubikeys_that_are_here(
    tmp_path: Path, script: Make, yubikeys: Bench, softhsm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What ykcs11 can't make is told at the desk, with what it can."""
    from vestry.cli.main import main

    script(('roles = ["root"]\nscheme = "ecdsa-sha2-nistp256"', 'roles = ["root"]\nscheme = "ed25519"'))
    assert main(["check", str(tmp_path / "script" / "pypi-root.toml"), "--json"]) == 1
    problems = json.loads(capsys.readouterr().out)["problems"]
    told = [p["text"] for p in problems if p["code"] == "KEY-NO-MECHANISM"]
    assert len(told) == 2
    assert "Alice's YubiKey 5 'alice', serial 11 111 111" in told[0]
    assert "ecdsa-sha2-nistp384" in told[0]


def test_check_counts_a_blank_token_once(
    tmp_path: Path, script: Make, yubikeys: Bench, softhsm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One YubiKey for two holders is one too few, and on the day it is too late to buy another."""
    from vestry.cli.main import main

    script(serial=False)
    path = str(tmp_path / "script" / "pypi-root.toml")
    assert main(["check", path, "--json"]) == 0
    assert not [p for p in json.loads(capsys.readouterr().out)["problems"] if p["code"] == "TOKEN-NOT-HERE"]
    yubikeys.cards["bob"].remove()
    main(["check", path, "--json"])
    told = [p["text"] for p in json.loads(capsys.readouterr().out)["problems"] if p["code"] == "TOKEN-NOT-HERE"]
    assert told == ["token 'bob' was not looked at: no blank token for 'bob'"]


def test_a_yubikey_cut_off_while_it_was_erased(
    tmp_path: Path, people: People, script: Make, yubikeys: Bench, softhsm: Path
) -> None:
    """It keeps its serial, so nobody can tell whether it was erased: the transcript must not say that it was."""
    made, inputs = script()
    cut: list[str] = []

    def waiting(what: str, cancel: Any = None) -> None:
        if "is being erased" in what and not cut:
            cut.append(what)
            raise Stopped("the power went")

    people.waiting = waiting  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        conductor.conduct(made, inputs, tmp_path / "c", people)
    conductor.conduct(made, inputs, tmp_path / "c", people)
    (left,) = recorded(tmp_path / "c", e.IntentAbandoned)
    assert left.found.startswith("it is there, erased or not, and is erased again: serial 11111111")
    assert replays(tmp_path / "c")


def test_a_certified_key_is_shown_and_signs(
    tmp_path: Path, yubikeys: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    """A commercial code-signing key in a slot: listed with subject and issuer, and found by its certificate alone."""
    from vestry.cli.main import main

    yubikeys.cards["alice"].put_key("9a", "rsa2048", imported=True, certificate=True)
    assert main(["tokens", "--module", str(YKCS11), "--token", yubikeys.cards["alice"].serial, "--json"]) == 0
    (token,) = json.loads(capsys.readouterr().out)["tokens"]
    assert [k["scheme"] for k in token["keys"]] == ["rsassa-pss-sha256"]
    assert any(c["id"] == "01" and c["readable"] for c in token["certificates"])
    source = Pkcs11Source(YKCS11)
    found = next(t for t in source.tokens() if t.info.serial == yubikeys.cards["alice"].serial)
    with found.unlock(Pin("123456")) as unlocked:
        (key,) = unlocked.keys()
        assert len(unlocked.sign(key, b"message")) == 256
    source.close()


def test_inputs_of_one_name_are_refused(script: Make, tmp_path: Path) -> None:
    """The ceremony's folder keeps inputs side by side: one would overwrite the other."""
    script()
    path = tmp_path / "script" / "pypi-root.toml"
    online = re.search(r'public_key = "([^"]+)"', path.read_text())
    assert online is not None
    text = path.read_text().replace('anchors = "anchors.pem"', f'anchors = "more/{online[1].upper()}"')
    path.write_text(text)
    with pytest.raises(InputRejected, match="another input has the same file name"):
        reading.load(path)


def test_reading_an_anchor_that_is_not_pinned(script: Make, tmp_path: Path) -> None:
    """The makers' certificates decide whose proofs count: they are pinned like every input."""
    script()
    (tmp_path / "script" / "anchors.pem").write_text("other")
    with pytest.raises(InputRejected, match=r"anchors\.pem"):
        reading.load(tmp_path / "script" / "pypi-root.toml")


def test_a_finding_that_is_left_out_of_the_transcript_is_missed(
    tmp_path: Path, people: People, script: Make, yubikeys: Bench, softhsm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever forges the record of a weak device must not get it past replay: the certificates tell."""
    made, inputs = script(extra='attestation = "required"')
    people.answers = {"new-pin": _stop_for(people, "Bob")}
    with pytest.raises(Stopped):
        conductor.conduct(made, inputs, tmp_path / "c", people)
    events = list(transcript.read(tmp_path / "c" / "transcript.jsonl"))
    assert replays(tmp_path / "c")
    forged = [
        r._replace(event=replace(r.event, findings=tuple(f for f in r.event.findings if f != "EUCLEAK")))
        if isinstance(r.event, e.KeyGenerated)
        else r
        for r in events
    ]
    failed = [step for step in replay.replay(forged) if step.verdict == "failed"]
    assert "EUCLEAK" in failed[0].why
    assert isinstance(failed[0].recorded.event, e.KeyGenerated)
    # Had the weakness come to be known later, its absence would be right, and today's rules would tell it.
    monkeypatch.setattr(attestation_rules, "SINCE", {"EUCLEAK": (9, 0, 0)})
    steps = [s for s in replay.replay(forged, now=forged[-1].at) if isinstance(s.recorded.event, e.KeyGenerated)]
    assert [s.verdict for s in steps] == ["recomputed"] * len(steps)
    assert all(s.why.endswith("today's rules would add EUCLEAK") for s in steps)


def test_a_proof_is_held_against_the_time_of_its_event(
    tmp_path: Path, people: People, script: Make, yubikeys: Bench, softhsm: Path
) -> None:
    """Years later the maker's certificates have expired; what was good on the day must still replay as that."""
    made, inputs = script(extra='attestation = "required"')
    people.answers = {"new-pin": _stop_for(people, "Bob")}
    with pytest.raises(Stopped):
        conductor.conduct(made, inputs, tmp_path / "c", people)
    events = [
        r._replace(at=r.at.replace(r.at[:4], "2999")) if isinstance(r.event, e.KeyGenerated) else r
        for r in transcript.read(tmp_path / "c" / "transcript.jsonl")
    ]
    failed = [step for step in replay.replay(events) if step.verdict == "failed"]
    assert "ATTEST-EXPIRED" in failed[0].why
