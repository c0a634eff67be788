"""Documents that come whole into a ceremony: a release of a delegated role, an in-toto layout in either envelope."""

from __future__ import annotations

import hashlib
import json
import runpy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from in_toto.models.layout import Inspection, Layout, Step
from in_toto.models.metadata import Envelope, Metablock
from in_toto.models.metadata import Metadata as InToto
from in_toto.verifylib import verify_metadata_signatures
from securesystemslib.signer import SSlibKey
from tuf.api.metadata import DelegatedRole, Delegations, Key, Metadata, TargetFile, Targets

from tests.people import People
from vestry.ceremony import conductor, order, reading, transcript
from vestry.ceremony.replay import compare_files, replay
from vestry.errors import VestryError
from vestry.metadata import keys as vestry_keys
from vestry.tokens.software import SoftwareSource
from vestry.tokens.token import KeyKind, Pin
from vestry.tui.outlook import outlook

ON_TOKENS = 'use = "pkcs11"\nmodule = "softhsm2"'
SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)


def holders(folder: Path) -> dict[str, vestry_keys.Key]:
    """Alice and Bob with a key each on a software token."""
    source, made = SoftwareSource(folder), {}
    for number, name in enumerate(("Alice", "Bob")):
        token = source.create(f"000000000{number}").initialise(name.lower(), Pin("officer-123"), Pin(f"pin-of-{name}"))
        with token.unlock(Pin(f"pin-of-{name}")) as unlocked:
            made[name.lower()] = vestry_keys.Key.from_spki(unlocked.generate(KeyKind("ecdsa-sha2-nistp256"), name).spki)
    source.close()
    return made


def prepared(folder: Path, script: Path, files: dict[str, bytes], *more: tuple[str, str]) -> Path:
    text = script.read_text().replace(ON_TOKENS, 'use = "software"')
    for old, new in more:
        assert old in text, old
        text = text.replace(old, new)
    lines = text.splitlines(keepends=True)
    for name, raw in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(raw)
        index = next(i for i, line in enumerate(lines) if f'"{name}"' in line)
        lines[index + 1] = lines[index + 1].replace("0" * 64, hashlib.sha256(raw).hexdigest())
    (folder / script.name).write_text("".join(lines))
    return folder / script.name


def conducted(path: Path, tokens: Path) -> Path:
    script, inputs = reading.load(path)
    assert [p.text for p in order.check(script, inputs) if p.severity == "stop"] == []
    people = People()
    conductor.conduct(script, inputs, path.parent / "c", people, tokens=tokens)
    assert people.troubles == []
    steps = list(replay(transcript.read(path.parent / "c" / "transcript.jsonl")))
    assert [(s.recorded.n, s.why) for s in steps if s.verdict == "failed"] == []
    assert all(f.verdict == "recomputed" for f in compare_files(steps[-1].state, path.parent / "c"))
    _verified_alone(path.parent / "c")
    return path.parent / "c"


def _verified_alone(folder: Path) -> None:
    """By whoever has the formats' description alone; and a signature taken from the signed file is missed."""
    verifier = str(Path(__file__).parent.parent / "standalone_verifier.py")
    assert runpy.run_path(verifier)["main"]([str(folder)]) == 0
    (signed,) = (folder / "signed").iterdir()
    whole = signed.read_bytes()
    document = json.loads(whole)
    signed.write_text(json.dumps({**document, "signatures": document["signatures"][1:]}))
    assert runpy.run_path(verifier)["main"]([str(folder)]) == 1
    signed.write_bytes(whole)


def release(version: int, *paths: str) -> bytes:
    targets = {p: TargetFile.from_data(p, p.encode(), ["sha256"]) for p in paths}
    return Metadata(Targets(version=version, expires=SOON, targets=targets)).to_bytes()


def delegator(made: dict[str, vestry_keys.Key]) -> bytes:
    listed = {k.keyid: Key.from_dict(k.keyid, k.to_dict()) for k in made.values()}
    role = DelegatedRole("sampleproject", list(listed), 2, False, paths=["sampleproject/*"])
    claimed = Targets(version=1, expires=SOON, delegations=Delegations(listed, {"sampleproject": role}))
    return Metadata(claimed).to_bytes()


def delegated(tmp_path: Path, repository: Path, made: dict[str, vestry_keys.Key], draft: bytes) -> Path:
    files = {
        "bundle/unsigned/sampleproject.json": draft,
        "1.sampleproject.json": release(1, "sampleproject/1.0.whl"),
        "1.claimed.json": delegator(made),
    }
    ids = [("00000001", made["alice"].keyid[:8]), ("00000002", made["bob"].keyid[:8])]
    return prepared(tmp_path, repository / "ceremony-scripts" / "delegated-targets.toml", files, *ids)


