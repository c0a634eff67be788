"""Bundles: what travels, comes back, is gathered, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from holders import Holder, first_root, holder, next_root, signed

from vestry.errors import InputRejected, NotTrusted, Refused, VestryError
from vestry.media import arrivals, bundle, drives
from vestry.media.bundle import Bundle
from vestry.metadata.document import Document, Signature


@pytest.fixture(scope="module")
def people() -> list[Holder]:
    """Five holders."""
    return [holder(name) for name in ("ada", "bob", "cleo", "dan", "eve")]


@pytest.fixture(scope="module")
def root(people: list[Holder]) -> Document:
    """An unsigned root v1, 3 of 5."""
    return first_root(people, 3, holder("online"))


@pytest.fixture
def made(tmp_path: Path, root: Document, people: list[Holder]) -> Bundle:
    """A bundle of that root."""
    names = {h.key.keyid: h.name for h in people}
    return bundle.create(tmp_path / "bundle", role="root", unsigned=root.raw, holders=names)


@pytest.fixture
def rotation(tmp_path: Path, root: Document, people: list[Holder]) -> Bundle:
    """A bundle of root v2, with the signed v1 that it follows."""
    before = signed(root, people[:3])
    after = next_root(before, people[1:], 2)
    return bundle.create(tmp_path / "rotation", role="root", unsigned=after.raw, trusted=before.raw)


def copy(of: Bundle, name: str) -> Bundle:
    """The bundle as a holder has it."""
    shutil.copytree(of.path, of.path.with_name(name))
    return bundle.open_bundle(of.path.with_name(name))


def test_a_bundle_reads_back(made: Bundle, root: Document, people: list[Holder]) -> None:
    """The document, byte for byte, is what it carries."""
    assert made.document.raw == root.raw
    assert made.trusted is None
    assert made.holders[people[0].key.keyid] == "ada"
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=made.path, capture_output=True, check=False)
    assert checked.returncode == 0


def test_names_of_holders_stay_out_of_the_signed_document(made: Bundle, people: list[Holder]) -> None:
    """The document is published for ever; who holds a key is for the ceremony."""
    for person in people:
        assert f'"{person.name}"'.encode() not in made.document.raw


def test_signatures_add_up_to_the_threshold(made: Bundle, people: list[Holder]) -> None:
    """Three of five, each verified before it is written."""
    for person in people[:3]:
        made = bundle.add_signature(made, person.sign(made.document))
    again = bundle.open_bundle(made.path)
    assert [t.met for t in again.tallies()] == [True]
    assert len(again.signed_document().signatures) == 3
    assert again.signed_document().signed_bytes == made.document.signed_bytes
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=made.path, capture_output=True, check=False)
    assert checked.returncode == 0


def test_a_rotation_asks_both_roots(rotation: Bundle, people: list[Holder]) -> None:
    """The old root's holders and the new one's must both have signed."""
    assert len(rotation.authorities()) == 2
    for person in people[:3]:
        rotation = bundle.add_signature(rotation, person.sign(rotation.document))
    assert all(t.met for t in rotation.tallies())


def test_a_signature_goes_into_a_bundle_that_is_laid_out_otherwise(made: Bundle, people: list[Holder]) -> None:
    """The same JSON on one line, by another program: the sums must still fit after a signature was added."""
    path = made.path / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text())))
    resum(made)
    bundle.add_signature(bundle.open_bundle(made.path), people[0].sign(made.document))
    assert len(bundle.open_bundle(made.path).signed_document().signatures) == 1


def test_an_unknown_key_is_refused_before_anything_is_written(made: Bundle) -> None:
    """A signature of someone who is not asked must not be mistaken for progress."""
    before = sorted(made.path.rglob("*"))
    with pytest.raises(NotTrusted, match="no document names this key"):
        bundle.add_signature(made, holder("mallory").sign(made.document))
    assert sorted(made.path.rglob("*")) == before


def test_other_bytes_are_refused_before_anything_is_written(
    made: Bundle, rotation: Bundle, people: list[Holder]
) -> None:
    """A signature over another document proves nothing about this one."""
    before = sorted(made.path.rglob("*"))
    with pytest.raises(NotTrusted, match="does not verify"):
        bundle.add_signature(made, people[0].sign(rotation.document))
    assert sorted(made.path.rglob("*")) == before


def test_signing_twice_keeps_the_first(made: Bundle, people: list[Holder]) -> None:
    """ECDSA signatures differ each time; one that verifies is not replaced for nothing."""
    once = bundle.add_signature(made, people[0].sign(made.document))
    assert bundle.add_signature(once, people[0].sign(made.document)).signatures == once.signatures


def test_a_bad_signature_in_the_folder_gives_way_to_a_good_one(made: Bundle, people: list[Holder]) -> None:
    """A damaged file must not keep its holder from signing again."""
    wrong = Signature(people[0].key.keyid, "00" * 70)
    path = made.path / "signatures" / f"{wrong.keyid}.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"keyid": wrong.keyid, "sig": wrong.sig}))
    damaged = bundle.open_bundle(made.path)
    assert damaged.signed_document().signatures == ()
    good = people[0].sign(made.document)
    assert bundle.add_signature(damaged, good).signed_document().signatures == (good,)


def test_collecting_is_the_same_in_any_order_and_any_number_of_times(made: Bundle, people: list[Holder]) -> None:
    """Sticks come back when they come back."""
    returned = []
    for person in people:
        other = copy(made, f"from-{person.name}")
        returned.append(bundle.add_signature(other, person.sign(other.document)))
    results = []
    for seed in range(4):
        target = copy(made, f"gather-{seed}")
        order = random.Random(seed).choices(returned, k=6) + returned
        random.Random(seed).shuffle(order)
        target = bundle.collect(target, order).bundle
        results.append(dict(target.contents()))
    assert all(r == results[0] for r in results)
    assert len(bundle.open_bundle(target.path).signed_document().signatures) == 5


def test_copying_files_together_by_hand_is_collecting(made: Bundle, people: list[Holder]) -> None:
    """The design's promise: whichever SHA256SUMS ends up there, the bundle still opens."""
    returned = []
    for person in people[:3]:
        other = copy(made, f"from-{person.name}")
        returned.append(bundle.add_signature(other, person.sign(other.document)))
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2, 1, 1)):
        for i in order:
            shutil.copytree(returned[i].path, made.path, dirs_exist_ok=True)
        assert len(bundle.open_bundle(made.path).signed_document().signatures) == 3


