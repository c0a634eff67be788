"""Pictures of what the screen painted and of QR codes, as a camera takes them, and what zxing-cpp reads in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
from rich.color import ColorSystem
from rich.style import Style
from rich.terminal_theme import DEFAULT_TERMINAL_THEME
from textual.app import App
from zxingcpp import BarcodeFormat, BarcodeFormats, read_barcodes

from vestry.media.qr import Matrix

CELL = (8, 16)
"""Pixels of a character cell: those of a console's font."""
_HALVES = {" ": (False, False), "▀": (True, False), "▄": (False, True), "█": (True, True)}
_DIM, _BLACK = 170, 0


def screen(app: App[Any]) -> memoryview:
    """The app's screen in grey, each cell drawn from the character and the colours that were painted."""
    width, height = CELL
    rows: list[bytes] = []
    for strip in app.screen._compositor.render_strips():
        upper, lower = bytearray(), bytearray()
        for segment in strip:
            ink, paper = _inks(segment.style or Style())
            for character in segment.text:
                # Any other glyph is some ink in the middle of its cell.
                above, below = _HALVES.get(character, (False, False))
                letter = bytes([paper] * 2 + [ink] * (width - 4) + [paper] * 2) if character not in _HALVES else b""
                upper += letter or bytes([ink if above else paper]) * width
                lower += letter or bytes([ink if below else paper]) * width
        rows += [bytes(upper)] * (height // 2) + [bytes(lower)] * (height // 2)
    return memoryview(b"".join(rows)).cast("B", (len(rows), len(rows[0])))


def codes(picture: memoryview) -> list[str]:
    """The texts of the QR codes in a picture."""
    return [code.text for code in read_barcodes(picture, formats=BarcodeFormats(BarcodeFormat.QRCode))]


def png(path: Path, *matrices: Matrix, module: int = 4) -> Path:
    """Codes side by side in one picture, on white."""
    return _picture(path, "png", "gray", matrices, module)


def jpeg(path: Path, *matrices: Matrix, module: int = 4) -> Path:
    """The same as phones send it: with loss, and with an Exif header."""
    raw = _picture(path, "mjpeg", "yuvj420p", matrices, module).read_bytes()
    path.write_bytes(raw[:2] + b"\xff\xe1\x00\x10Exif\0\0II*\0\x08\0\0\0" + raw[2:])
    return path


def video(path: Path, frames: list[Matrix], module: int = 4) -> Path:
    """One code after the other, each for a single frame, compressed as a camera does."""
    pictures = [[row for y in m for row in [_row(y, len(m), module)] * module] for m in frames]
    _encode(path, "mp4", "mpeg4", "yuv420p", pictures, rate=6)
    return path


def _picture(path: Path, codec: str, pixels: str, matrices: tuple[Matrix, ...], module: int) -> Path:
    rows = [
        b"".join(_row(m[y] if y < len(m) else [], len(m), module) for m in matrices) for y in range(_high(matrices))
    ]
    _encode(path, "image2", codec, pixels, [[row for row in rows for _ in range(module)]], rate=1)
    return path


def _high(matrices: tuple[Matrix, ...]) -> int:
    return max(len(m) for m in matrices)


def _row(cells: list[bool], width: int, module: int) -> bytes:
    return b"".join((b"\x00" if dark else b"\xff") * module for dark in (cells or [False] * width))


def _encode(path: Path, form: str, codec: str, pixels: str, pictures: list[list[bytes]], rate: int) -> None:
    width, height = len(pictures[0][0]) & ~1, len(pictures[0]) & ~1
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate, options={"qscale": "3"})
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        for rows in pictures:
            frame = av.VideoFrame(width, height, "gray")
            plane = frame.planes[0]
            plane.update(b"".join(row[:width].ljust(plane.line_size, b"\xff") for row in rows[:height]))
            container.mux(stream.encode(frame.reformat(format=pixels)))
        container.mux(stream.encode())


def _inks(style: Style) -> tuple[int, int]:
    ink = _grey(style.color, _DIM)
    paper = _grey(style.bgcolor, _BLACK)
    return (paper, ink) if style.reverse else (ink, paper)


def _grey(color: Any, default: int) -> int:
    if color is None or color.is_default:
        return default
    assert color.downgrade(ColorSystem.STANDARD) == color, "a colour beyond the sixteen that every terminal has"
    triplet = color.get_truecolor(DEFAULT_TERMINAL_THEME)
    return (triplet.red * 3 + triplet.green * 6 + triplet.blue) // 10
