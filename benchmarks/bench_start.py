"""How fast Vestry is there: help against an empty Python, the home screen's first paint against an empty Textual app.

Medians of interleaved runs, so that both sides see the same machine. Ratios matter; milliseconds are this machine's.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import termios
import time

HELP_RUNS, SCREEN_RUNS = 21, 9
_EMPTY_APP = """
from textual.app import App
from textual.widgets import Static
class Empty(App):
    def compose(self):
        yield Static("an empty app")
Empty().run()
"""


def process(*arguments: str) -> float:
    """Seconds from start to end of a Python process."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def first_paint(texts: tuple[bytes, ...], *arguments: str) -> float:
    """Seconds from start until one of `texts` reaches the terminal: 80x24, as on a console."""
    begin = time.perf_counter()
    child, terminal = pty.fork()
    if child == 0:
        environment = os.environ | {
            "TERM": "xterm-256color",
            "COLUMNS": "80",
            "LINES": "24",
            "TEXTUAL_ANIMATIONS": "none",
        }
        os.execvpe(sys.executable, [sys.executable, *arguments], environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    seen = b""
    try:
        while not any(text in seen for text in texts):
            ready, _, _ = select.select([terminal], [], [], 20)
            if not ready:
                raise TimeoutError(f"{texts!r} was not painted: {seen[-300:]!r}")
            seen += os.read(terminal, 65536)
        return time.perf_counter() - begin
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)


def compare(name: str, ours: list[float], theirs: list[float], peer: str, limit: float) -> None:
    """One line: the ratio of medians and what it may be."""
    mine, other = statistics.median(ours), statistics.median(theirs)
    print(f"{name}: {mine / other:.2f} x {peer} ({mine * 1000:.0f} ms : {other * 1000:.0f} ms), at most {limit}")


def main() -> None:
    """Measure both."""
    pairs = [(process("-m", "vestry", "--help"), process("-c", "pass")) for _ in range(HELP_RUNS)]
    compare("vestry --help", [a for a, _ in pairs], [b for _, b in pairs], "python -c pass", 3)
    screens = [
        (first_paint((b"ehears", b"ractice"), "-m", "vestry"), first_paint((b"an empty app",), "-c", _EMPTY_APP))
        for _ in range(SCREEN_RUNS)
    ]
    compare("home screen", [a for a, _ in screens], [b for _, b in screens], "an empty Textual app", 1.5)


if __name__ == "__main__":
    main()