def test_what_does_not_verify_is_set_aside_and_reported(made: Bundle, people: list[Holder]) -> None:
    """One bad stick must not stop the others, nor go unnoticed."""
    other = copy(made, "mixed")
    mallory = holder("mallory").sign(made.document)
    (other.path / "signatures").mkdir()
    for s in (mallory, Signature(people[1].key.keyid, "00"), people[0].sign(made.document)):
        (other.path / "signatures" / f"{s.keyid}.json").write_text(json.dumps({"keyid": s.keyid, "sig": s.sig}))
    result = bundle.collect(made, [bundle.open_bundle(other.path)])
    assert result.added == (people[0].key.keyid,)
    assert {(a.keyid, a.why.split()[0]) for a in result.set_aside} == {
        (mallory.keyid, "no"),
        (people[1].key.keyid, "the"),
    }
    assert len(bundle.open_bundle(made.path).signatures) == 1


def test_a_bundle_of_another_document_is_not_collected(made: Bundle, rotation: Bundle) -> None:
    """Its signatures are over other bytes; someone took the wrong stick."""
    with pytest.raises(InputRejected, match="another digest"):
        bundle.collect(made, [rotation])


def test_signatures_in_a_plain_folder(made: Bundle, people: list[Holder]) -> None:
    """Some holders send back one file, not a bundle."""
    other = bundle.add_signature(copy(made, "other"), people[0].sign(made.document))
    made_elsewhere = other.signatures[0]
    assert arrivals.signatures_in(other.path) == (made_elsewhere,)
    assert arrivals.signatures_in(other.path / "signatures") == (made_elsewhere,)
    with pytest.raises(InputRejected):
        arrivals.signatures_in(other.path / "unsigned")


def test_an_export_is_a_bundle(made: Bundle, people: list[Holder], tmp_path: Path) -> None:
    """What is carried away must open where it arrives."""
    made = bundle.add_signature(made, people[0].sign(made.document))
    drives.export(made.contents(), tmp_path / "drive")
    assert bundle.open_bundle(tmp_path / "drive").contents() == made.contents()


