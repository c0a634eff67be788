"""``vestry review``: what changed, what to answer, who must sign."""

from __future__ import annotations

import argparse
import gc
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from vestry.cli import output
from vestry.cli.around import ALONE, Around, around, role_of
from vestry.cli.documents import GivenKeys, given_keys, read_for_review
from vestry.errors import ExitStatus, InputRejected
from vestry.media import bundle
from vestry.media.arrivals import bundle_folder
from vestry.media.bundle import Bundle
from vestry.media.drives import write_file
from vestry.metadata import layout, scope
from vestry.metadata.document import Document, role_entry
from vestry.metadata.policy import DEFAULT
from vestry.metadata.review import Review, review
from vestry.metadata.review_text import render_lines
from vestry.text import printable


def run(args: argparse.Namespace) -> int:
    """Show the review; 1 where a finding stops it."""
    gc.disable()  # among half a million entries there are no cycles, and to look for them takes a second
    try:
        found, details = _review(args, given_keys(args.key, args.threshold))
    finally:
        gc.enable()
    if args.html:
        from vestry.record.review_page import review_page  # noqa: PLC0415 - only a page to print needs it

        write_file(Path(args.html), "".join(review_page(found)).encode("ascii"))
        output.narrate(f"written: {printable(args.html, 200)}, one page to print")
    if args.json:
        output.narrate(*details)
        output.emit(found.to_dict())
    elif args.html or args.plain or not output.screen_here():
        output.narrate(*details)
        output.line(*render_lines(found, width=width()))
    else:
        from vestry.tui.review_app import run_review  # noqa: PLC0415 - only the screen loads Textual

        run_review(found, [text.strip() for text in details])
    return int(ExitStatus.DONE if found.ok else ExitStatus.DOES_NOT_HOLD)


def of_bundle(opened: Bundle, *, now: datetime, beside: Around = ALONE) -> Review:
    """The review of a bundle's document with the signatures that came with it."""
    is_root = opened.role == "root"
    return review(
        opened.role,
        opened.as_found(),
        old=opened.trusted if is_root else opened.previous,
        delegator=None if is_root else opened.trusted,
        now=now,
        known=lambda keyid: opened.holders.get(keyid, ""),
        policy=replace(DEFAULT, service=opened.service),
        signers=opened.signers,
        history=beside.history,
        others=beside.others,
        next_ceremony=beside.next_ceremony,
    )


def decided_by(opened: Bundle) -> list[str]:
    """What the reader must know of what came with the document, for the bundle brought it and nobody vouches for it but
    the reader: the document that decides the keys, and what its maker notes.
    """
    lines = []
    if (before := opened.trusted) is not None:
        unsigned = "" if before.signatures else ", without signatures"
        name = f"{printable(before.type)} v{before.version}"
        lines = [
            f"note: {name} decides who must sign. It came in the bundle{unsigned}.",
            f"      Compare {name} with the one you trust. Its digest:",
            *output.digest_lines(before.digest),
        ]
    if opened.notes:
        lines.append("note: whoever made the bundle says (their word, which nobody signed):")
        lines += [f"      {printable(text, 300)}" for text in opened.notes]
    return lines


def width() -> int:
    """Columns to fill: those of the terminal, 80 to 132."""
    try:
        return max(80, min(os.get_terminal_size().columns, 132))
    except OSError:
        return 80


def _review(args: argparse.Namespace, given: GivenKeys) -> tuple[Review, list[str]]:
    """The review, and what its reader must know beside it."""
    limit, now = args.limit, datetime.now(UTC)
    older, paths = args.documents[:-2], args.documents[-2:]
    beside = around(args, older)
    if len(paths) == 1:
        folder = bundle_folder(Path(paths[0]))
        if folder is not None or Path(paths[0]).is_dir():
            opened = bundle.open_bundle(folder or Path(paths[0]))
            only_layouts(given, "bundle")
            return of_bundle(opened, now=now, beside=beside), decided_by(opened)
        if args.delegator:
            new = read_for_review(Path(paths[0]), limit=limit)
            return _delegated(Path(paths[0]), new, None, Path(args.delegator), limit, now, beside), []
        return of_files(read_for_review(Path(paths[0]), limit=limit), None, given, now=now, beside=beside), []
    old = read_for_review(Path(paths[0]), limit=limit)
    new = read_for_review(Path(paths[1]), limit=limit, before=old)
    if old.type != new.type:
        raise InputRejected(
            f"a {old.type} and a {new.type} cannot be compared",
            where="review",
            do="give two versions of the same role",
            code="E-USAGE",
        )
    if args.delegator:
        return _delegated(Path(paths[1]), new, old, Path(args.delegator), limit, now, beside), []
    return of_files(new, old, given, now=now, beside=beside), []


def _delegated(
    path: Path, new: Document, old: Document | None, above: Path, limit: int, now: datetime, beside: Around
) -> Review:
    """The review of a document whose delegator is at hand. A file does not say what role it is of: its name does."""
    delegator = read_for_review(above, limit=limit)
    role = role_of(path)
    around_it = {**beside.others, role_of(above): delegator}
    if role_entry(delegator, role) is None:
        raise InputRejected(
            f"{printable(delegator.type)} v{delegator.version} names no role '{printable(role, 80)}'",
            where=printable(str(above), 200),
            do="call the file as its role, such as 7.claimed.json, and name the document that delegates to it",
            code="E-USAGE",
        )
    return review(
        role,
        new,
        old=old,
        delegator=delegator,
        now=now,
        ancestors=scope.above(role, around_it),
        others=beside.others,
        next_ceremony=beside.next_ceremony,
    )


def of_files(new: Document, old: Document | None, given: GivenKeys, *, now: datetime, beside: Around = ALONE) -> Review:
    """The review of a document that came as a file; for a layout, with the keys that must sign it."""
    if new.type != layout.TYPE:
        only_layouts(given, new.type)
        return review(
            new.type,
            new,
            old=old,
            now=now,
            history=beside.history,
            others=beside.others,
            next_ceremony=beside.next_ceremony,
        )
    return review(new.type, new, old=old, now=now, known=given.known(new, old), signers=given.signers(new))


def only_layouts(given: GivenKeys, what: str) -> None:
    """Refuse keys for a document whose signers are named by metadata."""
    if given.keys:
        raise InputRejected(
            f"this is a {printable(what, 40)}: documents say whose keys sign it",
            where="--key",
            do="leave --key away; it is for in-toto layouts",
            code="E-USAGE",
        )
