"""``bundle.json``: what a bundle says of itself. Nothing in it is signed; it is only held against the documents."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vestry.errors import InputRejected
from vestry.metadata import intake, layout
from vestry.metadata.keys import Key
from vestry.metadata.services import NAMES, Service
from vestry.metadata.thresholds import Authority

FORMAT = "vestry-bundle-1"
LIMIT = 1 << 20
HOLDERS_LIMIT = 1000
DOCUMENT_LIMIT = 256 << 20
"""Bytes of a document: half a million delegations take 200 million."""
DOCUMENTS = ("unsigned", "trusted", "previous")
"""The folders of documents, one in each."""
NOTES_LIMIT = 50
NOTE_LONGEST = 300

_DIGEST = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(r"(?:unsigned|trusted|previous)/[A-Za-z0-9_.%-]{1,120}")
_FIELDS = ("digest", "files", "format", "holders", "repository", "role", "version")
_OPTIONAL = frozenset({"notes", "service", "signers"})


@dataclass(frozen=True)
class Description:
    """`digest` is SHA-256 over the canonical signed part; `files` maps names to (length in bytes, SHA-256 in hex);
    `notes` are lines for the signers, `service` is where the document goes, if that is one that Vestry knows; the file
    says nothing of either where there is none. `signers` are who must sign an in-toto layout, which has no version and
    no document above it; of anything else, documents say that."""

    role: str
    version: int
    digest: str
    files: Mapping[str, tuple[int, str]]
    holders: Mapping[str, str] = field(default_factory=dict)
    repository: str = ""
    notes: tuple[str, ...] = ()
    service: Service = ""
    signers: Authority | None = None

    def encode(self) -> bytes:
        """The file."""
        value = {
            "format": FORMAT,
            "role": self.role,
            "version": self.version,
            "digest": self.digest,
            "files": {name: {"length": length, "sha256": sha} for name, (length, sha) in self.files.items()},
            "holders": dict(self.holders),
            "repository": self.repository,
            **({"notes": list(self.notes)} if self.notes else {}),
            **({"service": self.service} if self.service else {}),
            **({"signers": _signers(self.signers)} if self.signers else {}),
        }
        return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()


def parse(raw: bytes, *, where: str) -> Description:
    """Read ``bundle.json``.

    Raises:
        InputRejected: not JSON, or a field is missing, unknown or of another form than it must be.
    """

    def must(holds: bool, what: str) -> None:
        if not holds:
            raise InputRejected(what, where=where, do="copy the bundle again, or ask whoever made it", code="E-BUNDLE")

    value: Any = intake.parse(raw, where=where)
    must(isinstance(value, dict), "bundle.json is not an object")
    must(value.get("format") == FORMAT, f"the format is not {FORMAT}; this may be a bundle of another version")
    must(
        tuple(sorted(value.keys() - _OPTIONAL)) == _FIELDS,
        f"bundle.json must have exactly the fields {', '.join(_FIELDS)}",
    )
    role, version, digest = value["role"], value["version"], value["digest"]
    must(isinstance(role, str) and 0 < len(role) <= 200, "role is not a name")
    signers = _read_signers(value["signers"], must) if "signers" in value else None
    first = 1 if signers is None else 0
    must(type(version) is int and version >= first, f"version is not a whole number from {first} on")
    must(isinstance(digest, str) and _DIGEST.fullmatch(digest) is not None, "digest is not 64 lower-case hex digits")
    must(
        isinstance(value["files"], dict) and len(value["files"]) <= len(DOCUMENTS),
        "files does not name one to three documents",
    )
    files: dict[str, tuple[int, str]] = {}
    for name, facts in value["files"].items():
        must(_FILE.fullmatch(name) is not None, "files has a name that no bundle has")
        must(isinstance(facts, dict) and sorted(facts) == ["length", "sha256"], "a file needs length and sha256, only")
        length, sha = facts["length"], facts["sha256"]
        must(type(length) is int and 0 < length <= DOCUMENT_LIMIT, "a length is not between 1 byte and 256 MiB")
        must(isinstance(sha, str) and _DIGEST.fullmatch(sha) is not None, "a sha256 is not 64 lower-case hex digits")
        files[name] = (length, sha)
    folders = sorted(name.split("/")[0] for name in files)
    must("unsigned" in folders and len(set(folders)) == len(folders), "files does not name one unsigned document")
    holders = value["holders"]
    must(isinstance(holders, dict) and len(holders) <= HOLDERS_LIMIT, "holders is not an object of names by key id")
    for keyid, holder in holders.items():
        must(_DIGEST.fullmatch(keyid) is not None, "holders has something else than a key id")
        must(isinstance(holder, str) and 0 < len(holder) <= 200, "holders has something else than a name")
    repository = value["repository"]
    must(isinstance(repository, str) and len(repository) <= 200, "repository is not a name")
    notes = value.get("notes", [])
    must(isinstance(notes, list) and len(notes) <= NOTES_LIMIT, f"notes is not a list of up to {NOTES_LIMIT} lines")
    for note in notes:
        must(isinstance(note, str) and 0 < len(note) <= NOTE_LONGEST, "notes has something else than a line")
    service = value.get("service", "")
    must(service in ("", *NAMES), f"service is none of {', '.join(NAMES)}")
    return Description(role, version, digest, files, holders, repository, tuple(notes), service, signers)


def _signers(who: Authority) -> dict[str, Any]:
    return {"threshold": who.threshold, "keys": {key.keyid: key.to_dict() for key in who.keys}}


def _read_signers(value: Any, must: Callable[[bool, str], None]) -> Authority:
    must(isinstance(value, dict) and sorted(value) == ["keys", "threshold"], "signers needs keys and threshold, only")
    threshold, listed = value["threshold"], value["keys"]
    must(isinstance(listed, dict) and 0 < len(listed) <= HOLDERS_LIMIT, "signers has no keys, or too many")
    must(all(_DIGEST.fullmatch(keyid) is not None for keyid in listed), "signers has something else than a key id")
    keys = tuple(Key.from_dict(keyid, key) for keyid, key in listed.items())
    must(all(key.usable for key in keys), "signers has a key that can't be used")
    distinct = len({key.fingerprint for key in keys})
    must(distinct == len(keys), "signers has a key twice")
    must(type(threshold) is int and 1 <= threshold <= distinct, "the threshold of signers can't be reached")
    return Authority("the keys given", layout.TYPE, threshold, keys)
