"""The file a ceremony is: append-only JSON Lines, each line chained to the one above and synced before it counts.

Nothing is ever truncated. A line that a crash cut short stays where it is; the next line is then a `resumed` event
that commits to exactly those bytes. A line that lacks nothing but its newline is given it. See `chain.py` for a
line's form.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from vestry.ceremony import chain
from vestry.ceremony.clock import Clock
from vestry.ceremony.events import Event, Opened, Recorded, Resumed, Withheld
from vestry.errors import InputRejected, MediumTrouble, NotTrusted, Refused, VestryError
from vestry.text import printable

MAX_LINE = 64 * 1024 * 1024
_AT_A_TIME = 64 * 1024
NOTHING_TORN = (0, hashlib.sha256(b"").hexdigest())
_NO_FOLLOW = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def read(source: Path | bytes) -> tuple[Recorded, ...]:
    """All events of a whole transcript, its chain verified. Bytes of an unfinished last line are passed over.

    Raises:
        NotTrusted: the chain does not hold, or an event is withheld; names the line (as its ``n`` counts, from 0).
        MediumTrouble: the file can't be read.
    """
    return tuple(read_on(source))


def read_on(source: Path | bytes) -> Iterator[Recorded]:
    """What `read` gives, event by event, so that no more than one is held."""
    for entry in iter_read(source):
        if isinstance(entry.event, Withheld):
            raise NotTrusted(
                "the event of this line is withheld; this is a published copy",
                where=f"{_name(source)}: line {entry.n}",
                do="ask for the whole transcript",
            )
        yield entry


def iter_read(source: Path | bytes) -> Iterator[Recorded]:
    """Each line of a transcript in turn, verified against those above; also of a published copy.

    Raises:
        NotTrusted: the chain does not hold, or there is no line at all.
        InputRejected: it is not a regular file.
        MediumTrouble: the file can't be read.
    """
    scan = _Scan(_name(source))
    if isinstance(source, bytes):
        yield from scan.lines(io.BytesIO(source))
    else:
        fd = _open(source, os.O_RDONLY)
        with os.fdopen(fd, "rb") as file:
            yield from scan.lines(file)
    scan.finish()


class _Scan:
    """Where a reader stands: the next line's number, the head so far, and bytes since the last good newline."""

    def __init__(self, name: str) -> None:
        self.name, self.n, self.head = name, 0, chain.NO_HEAD
        self.pending = bytearray()
        self._why: NotTrusted | None = None

    def lines(self, file: BinaryIO) -> Iterator[Recorded]:
        """Read on to the end of the file. Whoever judges and tells each line lets some be read at a time: to turn from
        one work to another at each takes a processor longer."""
        while batch := self._some(file):
            yield from [entry for line in batch if (entry := self.feed(line)) is not None]

    def _some(self, file: BinaryIO) -> list[bytes]:
        batch, size = [], 0
        try:
            while size < _AT_A_TIME and (line := file.readline(MAX_LINE)):
                batch.append(line)
                size += len(line)
        except OSError as error:
            raise _trouble("cannot read the transcript", self.name, error) from error
        return batch

    def feed(self, line: bytes) -> Recorded | None:
        """Take the next line; None where it does not hold, which only a `resumed` event after it can mend."""
        if len(self.pending) + len(line) > MAX_LINE:
            raise self._why or NotTrusted("the line is too long", where=self._where())
        try:
            entry = chain.check(line, n=self.n, before=self.head)
        except NotTrusted as error:
            self._why = self._why or NotTrusted(
                error.what, where=self._where(), do="this copy is not the transcript that was made; bring another"
            )
            self.pending += line
            return None
        if self.pending or isinstance(entry.event, Resumed):
            self._committed(entry)
        self.n, self.head = entry.n + 1, entry.head
        self.pending.clear()
        self._why = None
        return entry

    def torn(self) -> tuple[int, str]:
        """Length and SHA-256 of the bytes since the last good newline."""
        return len(self.pending), hashlib.sha256(self.pending).hexdigest()

    def finish(self) -> None:
        """At the end of the file: only an unfinished line may be left."""
        if self._why is not None and b"\n" in self.pending:
            raise self._why
        self._begun()

    def resumable(self) -> None:
        """Before going on: what is left is what a crash leaves, never a whole line that was changed."""
        for piece in self.pending.split(b"\n"):
            with suppress(ValueError, RecursionError):
                if self._why is not None and isinstance(json.loads(piece), dict):
                    raise self._why
        self._begun()

    def _begun(self) -> None:
        if self.n == 0:
            raise NotTrusted("there is no whole line in it", where=self.name, do="bring the transcript that was made")

    def _committed(self, entry: Recorded) -> None:
        resumed = entry.event if isinstance(entry.event, Resumed) else None
        if self.pending and resumed is None:
            assert self._why is not None
            raise self._why
        # The newline that ends the torn bytes belongs to the line that resumes.
        torn = bytes(self.pending[:-1])
        if resumed and (resumed.torn_bytes, resumed.torn_sha256) != (len(torn), hashlib.sha256(torn).hexdigest()):
            raise NotTrusted(
                f"the line commits to {resumed.torn_bytes} torn bytes before it, and other bytes stand there",
                where=self._where(),
                do="this copy is not the transcript that was made; bring another",
            )

    def _where(self) -> str:
        return f"{self.name}: line {self.n}"


