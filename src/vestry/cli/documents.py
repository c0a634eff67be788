"""Which documents a path on the command line stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vestry.errors import InputRejected
from vestry.media import bundle, evidence
from vestry.media.arrivals import bundle_folder
from vestry.media.bundle import Bundle
from vestry.metadata import document, intake, layout
from vestry.metadata.document import Document
from vestry.metadata.keys import Key
from vestry.metadata.thresholds import Authority
from vestry.text import printable
from vestry.tokens import certificates

FILE_LIMIT = 64 << 20
_PEM_LIMIT = 64 << 10


def read_document(path: Path, *, limit: int = FILE_LIMIT) -> Document:
    """One file of metadata."""
    raw = intake.read_file(path, limit=limit)
    return document.read(raw, where=printable(str(path), 200), limits=intake.Limits(bytes=limit))


@dataclass(frozen=True)
class Given:
    """A public key that a file gave; where the file is a certificate for it, that too, as PEM."""

    key: Key
    certificate: str = ""
    said: str = ""


def read_for_review(path: Path, *, limit: int = FILE_LIMIT, before: Document | None = None) -> Document:
    """One file to be read, not signed: metadata, also in other tools' old forms, or an in-toto layout. The version
    `before` it makes a large one quicker to read."""
    raw = intake.read_file(path, limit=limit)
    return layout.read(raw, where=printable(str(path), 200), limits=intake.Limits(bytes=limit), before=before)


@dataclass(frozen=True)
class GivenKeys:
    """Public keys from the command line, in order, their holders' names by fingerprint, and how many must sign."""

    keys: tuple[Key, ...]
    names: Mapping[str, str]
    threshold: int

    def signers(self, new: Document) -> Authority | None:
        """Who must sign a layout; nobody was named where no key was given."""
        return layout.signers(new, self.keys, self.threshold) if self.keys else None

    def known(self, new: Document, old: Document | None = None) -> Callable[[str], str]:
        """Names by key id, for the keys of these documents and the ids that signatures go by."""
        found = {k.keyid: k for side in (old, new) if side for k in document.keys(side).values()}
        who = self.signers(new)
        found |= {k.keyid: k for k in (who.keys if who else ())}
        return lambda keyid: self.names.get(found[keyid].fingerprint, "") if keyid in found else ""


NO_KEYS = GivenKeys((), {}, 0)


def given_keys(pairs: Sequence[str], threshold: int | None) -> GivenKeys:
    """``--key NAME=PEM`` and ``--threshold N``; without the latter, every key must sign, as in-toto has it.

    Raises:
        InputRejected: a file is no public key, a key stands twice, or the threshold is out of reach.
    """
    keys = {name: read_public_key(path) for name, path in named_inputs(pairs, "--key").items()}
    names = {key.fingerprint: name for name, key in keys.items()}
    if len(names) < len(keys):
        raise InputRejected("one key is given under two names", where="--key", code="E-USAGE")
    wanted = len(keys) if threshold is None else threshold
    if threshold is not None and not 1 <= threshold <= len(keys):
        raise InputRejected(
            f"{threshold} of {len(keys)} keys can't sign",
            where="--threshold",
            do="give --key NAME=PEM for each",
            code="E-USAGE",
        )
    return GivenKeys(tuple(keys.values()), names, wanted)


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


def open_bundle(text: str) -> Bundle:
    """The bundle at `text`."""
    return bundle.open_bundle(bundle_folder(Path(text)) or Path(text))


def named_inputs(pairs: Sequence[str], option: str = "--input") -> Mapping[str, Path]:
    """``NAME=FILE`` pairs as a mapping."""
    found: dict[str, Path] = {}
    for pair in pairs:
        name, _, file = pair.partition("=")
        if not (name and file) or name in found:
            raise InputRejected(
                f"'{printable(pair, 200)}' is not NAME=FILE, or names it again", where=option, code="E-USAGE"
            )
        found[name] = Path(file)
    return found
