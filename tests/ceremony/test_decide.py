"""What the gate refuses: each case takes a real ceremony up to an event and proposes another in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from people import People

from vestry.ceremony import conductor, rehearsal, transcript
from vestry.ceremony import events as e
from vestry.ceremony.decide import decide
from vestry.ceremony.state import State, evolve
from vestry.errors import NotTrusted, Refused
from vestry.metadata.keys import Key

Records = Sequence[e.Recorded]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Records:
    folder = tmp_path_factory.mktemp("r") / "r"
    script, inputs = rehearsal.prepare(folder, holders=3, threshold=2)
    conductor.conduct(script, inputs, folder, People())
    return transcript.read(folder / "transcript.jsonl")


def before(records: Records, kind: type, nth: int = 0) -> tuple[State, Any, str]:
    """The state just before the `nth` event of `kind`, that event, and its time."""
    state: State | None = None
    for recorded in records:
        if isinstance(recorded.event, kind):
            if nth == 0:
                assert state is not None
                return state, recorded.event, recorded.at
            nth -= 1
        state = evolve(state, recorded)
    raise AssertionError(f"no {kind.__name__}")


def test_every_event_of_a_real_ceremony_is_admitted(records: Records) -> None:
    """The gate must let through what happened."""
    state: State | None = None
    for recorded in records:
        assert decide(state, recorded.event, at=recorded.at) == (recorded.event,)
        state = evolve(state, recorded)


def stranger_signature(state: State, event: e.SignatureAdded) -> e.SignatureAdded:
    private = ec.generate_private_key(ec.SECP256R1())
    key = Key.from_spki(_spki(private), "ecdsa-sha2-nistp256")
    sig = private.sign(state.documents[event.role].signed_bytes, ec.ECDSA(hashes.SHA256()))
    return replace(event, keyid=key.keyid, sig=sig.hex())


def _spki(private: ec.EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization as ser

    return private.public_key().public_bytes(ser.Encoding.DER, ser.PublicFormat.SubjectPublicKeyInfo)


def test_signature_of_a_key_that_the_document_does_not_name(records: Records) -> None:
    """Else anybody's signature could be counted."""
    state, event, at = before(records, e.SignatureAdded)
    with pytest.raises((Refused, NotTrusted)):
        decide(state, stranger_signature(state, event), at=at)


def test_signature_of_a_strangers_key_under_a_named_id(records: Records) -> None:
    """Else the name of a key would be enough."""
    state, event, at = before(records, e.SignatureAdded)
    with pytest.raises(NotTrusted):
        decide(state, replace(stranger_signature(state, event), keyid=event.keyid), at=at)


def test_signature_over_other_bytes(records: Records) -> None:
    """A signature of root is none on targets, even by the right key."""
    state, event, at = before(records, e.SignatureAdded)
    other = next(r.event for r in records if isinstance(r.event, e.SignatureAdded) and r.event.role == "targets")
    with pytest.raises((NotTrusted, Refused)):
        decide(state, replace(event, sig=other.sig), at=at)
    with pytest.raises(NotTrusted):
        decide(state, replace(event, sig=event.sig[:-2] + ("00" if event.sig[-2:] != "00" else "01")), at=at)


def test_signature_by_another_token_than_confirmed(records: Records) -> None:
    """The intent names the token by serial; a look-alike is refused before it signs."""
    state, event, at = before(records, e.SignatureIntended)
    with pytest.raises(Refused, match="serial"):
        decide(state, replace(event, serial="9999999999"), at=at)


@pytest.mark.parametrize("words", [{}, {"1": "wrong"}, {"1": "wrong", "2": "words"}, {"0": "x", "99": "y"}])
def test_signature_without_the_right_words(records: Records, words: dict[str, str]) -> None:
    """Nobody read the digest, so nobody may sign."""
    state, event, at = before(records, e.SignatureIntended)
    with pytest.raises(Refused, match="words"):
        decide(state, replace(event, words=words), at=at)


def test_nothing_is_signed_unread(records: Records) -> None:
    """Signing stays shut until the review of those very bytes was read."""
    state, event, at = before(records, e.SignatureIntended)
    with pytest.raises(Refused):
        decide(replace(state, read={}), event, at=at)
    with pytest.raises(Refused):
        decide(state, replace(event, digest="00" * 32), at=at)


