"""Rules about names: roles, paths, delegations, files, and text that would fool an eye."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from vestry.metadata.edits import DELEGATED, SUCCINCT, named
from vestry.metadata.rulebook import Context, Hit, rule
from vestry.metadata.rules_document import TOP_LEVEL

_SAFE_ROLE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@=,~ -]*", re.ASCII)
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_LONGEST_ROLE = 200
_SHOWN = 100


@rule("ROLE-NAME-UNSAFE", "stop", "The name of a role is not safe as a file name.")
def role_name_unsafe(c: Context) -> Iterator[Hit]:
    """Clients store a role's metadata under its name; `../` in one has overwritten files (CVE-2021-41131)."""
    delegations = c.signed.get("delegations")
    roles = delegations.get("roles") if isinstance(delegations, dict) else None
    for name in (r.get("name") for r in roles if isinstance(r, dict)) if isinstance(roles, list) else ():
        if isinstance(name, str) and (why := _unsafe(name)):
            yield Hit((*DELEGATED, name), f"Role name {name[:_SHOWN]} {why}")
    succinct = delegations.get("succinct_roles") if isinstance(delegations, dict) else None
    prefix = succinct.get("name_prefix") if isinstance(succinct, dict) else None
    if isinstance(prefix, str) and (why := _unsafe(f"{prefix}-0")):
        yield Hit((*SUCCINCT, "name_prefix"), f"Name prefix {prefix[:_SHOWN]} of the hash bins {why}")
    meta = c.signed.get("meta")
    for name in meta if isinstance(meta, dict) else ():
        role = name.removesuffix(".json")
        if why := _unsafe(role, top_level=True):
            yield Hit(("meta", name), f"File name {name[:_SHOWN]} {why}")


def _unsafe(name: str, *, top_level: bool = False) -> str:
    """Why a role's name is no safe file name, on any system; empty if it is one."""
    if not name:
        return "is empty"
    if len(name) > _LONGEST_ROLE:
        return f"has {len(name):,} characters"
    if "/" in name or "\\" in name:
        return "would lead into another folder"
    # Letters beyond ASCII are a matter of TEXT-HOSTILE; for files they are fine.
    letters = "".join("a" if ch.isalnum() else ch for ch in name)
    if not _SAFE_ROLE.fullmatch(letters) or name[-1] in ". " or ".." in name:
        return "holds characters that file names can't have everywhere"
    if _DEVICES.fullmatch(name):
        return "is the name of a device on some systems"
    if not top_level and name.casefold() in TOP_LEVEL:
        return "is that of a top-level role"
    return ""


@rule("DELEGATION-SHADOWED", "warn", "An earlier delegation ends the search before this one is asked.")
def delegation_shadowed(c: Context) -> Iterator[Hit]:
    """A terminating delegation takes all paths that it fits (TUF 1.0.34, 5.6.7.2)."""
    roles = named(_delegations(c.signed).get("roles")) or {}
    ended = _Ended()
    for name, role in roles.items():
        patterns = _patterns(role)
        if patterns and (by := ended.all_covered(patterns)):
            text = f"Delegation {name[:_SHOWN]} is never asked: {by[:_SHOWN]}, before it, ends the search"
            yield Hit((*DELEGATED, name), text)
        if role.get("terminating") is True:
            ended.add(name, patterns)


class _Ended:
    """What terminating delegations cover, found by first segment so that many delegations stay quick."""

    def __init__(self) -> None:
        self._first: dict[str, list[tuple[str, str]]] = {}
        self._wild: list[tuple[str, str]] = []
        self._prefixes: dict[str, str] = {}

    def add(self, name: str, patterns: Sequence[tuple[str, str]]) -> None:
        for kind, pattern in patterns:
            first = pattern.split("/", 1)[0]
            if kind == "prefix":
                self._prefixes.setdefault(pattern, name)
            elif _wild(first):
                self._wild.append((pattern, name))
            else:
                self._first.setdefault(first, []).append((pattern, name))

    def all_covered(self, patterns: Sequence[tuple[str, str]]) -> str:
        """The first delegation that covers something, where together they cover everything."""
        found = [self._covered(kind, pattern) for kind, pattern in patterns]
        return found[0] if all(found) else ""

    def _covered(self, kind: str, pattern: str) -> str:
        if kind == "prefix":
            starts = (pattern[:n] for n in range(len(pattern) + 1))
            return next((self._prefixes[s] for s in starts if s in self._prefixes), "")
        candidates = self._first.get(pattern.split("/", 1)[0], [])
        return next((name for p, name in (*candidates, *self._wild) if covers(p, pattern)), "")


def covers(pattern: str, other: str) -> bool:
    """Whether every path that fits `other` surely fits `pattern`. Wildcards stay within a segment (TUF 1.0.34, 4.5)."""
    mine, theirs = pattern.split("/"), other.split("/")
    if len(mine) != len(theirs):
        return False
    return all(a in (b, "*") or (not _wild(b) and fnmatchcase(b, a)) for a, b in zip(mine, theirs, strict=True))


def _wild(segment: str) -> bool:
    return any(ch in segment for ch in "*?[")


@rule("PATH-ESCAPES", "stop", "A path leaves the folder it belongs to.")
def path_escapes(c: Context) -> Iterator[Hit]:
    """Absolute paths, `..`, drive letters, backslashes (CVE-2021-41149). In a delegation's pattern it fits no file."""
    files = c.signed.get("targets")
    for path in files if isinstance(files, dict) else ():
        if why := _escapes(path):
            yield Hit(("targets", path), f"Target path {path[:_SHOWN]} {why}")
    for name, role in (named(_delegations(c.signed).get("roles")) or {}).items():
        for kind, pattern in _patterns(role):
            if kind == "path" and (why := _escapes(pattern)):
                yield Hit(
                    (*DELEGATED, name, "paths", pattern), f"Path {pattern[:_SHOWN]} of {name[:_SHOWN]} {why}", "warn"
                )


