"""``make fuzz``: hostile input at every door, by Hypothesis, for as many seconds of CPU as told (600 without a number).

Each door either gives a value that holds what it promises or refuses with one line. Anything else ends the run with
the input that did it, made small. Not part of the test suite: it has no end of its own.
"""

from __future__ import annotations

import copy
import json
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical

from vestry.ceremony import reading, transcript
from vestry.errors import VestryError
from vestry.media import qr_cargo, qr_text
from vestry.media.qr_transfer import Receiver
from vestry.metadata import canonical, changes, document, drafting, intake, layout
from vestry.metadata.keys import Key
from vestry.metadata.review import review
from vestry.metadata.review_text import render_lines
from vestry.text import printable
from vestry.tokens import attestation, private_keys, uri
from vestry.tokens.messages import FrameError, read_frame
from vestry.tokens.token import KeyKind

REPOSITORY = Path(__file__).resolve().parent.parent.parent
NOW = datetime(2026, 11, 23, tzinfo=UTC)
BATCH = 500


def seeds() -> list[bytes]:
    """Documents to begin from: our own drafts, and whatever published data lies beside the checkout."""
    keys = [Key.from_spki(private_keys.spki(private_keys.generate(KeyKind("ecdsa-sha2-nistp256")))) for _ in range(3)]
    roles = dict.fromkeys(("root", "targets", "snapshot", "timestamp"), (2, keys))
    found = [drafting.root(version=1, expires=NOW.replace(year=2027), roles=roles)]
    found += [b'{"a":[1,{"b":null}],"c":"\\u00e9\\ud83d\\ude00"}', b'{"signatures":[],"signed":{}}', b"[]", b'"\\n"']
    found += [(REPOSITORY / "ceremony-scripts" / n).read_bytes() for n in ("pypi-root.toml", "root-rotation.toml")]
    found.append(zlib.decompress(qr_cargo.pack({"bundle.json": b"{}", "unsigned/root.json": b"x" * 9})))
    shared = REPOSITORY.parent / "shared" / "data"
    for pattern in ("roots/*/*.json", "vectors/**/*.json", "tuf-on-ci/**/*.json", "pypi-2020-ceremony/*/*.der"):
        found += [p.read_bytes() for p in sorted(shared.glob(pattern)) if p.is_file() and p.stat().st_size < 20_000]
    return found


