"""One quiet look in the terminal's own sixteen colours: one accent, two weights. No meaning rests on a colour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rich.style import Style
from textual.theme import BUILTIN_THEMES

from vestry.tui.lines import Tone

# Native ANSI colours: with NO_COLOR Textual then drops them all and keeps bold, dim and reverse; RGB would turn grey.
THEME = replace(BUILTIN_THEMES["ansi-dark"], name="vestry", primary="ansi_cyan", accent="ansi_cyan")

STYLES: Mapping[Tone, Style] = {
    "plain": Style(),
    "strong": Style(bold=True),
    "quiet": Style(dim=True),
    "accent": Style(color="cyan", bold=True),
    "good": Style(color="green"),
    "bad": Style(color="red", bold=True),
    "warn": Style(color="yellow", bold=True),
    "key": Style(color="cyan", bold=True),
    "cursor": Style(reverse=True),
    "qr": Style(color="bright_white", bgcolor="black"),
    "band": Style(color="yellow", bold=True, reverse=True),
}
