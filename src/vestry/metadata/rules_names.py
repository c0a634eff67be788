"""Rules about names: roles, paths, delegations, files, and text that would fool an eye."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from vestry.metadata.delegation_index import segment_covers
from vestry.metadata.edits import DELEGATED, SUCCINCT, named
from vestry.metadata.rulebook import Context, Hit, rule
from vestry.metadata.rules_delegations import delegated, patterns
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
            yield Hit((*DELEGATED, name), " ".join(filter(None, ("Role name", name[:_SHOWN], why))))
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


def covers(pattern: str, other: str) -> bool:
    """Whether every path that fits `other` surely fits `pattern`. Wildcards stay within a segment (TUF 1.0.34, 4.5)."""
    mine, theirs = pattern.split("/"), other.split("/")
    if len(mine) != len(theirs):
        return False
    return all(segment_covers(a, b) for a, b in zip(mine, theirs, strict=True))


@rule("PATH-ESCAPES", "stop", "A path leaves the folder it belongs to.")
def path_escapes(c: Context) -> Iterator[Hit]:
    """Absolute paths, `..`, drive letters, backslashes (CVE-2021-41149). In a delegation's pattern it fits no file."""
    files = c.signed.get("targets")
    for path in files if isinstance(files, dict) else ():
        if why := _escapes(path):
            yield Hit(("targets", path), f"Target path {path[:_SHOWN]} {why}")
    for name, role in delegated(c.signed).items():
        for kind, pattern in patterns(role):
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
    given = c.delegator.delegated if c.delegator is not None else None
    files = c.signed.get("targets")
    if not given or c.role not in given or not isinstance(files, dict):
        return
    allowed = patterns(given[c.role])
    outside = [path for path in files if not any(fits(kind, pattern, path) for kind, pattern in allowed)]
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
    # By category: controls and formats (C), which a terminal obeys, are named before marks (M).
    odd = sorted(set(_CONTROLS.findall(text)), key=lambda ch: (unicodedata.category(ch)[0], ch))
    worst = [ch for ch in odd if _fools(ch) and (is_name or ch not in "\n\t")]
    told = worst or odd
    shown = ", ".join(f"U+{ord(ch):04X} {unicodedata.name(ch, 'control character').lower()}" for ch in told[:3])
    if len(told) > 3:
        shown += f" and {len(told) - 3} more"
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
        # As everywhere, a delegation is called by its name; its place changes with every other.
        places = named(value) if path == DELEGATED else None
        for place, inner in zip(places or map(str, range(len(value))), value, strict=True):
            yield from _texts(inner, (*path, place))
    elif isinstance(value, str):
        yield path, value, bool(path) and (path[-1] == "name" or "paths" in path[-2:])
