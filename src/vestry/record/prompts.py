"""How a ceremony is going to go, if nothing goes amiss: whose turn it is to sign, and how often people are asked.

Foretold from the script and its inputs, with stand-ins for the keys to come; a test holds the number against a whole
ceremony.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vestry.ceremony import agenda, forecast
from vestry.ceremony import script as s
from vestry.ceremony.decide import read_review
from vestry.ceremony.drafts import ceremony_key
from vestry.ceremony.script import Script
from vestry.ceremony.state import State
from vestry.errors import VestryError

_ANY_DAY = "2026-01-01"


@dataclass(frozen=True)
class Outlook:
    """What is foretold: prompts of each step by its index, and the turns of each step that signs. `answers` says
    whether the findings that reviews will ask about are known, and counted. `state` has all drafts, with stand-ins for
    keys to come."""

    prompts: Mapping[int, int]
    turns: Mapping[int, tuple[agenda.Turn, ...]]
    answers: bool
    state: State

    @property
    def total(self) -> int:
        """All prompts, the last one included: the head goes onto paper."""
        return sum(self.prompts.values()) + 1


@dataclass
class _Walk:
    state: State
    answers: bool
    confirmed: set[str] = field(default_factory=set)
    signed: dict[str, set[str]] = field(default_factory=dict)
    turns: dict[int, tuple[agenda.Turn, ...]] = field(default_factory=dict)
    destroyed: set[str] = field(default_factory=set)
    provisioned: set[str] = field(default_factory=set)

    def unlock(self, token: str) -> int:
        """One PIN, and the end of the serial where it was not read yet."""
        fresh = token not in self.confirmed
        self.confirmed.add(token)
        return 2 if fresh else 1


def foretell(script: Script, inputs: Mapping[str, bytes]) -> Outlook | None:
    """The outlook for a script, or None where it does not make documents; `vestry check` says why."""
    try:
        state = forecast.opened(script, inputs, day=script.date or _ANY_DAY)
        state = forecast.with_drafts(state, state.script.drafted)
        # A predecessor's expiry is a date; what is found about it depends on the day.
        walk = _Walk(state, answers=bool(script.date) or state.predecessor is None)
        prompts = {i: _PROMPTS[type(step)](walk, step, i) for i, step in enumerate(script.steps)}
    except (VestryError, KeyError):
        return None
    return Outlook(prompts, walk.turns, walk.answers, state)


def _say(_: _Walk, step: s.SayStep, _i: int) -> int:
    return max(1, len(step.record))


def _one(_w: _Walk, _s: s.Step, _i: int) -> int:
    return 1


def _none(_w: _Walk, _s: s.Step, _i: int) -> int:
    return 0


def _provision(walk: _Walk, step: s.ProvisionStep, _: int) -> int:
    count = 0
    for name in step.tokens:
        spec = walk.state.script.token(name)
        if name in walk.provisioned:
            continue
        walk.provisioned.add(name)
        if spec.erase:
            walk.confirmed.add(name)
            # A new PIN is typed twice, and so is the security officer's, where somebody keeps it.
            count += 3 if spec.security_officer == "forgotten" or spec.use == "software" else 5
        else:
            count += walk.unlock(name)
    return count


def _review(walk: _Walk, step: s.ReviewStep, _: int) -> int:
    if not walk.answers:
        return len(step.roles)
    found = [read_review(walk.state, role, walk.state.opened_at) for role in step.roles]
    stops = sum(f.severity == "stop" for review in found for f in review.findings)
    overruling = stops * walk.state.script.policy.overrule
    return sum(1 + len(review.to_answer) for review in found) + overruling


def _sign(walk: _Walk, step: s.SignStep, index: int) -> int:
    turns, count = [], 0
    while turn := _next_turn(walk, step):
        turns.append(turn)
        for role, name in turn.wanted:
            key = ceremony_key(walk.state, walk.state.script.key(name))
            walk.signed.setdefault(role, set()).add(key.keyid)
        count += len(dict(turn.wanted))
        count += sum(walk.unlock(t) for t in dict.fromkeys(walk.state.script.key(n).token for _, n in turn.wanted))
    walk.turns[index] = tuple(turns)
    return count


def _next_turn(walk: _Walk, step: s.SignStep) -> agenda.Turn | None:
    """The first holder whose keys still count; the same question as `agenda.turns` asks, about signatures to come."""
    wanted: dict[str, list[tuple[str, str]]] = {}
    for role in step.roles:
        done = walk.signed.get(role, set())
        useful = {
            key.keyid
            for authority in walk.state.authorities(role)
            if step.signers == "all" or len({k.keyid for k in authority.keys} & done) < authority.threshold
            for key in authority.keys
        }
        for spec in walk.state.script.keys:
            if spec.name not in walk.destroyed and ceremony_key(walk.state, spec).keyid in useful - done:
                wanted.setdefault(spec.holder, []).append((role, spec.name))
    first = next((k.holder for k in walk.state.script.keys if k.holder in wanted), None)
    return agenda.Turn(first, tuple(wanted[first])) if first is not None else None


def _destroy(walk: _Walk, step: s.DestroyStep, _: int) -> int:
    gone = [k for k in walk.state.script.keys if set(k.roles) & set(step.roles) and k.name not in walk.destroyed]
    walk.destroyed |= {k.name for k in gone}
    return sum(walk.unlock(token) for token in dict.fromkeys(k.token for k in gone))


_OWN_KEY = 3  # where it is, its file or token, its PIN or passphrase


def _seal(walk: _Walk, step: s.SealStep, _: int) -> int:
    count = 0
    for person in step.by:
        mine = [k for k in walk.state.script.keys if k.holder == person and walk.state.script.sealing_role in k.roles]
        count += 1 + (walk.unlock(mine[0].token) if mine else _OWN_KEY)
    return count


_PROMPTS: Mapping[type, Callable[[_Walk, Any, int], int]] = {
    s.SayStep: _say,
    s.GatherStep: _one,
    s.PreflightStep: _none,
    s.ProvisionStep: _provision,
    s.DraftStep: _none,
    s.ReviewStep: _review,
    s.SignStep: _sign,
    s.ImportStep: _one,
    s.CompareStep: _none,
    s.VerifyStep: _none,
    s.DestroyStep: _destroy,
    s.ExportStep: _one,
    s.SealStep: _seal,
}
