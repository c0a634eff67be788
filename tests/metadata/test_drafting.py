"""Drafts: complete documents that python-tuf reads with the same signed bytes."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Any, Literal

import pytest
import signers
from hypothesis import given, settings
from hypothesis import strategies as st
from tuf.api.metadata import Metadata, Root, Targets
from tuf.api.serialization.json import JSONSerializer

from vestry.errors import InputRejected
from vestry.metadata import document, drafting
from vestry.metadata.document import Document
from vestry.metadata.keys import Key
from vestry.metadata.thresholds import authorities, tally

EXPIRES = datetime(2027, 11, 23, tzinfo=UTC)
KEYS = signers.keys(6)
ONLINE = signers.key(number=9)
Style = Literal["succinct", "prefixes"]
PATHS = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=30) | st.from_regex(
    r"[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{60}/[a-z]{1,8}-[0-9]\.[0-9](\.tar\.gz|-py3-none-any\.whl)", fullmatch=True
)


def read(raw: bytes) -> Document:
    """The draft, read as anyone reads it; python-tuf reads the same and would write the same file."""
    theirs, ours = Metadata[Any].from_bytes(raw), document.read(raw, where="draft")
    assert ours.signed_bytes == theirs.signed_bytes
    assert ours.signatures == ()
    assert theirs.to_bytes(JSONSerializer()) == raw
    return ours


def roles(threshold: int = 3, keys: list[Key] = KEYS[:5]) -> dict[str, tuple[int, list[Key]]]:
    return {"root": (threshold, keys), "targets": (2, KEYS[:2]), "snapshot": (1, [ONLINE]), "timestamp": (1, [ONLINE])}


def first(extra: dict[str, Any] | None = None) -> Document:
    return read(drafting.root(version=1, expires=EXPIRES, roles=roles(), extra=extra or {}))


# --- root


def test_root() -> None:
    """Without it a first root could lack what TUF makes mandatory."""
    root = first({"x-vestry-rehearsal": "yes"})
    theirs = Metadata[Root].from_bytes(root.raw).signed
    assert (theirs.version, theirs.expires, theirs.consistent_snapshot) == (1, EXPIRES, True)
    assert theirs.spec_version == "1.0.34"
    assert {r: (v.threshold, v.keyids) for r, v in theirs.roles.items()} == {
        r: (t, [k.keyid for k in keys]) for r, (t, keys) in roles().items()
    }
    assert set(theirs.keys) == {k.keyid for k in (*KEYS[:5], ONLINE)}
    assert theirs.unrecognized_fields == {"x-vestry-rehearsal": "yes"}


def test_the_same_input_gives_the_same_bytes() -> None:
    """Without it an auditor could not rebuild the metadata from script and keys."""
    assert first().raw == first().raw
    local = EXPIRES.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert drafting.root(version=1, expires=local, roles=roles()) == first().raw


@pytest.mark.parametrize("scheme", signers.SCHEMES)
def test_root_of_every_scheme(scheme: str) -> None:
    """Without it keys of one kind could not get into a root and sign it."""
    keys = signers.keys(2, scheme)
    unsigned = read(drafting.root(version=1, expires=EXPIRES, roles=roles(2, keys)))
    root = signers.sign(unsigned, 0, 1, scheme=scheme)
    theirs = Metadata[Root].from_bytes(root.raw)
    theirs.verify_delegate("root", theirs)
    assert all(tally(root, a).met for a in authorities("root", root))


BAD_ROOTS = [
    ({**roles(), "root": (0, KEYS)}, {}, 1, "a threshold of 0"),
    ({**roles(), "root": (4, KEYS[:3])}, {}, 1, "a threshold of 4 with 3 distinct keys"),
    ({**roles(), "root": (2, [KEYS[0], KEYS[0]])}, {}, 1, "a threshold of 2 with 1 distinct key"),
    ({**roles(), "snapshot": (1, [])}, {}, 1, "a threshold of 1 with 0 distinct keys"),
    ({r: v for r, v in roles().items() if r != "timestamp"}, {}, 1, "the role timestamp has no keys"),
    (roles(), {"version": 7}, 1, "an extra field can't replace version"),
    (roles(), {"keys": {}}, 1, "an extra field can't replace keys"),
    (roles(), {}, 0, "version 0 is less than 1"),
]


@pytest.mark.parametrize(("given_roles", "extra", "version", "why"), BAD_ROOTS, ids=[b[3] for b in BAD_ROOTS])
def test_roots_that_are_not_drafted(given_roles: Any, extra: Any, version: int, why: str) -> None:
    """Without it a root that nobody can ever sign again could be drafted."""
    with pytest.raises(InputRejected) as caught:
        drafting.root(version=version, expires=EXPIRES, roles=given_roles, extra=extra)
    assert why in str(caught.value)


def other_id(key: Key) -> Key:
    return Key.from_dict("f" * 64, key.to_dict())


def test_one_key_under_two_ids_is_not_drafted() -> None:
    """Without it a root could be drafted in which clients count one holder as two."""
    with pytest.raises(InputRejected, match="one key stands here under two key ids"):
        drafting.root(version=1, expires=EXPIRES, roles=roles(1, [KEYS[0], other_id(KEYS[0])]))
    with pytest.raises(InputRejected, match="a threshold of 2 with 1 distinct keys"):
        drafting.root(version=1, expires=EXPIRES, roles=roles(2, [KEYS[0], other_id(KEYS[0])]))


def test_two_keys_under_one_id_are_not_drafted() -> None:
    """Without it one holder's key could silently take the place of another's."""
    impostor = Key.from_dict(KEYS[0].keyid, KEYS[5].to_dict())
    with pytest.raises(InputRejected, match="stands for two different keys"):
        drafting.root(version=1, expires=EXPIRES, roles={**roles(), "targets": (1, [impostor])})
    with pytest.raises(InputRejected, match="stands for two different keys"):
        drafting.next_root(first(), expires=EXPIRES, root=(1, [impostor]))


def test_a_time_without_a_zone_is_refused() -> None:
    """Without it a root would expire at another time on another machine."""
    with pytest.raises(ValueError, match="without a zone"):
        drafting.root(version=1, expires=EXPIRES.replace(tzinfo=None), roles=roles())


# --- the next root


def test_next_root() -> None:
    """Without it a rotation could keep the key of someone who left, or lose that of someone who stays."""
    later = EXPIRES + timedelta(days=365)
    new = read(drafting.next_root(first(), expires=later, root=(2, [*KEYS[1:5], KEYS[5]])))
    assert (new.version, new.expires) == (2, later)
    assert new.signed["roles"]["root"] == {"keyids": [k.keyid for k in KEYS[1:6]], "threshold": 2}
    assert new.signed["roles"]["targets"] == first().signed["roles"]["targets"]
    assert set(new.signed["keys"]) == {k.keyid for k in (*KEYS, ONLINE)}, "targets still needs the key that left root"
    both = drafting.next_root(first(), expires=later, root=(2, KEYS[2:5]), roles={"targets": (1, KEYS[2:3])})
    assert set(read(both).signed["keys"]) == {k.keyid for k in (*KEYS[2:5], ONLINE)}


def test_next_root_signed_by_both_thresholds_is_followed_by_python_tuf() -> None:
    """Without it clients could stay at the old root for ever."""
    old = first()
    new = signers.sign(read(drafting.next_root(old, expires=EXPIRES, root=(3, KEYS[1:]))), 1, 2, 3)
    theirs = Metadata[Root].from_bytes(new.raw)
    Metadata[Root].from_bytes(old.raw).verify_delegate("root", theirs)
    theirs.verify_delegate("root", theirs)
    assert [tally(new, a).met for a in authorities("root", new, trusted=old)] == [True, True]


def test_next_root_carries_everything_else_over() -> None:
    """Without it fields of other tools, which clients keep, would vanish in a rotation."""
    value = json.loads(first({"x-outer": {"a": [1]}, "x-note": "old"}).raw)
    value["signed"]["spec_version"] = "1.0.31"
    value["signed"]["consistent_snapshot"] = False
    value["signed"]["roles"]["root"]["x-period"] = 60
    value["signed"]["keys"][KEYS[1].keyid]["x-owner"] = "@bea"
    old = document.read(json.dumps(value).encode(), where="old")
    new = read(drafting.next_root(old, expires=EXPIRES, root=(1, KEYS[1:3]), extra={"x-note": "new", "x-more": 1}))
    assert new.signed["x-outer"] == {"a": [1]}
    assert (new.signed["x-note"], new.signed["x-more"]) == ("new", 1)
    assert (new.signed["spec_version"], new.signed["consistent_snapshot"]) == ("1.0.31", False)
    assert new.signed["roles"]["root"]["x-period"] == 60
    assert new.signed["keys"][KEYS[1].keyid]["x-owner"] == "@bea"
    assert old.signed == value["signed"], "the old root was changed"
    with pytest.raises(InputRejected, match="an extra field can't replace expires"):
        drafting.next_root(old, expires=EXPIRES, root=(1, KEYS), extra={"expires": "never"})


def test_next_root_after_something_else() -> None:
    """Without it a targets document could be taken for a root."""
    targets = read(drafting.targets_with_bins(version=1, expires=EXPIRES, bins_threshold=1, bins_keys=KEYS[:1]))
    with pytest.raises(InputRejected, match="is a targets, not a root"):
        drafting.next_root(targets, expires=EXPIRES, root=(1, KEYS))


# --- targets and bins


@given(PATHS)
def test_targets_delegates_every_path_to_bins(path: str) -> None:
    """Without it files in folders would have no role: a pattern ``*`` does not match a slash."""
    delegations = Metadata[Targets].from_bytes(_targets().raw).signed.delegations
    assert delegations is not None
    assert list(delegations.get_roles_for_target(path)) == [("bins", False)]


@cache
def _targets() -> Document:
    return read(drafting.targets_with_bins(version=1, expires=EXPIRES, bins_threshold=2, bins_keys=KEYS[:2]))


def test_targets() -> None:
    """Without it bins could be signed by one person alone, or targets hold files of its own."""
    delegations = _targets().signed["delegations"]
    assert _targets().signed["targets"] == {}
    assert [(r["name"], r["threshold"], r["keyids"]) for r in delegations["roles"]] == [
        ("bins", 2, [k.keyid for k in KEYS[:2]])
    ]


@cache
def _bins(number: int, style: Style) -> tuple[Document, Targets]:
    ours = read(drafting.bins(version=1, expires=EXPIRES, number=number, online=ONLINE, style=style))
    return ours, Metadata[Targets].from_bytes(ours.raw).signed


def bin_of(path: str, number: int) -> str:
    """The bin of TAP 15: the first bits of the path's SHA-256, as a number in hex."""
    bits = number.bit_length() - 1
    index = int.from_bytes(hashlib.sha256(path.encode()).digest()[:4]) >> (32 - bits)
    return f"bin-{index:0{-(-bits // 4)}x}"


