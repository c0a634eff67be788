"""Files of a release, looked into: what disagrees is found, and what is as build tools make it is not."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import releases

from vestry.media import distributions, release_archives
from vestry.media.distributions import Looked


def look(path: Path) -> Looked:
    with path.open("rb") as file:
        return distributions.look(path.name, file)


def codes(path: Path) -> set[str]:
    return {f.code for f in look(path).findings}


def member(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


def test_what_build_tools_make_is_clean(tmp_path: Path) -> None:
    """False alarms teach people to overrule."""
    wheel, sdist = releases.wheel(tmp_path, "zope-interface", "1.0"), releases.sdist(tmp_path, "zope.interface", "1.0")
    assert look(wheel) == Looked("zope-interface", "1.0", ())
    assert look(sdist) == Looked("zope-interface", "1.0", ())
    link = member("a-1.0/link", tarfile.SYMTYPE, "setup.py")
    assert look(releases.sdist(tmp_path, "a", "1.0", more=(link,))).findings == ()


def added(files: releases.Files, info: str) -> None:
    files["evil.py"] = b"1\n"


def altered(files: releases.Files, info: str) -> None:
    files[next(iter(files))] = b"other\n"


def lost(files: releases.Files, info: str) -> None:
    del files[next(iter(files))]


def unlisted(files: releases.Files, info: str) -> None:
    del files[f"{info}/RECORD"]


def weak(files: releases.Files, info: str) -> None:
    files[f"{info}/RECORD"] = files[f"{info}/RECORD"].replace(b"sha256=", b"md5=", 1)


def second_info(files: releases.Files, info: str) -> None:
    files["other-1.0.dist-info/METADATA"] = b"Name: other\n"


def retagged(files: releases.Files, info: str) -> None:
    files[f"{info}/WHEEL"] = files[f"{info}/WHEEL"].replace(b"py3-none-any", b"cp311-cp311-linux_x86_64")


def two_names(files: releases.Files, info: str) -> None:
    files[f"{info}/METADATA"] = b"Name: other\n" + files[f"{info}/METADATA"]


def escaping(files: releases.Files, info: str) -> None:
    files["../../evil.py"] = b"1\n"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (added, "DIST-RECORD"),
        (altered, "DIST-RECORD"),
        (lost, "DIST-RECORD"),
        (unlisted, "DIST-RECORD"),
        (weak, "DIST-RECORD"),
        (second_info, "DIST-METADATA"),
        (two_names, "DIST-METADATA"),
        (retagged, "DIST-TAGS"),
        (escaping, "DIST-PATH"),
    ],
)
def test_a_wheel_that_disagrees_with_itself(
    tmp_path: Path, change: Callable[[releases.Files, str], None], code: str
) -> None:
    """Each is a way in which what is installed is not what was named."""
    assert code in codes(releases.wheel(tmp_path, "a", "1.0", change=change))


def test_names_and_versions_that_disagree(tmp_path: Path) -> None:
    """Indexes go by the file's name, installers by what is inside."""
    assert codes(releases.wheel(tmp_path, "a", "1.0", metadata_name="b")) == {"DIST-METADATA"}
    assert codes(releases.wheel(tmp_path, "a", "1.0", metadata_version="1.1")) == {"DIST-METADATA"}
    assert codes(releases.wheel(tmp_path, "a", "1.0", name="b-1.0-py3-none-any.whl")) == {"DIST-METADATA"}
    assert codes(releases.wheel(tmp_path, "a", "1.0", name="a.whl")) == {"DIST-ARCHIVE"}
    assert codes(releases.sdist(tmp_path, "a", "1.0", metadata_version="2")) == {"DIST-METADATA"}
    assert codes(releases.sdist(tmp_path, "a", "1.0", top="b-1.0")) == {"DIST-METADATA"}
    assert codes(releases.sdist(tmp_path, "a", "1.0", files={"other/x": b""})) == {"DIST-METADATA"}


@pytest.mark.parametrize(
    "odd",
    [
        member("../evil", tarfile.REGTYPE),
        member("/etc/evil", tarfile.REGTYPE),
        member("a-1.0/out", tarfile.SYMTYPE, "../../etc/passwd"),
        member("a-1.0/out", tarfile.SYMTYPE, "/etc/passwd"),
        member("a-1.0/out", tarfile.LNKTYPE, "../etc/passwd"),
        member("a-1.0/null", tarfile.CHRTYPE),
        member("a-1.0/pipe", tarfile.FIFOTYPE),
        member("a-1.0//PKG-INFO", tarfile.REGTYPE),
        member("a-1.0/./PKG-INFO", tarfile.REGTYPE),
    ],
)
def test_what_leads_out_of_a_source_distribution(tmp_path: Path, odd: tarfile.TarInfo) -> None:
    """Whoever unpacks it writes, or reads, somewhere else."""
    assert "DIST-PATH" in codes(releases.sdist(tmp_path, "a", "1.0", more=(odd,)))


