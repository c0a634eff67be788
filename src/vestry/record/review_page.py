"""A review as one HTML page to print: no script, nothing from outside, every text escaped.

All that a document says passes `printable`, then `html.escape`; the policy in the page forbids the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from string import Template

from vestry.media import qr
from vestry.metadata import canonical, members
from vestry.metadata.changes import DANGEROUS, Change
from vestry.metadata.findings import Finding
from vestry.metadata.review import Review
from vestry.metadata.review_text import progress, standing, unknown_signers, verdict
from vestry.metadata.wording import key_label
from vestry.text import group_hex, printable, words

_SEVERITY = {"stop": "STOP", "warn": "WARNING", "note": "note"}
_MARKS = {"added": "+ added", "removed": "- dropped"}
_TOPICS = {"key": "Keys and thresholds", "threshold": "Keys and thresholds"} | {
    "delegation": "Delegations",
    "target": "Targets",
}
_WORDS_A_ROW = 4
_LIGHT = 4
"""Light modules around a QR code (ISO/IEC 18004, 9.1)."""

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width">
<title>$title</title>
<style>
@page { margin: 15mm }
body { font: 10pt/1.35 sans-serif; color: #000; background: #fff; max-width: 180mm; margin: 0 auto; padding: 1em }
h1 { font-size: 16pt; margin: 0 0 .3em } h2 { font-size: 12pt; margin: 1.4em 0 .3em } h3 { font-size: 10pt; margin: 1em 0 .2em }
h1, h2, h3, p, td, li { overflow-wrap: anywhere }
h2, h3 { break-after: avoid }
table { border-collapse: collapse; width: calc(100% - 2pt); table-layout: fixed }
th, td { border: .5pt solid #888; padding: .2em .4em; text-align: left; vertical-align: top }
thead { display: table-header-group } tr { break-inside: avoid }
th.s { width: 21mm }
.hex, .words, code { font-family: monospace }
.hex { font-size: 12pt; font-weight: bold } .words td { border: 0; padding: 0 .4em }
.digest { display: flex; flex-wrap: wrap; gap: 6mm; align-items: flex-start; break-inside: avoid }
.digest svg { width: 38mm; height: 38mm; flex: none } .words { width: auto; table-layout: auto }
.where { color: #333; font-size: 8pt } .many td { font-size: 8pt; padding: 0 .3em }
.left-out { border: 1pt solid #000; padding: .3em .6em }
.stop { border: 2pt solid #000; padding: .3em .6em; font-weight: bold }
@media print { body { padding: 0; max-width: none } }
</style>
</head>
<body>
""")  # noqa: E501 - the policy is one attribute
_MANY = 200
"""From so many changes of a kind on that decide nothing, a page to print leaves out their values, and says so."""


def review_page(review: Review) -> Iterator[str]:
    """The page in pieces, in order; together one document in printable ASCII."""
    new = review.new
    role = printable(review.role, 200)
    title = _text(f"Review of {role} {review.step.replace('->', 'to')}")
    yield _PAGE.substitute(title=title)
    yield f"<h1>{title}</h1>\n<p>Expires {new.expires:%Y-%m-%d %H:%M:%S} UTC.</p>\n"
    if said := verdict(review):
        yield f'<p class="stop">{_text(" ".join(said))}</p>\n'
    yield from _digest(new.digest)
    yield from _signing(review)
    yield from _findings(review)
    yield from _changes(review)
    yield from _ahead(review)
    yield "</body>\n</html>\n"


def _text(safe: str) -> str:
    """Text that is printable already, or is made so, as HTML."""
    return escape(printable(safe).replace("\\\\", "\\"))


def _digest(digest: str) -> Iterator[str]:
    yield '<h2>Digest of what gets signed (SHA-256)</h2>\n<div class="digest">\n<div>\n'
    for row in group_hex(digest):
        yield f'<div class="hex">{escape(row)}</div>\n'
    yield '<table class="words">\n'
    spoken = words(digest)
    for start in range(0, len(spoken), _WORDS_A_ROW):
        numbered = enumerate(spoken[start : start + _WORDS_A_ROW], start + 1)
        yield "<tr>" + "".join(f"<td>{n} {escape(word)}</td>" for n, word in numbered) + "</tr>\n"
    yield f"</table>\n</div>\n{qr_svg(digest)}</div>\n"


