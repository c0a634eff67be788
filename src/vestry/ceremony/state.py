"""The state of a ceremony, and `evolve`: the fold that makes it from events. Pure; nothing of it is ever stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from vestry.ceremony import drafts, reading, timekeeping
from vestry.ceremony import events as e
from vestry.ceremony.script import DraftStep, ProvisionStep, ReviewStep, Script, Step, TokenSpec
from vestry.errors import NotTrusted
from vestry.metadata import layout
from vestry.metadata.document import Document, Signature
from vestry.metadata.thresholds import Authority, Tally, authorities, tally

V = TypeVar("V")


@dataclass(frozen=True)
class TokenFacts:
    """A token as provisioned or recognised: `confirmed` once its holder read its serial."""

    serial: str
    label: str = ""
    manufacturer: str = ""
    model: str = ""
    firmware: str = ""
    confirmed: bool = False
    initialised: bool = False


@dataclass(frozen=True)
class KeyFacts:
    """A key of this ceremony: id, PEM public half, where it lives, certificates (PEM) that came with it; `destroyed`
    once its token no longer lists it; `kept` says why it was not."""

    keyid: str
    public: str
    uri: str
    scheme: str
    destroyed: bool = False
    kept: str = ""
    findings: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReadFacts:
    """A review that was read: when, what was answered, and which stops were overruled by whom."""

    digest: str
    at: str
    answers: Mapping[str, str]
    overruled: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Intent:
    """An intent without a result: what was about to happen at line `n`, by whom."""

    n: int
    by: str
    event: e.Event


@dataclass(frozen=True)
class State:
    """Everything known after an event. Made by `evolve` alone.

    `inputs` are the texts of the script's inputs, `known` the documents among them; `documents` are the drafts,
    rebuilt from script and keys; `signatures` maps role to key id to hex; `unanswered` is the intent that has no
    result yet. `done` holds the indexes of steps that end with an event of their own. `skipped` maps indexes of
    steps to the exceptions that passed them over; `aside` are serials of devices given up, `replaced` the tokens of
    the script that another device stands for now; `former` are the serials of those whose own device is set up
    again. `lists` are files of differences by name, with their SHA-256; `exports` what was written where. `clock` is
    what was found about the machine's clock; `doubt` why its time is not to be relied on. `network` is what was seen of
    the network last, verdict and line. In a published copy `withheld` counts the lines that don't show what happened;
    `passed` are the steps that must have been finished in them.
    """

    script: Script
    opened_at: str
    software: str
    software_sha256: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, Document] = field(default_factory=dict)
    lines: int = 0
    head: str = ""
    at: str = ""
    present: tuple[str, ...] = ()
    done: frozenset[int] = frozenset()
    waived: Mapping[str, str] = field(default_factory=dict)
    network: tuple[str, str] = ("", "")
    tokens: Mapping[str, TokenFacts] = field(default_factory=dict)
    keys: Mapping[str, KeyFacts] = field(default_factory=dict)
    documents: Mapping[str, Document] = field(default_factory=dict)
    proved: Mapping[str, str] = field(default_factory=dict)
    read: Mapping[str, ReadFacts] = field(default_factory=dict)
    signatures: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, str] = field(default_factory=dict)
    exports: tuple[e.Exported, ...] = ()
    seal: e.SealOpened | None = None
    seal_head: str = ""
    seals: Mapping[str, e.Sealed] = field(default_factory=dict)
    unanswered: Intent | None = None
    troubles: int = 0
    exceptions: int = 0
    skipped: Mapping[int, e.StepSkipped] = field(default_factory=dict)
    aside: frozenset[str] = frozenset()
    replaced: frozenset[str] = frozenset()
    former: Mapping[str, str] = field(default_factory=dict)
    mono: int = 0
    clock: tuple[timekeeping.Finding, ...] = ()
    jumped: bool = False
    doubt: str = ""
    withheld: int = 0
    passed: frozenset[int] = frozenset()

    @property
    def predecessor(self) -> Document | None:
        """The trusted root that a rotation follows."""
        return self.known.get("predecessor")

    def before(self, role: str) -> Document | None:
        """The document that the draft of `role` follows, where there is one."""
        if self.script.given is not None:
            return self.known.get("before")
        return self.known.get("predecessor" if role == "root" else role)

    def above(self, role: str) -> Document | None:
        """The document that says who signs `role`; None for a root and for a layout."""
        if self.script.given is not None:
            return self.known.get("delegator")
        return self.documents.get({"targets": "root", "bins": "targets"}.get(role, ""))

    def token(self, name: str) -> TokenSpec:
        """The token that the script calls `name`; where another device stands for it, any serial will do."""
        spec = self.script.token(name)
        return replace(spec, serial="", like=replace(spec.like, serial="")) if name in self.replaced else spec

    def signed(self, role: str) -> Document:
        """The draft of `role` with the signatures collected so far."""
        pairs = self.signatures.get(role, {})
        return layout.with_signatures(self.documents[role], [Signature(k, s) for k, s in pairs.items()])

    def authorities(self, role: str) -> tuple[Authority, ...]:
        """Who must sign `role`: for root the predecessor and the draft itself, for a layout whom the script names, else
        what the delegating document says."""
        if self.script.given is not None and self.script.given.threshold:
            keys = tuple(drafts.ceremony_key(self, spec) for spec in self.script.keys_of(role))
            return (Authority("the script", role, self.script.given.threshold, keys),)
        trusted = self.predecessor if role == "root" else None
        return authorities(role, self.documents[role], trusted=trusted, delegator=self.above(role))

    def tallies(self, role: str) -> tuple[Tally, ...]:
        """Who has signed `role`, under each authority."""
        pairs = self.signatures.get(role, {})
        # A tally looks at signed bytes and signatures; the file is not written anew for it.
        counted = replace(self.documents[role], signatures=tuple(Signature(k, s) for k, s in pairs.items()))
        return tuple(tally(counted, authority) for authority in self.authorities(role))


def evolve(state: State | None, recorded: e.Recorded) -> State:
    """The state after `recorded`. Admits everything: whether it should have happened is for `decide`."""
    event = recorded.event
    if isinstance(event, e.Withheld) and state is not None:
        # Anything may have happened in it, also that the program was started again, with another monotonic clock.
        return _changed(state, withheld=state.withheld + 1, lines=recorded.n + 1, head=recorded.head, at="")
    if state is None:
        if not isinstance(event, e.Opened):
            raise NotTrusted("a transcript begins with the event 'opened'", where=f"line {recorded.n}")
        state = _opened(event, recorded.at)
        found = timekeeping.against(state.script, state.predecessor, recorded)
    elif not isinstance(event, e.Opened):
        found = timekeeping.between(state.at, state.mono, recorded) if state.at else ()
        state = _EVOLVE[type(event)](state, event, recorded)
        if found:
            state = _changed(state, jumped=True)
    else:
        found = ()
    clock = (*state.clock, *found) if found else state.clock
    return _changed(state, lines=recorded.n + 1, head=recorded.head, at=recorded.at, mono=recorded.mono, clock=clock)


def _changed(state: State, **values: object) -> State:
    """What `replace` gives; that looks at each of forty fields again, and a replay does this for every line."""
    after = object.__new__(State)
    object.__setattr__(after, "__dict__", state.__dict__ | values)
    assert len(after.__dict__) == len(state.__dict__), "a state has no field of its own"
    return after


def _opened(event: e.Opened, at: str) -> State:
    script = reading.read(event.script.encode(), where="script")
    inputs = {item.name: event.inputs[item.name] for item in script.inputs}
    known = drafts.known_documents({name: text.encode() for name, text in inputs.items()})
    return State(script, at, event.software, event.software_sha256, inputs, known)


def _with(mapping: Mapping[str, V], key: str, value: V) -> Mapping[str, V]:
    return {**mapping, key: value}


_Ending = e.Said | e.Gathered | e.Compared | e.Verified | e.Exported | e.ImportEnded


def _done(state: State, event: _Ending, _: e.Recorded) -> State:
    state = _changed(state, done=state.done | {event.step})
    if isinstance(event, e.Gathered):
        return _changed(state, present=event.people)
    if isinstance(event, e.Compared):
        return _changed(state, lists={**state.lists, event.name: event.sha256})
    if isinstance(event, e.Verified):
        return _changed(state, outputs={**state.outputs, **event.files})
    if isinstance(event, e.Exported):
        return _changed(state, exports=(*state.exports, event))
    return state


def _preflight(state: State, event: e.PreflightTaken, _: e.Recorded) -> State:
    network = event.checks.get("network", ("", ""))
    return _changed(state, done=state.done | {event.step}, waived={**state.waived, **event.waived}, network=network)


def _network(state: State, event: e.NetworkSeen, _: e.Recorded) -> State:
    return _changed(state, network=(event.verdict, event.text))


def _resumed(state: State, event: e.Resumed, _: e.Recorded) -> State:
    return _changed(state, software=event.software, software_sha256=event.software_sha256)


def _intended(state: State, event: e.Event, recorded: e.Recorded) -> State:
    return _changed(state, unanswered=Intent(recorded.n, recorded.by, event))


def _erasing(state: State, event: e.InitialiseIntended, recorded: e.Recorded) -> State:
    # From here on nothing that was on the token can be relied on, whatever comes of the intent.
    given_up = {k.name for k in state.script.keys if k.token == event.token and k.new}
    return _changed(
        _intended(state, event, recorded),
        tokens={name: facts for name, facts in state.tokens.items() if name != event.token},
        keys={name: facts for name, facts in state.keys.items() if name not in given_up},
    )


def _adopted(state: State, event: e.TokenAdopted, _: e.Recorded) -> State:
    facts = TokenFacts(event.serial, event.label, event.manufacturer, event.model, event.firmware, initialised=True)
    return _changed(state, tokens=_with(state.tokens, event.token, facts))


def _abandoned(state: State, _event: e.IntentAbandoned, _: e.Recorded) -> State:
    return _changed(state, unanswered=None)


def _initialised(state: State, event: e.TokenInitialised, _: e.Recorded) -> State:
    facts = TokenFacts(event.serial, event.label, event.manufacturer, event.model, event.firmware, initialised=True)
    return _changed(state, unanswered=None, tokens=_with(state.tokens, event.token, facts))


def _confirmed(state: State, event: e.TokenConfirmed, _: e.Recorded) -> State:
    before = state.tokens.get(event.token) or TokenFacts(event.serial)
    return _changed(state, tokens=_with(state.tokens, event.token, replace(before, confirmed=True)))


def _generated(state: State, event: e.KeyGenerated | e.KeyTaken, _: e.Recorded) -> State:
    scheme = state.script.key(event.key).scheme
    facts = KeyFacts(
        event.keyid, event.public, event.uri, scheme, findings=event.findings, certificates=event.certificates
    )
    answered = None if isinstance(event, e.KeyGenerated) else state.unanswered
    return _changed(state, unanswered=answered, keys=_with(state.keys, event.key, facts))


def _drafted(state: State, event: e.Drafted, _: e.Recorded) -> State:
    return _changed(state, documents=_with(state.documents, event.role, drafts.draft(state, event.role)))


def _proved(state: State, event: e.DraftProved, _: e.Recorded) -> State:
    return _changed(state, proved=event.digests)


def _read_facts(event: e.ReviewRead, at: str) -> ReadFacts:
    return ReadFacts(event.digest, at, event.answers, event.overruled)


def _read(state: State, event: e.ReviewRead, recorded: e.Recorded) -> State:
    return _changed(state, read=_with(state.read, event.role, _read_facts(event, recorded.at)))


def _signed(state: State, event: e.SignatureAdded | e.SignatureImported, _: e.Recorded) -> State:
    answered = None if isinstance(event, e.SignatureAdded) else state.unanswered
    pairs = _with(state.signatures.get(event.role, {}), event.keyid, event.sig)
    return _changed(state, unanswered=answered, signatures=_with(state.signatures, event.role, pairs))


def _destroyed(state: State, event: e.KeyDestroyed, _: e.Recorded) -> State:
    facts = replace(state.keys[event.key], destroyed=True)
    return _changed(state, unanswered=None, keys=_with(state.keys, event.key, facts))


def _kept(state: State, event: e.KeyKept, _: e.Recorded) -> State:
    facts = replace(state.keys[event.key], kept=event.reason)
    return _changed(state, keys=_with(state.keys, event.key, facts))


def _seal_opened(state: State, event: e.SealOpened, recorded: e.Recorded) -> State:
    return _changed(state, seal=event, seal_head=recorded.head)


def _sealed(state: State, event: e.Sealed, _: e.Recorded) -> State:
    return _changed(state, unanswered=None, seals=_with(state.seals, event.person, event))


def _trouble(state: State, _e: e.TroubleMet, _: e.Recorded) -> State:
    return _changed(state, troubles=state.troubles + 1)


def _noted(state: State, _e: e.ExceptionNoted, _: e.Recorded) -> State:
    return _changed(state, exceptions=state.exceptions + 1)


def _known_step(state: State, index: int) -> Step:
    if not 0 <= index < len(state.script.steps):
        raise NotTrusted(f"the script has no step {index + 1}")
    return state.script.steps[index]


def _skipped(state: State, event: e.StepSkipped, _: e.Recorded) -> State:
    _known_step(state, event.step)
    return _changed(state, exceptions=state.exceptions + 1, skipped={**state.skipped, event.step: event})


def _repeated(state: State, event: e.StepRepeated, _: e.Recorded) -> State:
    step = _known_step(state, event.step)
    state = _changed(
        state,
        exceptions=state.exceptions + 1,
        done=state.done - {event.step},
        skipped={index: x for index, x in state.skipped.items() if index != event.step},
    )
    if isinstance(step, ProvisionStep):
        given_up = {k.name for k in state.script.keys if k.token in event.tokens and k.new}
        state = _changed(
            state,
            tokens={name: facts for name, facts in state.tokens.items() if name not in event.tokens},
            keys={name: facts for name, facts in state.keys.items() if name not in given_up},
            aside=state.aside | set(event.aside),
            replaced=state.replaced | (set(event.tokens) if event.aside else set()),
            former={**state.former, **_former(state, event)},
            unanswered=None,
        )
    if isinstance(step, ProvisionStep | DraftStep):
        # A draft names keys by their bytes, and what is below names what is above: all of it is drafted and read again.
        return _changed(state, documents={}, proved={}, read={})
    if isinstance(step, ReviewStep):
        return _changed(state, read={role: facts for role, facts in state.read.items() if role not in step.roles})
    return state


def _former(state: State, event: e.StepRepeated) -> Mapping[str, str]:
    if event.aside:
        return dict.fromkeys(event.tokens, "")
    return {name: state.tokens[name].serial for name in event.tokens if name in state.tokens}


def _clock_stated(state: State, event: e.ClockStated, _: e.Recorded) -> State:
    doubt = timekeeping.doubt(state.script, state.opened_at, event.watch, event.seconds)
    return _changed(state, jumped=False, doubt=doubt)


def _clock_answered(state: State, _e: e.ClockAnswered, _: e.Recorded) -> State:
    return _changed(state, jumped=False, doubt="")


_EVOLVE: Mapping[type, Callable[[State, Any, e.Recorded], State]] = {
    e.Resumed: _resumed,
    e.Said: _done,
    e.Gathered: _done,
    e.PreflightTaken: _preflight,
    e.NetworkSeen: _network,
    e.InitialiseIntended: _erasing,
    e.TokenInitialised: _initialised,
    e.TokenAdopted: _adopted,
    e.TokenConfirmed: _confirmed,
    e.GenerateIntended: _intended,
    e.KeyGenerated: _generated,
    e.KeyTaken: _generated,
    e.Drafted: _drafted,
    e.DraftProved: _proved,
    e.ReviewRead: _read,
    e.Compared: _done,
    e.SignatureIntended: _intended,
    e.SignatureAdded: _signed,
    e.SignatureImported: _signed,
    e.ImportEnded: _done,
    e.IntentAbandoned: _abandoned,
    e.Verified: _done,
    e.DestroyIntended: _intended,
    e.KeyDestroyed: _destroyed,
    e.KeyKept: _kept,
    e.Exported: _done,
    e.SealOpened: _seal_opened,
    e.SealIntended: _intended,
    e.Sealed: _sealed,
    e.TroubleMet: _trouble,
    e.ExceptionNoted: _noted,
    e.StepSkipped: _skipped,
    e.StepRepeated: _repeated,
    e.ClockStated: _clock_stated,
    e.ClockAnswered: _clock_answered,
}