def test_what_is_written_through_a_link(tmp_path: Path) -> None:
    """The link stays within its folder, and what lies behind it overwrites the metadata that was looked at."""
    through = (member("a-1.0/d", tarfile.SYMTYPE, "."), member("a-1.0/d/PKG-INFO", tarfile.REGTYPE))
    assert "DIST-PATH" in codes(releases.sdist(tmp_path, "a", "1.0", more=through))


def test_files_of_which_one_is_lost(tmp_path: Path) -> None:
    """What is installed would not be what was looked at."""

    def twins(files: releases.Files, info: str) -> None:
        files["a/__INIT__.py"] = b"evil"

    assert "DIST-ALIKE" in codes(releases.wheel(tmp_path, "a", "1.0", change=twins))
    assert codes(releases.sdist(tmp_path, "a", "1.0", more=(member("a-1.0/pkg-info", tarfile.REGTYPE),))) == {
        "DIST-ALIKE"
    }
    below = (member("a-1.0/x", tarfile.REGTYPE), member("a-1.0/x/y", tarfile.REGTYPE))
    assert codes(releases.sdist(tmp_path, "a", "1.0", more=below)) == {"DIST-ARCHIVE"}


def spoil(path: Path, change: Callable[[bytes], bytes]) -> Path:
    path.write_bytes(change(path.read_bytes()))
    return path


def renamed_within(raw: bytes) -> bytes:
    """The first entry's own header says another name than the directory."""
    return raw.replace(b"a/__init__.py", b"a/__evil__.py", 1)


def gap(raw: bytes) -> bytes:
    """Bytes before the archive, with all its offsets moved along."""
    end = raw.rindex(b"PK\x05\x06")
    start = struct.unpack("<L", raw[end + 16 : end + 20])[0]
    return b"#!/bin/sh\n" + raw[: end + 16] + struct.pack("<L", start) + raw[end + 20 :]


def two_in_one(raw: bytes) -> bytes:
    """A second archive hides in the comment of the first."""
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("evil.py", b"1")
    hidden = other.getvalue()
    return raw[:-2] + struct.pack("<H", len(hidden)) + hidden


@pytest.mark.parametrize(
    "change", [renamed_within, gap, two_in_one, lambda raw: raw[:-30], lambda raw: raw + b"x", lambda raw: b""]
)
def test_a_wheel_that_two_readers_see_differently(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    """A scanner would look at one, and an installer take the other."""
    assert "DIST-ARCHIVE" in codes(spoil(releases.wheel(tmp_path, "a", "1.0"), change))


def test_an_entry_that_stands_twice(tmp_path: Path) -> None:
    """Readers differ in which they take."""
    path = releases.wheel(tmp_path, "a", "1.0")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a/__init__.py", b"__version__ = '1.0'\n")
    assert "DIST-ARCHIVE" in codes(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: gzip.compress(gzip.decompress(raw).rstrip(b"\0") + bytes(1024) + b"hidden" * 99),
        lambda raw: raw[:-40],
        lambda raw: b"no archive",
    ],
)
def test_a_source_distribution_that_is_damaged_or_hides_something(
    tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    """What stands behind the end is shown to nobody and signed all the same."""
    assert "DIST-ARCHIVE" in codes(spoil(releases.sdist(tmp_path, "a", "1.0"), change))


def test_bombs_are_not_unfolded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file must not fill the memory or the day."""
    monkeypatch.setattr(release_archives, "UNFOLDED_LIMIT", 1 << 20)
    assert codes(releases.sdist(tmp_path, "a", "1.0", files={"a-1.0/zeros": bytes(2 << 20)})) == {"DIST-ARCHIVE"}

    def zeros(files: releases.Files, info: str) -> None:
        files["a/zeros"] = bytes(2 << 20)

    assert codes(releases.wheel(tmp_path, "a", "1.0", change=zeros)) == {"DIST-ARCHIVE"}


def test_other_files_and_other_projects(tmp_path: Path) -> None:
    """Told, and left to people."""
    path = tmp_path / "setup.exe"
    path.write_bytes(b"MZ")
    assert codes(path) == {"DIST-OTHER"}
    wheel = look(releases.wheel(tmp_path, "a", "1.0"))
    assert distributions.of_project("x", wheel, "A") == ()
    assert [f.code for f in distributions.of_project("x", wheel, "b")] == ["DIST-PROJECT"]
