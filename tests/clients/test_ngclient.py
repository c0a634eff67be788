"""python-tuf's client bootstraps from what a ceremony signed, downloads a target, and follows a rotation."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import Metadata, MetaFile, Snapshot, TargetFile, Targets, Timestamp
from tuf.ngclient import Updater

from vestry.ceremony import conductor, reading, rehearsal

PATH = "5c/2f/sampleproject-4.0.0.tar.gz"
CONTENT = b"the content of a release\n"


def publish(ceremony: Path, www: Path, version: int = 1) -> None:
    """Add what the online key signs: one bin with one target, snapshot and timestamp."""
    private = serialization.load_pem_private_key((ceremony / "online.private.pem").read_bytes(), None)
    signer = CryptoSigner(private, SSlibKey.from_crypto(private.public_key()))  # type: ignore[arg-type]
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    for path in (ceremony / "signed").iterdir():
        (www / "metadata" / path.name).write_bytes(path.read_bytes())
    bins = Metadata[Targets].from_file(str(ceremony / "signed" / "1.bins.json"))
    name = next(iter(bins.signed.delegations.get_roles_for_target(PATH)))[0]
    target = TargetFile.from_data(PATH, CONTENT, ["sha256", "sha512"])
    leaf = Metadata(Targets(expires=soon, targets={PATH: target}))
    snapshot = Metadata(
        Snapshot(
            version=version,
            expires=soon,
            meta={"targets.json": MetaFile(1), "bins.json": MetaFile(1), f"{name}.json": MetaFile(1)},
        )
    )
    timestamp = Metadata(Timestamp(version=version, expires=soon, snapshot_meta=MetaFile(version)))
    for md, file in ((leaf, f"1.{name}.json"), (snapshot, f"{version}.snapshot.json"), (timestamp, "timestamp.json")):
        md.sign(signer)
        md.to_file(str(www / "metadata" / file))
    folder = www / "targets" / "5c" / "2f"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{target.hashes['sha256']}.sampleproject-4.0.0.tar.gz").write_bytes(CONTENT)


def client(home: Path, url: str, bootstrap: bytes | None) -> Updater:
    home.mkdir(exist_ok=True)
    return Updater(
        metadata_dir=str(home / "metadata"),
        metadata_base_url=f"{url}/metadata/",
        target_dir=str(home),
        target_base_url=f"{url}/targets/",
        bootstrap=bootstrap,
    )


@pytest.fixture
def ceremony(tmp_path: Path, people: Any) -> Path:
    script, inputs = rehearsal.prepare(tmp_path / "r", holders=5, threshold=3)
    conductor.conduct(script, inputs, tmp_path / "r", people)
    return tmp_path / "r"


def rotation_script(ceremony: Path, *, threshold: int = 3) -> str:
    """Erin leaves, Frank joins; everyone else stays, on the tokens of the first ceremony."""
    root = (ceremony / "signed" / "1.root.json").read_bytes()
    first = reading.load(ceremony / "rehearsal.toml")[0]
    keyids = {p.name: "" for p in first.people}
    for line in (ceremony / "transcript.jsonl").read_text().splitlines():
        event = json.loads(line)["event"]
        if event["what"] == "key_generated" and event["with"]["key"].endswith("-root"):
            keyids[event["with"]["key"].removesuffix("-root").title()] = event["with"]["keyid"]
    holders = ["Alice", "Bob", "Carol", "Dave", "Erin"]
    people = "".join(f'[[people]]\nname = "{h}"\noffice = "holder"\n' for h in [*holders, "Frank"])
    serials = {t.holder: t.serial for t in first.tokens} | {"Frank": "0000000006"}
    tokens = "".join(
        f'[[tokens]]\nname = "{h.lower()}"\nholder = "{h}"\nuse = "software"\nserial = "{serials[h]}"\n'
        for h in serials
    )
    keys = "".join(
        f'[[keys]]\nname = "{h.lower()}-root"\nholder = "{h}"\ntoken = "{h.lower()}"\nroles = ["root"]\n'
        f'keyid = "{keyids[h][:8]}"\n' + ("leaves = true\n" if h == "Erin" else "")
        for h in holders
    )
    steps = "".join(
        f'[[steps]]\ndo = "{do}"\n' for do in ("gather", "provision", "draft", "review", "sign", "verify", "export")
    )
    return (
        '[ceremony]\ntitle = "Rotation"\nkind = "rotation"\nrepository = "practice.example"\nrehearsal = true\n'
        '[[people]]\nname = "Olivia"\noffice = "administrator"\n[[people]]\nname = "Walter"\noffice = "witness"\n'
        f'{people}[root]\nfrom = "1.root.json"\nfrom_sha256 = "{hashlib.sha256(root).hexdigest()}"\n'
        f'threshold = {threshold}\nexpires = "365d"\n{tokens}{keys}[[keys]]\nname = "frank-root"\nholder = "Frank"\n'
        f'token = "frank"\nroles = ["root"]\nscheme = "ecdsa-sha2-nistp256"\n{steps}'
    )


def rotate(ceremony: Path, folder: Path, people: Any, *, threshold: int = 3) -> Any:
    from vestry.tokens.software import SoftwareSource

    folder.mkdir()
    (folder / "1.root.json").write_bytes((ceremony / "signed" / "1.root.json").read_bytes())
    (folder / "rotation.toml").write_text(rotation_script(ceremony, threshold=threshold))
    source = SoftwareSource(ceremony / "tokens")
    source.create("0000000006")
    source.close()
    script, inputs = reading.load(folder / "rotation.toml")
    return conductor.conduct(script, inputs, folder / "c", people, tokens=ceremony / "tokens")


def test_a_client_bootstraps_and_downloads(tmp_path: Path, served: tuple[Path, str], ceremony: Path) -> None:
    """What the ceremony signed must serve a real client, from root to a target in one of 16,384 bins."""
    www, url = served
    publish(ceremony, www)
    updater = client(tmp_path / "client", url, (ceremony / "signed" / "1.root.json").read_bytes())
    info = updater.get_targetinfo(PATH)
    assert info is not None
    assert Path(updater.download_target(info)).read_bytes() == CONTENT


@pytest.mark.parametrize("threshold", [2, 3, 4])
def test_a_client_follows_the_rotation(
    tmp_path: Path, served: tuple[Path, str], ceremony: Path, people: Any, threshold: int
) -> None:
    """A rotation that clients don't follow locks them out for good."""
    www, url = served
    publish(ceremony, www)
    client(tmp_path / "client", url, (ceremony / "signed" / "1.root.json").read_bytes()).refresh()
    state = rotate(ceremony, tmp_path / "rotation", people, threshold=threshold)
    by = {t.by: t for t in state.tallies("root")}
    assert by["root v1"].met
    assert by["root v2"].met
    assert by["root v2"].threshold == threshold
    (www / "metadata" / "2.root.json").write_bytes((tmp_path / "rotation/c/signed/2.root.json").read_bytes())
    publish(ceremony, www, version=2)
    updater = client(tmp_path / "client", url, None)
    updater.refresh()
    assert updater._trusted_set.root.version == 2
    info = updater.get_targetinfo(PATH)
    assert info is not None
