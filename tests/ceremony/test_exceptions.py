"""Steps skipped and repeated as exceptions, in whole ceremonies on software tokens and SoftHSM, and past the gate."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from people import People
from small import script_text

from vestry.ceremony import account, agenda, attesting, conductor, reading, rehearsal, replay, transcript
from vestry.ceremony import events as e
from vestry.ceremony.decide import decide
from vestry.ceremony.dialogue import Departed
from vestry.ceremony.script import ProvisionStep
from vestry.ceremony.state import State, evolve
from vestry.cli.main import main
from vestry.errors import InputRejected, NotTrusted, Refused, Stopped
from vestry.plain.prompts import Prompts
from vestry.record.record import record
from vestry.tokens.software import SoftwareSource

AT = "2026-11-23T09:00:00Z"


def conduct(folder: Path, people: People) -> State:
    script, inputs = rehearsal.prepare(folder, holders=3, threshold=2)
    return conductor.conduct(script, inputs, folder, people)


def recorded(folder: Path, kind: type) -> list[Any]:
    return [r.event for r in transcript.read(folder / "transcript.jsonl") if isinstance(r.event, kind)]


def replayed(folder: Path) -> tuple[list[replay.ReplayStep], dict[str, Any]]:
    steps = list(replay.replay(transcript.read(folder / "transcript.jsonl")))
    state = steps[-1].state
    assert state is not None
    return steps, account.summary(steps, replay.compare_files(state, folder))


def states(folder: Path) -> Iterator[State]:
    """Every state of a ceremony, after each of its events."""
    state = None
    for line in transcript.read(folder / "transcript.jsonl"):
        state = evolve(state, line)
        yield state


class Leaving(People):
    """Careful people who leave the script once, at the first question named `at`, and answer `how` until it is done."""

    def leave(self, at: str, *how: Any, when: Callable[[Any], bool] = lambda _: True) -> Leaving:
        self.at, self.how, self.when, self.left = at, list(how), when, False
        return self

    def ask(self, question: Any) -> Any:
        if not self.left and question.name == self.at and self.when(question):
            self.left = True
            raise Departed
        if self.left and self.how and question.name != self.at:
            self.asked.append(question)
            answer = self.how.pop(0)
            return answer(question) if callable(answer) else answer
        return super().ask(question)


def test_a_step_is_skipped_and_everyone_can_see_it(tmp_path: Path) -> None:
    """A step that was left out and does not show would be a ceremony that nobody held."""
    people = Leaving().leave("agree", "skip", "the sealer was called away", "Alice", "Bob")
    state = conduct(tmp_path / "r", people)
    (event,) = recorded(tmp_path / "r", e.StepSkipped)
    index = event.step
    assert state.skipped == {index: event}
    assert event.people == ("Alice", "Bob")
    assert agenda.rail(state)[index].status == "skipped"
    assert agenda.position(state) == len(state.script.steps)
    steps, told = replayed(tmp_path / "r")
    assert told["ok"]
    assert told["complete"]
    assert told["skipped"] == {index + 1: "the sealer was called away"}
    page = record(steps, ())
    assert "was skipped: the sealer was called away" in page
    assert "Alice, Bob agreed" in page


def test_a_token_of_which_something_is_amiss_is_set_aside_for_another(tmp_path: Path) -> None:
    """A device that fails its maker's proof ended the whole ceremony; now another takes its place, and the documents
    name the other one's keys alone."""
    script, inputs = rehearsal.prepare(tmp_path / "r", holders=3, threshold=2)
    provision = next(i for i, x in enumerate(script.steps) if isinstance(x, ProvisionStep))
    first = lambda q: q.options[1][0]  # noqa: E731 - the first that is not a way back
    how = ("repeat", str(provision + 1), first, "other", "its seal was broken", first, first)
    state = conductor.conduct(script, inputs, tmp_path / "r", Leaving().leave("review", *how))
    (event,) = recorded(tmp_path / "r", e.StepRepeated)
    (name,) = event.tokens
    erased = [x.serial for x in recorded(tmp_path / "r", e.TokenInitialised) if x.token == name]
    assert len(erased) == 2
    assert event.aside == (erased[0],)
    assert state.tokens[name].serial == erased[1]
    old, new = (
        {x.keyid for x in keys}
        for keys in zip(*_pairs(recorded(tmp_path / "r", e.KeyGenerated), state, name), strict=True)
    )
    named = set(state.documents["root"].signed["keys"]) | set(state.documents["targets"].signed["delegations"]["keys"])
    assert not old & named
    assert new <= named
    # What was drafted and read with the old key is done again.
    assert len([x for x in recorded(tmp_path / "r", e.Drafted) if x.role == "root"]) == 2
    assert replayed(tmp_path / "r")[1]["ok"]
    assert main(["replay", str(tmp_path / "r"), "--plain"]) == 0


