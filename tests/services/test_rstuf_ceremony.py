"""Scripted ceremonies that end in what RSTUF takes: the shipped scripts, walked to their end on software tokens."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from people import People
from services.conftest import load, shape
from tuf.api.metadata import Metadata, Root

from vestry.ceremony import conductor, order, reading, transcript
from vestry.ceremony.replay import compare_files, replay
from vestry.errors import InputRejected
from vestry.media.services import rstuf
from vestry.tokens.software import SoftwareSource

SCRIPTS = Path(__file__).parents[2] / "ceremony-scripts"
ON_TOKENS = 'use = "pkcs11"\nmodule = "softhsm2"'


def walked(folder: Path, text: str, people: People, serials: range) -> Any:
    """The state at the end of a ceremony whose script is `text`, replayed, with every file accounted for."""
    source = SoftwareSource(folder / "tokens")
    for number in serials:
        source.create(f"{number:010d}")
    source.close()
    path, into = folder / "script.toml", folder / "c"
    path.write_text(text.replace(ON_TOKENS, 'use = "software"').replace('security_officer = "forgotten"\n', ""))
    script, inputs = reading.load(path)
    assert [p for p in order.check(script, inputs) if p.severity == "stop"] == []
    state = conductor.conduct(script, inputs, into, people, tokens=folder / "tokens", beside=folder)
    assert people.troubles == []
    steps = list(replay(transcript.read(into / "transcript.jsonl")))
    assert [(s.recorded.n, s.why) for s in steps if s.verdict == "failed"] == []
    verdicts = {f.name: f.verdict for f in compare_files(steps[-1].state, into)}
    assert set(verdicts.values()) == {"recomputed"}
    assert any(name.startswith("services/rstuf-") for name in verdicts)
    verifier = Path(__file__).parents[1] / "standalone_verifier.py"
    found = subprocess.run([sys.executable, verifier, into], capture_output=True, text=True, check=False)
    assert (found.returncode, "FAILED" in found.stdout) == (0, False), found.stdout
    return state


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, People]:
    folder, people = tmp_path_factory.mktemp("rstuf"), People()
    (folder / "example-online-key.pem").write_bytes((SCRIPTS / "example-online-key.pem").read_bytes())
    text = (SCRIPTS / "rstuf-root.toml").read_text().replace("bins = 16384 ", "bins = 4 ")
    walked(folder, text, people, range(1, 6))
    return folder, people


def test_a_scripted_ceremony_ends_in_a_bootstrap_of_the_samples_shape(
    shared_data: Path, first: tuple[Path, People]
) -> None:
    """Without it the service would refuse, on its first day, what five people made."""
    raw = (first[0] / "c" / "export" / "rstuf-bootstrap.json").read_bytes()
    made, sample = json.loads(raw), load(shared_data / "rstuf" / "payload-ceremony.json")
    assert made["settings"] == sample["settings"]
    assert made["timeout"] == sample["timeout"]
    # Members, types and how they nest; that one has more keys or signatures than the other is left out.
    alike = [{json.dumps(shape(k), sort_keys=True) for k in p["metadata"]["root"]["signed"].pop("keys").values()}
             for p in (made, sample)]  # fmt: skip
    assert alike[0] == alike[1]
    assert json.dumps(shape(made), sort_keys=True) == json.dumps(shape(sample), sort_keys=True)
    signed = json.loads(raw)["metadata"]["root"]["signed"]
    names = sorted(k["x-rstuf-key-name"] for k in signed["keys"].values())
    assert names == ["Alice", "Bob", "Carol", "Dave", "Erin", "Online Key"]
    assert len({json.dumps(signed["roles"][r]) for r in ("targets", "snapshot", "timestamp")}) == 1
    assert rstuf.parse(raw, where="ours").encode() == raw


def test_a_scripted_rotation_ends_in_an_update(first: tuple[Path, People], tmp_path: Path) -> None:
    """The worker wants the next version, signed by the old threshold and by the new one."""
    before = (first[0] / "c" / "export" / "metadata" / "1.root.json").read_bytes()
    (tmp_path / "1.root.json").write_bytes(before)
    keys = {k.get("x-rstuf-key-name"): i for i, k in json.loads(before)["signed"]["keys"].items()}
    text = (SCRIPTS / "root-rotation.toml").read_text().replace("# [rstuf]", "[rstuf]")
    text = text.replace("0" * 64, hashlib.sha256(before).hexdigest())
    for number, name in enumerate(("Alice", "Bob", "Carol", "Dave", "Erin"), 1):
        text = text.replace(f'keyid = "0000000{number}"', f'keyid = "{keys[name][:8]}"')
    (first[0] / "tokens").rename(tmp_path / "tokens")
    walked(tmp_path, text, People(pins=dict(first[1].pins)), range(6, 7))
    update = load(tmp_path / "c" / "export" / "rstuf-update.json")
    assert set(update) == {"metadata"}
    assert set(update["metadata"]) == {"root"}
    old: Metadata[Root] = Metadata.from_bytes(before)
    new: Metadata[Root] = Metadata.from_bytes(json.dumps(update["metadata"]["root"]).encode())
    assert new.signed.version == 2
    for root in (old.signed, new.signed):
        root.verify_delegate("root", new.signed_bytes, new.signatures)
    assert "Frank" in [k.unrecognized_fields["x-rstuf-key-name"] for k in new.signed.keys.values()]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("bins = 16384 ", "bins = 5 ", "no power of two"),
        ("bins = 16384 ", "bins = 32768 ", "out of range"),
        ('bins = "1d" }', 'root = "1d" }', "'root' is not known here"),
        ('bins = "1d" }', 'bins = "0d" }', "not a number of days"),
        ("[rstuf]", '[review]\nservice = "tuf-on-ci"\n[rstuf]', "the documents go to RSTUF"),
    ],
)
def test_what_the_service_would_not_take_is_said_with_its_line(old: str, new: str, said: str) -> None:
    text = (SCRIPTS / "rstuf-root.toml").read_text()
    assert old in text
    with pytest.raises(InputRejected, match=re.escape(said)):
        reading.read(text.replace(old, new).encode(), where="s.toml")


def test_targets_of_people_are_refused_before_the_day() -> None:
    """RSTUF signs targets by itself: a root that gave them to people would lock it out."""
    text = (SCRIPTS / "rstuf-root.toml").read_text()
    script = reading.read(
        text.replace("[rstuf]", '[targets]\nthreshold = 2\nexpires = "365d"\n[rstuf]').encode(), where="s"
    )
    assert "RSTUF-SIGNS" in [p.code for p in order.check(script, {}) if p.severity == "stop"]
