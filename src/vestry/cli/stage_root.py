"""``vestry stage root``: the first root from public keys, or the next one from a signed root."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from vestry.cli import output
from vestry.cli.documents import bundle_folder, read_document, read_given, read_public_key
from vestry.errors import ExitStatus, InputRejected, NotTrusted
from vestry.media import bundle
from vestry.metadata import document, drafting
from vestry.metadata.document import Document
from vestry.metadata.keys import Key
from vestry.metadata.thresholds import Authority, named
from vestry.text import printable

_KEYID_SHORTEST = 8
_NAME_FIELDS = ("x-tuf-on-ci-keyowner", "x-rstuf-key-name")
_ONLINE = ("snapshot", "timestamp")

Roles = dict[str, tuple[int, Sequence[Key]]]


@dataclass(frozen=True)
class Named:
    """Keys in the order given, and the holder's name of each by key id; the certificates (PEM) that some came in, by
    key id, and a note on each."""

    keys: tuple[Key, ...] = ()
    holders: tuple[tuple[str, str], ...] = ()
    certificates: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def run(args: argparse.Namespace) -> int:
    """Draft, and make the bundle."""
    into = Path(args.into)
    expires = expiry(args.expires, datetime.now(UTC).date())
    root_keys, targets_keys = named_keys(args.root_key, "--root-key"), named_keys(args.targets_key, "--targets-key")
    online = read_public_key(Path(args.online_key)) if args.online_key else None
    if args.previous is None:
        if args.drop:
            raise _usage("--drop without --from: there is no root to drop a key from")
        roles, notes = first_roles(root_keys.keys, args.threshold, targets_keys.keys, args.targets_threshold, online)
        raw, trusted = drafting.root(version=1, expires=expires, roles=roles), None
        names = dict(root_keys.holders + targets_keys.holders)
    else:
        previous, known = trusted_root(Path(args.previous))
        roles, notes = next_roles(previous, known, args, root_keys.keys, targets_keys.keys, online)
        root = roles.pop("root")
        raw, trusted = drafting.next_root(previous, expires=expires, root=root, roles=roles), previous.raw
        kept = document.keys(document.read(raw, where="the draft"))
        names = {keyid: name for keyid, name in known.items() if keyid in kept}
        names |= dict(root_keys.holders + targets_keys.holders)
    certificates = dict(root_keys.certificates + targets_keys.certificates)
    made = bundle.create(into, role="root", unsigned=raw, trusted=trusted, holders=names, certificates=certificates)
    _report(args, made, (*notes, *root_keys.notes, *targets_keys.notes))
    return int(ExitStatus.DONE)


def first_roles(
    root: Sequence[Key],
    threshold: int | None,
    targets: Sequence[Key],
    targets_threshold: int | None,
    online: Key | None,
) -> tuple[Roles, tuple[str, ...]]:
    """The four roles of a first root. TUF wants keys for each (1.0.34, section 4.3); where none are given, the holders
    of the role above stand in: offline keys may do what an online key would, never the other way round.

    Returns:
        The roles, and a note for each that fell to others.
    """
    if not root:
        raise _usage("a first root needs --root-key NAME=PEM, one for each holder")
    notes: list[str] = []
    roles: Roles = {"root": (_threshold("root", len(root), threshold, "--threshold"), root)}
    if targets:
        roles["targets"] = (_threshold("targets", len(targets), targets_threshold, "--targets-threshold"), targets)
    elif targets_threshold is not None:
        raise _usage("--targets-threshold without --targets-key")
    else:
        roles["targets"] = roles["root"]
        notes.append("no --targets-key: the root keys hold targets too")
    for role in _ONLINE:
        roles[role] = (1, [online]) if online is not None else roles["targets"]
    if online is None:
        notes.append("no --online-key: the targets keys hold snapshot and timestamp until a later root names one")
    return roles, tuple(notes)


def next_roles(
    previous: Document,
    known: Mapping[str, str],
    args: argparse.Namespace,
    root: Sequence[Key],
    targets: Sequence[Key],
    online: Key | None,
) -> tuple[Roles, tuple[str, ...]]:
    """The roles of the root after `previous`: its keys, less those dropped, plus those given. A role that had the keys
    and the threshold of the role above it, because no keys were given for it, goes on to have them.

    Returns:
        Root, and every role that changes; and a note for each that followed another.
    """
    before = {role: _held(previous, role) for role in ("root", "targets", *_ONLINE)}
    leaving = dropped(args.drop, {k.keyid: k for held in before.values() for k in held.keys}, known)
    roles: Roles = {"root": _after(before["root"], leaving, root, args.threshold, "--threshold")}
    notes: list[str] = []
    if targets or args.targets_threshold is not None or not _alike(before["targets"], before["root"]):
        roles["targets"] = _after(before["targets"], leaving, targets, args.targets_threshold, "--targets-threshold")
    else:
        roles["targets"] = roles["root"]
        notes.append("targets had the keys of root, and follows it")
    for role in _ONLINE:
        if online is not None:
            roles[role] = (1, [online])
        elif _alike(before[role], before["targets"]):
            roles[role] = roles["targets"]
            notes.append(f"{role} had the keys of targets, and follows it")
        else:
            roles[role] = _after(before[role], leaving, (), None, "--online-key")
    changed = {role: new for role, new in roles.items() if role == "root" or not _same(before[role], new)}
    return changed, tuple(n for n in notes if n.split()[0] in changed)


def _held(previous: Document, role: str) -> Authority:
    held = named(previous, role)
    if held is None:
        raise InputRejected(f"the root before has no role {role}", where="--from", code="E-STAGE")
    return held


def _after(
    held: Authority, leaving: frozenset[str], added: Sequence[Key], threshold: int | None, option: str
) -> tuple[int, Sequence[Key]]:
    stay = [k for k in held.keys if k.keyid not in leaving]
    twice = {k.fingerprint for k in stay} & {k.fingerprint for k in added}
    if twice:
        again = next(k for k in added if k.fingerprint in twice)
        raise _usage(f"{held.role} has key {again.keyid} already")
    keys = [*stay, *added]
    return _threshold(held.role, len(keys), threshold if threshold is not None else held.threshold, option), keys


def _alike(one: Authority, other: Authority) -> bool:
    return _same(one, (other.threshold, other.keys))


def _same(one: Authority, other: tuple[int, Sequence[Key]]) -> bool:
    return one.threshold == other[0] and {k.keyid for k in one.keys} == {k.keyid for k in other[1]}


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
                f"'{printable(text, 80)}' stands for {len(by_id)} keys of root and targets",
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


def trusted_root(path: Path) -> tuple[Document, Mapping[str, str]]:
    """The signed root that the next one follows, and the holders' names that came with it.

    Raises:
        NotTrusted: a bundle whose thresholds are not met yet.
        InputRejected: not a root.
    """
    folder = bundle_folder(path)
    if folder is None:
        found, names = read_document(path), {}
    else:
        opened = bundle.open_bundle(folder)
        for held in opened.tallies():
            if not held.met:
                raise NotTrusted(
                    f"signed by {held.sentence} only",
                    where=printable(str(folder), 200),
                    do="collect the missing signatures first",
                    code="E-THRESHOLD",
                )
        found, names = opened.signed_document(), dict(opened.holders)
    if found.type != "root":
        raise InputRejected(
            f"this is a {printable(found.type, 40)}, not a root", where=printable(str(path), 200), code="E-STAGE"
        )
    return found, names


def named_keys(pairs: Sequence[str], option: str) -> Named:
    """``NAME=PEM`` pairs; the same key twice is refused, since it would count once."""
    keys: list[Key] = []
    holders: list[tuple[str, str]] = []
    certificates: list[tuple[str, str]] = []
    notes: list[str] = []
    for pair in pairs:
        name, found, path = pair.partition("=")
        if not (name.strip() and found and path):
            raise _usage(f"'{printable(pair, 80)}' is not NAME=PEM", option)
        given = read_given(Path(path))
        key = given.key
        twice = [n for n, k in zip((h for _, h in holders), keys, strict=True) if k.fingerprint == key.fingerprint]
        if twice:
            raise _usage(f"{printable(twice[0], 60)} and {printable(name, 60)} have the same key", option)
        keys.append(key)
        holders.append((key.keyid, name.strip()))
        if given.certificate:
            certificates.append((key.keyid, given.certificate))
            notes.append(f"{printable(name.strip(), 60)}'s key comes in a {given.said}")
    return Named(tuple(keys), tuple(holders), tuple(certificates), tuple(notes))


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
    raise _usage(
        f"'{printable(text, 40)}' is not a number of days like 365d, or a date to come like 2027-12-01", "--expires"
    )


def _threshold(role: str, keys: int, wanted: int | None, option: str) -> int:
    if wanted is None:
        if keys == 1:
            return 1
        raise _usage(f"say how many of the {keys} {role} keys must sign", option)
    if wanted > keys:
        raise _usage(f"{wanted} signatures can never come from {keys} {role} key{'s' if keys != 1 else ''}", option)
    return wanted


def _usage(what: str, where: str = "") -> InputRejected:
    return InputRejected(what, where=f"stage root {where}".strip(), do="see vestry stage root --help", code="E-USAGE")


def _report(args: argparse.Namespace, made: bundle.Bundle, notes: Sequence[str]) -> None:
    for note in notes:
        output.narrate(f"note: {note}")
    who = made.authorities()
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
            }
        )
        return
    output.line(f"root v{made.document.version} is drafted in {printable(str(made.path), 200)}")
    for authority in who:
        output.line(f"  to sign: {authority.threshold} of the {len(authority.keys)} keys of {authority.by}")
    output.line("  digest, to be read aloud:", *output.digest_lines(made.document.digest))
    output.narrate("Next: vestry review, then export it to a drive for each holder.")
