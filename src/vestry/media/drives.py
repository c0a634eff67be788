"""Removable media: write, sync, read back past the cache, compare.

A drive is pulled too early, is full, or lies. So files appear under temporary names, are synced, renamed, and, once all
are there, read back from the medium; ``SHA256SUMS`` gets its name last. Where it is missing, what is there is not a
whole export.
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from vestry.errors import InputRejected, MediumTrouble
from vestry.media import names
from vestry.text import printable

SUMS = "SHA256SUMS"
_CHUNK = 1 << 20

_REASONS = {
    errno.ENOSPC: ("the drive is full", "make room or take a larger one", "E-DRIVE-FULL"),
    errno.EDQUOT: ("the drive is full", "make room or take a larger one", "E-DRIVE-FULL"),
    errno.EFBIG: ("the drive cannot hold a file of this size", "take another drive", "E-DRIVE-FULL"),
    errno.EROFS: ("the drive is read-only", "open its write lock or mount it writable", "E-DRIVE-READONLY"),
    errno.EACCES: ("no right to write here", "choose a folder that you may write to", "E-DRIVE-RIGHTS"),
    errno.EPERM: ("no right to write here", "choose a folder that you may write to", "E-DRIVE-RIGHTS"),
    errno.EIO: ("the drive reports an error", "do not trust it; take another one", "E-DRIVE-ERROR"),
    errno.ENODEV: ("the drive is gone", "insert it and export again", "E-DRIVE-GONE"),
    errno.ENXIO: ("the drive is gone", "insert it and export again", "E-DRIVE-GONE"),
    errno.ENOENT: ("the drive is gone", "insert it and export again", "E-DRIVE-GONE"),
    errno.ENOTCONN: ("the drive is gone", "insert it and export again", "E-DRIVE-GONE"),
    errno.ECONNABORTED: ("the drive is gone", "insert it and export again", "E-DRIVE-GONE"),
    errno.ENOTDIR: ("a file stands where a folder should be", "choose another place", "E-DRIVE-PLACE"),
    errno.ELOOP: ("a link stands where a file or folder should be", "choose another place", "E-DRIVE-PLACE"),
    errno.EISDIR: ("a folder stands where a file should be", "choose another place", "E-DRIVE-PLACE"),
}


def sums(files: Mapping[str, bytes]) -> bytes:
    """The content of a ``SHA256SUMS`` over `files`, in the format of sha256sum(1), sorted by name."""
    return listing(_digests(files))


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != SUMS}


def listing(digests: Mapping[str, str]) -> bytes:
    """The content of a ``SHA256SUMS`` that gives files these SHA-256, in hex."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())).encode()


def export(files: Mapping[str, bytes], to: Path) -> Mapping[str, str]:
    """Write `files` (names relative to `to`, parts separated by ``/``) and ``SHA256SUMS``, unless it is among them.

    All files are read back from the medium and compared when the last of them is written, since a drive of a forged
    size writes over the first ones then; only after that does ``SHA256SUMS`` get its name. An older one is removed
    first. Other files in `to` stay as they are. Doing it again gives the same result. All is synced when this returns.

    Returns:
        Names of `files` mapped to the SHA-256 of what was read back, in hex.

    Raises:
        InputRejected: a name is not safe on removable media.
        MediumTrouble: the drive is full, read-only, gone, failing, or gave back other bytes than were written.
    """
    names.check(files)
    if any(name.split("/")[0] == SUMS and name != SUMS for name in files):
        raise InputRejected(f"{SUMS} is a file, not a folder", where=printable(str(to)), code="E-NAME")
    wanted = _digests(files)
    told = files.get(SUMS) or listing(wanted)
    with _translated(to):
        to.mkdir(parents=True, exist_ok=True)
        _room_for({**files, SUMS: told}, to)
        _remove(to / SUMS)
        for name, data in files.items():
            if name != SUMS:
                _make_folders(to, name)
                _place(to / name, data)
        last = _temporary(to / SUMS, told)
        try:
            for name, digest in wanted.items():
                _compare(to / name, digest)
            wanted[SUMS] = hashlib.sha256(told).hexdigest()
            _compare(last, wanted[SUMS])
            last.replace(to / SUMS)
        except BaseException:
            with suppress(OSError):  # the first error is the one to tell
                last.unlink()
            raise
        _sync_folder(to)
        _compare(to / SUMS, wanted[SUMS])
    return {name: wanted[name] for name in files}


