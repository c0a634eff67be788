"""Export: whole, read back, or clearly not there."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestry.errors import InputRejected, MediumTrouble
from vestry.media import drives, names

FILES = {"bundle.json": b"{}", "unsigned/root.json": b"x" * 3_000_000, "signatures/a.json": b""}


@pytest.fixture
def small_drive(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 64 KiB."""
    drive = tmp_path / "drive"
    drive.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", drive], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("no right to mount a small file system here")
    yield drive
    subprocess.run(["umount", drive], check=True)


def test_what_was_written_is_what_is_there(tmp_path: Path) -> None:
    """Otherwise a holder would carry away something else than was reviewed."""
    written = drives.export(FILES, tmp_path / "drive")
    assert {n: (tmp_path / "drive" / n).read_bytes() for n in FILES} == FILES
    assert written == {n: hashlib.sha256(d).hexdigest() for n, d in FILES.items()}
    checked = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path / "drive", capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def test_twice_is_the_same(tmp_path: Path) -> None:
    """An operator who is not sure must be able to do it again."""
    assert drives.export(FILES, tmp_path) == drives.export(FILES, tmp_path)


@pytest.mark.parametrize("cut", range(4))
def test_an_interrupted_export_is_never_taken_for_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    """The drive is pulled between any two files, also over an older export: no SHA256SUMS may be left."""
    drives.export({"bundle.json": b"old"}, tmp_path)
    real, calls = Path.replace, [0]

    def replace(self: Path, target: Path) -> Any:
        calls[0] += 1
        if calls[0] > cut:
            raise OSError(errno.EIO, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(MediumTrouble, match="reports an error"):
        drives.export(FILES, tmp_path)
    assert not (tmp_path / "SHA256SUMS").exists()
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "E-DRIVE-FULL"),
        (errno.EDQUOT, "E-DRIVE-FULL"),
        (errno.EFBIG, "E-DRIVE-FULL"),
        (errno.EROFS, "E-DRIVE-READONLY"),
        (errno.EACCES, "E-DRIVE-RIGHTS"),
        (errno.EIO, "E-DRIVE-ERROR"),
        (errno.ENODEV, "E-DRIVE-GONE"),
        (errno.ETIMEDOUT, "E-DRIVE-ERROR"),
    ],
)
def test_each_failure_is_one_line_with_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    """A person must learn whether to take another drive or to unlock this one."""

    def write(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(MediumTrouble) as trouble:
        drives.export(FILES, tmp_path)
    assert trouble.value.code == code
    assert "\n" not in str(trouble.value)
    assert "not complete" in str(trouble.value)


def test_a_full_drive_is_told_before_anything_is_written(small_drive: Path) -> None:
    """A real full file system, not only an error number."""
    with pytest.raises(MediumTrouble, match="full"):
        drives.export(FILES, small_drive)
    assert list(small_drive.iterdir()) == []


def test_a_read_only_drive_is_told(small_drive: Path) -> None:
    """A write-protected stick is the commonest trouble of all."""
    subprocess.run(["mount", "-o", "remount,ro", small_drive], check=True)
    with pytest.raises(MediumTrouble, match="read-only"):
        drives.export({"a": b"b"}, small_drive)


def test_a_drive_that_lies_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cheap sticks claim sizes that they do not have: they take every byte and give back others."""
    real = os.preadv

    def preadv(descriptor: int, buffers: Any, offset: int) -> int:
        count = real(descriptor, buffers, offset)
        if count:
            buffers[0][0] ^= 1 if isinstance(buffers[0], bytearray) else 0
            buffers[0][0:1] = bytes([buffers[0][0] ^ 1])
        return count

    monkeypatch.setattr(os, "preadv", preadv)
    with pytest.raises(MediumTrouble, match="other bytes"):
        drives.export({"a": b"abc"}, tmp_path)
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "SHA256SUMS").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../a",
        "/a",
        "a//b",
        "a/../b",
        ".",
        "a/.",
        "con",
        "NUL.json",
        "a:b",
        "a\\b",
        "a\nb",
        "a ",
        "a.",
        "é",
        "a" * 300,
        "",
    ],
)
def test_names_that_fat_would_change_are_refused(tmp_path: Path, name: str) -> None:
    """A name that leads elsewhere, or comes back as another one, would break the bundle or the machine."""
    with pytest.raises(InputRejected):
        drives.export({name: b""}, tmp_path / "drive")
    assert not (tmp_path / "drive").exists()


def test_names_that_differ_by_case_are_refused(tmp_path: Path) -> None:
    """On FAT the second would replace the first."""
    with pytest.raises(InputRejected, match="case"):
        drives.export({"a.json": b"1", "A.json": b"2"}, tmp_path)


@given(st.text(max_size=60))
def test_any_role_name_becomes_a_safe_file_name(text: str) -> None:
    """Role names of delegations are free text; the bundle of each must still travel."""
    names.check([names.safe_part(text) + ".json"])


@given(st.text(max_size=30), st.text(max_size=30))
def test_different_roles_never_share_a_file_name(a: str, b: str) -> None:
    """Two roles with one file name would be mistaken for each other."""
    if a != b:
        assert names.safe_part(a) != names.safe_part(b)


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A link on a drive must not lead a write out of it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    drive = tmp_path / "drive"
    drive.mkdir()
    (drive / "unsigned").symlink_to(outside)
    with pytest.raises(MediumTrouble, match="link"):
        drives.export(FILES, drive)
    assert list(outside.iterdir()) == []


def test_a_file_over_a_link_replaces_the_link(tmp_path: Path) -> None:
    """Writing through it would change the file that it leads to."""
    (tmp_path / "outside").write_text("keep")
    (tmp_path / "drive").mkdir()
    (tmp_path / "drive" / "a").symlink_to(tmp_path / "outside")
    drives.export({"a": b"new"}, tmp_path / "drive")
    assert (tmp_path / "outside").read_text() == "keep"
    assert not (tmp_path / "drive" / "a").is_symlink()
