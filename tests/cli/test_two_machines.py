"""Signing alone, elsewhere: machines that share nothing but what is carried between them.

A machine is a folder with a home, a SoftHSM and, where that can be had here, a network namespace of its own in which
nothing but loopback exists. What passes between two of them are files on a stick, or one QR code.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from holders import Holder, first_root, holder, signed
from people import SOFTHSM, Online, People
from pictures import png
from sticks import insert

from vestry.ceremony import conductor, reading
from vestry.cli.main import main
from vestry.media import bundle, qr
from vestry.metadata import document
from vestry.text import words

PIN = "correct horse 7"
APART = ["unshare", "--net"]


@dataclass
class Machine:
    """A machine of someone's own; `token` puts their key onto its SoftHSM."""

    home: Path
    inside: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.home / "tokens").mkdir(parents=True)
        conf = f"directories.tokendir = {self.home}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"
        (self.home / "softhsm2.conf").write_text(conf)
        tried = subprocess.run([*APART, "true"], capture_output=True, check=False)
        self.inside = APART if tried.returncode == 0 else []

    @property
    def environ(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return kept | {"HOME": str(self.home), "SOFTHSM2_CONF": str(self.home / "softhsm2.conf"), "TERM": "dumb"}

    def token(self, person: Holder) -> None:
        """Put a holder's key onto a token here, as one that was made before."""
        pem = self.home / "key.pem"
        pem.write_bytes(person.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        label = ["--token", person.name, "--label", person.name, "--pin", PIN]
        for arguments in (
            ["--init-token", "--free", "--label", person.name, "--pin", PIN, "--so-pin", "12345678"],
            ["--import", str(pem), "--id", "01", *label],
        ):
            subprocess.run(["softhsm2-util", *arguments], env=self.environ, capture_output=True, check=True)
        pem.unlink()

    def vestry(self, *arguments: object, status: int = 0, digest: str = "") -> str:
        """Run a verb here and answer what it asks; what it wrote to stdout."""
        command = [*self.inside, sys.executable, "-m", "vestry", *map(str, arguments)]
        child = subprocess.Popen(
            command,
            cwd=self.home,
            env=self.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert child.stdin is not None
        assert child.stderr is not None
        said = b""
        while chunk := (select.select([child.stderr], [], [], 60)[0] and os.read(child.stderr.fileno(), 65536)):
            said += chunk
            if said.endswith(b": "):
                child.stdin.write(f"{self._answer(said.decode(), digest)}\n".encode())
                child.stdin.flush()
        out, _ = child.communicate(timeout=60)
        assert child.returncode == status, said.decode()
        assert PIN not in said.decode()
        return out.decode()

    def _answer(self, said: str, digest: str) -> str:
        prompt = said.splitlines()[-1]
        if "Type them" in prompt:
            places = re.findall(r"Type words (\d+) and (\d+)", said)[-1]
            return " ".join(words(digest)[int(place) - 1] for place in places)
        return PIN if "PIN" in prompt else "yes" if "yes" in prompt else "seen, and meant"


@pytest.fixture
def people() -> list[Holder]:
    if not SOFTHSM.exists() or shutil.which("softhsm2-util") is None:
        pytest.skip("softhsm2 is not installed: apt-get install softhsm2")
    return [holder(name) for name in ("ada", "bob", "cleo")]


def carried(stick: Path, to: Machine, person: Holder) -> Path:
    """What a holder does: take the bundle in, read it, sign it; where their signature lies."""
    to.token(person)
    to.vestry("import", stick, "came")
    digest = bundle.open_bundle(to.home / "came").document.digest
    to.vestry("sign", "came", "--module", SOFTHSM, digest=digest)
    return to.home / "came" / "signatures" / f"{person.key.keyid}.json"


def test_holders_sign_alone_and_the_administrator_collects(tmp_path: Path, people: list[Holder]) -> None:
    """Nobody meets, and no machine has a network: a stick goes out, a file and a photograph come back."""
    ada, bob = (Machine(tmp_path / name) for name in ("ada", "bob"))
    here, stick = str(tmp_path / "root-v1"), tmp_path / "stick"
    stick.mkdir()
    keys = [f"{p.name}={p.write_pem(tmp_path)}" for p in people]
    online = str(holder("online").write_pem(tmp_path))
    staged = ["stage", "root", "--root-key", *keys, "--threshold", "2", "--online-key", online]
    assert main([*staged, "--targets-key", *keys, "--targets-threshold", "2", "--into", here]) == 0
    assert main(["export", here, str(stick)]) == 0

    if ada.inside:
        found = json.loads(ada.vestry("preflight", "--json", status=1 if os.geteuid() else 0))
        assert found["checks"]["network"]["verdict"] == "pass", found
    by_file = carried(stick, ada, people[0])
    assert "root" in ada.vestry("review", "came", "--plain")
    shutil.copy(by_file, stick)
    by_code = json.loads(bob.vestry("qr", "show", carried(stick, bob, people[1]), "--json"))["still"]
    photograph = png(tmp_path / "photograph.png", qr.matrix(by_code, border=4))

    assert main(["collect", here, str(stick / by_file.name)]) == 0
    assert main(["qr", "read", str(photograph), "-o", here]) == 0
    assert main(["verify", here]) == 0
    assert main(["export", here, str(stick), "--signed"]) == 0
    root = document.read((stick / "1.root.json").read_bytes(), where="the stick")
    assert {s.keyid for s in root.signatures} == {p.key.keyid for p in people[:2]}


ROTATION = """
[ceremony]
title = "Apart"
kind = "rotation"
repository = "r"
rehearsal = true
[root]
from = "1.root.json"
from_sha256 = "{sha256}"
threshold = 2
expires = "364d"
[[people]]
name = "Olivia"
office = "administrator"
{people}
[[steps]]
do = "draft"
[[steps]]
do = "review"
[[steps]]
do = "import"
[[steps]]
do = "verify"
[[steps]]
do = "export"
to = "drive"
"""
PERSON = """
[[people]]
name = "{name}"
office = "holder"
[[tokens]]
name = "{name}"
holder = "{name}"
use = "software"
[[keys]]
name = "{name}-root"
holder = "{name}"
token = "{name}"
roles = ["root"]
keyid = "{keyid}"
"""


def test_a_ceremony_takes_in_signatures_of_another_machine(
    tmp_path: Path, people: list[Holder], online: Online
) -> None:
    """The ceremony is in one room, its holders in others; the drive that it leaves on is in the transcript."""
    before = signed(first_root(people, 2, holder("online")), people[:2])
    folder = tmp_path / "olivia"
    folder.mkdir()
    (folder / "1.root.json").write_bytes(before.raw)
    listed = "".join(PERSON.format(name=p.name, keyid=p.key.keyid) for p in people)
    (folder / "script.toml").write_text(ROTATION.format(sha256=before.file_sha256, people=listed))
    script, inputs = reading.load(folder / "script.toml")
    ceremony = tmp_path / "ceremony"

    with ExitStack() as stack:
        stick = insert(stack, tmp_path, "CEREMONY-A")
        names = iter(["nowhere", "ada", "bob", "stranger", ""])

        def elsewhere(_: Any) -> str:
            name = next(names)
            if name in ("nowhere", ""):
                return name
            assert main(["export", str(ceremony / "bundles" / "root"), str(tmp_path / f"stick-{name}")]) == 0
            person = next((p for p in people if p.name == name), holder(name))
            if name == "ada":  # sends the whole bundle back, packed
                carried(tmp_path / "stick-ada", Machine(tmp_path / "ada"), person)
                return shutil.make_archive(str(tmp_path / "back"), "zip", tmp_path / "ada", "came")
            signature = person.sign(bundle.open_bundle(tmp_path / f"stick-{name}").document)
            alone = tmp_path / f"{signature.keyid}.json"
            alone.write_text(json.dumps({"keyid": signature.keyid, "sig": signature.sig}))
            return str(alone)

        front = People(
            answers={
                "import": elsewhere,
                "drive": lambda question: next(v for v, label in question.options if "CEREMONY-A" in label),
            }
        )
        conductor.conduct(script, inputs, ceremony, front)
        exported = stick.mounted / "ceremony" / "metadata" / "2.root.json"
        root = document.read(exported.read_bytes(), where="the stick")
    assert {s.keyid for s in root.signatures} == {p.key.keyid for p in people[:2]}
    told = "\n".join(front.told)
    assert "Nothing more was taken in" in told
    assert "Set aside: " in told
    assert len(list((ceremony / "set-aside" / "root").iterdir())) == 1
    assert "safe to remove" in told
    events = [json.loads(line)["event"] for line in (ceremony / "transcript.jsonl").read_text().splitlines()]
    (to,) = [e["with"]["to"] for e in events if e["what"] == "exported"]
    assert f"on image CEREMONY-A.img, 4.0 MiB, ext4, mounted at {stick.mounted}" in to
    assert main(["replay", str(ceremony)]) == 0
