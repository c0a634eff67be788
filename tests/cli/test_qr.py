"""``vestry qr``: across the gap and back, as a person types it."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from holders import Holder, first_root, holder, next_root, signed
from pictures import png, video

from vestry.cli.main import main
from vestry.media import bundle, qr, qr_cargo, qr_scan, qr_text, qr_transfer
from vestry.media.bundle import Bundle

READ = ("qr", "read")


@pytest.fixture(scope="module")
def people() -> list[Holder]:
    return [holder(name) for name in ("ada", "bob", "cleo", "online")]


@pytest.fixture
def made(tmp_path: Path, people: list[Holder]) -> Bundle:
    """Root v2, unsigned, on the administrator's machine."""
    before = signed(first_root(people[:3], 2, people[3]), people[:2])
    names = {h.key.keyid: h.name for h in people[:3]}
    after = next_root(before, people[:3], 2)
    return bundle.create(tmp_path / "admin", role="root", unsigned=after.raw, trusted=before.raw, holders=names)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def verb(*arguments: object, status: int = 0) -> str:
        found = main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        assert found == status, (arguments, out[-2000:], err)
        assert "Traceback" not in err
        return out + err

    return verb


def frames(run: Any, path: Path) -> Any:
    return json.loads(run("qr", "show", path, "--json"))


def matrices(texts: list[str]) -> list[qr.Matrix]:
    return [qr.matrix(text, version=6, border=4) for text in texts]


def test_a_bundle_crosses_is_signed_and_one_code_comes_back(
    tmp_path: Path, run: Any, made: Bundle, people: list[Holder]
) -> None:
    """Without it nobody could sign alone elsewhere with a camera between."""
    shown = frames(run, made.path)
    film = video(tmp_path / "film.mp4", matrices(shown["frames"][2 : shown["enough"] + 5]))
    said = run(*READ, film, "-o", tmp_path / "holder")
    assert made.document.digest[:4] in said
    there = bundle.open_bundle(tmp_path / "holder")
    assert replace(there, path=made.path) == bundle.open_bundle(made.path)

    bundle.add_signature(there, people[0].sign(there.document))
    keyid = people[0].key.keyid
    answer = frames(run, there.path / "signatures" / f"{keyid}.json")
    photograph = png(tmp_path / "photograph.png", qr.matrix(answer["still"], border=4))

    run(*READ, photograph, "-o", tmp_path / "came")
    assert keyid in run("collect", made.path, tmp_path / "came" / f"{keyid}.json")
    assert [s.keyid for s in bundle.open_bundle(made.path).signatures] == [keyid]
    # Straight into the bundle, and again from the folder: the same.
    assert "known" in run(*READ, photograph, "-o", made.path)
    assert "known" in run("collect", made.path, tmp_path / "came")


def test_a_signature_that_does_not_hold_is_set_aside(
    tmp_path: Path, run: Any, made: Bundle, people: list[Holder]
) -> None:
    """Without it a code from anyone could get a signature into the bundle."""
    other = people[0].sign(first_root(people[:2], 1, people[3]))
    stranger = holder("mallory").sign(made.document)
    for signature in (other, stranger):
        picture = png(tmp_path / "x.png", qr.matrix(qr_text.signature_text(signature), border=4))
        assert "set aside" in run(*READ, picture, "-o", made.path, status=1)
    assert bundle.open_bundle(made.path).signatures == ()


def test_a_bundle_that_does_not_hold_is_refused_as_from_a_drive(tmp_path: Path, run: Any, made: Bundle) -> None:
    """Without it codes would be a second door, and a wider one."""
    files = dict(made.contents())
    files["unsigned/root.json"] = files["unsigned/root.json"].replace(b'"version": 2', b'"version": 3')
    sent = qr_transfer.send(qr_cargo.pack(files), qr.room(6))
    film = video(tmp_path / "film.mp4", matrices([sent.text(n) for n in range(sent.enough + 2)]))
    said = run(*READ, film, "-o", tmp_path / "holder", status=2)
    assert "E-BUNDLE-DIGEST" in said
    assert f"transfer {sent.name}/unsigned/root.json" in said
    assert not (tmp_path / "holder").exists()


def test_a_file_arrives_and_overwrites_nothing(tmp_path: Path, run: Any) -> None:
    """Without it a transfer could replace a file by its name."""
    (tmp_path / "note.txt").write_bytes(b"\x00 one file \xff")
    shown = frames(run, tmp_path / "note.txt")
    assert shown["enough"] == 1
    picture = png(tmp_path / "x.png", *matrices(shown["frames"]))
    (tmp_path / "in").mkdir()
    for _ in range(2):
        run(*READ, picture, "-o", tmp_path / "in")
    assert (tmp_path / "in" / "note.txt").read_bytes() == b"\x00 one file \xff"
    (tmp_path / "in" / "note.txt").write_bytes(b"another")
    assert "E-OUTPUT-EXISTS" in run(*READ, picture, "-o", tmp_path / "in", status=1)
    assert (tmp_path / "in" / "note.txt").read_bytes() == b"another"