def test_a_folder_that_is_used_is_left_alone(tmp_path: Path, root: Document) -> None:
    """A mistyped --into must not fill someone's folder."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(Refused, match="something is there"):
        bundle.create(tmp_path, role="root", unsigned=root.raw)


def test_an_unfinished_write_is_passed_over(made: Bundle) -> None:
    """After a crash in the middle of a write the bundle must open again."""
    (made.path / "~SHA256SUMS.part").write_text("half")
    assert bundle.open_bundle(made.path) == made


def edit(made: Bundle, **fields: Any) -> None:
    """Change bundle.json, and SHA256SUMS with it, as an attacker would."""
    path = made.path / "bundle.json"
    value = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({k: v for k, v in value.items() if v is not ...}))
    resum(made)


def resum(made: Bundle) -> None:
    """A SHA256SUMS that fits the files."""
    files = {p.relative_to(made.path).as_posix(): p.read_bytes() for p in made.path.rglob("*") if p.is_file()}
    (made.path / "SHA256SUMS").write_bytes(drives.sums(files))


def swap_document(made: Bundle, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the unsigned document, lengths and digests of files with it."""
    path = made.path / "unsigned" / "root.json"
    value = json.loads(path.read_text())
    change(value)
    raw = json.dumps(value).encode()
    path.write_bytes(raw)
    edit(made, files={"unsigned/root.json": {"length": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}})


def signature_file(made: Bundle, name: str, content: str) -> None:
    """A file in signatures/."""
    (made.path / "signatures").mkdir(exist_ok=True)
    (made.path / "signatures" / name).write_text(content)


