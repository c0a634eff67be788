"""`make kit`: a folder for a stick, with all that an offline machine needs to run Vestry.

Two people who build from the same commit get the same bytes: Vestry's own files come from the commit and not from the
working tree, every other package is a wheel whose hash the lock names, and no time but the commit's goes in.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import sbom

from vestry.text import group_hex, words

PYTHONS = ("3.11", "3.13")  # Debian 12's and 13's
MACHINES = ("x86_64", "aarch64")
_GLIBC = range(36, 16, -1)  # Debian 12 has 2.36; older tags fit it too, and nearer ones are preferred
_TAKEN = ("README.md", "threat-model.md", "docs", "ceremony-scripts", "tests/standalone_verifier.py")
_SUMS = "SHA256SUMS"


@dataclass(frozen=True)
class Commit:
    """What the kit is built from: id, time in seconds since 1970 (UTC), and its tree as a tar archive."""

    id: str
    time: int
    archive: bytes


def main() -> int:
    """Build the kit; 2 where the working tree or the network is in the way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=Path("dist"), help="where the kit's folder goes (default: dist)")
    parser.add_argument("--commit", default="HEAD", help="what to build (default: HEAD)")
    args = parser.parse_args()
    os.umask(0o022)
    try:
        made = build(commit(args.commit), args.into)
    except Trouble as error:
        print(f"kit: {error}", file=sys.stderr)
        return 2
    if _git("status", "--porcelain"):
        print("kit: what is not committed is not in it", file=sys.stderr)
    print(f"{made}\n\nSHA-256 of its {_SUMS}; whoever builds the same commit reads the same:")
    read_aloud(sha256(made / _SUMS))
    return 0


def read_aloud(digest: str) -> None:
    """Print a SHA-256, in hex, as people compare it: in groups of four, and as words."""
    spoken, written = words(digest), group_hex(digest)
    print(*("  " + " ".join(written[at : at + 8]) for at in range(0, len(written), 8)), sep="\n")
    print(*("  " + " ".join(spoken[at : at + 4]) for at in range(0, len(spoken), 4)), sep="\n")


class Trouble(Exception):
    """Something that whoever builds can mend, in one line."""


def commit(name: str) -> Commit:
    """The commit that `name` means in the repository here."""
    found = _git("rev-parse", "--verify", f"{name}^{{commit}}").strip()
    when = int(_git("show", "-s", "--format=%ct", found))
    archive = subprocess.run(["git", "archive", "--format=tar", found], check=True, capture_output=True).stdout
    return Commit(found, when, archive)


def unpack(source: Commit, into: Path) -> Path:
    """Write the commit's tree to the folder `into`, and return it."""
    with tarfile.open(fileobj=BytesIO(source.archive)) as archive:
        archive.extractall(into, filter="data")
    return into


def build(source: Commit, into: Path) -> Path:
    """Make the kit's folder below `into`, anew if it is there, and return it."""
    with tempfile.TemporaryDirectory() as temporary:
        tree = unpack(source, Path(temporary) / "tree")
        wheels = Path(temporary) / "wheels"
        own = _own_wheel(tree, source.time, wheels)
        version = own.name.split("-")[1]
        _fetch(tree, wheels)
        kit = into / f"vestry-kit-{version}"
        if kit.exists():
            shutil.rmtree(kit)
        kit.mkdir(parents=True)
        for name in _TAKEN:
            _copy(tree / name, kit / name)
        _copy(tree / "kit" / "install.sh", kit / "install.sh")
        shutil.copytree(wheels, kit / "wheels", copy_function=shutil.copyfile)
        (kit / "COMMIT").write_text(f"{source.id}\n")
        (kit / "requirements.lock").write_text(_lock(tree, own))
        bom = sbom.make(sorted(wheels.glob("*.whl")), own, commit=source.id, time=source.time)
        (kit / "sbom.cdx.json").write_text(bom)
    (kit / _SUMS).write_text(_sums(kit))
    _settle(kit, source.time)
    return kit


def _own_wheel(tree: Path, time: int, into: Path) -> Path:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(time)}
    call = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into)]
    done = subprocess.run(call, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Trouble(f"Vestry's own wheel was not built: {done.stderr.strip().splitlines()[-1]}")
    return next(into.glob("vestry-*.whl"))


def _fetch(tree: Path, into: Path) -> None:
    """Wheels alone, each with a hash that the lock names: nothing is run that was fetched."""
    locks = [tree / "requirements" / f"{name}.lock" for name in ("runtime", "installer")]
    for python in PYTHONS:
        for machine in MACHINES:
            abi = f"cp{python.replace('.', '')}"
            platforms = [f"manylinux_2_{minor}_{machine}" for minor in _GLIBC] + [f"manylinux2014_{machine}"]
            call = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
            call += ["--require-hashes", "--no-deps", "--only-binary=:all:", f"--python-version={python}"]
            call += ["--implementation=cp", f"--abi={abi}", "--abi=abi3", "--abi=none", f"--dest={into}"]
            call += [f"--platform={p}" for p in platforms] + [f"--requirement={lock}" for lock in locks]
            done = subprocess.run(call, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Trouble(f"the wheels for Python {python} on {machine} did not come: {_last(done.stderr)}")


def _last(text: str) -> str:
    told = [line for line in text.splitlines() if line.startswith("ERROR")]
    return told[-1] if told else "pip failed"


def _lock(tree: Path, own: Path) -> str:
    """The lock that the installer holds every wheel against, Vestry's own among them."""
    runtime = (tree / "requirements" / "runtime.lock").read_text()
    version = own.name.split("-")[1]
    return f"{runtime.rstrip()}\nvestry=={version} \\\n    --hash=sha256:{sha256(own)}\n"


def _sums(kit: Path) -> str:
    files = sorted(p.relative_to(kit).as_posix() for p in kit.rglob("*") if p.is_file())
    return "".join(f"{sha256(kit / name)}  {name}\n" for name in files)


def _settle(kit: Path, time: int) -> None:
    """Times and modes of the files, so that an archive of the folder is the same everywhere, too."""
    for path in (*kit.rglob("*"), kit):
        path.chmod(0o755 if path.is_dir() or path.suffix == ".sh" else 0o644)
        os.utime(path, (time, time))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=shutil.copyfile)
    elif source.is_file():
        shutil.copyfile(source, target)
    else:
        raise Trouble(f"the commit has no {source.name}")


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _git(*words_: str) -> str:
    done = subprocess.run(["git", *words_], capture_output=True, text=True, check=False)
    if done.returncode:
        said = re.sub(r"^fatal: ", "", done.stderr.strip())
        raise Trouble(f"git: {said}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