def _pairs(made: list[Any], state: State, token: str) -> list[tuple[Any, Any]]:
    names = [k.name for k in state.script.keys if k.token == token]
    return [tuple(x for x in made if x.key == n) for n in names]  # type: ignore[misc]


def test_a_refused_proof_is_answered_with_another_token(
    tmp_path: Path, softhsm: Path, online: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SoftHSM, whose tokens have no maker's proof. One device is refused in the middle of its step, with the key
    made and its intent open: without an answer to that, the ceremony could never go on."""
    refused: list[str] = []
    admit = attesting.admit

    def strict(state: State, event: Any, key: Any, at: str) -> None:
        serial = state.tokens[state.script.key(event.key).token].serial
        if not refused or serial in refused:
            refused.append(serial)
            raise Refused("no maker's proof came with the key", code=attesting.CODE)
        admit(state, event, key, at)

    monkeypatch.setattr(attesting, "admit", strict)
    (tmp_path / "online.pem").write_bytes(online.pem)
    (tmp_path / "s.toml").write_text(script_text(online, {}, {}))
    script, inputs = reading.load(tmp_path / "s.toml")
    people = People()
    seen = iter(("again", "depart"))  # trying again reads the token, and is refused again
    people.answers = {
        "trouble": lambda _: next(seen),
        "depart": lambda q: "repeat",
        "which-step": lambda _: "1",
        "which-one": lambda q: q.options[1][0],
        "set-aside": lambda _: "other",
        "why": lambda _: "no proof of its maker",
        "agree-exception": lambda q: q.options[1][0],
    }
    state = conductor.conduct(script, inputs, tmp_path / "c", people)
    (event,) = recorded(tmp_path / "c", e.StepRepeated)
    assert event.aside == (refused[0],)
    assert event.people == ("Alice", "Olivia")
    assert state.tokens["alice"].serial not in event.aside
    assert agenda.position(state) == len(script.steps)
    assert replayed(tmp_path / "c")[1]["ok"]
    at_start = next(s for s in states(tmp_path / "c") if s.aside)
    with pytest.raises(Refused, match="set aside"):
        decide(at_start, e.InitialiseIntended("alice", "m", "", refused[0], (), ()), at=AT)


@pytest.mark.parametrize("use", ["software", "softhsm"])
def test_the_same_device_can_be_set_up_again(tmp_path: Path, softhsm: Path, online: Any, use: str) -> None:
    """A PIN that someone saw being typed: the device is good, and its keys are not. What was on it is gone; where the
    device does not let itself be erased again, another one can still take its place."""
    text = script_text(online, {}, {})
    if use == "software":
        text = text.replace('use = "pkcs11"\nmodule = "softhsm2"', 'use = "software"')
        for serial in ("0000000001", "0000000002", "0000000003"):
            SoftwareSource(tmp_path / "tokens").create(serial)
    (tmp_path / "online.pem").write_bytes(online.pem)
    (tmp_path / "s.toml").write_text(text)
    script, inputs = reading.load(tmp_path / "s.toml")
    first = lambda q: q.options[1][0]  # noqa: E731 - the first that is not a way back
    people = Leaving().leave("review", "repeat", "1", first, "same", "its PIN was seen", first, first)
    people.answers = {
        "trouble": lambda _: "depart",
        "depart": lambda _: "repeat",
        "which-step": lambda _: "1",
        "which-one": first,
        "set-aside": lambda _: "other",
        "why": lambda _: "it can't be erased again",
        "agree-exception": first,
    }
    state = conductor.conduct(script, inputs, tmp_path / "c", people, tokens=tmp_path / "tokens")
    again = recorded(tmp_path / "c", e.StepRepeated)
    # SoftHSM wants the security officer's PIN of before, which nobody has: another device took its place.
    assert [x.aside != () for x in again] == ([False] if use == "software" else [False, True])
    made = [x.keyid for x in recorded(tmp_path / "c", e.KeyGenerated) if x.key == "alice-root"]
    assert len(made) == 2
    assert made[0] not in state.documents["root"].signed["keys"]
    assert made[1] in state.documents["root"].signed["keys"]
    assert replayed(tmp_path / "c")[1]["ok"]


def test_a_device_that_the_script_names_by_serial_can_be_replaced(tmp_path: Path, online: Any) -> None:
    """The serial in the script is the one that broke: without it being let go, no other device would be taken."""
    text = script_text(online, {"Alice": 'serial = "1"'}, {}).replace('"pkcs11"\nmodule = "softhsm2"', '"software"')
    script = reading.read(text.encode(), where="s")
    state = replace(_opened(script, online), replaced=frozenset({"alice"}))
    assert state.script.token("alice").serial == "1"
    assert state.token("alice").serial == ""


def _opened(script: Any, online: Any) -> State:
    event = e.Opened(1, "v", "0", script.sha256, script.text, {"online": online.pem.decode()}, script.rehearsal)
    return evolve(None, e.Recorded(0, AT, 0, "Olivia", event, "00"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[State]:
    """The states of a ceremony that went by its script."""
    folder = tmp_path_factory.mktemp("whole") / "r"
    conduct(folder, People())
    return list(states(folder))


def at_step(whole: list[State], kind: str) -> tuple[State, int]:
    """The first state at a step of that kind, and its index."""
    for state in whole:
        here = agenda.position(state)
        if here < len(state.script.steps) and type(state.script.steps[here]).__name__ == kind:
            return state, here
    raise AssertionError(kind)


def two(state: State) -> tuple[str, ...]:
    holders = [p.name for p in state.script.people if p.office == "holder"]
    return tuple(holders[:2])


@pytest.mark.parametrize("kind", ["DraftStep", "ReviewStep", "VerifyStep", "SignStep"])
def test_what_guards_a_signature_is_never_skipped(whole: list[State], kind: str) -> None:
    """An exception that passes over a review signs what nobody read; one over a verification lets out what may not
    hold; one over signing leaves a root that no client takes."""
    state, here = at_step(whole, kind)
    with pytest.raises(Refused, match=r"never skipped|0 of"):
        decide(state, e.StepSkipped(here, "in a hurry", two(state)), at=AT)


def test_signing_goes_on_without_the_rest_once_thresholds_are_met(whole: list[State]) -> None:
    """Where a script wants every key, one broken token must not end it: but only with enough signatures."""
    for state in whole:
        here = agenda.position(state)
        if not state.signatures or here == len(state.script.steps):
            continue
        step = state.script.steps[here]
        if type(step).__name__ != "SignStep" or state.unanswered is not None:
            continue
        all_of_them = replace(step, signers="all")
        steps = tuple(all_of_them if i == here else x for i, x in enumerate(state.script.steps))
        changed = replace(state, script=replace(state.script, steps=steps))
        event = e.StepSkipped(here, "a token broke", two(state))
        if all(t.met for role in step.roles for t in state.tallies(role)):
            assert decide(changed, event, at=AT) == (event,)
        else:
            with pytest.raises(Refused, match="of"):
                decide(changed, event, at=AT)


def test_nothing_before_a_signature_is_repeated_after_it(whole: list[State]) -> None:
    """A key given up after its document was signed would leave a valid signature on a document with that key."""
    signed = next(s for s in whole if any(s.signatures.values()) and s.unanswered is None)
    before = next(s for s in reversed(whole) if not any(s.signatures.values()) and s.unanswered is None and s.read)
    tried = set()
    for index, step in enumerate(signed.script.steps):
        kind = type(step).__name__
        if kind in ("ProvisionStep", "DraftStep", "ReviewStep"):
            tokens = step.tokens[:1] if kind == "ProvisionStep" else ()
            people = two(signed)
            if tokens:
                people = (signed.script.token(tokens[0]).holder, "Walter")
                people = tuple(dict.fromkeys((*people, *two(signed))))
                people = tuple(p for p in people if p in {x.name for x in signed.script.people})
            event = e.StepRepeated(index, "again", people, tokens, ())
            with pytest.raises(Refused, match="once something is signed"):
                decide(signed, event, at=AT)
            if index < agenda.position(before):
                assert decide(before, event, at=AT) == (event,)
            tried.add(kind)
    assert tried == {"ProvisionStep", "DraftStep", "ReviewStep"}


@pytest.mark.parametrize("kind", ["SignStep", "DestroyStep", "SealStep"])
def test_what_cannot_be_taken_back_is_never_repeated(whole: list[State], kind: str) -> None:
    """A second signature, a key destroyed twice, a seal drawn again: the transcript would tell of what can't be."""
    last = whole[-1]
    found = [i for i, x in enumerate(last.script.steps) if type(x).__name__ == kind]
    if not found:
        pytest.skip("this script has none")
    later = next((s for s in whole if found[0] < agenda.position(s) < len(s.script.steps)), None)
    state = later or last
    with pytest.raises(Refused, match=r"never repeated|over"):
        decide(state, e.StepRepeated(found[0], "again", two(state), (), ()), at=AT)


def test_who_agrees_counts(whole: list[State]) -> None:
    """One person twice, someone absent or unknown, administrators alone, no reason: none of it leaves the script."""
    state, here = at_step(whole, "GatherStep")
    script = state.script
    admin = next(p.name for p in script.people if p.office == "administrator")
    one, other = two(state)
    for people, why, match in (
        ((one, one), "x", "2 different people"),
        ((one,), "x", "2 different people"),
        ((one, "Mallory"), "x", "does not name"),
        ((one, other), "  ", "say why"),
    ):
        with pytest.raises(Refused, match=match):
            decide(state, e.StepSkipped(here, why, people), at=AT)
    with pytest.raises(Refused, match="is not here"):
        decide(replace(state, present=(one,)), e.StepSkipped(here, "x", (one, other)), at=AT)
    with pytest.raises(Refused, match="holder or witness"):
        decide(replace(state, script=replace(script, exceptions=1)), e.StepSkipped(here, "x", (admin,)), at=AT)
    with pytest.raises(Refused, match="no step be skipped"):
        decide(replace(state, script=replace(script, exceptions=0)), e.StepSkipped(here, "x", (one, other)), at=AT)
    for step in (here + 1, -1, 99):
        with pytest.raises(Refused):
            decide(state, e.StepSkipped(step, "x", (one, other)), at=AT)


def test_a_token_is_not_given_up_without_its_holder(whole: list[State]) -> None:
    """Two others could otherwise have a holder's key replaced by one of theirs."""
    state, _ = at_step(whole, "DraftStep")
    index = next(i for i, x in enumerate(state.script.steps) if type(x).__name__ == "ProvisionStep")
    token = state.script.tokens[0]
    others = [p.name for p in state.script.people if p.name != token.holder and p.office != "administrator"]
    event = e.StepRepeated(index, "x", tuple(others[:2]), (token.name,), ())
    with pytest.raises(Refused, match="it is their token"):
        decide(state, event, at=AT)
    mine = (token.holder, others[0])
    assert decide(state, replace(event, people=mine), at=AT)
    for tokens, aside in (((), ()), (("nobody",), ()), ((token.name,), ("77",)), ((token.name, token.name), ())):
        with pytest.raises(Refused):
            decide(state, replace(event, people=mine, tokens=tokens, aside=aside), at=AT)


def test_what_a_skipped_step_would_have_given_is_missing_and_named(whole: list[State]) -> None:
    """A draft without its keys fails anyway; the line must say which step to go back to."""
    state, here = at_step(whole, "ProvisionStep")
    event = e.StepSkipped(here, "no tokens yet", two(state))
    (admitted,) = decide(state, event, at=AT)
    state = evolve(state, e.Recorded(state.lines, AT, state.mono, "Olivia", admitted, "00"))
    steps = state.script.steps
    while type(steps[agenda.position(state)]).__name__ != "DraftStep":
        state = replace(state, done=state.done | {agenda.position(state)})
    with pytest.raises(Refused, match=f"step {here + 1}, .* was skipped; repeat it first"):
        decide(state, e.Drafted("root", 1, "", "", 0), at=AT)
    again = e.StepRepeated(here, "they came", two(state), (), ())
    (admitted,) = decide(state, again, at=AT)
    state = evolve(state, e.Recorded(state.lines, AT, state.mono, "Olivia", admitted, "00"))
    assert agenda.position(state) == here


def test_a_forged_exception_fails_in_replay(tmp_path: Path) -> None:
    """Whoever edits the transcript could have one person skip a step."""
    people = Leaving().leave("agree", "skip", "gone", "Alice", "Bob")
    conduct(tmp_path / "r", people)
    lines = list(transcript.read(tmp_path / "r" / "transcript.jsonl"))
    forged = [
        x._replace(event=replace(x.event, people=("Alice",))) if isinstance(x.event, e.StepSkipped) else x
        for x in lines
    ]
    assert [s.verdict for s in replay.replay(lines)].count("failed") == 0
    assert [s.recorded.n for s in replay.replay(forged) if s.verdict == "failed"] != []


@pytest.mark.parametrize("kind", [e.StepSkipped, e.StepRepeated])
@pytest.mark.parametrize("step", [-1, 99])
def test_a_forged_step_that_is_none_fails_and_ends_no_replay(whole: list[State], kind: Any, step: int) -> None:
    """Whoever replays a forged transcript gets a verdict, not a traceback."""
    state, _ = at_step(whole, "DraftStep")
    event = kind(step, "x", two(state), *(((), ()) if kind is e.StepRepeated else ()))
    with pytest.raises(Refused):
        decide(state, event, at=AT)
    with pytest.raises(NotTrusted):
        evolve(state, e.Recorded(state.lines, AT, state.mono, "Olivia", event, "00"))


def test_in_lines_an_exception_is_a_word_away(tmp_path: Path) -> None:
    """Who can't use the screen leaves the script as well, or changes their mind."""
    script, inputs = rehearsal.prepare(tmp_path / "r", holders=3, threshold=2)
    out = io.StringIO()
    typed = "exception\n1\nexception\n2\nno time\nexception\n3\nthe room is full\n2\n3\nquit\n"
    with pytest.raises(Stopped):
        conductor.conduct(script, inputs, tmp_path / "r", Prompts(read=io.StringIO(typed), out=out))
    (event,) = recorded(tmp_path / "r", e.StepSkipped)
    assert (event.step, event.reason, len(set(event.people))) == (0, "the room is full", 2)
    assert "'no time' is no time" in out.getvalue()
    assert "Step 1 is skipped" in out.getvalue()


def test_the_script_says_how_many(tmp_path: Path, online: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """One alone is no exception but a decision; the number is on the screen and on paper before the day."""
    text = script_text(online, {}, {})
    with pytest.raises(InputRejected, match="one person alone"):
        reading.read(text.replace("rehearsal = true", "rehearsal = true\nexceptions = 1").encode(), where="s")
    (tmp_path / "online.pem").write_bytes(online.pem)
    (tmp_path / "s.toml").write_text(text.replace("rehearsal = true", "rehearsal = true\nexceptions = 3"))
    assert reading.load(tmp_path / "s.toml")[0].exceptions == 3
    main(["check", str(tmp_path / "s.toml"), "--desk"])
    assert "by 3 people who agree" in capsys.readouterr().out
    main(["print", str(tmp_path / "s.toml"), "-o", str(tmp_path / "p.html")])
    assert "only if 3 people agree" in (tmp_path / "p.html").read_text()


def test_json_of_a_replay_names_what_was_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A script around `vestry replay` must see it, too."""
    conduct(tmp_path / "r", Leaving().leave("agree", "skip", "gone", "Alice", "Bob"))
    capsys.readouterr()
    assert main(["replay", str(tmp_path / "r"), "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["skipped"].values()) == ["gone"]
