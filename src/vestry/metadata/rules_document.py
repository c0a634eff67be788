"""Rules about a document as a whole: version, expiry, format, fields, signatures."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from vestry.metadata.edits import SUCCINCT, holders
from vestry.metadata.rulebook import Context, Hit, Severity, rule
from vestry.metadata.services import FIELDS
from vestry.release import SECOND

TOP_LEVEL = ("root", "targets", "snapshot", "timestamp")
UNDERSTOOD = (1, 0, 34)
"""Newest TUF specification that the rules know."""

_MANY = 100


@rule("ROLE-TYPE", "stop", "The document is of another type than its role.")
def role_type(c: Context) -> Iterator[Hit]:
    """A document signed for one role must not pass for another."""
    wanted = c.role if c.role in TOP_LEVEL else "targets"
    if c.new.type != wanted:
        yield Hit(("_type",), f"This is {_a(c.new.type)}, but role {c.role} needs {_a(wanted)}")
    elif c.old is not None and c.old.type != c.new.type:
        yield Hit(("_type",), f"This is {_a(c.new.type)}, but the old version is {_a(c.old.type)}")


def _a(kind: str) -> str:
    return f"a document of type {kind[:20]}"


@rule("ROLE-UNKNOWN", "stop", "Root names a role that TUF does not define.", since=SECOND)
def role_unknown(c: Context) -> Iterator[Hit]:
    """Drafts of TUF had a role for mirrors. python-tuf refuses a root that names any but the four."""
    for name in sorted(r for r in c.signed["roles"] if r not in TOP_LEVEL) if c.new.type == "root" else ():
        yield Hit(("roles", name), f"Root gives keys to the role {name[:100]}: python-tuf refuses the document")


@rule("ROLE-MISSING", "stop", "Root gives no keys to a role that TUF demands.", since=SECOND)
def role_missing(c: Context) -> Iterator[Hit]:
    """TUF 1.0.34, 4.3: all four. python-tuf refuses a root that lacks one."""
    for name in (r for r in TOP_LEVEL if r not in c.signed["roles"]) if c.new.type == "root" else ():
        yield Hit(("roles", name), f"Root gives no keys to the role {name}: clients refuse the document")


@rule("VERSION-STEP", "stop", "The version does not follow the old one.")
def version_step(c: Context) -> Iterator[Hit]:
    """TUF 1.0.34, 5.3.5: root exactly one more. Others must be higher, or clients see a rollback."""
    if c.old is None:
        return
    was, now = c.old.version, c.new.version
    if c.role == "root" and now != was + 1:
        yield Hit(("version",), f"root version {now} does not follow version {was}: clients need {was + 1}")
    elif c.role != "root" and now <= was:
        yield Hit(("version",), f"Version {now} is not higher than {was}: clients refuse it as a rollback")
    elif c.role != "root" and now != was + 1:
        yield Hit(("version",), f"Version {now} comes after {was}: {now - was - 1:,} in between are not here", "note")


@rule("VERSION-FIRST", "note", "There is no predecessor to compare with.")
def version_first(c: Context) -> Iterator[Hit]:
    """Without one, nothing says what changed; a first version is 1."""
    if c.old is None and c.new.version != 1:
        yield Hit(("version",), f"This is version {c.new.version}, but no earlier one is here to compare with")


@rule("META-ROLLBACK", "stop", "A listed document goes back to an earlier version, or is listed no more.", since=SECOND)
def meta_rollback(c: Context) -> Iterator[Hit]:
    """TUF 1.0.34, 5.4.4 and 5.5.5, for snapshot and timestamp."""
    was, now = (d.signed.get("meta") if d is not None and d.type == c.new.type else None for d in (c.old, c.new))
    if not (isinstance(was, dict) and isinstance(now, dict)):
        return
    for name in sorted(was):
        if name not in now:
            yield Hit(("meta", name), f"{name[:100]} is no longer listed: clients refuse it")
        elif now[name]["version"] < was[name]["version"]:
            step = f"version {now[name]['version']} after {was[name]['version']}"
            yield Hit(("meta", name), f"{name[:100]} is listed at {step}: clients refuse it as a rollback")


@rule("EXPIRY-PAST", "stop", "The document has expired.")
def expiry_past(c: Context) -> Iterator[Hit]:
    """Clients refuse it from that moment on."""
    if c.new.expires <= c.now:
        yield Hit(("expires",), f"It expired on {_day(c.new.expires)}; today is {_day(c.now)}")


@rule("EXPIRY-SOON", "warn", "The document expires soon.")
def expiry_soon(c: Context) -> Iterator[Hit]:
    """Less than the policy wants; without one, a month for a role whose holders have to meet."""
    left = c.new.expires - c.now
    least = c.policy.least(c.role)
    if least is not None and timedelta(0) < left < timedelta(days=least):
        days = left.days
        yield Hit(("expires",), f"It expires on {_day(c.new.expires)}, in {days} {'day' if days == 1 else 'days'}")


@rule("EXPIRY-FAR", "warn", "The document expires far in the future.")
def expiry_far(c: Context) -> Iterator[Hit]:
    """Expiry bounds how long a client can be held on an old version. PEP 458: one year for root."""
    left = c.new.expires - c.now
    most = c.policy.most(c.role)
    if most is not None and left > timedelta(days=most):
        yield Hit(("expires",), f"It expires on {_day(c.new.expires)}, in {left.days:,} days")


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


@rule("CONSISTENT-SNAPSHOT-OFF", "warn", "Consistent snapshots are off.")
def consistent_snapshot_off(c: Context) -> Iterator[Hit]:
    """Clients may then meet metadata and files of two versions mixed (TUF 1.0.34, 6.2)."""
    if c.new.type == "root" and c.signed.get("consistent_snapshot") is not True:
        was = c.old is not None and c.old.signed.get("consistent_snapshot") is True
        yield Hit(("consistent_snapshot",), f"Consistent snapshots are {'switched off' if was else 'off'}")


@rule("CONSISTENT-SNAPSHOT-ON", "note", "Consistent snapshots are switched on.")
def consistent_snapshot_on(c: Context) -> Iterator[Hit]:
    """From then on clients ask for files by version and hash; the repository must have them under these names."""
    was = c.old.signed.get("consistent_snapshot") if c.old is not None else True
    if c.new.type == "root" and c.signed.get("consistent_snapshot") is True and was is not True:
        yield Hit(("consistent_snapshot",), "Consistent snapshots are switched on: file names change for clients")


@rule("SPEC-VERSION", "stop", "The TUF version that the document follows is not understood.")
def spec_version(c: Context) -> Iterator[Hit]:
    """Another major version means other rules. A newer minor one is a note."""
    value = c.signed.get("spec_version")
    if not isinstance(value, str):
        what = "is not a string" if "spec_version" in c.signed else "is missing, as before TUF 1.0"
        yield Hit(("spec_version",), f"The version of the TUF specification {what}: clients of today refuse it")
        return
    found = re.fullmatch(r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(?:\.(0|[1-9][0-9]{0,8}))?", value, re.ASCII)
    if found is None:
        yield Hit(("spec_version",), f"'{value[:40]}' is no version of the TUF specification")
        return
    parts = tuple(int(p or 0) for p in found.groups())
    if parts[0] != UNDERSTOOD[0]:
        yield Hit(("spec_version",), f"It follows TUF {value}; only version 1 is understood here")
    elif parts > UNDERSTOOD:
        yield Hit(("spec_version",), f"It follows TUF {value}, newer than what is known here", "note")


@rule("FIELD-UNKNOWN", "warn", "A field that TUF does not define.")
def field_unknown(c: Context) -> Iterator[Hit]:
    """It gets signed, and no client looks at it. A note where its name starts with x-, as custom names do."""
    for group, path, fields in _unknown(c.new.type, c.signed):
        usual = [f for f in fields if f.startswith("x-") or f in _LEGACY]
        # What other tools add goes into one line; what nobody expects gets a line of its own.
        for together, severity in [(usual, _NOTE)] * bool(usual) + [([f], _WARN) for f in fields if f not in usual]:
            shown = ", ".join(_explained(f) for f in together[:6]) + (" ..." if len(together) > 6 else "")
            what = "Field" if len(together) == 1 else "Fields"
            text = f"{what} of {group} that TUF does not define: {shown}; signed, but clients pass over it"
            yield Hit((*path, together[0]), text, severity)
    for field in sorted(c.new.extra):
        text = f"Field {field[:100]} stands outside the signed part: no signature covers it"
        yield Hit(("outside", field), text, "note" if field.startswith("x-") else "warn")


def _explained(field: str) -> str:
    return f"{field} ({FIELDS[field]})" if field in FIELDS else field[:100]


_NOTE: Severity = "note"
_WARN: Severity = "warn"
_LEGACY = frozenset({"keyid_hash_algorithms"})
_OWN = {
    "root": {"consistent_snapshot", "keys", "roles"},
    "targets": {"targets", "delegations"},
    "snapshot": {"meta"},
    "timestamp": {"meta"},
}


def _unknown(kind: str, signed: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...], list[str]]]:
    """Groups of like objects that have unknown fields: what they are, the path of the first, all such fields."""
    delegations = signed.get("delegations")
    inner = delegations if isinstance(delegations, dict) else {}
    yield from _group(kind, [((), signed)], {"_type", "spec_version", "version", "expires"} | _OWN.get(kind, set()))
    yield from _group("delegations", [(("delegations",), inner)], {"keys", "roles", "succinct_roles"})
    keys: list[tuple[tuple[str, ...], Any]] = [(("keys", i), k) for i, k in _members(signed.get("keys"))]
    keys += [(("delegations", "keys", i), k) for i, k in _members(inner.get("keys"))]
    yield from _group("a key", keys, {"keytype", "scheme", "keyval"})
    values = [((*path, "keyval"), key.get("keyval")) for path, key in keys if isinstance(key, dict)]
    yield from _group("a key value", values, {"public", "private"})
    roles = [(path, role) for _, path, role in holders(signed)]
    top = [(path, role) for path, role in roles if path[0] == "roles"]
    yield from _group("a role", top, {"keyids", "threshold"})
    below = [(path, role) for path, role in roles if path[0] != "roles" and path != SUCCINCT]
    yield from _group(
        "a delegation", below, {"name", "keyids", "threshold", "terminating", "paths", "path_hash_prefixes"}
    )
    bins = [(path, role) for path, role in roles if path == SUCCINCT]
    yield from _group("the hash bins", bins, {"keyids", "threshold", "bit_length", "name_prefix"})
    files = [(("targets", i), t) for i, t in _members(signed.get("targets"))]
    yield from _group("a target file", files, {"length", "hashes", "custom"})
    listed = [(("meta", i), m) for i, m in _members(signed.get("meta"))]
    yield from _group("a listed document", listed, {"version", "length", "hashes"})


def _group(
    what: str, objects: Iterable[tuple[tuple[str, ...], Any]], known: set[str]
) -> Iterator[tuple[str, tuple[str, ...], list[str]]]:
    seen: set[str] = set()
    first: tuple[str, ...] | None = None
    for path, value in objects:
        if isinstance(value, Mapping) and (fields := value.keys() - known):
            seen |= fields
            first = path if first is None else first
    if first is not None:
        yield what, first, sorted(seen)


def _members(value: Any) -> list[tuple[str, Any]]:
    return sorted(value.items()) if isinstance(value, dict) else []


@rule("SIGNATURE-INVALID", "warn", "A signature does not verify.")
def signature_invalid(c: Context) -> Iterator[Hit]:
    """By a key that may sign, but over other bytes, or damaged. It does not count."""
    empty = {s.keyid for s in c.new.signatures if not s.sig}
    for keyid in dict.fromkeys(i for t in c.tallies for i in t.invalid if i not in empty):
        yield Hit(("signatures", keyid), f"The signature of {_low(c.label(keyid))} does not verify; it does not count")


@rule(
    "ROOT-UNVERIFIABLE", "note", "Root is signed, but not by enough keys of the old root or of its own.", since=SECOND
)
def root_unverifiable(c: Context) -> Iterator[Hit]:
    """TUF 1.0.34, 5.3.4: both thresholds. No more than a note, for whoever signs next finds it so."""
    if c.role == "root" and any(t.valid for t in c.tallies):
        for tally in (t for t in c.tallies if not t.met):
            yield Hit(("signatures", tally.by), f"It has {tally.sentence}: as it is, clients refuse it")


@rule("SIGNATURE-UNKNOWN-KEY", "warn", "A signature is by a key that has no say here.")
def signature_unknown_key(c: Context) -> Iterator[Hit]:
    """It does not count. A note where the document that gives the say is not here."""
    if not c.authorities:
        return
    complete = c.role != "root" or c.old is not None or c.new.version == 1
    named = {key.keyid for authority in c.authorities for key in authority.keys}
    for keyid in dict.fromkeys(s.keyid for s in c.new.signatures if s.sig and s.keyid not in named):
        text = f"The signature of key {c.whole(keyid)} does not count: {c.authorities[0].by} does not name that key"
        yield Hit(("signatures", keyid), text, "warn" if complete else "note")


@rule("SIGNATURE-EMPTY", "note", "A place for a signature is empty.")
def signature_empty(c: Context) -> Iterator[Hit]:
    """Some tools keep a slot for everyone who may sign."""
    slots = [s.keyid for s in c.new.signatures if not s.sig]
    if slots:
        text = f"{len(slots)} {'slot waits' if len(slots) == 1 else 'slots wait'} for a signature"
        yield Hit(("signatures",), text)


@rule("SIGNATURE-TWICE", "stop", "One key id has several signatures.", since=SECOND)
def signature_twice(c: Context) -> Iterator[Hit]:
    """TUF 1.0.34, 4.2: key ids of signatures are different ones. python-tuf refuses the whole document."""
    count = Counter(s.keyid for s in c.new.signatures)
    for keyid in (i for i, n in count.items() if n > 1):
        text = f"{c.label(keyid)} has {count[keyid]:,} signatures here, which python-tuf refuses: one must go"
        yield Hit(("signatures", keyid), text)


@rule("SIGNATURES-MANY", "warn", "The document carries very many signatures.")
def signatures_many(c: Context) -> Iterator[Hit]:
    """Clients may try them all (CVE-2020-6173)."""
    count = len(c.new.signatures)
    if count > _MANY:
        yield Hit(("signatures", "*"), f"{count:,} signatures are here; clients may try every one of them")


def _low(text: str) -> str:
    return text[:1].lower() + text[1:]
