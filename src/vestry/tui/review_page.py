"""A review as an outline: findings, dangerous changes by what they are about, the rest, who signs, the digest."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from vestry.metadata.changes import DANGEROUS, Change
from vestry.metadata.findings import Finding, Silenced
from vestry.metadata.review import Review
from vestry.metadata.review_text import progress, signer, standing, unknown_signers, verdict
from vestry.text import printable, words
from vestry.tui.lines import BLANK, Line, Span, Tone, folded, hex_rows, line, paragraph, word_rows
from vestry.tui.outline import Outline, Section

MANY = 50
"""From so many alike changes on, they count as one to be read: their number and what they share."""

FOLDED = 2000
"""A group of more changes than this begins folded, unless they are dangerous."""

TOPICS: Mapping[str, str] = {
    "keys": "Keys and thresholds",
    "delegations": "Delegations",
    "targets": "Targets",
    "fields": "Fields",
}
SEVERITIES: Mapping[str, str] = {"stop": "Stops", "warn": "Warnings", "note": "Notes"}

_LARGE = 20_000
"""Groups beyond this wrap at the width instead of at words, so that heights are sums and not layout."""

_KEYID = re.compile("[0-9a-f]{64}")
_MARKS: Mapping[str, tuple[str, Tone]] = {"added": ("+ added  ", "good"), "removed": ("- dropped", "bad")}
_SEVERITY: Mapping[str, Tone] = {"stop": "bad", "warn": "warn", "note": "plain"}
_INDENT = 13
"""Columns before the sentence of a change."""

Make = Callable[[int], list[Line]]


@dataclass(frozen=True)
class Page:
    """The review as lines."""

    lines: Outline

    @property
    def items(self) -> Sequence[int]:
        """Entries, by number, that must have been on screen."""
        return self.lines.items


@dataclass(frozen=True)
class Alike:
    """The line that stands for many alike delegations."""

    group: Sequence[Change]


def page(review: Review, width: int, details: Sequence[str] = ()) -> Page:
    """Findings, dangerous changes, the rest, who signs, the digest in words."""
    return Page(Outline(sections(review, details), width))


def topic(change: Change) -> str:
    """Which of `TOPICS` a change is about."""
    if change.kind.startswith(("key-", "threshold-")):
        return "keys"
    return {"delegation": "delegations", "target": "targets"}.get(change.kind.partition("-")[0], "fields")


def sections(review: Review, details: Sequence[str] = (), decider: Sequence[str] = ()) -> list[Section]:
    """The tree, for any width. `details` come first; `decider` is about the document that says who must sign."""
    found: list[Section] = []
    if details:
        found.append(_text([lambda w, d=d: paragraph(d, w, "quiet") for d in details]))  # type: ignore[misc]
    if review.findings:
        found.append(_heading(f"Findings ({len(review.findings):,})", first=not found))
        found += [_text([lambda w, t=t: paragraph(t, w, "bad", indent=2)]) for t in verdict(review)]  # type: ignore[misc]
        for severity, name in SEVERITIES.items():
            those = [f for f in review.findings if f.severity == severity]
            if those:
                must = range(len(those))
                found.append(Section(severity, those, _finding, _finding_height, f"{name} ({len(those):,})", must))
    else:
        found.append(_heading("No findings", first=not found))
    dangerous = [c for c in review.changes if c.danger >= DANGEROUS]
    if dangerous:
        title = f"Changes that decide whom or what clients trust ({len(dangerous):,})"
        found += [_heading(title, first=not found), *_groups(dangerous, danger=True)]
    if len(dangerous) < len(review.changes):
        quiet = [c for c in review.changes if c.danger < DANGEROUS]
        found += [_heading(f"Other changes ({len(quiet):,})", first=not found), *_groups(quiet, danger=False)]
    if not review.changes:
        found.append(_heading("Nothing changed", first=not found))
    if review.ahead is not None and review.ahead.sentences:
        found.append(_heading("Looking ahead, once this is published", first=False))
        found.append(_text([lambda w, s=s: paragraph(s, w, indent=2) for s in review.ahead.sentences]))  # type: ignore[misc]
    if review.silenced:
        silent = f"Silenced by the script ({len(review.silenced):,})"
        found.append(Section("silenced", review.silenced, _silenced, _silenced_height, silent))
    found.append(_heading("Who must sign", first=False))
    found.append(_text([_signing(review)]))
    found += [_text([lambda w, d=d: paragraph(d, w, "quiet", indent=2)]) for d in decider]  # type: ignore[misc]
    found.append(_heading("The digest of what gets signed, in words", first=False))
    found.append(_text([lambda w: word_rows(words(review.new.digest), w)]))
    return found


def _groups(changes: Iterable[Change], *, danger: bool) -> list[Section]:
    by_topic: dict[str, list[Change]] = {}
    for change in changes:
        by_topic.setdefault(topic(change), []).append(change)
    return [_group(name, those, danger=danger) for name, those in by_topic.items()]


def _group(name: str, those: list[Change], *, danger: bool) -> Section:
    title = f"{TOPICS[name]} ({len(those):,})"
    entries: list[Change | Alike] = []
    must: list[int] = []
    if danger and name == "delegations":
        for group in alike(those):
            if len(group) >= MANY:
                must.append(len(entries))
                entries += [Alike(group), *group]
            else:
                must += range(len(entries), len(entries) + len(group))
                entries += group
    large = len(those) > _LARGE
    return Section(
        name,
        entries or those,
        _hard_change if large else _change,
        _hard_height if large else _height,
        title,
        must or (range(len(those)) if danger else ()),
        folded=not danger and len(those) > FOLDED,
    )


def _text(makes: Sequence[Make]) -> Section:
    return Section("", makes, lambda make, w: make(w), lambda make, w: len(make(w)), stops=False)


def _heading(text: str, *, first: bool) -> Section:
    return _text([lambda w: [*([] if first else [BLANK]), *paragraph(text, w, "accent")]])


def _signing(review: Review) -> Make:
    def make(width: int) -> list[Line]:
        rows: list[Line] = []
        for count in review.tallies:
            rows += paragraph(progress(count), width, indent=2)
            for what, keyids in standing(review, count):
                listed = ", ".join(printable(signer(review, keyid)) for keyid in keyids)
                rows += paragraph(f"{what}: {listed}", width, "quiet", indent=4)
        return rows or paragraph(unknown_signers(review), width, indent=2)

    return make


def _silenced(silent: Silenced, width: int) -> list[Line]:
    found = silent.finding
    text = f"{found.text} [{found.code}]; the reason: {printable(silent.reason)}"
    return _item(f"{found.severity:<4}  ", "quiet", text, width)


def _silenced_height(silent: Silenced, width: int) -> int:
    return len(_silenced(silent, width))


def _finding(finding: Finding, width: int) -> list[Line]:
    return finding_rows(finding, width)


def _finding_height(finding: Finding, width: int) -> int:
    return len(finding_rows(finding, width))


def finding_rows(finding: Finding, width: int) -> list[Line]:
    """Severity in words, the sentence, the code."""
    text = f"{finding.text} [{finding.code}]"
    return _item(f"{finding.severity:<4}  ", _SEVERITY[finding.severity], text, width)


def alike(changes: Sequence[Change]) -> list[list[Change]]:
    """Changes in order; together those that follow each other, differ only in name and place, and whose hash prefixes
    rise from each to the next, so that none takes over what another has."""
    groups: list[list[Change]] = []
    shape, last = "", ""
    for change in changes:
        mine, first, end = _shape(change)
        if groups and mine and mine == shape and first > last:
            groups[-1].append(change)
        else:
            groups.append([change])
        shape, last = mine, end
    return groups


def _shape(change: Change) -> tuple[str, str, str]:
    """What a delegation shares with others like it, and its first and last hash prefix; empty where it is odd."""
    role = change.new.get("role") if change.kind == "delegation-added" and isinstance(change.new, Mapping) else None
    prefixes = role.get("path_hash_prefixes") if isinstance(role, Mapping) else None
    if not isinstance(role, Mapping) or not isinstance(prefixes, list) or not prefixes:
        return "", "", ""
    if not all(isinstance(p, str) for p in prefixes) or sorted(set(prefixes)) != prefixes:
        return "", "", ""
    shared = {k: v for k, v in role.items() if k not in ("name", "path_hash_prefixes")}
    form = [shared, [len(p) for p in prefixes]]
    return json.dumps(form, sort_keys=True, default=str), prefixes[0], prefixes[-1]


def _summary(group: Sequence[Change], width: int) -> list[Line]:
    first, last = group[0].path[-1], group[-1].path[-1]
    text = (
        f"{len(group):,} delegations, {printable(first)} to {printable(last)}, with the same keys and threshold, "
        "as many hash prefixes each, rising, none twice. All follow here, one by one."
    )
    return _item("+ added   ", "good", text, width)


def _mark(change: Change) -> tuple[str, Tone]:
    return _MARKS.get(change.kind.rpartition("-")[2], ("~ changed", "warn"))


def _change(change: Change | Alike, width: int) -> list[Line]:
    if isinstance(change, Alike):
        return _summary(change.group, width)
    mark, tone = _mark(change)
    return [*_item(f"{mark} ", tone, change.text, width), *_keyid_rows(change, width)]


def _height(change: Change | Alike, width: int) -> int:
    plain = not isinstance(change, Alike) and not change.kind.startswith("key-")
    if plain and len(change.text) <= width - _INDENT:  # type: ignore[union-attr]
        return 1
    return len(_change(change, width))


def _hard_change(change: Change | Alike, width: int) -> list[Line]:
    if isinstance(change, Alike):
        return _summary(change.group, width)
    mark, tone = _mark(change)
    text, room = change.text, _room(width)
    rows: list[Line] = [(Span(f"  {mark}  ", tone), Span(text[:room]))]
    rows += [line(" " * _INDENT + text[at : at + room]) for at in range(room, len(text), room)]
    return [*rows, *_keyid_rows(change, width)]


def _hard_height(change: Change | Alike, width: int) -> int:
    if isinstance(change, Alike):
        return len(_summary(change.group, width))
    rows = -(-len(change.text) // _room(width)) or 1
    return rows + len(_keyid_rows(change, width)) if change.kind.startswith("key-") else rows


def _room(width: int) -> int:
    return max(8, width - _INDENT)


def _keyid_rows(change: Change, width: int) -> list[Line]:
    keyid = change.path[-1]
    if not (change.kind.startswith("key-") and _KEYID.fullmatch(keyid)):
        return []
    # The sentence names a key by its first digits; whoever compares needs them all.
    indent = " " * _INDENT
    whole = [line(keyid)] if len(indent) + len(keyid) <= width else hex_rows(keyid, width - len(indent))
    return [(Span(indent), *(Span(s.text, "quiet") for s in row)) for row in whole]


def _item(mark: str, tone: Tone, text: str, width: int) -> list[Line]:
    indent = len(mark) + 3
    texts = folded(text, width - indent)
    first: Line = (Span(f"  {mark} ", tone), Span(texts[0]))
    return [first, *(line(" " * indent + rest) for rest in texts[1:])]
