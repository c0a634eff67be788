"""What crosses the pipe between Vestry and a module's child process: frames, and the few types they carry.

A frame is a 4-byte big-endian length, that many bytes of JSON (an object), and then the raw parts whose lengths the
object gives as ``"parts"``. A PIN or a message to sign is always a part, never JSON, so an object may be shown. What
comes out of a child is input: each field is checked for its type, nothing is unpickled or evaluated.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from vestry.errors import TokenTrouble
from vestry.tokens.token import KeyKind, TokenCertificate, TokenInfo, TokenKey, TokenObject

LENGTH = struct.Struct(">I")
LONGEST_HEAD = 4 * 1024 * 1024
LONGEST_PARTS = 256 * 1024 * 1024

# Requests after which it may be unknown whether the token did something.
ACTING = frozenset({"initialise", "generate", "sign", "destroy"})


class FrameError(ValueError):
    """A frame or a field of it is not what it should be. Its text names fields only, never values."""


@dataclass(frozen=True)
class Frame:
    """One request or answer. `parts` has no place in the representation: they may be PINs."""

    head: Mapping[str, object]
    parts: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return f"Frame({self.head.get('do', 'answer')}, {len(self.parts)} parts)"


def write_frame(frame: Frame, write: Callable[[bytes], None]) -> None:
    """Hand the bytes of `frame` to `write`, piece by piece."""
    head = json.dumps({**frame.head, "parts": [len(p) for p in frame.parts]}).encode()
    write(LENGTH.pack(len(head)) + head)
    for part in frame.parts:
        write(part)


def read_frame(read: Callable[[int], bytes]) -> Frame:
    """Read one frame; `read` returns exactly as many bytes as asked for, or raises.

    Raises:
        FrameError: too long, or not such a frame.
    """
    (length,) = LENGTH.unpack(read(LENGTH.size))
    if length > LONGEST_HEAD:
        raise FrameError("the head of a frame is too long")
    try:
        head = json.loads(read(length))
    except ValueError:
        raise FrameError("the head of a frame is not JSON") from None
    if not isinstance(head, dict):
        raise FrameError("the head of a frame is not an object")
    lengths = head.pop("parts", None)
    if not isinstance(lengths, list) or not all(type(n) is int and n >= 0 for n in lengths):
        raise FrameError("parts")
    if sum(lengths) > LONGEST_PARTS:
        raise FrameError("the parts of a frame are too long")
    return Frame(head, tuple(read(n) for n in lengths))


def text(head: Mapping[str, object], name: str) -> str:
    """The field `name`, a string."""
    value = head.get(name)
    if not isinstance(value, str):
        raise FrameError(name)
    return value


def whole(head: Mapping[str, object], name: str) -> int:
    """The field `name`, an integer."""
    value = head.get(name)
    if type(value) is not int:
        raise FrameError(name)
    return value


def flag(head: Mapping[str, object], name: str) -> bool:
    """The field `name`, true or false."""
    value = head.get(name)
    if not isinstance(value, bool):
        raise FrameError(name)
    return value


def octets(head: Mapping[str, object], name: str) -> bytes:
    """The field `name`, hexadecimal."""
    try:
        return bytes.fromhex(text(head, name))
    except ValueError:
        raise FrameError(name) from None


def objects(head: Mapping[str, object], name: str) -> tuple[Mapping[str, object], ...]:
    """The field `name`, a list of objects."""
    value = head.get(name)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise FrameError(name)
    return tuple(value)


def item(head: Mapping[str, object], name: str) -> Mapping[str, object]:
    """The field `name`, an object."""
    value = head.get(name)
    if not isinstance(value, dict):
        raise FrameError(name)
    return value


@dataclass(frozen=True)
class Named:
    """The token a request is for, by what it shows: serial first, label next, and whether it is initialised."""

    serial: str
    label: str
    initialised: bool


def named_to(token: Named) -> dict[str, object]:
    """As fields of a request."""
    return asdict(token)


def named_from(head: Mapping[str, object]) -> Named:
    """From the fields of a request."""
    return Named(text(head, "serial"), text(head, "label"), flag(head, "initialised"))


def info_to(info: TokenInfo) -> dict[str, object]:
    """As an object of an answer."""
    return asdict(info)


def info_from(head: Mapping[str, object]) -> TokenInfo:
    """From an object of an answer."""
    left = head.get("tries_left")
    if text(head, "tries") not in ("", "ok", "low", "last", "locked"):
        raise FrameError("tries")
    return TokenInfo(
        module=text(head, "module"),
        module_sha256=text(head, "module_sha256"),
        manufacturer=text(head, "manufacturer"),
        model=text(head, "model"),
        serial=text(head, "serial"),
        label=text(head, "label"),
        firmware=text(head, "firmware"),
        initialised=flag(head, "initialised"),
        pin_ready=flag(head, "pin_ready"),
        tries=text(head, "tries"),
        tries_left=None if left is None else whole(head, "tries_left"),
        reset=text(head, "reset"),
        pin_least=whole(head, "pin_least"),
        pin_most=whole(head, "pin_most"),
    )


def kind_to(kind: KeyKind) -> dict[str, object]:
    """As an object."""
    return asdict(kind)


def kind_from(head: Mapping[str, object]) -> KeyKind:
    """From an object."""
    return KeyKind(text(head, "scheme"), whole(head, "bits"))


def certificate_to(certificate: TokenCertificate) -> dict[str, object]:
    """As an object."""
    return {"label": certificate.label, "id": certificate.id.hex(), "der": certificate.der.hex()}


def certificate_from(head: Mapping[str, object]) -> TokenCertificate:
    """From an object."""
    return TokenCertificate(text(head, "label"), octets(head, "id"), octets(head, "der"))


def object_to(listed: TokenObject) -> dict[str, object]:
    """As an object."""
    return {**asdict(listed), "id": listed.id.hex()}


def object_from(head: Mapping[str, object]) -> TokenObject:
    """From an object."""
    return TokenObject(
        text(head, "kind"), text(head, "label"), octets(head, "id"), text(head, "sha256"), flag(head, "device")
    )


def key_to(key: TokenKey) -> dict[str, object]:
    """As an object."""
    return {
        "uri": key.uri,
        "label": key.label,
        "id": key.id.hex(),
        "spki": key.spki.hex(),
        "scheme": key.kind.scheme,
        "bits": key.kind.bits,
        "facts": [{"name": name, "value": value} for name, value in key.facts],
    }


def key_from(head: Mapping[str, object]) -> TokenKey:
    """From an object."""
    return TokenKey(
        uri=text(head, "uri"),
        label=text(head, "label"),
        id=octets(head, "id"),
        spki=octets(head, "spki"),
        kind=KeyKind(text(head, "scheme"), whole(head, "bits")),
        facts=tuple((text(fact, "name"), text(fact, "value")) for fact in objects(head, "facts")),
    )


def trouble_to(error: TokenTrouble) -> dict[str, object]:
    """As the object ``trouble`` of an answer."""
    return {
        "what": error.what,
        "where": error.where,
        "do": error.do,
        "code": error.code,
        "tries_left": error.tries_left,
        "unknown": error.unknown,
    }


def trouble_from(head: Mapping[str, object]) -> TokenTrouble:
    """From the object ``trouble`` of an answer."""
    left = head.get("tries_left")
    return TokenTrouble(
        text(head, "what"),
        where=text(head, "where"),
        do=text(head, "do"),
        code=text(head, "code"),
        tries_left=None if left is None else whole(head, "tries_left"),
        unknown=flag(head, "unknown"),
    )
