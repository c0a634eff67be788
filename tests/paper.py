"""Ceremonies to print, and what tests ask of a page for paper."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from people import People

from vestry.ceremony import conductor, reading, rehearsal
from vestry.ceremony.dialogue import Noted
from vestry.errors import Stopped
from vestry.tokens.token import Pin

VOID = {"meta"}
ALLOWED = frozenset(
    re.findall(
        r"\w+",
        "html head meta title style body h1 h2 h3 p div span small i b ul li svg rect path"
        " table thead tbody tfoot tr th td",
    )
)
HOSTILE = "</td><script>alert(1)</script>&amp;\"'><img src=//x.test>"
EXCEPTION = "A fire alarm </p><script>alert(2)</script> and \u202egnihton else; all left, all came back."
REASON = "The clock was wrong <b onclick=alert(3)>by an hour</b>."
BAG = "B-4711 <style>*{display:none}</style>\x1b[31m\u0410"
SAY = """
[[steps]]
do = "say"
title = "Open the bags"
text = \"\"\"
Open the bags before the camera.
Read their numbers aloud.\"\"\"
record = ["bag number of Bob", "what the camera shows"]

[[steps]]
do = "provision"
"""


class Reader(HTMLParser):
    """Takes a page apart; open tags must close in order. `said` is the text outside of the style sheet."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.pieces: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "title"):
            self.pieces.append(data)

    @property
    def said(self) -> str:
        """All text, white space drawn together."""
        return " ".join("".join(self.pieces).split())


def assert_harmless(page: str) -> Reader:
    """Nothing in the page acts, and nothing comes from outside."""
    reader = Reader(page)
    assert page.isascii()
    assert all(c.isprintable() or c == "\n" for c in page)
    assert {tag for tag, _ in reader.tags} <= ALLOWED
    for tag, attributes in reader.tags:
        assert not any(n.startswith("on") or n in ("src", "href", "style", "srcdoc") for n in attributes), tag
    policy = next(a["content"] for t, a in reader.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    style = page.partition("<style>")[2].partition("</style>")[0]
    assert page.count("<style") == 1
    assert not re.search(r"url\(|@import|expression|://", style)
    return reader


def hold(folder: Path, *, trouble: bool = False) -> Path:
    """A whole rehearsal with three holders. With `trouble`, all that can go wrong in a ceremony that ends well does:
    hostile names, a wrong PIN, an exception, a stop in the middle, and a seal against it."""
    script, inputs = rehearsal.prepare(folder, holders=3, threshold=2)
    if not trouble:
        conductor.conduct(script, inputs, folder, People())
        return folder
    path = folder / rehearsal.SCRIPT
    text = path.read_text().replace('"Alice"', f'"{_toml("Alice" + HOSTILE)}"').replace('"Walter"', f'"{LONG}"')
    text = text.replace('"Practice root key ceremony"', f'"{_toml(HOSTILE)}"')
    path.write_text(text.replace('\n[[steps]]\ndo = "provision"\n', SAY))
    script, inputs = reading.load(path)
    first = People({"words": once(Stopped("stopped")), "record": lambda _: BAG})
    with contextlib.suppress(Stopped):
        conductor.conduct(script, inputs, folder, first)
    again = People({}, pins=first.pins)
    again.answers = {
        "pin": once(Pin("wrong-pin"), again),
        "export": once(Noted(EXCEPTION), again),
        "agree": lambda q: "disagree" if q.person == "Bob" else "agree",
        "reason": lambda _: REASON,
    }
    conductor.conduct(script, inputs, folder, again)
    return folder


LONG = "W" * 64


def _toml(text: str) -> str:
    return text.replace('"', '\\"')


def once(first: Any, people: People | None = None) -> Callable[[Any], Any]:
    """An answer that is given, or raised, the first time; then a sensible one."""
    left = [first]

    def answer(question: Any) -> Any:
        if not left:
            return (people or People()).sensible(question)
        value = left.pop()
        if isinstance(value, Exception):
            raise value
        return value

    return answer
