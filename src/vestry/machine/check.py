"""What one look at the machine gives: a verdict, what was seen, and what to do about it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from vestry.text import printable

Verdict = Literal["pass", "warn", "stop", "cannot tell"]


class Check(NamedTuple):
    """`seen` and `do` are printable; `do` is empty where nothing is to be done.

    ``pass``: as it should be. ``warn``: worth a word in the room. ``stop``: mend it or waive it, with a reason on
    record. ``cannot tell``: this system does not say.
    """

    verdict: Verdict
    seen: str
    do: str = ""

    @property
    def line(self) -> str:
        """Both in one line."""
        return f"{self.seen}: {self.do}" if self.do else self.seen


def shown(name: str, longest: int = 40) -> str:
    """A name that the kernel or a device gives, as it may be shown."""
    return str(printable(name.strip(), longest))
