"""Typed reads from the tables of a script, with exact errors: file, line, what is wrong, what to write instead."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NoReturn, TypeVar

from vestry.ceremony import script as s
from vestry.ceremony import toml_lines
from vestry.errors import InputRejected
from vestry.text import printable

T = TypeVar("T")

LONGEST_LIST = 500
LONGEST_LIFE = 36500
_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
_DAYS = re.compile(r"[0-9]{1,5}d", re.ASCII)
_SHA256 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_TYPES: Mapping[type, str] = {str: "text", int: "a number", bool: "true or false", list: "a list", dict: "a table"}


@dataclass(frozen=True)
class Source:
    """A script's name and where everything stands in it."""

    where: str
    lines: Mapping[toml_lines.Path, int]

    def bad(self, path: toml_lines.Path, what: str, do: str, code: str = "E-SCRIPT") -> NoReturn:
        """Refuse what stands at `path`."""
        line = toml_lines.line_of(self.lines, path)
        raise InputRejected(what, where=f"{self.where}:{line}", do=do, code=code)


def unseen(text: str) -> Iterator[tuple[int, str]]:
    """Places of characters that do not show, or change how others show, and what they are called."""
    for at, character in enumerate(text):
        if unicodedata.category(character) in _UNSEEN:
            yield at, f"U+{ord(character):04X}"


def nearest(name: str, known: Collection[str]) -> str:
    """What was probably meant, as a sentence."""
    close = difflib.get_close_matches(name.lower(), known, 1, 0.6)
    return f"did you mean '{close[0]}'?" if close else f"write one of {', '.join(known)}"


def quoted(value: object) -> str:
    """A value as it may be shown in an error."""
    return f"'{printable(value, 48)}'" if isinstance(value, str) else str(printable(str(value), 48))


@dataclass(frozen=True)
class Table:
    """One table of a script. `label` is how errors name it."""

    source: Source
    path: toml_lines.Path
    label: str
    values: Mapping[str, Any]

    def line(self) -> int:
        """The line of its header."""
        return toml_lines.line_of(self.source.lines, self.path)

    def bad(self, name: str, what: str, do: str) -> NoReturn:
        """Refuse the value called `name`, or the table where it has none of that name."""
        self.source.bad((*self.path, name), f"{self.label}: {what}", do)

    def only(self, known: Sequence[str]) -> None:
        """Refuse any other name than these."""
        for name in self.values:
            if name not in known:
                self.bad(name, f"{quoted(name)} is not known here", nearest(name, known))

    def has(self, name: str) -> bool:
        """Whether there is a value of that name."""
        return name in self.values

    def _get(self, name: str, kind: type[T], example: str) -> T:
        if name not in self.values:
            self.bad(name, f"{name} is missing", f"add the line {name} = {example}")
        value = self.values[name]
        if type(value) is not kind:
            have = _TYPES.get(type(value), "a number with a point" if isinstance(value, float) else "a date or time")
            self.bad(name, f"{name} is {have}, not {_TYPES[kind]}", f"write {name} = {example}")
        return value

    def text(
        self, name: str, example: str, *, default: str | None = None, longest: int = 120, many: bool = False
    ) -> str:
        """A text that shows as it is; with `many`, of several lines, which are joined by spaces."""
        if default is not None and name not in self.values:
            return default
        value = self._get(name, str, f'"{example}"')
        if many:
            value = " ".join(value.split())
        self._check_text(name, (name,), value, longest)
        return value

    def _check_text(self, name: str, at: toml_lines.Path, value: str, longest: int) -> None:
        problem = _text_problem(value, longest)
        if problem is not None:
            self.source.bad((*self.path, *at), f"{self.label}: {name} {problem[0]}", problem[1])

    def choice(self, name: str, known: Sequence[str], *, default: str | None = None) -> str:
        """One of `known`."""
        if default is not None and name not in self.values:
            return default
        value = self._get(name, str, f'"{known[0]}"')
        if value not in known:
            self.bad(name, f"{name} {quoted(value)} is not known", f"write one of {', '.join(known)}")
        return value

    def number(self, name: str, low: int, high: int, example: int, *, default: int | None = None) -> int:
        """A whole number from `low` to `high`."""
        if default is not None and name not in self.values:
            return default
        value = self._get(name, int, str(example))
        if not low <= value <= high:
            self.bad(name, f"{name} {quoted(value)} is out of range", f"write a number from {low} to {high}")
        return value

    def yes(self, name: str) -> bool:
        """True or false; false where it is not there."""
        return name in self.values and self._get(name, bool, "true")

    def days(self, name: str) -> int:
        """A life such as ``"365d"``, in days."""
        value = self._get(name, str, '"365d"')
        if not _DAYS.fullmatch(value) or not 1 <= int(value[:-1]) <= LONGEST_LIFE:
            self.bad(name, f"{name} {quoted(value)} is not a number of days", f'write {name} = "365d"')
        return int(value[:-1])

    def sha256(self, name: str) -> str:
        """A SHA-256 in hex; empty where it is not there."""
        if name not in self.values:
            return ""
        value = self._get(name, str, '"<64 hex digits>"')
        if not _SHA256.fullmatch(value):
            self.bad(name, f"{name} is not a SHA-256", "write its 64 hex digits, as sha256sum prints them")
        return value.lower()

    def texts(self, name: str, example: str, *, longest: int = 120, most: int = LONGEST_LIST) -> tuple[str, ...]:
        """A list of different texts, at least one."""
        values: list[object] = self._get(name, list, f'["{example}"]')
        if not values:
            self.bad(name, f"{name} is empty", f'write {name} = ["{example}"], or leave it out where it may be')
        if len(values) > most:
            self.bad(name, f"{name} has {len(values)} entries", f"write at most {most}")
        found: dict[str, None] = {}
        for index, value in enumerate(values):
            at = (*self.path, name, index)
            if type(value) is not str:
                what = f"{self.label}: {name} has an entry that is {_TYPES.get(type(value), 'no text')}"
                self.source.bad(at, what, f'write {name} = ["{example}"]')
            self._check_text(f"an entry of {name}", (name, index), value, longest)
            if value in found:
                self.source.bad(at, f"{self.label}: {name} has {quoted(value)} twice", "write it once")
            found[value] = None
        return tuple(found)

    def some_of(self, name: str, known: Sequence[str], what: str, *, default: Sequence[str] | None) -> tuple[str, ...]:
        """A list of names out of `known`; `default` where it is not there."""
        if default is not None and name not in self.values:
            return tuple(default)
        found = self.texts(name, known[0] if known else what)
        for index, value in enumerate(found):
            if value not in known:
                at = (*self.path, name, index)
                self.source.bad(at, f"{self.label}: {name} has {quoted(value)}, which is no {what}", _one(value, known))
        return found

    def named(self, name: str, known: Sequence[str], what: str, table: str) -> str:
        """A name out of `known`, which the tables called `table` define."""
        value = self.text(name, known[0] if known else "Alice")
        if value not in known:
            do = _one(value, known) if known else f"add a {table} of that name"
            self.bad(name, f"{name} {quoted(value)} is no {what} of this script", do)
        return value


