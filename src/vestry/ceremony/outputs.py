"""The files of a ceremony's folder: a projection of its state, written again whenever they are missing.

script.toml                 the script, byte for byte
inputs/NAME                 the files it names; of a folder, the list of its files
comparison-STEP.jsonl       what differs from a last good snapshot (digest in the transcript)
transcript.jsonl            the ceremony
bundles/ROLE/               a bundle for each document: unsigned, trusted, one file a signature
signed/VERSION.ROLE.json    what clients get
services/NAME.json          what RSTUF takes, where the script says that the root goes there
seals/PERSON.json           DSSE envelopes; those that people add later (`late.py`) lie beside them
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vestry.ceremony import events as e
from vestry.ceremony import late, rstuf
from vestry.ceremony.drafts import file_name, holders
from vestry.ceremony.state import State
from vestry.errors import MediumTrouble
from vestry.media import bundle, drives
from vestry.metadata.document import Document

_ABOVE = {"targets": "root", "bins": "targets"}


def write(state: State, folder: Path, event: e.Event) -> None:
    """Bring the folder up to `state` after `event`."""
    if isinstance(event, (e.Drafted, e.SignatureAdded, e.SignatureImported)):
        # The document's own bundle, and the one that carries it as the document to trust.
        for role in state.documents:
            if role == event.role or _ABOVE.get(role) == event.role:
                _write({f"bundles/{role}/{n}": c for n, c in _bundle(state, role).items()}, folder)
        if isinstance(event, e.Drafted):  # of an earlier draft
            for name in unaccounted(state, folder, within=(f"bundles/{event.role}",)):
                drives.remove(folder / name)
    elif isinstance(event, e.Verified):
        _write({**dict(_signed(state)), **dict(_payload(state))}, folder)
    elif isinstance(event, e.Sealed):
        _write(dict(_seals(state)), folder)


def write_all(state: State, folder: Path) -> None:
    """Write whatever of the projection is missing or differs.

    Raises:
        MediumTrouble: the folder can't be written.
    """
    _write(dict(files(state)), folder)


def _write(contents: Mapping[str, bytes], folder: Path) -> None:
    for name, content in contents.items():
        path = folder / name
        if _differs(path, content):
            drives.make_folder(path.parent)
            drives.write_file(path, content)


def to_export(state: State, folder: Path, what: str) -> Mapping[str, bytes]:
    """The files that leave the room: the signed metadata, or everything there is (never a token's folder)."""
    signed = {name.replace("signed/", "metadata/", 1): content for name, content in _signed(state)}
    signed |= {name.removeprefix("services/"): content for name, content in _payload(state)}
    if what == "online":
        return signed
    rest = dict(files(state))
    rest |= {name: (folder / name).read_bytes() for name in state.lists if (folder / name).is_file()}
    rest["transcript.jsonl"] = (folder / "transcript.jsonl").read_bytes()
    return {**signed, **rest}


def exported(state: State, what: str) -> Mapping[str, str]:
    """Names of the files that `to_export` gives and the SHA-256 that each has; empty for the transcript's own, which
    nothing in it tells."""
    signed = {f"metadata/{name}": digest for name, digest in state.outputs.items()}
    signed |= {name.removeprefix("services/"): _sha256(content) for name, content in _payload(state)}
    if what == "online":
        return signed
    rest = {name: _sha256(content) for name, content in files(state)}
    return {**signed, **rest, **state.lists, "transcript.jsonl": ""}


def exports_in(state: State, folder: Path) -> Mapping[str, str]:
    """What was exported into a folder that lies in `folder`, as far as it does: SHA-256 by name below `folder`."""
    found: dict[str, str] = {}
    for event in state.exports:
        for to in {event.to, event.to.partition(" on ")[0]}:
            name = Path(to).name
            if name not in ("", "..") and (folder / name).is_dir():
                digests = {**event.files, drives.SUMS: _sha256(drives.listing(event.files))}
                inside = {f"{name}/{file}": digest for file, digest in digests.items()}
                found |= {file: digest for file, digest in inside.items() if ".." not in Path(file).parts}
    return found


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


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
    for item in state.script.inputs:
        yield f"inputs/{Path(item.path).name}", state.inputs[item.name].encode()
    for role in state.documents:
        for name, content in _bundle(state, role).items():
            yield f"bundles/{role}/{name}", content
    yield from _signed(state)
    yield from _payload(state)
    yield from _seals(state)


def unaccounted(
    state: State, folder: Path, *, within: Sequence[str] = ("inputs", "bundles", "services", "signed")
) -> list[str]:
    """Names below `folder` of what lies among the outputs and is none, sorted."""
    known = {name for name, _ in files(state)} | {f"signed/{name}" for name in state.outputs}
    return sorted(
        name
        for part in within
        for path in (folder / part).rglob("*")
        if (name := path.relative_to(folder).as_posix()) not in known and (path.is_symlink() or not path.is_dir())
    )


def _signed(state: State) -> Iterator[tuple[str, bytes]]:
    for role in state.documents:
        signed = state.signed(role)
        name = file_name(role, signed.version)
        if name in state.outputs:
            yield f"signed/{name}", signed.raw


def _payload(state: State) -> Iterator[tuple[str, bytes]]:
    if state.script.rstuf is not None and "root" in state.documents:
        signed = state.signed("root")
        if file_name("root", signed.version) in state.outputs:
            name, content = rstuf.payload(state.script, signed)
            yield f"services/{name}", content


def _seals(state: State) -> Iterator[tuple[str, bytes]]:
    for person, sealed in state.seals.items():
        yield f"{late.FOLDER}/{late.file_safe(person)}.json", sealed.envelope.encode()


def _bundle(state: State, role: str) -> Mapping[str, bytes]:
    return bundle.files(
        role,
        state.signed(role),
        trusted=_trusted(state, role),
        holders=_holders(state, role),
        repository=state.script.repository,
        service=state.script.policy.service,
        certificates=_certificates(state, role),
    )


def _trusted(state: State, role: str) -> Document | None:
    if role == "root":
        return state.predecessor
    return state.above(role) if state.script.given is not None else state.signed(_ABOVE[role])


def _holders(state: State, role: str) -> Mapping[str, str]:
    asked = {key.keyid for authority in state.authorities(role) for key in authority.keys}
    return {keyid: name for keyid, name in holders(state).items() if keyid in asked}


def _certificates(state: State, role: str) -> Mapping[str, str]:
    asked = {key.keyid for authority in state.authorities(role) for key in authority.keys}
    return {k.keyid: "".join(k.certificates) for k in state.keys.values() if k.keyid in asked and k.certificates}
