"""A project's transaction, and a plain repository folder: what goes out, and what is refused when it comes in."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from holders import Holder, holder
from services.conftest import Run, sign

from vestry.media.bundle import create
from vestry.media.client import walk
from vestry.metadata import document, drafting, parts

NAME = "sample-1.0.tar.gz"
SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=60)


def targets(files: dict[str, bytes], **more: Any) -> bytes:
    entries = {p: parts.Target.of(io.BytesIO(data)).to_dict() for p, data in files.items()}
    signed = {
        "_type": "targets",
        "spec_version": "1.0.34",
        "version": 1,
        "expires": SOON.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "targets": entries,
        **more,
    }
    return document.to_file(signed, ())


def delegating(role: str, keys: list[Holder], threshold: int, paths: list[str]) -> dict[str, Any]:
    found = parts.Delegation(role, tuple(h.key for h in keys), threshold, tuple(paths)).to_dict()
    return {"delegations": {"keys": {h.key.keyid: h.key.to_dict() for h in keys}, "roles": [found]}}


class Project:
    """`claimed` delegates `sample/*` to two maintainers; their bundle lists one file."""

    def __init__(self, folder: Path, team: list[Holder]) -> None:
        self.folder, self.team = folder, team[:2]
        self.claimed = folder / "claimed.json"
        self.claimed.write_bytes(targets({}, **delegating("sample", self.team, 2, ["sample/*"])))
        self.file = folder / NAME
        self.file.write_bytes(b"a release\n")
        self.zip = folder / "t.zip"

    def bundle(self, files: dict[str, bytes] | None = None, signers: int = 2, **more: Any) -> Path:
        raw = targets(files or {f"sample/{NAME}": self.file.read_bytes()}, **more)
        place = self.folder / f"bundle-{len(list(self.folder.glob('bundle-*')))}"
        create(place, role="sample", unsigned=raw, trusted=self.claimed.read_bytes())
        sign(place, self.team[:signers])
        return place


@pytest.fixture
def project(tmp_path: Path, team: list[Holder]) -> Project:
    return Project(tmp_path, team)


def repack(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    change(contents)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in contents.items():
            archive.writestr(zipfile.ZipInfo(name), data)


def test_a_transaction_goes_out_and_holds(project: Project, run: Run) -> None:
    """And is the same file whoever makes it of the same content."""
    bundle = project.bundle()
    for path in (project.zip, project.folder / "again.zip"):
        status, _, err = run("export", bundle, path, "--as", "project", "--files", project.file)
        assert status == 0, err
    assert project.zip.read_bytes() == (project.folder / "again.zip").read_bytes()
    with zipfile.ZipFile(project.zip) as archive:
        assert archive.namelist() == ["metadata/sample.json", f"targets/sample/{NAME}"]
    status, out, err = run("verify", project.zip, "--delegator", project.claimed)
    assert status == 0, out + err
    assert "holds" in out


def test_nothing_goes_out_before_the_threshold_or_with_a_strange_file(project: Project, run: Run) -> None:
    status, _, err = run("export", project.bundle(signers=1), project.zip, "--as", "project", "--files", project.file)
    assert (status, "E-THRESHOLD" in err) == (1, True)
    other = project.folder / "other"
    other.write_bytes(b"not staged")
    status, _, err = run("export", project.bundle(), project.zip, "--as", "project", "--files", other)
    assert (status, "no document lists a file" in err) == (2, True)
    assert not project.zip.exists()


def other_content(contents: dict[str, bytes]) -> None:
    contents[f"targets/sample/{NAME}"] = b"a Release\n"


def longer(contents: dict[str, bytes]) -> None:
    contents[f"targets/sample/{NAME}"] += b"x"


def unlisted(contents: dict[str, bytes]) -> None:
    contents["targets/sample/extra.txt"] = b"x"


def one_signature(contents: dict[str, bytes]) -> None:
    value = json.loads(contents["metadata/sample.json"])
    value["signatures"] = value["signatures"][:1]
    contents["metadata/sample.json"] = json.dumps(value).encode()


def other_name(contents: dict[str, bytes]) -> None:
    contents["metadata/simple.json"] = contents.pop("metadata/sample.json")


@pytest.mark.parametrize("change", [other_content, longer, unlisted, one_signature, other_name])
def test_what_does_not_fit_does_not_hold(
    project: Project, run: Run, change: Callable[[dict[str, bytes]], None]
) -> None:
    """PEP 480's checks of an upload: threshold, signatures, and that files and metadata agree."""
    run("export", project.bundle(), project.zip, "--as", "project", "--files", project.file)
    repack(project.zip, change)
    status, out, err = run("verify", project.zip, "--delegator", project.claimed)
    assert (status, "DOES NOT HOLD" in out) == (1, True), out + err


