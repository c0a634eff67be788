"""Stage, review, verify, collect, export and import, as a person types them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from holders import Holder, first_root, holder, next_root, signed

from vestry.cli.main import main
from vestry.media import bundle, drives
from vestry.metadata import document, drafting
from vestry.metadata.document import Document

YEAR = "365d"


class Verbs:
    """Runs verbs in this process and reads what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.err = ""

    def __call__(self, *arguments: object, status: int = 0) -> str:
        found = main([str(a) for a in arguments])
        out, self.err = self._capsys.readouterr()
        assert found == status, (arguments, out[-2000:], self.err)
        assert "Traceback" not in self.err
        return out

    def json(self, *arguments: object, status: int = 0) -> Any:
        """The object that a verb prints."""
        return json.loads(self(*arguments, "--json", status=status))


@pytest.fixture
def vestry(capsys: pytest.CaptureFixture[str]) -> Verbs:
    """The command line."""
    return Verbs(capsys)


@pytest.fixture(scope="module")
def people() -> list[Holder]:
    """Five holders, and the keeper of the online key."""
    return [holder(name) for name in ("ada", "bob", "cleo", "dan", "eve", "online")]


@pytest.fixture
def pems(tmp_path: Path, people: list[Holder]) -> dict[str, Path]:
    """Their public keys in files."""
    folder = tmp_path / "keys"
    folder.mkdir()
    return {h.name: h.write_pem(folder) for h in people}


@pytest.fixture(scope="module")
def chain(people: list[Holder]) -> tuple[Document, Document]:
    """A signed root v1, 3 of 4, and a signed v2 that follows it."""
    first = signed(first_root(people[:4], 3, people[5]), people[:3])
    return first, signed(next_root(first, people[1:5], 2), people[:3])


def stage(vestry: Verbs, pems: dict[str, Path], into: Path, *more: object, names: str = "ada bob cleo") -> Any:
    """A first root."""
    keys = [f"{n}={pems[n]}" for n in names.split()]
    return vestry.json("stage", "root", "--root-key", *keys, "--threshold", 2, *more, "--into", into)


def test_pypis_twelve_keys_become_a_first_root(vestry: Verbs, shared_data: Path, tmp_path: Path) -> None:
    """The keys of a real ceremony must do, in the order in which its devices are listed."""
    folder = shared_data / "pypi-2020-ceremony"
    serials = sorted(p.name for p in folder.iterdir())
    keys = {r: [f"{s}={folder / s / f'{s}_{r}_pubkey.pem'}" for s in serials] for r in ("root", "targets")}
    into = tmp_path / "pypi"
    made = vestry.json(
        "stage", "root", "--root-key", *keys["root"], "--threshold", 3,
        "--targets-key", *keys["targets"], "--targets-threshold", 3, "--expires", YEAR, "--into", into,
    )  # fmt: skip
    assert (made["role"], made["version"], made["thresholds"][0]["threshold"]) == ("root", 1, 3)
    assert sorted(made["holders"].values()) == sorted(serials * 2)
    opened = bundle.open_bundle(into)
    roles = opened.document.signed["roles"]
    assert {r: (v["threshold"], len(v["keyids"])) for r, v in roles.items()} == {
        "root": (3, 6),
        "targets": (3, 6),
        "snapshot": (3, 6),
        "timestamp": (3, 6),
    }
    assert all(serial not in opened.document.raw.decode() for serial in serials)
    assert len(opened.document.signed["keys"]) == 12
    reviewed = vestry.json("review", into)
    assert reviewed["ok"]
    assert reviewed["sha256"] == made["sha256"]
    assert [len(t["missing"]) for t in reviewed["thresholds"]] == [6]
    assert all(serial in vestry("review", into) for serial in serials)
    subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=into, check=True)


def test_a_first_root_with_an_online_key(
    vestry: Verbs, pems: dict[str, Path], people: list[Holder], tmp_path: Path
) -> None:
    """Snapshot and timestamp go to the online key, and to it alone."""
    stage(vestry, pems, tmp_path / "b", "--online-key", pems["online"])
    roles = bundle.open_bundle(tmp_path / "b").document.signed["roles"]
    assert roles["snapshot"] == roles["timestamp"] == {"keyids": [people[5].key.keyid], "threshold": 1}
    assert roles["targets"] == roles["root"]


