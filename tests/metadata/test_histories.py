"""Whole histories of roots, step by step: what a reader is told at each, from versions that other tools wrote."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from metadata.test_legacy import HASHES, PEOPLE, Person, keyid, signed_by
from tuf.api.exceptions import RepositoryError
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

from vestry.metadata import layout
from vestry.metadata.changes import apply
from vestry.metadata.document import Document
from vestry.metadata.review import Review, review
from vestry.metadata.review_text import render_lines

# What changes at each step beyond version and expiry, and the signatures counted, as sentences.
HISTORIES: dict[str, list[tuple[list[str], list[str]]]] = {
    "open-law": [
        (["Key c98e4b4a, rsa-pkcs1v15-sha256, joins targets"], ["3 of 2 of root v1", "3 of 2 of root v2"]),
        (
            ["Key ac309ec7, rsa-pkcs1v15-sha256, joins targets", "TUF specification changes from 1.0 to 1.0.0"],
            ["2 of 2 of root v2", "2 of 2 of root v3"],
        ),
        (["Key 3ee0cbbd leaves root"], ["2 of 2 of root v3", "2 of 2 of root v4"]),
        (["Key c4fc90e4, rsa-pkcs1v15-sha256, joins root"], ["2 of 2 of root v4", "2 of 2 of root v5"]),
        (["Key 8607a865, rsa-pkcs1v15-sha256, joins targets"], ["3 of 2 of root v5", "3 of 2 of root v6"]),
        (["Key 3ee0cbbd leaves targets"], ["3 of 2 of root v6", "3 of 2 of root v7"]),
        (["Key ac309ec7 leaves targets"], ["3 of 2 of root v7", "3 of 2 of root v8"]),
        (["Key 778f6352, rsa-pkcs1v15-sha256, joins targets"], ["3 of 2 of root v8", "3 of 2 of root v9"]),
        (["Key 7d3f8714, rsa-pkcs1v15-sha256, joins targets"], ["3 of 2 of root v9", "3 of 2 of root v10"]),
    ],
    "arlosi-tuf-on-ci": [
        (
            ["Key d345d3e8 (@muscraft), ecdsa-sha2-nistp256, joins root", "Threshold of root rises from 1 to 2"],
            ["1 of 1 of root v1", "2 of 2 of root v2"],
        ),
        (["Threshold of root falls from 2 to 1"], ["2 of 2 of root v2", "2 of 1 of root v3"]),
        (["Key d345d3e8 (@muscraft) leaves root"], ["2 of 1 of root v3", "1 of 1 of root v4"]),
        (
            ["Key d345d3e8 (@muscraft), ecdsa-sha2-nistp256, joins root"],
            ["1 of 1 of root v4", "2 of 1 of root v5"],
        ),
        (
            ["Key 2fd16c43 (@walterhpearce), ecdsa-sha2-nistp256, joins root"],
            ["1 of 1 of root v5", "2 of 1 of root v6"],
        ),
        (
            [
                "Key 99efa884, ecdsa-sha2-nistp256, joins snapshot and timestamp in place of key f664fed1",
                "Key f664fed1 leaves snapshot and timestamp; key 99efa884 takes its place",
            ],
            ["1 of 1 of root v6", "1 of 1 of root v7"],
        ),
    ],
    "tuf-demo": [
        (["Threshold of targets rises from 1 to 2"], ["2 of 1 of root v1", "2 of 1 of root v2"]),
        (
            [
                "Threshold of targets falls from 2 to 1",
                "Key 762cb22c (@jku) is the same key under another key id, aa61e09f; it serves root and targets",
                "Key 8da4516e (@rdimitrov) is the same key under another key id, 08af0ce4; it serves root and targets",
                "Key b4aa17c5 is the same key under another key id, 1bafcc09; it serves snapshot and timestamp",
            ],
            ["1 of 1 of root v2", "1 of 1 of root v3"],
        ),
        (
            [
                "Key 1bafcc09 is the same key under another key id, 898df93c; it serves snapshot and timestamp",
                "Field x-tuf-on-ci-expiry-period changes from 365 to 364",
            ],
            ["1 of 1 of root v3", "1 of 1 of root v4"],
        ),
        ([], ["1 of 1 of root v4", "1 of 1 of root v5"]),
    ],
}


def walk(versions: Sequence[bytes], now: datetime) -> list[Review]:
    old: Document | None = None
    found = []
    for raw in versions:
        new = layout.read(raw, where="a root")
        found.append(review("root", new, old=old, now=now))
        before = old.signed if old else None
        assert apply(before, found[-1].changes) == new.signed
        old = new
    return found


def said(step: Review) -> list[str]:
    return [c.text for c in step.changes if c.kind not in ("version-changed", "expiry-changed")]


@pytest.mark.parametrize("name", HISTORIES)
def test_published_histories_are_told_step_by_step(shared_data: Path, name: str) -> None:
    """Without it a reader of years of roots could be told that another key came, or that a step never held."""
    folder = shared_data / "roots" / name / "root_history"
    files = sorted(folder.iterdir(), key=lambda p: int(p.name.split(".")[0]))
    first, *steps = walk([f.read_bytes() for f in files], datetime(2026, 11, 23, tzinfo=UTC))
    assert all(t.met for t in first.tallies)
    assert len(steps) == len(HISTORIES[name])
    for step, (changes, counts) in zip(steps, HISTORIES[name], strict=True):
        assert said(step) == changes, step.step
        assert [t.sentence for t in step.tallies] == counts
        assert all(t.met for t in step.tallies)


def online() -> tuple[str, dict[str, Any]]:
    key = {**PEOPLE[5].pem(), "keytype": "ecdsa", "x-tuf-on-ci-online-uri": "gcpkms:projects/p/keys/k"}
    return keyid(key), key


def five_years() -> list[bytes]:
    """Eight versions in the shapes of Sigstore's root: raw points with three of five, then PEM under the old ids, then
    tuf-on-ci's fields and one online key; one holder at a time goes, and one comes."""
    shapes: list[dict[str, Any]] = []
    signers: list[dict[str, Person]] = []

    def version(keys: dict[str, dict[str, Any]], who: dict[str, Person], expires: str, **more: Any) -> None:
        online_id, online_key = online()
        roles: dict[str, Any] = {"root": {"keyids": list(keys), "threshold": 3}}
        roles["targets"] = {"keyids": list(keys), "threshold": 3}
        roles |= {role: {"keyids": [online_id], "threshold": 1} for role in ("snapshot", "timestamp")}
        roles |= more.pop("roles", {})
        all_keys = keys | {online_id: online_key}
        common = {"_type": "root", "spec_version": "1.0", "version": len(shapes) + 1, "expires": expires}
        shapes.append({**common, "consistent_snapshot": True, "keys": all_keys, "roles": roles, **more})
        signers.append(who)

    def ids(people: Sequence[Person]) -> dict[str, Person]:
        return {keyid(p.point()): p for p in people}

    five = PEOPLE[:5]
    raw = {i: p.point() for i, p in ids(five).items()}
    version(raw, ids(five[:3]), "2021-12-18T13:28:12.99008-06:00")
    version(raw, ids(five[1:4]), "2022-05-11T19:09:02.663975009Z")
    four = five[1:]
    version({i: p.point() for i, p in ids(four).items()}, ids(four[:3]), "2022-06-26T02:28:38.299208Z")
    # From here on in PEM, under ids that are hashes of the points; the specification is named in full.
    version({i: {**HASHES, **p.pem()} for i, p in ids(four).items()}, ids(four[:3]), "2023-04-18T18:13:43Z")
    joined = [*four, five[0]]
    pem = {i: {**HASHES, **p.pem()} for i, p in ids(joined).items()}
    version(pem, ids(four[:3]), "2024-03-26T04:38:55Z", spec_version="1.0.31")
    # The hash algorithms go, and the keytype becomes today's; ids stay, so that they are hashes of nothing present.
    bare = {i: {**p.pem(), "keytype": "ecdsa"} for i, p in ids(joined).items()}
    version(bare, ids(joined[1:4]), "2024-09-12T06:53:10Z", spec_version="1.0.31")
    owned = {i: {**key, "x-tuf-on-ci-keyowner": f"@holder{n}"} for n, (i, key) in enumerate(bare.items())}
    fields = {"x-tuf-on-ci-expiry-period": 197, "x-tuf-on-ci-signing-period": 46}
    version(owned, ids(joined[:3]), "2025-02-19T08:04:32Z", spec_version="1.0.31", **fields)
    mirrors = {"mirrors": {"keyids": list(owned)[:1], "threshold": 1}}
    version(owned, ids(joined[2:]), "2025-08-19T14:33:09Z", spec_version="1.0.31", roles=mirrors, **fields)
    return [signed_by(shape, who) for shape, who in zip(shapes, signers, strict=True)]


