"""A review as plain lines: what `vestry review` prints and a screen reader reads out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping

from vestry.metadata.changes import DANGEROUS, Change
from vestry.metadata.review import Review
from vestry.metadata.thresholds import Tally
from vestry.metadata.wording import key_label
from vestry.text import group_hex, printable, words

_MARKS: Mapping[str, str] = {"added": "+ added", "removed": "- dropped"}
_LEAST = 48
_PER_ROW = 4
_WORD = 11
"""The longest PGP word has eleven letters."""


def render_lines(review: Review, width: int = 80) -> tuple[str, ...]:
    """The whole review in lines of printable ASCII of at most `width` (48 or more) characters, digests whole."""
    width = max(width, _LEAST)
    return tuple(
        printable(line).replace(
            "\\\\", "\\"
        )  # the parts are escaped already; this is a second look, not a second escape
        for part in (
            _head(review, width),
            _tallies(review, width),
            _changes(review, width),
            _ahead(review, width),
            _findings(review, width),
        )
        for line in part
    )


def _head(review: Review, width: int) -> Iterator[str]:
    new, role = review.new, printable(review.role, 200)
    yield from _wrap(f"Review of {role} {review.step}", width, "", "")
    yield f"Expires {new.expires:%Y-%m-%d %H:%M:%S} UTC"
    yield ""
    yield from _wrap("Digest of what gets signed (SHA-256), in hex and in words:", width, "", "")
    yield from (f"  {line}" for line in group_hex(new.digest))
    spoken = words(new.digest)
    rows = max(1, min(_PER_ROW, (width - 2) // (_WORD + 5)))
    for start in range(0, len(spoken), rows):
        row = "".join(f"{i:>4} {w:<{_WORD}}" for i, w in enumerate(spoken[start : start + rows], start + 1))
        yield row.rstrip()


def standing(review: Review, tally: Tally) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The keys of an authority by what they did: words for it, key ids. Words without keys are left out."""
    # Some tools keep an empty signature as a place for one to come.
    empty = {s.keyid for s in review.new.signatures if not s.sig}
    wrong = tuple(i for i in tally.invalid if i not in empty)
    open_ = tuple(i for i in (*tally.missing, *tally.invalid) if i not in wrong)
    every = (("signed", tally.valid), ("does not verify", wrong), ("may sign", open_))
    return tuple((what, tuple(keyids)) for what, keyids in every if keyids)


def progress(tally: Tally) -> str:
    """``2 of 3 of root v4: 1 more needed``, printable."""
    state = "enough" if tally.met else f"{tally.threshold - len(tally.valid)} more needed"
    return f"{printable(tally.sentence)}: {state}"


def unknown_signers(review: Review) -> str:
    """What to say where no document here tells who must sign."""
    if review.new.type == "layout":
        return "who must sign no document says: give their keys, --key NAME=PEM"
    return "who must sign is said by a document that is not here"


def verdict(review: Review) -> tuple[str, ...]:
    """Sentences on whether this may be signed; none where no finding stops it."""
    if review.ok:
        return ()
    people = review.policy.overrule
    whom = f"{people} people" if people > 1 else "one person"
    more = (f"The script lets {whom} overrule it.",) if people else ()
    return ("A stop stands: this must not be signed.", *more)


def _tallies(review: Review, width: int) -> Iterator[str]:
    yield ""
    yield "Signatures needed:"
    for tally in review.tallies:
        yield from _wrap(progress(tally), width, "  ", "    ")
        for what, keyids in standing(review, tally):
            listed = ", ".join(printable(signer(review, keyid)) for keyid in keyids)
            yield from _wrap(f"{what}: {listed}", width, "    ", "      ")
    if not review.tallies:
        yield from _wrap(unknown_signers(review), width, "  ", "    ")


def signer(review: Review, keyid: str) -> str:
    """A key by its holder's name, or by its first digits; not yet printable."""
    label = key_label(keyid, review.names.get(keyid, ""), review.digits)
    return label[:1].lower() + label[1:]


def _changes(review: Review, width: int) -> Iterator[str]:
    groups = (
        ("Changes that decide whom or what clients trust", [c for c in review.changes if c.danger >= DANGEROUS]),
        ("Other changes", [c for c in review.changes if c.danger < DANGEROUS]),
    )
    yield ""
    if not review.changes:
        yield "Nothing changed."
    for what, listed in groups:
        if listed:
            yield from _wrap(f"{what} ({len(listed):,}):", width, "", "")
            for change in listed:
                yield from _wrap(change.text, width, f"  {_mark(change):<10}", " " * 12)


def _mark(change: Change) -> str:
    return _MARKS.get(change.kind.rpartition("-")[2], "~ changed")


def _ahead(review: Review, width: int) -> Iterator[str]:
    if review.ahead is not None and review.ahead.sentences:
        yield ""
        yield "Looking ahead, once this is published:"
        for sentence in review.ahead.sentences:
            yield from _wrap(sentence, width, "  ", "    ")


def _findings(review: Review, width: int) -> Iterator[str]:
    yield ""
    if review.silenced:
        yield "Silenced by the script:"
        for silent in review.silenced:
            found = silent.finding
            yield from _wrap(
                f"{found.text} [{found.code}]; the reason: {printable(silent.reason)}",
                width,
                f"  {found.severity:<5} ",
                " " * 8,
            )
        yield ""
    if not review.findings:
        yield "Findings: none."
        return
    counts = [(s, sum(f.severity == s for f in review.findings)) for s in ("stop", "warn", "note")]
    yield f"Findings ({', '.join(f'{n} {s}' for s, n in counts if n)}):"
    for finding in review.findings:
        yield from _wrap(f"{finding.text} [{finding.code}]", width, f"  {finding.severity:<5} ", " " * 8)
    yield from verdict(review)


def _wrap(text: str, width: int, first: str, then: str) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=then, break_on_hyphens=False, break_long_words=True
    )