def test_without_an_online_key_it_says_who_stands_in(vestry: Verbs, pems: dict[str, Path], tmp_path: Path) -> None:
    """A default that nobody hears of would be a trap."""
    made = stage(vestry, pems, tmp_path / "b")
    assert len(made["notes"]) == 2
    assert "snapshot and timestamp" in vestry.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--root-key", "ada={ada}", "bob={bob}"], "how many of the 2 root keys"),
        (["--root-key", "ada={ada}", "--threshold", "2"], "never come from 1 root key"),
        (["--root-key", "ada={ada}", "bob={ada}", "--threshold", "1"], "same key"),
        (["--root-key", "{ada}", "--threshold", "1"], "not NAME=PEM"),
        (["--root-key", "={ada}", "--threshold", "1"], "not NAME=PEM"),
        (["--root-key", "ada=/nowhere.pem", "--threshold", "1"], "nowhere.pem"),
        (["--root-key", "ada=/dev/zero", "--threshold", "1"], "/dev/zero"),
        (["--threshold", "1"], "--root-key"),
        (["--root-key", "ada={ada}", "--targets-threshold", "1"], "without --targets-key"),
        (["--root-key", "ada={ada}", "--drop", "ada"], "--drop without --from"),
        (["--root-key", "ada={ada}", "--expires", "soon"], "365d"),
        (["--root-key", "ada={ada}", "--expires", "0d"], "365d"),
        (["--root-key", "ada={ada}", "--expires", "99999d"], "365d"),
        (["--root-key", "ada={ada}", "--expires", "2020-01-01"], "365d"),
        (["--root-key", "ada={ada}", "--expires", "2027-13-01"], "365d"),
        (["--root-key", "ada={junk}"], "junk.pem"),
        (["--root-key", "ada={private}"], "private.pem"),
        (["--from", "{junk}", "--root-key", "ada={ada}"], "junk.pem"),
    ],
)
def test_wrong_drafts_are_one_line(
    vestry: Verbs, pems: dict[str, Path], tmp_path: Path, arguments: list[str], says: str
) -> None:
    """Each says what to type instead; nothing is written."""
    junk, private = tmp_path / "junk.pem", tmp_path / "private.pem"
    junk.write_bytes(b"-----BEGIN PUBLIC KEY-----\n\xff\x00\n-----END PUBLIC KEY-----\n")
    subprocess.run(["openssl", "genpkey", "-quiet", "-algorithm", "ed25519", "-out", private], check=False)
    if not private.exists():
        private.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    filled = [a.format(**pems, junk=junk, private=private) for a in arguments]
    vestry("stage", "root", *filled, "--into", tmp_path / "b", status=2)
    assert says in vestry.err
    assert len(vestry.err.splitlines()) == 1
    assert not (tmp_path / "b").exists()


def test_rotation_from_a_file(
    vestry: Verbs, pems: dict[str, Path], people: list[Holder], chain: tuple[Document, Document], tmp_path: Path
) -> None:
    """One holder joins, one leaves, the threshold changes: both roots' holders are asked."""
    old = tmp_path / "1.root.json"
    old.write_bytes(chain[0].raw)
    made = vestry.json(
        "stage", "root", "--from", old, "--root-key", f"eve={pems['eve']}", "--drop", people[0].key.keyid[:12],
        "--threshold", 2, "--into", tmp_path / "b",
    )  # fmt: skip
    assert [t["threshold"] for t in made["thresholds"]] == [3, 2]
    roles = bundle.open_bundle(tmp_path / "b").document.signed["roles"]
    assert set(roles["root"]["keyids"]) == {h.key.keyid for h in people[1:5]}
    # Her targets key was the same one: it left, too.
    assert people[0].key.keyid not in roles["targets"]["keyids"]
    kinds = {c["kind"] for c in vestry.json("review", tmp_path / "b")["changes"]}
    assert {"key-added", "key-removed", "threshold-changed", "version-changed"} <= kinds


def test_rotation_from_a_bundle_knows_names(
    vestry: Verbs, pems: dict[str, Path], people: list[Holder], tmp_path: Path
) -> None:
    """Whoever drops a holder thinks of a name, not of 64 digits."""
    stage(vestry, pems, tmp_path / "one")
    opened = bundle.open_bundle(tmp_path / "one")
    vestry("stage", "root", "--from", tmp_path / "one", "--drop", "ada", "--into", tmp_path / "two", status=1)
    assert "signed by" in vestry.err
    for person in people[:2]:
        opened = bundle.add_signature(opened, person.sign(opened.document))
    vestry("stage", "root", "--from", tmp_path / "one", "--drop", "zoe", "--into", tmp_path / "two", status=2)
    assert "ada" in vestry.err
    made = vestry.json("stage", "root", "--from", tmp_path / "one", "--drop", "ada", "--into", tmp_path / "two")
    assert made["version"] == 2
    assert sorted(made["holders"].values()) == ["bob", "cleo"]


