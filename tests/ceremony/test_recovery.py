"""Each recovery script that is shipped is walked to its end, from what the shipped first ceremony made; a client that
trusted the old root follows, and whoever has the stolen keys is refused from then on."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.exceptions import DownloadHTTPError, RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.ngclient import FetcherInterface, Updater

from tests.people import People
from vestry.ceremony import conductor, order, reading, transcript
from vestry.ceremony.replay import compare_files, replay
from vestry.cli.main import main
from vestry.media import snapshot
from vestry.metadata.document import Signature, read
from vestry.metadata.keys import Key
from vestry.tokens.software import SoftwareSource
from vestry.tokens.token import Pin

SAMPLE, OTHER, LATER = "5c/2f/sampleproject-4.0.0.tar.gz", "aa/11/other-1.0.tar.gz", "bb/22/later-2.0.tar.gz"
HOLDERS = ("alice", "bob", "carol", "dave", "erin")
ON_TOKENS = 'use = "pkcs11"\nmodule = "softhsm2"'
FULL = ("recovery-online-key.toml", "recovery-targets-or-bins-keys.toml", "recovery-root-threshold.toml")


def online_key() -> CryptoSigner:
    private = ed25519.Ed25519PrivateKey.generate()
    return CryptoSigner(private, SSlibKey.from_crypto(private.public_key()))


def pem(signer: CryptoSigner) -> bytes:
    private: Any = signer._private_key
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return private.public_key().public_bytes(serialization.Encoding.PEM, kind)  # type: ignore[no-any-return]


@dataclass
class Repository:
    """What is published: the offline documents, and what the online key adds."""

    folder: Path
    files: Mapping[str, bytes] = field(default_factory=dict)

    def publish(self, offline: Path, online: CryptoSigner, version: int, targets: Mapping[str, bytes]) -> None:
        """One bin for each target, a snapshot and a timestamp, all of `version`."""
        self.folder.mkdir(exist_ok=True)
        newest: dict[str, int] = {}
        for path in (*offline.iterdir(), *self.folder.glob("*.root.json")):
            (self.folder / path.name).write_bytes(path.read_bytes())
            number, role, _ = path.name.split(".")
            newest[role] = max(int(number), newest.get(role, 0))
        soon = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
        bins: Metadata[Targets] = Metadata.from_file(str(self.folder / f"{newest['bins']}.bins.json"))
        assert bins.signed.delegations is not None
        assert bins.signed.delegations.succinct_roles is not None
        every = bins.signed.delegations.succinct_roles.get_roles()
        leaves = {name: Metadata(Targets(version=version, expires=soon)) for name in every}
        for path, content in targets.items():
            name = next(iter(bins.signed.delegations.get_roles_for_target(path)))[0]
            leaves[name].signed.targets[path] = TargetFile.from_data(path, content, ["sha256"])
        meta = {f"{role}.json": MetaFile(newest[role]) for role in ("targets", "bins")}
        meta |= {f"{name}.json": MetaFile(version) for name in leaves}
        named = {f"{version}.{name}.json": leaf for name, leaf in leaves.items()}
        named[f"{version}.snapshot.json"] = Metadata(Snapshot(version=version, expires=soon, meta=meta))
        named["timestamp.json"] = Metadata(Timestamp(version=version, expires=soon, snapshot_meta=MetaFile(version)))
        for name, document in named.items():
            document.sign(online)
            document.to_file(str(self.folder / name))


class _Files(FetcherInterface):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = self._folder / url.rpartition("/")[2]
        if not path.is_file():
            raise DownloadHTTPError("not there", 404)
        yield path.read_bytes()


def client(home: Path, repository: Path, bootstrap: bytes | None = None) -> Updater:
    home.mkdir(exist_ok=True)
    return Updater(str(home), "https://repository.invalid", fetcher=_Files(repository), bootstrap=bootstrap)


@dataclass(frozen=True)
class World:
    """A repository whose first ceremony went well, and whose online key is stolen now."""

    ceremony: Path
    pins: dict[str, str]
    keyids: Mapping[str, str]
    stolen: CryptoSigner
    good: Path
    now: Path

    @property
    def root(self) -> bytes:
        return (self.ceremony / "signed" / "1.root.json").read_bytes()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> World:
    folder = tmp_path_factory.mktemp("world")
    text = (repository / "ceremony-scripts" / "pypi-root.toml").read_text().replace(ON_TOKENS, 'use = "software"')
    # The keys of targets and bins stay on their devices: that is how they get stolen.
    destroy = '[[steps]]\ndo = "destroy"\ntitle = "Destroy keys"\nroles = ["targets", "bins"]\n'
    assert destroy in text
    text = text.replace(destroy, "").replace("number = 16384 ", "number = 2 ")
    stolen, people = online_key(), People()
    example = (repository / "ceremony-scripts" / "example-online-key.pem").read_bytes()
    text = text.replace(hashlib.sha256(example).hexdigest(), hashlib.sha256(pem(stolen)).hexdigest())
    (folder / "example-online-key.pem").write_bytes(pem(stolen))
    (folder / "root.toml").write_text(text.replace('security_officer = "forgotten"\n', ""))
    blanks(folder / "c" / "tokens", 0, 5)
    state = conductor.conduct(*reading.load(folder / "root.toml"), folder / "c", people)
    signed = folder / "c" / "signed"
    Repository(folder / "good").publish(signed, stolen, 1, {SAMPLE: b"sample\n", OTHER: b"other\n"})
    # The thief serves other content for one project and drops another; meanwhile one was released.
    Repository(folder / "now").publish(signed, stolen, 2, {SAMPLE: b"evil\n", LATER: b"later\n"})
    keyids = {name: facts.keyid for name, facts in state.keys.items()}
    return World(folder / "c", dict(people.pins), keyids, stolen, folder / "good", folder / "now")


def blanks(folder: Path, first: int, count: int) -> None:
    source = SoftwareSource(folder)
    for number in range(first, first + count):
        source.create(f"00000000{number:02d}")
    source.close()


@dataclass
class Walk:
    """A recovery that is over: its folder, the new online key, and who was asked what."""

    folder: Path
    tokens: Path
    online: CryptoSigner
    people: People
    state: Any


def prepared(world: World, folder: Path, repository: Path, name: str, online: CryptoSigner) -> Path:
    """The shipped script with its blanks filled in, beside the documents it names."""
    text = (repository / "ceremony-scripts" / name).read_text().replace(ON_TOKENS, 'use = "software"')
    for number, holder in enumerate(HOLDERS, 1):
        text = text.replace(f'keyid = "0000000{number}"', f'keyid = "{world.keyids[f"{holder}-root"][:8]}"')
    signed = world.ceremony / "signed"
    files = {f"1.{role}.json": (signed / f"1.{role}.json").read_bytes() for role in ("root", "targets", "bins")}
    files["new-online-key.pem"] = pem(online)
    digests = {n: hashlib.sha256(raw).hexdigest() for n, raw in files.items()}
    for at, place in (("last-good-snapshot", world.good), ("published-now", world.now)):
        shutil.copytree(place, folder / at)
        digests[at] = hashlib.sha256(snapshot.listing(snapshot.open_snapshot(place))).hexdigest()
    for n, digest in digests.items():
        lines = text.splitlines(keepends=True)
        for index, line in enumerate(lines):
            if f'"{n}"' in line:
                lines[index + 1] = lines[index + 1].replace("0" * 64, digest)
        text = "".join(lines)
    assert "0" * 64 not in text
    for n, raw in files.items():
        (folder / n).write_bytes(raw)
    (folder / name).write_text(text)
    return folder / name


@pytest.fixture(scope="module")
def walk(world: World, tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Callable[[str], Walk]:
    """Each script is walked once, when a test first asks for it."""
    return cache(lambda name: walked_to_the_end(world, tmp_path_factory.mktemp("recovery"), repository, name))


def walked_to_the_end(world: World, tmp_path: Path, repository: Path, name: str) -> Walk:
    tokens, online = tmp_path / "tokens", online_key()
    shutil.copytree(world.ceremony / "tokens", tokens)
    blanks(tokens, 20, 7)
    path = prepared(world, tmp_path, repository, name, online)
    script, inputs = reading.load(path)
    assert [p for p in order.check(script, inputs) if p.severity == "stop"] == []
    people = People(pins=dict(world.pins))
    state = conductor.conduct(script, inputs, tmp_path / "c", people, tokens=tokens, beside=tmp_path)
    assert people.troubles == []
    steps = list(replay(transcript.read(tmp_path / "c" / "transcript.jsonl")))
    assert [(s.recorded.n, s.why) for s in steps if s.verdict == "failed"] == []
    assert all(f.verdict == "recomputed" for f in compare_files(steps[-1].state, tmp_path / "c"))
    verifier = repository / "tests" / "standalone_verifier.py"
    found = subprocess.run([sys.executable, verifier, tmp_path / "c"], capture_output=True, text=True, check=False)
    assert (found.returncode, "FAILED" in found.stdout) == (0, False), found.stdout
    return Walk(tmp_path / "c", tokens, online, people, state)


def signed_by(world: World, walked: Walk, document: bytes, *names: str) -> bytes:
    """`document` signed by keys of the first ceremony, as by someone who has the devices and their PINs."""
    draft = read(document, where="attack")
    signatures = []
    source = SoftwareSource(walked.tokens)
    for token in source.tokens():
        for key in token.public_keys():
            if Key.from_spki(key.spki).keyid in [world.keyids[name] for name in names]:
                holder = key.label.partition("-")[0].title()
                with token.unlock(Pin(walked.people.pins[holder])) as unlocked:
                    held = unlocked.keys()
                    sig = unlocked.sign(next(k for k in held if k.spki == key.spki), draft.signed_bytes)
                signatures.append(Signature(Key.from_spki(key.spki).keyid, sig.hex()))
    source.close()
    assert len(signatures) == len(names)
    return draft.with_signatures(signatures).raw


def unsigned(signed: Any) -> bytes:
    return json.dumps({"signatures": [], "signed": signed.to_dict()}).encode()


def fresh(home: Path, www: Path) -> Updater:
    updater = client(home, www)
    updater.refresh()
    return updater


def followed(world: World, walked: Walk, tmp_path: Path) -> tuple[Path, Path]:
    """A client that trusted the old root, and met the thief's snapshot, follows to the new documents; gives its home
    and what is published."""
    www, home = tmp_path / "www", tmp_path / "client"
    shutil.copytree(world.now, www)
    before = client(home, www, world.root)
    before.refresh()
    assert before.get_targetinfo(OTHER) is None
    Repository(www).publish(walked.folder / "signed", walked.online, 3, {SAMPLE: b"sample\n", OTHER: b"other\n"})
    updater = fresh(home, www)
    assert updater._trusted_set.root.version == 2
    for path, content in ((SAMPLE, b"sample\n"), (OTHER, b"other\n")):
        info = updater.get_targetinfo(path)
        assert info is not None
        info.verify_length_and_hashes(content)
    return home, www


def refused(home: Path, www: Path) -> None:
    with pytest.raises(RepositoryError):
        fresh(home, www)
    assert json.loads((home / "timestamp.json").read_text())["signed"]["version"] == 3


def test_compare_says_what_to_pin_and_what_the_thief_did(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Who fills in the blanks needs the digests, and the worst first to know what kind of day it is."""
    assert main(["compare", str(world.good), str(world.now), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["counts"] == {"changed": 1, "vanished": 1, "appeared": 1}
    assert told["good_sha256"] == hashlib.sha256(snapshot.listing(snapshot.open_snapshot(world.good))).hexdigest()
    assert main(["compare", str(world.good), str(world.good)]) == 0
    # Going back is what an attacker does who serves an old snapshot for a new one.
    assert main(["compare", str(world.now), str(world.good), "--json"]) == 1
    assert json.loads(capsys.readouterr().out.partition("{")[2].join(("{", "")))["counts"]["rolled-back"] >= 1


@pytest.mark.parametrize("name", FULL)
def test_a_client_that_trusted_the_old_root_follows_and_the_stolen_online_key_opens_nothing(
    world: World, walk: Callable[[str], Walk], tmp_path: Path, name: str
) -> None:
    """A recovery that clients don't follow locks them out, and one that leaves the thief a role is none."""
    walked = walk(name)
    assert set(walked.state.outputs) == {"2.root.json", "2.targets.json", "2.bins.json"}
    assert all(walked.state.keys[f"{who}-{role}"].destroyed for who in ("alice", "bob") for role in ("targets", "bins"))
    home, www = followed(world, walked, tmp_path)
    # The thief's next snapshot, ever so high, by the stolen key.
    attacked = tmp_path / "attacked"
    shutil.copytree(www, attacked)
    Repository(attacked).publish(walked.folder / "signed", world.stolen, 99, {SAMPLE: b"evil\n"})
    refused(home, attacked)


def test_what_the_thief_did_is_listed_and_answered(world: World, walk: Callable[[str], Walk], tmp_path: Path) -> None:
    """A target that is restored from a list which lacks it stays the thief's."""
    walked = walk(FULL[0])
    (name,) = walked.state.lists
    listed = [json.loads(line) for line in (walked.folder / name).read_text().splitlines()]
    found = {(d["kind"], d["path"]) for d in listed if d["path"]}
    assert found == {("changed", SAMPLE), ("vanished", OTHER), ("appeared", LATER)}
    changed = next(d for d in listed if d["kind"] == "changed")
    assert changed["good"]["hashes"]["sha256"] == hashlib.sha256(b"sample\n").hexdigest()
    asked = [q for q in walked.people.asked if q.name == "compared"]
    assert len(asked) == 3
    exported = walked.folder / "export" / name
    assert exported.read_bytes() == (walked.folder / name).read_bytes()


def test_stolen_targets_and_bins_keys_sign_nothing_that_counts(
    world: World, walk: Callable[[str], Walk], tmp_path: Path
) -> None:
    """With the old targets keys and even the new online key, a thief's delegation must lead nowhere."""
    walked = walk("recovery-targets-or-bins-keys.toml")
    home, www = followed(world, walked, tmp_path)
    for role in ("targets", "bins"):
        attacked, victim = tmp_path / f"attacked-{role}", tmp_path / f"victim-{role}"
        shutil.copytree(home, victim)
        shutil.copytree(www, attacked)
        good: Metadata[Targets] = Metadata.from_file(str(www / f"2.{role}.json"))
        good.signed.version = 3
        evil = signed_by(world, walked, unsigned(good.signed), f"alice-{role}", f"bob-{role}")
        offline = tmp_path / f"evil-{role}"
        offline.mkdir()
        for other in ("targets", "bins"):
            (offline / f"2.{other}.json").write_bytes((www / f"2.{other}.json").read_bytes())
        (offline / f"3.{role}.json").write_bytes(evil)
        Repository(attacked).publish(offline, walked.online, 4, {SAMPLE: b"evil\n"})
        with pytest.raises(RepositoryError):
            fresh(victim, attacked).get_targetinfo(SAMPLE)


def test_stolen_root_keys_sign_no_root_that_follows(world: World, walk: Callable[[str], Walk], tmp_path: Path) -> None:
    """After the old threshold is gone, no number of old keys may bring a client anywhere."""
    walked = walk("recovery-root-threshold.toml")
    assert not set(read(world.root, where="v1").signed["keys"]) & set(walked.state.documents["root"].signed["keys"])
    home, www = followed(world, walked, tmp_path)
    evil: Metadata[Root] = Metadata.from_file(str(www / "2.root.json"))
    evil.signed.version = 3
    (www / "3.root.json").write_bytes(signed_by(world, walked, unsigned(evil.signed), *(f"{h}-root" for h in HOLDERS)))
    refused(home, www)


def test_one_stolen_root_key_counts_for_nothing_afterwards(
    world: World, walk: Callable[[str], Walk], tmp_path: Path
) -> None:
    """A key that leaves must help nobody: with two more it was a threshold, and now it is two."""
    walked = walk("recovery-one-root-key.toml")
    assert world.keyids["erin-root"] not in walked.state.signatures["root"]
    www, home = tmp_path / "www", tmp_path / "client"
    shutil.copytree(world.good, www)
    client(home, www, world.root).refresh()
    (www / "2.root.json").write_bytes((walked.folder / "signed" / "2.root.json").read_bytes())
    assert fresh(home, www)._trusted_set.root.version == 2
    evil: Metadata[Root] = Metadata.from_file(str(www / "2.root.json"))
    evil.signed.version = 3
    raw = signed_by(world, walked, unsigned(evil.signed), "erin-root", "alice-root", "bob-root")
    (www / "3.root.json").write_bytes(raw)
    with pytest.raises(RepositoryError):
        fresh(home, www)
    raw = signed_by(world, walked, unsigned(evil.signed), "carol-root", "alice-root", "bob-root")
    (www / "3.root.json").write_bytes(raw)
    assert fresh(home, www)._trusted_set.root.version == 3
