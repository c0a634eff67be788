"""The record: a ceremony as its transcript has it, with the verdict of a replay on every event, as one page to keep."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from vestry.ceremony import agenda, codec
from vestry.ceremony import events as e
from vestry.ceremony.account import MAY_BE, ranges, summary
from vestry.ceremony.late import LateSeal
from vestry.ceremony.replay import MISSING, FileVerdict, ReplayStep
from vestry.ceremony.state import State
from vestry.errors import VestryError
from vestry.record import page, story
from vestry.record.page import Html, count, facts, join, listing, paragraph, section, shown, table, tag, text, word
from vestry.record.record_documents import documents, exports, seals, signatures
from vestry.record.record_things import keys, tokens
from vestry.record.telling import happened
from vestry.text import printable


def record(lines: Sequence[ReplayStep], files: Sequence[FileVerdict], late: Sequence[LateSeal] = ()) -> str:
    """The record as one HTML file; the same transcript and files give the same bytes.

    Args:
        lines: Every event of the transcript with its verdict, as `replay` gives them; at least one.
        files: The files beside the transcript, as `compare_files` gives them; none where none was looked for.
        late: The seals that were added after the ceremony, as `late.judge_all` gives them.
    """
    state = story.last_state(lines)
    opened = lines[0].recorded.event
    withheld = isinstance(opened, e.Withheld)
    untold = "a ceremony whose script is withheld" if withheld else "a ceremony that cannot be folded"
    title = state.script.title if state else untold
    times = [x.recorded.at for x in lines if x.recorded.at] or ["at a time that is withheld"]
    # What cannot be folded may be a rehearsal: it is one if its first line says so.
    rehearsal = state.script.rehearsal if state else isinstance(opened, e.Opened) and opened.rehearsal
    head = page.hexadecimal(lines[-1].recorded.head[:16])
    return page.page(
        f"Record: {title}",
        [join((text(f"Record of {title}, opened {times[0]}; head "), head, text("...")))],
        [
            _outcome(lines, state, files, late),
            _identity(lines, opened, times),
            *([] if state is None else _told(lines, state)),
            section("Exceptions", _exceptions(lines)),
            section("Troubles, and what was done", _troubles(lines)),
            _part("Seals", lambda: [seals(lines, state, late)]),
            section("Files", *_files(files)),
            section("What rests on whose word", _words(lines)),
            section("Every event, with the verdict of the replay", _log(lines)),
        ],
        rehearsal=rehearsal,
    )


def _told(lines: Sequence[ReplayStep], state: State) -> Iterator[Html]:
    yield _part("People", lambda: [_people(lines, state)])
    yield _part("Steps", lambda: _steps(lines, state))
    yield _part("Tokens", lambda: [tokens(lines, state)])
    yield _part("Keys", lambda: keys(lines, state))
    yield _part("Documents", lambda: documents(lines))
    yield _part("Signatures", lambda: signatures(lines, state))
    yield _part("Signed files and exports", lambda: exports(lines, state))


def _part(title: str, tell: Callable[[], Iterable[Html]]) -> Html:
    """A section; where forged events trip what makes it, it says so instead: the rest is still evidence."""
    try:
        return section(title, *tell())
    except (VestryError, KeyError, ValueError, StopIteration) as error:
        why = printable(str(error) if isinstance(error, VestryError) else repr(error))
        return section(title, paragraph(text("This cannot be told from the transcript: "), shown(why), kind="bad"))


def _outcome(
    lines: Sequence[ReplayStep], state: State | None, files: Sequence[FileVerdict], late: Sequence[LateSeal]
) -> Html:
    result = summary(list(lines), tuple(files), tuple(late))
    counts = result["counts"]
    said = f"{counts['recomputed']} recomputed, {counts['witnessed']} witnessed, {counts['failed']} failed"
    bad = [line for line in lines if line.verdict == "failed"]
    parts = [
        paragraph(text(f"{said}."), kind="good" if result["ok"] else "bad"),
        paragraph(
            text(
                "Recomputed: derived again from other events and found equal. Witnessed: rests on the word of a "
                "person or a device. Failed: would have been refused, or its value is another."
            )
        ),
    ]
    if bad:
        shown_bad = (
            join((text(f"line {x.recorded.n}, {codec.name_of(x.recorded.event)}: "), shown(x.why))) for x in bad
        )
        parts.append(section("What failed", listing(shown_bad), level=3))
    if counts["withheld"]:
        text_ = f"A published copy: {counts['withheld']} withheld (line {result['withheld']}), and {counts['unknown']} "
        parts.append(paragraph(text(f"{text_}that can't be recomputed without those. No such line counts as failed.")))
        parts.append(paragraph(text(MAY_BE), kind="bad"))
    parts += [paragraph(text(line)) for line in _standing(state, bool(result["complete"]))]
    if result["complete"] is False:
        parts.append(paragraph(text("The ceremony is not complete."), kind="bad"))
    return join(parts)


def _standing(state: State | None, complete: bool) -> Iterator[str]:
    if state is None:
        return
    steps = state.script.steps
    here = agenda.position(state)
    if complete:
        yield f"All {len(steps)} steps of the script are done" + (", or were skipped." if state.skipped else ".")
    elif here < len(steps):
        yield f"It stands at step {here + 1} of {len(steps)}, '{steps[here].title}'."
    for index, skipped in sorted(state.skipped.items()):
        yield f"Step {index + 1}, '{steps[index].title}', was skipped: {skipped.reason}"
    for found in state.clock:
        yield f"Line {found.n}, {found.code}: {found.text}."
    if state.unanswered is not None:
        yield f"Line {state.unanswered.n} has no result: its outcome is unknown."
    if state.seals:
        against = [person for person, sealed in state.seals.items() if not sealed.agree]
        yield f"{len(state.seals)} sealed it" + (
            f"; {', '.join(against)} did not agree." if against else "; all agree."
        )
    else:
        yield "Nobody sealed it."


def _identity(lines: Sequence[ReplayStep], opened: e.Event, times: Sequence[str]) -> Html:
    last = lines[-1].recorded
    pairs = [("Opened", text(times[0])), ("Last event", text(times[-1])), ("Events", text(len(lines)))]
    parts = [section("Head of the transcript", page.digest(last.head, qr=True))]
    if isinstance(opened, e.Opened):
        pairs += [
            ("Software", text(opened.software)),
            ("Its digest", page.hexadecimal(opened.software_sha256)),
            ("Format", text(opened.format)),
        ]
        parts += [section("Script", page.digest(opened.script_sha256))]
    return join((section("The transcript", facts(pairs)), *parts))


def _people(lines: Sequence[ReplayStep], state: State) -> Html:
    gathered = {p: x.recorded.at for x in lines if isinstance(g := x.recorded.event, e.Gathered) for p in g.people}
    acted: dict[str, list[str]] = {}
    for line in (x for x in lines if x.verdict != "withheld"):
        acted.setdefault(line.recorded.by, []).append(line.recorded.at)
    rows = []
    short = story.initials(lines, state)
    known = [(p.name, p.office) for p in state.script.people]
    for name, office in [*known, *((n, "not in the script") for n in acted if n not in dict(known))]:
        times = acted.get(name, [])
        span = [text(f"{count(len(times), 'event')}, "), *_span(times)] if times else [text("no event")]
        sealed = state.seals.get(name)
        seal = "" if sealed is None else "agrees" if sealed.agree else "does not agree"
        here = word(gathered.get(name, "not said"))
        rows.append((word(name), word(short[name]), word(office), here, join(span), word(seal)))
    return table(("Name", "Initials", "Office", "Here at", "Acted", "Seal"), rows)


def _steps(lines: Sequence[ReplayStep], state: State) -> Iterator[Html]:
    found, short = story.by_step(lines), story.initials(lines, state)
    rows = []
    here = agenda.position(state)
    for index, step in enumerate(state.script.steps):
        events = found.get(index, ())
        times = [x.recorded.at for x in events]
        when = join(_span(times)) if times else text("never")
        who = ", ".join(dict.fromkeys(short[x.recorded.by] for x in events)) or "nobody"
        status = (
            "skipped"
            if index in state.skipped
            else "done"
            if index < here
            else "under way"
            if index == here
            else "not begun"
        )
        numbers = ranges([x.recorded.n for x in events]) or "none"
        rows.append((word(index + 1), text(step.title), when, text(who), word(numbers), word(status)))
    yield table(("No.", "Step", "From, to (UTC)", "Initials", "Lines", "Status"), rows)
    for index, step in enumerate(state.script.steps):
        for line in found.get(index, ()):
            yield _written(line.recorded, f"Step {index + 1}, {step.title}")


def _span(times: Sequence[str]) -> list[Html]:
    return [word(times[0]), text(" to "), word(times[-1])]


def _written(recorded: e.Recorded, title: str) -> Html:
    event = recorded.event
    if isinstance(event, e.Said) and event.recorded:
        pairs = [(str(label), text(value)) for label, value in event.recorded.items()]
        return section(f"{title}: what was written down", facts(pairs), level=3)
    if isinstance(event, e.PreflightTaken):
        rows = [(word(n), word(verdict), shown(said)) for n, (verdict, said) in event.checks.items()]
        return section(f"{title}: what the machine showed", table(("Check", "Verdict", "What was seen"), rows), level=3)
    return page.NONE


def _exceptions(lines: Sequence[ReplayStep]) -> Html:
    rows = []
    for x in lines:
        r, event = x.recorded, x.recorded.event
        if isinstance(event, e.ExceptionNoted):
            what, said, step = "noted", event.text, str(event.step + 1)
        elif isinstance(event, e.StepSkipped | e.StepRepeated):
            what, said, step = f"{happened(event)}; {', '.join(event.people)} agreed", event.reason, str(event.step + 1)
        elif isinstance(event, e.ClockAnswered):
            what, said, step = f"{happened(event)}; {', '.join(event.people)} agreed", event.reason, ""
        elif isinstance(event, e.ClockStated):
            what, said, step = happened(event), f"the machine said {event.machine}", ""
        else:
            continue
        rows.append((word(r.n), word(r.at), word(r.by), word(step), text(what), shown(said)))
    return table(("Line", "Time", "By", "Step", "What", "In their words"), rows)


def _troubles(lines: Sequence[ReplayStep]) -> Html:
    rows = [
        (word(t.line.recorded.n), word(t.line.recorded.at), shown(t.what), shown(t.done)) for t in story.troubles(lines)
    ]
    return table(("Line", "Time", "What happened", "What was done"), rows)


def _files(files: Sequence[FileVerdict]) -> Iterator[Html]:
    if all(f.why == MISSING for f in files):
        yield paragraph(
            text(
                "No file of the ceremony lay beside the transcript, so none was compared: not the signed files, the "
                "bundles or the seals. Everything above was made again from the transcript alone."
            )
        )
        return
    same = sum(f.verdict == "recomputed" for f in files)
    yield paragraph(text(f"{same} of {len(files)} files made again from the transcript have the same bytes."))
    rows = [(text(f.name), word(f.verdict), shown(f.why)) for f in files]
    yield table(("File", "Verdict", "Why"), rows)


def _words(lines: Sequence[ReplayStep]) -> Html:
    rows = [(word(w.person), shown(w.what), text(ranges(w.lines))) for w in story.words_of(lines)]
    return table(("Whose word", "For what", "Lines"), rows)


def _log(lines: Sequence[ReplayStep]) -> Html:
    rows = []
    for line in lines:
        r = line.recorded
        verdict = join((tag("b", text(line.verdict)), text(": "), shown(line.why)))
        what = join((text(happened(r.event)), text(" ("), text(codec.name_of(r.event)), text(")")))
        rows.append((text(r.n), text(r.at), text(r.by), what, verdict))
    return table(("Line", "Time (UTC)", "By", "What happened", "Verdict"), rows, "log")
