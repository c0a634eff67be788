"""A drill: holders' tokens prove that they still sign, without any metadata, and the proofs are kept.

Each key signs a challenge that names the time and is otherwise random (`signing.possession_message`), so that a proof
tells when the token was at work and can pass for nothing else. Lost keys are found in a drill, not at expiry.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from vestry.ceremony.signing import CHALLENGE_BYTES, possession_message, prove_possession
from vestry.errors import InputRejected, NotTrusted, VestryError
from vestry.metadata import intake
from vestry.metadata.keys import Key
from vestry.tokens.token import TokenInfo, TokenKey, Unlocked

FORMAT = 1
_KIND = "vestry drill"
MARK = json.dumps(_KIND).encode()
"""Stands in every record."""


@dataclass(frozen=True)
class Proved:
    """One key that signed. `public` is PEM, `challenge` and `proof` hex; the device is told as it showed itself."""

    keyid: str
    holder: str
    public: str
    scheme: str
    uri: str
    serial: str
    model: str
    firmware: str
    module_sha256: str
    challenge: str
    proof: str


@dataclass(frozen=True)
class Drill:
    """What a drill showed, at a time in UTC. `missing` are key ids that were to be there and were not proved;
    `troubles` say what went wrong, a line each."""

    at: str
    software: str
    software_sha256: str
    proved: tuple[Proved, ...]
    missing: tuple[str, ...]
    troubles: tuple[str, ...]


def prove(
    info: TokenInfo, held: TokenKey, unlocked: Unlocked, *, at: str, known: Mapping[str, Key], holder: str
) -> Proved:
    """Have `held` sign a fresh challenge.

    Args:
        info: The token as it shows itself.
        held: The key on it.
        unlocked: The token behind its PIN.
        at: The time, ``YYYY-MM-DDTHH:MM:SSZ``; part of the challenge.
        known: Keys as a root names them, by fingerprint; others get their type's usual scheme.
        holder: Whose key it is, where known.

    Raises:
        TokenTrouble: it did not sign, or the signature does not verify.
    """
    key = Key.from_spki(held.spki)
    key = known.get(key.fingerprint, key)
    challenge = challenge_at(at)
    proof = prove_possession(challenge, key, unlocked, held)
    return Proved(
        key.keyid,
        holder,
        key.pem,
        key.scheme,
        held.uri,
        info.serial,
        info.model,
        info.firmware,
        info.module_sha256,
        challenge.hex(),
        proof.hex(),
    )


def challenge_at(at: str) -> bytes:
    """``drill YYYY-MM-DDTHH:MM:SSZ`` and 32 random bytes."""
    return f"drill {at} ".encode() + secrets.token_bytes(CHALLENGE_BYTES)


def missing(wanted: Iterable[Key], proved: Sequence[Proved]) -> tuple[str, ...]:
    """Key ids of `wanted` that no proof shows, compared by the keys themselves."""
    there = {Key.from_pem(p.public, p.scheme).fingerprint for p in proved}
    return tuple(sorted(k.keyid for k in wanted if k.fingerprint not in there))


def to_bytes(drill: Drill) -> bytes:
    """The record, as text."""
    return json.dumps({"kind": _KIND, "format": FORMAT, **asdict(drill)}, indent=1, sort_keys=True).encode() + b"\n"


def read(raw: bytes, *, where: str) -> Drill:
    """Read a record, and verify every proof in it.

    Raises:
        InputRejected: it is no such record.
        NotTrusted: a proof in it does not hold.
    """
    value = intake.parse(raw, where=where)
    try:
        if value["kind"] != _KIND or value["format"] != FORMAT:
            raise ValueError("kind")
        texts = [{str(k): str(v) for k, v in p.items()} for p in value["proved"]]
        drill = Drill(
            str(value["at"]),
            str(value["software"]),
            str(value["software_sha256"]),
            tuple(Proved(**p) for p in texts),
            tuple(str(m) for m in value["missing"]),
            tuple(str(t) for t in value["troubles"]),
        )
        broken = [p for p in drill.proved if not _holds(drill.at, p)]
    except (KeyError, TypeError, ValueError, AttributeError, VestryError):
        raise InputRejected("this is not the record of a drill", where=where, code="E-DRILL") from None
    if broken:
        raise NotTrusted(
            f"the proof of key {broken[0].keyid[:8]} does not hold",
            where=where,
            do="someone changed the record; hold the drill again",
            code="E-DRILL",
        )
    return drill


def _holds(at: str, proved: Proved) -> bool:
    key = Key.from_pem(proved.public, proved.scheme)
    challenge = bytes.fromhex(proved.challenge)
    # A root may name a key by another id than its hash; a drill is about the key.
    dated = challenge.startswith(f"drill {at} ".encode())
    return dated and key.verify(bytes.fromhex(proved.proof), possession_message(challenge))
