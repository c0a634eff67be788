"""``review`` and ``verify`` on in-toto layouts and on old formats, from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from holders import holder
from in_toto.exceptions import SignatureVerificationError
from in_toto.models.layout import Layout
from in_toto.models.metadata import Envelope, Metablock, Metadata
from in_toto.verifylib import verify_metadata_signatures

from vestry.cli.dispatch import main
from vestry.media import bundle
from vestry.metadata import layout
from vestry.tokens.software import SoftwareSource

PEOPLE = [holder(name) for name in ("Ann", "Ben")]


def layout_file(path: Path, *signers: Any, threshold: int = 2) -> Path:
    keys = {p.key.keyid: p.key.to_dict() for p in PEOPLE}
    closed = [["DISALLOW", "*"]]
    rules = {"expected_materials": closed, "expected_products": closed}
    build = {"name": "build", "threshold": threshold, "pubkeys": list(keys), "expected_command": ["make"], **rules}
    value = {"_type": "layout", "expires": "2099-01-01T00:00:00Z", "keys": keys, "steps": [build], "inspect": []}
    file = {"signed": value, "signatures": []}
    unsigned = layout.read(json.dumps(file).encode(), where="test")
    file["signatures"] = [{"keyid": s.keyid, "sig": s.sig} for s in (p.sign(unsigned) for p in signers)]
    path.write_text(json.dumps(file))
    return path


def theirs_unsigned() -> Any:
    """A layout as in-toto's own library has it."""
    parts: dict[str, Any] = {"keys": {}, "steps": [], "inspect": [], "readme": ""}
    return Layout.read({"_type": "layout", "expires": "2099-01-01T00:00:00Z", **parts})


def given(folder: Path) -> list[str]:
    return [arg for p in PEOPLE for arg in ("--key", f"{p.name}={p.write_pem(folder)}")]


def test_a_layout_is_verified_with_the_keys_that_were_brought(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A layout that too few signed, or that nobody was asked about, would hold."""
    both, one = layout_file(tmp_path / "both.layout", *PEOPLE), layout_file(tmp_path / "one.layout", PEOPLE[0])
    keys = given(tmp_path)
    assert main(["verify", str(both), *keys]) == 0
    assert "signed by 2 of 2 of the keys given" in capsys.readouterr().out
    assert main(["verify", str(one), *keys]) == 1
    assert main(["verify", str(one), *keys, "--threshold", "1"]) == 0
    capsys.readouterr()
    assert main(["verify", str(both)]) == 1
    assert "give the keys, --key NAME=PEM" in capsys.readouterr().out
    assert main(["verify", str(one), *keys, "--threshold", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["thresholds"][0]["met"] is True


def test_two_layouts_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Signers would not see that one person is enough now."""
    old = layout_file(tmp_path / "old.layout", *PEOPLE)
    new = layout_file(tmp_path / "new.layout", PEOPLE[1], threshold=1)
    assert main(["review", str(old), str(new), *given(tmp_path), "--plain"]) == 0
    shown = capsys.readouterr().out
    assert "Review of layout against the earlier one" in shown
    assert "Step build: threshold falls from 2 to 1" in shown
    assert "(Ben)" in shown
    assert "1 of 2 of the keys given: 1 more needed" in shown


@pytest.mark.parametrize("enveloped", [False, True])
def test_a_layout_is_staged_signed_and_exported_like_a_role(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], enveloped: bool
) -> None:
    """Else a layout could only be signed where people meet. in-toto's own library judges what comes out."""
    team = [holder(name) for name in ("Ann", "Ben", "Cas")]
    made: Any = Envelope.from_signable(theirs_unsigned()) if enveloped else Metablock(signed=theirs_unsigned())
    made.dump(str(tmp_path / "in.layout"))
    keys = [arg for p in team for arg in ("--key", f"{p.name}={p.write_pem(tmp_path)}")]
    words = ["stage", "layout", str(tmp_path / "in.layout"), *keys, "--threshold", "2", "--into"]
    assert main([*words, str(tmp_path / "b")]) == 0
    assert "to sign: 2 of the 3 keys of the keys given" in capsys.readouterr().out
    opened = bundle.open_bundle(tmp_path / "b")
    empty = SoftwareSource(tmp_path / "tokens")
    empty.create("0000000001")
    empty.close()
    assert main(["sign", str(tmp_path / "b"), "--software", str(tmp_path / "tokens"), "--keep-network"]) == 3
    assert "vestry: layout: no token here" in capsys.readouterr().err  # it has no version to be called by
    bundle.add_signature(opened, team[0].sign(opened.document))
    assert main(["verify", str(tmp_path / "b")]) == 1
    assert main(["export", str(tmp_path / "b"), str(tmp_path / "early"), "--signed"]) == 1
    bundle.add_signature(bundle.open_bundle(tmp_path / "b"), team[2].sign(opened.document))
    assert main(["export", str(tmp_path / "b"), str(tmp_path / "copy")]) == 0
    assert main(["review", str(tmp_path / "copy"), "--plain"]) == 0
    assert main(["verify", str(tmp_path / "copy")]) == 0
    assert main(["export", str(tmp_path / "copy"), str(tmp_path / "out"), "--signed"]) == 0
    assert main(["export", str(tmp_path / "copy"), str(tmp_path / "x"), "--as", "go-tuf"]) == 2
    signed: Any = Metadata.load(str(tmp_path / "out" / "root.layout"))
    theirs = {p.key.keyid: {"keyid": p.key.keyid, **p.key.to_dict()} for p in team}
    unsigned_by = theirs.pop(team[1].key.keyid)
    verify_metadata_signatures(signed, theirs)
    with pytest.raises(SignatureVerificationError):
        verify_metadata_signatures(signed, {unsigned_by["keyid"]: unsigned_by})


