"""Names of files on media that people carry: they must survive FAT, every operating system and every shell."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from vestry.errors import InputRejected
from vestry.text import printable

_PART = re.compile(r"""(?! )(?!\.)[ !#-)+-.0-9;=@-\[\]-{}~]{1,200}(?<![ .])""")
_PLAIN = re.compile(r"[A-Za-z0-9_.-]")
_LONGEST = 120
_RESERVED = frozenset(["con", "prn", "aux", "nul", *(f"{p}{n}" for p in ("com", "lpt") for n in range(1, 10))])


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
        InputRejected: a part is empty, ``..``, too long, reserved, or differs from another by case alone.
    """
    seen: dict[str, str] = {}
    for name in names:
        for part in name.split("/"):
            stem = part.split(".")[0].lower()
            if not _PART.fullmatch(part) or stem in _RESERVED:
                raise InputRejected(
                    "this file name is not safe on removable media",
                    where=printable(name, 120),
                    do="use letters, digits, '.', '_' and '-'",
                    code="E-NAME",
                )
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise InputRejected(
                "two file names differ by upper and lower case alone",
                where=printable(name, 120),
                do="rename one of them",
                code="E-NAME",
            )
