"""The frame of what people keep on paper: one HTML file, no scripts, nothing from outside, the same bytes every time.

`Html` is the only type that goes into a page. Text becomes `Html` through `text` and `shown` alone: printable ASCII,
escaped. The policy in the page allows one style sheet, by its digest, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Sequence
from typing import NewType

from vestry.record.review_page import qr_svg
from vestry.record.style import CSS
from vestry.text import group_hex, printable, printable_again, words

Html = NewType("Html", str)

NONE = Html("")
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SHORT = 20
_STYLE_DIGEST = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; base-uri 'none'; form-action 'none'"


def text(value: object) -> Html:
    """Anything as HTML text, by way of `printable`."""
    return Html(html.escape(printable(str(value)), quote=True))


def shown(value: str) -> Html:
    """The same, by way of `printable_again`."""
    return Html(html.escape(printable_again(value), quote=True))


def word(value: object) -> Html:
    """The same as `text`, never broken where it is short: a name, a time, a verdict in a narrow column."""
    inside = text(value)
    return tag("span", inside, kind="word") if len(printable(str(value))) <= _SHORT else inside


def join(parts: Iterable[Html], between: str = "") -> Html:
    """Several pieces as one."""
    return Html(between.join(parts))


def tag(name: str, *parts: Html, kind: str = "") -> Html:
    """An element; `kind` is its class."""
    opening = f'<{name} class="{kind}">' if kind else f"<{name}>"
    return Html(f"{opening}{join(parts)}</{name}>")


def paragraph(*parts: Html, kind: str = "") -> Html:
    """A paragraph on lines of its own."""
    return Html(f"{tag('p', *parts, kind=kind)}\n")


def lead(*parts: Html) -> Html:
    """A paragraph that stays with what follows it."""
    return paragraph(*parts, kind="lead")


def count(number: int, what: str) -> str:
    """A number of things: ``1 finding``, ``2 findings``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def section(title: str, *parts: Html, level: int = 2) -> Html:
    """A heading, which stays with what follows it, and its content."""
    return Html(f"{tag(f'h{level}', text(title))}\n{join(parts)}")


def listing(items: Iterable[Html]) -> Html:
    """A list, or a word that it is empty."""
    rows = join((tag("li", item) for item in items), "\n")
    return Html(f"<ul>\n{rows}\n</ul>\n") if rows else paragraph(text("None."))


def table(heads: Sequence[str], rows: Iterable[Sequence[Html]], kind: str = "") -> Html:
    """A table that breaks between rows and repeats its head on every page; a word where it has no rows."""
    body = join((row(cells) for cells in rows), "\n")
    if not body:
        return paragraph(text("None."))
    head = row(tuple(word(h) for h in heads), cell="th")
    opening = f'<table class="{kind}">' if kind else "<table>"
    return Html(f"{opening}\n<thead>\n{head}\n</thead>\n<tbody>\n{body}\n</tbody>\n</table>\n")


def row(cells: Sequence[Html], cell: str = "td") -> Html:
    """One row of a table."""
    return tag("tr", *(tag(cell, c) for c in cells))


def facts(pairs: Iterable[tuple[str, Html]]) -> Html:
    """Names and what they stand for, in two columns."""
    body = join((tag("tr", tag("th", text(name)), tag("td", value)) for name, value in pairs), "\n")
    return Html(f'<table class="facts">\n<tbody>\n{body}\n</tbody>\n</table>\n')


def hexadecimal(value: str) -> Html:
    """Hex, or what claims to be, in groups of four that are never cut."""
    groups = (value[i : i + 4] for i in range(0, len(value), 4))
    return tag("span", join((tag("i", text(g)) for g in groups), " "), kind="hex")


def spoken(digest: str, a_row: int = 8) -> Html:
    """A SHA-256 as its 32 words, each with its place, so many a row."""
    cells = [tag("td", tag("small", text(n)), Html(" "), text(word)) for n, word in enumerate(words(digest), 1)]
    rows = (cells[i : i + a_row] for i in range(0, len(cells), a_row))
    return Html(f'<table class="words">\n<tbody>\n{join((tag("tr", *r) for r in rows), chr(10))}\n</tbody>\n</table>\n')


def digest(value: str, *, qr: bool = False) -> Html:
    """A SHA-256 whole, in hex and words, and where `qr` says so as a QR code. What is none is shown as it is."""
    if not _SHA256.fullmatch(value):
        return paragraph(text(value or "none"), text(" (this is not a SHA-256)"))
    rows = join(tag("p", join((tag("i", text(g)) for g in line.split()), " "), kind="hex") for line in group_hex(value))
    code = Html(qr_svg(value)) if qr else NONE
    kind = "digest big" if qr else "digest"
    return Html(f'<div class="{kind}">\n<div>\n{rows}\n{spoken(value, 4 if qr else 8)}</div>\n{code}</div>\n')


def page(title: str, running: Sequence[Html], parts: Iterable[Html], *, foot: Html = NONE, rehearsal: bool) -> str:
    """The whole file, in ASCII.

    Args:
        title: Title of the document, also its first heading.
        running: Lines at the head of every page.
        parts: What it says, in order.
        foot: A line at the foot of every page.
        rehearsal: Whether every page says that nothing of it is real.
    """
    band = paragraph(text("REHEARSAL: practice only, nothing here is real"), kind="band") if rehearsal else NONE
    # A table around everything is the one construct of which every browser repeats head and foot on each page.
    head = tag("thead", tag("tr", tag("td", band, *(paragraph(r, kind="run") for r in running))))
    end = tag("tfoot", tag("tr", tag("td", paragraph(foot, kind="run")))) if foot else NONE
    body = join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{text(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
        f'<table class="frame">\n{head}\n{end}\n<tbody><tr><td>\n<h1>{text(title)}</h1>\n{body}</td></tr></tbody>\n'
        "</table>\n</body>\n</html>\n"
    )
