"""``python -m vestry``, and the console script."""

from __future__ import annotations

import sys

from vestry.cli.main import main as _main


def main() -> int:
    """Run one verb; the exit status of `vestry.errors.ExitStatus`."""
    return _main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
