"""One small ceremony, a fault at one point after another, and the same line again to the end, each time.

A point is a system call that changes the ceremony's folder or the tokens in it, or a write to the pipe between Vestry
and a module's child process: a token's request, or its answer. `supervisor.c` has them go wrong. As a program it looks
at the faults that its arguments name, prints a JSON line for each kind, and leaves with 1 where anything was not as
promised. docs/faults.md says what each kind is, and what is left out.
"""

from __future__ import annotations

import argparse
import errno
import functools
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import promises
from supervised import Fault, Scenario, copies

_RANDOM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8,16}|\[\d+\]")
_FURTHEST = 120
"""Points of a resume among which its own kill is picked."""

Look = Callable[[], str]
"""Has one fault happen, goes on, and looks; gives the call that went wrong, or nothing where there was none."""


class Driver:
    """Faults of one scenario, and what is seen of them."""

    def __init__(self, work: Path, tokens: str) -> None:
        self._scenario = Scenario(work, tokens)
        reference = self._scenario.fresh()
        ended = self._scenario.run(reference)
        assert ended.status == 0, ended
        self.points = ended.points
        self._expected = promises.documents(reference)
        self.resumes = self.damaged = 0

    def looks(self, kind: str) -> Iterator[Look]:
        """All faults of a kind: ``stop``, ``stop-twice``, ``kill``, ``death``, ``fail:ERROR``, ``fail-on:ERROR``."""
        name, _, error = kind.partition(":")
        if name in ("stop", "stop-twice"):
            for n, what, folder in self._stops():
                again = Fault("kill", _somewhere(n)) if name == "stop-twice" else None
                yield functools.partial(self._stopped, folder, n, what, again)
        elif name == "death":
            for fault, what in self._deaths():
                yield functools.partial(self._faulty, fault, what)
        else:
            for n in range(1, self.points + 1):
                yield functools.partial(self._faulty, Fault(name, n, getattr(errno, error, 0)))

    def _stops(self) -> list[tuple[int, str, Path]]:
        """What a SIGKILL leaves at each point of one run, where it is not what it leaves at one before.

        The point, the call that is no more made or is cut off in its midst, and a copy of the folder as it stood then.
        The program that goes on knows nothing else; so every kill before, in or after any call is one of these.
        Beside it lies what a careful owner of a SoftHSM has: copies of its tokens' own files from before the request.
        """
        folder, seen, found = self._scenario.fresh(), set[str](), list[tuple[int, str, Path]]()
        kept: dict[str, bytes] = {}
        points = 0

        def look(what: str) -> None:
            nonlocal points
            points += not what.startswith("torn ")
            if kind_of(what) == "message":  # the module waits
                kept.update((p.parent.name, p.read_bytes()) for p in folder.glob("softhsm/*/token.object"))
            if (tree := _tree(folder)) not in seen:
                seen.add(tree)
                copy = folder.with_name(f"{folder.name}-{len(seen)}")
                shutil.copytree(folder, copy)
                copies(copy).mkdir()
                for name, content in kept.items():
                    (copies(copy) / name).write_bytes(content)
                found.append((points, what, copy))

        ended = self._scenario.run(folder, look=look)
        assert ended.status == 0, ended
        return found

    def _deaths(self) -> list[tuple[Fault, str]]:
        """Each death of a module's process that Vestry or the token could tell from the one before, with its call.

        Vestry sees no more than that the process died during a request, or when it had answered: at two calls of one
        request at which the folder is the same, the same goes on.
        """
        folder, seen, found = self._scenario.fresh(), set[str](), list[tuple[Fault, str]]()
        points = 0

        def look(what: str) -> None:
            nonlocal points
            if what.startswith("torn "):
                return
            points += 1
            if not what.startswith("child: "):
                seen.clear()  # another request
                return
            if (tree := _tree(folder)) not in seen:
                seen.add(tree)
                found.append((Fault("child-before", points), what))
            if "pipe:" in what:
                found.append((Fault("child-after", points), what))

        ended = self._scenario.run(folder, look=look)
        assert ended.status == 0, ended
        return found

    def _stopped(self, folder: Path, n: int, what: str, again: Fault | None) -> str:
        self._goes_on(folder, n, what, again)
        shutil.rmtree(folder)
        shutil.rmtree(copies(folder))
        return what

    def _faulty(self, fault: Fault, expected: str = "") -> str:
        folder = self._scenario.fresh()
        first = self._scenario.run(folder, fault)
        if first.what:
            first.well(fault.mode)
            assert not expected or _same_call(first.what, expected), f"{fault}: {first.what} is not {expected}"
            self._goes_on(folder, fault.n, f"{fault}: {first.what}")
        else:
            assert first.status == 0, first
        shutil.rmtree(folder)
        return first.what

    def _goes_on(self, folder: Path, n: int, what: str, again: Fault | None = None) -> None:
        """Go on in `folder`, which `what` at point `n` left as it is, with `again` going wrong at first; then look."""
        last = None
        try:
            if again is not None:
                before = promises.recorded(folder)
                self._scenario.run(folder, again).well(again.mode)
                assert promises.recorded(folder)[: len(before)] == before, "the resume lost events"
            before = promises.recorded(folder)
            stray = promises.strays(folder, before, self._scenario.tokens)
            last = self._scenario.run(folder)
            self.resumes += 1
            after = promises.recorded(folder)
            if self._scenario.tokens == "softhsm" and any("E-TOKEN-DAMAGED" in line for line in last.told):
                self.damaged += 1  # SoftHSM lost a token of its own
                if last.status == 14 and not copies(folder).exists():
                    assert after[: len(before)] == before, "events were lost"
                    return
            assert last.status == 0, "the ceremony did not go on to its end"
            promises.told(before, after, last.told, stray)
            promises.whole(folder, self._scenario.tokens, self._expected, replayed=n % 4 == 0)
        except AssertionError as error:
            raise AssertionError(f"{what}, then {again}, in {folder}: {error}; {last}") from error


