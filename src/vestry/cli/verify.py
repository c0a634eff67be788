"""``vestry verify``: do signatures, thresholds and chains hold; and the proofs of a drill."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vestry.cli import output, verify_drill, verify_many
from vestry.cli.around import role_of
from vestry.cli.documents import NO_KEYS, GivenKeys, given_keys, read_for_review
from vestry.cli.review import decided_by, of_bundle, of_files, only_layouts
from vestry.cli.verify_many import Told
from vestry.errors import ExitStatus, InputRejected
from vestry.media import bundle, repository
from vestry.media.arrivals import bundle_folder
from vestry.media.repository import Link
from vestry.media.services import project
from vestry.metadata import layout, scope
from vestry.metadata.document import ROLES, role_entry
from vestry.metadata.review import Review, review
from vestry.text import printable

# How tools of their day wrote roots that were replaced since: told, but who signed them is what counts today.
_FORMS = frozenset(
    {"EXPIRY-FORM", "KEY-LEGACY", "ROLE-UNKNOWN", "ROOT-CHAIN-BROKEN", "SCHEME-UNKNOWN", "SPEC-VERSION", "TYPE-FORM"}
)


_OF_SIGNING = frozenset({"EXPIRY-PAST", "EXPIRY-SOON", "SIGNATURE-EMPTY", "SIGNATURE-INVALID", "SIGNATURE-UNKNOWN-KEY"})


@dataclass(frozen=True)
class Verdict:
    """A document's review, how it fails to fit its neighbours, and whether a newer version replaced it. `unsigned` says
    that neither signatures nor expiry count: they were taken out, or are still to come."""

    review: Review
    problems: tuple[str, ...] = ()
    superseded: bool = False
    unsigned: bool = False

    @property
    def ok(self) -> bool:
        """All thresholds met, nothing against it."""
        tallies = self.review.tallies
        stops = {f.code for f in self.review.findings if f.severity == "stop"}
        if self.superseded:
            stops -= _FORMS
        if self.unsigned:
            stops -= _OF_SIGNING
        met = bool(tallies) and all(t.met or self.unsigned for t in tallies)
        return not stops and met and not self.problems

    def to_dict(self) -> dict[str, object]:
        """The object of ``review --json``, with ``ok`` as verification has it."""
        value = dict(self.review.to_dict())
        added = [
            {"code": "NOT-LISTED", "severity": "stop", "where": self.review.role, "text": p} for p in self.problems
        ]
        found = value["findings"]
        assert isinstance(found, list)
        return value | {"findings": [*found, *added], "ok": self.ok}


def run(args: argparse.Namespace) -> int:
    """Verify; 1 where anything does not hold."""
    if args.trusted or args.target:
        raise InputRejected("--trusted and --target go with --as-client", where="verify", code="E-USAGE")
    if len(args.paths) == 1 and verify_drill.is_record(Path(args.paths[0])):
        return verify_drill.run(Path(args.paths[0]), as_json=args.json)
    now, given = datetime.now(UTC), given_keys(args.key, args.threshold)
    told = [t for paths in _groups(args.paths) for t in _path_told(paths, args, now, given)]
    ok = all(t.ok for t in told)
    if args.json:
        documents = [dict(t.value or {}) for t in told]
        last = documents[-1] | {"ok": ok}
        output.emit(last if len(told) == 1 else last | {"documents": documents})
    else:
        many = len(told) > _MANY
        for one in told:
            if one.listed or not many:
                output.line(*one.lines)
        if many:
            met = sum(t.ok for t in told)
            output.line(f"{len(told):,} documents: {met:,} hold, {len(told) - met:,} do not")
        but = " but for signatures and expiry, which were not looked at" if args.unsigned else ""
        output.line(f"holds{but}" if ok else "DOES NOT HOLD")
    return int(ExitStatus.DONE if ok else ExitStatus.DOES_NOT_HOLD)


_MANY = 100
"""Documents from which on those of delegated roles are counted, and only what does not hold is listed."""


def _path_told(paths: Sequence[Path], args: argparse.Namespace, now: datetime, given: GivenKeys) -> list[Told]:
    if not given.keys:  # those are for layouts
        whole = len(paths) == 1 and paths[0].is_dir()
        told = verify_many.tell(
            _files(paths),
            lambda k: _told(_verdict(k, now, unsigned=args.unsigned), args.json),
            whole=whole,
            limit=args.limit,
        )
        if told is not None:
            return told
    verdicts = path_verdicts(paths, now, given, limit=args.limit, delegator=args.delegator, unsigned=args.unsigned)
    return [_told(v, args.json) for v in verdicts]


def _files(paths: Sequence[Path]) -> Sequence[Path]:
    """Files of metadata that belong together; none of a bundle, which has one document."""
    if len(paths) != 1 or not paths[0].is_dir():
        return paths
    return (
        () if bundle_folder(paths[0]) is not None else repository.document_files(repository.metadata_folder(paths[0]))
    )


def _told(verdict: Verdict, as_json: bool) -> Told:
    found = verdict.review
    listed = not verdict.ok or found.role in ROLES or bool(found.to_answer)
    if as_json:
        return Told(verdict.ok, listed, value=verdict.to_dict())
    return Told(verdict.ok, listed, tuple(_lines(verdict)))


def path_verdicts(
    paths: Sequence[Path],
    now: datetime,
    given: GivenKeys = NO_KEYS,
    *,
    limit: int = repository.FILE_LIMIT,
    delegator: str | None = None,
    unsigned: bool = False,
) -> list[Verdict]:
    """Verdicts on one bundle or repository, on a project's transaction, or on files that belong together. For
    `unsigned` see `Verdict`."""
    whole = len(paths) == 1 and paths[0].is_dir()
    if whole:
        folder = bundle_folder(paths[0])
        if folder is not None and not unsigned:
            opened = bundle.open_bundle(folder)
            only_layouts(given, "bundle")
            output.narrate(*decided_by(opened))
            return [Verdict(of_bundle(opened, now=now))]
        found = repository.read_folder(paths[0], limit=limit)
    elif len(paths) == 1 and project.is_transaction(paths[0]):
        return _transaction(paths[0], now, delegator, limit)
    else:
        found = repository.read_files(paths, limit=limit)
    layouts = [f.document for f in found if f.document.type == layout.TYPE]
    links = repository.chain([f for f in found if f.document.type != layout.TYPE], whole=whole)
    if links and not layouts:
        only_layouts(given, links[0].role)
    verdicts = [_verdict(link, now, unsigned=unsigned) for link in links]
    return verdicts + [Verdict(of_files(one, None, given, now=now)) for one in layouts]


def _transaction(path: Path, now: datetime, delegator: str | None, limit: int) -> list[Verdict]:
    """A project's upload, under the document that delegates to it (PEP 480): signatures, expiry, paths and files."""
    if delegator is None:
        raise InputRejected(
            "nothing here says who signs for this project",
            where=printable(str(path), 200),
            do="name the document that delegates to it: --delegator claimed.json",
            code="E-USAGE",
        )
    found = project.read(path, limit=limit)
    above = read_for_review(Path(delegator), limit=limit)
    if found.absent:
        output.narrate(f"{len(found.absent):,} files are listed that did not come with it")
    verdicts = []
    for role, doc in found.documents.items():
        parents = [p for p in (above, *found.documents.values()) if role_entry(p, role) is not None and p is not doc]
        problems = found.problems[role] if parents else (*found.problems[role], "nothing here delegates to it")
        ways = scope.above(role, {**found.documents, role_of(Path(delegator)): above})
        seen = review(role, doc, delegator=parents[0] if parents else None, now=now, ancestors=ways)
        # What the role hands on though it was not given to it: a finding elsewhere, a reason to refuse an upload.
        verdicts.append(Verdict(seen, (*problems, *_told_by(seen, "DELEGATION-ESCAPES", "PATH-ESCAPES", _OUTSIDE))))
    return verdicts


