"""Proving a script before the day: can it be walked to its end, by these people with these keys, and is it wise?

`check` looks at the script and its inputs alone; it asks no clock, no token and no one. What it calls ``stop`` would
end or spoil the ceremony on the day.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import date, timedelta

from vestry.ceremony.problem import Case, Problem, listed
from vestry.ceremony.reading import ONLINE, PREDECESSOR
from vestry.ceremony.script import Input, KeySpec, Script
from vestry.ceremony.sequence import sequence
from vestry.ceremony.succession import given, succession
from vestry.errors import VestryError
from vestry.metadata import document, layout
from vestry.metadata.keys import ED25519_PREFIX, Key
from vestry.text import printable

__all__ = ["EXAMPLE_KEYS", "Problem", "check"]

# Raw Ed25519 public keys: the one of ceremony-scripts/, which nobody holds, and those whose private halves RFC 8032,
# section 7.1, prints (TEST 1, 2, 3).
_PRINTED = (
    "0560881dfc33f8062658bc105d833a9fc6c1395f732431b2c370583e275e43ab",
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
)
EXAMPLE_KEYS = frozenset(hashlib.sha256(ED25519_PREFIX + bytes.fromhex(raw)).hexdigest() for raw in _PRINTED)
"""Fingerprints (SHA-256 of the SubjectPublicKeyInfo) of keys that are published as examples."""

_SHORT_LIFE, _LONG_LIFE = 30, 3 * 366


def check(script: Script, inputs: Mapping[str, bytes], *, today: date | None = None) -> tuple[Problem, ...]:
    """Everything that is wrong or unwise, in the order of the script's lines.

    Args:
        script: As `reading` gives it.
        inputs: The bytes of the files that it names, by name.
        today: The day to compare the script's date with; not compared where not given.
    """
    case = Case(script, inputs)
    found = [*_people(case), *_tokens(case), *_keys(case), *_roles(case), *_thresholds(case)]
    found += [*_lives(case, today), *_inputs(case), *sequence(case)]
    if script.predecessor is not None and PREDECESSOR in inputs:
        found += succession(case, inputs[PREDECESSOR])
    if script.given is not None:
        found += given(case, script.given)
    rank = {"stop": 0, "warn": 1, "note": 2}
    return tuple(sorted(dict.fromkeys(found), key=lambda p: (p.line, rank[p.severity])))


def _people(case: Case) -> Iterator[Problem]:
    people = case.script.people
    for office, severity, why in (
        ("administrator", "stop", "nobody leads the ceremony and speaks for the record"),
        ("witness", "warn", "nobody watches who has no part in it"),
    ):
        if all(p.office != office for p in people):
            text = f'{why}: add [[people]] with office = "{office}"'
            yield Problem("stop" if severity == "stop" else "warn", f"NO-{office.upper()}", case.line("people"), text)
    holding = {k.holder for k in case.script.keys}
    for index, person in enumerate(people):
        if person.office == "holder" and person.name not in holding:
            text = f"{printable(person.name)} is a holder and has no key"
            yield Problem("warn", "HOLDER-NO-KEY", case.line("people", index), text)
        if not person.name.isascii():
            text = f"the screen shows {printable(person.name)} for a name with other letters than ASCII"
            yield Problem("note", "NAME-NOT-ASCII", case.line("people", index, "name"), text)


def _tokens(case: Case) -> Iterator[Problem]:
    offices = {p.name: p.office for p in case.script.people}
    serials: dict[str, str] = {}
    for index, token in enumerate(case.script.tokens):
        if offices.get(token.holder) != "holder":
            owner = f"{printable(token.holder)}, whose office is {offices.get(token.holder)}"
            text = f"token '{token.name}' belongs to {owner}"
            yield Problem("stop", "TOKEN-OFFICE", case.line("tokens", index, "holder"), text)
        if all(k.token != token.name for k in case.script.keys):
            text = f"token '{token.name}' has no key"
            yield Problem("warn", "TOKEN-NO-KEY", case.line("tokens", index), text)
        if token.use == "software" and not case.script.rehearsal:
            text = f"token '{token.name}' is software, in a ceremony that is no rehearsal"
            yield Problem("warn", "TOKEN-SOFTWARE", case.line("tokens", index, "use"), text)
        if token.serial and (other := serials.setdefault(token.serial, token.name)) != token.name:
            text = f"token '{token.name}' has the serial of '{other}'"
            yield Problem("stop", "TOKEN-SERIAL", case.line("tokens", index, "serial"), text)


def _keys(case: Case) -> Iterator[Problem]:
    script = case.script
    offices = {p.name: p.office for p in script.people}
    on_token: dict[tuple[str, str], str] = {}
    for index, key in case.numbered_keys:
        if offices.get(key.holder) != "holder":
            text = f"key '{key.name}' is held by {printable(key.holder)}, whose office is {offices.get(key.holder)}"
            yield Problem("stop", "KEY-OFFICE", case.line("keys", index, "holder"), text)
        owner = script.token(key.token).holder
        if owner != key.holder:
            text = f"key '{key.name}' of {printable(key.holder)} is on token '{key.token}' of {printable(owner)}"
            yield Problem("stop", "KEY-TOKEN-HOLDER", case.line("keys", index, "token"), text)
        if not key.new and script.kind == "root":
            text = f"key '{key.name}' exists already; a first root makes all its keys: write scheme, not keyid"
            yield Problem("stop", "KEY-EXISTS", case.line("keys", index, "keyid"), text)
        if len(key.roles) > 1:
            # PEP 458: "independent of any other keys".
            text = f"key '{key.name}' serves {listed(key.roles)}: give each role a key of its own"
            yield Problem("stop" if key.new else "warn", "KEY-SHARED", case.line("keys", index, "roles"), text)
        for role in key.roles:
            if not key.leaves and (other := on_token.setdefault((key.token, role), key.name)) != key.name:
                text = f"keys '{other}' and '{key.name}' of {role} are on one token: whoever has it has both"
                yield Problem("warn", "KEYS-ONE-TOKEN", case.line("keys", index, "token"), text)


def _roles(case: Case) -> Iterator[Problem]:
    script = case.script
    there = {"root": True, "targets": script.targets is not None, "bins": script.bins is not None}
    if script.rstuf is not None:
        for role in (r for r in ("targets", "bins") if there[r]):
            text = f"RSTUF signs {role} by itself, with the online key: leave [{role}] and its keys out"
            yield Problem("stop", "RSTUF-SIGNS", case.line(role), text)
    if script.kind == "root":
        for role in ("targets", "bins") if script.rstuf is None else ():
            if not there[role]:
                text = f"a first root comes with {role}: add [{role}] with threshold and expires"
                yield Problem("stop", "ROLE-MISSING", case.line("ceremony", "kind"), text)
        if script.online is None:
            text = "a first root names the key of timestamp and snapshot: add [online] with public_key"
            yield Problem("stop", "ONLINE-MISSING", case.line("ceremony", "kind"), text)
    elif script.kind == "rotation":
        yield from _followed(case)
    for index, key in case.numbered_keys:
        for role in key.roles:
            if not there.get(role, True):
                text = f"key '{key.name}' serves {role}, which the script does not set: add [{role}] or drop the role"
                yield Problem("stop", "ROLE-NOT-HERE", case.line("keys", index, "roles"), text)
    number = script.bins.number if script.bins else 2
    if number & (number - 1):
        below = 1 << (number.bit_length() - 1)
        text = f"number {number} is no power of two: write {below} or {2 * below}"
        yield Problem("stop", "BINS-NUMBER", case.line("bins", "number"), text)


def _followed(case: Case) -> Iterator[Problem]:
    """In a rotation, ``[bins]`` says who signs a next bins, which follows one, under a next targets that names them."""
    script = case.script
    if script.bins is None:
        return
    if "bins" not in script.drafted:
        text = 'a rotation makes the next bins from the last: add from = "1.bins.json" to [bins], or leave it out'
        yield Problem("stop", "ROLE-NOT-HERE", case.line("bins"), text)
    if "targets" not in script.drafted:
        text = 'the keys of bins are named in targets: add [targets] with from = "1.targets.json"'
        yield Problem("stop", "ROLE-MISSING", case.line("bins"), text)


def _thresholds(case: Case) -> Iterator[Problem]:
    for role in ("root", "targets", "bins", layout.TYPE):
        threshold = case.threshold(role)
        if threshold:
            yield from _threshold(role, threshold, case.script.keys_of(role), case.line(role, "threshold"))


def _threshold(role: str, threshold: int, keys: tuple[KeySpec, ...], line: int) -> Iterator[Problem]:
    people = {k.holder for k in keys}
    if threshold > len(keys):
        text = f"{role} wants {threshold} keys to sign and has {len(keys)}"
        yield Problem("stop", "THRESHOLD-KEYS", line, text)
        return
    if threshold > len(people):
        text = f"{role} wants {threshold} keys to sign, and its keys are held by {len(people)} people"
        yield Problem("stop", "THRESHOLD-PEOPLE", line, text)
        return
    if threshold == 1:
        # PEP 458: a threshold above one, so that no one can sign alone.
        yield Problem("warn", "THRESHOLD-ONE", line, f"one key alone can sign {role}")
    else:
        alone = [p for p in sorted(people) if sum(k.holder == p for k in keys) >= threshold]
        if alone:
            text = f"{printable(listed(alone))} alone can sign {role}, with more than one key"
            yield Problem("warn", "THRESHOLD-ALONE", line, text)
    if role == "root" and threshold == len(keys):
        text = "every root key must sign: lose one, and the root can't be changed again"
        yield Problem("warn", "THRESHOLD-ALL", line, text)


def _lives(case: Case, today: date | None) -> Iterator[Problem]:
    script = case.script
    every = (("root", script.root), ("targets", script.targets), ("bins", script.bins))
    lives = {role: spec.days for role, spec in every if spec and role in script.drafted}
    for role, days in lives.items():
        line = case.line(role, "expires")
        if not _SHORT_LIFE <= days <= _LONG_LIFE:
            text = f"{role} expires after {days} days: PEP 458 takes a year"
            yield Problem("warn", "EXPIRES", line, text)
        if days > lives["root"]:
            text = f"{role} outlives the root that names its keys, by {days - lives['root']} days"
            yield Problem("warn", "EXPIRES-ORDER", line, text)
    if script.targets and script.targets.days and "targets" not in script.drafted:
        text = "a rotation does not sign targets: its expires has no effect"
        yield Problem("note", "EXPIRES-UNUSED", case.line("targets", "expires"), text)
    if script.date and today is not None:
        yield from _date(case, date.fromisoformat(script.date), today, min(lives.values(), default=_LONG_LIFE))


def _date(case: Case, day: date, today: date, shortest: int) -> Iterator[Problem]:
    line = case.line("ceremony", "date")
    if day + timedelta(days=shortest) <= today:
        text = f"counted from {day}, what is signed would have expired by today, {today}"
        yield Problem("stop", "DATE-EXPIRED", line, text)
    elif day < today:
        yield Problem("warn", "DATE-PAST", line, f"the date {day} has passed; expiry is counted from it")


def _inputs(case: Case) -> Iterator[Problem]:
    for item in case.script.inputs:
        key = item.pin[-1]
        line = case.line(*item.pin)
        raw = case.inputs.get(item.name)
        actual = hashlib.sha256(raw).hexdigest() if raw is not None else ""
        if raw is None:
            yield Problem("stop", "INPUT-MISSING", line, f"'{printable(item.path, 60)}' is not there")
        elif not item.sha256:
            text = f"'{printable(item.path, 60)}' is not pinned: add {key} = \"{actual}\""
            yield Problem("stop", "INPUT-UNPINNED", line, text)
        elif actual != item.sha256:
            said = "is not pinned yet" if not item.sha256.strip("0") else f"is another file than {item.sha256}"
            text = f"'{printable(item.path, 60)}' {said}: if it is the one that was meant, write {key} = \"{actual}\""
            yield Problem("stop", "INPUT-DIFFERS", line, text)
    if case.script.online is not None and ONLINE in case.inputs:
        yield from _online(case, case.script.online, case.inputs[ONLINE])


def _online(case: Case, item: Input, raw: bytes) -> Iterator[Problem]:
    line = case.line("online", "public_key")
    try:
        key = Key.from_pem(raw.decode("utf-8"), case.script.online_scheme, where=item.path)
    except UnicodeDecodeError:
        yield Problem("stop", "ONLINE-KEY", line, "the online key is not text in UTF-8")
        return
    except VestryError as error:
        yield Problem("stop", "ONLINE-KEY", line, f"the online key can't be used: {printable(error.what)}")
        return
    if key.fingerprint in EXAMPLE_KEYS:
        text = "the online key is the published example: put your own in its place"
        yield Problem("warn", "ONLINE-EXAMPLE", line, text)
    if PREDECESSOR in case.inputs and case.script.kind == "rotation":
        yield from _online_is_offline(key, case.inputs[PREDECESSOR], line)


def _online_is_offline(key: Key, predecessor: bytes, line: int) -> Iterator[Problem]:
    try:
        old = document.read(predecessor, where="predecessor")
    except VestryError:
        return  # told by `succession`
    for keyid in old.signed["roles"]["root"]["keyids"] if old.type == "root" else ():
        held = document.keys(old).get(keyid)
        if held is not None and held.fingerprint == key.fingerprint:
            yield Problem("stop", "ONLINE-IS-ROOT", line, "the online key is a root key of the predecessor")
