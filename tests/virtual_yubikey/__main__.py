"""Two virtual YubiKeys to try things with: ``PYTHONPATH=tests python -m virtual_yubikey [COMMAND ...]``.

COMMAND runs with the cards in their readers, and its status is ours; without one, a shell does. In it, tools see the
cards: ``ykman list``, ``vestry ...``. PINs are those of the factory: 123456, PUK 12345678.
"""

from __future__ import annotations

import os
import subprocess
import sys

from virtual_yubikey.bench import NoWalls, running


def main() -> int:
    """Run a command beside the cards."""
    command = sys.argv[1:] or [os.environ.get("SHELL", "/bin/sh")]
    try:
        with running() as bench:
            for card in bench.cards.values():
                print(f"{card.name}: serial {card.serial}, firmware {card.settings.firmware}", file=sys.stderr)
            return subprocess.run(command, check=False, env={**os.environ, **bench.environment}).returncode
    except NoWalls as error:
        print(f"the kernel allows this user no namespaces ({error}); try as root", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