def test_an_unsigned_root_is_not_followed(
    vestry: Verbs, pems: dict[str, Path], people: list[Holder], tmp_path: Path
) -> None:
    """A root that its own keys have not signed decides nothing."""
    loose = tmp_path / "1.root.json"
    loose.write_bytes(first_root(people[:3], 2, people[5]).raw)
    vestry("stage", "root", "--from", loose, "--drop", people[0].key.keyid, "--into", tmp_path / "b", status=1)


def test_from_a_draft_to_a_verified_root(
    vestry: Verbs, pems: dict[str, Path], people: list[Holder], tmp_path: Path
) -> None:
    """The whole way of a bundle: out on sticks, signed elsewhere, back, gathered, published."""
    home = tmp_path / "home"
    stage(vestry, pems, home, "--online-key", pems["online"])
    vestry("verify", home, status=1)
    for person in people[:2]:
        stick = tmp_path / f"stick-{person.name}"
        stick.mkdir()
        vestry("export", home, stick)
        away = tmp_path / f"away-{person.name}"
        vestry("import", stick, away)
        opened = bundle.open_bundle(away)
        bundle.add_signature(opened, person.sign(opened.document))
        vestry("export", away, stick)
    vestry("export", home, tmp_path / "published", "--signed", status=1)
    gathered = vestry.json("collect", home, *(tmp_path / f"stick-{p.name}" for p in people[:2]))
    assert len(gathered["added"]) == 2
    assert gathered["thresholds"][0]["met"]
    assert vestry.json("verify", home)["ok"]
    assert vestry("verify", home).endswith("holds\n")
    vestry("export", home, tmp_path / "published", "--signed")
    assert vestry.json("verify", tmp_path / "published" / "1.root.json")["ok"]


def test_a_set_aside_signature_is_status_1(vestry: Verbs, pems: dict[str, Path], tmp_path: Path) -> None:
    """Whoever collects in a script must hear of it."""
    home = tmp_path / "home"
    stage(vestry, pems, home)
    shutil.copytree(home, tmp_path / "other")
    mallory = holder("mallory").sign(bundle.open_bundle(home).document)
    (tmp_path / "other" / "signatures").mkdir()
    path = tmp_path / "other" / "signatures" / f"{mallory.keyid}.json"
    path.write_text(json.dumps({"keyid": mallory.keyid, "sig": mallory.sig}))
    gathered = vestry.json("collect", home, tmp_path / "other", status=1)
    assert [a["keyid"] for a in gathered["set_aside"]] == [mallory.keyid]


def test_export_leaves_other_things_alone(vestry: Verbs, pems: dict[str, Path], tmp_path: Path) -> None:
    """A stick may hold holiday pictures, or another bundle."""
    stage(vestry, pems, tmp_path / "one")
    stage(vestry, pems, tmp_path / "two", "--online-key", pems["online"])
    vestry("export", tmp_path / "one", tmp_path / "stick")
    vestry("export", tmp_path / "one", tmp_path / "stick")
    vestry("export", tmp_path / "two", tmp_path / "stick", status=1)
    assert "another bundle" in vestry.err
    assert bundle.open_bundle(tmp_path / "stick").document == bundle.open_bundle(tmp_path / "one").document


def test_verify_walks_a_chain_of_files(vestry: Verbs, chain: tuple[Document, Document], tmp_path: Path) -> None:
    """In whatever order they are typed."""
    one, two = tmp_path / "1.root.json", tmp_path / "2.root.json"
    one.write_bytes(chain[0].raw)
    two.write_bytes(chain[1].raw)
    for order in ((one, two), (two, one)):
        found = vestry.json("verify", *order)
        assert (found["ok"], found["old_version"], found["new_version"]) == (True, 1, 2)
        assert [len(d["thresholds"]) for d in found["documents"]] == [1, 2]
    changed = json.loads(chain[1].raw)
    changed["signed"]["roles"]["root"]["threshold"] = 1
    two.write_text(json.dumps(changed))
    assert not vestry.json("verify", one, two, status=1)["ok"]


