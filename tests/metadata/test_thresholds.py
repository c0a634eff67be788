"""Who must sign, and who has."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import signers
from tuf.api.metadata import Metadata, Root

from vestry.errors import NotTrusted
from vestry.metadata import document, drafting
from vestry.metadata.document import Document, Signature
from vestry.metadata.keys import Key
from vestry.metadata.thresholds import Authority, authorities, named, tally, verify_signature

EXPIRES = datetime(2027, 1, 1, tzinfo=UTC)


def root(threshold: int, keys: list[Key], version: int = 1) -> Document:
    roles = dict.fromkeys(("targets", "snapshot", "timestamp"), (1, [signers.key(number=9)]))
    roles["root"] = (threshold, keys)
    return document.read(drafting.root(version=version, expires=EXPIRES, roles=roles), where="test")


def changed(doc: Document, change: Callable[[dict[str, Any]], object]) -> Document:
    """The document with its signed part edited by hand."""
    value = json.loads(doc.raw)
    change(value["signed"])
    return document.read(json.dumps(value).encode(), where="test")


def of_root(doc: Document) -> Authority:
    found = named(doc, "root")
    assert found is not None
    return found


def test_counting() -> None:
    """Without it the meter could stand wrong in the one place where it must not."""
    new = root(2, signers.keys(3))
    a, b, c = (k.keyid for k in signers.keys(3))
    none, one, two = (tally(signers.sign(new, *range(n)), of_root(new)) for n in (0, 1, 2))
    assert (none.valid, none.missing, none.met) == ((), (a, b, c), False)
    assert (one.valid, one.invalid, one.missing, one.met) == ((a,), (), (b, c), False)
    assert (two.valid, two.missing, two.met) == ((a, b), (c,), True)
    assert one.sentence == "1 of 2 of root v1"
    assert two.to_dict() == {
        "by": "root v1", "threshold": 2, "valid": [a, b], "invalid": [], "missing": [c], "met": True
    }  # fmt: skip


@pytest.mark.parametrize("scheme", signers.SCHEMES)
def test_every_scheme_counts(scheme: str) -> None:
    """Without it holders of one kind of key could not reach their threshold."""
    new = signers.sign(root(2, signers.keys(2, scheme)), 0, 1, scheme=scheme)
    assert tally(new, of_root(new)).met
    Metadata[Root].from_bytes(new.raw).verify_delegate("root", Metadata[Root].from_bytes(new.raw))


def twice(doc: Document) -> Document:
    """Root's first key listed under a second id too, with a threshold of two."""

    def edit(signed: dict[str, Any]) -> None:
        value = signed["keys"][signers.key().keyid]
        signed["keys"]["f" * 64] = {**value, "keyval": {"public": value["keyval"]["public"].upper()}}
        signed["roles"]["root"] |= {"keyids": [signers.key().keyid, "f" * 64], "threshold": 2}

    return changed(doc, edit)


def test_one_key_under_two_ids_counts_once() -> None:
    """Without it one holder could be a threshold of two (GHSA-3633-5h82-39pq); python-tuf 7.0.1 counts two."""
    new = twice(root(1, signers.keys(1)))
    made = signers.signer().sign(new.signed_bytes).signature
    new = new.with_signatures([Signature(signers.key().keyid, made), Signature("f" * 64, made)])
    theirs = Metadata[Root].from_bytes(new.raw)
    assert theirs.signed_bytes == new.signed_bytes
    assert len(theirs.signed.get_verification_result("root", theirs.signed_bytes, theirs.signatures).signed) == 2
    theirs.verify_delegate("root", theirs)
    ours = tally(new, of_root(new))
    assert (len(ours.valid), ours.missing, ours.met) == (1, (), False)
    assert ours.sentence == "1 of 2 of root v1"


def test_the_other_id_of_a_key_that_signed_is_not_missing() -> None:
    """Without it the meter would wait for someone who has signed already."""
    new = signers.sign(twice(root(1, signers.keys(1))), 0)
    assert tally(new, of_root(new)).missing == ()


def test_a_signature_repeated_under_one_id_counts_once() -> None:
    """Without it one holder could be a threshold by repetition (CVE-2020-6174)."""
    new = root(2, signers.keys(2))
    made = signers.signer().sign(new.signed_bytes).signature
    value = json.loads(new.raw)
    value["signatures"] = [{"keyid": signers.key().keyid, "sig": s} for s in (made, made, made.upper(), made)]
    new = document.read(json.dumps(value).encode(), where="test")
    assert len(new.signatures) == 4
    counted = tally(new, of_root(new))
    assert (len(counted.valid), counted.met) == (1, False)


@pytest.mark.parametrize("sig", ["", "00", "zz", "XXX", "0", "\x1b[2J", "é", "ab" * 64, "00" * 100_000])
def test_what_is_no_signature_does_not_count(sig: str) -> None:
    """Without it an empty place kept for a holder could count, or a strange one end the review."""
    new = root(1, signers.keys(1)).with_signatures([Signature(signers.key().keyid, sig)])
    new = document.read(new.raw, where="test")
    counted = tally(new, of_root(new))
    assert (counted.valid, counted.met) == ((), False)
    # An empty place waits for its holder; anything else was meant to be a signature and is none.
    assert (counted.missing if sig == "" else counted.invalid) == (signers.key().keyid,)


def test_signatures_over_other_bytes() -> None:
    """Without it a signature of an earlier draft could pass for one of this."""
    first, second = root(1, signers.keys(1)), root(1, signers.keys(1), version=2)
    carried = second.with_signatures(signers.sign(first, 0).signatures)
    assert tally(carried, of_root(second)).invalid == (signers.key().keyid,)