@settings(max_examples=60)
@given(PATHS, st.sampled_from([2, 4, 8, 16, 64, 1024]))
def test_both_styles_map_every_path_to_the_same_bin(path: str, number: int) -> None:
    """Without it a client would look for a file in another bin than the one that lists it."""
    for style in ("succinct", "prefixes"):
        ours, theirs = _bins(number, style)
        assert theirs.delegations is not None
        assert [name for name, _ in theirs.delegations.get_roles_for_target(path)] == [bin_of(path, number)]
        name = bin_of(path, number)
        entry, role = document.role_entry(ours, name), theirs.get_delegated_role(name)
        assert entry is not None
        assert (entry["keyids"], entry["threshold"]) == (role.keyids, role.threshold) == ([ONLINE.keyid], 1)


@pytest.mark.parametrize("style", ["succinct", "prefixes"])
def test_the_bins_of_pypi(style: Style) -> None:
    """Without it PyPI's 16,384 bins, four prefixes of four digits each (PEP 458), could be wrong at an edge."""
    ours, theirs = _bins(16_384, style)
    assert theirs.delegations is not None
    for n in range(40):
        path = f"packages/{n}/vestry-{n}.tar.gz"
        assert [name for name, _ in theirs.delegations.get_roles_for_target(path)] == [bin_of(path, 16_384)]
    assert document.role_entry(ours, "bin-0000") is not None
    assert document.role_entry(ours, "bin-3fff") is not None
    assert document.role_entry(ours, "bin-4000") is None
    if style == "prefixes":
        listed = ours.signed["delegations"]["roles"]
        assert [r["name"] for r in listed] == [f"bin-{n:04x}" for n in range(16_384)]
        assert [p for r in listed for p in r["path_hash_prefixes"]] == [f"{n:04x}" for n in range(65_536)]
        assert {len(r["path_hash_prefixes"]) for r in listed} == {4}
    else:
        assert ours.signed["delegations"]["succinct_roles"]["bit_length"] == 14