def test_result_without_intent_and_intent_upon_intent(records: Records) -> None:
    """An action without its intent would leave no trace of a crash in between."""
    state, event, at = before(records, e.SignatureIntended)
    result = next(r.event for r in records if isinstance(r.event, e.SignatureAdded))
    with pytest.raises(Refused, match="no intent"):
        decide(state, result, at=at)
    state, result, at = before(records, e.SignatureAdded)
    with pytest.raises(Refused, match="not known yet"):
        decide(state, event, at=at)


def test_a_key_is_never_made_twice(records: Records) -> None:
    """A second key under one name would leave one of them unrecorded on a token."""
    state, _, at = before(records, e.GenerateIntended, nth=1)
    first = next(r.event for r in records if isinstance(r.event, e.GenerateIntended))
    with pytest.raises(Refused, match="made already"):
        decide(state, first, at=at)


def test_key_read_back_must_be_proved_and_stay_inside(records: Records) -> None:
    """A token that shows a key it doesn't hold, or one that can leave it, gives a worthless root key."""
    state, event, at = before(records, e.KeyGenerated)
    with pytest.raises(Refused, match="prove"):
        decide(state, replace(event, challenge="00" * 32), at=at)
    with pytest.raises(Refused, match="leave"):
        decide(state, replace(event, facts={**event.facts, "extractable": "yes"}), at=at)
    with pytest.raises(Refused, match="key id"):
        decide(state, replace(event, keyid="00" * 32), at=at)
    state, later, at = before(records, e.KeyGenerated, nth=1)
    with pytest.raises(Refused, match="same key"):
        decide(state, replace(event, intent=later.intent, key=later.key), at=at)


def test_draft_with_other_bytes(records: Records) -> None:
    """The draft follows from script and keys; any other bytes are somebody's."""
    state, event, at = before(records, e.Drafted)
    with pytest.raises(Refused, match="other bytes"):
        decide(state, replace(event, sha256="00" * 32), at=at)


def test_order_is_the_scripts(records: Records) -> None:
    """What is not the script's next step can't happen."""
    state, event, at = before(records, e.Gathered)
    later = [r.event for r in records if isinstance(r.event, (e.Drafted, e.Verified, e.Exported, e.SealOpened))]
    for proposal in later:
        with pytest.raises(Refused):
            decide(state, proposal, at=at)
    with pytest.raises(Refused, match="not here"):
        decide(state, replace(event, people=("Olivia",)), at=at)


def test_destroyed_means_no_longer_listed(records: Records) -> None:
    """A key said to be destroyed while its token lists it is not."""
    state, event, at = before(records, e.KeyDestroyed)
    with pytest.raises(Refused, match="still lists"):
        decide(state, replace(event, left=(event.keyid,)), at=at)


def test_seal_of_another_statement(records: Records) -> None:
    """A seal counts for what its signer signed, and for nothing else."""
    state, event, at = before(records, e.Sealed)
    with pytest.raises((Refused, NotTrusted)):
        decide(state, replace(event, agree=not event.agree, reason="no"), at=at)
    with pytest.raises(NotTrusted):
        decide(state, replace(event, reason="added later"), at=at)


def test_reviews_answers_and_findings_are_checked(records: Records) -> None:
    """A review recorded with other findings than it showed was not that review."""
    state, event, at = before(records, e.ReviewRead)
    with pytest.raises(Refused):
        decide(state, replace(event, findings=(*event.findings, "MADE-UP root")), at=at)
    with pytest.raises(Refused):
        decide(state, replace(event, changes=event.changes + 1), at=at)


@settings(max_examples=25)
@given(cut=st.integers(min_value=1, max_value=200))
def test_the_fold_is_deterministic(records: Records, cut: int) -> None:
    """Two folds of the same events that differ would let screen, resume and audit disagree."""
    part = records[: max(1, cut % len(records))]
    first: State | None = None
    second: State | None = None
    for recorded in part:
        first = evolve(first, recorded)
    for recorded in part:
        second = evolve(second, recorded)
    assert first == second
