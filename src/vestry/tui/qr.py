"""A QR code as lines: half blocks, two modules a cell, or on poorer fonts reversed spaces, two cells a module."""

from __future__ import annotations

from vestry.media import qr
from vestry.media.qr import Matrix
from vestry.tui.glyphs import Glyphs
from vestry.tui.lines import Line, Span, line

_HALVES = {(False, False): " ", (False, True): "▄", (True, False): "▀", (True, True): "█"}
"""By whether the upper and the lower module are light."""


def matrix(digest: str) -> Matrix:
    """The code of ``SHA256:HEX``."""
    return qr.matrix(f"SHA256:{digest.upper()}")


def size(side: int, glyphs: Glyphs) -> tuple[int, int]:
    """Columns and rows that a code of so many modules a side takes, its border among them."""
    return (side, (side + 1) // 2) if glyphs.half_blocks else (2 * side, side)


def fitting(columns: int, rows: int, glyphs: Glyphs) -> tuple[int, ...]:
    """The versions, by rising size, that have room in so many columns and rows."""
    sides = {v: size(qr.side(v) + 2 * qr.BORDER, glyphs) for v in qr.VERSIONS}
    return tuple(v for v, (wide, high) in sides.items() if wide <= columns and high <= rows)


def drawn(modules: Matrix, glyphs: Glyphs) -> list[Line]:
    """Light modules are painted in white, on black. Half blocks carry two rows each."""
    if not glyphs.half_blocks:
        # Reversed spaces need no font at all.
        return [tuple(Span("  ", "plain" if dark else "cursor") for dark in row) for row in modules]
    rows = [*modules, [True] * len(modules[0])] if len(modules) % 2 else modules
    return [
        line("".join(_HALVES[not above, not below] for above, below in zip(rows[i], rows[i + 1], strict=True)), "qr")
        for i in range(0, len(rows), 2)
    ]
