"""What an attacker serves who holds no key, or one too few: other people's clients and Vestry refuse it alike."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from clients.conftest import Client, ngclient
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from vestry.cli.main import main

PATHS = ("a/one-1.0.tar.gz", "b/two-1.0.tar.gz")
ROLES = ("bin-0a", "bin-0b")
CONTENT = b"what was released\n"
NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass
class Repository:
    """A small repository in a served folder: two holders of root, one online key, a bin for each of two files."""

    www: Path
    holders: list[CryptoSigner] = field(default_factory=lambda: [CryptoSigner.generate_ed25519() for _ in range(2)])
    later: list[CryptoSigner] = field(default_factory=lambda: [CryptoSigner.generate_ed25519() for _ in range(2)])
    online: CryptoSigner = field(default_factory=CryptoSigner.generate_ed25519)
    versions: dict[str, int] = field(default_factory=dict)

    def write(self, name: str, signed: Any, signers: list[CryptoSigner]) -> None:
        made: Metadata[Any] = Metadata(signed)
        for signer in signers:
            made.sign(signer, append=True)
        made.to_file(str(self.file(name)))

    def root(self, version: int, holders: list[CryptoSigner], signers: list[CryptoSigner]) -> None:
        signed = Root(version=version, expires=NOW + timedelta(days=9), consistent_snapshot=True)
        for role in ("root", "timestamp", "snapshot", "targets"):
            for one in holders if role == "root" else [self.online]:
                signed.add_key(one.public_key, role)
        signed.roles["root"].threshold = len(holders)
        self.write(f"{version}.root.json", signed, signers)

    def publish(self, **changed: Any) -> None:
        """The next version of everything below root, but for roles whose version, or days left, is given as a pair."""

        def given(role: str) -> tuple[int, datetime]:
            version, days = changed.get(role.replace("-", "_"), (self.versions.get(role, 0) + 1, 1))
            self.versions[role] = version
            return version, NOW + timedelta(days=days)

        listed: dict[str, MetaFile] = {}
        delegations = Delegations({}, {})
        roles = delegations.roles
        assert roles is not None
        for name, path in zip(ROLES, PATHS, strict=True):
            roles[name] = DelegatedRole(name, [], 1, False, [f"{path[0]}/*"])
        targets_version, until = given("targets")
        targets = Targets(targets_version, expires=until, delegations=delegations)
        for name in ROLES:
            targets.add_key(self.online.public_key, name)
        self.write(f"{targets_version}.targets.json", targets, [self.online])
        listed["targets.json"] = MetaFile(targets_version)
        for name, path in zip(ROLES, PATHS, strict=True):
            version, until = given(name)
            signed = Targets(version, expires=until, targets={path: TargetFile.from_data(path, CONTENT, ["sha256"])})
            self.write(f"{version}.{name}.json", signed, [self.online])
            listed[f"{name}.json"] = MetaFile(version)
            folder, _, file = path.partition("/")
            (self.www / "targets" / folder).mkdir(exist_ok=True)
            (self.www / "targets" / folder / f"{signed.targets[path].hashes['sha256']}.{file}").write_bytes(CONTENT)
        version, until = given("snapshot")
        self.write(f"{version}.snapshot.json", Snapshot(version, expires=until, meta=listed), [self.online])
        stamped, until = given("timestamp")
        signed_at = Timestamp(stamped, expires=until, snapshot_meta=MetaFile(version))
        self.write("timestamp.json", signed_at, [self.online])

    def file(self, name: str) -> Path:
        return self.www / "metadata" / name


def swapped(repository: Repository) -> None:
    one, other = (repository.file(f"2.{name}.json") for name in ROLES)
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)


def wrong_bytes(repository: Repository) -> None:
    for path in (repository.www / "targets").rglob("*.gz"):
        path.write_bytes(bytes(len(CONTENT)))


# What was signed is all right in itself: only who saw later versions, as these clients and the good snapshot, knows.
ROLLED_BACK = {
    "timestamp rolled back": {"timestamp": (1, 1), "snapshot": (1, 1), "targets": (1, 1), "bin_0a": (1, 1)},
    "bin rolled back": {"bin_0a": (1, 1)},
}
ATTACKS: dict[str, Callable[[Repository], object]] = {
    "snapshot expired": lambda r: r.publish(snapshot=(3, -1)),
    "bins swapped": swapped,
    "bin missing": lambda r: r.file("2.bin-0a.json").unlink(),
    "target of right length": wrong_bytes,
    "root of new keys only": lambda r: r.root(2, r.later, r.later),
    "root of old keys only": lambda r: r.root(2, r.later, r.holders),
    "root rolled back": lambda r: r.file("2.root.json").write_bytes(r.file("1.root.json").read_bytes()),
}


@pytest.fixture
def published(served: tuple[Path, str]) -> Repository:
    made = Repository(served[0])
    made.root(1, made.holders, made.holders)
    made.publish()
    made.publish()
    return made


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_no_key_is_needed_for_is_refused_by_everyone(
    tmp_path: Path, served: tuple[Path, str], published: Repository, tuf_js: Client, attack: str
) -> None:
    """Without it Vestry could call a repository whole that clients refuse."""
    www, url = served
    root = published.file("1.root.json").read_bytes()
    assert main(["verify", str(www)]) == 0
    ATTACKS[attack](published)
    for number, client in enumerate((ngclient, tuf_js)):
        assert client(tmp_path / str(number), url, root, PATHS[0]).why
    assert main(["verify", "--as-client", str(www)]) == 1
    # It looks at documents; files of targets are what a client asks for.
    assert main(["verify", str(www)]) == (0 if attack == "target of right length" else 1)


@pytest.mark.parametrize("attack", ROLLED_BACK)
def test_rolled_back_is_refused_by_who_saw_more(
    tmp_path: Path,
    served: tuple[Path, str],
    published: Repository,
    tuf_js: Client,
    attack: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Old versions, rightly signed, would bring back what was withdrawn."""
    www, url = served
    root = published.file("1.root.json").read_bytes()
    clients = {tmp_path / "python": ngclient, tmp_path / "js": tuf_js}
    for home, client in clients.items():
        assert client(home, url, root, PATHS[0]).why == ""
    good = shutil.copytree(www / "metadata", tmp_path / "good")
    published.publish(**ROLLED_BACK[attack])
    for home, client in clients.items():
        assert client(home, url, None, PATHS[0]).why
    assert main(["compare", str(good), str(www / "metadata")]) == 1
    assert "version" in capsys.readouterr().out
