"""`make image`: a live system that boots into Vestry, keeps nothing, and has no driver of any network.

Debian's packages, the kit of this commit and the files in ``kit/live`` become one file system. Beside a first program
of its own it lies in the memory that the boot loader fills, so that no drive is read after that. Whoever builds it from
the same commit, packages and tools gets the same bytes; docs/image.md says what that takes.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.parser import HeaderParser
from pathlib import Path

import build as kit

SUITE = "bookworm"
_PUBLIC = "http://deb.debian.org"
_SNAPSHOTS = "http://snapshot.debian.org/archive"
_TOOLS = (
    "faketime",
    "grub-common",
    "grub-efi-amd64-bin",
    "grub-pc-bin",
    "mmdebstrap",
    "mtools",
    "squashfs-tools",
    "xorriso",
)
_FIRST_MODULES = ("loop", "overlay", "squashfs")
_FOLDER, _PROGRAM, _FILE = 0o40755, 0o100755, 0o100644


def main() -> int:
    """Build the image; 2 where the working tree, the network or a tool is in the way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=Path("dist"), help="where the image's folder goes (default: dist)")
    parser.add_argument("--commit", default="HEAD", help="what to build (default: HEAD)")
    parser.add_argument("--snapshot", help="a time of Debian's archive to build from, like 20261101T000000Z")
    args = parser.parse_args()
    os.umask(0o022)
    try:
        made = build(kit.commit(args.commit), args.into, sources(args.snapshot))
    except kit.Trouble as error:
        print(f"image: {error}", file=sys.stderr)
        return 2
    print(f"{made}\n\nSHA-256 of it; whoever builds the same commit from the same packages reads the same:")
    kit.read_aloud(kit.sha256(made))
    return 0


def sources(snapshot: str | None) -> Sequence[str]:
    """Lines of sources.list(5): Debian's archive at a time, else where this machine has Debian from, else its mirrors.

    Raises:
        Trouble: `snapshot` is no time of Debian's archive.
    """
    if snapshot is not None and not re.fullmatch(r"\d{8}T\d{6}Z", snapshot):
        raise kit.Trouble(f"{snapshot!r} is no time of Debian's archive: write it like 20261101T000000Z")
    lines = []
    for archive, suite in (("debian", SUITE), ("debian-security", f"{SUITE}-security")):
        if snapshot:
            lines.append(f"deb [check-valid-until=no] {_SNAPSHOTS}/{archive}/{snapshot} {suite} main")
        else:
            lines.append(f"deb {_mirror(suite) or f'{_PUBLIC}/{archive}'} {suite} main")
    return lines


def _mirror(suite: str) -> str | None:
    call = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(CODENAME) $(REPO_URI)", "Created-By: Packages"]
    told = _run(call).splitlines() if shutil.which("apt-get") else []
    return next((line.split()[2] for line in told if line.startswith(f"Debian {suite} ")), None)


def build(source: kit.Commit, into: Path, lines: Sequence[str]) -> Path:
    """Make the image's folder below `into`, anew if it is there, and return the image in it.

    Beside it lie ``image.packages``, which names every package in it and every tool that made it, with versions, and
    ``SHA256SUMS``.

    Raises:
        Trouble: what the image is made of did not come, or a tool failed.
    """
    os.environ["SOURCE_DATE_EPOCH"] = str(source.time)  # mmdebstrap, mksquashfs, mtools and xorriso read it
    with tempfile.TemporaryDirectory(prefix="vestry-image-") as temporary:
        work = Path(temporary)
        work.chmod(0o755)  # without root, mmdebstrap becomes another user
        packed = kit.build(source, work)
        live = kit.unpack(source, work / "tree") / "kit" / "live"
        system, squashed = work / "system.tar", work / "system.squashfs"
        print("image: the system, from Debian's packages", file=sys.stderr)
        own = _own_files(work / "own.tar", {"": live / "root", "opt/kit": packed}, source.time)
        _bootstrap(live, own, lines, system)
        print("image: the file system", file=sys.stderr)
        _run(["mksquashfs", "-", str(squashed), "-tar", "-comp", "zstd", "-quiet", "-no-progress"], given=system)
        with tarfile.open(system) as tar:
            contents = {m.name.removeprefix("./"): m for m in tar.getmembers()}
            packages = _packages(_read(tar, contents["var/lib/dpkg/status"]).decode())
            kernel = _read(tar, next(m for name, m in contents.items() if name.startswith("boot/vmlinuz-")))
            modules = {m.name.rpartition("/")[2]: m for name, m in contents.items() if name.endswith(".ko")}
            first = {f"modules/{n}.ko": (_FILE, _read(tar, modules[f"{n}.ko"])) for n in _FIRST_MODULES}
            first["bin/busybox"] = (_PROGRAM, _read(tar, contents["usr/bin/busybox"]))
        first["init"] = (_PROGRAM, (live / "init").read_bytes())
        first["system.squashfs"] = (_FILE, squashed.read_bytes())
        boot = work / "iso" / "boot"
        (boot / "grub").mkdir(parents=True)
        (boot / "vmlinuz").write_bytes(kernel)
        (boot / "initrd").write_bytes(cpio(first))
        shutil.copyfile(live / "grub.cfg", boot / "grub" / "grub.cfg")
        folder = into / packed.name.replace("kit", "image")
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        image = folder / f"{folder.name}.iso"
        _iso(work / "iso", image, source.time)
        (folder / "image.packages").write_text(packages)
        (folder / "SHA256SUMS").write_text(
            "".join(f"{kit.sha256(folder / name)}  {name}\n" for name in sorted(["image.packages", image.name]))
        )
    return image


