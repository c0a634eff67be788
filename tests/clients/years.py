"""A repository over the years: a first ceremony, rotations, and what its online key publishes in between."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import Metadata, MetaFile, Snapshot, TargetFile, Targets, Timestamp

from vestry.ceremony import conductor, reading, rehearsal
from vestry.tokens.software import SoftwareSource

WHEEL = "9a/41/sampleproject-4.0.0-py3-none-any.whl"


def wheel() -> bytes:
    """A release that pip can install."""
    contents = {
        "sampleproject.py": b'SAYS = "from a verified wheel"\n',
        "sampleproject-4.0.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: sampleproject\nVersion: 4.0.0\n",
        "sampleproject-4.0.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }

    def row(name: str, content: bytes) -> str:
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        return f"{name},sha256={digest},{len(content)}\n"

    record = "sampleproject-4.0.0.dist-info/RECORD"
    rows = "".join(row(name, content) for name, content in contents.items()) + f"{record},,\n"
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in {**contents, record: rows.encode()}.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # no time of day: the same bytes each time
    return made.getvalue()


@dataclass
class Years:
    """`home` holds every ceremony, `www` what the world sees; `holders` are key ids of root by holder."""

    home: Path
    www: Path
    people: Any
    holders: dict[str, str] = field(default_factory=dict)
    serials: dict[str, str] = field(default_factory=dict)
    version: int = 0
    published: int = 0

    @property
    def tokens(self) -> Path:
        return self.home / "first" / "tokens"

    @property
    def root(self) -> Path:
        """The newest root, signed."""
        return self.www / "metadata" / f"{self.version}.root.json"

    def create(self) -> None:
        """The first ceremony: root, targets, bins."""
        first = self.home / "first"
        script, inputs = rehearsal.prepare(first, holders=5, threshold=3)
        state = conductor.conduct(script, inputs, first, self.people)
        self.serials = {t.holder: t.serial for t in script.tokens}
        self.holders = {k.holder: state.keys[k.name].keyid for k in script.keys if "root" in k.roles}
        self.take(first)

    def take(self, folder: Path) -> None:
        """Put what a ceremony signed where the world sees it."""
        for path in (folder / "signed").iterdir():
            (self.www / "metadata" / path.name).write_bytes(path.read_bytes())
        self.version = max(int(p.name.split(".")[0]) for p in (self.www / "metadata").glob("*.root.json"))

    def rotate(self, leaves: str, joins: str, threshold: int) -> None:
        """The next root: one holder goes, one comes."""
        folder = self.home / f"rotation-{self.version + 1}"
        folder.mkdir()
        (folder / self.root.name).write_bytes(self.root.read_bytes())
        self.serials[joins] = f"{len(self.serials) + 1:010d}"
        source = SoftwareSource(self.tokens)
        source.create(self.serials[joins])
        source.close()
        (folder / "rotation.toml").write_text(self._script(leaves, joins, threshold))
        script, inputs = reading.load(folder / "rotation.toml")
        state = conductor.conduct(script, inputs, folder / "c", self.people, tokens=self.tokens)
        del self.holders[leaves]
        self.holders[joins] = state.keys[f"{joins.lower()}-root"].keyid
        self.take(folder / "c")

    def recover(self) -> Path:
        """Everything fell: all root keys, those of targets and bins, and the online key are replaced.

        Returns:
            The new online key's private half.
        """
        folder = self.home / "recovery"
        folder.mkdir()
        private = ed25519.Ed25519PrivateKey.generate()
        pem = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (folder / "online.pem").write_bytes(pem)
        (folder / "online.private.pem").write_bytes(
            private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        old = {role: self._newest(role) for role in ("root", "targets", "bins")}
        for role, version in old.items():
            name = f"{version}.{role}.json"
            (folder / name).write_bytes((self.www / "metadata" / name).read_bytes())
        spare = {name: f"{90 + n:010d}" for n, name in enumerate([*self.holders, "spare0", "spare1"])}
        source = SoftwareSource(self.tokens)
        for serial in spare.values():
            source.create(serial)
        source.close()

        def made(name: str, holder: str, token: str, roles: str) -> str:
            key = f'[[keys]]\nname = "{name}"\nholder = "{holder}"\ntoken = "{token}"\nroles = ["{roles}"]\n'
            return key + 'scheme = "ecdsa-sha2-nistp256"\n'

        def token(name: str, holder: str, serial: str) -> str:
            return f'[[tokens]]\nname = "{name}"\nholder = "{holder}"\nuse = "software"\nserial = "{serial}"\n'

        def document(role: str) -> str:
            raw = (folder / f"{old[role]}.{role}.json").read_bytes()
            return f'[{role}]\nfrom = "{old[role]}.{role}.json"\nfrom_sha256 = "{hashlib.sha256(raw).hexdigest()}"\n'

        names = list(self.holders)
        text = (
            '[ceremony]\ntitle = "Recovery"\nkind = "rotation"\nrepository = "practice.example"\nrehearsal = true\n'
            '[[people]]\nname = "Olivia"\noffice = "administrator"\n[[people]]\nname = "Walter"\noffice = "witness"\n'
            + "".join(f'[[people]]\nname = "{n}"\noffice = "holder"\n' for n in names)
            + "".join(f'{document(r)}threshold = {3 if r == "root" else 2}\nexpires = "365d"\n' for r in old)
            + f'[online]\npublic_key = "online.pem"\nsha256 = "{hashlib.sha256(pem).hexdigest()}"\n'
            + "".join(token(n.lower(), n, self.serials[n]) + token(f"{n.lower()}-new", n, spare[n]) for n in names)
            + "".join(token(f"spare{n}", names[n], spare[f"spare{n}"]) for n in (0, 1))
            + "".join(
                f'[[keys]]\nname = "{n.lower()}-old"\nholder = "{n}"\ntoken = "{n.lower()}"\nroles = ["root"]\n'
                f'keyid = "{self.holders[n]}"\nleaves = true\n'
                + made(f"{n.lower()}-root", n, f"{n.lower()}-new", "root")
                for n in names
            )
            + "".join(made(f"{r}-{n}", names[n], f"spare{n}", r) for r in ("targets", "bins") for n in (0, 1))
            + "".join(
                f'[[steps]]\ndo = "{do}"\n' for do in ("gather", "provision", "draft", "review", "sign", "verify")
            )
        )
        (folder / "recovery.toml").write_text(text)
        script, inputs = reading.load(folder / "recovery.toml")
        conductor.conduct(script, inputs, folder / "c", self.people, tokens=self.tokens)
        self.take(folder / "c")
        return folder / "online.private.pem"

    def _script(self, leaves: str, joins: str, threshold: int) -> str:
        names = [*self.holders, joins]
        people = "".join(f'[[people]]\nname = "{n}"\noffice = "holder"\n' for n in names)
        tokens = "".join(
            f'[[tokens]]\nname = "{n.lower()}"\nholder = "{n}"\nuse = "software"\nserial = "{self.serials[n]}"\n'
            for n in names
        )
        keys = "".join(
            f'[[keys]]\nname = "{n.lower()}-root"\nholder = "{n}"\ntoken = "{n.lower()}"\nroles = ["root"]\n'
            + (f'keyid = "{self.holders[n]}"\n' if n in self.holders else 'scheme = "ecdsa-sha2-nistp256"\n')
            + ("leaves = true\n" if n == leaves else "")
            for n in names
        )
        steps = ("gather", "provision", "draft", "review", "sign", "verify")
        return (
            '[ceremony]\ntitle = "Rotation"\nkind = "rotation"\nrepository = "practice.example"\nrehearsal = true\n'
            '[[people]]\nname = "Olivia"\noffice = "administrator"\n[[people]]\nname = "Walter"\noffice = "witness"\n'
            f'{people}[root]\nfrom = "{self.root.name}"\n'
            f'from_sha256 = "{hashlib.sha256(self.root.read_bytes()).hexdigest()}"\n'
            f'threshold = {threshold}\nexpires = "365d"\n{tokens}{keys}'
            + "".join(f'[[steps]]\ndo = "{do}"\n' for do in steps)
        )

    def publish(self, *, days: int = 1, private: Path | None = None) -> None:
        """What the online key adds: the bin that holds the wheel, snapshot and timestamp, all valid for `days`."""
        self.published += 1
        pem = (private or self.home / "first" / "online.private.pem").read_bytes()
        key: Any = serialization.load_pem_private_key(pem, None)
        signer = CryptoSigner(key, SSlibKey.from_crypto(key.public_key()))
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)
        metadata = self.www / "metadata"
        newest = {role: self._newest(role) for role in ("targets", "bins")}
        bins = Metadata[Targets].from_file(str(metadata / f"{newest['bins']}.bins.json"))
        assert bins.signed.delegations is not None
        leaf = next(iter(bins.signed.delegations.get_roles_for_target(WHEEL)))[0]
        target = TargetFile.from_data(WHEEL, wheel(), ["sha256", "sha512"])
        meta = {f"{role}.json": MetaFile(version) for role, version in newest.items()}
        meta[f"{leaf}.json"] = MetaFile(self.published)
        parts: dict[str, Any] = {
            f"{self.published}.{leaf}.json": Targets(version=self.published, expires=until, targets={WHEEL: target}),
            f"{self.published}.snapshot.json": Snapshot(version=self.published, expires=until, meta=meta),
            "timestamp.json": Timestamp(version=self.published, expires=until, snapshot_meta=MetaFile(self.published)),
        }
        for name, part in parts.items():
            md = Metadata(part)
            md.sign(signer)
            md.to_file(str(metadata / name))
        path = self.file(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wheel())

    def file(self, target: TargetFile | None = None) -> Path:
        """Where the wheel lies under consistent snapshots."""
        target = target or TargetFile.from_data(WHEEL, wheel(), ["sha256"])
        folder, name = WHEEL.rsplit("/", 1)
        return self.www / "targets" / folder / f"{target.hashes['sha256']}.{name}"

    def _newest(self, role: str) -> int:
        return max(int(p.name.split(".")[0]) for p in (self.www / "metadata").glob(f"*.{role}.json"))

    def change_signatures(self, name: str, keep: int) -> None:
        """Leave only some signatures on a published document."""
        path = self.www / "metadata" / name
        value = json.loads(path.read_bytes())
        value["signatures"] = value["signatures"][:keep]
        path.write_text(json.dumps(value))
