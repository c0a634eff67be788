"""What comes after a change: keys that may be lost, older roots that still lead here, expiries.

Keys are counted by their bytes, as thresholds are. "May be lost" is the worst case: however ill-chosen the keys, that
many can go. A root is rotated by the threshold of the version before it, so after this change by the keys it names. To
get there, the old root's threshold has to sign as well: its reserve counts until it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vestry.metadata import clients
from vestry.metadata import document as documents
from vestry.metadata.document import Document
from vestry.metadata.keys import Key
from vestry.metadata.thresholds import named, tally
from vestry.metadata.wording import owner
from vestry.text import Safe, printable

MOST_ROLES = 200
"""Delegated roles whose keys are counted one by one; reading those of 500,000 would take minutes."""
_SHOWN = 6
_NAME = 100
TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Holding:
    """Someone's keys in a role. `name` is the holder, or the key itself where the holder is not known (not yet
    printable); `keyids` holds one id for each different key."""

    name: str
    keyids: tuple[str, ...]


@dataclass(frozen=True)
class Reserve:
    """How much a role can lose under one document.

    `keys` different readable keys, `threshold` needed. Any `keys_to_lose` of them may be lost, and any
    `holders_to_lose` holders with all of theirs; -1 where the threshold can't be met as it is. Each of `fatal` ends it
    alone. `worst` is the smallest set of holders whose loss ends it.
    """

    role: str
    by: str
    threshold: int
    keys: int
    keys_to_lose: int
    holders_to_lose: int
    holders: tuple[Holding, ...]
    fatal: tuple[Holding, ...]
    worst: tuple[Holding, ...]

    def to_dict(self) -> dict[str, Any]:
        """The object of ``review --json``."""
        return {
            "role": self.role,
            "by": self.by,
            "threshold": self.threshold,
            "keys": self.keys,
            "keys_to_lose": self.keys_to_lose,
            "holders_to_lose": self.holders_to_lose,
            "fatal": [h.name for h in self.fatal],
            "worst": [h.name for h in self.worst],
            "holders": [{"name": h.name, "keyids": list(h.keyids)} for h in self.holders],
        }


@dataclass(frozen=True)
class Lead:
    """Whether a client that trusts root `version` gets to the root under review; None where that can't be told."""

    version: int
    leads: bool | None
    why: str


@dataclass(frozen=True)
class Expiry:
    """When a document expires (UTC), and whether that is before the next ceremony."""

    role: str
    version: int
    expires: datetime
    before_next: bool


@dataclass(frozen=True)
class LookAhead:
    """All of it. `sentences` are printable; `uncounted` delegated roles are too many to count their keys."""

    reserves: tuple[Reserve, ...]
    leads: tuple[Lead, ...]
    expiries: tuple[Expiry, ...]
    next_ceremony: datetime
    uncounted: int
    sentences: tuple[Safe, ...]

    def to_dict(self) -> dict[str, Any]:
        """The object of ``review --json``; times as in TUF."""
        return {
            "reserves": [r.to_dict() for r in self.reserves],
            "uncounted": self.uncounted,
            "leads": [{"version": x.version, "leads": x.leads, "why": x.why} for x in self.leads],
            "expiries": [
                {
                    "role": x.role,
                    "version": x.version,
                    "expires": f"{x.expires:{TIME}}",
                    "before_next_ceremony": x.before_next,
                }
                for x in self.expiries
            ],
            "next_ceremony": f"{self.next_ceremony:{TIME}}",
            "sentences": list(self.sentences),
        }


def look_ahead(
    role: str,
    new: Document,
    *,
    old: Document | None = None,
    delegator: Document | None = None,
    now: datetime,
    known: Callable[[str], str] = lambda _: "",
    history: Sequence[Document] = (),
    others: Mapping[str, Document] | None = None,
    next_ceremony: datetime | None = None,
    more: int = 0,
    digits: int = 8,
) -> LookAhead:
    """Look ahead from `new`, a document of `role`, as if it were signed. The arguments are those of `review.review`;
    `more` delegations than are in `new` are in the whole of it. Keys are called by `digits` of their ids.
    """
    found, uncounted = _reserves(role, new, old, delegator, known, more, digits)
    leads = tuple(chain(new, (*history, *([old] if old is not None else ())))) if role == "root" else ()
    expiries, following = _expiries(role, new, delegator, others or {}, next_ceremony)
    way_open = role == "root" and old is not None and _open(old, new)
    told = [*_of_reserves(found, new, way_open=way_open), *_of_uncounted(uncounted), *_of_leads(leads)]
    told += _of_expiries(expiries, following, now, given=next_ceremony is not None)
    return LookAhead(found, leads, expiries, following, uncounted, tuple(printable(t) for t in told))