class Transcript:
    """A transcript open for writing, locked against other programs.

    After an error on writing it takes no more events: what reached the disk is found out by opening it again.
    """

    def __init__(self, fd: int, name: str, clock: Clock, scan: _Scan, size: int) -> None:
        self._fd, self._name, self._clock, self._size = fd, name, clock, size
        self._n, self._head, self._torn = scan.n, scan.head, scan.torn()
        self._broken = False

    @staticmethod
    def create(path: Path, event: Opened, by: str, *, clock: Clock) -> tuple[Transcript, Recorded]:
        """Make a new transcript whose line 0 is `event`. It has its name only once line 0 is on the disk.

        Raises:
            Refused: there is one already.
            MediumTrouble: it can't be written.
        """
        name = str(printable(path.name))
        new = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
        fd = -1
        try:
            _sweep(path)
            fd = os.open(new, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o644)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            made = Transcript(fd, name, clock, _Scan(name), 0)
            recorded = made.append(event, by)
            _put_in_place(new, path)
            return made, recorded
        except FileExistsError:
            _close(fd)
            raise Refused("there is a transcript already", where=str(printable(str(path))), do="resume it") from None
        except OSError as error:
            _close(fd)
            raise _trouble("cannot make the transcript", name, error) from error
        except VestryError:
            _close(fd)
            raise
        finally:
            with suppress(OSError):
                new.unlink(missing_ok=True)

    @staticmethod
    def open(path: Path, *, clock: Clock) -> tuple[Transcript, tuple[Recorded, ...]]:
        """Open to go on, and all events so far. `resume` comes next, where bytes of an unfinished line are left.

        Raises:
            NotTrusted: the chain does not hold, or events are withheld.
            MediumTrouble: another program has it open, or it can't be read.
            InputRejected: it is not a regular file.
        """
        fd = _open(path, os.O_RDWR | os.O_APPEND)
        try:
            opened = _opened(fd, str(printable(path.name)), clock)
            _sweep(path)
            return opened
        except BlockingIOError:
            _close(fd)
            raise MediumTrouble(
                "the transcript is open in another program",
                where=str(printable(str(path))),
                do="end the other program first",
                code="E-TRANSCRIPT-BUSY",
            ) from None
        except OSError as error:
            _close(fd)
            raise _trouble("cannot open the transcript", str(printable(str(path))), error) from error
        except VestryError:
            _close(fd)
            raise

    @property
    def torn(self) -> tuple[int, str]:
        """Length and SHA-256 of the bytes that an unfinished line left at the end."""
        return self._torn

    def resume(self, software: str, software_sha256: str, *, by: str, at: datetime | None = None) -> Recorded:
        """Append the `resumed` event that commits to whatever an unfinished line left; see `append`."""
        return self.append(Resumed(software, software_sha256, *self._torn), by, at=at)

    def append(self, event: Event, by: str, *, at: datetime | None = None) -> Recorded:
        """Write one line and sync it; when this returns, it is on the disk.

        Args:
            event: What happened.
            by: Who acted.
            at: When, with a time zone; the clock's time where not given.

        Raises:
            InputRejected: the event holds a value that its type does not allow; nothing was written.
            Refused: an unfinished line must be committed to first (`resume`).
            MediumTrouble: the disk did not take it, or took part of it; open the transcript again to see.
        """
        self._ready(event)
        line, recorded = chain.make(
            event,
            n=self._n,
            before=self._head,
            at=(at or self._clock.now()).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            mono=self._clock.mono(),
            by=by,
        )
        data = b"\n" + line if self._torn[0] else line
        self._broken = True  # until the bytes are known to be on the disk, also when interrupted
        try:
            if os.write(self._fd, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._fd)
        except OSError as error:
            raise _trouble("the disk did not take the last line of the transcript", self._name, error) from error
        self._broken = False
        self._size += len(data)
        self._n, self._head, self._torn = recorded.n + 1, recorded.head, NOTHING_TORN
        return recorded

    def close(self) -> None:
        """Let go of the file and its lock."""
        if self._fd >= 0:
            _close(self._fd)
            self._fd = -1

    def _ready(self, event: Event) -> None:
        if self._fd < 0 or self._broken:
            raise MediumTrouble(
                "the transcript takes no more lines, because the last one may not be on the disk",
                where=self._name,
                do="see to the disk, then run the same line again",
                code="E-TRANSCRIPT-CLOSED",
            )
        now = os.fstat(self._fd)
        if now.st_size != self._size or now.st_nlink == 0:
            raise MediumTrouble(
                "another program changed or removed the transcript",
                where=self._name,
                do="find out which, then run the same line again",
                code="E-TRANSCRIPT-CHANGED",
            )
        if isinstance(event, Resumed):
            if (event.torn_bytes, event.torn_sha256) != self._torn:
                raise Refused("the event commits to other bytes than those that were left", where=self._name)
        elif self._torn[0]:
            raise Refused("an unfinished line must be committed to first", where=self._name, do="resume")


