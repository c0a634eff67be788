"""What a change is about, as it stands in the documents: the bytes that are signed, and null apart from nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vestry.metadata import canonical
from vestry.metadata.changes import Change, changes
from vestry.metadata.members import remark, sides, told

KEY = {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "ab" * 32}}
OTHER = {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "cd" * 32}}


def role(name: str, *ids: str) -> dict[str, Any]:
    return {"name": name, "keyids": list(ids), "threshold": 1, "terminating": False, "paths": [f"{name}/*"]}


def signed(keys: dict[str, Any], *roles: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "_type": "targets",
        "version": 1,
        "targets": {},
        "delegations": {"keys": keys, "roles": list(roles)},
        **more,
    }


OLD = signed(
    {"k1": KEY, "k2": OTHER}, role("a", "k1"), role("b", "k1"), role("c", "k2"), x_gone=None, x_both={"n": None}
)
NEW = signed(
    {"k9": KEY, "k2": OTHER}, role("c", "k2"), role("a", "k9", "k2"), role("d", "k2"), x_come=None, x_both={"n": 0}
)


def one(kind: str, end: str) -> Change:
    (found,) = (c for c in changes(OLD, NEW) if c.kind == kind and c.path[-1] == end)
    return found


@pytest.mark.parametrize(
    ("kind", "end", "old", "new", "said"),
    [
        ("key-renamed", "k1", KEY, KEY, ""),
        ("key-added", "k2", ["k1"], ["k9", "k2"], "the whole list"),
        ("delegation-added", "d", None, role("d", "k2"), "place in the list is 3"),
        ("delegation-removed", "b", role("b", "k1"), None, "place in the list was 2"),
        ("delegation-reordered", "c", role("c", "k2"), role("c", "k2"), "no member of its own"),
    ],
)
def test_the_member_of_the_document(kind: str, end: str, old: Any, new: Any, said: str) -> None:
    """Without it a reader would compare Vestry's own row for the bytes that get signed."""
    change = one(kind, end)
    before, after = sides(change, OLD, NEW)
    for side, whole, wanted in ((before, OLD, old), (after, NEW, new)):
        assert side.there == (wanted is not None)
        assert side.value == wanted
        if side.there:
            assert canonical.encode(side.value) in canonical.encode(whole)
    assert said in remark(change)
    assert bool(remark(change)) == bool(said)
    if kind == "key-renamed":
        assert (before.path[-1], after.path[-1]) == ("k1", "k9")


@pytest.mark.parametrize(
    ("kind", "end", "there"),
    [
        ("field-removed", "x_gone", (True, False)),
        ("field-added", "x_come", (False, True)),
        ("field-changed", "n", (True, True)),
        ("delegation-added", "d", (False, True)),
        ("delegation-removed", "b", (True, False)),
    ],
)
def test_null_is_a_value(kind: str, end: str, there: tuple[bool, bool]) -> None:
    """Without it a member that is null would look like one that is not there, and the other way round."""
    change = one(kind, end)
    assert told(change) == there
    assert tuple(side.there for side in sides(change, OLD, NEW)) == there


def test_every_change_of_a_first_version_is_there() -> None:
    """Without it a member of the new document could show as not there."""
    for change in changes(None, NEW):
        before, after = sides(change, None, NEW)
        assert (before.there, after.there) == (False, True), change.where
        assert canonical.encode(after.value) in canonical.encode(json.loads(json.dumps(NEW)))
