"""Seals: an in-toto Statement (v1) in a DSSE envelope. With one a person says whether the ceremony went as recorded.

Subjects are the outputs with their SHA-256; the predicate names the script, the transcript's head when sealing began,
the software, the person, and whether they agree. A signed "no" is as valid as a "yes".
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from securesystemslib.dsse import Envelope

from vestry.ceremony.drafts import ceremony_key
from vestry.errors import NotTrusted, Refused
from vestry.metadata import intake
from vestry.metadata.canonical import encode
from vestry.metadata.keys import Key

if TYPE_CHECKING:
    from vestry.ceremony.state import State

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:vestry:ceremony-seal:1"


def statement(state: State, person: str, agree: bool, reason: str) -> bytes:
    """The statement that `person` signs, as canonical JSON bytes.

    Raises:
        Refused: sealing has not begun, or a refusal gives no reason.
    """
    if state.seal is None:
        raise Refused("the seal is not open")
    if not agree and not reason.strip():
        raise Refused("who does not agree gives a reason")
    value: dict[str, Any] = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": n, "digest": {"sha256": d}} for n, d in sorted(state.seal.subjects.items())],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "ceremony": state.script.title,
            "rehearsal": state.script.rehearsal,
            "script": {"sha256": state.script.sha256},
            "transcript": {"head": state.seal_head},
            "software": {"name": state.software, "sha256": state.software_sha256},
            "person": person,
            "agree": agree,
            "reason": reason,
        },
    }
    return encode(value)


def pre_authentication_encoding(payload: bytes) -> bytes:
    """What is signed: DSSE's PAE of the payload and its type."""
    return Envelope(payload, PAYLOAD_TYPE, {}).pae()


def envelope(payload: bytes, keyid: str, signature: bytes) -> str:
    """The envelope as JSON text; standard base64, as DSSE has it."""
    value = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": keyid, "sig": base64.b64encode(signature).decode()}],
    }
    return json.dumps(value, sort_keys=True)


def verify(text: str, key: Key, expected: bytes) -> None:
    """Check that `text` is an envelope over exactly `expected`, signed by `key`.

    Raises:
        NotTrusted: it is not.
    """
    value = intake.parse(text.encode(), where="seal")
    try:
        payload = base64.b64decode(value["payload"], validate=True)
        kind, entry = value["payloadType"], value["signatures"][0]
        keyid, signature = entry["keyid"], base64.b64decode(entry["sig"], validate=True)
    except (KeyError, IndexError, TypeError, ValueError):
        raise NotTrusted("the seal is not a DSSE envelope") from None
    if len(value["signatures"]) != 1 or kind != PAYLOAD_TYPE or payload != expected or keyid != key.keyid:
        raise NotTrusted("the seal says something else than the transcript")
    if not key.verify(signature, pre_authentication_encoding(payload)):
        raise NotTrusted("the signature of the seal does not hold")


def sealing_key(state: State, person: str, keyid: str = "") -> Key:
    """The root key with which `person` seals, or where there is no root the key that signs the document; checks that it
    has `keyid` where one is given.

    Raises:
        Refused: that person has no such key left, or it is another one.
    """
    for spec in state.script.keys:
        gone = spec.name in state.keys and state.keys[spec.name].destroyed
        if spec.holder == person and state.script.sealing_role in spec.roles and not gone:
            key = ceremony_key(state, spec)
            if keyid in ("", key.keyid):
                return key
    raise Refused(f"{person} has no key to seal with")
