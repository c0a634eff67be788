"""What leaves the room, and what comes back: verify, export, import."""

from __future__ import annotations

from pathlib import Path

from vestry.ceremony import events as e
from vestry.ceremony import outputs, second_opinion
from vestry.ceremony.dialogue import Ask
from vestry.ceremony.drafts import file_name
from vestry.ceremony.room import Room
from vestry.ceremony.script import ExportStep, ImportStep, VerifyStep
from vestry.errors import InputRejected, MediumTrouble, NotTrusted, Refused
from vestry.media import bundle, drives
from vestry.text import printable


def verify(room: Room, step: VerifyStep, index: int) -> None:
    """Count the thresholds over distinct keys, ask python-tuf for its opinion, and write the signed files."""
    for role in step.roles:
        for count in room.state.tallies(role):
            room.tell(f"{role}: {count.sentence}", good=count.met)
            if not count.met:
                raise Refused(f"{role} has {count.sentence}", code="E-VERIFY")
    who = " and ".join(dict.fromkeys(second_opinion.ask(room.state, role) for role in step.roles))
    signed = {role: room.state.signed(role) for role in step.roles}
    files = {file_name(role, doc.version): doc.file_sha256 for role, doc in signed.items()}
    room.record(e.Verified(index, who, files), room.administrator)
    room.tell(f"{who} accepts the signed documents", good=True)


def export(room: Room, step: ExportStep, index: int) -> None:
    """Write, sync, read back and compare."""
    default = room.folder / step.to
    typed = room.ask(
        Ask(
            "export",
            "Name the folder to write to, on the medium that leaves the room.",
            person=room.administrator,
            details=(
                "It is written, synced, read back and compared.",
                "To show a bundle to a camera: vestry qr show BUNDLE, in another terminal.",
            ),
            default=str(default),
        )
    )
    to = Path(typed.strip() or default).expanduser()
    files = outputs.to_export(room.state, room.folder, step.what)
    with room.waiting("Writing, reading back and comparing"):
        written = drives.export(files, to)
    room.record(e.Exported(index, str(printable(str(to))), dict(written)), room.administrator)
    room.tell(f"{len(written)} files written to {to}, read back and equal", good=True)


def take_in(room: Room, step: ImportStep, index: int) -> None:
    """Take signatures from folders until there are no more."""
    while True:
        typed = room.ask(
            Ask(
                "import",
                f"Name a folder with signatures of {step.role}, or leave it empty when there are no more.",
                person=room.administrator,
                details=("Signatures that came as QR codes: vestry qr read PICTURES -o FOLDER, then name FOLDER.",),
            )
        ).strip()
        if not typed:
            room.record(e.ImportEnded(index), room.administrator)
            return
        try:
            found = bundle.signatures_in(Path(typed).expanduser())
        except (InputRejected, NotTrusted, MediumTrouble) as error:
            room.tell(f"Nothing was taken in: {error}", good=False)
            continue
        draft = room.state.documents[step.role]
        for keyid, sig in found:
            if keyid in room.state.signatures.get(step.role, {}):
                continue
            try:
                event = e.SignatureImported(step.role, draft.digest, keyid, sig, str(printable(typed)))
                room.record(event, room.administrator)
                room.tell(f"Signature of key {keyid[:8]}... on {step.role} taken in", good=True)
            except (NotTrusted, Refused) as error:
                room.tell(f"Set aside: {error}", good=False)
