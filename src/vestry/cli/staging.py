"""What the verbs that stage documents share: keys and dates from the command line, and what they say at the end."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from vestry.cli import output
from vestry.cli.documents import read_document, read_given
from vestry.cli.review import of_bundle
from vestry.errors import InputRejected, NotTrusted
from vestry.media import bundle, description
from vestry.media.arrivals import bundle_folder
from vestry.media.lineage import Beside, Given, Lineage, trace
from vestry.media.repository import role_in_name
from vestry.metadata import intake
from vestry.metadata.document import Document
from vestry.metadata.keys import Key
from vestry.metadata.review import Review
from vestry.metadata.rulebook import Finding
from vestry.metadata.thresholds import Authority
from vestry.text import printable

LIMITS = intake.Limits(bytes=description.DOCUMENT_LIMIT)
_KEYID_SHORTEST = 8
_ROLE_LONGEST = 200
_CHANGES = 20
"""Changes that are listed where a document is staged; its review lists all."""
_NAME_FIELDS = ("x-tuf-on-ci-keyowner", "x-rstuf-key-name")


@dataclass(frozen=True)
class Named:
    """Keys in the order given, and the holder's name of each by key id; the certificates (PEM) that some came in, by
    key id, and a note on each."""

    keys: tuple[Key, ...] = ()
    holders: tuple[tuple[str, str], ...] = ()
    certificates: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def named_keys(pairs: Sequence[str], option: str) -> Named:
    """``NAME=PEM`` pairs; the same key twice is refused, since it would count once."""
    keys: list[Key] = []
    holders: list[tuple[str, str]] = []
    certificates: list[tuple[str, str]] = []
    notes: list[str] = []
    for pair in pairs:
        name, found, path = pair.partition("=")
        if not (name.strip() and found and path):
            raise usage(f"'{printable(pair, 80)}' is not NAME=PEM", option)
        given = read_given(Path(path))
        key = given.key
        twice = [n for n, k in zip((h for _, h in holders), keys, strict=True) if k.fingerprint == key.fingerprint]
        if twice:
            raise usage(f"{printable(twice[0], 60)} and {printable(name, 60)} have the same key", option)
        keys.append(key)
        holders.append((key.keyid, name.strip()))
        if given.certificate:
            certificates.append((key.keyid, given.certificate))
            notes.append(f"{printable(name.strip(), 60)}'s key comes in a {given.said}")
    return Named(tuple(keys), tuple(holders), tuple(certificates), tuple(notes))


def dropped(wanted: Sequence[str], held: Mapping[str, Key], known: Mapping[str, str]) -> frozenset[str]:
    """Key ids that `wanted` stands for: a holder's name (all keys of that holder), or a key id or its beginning.

    Raises:
        InputRejected: a name or id stands for no key, or an id for several.
    """
    leaving: set[str] = set()
    for text in wanted:
        by_name = {keyid for keyid, key in held.items() if text in holder_names(key, known)}
        by_id = {k for k in held if len(text) >= _KEYID_SHORTEST and k.startswith(text.lower())}
        if not by_name and len(by_id) != 1:
            people = sorted({name for key in held.values() for name in holder_names(key, known)})
            who = f"; holders are {', '.join(printable(p, 60) for p in people)}" if people else ""
            raise InputRejected(
                f"'{printable(text, 80)}' stands for {len(by_id)} of the keys that may leave",
                where="--drop",
                do=f"give a holder's name or at least {_KEYID_SHORTEST} digits of a key id{who}",
                code="E-DROP",
            )
        leaving |= by_name or by_id
    return frozenset(leaving)


def holder_names(key: Key, known: Mapping[str, str]) -> frozenset[str]:
    """Names a key goes by: the bundle's, and those that other tools write into the key."""
    fields = (key.extra.get(name) for name in _NAME_FIELDS)
    return frozenset(n for n in (known.get(key.keyid), *fields) if isinstance(n, str) and n)


