"""A digest as a QR code (ISO/IEC 18004), drawn with half blocks or, on poorer fonts, with whole reversed cells."""

from __future__ import annotations

import qrcode
from qrcode.constants import ERROR_CORRECT_L

from vestry.tui.glyphs import Glyphs
from vestry.tui.lines import Line, Span, line

_BORDER = 2
_HALVES = {(False, False): " ", (False, True): "▄", (True, False): "▀", (True, True): "█"}
"""By whether the upper and the lower module are light."""


def matrix(digest: str) -> list[list[bool]]:
    """Dark modules of ``SHA256:HEX`` in alphanumeric mode, level L, with a border of two light ones."""
    code = qrcode.QRCode(error_correction=ERROR_CORRECT_L, border=_BORDER)
    code.add_data(f"SHA256:{digest.upper()}")
    code.make(fit=True)
    return [[bool(cell) for cell in row] for row in code.get_matrix()]


def size(modules: list[list[bool]], glyphs: Glyphs) -> tuple[int, int]:
    """Columns and rows that it takes."""
    side = len(modules)
    return (side, (side + 1) // 2) if glyphs.half_blocks else (2 * side, side)


def drawn(modules: list[list[bool]], glyphs: Glyphs) -> list[Line]:
    """Light modules are painted in white, on black. Half blocks carry two rows each."""
    if not glyphs.half_blocks:
        # Reversed spaces need no font at all.
        return [tuple(Span("  ", "plain" if dark else "cursor") for dark in row) for row in modules]
    rows = [*modules, [True] * len(modules[0])] if len(modules) % 2 else modules
    return [
        line("".join(_HALVES[not above, not below] for above, below in zip(rows[i], rows[i + 1], strict=True)), "qr")
        for i in range(0, len(rows), 2)
    ]
