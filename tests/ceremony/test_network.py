"""The network is looked at again before each signature: a cable that was plugged in meanwhile is a fact on record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from people import People
from small import HOLDERS, script_text

from vestry.ceremony import conductor, reading, replay, transcript
from vestry.ceremony import events as e
from vestry.ceremony.decide import decide
from vestry.errors import Refused, Stopped
from vestry.machine import preflight
from vestry.machine.check import Check
from vestry.machine.isolation import Confinement
from vestry.tokens.software import SoftwareSource

OFF = Check("pass", "no interface but loopback is up, no default route")
ON = Check("stop", "eth0 is up", "take this machine off the network")

Run = Callable[..., list[e.Recorded]]


@pytest.fixture
def run(tmp_path: Path, online: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A small ceremony on software tokens with the step preflight, on a machine whose network shows `looks` in turn,
    the last of them for ever."""

    def run(
        looks: Sequence[Check], people: People, *, step: bool = True, confined: Confinement | None = None
    ) -> list[e.Recorded]:
        text = script_text(online, {}, {}).replace('use = "pkcs11"\nmodule = "softhsm2"', 'use = "software"')
        if step:
            text = text.replace("[[steps]]", '[[steps]]\ndo = "preflight"\n[[steps]]', 1)
        text = text.replace("rehearsal = true", "rehearsal = false" if step else "rehearsal = true")
        (tmp_path / "online.pem").write_bytes(online.pem)
        (tmp_path / "s.toml").write_text(text)
        for n in range(len(HOLDERS)):
            SoftwareSource(tmp_path / "tokens").create(f"000000000{n}")
        left = list(looks)
        monkeypatch.setattr(preflight, "look_at_network", lambda _=None: left.pop(0) if len(left) > 1 else left[0])
        made = reading.load(tmp_path / "s.toml")
        conductor.conduct(*made, tmp_path / "c", people, tokens=tmp_path / "tokens", confined=confined)
        records = transcript.read(tmp_path / "c" / "transcript.jsonl")
        assert {v.verdict for v in replay.replay(records)} <= {"recomputed", "witnessed"}
        return records

    return run


def kinds(records: list[e.Recorded], *wanted: type) -> list[str]:
    return [type(r.event).__name__ for r in records if isinstance(r.event, wanted)]


def test_a_network_that_stays_away_adds_nothing(run: Run, people: People) -> None:
    assert kinds(run([OFF], people), e.NetworkSeen, e.TroubleMet) == []
    with pytest.raises(Refused, match="as it was recorded last"):
        decide(people.state, e.NetworkSeen("pass", OFF.line), at="2026-11-28T00:00:00Z")


def test_without_the_step_it_is_on_record_before_the_first_signature(run: Run, people: People) -> None:
    found = kinds(run([OFF], people, step=False), e.NetworkSeen, e.SignatureIntended)
    assert found[:2] == ["NetworkSeen", "SignatureIntended"]
    assert found.count("NetworkSeen") == 1


def test_nothing_is_signed_while_a_cable_is_in(run: Run) -> None:
    """It was off the network when it was looked at; nobody would look again before the keys are used."""
    people = People(answers={"trouble": lambda _: "again"})
    records = run([OFF, ON, ON, OFF], people)
    order = kinds(records, e.NetworkSeen, e.TroubleMet, e.SignatureIntended)
    assert order[:5] == ["NetworkSeen", "TroubleMet", "TroubleMet", "NetworkSeen", "SignatureIntended"]
    assert {r.event.code for r in records if isinstance(r.event, e.TroubleMet)} == {"E-NETWORK"}
    seen = [r.event for r in records if isinstance(r.event, e.NetworkSeen)]
    assert [(s.verdict, s.text) for s in seen] == [("stop", ON.line), ("pass", OFF.line)]


def test_a_cable_that_comes_after_the_words_stops_the_token(run: Run, tmp_path: Path) -> None:
    people = People(answers={"trouble": lambda _: "stop"})
    with pytest.raises(Stopped):
        run([OFF, OFF, ON], people)
    records = transcript.read(tmp_path / "c" / "transcript.jsonl")
    assert kinds(records, e.NetworkSeen, e.SignatureIntended) == ["NetworkSeen"]
    assert any(q.name == "pin" for q in people.asked)


def test_a_network_that_was_waived_stays_waived(run: Run, people: People) -> None:
    records = run([ON], people)
    assert kinds(records, e.NetworkSeen, e.TroubleMet) == []
    taken = next(r.event for r in records if isinstance(r.event, e.PreflightTaken))
    assert "network" in taken.waived


def test_a_run_that_is_not_cut_off_says_so_in_the_transcript(run: Run, people: People) -> None:
    said = "this program is not cut off from the network: this system does not let it"
    first = run([OFF], people, confined=Confinement(False, said))[1].event
    assert first == e.TroubleMet("", "E-ISOLATION", said)
    assert said in people.told
