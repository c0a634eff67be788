"""The one door: everything untrusted is read here, bounded and strict, before anything else looks at it.

JSON (RFC 8259) is accepted only where every reader agrees on what it says: no key twice in an object, no floats, no
integers beyond 64 bits, no byte order mark, no lone surrogates, nothing after the value, a bounded size and depth. What
is refused is refused with its line and column.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from vestry.errors import InputRejected, MediumTrouble
from vestry.metadata.canonical import INT_MAX, INT_MIN
from vestry.metadata.keys import Key
from vestry.text import printable


@dataclass(frozen=True)
class Limits:
    """Bounds on what is read: size in bytes, and nesting of arrays and objects."""

    bytes: int = 64 << 20
    depth: int = 64


LIMITS = Limits()


def read_file(path: Path, *, limit: int) -> bytes:
    """The whole of a regular file.

    Raises:
        InputRejected: it is a link, a folder, a pipe or a device, is not there, or is larger than `limit` bytes.
        MediumTrouble: it can't be read.
    """
    where = printable(str(path), 200)
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise _too_large(size, limit, where)
        try:
            data = file.read(limit + 1)
        except OSError as error:
            raise _unreadable(error, where) from error
    if len(data) > limit:
        raise _too_large(len(data), limit, where)
    return data


def open_file(path: Path) -> BinaryIO:
    """A regular file, open to be read.

    Raises:
        InputRejected: it is a link, a folder, a pipe or a device, or is not there.
        MediumTrouble: it can't be opened.
    """
    where = printable(str(path), 200)
    try:
        # Looked at before it is opened: to open a device may already do something.
        _regular(os.lstat(path), where)
        # Not blocking: a pipe put there since would otherwise hold the ceremony up for ever.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise InputRejected("there is no such file", where=where, do="is it the right name?") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _link(where) from None
        if error.errno == errno.ENAMETOOLONG:
            raise InputRejected("no file can have so long a name", where=where) from None
        raise _unreadable(error, where) from error
    file = os.fdopen(fd, "rb")
    try:
        _regular(os.fstat(fd), where)
    except InputRejected:
        file.close()
        raise
    return file


def _regular(found: os.stat_result, where: str) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise _link(where)
    if not stat.S_ISREG(found.st_mode):
        raise InputRejected("it is not a regular file", where=where, do="name a file")


def _unreadable(error: OSError, where: str) -> MediumTrouble:
    return MediumTrouble(
        f"this file can't be read: {error.strerror}",
        where=where,
        do="check the drive, or take another copy",
        code="E-DRIVE-ERROR",
    )


def _link(where: str) -> InputRejected:
    return InputRejected("it is a link, not a file", where=where, do="name the file itself")


def parse(raw: bytes, *, where: str, limits: Limits = LIMITS) -> Any:
    """One strict JSON value.

    Args:
        raw: UTF-8 bytes.
        where: What to call it in errors.
        limits: Bounds.

    Raises:
        InputRejected: it is not strict JSON; says where (line, column) and why.
    """
    if len(raw) > limits.bytes:
        raise _too_large(len(raw), limits.bytes, where)
    if raw.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        at = f"{where}, line 1, column 1"
        raise InputRejected("it begins with a byte order mark", where=at, do="write it as UTF-8 without one")
    text = decode(raw, where=where)
    try:
        value = _DECODER.decode(text)
        _check(value, limits.depth, surrogates="\\u" in text)
    except (_Bad, ValueError, RecursionError) as error:
        _Scanner(text, where, limits.depth).explain()
        raise InputRejected(f"it is not strict JSON: {printable(str(error))}", where=where) from None
    return value


def decode(raw: bytes, *, where: str) -> str:
    """UTF-8 as text.

    Raises:
        InputRejected: it is not UTF-8; says where (line, column).
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        at = _place(where, raw[: error.start].decode("utf-8"))
        raise InputRejected(f"byte {error.start} is not UTF-8", where=at, do="write it as UTF-8") from None


def pem_public_key(raw: bytes, *, where: str, scheme: str = "") -> Key:
    """The one public key in a PEM file (RFC 7468, which is ASCII).

    Raises:
        InputRejected: it is a private key, several keys, no key, or one that TUF does not use.
    """
    if not raw.isascii():
        raise InputRejected("not a PEM public key: it is not ASCII text", where=where)
    return Key.from_pem(raw.decode("ascii"), scheme, where)


