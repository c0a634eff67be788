"""``vestry stage claims``: projects move from recently-claimed to claimed, all of a list in one document."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from vestry.cli import output, staging
from vestry.errors import ExitStatus, InputRejected, Refused
from vestry.media import bundle, drives, names
from vestry.media.lineage import Beside, Lineage
from vestry.metadata import claims, intake
from vestry.metadata.claims import Roles
from vestry.metadata.document import Document
from vestry.metadata.lookalike import known_with
from vestry.text import printable

_LIST_LIMIT = 1 << 20


def run(args: argparse.Namespace) -> int:
    """Judge each project, draft both roles, and make the bundle that claimed's holders sign; 1, and nothing is made,
    where a finding stops it."""
    now = datetime.now(UTC)
    expires, recently_expires = (staging.expiry(t, now.date()) for t in (args.expires, args.recently_expires))
    projects = listed(Path(args.projects))
    opened = staging.opened(args, (*args.previous, args.recently), now)
    above, online = opened.trace(args.role), opened.trace(args.recently_role)
    roles = _roles(args, above, online)
    metadata = _metadata(Path(args.metadata), projects) if args.metadata else {}
    findings = claims.judge(projects, roles, well_known=known_with(()), metadata=metadata, now=now)
    if stops := [f for f in findings if f.severity == "stop"]:
        if args.json:
            output.emit({"findings": [f.to_dict() for f in findings]})
        else:
            output.line(*staging.found(findings))
        raise Refused(
            f"{stops[0].text} ({stops[0].code})",
            where=f"{len(stops):,} of {len(findings):,} findings stop it",
            do="nothing was made; take these projects out of the list, or see docs/findings.md",
            code="E-STAGE-CLAIMS",
        )
    claimed, recently = claims.move(projects, roles, expires=expires, recently_expires=recently_expires)
    beside = Path(f"{args.into}.{roles.recently.version + 1}.{names.safe_part(args.recently_role)}.json")
    if beside.is_symlink() or beside.exists():
        raise Refused(
            "something lies here already, and it is not written over",
            where=printable(str(beside), 200),
            do="move it away, or name another --into; nothing was made",
            code="E-BUNDLE-EXISTS",
        )
    seen = f"{len(metadata):,} of them with their own metadata" if args.metadata else "without their own metadata"
    source = f"{printable(args.recently_role, 60)} v{roles.recently.version}"
    they_move = "1 project moves" if len(projects) == 1 else f"{len(projects):,} projects move"
    moved = f"{they_move} from {source}; each was looked at on {now:%Y-%m-%d %H:%M} UTC, {seen}"
    told = (f"{f.code}: {f.text}" for f in findings)
    notes = staging.noted((*above.notes, *online.notes, moved, *told))
    made = bundle.create(
        Path(args.into),
        role=args.role,
        unsigned=claimed,
        trusted=above.delegator,
        previous=above.previous if above.vouched else None,
        holders=staging.signing(above.authority, opened.names),
        notes=notes,
    )
    drives.write_file(beside, recently)
    after = (
        f"{printable(str(beside), 200)} is {printable(args.recently_role, 60)} without them, for its service to sign",
        "publish both at once; a service that signed since then takes the same projects out of what it has now",
    )
    staging.report(args, made, (*notes, *after), findings=findings, changes=False)
    return int(ExitStatus.DONE)


def listed(path: Path) -> tuple[str, ...]:
    """Names of projects, one a line; blank lines and what follows a ``#`` are passed over.

    Raises:
        InputRejected: it is not ASCII text, or names nobody.
    """
    where = printable(str(path), 200)
    try:
        lines = intake.read_file(path, limit=_LIST_LIMIT).decode("ascii").splitlines()
    except UnicodeDecodeError:
        raise InputRejected("names of projects are ASCII", where=where, code="E-STAGE") from None
    found = tuple(name for line in lines if (name := line.partition("#")[0].strip()))
    if not found:
        raise InputRejected("it names no project", where=where, do="write one on each line", code="E-STAGE")
    return found


def _roles(args: argparse.Namespace, above: Lineage, online: Lineage) -> Roles:
    if online.previous is None or not online.vouched:
        raise InputRejected(
            f"there is no signed {printable(args.recently_role, 60)} to move projects from",
            where="--recently",
            do="name the published one",
            code="E-STAGE",
        )
    if online.delegator is not above.delegator and online.delegator.digest != above.delegator.digest:
        raise InputRejected("the two roles have different delegators", where="--recently", code="E-STAGE")
    return Roles(above.delegator, above.previous, online.previous, args.role, args.recently_role)


def _metadata(folder: Path, projects: tuple[str, ...]) -> Mapping[str, Document]:
    beside = Beside(folder, staging.read_one)
    found = {project: beside.newest(project) for project in projects}
    return {project: one.document for project, one in found.items() if one is not None}
