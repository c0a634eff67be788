"""``vestry tokens --prove``: the key drill, typed line by line."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import nss
import pytest
from holders import EXPIRES, holder

from vestry.ceremony import drill
from vestry.cli.main import main
from vestry.errors import InputRejected, NotTrusted, TokenTrouble
from vestry.media import bundle
from vestry.metadata import drafting
from vestry.metadata.keys import Key
from vestry.tokens.process import Pkcs11Source
from vestry.tokens.software import SoftwareSource
from vestry.tokens.token import KeyKind, Pin, Token, TokenKey

PIN = "canary drill 7"
KIND = KeyKind("ecdsa-sha2-nistp256")


class Desk:
    """Ada's and Bob's tokens, and a root that also wants Cleo's."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.patch, self.tokens = folder, monkeypatch, folder / "tokens"
        source = SoftwareSource(self.tokens, scrypt_n=16)
        keys: dict[str, Key] = {}
        for name, serial in (("ada", "0000000001"), ("bob", "0000000002")):
            token = source.create(serial).initialise(name, Pin("12345678"), Pin(PIN))
            with token.unlock(Pin(PIN)) as unlocked:
                keys[name] = Key.from_spki(unlocked.generate(KIND, f"{name} root").spki)
                unlocked.generate(KIND, f"{name} other")
        self.cleo = holder("cleo").key
        everyone = [*keys.values(), self.cleo]
        roles = dict.fromkeys(("root", "targets", "snapshot", "timestamp"), (2, everyone))
        raw = drafting.root(version=1, expires=EXPIRES, roles=roles)
        names = {k.keyid: n for n, k in keys.items()}
        self.keys, self.bundle = keys, bundle.create(folder / "b", role="root", unsigned=raw, holders=names).path
        self.record = folder / "drill.json"

    def run(self, *typed: str, arguments: tuple[str, ...] = ()) -> int:
        self.patch.setattr(sys, "stdin", io.StringIO("".join(f"{t}\n" for t in typed)))
        return main(["tokens", "--prove", "--software", str(self.tokens), "--record", str(self.record), *arguments])


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def test_a_drill_proves_the_roots_keys_and_names_the_missing(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """A lost key is found today, not when the root expires; keys that are no root's are left alone."""
    assert desk.run(PIN, PIN, arguments=("--root", str(desk.bundle), "--json")) == 1
    said = json.loads(capsys.readouterr().out)
    assert {k["keyid"] for k in said["proved"]} == {k.keyid for k in desk.keys.values()}
    assert said["missing"] == [desk.cleo.keyid]
    assert said["threshold"] == 2
    done = drill.read(desk.record.read_bytes(), where="drill")
    assert {p.keyid for p in done.proved} == {k.keyid for k in desk.keys.values()}
    assert PIN not in desk.record.read_text()


def test_a_record_is_verified_by_someone_else(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """A record that only the machine that made it can check proves nothing to an auditor."""
    assert desk.run(PIN, PIN, arguments=("--root", str(desk.bundle))) == 1
    capsys.readouterr()
    assert main(["verify", str(desk.record)]) == 1
    told = capsys.readouterr().out
    assert "2 keys signed, 1 missing" in told
    assert f"NO   key {desk.cleo.keyid} did not sign" in told
    assert f"ok   key {desk.keys['ada'].keyid} on" in told
    assert main(["verify", str(desk.record), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["missing"] == [desk.cleo.keyid]
    value = json.loads(desk.record.read_bytes())
    value["missing"] = []
    desk.record.write_text(json.dumps(value))
    assert main(["verify", str(desk.record)]) == 0, "who was missing is the record's word; proofs are not"
    value["proved"][0]["proof"] = value["proved"][1]["proof"]
    desk.record.write_text(json.dumps(value))
    assert main(["verify", str(desk.record)]) == 1
    assert "does not hold" in capsys.readouterr().err


def test_without_a_root_every_key_here_signs(desk: Desk) -> None:
    """A holder alone, with nothing but the token."""
    assert desk.run(PIN, PIN) == 0
    assert len(drill.read(desk.record.read_bytes(), where="drill").proved) == 4


def test_a_wrong_pin_costs_one_try_and_is_recorded(desk: Desk) -> None:
    """A drill must never lock a token: one try each, and the next holder goes on."""
    assert desk.run("wrong pin 1", PIN) == 3
    done = drill.read(desk.record.read_bytes(), where="drill")
    assert len(done.proved) == 2
    assert any("E-PIN-WRONG" in t or "PIN is wrong" in t for t in done.troubles)


def test_a_token_with_one_try_left_is_left_alone(desk: Desk) -> None:
    """The last try belongs to a ceremony, not to an exercise."""
    desk.run("wrong pin 1", "", arguments=("--token", "0000000001"))
    desk.record.unlink()
    desk.run("wrong pin 2", arguments=("--token", "0000000001"))
    desk.record.unlink()
    assert desk.run(PIN, arguments=("--token", "0000000001")) == 1
    assert any("one try left" in t for t in drill.read(desk.record.read_bytes(), where="drill").troubles)
    source = SoftwareSource(desk.tokens)
    assert source.tokens()[0].info.tries_left == 1


def test_an_empty_line_leaves_a_token_out(desk: Desk) -> None:
    """Someone is on holiday."""
    assert desk.run("", PIN) == 3
    assert len(drill.read(desk.record.read_bytes(), where="drill").proved) == 2


def test_a_record_is_not_overwritten(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """Last year's drill is evidence."""
    desk.record.write_text("last year")
    assert desk.run(PIN, PIN) == 2
    assert "already" in capsys.readouterr().err
    assert desk.record.read_text() == "last year"


def test_a_changed_record_does_not_hold(desk: Desk) -> None:
    """Every proof in it is verified when it is read: time, key and signature hang together."""
    desk.run(PIN, PIN)
    text = desk.record.read_text()
    good = json.loads(text)
    for change in (
        lambda d: d["proved"][0].update(proof=d["proved"][1]["proof"]),
        lambda d: d["proved"][0].update(public=d["proved"][2]["public"]),
        lambda d: d["proved"][0].update(challenge=d["proved"][0]["challenge"][:-2] + "00"),
        lambda d: d.update(at="2030-01-01T00:00:00Z"),
        lambda d: d["proved"][0].pop("proof"),
        lambda d: d.update(kind="other"),
        lambda d: d.update(proved=5),
    ):
        changed = json.loads(text)
        change(changed)
        if changed == good:
            continue
        with pytest.raises((InputRejected, NotTrusted)):
            drill.read(json.dumps(changed).encode(), where="drill")


def test_what_a_drill_signs_is_no_document(desk: Desk) -> None:
    """A drill whose challenge could be metadata would be a way to have a root signed unread."""
    desk.run(PIN, PIN)
    for proved in drill.read(desk.record.read_bytes(), where="drill").proved:
        assert re.match(rb"drill \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", bytes.fromhex(proved.challenge))


def test_a_factory_pin_is_not_used(desk: Desk) -> None:
    """Found in a drill: a device that everybody can open."""
    assert desk.run("123456", PIN) == 3
    done = drill.read(desk.record.read_bytes(), where="drill")
    assert any("factory" in t for t in done.troubles)
    assert SoftwareSource(desk.tokens).tokens()[0].info.tries_left == 3


def test_a_device_that_hides_its_keys_is_asked(
    tmp_path: Path, nss_module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """YubiHSM and NSS show no key before the PIN: they must not be passed over as empty."""
    monkeypatch.setenv("NSS_SETTINGS", nss.database(tmp_path / "nss", PIN))
    source = Pkcs11Source(nss_module)
    token = next(t for t in source.tokens() if t.info.label == nss.LABEL)
    with token.unlock(Pin(PIN)) as unlocked:
        unlocked.generate(KIND, "root")
    source.close()
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PIN}\n"))
    record = tmp_path / "drill.json"
    assert main(["tokens", "--prove", "--module", str(nss_module), "--record", str(record)]) == 0
    assert len(drill.read(record.read_bytes(), where="drill").proved) == 1


def test_a_token_that_fails_hides_no_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One card pulled out while it is read must not pass the next person's key off as lost."""
    kind = type(SoftwareSource(desk.tokens).tokens()[0])
    listed = kind.public_keys

    def pulled(token: Token) -> tuple[TokenKey, ...]:
        if token.info.serial == "0000000001":
            raise TokenTrouble("the token is gone", code="E-TOKEN-GONE")
        return tuple(listed(token))

    monkeypatch.setattr(kind, "public_keys", pulled)
    assert desk.run(PIN, arguments=("--root", str(desk.bundle))) == 1
    done = json.loads(desk.record.read_text())
    assert [p["serial"] for p in done["proved"]] == ["0000000002"]
    assert len(done["troubles"]) == 1
    capsys.readouterr()
    assert main(["tokens", "--software", str(desk.tokens), "--json"]) == 3
    shown = json.loads(capsys.readouterr().out)
    assert "0000000002" in [t["serial"] for t in shown["tokens"]]
    assert any("the token is gone" in json.dumps(t) for t in shown["troubles"])