def signed_document(path: Path) -> tuple[Given, Mapping[str, str]]:
    """The document in a file, or that of a bundle whose thresholds are met; and the holders' names that came with it.

    Raises:
        NotTrusted: a bundle whose thresholds are not met yet.
    """
    folder, where = bundle_folder(path), printable(str(path), 200)
    if folder is None:
        return Given(role_in_name(path) or "", read_one(path), where), {}
    opened = bundle.open_bundle(folder)
    for held in opened.tallies():
        if not held.met:
            raise NotTrusted(
                f"signed by {held.sentence} only",
                where=where,
                do="collect the missing signatures first",
                code="E-THRESHOLD",
            )
    return Given(opened.role, opened.signed_document(), where), dict(opened.holders)


def trusted_root(path: Path) -> tuple[Document, Mapping[str, str]]:
    """The signed root that another document follows from, and the holders' names that came with it.

    Raises:
        NotTrusted: a bundle whose thresholds are not met yet.
        InputRejected: not a root.
    """
    given, names = signed_document(path)
    if given.document.type != "root":
        what = f"this is a {printable(given.document.type, 40)}, not a root"
        raise InputRejected(what, where=given.where, code="E-STAGE")
    return given.document, names


@dataclass(frozen=True)
class Opened:
    """The root, documents that were named, what lies beside the root, and holders' names by key id, out of bundles."""

    root: Document
    given: tuple[Given, ...]
    beside: Beside | None
    names: Mapping[str, str]
    now: datetime

    def trace(self, role: str) -> Lineage:
        """What leads to a role; see `vestry.media.lineage.trace`."""
        return trace(self.root, role_name(role), self.given, self.beside, self.now)

    def trace_or_called(self, role: str | None) -> Lineage:
        """What leads to a role; where none was named, to targets, or else to what the first file is called by."""
        if role is not None:
            return self.trace(role)
        called = self.given[0].role if self.given else ""
        if called not in ("", "targets"):
            with suppress(NotTrusted):
                return self.trace("targets")
            return self.trace(called)
        return self.trace("targets")


def read_one(path: Path) -> Document:
    """A file of metadata, also a large one."""
    return read_document(path, limit=description.DOCUMENT_LIMIT)


def opened(args: argparse.Namespace, files: Sequence[str], now: datetime) -> Opened:
    """What ``--root``, these `files` and ``--delegator`` name.

    Raises:
        NotTrusted: a bundle whose thresholds are not met yet.
        InputRejected: a file is not what it must be.
    """
    path = Path(args.root)
    root, names = trusted_root(path)
    read = [signed_document(Path(text)) for text in dict.fromkeys([*files, *args.delegator])]
    known = {keyid: name for more in (names, *(more for _, more in read)) for keyid, name in more.items()}
    return Opened(
        root, tuple(g for g, _ in read), Beside(path.parent, read_one) if path.is_file() else None, known, now
    )


def role_name(text: str) -> str:
    """The name of a role, as typed.

    Raises:
        InputRejected: it holds what a name on a screen can't.
    """
    if not text or not text.isprintable() or len(text) > _ROLE_LONGEST:
        raise usage(f"'{printable(text, 80)}' is no name of a role", "--role")
    return text


def after(
    held: Authority, leaving: frozenset[str], added: Sequence[Key], wanted: int | None, option: str
) -> tuple[int, Sequence[Key]]:
    """The threshold and the keys of a role less those `leaving`, plus those `added`.

    Raises:
        InputRejected: a key is there already, or the threshold can't be reached.
    """
    stay = [k for k in held.keys if k.keyid not in leaving]
    twice = {k.fingerprint for k in stay} & {k.fingerprint for k in added}
    if twice:
        again = next(k for k in added if k.fingerprint in twice)
        raise usage(f"{held.role} has key {again.keyid} already")
    keys = [*stay, *added]
    return threshold(held.role, len(keys), held.threshold if wanted is None else wanted, option), keys


