"""The lines of a transcript and the chain that holds them together; pure.

A line is JSON in one physical line: ASCII, keys sorted, no spaces, ended by a newline. It is either

    {"event": {"at", "by", "mono", "what", "with"}, "head", "n", "salt"}     or, where the event is withheld,
    {"head", "leaf", "n"}

with leaf = SHA-256(0x00 || salt || canonical JSON of the event) and head = SHA-256(0x01 || head before || n as 8 bytes,
big-endian || leaf). The head before line 0 is 32 zero bytes. `salt` is 32 random bytes, so that a leaf says nothing
about the event it stands for. All binary values are lower-case hex.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vestry.ceremony import codec
from vestry.ceremony.events import Event, Recorded
from vestry.errors import InputRejected, NotTrusted
from vestry.metadata.canonical import encode

NO_HEAD = "00" * 32
SALT_BYTES = 32
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_HEX = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_OPEN_KEYS = frozenset(("event", "head", "n", "salt"))
_CLOSED_KEYS = frozenset(("head", "leaf", "n"))
_EVENT_KEYS = frozenset(("at", "by", "mono", "what", "with"))


@dataclass(frozen=True)
class Withheld:
    """A line of a published copy whose event is not shown. Its place in the chain holds all the same."""

    n: int
    head: str


def make(event: Event, *, n: int, before: str, at: str, mono: int, by: str) -> tuple[bytes, Recorded]:
    """The line for `event` after the head `before`, and the event as recorded by it.

    Raises:
        InputRejected: the event holds a value that it can't hold by its type.
    """
    body = {"at": at, "by": by, "mono": mono, "what": codec.name_of(event), "with": codec.to_json(event)}
    salt = secrets.token_hex(SALT_BYTES)
    head = _head(before, n, _leaf(salt, body))
    line = dump({"event": body, "head": head, "n": n, "salt": salt})
    # Read back what was made: what stands in the transcript is by construction what a reader gets.
    made = check(line, n=n, before=before)
    assert isinstance(made, Recorded)
    return line, made


def dump(value: dict[str, Any]) -> bytes:
    """The only accepted bytes of a line."""
    return (_ENCODER.encode(value) + "\n").encode("ascii")


def check(line: bytes, *, n: int, before: str) -> Recorded | Withheld:
    """Read one line, newline included, that must be line `n` after the head `before`.

    Raises:
        NotTrusted: it is not; says what differs. `where` is left to the caller.
    """
    try:
        value = json.loads(line)
        again = dump(value) if type(value) is dict else b""
    except (ValueError, RecursionError):
        raise NotTrusted("the line is not a line of a transcript") from None
    if again != line:
        raise NotTrusted("the line is not written as a transcript writes it")
    if set(value) not in (_OPEN_KEYS, _CLOSED_KEYS):
        raise NotTrusted("the line has other fields than n, event, salt and head")
    if type(value["n"]) is not int or value["n"] != n:
        raise NotTrusted(f"the line says that it is line {str(value['n'])[:20]}, here belongs line {n}")
    for name in ("head", "salt", "leaf"):
        if name in value and not (isinstance(value[name], str) and _HEX.fullmatch(value[name])):
            raise NotTrusted(f"'{name}' is not 32 bytes in hex")
    # The event's form first: what is hashed below then is shallow and small.
    entry = Withheld(n, value["head"]) if "leaf" in value else _recorded(value["event"], n, value["head"])
    leaf = value["leaf"] if "leaf" in value else _leaf(value["salt"], value["event"])
    if _head(before, n, leaf) != value["head"]:
        raise NotTrusted("the head does not follow from the event and the lines above; something was changed")
    return entry


def withhold(line: bytes) -> bytes:
    """The line without its event, for a published copy; `line` is one that `check` accepted."""
    value = json.loads(line)
    if "leaf" in value:
        return line
    return dump({"head": value["head"], "leaf": _leaf(value["salt"], value["event"]), "n": value["n"]})


def _recorded(body: Any, n: int, head: str) -> Recorded:
    if type(body) is not dict or set(body) != _EVENT_KEYS:
        raise NotTrusted("the event has other fields than at, mono, by, what and with")
    at, mono, by, what = body["at"], body["mono"], body["by"], body["what"]
    if type(at) is not str or not _TIME.fullmatch(at):
        raise NotTrusted("'at' is not a time like 2026-11-23T09:00:00Z")
    try:
        datetime.fromisoformat(at)
    except ValueError:
        raise NotTrusted("'at' is not a time that exists") from None
    if type(mono) is not int or mono < 0:
        raise NotTrusted("'mono' is not a number of nanoseconds")
    if type(by) is not str or type(what) is not str:
        raise NotTrusted("'by' and 'what' are not both text")
    try:
        event = codec.from_json(what, body["with"])
    except InputRejected as error:
        raise NotTrusted(error.what) from error
    return Recorded(n, at, mono, by, event, head)


def _leaf(salt: str, body: Any) -> str:
    try:
        canonical = encode(body)
    except InputRejected as error:
        raise NotTrusted(f"the event has no canonical form: {error.what}") from error
    return hashlib.sha256(b"\0" + bytes.fromhex(salt) + canonical).hexdigest()


def _head(before: str, n: int, leaf: str) -> str:
    return hashlib.sha256(b"\1" + bytes.fromhex(before) + n.to_bytes(8, "big") + bytes.fromhex(leaf)).hexdigest()