def test_five_years_in_the_formats_of_their_day() -> None:
    """Without it the tale of a root that several tools wrote in turn would end at the first odd version."""
    steps = walk(five_years(), datetime(2025, 3, 1, tzinfo=UTC))
    codes = [{f.code for f in step.findings} for step in steps]
    assert all(t.met for step in steps for t in step.tallies)
    assert [len(step.tallies) for step in steps] == [1] + [2] * 7
    # What today's clients can't read, and why, is said of each version it is true of, and of no other.
    assert ["KEY-LEGACY" in c for c in codes] == [True] * 3 + [False] * 5
    assert ["EXPIRY-FORM" in c for c in codes] == [True] * 3 + [False] * 5
    assert ["ROOT-CHAIN-BROKEN" in c for c in codes] == [False] + [True] * 3 + [False] * 4
    legacy = [f.text for f in steps[0].findings if f.code == "KEY-LEGACY"]
    assert len(legacy) == 5
    assert all("python-tuf" in text and "go-tuf" in text and "tuf-js" in text for text in legacy)
    # Who changed what, in each step.
    one, two, three, four, five, six, seven = steps[1:]
    assert said(one) == []
    gone = keyid(PEOPLE[0].point())[:8]
    assert said(two) == [f"Key {gone} leaves root and targets"]
    assert len(said(three)) == 4
    assert all(
        text.endswith("is the same key under the same key id, written as PEM instead of hex") for text in said(three)
    )
    assert f"Key {gone}, ecdsa-sha2-nistp256, joins root and targets" in said(four)
    assert "TUF specification changes from 1.0 to 1.0.31" in said(four)
    assert len(said(four)) == 2
    # A key whose description changes under its id is still the same key, and no other kind of change.
    assert {c.kind for c in five.changes if c.path[0] == "keys"} <= {"field-removed", "field-changed"}
    assert sum(c.path[-1] == "keyid_hash_algorithms" for c in five.changes) == 5
    owners = [c for c in six.changes if c.path[-1] == "x-tuf-on-ci-keyowner"]
    assert [c.new for c in sorted(owners, key=lambda c: c.new)] == [f"@holder{n}" for n in range(5)]
    assert {c.path[-1] for c in six.changes if len(c.path) == 1 and c.kind == "field-added"} == {
        "x-tuf-on-ci-expiry-period",
        "x-tuf-on-ci-signing-period",
    }
    assert any("mirrors" in text for text in said(seven))
    assert ["ROLE-UNKNOWN" in c for c in codes] == [False] * 7 + [True]
    # Names that came in v7 are told where keys are counted in v8.
    assert "(@holder" in "\n".join(render_lines(seven))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of old names of key types
