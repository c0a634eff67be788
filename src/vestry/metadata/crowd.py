"""Large documents without their crowd: entries of the plainest form are found in the bytes and left there.

A claimed role has half a million delegations, nearly all of one form: one Ed25519 key, a threshold of one, one
pattern. To make objects of them takes seconds and a gigabyte, and no reader looks at them. Here expressions find them
in the file; each match is one JSON value of known form, spelled out letter by letter. What they leave, with a mark in
the place of each run of such entries, is read by the one door as any document is. A mark is a value that the file can't
hold, and it is accepted only where it was found as that member or element of the right container; so the run stood
there, in its place. Whatever does not fit is read as a whole, the slow way.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from binascii import unhexlify
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from operator import lt
from types import MappingProxyType
from typing import Any

from vestry.errors import InputRejected
from vestry.metadata import aside
from vestry.metadata.aside import Aside

LARGE = 4 << 20
"""Bytes from which on a document is looked at so."""
SHORTEST = 1 << 12
"""Bytes from which on a run is worth it."""

_HEX = r"[0-9a-f]{64}"
# Names of devices and top-level roles have findings of their own, so they are not plain.
_ODD_NAME = r"(?i:con|prn|aux|nul|com[0-9]|lpt[0-9]|root|targets|snapshot|timestamp)[\".]"
_ROLE_NAME = rf"(?!{_ODD_NAME})(?=[^\"]{{1,100}}\")[A-Za-z0-9][A-Za-z0-9_-]*+(?:\.[A-Za-z0-9_-]++)*+"
_SEGMENT = r"[A-Za-z0-9_+@~-][A-Za-z0-9._+@~-]{0,199}+"
_BLAKE, _SHA256, _SHA512 = (
    rf"\"{name}\"W:W\"[0-9a-f]{{{length}}}\"" for name, length in (("blake2b-256", 64), ("sha256", 64), ("sha512", 128))
)
_HASHES = rf"(?:{_BLAKE}(?:W,W{_SHA256})?+(?:W,W{_SHA512})?+|{_SHA256}(?:W,W{_SHA512})?+|{_SHA512})"


@dataclass(frozen=True)
class Form:
    """One kind of plain entry.

    `place` is its container; `entry` the expression of one, with ``W`` where white space may stand; `before` and
    `after` are what an entry begins and ends with. Between two of them stands `joint`, so that a canonical run is cut
    by it into the tokens that tell entries apart (of files, after a digit alone). `name` finds an entry's name in its
    token. `length` is that of a canonical entry, in bytes, where all have one.
    """

    place: tuple[str, ...]
    entry: str
    before: bytes
    joint: bytes
    after: bytes
    name: Callable[[bytes], bytes]
    length: int = 0

    def edge(self, raw: bytes, start: int, end: int) -> int:
        """Where the last entry begins that begins after `start`, of those that follow each other there; -1 if none."""
        back = raw.rfind(self.joint, start, end)
        while back >= 0 and self.place == ("targets",) and not raw[back - 1 : back].isdigit():
            back = raw.rfind(self.joint, start, back + len(self.joint) - 1)  # that was the end of its hashes
        return back + len(self.joint) - len(self.before) if back >= 0 else -1

    @property
    def is_list(self) -> bool:
        """Whether the container is a list of objects with names, and not an object of members."""
        return self.place[-1] == "roles"


KEYS = Form(
    ("delegations", "keys"),
    rf"\"{_HEX}\"W:W\{{W\"keytype\"W:W\"ed25519\"W,W\"keyval\"W:W\{{W\"public\"W:W\"{_HEX}\"W\}}W,W\"scheme\"W:W\"ed25519\"W\}}",
    b'"',
    b'"ed25519"},"',
    b'"ed25519"}',
    lambda token: token[:64],
    len('"":{"keytype":"ed25519","keyval":{"public":""},"scheme":"ed25519"}') + 2 * 64,
)
ROLES = Form(
    ("delegations", "roles"),
    rf"\{{W\"keyids\"W:W\[W\"{_HEX}\"W\]W,W\"name\"W:W\"{_ROLE_NAME}\"W,W\"paths\"W:W\[W\"(?:{_SEGMENT}/){{1,8}}+\*\"W\]W,W"
    r"\"terminating\"W:W(?:true|false)W,W\"threshold\"W:W1W\}",
    b"{",
    b"},{",
    b"}",
    lambda token: token[86 : token.index(b'"', 86)],
)
TARGETS = Form(
    ("targets",),
    rf"\"(?:{_SEGMENT}/){{0,8}}+{_SEGMENT}\"W:W\{{W\"hashes\"W:W\{{W{_HASHES}W\}}W,W"
    r"\"length\"W:W(?:0|[1-9][0-9]{0,17}+)W\}",
    b'"',
    b'},"',
    b"}",
    lambda token: token[: token.index(b'"')],
)
_FORMS = (ROLES, KEYS, TARGETS)  # the first is found fastest
_MEMBER = re.compile(rb'([^"]*":\{"hashes":\{[^}]*\},"length":[0-9]+)\}(?:,"|$)')


@cache  # when it is needed: most documents are small
def _run_pattern(entry: str, *, spaced: bool) -> re.Pattern[bytes]:
    white = r"[ \t\r\n]*+" if spaced else ""
    entry = entry.replace("W", white)
    return re.compile(f"{entry}(?:{white},{white}{entry})*+".encode())


@cache
def _entry_pattern(entry: str) -> re.Pattern[bytes]:
    return re.compile(entry.replace("W", "").encode())


_HASHED = b'":{"hashes":{'
_NAMED = re.compile(rb'"name":"([^"]*)","paths":\["\1/\*"')
_WHITE = re.compile(rb"[ \t\r\n]+")
_NEAR = 1 << 14
_BATCH = 1 << 12
_KEY_PARTS = (b':{"keytype":"ed25519","keyval":{"public":"', b'},"scheme":"ed25519"},')
_ZEROS = bytes.maketrans(b"0123456789abcdef", b"0" * 16)
_KEY_OF_ZEROS = (b'"%b"%b%b"%b' % (b"0" * 64, _KEY_PARTS[0], b"0" * 64, _KEY_PARTS[1])).translate(_ZEROS)


def entry_pattern(form: Form) -> re.Pattern[bytes]:
    """The expression of one entry in a file without white space."""
    return _entry_pattern(form.entry)


@dataclass(frozen=True)
class Run:
    """Plain entries that stand one after the other in a file, from `start` to before `end`. What they hold has no white
    space, so that all there is stands between."""

    form: Form
    raw: bytes = field(repr=False)
    start: int
    end: int
    spaced: bool
    rising: bool = False
    """Whether its members are known to stand in rising order."""
    size: int = 0
    """How many entries it has, where that is known."""
    depths: frozenset[int] | None = None
    """How many slashes its names have, where that is known."""
    listed: bytes = field(default=b"", repr=False)
    """The names of delegations, joined by line feeds, where each is known to be for just the paths below its name."""

    def text(self) -> bytes:
        """The canonical bytes of its entries, joined by commas."""
        found = self.raw[self.start : self.end]
        return _WHITE.sub(b"", found) if self.spaced else found

    def tokens(self) -> list[bytes]:
        """What tells its entries apart, in order: each is the canonical entry without `before` and `after`."""
        form = self.form
        if form is TARGETS:
            return _MEMBER.findall(self.text(), len(form.before))
        if self.spaced:
            return self.text()[len(form.before) : -len(form.after)].split(form.joint)
        return self.raw[self.start + len(form.before) : self.end - len(form.after)].split(form.joint)

    def names(self) -> list[bytes]:
        """The names of its entries, in order."""
        if self.form is KEYS and not self.spaced:
            return [self.raw[at : at + 64] for at in range(self.start + 1, self.end, self.form.length + 1)]
        if self.form is TARGETS:
            pieces = self.text().split(_HASHED)
            return [piece[piece.rfind(b'"') + 1 :] for piece in pieces[:-1]]
        return [self.form.name(token) for token in self.tokens()]

    @cached_property
    def count(self) -> int:
        """How many entries it has."""
        if self.size:
            return self.size
        if self.spaced:
            return len(self.tokens())
        if self.form is TARGETS:
            return self.raw.count(_HASHED, self.start, self.end)
        if self.form.length:
            return (self.end - self.start + 1) // (self.form.length + 1)
        return self.raw.count(self.form.joint, self.start, self.end) + 1


@dataclass(frozen=True)
class Cut:
    """A file without its crowd: `rest` is JSON with a mark for each run, `marks` are their texts."""

    rest: bytes = field(repr=False)
    runs: tuple[Run, ...]
    marks: tuple[str, ...]


def cut(raw: bytes, known: Mapping[tuple[str, ...], Sequence[Run]] = MappingProxyType({})) -> Cut | None:
    """`raw` without its crowd, whose runs have at least `SHORTEST` bytes; None where it has none. In
    containers whose runs are `known`, no others are looked for.
    """
    spaced = b"\n" in raw[:200] or b" " in raw[:200]
    runs = [run for there in known.values() for run in there]
    forms = [f for f in _FORMS if f.place not in known and f'"{f.place[0]}"'.encode() in raw]
    middle = _middle(raw) if len(raw) >= aside.WORTH and not known and not spaced else 0
    if middle:
        second = Aside(lambda: _told(_looked(_found(raw, forms, spaced, [], middle, len(raw)))))
        first = _looked(_found(raw, forms, spaced, [], 0, middle - 1))
        told = second.answer
        rest = _looked(_found(raw, forms, spaced, [], middle, len(raw))) if told is None else _heard(raw, told)
        return marked(raw, _united(first, rest))
    return marked(raw, [*runs, *_looked(_found(raw, forms, spaced, runs, 0, len(raw)))])


def _found(raw: bytes, forms: Sequence[Form], spaced: bool, known: Sequence[Run], start: int, end: int) -> list[Run]:
    """Runs of `forms`, beside those that are `known`, from `start` to before `end`."""
    runs: list[Run] = []
    for form in forms:
        # Where runs of another form were found there is nothing of this one.
        ends = [start, *(at for r in _in_order([*known, *runs]) for at in (r.start, r.end)), end]
        found = (span for a, b in zip(ends[::2], ends[1::2], strict=True) for span in _spans(form, raw, spaced, a, b))
        # A short run costs more than it spares; its entries are read as any.
        runs += [Run(form, raw, a, b, spaced) for a, b in found if b - a >= SHORTEST]
    return _in_order(runs)


def _spans(form: Form, raw: bytes, spaced: bool, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where entries of `form` stand one after the other, from `start` to before `end`."""
    pattern = _run_pattern(form.entry, spaced=spaced)
    if form is ROLES and not spaced:  # an expression takes its time to get past a hundred megabytes of keys
        start = raw.find(b'{"keyids":[', start, end)
        start = end if start < 0 else start
    if form is not KEYS or spaced:
        yield from (m.span() for m in pattern.finditer(raw, start, end))
        return
    while (first := entry_pattern(KEYS).search(raw, start, end)) is not None:
        start = _past_keys(raw, first.start(), end)
        rest = pattern.match(raw, start, end)
        yield first.start(), (start := rest.end() if rest is not None else start - 1)