def test_files_and_delegations_outside_what_was_delegated_do_not_hold(project: Project, run: Run) -> None:
    """PEP 480: a delegatee signs nothing, and hands on nothing, that was not delegated to it."""
    outside = project.bundle({"other/a": b"a release\n"})
    run("export", outside, project.zip, "--as", "project", "--files", project.file)
    status, out, _ = run("verify", project.zip, "--delegator", project.claimed)
    assert (status, "other/a" in out) == (1, True)
    helper = [holder("helper")]
    hands_on = project.bundle(None, 2, **delegating("helper", helper, 1, ["*"]))
    run("export", hands_on, project.zip, "--as", "project", "--files", project.file)
    status, out, _ = run("verify", project.zip, "--delegator", project.claimed)
    assert (status, "NO" in out) == (1, True)


def escape(contents: dict[str, bytes]) -> None:
    contents["targets/../../etc/x"] = b"x"


def stranger(contents: dict[str, bytes]) -> None:
    contents["README"] = b"x"


def nothing(contents: dict[str, bytes]) -> None:
    contents.clear()
    contents["metadata/"] = b""


def a_root(contents: dict[str, bytes]) -> None:
    contents["metadata/root.json"] = b"{}"


@pytest.mark.parametrize("change", [escape, stranger, nothing, a_root])
def test_an_archive_that_is_no_transaction_is_refused(
    project: Project, run: Run, change: Callable[[dict[str, bytes]], None]
) -> None:
    run("export", project.bundle(), project.zip, "--as", "project", "--files", project.file)
    repack(project.zip, change)
    status, _, err = run("verify", project.zip, "--delegator", project.claimed)
    assert status == 2
    assert err.count("\n") == 1, err


def test_without_the_delegating_document_nothing_is_said_to_hold(project: Project, run: Run) -> None:
    run("export", project.bundle(), project.zip, "--as", "project", "--files", project.file)
    status, _, err = run("verify", project.zip)
    assert (status, "--delegator" in err) == (2, True)


@pytest.mark.parametrize("consistent", [True, False])
def test_a_repository_folder_is_written_as_a_client_wants_it(
    tmp_path: Path, team: list[Holder], run: Run, consistent: bool
) -> None:
    """Root, targets and a file by Vestry; the online roles by a stand-in for the service; walked by a client."""
    from securesystemslib.signer import CryptoSigner
    from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Timestamp

    online = CryptoSigner.generate_ed25519()
    file = tmp_path / NAME
    file.write_bytes(b"a release\n")
    keys = [h.key for h in team]
    held = {"keyids": [online.public_key.keyid], "threshold": 1}
    value = json.loads(drafting.root(version=1, expires=SOON, roles=dict.fromkeys(document.ROLES, (2, keys))))["signed"]
    value["keys"][online.public_key.keyid] = online.public_key.to_dict()
    value["roles"] |= {"snapshot": held, "timestamp": held}
    value["consistent_snapshot"] = consistent
    create(tmp_path / "root", role="root", unsigned=document.to_file(value, ()))
    sign(tmp_path / "root", team[:2])
    out = tmp_path / "repository"
    assert run("export", tmp_path / "root", out, "--as", "repository")[0] == 0
    root = (out / "metadata" / "1.root.json").read_bytes()
    create(tmp_path / "targets", role="targets", unsigned=targets({f"a/{NAME}": file.read_bytes()}), trusted=root)
    sign(tmp_path / "targets", team[1:])
    assert run("export", tmp_path / "targets", out, "--as", "repository", "--files", file)[0] == 0
    prefix = "1." if consistent else ""
    assert (out / "metadata" / f"{prefix}targets.json").exists()
    for name, part in {
        f"{prefix}snapshot.json": Snapshot(expires=SOON, meta={"targets.json": MetaFile(1)}),
        "timestamp.json": Timestamp(expires=SOON, snapshot_meta=MetaFile(1)),
    }.items():
        md: Metadata[Any] = Metadata(part)
        md.sign(online)
        md.to_file(str(out / "metadata" / name))
    assert isinstance(Metadata.from_bytes(root).signed, Root)
    found = walk(out)
    assert found.ok, found
    assert [(t.path, t.missing) for t in found.targets] == [(f"a/{NAME}", False)]
    assert not found.notes
    assert run("verify", out)[0] == 0
