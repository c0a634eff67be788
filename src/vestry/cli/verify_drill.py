"""``vestry verify`` of a drill's record: does each proof in it still hold, and who was missing."""

from __future__ import annotations

from pathlib import Path

from vestry.ceremony import drill
from vestry.ceremony.drill import Drill
from vestry.cli import output
from vestry.errors import ExitStatus
from vestry.metadata import intake
from vestry.text import printable

_LONGEST = 4 << 20


def is_record(path: Path) -> bool:
    """Whether `path` says of itself that it is a drill's record."""
    if not path.is_file() or path.stat().st_size > _LONGEST:
        return False
    return drill.MARK in intake.read_file(path, limit=_LONGEST)


def run(path: Path, *, as_json: bool) -> int:
    """Verify one record; 1 where a key was missing, or none signed.

    Raises:
        NotTrusted: a proof in it does not hold.
    """
    where = str(printable(str(path), 200))
    read = drill.read(intake.read_file(path, limit=_LONGEST), where=where)
    ok = bool(read.proved) and not read.missing
    if as_json:
        keys = [{"keyid": p.keyid, "holder": p.holder, "serial": p.serial, "uri": p.uri} for p in read.proved]
        output.emit({"ok": ok, "at": read.at, "proved": keys, "missing": list(read.missing)})
    else:
        output.line(*_lines(read), "holds" if ok else "DOES NOT HOLD")
    return int(ExitStatus.DONE if ok else ExitStatus.DOES_NOT_HOLD)


def _lines(read: Drill) -> list[str]:
    keys = f"{len(read.proved)} {'key' if len(read.proved) == 1 else 'keys'} signed"
    lines = [f"drill of {printable(read.at, 40)}: {keys}, {len(read.missing)} missing"]
    for p in read.proved:
        holder = f" ({printable(p.holder, 60)})" if p.holder else ""
        device = f"{printable(p.model, 60)}, serial {printable(p.serial, 60)}"
        lines.append(f"  ok   key {printable(p.keyid, 64)}{holder} on {device}")
    lines += [f"  NO   key {printable(keyid, 64)} did not sign" for keyid in read.missing]
    lines += [f"  note {printable(trouble, 200)}" for trouble in read.troubles]
    return lines