def qr_svg(digest: str) -> str:
    """``SHA256:HEX`` as a QR code, level M, drawn as one path."""
    modules = qr.matrix(f"SHA256:{digest.upper()}", border=_LIGHT, level="m")
    path = "".join(f"M{x} {y}h1v1h-1z" for y, row in enumerate(modules) for x, dark in enumerate(row) if dark)
    side = len(modules)
    return (
        f'<svg viewBox="0 0 {side} {side}" role="img" aria-label="The digest as a QR code" '
        'shape-rendering="crispEdges">'
        f'<rect width="{side}" height="{side}" fill="#fff"/><path d="{path}" fill="#000"/></svg>\n'
    )


def _signing(review: Review) -> Iterator[str]:
    yield "<h2>Signatures needed</h2>\n"
    if not review.tallies:
        yield f"<p>{_text(unknown_signers(review))}</p>\n"
    for tally in review.tallies:
        yield f"<h3>{_text(progress(tally))}</h3>\n<ul>\n"
        for what, keyids in standing(review, tally):
            for keyid in keyids:
                label = _text(key_label(keyid, review.names.get(keyid, ""), review.digits))
                yield f"<li>{what}: {label} <code>{_text(printable(keyid))}</code></li>\n"
        yield "</ul>\n"


def _findings(review: Review) -> Iterator[str]:
    yield f"<h2>Findings ({len(review.findings):,})</h2>\n"
    if review.findings:
        yield from _found((f, "") for f in review.findings)
    else:
        yield "<p>None.</p>\n"
    if review.silenced:
        yield f"<h2>Silenced by the script ({len(review.silenced):,})</h2>\n"
        yield from _found((s.finding, f"; the reason: {_text(s.reason)}") for s in review.silenced)


def _found(listed: Iterable[tuple[Finding, str]]) -> Iterator[str]:
    yield '<table>\n<thead><tr><th class="s">Severity</th><th>Finding</th></tr></thead>\n<tbody>\n'
    for finding, more in listed:
        place = f'<div class="where">{_text(finding.code)} at {_text(finding.where)}</div>'
        yield f"<tr><td>{_SEVERITY[finding.severity]}</td><td>{_text(finding.text)}{more}{place}</td></tr>\n"
    yield "</tbody>\n</table>\n"


def _ahead(review: Review) -> Iterator[str]:
    if review.ahead is not None and review.ahead.sentences:
        yield "<h2>Looking ahead, once this is published</h2>\n<ul>\n"
        yield from (f"<li>{_text(sentence)}</li>\n" for sentence in review.ahead.sentences)
        yield "</ul>\n"


def _changes(review: Review) -> Iterator[str]:
    if not review.changes:
        yield "<h2>Changes</h2>\n<p>Nothing changed.</p>\n"
    dangerous = [c for c in review.changes if c.danger >= DANGEROUS]
    others = [c for c in review.changes if c.danger < DANGEROUS]
    decisive = ("Changes that decide whom or what clients trust", dangerous, True)
    for title, listed, whole in (decisive, ("Other changes", others, False)):
        if listed:
            yield f"<h2>{title} ({len(listed):,})</h2>\n"
            yield from _groups(listed, whole=whole)


def _values(change: Change) -> str:
    """Old and new in full, as canonical JSON: a sentence may shorten what it quotes."""
    sides = zip(("old", "new"), (change.old, change.new), members.told(change), strict=True)
    told = [
        (name, printable(canonical.encode(value).decode()) if there else "not there") for name, value, there in sides
    ]
    return "".join(f'<div class="where">{name}: {_text(text)}</div>' for name, text in told)


def _groups(listed: Iterable[Change], *, whole: bool) -> Iterator[str]:
    topics: dict[str, list[Change]] = {}
    for change in listed:
        topics.setdefault(_TOPICS.get(change.kind.partition("-")[0], "Fields"), []).append(change)
    for topic, changes in topics.items():
        short = not whole and len(changes) > _MANY
        yield f"<h3>{topic} ({len(changes):,})</h3>\n"
        if short:
            values = sum(sum(members.told(change)) for change in changes)
            yield (
                f'<p class="left-out">This page leaves out {values:,} old and new values of these {len(changes):,} '
                "changes; each change has its line. All values: vestry review --json, and the full screen "
                "(vestry review, Enter on a line).</p>\n"
            )
        yield '<table class="many">\n' if short else "<table>\n"
        yield '<thead><tr><th class="s">Kind</th><th>Change</th></tr></thead>\n<tbody>\n'
        for change in changes:
            mark = _MARKS.get(change.kind.rpartition("-")[2], "~ changed")
            # The sentence of a target names its path; saying it twice would double a page of millions.
            place = (
                "" if short and change.path[-1] in change.text else f'<div class="where">{_text(change.where)}</div>'
            )
            more = "" if short else _values(change)
            yield f"<tr><td>{mark}</td><td>{_text(change.text)}{place}{more}</td></tr>\n"
        yield "</tbody>\n</table>\n"
