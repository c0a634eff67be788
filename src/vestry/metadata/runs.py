"""Plain entries that stand one after the other in a large document: finding them, and what is known of them.

Each half of a large file is looked at by a core of its own.
"""

from __future__ import annotations

import hashlib
import json
import re
from binascii import unhexlify
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import lt

from vestry.metadata import aside
from vestry.metadata.aside import Aside
from vestry.metadata.forms import (
    FORMS,
    KEYS,
    MOST_SLASHES,
    ROLES,
    TARGETS,
    Form,
    entry_pattern,
    file_shape,
    run_pattern,
)

SHORTEST = 1 << 12
"""Bytes from which on a run is worth it."""
_MEMBER = re.compile(rb'([^"]*":\{"hashes":\{[^}]*\},"length":[0-9]+)\}(?:,"|$)')
_HASHED = b'":{"hashes":{'
_NAMED = re.compile(rb'"name":"([^"]*)","paths":\["\1/\*"\]')
_NEAR = 1 << 14
_EDGE = 1 << 20
_BATCH = 1 << 12
_KEY_PARTS = (b':{"keytype":"ed25519","keyval":{"public":"', b'},"scheme":"ed25519"},')
_ZEROS = bytes.maketrans(b"0123456789abcdef", b"0" * 16)
# Letters of a path become one, its ends are made to look like slashes, and whatever is not plain stands out.
_LETTERS = (
    bytes(
        ord("a")
        if chr(c).isalnum() or chr(c) in "_+@~-"
        else ord("/")
        if chr(c) in "/\n"
        else c
        if c == ord(".")
        else ord("!")
        for c in map(int, range(128))
    )
    + b"!" * 128
)
_ODD_PATH = (b"!", b"//", b"/.")
_NO_SLASH = bytes(c for c in range(256) if c not in b"/\n")
_KEY_OF_ZEROS = (b'"%b"%b%b"%b' % (b"0" * 64, _KEY_PARTS[0], b"0" * 64, _KEY_PARTS[1])).translate(_ZEROS)


@dataclass(frozen=True)
class Run:
    """Plain entries that stand one after the other in `raw`, from `start` to before `end`, without white space. That is
    the file, or, where white space stood between them there, `at` says from where to before where."""

    form: Form
    raw: bytes = field(repr=False)
    start: int
    end: int
    at: tuple[int, int] | None = None
    rising: bool = False
    """Whether its members are known to stand in rising order."""
    size: int = 0
    """How many entries it has, where that is known."""
    depths: frozenset[int] | None = None
    """How many slashes its names have, where that is known."""
    listed: bytes = field(default=b"", repr=False)
    """The names of delegations, joined by line feeds, where each is known to be for just the paths below its name."""

    @property
    def span(self) -> tuple[int, int]:
        """Where they stand in the file."""
        return self.at or (self.start, self.end)

    def text(self) -> bytes:
        """The canonical bytes of its entries, joined by commas."""
        return self.raw[self.start : self.end]

    def tokens(self) -> list[bytes]:
        """What tells its entries apart, in order: each is the canonical entry without `before` and `after`."""
        form = self.form
        if form is TARGETS:
            return _MEMBER.findall(self.raw, self.start + len(form.before), self.end)
        return self.raw[self.start + len(form.before) : self.end - len(form.after)].split(form.joint)

    def names(self) -> list[bytes]:
        """The names of its entries, in order."""
        if self.form is KEYS:
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
        if self.form is TARGETS:
            return self.raw.count(_HASHED, self.start, self.end)
        if self.form.length:
            return (self.end - self.start + 1) // (self.form.length + 1)
        return self.raw.count(self.form.joint, self.start, self.end) + 1


def find_runs(raw: bytes, known: Mapping[tuple[str, ...], Sequence[Run]]) -> list[Run]:
    """The runs of a file that have at least `SHORTEST` bytes; in containers whose runs are `known`, no others."""
    spaced = b"\n" in raw[:200] or b" " in raw[:200]
    runs = [run for there in known.values() for run in there]
    # In canonical order, delegations stand at the beginning, and targets after them.
    edges = raw[:_EDGE] + raw[-_EDGE:]
    forms = [f for f in FORMS if f.place not in known and f'"{f.place[0]}"'.encode() in edges]
    forms = [f for f in forms if _shows(f, raw, spaced)]
    middle = _middle(raw, forms) if len(raw) >= aside.WORTH and not known and not spaced else 0
    if middle:
        second = Aside(lambda: _told(_found(raw, forms, spaced, [], middle, len(raw))))
        front = _found(raw, forms, spaced, [], 0, middle - 1)
        told = second.answer
        rest = _found(raw, forms, spaced, [], middle, len(raw)) if told is None else _heard(raw, told)
        return _united(front, rest)
    return [*runs, *_found(raw, forms, spaced, runs, 0, len(raw))]


def _found(raw: bytes, forms: Sequence[Form], spaced: bool, known: Sequence[Run], start: int, end: int) -> list[Run]:
    """Runs of `forms`, beside those that are `known`, from `start` to before `end`."""
    runs: list[Run] = []
    for form in forms:
        # Where runs of another form were found there is nothing of this one.
        ends = [start, *(at for r in in_order([*known, *runs]) for at in r.span), end]
        for a, b in zip(ends[::2], ends[1::2], strict=True):
            runs += _between(form, raw, spaced, a, b)
    return in_order(runs)


