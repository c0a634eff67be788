"""Names of files on media that people carry: they must survive FAT, every operating system and every shell."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

from vestry.errors import InputRejected
from vestry.text import printable

_PART = re.compile(r"""[ !#-)+-.0-9;=@-\[\]-{}~]{1,200}""")
_PLAIN = re.compile(r"[A-Za-z0-9_.-]")
_DRIVE = re.compile(r"[A-Za-z]:")
_LONGEST = 120
_PART_LONGEST = 200
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$", *(f"{p}{n}" for p in ("com", "lpt") for n in range(10))]
)


def safe_part(name: str) -> str:
    """A file name for any text, another one for each: what FAT or a shell might change is written as ``%XX`` of its
    UTF-8 bytes, and a long name ends in a digest of itself.
    """
    kept = "".join(c if _PLAIN.fullmatch(c) else _percent(c) for c in name)
    if kept.startswith("."):
        kept = f"%2E{kept[1:]}"
    if kept.endswith("."):
        kept = f"{kept[:-1]}%2E"
    if not kept or kept.split(".")[0].lower() in _RESERVED:
        kept = f"%{kept}"
    if len(kept) > _LONGEST:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        kept = f"{kept[: _LONGEST - 65]}%{digest}"
    return kept


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def check(names: Iterable[str]) -> None:
    """Refuse names that a medium could change, merge or lead elsewhere. Parts are separated by ``/``.

    Raises:
        InputRejected: the first such name; see `first_odd`.
    """
    if wrong := first_odd(names):
        name, why = wrong
        raise InputRejected(
            f"this file name is not safe on removable media: {why}",
            where=printable(name, 120),
            do="use letters, digits, '.', '_' and '-'",
            code="E-NAME",
        )


def first_odd(names: Iterable[str]) -> tuple[str, str] | None:
    """The first name that is not safe on every medium, with the reason; None where all are.

    A name stands twice, differs from another by case or by the form of its Unicode alone, or is not safe by itself.
    """
    seen: dict[str, str] = {}
    for name in names:
        folded = unicodedata.normalize("NFC", name).casefold()
        if name in seen.values():
            return name, "this name stands twice"
        if folded in seen:
            return name, f"it differs from {printable(seen[folded], 80)} by case, or by how letters are coded, alone"
        seen[folded] = name
    return next(((name, why) for name in seen.values() if (why := oddity(name))), None)


def oddity(name: str) -> str:
    """Why a name could lead elsewhere or come back as another one; empty where it could not."""
    parts = re.split(r"[/\\]", name)
    whole = (
        (any(c < " " or "\x7f" <= c < "\xa0" for c in name), "a control character in a name"),
        (name.startswith(("\\\\", "//")), "a path on another machine"),
        (_DRIVE.match(name) is not None, "a path with a drive letter"),
        (name.startswith(("/", "\\")), "an absolute path"),
        (".." in parts, "a path that leaves its folder"),
        ("\\" in name, "a backslash in a name"),
        ("" in parts or "." in parts, "a path with an empty part"),
    )
    return next((why for holds, why in whole if holds), "") or next(filter(None, map(_part_oddity, parts)), "")


def _part_oddity(part: str) -> str:
    if not part.isascii():
        return "a letter beyond ASCII in a name"
    if part.partition(".")[0].rstrip(" ").lower() in _RESERVED:
        return "a name that Windows keeps for a device"
    if part.endswith((" ", ".")) or part.startswith((" ", ".")):
        return "a name that begins or ends with a space or a dot"
    if len(part) > _PART_LONGEST:
        return "a name that is too long"
    return "" if _PART.fullmatch(part) else "a name with a character that media or shells change"
