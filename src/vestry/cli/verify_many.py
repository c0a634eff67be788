"""Very many documents that delegate to nobody, such as hash bins: each core reads and judges a share of them.

What comes back of a document is what is told of it, so that they are never all in memory. The chain is then put
together as that of few documents is, with stubs in their places. Whatever is out of the ordinary is left to the way of
few documents, which reads one after the other and says what is wrong with the first.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from vestry.errors import VestryError
from vestry.media import repository
from vestry.media.repository import Found, Link
from vestry.metadata import aside, intake
from vestry.metadata.aside import Aside
from vestry.metadata.document import Document

MANY = 1_000
"""Documents that delegate to nobody, from which on they are shared out."""


@dataclass(frozen=True)
class Told:
    """What is told of a document: `lines` or the object `value`, as was asked. `listed` says that its lines are worth
    reading where very many documents hold."""

    ok: bool
    listed: bool
    lines: Sequence[str] = ()
    value: Mapping[str, object] | None = None


@dataclass(frozen=True)
class _Leaf:
    """A document that was read and judged under `delegator`, which the frame has at that place."""

    found: Found
    delegator: int
    told: Told


def tell(paths: Sequence[Path], judge: Callable[[Link], Told], *, whole: bool, limit: int) -> list[Told] | None:
    """What `judge` says of each document, in the order of `repository.chain`, which knows `whole`; None where that must
    be found out one by one: they are few, no second core is there, or something is wrong with one of them."""
    if len(paths) < MANY or not aside.possible():
        return None
    try:
        leaves = [p for p in paths if _seems_leaf(p, limit)]
        if len(leaves) < MANY:
            return None
        apart = frozenset(leaves)
        frame = {p: repository.read_files([p], limit=limit)[0] for p in paths if p not in apart}
        links = repository.chain(repository.distinct(frame.values()))
        above = [k.document for k in links if k.document.type == "targets"]
        judged = _shared_out(leaves, partial(_leaf, frame=tuple(frame.values()), above=above, judge=judge, limit=limit))
        found = frame | {p: leaf.found for p, leaf in judged.items()}
        links = repository.chain(repository.distinct(found[p] for p in paths), whole=whole)
    except (VestryError, _Otherwise):
        return None
    by_stub = {id(leaf.found.document): leaf for leaf in judged.values()}
    return [by_stub[id(k.document)].told if id(k.document) in by_stub else judge(k) for k in links]


class _Otherwise(Exception):
    """A document is not what it seemed."""


def _seems_leaf(path: Path, limit: int) -> bool:
    """Whether it looks like a document that delegates to nobody; `_leaf` reads it and knows."""
    if repository.role_in_name(path) in (None, *repository.TOP):
        return False
    return b'"delegations"' not in intake.read_file(path, limit=limit)


def _leaf(
    path: Path, *, frame: Sequence[Found], above: Sequence[Document], judge: Callable[[Link], Told], limit: int
) -> _Leaf:
    (found,) = repository.read_files([path], limit=limit)
    read = found.document
    if read.type != "targets" or found.role in repository.TOP or "delegations" in read.signed:
        raise _Otherwise
    link = repository.below(found, above, frame)
    at = next((i for i, one in enumerate(above) if one is link.delegator), None)
    if at is None:
        raise _Otherwise
    return _Leaf(
        _stub(path, found.role, read.file_sha256, read.version, read.expires, misnamed=found.misnamed), at, judge(link)
    )


def _stub(path: Path, role: str, sha256: str, version: int, expires: datetime, *, misnamed: bool) -> Found:
    """In the place of a file, what tells it from others: its SHA-256."""
    stub = Document(bytes.fromhex(sha256), {}, (), b"", "targets", version, expires)
    return Found(role, stub, str(path), misnamed)


def _shared_out(paths: Sequence[Path], judged: Callable[[Path], _Leaf]) -> dict[Path, _Leaf]:
    cores = len(os.sched_getaffinity(0))
    shares = [paths[core::cores] for core in range(cores)]
    children = [Aside(partial(_answer, share, judged)) for share in shares[1:]]
    done = {path: judged(path) for path in shares[0]}
    for share, child in zip(shares[1:], children, strict=True):
        answer = child.answer
        if answer is None:  # it came to no end, for one on a machine that is short of memory
            done |= {path: judged(path) for path in share}
        elif not answer:
            raise _Otherwise
        else:
            done |= {path: _from_json(path, *one) for path, one in zip(share, json.loads(answer), strict=True)}
    return done


def _answer(share: Sequence[Path], judged: Callable[[Path], _Leaf]) -> bytes:
    try:
        return json.dumps([_to_json(judged(path)) for path in share]).encode()
    except (VestryError, _Otherwise):
        return b""


def _to_json(leaf: _Leaf) -> list[object]:
    read, told = leaf.found.document, leaf.told
    placed = [
        leaf.found.role,
        read.raw.hex(),
        read.version,
        read.expires.isoformat(),
        leaf.found.misnamed,
        leaf.delegator,
    ]
    return [*placed, told.ok, told.listed, told.lines, told.value]


def _from_json(
    path: Path, role: str, sha256: str, version: int, expires: str, misnamed: bool, delegator: int, *told: Any
) -> _Leaf:
    stub = _stub(path, role, sha256, version, datetime.fromisoformat(expires), misnamed=misnamed)
    return _Leaf(stub, delegator, Told(*told))
