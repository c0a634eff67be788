"""Codes in real pictures and videos, and what is no picture."""

from __future__ import annotations

import builtins
import os
import random
import resource
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from pictures import jpeg, png, video

from vestry.errors import InputRejected, MediumTrouble
from vestry.media import qr, qr_scan, qr_transfer
from vestry.media.qr_transfer import Receiver

SENT = qr_transfer.send(random.Random(1).randbytes(1500), qr.room(6))


def matrix(n: int) -> qr.Matrix:
    return qr.matrix(SENT.text(n), version=6, border=4)


def test_a_video_is_read(tmp_path: Path) -> None:
    """Without it a phone's film, the easiest way, would be of no use."""
    receiver = Receiver()
    for text in qr_scan.texts(video(tmp_path / "film.mp4", [matrix(n) for n in range(3, 3 + SENT.enough + 2)])):
        receiver.take(text)
    assert receiver.contents == {SENT.name: SENT.payload[32:]}


def test_a_film_damaged_in_places_is_read_where_it_is_whole(tmp_path: Path) -> None:
    """Without it one bad frame would cost the whole film."""
    film = video(tmp_path / "film.mp4", [matrix(n) for n in range(2 * SENT.enough)])
    data = bytearray(film.read_bytes())
    data[len(data) // 4 : len(data) // 4 + 20_000] = bytes(20_000)
    film.write_bytes(data)
    receiver = Receiver()
    for text in qr_scan.texts(film):
        receiver.take(text)
    assert receiver.contents == {SENT.name: SENT.payload[32:]}


@pytest.mark.parametrize("name", ["x.jpg", "IMG_0001.JPG", "100%d.jpg", "no ending"])
def test_a_photograph_is_read_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    """Without it what is in a file would hang on its name, and a name could lead to other files."""
    (tmp_path / name).write_bytes(jpeg(tmp_path / "made.jpg", matrix(3)).read_bytes())
    jpeg(tmp_path / "1001.jpg", matrix(4))
    assert list(qr_scan.texts(tmp_path / name)) == [SENT.text(3)]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Without it a pipe in the place of a picture would hold the program for ever."""
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(InputRejected, match="E-QR-NONE"):
        qr_scan.files_in(tmp_path / "x.png")
    assert qr_scan.files_in(tmp_path) == []


def test_a_folder_of_photographs_is_read_by_name(tmp_path: Path) -> None:
    """Without it each photograph would have to be named, or several codes in one would be missed."""
    png(tmp_path / "2.png", matrix(7), matrix(8))
    png(tmp_path / "1.png", matrix(3))
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "folder").mkdir()
    files = qr_scan.files_in(tmp_path)
    assert [f.name for f in files] == ["1.png", "2.png"]
    found = [text for file in files for text in qr_scan.texts(file)]
    assert sorted(found) == sorted(SENT.text(n) for n in (3, 7, 8))


@pytest.mark.parametrize(
    "data", [b"", b"# no picture\n", b"\x89PNG\r\n\x1a\n" + bytes(50), b"\xff\xd8\xff\xe0" + bytes(9)]
)
def test_what_is_no_picture_is_refused(tmp_path: Path, data: bytes) -> None:
    """Without it a damaged file would end the program with a traceback."""
    path = tmp_path / "x.png"
    path.write_bytes(data)
    with pytest.raises(InputRejected, match="E-QR-PICTURE"):
        list(qr_scan.texts(path))


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile other.png\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.mp4\n#EXT-X-ENDLIST\n",
        "<svg xmlns='http://www.w3.org/2000/svg'/>",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    ],
)
def test_a_list_of_other_files_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Without it a file from anyone could have the reader open other files, and addresses."""
    monkeypatch.chdir(tmp_path)
    other = png(tmp_path / "other.png", matrix(3))
    video(tmp_path / "other.mp4", [matrix(3)])
    assert list(qr_scan.texts(other))
    (tmp_path / "x.png").write_text(text)
    with pytest.raises(InputRejected, match="no picture and no video"):
        list(qr_scan.texts(tmp_path / "x.png"))


def test_a_picture_too_large_is_not_decoded(tmp_path: Path) -> None:
    """Without it a few bytes could unfold to gigabytes of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 16000, 16000, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(16001) * 16000, 1)
    path = tmp_path / "huge.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputRejected, match="more than 50,000,000 pixels"):
        list(qr_scan.texts(path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def test_no_camera_is_said(tmp_path: Path) -> None:
    """Without it a missing camera would be a traceback."""
    with pytest.raises(MediumTrouble, match="E-QR-CAMERA"):
        next(qr_scan.camera(str(tmp_path / "video9")))


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it who lacks the extra would get a traceback, or nothing."""
    real = builtins.__import__

    def missing(name: str, *more: Any, **options: Any) -> Any:
        if name == "zxingcpp":
            raise ImportError(name)
        return real(name, *more, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InputRejected, match=r"vestry\[scan\].*E-QR-SCAN"):
        qr_scan.available()
