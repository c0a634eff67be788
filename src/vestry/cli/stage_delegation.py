"""``vestry stage delegation``: the next version of what delegates, with one delegation added, changed or gone."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vestry.cli import staging
from vestry.errors import ExitStatus, Refused
from vestry.media import bundle
from vestry.media.lineage import Lineage
from vestry.metadata import document, drafting, scope
from vestry.metadata.document import role_entry
from vestry.metadata.parts import Delegation
from vestry.metadata.rules_delegations import patterns
from vestry.metadata.thresholds import named
from vestry.text import printable

_PREFIX = re.compile("[0-9a-f]{1,64}")


def run(args: argparse.Namespace) -> int:
    """Draft, and make the bundle that the delegating role's holders sign."""
    now = datetime.now(UTC)
    expires = staging.expiry(args.expires, now.date())
    role = staging.role_name(args.role)
    opened = staging.opened(args, args.previous, now)
    lineage, names = opened.trace_or_called(args.by), dict(opened.names)
    if role in (*document.ROLES, lineage.role):
        raise staging.usage(f"{printable(role, 60)} is no role that {printable(lineage.role, 60)} can delegate to")
    given = staging.named_keys(args.key, "--key")
    previous = lineage.previous
    if args.remove:
        if args.key or args.drop or args.paths or args.hash_prefixes or args.threshold is not None:
            raise staging.usage("a delegation that goes has no keys, paths or threshold", "--remove")
        raw = drafting.next_delegator(previous, expires=expires, remove=[role])
    else:
        one = delegation(args, role, lineage, given, names)
        _within(one, lineage)
        raw = drafting.next_delegator(previous, expires=expires, put=[one])
    kept = document.keys(document.read(raw, where="the draft", limits=staging.LIMITS))
    holders = {keyid: name for keyid, name in names.items() if keyid in kept}
    holders |= dict(given.holders) if not args.remove else {}
    notes = staging.noted((*lineage.notes, *given.notes))
    made = bundle.create(
        Path(args.into),
        role=lineage.role,
        unsigned=raw,
        trusted=lineage.delegator,
        previous=previous if lineage.vouched else None,
        holders=holders | staging.signing(lineage.authority, names),
        notes=notes,
        certificates=dict(given.certificates),
    )
    staging.report(args, made, notes)
    return int(ExitStatus.DONE)


def delegation(
    args: argparse.Namespace, role: str, lineage: Lineage, given: staging.Named, names: Mapping[str, str]
) -> Delegation:
    """The delegation as it is to be: what stands there, less what leaves, plus what comes.

    Raises:
        InputRejected: a key or a threshold, or what it is for, is missing or can't be.
    """
    if args.paths and args.hash_prefixes:
        raise staging.usage("a delegation is for paths or for hash prefixes, not for both")
    there = role_entry(lineage.previous, role) if lineage.previous is not None else None
    paths, prefixes = tuple(args.paths), tuple(args.hash_prefixes)
    for pattern in paths:
        if not pattern or pattern.startswith("/") or ".." in pattern.split("/"):
            raise staging.usage(f"no target path is like '{printable(pattern, 80)}'", "--paths")
    for prefix in prefixes:
        if not _PREFIX.fullmatch(prefix):
            raise staging.usage(
                f"no SHA-256 in lower-case hex begins with '{printable(prefix, 80)}'", "--hash-prefixes"
            )
    terminating = args.terminating
    if there is None:
        if not given.keys or not (paths or prefixes):
            raise staging.usage("a new delegation needs --key NAME=PEM, one for each signer, and --paths GLOB")
        if args.drop:
            raise staging.usage(f"there is no delegation to {printable(role, 60)} to drop a key from", "--drop")
        threshold, keys = staging.threshold(role, len(given.keys), args.threshold, "--threshold"), given.keys
    else:
        assert lineage.previous is not None, "a delegation stands in it"
        held = named(lineage.previous, role)
        assert held is not None, "it names the role"
        leaving = staging.dropped(args.drop, {k.keyid: k for k in held.keys}, names)
        threshold, after = staging.after(held, leaving, given.keys, args.threshold, "--threshold")
        keys = tuple(after)
        if not (paths or prefixes):
            paths, prefixes = tuple(there.get("paths") or ()), tuple(there.get("path_hash_prefixes") or ())
        terminating = there["terminating"] if terminating is None else terminating
    return Delegation(role, keys, threshold, paths, prefixes, terminating=bool(terminating), before=args.before or "")


def _within(one: Delegation, lineage: Lineage) -> None:
    entry: dict[str, Any] = {"paths": list(one.paths), "path_hash_prefixes": list(one.hash_prefixes)}
    for above, role in lineage.scopes():
        for pattern in patterns(entry):
            if not scope.covers(above.document, role, pattern):
                raise Refused(
                    f"{above.title} did not give all of {printable(pattern[1], 120)} to {printable(role, 60)}",
                    where="--paths",
                    do="a role hands on no more than it was given (PEP 480); narrow the paths",
                    code="E-STAGE-OUTSIDE",
                )
