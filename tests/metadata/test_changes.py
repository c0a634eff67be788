"""Changes: lossless, whatever the document, and in the field's language."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical

from vestry.metadata.changes import DANGEROUS, Change, apply, changes

TEXT = st.text(st.characters(blacklist_categories=("Cs",)), max_size=6)
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | TEXT
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXT, v, max_size=3), max_leaves=8)
CUSTOM = st.dictionaries(st.sampled_from(["x-a", "x-b", "other"]), VALUES, max_size=2)
KEYIDS = [f"{i:x}" * 64 for i in range(5)]
PUBLIC = ["-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA" + 42 * c + "A=\n-----END PUBLIC KEY-----" for c in "ABCDE"] + [
    "not a key"
]
ROLES = ["root", "targets", "snapshot", "timestamp", "mirrors"]
NAMES = ["one", "two", "thr/ee", "fo~ur", "bin-*", "succinct_roles"]


def canonical(value: Any) -> bytes:
    return encode_canonical(value).encode()


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly as the specification wants it; now and then anything."""
    return st.integers(0, 11).flatmap(lambda n: VALUES if n == 0 else strategy)


def with_fields(required: dict[str, Any], optional: dict[str, Any] | None = None) -> st.SearchStrategy[dict[str, Any]]:
    shape = st.fixed_dictionaries(required, optional=optional or {})
    return st.builds(lambda extra, own: {**extra, **own}, CUSTOM, shape)


KEY = with_fields(
    {
        "keytype": st.sampled_from(["ed25519", "ecdsa"]),
        "scheme": st.sampled_from(["ed25519", "ecdsa-sha2-nistp256"]),
        "keyval": with_fields({"public": st.sampled_from(PUBLIC)}),
    }
)
KEYS = st.dictionaries(st.sampled_from(KEYIDS), maybe(KEY), max_size=5)
HELD = {
    "keyids": maybe(st.lists(st.sampled_from(KEYIDS), unique=True, max_size=5)),
    "threshold": maybe(st.integers(1, 4)),
}
ROLE = with_fields(HELD)
PATHS = st.lists(st.sampled_from(["*", "a/*", "b/?", "00", "ff"]), unique=True, max_size=3)
DELEGATION = with_fields(
    {"name": st.sampled_from(NAMES), **HELD},
    {"paths": maybe(PATHS), "path_hash_prefixes": maybe(PATHS), "terminating": maybe(st.booleans())},
)
SUCCINCT = with_fields({**HELD, "bit_length": st.integers(1, 14), "name_prefix": st.sampled_from(["bin", "b"])})
DELEGATIONS = with_fields(
    {},
    {
        "keys": maybe(KEYS),
        # Mostly unique names; the typed view does not fit where they repeat.
        "roles": maybe(
            st.lists(DELEGATION, max_size=5, unique_by=lambda r: r["name"]) | st.lists(DELEGATION, max_size=3)
        ),
        "succinct_roles": maybe(SUCCINCT),
    },
)
HEADER = {
    "_type": st.sampled_from(["root", "targets", "snapshot", "timestamp"]),
    "version": maybe(st.integers(1, 4)),
    "expires": maybe(st.sampled_from(["2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"])),
    "spec_version": maybe(st.sampled_from(["1.0.31", "1.0.34"])),
}
TARGET = with_fields(
    {"length": st.integers(0, 9), "hashes": st.dictionaries(st.sampled_from(["sha256", "md5"]), TEXT, max_size=2)}
)
META = st.dictionaries(st.sampled_from(["root.json", "targets.json"]), with_fields({"version": st.integers(1, 4)}))
DOCUMENTS = with_fields(
    {},
    {
        **HEADER,
        "consistent_snapshot": maybe(st.booleans()),
        "keys": maybe(KEYS),
        "roles": maybe(st.dictionaries(st.sampled_from(ROLES), maybe(ROLE), max_size=5)),
        "targets": maybe(st.dictionaries(st.sampled_from(["a", "b/c", "d~"]), maybe(TARGET), max_size=3)),
        "delegations": maybe(DELEGATIONS),
        "meta": maybe(META),
    },
)
OBJECTS = st.dictionaries(TEXT | st.sampled_from(["keys", "roles", "delegations"]), VALUES, max_size=5)


