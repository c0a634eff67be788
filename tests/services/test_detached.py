"""go-tuf's exchange: the payload goes out alone, signatures come back alone."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest
from holders import Holder, first_root, holder, next_root
from services.conftest import Run, sign

from vestry.media.bundle import create, open_bundle
from vestry.metadata.document import Document


@pytest.fixture
def root(team: list[Holder]) -> Document:
    return first_root(team, 2, holder("online"))


@pytest.fixture
def bundle(tmp_path: Path, root: Document) -> Path:
    return create(tmp_path / "bundle", role="root", unsigned=root.raw).path


def test_the_payload_is_the_bytes_that_get_signed(tmp_path: Path, bundle: Path, root: Document, run: Run) -> None:
    assert run("export", bundle, tmp_path / "out", "--as", "go-tuf")[0] == 0
    payload = (tmp_path / "out" / "root.json.payload").read_bytes()
    assert hashlib.sha256(payload).hexdigest() == root.digest
    # And back: a payload makes the same document, for whoever has nothing else.
    assert run("import", tmp_path / "out" / "root.json.payload", tmp_path / "again")[0] == 0
    assert open_bundle(tmp_path / "again").document.digest == root.digest


@pytest.mark.parametrize("form", ["json", "hex", "base64", "base64 in lines", "upper-case hex"])
def test_signatures_come_back_in_every_form(
    tmp_path: Path, bundle: Path, root: Document, team: list[Holder], run: Run, form: str
) -> None:
    """A bare signature does not say whose it is; the keys that may sign are asked."""
    sig = team[1].sign(root)
    text = {
        "json": json.dumps([{"keyid": sig.keyid, "sig": sig.sig}]),
        "hex": sig.sig + "\n",
        "upper-case hex": sig.sig.upper(),
        "base64 in lines": base64.encodebytes(bytes.fromhex(sig.sig)).decode(),
        "base64": base64.b64encode(bytes.fromhex(sig.sig)).decode(),
    }[form]
    (tmp_path / "sig").write_text(text)
    status, out, err = run("collect", bundle, tmp_path / "sig")
    assert status == 0, err
    assert f"added      {team[1].key.keyid}" in out
    assert [s.keyid for s in open_bundle(bundle).signed_document().signatures] == [team[1].key.keyid]


def test_a_list_written_here_is_read_here(
    tmp_path: Path, bundle: Path, root: Document, team: list[Holder], run: Run
) -> None:
    sign(bundle, team[:2])
    assert run("export", bundle, tmp_path / "out", "--as", "go-tuf")[0] == 0
    other = create(tmp_path / "other", role="root", unsigned=root.raw).path
    assert run("collect", other, tmp_path / "out" / "root.json.signatures")[0] == 0
    assert len(open_bundle(other).signed_document().signatures) == 2


@pytest.mark.parametrize(
    ("text", "status", "says"),
    [
        ("[]", 0, ""),
        ("[1]", 2, "not a signature"),
        ('[{"keyid": "a", "sig": "xyz"}]', 2, "not a signature"),
        ('[{"keyid": "a", "sig": "00", "more": 1}]', 2, "not a signature"),
        ("30450221", 2, "no key that may sign"),
        ("hello, world", 2, "neither a list"),
        ("", 2, "neither a list"),
    ],
)
def test_what_is_no_signature_is_said(
    tmp_path: Path, bundle: Path, run: Run, text: str, status: int, says: str
) -> None:
    (tmp_path / "sig").write_text(text)
    found = run("collect", bundle, tmp_path / "sig")
    assert (found[0], says in found[2]) == (status, True), found


def test_a_signature_over_other_bytes_is_set_aside(
    tmp_path: Path, bundle: Path, root: Document, team: list[Holder], run: Run
) -> None:
    other = next_root(root, team, 2)
    sig = team[0].sign(other)
    (tmp_path / "sig").write_text(json.dumps([{"keyid": sig.keyid, "sig": sig.sig}]))
    status, out, _ = run("collect", bundle, tmp_path / "sig")
    assert (status, "set aside" in out) == (1, True)


def test_a_payload_that_is_not_canonical_is_refused(tmp_path: Path, root: Document, run: Run) -> None:
    """Signatures are over exactly the payload's bytes: what was written in another way has none."""
    (tmp_path / "root.json.payload").write_bytes(root.signed_bytes.replace(b'"version":1', b'"version": 1'))
    status, _, err = run("import", tmp_path / "root.json.payload", tmp_path / "b")
    assert (status, "not canonical JSON" in err) == (2, True)


def test_a_later_root_needs_the_one_before(tmp_path: Path, root: Document, team: list[Holder], run: Run) -> None:
    after = next_root(root.with_signatures([h.sign(root) for h in team]), team[:2], 2)
    (tmp_path / "root.json.payload").write_bytes(after.signed_bytes)
    status, _, err = run("import", tmp_path / "root.json.payload", tmp_path / "b")
    assert (status, "--delegator" in err) == (2, True)
    (tmp_path / "1.root.json").write_bytes(root.with_signatures([h.sign(root) for h in team]).raw)
    args = ("import", tmp_path / "root.json.payload", tmp_path / "b", "--delegator", tmp_path / "1.root.json")
    assert run(*args)[0] == 0
    assert open_bundle(tmp_path / "b").document.version == 2
