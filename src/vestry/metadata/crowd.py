"""Large documents without their crowd: entries of the plainest form are found in the bytes and left there.

A claimed role has half a million delegations, nearly all of one form: few Ed25519 keys, few patterns. To make objects
of them takes seconds and a gigabyte, and no reader looks at them. Here expressions find them in the file; each match is
one JSON value of known form, spelled out letter by letter. What they leave, with a mark in the place of each run of
such entries, is read by the one door as any document is. A mark is a value that the file can't hold, and it is accepted
only where it was found as that member or element of the right container; so the run stood there, in its place. Whatever
does not fit is read as a whole, the slow way.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from vestry.errors import InputRejected
from vestry.metadata import aside
from vestry.metadata.aside import Aside
from vestry.metadata.forms import KEYS, ROLES, TARGETS, Form
from vestry.metadata.runs import Run, false_ids, find_runs, first_name, in_order, last_name, with_names

LARGE = 4 << 20
"""Bytes from which on a document is looked at so."""


@dataclass(frozen=True)
class Cut:
    """A file without its crowd: `rest` is JSON with a mark for each run, `marks` are their texts."""

    rest: bytes = field(repr=False)
    runs: tuple[Run, ...]
    marks: tuple[str, ...]


def cut(raw: bytes, known: Mapping[tuple[str, ...], Sequence[Run]] = MappingProxyType({})) -> Cut | None:
    """`raw` without its crowd, whose runs `find_runs` finds; None where it has none. In
    containers whose runs are `known`, no others are looked for.
    """
    runs = in_order(find_runs(raw, known))
    if not runs:
        return None
    nonce = secrets.token_hex(16)  # the file was there before it
    pieces, at, marks = [], 0, []
    for i, run in enumerate(runs):
        mark = f"{nonce}:{i}"
        start, end = run.span
        pieces += [raw[at:start], _marked(run, mark)]
        marks.append(mark)
        at = end
    return Cut(b"".join([*pieces, raw[at:]]), tuple(runs), tuple(marks))


def _marked(run: Run, mark: str) -> bytes:
    if run.form.is_list:
        return f'{{"name":"{mark}"}}'.encode()
    # The member is called as the first of the run, so that it is sorted in where that belongs.
    first = run.raw[run.start : run.raw.index(b'"', run.start + 1) + 1]
    return first + f':"{mark}"'.encode()


@dataclass(frozen=True)
class Placed:
    """A signed part without its crowd. `signed` is what is left; `runs` say before which element of what is left of a
    list they stood; `tokens` are those of the crowd that was looked at, by form.
    """

    signed: dict[str, Any]
    runs: tuple[tuple[Run, int], ...]
    tokens: dict[tuple[str, ...], list[bytes]] = field(default_factory=dict)
    _numbers: dict[bytes, int] = field(default_factory=dict)
    alike: set[str] = field(default_factory=lambda: {"paths"})
    """Holds "paths" as long as each plain delegation is for just the paths below its own name."""

    ids: Aside | None = None
    """Tells whether the id of each plain key is its digest (see `true_ids`)."""

    def false_ids(self) -> set[bytes]:
        """The ids of plain keys that are not their digests."""
        if self.ids is not None and self.ids.answer == _HOLD:
            return set()
        return {kid for run, _ in self.runs if run.form is KEYS for kid in false_ids(run)}

    def names(self, form: Form) -> list[bytes]:
        """The names of the crowd of one form, in their order."""
        return [name for run, _ in self.runs if run.form is form for name in run.names()]

    def entries(self, form: Form) -> list[bytes]:
        """The tokens of the crowd of one form, in their order."""
        if form.place not in self.tokens:
            self.tokens[form.place] = [t for run, _ in self.runs if run.form is form for t in run.tokens()]
        return self.tokens[form.place]

    def numbers(self) -> dict[bytes, int]:
        """The numbers (0-based) of plain delegations among themselves, by name."""
        if not self._numbers:
            runs = [run if run.listed else with_names(run) for run, _ in self.runs if run.form is ROLES]
            if all(run.listed for run in runs):
                listed = [name for run in runs for name in run.listed.split(b"\n")]
            else:
                self.alike.clear()
                listed = [ROLES.name(token) for token in self.entries(ROLES)]
            self._numbers.update(zip(listed, range(len(listed)), strict=True))
        return self._numbers


_HOLD = b"ids hold"


def _ids_aside(found: Cut) -> Aside | None:
    """Look in a child whether key ids hold, where there are many."""
    runs = [run for run in found.runs if run.form is KEYS]
    if sum(run.end - run.start for run in runs) < aside.WORTH:
        return None
    return Aside(lambda: b"" if any(True for run in runs for _ in false_ids(run)) else _HOLD)


def place(signed: dict[str, Any], found: Cut, names: Container[bytes] | None = None) -> Placed | None:
    """Take the marks out of a signed part as it was read.

    None where a mark does not stand where its run belongs, where a name stands twice, or where members are not in the
    order that canonical JSON has. `names` are those of the plain delegations, where they are known to differ.
    """
    left = _copied(signed)
    places = _unmarked(left, found)
    if places is None:
        return None
    for form in (KEYS, TARGETS):
        if any(run.form is form for run in found.runs) and not _sorted(_container(left, form.place), found):
            return None
    placed = Placed(left, tuple(places), ids=_ids_aside(found) if names is None else None)
    if names is None:
        names = placed.numbers()
        if len(placed.numbers()) != sum(run.count for run in found.runs if run.form is ROLES):
            return None
    inner = _container(left, ROLES.place)
    others = [e.get("name") for e in inner if isinstance(e, dict)] if isinstance(inner, list) else []
    if any(isinstance(n, str) and n.isascii() and n.encode() in names for n in others):
        return None
    for run, _ in places:
        if not run.form.is_list:
            del _container(left, run.form.place)[first_name(run)]
    return placed


def _unmarked(left: dict[str, Any], found: Cut) -> list[tuple[Run, int]] | None:
    """Where the runs stood; the marks in lists are taken out of `left`, those in objects are needed for their order."""
    places: list[tuple[Run, int]] = []
    for run, mark in zip(found.runs, found.marks, strict=True):
        holder = _container(left, run.form.place)
        if isinstance(holder, list) and run.form.is_list:
            at = next((i for i, e in enumerate(holder) if isinstance(e, dict) and e == {"name": mark}), None)
            if at is None:
                return None
            del holder[at]
            places.append((run, at))
        elif isinstance(holder, dict) and not run.form.is_list and holder.get(first_name(run)) == mark:
            places.append((run, 0))
        else:
            return None
    return places


def _copied(signed: dict[str, Any]) -> dict[str, Any]:
    """`signed` with containers of its own where runs may have stood."""
    copy = dict(signed)
    for name in ("delegations", "targets"):
        if isinstance(copy.get(name), dict):
            copy[name] = dict(copy[name])
    inner = copy.get("delegations")
    if isinstance(inner, dict):
        for name, kind in (("keys", dict), ("roles", list)):
            if isinstance(inner.get(name), kind):
                inner[name] = kind(inner[name])
    return copy


def _container(signed: Any, at: tuple[str, ...]) -> Any:
    for name in at:
        signed = signed.get(name) if isinstance(signed, dict) else None
    return signed


def _sorted(holder: dict[str, Any], found: Cut) -> bool:
    """Whether members stand in rising order, and so none twice: then a canonical run is a part of canonical bytes."""
    by_mark = dict(zip(found.marks, found.runs, strict=True))
    last: str | None = None
    for name, value in holder.items():
        if last is not None and name <= last:
            return False
        last = name
        if isinstance(value, str) and (run := by_mark.get(value)) is not None:
            if not run.rising:
                return False
            last = last_name(run).decode()
    return True


def canonical(encoded: bytes, found: Cut) -> Iterator[bytes | Run]:
    """The canonical bytes of the whole signed part, in pieces, from those of the marked one.

    Raises:
        InputRejected: a mark is not in them once.
    """
    at = 0
    texts = [(run, _marked(run, mark)) for run, mark in zip(found.runs, found.marks, strict=True)]
    for start, run, text in sorted(((encoded.find(text), run, text) for run, text in texts), key=lambda f: f[0]):
        if start < at:
            raise InputRejected("a run of entries has no place", where="signed")
        yield encoded[at:start]
        yield run
        at = start + len(text)
    yield encoded[at:]


def digest(pieces: Sequence[bytes | Run]) -> str:
    """SHA-256 in hex of canonical bytes in pieces."""
    whole = hashlib.sha256()
    for piece in pieces:
        if isinstance(piece, Run):
            whole.update(memoryview(piece.raw)[piece.start : piece.end])
        else:
            whole.update(piece)
    return whole.hexdigest()


def within(raw: bytes, pieces: Sequence[bytes | Run]) -> tuple[int, int] | None:
    """Where canonical bytes in pieces stand in one piece in the file that they are of; None where they don't."""
    first = next((n for n, piece in enumerate(pieces) if isinstance(piece, Run)), None)
    if first is None:
        return None
    run = pieces[first]
    assert isinstance(run, Run)
    at = start = run.start - sum(len(piece) for piece in pieces[:first] if isinstance(piece, bytes))
    for piece in pieces:
        if isinstance(piece, bytes):
            if raw[at : at + len(piece)] != piece:
                return None
            at += len(piece)
        elif piece.raw is not raw or piece.start != at:
            return None
        else:
            at = piece.end
    return (start, at) if start >= 0 else None


def joined(pieces: Sequence[bytes | Run]) -> bytes:
    """Canonical bytes in one piece."""
    return b"".join(piece if isinstance(piece, bytes) else piece.text() for piece in pieces)