def reserve(
    role: str, by: str, threshold: int, keys: Sequence[Key], known: Callable[[str], str], digits: int = 8
) -> Reserve:
    """What `role` can lose of these keys. A key under two ids counts once, and goes to the first holder named; one
    whose holder is not known stands for itself, and is called by so many digits."""
    first: dict[str, tuple[str, str]] = {}
    for key in keys:
        if key.usable:
            name = known(key.keyid) or owner(key.extra)
            if key.fingerprint not in first or (name and not first[key.fingerprint][1]):
                first[key.fingerprint] = (key.keyid, name)
    mine: dict[str, list[str]] = {}
    for keyid, name in first.values():
        if name:
            mine.setdefault(name, []).append(keyid)
    listed = [Holding(n, tuple(ids)) for n, ids in mine.items()]
    listed += [Holding(f"key {keyid[:digits]}", (keyid,)) for keyid, name in first.values() if not name]
    holders = sorted(listed, key=lambda h: (-len(h.keyids), h.name))
    spare = len(first) - threshold
    worst: list[Holding] = []
    lost = 0
    # Whoever has most keys goes first: no other choice ends it with fewer people.
    for holding in holders:
        if lost > spare:
            break
        worst.append(holding)
        lost += len(holding.keyids)
    fatal = tuple(h for h in holders if len(h.keyids) > spare)
    people = len(worst) - 1 if spare >= 0 else -1
    return Reserve(
        role,
        by,
        threshold,
        len(first),
        max(spare, -1),
        people,
        tuple(holders),
        fatal if spare >= 0 else (),
        tuple(worst),
    )


def _reserves(
    role: str,
    new: Document,
    old: Document | None,
    delegator: Document | None,
    known: Callable[[str], str],
    more: int,
    digits: int,
) -> tuple[tuple[Reserve, ...], int]:
    found: list[Reserve] = []

    def add(above: Document, name: str) -> None:
        authority = named(above, name)
        if authority is not None:
            found.append(reserve(name, authority.by, authority.threshold, authority.keys, known, digits))

    if role == "root" and new.type == "root":
        if old is not None and old.type == "root":
            add(old, "root")
        listed = documents.keys(new)
        for name, entry in sorted(new.signed["roles"].items(), key=lambda r: (r[0] != "root", r[0])):
            keys = [listed[i] for i in entry["keyids"] if i in listed]
            found.append(reserve(name, f"root v{new.version}", entry["threshold"], keys, known, digits))
        return tuple(found), 0
    if delegator is not None:
        add(delegator, role)
    inner = new.signed.get("delegations", {}) if new.type == "targets" else {}
    entries = [(r["name"], r) for r in inner.get("roles", [])]
    if "succinct_roles" in inner:
        entries.append((f"{inner['succinct_roles']['name_prefix']}-*", inner["succinct_roles"]))
    if len(entries) + more > MOST_ROLES:
        return tuple(found), len(entries) + more
    listed = documents.keys(new) if entries else {}
    for name, entry in entries:
        keys = [listed[i] for i in entry["keyids"] if i in listed]
        found.append(reserve(name, f"{role} v{new.version}", entry["threshold"], keys, known, digits))
    return tuple(found), 0


def chain(new: Document, older: Sequence[Document]) -> Iterator[Lead]:
    """For each older root, newest first: whether its clients get to `new`, step by step (TUF 1.0.34, 5.3).

    `new` counts as signed as soon as its predecessor's keys and its own can meet both thresholds. Roots of its version
    and above are no predecessors and are left out.
    """
    by_version: dict[int, Document] = {}
    twice: set[int] = set()
    for given in (d for d in older if d.type == "root" and d.version < new.version):
        kept = by_version.setdefault(given.version, given)
        if kept.signed_bytes != given.signed_bytes:
            twice.add(given.version)
        elif len(given.signatures) > len(kept.signatures):
            by_version[given.version] = given
    leads: bool | None = True
    why = ""
    following = new
    for version in sorted(by_version, reverse=True):
        root = by_version[version]
        if leads and following.version != version + 1:
            leads, why = None, f"root v{following.version - 1} is not here"
        if version in twice:
            leads, why = None, f"there are two different roots v{version}"
        elif leads:
            step = _step(root, following, unsigned=following is new)
            leads, why = (True, "") if not step else (False, step)
        yield Lead(version, leads, why)
        following = root


def _step(trusted: Document, following: Document, *, unsigned: bool) -> str:
    """Why a client of `trusted` refuses `following`; empty where it takes it."""
    for root in (following, trusted):
        if why := clients.refusal(root):
            return f"python-tuf can't read root v{root.version}: {why}"
    for above in (trusted, following):
        authority = named(above, "root")
        if authority is None:
            return f"{above.type} v{above.version} names no root role"
        if unsigned:
            usable = len({k.fingerprint for k in authority.keys if clients.verifies(k)})
            if usable < authority.threshold:
                return f"{authority.by} has {usable} usable of {authority.threshold} keys needed"
        else:
            count = tally(following, authority)
            if not count.met:
                return f"root v{following.version} has {count.sentence}"
            good = sum(clients.verifies(k) for k in authority.keys if k.keyid in count.valid)
            if good < authority.threshold:
                return f"python-tuf can verify only {good} of the {len(count.valid)} signatures of {authority.by}"
    return ""