def test_what_is_not_enough_says_how_much_is_missing(tmp_path: Path, run: Any, made: Bundle) -> None:
    """Without it a person would not know whether to take one more picture or a hundred."""
    shown = frames(run, made.path)
    folder = tmp_path / "photographs"
    folder.mkdir()
    png(folder / "1.png", *matrices(shown["frames"][:3]))
    (folder / "notes.txt").write_text("not a picture")
    said = run(*READ, folder, "-o", tmp_path / "x", status=2)
    assert f"only 3 of about {shown['enough']} frames" in said
    assert "E-QR-PART" in said
    assert "passed over" in said


def test_nothing_strange_and_several_are_told_apart(tmp_path: Path, run: Any) -> None:
    """Without it a person would not know what was wrong with the pictures."""
    blank = png(tmp_path / "blank.png", [[False] * 60 for _ in range(60)])
    assert "no QR code was found" in run(*READ, blank, status=2)
    strange = png(tmp_path / "strange.png", qr.matrix("HTTPS://EXAMPLE.ORG", border=4))
    assert "none of the 1 QR codes is one of Vestry's" in run(*READ, strange, status=2)
    sent = [qr_transfer.send(qr_cargo.pack({"a": bytes([n])}), qr.room(6)) for n in (1, 2)]
    both = png(tmp_path / "both.png", *matrices([s.text(0) for s in sent]))
    said = run(*READ, both, "-o", tmp_path / "x", status=2)
    assert "E-QR-SEVERAL" in said
    assert all(s.name in said for s in sent)
    assert not (tmp_path / "x").exists()


def test_frames_that_contradict_each_other(tmp_path: Path, run: Any) -> None:
    """Without it changed frames would only look like too few."""
    sent = qr_transfer.send(random.Random(1).randbytes(500), qr.room(6))
    first = qr_text.frame(sent.text(0))
    assert first is not None
    texts = [replace(first, packet=bytes(120)).text(), *(sent.text(n) for n in range(1, sent.enough))]
    said = run(*READ, png(tmp_path / "x.png", *matrices(texts)), status=2)
    assert "E-QR-SPOILT" in said


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("qr", "read"), "E-USAGE"),
        (("qr", "read", "nowhere"), "E-QR-NONE"),
        (("qr", "show", "nowhere"), ""),
        (("qr", "show", "note", "--plain"), "E-USAGE"),
        (("qr",), "E-USAGE"),
    ],
)
def test_slips_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any, arguments: tuple[str, ...], code: str
) -> None:
    """Without it a slip would be a traceback."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note").write_text("x")
    said = run(*arguments, status=2)
    assert code in said
    assert len(said.splitlines()) == 1


def test_reading_loads_no_screen_and_showing_needs_no_extra(tmp_path: Path, made: Bundle) -> None:
    """Without it the machine of a ceremony would need a decoder of pictures, and a reader the screen."""
    program = (
        "import sys; from vestry.cli.main import main; status = main(sys.argv[1:]);"
        "print(sorted({'textual', 'rich', 'av', 'zxingcpp'} & set(sys.modules)), file=sys.stderr); sys.exit(status)"
    )
    shutil.copy(made.path / "bundle.json", tmp_path / "a.json")
    loaded = []
    for arguments in (("show", str(made.path), "--json"), ("read", str(tmp_path / "a.json"))):
        command = [sys.executable, "-c", program, "qr", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        loaded.append(done.stderr.splitlines()[-1])
    assert loaded == ["[]", "['av', 'zxingcpp']"]


def test_a_camera_is_looked_at_until_something_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any, made: Bundle
) -> None:
    """Without it whoever holds the camera would have to know when to stop."""
    # A film in the camera's place: a camera, too, is a stream of pictures that FFmpeg opens by a format's name.
    monkeypatch.setattr(qr_scan, "_CAMERA", "mov")
    shown = frames(run, made.path)
    film = video(tmp_path / "camera", matrices(shown["frames"] + ["HTTPS://EXAMPLE.ORG"] * 40))
    looked: list[str] = []
    real = qr_scan.camera
    monkeypatch.setattr(qr_scan, "camera", lambda device: (looked.append(t) or t for t in real(device)))
    run(*READ, "--camera", film, "-o", tmp_path / "holder")
    assert bundle.open_bundle(tmp_path / "holder").document == made.document
    assert len(looked) <= shown["enough"] + 2
    short = video(tmp_path / "short", matrices(shown["frames"][:2]))
    assert "E-QR-PART" in run(*READ, "--camera", short, status=2)