def _own_files(tar: Path, folders: Mapping[str, Path], time: int) -> Path:
    def settled(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        member.mtime = time
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        return member

    with tarfile.open(tar, "w") as archive:
        for name, folder in folders.items():
            archive.add(folder, f"./{name}", filter=settled)
    return tar


def _bootstrap(live: Path, own: Path, lines: Sequence[str], system: Path) -> None:
    """A tar archive of the whole system; nothing outside it is touched, with root or without."""
    packages = (live / "packages").read_text().split()
    call = ["mmdebstrap", "--quiet", "--variant=essential", f"--include={','.join(packages)}"]
    call += [f"--dpkgopt={live / 'dpkg.cfg'}", f"--customize-hook=tar-in {own} /"]
    call += [f"--customize-hook={live / 'customize.sh'}", "--architectures=amd64", SUITE, str(system), *lines]
    _run(call)


def cpio(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """An archive that the kernel unpacks into its first root (initramfs, format newc): mode and bytes of each file.

    Folders are made as they are needed, and those where init mounts things; names are sorted, times are zero.
    """
    folders = {"dev", "memory", "root", "system"}
    folders |= {name.rpartition("/")[0] for name in files if "/" in name}
    entries = dict.fromkeys(folders, (_FOLDER, b"")) | dict(files)
    out = bytearray()
    for inode, (name, (mode, data)) in enumerate([*sorted(entries.items()), ("TRAILER!!!", (0, b""))], 1):
        numbers = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08X" % number for number in numbers) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out)


def _packages(status: str) -> str:
    """What is in the image, from dpkg's status file, and what made it, from dpkg here: name, version, architecture."""
    read = [HeaderParser().parsestr(part) for part in status.split("\n\n") if part.strip()]
    inside = sorted(f"{p['Package']} {p['Version']} {p['Architecture']}" for p in read)
    made = _run(["dpkg-query", "--show", "--showformat=${Package} ${Version} ${Architecture}\\n", *_TOOLS])
    return "\n".join(["# in the image", *inside, "# what made it", *sorted(made.splitlines()), ""])


def _iso(folder: Path, image: Path, time: int) -> None:
    """For sticks and discs, old firmware (BIOS) and new (UEFI)."""
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (time, time))
    # GRUB's tool names the image by the time of day, and takes no other from its user.
    when = datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S")
    call = ["env", "TZ=UTC", "faketime", "-f", when]
    _run([*call, "grub-mkrescue", f"--output={image}", str(folder), "--", "-volid", "VESTRY"])


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None
    return file.read()


def _run(call: Sequence[str], given: Path | None = None) -> str:
    with (given or Path(os.devnull)).open("rb") as file:
        try:
            done = subprocess.run(call, stdin=file, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise kit.Trouble(f"{call[0]} is not here: sudo apt-get install {' '.join(_TOOLS)}") from None
    if done.returncode:
        raise kit.Trouble(f"{call[0]} failed: {' / '.join(done.stderr.strip().splitlines()[-5:])}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
