"""QR codes (ISO/IEC 18004) as matrices of modules: alphanumeric mode, level L, the smallest or a given version.

Alphanumeric mode, since every reader gives it back as it was; many garble bytes. Level L, since a frame that was not
read comes again, and a still code is looked at until it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Level = Literal["l", "m"]
Matrix = list[list[bool]]
"""Rows of modules, True where dark."""

BORDER = 2
"""Light modules around a code. The standard asks for four; readers do with two, and a row is dear in a terminal."""
VERSIONS = range(2, 16)
"""Those that frames are drawn in: 1 is too small for one, and beyond 15 a phone's camera begins to miss."""

_ROOM = (25, 47, 77, 114, 154, 195, 224, 279, 335, 395, 468, 535, 619, 667, 758)
_MASK = 0


def side(version: int) -> int:
    """Modules a side, without a border."""
    return 17 + 4 * version


def room(version: int) -> int:
    """Characters that a code of a version from 1 to 15 holds: alphanumeric mode, level L (table 7)."""
    return _ROOM[version - 1]


def smallest(text: str, versions: Sequence[int]) -> int | None:
    """The smallest of `versions` that holds `text`; None where none does."""
    return next((v for v in versions if room(v) >= len(text)), None)


def matrix(text: str, *, version: int | None = None, border: int = BORDER, level: Level = "l") -> Matrix:
    """The code of `text`, which is made of the 45 characters of alphanumeric mode.

    With `version`, as one frame of many: that version, and the first mask, as to weigh all eight takes longer than
    a frame should. Without it, the smallest version that holds the text at `level` or above, and the best mask.
    """
    import segno  # noqa: PLC0415 - it reads a good part of the standard library, and few starts end in a code

    code = segno.make(
        text,
        error=level,
        version=version,
        mode="alphanumeric",
        mask=None if version is None else _MASK,
        boost_error=version is None,
        micro=False,
    )
    return [[bool(cell) for cell in row] for row in code.matrix_iter(border=border)]
