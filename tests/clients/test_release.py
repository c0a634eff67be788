"""A maintainer's release with one YubiKey: staged, signed and exported through Yubico's own module, and fetched by a
real client; with few prompts, which are counted."""

from __future__ import annotations

import io
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import releases
from cryptography.hazmat.primitives import serialization
from holders import first_root, holder, signed
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp
from tuf.ngclient import Updater, UpdaterConfig
from virtual_yubikey.bench import YKCS11, Bench

from vestry.cli.main import main
from vestry.media import bundle
from vestry.metadata.keys import Key
from vestry.text import words

PIN = "482915"


class Maintainer:
    """Types what is asked, and counts it. `shown` is the terminal."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.shown, self.prompts = folder, io.StringIO(), 0

    def isatty(self) -> bool:
        return False

    def readline(self) -> str:
        self.prompts += 1
        shown = self.shown.getvalue()
        prompt = shown.splitlines()[-1]
        if "Type them" in prompt:
            right = words(bundle.open_bundle(self.folder).document.digest)
            places = re.findall(r"Type words (\d+) and (\d+)", shown)[-1]
            return " ".join(right[int(p) - 1] for p in places) + "\n"
        return (PIN if "PIN" in prompt else "yes" if "yes" in prompt else "read, and meant") + "\n"


def keyed(bench: Bench) -> Key:
    """A key that lies on Alice's YubiKey, whose PIN is no longer the factory's."""
    public = bench.cards["alice"].put_key("9c", "p256")
    bench.cards["alice"].set_secrets(pin=PIN)
    return Key.from_spki(
        public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def test_a_release_takes_at_most_six_prompts(
    yubikeys: Bench, tmp_path: Path, served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than that and people stop reading what they are asked; and a client must fetch what came of it."""
    www, url = served
    metadata = www / "metadata"
    admin, online = holder("admin"), holder("online")
    key = keyed(yubikeys)
    (tmp_path / "alice.pem").write_text(key.pem)
    root = signed(first_root([admin], 1, online), [admin])
    (metadata / "1.root.json").write_bytes(root.raw)
    given = ["--root", str(metadata / "1.root.json")]
    words_ = ["--role", "requests", "--key", f"Alice={tmp_path / 'alice.pem'}", "--paths", "requests/*"]
    assert main(["stage", "delegation", *given, *words_, "--into", str(tmp_path / "d")]) == 0
    made = bundle.open_bundle(tmp_path / "d")
    bundle.add_signature(made, admin.sign(made.document))
    assert main(["export", str(tmp_path / "d"), str(tmp_path / "out"), "--signed"]) == 0
    files = [releases.wheel(tmp_path, "requests", "2.0"), releases.sdist(tmp_path, "requests", "2.0")]

    typist = Maintainer(tmp_path / "b")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", typist)
        patch.setattr(sys, "stderr", typist.shown)
        above = ["--from", str(tmp_path / "out" / "1.targets.json")]
        add = ["--role", "requests", "--add", *map(str, files)]
        assert main(["stage", "targets", *given, *above, *add, "--into", str(tmp_path / "b")]) == 0
        status = main(["sign", str(tmp_path / "b"), "--module", str(YKCS11)])
        assert status == 0, typist.shown.getvalue()
        assert main(["export", str(tmp_path / "b"), str(tmp_path / "out"), "--signed"]) == 0
    assert 1 <= typist.prompts <= 6
    assert PIN not in typist.shown.getvalue()

    for path in (tmp_path / "out").glob("*.json"):
        (metadata / path.name).write_bytes(path.read_bytes())
    publish(www, online.private, files)
    updater = Updater(
        metadata_dir=str(tmp_path / "client"),
        metadata_base_url=f"{url}/metadata/",
        target_dir=str(tmp_path),
        target_base_url=f"{url}/targets/",
        config=UpdaterConfig(),
        bootstrap=root.raw,
    )
    for file in files:
        info = updater.get_targetinfo(f"requests/{file.name}")
        assert info is not None
        fetched = Path(updater.download_target(info, str(tmp_path / "fetched")))
        assert fetched.read_bytes() == file.read_bytes()


def publish(www: Path, private: Any, files: list[Path]) -> None:
    """What the service adds: snapshot, timestamp, and the files under the digests that a client asks for."""
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    loaded: Any = serialization.load_pem_private_key(pem, None)
    signer = CryptoSigner(loaded, SSlibKey.from_crypto(loaded.public_key()))
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    snapshot = Metadata(Snapshot(expires=soon, meta={"targets.json": MetaFile(1), "requests.json": MetaFile(1)}))
    timestamp = Metadata(Timestamp(expires=soon, snapshot_meta=MetaFile(1)))
    for md, name in ((snapshot, "1.snapshot.json"), (timestamp, "timestamp.json")):
        md.sign(signer)
        md.to_file(str(www / "metadata" / name))
    listed = Metadata[Any].from_file(str(www / "metadata" / "1.requests.json")).signed.targets
    folder = www / "targets" / "requests"
    folder.mkdir(parents=True)
    for file in files:
        for digest in listed[f"requests/{file.name}"].hashes.values():
            (folder / f"{digest}.{file.name}").write_bytes(file.read_bytes())
