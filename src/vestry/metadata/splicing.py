"""Large documents changed where they lie: a few delegations added to half a million, whose bytes are not read again.

What comes out is compact: one JSON object without white space, whose signed part is canonical but for the escapes that
JSON wants for control characters (in PEM keys), so that its crowd can be left in its bytes by whoever reads it next.
"""

from __future__ import annotations

import re
import secrets
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from vestry.metadata.canonical import encode
from vestry.metadata.document import LargeDocument, escaped
from vestry.metadata.forms import KEYS, ROLES
from vestry.metadata.runs import Run


def compact(signed: Mapping[str, Any]) -> bytes:
    """The unsigned file of a signed part."""
    return b'{"signatures":[],"signed":' + escaped(encode(signed)) + b"}"


def added(
    previous: LargeDocument, head: Mapping[str, Any], keys: Mapping[str, Any], roles: Sequence[Mapping[str, Any]]
) -> bytes | None:
    """The unsigned file of `previous` with other members at the top of its signed part (`head`), and with delegations
    `roles` after those it has, and their `keys`.

    None where that is not all there is to do: a name or a key id is there already, or the document is not of the form
    that can be left in its bytes.
    """
    left = previous.left
    inner = left.signed.get("delegations")
    if not isinstance(inner, dict) or not isinstance(inner.get("roles"), list):
        return None
    runs = [run for run, _ in left.runs]
    if any(run.form not in (KEYS, ROLES) for run in runs):
        return None
    there, names = left.numbers(), {role["name"] for role in inner["roles"]}
    new = [role["name"] for role in roles]
    if len(set(new)) < len(new) or any(name in names or name.encode() in there for name in new):
        return None
    members = _members([run for run in runs if run.form is KEYS], inner["keys"], keys)
    if members is None:
        return None
    listed = _elements([(run, at) for run, at in left.runs if run.form is ROLES], [*inner["roles"], *roles])
    marks = [secrets.token_hex(16) for _ in range(2)]
    frame = encode({**left.signed, **head, "delegations": {**inner, "keys": marks[0], "roles": marks[1]}})
    first, middle, last = re.split(f'"{marks[0]}"|"{marks[1]}"'.encode(), frame)
    pieces = [b'{"signatures":[],"signed":', escaped(first), b"{", *members, b"}", escaped(middle)]
    return b"".join([*pieces, b"[", *listed, b"]", escaped(last), b"}"])


def _members(runs: Sequence[Run], few: Mapping[str, Any], more: Mapping[str, Any]) -> Iterator[bytes] | None:
    """Key objects of runs, of `few` beside them and of `more`, in rising order of ids; None where another object stands
    under an id of `more`."""
    whole = {**more, **few}
    if any(whole[keyid] != value for keyid, value in more.items()):
        return None
    singles = sorted((keyid.encode(), escaped(encode({keyid: value})[1:-1])) for keyid, value in whole.items())
    parts: list[tuple[bytes, bytes | memoryview]] = []
    there: set[bytes] = set()
    for run in runs:
        ids = _Ids(run)
        begin = 0
        for keyid, text in singles:
            at = bisect_left(ids, keyid)
            if at < len(ids) and ids[at] == keyid:
                if ids.between(at, at + 1) != text:
                    return None
                there.add(keyid)
            elif begin < at:
                parts.append((ids[begin], ids.between(begin, at)))
                begin = at
        if begin < len(ids):
            parts.append((ids[begin], ids.between(begin, len(ids))))
    parts += [single for single in singles if single[0] not in there]
    return _joined(part for _, part in sorted(parts, key=lambda p: p[0]))


class _Ids(Sequence[bytes]):
    """The key ids of a run, which all have the same length, in its bytes."""

    def __init__(self, run: Run) -> None:
        self._run, self._step = run, KEYS.length + 1
        self._raw = memoryview(run.raw)

    def __len__(self) -> int:
        return self._run.count

    def __getitem__(self, n: Any) -> Any:
        at = self._run.start + n * self._step + 1
        return bytes(self._raw[at : at + 64])

    def between(self, first: int, end: int) -> memoryview:
        """The entries from `first` to before `end`, with the commas between them."""
        start = self._run.start
        return self._raw[start + first * self._step : start + end * self._step - 1]


def _elements(runs: Sequence[tuple[Run, int]], few: Sequence[Mapping[str, Any]]) -> Iterator[bytes]:
    """Delegations in their order: each run stands before the element of `few` that it says."""
    parts: list[bytes | memoryview] = []
    place = 0
    for run, at in runs:
        parts += [escaped(encode(role)) for role in few[place:at]]
        parts.append(memoryview(run.raw)[run.start : run.end])
        place = at
    parts += [escaped(encode(role)) for role in few[place:]]
    return _joined(parts)


def _joined(parts: Iterable[bytes | memoryview]) -> Iterator[Any]:
    for n, part in enumerate(parts):
        if n:
            yield b","
        yield part