def test_maintainers_sign_a_release_and_its_delegator_accepts_it(tmp_path: Path, repository: Path) -> None:
    """A release that the delegating document does not accept is one that no client installs."""
    made = holders(tmp_path / "tokens")
    draft = release(2, "sampleproject/1.0.whl", "sampleproject/2.0.whl")
    folder = conducted(delegated(tmp_path, repository, made, draft), tmp_path / "tokens")
    # What the head of the screen says, from the first line on: not that this is a root's ceremony.
    headings = {outlook(s.state).version for s in replay(transcript.read(folder / "transcript.jsonl"))}
    assert headings == {"sampleproject v1 -> v2"}
    above: Metadata[Targets] = Metadata.from_bytes(delegator(made))
    signed: Metadata[Targets] = Metadata.from_file(str(folder / "signed" / "2.sampleproject.json"))
    above.verify_delegate("sampleproject", signed)
    assert set(signed.signed.targets) == {"sampleproject/1.0.whl", "sampleproject/2.0.whl"}


def test_a_path_that_is_not_the_projects_is_signed_by_nobody(tmp_path: Path, repository: Path) -> None:
    """No client finds it there; it would be signed for nothing, or for a wider delegation to come."""
    made = holders(tmp_path / "tokens")
    script, inputs = reading.load(delegated(tmp_path, repository, made, release(2, "other/2.0.whl")))
    people = People(answers={"trouble": lambda _: "stop"})
    with pytest.raises(VestryError):
        conductor.conduct(script, inputs, tmp_path / "c", people, tokens=tmp_path / "tokens")
    assert people.troubles[0][0].code == "E-PROOF"


def test_a_release_that_goes_back_is_told_before_the_day(tmp_path: Path, repository: Path) -> None:
    """Clients refuse to go back, and nobody would know why."""
    path = delegated(tmp_path, repository, holders(tmp_path / "tokens"), release(1, "sampleproject/1.0.whl"))
    assert "OLD-VERSION" in [p.code for p in order.check(*reading.load(path))]


def layout_of(made: dict[str, vestry_keys.Key]) -> Layout:
    keys = {k.keyid: {**SSlibKey.from_dict(k.keyid, k.to_dict()).to_dict(), "keyid": k.keyid} for k in made.values()}
    build = Step(name="build", pubkeys=list(keys), threshold=2, expected_products=[["DISALLOW", "*"]])
    look = Inspection(name="look", run=["true"], expected_materials=[["DISALLOW", "*"]])
    return Layout(steps=[build], inspect=[look], keys=keys, expires=SOON.strftime("%Y-%m-%dT%H:%M:%SZ"), readme="")


def metablock(layout: Layout) -> Any:
    return Metablock(signed=layout)


@pytest.mark.parametrize("wrap", [metablock, Envelope.from_signable])
def test_a_layout_is_signed_by_its_owners_and_in_toto_accepts_it(
    tmp_path: Path, repository: Path, wrap: Callable[[Layout], Any]
) -> None:
    """A signature that in-toto's own verifier does not take protects nobody."""
    made = holders(tmp_path / "tokens")
    wrap(layout_of(made)).dump(str(tmp_path / "root.layout"))
    raw = (tmp_path / "root.layout").read_bytes()
    files = {"root.layout": raw, **{f"{n}.pem": k.pem.encode() for n, k in made.items()}}
    path = prepared(tmp_path, repository / "ceremony-scripts" / "layout.toml", files)
    folder = conducted(path, tmp_path / "tokens")
    signed = InToto.load(str(folder / "signed" / "root.layout"))
    owners = {k.keyid: {**k.to_dict(), "keyid": k.keyid} for k in made.values()}
    verify_metadata_signatures(signed, owners)
    assert type(signed) is type(wrap(layout_of(made)))
    before, after = json.loads(raw), json.loads((folder / "signed" / "root.layout").read_bytes())
    assert {k: v for k, v in after.items() if k != "signatures"} == {
        k: v for k, v in before.items() if k != "signatures"
    }


@pytest.mark.parametrize("field", ["rootcas", "readme"])
def test_a_layout_that_in_toto_reads_otherwise_is_refused(tmp_path: Path, repository: Path, field: str) -> None:
    """in-toto drops what it does not know and adds what is missing: it would verify other bytes than were signed."""
    made = holders(tmp_path / "tokens")
    metablock(layout_of(made)).dump(str(tmp_path / "root.layout"))
    value = json.loads((tmp_path / "root.layout").read_bytes())
    if value["signed"].pop(field, None) is None:
        value["signed"][field] = {}
    files = {"root.layout": json.dumps(value).encode(), **{f"{n}.pem": k.pem.encode() for n, k in made.items()}}
    path = prepared(tmp_path, repository / "ceremony-scripts" / "layout.toml", files)
    script, inputs = reading.load(path)
    assert "LAYOUT-DIFFERS" in [p.code for p in order.check(script, inputs)]
    with pytest.raises(VestryError):
        conductor.conduct(
            script, inputs, tmp_path / "c", People(answers={"trouble": lambda _: "stop"}), tokens=tmp_path / "tokens"
        )
