"""Canonical JSON in the OLPC form: the bytes that TUF signs and hashes (TUF 1.0.34, section 4.2.1).

Object keys are sorted by code point, there is no white space, and only ``"`` and ``\\`` are escaped: control characters
stand raw. The result is UTF-8 and equal to securesystemslib's `encode_canonical` for every value that intake accepts.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from vestry.errors import InputRejected

INT_MIN, INT_MAX = -(2**63), 2**64 - 1

_OPTIONS = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
# orjson escapes control characters, which OLPC does not; nothing else in its output differs.
_ESCAPE = re.compile(rb'\\(?:(["\\])|u00([01][0-9a-f])|([bfnrt]))')
_RAW = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
# What a float looks like in an array or object of the output. A string may hold it too, so a match is looked into and
# proves nothing. Alternatives in the expression would make it five times slower.
_FLOAT = re.compile(rb"[:,\[]-?[0-9]+[.e]")


def encode(value: Any) -> bytes:
    """Canonical bytes of a JSON value.

    Raises:
        InputRejected: it holds a float, an integer beyond 64 bits, a key that is no string, a lone surrogate, or is
            nested too deep.
    """
    try:
        out = orjson.dumps(value, option=_OPTIONS)
    except (TypeError, ValueError) as error:
        _explain(value)
        raise InputRejected(f"it has no canonical form: {error}", where="JSON value") from error
    # orjson writes NaN and the infinities as null.
    if isinstance(value, float) or b"null" in out or _FLOAT.search(out):
        _explain(value)
    return _ESCAPE.sub(_unescape, out) if b"\\" in out else out


def _unescape(match: re.Match[bytes]) -> bytes:
    quoted, code, letter = match.groups()
    if quoted:
        return match[0]
    return bytes([int(code, 16)]) if code else _RAW[letter]


def _explain(value: Any) -> None:
    """Raise for the first value that has no canonical form; return where there is none."""
    stack = [value]
    while stack:
        here = stack.pop()
        if isinstance(here, float):
            raise InputRejected(f"{here!r} is not an integer", where="JSON value", do="TUF metadata holds no floats")
        if isinstance(here, int) and not INT_MIN <= here <= INT_MAX:
            raise InputRejected(f"{here} is beyond 64 bits", where="JSON value")
        if isinstance(here, dict):
            bad = next((k for k in here if not isinstance(k, str)), None)
            if bad is not None:
                raise InputRejected(f"the key {bad!r} is not a string", where="JSON value")
            stack += here.values()
            stack += here.keys()
        elif isinstance(here, (list, tuple)):
            stack += here
        elif isinstance(here, str) and any("\ud800" <= c <= "\udfff" for c in here):
            raise InputRejected("a string holds half of a surrogate pair", where="JSON value")