def _opened(fd: int, name: str, clock: Clock) -> tuple[Transcript, tuple[Recorded, ...]]:
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    scan = _Scan(name)
    with os.fdopen(os.dup(fd), "rb") as file:
        past = list(scan.lines(file))
    size = os.fstat(fd).st_size
    if any(isinstance(entry.event, Withheld) for entry in past):
        raise NotTrusted("a published copy, with events withheld, can't go on", where=name, do="bring the whole one")
    finished = _finish_line(fd, scan)
    if finished is not None:
        past.append(finished)
        size += 1
    scan.resumable()
    return Transcript(fd, name, clock, scan, size), tuple(past)


def _finish_line(fd: int, scan: _Scan) -> Recorded | None:
    """Give the last line its newline where it lacks nothing else: it was decided, and only its end was cut."""
    above, _, last = bytes(scan.pending).rpartition(b"\n")
    if not last:
        return None
    whole = _Scan(scan.name)
    whole.n, whole.head = scan.n, scan.head
    if above:
        whole.feed(above + b"\n")
    entry = whole.feed(last + b"\n")
    if entry is None or isinstance(entry.event, Withheld):
        return None
    os.write(fd, b"\n")
    os.fsync(fd)
    scan.n, scan.head = whole.n, whole.head
    scan.pending.clear()
    return entry


def _open(path: Path, flags: int) -> int:
    where = str(printable(str(path)))
    try:
        fd = os.open(path, flags | _NO_FOLLOW)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InputRejected("this is a link, not a file", where=where, do="name the file itself") from error
        raise _trouble("cannot open the transcript", where, error) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise InputRejected("this is not a regular file", where=where, do="name a transcript")
    return fd


def _sweep(path: Path) -> None:
    """Take away what a cut left beside a transcript in the making: a second name of it, or nothing that counts."""
    for left in path.parent.glob(f".{path.name}.*.new"):
        left.unlink(missing_ok=True)


def _put_in_place(new: Path, path: Path) -> None:
    try:
        os.link(new, path)
    except FileExistsError:
        raise
    except OSError:
        # Media such as FAT have no second names; the look before the move is the best that they allow.
        if path.exists():
            raise FileExistsError(errno.EEXIST, "exists", str(path)) from None
        new.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _close(fd: int) -> None:
    if fd >= 0:
        with suppress(OSError):
            os.close(fd)


def _trouble(what: str, where: str, error: OSError) -> MediumTrouble:
    do = {
        errno.ENOSPC: "make room on the disk, then run the same line again",
        errno.EDQUOT: "make room on the disk, then run the same line again",
        errno.EIO: "the disk may be failing: copy the folder elsewhere, then run the same line again",
        errno.EROFS: "the disk is read-only: mount it for writing",
        errno.EACCES: "see who may read and write it",
        errno.ENOENT: "is it the right name?",
    }.get(error.errno or 0, "see to the disk, then run the same line again")
    return MediumTrouble(f"{what}: {error.strerror or 'unknown'}", where=where, do=do, code="E-TRANSCRIPT-DISK")


def _name(source: Path | bytes) -> str:
    return "transcript" if isinstance(source, bytes) else str(printable(source.name))