@pytest.mark.parametrize("number", [2, 8, 128, 512, 32_768, 65_536])
def test_prefixes_cover_everything_once(number: int) -> None:
    """Without it some paths would have no bin, or two."""
    raw = drafting.bins(version=1, expires=EXPIRES, number=number, online=ONLINE, style="prefixes")
    listed = json.loads(raw)["signed"]["delegations"]["roles"]
    prefixes = [p for r in listed for p in r["path_hash_prefixes"]]
    digits = len(prefixes[0])
    assert prefixes == [f"{n:0{digits}x}" for n in range(16**digits)]
    assert len(listed) == len({r["name"] for r in listed}) == number


@pytest.mark.parametrize("number", [-4, 0, 1, 3, 100, 16_383, 131_072])
@pytest.mark.parametrize("style", ["succinct", "prefixes"])
def test_numbers_of_bins_that_do_not_work(number: int, style: Style) -> None:
    """Without it bins would overlap or leave gaps."""
    with pytest.raises(InputRejected, match="take a power of two"):
        drafting.bins(version=1, expires=EXPIRES, number=number, online=ONLINE, style=style)


def test_extra_fields_of_targets_and_bins() -> None:
    """Without it the mark of a rehearsal would be missing, or replace what the document says."""
    mark = {"x-vestry-rehearsal": "yes"}
    targets = drafting.targets_with_bins(version=1, expires=EXPIRES, bins_threshold=1, bins_keys=KEYS[:1], extra=mark)
    bins = drafting.bins(version=1, expires=EXPIRES, number=4, online=ONLINE, style="succinct", extra=mark)
    assert read(targets).signed["x-vestry-rehearsal"] == read(bins).signed["x-vestry-rehearsal"] == "yes"
    with pytest.raises(InputRejected, match="an extra field can't replace targets"):
        drafting.bins(version=1, expires=EXPIRES, number=4, online=ONLINE, style="succinct", extra={"targets": {}})
