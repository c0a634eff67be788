"""Findings: every rule fires where it should, and a good document is left in peace."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from holders import EXPIRES, Holder, first_root, holder, next_root, signed

from vestry import __version__
from vestry.errors import InputRejected
from vestry.media import distributions
from vestry.metadata import claims, document, drafting, scope
from vestry.metadata.document import Document, Signature
from vestry.metadata.findings import CODES, Context, Finding, find
from vestry.metadata.keys import Key
from vestry.metadata.look_ahead import reserve
from vestry.metadata.policy import Policy
from vestry.metadata.review import review
from vestry.metadata.review_text import render_lines
from vestry.metadata.rules_names import covers
from vestry.release import FIRST as FIRST_RELEASE
from vestry.release import Release, release
from vestry.tokens import attestation_rules

NOW = EXPIRES - timedelta(days=365)
PEOPLE = [holder(name) for name in ("Ann", "Ben", "Carol", "Dave", "Eve")]
ONLINE = holder("online")
STRANGER = holder("stranger")
ROOT = first_root(PEOPLE, 3, ONLINE)
SHA = {"length": 3, "hashes": {"sha256": "ab" * 32}}


def changed(before: Document, change: Callable[[dict[str, Any]], object]) -> Document:
    value = copy.deepcopy(before.signed)
    change(value)
    return document.read(document.to_file(value, before.signatures), where="test")


def targets(change: Callable[[dict[str, Any]], object] = lambda _: None, **roles: Any) -> Document:
    """A targets whose delegations are the given roles, in that order."""
    given = [
        {"name": n.replace("_", "-"), "keyids": [ONLINE.key.keyid], "threshold": 1, "terminating": False, **r}
        for n, r in roles.items()
    ]
    value = {
        "_type": "targets",
        "version": 1,
        "spec_version": "1.0.34",
        "expires": f"{EXPIRES:%Y-%m-%dT%H:%M:%SZ}",
        "targets": {},
        "delegations": {"keys": {ONLINE.key.keyid: ONLINE.key.to_dict()}, "roles": given},
    }
    change(value)
    return document.read(document.to_file(value), where="test")


def found(role: str, new: Document, **given: Any) -> dict[str, Finding]:
    now = given.pop("now", NOW)
    return {f.name: f for f in review(role, new, now=now, **given).findings}


def severities(code: str, role: str, new: Document, **given: Any) -> list[str]:
    return [f.severity for f in found(role, new, **given).values() if f.code == code]


def set_in(*path: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(value: dict[str, Any]) -> None:
        for name in path[:-1]:
            value = value[name]
        value[path[-1]] = to

    return change


def snapshot(version: int, **listed: int) -> Document:
    value = {**ROOT.signed, "_type": "snapshot", "version": version}
    value = {k: v for k, v in value.items() if k not in ("keys", "roles", "consistent_snapshot")}
    return document.read(
        document.to_file({**value, "meta": {f"{n}.json": {"version": v} for n, v in listed.items()}}), where="test"
    )


def test_a_snapshot_that_goes_on_is_left_in_peace() -> None:
    """Every snapshot would be said to be a rollback."""
    assert not severities("META-ROLLBACK", "snapshot", snapshot(2, targets=5, bins=1), old=snapshot(1, targets=5))


def renamed(value: dict[str, Any]) -> None:
    """Root's first key under another id."""
    value["keys"]["f" * 64] = value["keys"].pop(FIRST)
    ids = value["roles"]["root"]["keyids"]
    ids[ids.index(FIRST)] = "f" * 64


def test_an_id_without_a_key_that_goes_is_no_other_name() -> None:
    """Of a role that named a key too many it would be said that its keys were renamed."""
    old = changed(ROOT, lambda v: v["roles"]["root"]["keyids"].append("e" * 64))
    assert not severities("KEYS-RENAMED", "root", ROOT, old=old)
    other = changed(ROOT, lambda v: v["roles"]["root"]["keyids"].append("d" * 64))
    assert not severities("KEYS-RENAMED", "root", other, old=old)


def test_two_new_paths_that_look_alike_are_told_once() -> None:
    """A reader would answer for one thing twice."""
    new = targets(set_in("targets", to={"a": SHA, "b": SHA, "A": SHA}))
    assert [n for n in found("targets", new) if n.startswith("TARGET-LOOKALIKE")] == ["TARGET-LOOKALIKE targets/a"]


