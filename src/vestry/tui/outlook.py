"""What the frame of the screen shows of a state: rail, meters, role and version. Made once for each state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vestry.ceremony import agenda
from vestry.ceremony.agenda import RailEntry
from vestry.ceremony.state import State
from vestry.tui.glyphs import Glyphs
from vestry.tui.lines import Line, Span, Tone, folded, length, line, packed, shown

_LONGEST_BAR = 12
_STATUS: Mapping[str, tuple[str, Tone]] = {
    "done": ("[x] ", "plain"),
    "now": (" >  ", "accent"),
    "skipped": ("[-] ", "warn"),
    "later": ("[ ] ", "quiet"),
}
_BAND = "REHEARSAL: practice only; keys and documents made here are worthless"


@dataclass(frozen=True)
class Meter:
    """Signatures under one authority: ``root v1 [##-] 2 of 3``."""

    label: str
    valid: int
    threshold: int


@dataclass(frozen=True)
class Outlook:
    """`version` is "root v1", "root v12 -> v13", or likewise of the role that the ceremony is for. `exceptions` counts
    what was noted off the script."""

    title: str = ""
    version: str = ""
    rehearsal: bool = False
    rail: tuple[RailEntry, ...] = ()
    meters: tuple[Meter, ...] = ()
    exceptions: int = 0


def outlook(state: State) -> Outlook:
    """The frame for `state`. Verifies the signatures that it counts."""
    return Outlook(
        title=state.script.title,
        version=_version(state),
        rehearsal=state.script.rehearsal,
        rail=agenda.rail(state),
        meters=tuple(
            Meter(tally.by if role == "root" else role, len(tally.valid), tally.threshold)
            for role, tally in agenda.meters(state)
        ),
        exceptions=state.exceptions,
    )


def _version(state: State) -> str:
    given = state.script.given
    role = given.role if given is not None else "root"
    if given is not None and given.threshold:
        return role  # a layout has no version
    before = state.before(role)
    return f"{role} v1" if before is None else f"{role} v{before.version} -> v{before.version + 1}"


def meter(of: Meter, glyphs: Glyphs) -> Line:
    """A meter in words and, where it is not too long, as a bar."""
    met = of.valid >= of.threshold
    spans = [Span(f"{shown(of.label)} ")]
    if of.threshold <= _LONGEST_BAR:
        full = min(of.valid, of.threshold)
        spans += [
            Span("["),
            Span(glyphs.filled * full, "good" if met else "accent"),
            Span(glyphs.open * (of.threshold - full), "quiet"),
            Span("] "),
        ]
    return (*spans, Span(f"{of.valid} of {of.threshold}", "good" if met else "strong"))


def rail_lines(entries: tuple[RailEntry, ...], width: int, glyphs: Glyphs) -> tuple[list[Line], int]:
    """The rail, and the line at which the step that is on now begins."""
    rows: list[Line] = []
    now = 0
    for entry in entries:
        if entry.line_above:
            rows.append(_no_return(width, glyphs))
        if entry.status == "now":
            now = len(rows)
        rows += _entry(entry, width)
    return rows, now


def _entry(entry: RailEntry, width: int) -> list[Line]:
    mark, tone = _STATUS[entry.status]
    return [line(text, tone) for text in folded(entry.title, width, first=mark)]


def _no_return(width: int, glyphs: Glyphs) -> Line:
    word = " no return "
    left = (width - len(word)) // 2
    if left < 1:
        return line(glyphs.rule * width, "warn")
    return line(glyphs.rule * left + word + glyphs.rule * (width - left - len(word)), "warn")


def facts(offline: bool | None, clock: str, *, isolated: bool = False) -> Line:
    """The machine's network, whether this program was cut off from it, and the clock."""
    air = {True: Span("OFFLINE", "good"), False: Span("NETWORK FOUND", "bad"), None: Span("network unknown", "warn")}
    return (air[offline], *((Span(", isolated", "good"),) if isolated else ()), Span(f"  {clock}"))


def header_lines(frame: Outlook, right: Line, width: int, glyphs: Glyphs) -> list[Line]:
    """Ceremony, role and version, and `right`; the band of a rehearsal; the meters; a rule."""
    name = shown(f"{frame.title}: {frame.version}" if frame.version else frame.title)
    taken = length(right)
    rows: list[Line]
    if len(name) + 2 + taken <= width:
        rows = [(Span(name, "strong"), Span(" " * (width - len(name) - taken)), *right)]
    else:
        rows = [*(line(text, "strong") for text in folded(name, width)), right]
    if frame.rehearsal:
        rows += [line(text, "band") for text in folded(_BAND, width - 1, first=" ")]
    rows += packed([meter(m, glyphs) for m in frame.meters], width)
    return [*rows, line(glyphs.rule * width, "quiet")]
