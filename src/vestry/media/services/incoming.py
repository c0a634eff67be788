"""What arrived to be signed, whoever's format it came in."""

from __future__ import annotations

from dataclasses import dataclass

from vestry.metadata.document import Document
from vestry.metadata.services import Service


@dataclass(frozen=True)
class Pending:
    """A document with the signatures that it has, and the one that decides who signs it (None at root v1)."""

    role: str
    document: Document
    trusted: Document | None = None


@dataclass(frozen=True)
class Incoming:
    """What was found, in words, and the documents in it. `remarks` are what a signer must know of how it came."""

    what: str
    documents: tuple[Pending, ...]
    service: Service = ""
    repository: str = ""
    remarks: tuple[str, ...] = ()
