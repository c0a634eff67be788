"""What comes back and what is refused: older, superseded or foreign documents, unknown keys, sticks in any order."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from archives import tree
from holders import EXPIRES, Holder, first_root, holder, next_root, signed
from sticks import insert

from vestry.cli.main import main
from vestry.errors import InputRejected
from vestry.media import aside, bundle
from vestry.media.bundle import Bundle
from vestry.metadata import document, drafting
from vestry.metadata.document import Document


@pytest.fixture(scope="module")
def people() -> list[Holder]:
    return [holder(name) for name in ("ada", "bob", "cleo")]


@pytest.fixture(scope="module")
def roots(people: list[Holder]) -> list[Document]:
    """Signed roots, version 1 to 4."""
    found = [signed(first_root(people, 2, holder("online")), people)]
    while len(found) < 4:
        found.append(signed(next_root(found[-1], people, 2), people))
    return found


def made(folder: Path, roots: Sequence[Document], version: int, name: str = "") -> Bundle:
    """The bundle of a root of that version."""
    before = roots[version - 2].raw if version > 1 else None
    unsigned = roots[version - 1].with_signatures(()).raw
    return bundle.create(folder, role="root", unsigned=unsigned, trusted=before, repository=name)


def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The code of a refusal; nothing may have changed."""
    before = tree(tmp_path)
    capsys.readouterr()
    assert main(["import", *arguments]) == 2
    assert tree(tmp_path) == before
    # What was found is listed; the last line says why it is not taken.
    return capsys.readouterr().err.rpartition("[")[2].strip("]\n")


def published(folder: Path, *documents: Document) -> str:
    folder.mkdir()
    for one in documents:
        (folder / f"{one.version}.{one.type}.json").write_bytes(one.raw)
    return str(folder)


def test_another_repository_is_not_mixed_in(
    tmp_path: Path, roots: list[Document], capsys: pytest.CaptureFixture[str]
) -> None:
    """Two repositories, two sticks that look alike."""
    here = made(tmp_path / "here", roots, 2)
    others = [holder(name) for name in ("mallory", "trudy")]
    first = signed(first_root(others, 2, holder("x")), others)
    theirs = [first, signed(next_root(first, others, 2), others)]
    came = made(tmp_path / "came", theirs, 2)
    assert refused(tmp_path, capsys, str(came.path), str(here.path)) == "E-BUNDLE-REPOSITORY"
    known = published(tmp_path / "known", *roots[:1])
    assert refused(tmp_path, capsys, str(came.path), str(tmp_path / "new"), "--known", known) == "E-BUNDLE-REPOSITORY"


def test_another_name_is_another_repository(
    tmp_path: Path, roots: list[Document], capsys: pytest.CaptureFixture[str]
) -> None:
    """Holders may keep keys for two repositories on one token."""
    here, came = made(tmp_path / "here", roots, 3, "pypi"), made(tmp_path / "came", roots, 2, "testpypi")
    assert refused(tmp_path, capsys, str(came.path), str(here.path)) == "E-BUNDLE-REPOSITORY"


def test_an_older_version_is_refused(tmp_path: Path, roots: list[Document], capsys: pytest.CaptureFixture[str]) -> None:
    here, came = made(tmp_path / "here", roots, 3), made(tmp_path / "came", roots, 2)
    assert refused(tmp_path, capsys, str(came.path), str(here.path)) == "E-BUNDLE-SUPERSEDED"
    assert refused(tmp_path, capsys, str(here.path), str(came.path)) == "E-BUNDLE-OTHER"


def test_what_a_bundle_beside_it_supersedes_is_refused(
    tmp_path: Path, roots: list[Document], capsys: pytest.CaptureFixture[str]
) -> None:
    """A stick from last year, in the folder where this year's bundle lies."""
    (tmp_path / "desk").mkdir()
    made(tmp_path / "desk" / "this-year", roots, 3)
    came = made(tmp_path / "stick", roots, 2)
    assert refused(tmp_path, capsys, str(came.path), str(tmp_path / "desk" / "new")) == "E-BUNDLE-SUPERSEDED"
    assert main(["import", str(came.path), str(tmp_path / "elsewhere" / "new")]) == 0


