"""``vestry drives``: which sticks, cards and discs are here, and what each can be used for."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from vestry.cli import output
from vestry.errors import ExitStatus
from vestry.media import discovery
from vestry.media.discovery import Drive

_EVERY = 0.5


def run(args: argparse.Namespace) -> int:
    """List; with ``--wait``, once there is one more, or another one, than at first."""
    here = discovery.find()
    if args.wait:
        output.narrate("Insert a drive: it is noticed. Ctrl-C ends this.")
        before = here
        while not set(here) - set(before):
            time.sleep(_EVERY)
            here = discovery.find()
    if args.json:
        output.array([as_object(drive) for drive in here])
    else:
        output.line(*(str(drive.describe()) for drive in here))
        output.narrate(*(f"{d.device}: {why}" for d in here if (why := d.why_not(0))))
        if not here:
            output.narrate("No drive is here. Insert one, or wait for it: vestry drives --wait")
    return int(ExitStatus.DONE)


def as_object(drive: Drive) -> dict[str, object]:
    """A drive as JSON; sizes in bytes."""
    return {
        "device": drive.device,
        "product": drive.product,
        "serial": drive.serial,
        "label": drive.label,
        "size": drive.size,
        "free": drive.free(),
        "file_system": drive.file_system,
        "mounted": str(drive.mounted) if drive.mounted else None,
        "read_only": drive.read_only,
    }


def farewell(to: Path) -> list[str]:
    """What to say once all is synced: which drive it is on, and how to take it out."""
    drive = discovery.holding(to, discovery.find())
    if drive is None:
        return []
    return [f"on {drive.describe()}", str(drive.farewell())]
