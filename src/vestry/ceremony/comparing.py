"""Comparing what is published with a last good snapshot, both pinned by the script; people answer for what differs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from vestry.ceremony import events as e
from vestry.ceremony.dialogue import Ask
from vestry.ceremony.gate import list_name
from vestry.ceremony.room import Room
from vestry.ceremony.script import CompareStep, Input
from vestry.errors import InputRejected, MediumTrouble
from vestry.media import drives, snapshot
from vestry.media.snapshot import Snapshot
from vestry.metadata.canonical import encode
from vestry.metadata.comparison import KINDS, Difference
from vestry.text import printable

LISTED = 100_000  # lines; beyond, differences are counted and not listed
_SHOWN = 5


def compare(room: Room, _: CompareStep, index: int) -> None:
    """Find both folders, compare them, write the list of what differs, and have people answer for each kind."""
    good, now = (_found(room, item) for item in room.state.script.snapshots)
    counts: Counter[str] = Counter()
    lines: list[bytes] = []
    shown: dict[str, list[str]] = {}
    with room.waiting("What is published is compared with the last good snapshot"):
        for difference in snapshot.compare(good, now):
            counts[difference.kind] += 1
            if len(lines) < LISTED:
                lines.append(encode(difference.to_dict()) + b"\n")
            if len(shown.setdefault(difference.kind, [])) < _SHOWN:
                shown[difference.kind].append(_line(difference))
    name = list_name(index)
    content = b"".join(lines)
    drives.write_file(room.folder / name, content)
    answers = {}
    for kind, what in KINDS.items():
        if counts[kind]:
            more = f"all are listed in {name}" if sum(counts.values()) <= LISTED else f"the first {LISTED:,} in {name}"
            sentence = f"Write what is done about {counts[kind]:,} times {what}."
            answers[kind] = _answer(room, sentence, (*shown[kind], more))
    digest = drives.sums({name: content}).decode()[:64]
    room.record(e.Compared(index, dict(counts), name, digest, answers), room.administrator)
    said = f"{sum(counts.values()):,} differences between both snapshots; they are in {name}"
    room.tell(said if counts else "Nothing differs from the last good snapshot", good=not counts or None)


def _answer(room: Room, sentence: str, details: tuple[str, ...]) -> str:
    answer = ""
    while not answer.strip():
        answer = room.ask(Ask("compared", sentence, person=room.administrator, details=details))
    return answer.strip()


def _line(difference: Difference) -> str:
    path = f": {printable(difference.path, 100)}" if difference.path else ""
    versions = f" (v{difference.good}, now v{difference.now})" if difference.kind == "rolled-back" else ""
    return f"{difference.kind} in {printable(difference.role, 40)}{path}{versions}"


def _found(room: Room, item: Input) -> Snapshot:
    """The folder of `item`: where the script says, or wherever else someone names, if its list is the one pinned."""
    path, pinned = room.beside / item.path, room.state.inputs[item.name].encode()
    while True:
        try:
            found = snapshot.open_snapshot(path)
            with room.waiting(f"The files in {printable(str(path), 60)} are held against their list"):
                if snapshot.listing(found) == pinned:
                    return found
            room.tell(f"{printable(str(path), 100)} holds other files than the script pins", good=False)
        except (InputRejected, MediumTrouble) as error:
            room.tell(str(printable(str(error))), good=False)
        typed = room.ask(
            Ask(
                "snapshot",
                f"Name the folder of the snapshot '{item.name}'.",
                person=room.administrator,
                details=(f"Its list has the SHA-256 {item.sha256}.",),
                default=str(path),
            )
        )
        path = Path(typed).expanduser()