def _one(value: str, known: Sequence[str]) -> str:
    return nearest(value, known) if known else "the script defines none"


def _text_problem(value: str, longest: int) -> tuple[str, str] | None:
    hidden = next(unseen(value), None)
    if hidden is not None:
        return f"holds {hidden[1]}, a character that does not show", "write it without"
    if not value.strip():
        return "is empty", "write what it is"
    if value != value.strip():
        return "begins or ends with a space", "write it without"
    if any(c.isspace() and c != " " for c in value):
        return "holds a space that is not the plain one", "write plain spaces"
    if unicodedata.normalize("NFC", value) != value:
        return "holds a letter made of several characters", "write it as one character (Unicode NFC)"
    if len(value) > longest:
        return f"has {len(value)} characters", f"write at most {longest}"
    return None


def named_input(item: Table, name: str, field: str, example: str) -> s.Input:
    """The file that `item` names in `field`, called `name`, with the SHA-256 that pins it."""
    value = item.text(field, example, longest=1000)
    if PurePosixPath(value).name in ("", "..") or value.endswith("/"):
        item.bad(field, f"{field} {quoted(value)} is not a file", f'write {field} = "{example}"')
    # The pin of a table's own file needs no name of its own.
    key = "sha256" if field in ("public_key", "anchors") else f"{field}_sha256"
    return s.Input(name, value, item.sha256(key), (*item.path, key))


def alike(text: str) -> str:
    """What two texts have in common that an eye or a file system takes for one."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def tables(source: Source, data: Mapping[str, Any], name: str) -> tuple[Table, ...]:
    """All tables of the list ``[[name]]``."""
    values = data.get(name, [])
    if type(values) is not list or any(type(v) is not dict for v in values):
        source.bad((name,), f"'{name}' is not a list of tables", f"write [[{name}]], with two brackets on each side")
    if len(values) > LONGEST_LIST:
        source.bad((name, LONGEST_LIST), f"there are {len(values)} [[{name}]]", f"write at most {LONGEST_LIST}")
    return tuple(Table(source, (name, i), _label(name, i, v), v) for i, v in enumerate(values))


def table(source: Source, data: Mapping[str, Any], name: str, why: str) -> Table | None:
    """The table ``[name]``; refused where it is missing and `why` says what for it is needed."""
    if name not in data:
        if why:
            source.bad((), f"the table [{name}] is missing", f"add it: {why}")
        return None
    value = data[name]
    if type(value) is not dict:
        source.bad((name,), f"'{name}' is not one table", f"write [{name}], with one bracket on each side, and once")
    return Table(source, (name,), f"[{name}]", value)


def unique(found: Sequence[Table], field: str, names: Sequence[str], key: Callable[[str], str] = alike) -> None:
    """Refuse two tables whose names an eye takes for one."""
    seen: set[str] = set()
    for item, name in zip(found, names, strict=True):
        if key(name) in seen:
            item.bad(field, f"{field} {quoted(name)} is taken already", "give each a name of its own")
        seen.add(key(name))


def _label(name: str, index: int, value: Mapping[str, Any]) -> str:
    called = value.get("do") if name == "steps" else value.get("name")
    return f"[[{name}]] {quoted(called)}" if isinstance(called, str) else f"[[{name}]] number {index + 1}"