def test_verify_tells_a_gap_and_a_fork(
    vestry: Verbs, chain: tuple[Document, Document], people: list[Holder], tmp_path: Path
) -> None:
    """A missing root, or two of one version, is exactly what a chain must show."""
    third = signed(next_root(chain[1], people[1:5], 3), people[1:5])
    fork = signed(first_root(people[:3], 1, people[5]), people[:3])
    for name, doc in (("1", chain[0]), ("3", third), ("fork", fork)):
        (tmp_path / f"{name}.json").write_bytes(doc.raw)
    vestry("verify", tmp_path / "1.json", tmp_path / "3.json", status=1)
    assert "root v2 is missing" in vestry.err
    vestry("verify", tmp_path / "1.json", tmp_path / "fork.json", status=1)
    assert "two different roots" in vestry.err


def test_verify_real_repositories(vestry: Verbs, shared_data: Path) -> None:
    """Roots that clients all over the world follow must hold here, too; expiry of the last one apart."""
    for folder in sorted((shared_data / "roots").iterdir()):
        found = json.loads(main_json(folder))
        for one in found.get("documents", [found]):
            if one["role"] == "root":
                assert all(t["met"] for t in one["thresholds"]), (folder.name, one["new_version"], one["thresholds"])


def main_json(folder: Path) -> str:
    """What ``vestry verify --json`` prints, whatever its status."""
    command = [sys.executable, "-m", "vestry", "verify", "--json", folder]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode in (0, 1), (folder, result.stdout, result.stderr)
    assert result.stderr == ""
    return result.stdout


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("empty.json", b"", 2),
        ("text.json", b"hello", 2),
        ("list.json", b"[]", 2),
        ("duplicate.json", b'{"signed": {}, "signed": {}}', 2),
        ("float.json", b'{"signed": {"version": 1.0}, "signatures": []}', 2),
        ("nan.json", b'{"signed": NaN, "signatures": []}', 2),
        ("deep.json", b'{"signed": ' + b"[" * 5000 + b"]" * 5000 + b"}", 2),
        ("binary.json", bytes(range(256)), 2),
        ("no-type.json", b'{"signed": {}, "signatures": []}', 2),
        ("bom.json", b"\xef\xbb\xbf{}", 2),
    ],
)
@pytest.mark.parametrize("verb", ["review", "verify"])
def test_malformed_metadata_is_one_line(
    vestry: Verbs, tmp_path: Path, verb: str, name: str, content: bytes, status: int
) -> None:
    """Whatever is in the file: one line, naming the file."""
    path = tmp_path / name
    path.write_bytes(content)
    assert vestry(verb, path, status=status) == ""
    assert name in vestry.err
    assert len(vestry.err.splitlines()) == 1
    assert vestry.json(verb, path, status=status)["error"] == "InputRejected"


def test_review_of_two_files(vestry: Verbs, chain: tuple[Document, Document], tmp_path: Path) -> None:
    """Old and new, without a bundle."""
    one, two = tmp_path / "1.root.json", tmp_path / "2.root.json"
    one.write_bytes(chain[0].raw)
    two.write_bytes(chain[1].raw)
    found = vestry.json("review", one, two)
    page = tmp_path / "review.html"
    vestry.json("review", one, two, "--html", page)
    assert page.read_text("ascii").endswith("</html>\n")
    assert "Content-Security-Policy" in page.read_text("ascii")
    assert set(found) == {
        "role", "old_version", "new_version", "sha256", "changes", "findings", "silenced",
        "thresholds", "look_ahead", "ok",
    }  # fmt: skip
    assert found["sha256"] == document.read(chain[1].raw, where="test").digest
    assert "root" in vestry("review", one, two)
    vestry("review", one, two, two, status=1)


@pytest.mark.parametrize("verb", ["review", "sign", "verify", "collect", "export", "import"])
def test_a_spoilt_bundle_is_refused_by_every_verb(
    vestry: Verbs, pems: dict[str, Path], tmp_path: Path, verb: str
) -> None:
    """One door for all: no verb reads a bundle in a way of its own."""
    home, other = tmp_path / "home", tmp_path / "other"
    stage(vestry, pems, home)
    shutil.copytree(home, other)
    (other / "unsigned" / "root.json").write_bytes(b"{}")
    arguments = {"collect": [home, other], "export": [other, tmp_path / "x"], "import": [other, tmp_path / "x"]}
    vestry(verb, *arguments.get(verb, [other]), status=2)
    assert len(vestry.err.splitlines()) == 1
    assert "root.json" in vestry.err
    assert not (tmp_path / "x").exists()
    assert "error" in vestry.json(verb, *arguments.get(verb, [other]), status=2)


