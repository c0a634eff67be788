"""``vestry stage layout``: an in-toto layout, for the keys that must sign it."""

from __future__ import annotations

import argparse
from pathlib import Path

from vestry.cli import staging
from vestry.cli.documents import FILE_LIMIT, given_keys, read_for_review
from vestry.errors import ExitStatus
from vestry.media import bundle
from vestry.metadata import layout


def run(args: argparse.Namespace) -> int:
    """Make the bundle: nothing in a layout says who signs it, so that comes from the command line."""
    given = given_keys(args.key, args.threshold)
    if not given.keys:
        raise staging.usage("a layout does not say who signs it: give --key NAME=PEM for each")
    found = read_for_review(Path(args.layout), limit=FILE_LIMIT)
    if found.type != layout.TYPE:
        raise staging.usage(f"this is a {found.type}, whose signers other documents name", "LAYOUT")
    unsigned = layout.with_signatures(found, ())
    signers = layout.signers(unsigned, given.keys, given.threshold)
    holders = {key.keyid: given.names[key.fingerprint] for key in signers.keys}
    made = bundle.create(Path(args.into), role=layout.TYPE, unsigned=unsigned.raw, holders=holders, signers=signers)
    staging.report(args, made, ())
    return int(ExitStatus.DONE)
