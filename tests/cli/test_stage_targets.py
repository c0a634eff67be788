"""Delegated targets, from staging to signed files: a maintainer's release, a project's keys, and what is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import releases
from holders import EXPIRES, Holder, first_root, holder, signed

from vestry.cli.main import main
from vestry.media import bundle
from vestry.metadata import document


class Index:
    """A package index: a root, targets with one holder, and metadata as published in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metadata = folder / "metadata"
        self.metadata.mkdir()
        self.admin, self.online = holder("admin"), holder("online")
        self.maintainers = {name: holder(name) for name in ("mia", "max", "mo")}
        root = signed(first_root([self.admin], 1, self.online), [self.admin])
        self.root = self.metadata / "1.root.json"
        self.root.write_bytes(root.raw)
        self.count = 0

    def stage(self, *words: Any) -> int:
        return main(["stage", *map(str, words), "--root", str(self.root), "--into", str(self.bundle())])

    def bundle(self, step: int = 0) -> Path:
        return self.folder / f"b{self.count + step}"

    def publish(self, *by: Holder) -> Path:
        """Have the staged bundle signed, and export it into the metadata folder."""
        made = bundle.open_bundle(self.bundle())
        for one in by:
            bundle.add_signature(made, one.sign(made.document))
        assert main(["verify", str(made.path)]) == 0
        assert main(["export", str(made.path), str(self.folder / "out"), "--signed"]) == 0
        (file,) = [p for p in (self.folder / "out").iterdir() if p.suffix == ".json"]
        shutil.move(file, self.metadata / file.name)
        shutil.rmtree(self.folder / "out")
        self.count += 1
        return self.metadata / file.name

    def keys(self, *names: str) -> list[str]:
        return [f"{n}={self.maintainers[n].write_pem(self.folder)}" for n in names]

    def delegate(self, *names: str, threshold: int = 1, **more: Any) -> Path:
        """The delegation of requests/* to these maintainers, published."""
        words = ["--role", "requests", "--key", *self.keys(*names), "--threshold", threshold, "--paths", "requests/*"]
        assert self.stage("delegation", *words) == 0
        return self.publish(self.admin)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path)


@pytest.fixture
def dist(tmp_path: Path) -> list[Path]:
    """A release of requests."""
    folder = tmp_path / "dist"
    folder.mkdir()
    return [releases.wheel(folder, "requests", "2.0"), releases.sdist(folder, "requests", "2.0")]


def draft(path: Path) -> dict[str, Any]:
    return bundle.open_bundle(path).document.signed


def test_a_release_from_delegation_to_signed_file(index: Index, dist: list[Path]) -> None:
    """The plain line: what lies beside the root leads to the role, and the delegation says where files go."""
    index.delegate("mia")
    assert index.stage("targets", "--role", "requests", "--add", *dist) == 0
    made = bundle.open_bundle(index.bundle())
    assert set(made.document.signed["targets"]) == {f"requests/{p.name}" for p in dist}
    target = made.document.signed["targets"][f"requests/{dist[0].name}"]
    data = dist[0].read_bytes()
    assert target == {
        "length": len(data),
        "hashes": {
            "sha256": hashlib.sha256(data).hexdigest(),
            "sha512": hashlib.sha512(data).hexdigest(),
            "blake2b-256": hashlib.blake2b(data, digest_size=32).hexdigest(),
        },
    }
    assert [k.keyid for a in made.authorities() for k in a.keys] == [index.maintainers["mia"].key.keyid]
    published = index.publish(index.maintainers["mia"])
    assert published.name == "1.requests.json"
    assert main(["verify", str(index.metadata)]) == 0


