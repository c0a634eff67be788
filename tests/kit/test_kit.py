"""The kit: the same bytes for whoever builds it, and an installation that needs nothing else."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vestry.text import words

Built = tuple[Path, str]


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def build(clone: Path, **environment: str) -> Built:
    """The kit that a clone gives, and what was said."""
    done = subprocess.run(
        [sys.executable, "kit/build.py", "--into", "out"],
        cwd=clone,
        env={**os.environ, "PYTHONPATH": "src", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (kit,) = (clone / "out").iterdir()
    return kit, done.stdout


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Built:
    """Built by the first worker that asks, for all of them: it costs more than the tests."""
    if not (repository / ".git").exists():
        pytest.skip("a kit is built from a commit, and this is no git checkout")
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    clone, said = shared / "kit-hers", shared / "kit-hers.txt"
    with (shared / "kit-hers.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            git(shared, "clone", "--quiet", "--no-hardlinks", str(repository), clone.name)
            said.write_text(build(clone)[1])
    (folder,) = (clone / "out").iterdir()
    return folder, said.read_text()


def listing(folder: Path) -> dict[str, tuple[str, int, int]]:
    """Name to digest, mode and time."""
    found = {}
    for path in sorted(folder.rglob("*")):
        seen = path.stat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[path.relative_to(folder).as_posix()] = (digest, seen.st_mode, int(seen.st_mtime))
    return found


def test_two_people_build_the_same_bytes(kit: Built, repository: Path, tmp_path: Path) -> None:
    """A kit that only its builder can vouch for is a kit that one person can change. He has no index, but the wheels
    in a folder: where they come from changes nothing."""
    his = tmp_path / "his"
    git(tmp_path, "clone", "--quiet", "--no-hardlinks", str(repository), his.name)
    git(his, "reset", "--quiet", "--hard", (kit[0] / "COMMIT").read_text().strip())
    (his / "README.md").write_text("not committed")
    (his / "src" / "vestry" / "stray.py").write_text("not committed")
    wheels = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(kit[0] / "wheels")}
    other, said = build(his, TZ="Pacific/Chatham", LC_ALL="C", PYTHONHASHSEED="7", **wheels)
    assert listing(kit[0]) == listing(other)
    digest = hashlib.sha256((other / "SHA256SUMS").read_bytes()).hexdigest()
    assert " ".join(words(digest)) in " ".join(said.split())
    assert not any("stray" in name for name in listing(other))


def test_the_sums_and_the_bill_name_everything(kit: Built) -> None:
    """What neither lists could be exchanged, or be in it without anyone's knowing."""
    folder = kit[0]
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True, check=False
    )
    assert done.returncode == 0
    listed = {line[66:] for line in (folder / "SHA256SUMS").read_text().splitlines()}
    assert listed == {name for name in listing(folder) if (folder / name).is_file()} - {"SHA256SUMS"}
    bill = json.loads((folder / "sbom.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    parts = [*bill["components"], bill["metadata"]["component"]]
    hashes = {part["bom-ref"]: part["hashes"][0]["content"] for part in parts}
    wheels = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (folder / "wheels").iterdir()}
    assert hashes == wheels
    assert all(part["licenses"] for part in bill["components"])
    needs = {d["ref"]: d.get("dependsOn", []) for d in bill["dependencies"]}
    own = bill["metadata"]["component"]["bom-ref"]
    assert {name.split("-")[0] for name in needs[own]} >= {"textual", "tuf", "cryptography", "orjson"}


def install(folder: Path, into: Path) -> subprocess.CompletedProcess[str]:
    # As root, without any network at all; else with an index that nobody answers at.
    alone = ["unshare", "--net"] if os.geteuid() == 0 and _unshares() else []
    return subprocess.run(
        [*alone, "sh", str(folder / "install.sh"), str(into)],
        env={"PATH": os.environ["PATH"], "HOME": str(into.parent), "PIP_INDEX_URL": "http://127.0.0.1:9/"},
        capture_output=True,
        text=True,
        check=False,
    )


def _unshares() -> bool:
    return subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0


def test_it_installs_without_a_network_and_a_rehearsal_runs(kit: Built, tmp_path: Path) -> None:
    """On the day there is nothing to fetch from."""
    done = install(kit[0], tmp_path / "vestry")
    assert done.returncode == 0, done.stderr
    digest = hashlib.sha256((kit[0] / "SHA256SUMS").read_bytes()).hexdigest()
    assert digest in done.stderr
    assert " ".join(words(digest)) in " ".join(done.stderr.split())
    ran = subprocess.run(
        [
            tmp_path / "vestry" / "bin" / "vestry",
            "rehearse",
            "--unattended",
            "--into",
            "r",
            "--holders",
            "2",
            "--threshold",
            "2",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "r").is_dir()
    again = install(kit[0], tmp_path / "vestry")
    assert (again.returncode, "is there already" in again.stderr) == (2, True)


@pytest.mark.parametrize("how", ["changed", "added", "removed", "linked"])
def test_a_kit_that_was_touched_installs_nothing(kit: Built, tmp_path: Path, how: str) -> None:
    """A stick goes through hands; what it brings must be what was built."""
    folder = tmp_path / "kit"
    shutil.copytree(kit[0], folder)
    wheel = next((folder / "wheels").glob("vestry-*"))
    if how == "changed":
        raw = bytearray(wheel.read_bytes())
        raw[len(raw) // 2] ^= 1
        wheel.write_bytes(raw)
    elif how == "added":
        (folder / "wheels" / "pip.py").write_text("raise SystemExit('run')")
    elif how == "removed":
        wheel.unlink()
    else:
        (folder / "wheels" / "more").symlink_to("/etc")
    done = install(folder, tmp_path / "vestry")
    assert done.returncode == 2
    assert "do not use" in done.stderr
    assert not (tmp_path / "vestry").exists()