_OUTSIDE = "PATH-OUTSIDE"
"""Files that the role was not given to sign: no client finds them. A bin under another's name lists such."""


def _told_by(seen: Review, *codes: str) -> tuple[str, ...]:
    return tuple(f.text for f in seen.findings if f.code in codes)


def _groups(paths: Sequence[str]) -> list[list[Path]]:
    """Each folder by itself, all files together."""
    listed = [Path(p) for p in paths]
    files = [p for p in listed if not p.is_dir()]
    missing = [p for p in files if not p.exists()]
    if missing:
        raise InputRejected("there is nothing here", where=printable(str(missing[0]), 200), do="check the path")
    return [[p] for p in listed if p.is_dir()] + ([files] if files else [])


def _verdict(link: Link, now: datetime, *, unsigned: bool = False) -> Verdict:
    # A client walks through roots that have expired since; only the last one must be valid today (TUF 5.3.10).
    when = min(now, link.document.expires - timedelta(seconds=1)) if link.superseded else now
    found = review(link.role, link.document, old=link.old, delegator=link.delegator, now=when)
    return Verdict(found, (*link.problems, *_told_by(found, _OUTSIDE)), link.superseded, unsigned)


def _lines(verdict: Verdict) -> list[str]:
    found = verdict.review
    new = found.new
    version = f" v{new.version}" if new.version else ""
    lines = [f"{printable(found.role, 80)}{version}, expires {new.expires:%Y-%m-%d}"]
    if verdict.unsigned:
        lines += [f"  --   not looked at: the signatures of {t.threshold} of {t.by}" for t in found.tallies]
    else:
        lines += [f"  {'ok' if t.met else 'NO':<5}signed by {t.sentence}" for t in found.tallies]
    lines += [f"  NO   {printable(problem, 200)}" for problem in verdict.problems]
    if not found.tallies:
        where = "; give the keys, --key NAME=PEM" if new.type == layout.TYPE else ""
        lines.append(f"  NO   nothing here says who must sign it{where}")
    # What a root changed was decided by those who signed it; of superseded ones only the signatures matter today.
    shown = [f for f in found.findings if f.severity == "stop" or not verdict.superseded]
    shown = [f for f in shown if not (verdict.unsigned and f.code in _OF_SIGNING)]
    lines += [f"  {f.severity:<5}{f.text}" for f in shown]
    return lines
