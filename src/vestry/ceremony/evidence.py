"""What a device shows beside a new key: its maker's proof, and any other certificate. Gathered here, judged by
`attesting`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vestry.ceremony import attesting
from vestry.ceremony.dialogue import Ask, Confirm
from vestry.ceremony.room import Room
from vestry.ceremony.script import KeySpec, TokenSpec
from vestry.errors import Stopped, VestryError
from vestry.media import evidence
from vestry.metadata import intake
from vestry.metadata.keys import Key
from vestry.text import printable
from vestry.tokens import certificates
from vestry.tokens.token import Token

_MOST_FILES = 100


@dataclass(frozen=True)
class Evidence:
    """Certificates (PEM) that came with a key, and the findings on them that people accepted."""

    certificates: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()


def gather(room: Room, spec: KeySpec, token: Token, key: Key) -> Evidence:
    """What the token, or its maker's files, say of `key`. Whatever was found is told, and accepted by its holder.

    Raises:
        Stopped: it was not accepted.
    """
    token_spec = room.state.script.token(spec.token)
    if token_spec.use == "software" or token_spec.attestation == "none":
        return Evidence()
    ders = [c.der for c in token.certificates()]
    if token_spec.attestation == "files":
        ders += _from_files(room, token_spec, spec)
    pems = tuple(certificates.pem(der) for der in attesting.chain(key.spki, ders))
    judged = attesting.judge(room.state, token_spec, token.info.serial, key, pems, now=room.clock.now())
    room.tell(judged.sentence, good=True if judged.holds else None)
    # What its holder accepted of this device once holds for its other keys, too.
    accepted = {c for k in room.state.script.keys if k.token == spec.token for c in _accepted(room, k.name)}
    serious = [f for f in judged.serious if f.code not in accepted]
    if serious and not room.ask(
        Confirm(
            "attestation",
            f"Decide whether key '{spec.name}' may be used as it is.",
            person=spec.holder,
            details=tuple(f"{f.code}: {f.text}" for f in serious),
            yes="use it; the transcript says that this was accepted",
            no="stop here",
        )
    ):
        raise Stopped("stopped at what a maker's proof says", do="run the same line again to go on")
    return Evidence(pems, judged.findings)


def _accepted(room: Room, name: str) -> tuple[str, ...]:
    facts = room.state.keys.get(name)
    return facts.findings if facts else ()


def _from_files(room: Room, token: TokenSpec, spec: KeySpec) -> Sequence[bytes]:
    """The maker's files for a key, from a folder that its holder names."""
    while True:
        typed = room.ask(
            Ask(
                "attestation-files",
                f"Name the folder with the maker's attestation of key '{spec.name}' on '{token.name}'.",
                person=spec.holder,
                details=("Certificates, PEM or DER: the key's, the device's, and those between.",),
            )
        )
        try:
            found = _read(Path(typed).expanduser())
        except (VestryError, OSError, RuntimeError) as error:  # RuntimeError: no such person's home, as '~nobody/x'
            why = str(error) if isinstance(error, VestryError) else f"'{printable(typed, 200)}' can't be read"
            room.tell(why, good=False)
            continue
        if found:
            return found
        room.tell("no certificate lies there", good=False)


def _read(folder: Path) -> list[bytes]:
    paths = sorted(folder.iterdir()) if folder.is_dir() else [folder]
    found: list[bytes] = []
    for path in paths[:_MOST_FILES]:
        if path.is_dir():
            continue
        raw = intake.read_file(path, limit=evidence.LIMIT)
        if raw.lstrip().startswith(b"-----BEGIN CERTIFICATE-----"):
            try:
                found += evidence.split(raw.decode("ascii"))
            except ValueError:
                continue
        elif certificates.read(raw) is not None:
            found.append(raw)
    return found