def test_the_roles_above_are_found_in_the_documents_at_hand() -> None:
    """A loop over two roles would be told to nobody."""
    beside = {"a": targets(b=STAR), "top": targets(a=STAR), "c": targets(d=STAR), "root": ROOT}
    assert scope.above("b", beside) == ("a", "top")
    assert scope.above("a", {"a": targets(a=STAR)}) == ()


def test_another_kind_of_hash_is_no_other_content() -> None:
    """An index that takes up a second kind of hash would be said to have exchanged every file."""
    both = {**SHA, "hashes": {**SHA["hashes"], "sha512": "ab" * 64}}
    old, new = (targets(set_in("targets", to={"a": file})) for file in (SHA, both))
    assert not severities("TARGET-CHANGED", "targets", new, old=old)
    wrong = {**both, "hashes": {"sha256": "cd" * 32, "sha512": "ab" * 64}}
    assert severities("TARGET-CHANGED", "targets", targets(set_in("targets", to={"a": wrong})), old=new) == ["warn"]
    other = {**SHA, "hashes": {"sha512": "ab" * 64}}  # which nothing ties to the file of before
    assert severities("TARGET-CHANGED", "targets", targets(set_in("targets", to={"a": other})), old=old) == ["warn"]


def listed_twice(value: dict[str, Any]) -> None:
    keyid = PEOPLE[0].key.keyid
    again = value["keys"][keyid] | {"x-copy": 1}
    made = Key.from_dict("", again)
    other = next(iter(made.computed_keyids() - {keyid}))
    value["keys"][other] = again
    value["roles"]["root"]["keyids"].append(other)


def add_key(value: dict[str, Any], keyid: str, key: dict[str, Any]) -> None:
    value["keys"][keyid] = key
    value["roles"]["root"]["keyids"].append(keyid)


def rsa_key(bits: int) -> Callable[[dict[str, Any]], None]:
    public = rsa.generate_private_key(65537, bits).public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    key = {"keytype": "rsa", "scheme": "rsassa-pss-sha256", "keyval": {"public": pem}}
    return lambda v: add_key(v, "a" * 64, key)


def ed25519_key(public: str) -> Callable[[dict[str, Any]], None]:
    key = {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public}}
    return lambda v: add_key(v, "b" * 64, key)


def bare_point(value: dict[str, Any]) -> None:
    point = PEOPLE[0].private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint).hex()
    value["keys"][FIRST]["keyval"]["public"] = point


def of_first_key(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], None]:
    return lambda v: change(v["keys"][PEOPLE[0].key.keyid]) and None


