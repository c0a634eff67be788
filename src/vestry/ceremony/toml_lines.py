"""On which line of a TOML text each table and value stands. Python's own reader does not tell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress

Path = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SPACE = re.compile(r"[ \t]*")
_FILLER = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_LONG_BASIC = re.compile(r'"""(?:\\.|(?!""").)*"{3,5}', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''(?:(?!''').)*'{3,5}", re.DOTALL)
_BASIC = re.compile(r'"(?:\\.|[^"\\\n])*"')
_LITERAL = re.compile(r"'[^'\n]*'")
_SCALAR = re.compile(r"[^,\]}\n#]*")
_ESCAPE = re.compile(r'\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([btnfr"\\]))')
_SHORT = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}


def lines(text: str) -> Mapping[Path, int]:
    """Maps the path of each table, value and list entry, such as ``("keys", 2, "scheme")``, to its line, from 1.

    `text` is TOML that `tomllib` accepts; for any other text the result may be incomplete, but there is one.
    """
    walk = _Walk(text)
    # Where it is not TOML after all, what was found so far is still where it stands.
    with suppress(IndexError, ValueError, RecursionError):
        walk.document()
    return walk.found


def line_of(found: Mapping[Path, int], path: Path) -> int:
    """The line of `path`, or of the nearest thing around it; 1 where nothing of it is in the text."""
    while path:
        if path in found:
            return found[path]
        path = path[:-1]
    return 1


class _Walk:
    def __init__(self, text: str) -> None:
        self.text, self.at, self.line = text, 0, 1
        self.found: dict[Path, int] = {}
        self._lists: dict[Path, int] = {}

    def document(self) -> None:
        table: Path = ()
        self._skip(_FILLER)
        while self.at < len(self.text):
            if self._here("[["):
                table = self._header("]]")
            elif self._here("["):
                table = self._header("]")
            else:
                self._pair(table)
            self._skip(_FILLER)

    def _here(self, start: str) -> bool:
        return self.text.startswith(start, self.at)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise ValueError(self.at)
        self.at = match.end()
        self.line += match.group().count("\n")
        return match.group()

    def _take(self, sign: str) -> None:
        if not self._here(sign):
            raise ValueError(self.at)
        self.at += len(sign)

    def _header(self, end: str) -> Path:
        line = self.line
        self._take("[" * len(end))
        names = self._dotted()
        self._take(end)
        path = self._into((), names[:-1], line)
        path = (*path, names[-1])
        if end == "]]":
            count = self._lists.get(path, 0)
            self._lists[path] = count + 1
            self.found.setdefault(path, line)
            path = (*path, count)
        elif path in self._lists:
            path = (*path, self._lists[path] - 1)
        self.found.setdefault(path, line)
        return path

    def _into(self, path: Path, names: list[str], line: int) -> Path:
        for name in names:
            path = (*path, name)
            if path in self._lists:
                path = (*path, self._lists[path] - 1)
            self.found.setdefault(path, line)
        return path

    def _dotted(self) -> list[str]:
        names = []
        while True:
            self._skip(_SPACE)
            names.append(self._name())
            self._skip(_SPACE)
            if not self._here("."):
                return names
            self._take(".")

    def _name(self) -> str:
        if self._here('"'):
            return _ESCAPE.sub(_unescape, self._skip(_BASIC)[1:-1])
        if self._here("'"):
            return self._skip(_LITERAL)[1:-1]
        return self._skip(_BARE)

    def _pair(self, table: Path) -> None:
        line = self.line
        names = self._dotted()
        path = (*self._into(table, names[:-1], line), names[-1])
        self.found.setdefault(path, line)
        self._take("=")
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: Path) -> None:
        for start, pattern in (('"""', _LONG_BASIC), ("'''", _LONG_LITERAL), ('"', _BASIC), ("'", _LITERAL)):
            if self._here(start):
                self._skip(pattern)
                return
        if self._here("["):
            self._list(path)
        elif self._here("{"):
            self._inline(path)
        elif not self._skip(_SCALAR):
            raise ValueError(self.at)

    def _list(self, path: Path) -> None:
        self._take("[")
        index = 0
        while True:
            self._skip(_FILLER)
            if self._here("]"):
                self._take("]")
                return
            self.found.setdefault((*path, index), self.line)
            self._value((*path, index))
            index += 1
            self._skip(_FILLER)
            if self._here(","):
                self._take(",")

    def _inline(self, path: Path) -> None:
        self._take("{")
        while True:
            self._skip(_FILLER)
            if self._here("}"):
                self._take("}")
                return
            self._pair(path)
            self._skip(_FILLER)
            if self._here(","):
                self._take(",")


def _unescape(match: re.Match[str]) -> str:
    code = match.group(1) or match.group(2)
    return chr(int(code, 16)) if code else _SHORT[match.group(3)]
