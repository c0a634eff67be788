"""Which drive: those that are here are offered, and one that is inserted while the program waits is noticed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from vestry.ceremony.dialogue import Choose, Front
from vestry.media import discovery
from vestry.media.discovery import Drive

_PATIENCE, _EVERY = 15.0, 0.5
_AGAIN, _OTHER = "again", "other"
Look = Callable[[], tuple[Drive, ...]]


def choose(
    ask: Callable[[Choose], str],
    front: Front,
    *,
    need: int | None,
    otherwise: str,
    person: str = "",
    look: Look = discovery.find,
) -> Drive | None:
    """Have a person choose a drive; None where they would rather do what `otherwise` says.

    `need` is how many bytes are to be written, None where the drive is to be read. Nothing is chosen because it is the
    only one: a stick that was left in the machine is not the one that was meant.
    """
    while True:
        here = look()
        fit = [d for d in here if not d.why_not(need)]
        if not fit and _noticed(front, look, here):
            continue
        options = [(d.device, str(d.describe())) for d in fit]
        answer = ask(
            Choose(
                "drive",
                "Choose the drive." if fit else "Insert a drive, and mount it.",
                person=person,
                details=tuple(f"{d.describe()}: {why}" for d in here if (why := d.why_not(need))),
                options=(*options, (_AGAIN, "look again"), (_OTHER, otherwise)),
            )
        )
        if answer == _OTHER:
            return None
        # It may have been taken out, or changed for another one, since it was shown.
        for drive in look():
            if answer == drive.device and drive in fit:
                return drive


def _noticed(front: Front, look: Look, before: tuple[Drive, ...]) -> bool:
    """Wait a while for a drive; whether what is here changed."""
    stop = threading.Event()
    front.waiting("No drive can be used yet. Insert one, and mount it: it is noticed", stop.set, idle=True)
    end = time.monotonic() + _PATIENCE
    try:
        # On a plain console Ctrl-C comes here, and means what F8 means on the screen.
        with suppress(KeyboardInterrupt):
            while time.monotonic() < end and not stop.wait(_EVERY):
                if look() != before:
                    return True
        return False
    finally:
        front.waiting("", None)