def _escapes(path: str) -> str:
    parts = path.split("/")
    if not path:
        return "is empty"
    if path[0] == "/" or re.match(r"[A-Za-z]:", path):
        return "is absolute"
    if "\\" in path:
        return "holds a backslash, which parts folders on some systems"
    if ".." in parts:
        return "leads out of its folder"
    if "" in parts or "." in parts:
        return "holds an empty segment"
    return ""


@rule("PATH-OUTSIDE", "warn", "A role lists files that its delegator did not give to it.")
def path_outside(c: Context) -> Iterator[Hit]:
    """Clients pass over such files (TUF 1.0.34, 5.6.7)."""
    given = named(_delegations(c.delegator.signed).get("roles")) if c.delegator is not None else None
    files = c.signed.get("targets")
    if not given or c.role not in given or not isinstance(files, dict):
        return
    patterns = _patterns(given[c.role])
    outside = [path for path in files if not any(fits(kind, pattern, path) for kind, pattern in patterns)]
    if outside:
        first = min(outside)
        many = f", and {len(outside) - 1:,} more" if len(outside) > 1 else ""
        text = f"Target file {first[:_SHOWN]}{many}: not within the paths that {c.role[:_SHOWN]} was given"
        yield Hit(("targets", first), text)


def fits(kind: str, pattern: str, path: str) -> bool:
    """Whether a target path falls under a pattern or under a prefix of its SHA-256."""
    if kind == "prefix":
        return hashlib.sha256(path.encode()).hexdigest().startswith(pattern)
    mine, theirs = pattern.split("/"), path.split("/")
    return len(mine) == len(theirs) and all(fnmatchcase(b, a) for a, b in zip(mine, theirs, strict=True))


@rule("TARGET-CHANGED", "warn", "A file has other content under an unchanged path.")
def target_changed(c: Context) -> Iterator[Hit]:
    """Package indexes never change a file that was published."""
    before = c.old.signed.get("targets") if c.old is not None else None
    files = c.signed.get("targets")
    if not isinstance(before, dict) or not isinstance(files, dict):
        return
    for path in sorted(before.keys() & files.keys()):
        if _content(before[path]) != _content(files[path]):
            yield Hit(("targets", path), f"Target file {path[:_SHOWN]} has other content than before")


def _content(file: Any) -> tuple[Any, Any]:
    return (file.get("length"), file.get("hashes")) if isinstance(file, dict) else (None, file)


# Letters that show as nothing, though they count as letters or symbols.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\u17b4\u17b5\u180e")


@rule("TEXT-HOSTILE", "stop", "Text holds characters that would fool a terminal or an eye.")
def text_hostile(c: Context) -> Iterator[Hit]:
    """Control, bidirectional and invisible characters; in names, all letters beyond ASCII want an answer."""
    public = sum(key.public.count("\n") + key.public.count("\r") for key in c.keys.values())
    odd = len(_ODD.findall(c.new.signed_bytes))
    if odd == public and c.new.signed_bytes.isascii():
        return
    for path, text, is_name in _texts(c.signed, ()):
        if text.isascii() and text.isprintable():
            continue
        if len(path) > 1 and path[-2:] == ("keyval", "public") and not set(_CONTROLS.findall(text)) - {"\n", "\r"}:
            continue
        what, severity = _judge(text, is_name)
        yield Hit(path, f"{'Name' if is_name else 'Text'} {text[:60]} holds {what}", severity)


_ODD = re.compile(rb"[^\x20-\x7e]")
_CONTROLS = re.compile(r"[^\x20-\x7e]")


def _judge(text: str, is_name: bool) -> tuple[str, Any]:
    odd = sorted(set(_CONTROLS.findall(text)))
    worst = [ch for ch in odd if _fools(ch) and (is_name or ch not in "\n\t")]
    shown = ", ".join(
        f"U+{ord(ch):04X} {unicodedata.name(ch, 'control character').lower()}" for ch in (worst or odd)[:3]
    )
    if worst:
        return f"characters that hide or mislead: {shown}", "stop"
    return f"letters that may look like others: {shown}", "warn" if is_name else "note"


def _fools(ch: str) -> bool:
    """Controls, formats (bidirectional, zero width), unassigned and private ones, separators, marks, blanks."""
    return unicodedata.category(ch)[0] in "CZM" or ch in _BLANK


def _texts(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str, bool]]:
    """Every text with its path. Names are those of members, roles, and the patterns of paths."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield (*path, name), name, True
            yield from _texts(inner, (*path, name))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _texts(inner, (*path, str(place)))
    elif isinstance(value, str):
        yield path, value, bool(path) and (path[-1] == "name" or "paths" in path[-2:])


def _delegations(signed: Mapping[str, Any]) -> Mapping[str, Any]:
    found = signed.get("delegations")
    return found if isinstance(found, dict) else {}


def _patterns(role: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a delegation covers: ("path", pattern) and ("prefix", hash prefix)."""
    found = []
    for field, kind in (("paths", "path"), ("path_hash_prefixes", "prefix")):
        values = role.get(field)
        found += [(kind, v) for v in values if isinstance(v, str)] if isinstance(values, list) else []
    return found