@pytest.mark.parametrize("goal", range(2, 9))
def test_which_older_roots_lead_here_is_what_python_tuf_does(goal: int) -> None:
    """A client that can't even read the root that it trusts would be said to get here."""
    raws = five_years()[:goal]
    docs = [layout.read(raw, where=f"root v{n}") for n, raw in enumerate(raws, 1)]
    at = datetime(2025, 3, 1, tzinfo=UTC)
    seen = review("root", docs[-1], old=docs[-2], history=docs[:-2], now=at)
    assert seen.ahead is not None
    told = {x.version: x.leads for x in seen.ahead.leads}
    assert told == {start: _follows(raws, start) for start in range(1, goal)}
    assert all(("python-tuf can't read root v" in x.why) is not x.leads for x in seen.ahead.leads)


def _follows(raws: Sequence[bytes], start: int) -> bool:
    try:
        trusted = TrustedMetadataSet(raws[start - 1], EnvelopeType.METADATA)
        for raw in raws[start:]:
            trusted.update_root(raw)
    except RepositoryError:
        return False
    return True


def test_a_wrong_signature_in_an_old_format_is_not_believed() -> None:
    """Without it reading old formats leniently could mean believing them."""
    first, second = five_years()[:2]
    value = json.loads(second)
    value["signed"]["expires"] = "2032-05-11T19:09:02.663975009Z"
    step = walk([first, json.dumps(value).encode()], datetime(2022, 1, 1, tzinfo=UTC))[1]
    assert [t.met for t in step.tallies] == [False, False]
    assert all(len(t.invalid) == 3 for t in step.tallies)