def expiry(text: str, today: date) -> datetime:
    """``365d`` (days from today, 1 to 36,500) or ``YYYY-MM-DD``; midnight UTC."""
    if days := re.fullmatch(r"([1-9][0-9]{0,4})d", text, re.ASCII):
        if int(days[1]) <= 36_500:
            return datetime.combine(today, time(), UTC) + timedelta(days=int(days[1]))
    elif re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
        try:
            found = datetime.combine(date.fromisoformat(text), time(), UTC)
        except ValueError:
            found = None
        if found is not None and found.date() > today:
            return found
    raise usage(
        f"'{printable(text, 40)}' is not a number of days like 365d, or a date to come like 2027-12-01", "--expires"
    )


def threshold(role: str, keys: int, wanted: int | None, option: str) -> int:
    """How many of so many keys must sign: as `wanted`, or the only one there is.

    Raises:
        InputRejected: nobody said, or it can't be reached.
    """
    if wanted is None:
        if keys == 1:
            return 1
        raise usage(f"say how many of the {keys} {role} keys must sign", option)
    if wanted > keys:
        raise usage(f"{wanted} signatures can never come from {keys} {role} key{'s' if keys != 1 else ''}", option)
    return wanted


def usage(what: str, where: str = "") -> InputRejected:
    """The words of the command line do not fit together."""
    return InputRejected(what, where=f"stage {where}".strip(), do="see vestry stage WHAT --help", code="E-USAGE")


def signing(authority: Authority, names: Mapping[str, str]) -> dict[str, str]:
    """Names of those who sign, by key id, as far as they are known."""
    return {key.keyid: names[key.keyid] for key in authority.keys if key.keyid in names}


def noted(lines: Sequence[str]) -> tuple[str, ...]:
    """Lines as notes of a bundle: as many and as long as it takes."""
    most = description.NOTES_LIMIT
    kept = [line[: description.NOTE_LONGEST] for line in lines]
    return tuple(kept) if len(kept) <= most else (*kept[: most - 1], f"and {len(kept) - most + 1:,} more lines")


def found(findings: Sequence[Finding]) -> list[str]:
    """Findings, a line each."""
    return [f"  {f.severity:<5}{f.text} ({f.code})" for f in findings]


def serious(found: Review) -> list[Finding]:
    """What would stop a signature, and what the service would make of the document: better known before it travels."""
    return [f for f in found.findings if f.severity == "stop" or f.code.startswith("SERVICE-")]


def changed(found: Review) -> list[str]:
    """The first of the changes, a line each."""
    listed = found.changes
    lines = [f"  {change.text}" for change in listed[:_CHANGES]]
    return lines + ([f"  and {len(listed) - _CHANGES:,} more changes"] if len(listed) > _CHANGES else [])


def report(
    args: argparse.Namespace,
    made: bundle.Bundle,
    notes: Sequence[str],
    *,
    findings: Sequence[Finding] = (),
    changes: bool = True,
) -> None:
    """Say what was drafted, what is against signing it, what changes, who must sign it, and the digest to compare."""
    for note in notes:
        output.narrate(f"note: {note}")
    who = made.authorities()
    seen = of_bundle(made, now=datetime.now(UTC)) if changes else None
    findings = [*findings, *(serious(seen) if seen else ())]
    if args.json:
        output.emit(
            {
                "bundle": str(made.path),
                "role": made.role,
                "version": made.document.version,
                "sha256": made.document.digest,
                "expires": made.document.expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "thresholds": [{"by": a.by, "threshold": a.threshold, "keys": [k.keyid for k in a.keys]} for a in who],
                "holders": dict(made.holders),
                "notes": list(notes),
                "findings": [f.to_dict() for f in findings],
            }
        )
        return
    output.line(f"{made.title} is drafted in {printable(str(made.path), 200)}")
    output.line(*found(findings), *(changed(seen) if seen else ()))
    for authority in who:
        output.line(f"  to sign: {authority.threshold} of the {len(authority.keys)} keys of {authority.by}")
    output.line("  digest, to be read aloud:", *output.digest_lines(made.document.digest))
    output.narrate("Next: vestry review, then export it to a drive for each holder.")
