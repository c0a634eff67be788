"""One small ceremony, a fault at one point after another, and the same line again to the end, each time.

A point is a system call that changes the ceremony's folder or the tokens in it, or a write to the pipe between Vestry
and a module's child process: a token's request, or its answer. `supervisor.c` has them go wrong. As a program it looks
at the points that its arguments name, prints a JSON line, and leaves with 1 where anything was not as promised.
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from people import SOFTHSM, People

from vestry.ceremony import conductor, events, reading, rehearsal, transcript
from vestry.ceremony.replay import compare_files, replay
from vestry.ceremony.state import evolve
from vestry.errors import NotTrusted, VestryError
from vestry.tokens.process import Pkcs11Source
from vestry.tokens.software import SoftwareSource

MODES = ("count", "kill-before", "kill-after", "torn", "child-before", "child-after", "fail", "fail-on")
"""By their numbers in the supervisor: nothing; all are killed before the call or after it, or when a write took a part
of its bytes; the process that makes the call is killed; the call fails, or it and all after it do."""
PATIENCE = 3
"""How often the people of these ceremonies try again before they stop."""


_LOOK = ctypes.CFUNCTYPE(None)


class Report(ctypes.Structure):
    """What the supervisor saw."""

    _fields_ = [
        ("points", ctypes.c_long),
        ("status", ctypes.c_int),
        ("hit", ctypes.c_int),
        ("what", ctypes.c_char * (4096 + 64)),
    ]


def compiled(folder: Path) -> Path:
    """The supervisor as a library in `folder`."""
    library = folder / "supervisor.so"
    source = Path(__file__).with_name("supervisor.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-w", "-o", str(library), str(source)], check=True)
    return library


@dataclass(frozen=True)
class Fault:
    """The `n`-th point goes wrong by `mode`; `error` is an error number, or the bytes that a torn write takes (from
    its end where negative)."""

    mode: str = "count"
    n: int = 0
    error: int = 0


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit status (negative: a signal), the call that went wrong, and what people were told."""

    status: int
    points: int
    what: str
    told: tuple[str, ...]


