"""Archives of bundles: those that any tool makes are read, and everything else is refused with its reason."""

from __future__ import annotations

import gzip
import io
import json
import re
import shutil
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from archives import T, Z, contents, pax, tarred, tree, zipped
from holders import Holder, first_root, holder

from vestry.cli.main import main
from vestry.media import archive, bundle, entries
from vestry.media.bundle import Bundle

Files = dict[str, bytes]
ID = "ab" * 32


@pytest.fixture(scope="module")
def people() -> list[Holder]:
    return [holder(name) for name in ("ada", "bob", "cleo")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, people: list[Holder]) -> Bundle:
    """A bundle with one signature."""
    root = first_root(people, 2, holder("online"))
    folder = tmp_path_factory.mktemp("made") / "a-bundle-with-a-name-that-makes-tar-write-long-ones"
    return bundle.add_signature(bundle.create(folder, role="root", unsigned=root.raw), people[0].sign(root))


@pytest.fixture(scope="module")
def good(made: Bundle) -> Files:
    return contents(made)


def with_zipfile(made: Bundle, to: Path) -> None:
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as made_zip:
        for path in sorted(made.path.rglob("*")):
            made_zip.write(path, path.relative_to(made.path.parent))


def with_a_stream(made: Bundle, to: Path) -> None:
    """As programs do that can't seek: sizes follow each entry."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.got = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.got += memoryview(data)  # type: ignore[arg-type]
            return len(memoryview(data))  # type: ignore[arg-type]

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as made_zip:  # type: ignore[call-overload]
        for name, data in contents(made).items():
            made_zip.writestr(name, data)
    to.write_bytes(pipe.got)


def with_tarfile(made: Bundle, to: Path, kind: int = tarfile.GNU_FORMAT, mode: str = "w:gz") -> None:
    with tarfile.open(to, mode, format=kind) as made_tar:  # type: ignore[call-overload]
        made_tar.add(made.path, made.path.name)


def with_tar(made: Bundle, to: Path, *options: str) -> None:
    subprocess.run(["tar", *options, "-cf", to, "-C", made.path.parent, made.path.name], check=True)


def at_the_top(made: Bundle, to: Path) -> None:
    subprocess.run(["tar", "-cf", to, "-C", made.path, *(p.name for p in made.path.iterdir())], check=True)


def tools(made: Bundle, to: Path) -> dict[str, Callable[[], object]]:
    return {
        "zipfile": lambda: with_zipfile(made, to),
        "zip as a stream": lambda: with_a_stream(made, to),
        "zip, stored": lambda: to.write_bytes(zipped([Z(n, d, method=0) for n, d in contents(made).items()])),
        "shutil's zip": lambda: shutil.move(
            shutil.make_archive(str(to.with_name("x")), "zip", made.path.parent, made.path.name), to
        ),
        "GNU tar": lambda: with_tar(made, to),
        "GNU tar, gzip": lambda: with_tar(made, to, "--gzip"),
        "tar, the bundle at the top": lambda: at_the_top(made, to),
        "tarfile, GNU": lambda: with_tarfile(made, to),
        "tarfile, ustar": lambda: with_tarfile(made, to, tarfile.USTAR_FORMAT, "w"),
        "tarfile, pax": lambda: with_tarfile(made, to, tarfile.PAX_FORMAT, "w"),
    }


@pytest.mark.parametrize("tool", tools(None, None))  # type: ignore[arg-type]
def test_what_common_tools_make_is_read(made: Bundle, tmp_path: Path, tool: str) -> None:
    """A holder packs the folder with what is at hand; it must be the same bundle."""
    packed = tmp_path / "came"
    tools(made, packed)[tool]()
    assert archive.read(packed) == contents(made)
    assert main(["import", str(packed), str(tmp_path / "here")]) == 0
    assert contents(bundle.open_bundle(tmp_path / "here")) == contents(made)


def put(good: Files, *more: Z, **replaced: Z) -> bytes:
    """A zip of the bundle with `more` in it."""
    return zipped([*(Z(n, d) for n, d in good.items()), *more])


def instead(good: Files, name: str, **said: object) -> bytes:
    """A zip of the bundle of which one entry says something else."""
    return zipped([Z(n, d, **said) if n == name else Z(n, d) for n, d in good.items()])  # type: ignore[arg-type]


def tput(good: Files, *more: T) -> bytes:
    """A tar of the bundle with `more` in it."""
    return tarred([*(T(n, d) for n, d in good.items()), *more])


def overlapping(good: Files) -> bytes:
    """Two names for the same bytes, as in bombs that need no nesting."""
    return zipped([*(Z(n, d) for n, d in good.items()), Z("signatures/" + ID + ".json", b"", offset=0)])


def several_bundles(good: Files) -> bytes:
    return zipped([Z(f"{top}/{n}", d) for top in ("one", "two") for n, d in good.items()])


SIG = f"signatures/{ID}.json"
DOC = "unsigned/root.json"
EXTRA_UNICODE_PATH = struct.pack("<2HBL", 0x7075, 5 + 3, 1, 0) + b"a/b"
PKWARE_UNIX = struct.pack("<2H", 0x0D, 12) + bytes(12)
ZIP64 = struct.pack("<2H", 1, 16) + bytes(16)

# name of the case -> (archive, what the refusal must say)
HOSTILE: dict[str, tuple[Callable[[Files], bytes], str]] = {
    # names
    "zip: absolute": (lambda g: put(g, Z("/etc/cron.d/x")), "an absolute path"),
    "zip: drive letter": (lambda g: put(g, Z("C:/x")), "a drive letter"),
    "zip: drive letter, no slash": (lambda g: put(g, Z("c:x")), "a drive letter"),
    "zip: UNC": (lambda g: put(g, Z("\\\\host\\share\\x")), "another machine"),
    "zip: UNC with slashes": (lambda g: put(g, Z("//host/share/x")), "another machine"),
    "zip: upward": (lambda g: put(g, Z("../outside")), "leaves its folder"),
    "zip: upward, later": (lambda g: put(g, Z("unsigned/../../outside")), "leaves its folder"),
    "zip: upward with backslashes": (lambda g: put(g, Z("unsigned\\..\\..\\outside")), "leaves its folder"),
    "zip: backslash": (lambda g: put(g, Z("unsigned\\root.json")), "a backslash"),
    "zip: folder upward": (lambda g: put(g, Z("../", mode=0o40755)), "leaves its folder"),
    "zip: dot": (lambda g: put(g, Z("./bundle.json")), "an empty part"),
    "zip: empty part": (lambda g: put(g, Z("unsigned//root.json")), "an empty part"),
    "zip: no name": (lambda g: put(g, Z("")), "an empty part"),
    "zip: twice": (lambda g: put(g, Z(DOC, b"{}")), "stands twice"),
    "zip: case": (lambda g: put(g, Z("UNSIGNED/root.json")), "differs from unsigned/root.json by case"),
    "zip: NFC and NFD": (lambda g: put(g, Z("unsigned/\u00e9"), Z("unsigned/e\u0301")), "how letters are coded"),
    "zip: beyond ASCII": (lambda g: put(g, Z("unsigned/r\u043e\u043et.json")), "beyond ASCII"),
    "zip: not UTF-8": (lambda g: put(g, Z(b"unsigned/\xff\xfe")), "beyond ASCII"),
    "zip: CON": (lambda g: put(g, Z("unsigned/CON")), "Windows keeps"),
    "zip: nul.json": (lambda g: put(g, Z("signatures/nul.json")), "Windows keeps"),
    "zip: COM1 as a folder": (lambda g: put(g, Z("COM1/x")), "Windows keeps"),
    "zip: dot at the end": (lambda g: put(g, Z("unsigned/root.json.")), "a space or a dot"),
    "zip: space at the end": (lambda g: put(g, Z("unsigned/root.json ")), "a space or a dot"),
    "zip: hidden": (lambda g: put(g, Z(".ssh/authorized_keys")), "a space or a dot"),
    "zip: newline": (lambda g: put(g, Z("unsigned/a\nvestry: done")), "control character"),
    "zip: escape": (lambda g: put(g, Z("unsigned/\x1b[2J")), "control character"),
    "zip: NUL": (lambda g: put(g, Z("unsigned/root.json\0.txt")), "control character"),
    "zip: stream of NTFS": (lambda g: put(g, Z("unsigned/root.json:x")), "media or shells change"),
    "zip: too long": (lambda g: put(g, Z("unsigned/" + "a" * 300)), "too long"),
    "zip: another file": (lambda g: put(g, Z("autorun.inf")), "no file of this name"),
    "zip: another folder": (lambda g: put(g, Z("tools/", mode=0o40755)), "no folder of this name"),
    "zip: deeper": (lambda g: put(g, Z("unsigned/more/root.json")), "no folder here"),
    "zip: an archive in it": (lambda g: put(g, Z("more.zip", zipped([Z("x")]))), "no file of this name"),
    "zip: a signature named oddly": (lambda g: put(g, Z("signatures/mine.json", b"{}")), "named by a key id"),
    "zip: beside the bundle": (
        lambda g: zipped([*(Z(f"b/{n}", d) for n, d in g.items()), Z("README.exe")]),
        "beside the bundle",
    ),
    # kinds
    "zip: link": (lambda g: put(g, Z(SIG, b"/etc/passwd", mode=0o120777)), "a link"),
    "zip: link for a folder": (lambda g: put(g, Z("trusted", b"/etc", mode=0o120777)), "a link"),
    "zip: link of Windows": (lambda g: put(g, Z(SIG, b"C:\\x", mode=0, dos=0x400)), "a link"),
    "zip: device": (lambda g: put(g, Z(SIG, mode=0o020666)), "a device or a pipe"),
    "zip: pipe": (lambda g: put(g, Z(SIG, mode=0o010644)), "a device or a pipe"),
    "zip: folder as a file": (lambda g: put(g, Z(SIG, mode=0o40755)), "a folder with the name of a file"),
    "zip: file as a folder": (lambda g: put(g, Z("trusted/")), "a file with the name of a folder"),
    "zip: folder with content": (lambda g: put(g, Z("trusted/", b"x", mode=0o40755)), "a folder with content"),
    # how it is packed
    "zip: encrypted": (lambda g: instead(g, DOC, flags=1), "encrypted"),
    "zip: strongly encrypted": (lambda g: instead(g, DOC, flags=1 << 6), "encrypted"),
    "zip: masked": (lambda g: instead(g, DOC, flags=1 << 13), "encrypted"),
    "zip: bzip2 inside": (lambda g: instead(g, DOC, method=12), "not read here"),
    "zip: two names": (lambda g: instead(g, DOC, own_name=b"../../root.json"), "one name in the directory"),
    "zip: two sizes": (lambda g: instead(g, DOC, own_size=5), "something else of it"),
    "zip: second name in an extra field": (lambda g: instead(g, DOC, extra=EXTRA_UNICODE_PATH), "second name"),
    "zip: ZIP64 in an extra field": (lambda g: instead(g, DOC, extra=ZIP64), "ZIP64"),
    "zip: an extra field for links": (lambda g: instead(g, DOC, extra=PKWARE_UNIX), "an extra field"),
    "zip: extra field cut": (lambda g: instead(g, DOC, extra=b"\1"), "malformed"),
    "zip: entry with a comment": (lambda g: instead(g, DOC, comment=b"x"), "a comment"),
    "zip: entry on another disk": (lambda g: instead(g, DOC, disk=1), "several parts"),
    "zip: comment": (lambda g: zipped([Z(n, d) for n, d in g.items()], comment=b"x"), "a comment"),
    "zip: something after": (lambda g: put(g) + b"x", "follows after it"),
    "zip: something before": (
        lambda g: zipped([Z(n, d) for n, d in g.items()], prefix=b"#!/bin/sh\n"),
        "stands before",
    ),
    "zip: something before, hidden": (lambda g: b"PK" + put(g), "not where it should be"),
    "zip: two in one": (lambda g: put(g) + put(g), "not where it should be"),
    "zip: bytes between": (lambda g: instead(g, DOC, before=b"hidden"), "belong to no entry"),
    "zip: several disks": (lambda g: zipped([Z(n, d) for n, d in g.items()], end={0: 1}), "several parts"),
    "zip: ZIP64": (lambda g: zipped([Z(n, d) for n, d in g.items()], end={2: 65535, 3: 65535}), "ZIP64"),
    "zip: fewer than listed": (lambda g: zipped([Z(n, d) for n, d in g.items()], end={2: 1, 3: 1}), "does not end"),
    "zip: cut": (lambda g: put(g)[:-30], "cut short"),
    "zip: nothing in it": (lambda g: zipped([]), "bundle.json is missing"),
    "zip: damaged": (lambda g: instead(g, DOC, packed=b"\xff" * 50), "does not unfold"),
    "zip: checksum": (lambda g: instead(g, DOC, crc=1), "checksum differs"),
    # how much
    "zip: overlapping": (overlapping, "overlaps"),
    "zip: bomb": (lambda g: put(g, Z(SIG, bytes(8 << 20))), "more than 100 times"),
    "zip: bomb that lies": (lambda g: put(g, Z(SIG, bytes(8 << 20), size=100)), "more bytes than the archive says"),
    "zip: says more than there is": (lambda g: put(g, Z(SIG, b"{}", size=900)), "other bytes than the archive says"),
    "zip: huge in all": (
        lambda g: put(
            g, *(Z(f"signatures/{n:064x}.json", b"", packed=b"x" * 999_999, size=99 << 20) for n in range(6))
        ),
        "more than 570,425,344 bytes",
    ),
    "zip: too large for a signature": (
        lambda g: put(g, Z(SIG, bytes(range(256)) * 1100, method=0)),
        "at most 262,144",
    ),
    "zip: document longer than it says": (
        lambda g: zipped([Z(n, d + b" " if n == DOC else d, method=0) for n, d in g.items()]),
        "where the bundle has at most",
    ),
    "zip: too many files": (
        lambda g: put(g, *(Z(f"signatures/{n:064x}.json", b"{}") for n in range(300))),
        "more than 256 entries",
    ),
    "zip: far too many": (lambda g: put(g, *(Z(f"{n}") for n in range(2000))), "never has as many"),
    # tar
    "tar: absolute": (lambda g: tput(g, T("/etc/cron.d/x")), "an absolute path"),
    "tar: upward": (lambda g: tput(g, T("../outside")), "leaves its folder"),
    "tar: upward by its prefix": (lambda g: tput(g, T("outside", before="..")), "leaves its folder"),
    "tar: drive letter": (lambda g: tput(g, T("D:\\x")), "a drive letter"),
    "tar: case": (lambda g: tput(g, T("Bundle.json")), "differs from bundle.json by case"),
    "tar: twice": (lambda g: tput(g, T("bundle.json", b"{}")), "stands twice"),
    "tar: newline": (lambda g: tput(g, T("unsigned/\n")), "control character"),
    "tar: reserved": (lambda g: tput(g, T("unsigned/aux.json")), "Windows keeps"),
    "tar: hard link": (lambda g: tput(g, T(SIG, kind=b"1", link="/etc/passwd")), "a hard link"),
    "tar: link": (lambda g: tput(g, T("trusted", kind=b"2", link="/etc")), "a link"),
    "tar: character device": (lambda g: tput(g, T(SIG, kind=b"3")), "a device"),
    "tar: block device": (lambda g: tput(g, T(SIG, kind=b"4")), "a device"),
    "tar: pipe": (lambda g: tput(g, T(SIG, kind=b"6")), "a pipe"),
    "tar: sparse": (lambda g: tput(g, T(SIG, kind=b"S")), "a sparse file"),
    "tar: sparse by pax": (lambda g: tput(g, pax(GNU__sparse__realsize="1"), T(SIG)), "change what it is"),
    "tar: multi-volume": (lambda g: tput(g, T(SIG, kind=b"M")), "several parts"),
    "tar: unknown kind": (lambda g: tput(g, T(SIG, kind=b"Z")), "unknown kind"),
    "tar: name by pax": (lambda g: tput(g, pax(path="../../outside"), T(SIG)), "two names"),
    "tar: link by pax": (lambda g: tput(g, pax(linkpath="/etc"), T(SIG)), "a link"),
    "tar: size by pax": (lambda g: tput(g, pax(size="9"), T(SIG)), "change what it is"),
    "tar: settings for all": (lambda g: tput(g, T("x", pax(path="y").data, b"g")), "for all that follows"),
    "tar: pax malformed": (lambda g: tput(g, T("x", b"99 a=b\n", b"x"), T(SIG)), "malformed"),
    "tar: long name upward": (
        lambda g: tput(g, T("././@LongLink", b"../" * 40 + b"outside\0", b"L", magic=b"ustar  \0"), T("../" * 33)),
        "leaves its folder",
    ),
    "tar: long name of another": (
        lambda g: tput(g, T("././@LongLink", b"unsigned/other\0", b"L", magic=b"ustar  \0"), T(SIG)),
        "two names",
    ),
    "tar: long name of none": (
        lambda g: tput(g, T("././@LongLink", b"unsigned/other\0", b"L", magic=b"ustar  \0")),
        "belongs to no entry",
    ),
    "tar: long name of none by pax": (lambda g: tput(g, pax(path="unsigned/other")), "belongs to no entry"),
    "tar: cut": (lambda g: tput(g)[: -1024 - 300], "cut short"),
    "tar: no end": (lambda g: tarred([T(n, d) for n, d in g.items()], end=b""), "no end"),
    "tar: something after": (lambda g: tput(g) + b"hidden".ljust(512, b"\0"), "follows after"),
    "tar: checksum": (lambda g: tput(g, T(SIG, checksum=b"000001\0 ")), "checksum differs"),
    "tar: size beyond": (lambda g: tput(g, T(SIG, size=b"77777777777\0")), "cut short"),
    "tar: negative size": (lambda g: tput(g, T(SIG, size=b"\xff" * 12)), "no bundle has"),
    "tar: old kind": (lambda g: tput(g, T(SIG, magic=b"\0" * 8)), "not read here"),
    "tar: far too many": (lambda g: tput(g, *(T(f"{n}") for n in range(2000))), "never has as many"),
    # gzip, and others
    "gzip: bomb": (lambda g: gzip.compress(bytes(16 << 20)), "unfolds to more than"),
    "gzip: something after": (lambda g: gzip.compress(tput(g)) + b"x", "follows after"),
    "gzip: two": (lambda g: gzip.compress(tput(g)) + gzip.compress(tput(g)), "follows after"),
    "gzip: cut": (lambda g: gzip.compress(tput(g))[:-9], "cut short"),
    "gzip: damaged": (lambda g: gzip.compress(tput(g))[:30] + b"\xff" * 200, "does not unfold"),
    "xz": (lambda g: b"\xfd7zXZ\0" + bytes(100), "this is xz"),
    "7z": (lambda g: b"7z\xbc\xaf\x27\x1c" + bytes(100), "this is 7-Zip"),
    "text": (lambda g: b"hello", "neither a zip nor a tar"),
    "nothing": (lambda g: b"", "neither a zip nor a tar"),
    # what is in it, once it is read
    "several bundles": (several_bundles, "2 bundles"),
    "no description": (
        lambda g: zipped([Z(n, d) for n, d in g.items() if n != "bundle.json"]),
        "bundle.json is missing",
    ),
    "no sums": (lambda g: zipped([Z(n, d) for n, d in g.items() if n != "SHA256SUMS"]), "only part of one"),
    "no document": (lambda g: zipped([Z(n, d) for n, d in g.items() if n != DOC]), "this file is missing"),
    "digest differs": (
        lambda g: zipped([Z(n, d.replace(b"root", b"r00t") if n == DOC else d) for n, d in g.items()]),
        "SHA-256 is not the one",
    ),
    "sums differ": (
        lambda g: zipped([Z(n, d.swapcase() if n == SIG else d) for n, d in {**g, SIG: b'{"keyid": 1}'}.items()]),
        "",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives_are_refused_and_nothing_is_written(
    good: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """Each with the right reason, on one printable line; not one file appears anywhere near."""
    make, reason = HOSTILE[case]
    here = tmp_path / "a" / "b"
    here.mkdir(parents=True)
    (tmp_path / "outside").write_text("keep")
    (here / "came").write_bytes(make(good))
    monkeypatch.chdir(here)
    before = tree(tmp_path)
    assert main(["import", "came", "taken"]) == 2
    said = capsys.readouterr().err
    assert re.search(re.escape(reason), said), said
    assert said.count("\n") == 1
    assert said.strip().isprintable()
    assert said.isascii()
    assert tree(tmp_path) == before


def test_a_refusal_is_one_object_with_json(good: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "came").write_bytes(put(good, Z("../x")))
    assert main(["import", str(tmp_path / "came"), str(tmp_path / "taken"), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["code"] == "E-BUNDLE-ENTRY"


def test_signatures_are_collected_from_archives(made: Bundle, people: list[Holder], tmp_path: Path) -> None:
    """A holder may send the bundle back by any way, packed."""
    home = bundle.create(tmp_path / "home", role="root", unsigned=made.document.raw)
    with_zipfile(made, tmp_path / "ada.zip")
    assert main(["collect", str(home.path), str(tmp_path / "ada.zip")]) == 0
    assert [s.keyid for s in bundle.open_bundle(home.path).signatures] == [people[0].key.keyid]


def test_a_bomb_is_not_unfolded(good: Files) -> None:
    """What an archive says of itself is enough to refuse it; the bounds hold where it lies."""
    assert len(gzip.compress(bytes(64 << 20))) * archive.RATIO < entries.BYTES_LIMIT


def test_an_import_that_was_cut_short_is_done_again(made: Bundle, tmp_path: Path) -> None:
    """A disk that was full leaves part of a bundle, which nobody takes for one; the same line must then work."""
    shutil.copytree(made.path, tmp_path / "here")
    (tmp_path / "here" / "SHA256SUMS").unlink()
    assert main(["import", str(made.path), str(tmp_path / "here")]) == 0
    assert bundle.open_bundle(tmp_path / "here").contents() == bundle.open_bundle(made.path).contents()