def test_another_draft_of_the_same_version_is_told(
    tmp_path: Path, roots: list[Document], people: list[Holder], capsys: pytest.CaptureFixture[str]
) -> None:
    """Which of two drafts is to be signed is a question for people, not for an order of arrival."""
    (tmp_path / "desk").mkdir()
    made(tmp_path / "desk" / "first", roots, 2)
    other = next_root(roots[0], people, 3)
    bundle.create(tmp_path / "came", role="root", unsigned=other.raw, trusted=roots[0].raw)
    assert main(["import", str(tmp_path / "came"), str(tmp_path / "desk" / "second")]) == 0
    assert "Another root v2 lies in first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("version", "known", "code"),
    [
        (2, (1, 2, 3), "E-BUNDLE-SUPERSEDED"),
        (3, (1, 2, 3), "E-BUNDLE-SUPERSEDED"),
        (1, (2, 3), "E-BUNDLE-SUPERSEDED"),
        (4, (1, 2), "E-CHAIN"),
        (4, (1, 2, 3), ""),
        (4, (3,), ""),
        (2, (1,), ""),
    ],
)
def test_a_root_is_held_against_what_is_published(
    tmp_path: Path,
    roots: list[Document],
    capsys: pytest.CaptureFixture[str],
    version: int,
    known: tuple[int, ...],
    code: str,
) -> None:
    came = made(tmp_path / "came", roots, version)
    folder = published(tmp_path / "known", *(roots[v - 1] for v in known))
    arguments = [str(came.path), str(tmp_path / "new"), "--known", folder]
    if code:
        assert refused(tmp_path, capsys, *arguments) == code
    else:
        assert main(["import", *arguments]) == 0


def test_a_fork_of_a_known_root_is_another_repository(
    tmp_path: Path, roots: list[Document], people: list[Holder], capsys: pytest.CaptureFixture[str]
) -> None:
    """The same holders, another root v2: what follows it does not follow what clients have."""
    fork = signed(next_root(roots[0], people, 3), people)
    came = made(tmp_path / "came", [roots[0], fork, signed(next_root(fork, people, 2), people)], 3)
    known = published(tmp_path / "known", *roots[:2])
    assert refused(tmp_path, capsys, str(came.path), str(tmp_path / "new"), "--known", known) == "E-BUNDLE-REPOSITORY"


def test_targets_are_held_against_their_root_and_their_newest(
    tmp_path: Path, roots: list[Document], people: list[Holder], capsys: pytest.CaptureFixture[str]
) -> None:
    """A holder who left may not sign by way of an old root."""
    keys = [person.key for person in people]
    raw = drafting.targets_with_bins(version=1, expires=EXPIRES, bins_threshold=1, bins_keys=keys)
    first = document.read(raw, where="test")
    under = {n: tmp_path / f"under-{n}" for n in (1, 2)}
    for n, folder in under.items():
        bundle.create(folder, role="targets", unsigned=first.raw, trusted=roots[n - 1].raw)
    new = str(tmp_path / "new")
    known = published(tmp_path / "known", *roots[:2])
    assert refused(tmp_path, capsys, str(under[1]), new, "--known", known) == "E-BUNDLE-SUPERSEDED"
    ahead = published(tmp_path / "ahead", *roots[:1])
    assert refused(tmp_path, capsys, str(under[2]), new, "--known", ahead) == "E-CHAIN"
    newer = published(tmp_path / "newer", *roots[:2], signed(first, people))
    assert refused(tmp_path, capsys, str(under[2]), new, "--known", newer) == "E-BUNDLE-SUPERSEDED"
    assert main(["import", str(under[2]), new, "--known", known]) == 0


def test_unknown_signatures_are_kept_aside(
    tmp_path: Path, roots: list[Document], people: list[Holder], capsys: pytest.CaptureFixture[str]
) -> None:
    """By a key that nobody names, and one that does not verify: reported, and there to be asked about."""
    home, away = made(tmp_path / "home", roots, 2), made(tmp_path / "away", roots, 2)
    mallory = holder("mallory").sign(home.document)
    wrong = people[1].sign(roots[0])
    good = people[0].sign(home.document)
    for one in (mallory, wrong, good):
        path = away.path / "signatures" / f"{one.keyid}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'{{"keyid": "{one.keyid}", "sig": "{one.sig}"}}')
    for _ in range(2):
        assert main(["collect", str(home.path), str(away.path / "signatures")]) == 1
    said = capsys.readouterr()
    assert "no document names this key" in said.out
    assert "home-set-aside" in said.err
    kept = aside.beside(home.path)
    assert sorted(p.name for p in kept.rglob("*")) == sorted(f"{s.keyid}.json" for s in (mallory, wrong))
    assert len(kept.with_name("home-set-aside.txt").read_text().splitlines()) == 2
    assert [s.keyid for s in bundle.open_bundle(home.path).signatures] == [good.keyid]
    # What is kept is what collect reads: a key that is named later counts later.
    assert main(["collect", str(home.path), str(kept)]) == 1


