"""Seals: an in-toto Statement (v1) in a DSSE envelope. With one a person says whether the ceremony went as recorded.

Subjects are the outputs with their SHA-256; the predicate names the script, the transcript's head when sealing began,
the software, the person, and whether they agree. A signed "no" is as valid as a "yes". Seals that are added later
(`late.py`) name the last head, and their key.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from securesystemslib.dsse import Envelope

from vestry.ceremony import seal_keys
from vestry.ceremony.drafts import ceremony_key
from vestry.errors import NotTrusted, Refused
from vestry.metadata import intake
from vestry.metadata.canonical import encode
from vestry.metadata.keys import Key

if TYPE_CHECKING:
    from vestry.ceremony import events as e
    from vestry.ceremony.script import KeySpec
    from vestry.ceremony.state import State

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:vestry:ceremony-seal:1"
_ENVELOPE = frozenset(("payload", "payloadType", "signatures"))


def statement(state: State, person: str, agree: bool, reason: str, key: SealingKey) -> bytes:
    """The statement that `person` signs in the ceremony: canonical JSON, or where it names a key of their own, JSON as
    `written`.

    Raises:
        Refused: sealing has not begun, or a refusal gives no reason.
    """
    if state.seal is None:
        raise Refused("the seal is not open")
    said = _said(person, agree, reason)
    if key.spec is not None:
        return encode(_statement(state, state.seal.subjects, state.seal_head, said))
    return written(_statement(state, state.seal.subjects, state.seal_head, {**said, "key": dict(key.value)}))


def late_statement(state: State, person: str, agree: bool, reason: str, key: Mapping[str, Any]) -> bytes:
    """The statement that `person` signs after the ceremony, over all of its transcript, with `key`: JSON as `written`.

    Raises:
        Refused: a refusal gives no reason.
    """
    return written(_statement(state, state.outputs, state.head, {**_said(person, agree, reason), "key": dict(key)}))


def written(value: Any) -> bytes:
    """JSON as a line of a transcript has it. Canonical JSON is no JSON where a text has line feeds, as PEM does."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def _said(person: str, agree: bool, reason: str) -> dict[str, Any]:
    if not agree and not reason.strip():
        raise Refused("who does not agree gives a reason")
    return {"person": person, "agree": agree, "reason": reason}


def _statement(state: State, subjects: Mapping[str, str], head: str, said: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": n, "digest": {"sha256": d}} for n, d in sorted(subjects.items())],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "ceremony": state.script.title,
            "rehearsal": state.script.rehearsal,
            "script": {"sha256": state.script.sha256},
            "transcript": {"head": head},
            "software": {"name": state.software, "sha256": state.software_sha256},
            **said,
        },
    }


def pre_authentication_encoding(payload: bytes) -> bytes:
    """What is signed: DSSE's PAE of the payload and its type."""
    return Envelope(payload, PAYLOAD_TYPE, {}).pae()


@dataclass(frozen=True)
class Sealed:
    """An envelope taken apart: what was signed, and the one signature. `headers` (hex) has OpenPGP alone."""

    payload: bytes
    keyid: str
    signature: bytes
    headers: str = ""

    @property
    def signed(self) -> bytes:
        """DSSE's encoding of it."""
        return pre_authentication_encoding(self.payload)


def envelope(sealed: Sealed) -> str:
    """The envelope as JSON text; standard base64, as DSSE has it."""
    entry = {"keyid": sealed.keyid, "sig": base64.b64encode(sealed.signature).decode()}
    value = {
        "payload": base64.b64encode(sealed.payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{**entry, "other_headers": sealed.headers} if sealed.headers else entry],
    }
    return json.dumps(value, sort_keys=True)


def opened(text: bytes, *, where: str = "seal") -> Sealed:
    """Take an envelope apart; nothing of it is verified yet.

    Raises:
        NotTrusted: it is no envelope of a seal with exactly one signature.
        InputRejected: it is no JSON that passes the door.
    """
    value = intake.parse(text, where=where)
    try:
        payload, [entry] = base64.b64decode(value["payload"], validate=True), value["signatures"]
        signature, headers = base64.b64decode(entry["sig"], validate=True), entry.get("other_headers", "")
        whole = set(value) == _ENVELOPE and set(entry) - {"other_headers"} == {"keyid", "sig"}
        if whole and value["payloadType"] == PAYLOAD_TYPE and type(entry["keyid"]) is type(headers) is str:
            return Sealed(payload, entry["keyid"], signature, headers)
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    raise NotTrusted("this is not a DSSE envelope of a seal with one signature", where=where)


def verify(text: str, key: SealingKey, expected: bytes) -> None:
    """Check that `text` is an envelope over exactly `expected`, signed by `key`.

    Raises:
        NotTrusted: it is not.
    """
    found = opened(text.encode())
    if found.payload != expected or found.keyid != key.keyid:
        raise NotTrusted("the seal says something else than the transcript")
    if not seal_keys.verifies(key.value, found.signature, found.signed, found.headers):
        raise NotTrusted("the signature of the seal does not hold")


def holds_alone(event: e.Sealed, keys: Mapping[str, Key], heads: Collection[str]) -> bool:
    """Whether a seal holds by itself, where other lines are withheld: it says what its event says, names one of `heads`
    and is signed by one of `keys` (by key id)."""
    found = opened(event.envelope.encode())
    predicate = json.loads(found.payload)["predicate"]
    said = all(predicate[name] == getattr(event, name) for name in ("person", "agree", "reason"))
    key = keys.get(found.keyid)
    named = said and predicate["transcript"]["head"] in heads
    return named and key is not None and key.verify(found.signature, found.signed)


@dataclass(frozen=True)
class SealingKey:
    """A key that seals in a ceremony: its id there, its object (see `seal_keys`), and what the script says of it; None
    for a key of the person's own, of which the script has the public half alone."""

    keyid: str
    value: Mapping[str, Any]
    spec: KeySpec | None = None


def sealing_key(state: State, person: str, keyid: str = "") -> SealingKey:
    """The root key with which `person` seals, or where there is no root the key that signs the document; else the key
    of their own that the script names. Checks that it has `keyid` where one is given.

    Raises:
        Refused: that person has no such key left, or it is another one.
    """
    for spec in state.script.keys:
        gone = spec.name in state.keys and state.keys[spec.name].destroyed
        if spec.holder == person and state.script.sealing_role in spec.roles and not gone:
            key = ceremony_key(state, spec)
            if keyid in ("", key.keyid):
                return SealingKey(key.keyid, key.to_dict(), spec)
    for named in (p.key for p in state.script.people if p.name == person and p.key is not None):
        own = seal_keys.read(state.inputs[named.name], where=named.name)
        if keyid in ("", seal_keys.keyid(own)):
            return SealingKey(seal_keys.keyid(own), own)
    raise Refused(f"{person} has no key to seal with")