def folder_on(medium: Path, name: str) -> Path:
    """The folder of that name on a medium, for an export.

    Raises:
        MediumTrouble: a link stands there, by which everything would be written elsewhere.
    """
    folder = medium / name
    with _translated(folder):
        _no_link(folder)
    return folder


def write_file(path: Path, data: bytes) -> None:
    """Write one file whole or not at all: temporary name, sync, rename, sync of its folder, which is made if missing.

    Raises:
        MediumTrouble: the drive is full, read-only, gone or failing.
    """
    with _translated(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        _place(path, data)


def remove(path: Path) -> None:
    """Take a file away, and sync its folder.

    Raises:
        MediumTrouble: the drive is read-only, gone or failing.
    """
    with _translated(path.parent):
        _remove(path)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are missing.

    Raises:
        MediumTrouble: it can't be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediumTrouble(
            f"this folder cannot be made: {error.strerror}",
            where=printable(str(path), 200),
            do="name another place",
            code="E-DRIVE-PLACE",
        ) from error


@contextmanager
def _translated(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what, do, code = _REASONS.get(
            error.errno or 0, (f"the drive failed ({error.strerror})", "take another drive", "E-DRIVE-ERROR")
        )
        raise MediumTrouble(
            what, where=printable(str(where), 200), do=f"{do}; what was written is not complete", code=code
        ) from error


def _room_for(files: Mapping[str, bytes], to: Path) -> None:
    """Each new file lies beside the one that it replaces for a moment."""
    drive = os.statvfs(to)
    if drive.f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def blocks(size: int) -> int:
        return -(-size // drive.f_frsize)

    new = [blocks(len(data)) for data in files.values()]
    freed = sum(blocks((to / name).lstat().st_size) for name in files if os.path.lexists(to / name))
    need, free = (sum(new) - freed + max(new)) * drive.f_frsize, drive.f_bavail * drive.f_frsize
    if free < need:
        raise MediumTrouble(
            f"the drive is full: {free:,} bytes are free, and {need:,} are needed",
            where=printable(str(to), 200),
            do="make room or take a larger one; nothing was written",
            code="E-DRIVE-FULL",
        )


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()
        _sync_folder(path.parent)


def _make_folders(to: Path, name: str) -> None:
    for folder in reversed((to / name).relative_to(to).parents[:-1]):
        (to / folder).mkdir(exist_ok=True)
        _no_link(to / folder)
        _sync_folder((to / folder).parent)


def _no_link(folder: Path) -> None:
    if folder.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _place(path: Path, data: bytes) -> None:
    temporary = _temporary(path, data)
    try:
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to tell
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def _temporary(path: Path, data: bytes) -> Path:
    """Write and sync the file that is to become `path`."""
    if path.is_dir():
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    # The stem alone may be long; FAT allows 255 characters and export's names leave room for this.
    temporary = path.with_name(f"~{path.name}.part")
    _remove(temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        with suppress(OSError):  # the first error is the one to tell
            temporary.unlink()
        raise
    return temporary


def _compare(path: Path, wanted: str) -> None:
    """Hold what the medium gives back against its SHA-256; a file that is something else is removed."""
    if _read_back(path) != wanted:
        with suppress(OSError):
            _remove(path)
        raise MediumTrouble(
            "the drive gave back other bytes than were written",
            where=printable(str(path), 200),
            do="do not trust it; take another one",
            code="E-DRIVE-LIES",
        )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems cannot sync a folder; the files themselves were synced.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _read_back(path: Path) -> str:
    """SHA-256 of what the medium holds: around the page cache where it can be, else after asking to drop it."""
    try:
        return _digest(path, getattr(os, "O_DIRECT", 0))
    except OSError as error:
        # Not every file system reads directly, and some accept the flag and refuse the read. Any other error is the
        # drive's own, and must not be hidden by what the cache still has.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    return _digest(path, 0)


def _digest(path: Path, flags: int) -> str:
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        size, offset = os.fstat(descriptor).st_size, 0
        # Memory from mmap begins on a page, which direct reading demands.
        with mmap.mmap(-1, _CHUNK) as buffer:
            while offset < size and (count := os.preadv(descriptor, [buffer], offset)):
                digest.update(buffer[:count])
                offset += count
    finally:
        os.close(descriptor)
    return digest.hexdigest()
