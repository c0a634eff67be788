"""SoftHSM's own files: which of its tokens was cut off in the making."""

from __future__ import annotations

import os
from pathlib import Path

MAKER = "SoftHSM"
_SETTINGS = (Path("~/.config/softhsm2/softhsm2.conf"), Path("/etc/softhsm/softhsm2.conf"), Path("/etc/softhsm2.conf"))
_FLAGS = (0x8000534B).to_bytes(8, "big")
"""The last attribute that makes a token of a folder (CKA_OS_TOKENFLAGS). Before it there is no PIN and no key; without
it, the module describes neither this token nor, to whoever asks for all, the others."""


def half_made() -> tuple[Path, ...]:
    """Folders of tokens that were not made to the end; none where that can't be seen."""
    found = []
    for folder in _token_folders():
        try:
            if _FLAGS not in (folder / "token.object").read_bytes():
                found.append(folder)
        except OSError:
            continue
    return tuple(found)


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
