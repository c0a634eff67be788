"""What stands around a document under review, as ``vestry review`` is told it: older roots, other documents, a date."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path

from vestry.cli.documents import read_for_review
from vestry.errors import InputRejected
from vestry.media.repository import role_in_name
from vestry.metadata.document import Document
from vestry.text import printable


@dataclass(frozen=True)
class Around:
    """`history` are older roots, `others` documents of other roles, `next_ceremony` when people meet next (UTC)."""

    history: tuple[Document, ...] = ()
    others: Mapping[str, Document] = field(default_factory=dict)
    next_ceremony: datetime | None = None


ALONE = Around()


def around(args: argparse.Namespace, older: Sequence[str]) -> Around:
    """What `args` name beside the document, and the files of `older` roots.

    Raises:
        InputRejected: a file of metadata can't be read or stands for a role that has one, an older one is no root, or
            the date is none.
    """
    history = tuple(read_for_review(Path(name), limit=args.limit) for name in older)
    for name, doc in zip(older, history, strict=True):
        if doc.type != "root":
            raise InputRejected(
                f"this is a {printable(doc.type)}: only roots lead from one version to the next",
                where=printable(name, 200),
                do="of other roles, give an old and a new version",
                code="E-USAGE",
            )
    others: dict[str, Document] = {}
    for path in map(Path, args.beside):
        doc = read_for_review(path, limit=args.limit)
        role = role_of(path) if doc.type == "targets" else doc.type
        if role in others:
            raise InputRejected(
                f"there is another document of {printable(role, 80)}", where=printable(str(path), 200), code="E-USAGE"
            )
        others[role] = doc
    return Around(history, others, _day(args.next) if args.next else None)


def role_of(path: Path) -> str:
    """The role that a file of metadata is named after, as ``bins`` in ``3.bins.json``; the whole name where none is."""
    return role_in_name(path) or path.name


def _day(text: str) -> datetime:
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        try:
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        except ValueError:
            pass
    raise InputRejected(f"'{printable(text, 40)}' is not a day like 2027-11-30", where="--next", code="E-USAGE")
