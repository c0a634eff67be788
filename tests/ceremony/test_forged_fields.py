"""Each field of each event, forged, in a chain that was made anew and never sealed: it fails, or is called a word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args

import pytest

from vestry.ceremony import chain, codec, transcript
from vestry.ceremony import events as e
from vestry.ceremony import script as s
from vestry.ceremony.replay import ReplayStep, continued, replay
from vestry.ceremony.state import State
from vestry.ceremony.transcript import _Scan
from vestry.errors import VestryError
from vestry.tokens.uri import KeyUri

KEPT = Path(__file__).parents[1] / "transcripts" / "v1" / "complete" / "transcript.jsonl"
AT, MONO, HEAD = "2026-11-28T09:00:00Z", 10**12, "11" * 32
TWO = ("Walter", "Alice")

SHOWS, MODULE, KEY = "what it shows of itself", "by which module", "on a word: a key's URI"
TOLD: Mapping[type, Mapping[str, str]] = {
    e.Opened: dict.fromkeys(("software", "software_sha256"), "on a word: which software it was"),
    e.Resumed: dict.fromkeys(("software", "software_sha256"), "which software it was"),
    e.Said: {"recorded": "what people did and wrote down"},
    e.PreflightTaken: {"checks": "what the machine showed", "waived": "why something was waived"},
    e.NetworkSeen: {"text": "what the machine showed"},
    e.InitialiseIntended: {
        **dict.fromkeys(("module", "module_sha256"), MODULE),
        **dict.fromkeys(("before", "others"), "what was there before"),
    },
    e.TokenInitialised: dict.fromkeys(("label", "manufacturer", "model", "firmware", "device"), SHOWS),
    e.TokenAdopted: {
        **dict.fromkeys(("module", "module_sha256"), MODULE),
        **dict.fromkeys(("label", "model", "firmware"), SHOWS),
        "holds": "what it lists",
    },
    e.GenerateIntended: {"before": "which keys were there before"},
    e.KeyGenerated: dict.fromkeys(("facts", "found"), KEY),
    e.KeyTaken: {"facts": KEY},
    e.DraftProved: {"client": "on a word: which client walked"},
    e.ReviewRead: {"answers": "the answers, who overruled"},
    e.Compared: {**dict.fromkeys(("counts", "sha256"), "how the two folders differ"), "answers": "and the answers"},
    e.SignatureImported: {"source": "on a word: where a signature came from"},
    e.IntentAbandoned: {"found": "what the token showed"},
    e.Verified: {"client": "on a word: which client looked"},
    e.KeyDestroyed: {"left": "what it still lists"},
    e.KeyKept: {"reason": "why"},
    e.Exported: {"to": "where files went"},
    e.SealIntended: {"agree": "the intent of its signer"},
    e.TroubleMet: dict.fromkeys(("code", "text"), "what the device or medium reported"),
    e.ExceptionNoted: {"step": "at which step", "text": "what was noted"},
    e.StepSkipped: {"reason": "why"},
    e.StepRepeated: {"reason": "why", "aside": "why the step was done again"},
    e.ClockAnswered: {"reason": "why"},
}
"""What may be changed without a trace, by kind and field, and the words with which replay says so."""


@dataclass(frozen=True)
class Scene:
    """A true event: the state that it follows, and who acts. Where there is none, it opens a transcript."""

    state: State | None
    event: e.Event
    by: str


@pytest.fixture(scope="module")
def scenes() -> Mapping[type, Scene]:
    """One of each kind: from a kept transcript, or made by hand in the middle of it."""
    steps = list(replay(transcript.read(KEPT)))
    found: dict[type, Scene] = {}
    for before, step in zip([None, *steps], steps, strict=False):
        state = before.state if before is not None else None
        found.setdefault(type(step.recorded.event), Scene(state, step.recorded.event, step.recorded.by))
    found |= {type(scene.event): scene for scene in by_hand(found)}
    return found


def by_hand(found: Mapping[type, Scene]) -> Iterator[Scene]:
    before: dict[type, Any] = {kind: scene.state for kind, scene in found.items()}
    event: dict[type, Any] = {kind: scene.event for kind, scene in found.items()}
    early, late, making = before[e.InitialiseIntended], before[e.SealOpened], before[e.GenerateIntended]
    made, signed, alice = event[e.KeyGenerated], event[e.SignatureAdded], event[e.TokenInitialised]

    def at(step: s.Step, state: State = early) -> State:
        return replace(state, script=replace(state.script, steps=(step,)), done=frozenset())

    said = at(s.SayStep("", record=("bag",)))
    yield Scene(said, e.Said(0, {"bag": "17"}), "Olivia")
    looked = at(s.PreflightStep("", require=("swap",)))
    yield Scene(looked, e.PreflightTaken(0, {"swap": ("warn", "swap")}, {"swap": "no other machine"}), "Olivia")
    yield Scene(early, e.NetworkSeen("stop", "a cable is in"), "Olivia")
    yield Scene(early, e.Resumed("vestry 1", "00" * 32, 0, transcript.NOTHING_TORN[1]), "Olivia")
    as_it_is = at(s.ProvisionStep("", tokens=("alice",)))
    tokens = tuple(replace(t, erase=False, like=KeyUri(manufacturer=alice.manufacturer)) for t in early.script.tokens)
    as_it_is = replace(as_it_is, script=replace(as_it_is.script, tokens=tokens))
    shown = (alice.serial, alice.label, alice.manufacturer, alice.model, alice.firmware)
    yield Scene(as_it_is, e.TokenAdopted("alice", "software", "", *shown, ("a certificate",)), "Alice")
    keys = tuple(replace(k, like=KeyUri(serial=alice.serial)) for k in early.script.keys)
    here = replace(making, script=replace(making.script, keys=keys))
    proved = (made.challenge, made.proof, made.certificates, made.findings)
    taken = e.KeyTaken(made.key, "alice", alice.serial, made.public, made.keyid, made.uri, made.facts, *proved)
    yield Scene(here, taken, "Alice")
    compared = e.Compared(0, {"changed": 2}, "comparison-1.jsonl", "00" * 32, {"changed": "none is kept"})
    yield Scene(at(s.CompareStep("")), compared, "Olivia")
    importing = at(s.ImportStep("", role="root"), before[e.SignatureIntended])
    yield Scene(importing, e.SignatureImported("root", signed.digest, signed.keyid, signed.sig, "a stick"), "Olivia")
    yield Scene(importing, e.ImportEnded(0), "Olivia")
    yield Scene(before[e.KeyGenerated], e.IntentAbandoned(made.intent, "no key"), "Alice")
    doomed = event[e.DestroyIntended]
    yield Scene(before[e.DestroyIntended], e.KeyKept(doomed.key, doomed.keyid, "it does not let it"), "Alice")
    left = (*event[e.KeyDestroyed].left, "unknown:another")
    yield Scene(before[e.KeyDestroyed], replace(event[e.KeyDestroyed], left=left), "Alice")
    yield Scene(late, e.TroubleMet("alice", "E-TOKEN-GONE", "it is gone"), "Alice")
    yield Scene(late, e.ExceptionNoted(1, "the light went out"), "Walter")
    yield Scene(said, e.StepSkipped(0, "there is no bag", TWO), "Olivia")
    yield Scene(making, e.StepRepeated(2, "it was dropped", TWO, ("alice",), (alice.serial,)), "Olivia")
    yield Scene(early, e.ClockStated(AT, AT, 0), "Olivia")
    yield Scene(replace(early, doubt="a watch"), e.ClockAnswered("it is slow", TWO), "Olivia")


def forgeries(value: Any) -> Iterator[Any]:
    """Other values of the same type: something added, changed, taken away."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1)
    elif isinstance(value, str):
        yield from (f"{value}x", "" if value else "y")
    elif isinstance(value, tuple):
        yield from ((*value, "x"), value[:-1]) if value else (("x",),)
    else:
        first = next(iter(value.items()), ("x", "x"))
        yield {**value, "x": first[1]}
        yield {**value, first[0]: (first[1][0], "x") if isinstance(first[1], tuple) else next(forgeries(first[1]))}
        yield {name: item for name, item in value.items() if name != first[0]}


