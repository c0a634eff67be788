"""``vestry verify --as-client``: how far a real client comes in a repository's folder, and with what."""

from __future__ import annotations

import argparse
from pathlib import Path

from vestry.cli import output
from vestry.errors import ExitStatus, InputRejected
from vestry.media import client
from vestry.media.client import Walk
from vestry.text import printable


def run(args: argparse.Namespace) -> int:
    """Walk one folder; 1 where the client refuses something."""
    if args.unsigned:
        raise InputRejected(
            "no client takes what nobody signed", where="--unsigned", do="leave one out", code="E-USAGE"
        )
    folder = Path(args.paths[0])
    if len(args.paths) != 1 or not folder.is_dir():
        raise InputRejected(
            "a client walks one folder of published metadata",
            where=printable(args.paths[0], 200),
            do="name the repository's folder alone",
            code="E-USAGE",
        )
    trusted = client.trusted_root(Path(args.trusted), limit=args.limit) if args.trusted else None
    found = client.walk(folder, trusted=trusted, paths=args.target, limit=args.limit)
    if args.json:
        output.emit(_object(found))
    else:
        if trusted is None:
            output.narrate(
                "trusting the lowest root in the folder; --trusted FILE names the one that your clients have"
            )
        output.line(*_lines(found, named=bool(args.target)))
    return int(ExitStatus.DONE if found.ok else ExitStatus.DOES_NOT_HOLD)


def _object(found: Walk) -> dict[str, object]:
    return {
        "client": client.NAME,
        "roots": list(found.roots),
        "roles": dict(found.roles),
        "targets": [{"path": t.path, "ok": not t.why, "why": t.why, "file": not t.missing} for t in found.targets],
        "listed": found.listed,
        "refused": found.refused,
        "notes": list(found.notes),
        "ok": found.ok,
    }


_SHOWN = 20


def _lines(found: Walk, *, named: bool) -> list[str]:
    lines = [f"{client.NAME}, without a network"]
    if found.roots:
        lines.append("  root " + " -> ".join(f"v{version}" for version in found.roots))
    tops = ("timestamp", "snapshot", "targets")
    lines += [f"  {role} v{found.roles[role]}" for role in tops if role in found.roles]
    others = [role for role in found.roles if role not in (*tops, "root")]
    lines += [f"  {printable(role, 60)} v{found.roles[role]}" for role in others[:_SHOWN]]
    if len(others) > _SHOWN:
        lines.append(f"  and {len(others) - _SHOWN:,} more delegated roles")
    if found.refused:
        lines.append(f"  NO   {found.refused}")
    wrong = [t for t in found.targets if t.why]
    lines += [f"  NO   {printable(t.path, 80)}: {t.why}" for t in wrong[:_SHOWN]]
    if len(wrong) > _SHOWN:
        lines.append(f"  NO   and {len(wrong) - _SHOWN:,} more targets")
    right = sum(not t.why and not t.missing for t in found.targets)
    missing = sum(t.missing for t in found.targets)
    lines.append(f"  {right:,} targets downloaded and verified, {missing:,} listed whose files are not here")
    if not named and found.listed > len(found.targets) and not found.refused:
        rest = found.listed - len(found.targets)
        lines.append(f"  {rest:,} more paths are listed and were not looked up; --target PATH names one")
    lines += [f"  note {note}" for note in found.notes]
    return [*lines, "holds" if found.ok else "DOES NOT HOLD"]
