"""`decide`: may this event happen now? Pure, and the only gate to a transcript.

A command is the event that someone wants recorded. The same rules guard a ceremony as it happens and an auditor's
replay of it years later: an event that would have been refused then fails now.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, get_args

from vestry.ceremony import agenda, decide_tokens, drafts, exceptions, outputs, seal
from vestry.ceremony import events as e
from vestry.ceremony import script as s
from vestry.ceremony.gate import confirmed_token, key_spec, list_name, step_now, token_spec
from vestry.ceremony.state import State
from vestry.errors import Refused
from vestry.machine.check import Verdict
from vestry.machine.preflight import CHECKS
from vestry.metadata import layout
from vestry.metadata.comparison import KINDS
from vestry.metadata.review import Review, conclude, review
from vestry.metadata.thresholds import verify_signature
from vestry.release import release
from vestry.text import printable, words

WORDS_TYPED = 2
_VERDICTS = (*get_args(Verdict), "unknown")  # the last one in early transcripts

ANSWERS: Mapping[type, type] = {
    e.InitialiseIntended: e.TokenInitialised,
    e.GenerateIntended: e.KeyGenerated,
    e.SignatureIntended: e.SignatureAdded,
    e.DestroyIntended: e.KeyDestroyed,
    e.SealIntended: e.Sealed,
}
_ANY_TIME = (e.Resumed, e.TroubleMet, e.ExceptionNoted)


def decide(state: State | None, command: e.Event, *, at: str) -> tuple[e.Event, ...]:
    """The events that `command` becomes, or a refusal. `at` is the time it happens, ``YYYY-MM-DDTHH:MM:SSZ``.

    Raises:
        Refused: the ceremony's rules forbid it now; says why.
        NotTrusted: a signature in it does not hold.
    """
    if state is None:
        if not isinstance(command, e.Opened):
            raise Refused("a transcript begins with the event 'opened'")
        return (command,)
    if isinstance(command, e.Opened):
        raise Refused("the transcript is open already")
    if isinstance(command, e.ExceptionNoted) and not 0 <= command.step <= len(state.script.steps):
        raise Refused("the script has no such step to note an exception at")
    if isinstance(command, e.TroubleMet) and command.token:
        token_spec(state, command.token)
    if isinstance(command, _ANY_TIME):
        return (command,)
    if (rule := exceptions.RULES.get(type(command))) is not None:
        rule(state, command, at)
        return (command,)
    _answers_what_is_open(state, command)
    _RULES[type(command)](state, command, at)
    return (command,)


def read_review(state: State, role: str, at: str, *, today: bool = False) -> Review:
    """The review of the draft of `role` as it stands at the time `at`, by the rules of the software that made the
    transcript, so the same here and in every replay; or by all rules that there are `today`."""
    names = drafts.holders(state)
    return review(
        role,
        state.documents[role],
        old=state.before(role),
        delegator=state.above(role),
        signers=state.authorities(role)[0] if state.documents[role].type == layout.TYPE else None,
        now=datetime.fromisoformat(at),
        known=lambda keyid: names.get(keyid, ""),
        policy=state.script.policy,
        others={name: made for name, made in state.documents.items() if name != role},
        next_ceremony=datetime.fromisoformat(f"{state.script.next}T00:00:00Z") if state.script.next else None,
        as_of=None if today else release(state.software),
    )


def _answers_what_is_open(state: State, command: e.Event) -> None:
    intent = state.unanswered
    answers_one = isinstance(command, (*ANSWERS.values(), e.IntentAbandoned))
    if intent is None:
        if answers_one:
            raise Refused("this result has no intent before it")
        return
    if not answers_one or not isinstance(command, (ANSWERS[type(intent.event)], e.IntentAbandoned)):
        raise Refused(f"the outcome of line {intent.n} is not known yet; it is looked into first")
    if getattr(command, "intent", None) != intent.n:
        raise Refused(f"the open intent is line {intent.n}, and the result names another")


def _known(names: Collection[str], known: Collection[str], what: str) -> None:
    for name in names:
        if name not in known:
            raise Refused(f"{what} '{printable(name, 80)}'")


def _said(state: State, event: e.Said, _: str) -> None:
    step = step_now(state, s.SayStep, index=event.step)
    _known(event.recorded, step.record, "the step does not ask to write down")
    missing = [label for label in step.record if not event.recorded.get(label, "").strip()]
    if missing:
        raise Refused(f"'{missing[0]}' was not written down")


def _gathered(state: State, event: e.Gathered, _: str) -> None:
    step = step_now(state, s.GatherStep, index=event.step)
    absent = [p for p in step.people if p not in event.people]
    if absent:
        raise Refused(f"{absent[0]} is not here")
    _of_the_script(state, event.people, "is here, and the script does not name them")
    if len(set(event.people)) != len(event.people):
        raise Refused("somebody is said to be here twice")


def _of_the_script(state: State, names: Collection[str], why: str) -> None:
    for name in set(names) - state.script.names:
        raise Refused(f"{printable(name, 80)} {why}")


def _preflight(state: State, event: e.PreflightTaken, _: str) -> None:
    step = step_now(state, s.PreflightStep, index=event.step)
    for name in step.require:
        if name not in event.checks:
            raise Refused(f"the check '{name}' was not made")
    _known(event.checks, CHECKS, "there is no check")
    _known([verdict for verdict, _ in event.checks.values()], _VERDICTS, "no check says")
    amiss = agenda.amiss(state.script, step, event.checks)
    _known(event.waived, amiss, "there was nothing to waive about the check")
    for name, line in amiss.items():
        if not event.waived.get(name, "").strip():
            raise Refused(f"the check '{name}' says: {line}")


def _network(state: State, event: e.NetworkSeen, _: str) -> None:
    if (event.verdict, event.text) == state.network:
        raise Refused("the network is as it was recorded last")
    _known([event.verdict], _VERDICTS, "no check says")


def _drafted(state: State, event: e.Drafted, _: str) -> None:
    step = step_now(state, s.DraftStep)
    if event.role not in step.roles:
        raise Refused(f"'{event.role}' is not drafted at this step")
    exceptions.doubted(state)
    made = drafts.draft(state, event.role)
    seen = (event.version, event.sha256, event.digest, event.length)
    if (made.version, made.file_sha256, made.digest, len(made.raw)) != seen:
        raise Refused(f"the draft of {event.role} made from script and keys has other bytes than the event says")


def _proved(state: State, event: e.DraftProved, _: str) -> None:
    step_now(state, s.DraftStep)
    if dict(event.digests) != {role: drafted.digest for role, drafted in state.documents.items()}:
        raise Refused("the drafts that were proved are not those at hand")


def _read(state: State, event: e.ReviewRead, at: str) -> None:
    step = step_now(state, s.ReviewStep)
    if event.role not in step.roles:
        raise Refused(f"'{event.role}' is not reviewed at this step")
    fresh = read_review(state, event.role, at)
    if (fresh.new.digest, len(fresh.changes)) != (event.digest, event.changes):
        raise Refused(f"the review of {event.role} is not of the draft at hand")
    found = tuple(f"{f.code} {f.where}" for f in fresh.findings)
    if found != tuple(event.findings):
        raise Refused(f"the findings on {event.role} are not those the review showed")
    if {s.finding.name: s.reason for s in fresh.silenced} != dict(event.silenced):
        raise Refused(f"the findings on {event.role} that were silenced are not those that the script silences")
    for name in {*event.answers, *event.overruled} - {*found}:
        raise Refused(f"the review of {event.role} showed no finding {printable(name, 80)}")
    for name, agreed in event.overruled.items():
        _of_the_script(state, agreed, f"overruled {printable(name, 80)}, and the script does not name them")
    _known(event.overruled, [f.name for f in fresh.findings if f.severity == "stop"], "there was no stop to overrule:")
    conclude(fresh, event.answers, overruled=event.overruled)


def _compared(state: State, event: e.Compared, _: str) -> None:
    step_now(state, s.CompareStep, index=event.step)
    if event.name != list_name(event.step) or not set(event.counts) <= set(KINDS):
        raise Refused("the list of differences is not one of this step")
    _known(event.answers, event.counts, "there was nothing to answer about")
    for kind, count in event.counts.items():
        if count < 1 or not event.answers.get(kind, "").strip():
            raise Refused(f"nobody says what is done about {count:,} times {KINDS[kind]}")


def _sign_intended(state: State, event: e.SignatureIntended, _: str) -> None:
    step = step_now(state, s.SignStep)
    if not agenda.reviewed(state, event.role):
        raise Refused(f"the draft of {event.role} was not reviewed")
    if event.digest != state.documents[event.role].digest:
        raise Refused(f"the digest to sign is not that of the draft of {event.role}")
    spec = key_spec(state, event.key)
    if not any((event.role, event.key) in turn.wanted for turn in agenda.turns(state, step)):
        raise Refused(f"a signature of key '{event.key}' on {event.role} is not wanted now")
    if drafts.ceremony_key(state, spec).keyid != event.keyid:
        raise Refused(f"key '{event.key}' has another key id")
    confirmed_token(state, spec.token, event.serial)
    there = {str(place): word for place, word in enumerate(words(event.digest), 1)}
    if len(event.words) < WORDS_TYPED or not event.words.items() <= there.items():
        raise Refused(f"the words typed are not those of the digest of {event.role}")


def _signature(state: State, event: e.SignatureAdded, _: str) -> None:
    assert state.unanswered is not None
    intended = state.unanswered.event
    if not isinstance(intended, e.SignatureIntended) or (intended.role, intended.digest, intended.keyid) != (
        event.role,
        event.digest,
        event.keyid,
    ):
        raise Refused("the signature is not the one that was intended")
    _holds(state, event.role, event.keyid, event.sig)


def _imported(state: State, event: e.SignatureImported, _: str) -> None:
    step = step_now(state, s.ImportStep, s.SignStep)
    roles = (step.role,) if isinstance(step, s.ImportStep) else step.roles if isinstance(step, s.SignStep) else ()
    if event.role not in roles:
        raise Refused(f"signatures of '{printable(event.role, 80)}' are not taken in at this step")
    if event.keyid in state.signatures.get(event.role, {}):
        raise Refused(f"a signature of that key on {event.role} is here already")
    if not agenda.reviewed(state, event.role):
        raise Refused(f"the draft of {event.role} was not reviewed")
    if event.digest != state.documents[event.role].digest:
        raise Refused(f"the signature is for another draft of {event.role}")
    _holds(state, event.role, event.keyid, event.sig)


def _holds(state: State, role: str, keyid: str, sig: str) -> None:
    try:
        raw = bytes.fromhex(sig)
    except ValueError:
        raise Refused("the signature is not hex") from None
    verify_signature(state.authorities(role), keyid, raw, state.documents[role].signed_bytes)


def _import_ended(state: State, event: e.ImportEnded, _: str) -> None:
    step_now(state, s.ImportStep, index=event.step)


def _abandoned(_state: State, event: e.IntentAbandoned, _: str) -> None:
    if not event.found.strip():
        raise Refused("say what the token shows")


def _verified(state: State, event: e.Verified, _: str) -> None:
    step = step_now(state, s.VerifyStep, index=event.step)
    files = {}
    for role in step.roles:
        unmet = [t for t in state.tallies(role) if not t.met]
        if unmet:
            raise Refused(f"{role} has {unmet[0].sentence}")
        signed = state.signed(role)
        files[drafts.file_name(role, signed.version)] = signed.file_sha256
    if files != dict(event.files):
        raise Refused("the signed files are not those made from drafts and signatures")


def _exported(state: State, event: e.Exported, _: str) -> None:
    step = step_now(state, s.ExportStep, index=event.step)
    wanted = outputs.exported(state, step.what)
    _known(event.files, wanted, "this ceremony exports no file")
    for name, digest in wanted.items():
        written = event.files.get(name, digest if name in state.lists else None)
        if written is None or digest not in ("", written):
            raise Refused(f"{name} was not among the files written")


def _seal_opened(state: State, event: e.SealOpened, _: str) -> None:
    step_now(state, s.SealStep, index=event.step)
    if state.seal is not None:
        raise Refused("the seal is open already")
    if dict(event.subjects) != dict(state.outputs):
        raise Refused("the seal is not about the outputs of this ceremony")


def _seal_intended(state: State, event: e.SealIntended, _: str) -> None:
    step = step_now(state, s.SealStep)
    if state.seal is None or event.person not in step.by or event.person in state.seals:
        raise Refused(f"{printable(event.person)} does not seal now")
    if seal.sealing_key(state, event.person, event.keyid).keyid != event.keyid:
        raise Refused(f"{printable(event.person)} does not seal with a key that has no id")


def _sealed(state: State, event: e.Sealed, _: str) -> None:
    assert state.unanswered is not None
    intended = state.unanswered.event
    if not isinstance(intended, e.SealIntended) or (intended.person, intended.agree) != (event.person, event.agree):
        raise Refused("the seal is not the one that was intended")
    key = seal.sealing_key(state, event.person, intended.keyid)
    seal.verify(event.envelope, key, seal.statement(state, event.person, event.agree, event.reason, key))


_RULES: Mapping[type, Callable[[State, Any, str], None]] = {
    **decide_tokens.RULES,
    e.Said: _said,
    e.Gathered: _gathered,
    e.PreflightTaken: _preflight,
    e.NetworkSeen: _network,
    e.Drafted: _drafted,
    e.DraftProved: _proved,
    e.ReviewRead: _read,
    e.Compared: _compared,
    e.SignatureIntended: _sign_intended,
    e.SignatureAdded: _signature,
    e.SignatureImported: _imported,
    e.ImportEnded: _import_ended,
    e.IntentAbandoned: _abandoned,
    e.Verified: _verified,
    e.Exported: _exported,
    e.SealOpened: _seal_opened,
    e.SealIntended: _seal_intended,
    e.Sealed: _sealed,
}