def assert_lossless(old: dict[str, Any] | None, new: dict[str, Any]) -> tuple[Change, ...]:
    kept = copy.deepcopy((old, new))
    found = changes(old, new)
    assert canonical(apply(old, found)) == canonical(new)
    assert canonical(apply(old, tuple(reversed(found)))) == canonical(new), "the order must not matter"
    assert (old, new) == kept, "neither document may be touched"
    for change in found:
        for shown in (change.text, change.where):
            assert shown.isascii()
            assert shown.isprintable() or shown == ""
    assert [c.danger for c in found] == sorted((c.danger for c in found), reverse=True)
    assert found if canonical(old or {}) != canonical(new) else not found
    return found


@given(st.none() | OBJECTS, OBJECTS)
def test_lossless_for_any_object(old: dict[str, Any] | None, new: dict[str, Any]) -> None:
    """Something in the new document would never be shown."""
    assert_lossless(old, new)


@settings(max_examples=120)
@example(
    {"delegations": {"succinct_roles": {"bit_length": 1, "name_prefix": "b"}}}, {"delegations": {"succinct_roles": {}}}
)
@given(st.none() | DOCUMENTS, DOCUMENTS)
def test_lossless_for_documents(old: dict[str, Any] | None, new: dict[str, Any]) -> None:
    """A key, a threshold, an order of delegations would change unseen."""
    assert_lossless(old, new)


@settings(max_examples=80)
@given(DOCUMENTS, st.data())
def test_lossless_for_small_steps(new: dict[str, Any], data: st.DataObject) -> None:
    """Two versions that are alike but for one member, the usual case."""
    old = copy.deepcopy(new)
    for field in data.draw(st.lists(st.sampled_from(sorted(new)), max_size=2)) if new else ():
        old[field] = data.draw(DOCUMENTS).get(field, data.draw(VALUES))
    assert_lossless(old, new)


