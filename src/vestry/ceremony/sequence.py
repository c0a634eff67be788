"""Do the steps of a script come in an order that can be walked, with nothing irreversible before its review?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vestry.ceremony import script as s
from vestry.ceremony.problem import Case, Problem, Severity, listed
from vestry.text import printable

_ABOVE = {"targets": "root", "bins": "targets"}
# Whose keys a document names: without them it can't be drafted.
_NAMED_IN = {"root": ("root", "targets"), "targets": ("bins",), "bins": ()}


@dataclass
class _Walk:
    """What has happened up to a step. A stage that a problem was reported for counts as done, so that one cause is told
    once."""

    case: Case
    present: set[str] = field(default_factory=set)
    looked: bool = False
    provisioned: set[str] = field(default_factory=set)
    drafted: set[str] = field(default_factory=set)
    reviewed: set[str] = field(default_factory=set)
    signed: set[str] = field(default_factory=set)
    verified: set[str] = field(default_factory=set)
    fresh: set[str] = field(default_factory=set)
    unexported: set[str] = field(default_factory=set)
    told: set[tuple[str, str]] = field(default_factory=set)
    destroyed: set[str] = field(default_factory=set)
    exported: bool = False
    sealed: bool = False

    def problem(self, severity: Severity, code: str, step: s.Step, text: str) -> Problem:
        return Problem(severity, code, step.line, f"step '{printable(step.title)}': {text}")


def sequence(case: Case) -> Iterator[Problem]:
    """All problems with the order of the steps."""
    walk = _Walk(case)
    for step in case.script.steps:
        if walk.sealed:
            # Words after the seal (who took which bag away) are in the transcript, under its last head.
            severity: Severity = "note" if isinstance(step, s.SayStep) else "stop"
            yield walk.problem(severity, "STEP-AFTER-SEAL", step, "comes after the seal, which does not speak of it")
        rule = _RULES.get(type(step))
        if rule is not None:
            yield from rule(walk, step)
    yield from _missing(walk)


def _gather(walk: _Walk, step: s.GatherStep) -> Iterator[Problem]:
    walk.present |= set(step.people)
    return iter(())


def _preflight(walk: _Walk, _: s.PreflightStep) -> Iterator[Problem]:
    walk.looked = True
    return iter(())


def _provision(walk: _Walk, step: s.ProvisionStep) -> Iterator[Problem]:
    yield from _people(walk, step, {walk.case.script.token(name).holder for name in step.tokens})
    if not walk.looked:
        yield walk.problem("warn", "STEP-NO-PREFLIGHT", step, "keys are made before the machine is looked at")
        walk.looked = True
    for name in step.tokens:
        kept = [k.name for k in walk.case.script.keys if k.token == name and not k.new]
        if kept and walk.case.script.token(name).erase:
            text = f"would erase token '{name}', which holds key {listed(kept)}"
            yield walk.problem("stop", "STEP-ERASES-KEY", step, text)
        if name in walk.provisioned and ("provision", name) not in walk.told:
            yield walk.problem("warn", "STEP-TWICE", step, f"token '{name}' was provisioned before")
    walk.provisioned |= set(step.tokens)


def _draft(walk: _Walk, step: s.DraftStep) -> Iterator[Problem]:
    for role in step.roles:
        above = _ABOVE.get(role)
        if role in walk.drafted and ("draft", role) not in walk.told:
            yield walk.problem("warn", "STEP-TWICE", step, f"{role} was drafted before; it stays as it is")
        if above in walk.case.drafted and above not in walk.drafted | set(step.roles):
            yield walk.problem("stop", "STEP-DRAFT-ORDER", step, f"{role} is drafted before {above}")
            walk.drafted.add(str(above))
            walk.told.add(("draft", str(above)))
        needed = (role, *_NAMED_IN.get(role, ()))
        tokens = {
            k.token for k in walk.case.script.keys if k.new and not k.leaves and set(k.roles) & set(needed)
        } - walk.provisioned
        if tokens:
            text = f"{role} names keys on {listed(sorted(tokens))}, which are not made yet"
            yield walk.problem("stop", "STEP-DRAFT-BEFORE-KEYS", step, text)
            walk.provisioned |= tokens
            walk.told |= {("provision", name) for name in tokens}
    walk.drafted |= set(step.roles)


def _review(walk: _Walk, step: s.ReviewStep) -> Iterator[Problem]:
    for role in step.roles:
        if role in walk.reviewed and ("review", role) not in walk.told:
            yield walk.problem("warn", "STEP-TWICE", step, f"{role} was reviewed before")
    yield from _after(walk, step, walk.drafted, "draft", "STEP-REVIEW-BEFORE-DRAFT", "is reviewed before it is drafted")
    walk.reviewed |= set(step.roles)


def _compare(walk: _Walk, step: s.CompareStep) -> Iterator[Problem]:
    if not walk.case.script.snapshots:
        text = "there is nothing to compare: add [snapshot] with good and now"
        yield walk.problem("stop", "STEP-COMPARE-NOTHING", step, text)


def _sign(walk: _Walk, step: s.SignStep) -> Iterator[Problem]:
    signers = {k.holder for k in walk.case.script.keys if set(k.roles) & set(step.roles)}
    yield from _people(walk, step, signers)
    yield from _after(walk, step, walk.reviewed, "review", "STEP-SIGN-BEFORE-REVIEW", "is signed before it is reviewed")
    for role in step.roles:
        if role in walk.destroyed and ("sign", role) not in walk.told:
            yield walk.problem("stop", "STEP-SIGN-AFTER-DESTROY", step, f"the keys of {role} are destroyed by then")
    walk.drafted |= set(step.roles)
    walk.signed |= set(step.roles)
    walk.fresh |= set(step.roles)


def _import(walk: _Walk, step: s.ImportStep) -> Iterator[Problem]:
    if step.role not in walk.reviewed:
        text = f"signatures of {step.role} are taken in before it is reviewed"
        yield walk.problem("stop", "STEP-SIGN-BEFORE-REVIEW", step, text)
        walk.reviewed.add(step.role)
        walk.told.add(("review", step.role))
    walk.fresh.add(step.role)
    if step.role in walk.verified:
        yield walk.problem("warn", "STEP-IMPORT-LATE", step, f"{step.role} was verified before; verify it again after")


def _verify(walk: _Walk, step: s.VerifyStep) -> Iterator[Problem]:
    imported = {x.role for x in walk.case.script.steps if isinstance(x, s.ImportStep) and x.line < step.line}
    done = walk.signed | imported
    yield from _after(walk, step, done, "sign", "STEP-VERIFY-BEFORE-SIGN", "is verified before it is signed")
    walk.signed |= set(step.roles)
    walk.verified |= set(step.roles)
    walk.unexported |= set(step.roles) & walk.fresh


def _destroy(walk: _Walk, step: s.DestroyStep) -> Iterator[Problem]:
    script, drafted = walk.case.script, walk.case.drafted
    for role in step.roles:
        if role == "root":
            text = "without its keys the root could never be changed again"
            yield walk.problem("stop", "STEP-DESTROYS-ROOT", step, text)
            continue
        if role not in drafted:
            text = f"the keys of {role} sign nothing in this ceremony"
            yield walk.problem("stop", "STEP-DESTROYS-UNUSED", step, text)
            continue
        owed = {r for k in script.keys if role in k.roles for r in (role, *k.roles) if r in drafted} - walk.signed
        if owed:
            text = f"the keys of {role} are destroyed before {listed(sorted(owed))} is signed"
            yield walk.problem("stop", "STEP-DESTROY-BEFORE-SIGN", step, text)
            walk.signed |= owed
            walk.told |= {("sign", r) for r in owed}
        elif role not in walk.verified:
            text = f"the keys of {role} are destroyed before the signatures are verified; verify first"
            yield walk.problem("warn", "STEP-DESTROY-BEFORE-VERIFY", step, text)
        shared = [k.name for k in script.keys if role in k.roles and "root" in k.roles]
        if shared:
            text = f"key {listed(shared)} serves root as well and would be destroyed"
            yield walk.problem("stop", "STEP-DESTROYS-ROOT", step, text)
        if role in walk.destroyed:
            yield walk.problem("warn", "STEP-TWICE", step, f"the keys of {role} were destroyed before")
    walk.destroyed |= set(step.roles)


def _export(walk: _Walk, step: s.ExportStep) -> Iterator[Problem]:
    missing = [role for role in walk.case.drafted if role not in walk.verified]
    if missing:
        text = f"{listed(missing)} {'is' if len(missing) == 1 else 'are'} exported before being verified"
        yield walk.problem("stop", "STEP-EXPORT-BEFORE-VERIFY", step, text)
        walk.verified |= set(missing)
        walk.signed |= set(missing)
        walk.reviewed |= set(missing)
        walk.drafted |= set(missing)
    walk.exported = True
    walk.unexported.clear()
    walk.fresh.clear()


def _seal(walk: _Walk, step: s.SealStep) -> Iterator[Problem]:
    sealing = walk.case.script.sealing_role
    sealers = {k.holder for k in walk.case.script.keys if sealing in k.roles}
    sealers |= {p.name for p in walk.case.script.people if p.key is not None}
    without = [name for name in step.by if name not in sealers]
    if without:
        who = f"{printable(listed(without))} {'has' if len(without) == 1 else 'have'}"
        text = f"{who} no {printable(sealing)} key to seal with, nor a key of their own in [[people]]"
        yield walk.problem("stop", "SEAL-NO-KEY", step, text)
    files: dict[str, str] = {}
    for name in step.by:
        other = files.setdefault(re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower(), name)
        if other != name:
            text = f"the seals of {printable(other)} and {printable(name)} would have the same file name"
            yield walk.problem("stop", "SEAL-NAMES", step, text)
    walk.sealed = True


def _after(walk: _Walk, step: Any, done: set[str], stage: str, code: str, text: str) -> Iterator[Problem]:
    for role in step.roles:
        if role not in done:
            yield walk.problem("stop", code, step, f"{role} {text}")
            done.add(role)
            walk.told.add((stage, role))


def _people(walk: _Walk, step: s.Step, needed: set[str]) -> Iterator[Problem]:
    absent = [p.name for p in walk.case.script.people if p.name in needed - walk.present]
    if absent:
        text = f"nobody said that {printable(listed(absent))} {'is' if len(absent) == 1 else 'are'} here: gather first"
        yield walk.problem("warn", "STEP-NOT-GATHERED", step, text)
        walk.present |= needed


def _missing(walk: _Walk) -> Iterator[Problem]:
    steps = walk.case.script.steps
    line = steps[-1].line if steps else 1
    stages = (
        (walk.drafted | walk.reviewed | walk.signed | walk.verified, "draft", "drafted"),
        (walk.reviewed | walk.signed | walk.verified, "review", "reviewed"),
        (walk.signed, "sign", "signed"),
        (walk.verified, "verify", "verified"),
    )
    for role in walk.case.drafted:
        for done, do, what in stages:
            if role not in done:
                yield Problem("stop", "STEP-MISSING", line, f'{role} is never {what}: add [[steps]] do = "{do}"')
                break
    if walk.case.script.snapshots and not any(isinstance(step, s.CompareStep) for step in steps):
        text = 'the snapshots are never compared: add [[steps]] do = "compare"'
        yield Problem("warn", "STEP-NO-COMPARE", line, text)
    if not walk.exported:
        yield Problem("warn", "STEP-NO-EXPORT", line, 'nothing leaves the machine: add [[steps]] do = "export"')
    elif walk.unexported:
        text = f"{listed(sorted(walk.unexported))} is signed and verified after the last export: export it again"
        yield Problem("stop", "STEP-EXPORT-STALE", line, text)
    if not walk.sealed:
        yield Problem("warn", "STEP-NO-SEAL", line, 'nobody signs how it went: add [[steps]] do = "seal"')


_RULES: Mapping[type, Callable[[_Walk, Any], Iterator[Problem]]] = {
    s.GatherStep: _gather,
    s.PreflightStep: _preflight,
    s.ProvisionStep: _provision,
    s.DraftStep: _draft,
    s.ReviewStep: _review,
    s.CompareStep: _compare,
    s.SignStep: _sign,
    s.ImportStep: _import,
    s.VerifyStep: _verify,
    s.DestroyStep: _destroy,
    s.ExportStep: _export,
    s.SealStep: _seal,
}
