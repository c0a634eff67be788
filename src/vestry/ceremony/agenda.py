"""What comes next: pure questions about a state. The rail, the meter and the conductor read these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vestry.ceremony import script as s
from vestry.ceremony.drafts import ceremony_key
from vestry.ceremony.state import KeyFacts, State
from vestry.metadata import layout
from vestry.metadata.thresholds import Tally


@dataclass(frozen=True)
class RailEntry:
    """A step for the rail. `line_above` marks the point of no return: up to there everything can be repeated."""

    index: int
    title: str
    status: Literal["done", "now", "later", "skipped"]
    line_above: bool


@dataclass(frozen=True)
class Turn:
    """A holder's turn to sign: pairs of (role, name of the script's key) that are still wanted of that holder."""

    holder: str
    wanted: tuple[tuple[str, str], ...]


def rail(state: State) -> tuple[RailEntry, ...]:
    """All steps, done, now and to come."""
    here = position(state)
    first_signature = next((i for i, step in enumerate(state.script.steps) if isinstance(step, s.SignStep)), -1)

    def status(i: int) -> Literal["done", "now", "later", "skipped"]:
        if i in state.skipped:
            return "skipped"
        return "done" if i < here else "now" if i == here else "later"

    return tuple(RailEntry(i, step.title, status(i), i == first_signature) for i, step in enumerate(state.script.steps))


def meters(state: State) -> tuple[tuple[str, Tally], ...]:
    """(role, tally) of every drafted document under every authority, in signing order."""
    return tuple((role, t) for role in state.script.drafted if role in state.documents for t in state.tallies(role))


def position(state: State) -> int:
    """Index of the first step that is not finished; the number of steps when all are."""
    steps = state.script.steps
    return next((i for i, step in enumerate(steps) if not finished(state, i, step)), len(steps))


def finished(state: State, index: int, step: s.Step) -> bool:
    """Whether everything that `step` asks for has happened, or it was skipped."""
    if index in state.skipped or index in state.passed:
        return True
    if isinstance(step, s.ProvisionStep):
        return not unprovisioned(state, step)
    if isinstance(step, s.DraftStep):
        return not undrafted(state, step) and not unproved(state, step)
    if isinstance(step, s.ReviewStep):
        return not unread(state, step)
    if isinstance(step, s.SignStep):
        return all(role in state.documents for role in step.roles) and not unsigned(state, step)
    if isinstance(step, s.DestroyStep):
        return not undestroyed(state, step)
    if isinstance(step, s.SealStep):
        return state.seal is not None and all(person in state.seals for person in step.by)
    return index in state.done


def new_keys(state: State, token: str) -> tuple[s.KeySpec, ...]:
    """The keys that this ceremony generates on `token`, in script order."""
    return tuple(k for k in state.script.keys if k.token == token and k.new)


def unprovisioned(state: State, step: s.ProvisionStep) -> tuple[str, ...]:
    """Tokens that still want initialising, confirming or a key."""
    return tuple(
        name
        for name in step.tokens
        if not ((facts := state.tokens.get(name)) and facts.initialised and facts.confirmed)
        or any(k.name not in state.keys for k in new_keys(state, name))
    )


def undrafted(state: State, step: s.DraftStep) -> tuple[str, ...]:
    """Roles of the step without a draft."""
    return tuple(role for role in step.roles if role not in state.documents)


def unproved(state: State, step: s.DraftStep) -> tuple[str, ...]:
    """Drafts of the step that no client has walked in their present form. Nobody walks a layout: there is no client
    that goes by it without what was built."""
    drafted = {r: state.documents[r] for r in step.roles if r in state.documents}
    return tuple(r for r, doc in drafted.items() if doc.type != layout.TYPE and state.proved.get(r) != doc.digest)


def unread(state: State, step: s.ReviewStep) -> tuple[str, ...]:
    """Roles of the step whose present draft has not been reviewed."""
    return tuple(role for role in step.roles if not reviewed(state, role))


def reviewed(state: State, role: str) -> bool:
    """Whether the present draft of `role` was read to its end."""
    return role in state.documents and role in state.read and state.read[role].digest == state.documents[role].digest


def unsigned(state: State, step: s.SignStep) -> tuple[str, ...]:
    """Roles of the step that still want signatures."""
    if step.signers == "all":
        owed = {role for turn in turns(state, step) for role, _ in turn.wanted}
        return tuple(r for r in step.roles if r in owed or not all(t.met for t in state.tallies(r)))
    return tuple(role for role in step.roles if not all(t.met for t in state.tallies(role)))


def turns(state: State, step: s.SignStep) -> tuple[Turn, ...]:
    """Who can still help, in script order: each holder's keys that count towards a threshold not yet met."""
    wanted: dict[str, list[tuple[str, str]]] = {}
    for role in step.roles:
        tallies = dict(zip((a.by for a in state.authorities(role)), state.tallies(role), strict=True))
        useful = {
            key.keyid
            for authority in state.authorities(role)
            if step.signers == "all" or not tallies[authority.by].met
            for key in authority.keys
        }
        signed = set(state.signatures.get(role, {}))
        for spec in state.script.keys:
            gone = spec.name in state.keys and state.keys[spec.name].destroyed
            if not gone and ceremony_key(state, spec).keyid in useful - signed:
                wanted.setdefault(spec.holder, []).append((role, spec.name))
    order = [k.holder for k in state.script.keys]
    return tuple(Turn(h, tuple(wanted[h])) for h in dict.fromkeys(order) if h in wanted)


def amiss(script: s.Script, step: s.PreflightStep, checks: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Checks that must be mended or waived, with what they saw: those that the script requires and that don't pass,
    and in a real ceremony any that says stop."""
    return {
        name: line
        for name, (verdict, line) in checks.items()
        if (verdict == "stop" and not script.rehearsal) or (name in step.require and verdict != "pass")
    }


def _done_with(facts: KeyFacts) -> bool:
    return facts.destroyed or bool(facts.kept)


def undestroyed(state: State, step: s.DestroyStep) -> tuple[str, ...]:
    """Names of keys that the step destroys and that are still there."""
    return tuple(
        k.name
        for k in state.script.keys
        if set(k.roles) & set(step.roles) and not (k.name in state.keys and _done_with(state.keys[k.name]))
    )