def key(n: int = 0, **extra: Any) -> dict[str, Any]:
    return {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": PUBLIC[n]}, **extra}


def root(version: int = 1, threshold: int = 2, holders: tuple[int, ...] = (0, 1, 2), **extra: Any) -> dict[str, Any]:
    held = {KEYIDS[i]: key(i) for i in (*holders, 4)}
    roles: dict[str, Any] = {"root": {"keyids": [KEYIDS[i] for i in holders], "threshold": threshold}}
    roles |= {name: {"keyids": [KEYIDS[4]], "threshold": 1} for name in ("targets", "snapshot", "timestamp")}
    return {
        "_type": "root",
        "version": version,
        "expires": "2027-01-01T00:00:00Z",
        "spec_version": "1.0.34",
        "consistent_snapshot": True,
        "keys": held,
        "roles": roles,
        **extra,
    }


def targets(*roles: dict[str, Any], **extra: Any) -> dict[str, Any]:
    return {"_type": "targets", "version": 1, "targets": {}, "delegations": {"keys": {}, "roles": list(roles)}} | extra


def delegation(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "keyids": [], "threshold": 1, "paths": ["*"], "terminating": False} | fields


def texts(found: tuple[Change, ...]) -> list[str]:
    return [c.text for c in found]


def only(found: tuple[Change, ...], kind: str) -> Change:
    matching = [c for c in found if c.kind == kind]
    assert len(matching) == 1, texts(found)
    return matching[0]


def test_a_rotation_reads_like_one() -> None:
    """A holder would not recognise who comes, who goes and what it takes now."""
    old, new = root(), root(2, 3, (0, 1, 3))
    new["keys"][KEYIDS[3]]["x-rstuf-key-name"] = "Carol"
    found = assert_lossless(old, new)
    assert texts(found) == [
        "Key 33333333 (Carol), ed25519, joins root in place of key 22222222",
        "Threshold of root rises from 2 to 3",
        "Key 22222222 leaves root; key 33333333 (Carol) takes its place",
        "Version goes from 1 to 2",
    ]
    assert only(found, "key-added").roles == ("root",)
    assert only(found, "key-added").new["roles"] == ["root"]
    assert only(found, "threshold-changed").where == "roles/root/threshold"
    assert [c.danger >= DANGEROUS for c in found] == [True, True, True, False]


def test_a_lowered_threshold_comes_first() -> None:
    """The most dangerous change would stand somewhere below."""
    found = assert_lossless(root(), root(2, 1, (0, 1, 2)))
    assert texts(found)[0] == "Threshold of root falls from 2 to 1"


def test_the_first_version_is_all_new() -> None:
    """A first root would show as no change, or as one blob."""
    found = assert_lossless(None, root())
    assert {c.kind for c in found} >= {"key-added", "threshold-changed", "expiry-changed", "version-changed"}
    assert all(c.old is None for c in found)
    assert "Key 44444444, ed25519, signs for targets, snapshot and timestamp" in texts(found)
    unsorted = root(holders=(2, 0, 1))
    assert {c.kind for c in assert_lossless(None, unsorted) if c.where.endswith("keyids")} == set()
    assert "Threshold of root is 2, of 3 keys" in texts(found)


def test_same_key_other_id() -> None:
    """Five keys renamed would look like five strangers."""
    old, new = root(), root(2)
    new["keys"][KEYIDS[3]] = new["keys"].pop(KEYIDS[1])
    new["roles"]["root"]["keyids"][1] = KEYIDS[3]
    found = assert_lossless(old, new)
    change = only(found, "key-renamed")
    assert {c.kind for c in found} == {"key-renamed", "version-changed"}
    assert (change.old["keyid"], change.new["keyid"]) == (KEYIDS[1], KEYIDS[3])
    assert change.text == "Key 11111111 is the same key under another key id, 33333333; it serves root"


def test_same_id_other_key() -> None:
    """Another key would take a trusted id unseen."""
    old, new = root(), root(2)
    new["keys"][KEYIDS[1]] = key(3)
    found = assert_lossless(old, new)
    assert found[0].kind == "key-changed"
    assert found[0].text == "Key 11111111 keeps its key id, but another key stands behind it; it serves root"


def test_a_field_of_a_key_is_a_field() -> None:
    """An owner's name would look like another key."""
    old, new = root(), root(2)
    new["keys"][KEYIDS[1]]["x-tuf-on-ci-keyowner"] = "@mallory"
    change = only(assert_lossless(old, new), "field-added")
    assert change.text == "Key 11111111 (@mallory): field x-tuf-on-ci-keyowner is @mallory"


def test_a_known_key_takes_another_role() -> None:
    """An online key would become a root key without a word."""
    old, new = root(), root(2)
    new["roles"]["root"]["keyids"].append(KEYIDS[4])
    change = only(assert_lossless(old, new), "key-added")
    assert (change.text, change.roles) == ("Key 44444444 joins root", ("root",))


def test_order_of_key_ids_is_shown_as_harmless() -> None:
    """The bytes differ, so it must show; as what it is."""
    old, new = root(), root()
    new["roles"]["root"]["keyids"].reverse()
    (change,) = assert_lossless(old, new)
    assert change.text == "Key ids of root are listed in another order"
    assert change.danger < DANGEROUS


def test_delegations_in_another_order() -> None:
    """The first that fits a path is asked first: order is content."""
    a, b, c = delegation("a"), delegation("b"), delegation("c")
    (change,) = assert_lossless(targets(a, b, c), targets(c, a, b))
    assert change.kind == "delegation-reordered"
    assert change.text == "Delegation c moves in the order of search, from place 3 to 1"
    found = assert_lossless(targets(a, b, c), targets(delegation("d"), b, a))
    assert sorted(x.kind for x in found) == ["delegation-added", "delegation-removed", "delegation-reordered"]


def test_delegations_in_their_own_words() -> None:
    """Widened paths and an added key would hide in a blob."""
    old = targets(delegation("requests", paths=["requests/*", "x"]))
    new = targets(delegation("requests", paths=["x", "*"], keyids=[KEYIDS[0]], terminating=True, threshold=2))
    new["delegations"]["keys"] = {KEYIDS[0]: key(0)}
    found = assert_lossless(old, new)
    assert set(texts(found)) == {
        "Delegation requests: paths widened from requests/* to *",
        "Delegation requests ends the search now",
        "Key 00000000, ed25519, joins requests",
        "Threshold of requests rises from 1 to 2",
    }


def test_hash_bins() -> None:
    """Bins would appear without their number."""
    bins = {"bit_length": 14, "name_prefix": "bin", "keyids": [KEYIDS[0]], "threshold": 1}
    old = {"_type": "targets", "targets": {}, "delegations": {"keys": {KEYIDS[0]: key(0)}}}
    new = copy.deepcopy(old)
    new["delegations"]["succinct_roles"] = bins
    change = only(assert_lossless(old, new), "delegation-added")
    assert change.text == "Hash bins bin-* are delegated: 16,384 bins, 1 of 1 key"
    more = copy.deepcopy(new)
    more["delegations"]["succinct_roles"]["bit_length"] = 15
    assert only(assert_lossless(new, more), "delegation-changed").text == (
        "Hash bins bin-*: bit length changes from 14 to 15"
    )


def test_hash_bins_under_another_name_and_with_another_key() -> None:
    """One key that joins would be told twice, as one that is new and as one that was there."""
    old, new = targets(), targets()
    bins = {"keyids": [KEYIDS[0]], "threshold": 1, "bit_length": 8, "name_prefix": "bin"}
    for side, ids, prefix in ((old, KEYIDS[:1], "bin"), (new, KEYIDS[1:3], "hash")):
        side["delegations"] = {"keys": {i: key(KEYIDS.index(i)) for i in ids}}
        side["delegations"]["succinct_roles"] = {**bins, "keyids": ids, "name_prefix": prefix}
    assert sorted(texts(assert_lossless(old, new))) == [
        "Hash bins hash-*: name prefix changes from bin to hash",
        "Key 00000000 leaves bin-*",
        "Key 11111111, ed25519, joins hash-*",
        "Key 22222222, ed25519, joins hash-*",
    ]


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        (["requests/*"], ["*"], "widened from requests/* to *"),
        (["a/x", "a/y"], ["a/*"], "widened from a/x, a/y to a/*"),
        (["a/*"], ["a/b-*"], "narrowed from a/* to a/b-*"),
        (["a/*"], ["a/*/b"], "lose a/* and gain a/*/b"),
        (["a/*"], ["b/*"], "lose a/* and gain b/*"),
        (["a/*"], ["a/*", "b"], "gain b"),
    ],
)
def test_what_becomes_of_paths(was: list[str], now: list[str], said: str) -> None:
    """Whether a delegation reaches further than before would be left to the reader to see."""
    found = assert_lossless(targets(delegation("r", paths=was)), targets(delegation("r", paths=now)))
    assert texts(found) == [f"Delegation r: paths {said}"]


