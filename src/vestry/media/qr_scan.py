"""What QR codes say in pictures, folders of them, videos, and before a camera; with the extra ``vestry[scan]`` alone.

PyAV decodes pictures as videos of one frame, so that there is one decoder for all; zxing-cpp finds the codes. Both are
given bounded work: a picture of more than 50 million pixels is refused before it is decoded. Of what FFmpeg knows,
formats that hold their pictures themselves are read, and no lists of other files or addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vestry.errors import InputRejected, MediumTrouble
from vestry.metadata import intake
from vestry.text import printable

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

PIXELS_LIMIT = 50_000_000
FILES_LIMIT = 10_000

_CAMERA = "v4l2"
# To open a file decodes its first picture already, and a later one may be larger.
_BOUNDED = {"max_pixels": str(PIXELS_LIMIT)}
_FORMATS = (
    *("png_pipe", "apng", "jpeg_pipe", "webp_pipe", "bmp_pipe", "tiff_pipe", "gif"),
    *("mov", "matroska", "avi", "mpegts"),
)
_OF_FILES = {**_BOUNDED, "format_whitelist": ",".join(_FORMATS)}


def available() -> None:
    """Whether pictures can be read here.

    Raises:
        InputRejected: the extra is not installed.
    """
    try:
        import av  # noqa: F401, PLC0415 - an extra: nothing else may need it
        import zxingcpp  # noqa: F401, PLC0415
    except ImportError as error:
        raise InputRejected(
            "reading pictures needs zxing-cpp and av, which are not installed",
            where="qr read",
            do="install vestry[scan]: pip install --require-hashes -r requirements/scan.lock",
            code="E-QR-SCAN",
        ) from error


def files_in(path: Path) -> list[Path]:
    """The files to look at: `path`, or what lies in it, by name. Dot files and folders in it are passed over.

    Raises:
        InputRejected: it is not there, or too many files are.
        MediumTrouble: the folder can't be read.
    """
    where = printable(str(path), 200)
    try:
        if path.is_file():
            return [path]
        found = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise InputRejected(
            "there is no such file or folder", where=where, do="check the path", code="E-QR-NONE"
        ) from None
    except OSError as error:
        raise MediumTrouble(
            f"it cannot be read ({error.strerror})", where=where, do="check the drive", code="E-DRIVE-ERROR"
        ) from error
    if len(found) > FILES_LIMIT:
        raise InputRejected(f"more than {FILES_LIMIT:,} files", where=where, do="name the pictures", code="E-QR-NONE")
    return found


def texts(path: Path) -> Iterator[str]:
    """What the codes in a picture or video say, in the order of its frames.

    Raises:
        InputRejected: it can't be decoded as either, or its pictures are too large.
        MediumTrouble: it can't be read.
    """
    import av  # noqa: PLC0415

    with (
        _translated(printable(str(path), 200)),
        # By its number, not its name, from which FFmpeg would guess a format and which files belong to it.
        intake.open_file(path) as file,
        av.open(file, mode="r", options=_OF_FILES) as container,
    ):
        yield from _codes(container, printable(str(path), 200))


def camera(device: str) -> Iterator[str]:
    """What the codes before a camera say, until whoever asks stops asking.

    Raises:
        MediumTrouble: there is no such camera, or it stopped.
    """
    import av  # noqa: PLC0415

    where = printable(device, 200)
    try:
        with av.open(device, mode="r", format=_CAMERA, options=_BOUNDED) as container:
            yield from _codes(container, where)
    except (OSError, ValueError, av.FFmpegError) as error:
        raise MediumTrouble(
            f"the camera gives no pictures ({printable(str(error), 100)})",
            where=where,
            do="plug it in, or name it: --camera /dev/video1",
            code="E-QR-CAMERA",
        ) from error


@contextmanager
def _translated(where: str) -> Iterator[None]:
    import av  # noqa: PLC0415

    try:
        yield
    except av.FFmpegError as error:
        raise InputRejected(
            "this is no picture and no video that can be read here",
            where=where,
            do="take PNG, JPEG, WebP, MP4 or WebM",
            code="E-QR-PICTURE",
        ) from error
    except OSError as error:
        raise MediumTrouble(
            f"cannot read: {error.strerror}", where=where, do="check the drive", code="E-DRIVE-ERROR"
        ) from error


def _codes(container: InputContainer, where: str) -> Iterator[str]:
    from av.error import InvalidDataError  # noqa: PLC0415
    from zxingcpp import BarcodeFormat, BarcodeFormats, read_barcodes  # noqa: PLC0415

    if not container.streams.video:
        raise InputRejected("there are no pictures in it", where=where, do="take a video", code="E-QR-PICTURE")
    stream = container.streams.video[0]
    if not stream.width * stream.height:
        raise InputRejected(
            f"its pictures have more than {PIXELS_LIMIT:,} pixels, or are damaged",
            where=where,
            do="make them smaller",
            code="E-QR-PICTURE",
        )
    stream.codec_context.options = _BOUNDED
    seen = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except InvalidDataError:
            continue  # a camera's film may be damaged in places; the next frame may be whole
        for frame in frames:
            seen += 1
            for code in read_barcodes(_grey(frame), formats=BarcodeFormats(BarcodeFormat.QRCode)):
                yield code.text
    if not seen:
        raise InputRejected("no picture in it can be decoded", where=where, do="take another", code="E-QR-PICTURE")


def _grey(frame: av.VideoFrame) -> memoryview:
    grey = frame.reformat(format="gray")
    plane = grey.planes[0]
    rows = bytes(plane)
    if plane.line_size != grey.width:
        ends = range(0, plane.line_size * grey.height, plane.line_size)
        rows = b"".join(rows[at : at + grey.width] for at in ends)
    return memoryview(rows).cast("B", (grey.height, grey.width))
