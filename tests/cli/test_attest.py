"""`vestry attest`, as a person types it."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
from attesting import PIV, Maker, hsm_maker, issue, p256, piv_maker, with_tbs
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from holders import first_root, holder

from vestry.cli.main import main
from vestry.metadata.keys import Key


class Attest:
    """Runs the verb and reads what it prints."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.err = ""

    def __call__(self, *arguments: object, status: int = 0) -> str:
        found = main(["attest", *(str(a) for a in arguments)])
        out, self.err = self._capsys.readouterr()
        assert found == status, (arguments, out, self.err)
        assert "Traceback" not in self.err
        assert (out + self.err).isascii()
        assert all(line.isprintable() for line in (out + self.err).splitlines())
        return out

    def json(self, *arguments: object, status: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", status=status))


@pytest.fixture
def attest(capsys: pytest.CaptureFixture[str]) -> Attest:
    """The verb."""
    return Attest(capsys)


@pytest.fixture
def maker() -> Maker:
    """A maker of YubiKeys."""
    return piv_maker()


@pytest.fixture
def folder(tmp_path: Path, maker: Maker) -> Path:
    """One attested key with all that belongs to it, and the maker's root beside the folder."""
    made = tmp_path / "evidence"
    made.mkdir()
    leaf = maker.leaf()
    (made / "attestation.der").write_bytes(leaf.der)
    (made / "device.pem").write_bytes(b"the device's certificate\n" + maker.device.pem)
    (made / "pubkey.pem").write_bytes(pem(leaf.key))
    (tmp_path / "root.pem").write_bytes(maker.root.pem)
    return made


def pem(key: Any) -> bytes:
    """The public half in PEM."""
    return bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def by_code(entry: Any) -> list[str]:
    return [f["code"] for f in entry["findings"]]


def test_pypis_ceremony(attest: Attest, shared_data: Path) -> None:
    """The real evidence of 2020: six keys proved up to the maker, six that rest on somebody's word."""
    folder, anchors = shared_data / "pypi-2020-ceremony", shared_data / "trust-anchors"
    entries = attest.json(folder, "--anchors", anchors, status=1)
    proved = [e for e in entries if e["ok"]]
    assert [e["serial"] for e in proved] == [f"1320046{n}" for n in (0, 0, 1, 1, 2, 2)]
    for entry in proved:
        assert (entry["firmware"], entry["vendor"], by_code(entry)) == ("2.1.2", "Yubico", ["EUCLEAK"])
        assert entry["anchor"] == "Yubico YubiHSM Root CA"
        published = Path(entry["file"].replace("_attestation.der", "_pubkey.pem")).read_text()
        assert entry["keyid"] == Key.from_pem(published).keyid
    rest = [e for e in entries if not e["ok"]]
    assert len(rest) == 6
    assert all("DENK" in e["subject"] and by_code(e) == ["ATTEST-NONE"] for e in rest)
    attest(*(folder / s for s in ("0013200460", "0013200461", "0013200462")), "--anchors", anchors)
    assert not any(e["ok"] for e in attest.json(folder, status=1))


def test_what_a_person_reads(attest: Attest, folder: Path) -> None:
    """One block a key, in plain words."""
    out = attest(folder, "--anchors", folder.parent / "root.pem")
    for text in ("holds: ", "YubiKey: serial 12345678, firmware 5.7.1", "slot 9c", "cannot leave", "PIN once"):
        assert text in out
    unproved = attest(folder, status=1)
    assert "DOES NOT HOLD" in unproved
    assert "--anchors" in attest.err


def test_files_by_any_name_in_any_form(attest: Attest, tmp_path: Path) -> None:
    """Holders name files as they like, and tools put several certificates into one."""
    maker = hsm_maker()
    leaf = maker.leaf()
    heap = tmp_path / "heap"
    (heap / "deep" / "er").mkdir(parents=True)
    (heap / "a.txt").write_bytes(maker.between[0].pem + b"some words\r\n" + leaf.pem.replace(b"\n", b"\r\n"))
    (heap / "deep" / "er" / "b").write_bytes(maker.device.der)
    (heap / "copy.der").write_bytes(leaf.der)
    (heap / "photo.jpg").write_bytes(os.urandom(500))
    (heap / "empty").write_bytes(b"")
    (heap / "cut.pem").write_bytes(leaf.pem[:200])
    (heap / "odd.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n")
    (heap / "request.csr").write_bytes(
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"
    )
    (tmp_path / "anchor.der").write_bytes(maker.root.der)
    [entry] = attest.json(heap, "--anchors", tmp_path / "anchor.der")
    assert entry["serial"] == "7550123"
    for name in ("photo.jpg", "empty", "cut.pem", "odd.pem", "request.csr"):
        assert f"{name}: " in attest.err, "a file that was not understood must be named"
    assert attest.err.count("passed over") == 5


def test_several_proofs_in_one_file(attest: Attest, maker: Maker, tmp_path: Path) -> None:
    """One file for all holders: a verdict for each, not for the last."""
    (tmp_path / "all.pem").write_bytes(b"".join(c.pem for c in (maker.leaf(), maker.leaf(), maker.device, maker.root)))
    (tmp_path / "root.pem").write_bytes(maker.root.pem)
    assert len(attest.json(tmp_path / "all.pem", "--anchors", tmp_path / "root.pem")) == 2


def test_a_damaged_proof_does_not_vanish(attest: Attest, folder: Path, maker: Maker) -> None:
    """Of two holders' proofs one can't be read: that holder must show, and fail."""
    said = {e.oid.dotted_string: e.value.value for e in maker.leaf().certificate.extensions}
    leaf = issue("L", maker.device, extensions={**said, PIV + "99": said[PIV + "8"]})
    mark = bytes.fromhex("2b0601040182c40a03")
    double = with_tbs(leaf, mark + b"\x63", mark + b"\x08", maker.device)
    armoured = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(double) + b"-----END CERTIFICATE-----\n"
    for raw in (double, armoured):
        (folder / "zoe").write_bytes(raw)
        entries = attest.json(folder, "--anchors", folder.parent / "root.pem", status=1)
        assert [(e["ok"], by_code(e)) for e in entries][1] == (False, ["ATTEST-MALFORMED"])


def test_a_private_key_is_told_of(attest: Attest, folder: Path) -> None:
    """It is passed over, but never in silence."""
    form = (Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "oops.pem").write_bytes(p256().private_bytes(*form))
    attest(folder, "--anchors", folder.parent / "root.pem")
    assert "oops.pem: a private key" in attest.err


def test_an_unattested_key_fails(attest: Attest, folder: Path) -> None:
    """Of five holders' keys four are attested: the fifth must show, and fail."""
    (folder / "eve_pubkey.pem").write_bytes(pem(p256()))
    entries = attest.json(folder, "--anchors", folder.parent / "root.pem", status=1)
    assert [(e["ok"], by_code(e)) for e in entries] == [(True, ["ATTEST-ANCHOR"]), (False, ["ATTEST-NONE"])]
    assert entries[1]["subject"].endswith("eve_pubkey.pem")


def test_a_certificate_that_attests_nothing_fails(attest: Attest, folder: Path, maker: Maker) -> None:
    """The certificate of a slot handed in instead of its attestation must not vanish among good ones."""
    root = folder.parent / "root.pem"
    (folder / "slot9c.der").write_bytes(issue("CN of Bob", None).der)
    entries = attest.json(folder, "--anchors", root, status=1)
    assert by_code(entries[1]) == ["ATTEST-NONE"]
    # One for the very key that is attested adds nothing, and takes nothing away.
    leaf = maker.leaf()
    (folder / "attestation.der").write_bytes(leaf.der)
    (folder / "pubkey.pem").unlink()
    (folder / "slot9c.der").write_bytes(issue("CN of Ada", None, key=leaf.key).der)
    assert len(attest.json(folder, "--anchors", root)) == 1


def test_a_given_key(attest: Attest, folder: Path, maker: Maker) -> None:
    """The question is whether *this* key is in a device; an attestation of another must not answer it."""
    root = folder.parent / "root.pem"
    assert by_code(attest.json(folder, "--anchors", root, "--key", folder / "pubkey.pem")[0]) == ["ATTEST-ANCHOR"]
    mine = folder.parent / "mine.pem"
    key = p256()
    mine.write_bytes(pem(key))
    entries = attest.json(folder, "--anchors", root, "--key", mine, status=1)
    assert sorted(c for e in entries for c in by_code(e)) == ["ATTEST-ANCHOR", "ATTEST-KEY-DIFFERS", "ATTEST-NONE"]
    assert not any(e["ok"] for e in entries)
    # With an attestation for it, the other one is beside the point.
    (folder / "second.der").write_bytes(maker.leaf(key=key).der)
    entries = attest.json(folder, "--anchors", root, "--key", mine)
    assert sorted(c for e in entries for c in by_code(e) if c.startswith("ATTEST-KEY")) == ["ATTEST-KEY-OTHER"]


def test_the_keys_of_a_root(attest: Attest, folder: Path, maker: Maker, tmp_path: Path) -> None:
    """What clients trust is the root: each offline key in it must be attested, the online one cannot be."""
    people = [holder(name) for name in ("ada", "bob", "online")]
    made = tmp_path / "root.json"
    made.write_bytes(first_root(people[:2], 2, people[2]).raw)
    listed = {key["keyval"]["public"]: keyid for keyid, key in json.loads(made.read_bytes())["signed"]["keys"].items()}
    leaves = {}
    for person in people[:2]:
        leaves[person.name] = _certify(maker, person.write_pem(tmp_path))
    (folder / "attestation.der").write_bytes(leaves["ada"])
    entries = attest.json(folder, "--anchors", tmp_path / "root.pem", "--key", made, status=1)
    assert sorted(e["ok"] for e in entries) == [False, True]
    assert {e["keyid"] for e in entries} <= set(listed.values())
    (folder / "bob.der").write_bytes(leaves["bob"])
    entries = attest.json(folder, "--anchors", tmp_path / "root.pem", "--key", made)
    assert len(entries) == 2
    attest.json(folder, "--key", folder.parent / "evidence", status=2)


def _certify(maker: Maker, pem_file: Path) -> bytes:
    """An attestation for a public key whose private half is elsewhere."""
    from attesting import piv_extensions
    from cryptography import x509

    made = maker.leaf().certificate
    builder = x509.CertificateBuilder(
        made.issuer,
        made.subject,
        serialization.load_pem_public_key(pem_file.read_bytes()),  # type: ignore[arg-type]
        x509.random_serial_number(),
        made.not_valid_before_utc,
        made.not_valid_after_utc,
    )
    for oid, value in piv_extensions().items():
        builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), critical=False)
    return builder.sign(maker.device.key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_a_serial(attest: Attest, folder: Path) -> None:
    """The number on the device in hand, against the one in the proof."""
    root = folder.parent / "root.pem"
    attest(folder, "--anchors", root, "--serial", "12345678")
    assert "ATTEST-SERIAL-DIFFERS" in attest(folder, "--anchors", root, "--serial", "12345679", status=1)


def test_what_cannot_be_read(attest: Attest, folder: Path, tmp_path: Path) -> None:
    """Two is for input that cannot be read, one for a proof that fails: a script must be able to tell."""
    huge = tmp_path / "huge.der"
    with huge.open("wb") as file:
        file.truncate((1 << 20) + 1)
    link = tmp_path / "link.der"
    link.symlink_to(folder / "attestation.der")
    empty = tmp_path / "empty"
    empty.mkdir()
    for path in (tmp_path / "missing", huge, link, empty):
        error = attest.json(path, status=2)
        assert error["error"] == "InputRejected"
        assert path.name in error["where"]
    (tmp_path / "junk").write_bytes(b"junk")
    assert attest.json(tmp_path / "junk", status=2)["code"] == "E-ATTEST"
    assert "junk: neither a certificate nor a public key" in attest.err
    attest.json(folder, "--anchors", tmp_path / "missing", status=2)
    attest.json(folder, "--key", tmp_path / "missing", status=2)
    attest.json(folder, "--key", tmp_path / "junk", status=2)


def test_links_loops_and_huge_files_in_a_folder(attest: Attest, folder: Path) -> None:
    """A stick from someone else must not lead out of itself, nor round in circles, nor fill the memory."""
    (folder / "loop").symlink_to(folder)
    (folder / "out").symlink_to("/etc")
    (folder / "leaf.der").symlink_to(folder / "attestation.der")
    os.mkfifo(folder / "pipe")
    with (folder / "huge.der").open("wb") as file:
        file.truncate(1 << 40)
    entries = attest.json(folder, "--anchors", folder.parent / "root.pem")
    assert len(entries) == 1
    for name, why in (("loop", "regular"), ("out", "regular"), ("pipe", "regular"), ("huge.der", "bytes")):
        assert any(name in line and why in line for line in attest.err.splitlines())


def test_a_pem_without_ends_takes_no_time(attest: Attest, tmp_path: Path) -> None:
    """A megabyte of beginnings must not be searched to its end once for each of them."""
    (tmp_path / "x.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\n" * 37_000)
    attest.json(tmp_path / "x.pem", status=2)
    (tmp_path / "x.pem").write_bytes(b"".join(b"-----BEGIN A%d-----\n" % n for n in range(40_000)))
    attest.json(tmp_path / "x.pem", status=2)


def test_hostile_names_and_text(attest: Attest, tmp_path: Path, maker: Maker) -> None:
    """File names and subjects come from the stick as well; the checks on output are in the fixture."""
    evil = tmp_path / "\x1b[31mevil\u202e.der"
    evil.write_bytes(maker.leaf(subject="\x1b]0;x\x07\u202e").der)
    for options in ((), ("--json",)):
        assert "\\u{1b}" in attest(evil, *options, status=1).replace("\\\\", "\\")
