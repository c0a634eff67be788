"""The review as a page to print: all of it there, and nothing in it obeyed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from vestry.metadata import document, drafting
from vestry.metadata.changes import DANGEROUS, Change
from vestry.metadata.findings import Finding, Silenced
from vestry.metadata.keys import Key
from vestry.metadata.policy import Policy
from vestry.metadata.review import Review, review
from vestry.record.review_page import review_page
from vestry.text import Safe, group_hex, printable, words

NOW = datetime(2026, 11, 23, tzinfo=UTC)
HOSTILE = "</td><script>alert(1)</script><img src=http://x.test/ onerror=a>\u202e\x1b[31m&amp;\"'" + "W" * 300
VOID = {"meta"}


class Reader(HTMLParser):
    """Takes a page apart; open tags must close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def hostile(changes: int = 300) -> Review:
    private = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
    der = private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    key = Key.from_spki(der, "ed25519")
    roles = {name: (1, [key]) for name in ("root", "targets", "snapshot", "timestamp")}
    raw = drafting.root(version=1, expires=NOW + timedelta(days=365), roles=roles, extra={f"x-{HOSTILE}": HOSTILE})
    found = review("root", document.read(raw, where="draft"), now=NOW, known=lambda _: HOSTILE)
    more = []
    for number in range(changes):
        path = ("targets", f"{number}{HOSTILE}")
        where = printable("/".join(path))
        more.append(Change("target-added", path, where, None, {"length": 1}, printable(f"Target {path[1]}"), (), 30))
    stop = Finding("X-STOP", "stop", printable(HOSTILE), printable(HOSTILE))
    return replace(found, role=HOSTILE, changes=(*found.changes, *more), findings=(stop, *found.findings))


def read(of: Review) -> tuple[str, Reader]:
    page = "".join(review_page(of))
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return page, reader


def test_nothing_in_it_acts_or_comes_from_outside() -> None:
    """Without it a name in a document could run in the reader's browser, or call home."""
    page, reader = read(hostile())
    assert page.isascii()
    assert all(c.isprintable() or c == "\n" for c in page)
    allowed = {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "h1",
        "h2",
        "h3",
        "p",
        "div",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "ul",
        "li",
        "code",
        "svg",
        "rect",
        "path",
    }
    assert {tag for tag, _ in reader.tags} <= allowed
    for tag, attributes in reader.tags:
        assert not any(name.startswith("on") or name in ("src", "href", "style") for name in attributes), tag
    policy = next(a["content"] for t, a in reader.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "script" not in policy
    style = page.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_all_of_it_is_there() -> None:
    """Without it a page that is printed and filed could leave a change out."""
    of = hostile()
    _, reader = read(of)
    said = "\n".join(reader.said)
    for change in of.changes:
        assert change.text in said
    assert any(f"new: {printable(json.dumps(HOSTILE, ensure_ascii=False))[:8]}" in text for text in reader.said)
    for finding in of.findings:
        assert finding.text in said
        assert f"{finding.code} at {finding.where}" in said
    assert all(row in said for row in group_hex(of.new.digest))
    for number, word in enumerate(words(of.new.digest), 1):
        assert f"{number} {word}" in said
    assert "STOP" in reader.said
    assert "A stop stands: this must not be signed." in said
    assert "0 of 1 of root v1: 1 more needed" in said
    assert printable(HOSTILE, 200)[:150] in said
    for tally in of.tallies:
        assert all(keyid in said for keyid in tally.missing)
    path = next(a["d"] for t, a in reader.tags if t == "path")
    assert path is not None
    assert path.count("M") > 200


def test_a_dangerous_change_is_never_shortened_and_others_say_so() -> None:
    """Without it a printed page could drop values in silence, of a key among many."""
    of = hostile(300)
    page, reader = read(of)
    said = "\n".join(reader.said)
    # Each of the 300 has a new value and no old one.
    assert "This page leaves out 300 old and new values of these 300 changes" in said
    assert "vestry review --json" in said
    decisive = [c for c in of.changes if c.danger >= DANGEROUS]
    many = tuple(replace(c, path=(*c.path[:-1], f"{n:064x}")) for c in decisive[:1] for n in range(300))
    page, reader = read(replace(of, changes=many))
    assert "leaves out" not in page
    assert sum(text.startswith("new: {") for text in reader.said) == 300


def test_null_is_told_from_what_is_not_there() -> None:
    """Without it a reader of the page could not tell a null that is signed from a member that is gone."""
    null = Change("field-changed", ("x-test",), Safe("x-test"), None, 1, Safe("One"), (), 10)
    come = Change("field-added", ("x-test",), Safe("x-test"), None, None, Safe("Two"), (), 10)
    _, reader = read(replace(hostile(0), changes=(null, come)))
    values = [text for text in reader.said if text.startswith(("old:", "new:"))]
    assert values == ["old: null", "new: 1", "old: not there", "new: null"]


def test_what_lies_ahead_and_what_was_silenced() -> None:
    """Without it the paper would tell less than the plain lines."""
    quiet = Silenced(Finding("X-QUIET", "warn", Safe("x"), Safe("Nobody was asked.")), f"because {HOSTILE}")
    of = replace(hostile(0), silenced=(quiet,), policy=Policy(overrule=3))
    assert of.ahead is not None
    assert of.ahead.sentences
    _, reader = read(of)
    said = "\n".join(reader.said)
    for sentence in of.ahead.sentences:
        assert sentence in said
    assert "Silenced by the script (1)" in said
    assert f"Nobody was asked.; the reason: because {printable(HOSTILE)}"[:120] in said
    assert "The script lets 3 people overrule it." in said
