"""Signatures that came back in another system's form, for a bundle that waits for them."""

from __future__ import annotations

from pathlib import Path

from vestry.errors import InputRejected
from vestry.media.bundle import Bundle
from vestry.media.services import detached, rstuf, tuf_on_ci
from vestry.media.services.incoming import Pending
from vestry.metadata import intake
from vestry.metadata.document import Signature
from vestry.text import printable


def signatures_for(into: Bundle, path: Path) -> list[Signature] | None:
    """The signatures at `path` over the document of `into`; None where it is in no other system's form.

    Read are RSTUF's payloads, a tuf-on-ci checkout, and go-tuf's lists and bare signatures. None of them is judged.

    Raises:
        InputRejected: it is malformed, or a signature for another role.
        MediumTrouble: it can't be read.
    """
    if path.is_dir():
        return _of(into, tuf_on_ci.signed(path)) if tuf_on_ci.is_checkout(path) else None
    if not path.is_file():
        return None
    where = printable(str(path), 200)
    raw = intake.read_file(path, limit=rstuf.LIMIT)
    if not raw.isascii():
        return None
    if not raw.lstrip().startswith(b"{"):
        return list(detached.read_signatures(raw, into.document, into.authorities(), where=where))
    if not rstuf.is_payload(intake.parse(raw, where=where)):
        return None
    payload = rstuf.parse(raw, where=where)
    if isinstance(payload, rstuf.Signed):
        if payload.role != into.role:
            raise InputRejected(
                f"this is a signature for {printable(payload.role, 60)}",
                where=where,
                do="collect it in that role's bundle",
                code="E-BUNDLE-OTHER",
            )
        return [payload.signature]
    return _of(into, rstuf.incoming(payload, where=where).documents)


def _of(into: Bundle, found: tuple[Pending, ...]) -> list[Signature]:
    wanted = (into.role, into.document.digest)
    return [s for p in found if (p.role, p.document.digest) == wanted for s in p.document.signatures if s.sig]