def all_keys(fields: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    return lambda v: [k.update(fields) for k in v["keys"].values()] and None


def as_point(value: dict[str, Any]) -> None:
    point = PEOPLE[0].private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    value["keys"][PEOPLE[0].key.keyid]["keyval"]["public"] = point.hex()


def by(new: Document, *signatures: tuple[str, str]) -> Document:
    return replace(new, signatures=tuple(Signature(*s) for s in signatures))


def both(*holders: Holder) -> Callable[[dict[str, Any]], None]:
    """Online roles also list these holders' keys."""
    return lambda v: v["roles"]["snapshot"]["keyids"].extend(h.key.keyid for h in holders)


RSA = {"keytype": "rsa", "scheme": "rsassa-pss-sha256"}
P384 = {"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp384"}
FIRST = PEOPLE[0].key.keyid
OTHERS = [holder(str(n)) for n in range(3)]
STAR = {"paths": ["*"]}

# code, severity, role, new document, what else the review is given
CASES: list[tuple[str, str, str, Callable[[], Document], dict[str, Any]]] = [
    ("ROLE-TYPE", "stop", "targets", lambda: ROOT, {}),
    ("ROLE-TYPE", "stop", "some-project", lambda: ROOT, {}),
    ("TYPE-FORM", "stop", "root", lambda: replace(ROOT, signed={**ROOT.signed, "_type": "Root"}), {}),
    (
        "ROLE-UNKNOWN",
        "stop",
        "root",
        lambda: changed(ROOT, set_in("roles", "mirrors", to=ROOT.signed["roles"]["root"])),
        {},
    ),
    (
        "ROLE-MISSING",
        "stop",
        "root",
        lambda: replace(ROOT, signed={**ROOT.signed, "roles": {"root": ROOT.signed["roles"]["root"]}}),
        {},
    ),
    ("VERSION-STEP", "stop", "root", lambda: changed(ROOT, set_in("version", to=3)), {"old": ROOT}),
    ("VERSION-STEP", "stop", "root", lambda: ROOT, {"old": ROOT}),
    ("VERSION-STEP", "stop", "targets", targets, {"old": targets()}),
    ("VERSION-FIRST", "note", "root", lambda: next_root(ROOT, PEOPLE, 3), {}),
    ("META-ROLLBACK", "stop", "snapshot", lambda: snapshot(2, targets=4), {"old": snapshot(1, targets=5)}),
    ("META-ROLLBACK", "stop", "snapshot", lambda: snapshot(2, targets=5), {"old": snapshot(1, targets=5, bins=1)}),
    ("EXPIRY-PAST", "stop", "root", lambda: ROOT, {"now": EXPIRES}),
    ("EXPIRY-SOON", "warn", "root", lambda: ROOT, {"now": EXPIRES - timedelta(days=29)}),
    (
        "EXPIRY-FORM",
        "stop",
        "root",
        lambda: replace(ROOT, signed={**ROOT.signed, "expires": "2027-01-31T00:00:00.5Z"}),
        {},
    ),
    ("EXPIRY-FAR", "warn", "root", lambda: ROOT, {"now": EXPIRES - timedelta(days=800)}),
    ("CONSISTENT-SNAPSHOT-OFF", "warn", "root", lambda: changed(ROOT, set_in("consistent_snapshot", to=False)), {}),
    ("CONSISTENT-SNAPSHOT-OFF", "warn", "root", lambda: changed(ROOT, lambda v: v.pop("consistent_snapshot")), {}),
    ("SPEC-VERSION", "note", "root", lambda: changed(ROOT, set_in("spec_version", to="1.99.0")), {}),
    (
        "SPEC-VERSION",
        "stop",
        "root",
        lambda: replace(ROOT, signed={**ROOT.signed, "spec_version": "2.0.0"}),
        {},
    ),
    ("FIELD-UNKNOWN", "note", "root", lambda: changed(ROOT, set_in("x-vestry-rehearsal", to=True)), {}),
    ("FIELD-UNKNOWN", "warn", "root", lambda: changed(ROOT, set_in("roles", "root", "treshold", to=1)), {}),
    ("FIELD-UNKNOWN", "warn", "root", lambda: replace(ROOT, extra={"odd": 1}), {}),
    ("FIELD-UNKNOWN", "warn", "targets", lambda: changed(targets(), set_in("keys", to={"odd": []})), {}),
    ("FIELD-UNKNOWN", "warn", "targets", lambda: targets(a={"paths": ["*"], "odd": 1}), {}),
    ("SIGNATURE-INVALID", "warn", "root", lambda: by(ROOT, (FIRST, "00")), {}),
    ("SIGNATURE-UNKNOWN-KEY", "warn", "root", lambda: by(ROOT, (STRANGER.key.keyid, "00")), {}),
    (
        "ROOT-UNVERIFIABLE",
        "note",
        "root",
        lambda: signed(next_root(ROOT, [*PEOPLE[:1], *OTHERS], 3), [PEOPLE[0], *OTHERS]),
        {"old": ROOT},
    ),
    ("SIGNATURE-TWICE", "stop", "root", lambda: by(ROOT, (FIRST, "aa"), (FIRST, "bb")), {}),
    ("SIGNATURE-EMPTY", "note", "root", lambda: by(ROOT, (FIRST, "")), {}),
    ("SIGNATURES-MANY", "warn", "root", lambda: by(ROOT, *((f"{n:064x}", "00") for n in range(101))), {}),
    ("THRESHOLD-LOWERED", "warn", "root", lambda: next_root(ROOT, PEOPLE, 2), {"old": ROOT}),
    ("THRESHOLD-ONE", "warn", "root", lambda: first_root(PEOPLE, 1, ONLINE), {}),
    ("THRESHOLD-UNREACHABLE", "stop", "root", lambda: changed(ROOT, set_in("roles", "root", "threshold", to=6)), {}),
    ("THRESHOLD-ALL", "warn", "root", lambda: first_root(PEOPLE[:3], 3, ONLINE), {}),
    ("ROOT-KEYS-TURNOVER", "note", "root", lambda: next_root(ROOT, [*PEOPLE[:2], *OTHERS], 3), {"old": ROOT}),
    ("KEY-TWICE", "stop", "root", lambda: changed(ROOT, listed_twice), {}),
    ("KEY-ONLINE-AND-OFFLINE", "warn", "root", lambda: changed(ROOT, both(PEOPLE[0])), {}),
    (
        "KEYID-MISMATCH",
        "warn",
        "root",
        lambda: changed(ROOT, of_first_key(lambda k: k.update({"x-uri": "changed"}))),
        {},
    ),
    (
        "KEYID-MISMATCH",
        "warn",
        "root",
        lambda: changed(ROOT, of_first_key(lambda k: k.update(ONLINE.key.to_dict()))),
        {},
    ),
    ("KEY-LEGACY", "stop", "root", lambda: changed(ROOT, as_point), {}),
    ("KEY-UNREADABLE", "stop", "root", lambda: changed(ROOT, ed25519_key("zz" * 32)), {}),
    # Keys of another kind than their scheme can be read, and nothing that they sign verifies.
    ("KEY-UNREADABLE", "stop", "root", lambda: changed(ROOT, of_first_key(lambda k: k.update(RSA))), {}),
    ("KEY-UNREADABLE", "stop", "root", lambda: changed(ROOT, of_first_key(lambda k: k.update(P384))), {}),
    ("THRESHOLD-UNREACHABLE", "stop", "root", lambda: changed(ROOT, all_keys(P384)), {}),
    ("KEY-WEAK", "stop", "root", lambda: changed(ROOT, rsa_key(1024)), {}),
    ("KEY-WEAK", "note", "root", lambda: changed(ROOT, rsa_key(2048)), {}),
    ("KEY-WEAK", "stop", "root", lambda: changed(ROOT, ed25519_key("00" * 32)), {}),
    ("KEY-WEAK", "stop", "root", lambda: changed(ROOT, ed25519_key("ec" + "ff" * 30 + "7f")), {}),
    ("SCHEME-UNKNOWN", "stop", "root", lambda: changed(ROOT, of_first_key(lambda k: k.update(scheme="p-224"))), {}),
    ("KEY-PRIVATE", "stop", "root", lambda: changed(ROOT, of_first_key(lambda k: k["keyval"].update(private="x"))), {}),
    ("KEYS-RENAMED", "note", "root", lambda: changed(ROOT, renamed), {"old": ROOT}),
    (
        "KEY-UNUSED",
        "note",
        "root",
        lambda: changed(ROOT, set_in("keys", STRANGER.key.keyid, to=STRANGER.key.to_dict())),
        {},
    ),
    ("ROLE-KEY-MISSING", "warn", "root", lambda: changed(ROOT, lambda v: v["keys"].pop(FIRST)), {}),
    ("DELEGATION-SHADOWED", "warn", "targets", lambda: targets(a={**STAR, "terminating": True}, b=STAR), {}),
    ("PATH-ESCAPES", "warn", "targets", lambda: targets(a={"paths": ["../*"]}), {}),
    (
        "PATH-OUTSIDE",
        "warn",
        "a",
        lambda: targets(set_in("targets", to={"src/a": SHA})),
        {"delegator": targets(a=STAR)},
    ),
    (
        "TARGET-CHANGED",
        "warn",
        "targets",
        lambda: targets(lambda v: v.update(version=2, targets={"a": SHA})),
        {"old": targets(set_in("targets", to={"a": {**SHA, "length": 4}}))},
    ),
    ("VERSION-STEP", "note", "targets", lambda: targets(set_in("version", to=5)), {"old": targets()}),
    (
        "CONSISTENT-SNAPSHOT-ON",
        "note",
        "root",
        lambda: next_root(ROOT, PEOPLE, 3),
        {"old": changed(ROOT, set_in("consistent_snapshot", to=False))},
    ),
    ("KEY-LEGACY", "stop", "root", lambda: changed(ROOT, bare_point), {}),
    (
        "ROOT-CHAIN-BROKEN",
        "stop",
        "root",
        lambda: next_root(ROOT, PEOPLE, 3),
        {"old": changed(ROOT, set_in("roles", "root", "threshold", to=6))},
    ),
    ("ROLE-NAME-CLASH", "stop", "targets", lambda: targets(a={"paths": ["a"]}, A={"paths": ["b"]}), {}),
    ("NAME-LOOKALIKE", "warn", "targets", lambda: targets(requsets={"paths": ["x"]}), {}),
    (
        "NAME-LOOKALIKE",
        "warn",
        "targets",
        lambda: targets(ourvau1t={"paths": ["x"]}),
        {"policy": Policy(well_known=("our-vault",))},
    ),
    ("DELEGATION-OVERLAP", "warn", "targets", lambda: targets(b=STAR, a=STAR), {"old": targets(a=STAR)}),
    ("DELEGATION-OVERLAP", "note", "targets", lambda: targets(b=STAR, a=STAR), {}),
    ("DELEGATION-ESCAPES", "warn", "a", lambda: targets(b={"paths": ["b/*"]}), {"delegator": targets(a=STAR)}),
    ("DELEGATION-LOOP", "warn", "a", lambda: targets(a=STAR), {"delegator": targets(a=STAR)}),
    ("DELEGATION-LOOP", "warn", "b", lambda: targets(a=STAR), {"ancestors": ("a",)}),
    ("DELEGATION-DIAMOND", "warn", "a", lambda: targets(b=STAR), {"delegator": targets(a=STAR, b=STAR)}),
    ("DELEGATION-VANISHED", "warn", "targets", lambda: targets(a=STAR), {"old": targets(a=STAR, b=STAR)}),
    ("TARGET-VANISHED", "warn", "targets", targets, {"old": targets(set_in("targets", to={"a": SHA}))}),
    ("TARGET-LOOKALIKE", "warn", "targets", lambda: targets(set_in("targets", to={"a": SHA, "A": SHA})), {}),
    ("TARGET-LOOKALIKE", "note", "targets", lambda: targets(set_in("targets", to={"a1": SHA, "al": SHA})), {}),
]
UNSAFE = [
    "../root",
    "a/b",
    "a\\b",
    "",
    ".",
    "..",
    "a..b",
    "a.",
    ".a",
    "-x",
    "con",
    "nul.1",
    "root",
    "TIMESTAMP",
    "a*",
    "a:b",
    "x" * 201,
]
ESCAPING = ["../a", "/etc/passwd", "a/../b", "C:/a", "a\\b", "a//b", "./a", ""]
HOSTILE = ["\x1b[2J", "\u202eevil", "a\u200bb", "a\u0301", "\u3164", "\x7f", "\ue000", "a\nb"]


def named_role(name: str) -> Document:
    return targets(lambda v: v["delegations"]["roles"][0].update(name=name), a=STAR)


def named_target(path: str) -> Document:
    return targets(set_in("targets", to={path: SHA}))


CASES += [("ROLE-NAME-UNSAFE", "stop", "targets", lambda n=n: named_role(n), {}) for n in UNSAFE]
CASES += [("PATH-ESCAPES", "stop", "targets", lambda p=p: named_target(p), {}) for p in ESCAPING]
CASES += [("TEXT-HOSTILE", "stop", "targets", lambda t=t: named_target(t), {}) for t in HOSTILE]
CASES += [("TEXT-HOSTILE", "stop", "targets", lambda t=t: named_role(t), {}) for t in HOSTILE]
CASES += [
    ("TEXT-HOSTILE", "warn", "targets", lambda: named_role("\u0430pp"), {}),
    ("TEXT-HOSTILE", "note", "root", lambda: changed(ROOT, set_in("x-note", to="Zo\u00eb")), {}),
    ("TEXT-HOSTILE", "stop", "root", lambda: changed(ROOT, set_in("x-note", to="a\x1b[0m")), {}),
]


@pytest.mark.parametrize(("code", "severity", "role", "make", "given"), CASES)
def test_rule_fires(code: str, severity: str, role: str, make: Callable[[], Document], given: dict[str, Any]) -> None:
    """Each rule finds what it is about, as grave as it is."""
    assert severity in severities(code, role, make(), **given), found(role, make(), **given).keys()


def test_every_rule_is_tried() -> None:
    """A rule without a case might never fire."""
    # Those of layouts have their cases in test_layout.py, those of services in services/.
    assert {case[0] for case in CASES} == {code for code in CODES if not code.startswith(("LAYOUT-", "SERVICE-"))}


def bad(role: str, new: Document, **given: Any) -> list[str]:
    return [name for name, f in found(role, new, **given).items() if f.severity != "note"]


def test_a_good_root_is_left_in_peace() -> None:
    """A newcomer would answer findings about nothing in a first practice."""
    assert bad("root", ROOT) == []
    assert bad("root", signed(ROOT, PEOPLE[:3])) == []
    assert bad("root", changed(ROOT, set_in("x-vestry-rehearsal", to="practice"))) == []


def test_a_good_rotation_is_left_in_peace() -> None:
    """One comes, one goes, the threshold stays or rises: nothing to answer."""
    trusted = signed(ROOT, PEOPLE[:3])
    new = next_root(trusted, [*PEOPLE[1:], OTHERS[0]], 3)
    assert bad("root", new, old=trusted) == []
    assert bad("root", signed(new, PEOPLE[1:4]), old=trusted) == []
    assert bad("root", next_root(trusted, [*PEOPLE, OTHERS[0]], 4), old=trusted) == []


@pytest.mark.parametrize("style", ["succinct", "prefixes"])
def test_targets_and_bins_are_left_in_peace(style: Any) -> None:
    """PEP 458's own targets and bins, two of two, with 16,384 hash bins under one online key."""
    two = [h.key for h in PEOPLE[:2]]
    top = document.read(
        drafting.targets_with_bins(version=1, expires=EXPIRES, bins_threshold=2, bins_keys=two), where="t"
    )
    raw = drafting.bins(version=1, expires=EXPIRES, number=16384, online=ONLINE.key, style=style)
    roles = {"root": (3, [h.key for h in PEOPLE]), "targets": (2, two)}
    roles |= {"snapshot": (1, [ONLINE.key]), "timestamp": (1, [ONLINE.key])}
    root = document.read(drafting.root(version=1, expires=EXPIRES, roles=roles), where="t")
    assert bad("root", root) == []
    assert bad("targets", top, delegator=root) == []
    assert bad("bins", document.read(raw, where="t"), delegator=top) == []


@pytest.mark.parametrize("name", ["requests", "bin-0000", "a.b_c", "Django", "role 1", "user@host"])
def test_usual_role_names_are_safe(name: str) -> None:
    """A rule that cries at every name is not read."""
    assert severities("ROLE-NAME-UNSAFE", "targets", named_role(name)) == []


def test_known_forms_of_key_ids() -> None:
    """Which part of the key an id covers decides which clients take it."""
    plain = changed(ROOT, of_first_key(lambda k: k.update({"x-rstuf-key-name": "Ann"})))
    text = next(f.text for f in found("root", plain).values() if f.code == "KEYID-MISMATCH")
    assert "only type, scheme and value" in text
    other = changed(ROOT, of_first_key(lambda k: k.update(ONLINE.key.to_dict())))
    text = next(f.text for f in found("root", other).values() if f.code == "KEYID-MISMATCH")
    assert "in no form in use" in text


def test_an_old_key_of_unknown_say_is_only_noted() -> None:
    """Signatures of the old root's keys on a root whose predecessor is not here are no trouble."""
    new = next_root(ROOT, [*PEOPLE[1:], OTHERS[0]], 3)
    both_signed = signed(new, [PEOPLE[0], PEOPLE[1]])
    assert severities("SIGNATURE-UNKNOWN-KEY", "root", both_signed) == ["note"]
    assert severities("SIGNATURE-UNKNOWN-KEY", "root", both_signed, old=ROOT) == []


@pytest.mark.parametrize(
    ("pattern", "other", "all_of_it"),
    [
        ("*", "a*", True),
        ("*", "a/b", False),
        ("a/*", "a/b?", True),
        ("a/*", "*/b", False),
        ("a?", "a*", False),
        ("a?", "ab", True),
        ("*/*", "x/y", True),
        ("foo", "foo", True),
    ],
)
def test_what_covers_what(pattern: str, other: str, all_of_it: bool) -> None:
    """A wildcard stays within its segment; a doubt is no shadow."""
    assert covers(pattern, other) is all_of_it


def test_shadows_by_hash_prefix() -> None:
    """A prefix of a prefix takes it all."""
    new = targets(
        a={"path_hash_prefixes": ["0", "1"], "terminating": True},
        b={"path_hash_prefixes": ["00", "1f"]},
        c={"path_hash_prefixes": ["00", "2f"]},
        d={"path_hash_prefixes": [""]},
    )
    shadowed = [f.where for f in found("targets", new).values() if f.code == "DELEGATION-SHADOWED"]
    assert shadowed == ["delegations/roles/b"]


def test_every_place_is_unambiguous_and_printable() -> None:
    """Two findings of one name would share an answer; a hostile name would reach the terminal."""
    new = targets(lambda v: v.update({"targets": dict.fromkeys(HOSTILE, SHA), "\x1b]0;x\x07": 1}))
    listed = review("targets", new, now=NOW).findings
    assert len({f.name for f in listed}) == len(listed) > len(HOSTILE)
    assert all((f.name + f.text).isascii() and (f.name + f.text).isprintable() for f in listed)


def test_the_worst_comes_first_and_always_alike() -> None:
    """A replay compares findings one by one."""
    new = changed(changed(ROOT, listed_twice), set_in("odd", to=1))
    listed = review("root", new, now=NOW).findings
    ranks = [["stop", "warn", "note"].index(f.severity) for f in listed]
    assert ranks == sorted(ranks)
    assert listed == review("root", new, now=NOW).findings


def test_every_code_has_its_page(repository: Path) -> None:
    """A reader under stress would find a code that nothing explains."""
    page = (repository / "docs" / "findings.md").read_text()
    sections = re.findall(r"^### (\S+)\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL)
    severities = {code: rule.severity for code, rule in CODES.items()}
    severities |= {code: severity for code, (severity, _) in attestation_rules.FINDINGS.items()}
    severities |= {code: severity for code, (severity, _) in (distributions.CODES | claims.CODES).items()}
    assert sorted(code for code, _ in sections) == sorted(severities)
    for code, text in sections:
        assert text.startswith(severities[code]), code
        assert "*Example:*" in text, code
        assert "**Do:**" in text, code


def test_real_documents_never_break_a_rule(shared_data: Path) -> None:
    """What other tools wrote would end in a traceback."""
    seen = 0
    for path in sorted((*shared_data.glob("roots/*/*.json"), *shared_data.glob("tuf-on-ci/**/*.json"))):
        raw = path.read_bytes()
        if set(json.loads(raw)) == {"signatures", "signed"}:
            try:
                new = document.read(raw, where=path.name)
            except InputRejected:
                continue
            review(new.type, new, now=datetime(2026, 11, 23, tzinfo=UTC))
            seen += 1
    assert seen > 30


def test_what_is_found_at_one_place_is_all_told() -> None:
    """A file called `*` stands at the place of the line that counts the others: that line would be gone."""
    names = ["*", *(f"f{n:03}" for n in range(150))]
    old, new = (
        document.read(
            document.to_file(
                {
                    "_type": "targets",
                    "spec_version": "1.0.31",
                    "version": version,
                    "expires": "2027-01-01T00:00:00Z",
                    "targets": {n: {"length": 1, "hashes": {"sha256": digest}} for n in names},
                }
            ),
            where="test",
        )
        for version, digest in ((1, "aa"), (2, "bb"))
    )
    told = found("targets", new, old=old)["TARGET-CHANGED targets/*"]
    assert told.text == "Target file * has other content than before; And 51 more files with other content than before"


@pytest.mark.parametrize("spec", ["2.0.0", "one", ""])
def test_a_specification_that_is_not_understood_opens_and_stops(spec: str) -> None:
    """A reviewer would only be told that a file can't be read, and a signer would sign what nobody understands."""
    raw = document.to_file({**ROOT.signed, "spec_version": spec})
    new = document.read(raw, where="test", old_forms=True)
    assert severities("SPEC-VERSION", "root", new) == ["stop"]
    with pytest.raises(InputRejected, match="spec_version"):
        document.read(raw, where="test")


def test_keys_whose_ids_begin_alike_never_read_alike() -> None:
    """Eight digits in common are made in an hour: a finding, a count or an outlook would name another's key."""
    alike = "12345678"
    ids = [alike + "a" * 56, alike + "b" * 56]
    value = copy.deepcopy(ROOT.signed)
    for keyid in ids:
        value["keys"][keyid] = holder("x").key.to_dict()
        value["roles"]["root"]["keyids"].append(keyid)
    value["keys"][alike + "c" * 56] = PEOPLE[0].key.to_dict()
    new = document.read(document.to_file(value, [Signature(i, "") for i in ids]), where="test")
    seen = review("root", new, now=NOW)
    texts = [
        *(c.text for c in review("root", new, old=ROOT, now=NOW).changes),
        *(f.text for f in seen.findings),
        *render_lines(seen, 200),
        *(seen.ahead.sentences if seen.ahead else ()),
    ]
    named = [text for text in texts if alike in text]
    assert len(named) > 10
    assert [t for t in named if re.search(alike + "(?![abc]{56})", t)] == []


def test_two_unknown_holders_are_two_however_their_key_ids_begin() -> None:
    """Counted as one person, they would make a threshold of two look as if one loss ended it."""
    keys = [replace(h.key, keyid="12345678" + h.name) for h in PEOPLE[:3]]
    outlook = reserve("root", "root v1", 2, keys, lambda _: "")
    assert (outlook.keys_to_lose, outlook.holders_to_lose, outlook.fatal) == (1, 1, ())


def test_a_flood_of_findings_of_one_rule_is_told_in_short_and_the_gravest_first() -> None:
    """Nobody answers ten thousand questions, and a stop among ten thousand notes must not hide behind a limit."""
    value = copy.deepcopy(ROOT.signed)
    value["keys"] |= {f"{n:064x}": {**PEOPLE[0].key.to_dict(), "x-n": n} for n in range(300)}
    value["keys"]["f" * 64] = {**PEOPLE[0].key.to_dict(), "keytype": "odd"}
    rsa_key(2048)(value)
    new = document.read(document.to_file(value), where="test")
    listed = review("root", new, now=NOW).findings
    for code in ("KEYID-MISMATCH", "KEY-UNUSED"):
        told = [f for f in listed if f.code == code]
        assert len(told) == 101
        (rest,) = (f for f in told if f.text.startswith("And "))
        assert rest.where == "keys/*"
        assert rest.text.startswith("And 20")
    early = Context("root", new, None, None, (), (), NOW, lambda _: "", as_of=FIRST_RELEASE)
    assert sum(f.code == "KEY-UNUSED" for f in find(early)) == 301


def test_the_first_release_is_asked_what_it_asked() -> None:
    """A transcript of its day would else be said to have left out findings that nobody could see then."""
    new = by(changed(ROOT, of_first_key(lambda k: k.update(P384))), (FIRST, "aa"), (FIRST, "bb"))

    def codes(as_of: Release | None) -> set[str]:
        return {f.code for f in review("root", new, now=NOW, as_of=as_of).findings}

    assert {"SIGNATURE-TWICE", "KEY-UNREADABLE"} <= codes(None)
    assert not {"SIGNATURE-TWICE", "KEY-UNREADABLE"} & codes(FIRST_RELEASE)
    assert codes(None) == codes(release(f"vestry {__version__}"))


def test_hostile_text_names_what_a_terminal_obeys_before_accents_and_counts_the_rest() -> None:
    """An accent or two beside it would else leave the control that turns the line around unnamed."""
    (told,) = (
        f.text
        for f in found("targets", named_target("\x1b\u0301\u0302\u200b\u202e")).values()
        if f.code == "TEXT-HOSTILE"
    )
    named = "U+001B control character, U+200B zero width space, U+202E right-to-left override and 2 more"
    assert told.endswith(named)


def test_a_root_that_enough_have_signed_is_not_called_unverifiable() -> None:
    """Nor is one that nobody has signed yet."""
    new = next_root(ROOT, PEOPLE, 3)
    assert severities("ROOT-UNVERIFIABLE", "root", signed(new, PEOPLE[:3]), old=ROOT) == []
    assert severities("ROOT-UNVERIFIABLE", "root", new, old=ROOT) == []
    half = found("root", signed(new, PEOPLE[:2]), old=ROOT)
    assert [f.text for f in half.values() if f.code == "ROOT-UNVERIFIABLE"] == [
        "It has 2 of 3 of root v1: as it is, clients refuse it",
        "It has 2 of 3 of root v2: as it is, clients refuse it",
    ]