def _past_keys(raw: bytes, start: int, end: int) -> int:
    """Where those of the plain keys that stand from `start` on, each with its comma, end that can be told at once.

    They have one length, and with every hexadecimal digit made a zero, each is the same bytes. Letters of their
    constant parts are such digits, too; so these parts are counted, for which those bytes have one place in each.
    """
    size = KEYS.length + 1
    while start + _BATCH * size <= end:
        keys = raw[start : start + _BATCH * size]
        if keys.translate(_ZEROS) != _KEY_OF_ZEROS * _BATCH or any(keys.count(part) != _BATCH for part in _KEY_PARTS):
            break
        start += len(keys)
    return start


def _in_order(runs: Sequence[Run]) -> list[Run]:
    return sorted(runs, key=lambda r: r.start)


def _middle(raw: bytes) -> int:
    """Where an entry begins after another, about in the middle of a file without white space; 0 if there is none."""
    keys = max(0, raw.find(b'},"roles":[') - raw.find(b'"keys":{'))
    half = (len(raw) + keys * 2 // 3) // 2  # keys take a third of the time that other entries take
    for comma in re.finditer(rb"(?<=\}),", raw[half : half + _NEAR]):
        at = half + comma.end()
        if any(entry_pattern(form).match(raw, at) for form in _FORMS):
            return at
    return 0


def _looked(runs: Sequence[Run]) -> list[Run]:
    """Runs with what is known once the names of their entries are looked at."""
    return [_with_names(run) for run in runs]


def _with_names(run: Run) -> Run:
    if run.form is ROLES:
        found = [] if run.spaced else _NAMED.findall(run.raw, run.start, run.end)
        return replace(run, size=run.count, listed=b"\n".join(found) if len(found) == run.count else b"")
    names = run.names()
    depths = frozenset(name.count(b"/") for name in names) if run.form is TARGETS else None
    return replace(run, rising=all(map(lt, names, names[1:])), size=len(names), depths=depths)


def _told(runs: Sequence[Run]) -> bytes:
    told = [
        (_FORMS.index(r.form), r.start, r.end, r.rising, r.size, sorted(r.depths or ()), r.listed.decode())
        for r in runs
    ]
    return json.dumps(told).encode()


def _heard(raw: bytes, told: bytes) -> list[Run]:
    return [
        Run(_FORMS[form], raw, start, end, False, rising, size, frozenset(depths) or None, listed.encode())
        for form, start, end, rising, size, depths, listed in json.loads(told)
    ]


def _united(first: list[Run], rest: list[Run]) -> list[Run]:
    """The runs of both halves of a file; one that was cut through is one again."""
    if not first or not rest or first[-1].form is not rest[0].form or first[-1].end + 1 != rest[0].start:
        return first + rest
    a, b = first[-1], rest[0]
    depths = a.depths | b.depths if a.depths and b.depths else None
    listed = a.listed + b"\n" + b.listed if a.listed and b.listed else b""
    rising = a.rising and b.rising and _last(a) < _first(b).encode()
    whole = replace(a, end=b.end, size=a.size + b.size, depths=depths, listed=listed, rising=rising)
    return [*first[:-1], whole, *rest[1:]]


def marked(raw: bytes, runs: Sequence[Run]) -> Cut | None:
    """`raw` with a mark for each of `runs`; None where no mark can be found."""
    runs = _in_order(runs)
    nonce = secrets.token_hex(16)
    if not runs or nonce.encode() in raw:
        return None
    pieces, at, marks = [], 0, []
    for i, run in enumerate(runs):
        mark = f"{nonce}:{i}"
        pieces += [raw[at : run.start], _marked(run, mark)]
        marks.append(mark)
        at = run.end
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
            runs = [run if run.listed else _with_names(run) for run, _ in self.runs if run.form is ROLES]
            if all(run.listed for run in runs):
                listed = [name for run in runs for name in run.listed.split(b"\n")]
            else:
                self.alike.clear()
                listed = [ROLES.name(token) for token in self.entries(ROLES)]
            self._numbers.update(zip(listed, range(len(listed)), strict=True))
        return self._numbers


_HOLD = b"ids hold"


def false_ids(run: Run) -> Iterator[bytes]:
    """The ids of plain keys that are not the SHA-256 of the canonical key object."""
    sha, text, size = hashlib.sha256, run.text(), KEYS.length
    for start in range(0, len(text), _BATCH * (size + 1)):
        places = range(start, min(start + _BATCH * (size + 1), len(text)), size + 1)
        kids = [text[at + 1 : at + 65] for at in places]
        digests = [sha(text[at + 67 : at + size]).digest() for at in places]
        if b"".join(digests) != unhexlify(b"".join(kids)):
            yield from (kid for kid, digest in zip(kids, digests, strict=True) if unhexlify(kid) != digest)


def plain_id(public: bytes) -> bytes:
    """The true id of a plain key whose public half (hex) this is."""
    value = b'{"keytype":"ed25519","keyval":{"public":"%b"},"scheme":"ed25519"}' % public
    return hashlib.sha256(value).hexdigest().encode()


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
            del _container(left, run.form.place)[_first(run)]
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
        elif isinstance(holder, dict) and not run.form.is_list and holder.get(_first(run)) == mark:
            places.append((run, 0))
        else:
            return None
    return places


def _first(run: Run) -> str:
    return run.raw[run.start + 1 : run.raw.index(b'"', run.start + 1)].decode()


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
            last = _last(run).decode()
    return True


def _last(run: Run) -> bytes:
    if run.spaced:
        return run.names()[-1]
    edge = run.form.edge(run.raw, run.start, run.end)
    return run.form.name(run.raw[max(edge, run.start) + len(run.form.before) : run.end])


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
        if isinstance(piece, Run) and not piece.spaced:
            whole.update(memoryview(piece.raw)[piece.start : piece.end])
        else:
            whole.update(piece if isinstance(piece, bytes) else piece.text())
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
        elif piece.spaced or piece.raw is not raw or piece.start != at:
            return None
        else:
            at = piece.end
    return (start, at) if start >= 0 else None


def joined(pieces: Sequence[bytes | Run]) -> bytes:
    """Canonical bytes in one piece."""
    return b"".join(piece if isinstance(piece, bytes) else piece.text() for piece in pieces)
