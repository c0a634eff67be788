"""Drafts of targets and delegations: the next version, edited in the document's own members."""

from __future__ import annotations

import hashlib
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
import signers
from tuf.api.metadata import Metadata, TargetFile

from vestry.errors import InputRejected
from vestry.metadata import document, drafting
from vestry.metadata.canonical import encode
from vestry.metadata.document import Document, LargeDocument
from vestry.metadata.keys import Key
from vestry.metadata.parts import Delegation, Target

EXPIRES = datetime(2027, 11, 23, tzinfo=UTC)
KEYS = signers.keys(4)
CONTENT = b"the content of a release\n"


def read(raw: bytes) -> Document:
    """The draft as anyone reads it; python-tuf reads the same."""
    ours = document.read(raw, where="draft")
    assert ours.signed_bytes == Metadata[Any].from_bytes(raw).signed_bytes
    return ours


def delegation(name: str, *keys: Key, **more: Any) -> Delegation:
    return Delegation(name, keys or KEYS[:1], **{"threshold": 1, "paths": (f"{name}/*",), **more})


def edited(previous: Document, **fields: Any) -> Document:
    """The previous version with other fields in its signed part, as some other tool may have written it."""
    signed = {**json.loads(previous.raw)["signed"], **fields}
    return document.read(document.to_file(signed), where="test")


def test_a_file_is_described_as_python_tuf_would() -> None:
    """A client refuses what has another length or digest."""
    mine = Target.of(io.BytesIO(CONTENT))
    theirs = TargetFile.from_data("x", CONTENT, ["sha256", "sha512", "blake2b-256"])
    assert (mine.length, mine.hashes) == (theirs.length, theirs.hashes)
    assert Target.of(io.BytesIO(b"")).hashes["sha256"] == hashlib.sha256().hexdigest()


def test_files_are_added_replaced_and_removed_and_all_else_stays() -> None:
    """What nobody asked to change must not change: another tool's fields are signed too."""
    first = read(drafting.next_targets(None, expires=EXPIRES, add={"a/1": Target(1, {"sha256": "00" * 32})}))
    assert first.version == 1
    kept = {"length": 9, "hashes": {"sha256": "11" * 32}, "custom": {"note": "kept"}}
    files = {**first.signed["targets"], "a/2": kept, "a/3": kept}
    first = edited(first, targets=files, spec_version="1.0.31", **{"x-more": [1]}, version=7)
    new = read(
        drafting.next_targets(first, expires=EXPIRES, add={"a/2": Target(5, {"sha256": "22" * 32})}, remove=["a/1"])
    )
    assert new.signed["targets"] == {"a/2": {**kept, "length": 5, "hashes": {"sha256": "22" * 32}}, "a/3": kept}
    assert (new.version, new.signed["spec_version"], new.signed["x-more"]) == (8, "1.0.31", [1])
    assert first.signed["targets"] == files, "the document before was changed"


def test_what_is_not_there_cannot_be_removed() -> None:
    """A mistyped path would otherwise leave the file listed, and nobody the wiser."""
    first = read(drafting.next_targets(None, expires=EXPIRES, add={"a": Target(1, {"sha256": "00" * 32})}))
    with pytest.raises(InputRejected, match="no target b"):
        drafting.next_targets(first, expires=EXPIRES, remove=["b"])


