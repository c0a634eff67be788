"""What came, by whichever way: a bundle as a folder, on a drive or in an archive, or signatures by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from vestry.errors import InputRejected, MediumTrouble
from vestry.media import archive, bundle, entries, signatures
from vestry.media.bundle import Bundle
from vestry.metadata.document import Signature
from vestry.text import printable


def bundle_folder(path: Path) -> Path | None:
    """The bundle that `path` is, or the one bundle in it, as on a drive; None where there is no bundle.

    Raises:
        InputRejected: several bundles lie in it.
        MediumTrouble: it can't be read.
    """
    with _reached(path):
        if (path / "bundle.json").is_file():
            return path
        if not path.is_dir():
            return None
        inside = bundles_on(path)
    if len(inside) > 1:
        raise InputRejected(
            f"{len(inside)} bundles lie here",
            where=printable(str(path), 200),
            do=f"name one of them, for example {printable(str(inside[0]), 200)}",
            code="E-BUNDLE-WHICH",
        )
    return inside[0] if inside else None


def bundles_on(medium: Path) -> list[Path]:
    """The bundles in the folders on a medium; a link to a folder is none of them."""
    return sorted(p.parent for p in medium.glob("*/bundle.json") if not p.parent.is_symlink())


def files(path: Path) -> tuple[Path, Mapping[str, bytes]]:
    """The files of the bundle that came, by name, and where exactly they lie.

    Raises:
        InputRejected: there is no bundle, there are several, or it holds what a bundle does not.
        MediumTrouble: it can't be read.
    """
    if path.is_file():
        return path, archive.read(path)
    folder = bundle_folder(path) or path
    return folder, entries.read(folder)


def open_bundle(path: Path) -> Bundle:
    """The bundle that came; as `bundle.of_files`, and as `files`."""
    where, found = files(path)
    return bundle.of_files(found, where)


def signatures_in(path: Path) -> tuple[Signature, ...]:
    """Every signature in a bundle, in the one bundle on a drive, in an archive of one, in a folder of signature files,
    or the one in such a file; none is judged.

    Raises:
        InputRejected: it is none of these, or something in it is malformed.
        MediumTrouble: it can't be read.
    """
    with _reached(path):
        is_folder, is_file = path.is_dir(), path.is_file()
    if entries.is_signature(path.name) and not is_folder:
        return (signatures.read(path),)
    if is_file:
        return bundle.of_files(archive.read(path), path).signatures
    if (folder := bundle_folder(path)) is not None:
        return bundle.open_bundle(folder).signatures
    return tuple(map(signatures.read, entries.signature_files(path).values()))


@contextmanager
def _reached(path: Path) -> Iterator[None]:
    """To ask whether a file is there fails, too, where the drive is gone."""
    try:
        yield
    except OSError as error:
        raise MediumTrouble(
            f"it cannot be read ({error.strerror})",
            where=printable(str(path), 200),
            do="check the drive, or take another copy",
            code="E-DRIVE-ERROR",
        ) from error
