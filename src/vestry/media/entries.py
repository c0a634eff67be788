"""What may lie in a bundle: plain files at the places a bundle has, and nothing else."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from vestry.errors import InputRejected, MediumTrouble
from vestry.media import description, evidence, names, signatures
from vestry.metadata import intake
from vestry.text import printable

FOLDERS = ("unsigned", "trusted", "previous", "signatures", "certificates")
SIGNATURES_LIMIT = 256
FILES_LIMIT = 2 * SIGNATURES_LIMIT + 4
BYTES_LIMIT = (2 * 256 + 32) << 20
"""All files together: two documents of the largest size, and as much as any number of holders ever signed."""

_TOP = ("bundle.json", "SHA256SUMS")
_SIGNATURE = re.compile(r"[0-9a-f]{64}\.json")
_NAMED = {"signatures": _SIGNATURE, "certificates": re.compile(r"[0-9a-f]{64}\.pem")}
_LIMITS = {"signatures": signatures.LIMIT, "certificates": evidence.LIMIT}
_UNFINISHED = re.compile(r"~.*\.part")


def read(folder: Path) -> dict[str, bytes]:
    """The files of a bundle's folder by name. Unfinished files of an interrupted write are passed over.

    Raises:
        InputRejected: a link, a device, a folder or file where a bundle has none, an odd name, or too much.
        MediumTrouble: the folder cannot be read.
    """
    found: dict[str, Path] = {}
    for path, is_folder in _list(folder, limit=16):
        if not is_folder:
            found[path.name] = path
            continue
        _known(f"{path.name}/", path)
        for inner, inner_is_folder in _list(path, limit=SIGNATURES_LIMIT):
            if inner_is_folder:
                raise odd(inner, "a bundle has no folder here")
            found[f"{path.name}/{inner.name}"] = inner
    check(found, folder)
    files: dict[str, bytes] = {}
    for name, path in found.items():
        files[name] = intake.read_file(path, limit=limit(name))
        if sum(map(len, files.values())) > BYTES_LIMIT:
            raise odd(folder, f"more than {BYTES_LIMIT:,} bytes, where a bundle never has as many")
    return files


def check(found: Iterable[str], where: Path) -> None:
    """Refuse names of files that a bundle does not have, or too many of them. `where` is what they were found in.

    Raises:
        InputRejected: the first such name, and why.
    """
    found = tuple(found)
    if wrong := names.first_odd(found):
        raise odd(where / wrong[0], wrong[1], "do not use it; ask where it came from")
    counts = dict.fromkeys(FOLDERS, 0)
    for name in found:
        _known(name, where / name)
        if "/" in name:
            counts[name.partition("/")[0]] += 1
    for folder, count in counts.items():
        most = SIGNATURES_LIMIT if folder in _NAMED else 1
        if count > most:
            raise odd(where / folder, f"more than {most} entries, where a bundle never has as many")


def limit(name: str) -> int:
    """How many bytes the file `name` of a bundle may have."""
    folder, _, _ = name.partition("/")
    return _LIMITS.get(folder, description.LIMIT if name in _TOP else description.DOCUMENT_LIMIT)


def is_signature(name: str) -> bool:
    """Whether a file is named like a signature's."""
    return _SIGNATURE.fullmatch(name) is not None


def cut_short(folder: Path) -> bool:
    """Whether nothing lies in a folder but what an interrupted write of a bundle leaves: no ``SHA256SUMS``."""
    return folder.is_dir() and {p.name for p in folder.iterdir() if not _UNFINISHED.fullmatch(p.name)} <= {
        *FOLDERS,
        "bundle.json",
    }


def signature_files(folder: Path) -> dict[str, Path]:
    """Signature files that lie in a folder of their own, by name.

    Raises:
        InputRejected: something else lies there, or nothing does.
    """
    found: dict[str, Path] = {}
    for path, is_folder in _list(folder, limit=SIGNATURES_LIMIT):
        if is_folder or not _SIGNATURE.fullmatch(path.name):
            raise odd(path, "neither a bundle nor a signature file, which is named <key id>.json", "name a bundle")
        found[path.name] = path
    if not found:
        raise odd(folder, "neither a bundle nor signature files", "name a bundle")
    return found


def odd(path: Path, what: str, do: str = "remove it, or copy the bundle again") -> InputRejected:
    """What is wrong with an entry."""
    return InputRejected(what, where=printable(str(path), 200), do=do, code="E-BUNDLE-ENTRY")


def _known(name: str, path: Path) -> None:
    folder, slash, inner = name.partition("/")
    if not slash and name in _TOP:
        return
    if not slash or folder not in FOLDERS:
        raise odd(path, f"a bundle has no {'folder' if slash else 'file'} of this name")
    if "/" in inner:
        raise odd(path, "a bundle has no folder here")
    if inner and folder in _NAMED and not _NAMED[folder].fullmatch(inner):
        raise odd(path, f"a file of {folder} is named by a key id: 64 hex digits and its ending")


def _list(folder: Path, *, limit: int) -> list[tuple[Path, bool]]:
    listed: list[tuple[Path, bool]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                is_folder = _is_folder(entry)
                if _UNFINISHED.fullmatch(entry.name) and not is_folder:
                    continue
                if len(listed) == limit:
                    raise odd(folder, f"more than {limit} entries, where a bundle never has as many")
                listed.append((Path(entry.path), is_folder))
    except NotADirectoryError as error:
        raise odd(folder, "not a folder, so not a bundle", "name the folder that holds bundle.json") from error
    except FileNotFoundError as error:
        raise odd(folder, "there is nothing here", "check the path") from error
    except OSError as error:
        raise MediumTrouble(
            f"the folder cannot be read ({error.strerror})",
            where=printable(str(folder), 200),
            do="check the drive, or take another copy",
            code="E-DRIVE-ERROR",
        ) from error
    if wrong := names.first_odd([path.name for path, _ in listed]):
        raise odd(folder / wrong[0], wrong[1], "do not use it; ask where it came from")
    return sorted(listed)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    mode = entry.stat(follow_symlinks=False).st_mode
    if stat.S_ISLNK(mode):
        raise odd(Path(entry.path), "a link, where a bundle has plain files", "copy the file itself")
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise odd(Path(entry.path), "not a plain file", "do not use this drive")
    return stat.S_ISDIR(mode)