def judged(scene: Scene, event: e.Event, by: str = "") -> tuple[str, str]:
    """Verdict and reason of `event` in its place, at the end of a chain that is made anew."""
    n, head = (0, chain.NO_HEAD) if scene.state is None else (scene.state.lines, HEAD)
    try:
        at = scene.state.at if scene.state is not None and scene.state.at else AT
        at = AT if isinstance(event, e.ClockStated) else at
        line, _ = chain.make(event, n=n, before=head, at=at, mono=MONO, by=by or scene.by)
        scan = _Scan("forged")
        scan.n, scan.head = n, head
        recorded = scan.feed(line)
    except VestryError as error:
        return "failed", f"no reader takes the line: {error}"
    assert recorded is not None
    first = e.Recorded(n - 1, AT, 0, "", e.ImportEnded(0), head)
    last = ReplayStep(first, "witnessed", "", scene.state) if scene.state is not None else None
    step = next(continued(last, [recorded]))
    return step.verdict, step.why


KINDS = tuple(kind for kind in get_args(e.Event) if kind is not e.Withheld)


@pytest.mark.parametrize("kind", KINDS, ids=codec.NAMES)
def test_each_field_fails_or_is_called_a_word(scenes: Mapping[type, Scene], kind: type) -> None:
    """An auditor must be able to tell what Vestry knows from what it was told, field by field."""
    scene, words = scenes[kind], TOLD.get(kind, {})
    assert judged(scene, scene.event)[0] != "failed"
    stands: dict[str, str] = {}
    for name in (f.name for f in fields(kind)):
        value = getattr(scene.event, name)
        for forged in (x for x in forgeries(value) if x != value):
            found, why = judged(scene, replace(scene.event, **{name: forged}))
            if found != "failed":
                stands[name] = why
    assert stands.keys() == words.keys()
    for name, word in words.items():
        assert word in stands[name], name