def _open(old: Document, new: Document) -> bool:
    authority = named(old, "root")
    return authority is not None and tally(new, authority).met


def _expiries(
    role: str,
    new: Document,
    delegator: Document | None,
    others: Mapping[str, Document],
    next_ceremony: datetime | None,
) -> tuple[tuple[Expiry, ...], datetime]:
    above = {delegator.type if delegator.type == "root" else "its delegator": delegator} if delegator else {}
    others = {name: d for name, d in others.items() if d is not delegator}
    listed = {**others, **above, role: new}
    roots = [d.expires for d in listed.values() if d.type == "root"]
    following = next_ceremony or (max(roots) if roots else new.expires)
    found = [Expiry(name, d.version, d.expires, d.expires < following) for name, d in listed.items()]
    return tuple(sorted(found, key=lambda e: (e.expires, e.role))), following


def _of_reserves(found: Sequence[Reserve], new: Document, *, way_open: bool) -> Iterator[str]:
    for held in reversed([r for r in found if r.role == "root"]):
        this = f"root v{new.version}"
        until = held.by != this
        if until and way_open:
            continue  # the old keys have done what they were needed for
        if held.keys_to_lose < 0:
            yield f"{held.by} can't be met as it is: {held.keys} usable of {held.threshold} keys needed"
            continue
        may = f"{_any(held.keys_to_lose, 'key')} and {_any(held.holders_to_lose, 'holder')} may be lost"
        if until:
            yield f"until {this} is signed, {held.by} is needed too: {may}"
            yield from _who(held, f"under {held.by} {this} can't be signed")
        else:
            yield (
                f"root ({held.by}): {may}; with one more gone, it may be that no new root can be signed, and every "
                f"client is mended by hand"
            )
            yield from _who(held, f"under {held.by} no new root can be signed")
    for held in [r for r in found if r.role != "root"][: MOST_ROLES if new.type == "root" else _SHOWN * 2]:
        name = held.role[:_NAME]
        if held.keys_to_lose < 0:
            yield f"{name} can't be signed as it is: {held.keys} usable of {held.threshold} keys needed"
            continue
        yield f"{name}: {_any(held.keys_to_lose, 'key')} of {held.keys} may be lost ({held.by})"
        if held.keys > 1:
            yield from _who(held, f"{name} can't be signed")


def _who(held: Reserve, ends: str) -> Iterator[str]:
    if held.fatal:
        yield f"without {_names(held.fatal, ' or ')} alone, {ends}"
    elif held.worst:
        yield f"without {_names(held.worst, ' and ')} together, {ends}"


def _names(holders: Sequence[Holding], last: str) -> str:
    shown = [f"{h.name[:_NAME]} ({len(h.keyids)} keys)" if len(h.keyids) > 1 else h.name[:_NAME] for h in holders]
    if len(shown) > _SHOWN:
        return ", ".join(shown[:_SHOWN]) + f"{last}{len(shown) - _SHOWN} more"
    return ", ".join(shown[:-1]) + last + shown[-1] if len(shown) > 1 else shown[0]


def _of_uncounted(count: int) -> Iterator[str]:
    if count:
        yield f"the keys of {count:,} delegated roles are not counted one by one here"


def _of_leads(leads: Sequence[Lead]) -> Iterator[str]:
    good = [x.version for x in leads if x.leads]
    if good:
        yield f"clients that trust {_versions(good)} get here"
    for state, what in ((False, "do not get here"), (None, "may not get here; that can't be told")):
        by_reason: dict[str, list[int]] = {}
        for lead in leads:
            if lead.leads is state:
                by_reason.setdefault(lead.why, []).append(lead.version)
        for why, versions in by_reason.items():
            yield f"clients that trust {_versions(versions)} {what}: {why}"


def _versions(versions: Sequence[int]) -> str:
    runs: list[list[int]] = []
    for version in sorted(versions):
        if runs and runs[-1][1] == version - 1:
            runs[-1][1] = version
        else:
            runs.append([version, version])
    return "root " + ", ".join(f"v{a}" if a == b else f"v{a} to v{b}" for a, b in runs)


def _of_expiries(expiries: Sequence[Expiry], following: datetime, now: datetime, *, given: bool) -> Iterator[str]:
    for found in expiries:
        days = (found.expires - now).days
        when = f"in {_several(days, 'day')}" if found.expires > now else "which is past"
        yield f"{found.role[:_NAME]} v{found.version} expires on {found.expires:%Y-%m-%d}, {when}"
    early = [e.role[:_NAME] for e in expiries if e.before_next]
    what = "the next ceremony" if given else "the root's own expiry, when people meet next at the latest,"
    if early:
        verb = "expires" if len(early) == 1 else "expire"
        yield f"before {what} on {following:%Y-%m-%d}, {', '.join(early)} {verb}"
    elif given:
        yield f"nothing known here expires before {what} on {following:%Y-%m-%d}"


def _any(count: int, what: str) -> str:
    return f"any {_several(count, what)}" if count else f"no {what}"


def _several(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
