"""Files in a transfer: what comes out is what went in, or nothing."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestry.errors import InputRejected
from vestry.media import qr_cargo
from vestry.metadata.canonical import encode

FILES = {"bundle.json": b"{}", "unsigned/root.json": b"\0\1" * 300, "signatures/a.json": b""}


def made(files: object, rest: bytes = b"", **more: object) -> bytes:
    return zlib.compress(encode({"format": qr_cargo.FORMAT, "files": files} | more) + b"\n" + rest)


def test_files_come_out_as_they_went_in() -> None:
    """Without it a bundle would not survive, or take its old sums along."""
    content = qr_cargo.pack(FILES | {"SHA256SUMS": b"x"})
    assert qr_cargo.unpack(content) == FILES
    assert qr_cargo.pack(dict(reversed(FILES.items()))) == content


def test_text_shrinks() -> None:
    """Without it a root would take twice the frames."""
    text = (Path(__file__).parents[2] / "docs" / "formats.md").read_bytes()
    assert len(qr_cargo.pack({"formats.md": text})) < len(text) / 2


HOSTILE: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "not deflated": lambda: b"bundle.json",
    "cut short": lambda: qr_cargo.pack(FILES)[:-3],
    "more after its end": lambda: qr_cargo.pack(FILES) + b"x",
    "a bomb": lambda: zlib.compress(bytes(64 << 20), 9),
    "no list": lambda: zlib.compress(b"x" * 100),
    "an endless list": lambda: zlib.compress(b" " * (4 << 20) + b"\n"),
    "a list of nothing": lambda: made([]),
    "another format": lambda: made([["a", 0]], format="vestry-qr-2"),
    "a field too many": lambda: made([["a", 0]], more=1),
    "a list laid out in another way": lambda: zlib.compress(b'{"format": "vestry-qr-1", "files": [["a", 0]]}\n'),
    "a key twice": lambda: zlib.compress(b'{"files":[["a",0]],"files":[["b",0]],"format":"vestry-qr-1"}\n'),
    "a name that leaves the folder": lambda: made([["../a", 1]], b"x"),
    "an absolute name": lambda: made([["/etc/a", 1]], b"x"),
    "a drive letter": lambda: made([["C:a", 1]], b"x"),
    "a name with an escape": lambda: made([["a\x1b[2J", 1]], b"x"),
    "a reserved name": lambda: made([["con.json", 1]], b"x"),
    "a dot file": lambda: made([[".bashrc", 1]], b"x"),
    "two names by case": lambda: made([["bundle.json", 0], ["BUNDLE.json", 0]]),
    "a name twice": lambda: made([["bundle.json", 0], ["bundle.json", 0]]),
    "sums of its own": lambda: made([["bundle.json", 0], ["SHA256SUMS", 0]]),
    "a length that lies": lambda: made([["a", 5]], b"1234"),
    "a length below nought": lambda: made([["bundle.json", 5], ["b", -1]], b"1234"),
    "a length that is no number": lambda: made([["a", True]], b"x"),
    "bytes left over": lambda: made([["a", 2]], b"123"),
    "too many files": lambda: made([[f"{n}", 0] for n in range(600)]),
    "two files that are no bundle": lambda: made([["a", 0], ["b", 0]]),
    "a file in a folder": lambda: made([["a/b", 0]]),
    "entries that are none": lambda: made(["a", 0]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_is_refused(name: str) -> None:
    """Without it a picture could write where it likes, or fill the memory."""
    with pytest.raises(InputRejected):
        qr_cargo.unpack(HOSTILE[name]())


@given(st.binary(max_size=300).map(zlib.compress) | st.binary(max_size=300))
def test_no_bytes_make_it_stumble(content: bytes) -> None:
    """Without it a transfer could end the program with a traceback."""
    with pytest.raises(InputRejected):
        qr_cargo.unpack(content)


def test_too_much_is_not_packed() -> None:
    """Without it a sender could make what no reader takes."""
    with pytest.raises(InputRejected, match="E-QR-LARGE"):
        qr_cargo.pack({"a": bytes(9 << 20)})
