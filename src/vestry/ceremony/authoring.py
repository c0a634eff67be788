"""From the people in the room to drafts that were read: say, gather, preflight, draft, review."""

from __future__ import annotations

from datetime import datetime

from vestry.ceremony import agenda, proof, timekeeping
from vestry.ceremony import events as e
from vestry.ceremony.decide import read_review
from vestry.ceremony.dialogue import Ask, Choose, Confirm, ReadReview
from vestry.ceremony.drafts import draft
from vestry.ceremony.room import Room
from vestry.ceremony.script import DraftStep, GatherStep, PreflightStep, ReviewStep, SayStep
from vestry.errors import Stopped
from vestry.machine import preflight
from vestry.machine.isolation import OPEN
from vestry.machine.preflight import Plan
from vestry.metadata.rulebook import Finding
from vestry.text import printable


def say(room: Room, step: SayStep, index: int) -> None:
    """Read an instruction out; write down what it asks for."""
    recorded = {}
    if not step.record:
        _insist(room, Confirm("done", step.text, person=room.administrator, yes="it is done"))
    for label in step.record:
        answer = ""
        while not answer.strip():
            answer = room.ask(Ask("record", f"Write down: {label}.", person=room.administrator, details=(step.text,)))
        recorded[label] = answer.strip()
    room.record(e.Said(index, recorded), room.administrator)


def gather(room: Room, step: GatherStep, index: int) -> None:
    """See that everyone is here."""
    offices = {p.name: p.office for p in room.state.script.people}
    people = tuple(f"{name}, {offices[name]}" for name in step.people)
    _insist(
        room,
        Confirm(
            "present",
            "Look around: is everyone here?",
            person=room.administrator,
            details=people,
            yes="everyone is here",
        ),
    )
    room.record(e.Gathered(index, step.people), room.administrator)


def look_at_machine(room: Room, step: PreflightStep, index: int) -> None:
    """Look at the machine; what does not hold is mended and looked at again, or waived with a reason."""
    while True:
        with room.waiting("The machine is looked at"):
            seen = preflight.take(_plan(room), room.confined or OPEN)
        checks = {name: (str(check.verdict), check.line) for name, check in seen.items()}
        # What does not pass comes last, where it stays on the screen.
        for name, (verdict, line) in sorted(checks.items(), key=lambda check: check[1][0] != "pass"):
            room.tell(f"{name}: {verdict}: {line}", good={"pass": True, "stop": False}.get(verdict))
        room.tell(
            f"The machine's clock says {room.now()}. Hold a watch against it: 'exception', or F6, states its time."
        )
        bad = agenda.amiss(room.state.script, step, checks)
        waived = {}
        if bad:
            answer = room.ask(
                Choose(
                    "preflight",
                    "Mend what does not hold, then look again.",
                    person=room.administrator,
                    details=tuple(f"{name}: {line}" for name, line in bad.items()),
                    options=(
                        ("again", "look again"),
                        ("waive", "go on in spite of it, with a reason on record"),
                        ("depart", "state the time from a watch, or skip this step"),
                    ),
                )
            )
            if answer == "depart":
                room.depart()
            if answer != "waive":
                continue
            for name, line in bad.items():
                reason = ""
                while not reason.strip():
                    reason = room.ask(
                        Ask("waive", f"Write why '{name}' may be passed over.", room.administrator, (line,))
                    )
                waived[name] = reason.strip()
        room.record(e.PreflightTaken(index, checks, waived), room.administrator)
        return


def _plan(room: Room) -> Plan:
    now = datetime.fromisoformat(room.now())
    doubts = timekeeping.doubts(room.state.script, room.state.predecessor, now)
    return Plan(room.folder, doubts, room.bench.modules())