def kind_of(what: str) -> str:
    """The name of a call, and whether it was torn, a module's, or the pipe's."""
    name, _, where = what.removeprefix("torn ").removeprefix("child: ").partition(" ")
    kinds = ("torn " if what.startswith("torn ") else "", "module's " if "child: " in what else "")
    return f"{''.join(kinds)}{'message' if where.startswith('pipe:') else name}"


def _same_call(one: str, other: str) -> bool:
    return _RANDOM.sub("", one) == _RANDOM.sub("", other)


def _tree(folder: Path) -> str:
    """A digest over names and contents of all that is in `folder`."""
    total = hashlib.sha256()
    for path, folders, files in os.walk(folder):
        folders.sort()
        total.update(f"{path}\0{len(files)}\0".encode())
        for name in sorted(files):
            content = Path(path, name).read_bytes()
            total.update(f"{name}\0{len(content)}\0".encode() + content)
    return total.hexdigest()


def _somewhere(n: int) -> int:
    """A place in the resume that has nothing to do with the place before."""
    return int.from_bytes(hashlib.sha256(n.to_bytes(4)).digest()[:4]) % _FURTHEST + 1


def main() -> None:
    """See the module. Of the faults of a kind from the first to the last, every so-manieth is looked at."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kinds", nargs="+", metavar="KIND", help=Driver.looks.__doc__)
    parser.add_argument("--tokens", choices=("software", "softhsm"), default="software")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--last", type=int, default=sys.maxsize)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--work", type=Path)
    args = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory(dir=args.work) as name:
        driver = Driver(Path(name), args.tokens)
        for kind in args.kinds:
            failed += _looked(driver, kind, args)
    raise SystemExit(1 if failed else 0)


def _looked(driver: Driver, kind: str, args: argparse.Namespace) -> int:
    begun, cpu, failed, met = time.time(), sum(os.times()[:4]), 0, Counter[str]()
    driver.resumes = driver.damaged = 0
    for n, look in enumerate(driver.looks(kind), 1):
        if not args.first <= n <= args.last or (n - args.first) % args.step:
            continue
        try:
            what = look()
        except AssertionError as trouble:
            failed += 1
            sys.stderr.write(f"{kind} {n}: {trouble}\n")
            continue
        if what:
            met[kind_of(what)] += 1
    result = {
        "kind": kind,
        "tokens": args.tokens,
        "points": driver.points,
        "faults": met.total() + failed,
        "at": dict(met),
        "resumes": driver.resumes,
        "damaged by SoftHSM": driver.damaged,
        "failed": failed,
        "seconds": round(time.time() - begun, 1),
        "cpu": round(sum(os.times()[:4]) - cpu, 1),
    }
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()
    return failed


if __name__ == "__main__":
    main()
