"""``vestry stage root``: the first root from public keys, or the next one from a signed root."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from vestry.cli import staging
from vestry.cli.documents import read_public_key
from vestry.cli.staging import Named
from vestry.errors import ExitStatus, InputRejected
from vestry.media import bundle
from vestry.metadata import document, drafting, services
from vestry.metadata.document import Document
from vestry.metadata.keys import Key
from vestry.metadata.services import Service
from vestry.metadata.thresholds import Authority, named
from vestry.text import printable

_ONLINE = ("snapshot", "timestamp")
_PERIOD = re.compile(r"(root|snapshot|timestamp)=([1-9][0-9]{0,4})/([1-9][0-9]{0,4})")

Roles = dict[str, tuple[int, Sequence[Key]]]


def run(args: argparse.Namespace) -> int:
    """Draft, and make the bundle."""
    into = Path(args.into)
    expires = staging.expiry(args.expires, datetime.now(UTC).date())
    root_keys = staging.named_keys(args.root_key, "--root-key")
    targets_keys = staging.named_keys(args.targets_key, "--targets-key")
    online = read_public_key(Path(args.online_key)) if args.online_key else None
    fields = periods(args.period, args.service)
    extra = fields.pop("root", {})
    if args.service:
        root_keys, targets_keys = for_service(root_keys, args.service), for_service(targets_keys, args.service)
        online = online_for_service(online, args.service, args.online_uri)
    if args.previous is None:
        if args.drop:
            raise staging.usage("--drop without --from: there is no root to drop a key from")
        roles, notes = first_roles(
            root_keys.keys, args.threshold, targets_keys.keys, args.targets_threshold, online, args.service
        )
        raw, trusted = drafting.root(version=1, expires=expires, roles=roles, extra=extra, fields=fields), None
        names = dict(root_keys.holders + targets_keys.holders)
    else:
        previous, known = staging.trusted_root(Path(args.previous))
        roles, notes = next_roles(previous, known, args, root_keys.keys, targets_keys.keys, online)
        root = roles.pop("root")
        raw = drafting.next_root(previous, expires=expires, root=root, roles=roles, extra=extra, fields=fields)
        trusted = previous.raw
        kept = document.keys(document.read(raw, where="the draft"))
        names = {keyid: name for keyid, name in known.items() if keyid in kept}
        names |= dict(root_keys.holders + targets_keys.holders)
    certificates = dict(root_keys.certificates + targets_keys.certificates)
    made = bundle.create(
        into,
        role="root",
        unsigned=raw,
        trusted=trusted,
        holders=names,
        service=args.service,
        certificates=certificates,
    )
    staging.report(args, made, (*notes, *root_keys.notes, *targets_keys.notes))
    return int(ExitStatus.DONE)


def first_roles(
    root: Sequence[Key],
    threshold: int | None,
    targets: Sequence[Key],
    targets_threshold: int | None,
    online: Key | None,
    service: Service = "",
) -> tuple[Roles, tuple[str, ...]]:
    """The four roles of a first root. TUF wants keys for each (1.0.34, section 4.3); where none are given, the holders
    of the role above stand in: offline keys may do what an online key would, never the other way round.

    Returns:
        The roles, and a note for each that fell to others.
    """
    if not root:
        raise staging.usage("a first root needs --root-key NAME=PEM, one for each holder")
    notes: list[str] = []
    roles: Roles = {"root": (staging.threshold("root", len(root), threshold, "--threshold"), root)}
    if targets:
        roles["targets"] = (
            staging.threshold("targets", len(targets), targets_threshold, "--targets-threshold"),
            targets,
        )
    elif targets_threshold is not None:
        raise staging.usage("--targets-threshold without --targets-key")
    elif service == "rstuf" and online is not None:
        roles["targets"] = (1, [online])
        notes.append("no --targets-key: the online key holds targets, as RSTUF has it")
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
    leaving = staging.dropped(args.drop, {k.keyid: k for held in before.values() for k in held.keys}, known)
    roles: Roles = {"root": staging.after(before["root"], leaving, root, args.threshold, "--threshold")}
    notes: list[str] = []
    if targets or args.targets_threshold is not None or not _alike(before["targets"], before["root"]):
        roles["targets"] = staging.after(
            before["targets"], leaving, targets, args.targets_threshold, "--targets-threshold"
        )
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
            roles[role] = staging.after(before[role], leaving, (), None, "--online-key")
    changed = {role: new for role, new in roles.items() if role == "root" or not _same(before[role], new)}
    return changed, tuple(n for n in notes if n.split()[0] in changed)


def _held(previous: Document, role: str) -> Authority:
    held = named(previous, role)
    if held is None:
        raise InputRejected(f"the root before has no role {role}", where="--from", code="E-STAGE")
    return held


def _alike(one: Authority, other: Authority) -> bool:
    return _same(one, (other.threshold, other.keys))


def _same(one: Authority, other: tuple[int, Sequence[Key]]) -> bool:
    return one.threshold == other[0] and {k.keyid for k in one.keys} == {k.keyid for k in other[1]}


def for_service(given: Named, service: Service) -> Named:
    """The keys with the names that `service` wants in them, under the ids that they then have."""
    names = dict(given.holders)
    made = {key.keyid: services.with_fields(key, services.key_fields(service, names[key.keyid])) for key in given.keys}
    return Named(
        tuple(made.values()),
        tuple((made[keyid].keyid, name) for keyid, name in given.holders),
        tuple((made[keyid].keyid, text) for keyid, text in given.certificates),
        given.notes,
    )


def periods(given: Sequence[str], service: Service) -> dict[str, Mapping[str, int]]:
    """``ROLE=DAYS/DAYS`` as fields of the service, by role.

    Raises:
        InputRejected: the service has none, or one is not that.
    """
    if given and service != "tuf-on-ci":
        raise staging.usage("periods are tuf-on-ci's", "--period")
    found: dict[str, Mapping[str, int]] = {}
    for text in given:
        match = _PERIOD.fullmatch(text)
        if match is None or match[1] in found or not int(match[3]) < int(match[2]):
            raise staging.usage(
                f"'{printable(text, 60)}' is not a period like root=365/60 or timestamp=2/1, once a role", "--period"
            )
        found[match[1]] = services.periods(int(match[2]), int(match[3]))
    return found


def online_for_service(online: Key | None, service: Service, uri: str | None) -> Key | None:
    """The online key with the place at which `service` finds its private half: RSTUF's own folder of keys, unless one
    is given."""
    if online is None:
        return None
    if service == "rstuf":
        return services.with_fields(online, services.rstuf_online_fields(online, uri or ""))
    if not uri:
        raise staging.usage(f"{services.NAMES[service]} finds its online key by a URI", "--online-uri")
    return services.with_fields(online, services.key_fields(service, "", uri))