class Driver:
    """Runs of one scenario: on software tokens, or on SoftHSM."""

    def __init__(self, library: Path, work: Path, tokens: str) -> None:
        self._library = ctypes.CDLL(str(library), use_errno=True)
        self._work, self._tokens = work, tokens
        self._count = 0
        self.resumes = self.lost = 0
        self._prepared = work / "prepared"
        _prepare(self._prepared, tokens)
        reference = self.fresh()
        ended = self.run(reference)
        assert ended.status == 0, ended
        self.points = ended.points
        self._expected = documents(reference)

    def fresh(self) -> Path:
        """A folder in which everything is prepared and nothing has happened."""
        self._count += 1
        folder = self._work / f"run{self._count}"
        shutil.copytree(self._prepared, folder)
        return folder

    def run(self, folder: Path, fault: Fault | None = None, look: Callable[[str], None] | None = None) -> Ended:
        """Conduct from where the folder stands, under the supervisor, in a fork of this warmed interpreter; `look` is
        called before each point, with the call that is about to be made."""
        fault = fault or Fault()
        said = folder.with_suffix(".said")
        said.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            os._exit(self._conduct(folder, said))
        report = Report()
        pipes = fault.mode not in ("fail", "fail-on", "torn")
        looking = _LOOK(lambda: look(report.what.decode(errors="replace"))) if look else None
        trouble = self._library.supervise(
            child,
            str(folder).encode(),
            ctypes.c_long(fault.n),
            MODES.index(fault.mode),
            ctypes.c_long(fault.error),
            pipes,
            looking,
            ctypes.byref(report),
        )
        assert trouble == 0, os.strerror(trouble)
        told = tuple(said.read_text().splitlines()) if said.exists() else ()
        what = report.what.decode(errors="replace") if report.hit else ""
        return Ended(os.waitstatus_to_exitcode(report.status), report.points, what, told)

    def _conduct(self, folder: Path, said: Path) -> int:
        people = Patient()
        try:
            if self._library.traced():
                raise OSError(ctypes.get_errno(), "cannot be traced")
            _settings(folder, self._tokens)
            parsed, inputs = reading.load(folder / rehearsal.SCRIPT)
            conductor.conduct(parsed, inputs, folder, people)
            return 0
        except VestryError as error:
            people.told.append(f"vestry: {error}")
            return 10 + int(error.status)
        except BaseException:  # noqa: BLE001 - a traceback is what must never be
            traceback.print_exc()
            return 1
        finally:
            said.write_text("\n".join(people.told))

    def stops(self) -> Iterator[tuple[int, str, Path]]:
        """What a SIGKILL leaves at each point of one run, where it is not what it leaves at one before.

        The point, the call that is no more made, and a copy of the folder as it stood then. The program that goes on
        knows nothing else; so every kill before or after any call is one of these.
        """
        folder, seen, found = self.fresh(), set[str](), list[tuple[int, str, Path]]()
        points = 0

        def look(what: str) -> None:
            nonlocal points
            points += 1
            if (tree := _tree(folder)) not in seen:
                seen.add(tree)
                copy = folder.with_name(f"{folder.name}-{points}")
                shutil.copytree(folder, copy, symlinks=True)
                found.append((points, what, copy))

        ended = self.run(folder, look=look)
        assert ended.status == 0, ended
        self.points = points
        yield from found

    def look(self, fault: Fault, again: Fault | None = None) -> str:
        """Have `fault` happen, and `again` to the run that goes on; then go on to the end, and look at everything.

        Returns:
            The call that went wrong; empty where the ceremony ended before there was one.
        """
        folder = self.fresh()
        try:
            hit = self._looked(folder, fault, again)
        except AssertionError as error:
            raise AssertionError(f"{fault} {again or ''} in {folder}: {error}") from error
        shutil.rmtree(folder)
        return hit

    def _looked(self, folder: Path, fault: Fault, again: Fault | None) -> str:
        first = self.run(folder, fault)
        if not first.what:
            assert first.status == 0, first
            return ""
        _well_ended(first, fault)
        self.goes_on(folder, fault.n, first.what, again)
        return first.what

    def goes_on(self, folder: Path, n: int, what: str, again: Fault | None = None) -> None:
        """Go on in `folder`, which `what` at point `n` left as it is, with `again` going wrong at first; then look."""
        if again is not None:
            before = _events(folder)
            second = self.run(folder, again)
            _well_ended(second, again)
            assert _events(folder)[: len(before)] == before, "the resume lost events"
        before = _events(folder)
        stray = _stray(folder, before, self._tokens)
        last = self.run(folder)
        self.resumes += 1
        if last.status == 14 and any("E-TOKEN-DAMAGED" in line for line in last.told):
            self.lost += 1  # SoftHSM lost a token of its own, and there is no copy
            assert self._tokens == "softhsm", (what, last)
            assert _events(folder)[: len(before)] == before, f"events were lost: {what}"
            return
        assert last.status == 0, (what, last)
        after = _events(folder)
        assert after[: len(before)] == before, f"events were lost: {what}"
        if after[len(before)].n and not isinstance(after[len(before)].event, events.Resumed):
            before = after[: len(before) + 1]  # a line that lacked nothing but its newline: it was given that
        _open_intent_is_told(before, after, last.told, what)
        for name in stray if _unanswered(before) else ():
            _stray_is_told(name, before, after, what)
        self.whole(folder, what, again=n % 4 == 0)

    def whole(self, folder: Path, what: str, *, again: bool) -> None:
        """The ceremony is at its end and left what it leaves undisturbed; each key was made once. `again`: an auditor's
        replay holds as well, which asks of each line once more what was asked when it was written."""
        state = None
        for recorded in _events(folder):
            state = evolve(state, recorded)
        assert state is not None
        failed = [(s.recorded.n, s.why) for s in replay(_events(folder) if again else ()) if s.verdict == "failed"]
        assert not failed, (what, failed)
        files = [f for f in compare_files(state, folder) if f.verdict != "recomputed"]
        assert not files, (what, files)
        assert documents(folder) == self._expected, what
        exported = {p.name: p.read_bytes() for p in (folder / "export" / "metadata").iterdir()}
        assert exported == {p.name: p.read_bytes() for p in (folder / "signed").iterdir()}, what
        sums = subprocess.run(
            ["sha256sum", "-c", "--status", "--strict", "SHA256SUMS"], cwd=folder / "export", check=False
        )
        assert sums.returncode == 0, what
        assert set(state.seals) == {"Alice", "Bob"}, what
        alive = Counter(name for name, facts in state.keys.items() if not facts.destroyed)
        assert Counter(_listed(folder, self._tokens)) == alive, what
        litter = [p for p in folder.rglob("*") if re.search(r"\.part$|\.new|\.gone-", p.name)]
        assert not litter, (what, litter)


