"""Documents, signatures, exports and seals in the record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from vestry.ceremony import events as e
from vestry.ceremony.drafts import holders
from vestry.ceremony.late import LateSeal
from vestry.ceremony.replay import ReplayStep
from vestry.ceremony.state import State
from vestry.metadata.review import Review
from vestry.record import page, story
from vestry.record.page import (
    Html,
    count,
    facts,
    join,
    lead,
    listing,
    paragraph,
    section,
    shown,
    table,
    tag,
    text,
    word,
)

_MOST_CHANGES = 500


def documents(lines: Sequence[ReplayStep]) -> Iterator[Html]:
    """Each document as drafted, and what was read and answered of it."""
    read = story.reviews(lines)
    some = False
    for line in lines:
        event = line.recorded.event
        if isinstance(event, e.Drafted):
            some = True
            draft = line.state.documents.get(event.role) if line.state else None
            pairs = [
                ("Drafted", text(f"{line.recorded.at}, by {line.recorded.by}")),
                ("Expires", text(f"{draft.expires:%Y-%m-%d %H:%M:%S} UTC" if draft else "not known")),
                ("Unsigned file", join((text(f"{event.length:,} bytes, SHA-256 "), page.hexadecimal(event.sha256)))),
            ]
            mine = [r for r in read if r.event.role == event.role]
            yield section(
                f"{event.role} v{event.version}",
                facts(pairs),
                lead(text("Digest of what gets signed:")),
                page.digest(event.digest),
                *(_read(r) for r in mine),
                *([] if mine else [paragraph(text("It was not read."))]),
                level=3,
            )
        elif isinstance(event, e.DraftProved):
            said = f"{line.recorded.at}: {event.client} walked {', '.join(event.digests)} under throwaway keys."
            yield paragraph(text(said))
    if not some:
        yield paragraph(text("None was drafted."))


def _read(read: story.Read) -> Html:
    event, recorded = read.event, read.line.recorded
    found = f"{count(event.changes, 'change')}, {count(len(event.findings), 'finding')}"
    parts = [paragraph(text(f"Read to its end at {recorded.at}, led by {recorded.by}: {found}."))]
    if read.again is None:
        parts.append(paragraph(text("The review cannot be made again: "), shown(read.why), kind="bad"))
        rows = [(text(name), text(_answer(event, name))) for name in event.findings]
        parts.append(table(("Finding, as recorded", "Answer"), rows))
        return join(parts)
    parts.append(lead(text("Changes, made again from the transcript:")))
    parts.append(_changes(read.again))
    parts.append(lead(text("Findings, made again, and what was answered:")))
    parts.append(_findings(read.again, event))
    return join(parts)


def _changes(review: Review) -> Html:
    head, rest = review.changes[:_MOST_CHANGES], review.changes[_MOST_CHANGES:]
    if not rest:
        return listing(shown(c.text) for c in head)
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(Counter(c.kind for c in rest).items()))
    said = f"These are the {len(head)} most dangerous. {len(rest):,} more ({kinds}) are in the document itself."
    return join((listing(shown(c.text) for c in head), paragraph(text(said))))


def _findings(review: Review, event: e.ReviewRead) -> Html:
    rows = [(word(f.severity), shown(f.text), word(f.code), text(_answer(event, f.name))) for f in review.findings]
    again = {f.name for f in review.findings}
    rows += [
        (text("?"), text("recorded, but not found again"), text(name), text(_answer(event, name)))
        for name in event.findings
        if name not in again
    ]
    quiet = [(shown(s.finding.text), word(s.finding.code), text(s.reason)) for s in review.silenced]
    parts = [table(("Severity", "Finding", "Code", "Answer"), rows)]
    if quiet:
        parts += [lead(text("Nobody was asked about these; the script says why:"))]
        parts += [table(("Finding", "Code", "The script's reason"), quiet)]
    return join(parts)


def _answer(event: e.ReviewRead, name: str) -> str:
    agreed = event.overruled.get(name, ())
    return event.answers.get(name, "") + (f" (overruled by {', '.join(agreed)})" if agreed else "")


def signatures(lines: Sequence[ReplayStep], state: State) -> Iterator[Html]:
    """How many have signed each document under each authority, and every signature."""
    for role in state.script.drafted:
        if role in state.documents:
            for tally in state.tallies(role):
                met = "enough" if tally.met else "not enough"
                yield paragraph(text(f"{role}: {tally.sentence}, {met}."))
    names = holders(state)
    words = {x.recorded.n: x.recorded.event for x in lines if isinstance(x.recorded.event, e.SignatureIntended)}
    rows = []
    for line in lines:
        event, recorded = line.recorded.event, line.recorded
        if not isinstance(event, e.SignatureAdded | e.SignatureImported):
            continue
        how = "made elsewhere"
        if isinstance(event, e.SignatureImported):
            how = f"taken in from {event.source}"
        elif (asked := words.get(event.intent)) is not None:
            typed = ", ".join(f"{place} {word}" for place, word in asked.words.items())
            how = f"key '{asked.key}', serial {asked.serial}; words typed: {typed}"
        who = names.get(event.keyid, "unknown")
        values = join(
            (
                paragraph(text("key id "), page.hexadecimal(event.keyid)),
                paragraph(text("signature "), page.hexadecimal(event.sig)),
            )
        )
        said = join((paragraph(text(f"{who}, {how}")), values))
        rows.append((word(recorded.n), word(recorded.at), word(event.role), said, word(line.verdict)))
    yield table(("Line", "Time (UTC)", "On", "By whom, and what", "Verdict"), rows)


def exports(lines: Sequence[ReplayStep], state: State) -> Iterator[Html]:
    """The signed files with their digests, and what was written to which medium."""
    yield table(("Signed file", "SHA-256"), [(word(n), page.hexadecimal(d)) for n, d in sorted(state.outputs.items())])
    for line in lines:
        event = line.recorded.event
        if isinstance(event, e.Exported):
            rows = [(word(n), page.hexadecimal(d)) for n, d in sorted(event.files.items())]
            title = f"Exported at {line.recorded.at} by {line.recorded.by}"
            to = paragraph(text("To "), shown(event.to), text("; written, read back and equal."))
            yield section(title, to, table(("File", "SHA-256"), rows), level=3)


def seals(lines: Sequence[ReplayStep], state: State | None, late: Sequence[LateSeal]) -> Html:
    """Who says that the ceremony went as recorded, and who does not; then those who said so later."""
    parts = []
    if state is not None and state.seal is not None:
        parts.append(lead(text("The seals are about the signed files above and this head, when sealing began:")))
        parts.append(page.digest(state.seal_head))
    rows = []
    for line in lines:
        event = line.recorded.event
        if isinstance(event, e.Sealed):
            said = "agrees" if event.agree else "does not agree"
            rows.append(
                (
                    word(line.recorded.n),
                    word(line.recorded.at),
                    word(event.person),
                    word(said),
                    text(event.reason or "none given"),
                    word(line.verdict),
                )
            )
    parts.append(table(("Line", "Time (UTC)", "Person", "Says", "Reason", "Verdict"), rows))
    if late:
        parts.append(lead(text("Added later, as files, about this transcript to its last head:")))
        said_later = [
            (
                text(x.file),
                word(x.person or "-"),
                word(("agrees" if x.agree else "does not agree") if x.person else "-"),
                text(x.reason or "none given"),
                join((tag("b", text(x.verdict)), text(": "), shown(x.why))),
            )
            for x in late
        ]
        parts.append(table(("File", "Person", "Says", "Reason", "Verdict"), said_later))
    return join(parts)
