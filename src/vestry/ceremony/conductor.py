"""The conductor: runs a script's steps against people, tokens, media and clock, and appends what happens.

It is the only place with effects. A ceremony is opened once and resumed as often as needed; the transcript alone says
where it stands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vestry import __version__
from vestry.ceremony import actors, agenda, authoring, collecting, comparing, delivering, outputs, provisioning
from vestry.ceremony import events as e
from vestry.ceremony import script as s
from vestry.ceremony.bench import Bench
from vestry.ceremony.clock import Clock, SystemClock
from vestry.ceremony.decide import decide
from vestry.ceremony.departing import Unwound
from vestry.ceremony.dialogue import Choose, Confirm, Front
from vestry.ceremony.resolving import resolve
from vestry.ceremony.room import Room
from vestry.ceremony.script import Script
from vestry.ceremony.state import State, evolve
from vestry.ceremony.transcript import Transcript
from vestry.errors import InputRejected, MediumTrouble, NotTrusted, Refused, Stopped, TokenTrouble, VestryError
from vestry.machine.isolation import Confinement
from vestry.media import drives
from vestry.text import printable, words

TRANSCRIPT = "transcript.jsonl"

_PERFORM: Mapping[type, Callable[[Room, Any, int], None]] = {
    s.SayStep: authoring.say,
    s.GatherStep: authoring.gather,
    s.PreflightStep: authoring.look_at_machine,
    s.ProvisionStep: provisioning.provision,
    s.DraftStep: authoring.make_drafts,
    s.ReviewStep: authoring.read_drafts,
    s.CompareStep: comparing.compare,
    s.SignStep: collecting.sign,
    s.VerifyStep: delivering.verify,
    s.DestroyStep: collecting.destroy,
    s.ExportStep: delivering.export,
    s.ImportStep: delivering.take_in,
    s.SealStep: collecting.seal_ceremony,
}


def software() -> tuple[str, str]:
    """Name and version, and one digest over Vestry's own source files, sorted by name."""
    root = Path(__file__).resolve().parent.parent
    total = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        total.update(path.relative_to(root).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return f"vestry {__version__}", total.hexdigest()


def conduct(
    script: Script,
    inputs: Mapping[str, bytes],
    folder: Path,
    front: Front,
    *,
    tokens: Path | None = None,
    clock: Clock | None = None,
    confined: Confinement | None = None,
    beside: Path = Path(),
) -> State:
    """Run `script` in `folder` from where its transcript stands, to the end.

    Args:
        script: The script; the one that the transcript was opened with, when it exists.
        inputs: The files that the script names, by name.
        folder: The ceremony's folder; made where it does not exist.
        front: Who asks.
        tokens: Folder of software tokens; ``tokens`` in the ceremony's folder where not given.
        clock: Where the time comes from.
        confined: How far this process was cut off, where it was to be.
        beside: The folder of the script, from which its paths of folders lead.

    Returns:
        The state at the end.

    Raises:
        Stopped: the operator stopped.
        VestryError: the ceremony can't be opened or resumed.
    """
    clock = clock or SystemClock()
    with Bench(script, tokens or folder / "tokens") as bench:
        transcript, state = _open(script, inputs, folder, clock)
        try:
            room = Room(folder, transcript, state, front, bench, clock, confined, beside)
            outputs.write_all(room.state, folder)
            front.show(room.state)
            _say_how_confined(room)
            _run(room)
            return room.state
        finally:
            transcript.close()


def _say_how_confined(room: Room) -> None:
    """Whether this run is cut off from networks; a run that is not goes on, and the transcript says so."""
    if room.confined is not None:
        room.tell(room.confined.said, good=room.confined.isolated or None)
        if not room.confined.isolated:
            room.record(e.TroubleMet("", "E-ISOLATION", room.confined.said), room.administrator)


def _open(script: Script, inputs: Mapping[str, bytes], folder: Path, clock: Clock) -> tuple[Transcript, State]:
    path = folder / TRANSCRIPT
    name, digest = software()
    if not path.exists():
        drives.make_folder(folder)
        texts = {n: _text(n, raw) for n, raw in inputs.items()}
        opened = e.Opened(e.FORMAT, name, digest, script.sha256, script.text, texts, script.rehearsal)
        transcript, recorded = Transcript.create(path, opened, actors.administrator(script), clock=clock)
        return transcript, evolve(None, recorded)
    transcript, past = Transcript.open(path, clock=clock)
    try:
        state = admitted(past)
        if state.script.sha256 != script.sha256:
            raise Refused(
                "this folder holds a ceremony with another script",
                where=str(folder),
                do="give --into another folder, or the script that it began with",
            )
        recorded = transcript.resume(name, digest, by=past[0].by)
        return transcript, evolve(state, recorded)
    except VestryError:
        transcript.close()
        raise


def admitted(past: Sequence[e.Recorded]) -> State:
    """Fold events again, each past the gate that let it in: a transcript whose chain was made anew around other events
    is not gone on with.

    Raises:
        NotTrusted: an event would not have been admitted; says which.
    """
    state: State | None = None
    for recorded in past:
        try:
            decide(state, recorded.event, at=recorded.at)
            if state is not None:
                actors.check(state, recorded.event, recorded.by)
            state = evolve(state, recorded)
        except (VestryError, KeyError, ValueError, StopIteration) as error:
            raise NotTrusted(
                f"this event does not follow from those before it: {printable(str(error))}",
                where=f"{TRANSCRIPT}, line {recorded.n}",
                do="someone changed the transcript; keep the folder as evidence",
                code="E-TRANSCRIPT-FORGED",
            ) from error
    if state is None:
        raise NotTrusted("the transcript is empty", where=TRANSCRIPT, code="E-TRANSCRIPT-FORGED")
    return state


def _text(name: str, raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise InputRejected("it is not text in UTF-8", where=printable(name)) from None


def _run(room: Room) -> None:
    steps = room.state.script.steps
    while (here := agenda.position(room.state)) < len(steps) or room.state.unanswered:
        try:
            _step(room, steps, here)
        except Unwound:
            continue
    _close(room)


def _step(room: Room, steps: Sequence[s.Step], here: int) -> None:
    try:
        resolve(room)
        if here < len(steps):
            _PERFORM[type(steps[here])](room, steps[here], here)
    except (TokenTrouble, MediumTrouble, Refused, NotTrusted, InputRejected) as error:
        _recover(room, error)


def _recover(room: Room, error: VestryError) -> None:
    if error.code.startswith("E-TRANSCRIPT-"):
        raise error  # it takes no more lines, and why is what people must read
    room.record(e.TroubleMet("", error.code, str(printable(str(error)))), room.administrator)
    room.front.trouble(error, room.meaning())
    answer = room.ask(
        Choose(
            "trouble",
            "Decide how to go on.",
            person=room.administrator,
            details=(str(printable(str(error))),),
            options=(
                ("again", "try this step again"),
                ("stop", "stop here; everything recorded stays"),
                ("depart", "skip or repeat a step, take another token, or state the time"),
            ),
        )
    )
    if answer == "depart":
        room.depart()
        return
    if answer != "again":
        raise Stopped("stopped after trouble", do="run the same line again to go on")


def _close(room: Room) -> None:
    head = words(room.state.head)
    room.ask(
        Confirm(
            "finished",
            "Read the head of the transcript aloud and write it on paper.",
            person=room.administrator,
            details=(" ".join(head), room.state.head),
            yes="it is on paper",
        )
    )
