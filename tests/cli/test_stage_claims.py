"""Projects move from recently-claimed to claimed: each looked at, all in one document, one review, one threshold."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from holders import EXPIRES, Holder, first_root, holder, signed

from vestry.cli.main import main
from vestry.media import bundle
from vestry.metadata import document, drafting
from vestry.metadata.document import Document
from vestry.metadata.parts import Delegation, Target

PROJECTS = ("alfa", "bravo", "charly", "delta")


def made(raw: bytes, by: Holder) -> Document:
    return signed(document.read(raw, where="test"), [by])


class Index:
    """Root, targets, claimed with one project, and recently-claimed with four. `spoil` changes a delegation."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.admin, self.online = holder("admin"), holder("online")
        self.keys = {name: holder(name) for name in (*PROJECTS, "a1pha")}
        self.write("1.root", signed(first_root([self.admin], 1, self.online), [self.admin]))
        put = [
            Delegation("claimed", (self.admin.key,), 1, ("[a-z]*/*", "*/*")),
            Delegation("recently-claimed", (self.online.key,), 1, ("*/*",)),
        ]
        self.write("1.targets", made(drafting.next_delegator(None, expires=EXPIRES, put=put), self.admin))
        one = Delegation("a1pha", (self.keys["a1pha"].key,), 1, ("a1pha/*",), terminating=True)
        self.write("1.claimed", made(drafting.next_delegator(None, expires=EXPIRES, put=[one]), self.admin))
        self.recently([self.delegation(name) for name in PROJECTS])

    def delegation(self, name: str, **more: Any) -> Delegation:
        fields = {"keys": (self.keys[name].key,), "threshold": 1, "paths": (f"{name}/*",), "terminating": True} | more
        return Delegation(name, **fields)

    def recently(self, put: list[Delegation], change: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
        value = json.loads(drafting.next_delegator(None, expires=EXPIRES, put=put))["signed"]
        change(value)
        self.write("3.recently-claimed", made(document.to_file({**value, "version": 3}), self.online))

    def write(self, name: str, one: Document) -> Path:
        path = self.folder / f"{name}.json"
        path.write_bytes(one.raw)
        return path

    def move(self, *projects: str, more: tuple[str, ...] = ()) -> int:
        (self.folder / "projects.txt").write_text("# this month\n\n" + "".join(f"{p}\n" for p in projects))
        given = ["--from", "1.claimed.json", "--recently", "3.recently-claimed.json", "--projects", "projects.txt"]
        words = [w if w.startswith("--") else str(self.folder / w) for w in (*given, "--root", "1.root.json")]
        return main(["stage", "claims", *words, "--into", str(self.folder / "b"), *more])


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path)


def test_a_list_moves_at_once_and_both_roles_change(index: Index) -> None:
    """A project in neither role could not be installed; in both, its old keys would still count."""
    assert index.move("bravo", "delta") == 0
    opened = bundle.open_bundle(index.folder / "b")
    roles = opened.document.signed["delegations"]["roles"]
    assert [r["name"] for r in roles] == ["a1pha", "bravo", "delta"]
    assert roles[1] == {
        "name": "bravo",
        "keyids": [index.keys["bravo"].key.keyid],
        "threshold": 1,
        "paths": ["bravo/*"],
        "terminating": True,
    }
    assert (opened.role, opened.document.version) == ("claimed", 2)
    assert opened.previous is not None
    left = document.read((index.folder / "b.4.recently-claimed.json").read_bytes(), where="test")
    assert [r["name"] for r in left.signed["delegations"]["roles"]] == ["alfa", "charly"]
    assert set(left.signed["delegations"]["keys"]) == {index.keys[n].key.keyid for n in ("alfa", "charly")}
    assert (left.version, left.signatures) == (4, ())
    bundle.add_signature(opened, index.admin.sign(opened.document))
    assert main(["verify", str(opened.path)]) == 0


def test_what_lies_beside_the_bundle_is_not_written_over(index: Index, capsys: pytest.CaptureFixture[str]) -> None:
    """Last month's recently-claimed may still wait there for its service's signature."""
    beside = index.folder / "b.4.recently-claimed.json"
    beside.write_bytes(b"last month's")
    assert index.move("bravo") == 1
    assert "E-BUNDLE-EXISTS" in capsys.readouterr().err
    assert beside.read_bytes() == b"last month's"
    assert not (index.folder / "b").exists()


