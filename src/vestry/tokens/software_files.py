"""The files of a software token, as `vestry.tokens.software` lays them out: read strictly, written in one step each."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vestry.errors import TokenTrouble
from vestry.text import printable
from vestry.tokens.token import KeyKind, TokenKey
from vestry.tokens.uri import KeyUri, build

TRIES = 3
SCRYPT_N = 2**14  # about 50 ms: enough for practice; a real key does not live here
_SCRYPT_N_MOST = 2**20
_FORMAT = "vestry software token 1"
GONE, NEW = ".gone-", ".new-"
_HEX = re.compile(r"[0-9a-f]+")
_LONGEST_FILE = 64 * 1024
# Whoever has the folder and the PIN has the key: the words of hardware do not fit, so they are left untold.
_FACTS = (
    ("sensitive", "untold"),
    ("extractable", "untold"),
    ("always_sensitive", "untold"),
    ("never_extractable", "untold"),
    ("local", "yes"),
    ("software", "yes"),
)


@dataclass(frozen=True)
class State:
    """What token.json holds. `check` is the seal of nothing under the PIN's key: it opens only with the right PIN."""

    serial: str
    label: str = ""
    epoch: str = ""
    n: int = SCRYPT_N
    salt: bytes = b""
    check: bytes = b""


def keys(path: Path, state: State) -> tuple[TokenKey, ...]:
    """Public halves of all keys of the current epoch, by label."""
    if not state.epoch:
        return ()
    found = []
    with translated(path):
        for file in sorted((path / state.epoch).glob("*.key")):
            entry = read_json(file)
            try:
                key = TokenKey(
                    uri="",
                    label=str(entry["label"]),
                    id=bytes.fromhex(str(entry["id"])),
                    spki=bytes.fromhex(str(entry["spki"])),
                    kind=KeyKind(str(entry["scheme"]), int(str(entry["bits"]))),
                    facts=_FACTS,
                )
            except (KeyError, ValueError):
                raise damaged(path) from None
            uri = build(KeyUri(serial=state.serial, token=state.label, id=key.id, object=key.label, type="private"))
            found.append(TokenKey(uri, key.label, key.id, key.spki, key.kind, key.facts))
    return tuple(sorted(found, key=lambda k: (k.label, k.id)))


def load(path: Path) -> State:
    """Read token.json.

    Raises:
        TokenTrouble: E-TOKEN-DAMAGED, E-TOKEN-GONE.
    """
    with translated(path):
        entry = read_json(path / "token.json")
    try:
        state = State(
            str(entry["serial"]),
            str(entry["label"]),
            str(entry["epoch"]),
            int(str(entry["n"])),
            bytes.fromhex(str(entry["salt"])),
            bytes.fromhex(str(entry["check"])),
        )
    except (KeyError, ValueError):
        raise damaged(path) from None
    fits = not state.epoch or (_HEX.fullmatch(state.epoch) and state.salt and len(state.check) == 28)
    if entry.get("format") != _FORMAT or not fits or not 2 <= state.n <= _SCRYPT_N_MOST:
        raise damaged(path)
    return state


def tries(path: Path, state: State) -> int:
    """PIN tries left."""
    with translated(path):
        raw = (path / state.epoch / "tries").read_bytes()
    for left in range(TRIES + 1):
        if raw == count(left):
            return left
    raise damaged(path)


def count(left: int) -> bytes:
    """The file `tries`, for `left` tries."""
    return f"{left}\n".encode()


def state_bytes(state: State) -> bytes:
    """The file token.json, for `state`."""
    return to_json(
        {
            "format": _FORMAT,
            "serial": state.serial,
            "label": state.label,
            "epoch": state.epoch,
            "n": state.n,
            "salt": state.salt.hex(),
            "check": state.check.hex(),
        }
    )


def to_json(value: Mapping[str, object]) -> bytes:
    """One line of JSON with its keys sorted: what is sealed must have one form."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def read_json(path: Path) -> dict[str, object]:
    """The object in a file of at most 64 KiB."""
    try:
        value = json.loads(path.read_bytes()) if path.stat().st_size <= _LONGEST_FILE else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise damaged(path.parent)
    return value


def write(path: Path, data: bytes) -> None:
    """Replace `path` in one step: new file, sync, rename, sync of its folder."""
    new = path.parent / f"{NEW}{secrets.token_hex(8)}"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    sync(path.parent)


def _erase(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()


def sweep(path: Path, epoch: str) -> None:
    """Erase what a cut may have left: destroyed keys and unfinished files of this epoch, and other epochs whole."""
    for left in (*(path / epoch).glob(f"{GONE}*"), *(path / epoch).glob(f"{NEW}*"), *path.glob(f"{NEW}*")):
        _erase(left)
    for old in path.iterdir():
        if old.is_dir() and old.name != epoch:
            for file in old.iterdir():
                _erase(file)
            old.rmdir()
    sync(path / epoch)
    sync(path)


def sync(folder: Path) -> None:
    """Have the disk hold what was renamed or unlinked in `folder`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def translated(path: Path, *, acting: bool = False) -> Iterator[None]:
    """Trouble of the disk as trouble of the token; `acting`: a change was under way, its outcome is unknown."""
    try:
        yield
    except FileNotFoundError:
        raise TokenTrouble(
            "the software token is gone", where=str(printable(str(path), 200)), do="put it back", code="E-TOKEN-GONE"
        ) from None
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise TokenTrouble(
            f"the software token can't be read or written: {error.strerror}",
            where=str(printable(str(path), 200)),
            do="make room on that disk" if full else "look at the disk and at the rights of that folder",
            code="E-TOKEN-FULL" if full else "E-TOKEN-GONE",
            unknown=acting,
        ) from None


def damaged(path: Path) -> TokenTrouble:
    """The trouble of files that are not as this program writes them."""
    return TokenTrouble(
        "the files of this software token are damaged",
        where=str(printable(str(path), 200)),
        do="restore the folder from before",
        code="E-TOKEN-DAMAGED",
    )
