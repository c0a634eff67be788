"""A copy of a transcript to publish, in which chosen events are withheld: its heads, its seals and all that is shown
still hold.

A person is withheld with every line in which the name, or a word of it, stands, and with every such file. Line 0 holds
the script, and so every name: it goes with the first person, and nothing is recomputed from the copy then.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vestry.ceremony import chain, codec, late, outputs, seal, transcript
from vestry.ceremony import events as e
from vestry.ceremony.replay import SENSELESS, replay
from vestry.ceremony.state import State
from vestry.errors import InputRejected, NotTrusted, VestryError
from vestry.text import printable

TRANSCRIPT = "transcript.jsonl"
_PEM = re.compile(r"-----BEGIN [^-]+-----([A-Za-z0-9+/=\s]+)-----END")


@dataclass(frozen=True)
class Published:
    """The files of a copy by name, its transcript among them; why each line is withheld; which files of the ceremony
    are left out, since they rest on a withheld line or show what it withholds."""

    files: Mapping[str, bytes]
    withheld: Mapping[int, str]
    left_out: tuple[str, ...]


def publish(
    raw: bytes,
    folder: Path,
    *,
    lines: Collection[int] = (),
    kinds: Collection[str] = (),
    people: Sequence[str] = (),
    texts: Sequence[str] = (),
) -> Published:
    """The copy of the transcript `raw`, whose seals lie in `folder`, without these `lines`, `kinds` of events (as
    `codec` names them), `people` and other `texts` (a serial, say). Bytes of unfinished lines go with the line that
    speaks of them.

    Raises:
        NotTrusted: the chain does not hold.
        InputRejected: there is no such line, or no such name or text in any.
    """
    records = list(transcript.iter_read(raw))
    beyond = sorted(n for n in lines if n >= len(records))
    if beyond:
        what = f"there is no line {beyond[0]}; the last is {len(records) - 1}"
        raise InputRejected(what, where="--withhold", code="E-USAGE")
    names = [*(_Name(person, words=True) for person in people), *(_Name(text, words=False) for text in texts)]
    for name in names:
        if not any(name.stands_in(_texts(r)) for r in records):
            what = f"nothing in the transcript says {printable(name.said, 80)}"
            raise InputRejected(what, where="--withhold", code="E-USAGE")
    withheld = {r.n: why for r in records if (why := _why(r, lines, kinds, names))}
    copy = b"".join(
        chain.withhold(line) if record.n in withheld else torn + line for torn, line, record in _pieces(raw, records)
    )
    before, after = _last(raw), _last(copy)
    whole, shown = _made(before), _made(after)
    chosen = {n: c for n, c in whole.items() if _goes_along(n, whole, shown, after)}
    chosen |= {f"{late.FOLDER}/{n}": c for n, c in late.read(folder, _own(before)) if isinstance(c, bytes)}
    files = {n: c for n, c in chosen.items() if not any(name.stands_in(_content(n, c)) for name in names)}
    left_out = tuple(sorted({*whole, *chosen} - files.keys()))
    return Published({TRANSCRIPT: copy, **files}, withheld, left_out)


class _Name:
    """A name or other text, and with `words` each word of it: whole words, in any case, also in what PEM says."""

    def __init__(self, said: str, *, words: bool) -> None:
        self.said = said
        single = [w for w in re.split(r"[\W\d_]+", _plain(said)) if len(w) > 1] if words else []
        found = {_plain(said), *single} - {""}
        if not found:
            raise InputRejected("this says nothing", where="--withhold", code="E-USAGE")
        either = "|".join(re.escape(word) for word in sorted(found))
        self._pattern = re.compile(rf"(?<![^\W\d_])(?:{either})(?![^\W\d_])")

    def stands_in(self, texts: Iterator[str]) -> bool:
        return any(self._pattern.search(_plain(t)) for text in texts for t in (text, *_unfolded(text)))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().strip()


def _unfolded(text: str) -> Iterator[str]:
    for block in _PEM.findall(text):
        with suppress(binascii.Error):
            der = base64.b64decode(block)
            yield from (der.decode("utf-8", "ignore"), der.decode("latin-1"), der.decode("utf-16-be", "ignore"))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _texts(record: e.Recorded) -> Iterator[str]:
    yield record.by
    if not isinstance(record.event, e.Withheld):
        yield from _strings(codec.to_json(record.event))


def _content(name: str, content: bytes) -> Iterator[str]:
    yield name
    yield content.decode("utf-8", "replace")
    with suppress(ValueError, RecursionError):
        yield from _strings(json.loads(content))
    with suppress(VestryError, ValueError, RecursionError):
        yield from _strings(json.loads(seal.opened(content).payload))


def _why(record: e.Recorded, lines: Collection[int], kinds: Collection[str], names: Sequence[_Name]) -> str:
    event = record.event
    if isinstance(event, e.Withheld):
        return "withheld before"
    if record.n in lines:
        return "chosen by its number"
    if codec.name_of(event) in kinds:
        return "chosen by its kind"
    named = [str(printable(name.said, 80)) for name in names if name.stands_in(_texts(record))]
    if named:
        return f"says {', '.join(named)}"
    # What a cut left of a line can't be read as one, so whom it names can't be told.
    return (
        "speaks of bytes that may name somebody" if names and isinstance(event, e.Resumed) and event.torn_bytes else ""
    )


def _pieces(raw: bytes, records: Sequence[e.Recorded]) -> Iterator[tuple[bytes, bytes, e.Recorded]]:
    """Each line, after the bytes of unfinished lines that stand before it."""
    torn, before, place = b"", chain.NO_HEAD, 0
    for line in io.BytesIO(raw):
        try:
            chain.check(line, n=place, before=before)
        except NotTrusted:
            torn += line
            continue
        yield torn, line, records[place]
        torn, before, place = b"", records[place].head, place + 1


def _last(raw: bytes) -> State | None:
    state = None
    for step in replay(transcript.iter_read(raw)):
        state = step.state
    return state


def _made(state: State | None) -> dict[str, bytes]:
    """The files that can be made again from what a transcript shows, as far as they can."""
    found: dict[str, bytes] = {}
    if state is not None:
        with suppress(*SENSELESS):
            found.update(outputs.files(state))
    return found


def _own(state: State | None) -> set[str]:
    return {f"{late.file_safe(person)}.json" for person in state.seals} if state is not None else set()


def _goes_along(name: str, whole: Mapping[str, bytes], shown: Mapping[str, bytes], after: State | None) -> bool:
    """Whether a file goes with the copy: what clients get, where the copy names it; else what the copy gives anyway; of
    a bundle all or nothing."""
    if name.startswith("signed/"):
        return after is None or name.removeprefix("signed/") in after.outputs
    if name.startswith("bundles/"):
        bundle = name.split("/")[1]
        return all(shown.get(n) == c for n, c in whole.items() if n.startswith(f"bundles/{bundle}/"))
    return shown.get(name) == whole[name]
