"""Every error a person may meet, named for what that person can do about it.

    VestryError
    ├── InputRejected    unreadable, malformed or hostile input: bring another file        (exit 2)
    ├── NotTrusted       a signature, threshold or chain does not hold: do not use it      (exit 1)
    ├── Refused          the ceremony's rules forbid this now: do the missing thing first  (exit 1)
    ├── TokenTrouble     a token or its module failed: look at the device                  (exit 3)
    ├── MediumTrouble    a drive or the machine failed: look at the drive                  (exit 3)
    └── Stopped          the operator stopped; everything recorded so far stays            (exit 4)

An error is one line: what happened, where, and what to do. Library exceptions are translated in the module that
calls the library, and never reach a person.
"""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """Exit status of every verb; part of the command line's contract."""

    DONE = 0
    DOES_NOT_HOLD = 1
    USAGE = 2
    DEVICE_FAILED = 3
    STOPPED = 4
    INTERRUPTED = 130


class VestryError(Exception):
    """Base of all errors shown to people.

    Args:
        what: What happened, a sentence without its full stop.
        where: File, line, role or device it happened at; may be empty.
        do: What the reader can do about it, a sentence without its full stop; may be empty.
        code: Stable name that docs/errors.md lists, for example ``E-PIN-WRONG``; may be empty.
    """

    status = ExitStatus.DOES_NOT_HOLD

    def __init__(self, what: str, *, where: str = "", do: str = "", code: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.do, self.code = what, where, do, code

    def __str__(self) -> str:
        # One physical line, always: the parts may quote a library that wraps its messages.
        head = f"{self.where}: {self.what}" if self.where else self.what
        tail = f"; {self.do}" if self.do else ""
        mark = f" [{self.code}]" if self.code else ""
        return " ".join(f"{head}{tail}{mark}".split())

    def to_dict(self) -> dict[str, str]:
        """The same as a JSON object: ``error`` (class), ``what``, ``where``, ``do``, ``code``."""
        return {
            "error": type(self).__name__,
            "what": self.what,
            "where": self.where,
            "do": self.do,
            "code": self.code,
        }


class InputRejected(VestryError):
    """Input is unreadable, malformed or hostile."""

    status = ExitStatus.USAGE


class NotTrusted(VestryError):
    """A signature, a threshold or a chain does not hold."""


class Refused(VestryError):
    """The rules of the ceremony forbid this, now."""


class TokenTrouble(VestryError):
    """A token or its module failed.

    ``tries_left`` is the number of PIN tries the token still allows, where the token tells. ``unknown`` is true
    where the token may or may not have acted: read it again before anything else.
    """

    status = ExitStatus.DEVICE_FAILED

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        do: str = "",
        code: str = "",
        tries_left: int | None = None,
        unknown: bool = False,
    ) -> None:
        super().__init__(what, where=where, do=do, code=code)
        self.tries_left, self.unknown = tries_left, unknown


class MediumTrouble(VestryError):
    """A drive or the machine failed."""

    status = ExitStatus.DEVICE_FAILED


class Stopped(VestryError):
    """The operator stopped; what was recorded stays recorded."""

    status = ExitStatus.STOPPED