def make_drafts(room: Room, step: DraftStep, _: int) -> None:
    """Draft, then let a client walk the drafts under throwaway keys."""
    _clock_answered(room, step)
    for role in agenda.undrafted(room.state, step):
        made = draft(room.state, role)
        room.record(e.Drafted(role, made.version, made.file_sha256, made.digest, len(made.raw)), room.administrator)
        told = f"{len(made.raw):,} bytes, expires {made.expires:%Y-%m-%d}"
        room.tell(f"Drafted {printable(role)}{f' v{made.version}' if made.version else ''}: {told}", good=True)
    if agenda.unproved(room.state, step):
        with room.waiting("A client walks the drafts under throwaway keys"):
            proof.prove(room.state, at=room.now())
        digests = {role: doc.digest for role, doc in room.state.documents.items()}
        room.record(e.DraftProved(proof.CLIENT, digests), room.administrator)
        room.tell(f"{proof.CLIENT} walked the drafts under throwaway keys and accepts them", good=True)


def _clock_answered(room: Room, step: DraftStep) -> None:
    """Expiry is computed from the clock: one that is in doubt is answered before anything is drafted."""
    while agenda.undrafted(room.state, step) and (room.state.doubt or room.state.jumped):
        why = room.state.doubt or next(f.text for f in reversed(room.state.clock) if f.n)
        room.tell(f"Nothing is drafted: {printable(why)}", good=False)
        answer = room.ask(
            Choose(
                "clock",
                "Answer for the clock: expiry is computed from it.",
                person=room.administrator,
                details=(str(printable(why)),),
                options=(
                    ("depart", "state the time from a watch, or agree to go on"),
                    ("stop", "stop here; everything recorded stays"),
                ),
            )
        )
        if answer == "stop":
            raise Stopped("stopped: the clock is in doubt", do="set the clock, then run the same line again")
        room.depart()


def read_drafts(room: Room, step: ReviewStep, _: int) -> None:
    """Show each draft's review, to the end; a stop finding ends here."""
    for role in agenda.unread(room.state, step):
        shown = read_review(room.state, role, room.now())
        version = room.state.documents[role].version
        answers = room.ask(
            ReadReview(
                "review",
                f"Read what {role} v{version} says, to its end.",
                person=room.administrator,
                details=("Everyone reads along. What is read here, byte for byte, is what gets signed.",),
                review=shown,
            )
        )
        overruled = {f.name: _overrule(room, f) for f in shown.findings if f.severity == "stop"}
        room.record(
            e.ReviewRead(
                role,
                shown.new.digest,
                len(shown.changes),
                tuple(f"{f.code} {f.where}" for f in shown.findings),
                dict(answers),
                {s.finding.name: s.reason for s in shown.silenced},
                {name: people for name, people in overruled.items() if people},
            ),
            room.administrator,
        )
        room.tell(f"{role} v{version} was read: {len(shown.changes)} changes", good=True)


def _overrule(room: Room, finding: Finding) -> tuple[str, ...]:
    """The people who agree that a stop does not hold here, as many as the script demands; nobody, where it lets
    none."""
    agreed: list[str] = []
    wanted = room.state.script.policy.overrule
    while len(agreed) < wanted:
        left = [p.name for p in room.state.script.people if p.name not in agreed]
        chosen = room.ask(
            Choose(
                "overrule",
                f"Say who agrees that this stop does not hold here ({len(agreed)} of {wanted}).",
                person=room.administrator,
                details=(f"{finding.code}: {finding.text}", "Each of them must be here and say so."),
                options=(("", "nobody: stop here"), *((name, str(printable(name))) for name in left)),
            )
        )
        if not chosen:
            raise Stopped("stopped at a finding", do="mend what it says, or run the same line again")
        agreed.append(chosen)
    return tuple(agreed)


def _insist(room: Room, question: Confirm) -> None:
    """A step that only people can do: yes goes on, no stops here, to be resumed."""
    if not room.ask(question):
        raise Stopped("stopped: not done yet", do="run the same line again to go on")
