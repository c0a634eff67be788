"""Which characters beyond ASCII this terminal can draw: three tiers, chosen once at start.

``ascii`` draws nothing else. ``vt`` draws what the kernel's own console font and Debian's console fonts share: single
lines and two shades. ``full`` is for terminals with real fonts. Half blocks, for QR codes, are a question apart: one
console font has them, the other does not.
"""

from __future__ import annotations

import array
import fcntl
import locale
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Tier = Literal["ascii", "vt", "full"]

# The kernel's keyboard and display interface, linux/kd.h: the console font's map from code points to glyphs.
_GIO_UNIMAP = 0x4B66
_PAIRS = 8192
_LINES = frozenset("─│┌┐└┘█░")
_HALVES = frozenset("▀▄█")


@dataclass(frozen=True)
class Glyphs:
    """A tier, spelled out. `border` is a Textual border type; `half_blocks` says that a QR code can be drawn small."""

    tier: Tier
    half_blocks: bool = False

    @property
    def rule(self) -> str:
        """A horizontal line is made of these."""
        return "-" if self.tier == "ascii" else "─"

    @property
    def filled(self) -> str:
        """A signature in a meter."""
        return "#" if self.tier == "ascii" else "█"

    @property
    def open(self) -> str:
        """A signature that is still wanted."""
        return "-" if self.tier == "ascii" else "░"

    @property
    def border(self) -> Literal["ascii", "solid"]:
        """The Textual border type of boxes."""
        return "ascii" if self.tier == "ascii" else "solid"

    @cached_property
    def drawn(self) -> frozenset[str]:
        """Every character beyond ASCII that may reach the terminal."""
        lines = frozenset() if self.tier == "ascii" else _LINES
        return lines | (_HALVES if self.half_blocks else frozenset())


ASCII, VT, FULL = Glyphs("ascii"), Glyphs("vt"), Glyphs("full", half_blocks=True)
_NAMED: Mapping[str, Glyphs] = {"ascii": ASCII, "vt": VT, "full": FULL}


def choose(wanted: str | None = None, *, terminal: int = 2, environ: Mapping[str, str] = os.environ) -> Glyphs:
    """The tier that was asked for by name (argument or ``VESTRY_GLYPHS``), else what the terminal can draw.

    An unknown name counts as no name: a ceremony should not end over it.
    """
    named = _NAMED.get(wanted or environ.get("VESTRY_GLYPHS", ""))
    if named is not None:
        return named
    font = console_font(terminal)
    if font is not None:
        return Glyphs("vt" if font >= _LINES else "ascii", half_blocks=font >= _HALVES)
    if "UTF-8" not in locale.nl_langinfo(locale.CODESET).upper():
        return ASCII
    # A console that does not tell its font (no right to ask) is taken for the poorest one.
    return VT if environ.get("TERM") == "linux" else FULL


def console_font(terminal: int) -> frozenset[str] | None:
    """The characters that the font of a Linux virtual console has; None where it is no such console."""
    pairs = array.array("H", bytes(4 * _PAIRS))
    request = bytearray(struct.pack("HP", _PAIRS, pairs.buffer_info()[0]))
    try:
        fcntl.ioctl(terminal, _GIO_UNIMAP, request)
    except OSError:
        return None
    count = struct.unpack_from("H", request)[0]
    return frozenset(chr(pairs[2 * i]) for i in range(count))
