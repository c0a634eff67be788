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
from datetime import datetime
from functools import lru_cache
from typing import Any

from vestry.ceremony import codec
from vestry.ceremony.events import Event, Recorded, Withheld
from vestry.errors import InputRejected, NotTrusted
from vestry.metadata.canonical import INT_MAX, encode

NO_HEAD = "00" * 32
SALT_BYTES = 32
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_DECODER = json.JSONDecoder()
_EVENT, _AFTER = b'{"event":', b',"head":"'
_OPEN = re.compile(rb',"head":"([0-9a-f]{64})","n":([0-9]{1,20}),"salt":"([0-9a-f]{64})"\}\n')
_CLOSED = re.compile(rb'\{"head":"([0-9a-f]{64})","leaf":"([0-9a-f]{64})","n":([0-9]{1,20})\}\n')
_SHORT = ((rb"\n", b"\n"), (rb"\r", b"\r"), (rb"\t", b"\t"), (rb"\b", b"\b"), (rb"\f", b"\f"))
_LONG = re.compile(rb"(?:\\u[0-9a-f]{4})+")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_EVENT_KEYS = frozenset(("at", "by", "mono", "what", "with"))


def make(event: Event, *, n: int, before: str, at: str, mono: int, by: str) -> tuple[bytes, Recorded]:
    """The line for `event` after the head `before`, and the event as recorded by it.

    Raises:
        InputRejected: the event holds a value that it can't hold by its type.
    """
    body = {"at": at, "by": by, "mono": mono, "what": codec.name_of(event), "with": codec.to_json(event)}
    salt = secrets.token_hex(SALT_BYTES)
    head = _head(before, n, _leaf(salt, encode(body)))
    line = dump({"event": body, "head": head, "n": n, "salt": salt})
    # Read back what was made: what stands in the transcript is by construction what a reader gets.
    return line, check(line, n=n, before=before)


def dump(value: dict[str, Any]) -> bytes:
    """The only accepted bytes of a line."""
    return (_ENCODER.encode(value) + "\n").encode("ascii")


def check(line: bytes, *, n: int, before: str) -> Recorded:
    """Read one line, newline included, that must be line `n` after the head `before`.

    Raises:
        NotTrusted: it is not; says what differs. `where` is left to the caller.
    """
    number, head, hashed, event = parts(line)
    if number != b"%d" % n:
        raise NotTrusted(f"the line says that it is line {number.decode()}, here belongs line {n}")
    # The chain first: an event that it does not hold is not even parsed.
    follows = _head(before, n, hashlib.sha256(hashed).digest() if event else bytes.fromhex(hashed.decode()))
    if follows != head.decode():
        raise NotTrusted("the head does not follow from the event and the lines above; something was changed")
    return _recorded(event, n, follows) if event else Recorded(n, "", 0, "", Withheld(), follows)


def parts(line: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Of a line: number, head, what its leaf is the hash of, and the event as written. Where the event is withheld, the
    leaf stands for what it is the hash of, and the event is empty.

    `check` takes a number, a head and what was hashed only together: of two lines that differ in just one of the three,
    it takes one at the most, or SHA-256 has a collision.

    Raises:
        NotTrusted: the line has not the form of one.
    """
    if line.isascii():
        end = line.rfind(_AFTER)
        if line.startswith(_EVENT) and (match := _OPEN.fullmatch(line, max(end, 0))) is not None:
            head, number, salt = match.groups()
            event = line[len(_EVENT) : end]
            return number, head, b"\0" + bytes.fromhex(salt.decode()) + _canonical(event), event
        if (match := _CLOSED.fullmatch(line)) is not None:
            head, leaf, number = match.groups()
            return number, head, leaf, b""
    raise NotTrusted("the line is not written as a transcript writes it")


def withhold(line: bytes) -> bytes:
    """The line without its event, for a published copy; `line` is one that `check` accepted."""
    value = json.loads(line)
    if "leaf" in value:
        return line
    return dump({"head": value["head"], "leaf": _leaf(value["salt"], encode(value["event"])).hex(), "n": value["n"]})


def _recorded(text: bytes, n: int, head: str) -> Recorded:
    try:
        written = text.decode("ascii")
        # What it leaves unread at the end is missed when it is written again.
        body, _ = _DECODER.raw_decode(written)
        again = _ENCODER.encode(body)
    except (ValueError, RecursionError):
        raise NotTrusted("the line is not a line of a transcript") from None
    if again != written:
        raise NotTrusted("the line is not written as a transcript writes it")
    if type(body) is not dict or body.keys() != _EVENT_KEYS:
        raise NotTrusted("the event has other fields than at, mono, by, what and with")
    at, mono, by, what = body["at"], body["mono"], body["by"], body["what"]
    if type(at) is not str:
        raise NotTrusted("'at' is not text")
    _is_time(at)
    if type(mono) is not int or not 0 <= mono <= INT_MAX:
        raise NotTrusted("'mono' is not a number of nanoseconds")
    if type(by) is not str or type(what) is not str:
        raise NotTrusted("'by' and 'what' are not both text")
    try:
        event = codec.from_json(what, body["with"])
    except InputRejected as error:
        raise NotTrusted(error.what) from error
    return Recorded(n, at, mono, by, event, head)


@lru_cache(maxsize=16)
def _is_time(at: str) -> None:
    if not _TIME.fullmatch(at):
        raise NotTrusted("'at' is not a time like 2026-11-23T09:00:00Z")
    try:
        datetime.fromisoformat(at)
    except ValueError:
        raise NotTrusted("'at' is not a time that exists") from None


def _canonical(text: bytes) -> bytes:
    """The canonical JSON of an event, from its text in a line, which escapes more; not parsed for that."""
    if b"\\" not in text:
        return text
    try:
        return b"\\\\".join(_raw(piece) for piece in text.split(b"\\\\"))
    except UnicodeEncodeError:
        raise NotTrusted("the event holds half a character") from None


def _raw(text: bytes) -> bytes:
    for escape, byte in _SHORT:
        text = text.replace(escape, byte)
    return _LONG.sub(lambda m: json.loads(b'"%b"' % m[0]).encode(), text) if b"\\u" in text else text


def _leaf(salt: str, canonical: bytes) -> bytes:
    return hashlib.sha256(b"\0" + bytes.fromhex(salt) + canonical).digest()


def _head(before: str, n: int, leaf: bytes) -> str:
    return hashlib.sha256(b"\1" + bytes.fromhex(before) + n.to_bytes(8, "big") + leaf).hexdigest()
