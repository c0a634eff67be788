"""What lies in a bundle's folder: plain files at the places a bundle has, and nothing else."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from vestry.errors import InputRejected, MediumTrouble
from vestry.text import printable

FOLDERS = ("unsigned", "trusted", "signatures", "certificates")
SIGNATURES_LIMIT = 256

_SIGNATURE = re.compile(r"[0-9a-f]{64}\.json")
_NAMED = {"signatures": _SIGNATURE, "certificates": re.compile(r"[0-9a-f]{64}\.pem")}
_UNFINISHED = re.compile(r"~.*\.part")


def found_files(folder: Path) -> dict[str, Path]:
    """Files of a bundle by their name below `folder`. Unfinished files of an interrupted write are passed over.

    Raises:
        InputRejected: a link, a device, a folder or file where a bundle has none, or too many of them.
        MediumTrouble: the folder cannot be read.
    """
    found: dict[str, Path] = {}
    for path, is_folder in _list(folder, limit=16):
        if is_folder and path.name in FOLDERS:
            named = _NAMED.get(path.name)
            for inner, inner_is_folder in _list(path, limit=SIGNATURES_LIMIT if named else 1):
                if inner_is_folder:
                    raise _odd(inner, "a bundle has no folder here")
                if named is not None and not named.fullmatch(inner.name):
                    raise _odd(inner, f"a file of {path.name} is named by a key id: 64 hex digits and its ending")
                found[f"{path.name}/{inner.name}"] = inner
        elif not is_folder and path.name in ("bundle.json", "SHA256SUMS"):
            found[path.name] = path
        else:
            raise _odd(path, f"a bundle has no {'folder' if is_folder else 'file'} of this name")
    return found


def is_signature(name: str) -> bool:
    """Whether a file is named like a signature's."""
    return _SIGNATURE.fullmatch(name) is not None


def signature_files(folder: Path) -> dict[str, Path]:
    """Signature files that lie in a folder of their own, by name.

    Raises:
        InputRejected: something else lies there, or nothing does.
    """
    found: dict[str, Path] = {}
    for path, is_folder in _list(folder, limit=SIGNATURES_LIMIT):
        if is_folder or not _SIGNATURE.fullmatch(path.name):
            raise _odd(path, "neither a bundle nor a signature file, which is named <key id>.json", "name a bundle")
        found[path.name] = path
    if not found:
        raise _odd(folder, "neither a bundle nor signature files", "name a bundle")
    return found


def _list(folder: Path, *, limit: int) -> list[tuple[Path, bool]]:
    listed: list[tuple[Path, bool]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if _UNFINISHED.fullmatch(entry.name):
                    continue
                if len(listed) == limit:
                    raise _odd(folder, f"more than {limit} entries, where a bundle never has as many")
                listed.append((Path(entry.path), _is_folder(entry)))
    except NotADirectoryError as error:
        raise _odd(folder, "not a folder, so not a bundle", "name the folder that holds bundle.json") from error
    except FileNotFoundError as error:
        raise _odd(folder, "there is nothing here", "check the path") from error
    except OSError as error:
        raise MediumTrouble(
            f"the folder cannot be read ({error.strerror})",
            where=printable(str(folder), 200),
            do="check the drive, or take another copy",
            code="E-DRIVE-ERROR",
        ) from error
    return sorted(listed)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    mode = entry.stat(follow_symlinks=False).st_mode
    if stat.S_ISLNK(mode):
        raise _odd(Path(entry.path), "a link, where a bundle has plain files", "copy the file itself")
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise _odd(Path(entry.path), "not a plain file", "do not use this drive")
    return stat.S_ISDIR(mode)


def _odd(path: Path, what: str, do: str = "remove it, or copy the bundle again") -> InputRejected:
    return InputRejected(what, where=printable(str(path), 200), do=do, code="E-BUNDLE-ENTRY")