def mutated(given_seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """A seed with bytes changed, cut out, doubled, or put in from another."""
    pieces = st.one_of(
        st.binary(max_size=6),
        st.sampled_from(
            [b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\u0000", b"\\ud800", b"1e5", b"-0", b"1" * 21, b"null"]
        ),
        st.sampled_from(given_seeds).map(lambda s: s[:60]),
    )
    edit = st.tuples(st.floats(0, 1), st.integers(0, 12), pieces)

    def apply(raw: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
        for where, cut, piece in edits:
            at = int(where * len(raw))
            raw = raw[:at] + piece + raw[at + cut :]
        return raw

    return st.builds(apply, st.sampled_from(given_seeds), st.lists(edit, max_size=5))


ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    1 << 63,
    "",
    "root",
    "\u202e",
    "A" * 300,
    "ed25519",
    "MCowBQYDK2VwAyEA",
    [],
    {},
    ["*"],
]


def rearranged(given_seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """Two versions of a document, a line each: in the second, values stand in each other's places, or odd ones in
    theirs, and members have other names. All of it is JSON, and much of it a document."""
    whole = [value for value in map(_object, given_seeds) if {"signed", "payload"} & value.keys()]
    place = st.floats(0, 1, exclude_max=True)
    edits = st.lists(st.tuples(place, place | st.sampled_from(ODD), st.booleans()), min_size=1, max_size=4)

    def apply(old: dict[str, Any], edits: list[tuple[float, Any, bool]]) -> bytes:
        new = copy.deepcopy(old)
        for at, source, rename in edits:
            places = list(_places(new))
            holder, name = places[int(at * len(places))]
            there, which = places[int(source * len(places))] if isinstance(source, float) else ([source], 0)
            value = copy.deepcopy(there[which])
            if rename and isinstance(holder, dict) and isinstance(value, str):
                holder[value] = holder.pop(name)
            else:
                holder[name] = value
        return json.dumps(old).encode() + b"\n" + json.dumps(new).encode()

    return st.builds(apply, st.sampled_from(whole), edits)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    names = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for name in names:
        yield value, name
        yield from _places(value[name])


def door_review(raw: bytes) -> None:
    """Whatever stands in a document that reads, its review ends, loses nothing, and shows printable ASCII alone."""
    old, new = (layout.read(part, where="fuzz") for part in raw.split(b"\n"))
    for before in (old if old.type == new.type else None, None):
        shown = review(new.type, new, old=before, now=NOW)
        if new.type != "layout":
            made = changes.apply(before.signed if before else None, shown.changes)
            assert canonical.encode(made) == canonical.encode(new.signed)
        assert all(text.isascii() and (text.isprintable() or not text) for text in render_lines(shown))


def door_intake(raw: bytes) -> None:
    """What is accepted has the canonical bytes of securesystemslib, and says the same to Python's own parser."""
    value = intake.parse(raw, where="fuzz")
    theirs = encode_canonical(value)
    assert canonical.encode(value) == (theirs.encode() if isinstance(theirs, str) else theirs)
    assert json.loads(raw) == value


def door_document(raw: bytes) -> None:
    """A document that reads can be reviewed alone and against itself, and its changes are lossless."""
    read = layout.read(raw, where="fuzz")
    shown = review(read.type, read, now=NOW)
    assert all(str(f.text).isascii() for f in shown.findings)
    if read.type != "layout":
        listed = changes.changes(None, read.signed)
        assert canonical.encode(changes.apply(None, listed)) == canonical.encode(read.signed)
        document.read(raw, where="fuzz")


def door_attestation(raw: bytes) -> None:
    """Never an exception, never a proof that holds without a root."""
    assert not attestation.verify(raw, [raw], attestation.Anchors.of([raw])).ok or not raw


def door_script(raw: bytes) -> None:
    """A script or one line."""
    reading.read(raw, where="fuzz")


def door_uri(raw: bytes) -> None:
    """Read, written and read again it is the same reference."""
    key = uri.parse(raw[:300].decode("latin-1"))
    assert uri.parse(uri.build(key)) == key


def door_frame(raw: bytes) -> None:
    """What a child answers."""
    rest = [raw]

    def take(length: int) -> bytes:
        if len(rest[0]) < length:
            raise FrameError("short")
        piece, rest[0] = rest[0][:length], rest[0][length:]
        return piece

    read_frame(take)


def door_text(raw: bytes) -> None:
    """Whatever it is, only printable ASCII comes out."""
    assert printable(raw.decode("utf-8", "surrogateescape")).isprintable()


def door_transcript(raw: bytes) -> None:
    """Lines of a transcript."""
    path = Path("/dev/shm") / "vestry-fuzz.jsonl"
    path.write_bytes(raw)
    transcript.read(path)


def door_qr(raw: bytes) -> None:
    """Whatever a code says, a frame at most; whatever a transfer holds, files with safe names and nothing besides."""
    receiver, said = Receiver(), qr_text.base45(raw[:2800])
    for text in (raw[:4296].decode("latin-1"), f"VQ1{said}", f"VS1{said}"):
        receiver.take(text)
    content = zlib.compress(raw, 1)
    assert qr_cargo.unpack(qr_cargo.pack(qr_cargo.unpack(content))) == qr_cargo.unpack(content)


DOORS: list[Callable[[bytes], None]] = [
    door_intake,
    door_document,
    door_attestation,
    door_script,
    door_uri,
    door_frame,
    door_text,
    door_transcript,
    door_qr,
]


def _run(door: Callable[[bytes], None], inputs: st.SearchStrategy[bytes], counts: dict[str, int]) -> Callable[[], None]:
    @settings(
        max_examples=BATCH,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def run(raw: bytes) -> None:
        counts[door.__name__] += 1
        try:
            door(raw)
        except (VestryError, FrameError):
            return

    return run


def main(arguments: list[str]) -> int:
    """Fuzz all doors in turn until the CPU time is used up."""
    limit = float(arguments[0]) if arguments else 600.0
    found = seeds()
    bytes_, values = mutated(found), rearranged(found)
    doors = [*((door, bytes_) for door in DOORS), (door_review, values)]
    counts = dict.fromkeys((door.__name__ for door, _ in doors), 0)
    batch = 0
    while time.process_time() < limit:
        for door, inputs in doors:
            batch += 1
            seed(batch)(_run(door, inputs, counts))()
    told = ", ".join(f"{name.removeprefix('door_')} {count:,}" for name, count in counts.items())
    print(f"{time.process_time():.0f} s of CPU: {told}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