def test_hostile_names_of_holders_do_not_reach_the_terminal(
    vestry: Verbs, pems: dict[str, Path], people: list[Holder], tmp_path: Path
) -> None:
    """bundle.json is signed by nobody: a name in it may be anything."""
    home = tmp_path / "home"
    stage(vestry, pems, home)
    shutil.copytree(home, tmp_path / "other")
    for folder in (home, tmp_path / "other"):
        path = folder / "bundle.json"
        value = json.loads(path.read_text())
        value["holders"] = dict.fromkeys(value["holders"], "\x1b]0;owned\x07\u202eeve")
        path.write_text(json.dumps(value))
        (folder / "SHA256SUMS").write_bytes(
            drives.sums({p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()})
        )
    opened = bundle.open_bundle(tmp_path / "other")
    bundle.add_signature(opened, people[0].sign(opened.document))
    shown = vestry("collect", home, tmp_path / "other") + vestry.err
    shown += vestry("review", home) + vestry("verify", home, status=1) + vestry.err
    assert "\\u{202e}eve" in shown
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert shown.isascii()


def test_verify_counts_where_very_many_hold(
    vestry: Verbs, chain: tuple[Document, Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among the lines of thousands of bins nobody would see the one that does not hold."""
    files = [tmp_path / f"{d.version}.json" for d in chain]
    for path, one in zip(files, chain, strict=True):
        path.write_bytes(one.raw)
    monkeypatch.setattr("vestry.cli.verify._MANY", 1)
    assert "2 documents: 2 hold, 0 do not" in vestry("verify", *files)


def test_a_review_looks_ahead_as_far_as_it_is_shown(
    vestry: Verbs, chain: tuple[Document, Document], people: list[Holder], tmp_path: Path
) -> None:
    """Which clients are left behind, and what expires before people meet again, no document says of itself."""
    third = next_root(chain[1], people[1:5], 3)
    for doc in (*chain, third):
        (tmp_path / f"{doc.version}.root.json").write_bytes(doc.raw)
    files = [tmp_path / f"{n}.root.json" for n in (1, 2, 3)]
    leads = vestry.json("review", *files)["look_ahead"]["leads"]
    assert [(x["version"], x["leads"]) for x in leads] == [(2, True), (1, True)]
    assert [x["version"] for x in vestry.json("review", *files[1:])["look_ahead"]["leads"]] == [2]
    raw = drafting.targets_with_bins(version=7, expires=third.expires, bins_threshold=1, bins_keys=[people[0].key])
    (tmp_path / "7.bins.json").write_bytes(raw)
    day = f"{third.expires.year + 1}-01-02"
    ahead = vestry.json("review", files[2], "--beside", tmp_path / "7.bins.json", "--next", day)["look_ahead"]
    assert ahead["next_ceremony"] == f"{day}T00:00:00Z"
    assert {(x["role"], x["version"], x["before_next_ceremony"]) for x in ahead["expiries"]} == {
        ("bins", 7, True),
        ("root", 3, True),
    }
    for wrong in (["--next", "2027-02-30"], ["--next", "soon"], ["--beside", files[0]] * 2):
        vestry("review", files[2], *wrong, status=2)
    vestry("review", tmp_path / "7.bins.json", *files[1:], status=2)
    assert "only roots lead" in vestry.err


def test_a_role_is_known_by_its_files_name(vestry: Verbs, tmp_path: Path) -> None:
    """A name that is quoted in its file's would be no role, and a loop over two files would be told to nobody."""

    def write(name: str, to: str) -> Path:
        role = {"name": to, "keyids": [], "threshold": 1, "paths": ["*"], "terminating": False}
        signed = {"_type": "targets", "spec_version": "1.0.31", "version": 1, "expires": "2030-01-01T00:00:00Z"}
        signed |= {"targets": {}, "delegations": {"keys": {}, "roles": [role]}}
        path = tmp_path / name
        path.write_text(json.dumps({"signed": signed, "signatures": []}))
        return path

    above, below = write("3.a.json", to="b/\u00f6"), write("1.b%2F%C3%B6.json", to="a")
    found = vestry.json("review", below, "--delegator", above, status=1)
    assert found["role"] == "b/\u00f6"
    assert "DELEGATION-LOOP" in {f["code"] for f in found["findings"]}