def test_keys_without_a_say_count_nowhere() -> None:
    """Without it anyone's signature could fill the meter."""
    new = signers.sign(root(1, signers.keys(1)), 1, 2, 9)
    counted = tally(new, of_root(new))
    assert (counted.valid, counted.invalid, counted.missing) == ((), (), (signers.key().keyid,))


def test_a_named_key_that_is_not_listed() -> None:
    """Without it a document that names a key it does not hold would end the review."""
    new = changed(root(1, signers.keys(2)), lambda s: s["keys"].pop(signers.key().keyid))
    assert [k.keyid for k in of_root(new).keys] == [signers.key(number=1).keyid]


def test_thousands_of_wrong_signatures_under_one_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it junk could stop a ceremony by keeping the machine busy (CVE-2020-6173)."""
    new = root(1, signers.keys(1))
    junk = tuple(Signature(signers.key().keyid, f"{n:0128x}") for n in range(5000))
    tried: list[bytes] = []
    monkeypatch.setattr(Key, "verify", lambda _, sig, __: bool(tried.append(sig)))
    assert not tally(dataclasses.replace(new, signatures=junk), of_root(new)).met
    assert len(tried) < 20


# --- authorities


def test_a_root_answers_to_the_root_before_it_and_to_itself() -> None:
    """Without it a root could be replaced by people whom the old root does not know (CVE-2020-15163)."""
    old = root(2, signers.keys(3))
    raw = drafting.next_root(old, expires=EXPIRES, root=(1, signers.keys(5)[3:]))
    new = document.read(raw, where="test")
    both = authorities("root", new, trusted=old)
    assert [(a.by, a.threshold, len(a.keys)) for a in both] == [("root v1", 2, 3), ("root v2", 1, 2)]
    assert [tally(signers.sign(new, 3), a).met for a in both] == [False, True]
    assert [tally(signers.sign(new, 0, 1), a).met for a in both] == [True, False]
    assert [tally(signers.sign(new, 0, 1, 4), a).met for a in both] == [True, True]
    assert [a.by for a in authorities("root", new)] == ["root v2"]


def test_other_roles_answer_to_their_delegator() -> None:
    """Without it a delegated role could name its own signers."""
    top = root(1, signers.keys(1))
    targets = document.read(
        drafting.targets_with_bins(version=3, expires=EXPIRES, bins_threshold=2, bins_keys=signers.keys(2)), where="t"
    )
    bins = document.read(
        drafting.bins(version=1, expires=EXPIRES, number=16, online=signers.key(number=9), style="succinct"), where="b"
    )
    assert [(a.by, a.role) for a in authorities("targets", targets, delegator=top)] == [("root v1", "targets")]
    assert [(a.by, a.threshold) for a in authorities("bins", bins, delegator=targets)] == [("targets v3", 2)]
    assert [(a.by, a.threshold) for a in authorities("bin-f", bins, delegator=bins)] == [("targets v1", 1)]
    assert authorities("unheard-of", bins, delegator=targets) == ()
    assert authorities("targets", targets) == ()
    for odd in ("bin-10", "bin-F", "bin-", "bin-0f", "bins-f", "f", "bin-\u0661", "bin-f\n"):
        assert named(bins, odd) is None, odd


def test_real_histories_hold(shared_data: Path) -> None:
    """Without it Vestry might refuse roots that the world trusts."""
    steps = 0
    for folder in ("arlosi-tuf-on-ci", "open-law", "tuf-demo", "pqc-test-repo2", "docker-tuf"):
        trusted = None
        paths = (shared_data / "roots" / folder / "root_history").glob("*.root.json")
        for path in sorted(paths, key=lambda p: int(p.name.split(".")[0])):
            new = document.read(path.read_bytes(), where=path.name)
            assert all(tally(new, a).met for a in authorities("root", new, trusted=trusted)), path
            trusted, steps = new, steps + 1
    assert steps > 20


# --- one signature, before it is written


def test_verify_signature() -> None:
    """Without it a signature by a wrong token could be written to the bundle."""
    new = root(2, signers.keys(2))
    who = authorities("root", new)
    made = bytes.fromhex(signers.signer().sign(new.signed_bytes).signature)
    assert verify_signature(who, signers.key().keyid, made, new.signed_bytes) == signers.key()
    with pytest.raises(NotTrusted, match="does not hold over these bytes"):
        verify_signature(who, signers.key(number=1).keyid, made, new.signed_bytes)
    with pytest.raises(NotTrusted, match="does not hold over these bytes"):
        verify_signature(who, signers.key().keyid, made, new.signed_bytes + b" ")
    with pytest.raises(NotTrusted, match="does not hold over these bytes"):
        verify_signature(who, signers.key().keyid, b"", new.signed_bytes)
    with pytest.raises(NotTrusted, match="no document names key"):
        verify_signature(who, signers.key(number=2).keyid, made, new.signed_bytes)
    with pytest.raises(NotTrusted, match="no document names key"):
        verify_signature((), signers.key().keyid, made, new.signed_bytes)


def test_one_id_for_two_keys() -> None:
    """Without it a key exchanged unseen would pass: its signature counts under one root and not under the other."""
    old = root(1, signers.keys(1))
    other = signers.key(number=1).to_dict()
    new = changed(root(1, signers.keys(1), version=2), lambda s: s["keys"].update({signers.key().keyid: other}))
    made = signers.signer().sign(new.signed_bytes).signature
    with pytest.raises(NotTrusted):
        verify_signature(
            authorities("root", new, trusted=old), signers.key().keyid, bytes.fromhex(made), new.signed_bytes
        )