@pytest.mark.parametrize(
    "spoil",
    [
        {"threshold": 4},
        {"threshold": True},
        {"keys": {}},
        {"keys": {"0" * 64: {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "zz"}}}},
        {"more": 1},
    ],
)
def test_signers_that_can_not_be_are_refused(tmp_path: Path, spoil: dict[str, Any]) -> None:
    """A bundle that names no signers, or fewer keys than must sign, would be met by nobody or by anybody."""
    Metablock(signed=theirs_unsigned()).dump(str(tmp_path / "in.layout"))
    assert (
        main(
            [
                "stage",
                "layout",
                str(tmp_path / "in.layout"),
                *given(tmp_path),
                "--into",
                str(tmp_path / "b"),
            ]
        )
        == 0
    )
    path = tmp_path / "b" / "bundle.json"
    said = json.loads(path.read_bytes())
    said["signers"] |= spoil
    path.write_text(json.dumps(said))
    assert main(["verify", str(tmp_path / "b")]) == 2


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--threshold", "3"], "--threshold"),
        (["--key", "Ann=nowhere.pem"], "--key"),
        (["--key", "again={again}"], "one key is given under two names"),
    ],
)
def test_keys_that_make_no_sense(tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], why: str) -> None:
    """A slip in the line would verify something else than was meant."""
    file = layout_file(tmp_path / "a.layout", *PEOPLE)
    keys = given(tmp_path)
    again = [m.format(again=tmp_path / "Ann.pem") for m in more]
    assert main(["verify", str(file), *keys, *again]) == 2
    assert why in capsys.readouterr().err


def test_old_formats_open_in_review_and_verify(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Auditors could not look at what go-tuf wrote, or would give keys for it and believe that these counted."""
    root = shared_data / "vectors/go-tuf/internal/testutils/repository_data/repository/metadata/1.root.json"
    for verb in ("review", "verify"):
        assert main([verb, str(root)]) == 1
        assert "a fraction of a second" in " ".join(capsys.readouterr().out.split())
        assert main([verb, str(root), *given(tmp_path)]) == 2
        assert "--key" in capsys.readouterr().err
