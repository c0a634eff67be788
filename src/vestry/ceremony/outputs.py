"""The files of a ceremony's folder: a projection of its state, written again whenever they are missing.

script.toml                 the script, byte for byte
inputs/NAME                 the files it names
transcript.jsonl            the ceremony
bundles/ROLE/               a bundle for each document: unsigned, trusted, one file a signature
signed/VERSION.ROLE.json    what clients get
seals/PERSON.json           DSSE envelopes
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from vestry.ceremony import events as e
from vestry.ceremony.drafts import ceremony_key, file_name
from vestry.ceremony.state import State
from vestry.errors import MediumTrouble
from vestry.media import bundle, drives
from vestry.metadata.document import Document

_WRITES = (e.Drafted, e.SignatureAdded, e.SignatureImported, e.Verified, e.Sealed)


def write(state: State, folder: Path, event: e.Event) -> None:
    """Bring the folder up to `state` after `event`."""
    if isinstance(event, _WRITES):
        write_all(state, folder)


def write_all(state: State, folder: Path) -> None:
    """Write whatever of the projection is missing or differs.

    Raises:
        MediumTrouble: the folder can't be written.
    """
    for name, content in files(state):
        path = folder / name
        if _differs(path, content):
            _make_folder(path.parent)
            drives.write_file(path, content)


def to_export(state: State, folder: Path, what: str) -> Mapping[str, bytes]:
    """The files that leave the room: the signed metadata, or everything there is (never a token's folder)."""
    signed = {f"metadata/{name}": content for name, content in _signed(state)}
    if what == "online":
        return signed
    rest = dict(files(state))
    rest["transcript.jsonl"] = (folder / "transcript.jsonl").read_bytes()
    return {**signed, **rest}


def _differs(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() != content
    except FileNotFoundError:
        return True
    except OSError as error:
        raise MediumTrouble(f"cannot read: {error.strerror}", where=str(path)) from error


def files(state: State) -> Iterator[tuple[str, bytes]]:
    """Name below the folder and content of every file that the transcript accounts for."""
    yield "script.toml", state.script.text.encode()
    if state.predecessor is not None and state.script.predecessor is not None:
        yield f"inputs/{Path(state.script.predecessor.path).name}", state.predecessor.raw
    if state.script.online is not None:
        yield f"inputs/{Path(state.script.online.path).name}", state.online.encode()
    for role in state.documents:
        for name, content in _bundle(state, role).items():
            yield f"bundles/{role}/{name}", content
    for name, content in _signed(state):
        yield f"signed/{name}", content
    for person, sealed in state.seals.items():
        yield f"seals/{_file_safe(person)}.json", sealed.envelope.encode()


def _signed(state: State) -> Iterator[tuple[str, bytes]]:
    for role in state.documents:
        signed = state.signed(role)
        name = file_name(role, signed.version)
        if name in state.outputs:
            yield name, signed.raw


def _bundle(state: State, role: str) -> Mapping[str, bytes]:
    return bundle.files(
        role,
        state.signed(role),
        trusted=_trusted(state, role),
        holders=_holders(state, role),
        repository=state.script.repository,
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediumTrouble(f"cannot make a folder: {error.strerror}", where=str(folder)) from error


def _trusted(state: State, role: str) -> Document | None:
    if role == "root":
        return state.predecessor
    return state.signed({"targets": "root", "bins": "targets"}[role])


def _holders(state: State, role: str) -> Mapping[str, str]:
    asked = {key.keyid for authority in state.authorities(role) for key in authority.keys}
    known = (k for k in state.script.keys if not k.new or k.name in state.keys)
    return {ceremony_key(state, k).keyid: k.holder for k in known if ceremony_key(state, k).keyid in asked}


def _file_safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower() or "person"