class Patient(People):
    """Careful people who try again a few times, and then stop."""

    def sensible(self, question: Any) -> Any:
        if question.name in ("trouble", "not-destroyed", "again-blank"):
            return question.options[0][0] if len(self.troubles) <= PATIENCE else "stop"
        return super().sensible(question)

    def trouble(self, error: Any, meaning: str) -> None:
        super().trouble(error, meaning)
        self.told.append(f"trouble: {error} {meaning}")
        if error.code == "E-TOKEN-HALF-MADE":  # what the line says is to be done
            assert Path(error.where).parent.name == "softhsm", error
            shutil.rmtree(error.where)


def _well_ended(ended: Ended, fault: Fault) -> None:
    if fault.mode in ("kill-before", "kill-after", "torn"):
        assert ended.status in (-signal.SIGKILL, 0), ended
    else:
        # The program went on, or said in one line that the disk, the token or the operator ended it.
        assert ended.status in (-signal.SIGKILL, 0, 13, 14), ended
        assert ended.status < 10 or "vestry: " in ended.told[-1], ended
        assert ended.status != 14 or any("trouble: " in line for line in ended.told), ended


def _prepare(folder: Path, tokens: str) -> None:
    rehearsal.prepare(folder, holders=2, threshold=2)
    if tokens == "softhsm":
        shutil.rmtree(folder / "tokens")
        path = folder / rehearsal.SCRIPT
        text, count = re.subn(
            r'use = "software"\nserial = "\d+"', 'use = "pkcs11"\nmodule = "softhsm2"', path.read_text()
        )
        assert count == 2
        path.write_text(text)
        (folder / "softhsm").mkdir()


def _settings(folder: Path, tokens: str) -> None:
    if tokens == "softhsm":
        settings = folder.with_suffix(".conf")
        settings.write_text(
            f"directories.tokendir = {folder / 'softhsm'}\nobjectstore.backend = file\nlog.level = ERROR\n"
        )
        os.environ["SOFTHSM2_CONF"] = str(settings)
    else:
        # What is tested is not how long a PIN takes to try; a thousand ceremonies would mostly do that.
        assert SoftwareSource.__init__.__kwdefaults__ is not None
        SoftwareSource.__init__.__kwdefaults__["scrypt_n"] = 16


def _tree(folder: Path) -> str:
    """A digest over names and contents of all that is in `folder`."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() else b"folder"
        total.update(f"{path.relative_to(folder)}\0{len(content)}\0".encode() + content)
    return total.hexdigest()


def _events(folder: Path) -> tuple[events.Recorded, ...]:
    path = folder / conductor.TRANSCRIPT
    if not path.exists():
        return ()
    try:
        return transcript.read(path)
    except NotTrusted:
        return ()  # not one whole line; what is resumed says whether that is well


def documents(folder: Path) -> dict[str, Any]:
    """The signed documents, with each key and its id as the script's name for it, and without times and signatures."""
    names = {r.event.keyid: r.event.key for r in _events(folder) if isinstance(r.event, events.KeyGenerated)}

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            hidden = {"sig": "", "public": ""}
            return {names.get(k, k): hidden.get(k, plain(v)) for k, v in value.items()}
        if isinstance(value, list):
            return sorted((plain(v) for v in value), key=json.dumps)
        return (
            re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", names.get(value, value))
            if isinstance(value, str)
            else value
        )

    found = {p.name: plain(json.loads(p.read_bytes())) for p in sorted((folder / "signed").iterdir())}
    assert len(found) == 3
    return found


def _listed(folder: Path, tokens: str) -> list[str]:
    """Labels of all keys on all tokens."""
    source: Any = SoftwareSource(folder / "tokens")
    if tokens == "softhsm":
        _settings(folder, tokens)
        source = Pkcs11Source(SOFTHSM)
    try:
        return [k.label for t in source.tokens() if t.info.initialised for k in t.public_keys()]
    finally:
        source.close()


def _unanswered(records: Sequence[events.Recorded]) -> events.Recorded | None:
    if records and isinstance(records[-1].event, events.Resumed):
        return _unanswered(records[:-1])
    return records[-1] if records and type(records[-1].event).__name__.endswith("Intended") else None


