"""What leaves the room, and what comes back: verify, export, import."""

from __future__ import annotations

from pathlib import Path

from vestry.ceremony import choosing, outputs, second_opinion
from vestry.ceremony import events as e
from vestry.ceremony.dialogue import Ask
from vestry.ceremony.drafts import file_name
from vestry.ceremony.room import Room
from vestry.ceremony.script import DRIVE, ExportStep, ImportStep, VerifyStep
from vestry.errors import InputRejected, MediumTrouble, NotTrusted, Refused
from vestry.media import arrivals, aside, discovery, drives, names
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
    """Write, sync, read back and compare; onto a drive that people choose, or into a folder that they name."""
    files = outputs.to_export(room.state, room.folder, step.what)
    to = _on_a_drive(room, sum(map(len, files.values()))) if step.to == DRIVE else None
    to = to or _in_a_folder(room, room.folder / ("export" if step.to == DRIVE else step.to))
    with room.waiting("Writing, reading back and comparing"):
        written = drives.export(files, to)
    drive = discovery.holding(to, discovery.find())
    place = f"{to} on {drive.describe()}" if drive is not None else str(to)
    room.record(e.Exported(index, str(printable(place)), dict(written)), room.administrator)
    room.tell(f"{len(written)} files written to {place}, read back and equal", good=True)
    if drive is not None:
        room.tell(drive.farewell())


def _on_a_drive(room: Room, need: int) -> Path | None:
    """A folder of the ceremony's name on the drive that is chosen; None where a folder is to be named instead."""
    drive = choosing.choose(
        room.ask, room.front, need=need, otherwise="name a folder instead", person=room.administrator
    )
    if drive is None or drive.mounted is None:
        return None
    return drives.folder_on(drive.mounted, names.safe_part(room.folder.resolve().name))


def _in_a_folder(room: Room, default: Path) -> Path:
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
    return Path(typed.strip() or default).expanduser()


def take_in(room: Room, step: ImportStep, index: int) -> None:
    """Take signatures from folders until there are no more."""
    while True:
        typed = room.ask(
            Ask(
                "import",
                f"Name what holds signatures of {step.role}, or leave it empty when there are no more.",
                person=room.administrator,
                details=(
                    "A drive, a folder, an archive, or the file of one signature.",
                    "Signatures that came as QR codes: vestry qr read PICTURES -o FOLDER, then name FOLDER.",
                ),
            )
        ).strip()
        if not typed:
            room.record(e.ImportEnded(index), room.administrator)
            return
        try:
            _take_from(room, step.role, Path(typed).expanduser())
        except (InputRejected, NotTrusted, MediumTrouble) as error:
            room.tell(f"Nothing more was taken in: {error}", good=False)


def _take_from(room: Room, role: str, path: Path) -> None:
    """Take in what verifies and is not there yet; keep the rest aside, with the reason."""
    draft = room.state.documents[role]
    set_aside = []
    for signature in arrivals.signatures_in(path):
        if signature.keyid in room.state.signatures.get(role, {}):
            room.tell(f"Signature of key {signature.keyid[:8]}... on {role} is here already")
            continue
        try:
            event = e.SignatureImported(role, draft.digest, signature.keyid, signature.sig, str(printable(str(path))))
            room.record(event, room.administrator)
            room.tell(f"Signature of key {signature.keyid[:8]}... on {role} taken in", good=True)
        except (NotTrusted, Refused) as error:
            set_aside.append(aside.SetAside(signature, str(path), error.what))
            room.tell(f"Set aside: {error}", good=False)
    if set_aside:
        kept = room.folder / "set-aside" / role
        aside.keep(set_aside, kept)
        room.tell(f"What was set aside is kept in {kept}")
