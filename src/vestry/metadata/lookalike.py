"""Names that an eye takes for others. Pure text, no documents.

Project names are compared as PEP 503 normalises them. Each step is a look-up, so a list of names takes time in
proportion to its length, however many names are well known.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

from vestry.metadata.project_names import WELL_KNOWN

# Letters of other scripts that common fonts draw like a Latin one. By hand, lower case, and only where the shapes are
# the same or nearly so in upright sans-serif type: Cyrillic, Greek, Armenian, a few Latin ones outside ASCII. What
# compatibility normalisation maps already (full width, mathematical, superscripts, ligatures) has no place here.
_HOMOGLYPHS = str.maketrans(
    {
        **dict(zip("авезкмнорстухѕіјѡԁԛԝһӏѵ", "abe3kmhopctyxsijwdqwhlv", strict=True)),  # Cyrillic
        **dict(zip("αβγεηικνορτυχω", "abyenikvoptuxw", strict=True)),  # Greek
        **dict(zip("օսոհցզ", "ounhgq", strict=True)),  # Armenian
        **dict(zip("ıɩȷɡɑℓøłđħ", "iijgaloldh", strict=True)),  # Latin beyond ASCII
        "ß": "b",
        "ʀ": "r",
        "ɴ": "n",
        "ꜱ": "s",
        "‐": "-",
        "‑": "-",
        "–": "-",
        "—": "-",
        "−": "-",
        "⁄": "/",
        "∕": "/",
    }
)
# Letters of ASCII that many fonts draw alike, each on one of its kind.
_CONFUSABLE = str.maketrans({"0": "o", "1": "l", "i": "l", "|": "l", "5": "s"})
_SHORTEST = 5
"""Below, one edit leads from any name to a dozen honest ones."""
_LONGEST = 100
_BATCH = 10_000


def normal(name: str) -> str:
    """A project name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def unicode_skeleton(text: str) -> str:
    """`text` with case, Unicode form, marks and letters of other scripts folded; two alike are one to many systems
    or to the eye.
    """
    if text.isascii():
        return text.lower()
    parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    # Marks and characters that show as nothing do not make another name to the eye.
    bare = "".join(ch for ch in parts if unicodedata.category(ch) not in ("Mn", "Me", "Cf"))
    return bare.translate(_HOMOGLYPHS)


def skeleton(text: str) -> str:
    """`unicode_skeleton` with the letters of ASCII folded that fonts draw alike: 0/o, 1/l/i, 5/s, rn/m, vv/w."""
    return unicode_skeleton(text).translate(_CONFUSABLE).replace("rn", "m").replace("vv", "w")


def skeletons(texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each text with its `skeleton`. Many at a time, for that is ten times as quick on millions."""
    rest = iter(texts)
    while batch := list(islice(rest, _BATCH)):
        joined = "\n".join(batch)
        # A text that holds a line feed itself would shift all that follow.
        if joined.isascii() and joined.count("\n") == len(batch) - 1:
            yield from zip(batch, skeleton(joined).split("\n"), strict=True)
        else:
            yield from ((text, skeleton(text)) for text in batch)


@dataclass(frozen=True)
class Known:
    """Well-known names, ready to be compared with. Among those who look alike, the first given is named."""

    names: frozenset[str]
    bare: dict[str, str] = field(default_factory=dict)
    shapes: dict[str, str] = field(default_factory=dict)
    shorter: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, names: Iterable[str]) -> Known:
        """An index of these names."""
        listed = [normal(n) for n in names]
        known = cls(frozenset(listed))
        for name in listed:
            known.bare.setdefault(name.replace("-", ""), name)
            known.shapes.setdefault(skeleton(name).replace("-", ""), name)
            for variant in {name, *_without_one(name)} if len(name) >= _SHORTEST else ():
                known.shorter.setdefault(variant, []).append(name)
        return known

    def like(self, name: str) -> tuple[str, str] | None:
        """The well-known name that `name` looks like, and how; None where it is one itself or looks like none."""
        name = normal(name)
        if name in self.names or not name or len(name) > _LONGEST:
            return None
        if found := self.bare.get(name.replace("-", "")):
            return found, "differs only in its hyphens"
        if found := self.shapes.get(skeleton(name).replace("-", "")):
            return found, "differs only in letters that look alike"
        if len(name) < _SHORTEST - 1:
            return None
        for variant in (name, *_without_one(name)):
            for known in self.shorter.get(variant, ()):
                if one_edit(name, known):
                    return known, "is one letter away"
        for i in range(len(name) - 1):
            swapped = f"{name[:i]}{name[i + 1]}{name[i]}{name[i + 2 :]}"
            if swapped in self.names and len(name) >= _SHORTEST:
                return swapped, "has two letters in the other order"
        return None


def _without_one(name: str) -> list[str]:
    return [name[:i] + name[i + 1 :] for i in range(len(name))]


def one_edit(one: str, other: str) -> bool:
    """Whether one letter added, dropped or replaced leads from one to the other."""
    if len(one) > len(other):
        one, other = other, one
    if len(other) - len(one) > 1 or one == other:
        return False
    i = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))
    return one[i + (len(one) == len(other)) :] == other[i + 1 :]


def project_of(path: str) -> str:
    """The project that a path or a pattern is about: ``requests`` of ``requests/*``, ``requests-*`` and
    ``packages/requests/2.0/x.whl``; empty where it tells none.
    """
    parts = path.split("/", 2)
    name = parts[parts[0] in _FOLDERS] if len(parts) > 1 else path.rpartition("-*")[0]
    return "" if any(ch in name for ch in "*?[") else name


_FOLDERS = frozenset({"packages", "project", "projects", "simple", "pypi", "targets"})


@lru_cache(maxsize=2)
def known_with(more: tuple[str, ...]) -> Known:
    """The names that are copied most, after those that a script adds."""
    return Known.of((*more, *WELL_KNOWN))