def test_the_next_release_follows_and_its_review_shows_only_what_changes(
    index: Index, dist: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A maintainer reads what changes, not every file since the beginning."""
    index.delegate("mia")
    assert index.stage("targets", "--role", "requests", "--add", *dist) == 0
    first = index.publish(index.maintainers["mia"])
    new = releases.wheel(dist[0].parent, "requests", "2.1")
    assert index.stage("targets", "--role", "requests", "--from", first, "--add", new) == 0
    made = bundle.open_bundle(index.bundle())
    assert (made.document.version, len(made.document.signed["targets"])) == (2, 3)
    capsys.readouterr()
    assert main(["review", str(made.path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    added = [c["where"] for c in found["changes"] if c["kind"] == "target-added"]
    assert len(added) == 1
    assert new.name in added[0]
    assert (found["old_version"], found["new_version"]) == (1, 2)


@pytest.mark.parametrize("reading", ["delegator", "delegator elsewhere", "delegators named", "as a bundle"])
def test_the_delegator_may_be_named_in_any_way(index: Index, dist: list[Path], tmp_path: Path, reading: str) -> None:
    """--from may be what delegates: then the role's first version is made."""
    targets = index.delegate("mia")
    words = ["targets", "--role", "requests", "--add", *dist]
    if reading == "as a bundle":
        assert index.stage(*words, "--from", index.bundle(-1)) == 0
    elif reading == "delegator":
        assert index.stage(*words, "--from", targets) == 0
    else:
        other = tmp_path / "elsewhere"
        other.mkdir()
        moved = shutil.move(targets, other / ("above.json" if reading == "delegator elsewhere" else "targets.json"))
        assert index.stage(*words, "--from" if reading == "delegator elsewhere" else "--delegator", moved) == 0
    made = bundle.open_bundle(index.bundle())
    assert made.document.version == 1
    assert made.trusted is not None
    assert made.trusted.type == "targets"


def test_without_a_delegator_nothing_is_made(
    index: Index, dist: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The root alone names no key of a delegated role."""
    assert index.stage("targets", "--role", "requests", "--add", *dist) == 1
    assert "E-CHAIN" in capsys.readouterr().err
    assert not index.bundle().exists()


@pytest.mark.parametrize("spoilt", ["unsigned", "changed", "other key"])
def test_a_delegator_that_does_not_hold_is_refused(index: Index, dist: list[Path], spoilt: str) -> None:
    """Whoever writes the delegator decides whose keys sign: a draft for a forger's key must not come about."""
    path = index.delegate("mia")
    found = document.read(path.read_bytes(), where="test")
    if spoilt == "unsigned":
        found = found.with_signatures(())
    elif spoilt == "changed":
        value = json.loads(found.raw)
        value["signed"]["expires"] = "2030-01-01T00:00:00Z"
        found = document.read(json.dumps(value).encode(), where="test")
    else:
        found = signed(found.with_signatures(()), [index.maintainers["max"]])
    for name in ("1.targets.json", "above.json"):
        path.unlink(missing_ok=True)
        path = index.metadata / name
        path.write_bytes(found.raw)
        words = ["targets", "--role", "requests", "--add", *dist]
        if spoilt != "other key" or name == "1.targets.json":
            assert index.stage(*words, "--from", path) == 1
        assert not index.bundle().exists()


def test_a_delegator_that_nothing_leads_to_is_told(index: Index, dist: list[Path], tmp_path: Path) -> None:
    """A claimed role without the targets above it: a draft can be made, and its signers are told what was not seen."""
    claimed = index.delegate("mia")
    lonely = tmp_path / "3.claimed.json"
    found = document.read(claimed.read_bytes(), where="test").with_signatures(())
    lonely.write_bytes(signed(found, [holder("stranger")]).raw)
    claimed.unlink()
    assert index.stage("targets", "--role", "requests", "--from", lonely, "--add", *dist) == 0
    notes = bundle.open_bundle(index.bundle()).notes
    assert any("could not be verified" in note for note in notes)


def test_a_file_outside_the_delegation_is_refused(index: Index, dist: list[Path]) -> None:
    """PEP 480: a delegatee MUST NOT sign targets that were not delegated to it."""
    index.delegate("mia")
    assert index.stage("targets", "--role", "requests", "--prefix", "numpy", "--add", *dist) == 1
    assert index.stage("targets", "--role", "requests", "--prefix", "requests/deep", "--add", *dist) == 1
    assert not index.bundle().exists()


def test_the_whole_chain_decides_what_is_inside(index: Index, tmp_path: Path, dist: list[Path]) -> None:
    """A sub-delegation can't widen what its delegator was given, whoever signed it."""
    index.delegate("mia")
    words = ["--by", "requests", "--role", "requests-docs", "--key", *index.keys("max"), "--threshold", 1]
    assert index.stage("delegation", *words, "--paths", "numpy/*") == 1
    assert index.stage("delegation", *words, "--paths", "requests/docs-*") == 0
    published = index.publish(index.maintainers["mia"])
    # As another tool would let it be signed: wider than what requests has itself.
    value = json.loads(published.read_bytes())["signed"]
    value["delegations"]["roles"][0]["paths"] = ["*/*"]
    wide = document.read(document.to_file(value), where="test")
    published.write_bytes(signed(wide, [index.maintainers["mia"]]).raw)
    assert index.stage("targets", "--role", "requests-docs", "--prefix", "numpy", "--add", *dist) == 1
    assert index.stage("targets", "--role", "requests-docs", "--prefix", "requests", "--add", *dist) == 0
    assert bundle.open_bundle(index.bundle()).trusted.raw == published.read_bytes()  # type: ignore[union-attr]


def test_keys_join_leave_and_move(index: Index, dist: list[Path]) -> None:
    """A project's own keys: a second maintainer, a threshold of two, one who leaves, one who moves to a new token."""
    index.delegate("mia")
    assert index.stage("targets", "--role", "requests", "--add", dist[0]) == 0
    index.publish(index.maintainers["mia"])

    def entry() -> dict[str, Any]:
        (role,) = draft(index.bundle())["delegations"]["roles"]
        return {"threshold": role["threshold"], "keys": set(role["keyids"]), "paths": role["paths"]}

    ids = {name: one.key.keyid for name, one in index.maintainers.items()}
    assert index.stage("delegation", "--role", "requests", "--key", *index.keys("max"), "--threshold", 2) == 0
    assert entry() == {"threshold": 2, "keys": {ids["mia"], ids["max"]}, "paths": ["requests/*"]}
    index.publish(index.admin)
    # The holder's name came in a bundle that lies no longer there: by key id, then.
    drop = ["--drop", ids["mia"][:12], "--key", *index.keys("mo")]
    assert index.stage("delegation", "--role", "requests", *drop) == 0
    assert entry() == {"threshold": 2, "keys": {ids["mo"], ids["max"]}, "paths": ["requests/*"]}
    assert set(draft(index.bundle())["delegations"]["keys"]) == {ids["mo"], ids["max"]}
    index.publish(index.admin)
    # What was signed by the key that left is carried over, and nobody is told that it is unchanged.
    assert index.stage("targets", "--role", "requests", "--add", dist[1]) == 0
    made = bundle.open_bundle(index.bundle())
    assert made.document.version == 2
    assert len(made.document.signed["targets"]) == 2
    assert made.previous is None
    assert any("as if all of it were new" in note for note in made.notes)
    index.publish(index.maintainers["mo"], index.maintainers["max"])
    assert index.stage("delegation", "--role", "requests", "--remove") == 0
    assert draft(index.bundle())["delegations"] == {"keys": {}, "roles": []}


@pytest.mark.parametrize(
    "words",
    [
        ["--role", "requests", "--threshold", "1"],
        ["--role", "targets", "--paths", "x/*"],
        ["--role", "requests", "--drop", "nobody"],
        ["--role", "requests", "--remove", "--paths", "x/*"],
        ["--role", "requests", "--remove"],
        ["--role", "bad\x1b[31m", "--paths", "x/*"],
        ["--role", "requests", "--paths", "x/*", "--hash-prefixes", "00"],
    ],
)
def test_a_delegation_that_cannot_be_is_refused(index: Index, words: Sequence[str]) -> None:
    """With status 2 and a line, not a document that nobody can sign for."""
    assert index.stage("delegation", *words) == 2
    assert not index.bundle().exists()


@pytest.mark.parametrize(
    "words", [["--paths", "../*"], ["--paths", "/etc/*"], ["--paths", ""], ["--hash-prefixes", "0A"]], ids=str
)
def test_a_delegation_that_no_file_could_match_is_refused(index: Index, tmp_path: Path, words: Sequence[str]) -> None:
    """A maintainer would find out at the next release that nothing was delegated."""
    key = f"Mo={index.maintainers['mo'].write_pem(tmp_path)}"
    assert index.stage("delegation", "--role", "requests", "--key", key, *words) == 2
    assert not index.bundle().exists()


def test_what_was_found_in_a_file_stops_the_release(
    index: Index, dist: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A wheel that holds something else than it says is built anew, not signed."""
    index.delegate("mia")
    bad = releases.wheel(
        dist[0].parent, "requests", "2.0", metadata_version="2.1", name="requests-2.0-1-py3-none-any.whl"
    )
    capsys.readouterr()
    assert index.stage("targets", "--role", "requests", "--add", *dist, bad) == 1
    shown = capsys.readouterr()
    assert "DIST-METADATA" in shown.out
    assert "E-STAGE-FILES" in shown.err
    assert not index.bundle().exists()


def test_signers_are_told_who_looked_and_that_it_is_their_word(
    index: Index, dist: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever signs far from the files knows what rests on the word of whoever staged them."""
    index.delegate("mia")
    numpy = releases.wheel(dist[0].parent, "numpy", "1.0")
    assert index.stage("targets", "--role", "requests", "--add", *dist, numpy) == 0
    capsys.readouterr()
    main(["review", str(index.bundle()), "--plain"])
    told = capsys.readouterr().err
    assert "their word" in told
    assert "DIST-PROJECT" in told
    assert "looked into on" in told


def test_a_bundle_whose_previous_version_nobody_signed_is_refused(index: Index, dist: list[Path]) -> None:
    """What is compared with it would be shown as unchanged: a forger could hide a file there."""
    index.delegate("mia")
    assert index.stage("targets", "--role", "requests", "--add", dist[0]) == 0
    index.publish(index.maintainers["mia"])
    assert index.stage("targets", "--role", "requests", "--add", dist[1]) == 0
    made = bundle.open_bundle(index.bundle())
    assert made.previous is not None
    forged = made.previous.with_signatures(())
    target = index.folder / "forged"
    with pytest.raises(Exception, match="signed by 0 of 1"):
        bundle.create(
            target,
            role="requests",
            unsigned=made.document.raw,
            trusted=made.trusted.raw if made.trusted else None,
            previous=forged.raw,
        )
    assert not target.exists()


def test_targets_themselves_and_their_renewal(index: Index, tmp_path: Path) -> None:
    """Without a role it is targets, whose keys the root names; nothing to add is a renewal."""
    readme = tmp_path / "README.txt"
    readme.write_text("read me\n")
    assert index.stage("targets", "--add", readme) == 0
    index.publish(index.admin)
    assert index.stage("targets", "--from", index.metadata / "1.targets.json") == 0
    made = bundle.open_bundle(index.bundle())
    assert (made.document.version, list(made.document.signed["targets"])) == (2, ["README.txt"])
    index.publish(index.admin)
    assert index.stage("targets", "--remove", "README.txt") == 0
    made = bundle.open_bundle(index.bundle())
    assert (made.document.version, made.document.signed["targets"]) == (3, {})
    assert made.document.expires.date() == EXPIRES.date()


def test_another_roles_document_is_not_carried_over(
    index: Index, dist: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The version before of one role must not become another role's."""
    index.delegate("mia")
    assert index.stage("targets", "--role", "requests", "--add", *dist) == 0
    first = index.publish(index.maintainers["mia"])
    odd = first.with_name("old.json")
    shutil.copy(first, odd)
    assert index.stage("targets", "--role", "targets", "--from", first) == 1
    assert "--role requests" in capsys.readouterr().err
    assert index.stage("targets", "--from", first) == 0
    assert bundle.open_bundle(index.bundle()).role == "requests"
