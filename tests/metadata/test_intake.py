"""The one door: what is refused, with which reason, and at which place."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vestry.errors import InputRejected, MediumTrouble
from vestry.metadata import intake
from vestry.metadata.intake import Limits, parse, pem_public_key, read_file

FILE = "the-file"


def nested(depth: int, inside: str = "") -> bytes:
    return b"[" * depth + inside.encode() + b"]" * depth


REFUSED = [
    # duplicate keys
    (b'{"a": 1, "a": 2}', "line 1, column 10", 'the key "a" stands twice'),
    (b'{"a": {"b": [{"c": 1,\n "d": 2, "c": 1}]}}', "line 2, column 10", 'the key "c" stands twice'),
    (b'{"signed": {}, "x": [], "signed": {}}', "line 1, column 25", 'the key "signed" stands twice'),
    (b'{"a": 1, "\\u0061": 2}', "line 1, column 10", 'the key "a" stands twice'),
    ('{"é": 1,\n"\\u00e9": 2}'.encode(), "line 2, column 1", "stands twice"),
    (b'[[[[[{"": 0, "": 0}]]]]]', "line 1, column 14", 'the key "" stands twice'),
    # numbers
    (b"1.0", "line 1, column 1", "1.0 is not an integer"),
    (b'{"threshold": 1.5}', "line 1, column 15", "1.5 is not an integer"),
    (b'{"a": [1,\n 2e0]}', "line 2, column 2", "2e0 is not an integer"),
    (b'{"a": -0.0}', "line 1, column 7", "-0.0 is not an integer"),
    (b"[NaN]", "line 1, column 2", "NaN is not an integer"),
    (b'{"a": Infinity}', "line 1, column 7", "Infinity is not an integer"),
    (b'{"a": -Infinity}', "line 1, column 7", "-Infinity is not an integer"),
    (b"18446744073709551616", "line 1, column 1", "is beyond 64 bits"),
    (b"[-9223372036854775809]", "line 1, column 2", "is beyond 64 bits"),
    (b'{"version": 1' + b"0" * 5000 + b"}", "line 1, column 13", "is beyond 64 bits"),
    (b"[01]", "line 1, column 3", "a comma or ] belongs here"),
    (b"[+1]", "line 1, column 2", "a value belongs here"),
    (b"[.5]", "line 1, column 2", "a value belongs here"),
    (b"[1.]", "line 1, column 3", "a comma or ] belongs here"),
    (b"[0x10]", "line 1, column 3", "a comma or ] belongs here"),
    # depth
    (nested(65), "line 1, column 65", "nested deeper than 64"),
    (b'{"a":' * 65 + b"1" + b"}" * 65, "line 1, column 321", "nested deeper than 64"),
    (nested(100_000), "line 1, column 65", "nested deeper than 64"),
    (b"[" * 1_000_000, "line 1, column 65", "nested deeper than 64"),
    # encodings
    (b'{"a": "\xff"}', "line 1, column 8", "byte 7 is not UTF-8"),
    (b'{"\xc3\xa9":\n "\xc3\xa9\xff"}', "line 2, column 4", "byte 11 is not UTF-8"),
    (b'"\xc0\xaf"', "line 1, column 2", "byte 1 is not UTF-8"),
    (b'"\xed\xa0\x80"', "", "byte 1 is not UTF-8"),
    (b'"\xf4\x90\x80\x80"', "", "byte 1 is not UTF-8"),
    (b"\xef\xbb\xbf{}", "line 1, column 1", "byte order mark"),
    ("{}".encode("utf-16"), "", "byte order mark"),
    ("{}".encode("utf-16-be"), "line 1, column 1", "a value belongs here"),
    (b'["\\ud800"]', "line 1, column 2", "half of a surrogate pair"),
    (b'{"\\udfff": 1}', "line 1, column 2", "half of a surrogate pair"),
    (b'["\\udc00\\ud800"]', "line 1, column 2", "half of a surrogate pair"),
    # strings
    (b'["a\nb"]', "line 1, column 4", "a raw control character"),
    (b'["a\x00b"]', "line 1, column 4", "a raw control character"),
    (b'["\\x41"]', "line 1, column 3", "an unknown escape"),
    (b'["\\u12g4"]', "line 1, column 3", "an unknown escape"),
    (b'["abc', "line 1, column 2", "a string is not closed"),
    (b"['a']", "line 1, column 2", "a value belongs here"),
    # structure
    (b"", "line 1, column 1", "the text ends too early"),
    (b" \n ", "line 2, column 2", "the text ends too early"),
    (b"{} {}", "line 1, column 4", "something follows after the value"),
    (b'{"a": 1}\n\x00', "line 2, column 1", "something follows after the value"),
    (b"null,", "line 1, column 5", "something follows after the value"),
    (b'{"a": 1,}', "line 1, column 9", "a key in quotes belongs here"),
    (b"[1,]", "line 1, column 4", "a value belongs here"),
    (b"{a: 1}", "line 1, column 2", "a key in quotes belongs here"),
    (b'{"a" 1}', "line 1, column 6", "a colon belongs here"),
    (b'{"a": 1', "line 1, column 8", "a comma or } belongs here"),
    (b"[1 2]", "line 1, column 4", "a comma or ] belongs here"),
    (b"[1] // no comments", "line 1, column 5", "something follows after the value"),
    (b"\x00", "line 1, column 1", "a value belongs here"),
    (b"\xc2\xa0{}", "line 1, column 1", "a value belongs here"),
    (b"True", "line 1, column 1", "a value belongs here"),
]


@pytest.mark.parametrize(("raw", "place", "why"), REFUSED, ids=lambda v: repr(v)[:40])
def test_refused(raw: bytes, place: str, why: str) -> None:
    """Without it two programs could read two meanings in one file, or a person would not find the fault in it."""
    with pytest.raises(InputRejected) as caught:
        parse(raw, where=FILE)
    line = str(caught.value)
    assert line.startswith(FILE)
    assert place in line
    assert why in line
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 200


def test_size_bound() -> None:
    """Without it a file could fill the memory of a machine that must not stop."""
    raw = b'["' + b"x" * 96 + b'"]'
    assert parse(raw, where=FILE, limits=Limits(bytes=100)) == ["x" * 96]
    with pytest.raises(InputRejected, match="100 bytes are more than the 99 allowed"):
        parse(raw, where=FILE, limits=Limits(bytes=99))


@pytest.mark.parametrize("inside", ["", "1", '"x"'])
def test_depth_bound_is_exact(inside: str) -> None:
    """Without it the limit would be another one than the documented one."""
    assert parse(nested(64, inside), where=FILE)
    assert parse(nested(3, inside), where=FILE, limits=Limits(depth=3))
    with pytest.raises(InputRejected, match="deeper than 3"):
        parse(nested(4, inside), where=FILE, limits=Limits(depth=3))


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"18446744073709551615", 2**64 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b' \r\n\t{"a":[ ] , "b":{ }}\n', {"a": [], "b": {}}),
        (b'"\\ud83d\\udd11\\u2028\\u007f\\/"', "\U0001f511\u2028\x7f/"),
        ('"\u2028\x7f\U0001f511"'.encode(), "\u2028\x7f\U0001f511"),
        (b'{"a": {"a": {"a": 1}}, "A": 2}', {"a": {"a": {"a": 1}}, "A": 2}),
        (b"[true, false, null]", [True, False, None]),
    ],
)
def test_accepted(raw: bytes, value: Any) -> None:
    """Without it strictness could turn good files away."""
    assert parse(raw, where=FILE) == value


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(),
        lambda v: st.lists(v) | st.dictionaries(st.text(), v),
        max_leaves=12,
    )
)
def test_everything_that_json_can_say_is_read_back(value: Any) -> None:
    """Without it a document could change on its way through the door."""
    assert parse(json.dumps(value).encode(), where=FILE) == value
    assert parse(json.dumps(value, ensure_ascii=False, indent=1).encode(), where=FILE) == value


@settings(max_examples=500)
@given(
    st.binary(max_size=60)
    | st.text(st.sampled_from('{}[]",:\\u0123456789abcdeE.-+ntrfals \n\x00'), max_size=40).map(str.encode)
)
@example(b'"\\')
@example(b'"\\u')
@example(b"-")
def test_any_bytes_give_a_value_or_one_clear_line(raw: bytes) -> None:
    """Without it a hostile file could end the program with a traceback."""
    said = ""
    try:
        value = parse(raw, where=FILE)
    except InputRejected as rejected:
        said = str(rejected)
    if not said:
        assert value == json.loads(raw)
        return
    assert re.fullmatch(r"[ -~]+", said)
    assert "it is not strict JSON" not in said, "the scanner found no place for it"


# --- files


def test_a_file(tmp_path: Path) -> None:
    """Without it a file of just the size allowed could be refused, or a larger one read."""
    path = tmp_path / "root.json"
    path.write_bytes(b"0123456789")
    assert read_file(path, limit=10) == b"0123456789"
    with pytest.raises(InputRejected, match="10 bytes are more than the 9 allowed"):
        read_file(path, limit=9)


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Without it a stick could make the program read a file of the machine."""
    (tmp_path / "real").write_bytes(b"{}")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to("nothing")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("link", "dangling", "loop"):
        with pytest.raises(InputRejected, match="it is a link, not a file"):
            read_file(tmp_path / name, limit=10)