ID = "ab" * 32
HOSTILE: dict[str, Callable[[Bundle], object]] = {
    "nothing": lambda m: shutil.rmtree(m.path),
    "a file": lambda m: (shutil.rmtree(m.path), m.path.write_text("x")),
    "empty": lambda m: (shutil.rmtree(m.path), m.path.mkdir()),
    "no description": lambda m: (m.path / "bundle.json").unlink(),
    "no sums": lambda m: (m.path / "SHA256SUMS").unlink(),
    "no document": lambda m: (m.path / "unsigned" / "root.json").unlink(),
    "not JSON": lambda m: (m.path / "bundle.json").write_text("hello"),
    "not UTF-8": lambda m: (m.path / "bundle.json").write_bytes(b"\xff\xfe"),
    "duplicate key": lambda m: (m.path / "bundle.json").write_text('{"role": "root", "role": "targets"}'),
    "deep": lambda m: (m.path / "bundle.json").write_text("[" * 100_000),
    "huge description": lambda m: (m.path / "bundle.json").write_bytes(b" " * (2 << 20)),
    "a list": lambda m: (m.path / "bundle.json").write_text("[]"),
    "another format": lambda m: edit(m, format="vestry-bundle-9"),
    "missing field": lambda m: edit(m, digest=...),
    "extra field": lambda m: edit(m, note="hello"),
    "role is a number": lambda m: edit(m, role=1),
    "role is another": lambda m: edit(m, role="targets"),
    "role with escapes": lambda m: edit(m, role="\x1b[2Jroot"),
    "version is true": lambda m: edit(m, version=True),
    "version is another": lambda m: edit(m, version=7),
    "digest is another": lambda m: edit(m, digest="00" * 32),
    "digest is no digest": lambda m: edit(m, digest="../../x"),
    "path upward": lambda m: edit(m, files={"../../etc/passwd": {"length": 1, "sha256": ID}}),
    "path upward within": lambda m: edit(m, files={"unsigned/../../x": {"length": 1, "sha256": ID}}),
    "absolute path": lambda m: edit(m, files={"/etc/passwd": {"length": 1, "sha256": ID}}),
    "no files": lambda m: edit(m, files={}),
    "length is negative": lambda m: edit(m, files={"unsigned/root.json": {"length": -1, "sha256": ID}}),
    "length is another": lambda m: edit(m, files={"unsigned/root.json": {"length": 5, "sha256": ID}}),
    "file digest is another": lambda m: edit(
        m, files={"unsigned/root.json": {"length": len(m.document.raw), "sha256": ID}}
    ),
    "holders is a list": lambda m: edit(m, holders=[]),
    "holder is a number": lambda m: edit(m, holders={ID: 1}),
    "holder of no key": lambda m: edit(m, holders={"x": "ada"}),
    "document truncated": lambda m: os.truncate(m.path / "unsigned" / "root.json", 100),
    "document grown": lambda m: (m.path / "unsigned" / "root.json").write_bytes(m.document.raw + b" "),
    "document with signatures": lambda m: swap_document(m, lambda d: d.update(signatures=[{"keyid": ID, "sig": "00"}])),
    "document without its part": lambda m: swap_document(m, lambda d: d.pop("signed")),
    "document of another type": lambda m: swap_document(m, lambda d: d["signed"].update(_type="mirrors")),
    "root v3 from nowhere": lambda m: swap_document(m, lambda d: d["signed"].update(version=3)),
    "document is a link": lambda m: (
        (m.path / "unsigned" / "root.json").rename(m.path.with_name("elsewhere")),
        (m.path / "unsigned" / "root.json").symlink_to(m.path.with_name("elsewhere")),
    ),
    "folder is a link": lambda m: (
        (m.path / "unsigned").rename(m.path.with_name("elsewhere")),
        (m.path / "unsigned").symlink_to(m.path.with_name("elsewhere")),
    ),
    "a pipe": lambda m: ((m.path / "SHA256SUMS").unlink(), os.mkfifo(m.path / "SHA256SUMS")),
    "a pipe for a signature": lambda m: ((m.path / "signatures").mkdir(), os.mkfifo(m.path / f"signatures/{ID}.json")),
    "extra file": lambda m: (m.path / "autorun.inf").write_text("x"),
    "extra hidden file": lambda m: (m.path / ".hidden").write_text("x"),
    "a link named like an unfinished file": lambda m: (m.path / "~x.part").symlink_to("/etc"),
    "a folder named like an unfinished file": lambda m: (m.path / "~x.part").mkdir(),
    "extra folder": lambda m: (m.path / "more").mkdir(),
    "extra document": lambda m: (m.path / "unsigned" / "other.json").write_text("{}"),
    "document that nobody named": lambda m: (
        (m.path / "trusted").mkdir(),
        (m.path / "trusted" / "1.root.json").write_text("{}"),
    ),
    "folder in a folder": lambda m: (m.path / "unsigned" / "deeper").mkdir(),
    "sums of another file": lambda m: (m.path / "SHA256SUMS").write_text(f"{ID}  ../../etc/passwd\n"),
    "sums malformed": lambda m: (m.path / "SHA256SUMS").write_text("hello\n"),
    "sums empty": lambda m: (m.path / "SHA256SUMS").write_text(""),
    "sums differ": lambda m: (m.path / "SHA256SUMS").write_text(
        (m.path / "SHA256SUMS").read_text().replace("a", "b").replace("0", "1")
    ),
    "signature named oddly": lambda m: signature_file(m, "mine.json", "{}"),
    "signature with an upper-case name": lambda m: signature_file(m, f"{ID.upper()}.json", "{}"),
    "signature under another name": lambda m: signature_file(
        m, f"{ID}.json", json.dumps({"keyid": "cd" * 32, "sig": "00"})
    ),
    "signature not hex": lambda m: signature_file(m, f"{ID}.json", json.dumps({"keyid": ID, "sig": "zz"})),
    "signature with more in it": lambda m: signature_file(
        m, f"{ID}.json", json.dumps({"keyid": ID, "sig": "00", "note": ""})
    ),
    "signature is a list": lambda m: signature_file(m, f"{ID}.json", "[]"),
    "signature huge": lambda m: signature_file(m, f"{ID}.json", json.dumps({"keyid": ID, "sig": "0" * 600_000})),
    "too many signatures": lambda m: [
        signature_file(m, f"{n:064x}.json", json.dumps({"keyid": f"{n:064x}", "sig": "00"})) for n in range(300)
    ],
    "listed signature missing": lambda m: (m.path / "SHA256SUMS").write_text(
        (m.path / "SHA256SUMS").read_text() + f"{ID}  signatures/{ID}.json\n"
    ),
}


@pytest.mark.parametrize("spoil", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bundles_are_one_clear_line(made: Bundle, spoil: Callable[[Bundle], object]) -> None:
    """Each is refused with a reason, before anything of it is used."""
    spoil(made)
    with pytest.raises(VestryError) as error:
        bundle.open_bundle(made.path)
    line = str(error.value)
    assert error.value.status == 2
    assert line.isprintable()
    assert line.isascii()
    assert error.value.what


def test_a_predecessor_that_nobody_signed_is_refused(tmp_path: Path, root: Document, people: list[Holder]) -> None:
    """Otherwise anyone could hand over a root that names the holders they like."""
    after = next_root(root, people, 3)
    with pytest.raises(NotTrusted, match="trusted root"):
        bundle.create(tmp_path / "b", role="root", unsigned=after.raw, trusted=root.raw)
    assert not (tmp_path / "b").exists()
