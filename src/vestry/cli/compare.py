"""``vestry compare``: what became of a last good snapshot of a repository."""

from __future__ import annotations

import argparse
import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

from vestry.cli import output
from vestry.errors import ExitStatus
from vestry.media import snapshot
from vestry.metadata.comparison import KINDS
from vestry.text import printable


def run(args: argparse.Namespace) -> int:
    """Compare two folders; 1 where anything differs but expiry, signatures and versions that went up."""
    good, now = (snapshot.open_snapshot(Path(folder)) for folder in (args.good, args.now))
    digests = [hashlib.sha256(snapshot.listing(one)).hexdigest() for one in (good, now)]
    counts: Counter[str] = Counter()
    listed: list[dict[str, Any]] = []
    for difference in snapshot.compare(good, now):
        counts[difference.kind] += 1
        if len(listed) < args.most:
            listed.append(difference.to_dict())
    if args.json:
        output.emit(
            {
                "ok": not counts,
                "good_sha256": digests[0],
                "now_sha256": digests[1],
                "counts": dict(counts),
                "differences": listed,
            }
        )
    else:
        for one in listed:
            output.line(f"{one['kind']}: {printable(one['role'], 60)} {printable(one['path'], 300)}".rstrip())
        if len(listed) < sum(counts.values()):
            output.line(f"... and {sum(counts.values()) - len(listed):,} more; --most N lists more of them")
        output.line(*(f"{counts[kind]:,} times {what}" for kind, what in KINDS.items() if counts[kind]))
        output.line(f'good_sha256 = "{digests[0]}"  # snapshot v{good.document.version}, {len(good.files):,} roles')
        output.line(f'now_sha256 = "{digests[1]}"  # snapshot v{now.document.version}, {len(now.files):,} roles')
        output.line("They differ." if counts else "Nothing differs but expiry, signatures and versions that went up.")
    return int(ExitStatus.DOES_NOT_HOLD if counts else ExitStatus.DONE)
