"""SoftHSM's own files, which a kill spoils: what the module then does not say of them."""

from __future__ import annotations

import os
from pathlib import Path

from vestry.errors import TokenTrouble
from vestry.text import printable

MAKER = "SoftHSM"
_SETTINGS = (Path("~/.config/softhsm2/softhsm2.conf"), Path("/etc/softhsm/softhsm2.conf"), Path("/etc/softhsm2.conf"))
_FLAGS = (0x8000534B).to_bytes(8, "big")
"""The last attribute that makes a token of a folder (CKA_OS_TOKENFLAGS)."""


def damage() -> TokenTrouble | None:
    """What a kill or a full disk did to a token, as far as its files show.

    Of one without any key or PIN, cut off in the making, the module says nothing, nor, to whoever asks for all, of the
    others. One that was cut off while it was written again (as at each login) it no longer shows.
    """
    for folder in _token_folders():
        try:
            token = (folder / "token.object").read_bytes()
            others = len(list(folder.glob("*.object"))) > 1
        except OSError:
            continue
        if _FLAGS not in token and (token or others):
            return _lost(folder) if others else _half_made(folder)
    return None


def _half_made(folder: Path) -> TokenTrouble:
    return TokenTrouble(
        "SoftHSM was cut off while it made this token, and shows none until its folder is gone",
        where=str(printable(str(folder), 200)),
        do="move this folder away (there is no key in it yet), then go on from the same place",
        code="E-TOKEN-HALF-MADE",
    )


def _lost(folder: Path) -> TokenTrouble:
    return TokenTrouble(
        "SoftHSM was cut off while it wrote this token, and no longer shows it",
        where=str(printable(str(folder), 200)),
        do="put its token.object back from a copy and go on; without one its keys are lost: move the folder away",
        code="E-TOKEN-DAMAGED",
    )


def _token_folders() -> list[Path]:
    named = os.environ.get("SOFTHSM2_CONF")
    for settings in (Path(named),) if named else _SETTINGS:
        try:
            lines = settings.expanduser().read_text(errors="replace").splitlines()
        except (OSError, RuntimeError):
            continue
        values = dict(line.partition("=")[::2] for line in lines)
        where = next((v.strip() for k, v in values.items() if k.strip() == "directories.tokendir"), "")
        try:
            return sorted(p for p in Path(where).iterdir() if p.is_dir()) if where else []
        except OSError:
            return []
    return []
