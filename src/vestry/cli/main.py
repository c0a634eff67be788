"""The first thing that runs: help, which must come at once, or everything else.

Nothing is imported here, since help is read by people who wait for it; not even argparse or `vestry.errors`.
"""

from __future__ import annotations

import sys
from importlib import import_module

from vestry import __version__

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without importing typing
if TYPE_CHECKING:
    from collections.abc import Sequence

ABOUT = "Offline key ceremonies for TUF root key holders. No verb: the home screen."

VERBS = {
    "rehearse": "a whole practice ceremony on software tokens",
    "check": "prove a ceremony script before the day",
    "print": "a script as a paper to follow and tick off",
    "run": "run a ceremony, or resume it",
    "stage": "draft a document and put it into a bundle",
    "review": "what changed, what to answer, who must sign",
    "sign": "review a bundle and add one signature",
    "verify": "check signatures, thresholds and chains",
    "compare": "a repository's metadata with a last good snapshot",
    "collect": "gather signatures from bundles that came back",
    "drives": "which sticks, cards and discs are here",
    "export": "write a bundle to a drive, and read it back",
    "import": "take a bundle from a drive",
    "qr": "a bundle or signature as QR codes, and back",
    "replay": "give every event of a transcript its verdict",
    "seal": "say, under a signature, whether a ceremony went as told",
    "publish": "a transcript's copy that withholds what you name",
    "record": "a transcript, judged, as a paper to keep",
    "tokens": "list tokens and their keys, or have them prove themselves",
    "attest": "hold device makers' proofs against their roots",
    "pin": "draw a PIN, by the machine or by dice",
    "preflight": "is this machine fit for a ceremony",
}

_OPTIONS = {
    "-h, --help": "this text; after a verb, what that verb takes",
    "--version": "the version",
    "--json": "one object on stdout",
    "--plain": "lines and prompts, never the full screen",
    "--debug": "show tracebacks",
}

_STATUS = """exit status:
  0 done or holds; 1 does not hold; 2 wrong usage or unreadable input;
  3 a token, a drive or the machine failed; 4 stopped; 130 interrupted
"""


def help_text() -> str:
    """What ``vestry --help`` prints."""
    lines = ["usage: vestry [options] [VERB ...]", "", ABOUT, "", "verbs:"]
    lines += [f"  {name:<12}{about}" for name, about in VERBS.items()]
    lines += ["", "options:"]
    lines += [f"  {name:<12}{about}" for name, about in _OPTIONS.items()]
    return "\n".join([*lines, "", _STATUS])


def main(argv: Sequence[str]) -> int:
    """Run one verb; the exit status of `vestry.errors.ExitStatus`."""
    try:
        if argv and argv[0] in ("-h", "--help"):
            sys.stdout.write(help_text())
            sys.stdout.flush()
            return 0
        if argv and argv[0] == "--version":
            sys.stdout.write(f"vestry {__version__}\n")
            return 0
    except BrokenPipeError:
        return int(import_module("vestry.cli.dispatch").reader_gone())
    return int(import_module("vestry.cli.dispatch").main(argv))