def test_delegations_come_change_and_go_with_their_keys() -> None:
    """A key that nobody names any more must not stay listed, one that somebody else uses must."""
    first = read(
        drafting.next_delegator(None, expires=EXPIRES, put=[delegation("a", *KEYS[:2]), delegation("b", KEYS[1])])
    )
    roles = [{**role, "x-note": role["name"]} for role in first.signed["delegations"]["roles"]]
    unused = KEYS[3]
    keys = {**first.signed["delegations"]["keys"], unused.keyid: unused.to_dict()}
    first = edited(first, delegations={"keys": keys, "roles": roles, "x-more": 1})
    put = [delegation("a", KEYS[2], terminating=True), delegation("c", before="a")]
    new = read(drafting.next_delegator(first, expires=EXPIRES, put=put))
    found = new.signed["delegations"]
    assert [(r["name"], r.get("x-note"), r["terminating"]) for r in found["roles"]] == [
        ("c", None, False),
        ("a", "a", True),
        ("b", "b", False),
    ]
    assert found["x-more"] == 1
    # KEYS[0] left "a" and serves "c"; KEYS[1] serves "b"; what was unused before is none of this change's business.
    assert set(found["keys"]) == {k.keyid for k in KEYS}
    gone = read(drafting.next_delegator(new, expires=EXPIRES, remove=["c"])).signed["delegations"]
    assert set(gone["keys"]) == {k.keyid for k in KEYS[1:]}
    assert [r["name"] for r in gone["roles"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("put", "remove", "what"),
    [
        ([delegation("a", threshold=2)], [], "can't be reached"),
        ([delegation("a", paths=())], [], "one of the two"),
        ([delegation("a", hash_prefixes=("00",))], [], "one of the two"),
        ([delegation("a", before="z")], [], "no delegation z"),
        ([delegation("a", before="a")], [], "no delegation a"),
        ([], ["z"], "no delegation z"),
    ],
)
def test_what_cannot_be_is_refused(put: list[Delegation], remove: list[str], what: str) -> None:
    """Before anyone signs it."""
    with pytest.raises(InputRejected, match=what):
        drafting.next_delegator(None, expires=EXPIRES, put=put, remove=remove)


def test_a_key_id_stands_for_one_key() -> None:
    """A document before may have another key under the id of a new one."""
    first = read(drafting.next_delegator(None, expires=EXPIRES, put=[delegation("a")]))
    keys = {KEYS[1].keyid: KEYS[0].to_dict()}
    roles = [{**first.signed["delegations"]["roles"][0], "keyids": [KEYS[1].keyid]}]
    first = edited(first, delegations={"keys": keys, "roles": roles})
    with pytest.raises(InputRejected, match="two different keys"):
        drafting.next_delegator(first, expires=EXPIRES, put=[delegation("b", KEYS[1])])


def test_hash_bins_take_no_delegation_beside_them() -> None:
    """TAP 15: succinct_roles and roles exclude each other."""
    bins = read(
        drafting.bins(version=1, expires=EXPIRES, number=2, online=KEYS[0], style="succinct"),
    )
    with pytest.raises(InputRejected, match="hash bins"):
        drafting.next_delegator(bins, expires=EXPIRES, put=[delegation("a")])


# --- large documents


def crowd(count: int, *odd: str) -> Document:
    """A claimed role with a crowd of plain delegations, and some that are not plain between them."""
    keys: dict[str, Any] = {}
    roles = []
    for n in range(count):
        key = {"keytype": "ed25519", "keyval": {"public": hashlib.sha256(b"%d" % n).hexdigest()}, "scheme": "ed25519"}
        keyid = hashlib.sha256(encode(key)).hexdigest()
        keys[keyid] = key
        name = f"project-{n:06d}"
        roles.append({"keyids": [keyid], "name": name, "paths": [f"{name}/*"], "terminating": True, "threshold": 1})
    for n, name in enumerate(odd):
        keys[KEYS[n].keyid] = KEYS[n].to_dict()
        roles.insert(
            (n + 1) * count // 3,
            {**delegation(name, KEYS[n], paths=(f"{name}/*", f"{name}-*")).to_dict(), "x-odd": "\n"},
        )
    signed = {
        "_type": "targets",
        "spec_version": "1.0.34",
        "version": 41,
        "expires": "2027-01-01T00:00:00Z",
        "targets": {},
        "delegations": {"keys": keys, "roles": roles},
        "x-more": "kept \u00e9",
    }
    raw = drafting.splicing.compact(signed)
    read = document.read(raw, where="test")
    assert isinstance(read, LargeDocument)
    assert json.loads(raw)["signed"] == signed
    return read


@pytest.fixture(scope="module")
def claimed() -> Document:
    return crowd(14_000, "odd-one", "odd-two")


def test_a_large_document_is_edited_as_a_small_one(claimed: Document) -> None:
    """Delegations are spliced into bytes that nobody reads: they must be what the whole way gives."""
    put = [delegation(f"new-{n}", KEYS[n % 4], KEYS[0]) for n in range(30)]
    new = document.read(drafting.next_delegator(claimed, expires=EXPIRES, put=put), where="draft")
    assert isinstance(new, LargeDocument), "what was spliced can't be left in its bytes"
    signed = json.loads(claimed.raw)["signed"]
    signed |= {"version": 42, "expires": "2027-11-23T00:00:00Z"}
    signed["delegations"]["keys"] |= {k.keyid: k.to_dict() for k in KEYS}
    signed["delegations"]["roles"] += [one.to_dict() for one in put]
    assert new.signed_bytes == encode(signed)
    assert new.raw == drafting.splicing.compact(signed)


@pytest.mark.parametrize("what", ["there already", "removed", "before", "odd one"])
def test_what_is_more_than_adding_is_done_the_whole_way(claimed: Document, what: str) -> None:
    """A delegation that is there already must be changed, not stand twice."""
    put = {
        "there already": [delegation("project-000007", KEYS[3])],
        "odd one": [delegation("odd-one", KEYS[3])],
        "before": [delegation("new", KEYS[3], before="project-000000")],
        "removed": [],
    }[what]
    remove = ["project-000007"] if what == "removed" else []
    new = document.read(drafting.next_delegator(claimed, expires=EXPIRES, put=put, remove=remove), where="draft")
    small = {**json.loads(claimed.raw)["signed"]}
    by_name = {r["name"]: r for r in new.signed["delegations"]["roles"]}
    assert len(by_name) == len(new.signed["delegations"]["roles"]) == 14_002 + (what == "before") - (what == "removed")
    assert len(small["delegations"]["roles"]) == 14_002
    for one in put:
        assert by_name[one.name]["keyids"] == [KEYS[3].keyid]
    if what == "before":
        assert new.signed["delegations"]["roles"][0]["name"] == "new"


def test_a_key_of_the_crowd_is_not_listed_twice(claimed: Document) -> None:
    """Two members of one name are two documents to two readers."""
    keyid, value = next((i, k) for i, k in claimed.signed["delegations"]["keys"].items() if k["keytype"] == "ed25519")
    put = [delegation("new", Key.from_dict(keyid, value))]
    new = document.read(drafting.next_delegator(claimed, expires=EXPIRES, put=put), where="draft")
    assert new.raw.count(f'"{keyid}":'.encode()) == 1
    assert len(new.signed["delegations"]["keys"]) == len(claimed.signed["delegations"]["keys"])
