"""What drafts are put together from: files, delegations, roles and keys, as TUF metadata lists them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from vestry.errors import InputRejected
from vestry.metadata.keys import Key
from vestry.text import printable


@dataclass(frozen=True)
class Target:
    """What targets metadata says of a file: its length in bytes, and digests in hex by TUF's names of algorithms."""

    length: int
    hashes: Mapping[str, str]

    @classmethod
    def of(cls, file: BinaryIO) -> Target:
        """Of the rest of an open file: SHA-256 and SHA-512 (PEP 458), and BLAKE2b-256 (PEP 480)."""
        sums: dict[str, Any] = {
            "sha256": hashlib.sha256(),
            "sha512": hashlib.sha512(),
            "blake2b-256": hashlib.blake2b(digest_size=32),
        }
        length = 0
        while piece := file.read(1 << 20):
            length += len(piece)
            for digest in sums.values():
                digest.update(piece)
        return cls(length, {name: digest.hexdigest() for name, digest in sums.items()})

    def to_dict(self) -> dict[str, Any]:
        """The two members of its entry."""
        return {"length": self.length, "hashes": dict(self.hashes)}


@dataclass(frozen=True)
class Delegation:
    """A delegation to be. It is for `paths` (patterns) or, where there are none, for `hash_prefixes` (hex, of the
    path's SHA-256); `before` names the delegation it goes before, where it does not go last or stay in its place."""

    name: str
    keys: tuple[Key, ...]
    threshold: int
    paths: tuple[str, ...] = ()
    hash_prefixes: tuple[str, ...] = ()
    terminating: bool = False
    before: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Fields that TUF does not define."""

    def to_dict(self) -> dict[str, Any]:
        """Its entry.

        Raises:
            InputRejected: the threshold can't be reached by distinct keys, or it is for nothing, or for both kinds.
        """
        if bool(self.paths) == bool(self.hash_prefixes):
            raise InputRejected(
                "a delegation is for paths or for hash prefixes, one of the two",
                where=f"draft of {printable(self.name)}",
            )
        what = {"paths": list(self.paths)} if self.paths else {"path_hash_prefixes": list(self.hash_prefixes)}
        return {
            "name": self.name,
            **role(self.name, self.threshold, self.keys),
            **what,
            "terminating": self.terminating,
        }


def role(name: str, threshold: int, keys: Sequence[Key]) -> dict[str, Any]:
    """Who signs for a role, and how many of them must.

    Raises:
        InputRejected: the threshold can't be reached by distinct keys, or one stands here under two ids.
    """
    distinct = {key.fingerprint for key in keys}
    if not 1 <= threshold <= len(distinct):
        raise InputRejected(
            f"a threshold of {threshold} with {len(distinct)} distinct keys can't be reached", where=f"draft of {name}"
        )
    keyids = list(dict.fromkeys(key.keyid for key in keys))
    if len(keyids) != len(distinct):
        raise InputRejected("one key stands here under two key ids", where=f"draft of {name}", do="name it once")
    return {"keyids": keyids, "threshold": threshold}


def objects(keys: Iterable[Key], where: str) -> dict[str, Any]:
    """Key objects by key id.

    Raises:
        InputRejected: one key id stands for two keys.
    """
    made: dict[str, Any] = {}
    for key in keys:
        if made.setdefault(key.keyid, key.to_dict()) != key.to_dict():
            raise two_keys(key, where)
    return made


def two_keys(key: Key, where: str) -> InputRejected:
    """The error where it does."""
    return InputRejected(f"key id {printable(key.keyid[:16])} stands for two different keys", where=where)