def _shows(form: Form, raw: bytes, spaced: bool) -> bool:
    """Whether an entry of `form` stands near the beginning of its container: an expression that fits nowhere takes its
    time to find that out."""
    name = f'"{form.place[-1]}":'.encode()
    start = raw.find(name) if form is not TARGETS else max(raw.find(name, 0, _EDGE), raw.rfind(name, -_EDGE))
    return start >= 0 and run_pattern(form, spaced=spaced).search(raw, start, start + _EDGE) is not None


def _between(form: Form, raw: bytes, spaced: bool, start: int, end: int) -> list[Run]:
    """Runs of `form` from `start` to before `end`, with what is known of the names of their entries."""
    if form is TARGETS and not spaced and (whole := _files(raw, start, end)) is not None:
        return [whole] if whole.end - whole.start >= SHORTEST else []
    # A short run costs more than it spares; its entries are read as any.
    found = [span for span in _spans(form, raw, spaced, start, end) if span[1] - span[0] >= SHORTEST]
    return [with_names(_compact(form, raw, *span) if spaced else Run(form, raw, *span)) for span in found]


def _compact(form: Form, raw: bytes, start: int, end: int) -> Run:
    """A run between whose entries, which hold none, white space stands in `raw`."""
    text = raw[start:end].translate(None, b" \t\r\n")
    return Run(form, text, 0, len(text), (start, end))


def _files(raw: bytes, start: int, end: int) -> Run | None:
    """The only run of files from `start` to before `end`, found by their shape; their letters are looked at together.

    None where there is none, or other entries stand among them, or a letter is not plain.
    """
    first = entry_pattern(TARGETS).search(raw, start, end)
    if first is None:
        return None
    pieces = file_shape().split(raw[first.start() : end])
    names, rest = pieces[1::2], pieces[-1]
    if any(pieces[:-1:2]):
        return None
    end -= len(rest)
    end -= raw[end - 1 : end] == b","
    listed = b"\n%b\n" % b"\n".join(names)
    letters = listed.translate(_LETTERS)
    if any(odd in letters for odd in _ODD_PATH):
        return None
    # Without such digits, a hexadecimal digest is an empty string; there are no others, and no other strings as values.
    digits = raw[first.start() : end].translate(None, b"0123456789abcdef")
    slashes = listed.translate(None, _NO_SLASH).split(b"\n")[1:-1]
    depths = frozenset(map(len, slashes))
    if digits.count(b':""') != digits.count(b'":"') or len(slashes) != len(names) or max(depths) > MOST_SLASHES:
        return None
    return Run(TARGETS, raw, first.start(), end, None, _rise(names), len(names), depths)


def _rise(names: Sequence[bytes]) -> bool:
    return all(map(lt, names, names[1:]))


def _spans(form: Form, raw: bytes, spaced: bool, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where entries of `form` stand one after the other, from `start` to before `end`."""
    pattern = run_pattern(form, spaced=spaced)
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


def in_order(runs: Sequence[Run]) -> list[Run]:
    """Runs as they follow each other in their file."""
    return sorted(runs, key=lambda r: r.span)


def _middle(raw: bytes, forms: Sequence[Form]) -> int:
    """Where an entry of one of `forms` begins after another, about in the middle of a file without white space; 0 if
    there is none."""
    keys = max(0, raw.find(b'},"roles":[') - raw.find(b'"keys":{')) if KEYS in forms else 0
    half = (len(raw) + keys * 2 // 3) // 2  # keys take a third of the time that other entries take
    for comma in re.finditer(rb"(?<=\}),", raw[half : half + _NEAR]):
        at = half + comma.end()
        if any(entry_pattern(form).match(raw, at) for form in forms):
            return at
    return 0


def with_names(run: Run) -> Run:
    """A run with what its names tell."""
    if run.form is ROLES:
        found = _NAMED.findall(run.raw, run.start, run.end)
        return replace(run, size=run.count, listed=b"\n".join(found) if len(found) == run.count else b"")
    names = run.names()
    depths = frozenset(name.count(b"/") for name in names) if run.form is TARGETS else None
    return replace(run, rising=_rise(names), size=len(names), depths=depths)


def _told(runs: Sequence[Run]) -> bytes:
    told = [
        (FORMS.index(r.form), r.start, r.end, r.rising, r.size, sorted(r.depths or ()), r.listed.decode()) for r in runs
    ]
    return json.dumps(told).encode()


def _heard(raw: bytes, told: bytes) -> list[Run]:
    return [
        Run(FORMS[form], raw, start, end, None, rising, size, frozenset(depths) or None, listed.encode())
        for form, start, end, rising, size, depths, listed in json.loads(told)
    ]


def _united(first: list[Run], rest: list[Run]) -> list[Run]:
    """The runs of both halves of a file; one that was cut through is one again."""
    if not first or not rest or first[-1].form is not rest[0].form or first[-1].end + 1 != rest[0].start:
        return first + rest
    a, b = first[-1], rest[0]
    depths = a.depths | b.depths if a.depths and b.depths else None
    listed = a.listed + b"\n" + b.listed if a.listed and b.listed else b""
    rising = a.rising and b.rising and last_name(a) < first_name(b).encode()
    whole = replace(a, end=b.end, size=a.size + b.size, depths=depths, listed=listed, rising=rising)
    return [*first[:-1], whole, *rest[1:]]


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


def first_name(run: Run) -> str:
    """The name of its first entry."""
    return run.raw[run.start + 1 : run.raw.index(b'"', run.start + 1)].decode()


def last_name(run: Run) -> bytes:
    """The name of its last entry."""
    edge = run.form.edge(run.raw, run.start, run.end)
    return run.form.name(run.raw[max(edge, run.start) + len(run.form.before) : run.end])
