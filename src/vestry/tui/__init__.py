"""The full screen."""

import os as _os

# Textual's debugging would write every key to a file or a socket, a PIN's keys among them; it reads these on import.
for _name in ("TEXTUAL", "TEXTUAL_LOG", "TEXTUAL_DEVTOOLS_HOST", "TEXTUAL_DEVTOOLS_PORT", "TEXTUAL_SCREENSHOT"):
    _os.environ.pop(_name, None)
_os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
if _os.environ.get("TERM") == "linux":
    # The kernel's console before 6.x prints the request for the newer key protocol instead of passing over it.
    _os.environ.setdefault("TEXTUAL_DISABLE_KITTY_KEY", "1")
