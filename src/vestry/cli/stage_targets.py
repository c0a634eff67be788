"""``vestry stage targets``: the next version of a targets role, from the files of a release."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vestry.cli import output, staging
from vestry.errors import ExitStatus, InputRejected, MediumTrouble, Refused
from vestry.media import bundle, distributions
from vestry.media.lineage import Lineage
from vestry.metadata import drafting, intake, scope
from vestry.metadata.lookalike import project_of
from vestry.metadata.parts import Target
from vestry.metadata.rulebook import Finding
from vestry.text import printable


@dataclass(frozen=True)
class Release:
    """Files by target path, what was found in them, and what is to be said of them."""

    targets: Mapping[str, Target]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]


def run(args: argparse.Namespace) -> int:
    """Look into the files, draft, and make the bundle; 1, and nothing is made, where a finding stops it."""
    now = datetime.now(UTC)
    expires = staging.expiry(args.expires, now.date())
    opened = staging.opened(args, args.previous, now)
    lineage = opened.trace_or_called(args.role)
    release = read(args.add, lineage, prefix=args.prefix, look=not args.no_look, now=now)
    if stops := [f for f in release.findings if f.severity == "stop"]:
        _tell(args, release)
        raise Refused(
            f"{stops[0].text} ({stops[0].code})",
            where=f"{len(stops)} findings stop it" if len(stops) > 1 else "stage targets",
            do="nothing was made; build the files anew, or see docs/findings.md",
            code="E-STAGE-FILES",
        )
    previous = lineage.previous
    raw = drafting.next_targets(previous, expires=expires, add=release.targets, remove=args.remove)
    notes = staging.noted((*lineage.notes, *release.notes))
    made = bundle.create(
        Path(args.into),
        role=lineage.role,
        unsigned=raw,
        trusted=lineage.delegator,
        previous=previous if lineage.vouched else None,
        holders=staging.signing(lineage.authority, opened.names),
        notes=notes,
    )
    staging.report(args, made, notes, findings=release.findings)
    return int(ExitStatus.DONE)


def read(files: Sequence[str], lineage: Lineage, *, prefix: str | None, look: bool, now: datetime) -> Release:
    """The files of a release as targets, each under a path that the role was given.

    Raises:
        InputRejected: a file can't be read, two have one path, or it is not plain which path a file is to have.
        Refused: a path is not given to the role.
    """
    targets: dict[str, Target] = {}
    findings: list[Finding] = []
    notes: list[str] = []
    for text in files:
        path = Path(text)
        at = _place(path.name, lineage, prefix)
        if at in targets:
            raise staging.usage(f"two files would be {printable(at, 120)}", "--add")
        try:
            with intake.open_file(path) as file:
                targets[at] = Target.of(file)
                file.seek(0)
                if look:
                    looked = distributions.look(path.name, file)
                    findings += (*looked.findings, *distributions.of_project(path.name, looked, _project(lineage)))
        except OSError as error:
            raise MediumTrouble(f"cannot read: {error.strerror}", where=printable(text, 200)) from error
        notes.append(f"{printable(at, 150)} is {printable(path.name, 100)}, {targets[at].length:,} bytes")
    if files and look:
        found = ", ".join(f"{f.code} {f.where}" for f in findings) or "nothing was found"
        notes.insert(0, f"the files were looked into on {now:%Y-%m-%d %H:%M} UTC: {found}")
    elif files:
        notes.insert(0, "nobody looked into the files (--no-look)")
    return Release(targets, tuple(findings), tuple(notes))


def _place(name: str, lineage: Lineage, prefix: str | None) -> str:
    """The target path of a file."""
    if prefix is not None:
        paths: tuple[str, ...] = (f"{prefix.rstrip('/')}/{name}" if prefix.strip("/") else name,)
    elif lineage.role == "targets":
        paths = (name,)
    else:
        paths = scope.place(lineage.delegator, lineage.role, name)
    if len(paths) != 1:
        where = ", ".join(printable(p, 120) for p in paths[:3]) or "none that its name alone gives"
        raise InputRejected(
            f"{printable(name, 100)} could have {len(paths)} paths under {printable(lineage.role, 60)}: {where}",
            where="--add",
            do="say in which folder: --prefix FOLDER",
            code="E-STAGE",
        )
    if (above := lineage.outside(paths[0])) is not None:
        raise Refused(
            f"{above.title} did not give {printable(paths[0], 120)} to {printable(lineage.role, 60)}",
            where="--add",
            do="clients would pass over it: sign it under the role that it belongs to (PEP 480)",
            code="E-STAGE-OUTSIDE",
        )
    return paths[0]


def _project(lineage: Lineage) -> str:
    """The project that a delegated role is for, where all that it was given is one project's."""
    listed = scope.given(lineage.delegator, lineage.role) if lineage.role != "targets" else ()
    projects = {project_of(pattern) if kind == "path" else "" for kind, pattern in listed}
    return projects.pop() if len(projects) == 1 else ""


def _tell(args: argparse.Namespace, release: Release) -> None:
    if args.json:
        output.emit({"findings": [f.to_dict() for f in release.findings]})
    else:
        output.line(*staging.found(release.findings))
