"""Ceremonies to print, and what tests ask of a page for paper."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from people import People

from vestry.ceremony import conductor, reading, rehearsal, transcript
from vestry.ceremony.dialogue import Noted
from vestry.ceremony.events import KeyGenerated
from vestry.ceremony.script import Script
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
    hostile names, a wrong PIN, an exception, a stop in the middle of a line, and a seal against it."""
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
    with (folder / "transcript.jsonl").open("ab") as file:
        file.write(TORN)
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
TORN = b'{"event":{"at":"2026-11-2\n\x00cut off'


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


def rotation(tmp_path: Path) -> tuple[Script, dict[str, bytes]]:
    """The next root of a practice repository: Carol leaves, on the same software tokens."""
    old = hold(tmp_path / "r")
    root = (old / "signed" / "1.root.json").read_bytes()
    before = reading.read((old / "script.toml").read_bytes(), where="script")
    entry = json.loads(root)["signed"]
    folder = tmp_path / "script"
    folder.mkdir()
    (folder / "1.root.json").write_bytes(root)
    made = {
        x.event.key: x.event.keyid
        for x in transcript.read(old / "transcript.jsonl")
        if isinstance(x.event, KeyGenerated)
    }
    assert set(entry["roles"]["root"]["keyids"]) == {made[f"{n}-root"] for n in ("alice", "bob", "carol")}
    text = (
        '[ceremony]\ntitle = "Next"\nkind = "rotation"\nrepository = "practice.example"\nrehearsal = true\n'
        + "".join(f'[[people]]\nname = "{p.name}"\noffice = "{p.office}"\n' for p in before.people)
        + f'[root]\nthreshold = 2\nexpires = "365d"\nfrom = "1.root.json"\n'
        f'from_sha256 = "{hashlib.sha256(root).hexdigest()}"\n'
        + "".join(
            f'[[tokens]]\nname = "{t.name}"\nholder = "{t.holder}"\nuse = "software"\nserial = "{t.serial}"\n'
            for t in before.tokens
        )
        + "".join(
            f'[[keys]]\nname = "{n}-root"\nholder = "{n.title()}"\ntoken = "{n}"\nroles = ["root"]\n'
            f'keyid = "{made[f"{n}-root"]}"\n' + ("leaves = true\n" if n == "carol" else "")
            for n in ("alice", "bob", "carol")
        )
        + "".join(
            f'[[steps]]\ndo = "{do}"\n'
            for do in ("gather", "preflight", "draft", "review", "sign", "verify", "export", "seal")
        )
    )
    (folder / "next.toml").write_text(text)
    return reading.load(folder / "next.toml")
