"""A folder as a client finds it: what it serves, and what it never does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
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

from vestry.errors import InputRejected
from vestry.media.client import LOOKED_UP, Walk, trusted_root, walk

SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)


def write(
    folder: Path, names: dict[str, Any], *, versioned: bool = True, paths: tuple[str, ...] = ("docs/a.txt",)
) -> None:
    """A repository with one delegated role, `docs`, which lists `paths`."""
    signer = CryptoSigner.generate_ed25519()
    (folder / "metadata").mkdir(parents=True)
    root = Root(expires=SOON, consistent_snapshot=True)
    for role in ("root", "timestamp", "snapshot", "targets"):
        root.add_key(signer.public_key, role)
    files = {path: TargetFile.from_data(path, b"content of " + path.encode()) for path in paths}
    docs = DelegatedRole("docs", [signer.public_key.keyid], 1, False, paths=["docs/*", "*"])
    targets = Targets(
        expires=SOON, delegations=Delegations({signer.public_key.keyid: signer.public_key}, {"docs": docs})
    )
    meta = {"targets.json": MetaFile(1), "docs.json": MetaFile(1)}
    parts: dict[str, Any] = {
        "1.root.json": root,
        "1.targets.json": targets,
        "1.docs.json": Targets(expires=SOON, targets=files),
        "1.snapshot.json": Snapshot(expires=SOON, meta=meta),
        "timestamp.json": Timestamp(expires=SOON, snapshot_meta=MetaFile(1)),
    }
    for name, part in (parts | names).items():
        md = Metadata(part)
        md.sign(signer)
        plain = name if versioned else name.removeprefix("1.")
        md.to_file(str(folder / "metadata" / plain))
    for path, target in files.items():
        place = folder / "targets" / Path(path).parent / f"{target.hashes['sha256']}.{Path(path).name}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"content of " + path.encode())


def test_a_whole_repository_holds(tmp_path: Path) -> None:
    write(tmp_path, {})
    found = walk(tmp_path)
    assert found.ok
    assert (found.roots, dict(found.roles)) == (
        (1,),
        {"docs": 1, "root": 1, "snapshot": 1, "targets": 1, "timestamp": 1},
    )
    assert [t.path for t in found.targets] == ["docs/a.txt"]
    assert not found.notes


def test_a_repository_in_work_is_served_and_told(tmp_path: Path) -> None:
    """Without it a folder that no client could use, because its names lack versions, would just hold."""
    write(tmp_path, {}, versioned=False)
    found = walk(tmp_path)
    assert found.ok
    assert "targets.json was taken for 1.targets.json, which a client asks for" in found.notes


def test_a_file_that_is_not_here_is_told_and_a_named_one_must_be(tmp_path: Path) -> None:
    write(tmp_path, {}, paths=("docs/a.txt", "docs/b.txt"))
    next((tmp_path / "targets" / "docs").glob("*.b.txt")).unlink()
    found = walk(tmp_path)
    assert found.ok
    assert {t.path: t.missing for t in found.targets} == {"docs/a.txt": False, "docs/b.txt": True}
    assert not walk(tmp_path, paths=["docs/b.txt"]).ok
    assert not walk(tmp_path, paths=["docs/nobody.txt"]).ok
    assert walk(tmp_path, paths=["docs/a.txt"]).ok


@pytest.mark.parametrize("how", ["up", "up inside", "absolute", "a linked file", "a linked folder"])
def test_nothing_outside_the_folder_is_served(tmp_path: Path, how: str) -> None:
    """Without it a repository could have the verifier read, as if it were its own, any file of this machine."""
    paths = {"up": "../x", "up inside": "docs/../../x", "absolute": f"{tmp_path}/x"}
    path, repository = paths.get(how, "docs/x"), tmp_path / "repository"
    write(repository, {}, paths=(path,))
    place = next(tmp_path.rglob("*.x"))
    if how == "a linked file":
        place.symlink_to(place.rename(tmp_path / place.name))
    elif how == "a linked folder":
        place.parent.symlink_to(place.parent.rename(tmp_path / "elsewhere"))
    assert next(tmp_path.rglob("*.x")).read_bytes() == b"content of " + path.encode()
    assert not walk(repository, paths=[path]).ok


def test_a_large_document_is_told(tmp_path: Path) -> None:
    """Clients have limits of their own: what they would refuse must not come out as holding without a word."""
    long = TargetFile.from_data("x", b"x")
    long.unrecognized_fields["custom"] = "x" * 4000
    write(tmp_path, {"1.docs.json": Targets(expires=SOON, targets={f"docs/{n}": long for n in range(1500)})})
    found = walk(tmp_path)
    assert any("unless they are told more" in note for note in found.notes)
    assert len(found.targets) == LOOKED_UP
    assert found.listed == 1500


def test_a_trusted_root_of_another_repository_leads_nowhere(tmp_path: Path) -> None:
    write(tmp_path / "a", {})
    write(tmp_path / "b", {})
    other = trusted_root(tmp_path / "b" / "metadata" / "1.root.json")
    found: Walk = walk(tmp_path / "a", trusted=other)
    assert not found.ok
    assert found.refused
    with pytest.raises(InputRejected, match="not a root"):
        trusted_root(tmp_path / "b" / "metadata" / "timestamp.json")