def test_targets_and_snapshot() -> None:
    """A file's content would change unseen under its name."""
    one, two = {"length": 1, "hashes": {"sha256": "aa"}}, {"length": 2, "hashes": {"sha256": "bb"}}
    found = assert_lossless({"targets": {"a": one, "b": one}}, {"targets": {"a": two, "c": one}})
    assert texts(found) == [
        "Target file a has other content: 2 bytes, sha256 bb; it was 1 bytes, sha256 aa",
        "Target file b is dropped",
        "Target file c is added: 1 bytes, sha256 aa",
    ]
    (change,) = assert_lossless({"meta": {"targets.json": {"version": 1}}}, {"meta": {"targets.json": {"version": 2}}})
    assert change.text == "targets.json is listed at version 2 instead of 1"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (1, "1", 'changes from 1 to "1"'),
        (None, "null", 'changes from null to "null"'),
        ("[]", [], 'changes from "[]" to []'),
        ("", " ", 'changes from "" to " " (1 characters)'),
        ("abc", "abc  ", 'changes from abc to "abc  " (5 characters)'),
        ("a" * 200 + "1", "a" * 200 + "2", f"changes from ...{'a' * 20}1 (201 characters) to ...{'a' * 20}2 (201"),
        ([0] * 99 + [True], [0] * 99 + [1], "0, true] (303 characters) to ..."),
    ],
)
def test_two_values_that_differ_never_read_alike(old: Any, new: Any, said: str) -> None:
    """A change would be listed as one from `1` to `1`: who reads that takes it for none."""
    (change,) = assert_lossless({"x-field": old}, {"x-field": new})
    assert said in change.text


def test_places_that_differ_never_read_alike() -> None:
    """A name with a slash would pass for a member of a member."""
    found = assert_lossless({"x": {"a/b": 1, "a": {"b": 1}}}, {"x": {"a/b": 2, "a": {"b": 2}}})
    assert texts(found) == ["Field x/a/b changes from 1 to 2", "Field x/a~1b changes from 1 to 2"]