class _Bad(Exception):
    """Something that strict JSON does not have; the scanner then finds where."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Bad("a key stands twice")
    return made


def _integer(digits: str) -> int:
    if len(digits) > 20 or not INT_MIN <= (number := int(digits)) <= INT_MAX:
        raise _Bad("an integer is beyond 64 bits")
    return number


def _refuse(_: str) -> NoReturn:
    raise _Bad("a number is no integer")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_refuse, parse_constant=_refuse, strict=True
)


def _check(value: Any, depth: int, *, surrogates: bool) -> None:
    # Level by level rather than by recursion, so that depth costs nothing but these lists.
    level, holds = [value], isinstance(value, (dict, list))
    while level:
        depth -= holds
        if depth < 0:
            raise _Bad("it is nested too deep")
        below: list[Any] = []
        for here in level:
            if isinstance(here, dict):
                below += here.values()
                if surrogates:
                    below += here.keys()
            elif isinstance(here, list):
                below += here
            elif surrogates and isinstance(here, str) and any("\ud800" <= c <= "\udfff" for c in here):
                raise _Bad("a string holds half of a surrogate pair")
        level, holds = below, any(isinstance(v, (dict, list)) for v in below)


_SPACE = re.compile(r"[ \t\n\r]*")
_TEXT = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORD = re.compile(r"true|false|null")
_NO_NUMBER = re.compile(r"[-+]?(NaN|Infinity)")


class _Scanner:
    """Reads the text once more, slowly, to say where the first thing is that does not belong."""

    def __init__(self, text: str, where: str, depth: int) -> None:
        self.text, self.where, self.depth, self.at = text, where, depth, 0

    def explain(self) -> None:
        """Raise InputRejected at the first fault; return where there is none to be seen."""
        try:
            self.value(0)
        except RecursionError:
            self.fault("it is nested too deep")
        self.space()
        if self.at < len(self.text):
            self.fault("something follows after the value")

    def fault(self, why: str, at: int | None = None) -> NoReturn:
        at = self.at if at is None else at
        raise InputRejected(why, where=_place(self.where, self.text[:at]))

    def space(self) -> str:
        found = _SPACE.match(self.text, self.at)
        assert found is not None
        self.at = found.end()
        return self.text[self.at : self.at + 1]

    def value(self, depth: int) -> None:
        first = self.space()
        if first in ("{", "["):
            if depth >= self.depth:
                self.fault(f"it is nested deeper than {self.depth}")
            if not (depth and self.sound(depth)):
                (self.object if first == "{" else self.array)(depth)
        elif first == '"':
            self.string()
        elif word := _WORD.match(self.text, self.at):
            self.at = word.end()
        else:
            self.number()

    def sound(self, depth: int) -> bool:
        """Whether there is no fault in the value here, which is then passed: to look for one takes far longer."""
        try:
            value, end = _DECODER.raw_decode(self.text, self.at)
            _check(value, self.depth - depth, surrogates=True)
        except (_Bad, ValueError, RecursionError):
            return False
        self.at = end
        return True

    def object(self, depth: int) -> None:
        self.at += 1
        seen: set[str] = set()
        if self.space() == "}":
            self.at += 1
            return
        while True:
            if self.space() != '"':
                self.fault("a key in quotes belongs here")
            start = self.at
            key = self.string()
            if key in seen:
                self.fault(f"the key {printable(json.dumps(key), 80)} stands twice in one object", start)
            seen.add(key)
            if self.space() != ":":
                self.fault("a colon belongs here")
            self.at += 1
            self.value(depth + 1)
            if self.next("}"):
                return

    def array(self, depth: int) -> None:
        self.at += 1
        if self.space() == "]":
            self.at += 1
            return
        while True:
            self.value(depth + 1)
            if self.next("]"):
                return

    def next(self, end: str) -> bool:
        found = self.space()
        if found not in (",", end) or not found:
            self.fault(f"a comma or {end} belongs here")
        self.at += 1
        return found == end

    def string(self) -> str:
        found = _TEXT.match(self.text, self.at)
        assert found is not None
        end = found.end()
        after = self.text[end : end + 1]
        if not after:
            self.fault("a string is not closed")
        if after != '"':
            self.fault("an unknown escape" if after == "\\" else "a raw control character in a string", end)
        value = str(json.loads(self.text[self.at : end + 1]))
        if any("\ud800" <= c <= "\udfff" for c in value):
            self.fault("a string holds half of a surrogate pair")
        self.at = end + 1
        return value

    def number(self) -> None:
        found = _NUMBER.match(self.text, self.at)
        if found is None:
            if word := _NO_NUMBER.match(self.text, self.at):
                self.fault(f"{word[0]} is not an integer; JSON has no such value")
            self.fault("a value belongs here" if self.at < len(self.text) else "the text ends too early")
        if found[1] or found[2]:
            self.fault(f"{printable(found[0], 40)} is not an integer; TUF metadata holds no floats")
        if len(found[0]) > 20 or not INT_MIN <= int(found[0]) <= INT_MAX:
            self.fault(f"{printable(found[0], 40)} is beyond 64 bits")
        self.at = found.end()


def _place(where: str, before: str) -> str:
    """Line and column (both from 1, in characters) of what follows `before`."""
    return f"{where}, line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"


def _too_large(size: int, limit: int, where: str) -> InputRejected:
    # Small bounds, as of keys, are not for raising.
    do = "review and verify read more with --limit BYTES" if limit >= LIMITS.bytes else ""
    return InputRejected(f"{size:,} bytes are more than the {limit:,} allowed", where=where, do=do, code="E-SIZE")