def test_pipes_sockets_folders_and_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a pipe could hold the ceremony up for ever, or a device never end."""
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)  # a socket's address is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        for path in (tmp_path / "pipe", tmp_path / "socket", tmp_path, Path("/dev/zero"), Path("/dev/null")):
            with pytest.raises(InputRejected, match="it is not a regular file"):
                read_file(path, limit=10)


def test_a_device_is_never_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a mere look could already make a device act."""
    monkeypatch.setattr(os, "open", lambda *_, **__: pytest.fail("it was opened"))
    with pytest.raises(InputRejected):
        read_file(Path("/dev/null"), limit=10)


@pytest.mark.parametrize(
    ("put", "why"), [(os.mkfifo, "not a regular file"), (lambda p: p.symlink_to("/etc/hostname"), "it is a link")]
)
def test_something_put_in_the_place_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, put: Callable[[Path], None], why: str
) -> None:
    """Without it whoever holds the drive could change the file between the look and the reading."""
    path, real = tmp_path / "root.json", os.open
    path.write_bytes(b"{}")

    def swapped(name: Path, flags: int) -> int:
        path.unlink()
        put(path)
        return real(name, flags)

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(InputRejected, match=why):
        read_file(path, limit=10)


@pytest.mark.parametrize("name", ["absent", "absent/root.json", "a-file/root.json", "nul\0byte", "n" * 300])
def test_names_that_no_file_has(tmp_path: Path, name: str) -> None:
    """Without it a mistyped name would end in a traceback."""
    (tmp_path / "a-file").touch()
    with pytest.raises(InputRejected) as caught:
        read_file(tmp_path / name, limit=10)
    assert re.fullmatch(r"[ -~]+", str(caught.value))


def test_a_file_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a failing drive would be taken for a bad file, and a good file thrown away."""
    path = tmp_path / "root.json"
    path.touch()

    def failing(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "open", failing)
    with pytest.raises(MediumTrouble, match="can't be read: Input/output error"):
        read_file(path, limit=10)


# --- public keys from outside


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "not a PEM public key"),
        (b"\xff\xfe", "it is not ASCII text"),
        ("-----BEGIN PUBLIC KEY-----\né".encode(), "it is not ASCII text"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "not a PEM public key"),
        (b"-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----\n", "not a PEM public key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "this is a private key"),
        (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n", "this is a private key"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "not a PEM public key"),
        (2 * b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "2 PEM blocks stand here, not one"),
    ],
)
def test_files_that_hold_no_public_key(raw: bytes, why: str) -> None:
    """Without it the wrong file, or the first of two keys, could become a holder's key."""
    with pytest.raises(InputRejected) as caught:
        pem_public_key(raw, where="alice.pem")
    assert str(caught.value).startswith("alice.pem: ")
    assert why in str(caught.value)


def test_limits_are_the_documented_ones() -> None:
    """Without it the defaults could grow until they bound nothing."""
    assert Limits() == intake.LIMITS == Limits(bytes=64 << 20, depth=64)