def test_a_link_on_a_stick_leads_neither_import_nor_export_elsewhere(
    tmp_path: Path, roots: list[Document], capsys: pytest.CaptureFixture[str]
) -> None:
    """Written by way of it, the holder would carry away an empty stick; read, what lies on this machine's disk."""
    home = made(tmp_path / "home", roots, 2)
    for name in ("stick", "other", "outside"):
        (tmp_path / name).mkdir()
    (tmp_path / "stick" / "home").symlink_to(tmp_path / "outside")
    (tmp_path / "other" / "x").symlink_to(home.path)
    before = tree(tmp_path)
    assert main(["export", str(home.path), str(tmp_path / "stick")]) == 3
    assert "E-DRIVE-PLACE" in capsys.readouterr().err
    other, new = str(tmp_path / "other"), str(tmp_path / "new")
    for line in (["import", other, new], ["collect", str(home.path), other]):
        assert main(line) == 2
        assert "x: a link" in capsys.readouterr().err
    assert tree(tmp_path) == before
    assert main(["export", str(home.path), str(tmp_path / "other")]) == 0
    assert not (tmp_path / "other" / "home").is_symlink()


ODD_IDS = ("../../outside", "{}/absolute", "\x1b[2J\u202e", "", "x" * 300, "CON", "a:b", "." * 3)


def test_a_key_id_never_leads_out_of_the_folder(
    tmp_path: Path, roots: list[Document], capsys: pytest.CaptureFixture[str]
) -> None:
    """Lists of signatures from other systems may say any key id; each is a file's name at home."""
    home = made(tmp_path / "a" / "b" / "home", roots, 2)
    ids = [text.format(tmp_path) for text in ODD_IDS]
    (tmp_path / "came").write_text(json.dumps([{"keyid": keyid, "sig": "ab"} for keyid in ids]))
    (tmp_path / "rstuf").write_text(json.dumps({"role": "root", "signature": {"keyid": "../../out", "sig": "ab"}}))
    before = set(tree(tmp_path))
    assert main(["collect", str(home.path), str(tmp_path / "came"), str(tmp_path / "rstuf")]) == 1
    assert capsys.readouterr().out.count("set aside") == len(ids) + 1
    assert {name.rpartition("/")[0] for name in set(tree(tmp_path)) - before} == {"a/b", "a/b/home-set-aside"}
    kept = [json.loads(p.read_text())["keyid"] for p in aside.beside(home.path).glob("*.json")]
    assert sorted(kept) == sorted([*ids, "../../out"])


@pytest.mark.parametrize("role", ["root", "targets"])
def test_nobody_signs_by_a_key_id_that_is_a_path(tmp_path: Path, people: list[Holder], role: str) -> None:
    """Such a signature would hold, and its file would lie wherever the id leads."""

    def renamed(found: Document) -> bytes:
        return found.raw.replace(people[0].key.keyid.encode(), b"../../../outside")

    raw = renamed(first_root(people, 2, holder("online")))
    above = None
    if role == "targets":
        above = signed(document.read(raw, where="test"), people[1:]).raw
        keys = [person.key for person in people]
        raw = drafting.targets_with_bins(version=1, expires=EXPIRES, bins_threshold=1, bins_keys=keys)
    with pytest.raises(InputRejected, match="E-BUNDLE-FIT"):
        bundle.create(tmp_path / "bundle", role=role, unsigned=raw, trusted=above)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("order", list(itertools.permutations((0, 1))))
def test_two_sticks_are_gathered_in_any_order(
    tmp_path: Path, roots: list[Document], people: list[Holder], order: tuple[int, int]
) -> None:
    """Real file systems, mounted: the second holder's stick may come first, and last year's lies on it, too."""
    home = made(tmp_path / "home", roots, 2)
    with ExitStack() as stack:
        sticks = [insert(stack, tmp_path, name) for name in ("ADA", "BOB")]
        for stick, person in zip(sticks, people, strict=False):
            assert main(["export", str(home.path), str(stick.mounted)]) == 0
            there = bundle.open_bundle(stick.mounted / "home")
            bundle.add_signature(there, person.sign(there.document))
        for n in order:
            assert main(["collect", str(home.path), str(sticks[n].mounted)]) == 0
        assert main(["verify", str(home.path)]) == 0
        assert main(["export", str(home.path), str(sticks[0].mounted), "--signed"]) == 0
        assert main(["verify", str(sticks[0].mounted / "2.root.json"), str(tmp_path / "none")]) == 2
        shutil.copy(sticks[0].mounted / "2.root.json", tmp_path)
    assert document.read((tmp_path / "2.root.json").read_bytes(), where="").digest == roots[1].digest