def test_the_widest_paths_are_told_first_and_a_number_is_no_order() -> None:
    """One `*` among a hundred new paths would be among those that are only counted."""
    old = targets(delegation("a", paths=["x", "x"], path_hash_prefixes=["00"]))
    many = [f"project-{n}/*" for n in range(9)]
    new = targets(delegation("a", paths=["x"], path_hash_prefixes=["0011", "0022", "0033", "0044", "f", "00"]))
    assert set(texts(assert_lossless(old, new))) == {
        "Delegation a: paths come in another order or number",
        "Delegation a: path hash prefixes gain f, 0011, 0022, 0033 and 1 more",
    }
    wide = targets(delegation("a", paths=["x", *many, "*", "?/b"], path_hash_prefixes=["00"]))
    assert texts(assert_lossless(old, wide)) == [
        "Delegation a: paths gain *, ?/b, project-0/*, project-1/* and 7 more",
    ]


def test_a_digest_that_changes_is_the_one_that_is_shown() -> None:
    """The file would be told to change from one SHA-256 to the same."""
    old, new = ({"length": 1, "hashes": {"sha256": "aa", "sha512": digest}} for digest in ("bb", "cc"))
    (change,) = assert_lossless({"targets": {"a": old}}, {"targets": {"a": new}})
    assert change.text == "Target file a has other content: 1 bytes, sha512 cc; it was 1 bytes, sha512 bb"


def test_key_ids_that_begin_alike_are_told_whole() -> None:
    """Whoever makes a key whose id begins as another's would have it shown as that one."""
    old, new = root(), root(version=2)
    other = KEYIDS[2][:8] + "f" * 56
    new["keys"][other] = key(3)
    del new["keys"][KEYIDS[2]]
    new["roles"]["root"]["keyids"][2] = other
    said = [t for t in texts(assert_lossless(old, new)) if "root" in t]
    assert said[0].startswith(f"Key {other}, ed25519, joins root")
    assert any(t.startswith(f"Key {KEYIDS[2]} leaves root") for t in said)


def test_true_is_not_one() -> None:
    """Python takes true for 1; canonical bytes do not."""
    assert_lossless({"a": [1], "version": 1}, {"a": [True], "version": True})


def test_hostile_text_stays_text() -> None:
    """A name could recolour the screen or reverse what is read."""
    nasty = "\x1b[31m\u202e\u200b[b]\\" + "x" * 5000
    new = targets(delegation(nasty, paths=[nasty]), targets={nasty: {}}, **{nasty: nasty})
    for change in assert_lossless(targets(), new):
        assert len(change.text) < 2000
        assert "\x1b" not in change.text


def histories(data: Path) -> list[list[Path]]:
    folders = sorted((data / "roots").glob("*/root_history"))
    return [sorted(f.glob("*.root.json"), key=lambda p: int(p.name.split(".")[0])) for f in folders]


def test_real_histories(shared_data: Path) -> None:
    """What real tools write would not be understood: every step of every public root, and its first version."""
    steps = 0
    for history in histories(shared_data):
        old = None
        for path in history:
            new = json.loads(path.read_text())["signed"]
            found = assert_lossless(old, new)
            assert old is None or not [c for c in found if c.kind == "field-changed" and c.danger >= DANGEROUS]
            old, steps = new, steps + 1
    assert steps == 25


@pytest.mark.parametrize("field", ["x-vestry-rehearsal", "odd"])
def test_custom_fields_show(field: str) -> None:
    """A field that no rule knows would go by."""
    change = only(assert_lossless(root(), root(**{field: {"a": 1}})), "field-added")
    assert change.text == f'Field {field} is {{"a": 1}}'


def test_a_widened_delegation_comes_before_new_ones() -> None:
    """Without it one path that became * would stand behind thousands of projects that are new."""

    def roles(*pairs: tuple[str, str]) -> dict[str, Any]:
        listed = [{"name": n, "keyids": [], "threshold": 1, "terminating": False, "paths": [p]} for n, p in pairs]
        return {"_type": "targets", "targets": {}, "delegations": {"keys": {}, "roles": listed}}

    found = changes(roles(("z", "z/*")), roles(("a", "a/*"), ("z", "*"), ("b", "b/*")))
    assert [(c.kind, c.path[2]) for c in found] == [
        ("delegation-changed", "z"),
        ("delegation-added", "a"),
        ("delegation-added", "b"),
    ]
