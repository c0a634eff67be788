"""Which documents a path on the command line stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vestry.errors import InputRejected
from vestry.media import bundle, evidence
from vestry.media.bundle import Bundle
from vestry.metadata import document, intake
from vestry.metadata.document import Document
from vestry.metadata.keys import Key
from vestry.text import printable
from vestry.tokens import certificates

FILE_LIMIT = 64 << 20
_PEM_LIMIT = 64 << 10


def read_document(path: Path) -> Document:
    """One file of metadata."""
    return document.read(intake.read_file(path, limit=FILE_LIMIT), where=printable(str(path), 200))


@dataclass(frozen=True)
class Given:
    """A public key that a file gave; where the file is a certificate for it, that too, as PEM."""

    key: Key
    certificate: str = ""
    said: str = ""


def read_public_key(path: Path) -> Key:
    """One public key in PEM, or that of one X.509 certificate in PEM; see `read_given`."""
    return read_given(path).key


def read_given(path: Path) -> Given:
    """One public key in PEM, or one X.509 certificate in PEM, whose key counts and whose words are kept.

    Raises:
        InputRejected: it is none, or a private one, which has no place here.
    """
    where = printable(str(path), 200)
    raw = intake.read_file(path, limit=_PEM_LIMIT)
    if b"PRIVATE KEY" in raw:
        raise InputRejected(
            "this is a private key; Vestry takes private keys from tokens only",
            where=where,
            do="give the public key",
            code="E-KEY-PRIVATE",
        )
    if raw.lstrip().startswith(b"-----BEGIN CERTIFICATE-----"):
        return _certified(raw, where)
    # PEM is ASCII (RFC 7468); anything else in the file is then refused by the parser, which names the file.
    return Given(Key.from_pem(raw.decode("ascii", "replace"), where=where))


def _certified(raw: bytes, where: str) -> Given:
    try:
        (der,) = evidence.split(raw.decode("ascii"))
    except ValueError:
        raise InputRejected(
            "this is not one X.509 certificate in PEM", where=where, do="give one certificate, or the key", code="E-KEY"
        ) from None
    seen = certificates.read(der)
    if seen is None:
        raise InputRejected("this certificate can't be read", where=where, do="give the public key", code="E-KEY")
    return Given(Key.from_spki(seen.spki, where=where), certificates.pem(der), seen.line(datetime.now(UTC)))


def bundle_folder(path: Path) -> Path | None:
    """The bundle that `path` is, or the one bundle in it, as on a drive; None where there is no bundle.

    Raises:
        InputRejected: several bundles lie in it.
    """
    if (path / "bundle.json").is_file():
        return path
    if not path.is_dir():
        return None
    inside = sorted(p.parent for p in path.glob("*/bundle.json"))
    if len(inside) > 1:
        raise InputRejected(
            f"{len(inside)} bundles lie here",
            where=printable(str(path), 200),
            do=f"name one of them, for example {printable(str(inside[0]), 200)}",
            code="E-BUNDLE-WHICH",
        )
    return inside[0] if inside else None


def open_bundle(text: str) -> Bundle:
    """The bundle at `text`."""
    return bundle.open_bundle(bundle_folder(Path(text)) or Path(text))


def named_inputs(pairs: Sequence[str]) -> Mapping[str, Path]:
    """``NAME=FILE`` pairs as a mapping."""
    found: dict[str, Path] = {}
    for pair in pairs:
        name, _, file = pair.partition("=")
        if not (name and file) or name in found:
            raise InputRejected(
                f"'{printable(pair, 200)}' is not NAME=FILE, or names it again", where="--input", code="E-USAGE"
            )
        found[name] = Path(file)
    return found