def _open_intent_is_told(
    before: Sequence[events.Recorded], after: Sequence[events.Recorded], told: Sequence[str], what: str
) -> None:
    intent = _unanswered(before)
    if intent is None:
        return
    closed = [r.event for r in after[len(before) :] if getattr(r.event, "intent", None) == intent.n]
    assert len(closed) == 1, (what, intent, closed)
    assert any(f"Line {intent.n} of the transcript has no result" in line for line in told), (what, told)
    if isinstance(intent.event, events.SignatureIntended | events.SealIntended):
        # Whether the token signed is not known: the transcript says so, and so was its holder told.
        (abandoned,) = closed
        assert isinstance(abandoned, events.IntentAbandoned), what
        assert "signatures" in abandoned.found, what
        assert any(f"Looked into line {intent.n}" in line for line in told), what


def _stray(folder: Path, before: Sequence[events.Recorded], tokens: str) -> list[str]:
    """Keys on the tokens that the transcript does not tell of, where it tells that one was to be made."""
    intent = _unanswered(before)
    if intent is None or not isinstance(intent.event, events.GenerateIntended):
        return []
    return [name for name in _listed(folder, tokens) if name == intent.event.key]


def _stray_is_told(name: str, before: Sequence[events.Recorded], after: Sequence[events.Recorded], what: str) -> None:
    found = [
        r.event
        for r in after[len(before) :]
        if (isinstance(r.event, events.KeyGenerated) and r.event.key == name and r.event.found)
        or (isinstance(r.event, events.IntentAbandoned) and name in r.event.found)
    ]
    assert found, (what, name)


def _somewhere(n: int) -> int:
    """A place in the resume that has nothing to do with the place before."""
    return int.from_bytes(hashlib.sha256(n.to_bytes(4)).digest()[:4]) % 120 + 1


def main() -> None:
    """See the module. Of the points from the first to the last, every so-manieth is looked at."""
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=("stop", *MODES[1:]))
    parser.add_argument("--tokens", choices=("software", "softhsm"), default="software")
    parser.add_argument("--error", type=int, default=0)
    parser.add_argument("--twice", action="store_true", help="and a kill of the resume, somewhere")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--last", type=int, default=sys.maxsize)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--library", type=Path)
    parser.add_argument("--work", type=Path)
    args = parser.parse_args()
    begun, failed, met = time.time(), 0, Counter[str]()
    with tempfile.TemporaryDirectory(dir=args.work) as name:
        work = Path(name)
        driver = Driver(args.library or compiled(work), work, args.tokens)
        for n, look in _looks(driver, args):
            if n > args.last:
                break
            if n < args.first or (n - args.first) % args.step:
                continue
            try:
                what = look()
            except AssertionError as trouble:
                failed += 1
                sys.stderr.write(f"{trouble}\n")
                continue
            if what:
                met["child" if what.startswith("child: ") else what.split(" ")[0]] += 1
            elif n > driver.points and args.mode != "torn":
                break
    result = {
        "mode": args.mode,
        "tokens": args.tokens,
        "points": driver.points,
        "faults": met.total(),
        "at": dict(met),
        "resumes": driver.resumes,
        "lost by SoftHSM": driver.lost,
        "failed": failed,
        "seconds": round(time.time() - begun, 1),
        "cpu": round(sum(os.times()[:4]), 1),
    }
    sys.stdout.write(json.dumps(result) + "\n")
    raise SystemExit(1 if failed else 0)


def _looks(driver: Driver, args: argparse.Namespace) -> Iterator[tuple[int, Callable[[], str]]]:
    """Each thing that there is to look at, numbered from 1."""
    if args.mode == "stop":
        for count, (n, what, folder) in enumerate(driver.stops(), 1):
            again = Fault("kill-before", _somewhere(n)) if args.twice else None

            def look(n: int = n, what: str = what, folder: Path = folder, again: Fault | None = again) -> str:
                driver.goes_on(folder, n, what, again)
                shutil.rmtree(folder)
                return what

            yield count, look
        return
    for n in range(1, 2 * driver.points):
        again = Fault("kill-before", _somewhere(n)) if args.twice else None
        error = args.error or ((1, 20, -1, -2)[n % 4] if args.mode == "torn" else 0)
        yield n, functools.partial(driver.look, Fault(args.mode, n, error), again)


if __name__ == "__main__":
    main()