@pytest.mark.parametrize("kind", KINDS, ids=codec.NAMES)
def test_nobody_acts_in_the_place_of_another(scenes: Mapping[type, Scene], kind: type) -> None:
    """What rests on a word rests on a name."""
    scene = scenes[kind]
    others = {"Olivia", "Walter", "Alice", "Bob"} - {scene.by}
    for name in ("Mallory", *(others if kind is not e.ExceptionNoted else ())):
        assert judged(scene, scene.event, by=name)[0] == "failed", name


ALIEN: tuple[tuple[type, str, Any], ...] = (
    (e.Opened, "inputs", {"another": "x"}),
    (e.Said, "recorded", {"bag": "17", "another": "x"}),
    (e.Gathered, "people", ("Olivia", "Walter", "Alice", "Bob", "Bob")),
    (e.PreflightTaken, "waived", {"swap": "no other machine", "no such check": "x"}),
    (e.PreflightTaken, "checks", {"swap": ("warn", "swap"), "no such check": ("pass", "x")}),
    (e.PreflightTaken, "checks", {"swap": ("fine", "swap")}),
    (e.KeyTaken, "uri", "pkcs11:serial=another"),
    (e.KeyTaken, "certificates", ("x",)),
    (e.ReviewRead, "overruled", {"FIELD-UNKNOWN x-vestry-rehearsal": TWO}),
    (e.Compared, "answers", {"changed": "none is kept", "vanished": "x"}),
    (e.Compared, "counts", {"changed": 2, "vanished": 0}),
    (e.DestroyIntended, "token", "bob"),
    (e.KeyDestroyed, "left", ("00" * 32,)),
    (e.Exported, "files", {"metadata/1.root.json": "00" * 32}),
    (e.TroubleMet, "token", "another"),
    (e.SealIntended, "keyid", ""),
)


@pytest.mark.parametrize(("kind", "name", "value"), ALIEN, ids=[f"{a[0].__name__}-{a[1]}" for a in ALIEN])
def test_a_word_is_about_what_is_there(scenes: Mapping[type, Scene], kind: type, name: str, value: Any) -> None:
    """What rests on a word is still about checks, keys, tokens and files that the ceremony has."""
    scene = scenes[kind]
    assert judged(scene, replace(scene.event, **{name: value}))[0] == "failed"
