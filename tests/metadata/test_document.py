"""Documents: what is read, what is refused and why, and that the bytes read are the bytes signed."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import signers
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata
from tuf.api.serialization.json import JSONSerializer

from vestry.errors import InputRejected
from vestry.metadata import document, drafting
from vestry.metadata.document import Signature

EXPIRES = datetime(2027, 1, 31, tzinfo=UTC)
KEYS = signers.keys(3)
A = KEYS[0].keyid


def load(raw: bytes) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(raw)
    return value


ROOT = load(
    drafting.root(
        version=1,
        expires=EXPIRES,
        roles={"root": (2, KEYS), **dict.fromkeys(("targets", "snapshot", "timestamp"), (1, KEYS[:1]))},
    )
)
TARGETS = load(drafting.targets_with_bins(version=1, expires=EXPIRES, bins_threshold=2, bins_keys=KEYS))
TARGETS["signed"]["targets"]["a/b-1.0.tar.gz"] = {"length": 3, "hashes": {"sha256": "00"}}
TARGETS["signed"]["delegations"]["roles"].append(
    {"name": "one", "keyids": [A], "threshold": 1, "terminating": True, "paths": ["one/*"]}
)
BINS = load(drafting.bins(version=1, expires=EXPIRES, number=16, online=KEYS[0], style="succinct"))
COMMON = {"spec_version": "1.0.34", "version": 1, "expires": "2027-01-31T00:00:00Z"}
SNAPSHOT = {"signatures": [], "signed": {**COMMON, "_type": "snapshot", "meta": {"targets.json": {"version": 1}}}}
TIMESTAMP = {
    "signatures": [],
    "signed": {
        **COMMON,
        "_type": "timestamp",
        "meta": {"snapshot.json": {"version": 1, "length": 2, "hashes": {"sha256": "00"}}},
    },
}
WHOLE = {"root": ROOT, "targets": TARGETS, "bins": BINS, "snapshot": SNAPSHOT, "timestamp": TIMESTAMP}
GONE = object()


def edited(base: dict[str, Any], path: str, value: Any) -> bytes:
    """The file of `base` with the field at `path` replaced, or taken away."""
    made = copy.deepcopy(base)
    *above, last = [int(p) if p.isdigit() else p for p in path.split("/")]
    here: Any = made
    for step in above:
        here = here[step]
    if value is GONE:
        del here[last]
    else:
        here[last] = value
    return json.dumps(made).encode()


ROLE, KEY = "signed/roles/root", f"signed/keys/{A}"
FIRST, ONE = "signed/delegations/roles/0", "signed/delegations/roles/1"
SUCCINCT = "signed/delegations/succinct_roles"
FILE = "signed/meta/snapshot.json"
SIGNATURE = {"keyid": A, "sig": "00"}

REFUSED = [
    (ROOT, "signed", GONE, "signed is missing"),
    (ROOT, "signed", None, "signed is null"),
    (ROOT, "signed", [], "signed is not an object"),
    (ROOT, "signatures", GONE, "signatures is missing"),
    (ROOT, "signatures", {}, "signatures is not a list"),
    (ROOT, "signatures", ["x"], "signatures[0] is not an object"),
    (ROOT, "signatures", [SIGNATURE, {"sig": "00"}], "signatures[1]/keyid is missing"),
    (ROOT, "signatures", [{"keyid": A}], "signatures[0]/sig is missing"),
    (ROOT, "signatures", [{"keyid": A, "sig": None}], "signatures[0]/sig is null"),
    (ROOT, "signatures", [{"keyid": 7, "sig": ""}], "signatures[0]/keyid is not a string"),
    (ROOT, "signed/_type", GONE, "_type is missing"),
    (ROOT, "signed/_type", "Root", "_type is 'Root', which is none of"),
    (ROOT, "signed/_type", "mirrors", "_type is 'mirrors', which is none of"),
    (ROOT, "signed/_type", "\x1b[31mroot", "_type is '\\\\u{1b}[31mroot'"),
    (ROOT, "signed/spec_version", GONE, "spec_version is missing"),
    (ROOT, "signed/spec_version", 1, "spec_version is not a string"),
    (ROOT, "signed/spec_version", "2.0.0", "spec_version is '2.0.0'"),
    (ROOT, "signed/spec_version", "1", "spec_version is '1'"),
    (ROOT, "signed/version", GONE, "version is missing"),
    (ROOT, "signed/version", 0, "version is 0, less than 1"),
    (ROOT, "signed/version", -1, "version is -1, less than 1"),
    (ROOT, "signed/version", True, "version is not an integer"),
    (ROOT, "signed/version", "1", "version is not an integer"),
    (ROOT, "signed/version", 2.0, "2.0 is not an integer"),
    (ROOT, "signed/version", 2**70, "is beyond 64 bits"),
    (ROOT, "signed/expires", GONE, "expires is missing"),
    (ROOT, "signed/expires", 1800000000, "expires is not a string"),
    (ROOT, "signed/expires", "2027-1-1T0:0:0Z", "expires is '2027-1-1T0:0:0Z', not a time like"),
    (ROOT, "signed/expires", "2027-01-31T00:00:00", "not a time like"),
    (ROOT, "signed/expires", "2027-01-31T00:00:00+00:00", "not a time like"),
    (ROOT, "signed/expires", "2027-01-31T00:00:00.5Z", "not a time like"),
    (ROOT, "signed/expires", "2027-01-31T00:00:00Z\n", "not a time like"),
    (ROOT, "signed/expires", "2027-01-31 00:00:00Z", "not a time like"),
    (ROOT, "signed/expires", "\u0662\u0660\u0662\u0667-01-31T00:00:00Z", "not a time like"),
    (ROOT, "signed/expires", "2027-02-30T00:00:00Z", "a time that does not exist"),
    (ROOT, "signed/expires", "2027-01-31T24:00:00Z", "a time that does not exist"),
    (ROOT, "signed/expires", "0000-01-31T00:00:00Z", "a time that does not exist"),
    (ROOT, "signed/expires", "0999-01-31T00:00:00Z", "a year that clients write in other ways"),
    (ROOT, "signed/consistent_snapshot", None, "consistent_snapshot is null"),
    (ROOT, "signed/consistent_snapshot", "false", "consistent_snapshot is not true or false"),
    (ROOT, "signed/consistent_snapshot", 1, "consistent_snapshot is not true or false"),
    (ROOT, "signed/keys", GONE, "keys is missing"),
    (ROOT, "signed/keys", [], "keys is not an object"),
    (ROOT, KEY, None, f"keys/{A[:16]} is null"),
    (ROOT, f"{KEY}/keytype", GONE, f"keys/{A[:16]}/keytype is missing"),
    (ROOT, f"{KEY}/scheme", 1, f"keys/{A[:16]}/scheme is not a string"),
    (ROOT, f"{KEY}/keyval", "ab", f"keys/{A[:16]}/keyval is not an object"),
    (ROOT, f"{KEY}/keyval/public", GONE, f"keys/{A[:16]}/keyval/public is missing"),
    (ROOT, "signed/roles", GONE, "roles is missing"),
    (ROOT, "signed/roles/timestamp", GONE, "roles/timestamp is missing"),
    (ROOT, ROLE, [], "roles/root is not an object"),
    (ROOT, f"{ROLE}/keyids", GONE, "roles/root/keyids is missing"),
    (ROOT, f"{ROLE}/keyids", A, "roles/root/keyids is not a list"),
    (ROOT, f"{ROLE}/keyids", [A, None], "roles/root/keyids[1] is null"),
    (ROOT, f"{ROLE}/keyids", [A, A], "roles/root/keyids names a key id twice"),
    (ROOT, f"{ROLE}/threshold", GONE, "roles/root/threshold is missing"),
    (ROOT, f"{ROLE}/threshold", 0, "roles/root/threshold is 0, less than 1"),
    (ROOT, f"{ROLE}/threshold", -3, "roles/root/threshold is -3, less than 1"),
    (ROOT, f"{ROLE}/threshold", True, "roles/root/threshold is not an integer"),
    (ROOT, f"{ROLE}/threshold", "2", "roles/root/threshold is not an integer"),
    (ROOT, f"{ROLE}/threshold", 1.5, "1.5 is not an integer"),
    (ROOT, "signed/roles/mirrors", {"keyids": []}, "roles/mirrors/threshold is missing"),
    (TARGETS, "signed/targets", GONE, "targets is missing"),
    (TARGETS, "signed/targets", [], "targets is not an object"),
    (TARGETS, "signed/targets", {"a": None}, "targets/a is null"),
    (TARGETS, "signed/targets", {"a": {"hashes": {"sha256": ""}}}, "targets/a/length is missing"),
    (TARGETS, "signed/targets", {"a": {"length": -1, "hashes": {}}}, "targets/a/length is -1"),
    (TARGETS, "signed/targets", {"a": {"length": 1}}, "targets/a/hashes is missing"),
    (TARGETS, "signed/targets", {"a": {"length": 1, "hashes": {}}}, "targets/a/hashes is empty"),
    (TARGETS, "signed/targets", {"\x1b]0;": {"length": 1, "hashes": {"md5": 1}}}, "targets/\\\\u{1b}]0;/hashes/md5"),
    (TARGETS, "signed/delegations", None, "delegations is null"),
    (TARGETS, "signed/delegations/keys", GONE, "delegations/keys is missing"),
    (TARGETS, "signed/delegations/roles", GONE, "delegations has not exactly one of roles and succinct_roles"),
    (TARGETS, "signed/delegations/roles", None, "delegations/roles is null"),
    (TARGETS, "signed/delegations/succinct_roles", None, "delegations has not exactly one of"),
    (TARGETS, f"{FIRST}/name", GONE, "delegations/roles[0]/name is missing"),
    (TARGETS, f"{FIRST}/name", "one", "delegations/one stands twice"),
    (TARGETS, f"{FIRST}/threshold", 0, "delegations/bins/threshold is 0"),
    (TARGETS, f"{FIRST}/paths", [], "delegations/bins has not exactly one of paths and path_hash_prefixes"),
    (TARGETS, f"{FIRST}/path_hash_prefixes", GONE, "has not exactly one of paths and path_hash_prefixes"),
    (TARGETS, f"{FIRST}/path_hash_prefixes", None, "delegations/bins/path_hash_prefixes is null"),
    (TARGETS, f"{FIRST}/path_hash_prefixes", [1], "delegations/bins/path_hash_prefixes[0] is not a string"),
    (TARGETS, f"{ONE}/paths", "one/*", "delegations/one/paths is not a list"),
    (TARGETS, f"{ONE}/terminating", "false", "delegations/one/terminating is not true or false"),
    (TARGETS, f"{ONE}/terminating", GONE, "delegations/one/terminating is missing"),
    (BINS, SUCCINCT, None, "delegations/succinct_roles is null"),
    (BINS, f"{SUCCINCT}/bit_length", 0, "bit_length is 0, less than 1"),
    (BINS, f"{SUCCINCT}/bit_length", 33, "bit_length is 33, more than 32"),
    (BINS, f"{SUCCINCT}/bit_length", True, "bit_length is not an integer"),
    (BINS, f"{SUCCINCT}/name_prefix", GONE, "name_prefix is missing"),
    (SNAPSHOT, "signed/meta", GONE, "meta is missing"),
    (SNAPSHOT, "signed/meta", {"targets.json": {}}, "meta/targets.json/version is missing"),
    (SNAPSHOT, "signed/meta", {"targets.json": {"version": 0}}, "meta/targets.json/version is 0"),
    (TIMESTAMP, "signed/meta", {}, "meta/snapshot.json is missing"),
    (TIMESTAMP, f"{FILE}/length", None, "meta/snapshot.json/length is null"),
    (TIMESTAMP, f"{FILE}/hashes", None, "meta/snapshot.json/hashes is null"),
    (TIMESTAMP, f"{FILE}/hashes", {}, "meta/snapshot.json/hashes is empty"),
]


# Key ids are new in each run, and ids of tests must not be.
IDS = [f"{r[1]}-{r[3]}".replace(A, "A").replace(A[:16], "A") for r in REFUSED]


@pytest.mark.parametrize(("base", "path", "value", "why"), REFUSED, ids=IDS)
def test_refused(base: dict[str, Any], path: str, value: Any, why: str) -> None:
    """Without it clients would disagree about a signed document, or nobody could tell what is wrong in it."""
    document.read(json.dumps(base).encode(), where="it was whole before")
    with pytest.raises(InputRejected) as caught:
        document.read(edited(base, path, value), where="the file")
    line = str(caught.value)
    assert line.startswith("the file")
    assert why.replace("\\\\", "\\") in line
    assert re.fullmatch("[ -~]{1,250}", line)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b'"signed"',
        b"1",
        b"{}",
        b'{"signed": {}}',
        b'{"signatures": [], "signed": {}}',
        b"\x89PNG\r\n",
    ],
)
def test_files_that_are_no_metadata(raw: bytes) -> None:
    """Without it the wrong file would end the program with a traceback."""
    with pytest.raises(InputRejected) as caught:
        document.read(raw, where="the file")
    assert re.fullmatch("the file[ -~]+", str(caught.value))


def test_a_second_signed_part_is_refused() -> None:
    """Without it one part could be shown and the other one signed; python-tuf takes the last one silently."""
    one, two = (json.dumps(edit["signed"]) for edit in (ROOT, TARGETS))
    raw = f'{{"signatures": [], "signed": {one}, "signed": {two}}}'.encode()
    assert Metadata.from_bytes(raw).signed.type == "targets"
    with pytest.raises(InputRejected, match='the key "signed" stands twice'):
        document.read(raw, where="the file")


HOSTILE: list[tuple[dict[str, Any], str, Any]] = [
    (ROOT, "signed/expires", "2027-1-1T0:0:0Z"),
    (ROOT, "signed/consistent_snapshot", "false"),
    (ROOT, f"{ROLE}/threshold", True),
    (ROOT, "signed/version", True),
    (TARGETS, f"{ONE}/terminating", "false"),
    (TARGETS, f"{ONE}/paths", "one/*"),
    (TARGETS, f"{FIRST}/paths", None),
    (TIMESTAMP, f"{FILE}/length", None),
]


@pytest.mark.parametrize(("base", "path", "value"), HOSTILE, ids=[h[1] for h in HOSTILE])
def test_stricter_than_python_tuf(base: dict[str, Any], path: str, value: Any) -> None:
    """Without it a document would pass that python-tuf takes in its own way, and others in another."""
    raw = edited(base, path, value)
    Metadata.from_bytes(raw)
    with pytest.raises(InputRejected):
        document.read(raw, where="the file")


# --- what is read


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_read_is_what_is_signed(name: str) -> None:
    """Without it people would sign other bytes than those they read."""
    raw = json.dumps(WHOLE[name], indent=3).encode()
    doc = document.read(raw, where="test")
    theirs = Metadata.from_bytes(raw)
    assert doc.raw == raw
    assert doc.signed == WHOLE[name]["signed"]
    assert doc.signed_bytes == theirs.signed_bytes
    assert (doc.type, doc.version, doc.expires) == (theirs.signed.type, theirs.signed.version, theirs.signed.expires)
    assert doc.digest == hashlib.sha256(doc.signed_bytes).hexdigest()
    assert doc.file_sha256 == hashlib.sha256(raw).hexdigest()
    assert doc.expires.tzinfo is UTC


def test_unknown_fields_are_kept_everywhere() -> None:
    """Without it fields that clients keep and hash would vanish from what is signed (TUF 1.0.34, section 4.1)."""
    value = copy.deepcopy(ROOT)
    value["signed"]["x-note"] = {"\n": ["\u202e", None]}
    value["signed"]["roles"]["root"]["x-period"] = 60
    value["signed"]["keys"][A]["x-owner"] = "@alice"
    value["x-outside"] = [1]
    doc = document.read(json.dumps(value).encode(), where="test")
    canonical = encode_canonical(value["signed"])
    assert canonical is not None
    assert doc.signed_bytes == canonical.encode()
    assert doc.extra == {"x-outside": [1]}
    assert document.keys(doc)[A].extra == {"x-owner": "@alice"}
    signed = document.read(doc.with_signatures([Signature(A, "00")]).raw, where="test")
    assert (signed.signed_bytes, signed.extra) == (doc.signed_bytes, doc.extra)


def test_with_signatures() -> None:
    """Without it the same signatures could make several files, or signing change what was signed."""
    doc = document.read(json.dumps(ROOT).encode(), where="test")
    b, c = Signature("b", "02"), Signature("c", "03")
    one, two = doc.with_signatures([c, b]), doc.with_signatures([b, Signature("c", "ff"), c])
    assert one == two
    assert one.signatures == (b, c)
    assert one.signed_bytes == doc.signed_bytes == document.read(one.raw, where="test").signed_bytes
    assert document.read(one.raw, where="test") == one
    assert doc.signatures == ()


@pytest.mark.parametrize("name", WHOLE)
def test_files_are_written_as_python_tuf_writes_them(name: str) -> None:
    """Without it a file would change, and its hash in snapshot with it, when another tool writes it again."""
    doc = document.read(json.dumps(WHOLE[name]).encode(), where="test").with_signatures([Signature(A, "00")])
    assert doc.raw == Metadata.from_bytes(doc.raw).to_bytes(JSONSerializer())
    assert document.to_file(doc.signed, doc.signatures) == doc.raw


def test_keys_and_entries() -> None:
    """Without it the wrong keys could be asked for a role."""
    root, targets, bins, snapshot = (
        document.read(json.dumps(v).encode(), where="test") for v in (ROOT, TARGETS, BINS, SNAPSHOT)
    )
    assert set(document.keys(root)) == set(document.keys(targets)) == {k.keyid for k in KEYS}
    assert document.keys(snapshot) == {}
    one, first = document.role_entry(targets, "one"), document.role_entry(bins, "bin-0")
    assert one is not None
    assert first is not None
    assert (one["paths"], first["bit_length"]) == (["one/*"], 4)
    eight = document.read(edited(BINS, f"{SUCCINCT}/bit_length", 3), where="test")
    assert [document.role_entry(eight, f"bin-{n:x}") is not None for n in (0, 7, 8, 15)] == [True, True, False, False]
    assert document.role_entry(root, "bins") is None
    assert document.role_entry(targets, "bin-0") is None
    assert document.role_entry(snapshot, "targets") is None


def test_real_documents_as_python_tuf_reads_them(shared_data: Path) -> None:
    """Without it Vestry might refuse, or see other bytes in, documents that the world trusts."""
    read = 0
    for path in sorted(
        p for f in ("roots", "rstuf", "tuf-on-ci", "vectors") for p in (shared_data / f).rglob("*.json")
    ):
        raw = path.read_bytes()
        try:
            theirs = Metadata.from_bytes(raw)
        except RepositoryError:
            continue
        doc = document.read(raw, where=path.name)
        assert (doc.signed_bytes, doc.expires) == (theirs.signed_bytes, theirs.signed.expires), path
        assert {s.keyid: s.sig for s in doc.signatures} == {i: s.signature for i, s in theirs.signatures.items()}
        read += 1
    assert read > 100


@settings(max_examples=150)
@given(
    st.sampled_from(sorted(WHOLE)),
    st.randoms(use_true_random=False),
    st.recursive(
        st.none() | st.booleans() | st.integers(-2, 40) | st.text(max_size=5),
        lambda v: st.lists(v, max_size=2) | st.dictionaries(st.text(max_size=5), v, max_size=2),
        max_leaves=4,
    ),
)
def test_any_field_made_anything(name: str, random: Any, value: Any) -> None:
    """Without it some field of some shape could still end in a traceback, here or in the functions on documents."""
    made = copy.deepcopy(WHOLE[name])
    places: list[Callable[[], None]] = []

    def walk(here: Any) -> None:
        for k in list(here) if isinstance(here, dict) else range(len(here)):
            places.append(lambda here=here, k=k: here.__setitem__(k, value))
            if isinstance(here[k], (dict, list)):
                walk(here[k])

    walk(made)
    random.choice(places)()
    said = ""
    try:
        doc = document.read(json.dumps(made).encode(), where="the file")
    except InputRejected as rejected:
        said = str(rejected)
    if said:
        assert re.fullmatch("the file[ -~]+", said)
        return
    canonical = encode_canonical(made["signed"])
    assert canonical is not None
    assert doc.signed_bytes == canonical.encode()
    assert all(
        key.keyid in made["signed"].get("keys", made["signed"].get("delegations", {}).get("keys", {}))
        for key in document.keys(doc).values()
    )
    for role in ("root", "targets", "bins", "bin-0", "one"):
        document.role_entry(doc, role)