def spoilt(index: Index, code: str) -> tuple[str, ...]:
    """Have something be wrong, and say which projects are to move."""
    fine = [index.delegation(name) for name in PROJECTS if name != "alfa"]
    one = index.delegation
    if code == "CLAIM-NAME":
        index.keys["Al_fa"] = holder("other")
        index.recently([one("Al_fa"), *fine])
        return ("Al_fa",)
    if code in ("CLAIM-NAME a role's", "CLAIM-NAME none"):
        name = "root" if "role" in code else "a\\b"
        index.keys[name] = holder("other")
        index.recently([one(name), *fine])
        return (name,)
    if code == "CLAIM-NAME two spellings":
        index.keys["Al.fa"], index.keys["al-fa"] = holder("other"), holder("another")
        index.recently([one("Al.fa"), one("al-fa"), *fine])
        return ("al-fa",)
    if code == "CLAIM-ALREADY spelled otherwise":
        put = [Delegation("Al.fa", (index.keys["alfa"].key,), 1, ("Al.fa/*",), terminating=True)]
        index.write("1.claimed", made(drafting.next_delegator(None, expires=EXPIRES, put=put), index.admin))
        index.keys["al-fa"] = holder("other")
        index.recently([one("al-fa"), *fine])
        return ("al-fa",)
    if code == "CLAIM-NAME twice":
        return ("alfa", "bravo", "alfa")
    if code == "CLAIM-UNKNOWN":
        return ("alfa", "nobody")
    if code == "CLAIM-ALREADY":
        index.recently([one("a1pha"), *fine])
        return ("a1pha",)
    if code == "CLAIM-KEYS online":
        index.recently([one("alfa", keys=(index.keys["alfa"].key, index.online.key)), *fine])
    elif code == "CLAIM-KEYS threshold":

        def raise_it(value: dict[str, Any]) -> None:
            value["delegations"]["roles"][0]["threshold"] = 2

        index.recently([one("alfa"), *fine], raise_it)
    elif code == "CLAIM-KEYS missing":

        def lose(value: dict[str, Any]) -> None:
            del value["delegations"]["keys"][index.keys["alfa"].key.keyid]

        index.recently([one("alfa"), *fine], lose)
    elif code == "CLAIM-PATHS other":
        index.recently([one("alfa", paths=("alfa/*", "bravo/*")), *fine])
    elif code == "CLAIM-PATHS all":
        index.recently([one("alfa", paths=("*/*",)), *fine])
    elif code == "CLAIM-PATHS prefix":
        index.recently([one("alfa", paths=(), hash_prefixes=("00",)), *fine])
    elif code == "CLAIM-PATHS deep":
        index.recently([one("alfa", paths=("alfa/deep/*",)), *fine])
    return ("alfa", "bravo")


@pytest.mark.parametrize(
    "code",
    [
        "CLAIM-NAME",
        "CLAIM-NAME a role's",
        "CLAIM-NAME none",
        "CLAIM-NAME two spellings",
        "CLAIM-NAME twice",
        "CLAIM-UNKNOWN",
        "CLAIM-ALREADY",
        "CLAIM-ALREADY spelled otherwise",
        "CLAIM-KEYS online",
        "CLAIM-KEYS threshold",
        "CLAIM-KEYS missing",
        "CLAIM-PATHS other",
        "CLAIM-PATHS all",
        "CLAIM-PATHS prefix",
        "CLAIM-PATHS deep",
    ],
)
def test_what_is_wrong_with_a_project_stops_the_list(
    index: Index, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An offline signature outlives every later check."""
    assert index.move(*spoilt(index, code)) == 1
    shown = capsys.readouterr()
    assert code.split(maxsplit=1)[0] in shown.out
    assert "E-STAGE-CLAIMS" in shown.err
    assert not (index.folder / "b").exists()
    assert not list(index.folder.glob("b.*"))


def test_what_looks_odd_is_told_to_the_signers(index: Index) -> None:
    """A look-alike of a claimed project, and one that does not end the search for its files."""
    fine = [index.delegation(name) for name in PROJECTS if name != "alfa"]
    index.keys["alpha"] = holder("alpha")
    index.recently([index.delegation("alpha", terminating=False), *fine])
    assert index.move("alpha", "bravo") == 0
    notes = "\n".join(bundle.open_bundle(index.folder / "b").notes)
    assert "CLAIM-LOOKALIKE" in notes
    assert "CLAIM-TERMINATING" in notes
    assert "bravo" not in notes


@pytest.mark.parametrize("wrong", ["", "other key", "outside", "expired", "absent"])
def test_a_projects_own_metadata_is_looked_at(
    index: Index, tmp_path: Path, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Keys that never signed anything are perhaps in nobody's hands."""
    folder = tmp_path / "own"
    folder.mkdir()
    path = "bravo/1.whl" if wrong == "outside" else "alfa/1.whl"
    expires = datetime(2020, 1, 1, tzinfo=UTC) if wrong == "expired" else EXPIRES
    raw = drafting.next_targets(None, expires=expires, add={path: Target(1, {"sha256": "00" * 32})})
    own = made(raw, index.keys["bravo" if wrong == "other key" else "alfa"])
    (folder / f"5.{'nobody' if wrong == 'absent' else 'alfa'}.json").write_bytes(own.raw)
    status = index.move("alfa", "bravo", more=("--metadata", str(folder)))
    if wrong in ("", "absent"):
        assert status == 0
        return
    assert status == 1
    assert "CLAIM-METADATA" in capsys.readouterr().out
