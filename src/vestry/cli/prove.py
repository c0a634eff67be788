"""``vestry tokens --prove``: the key drill. Each token here is unlocked, and each of its keys signs a challenge."""

from __future__ import annotations

import argparse
import getpass
import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from vestry.ceremony import drill
from vestry.ceremony.conductor import software
from vestry.ceremony.dialogue import Secret
from vestry.ceremony.drill import Drill, Proved
from vestry.cli import output, sources
from vestry.cli.documents import read_document
from vestry.errors import ExitStatus, InputRejected, VestryError
from vestry.media import bundle, drives
from vestry.media.arrivals import bundle_folder
from vestry.metadata import document
from vestry.metadata.keys import Key
from vestry.metadata.wording import owner
from vestry.plain.prompts import Prompts
from vestry.text import printable
from vestry.tokens import naming, pins
from vestry.tokens.token import Token, TokenKey


@dataclass(frozen=True)
class Wanted:
    """The keys a drill looks for, by fingerprint, their holders by key id, and the root's threshold; nothing where no
    root was given."""

    keys: Mapping[str, Key] = field(default_factory=dict)
    holders: Mapping[str, str] = field(default_factory=dict)
    threshold: int = 0


def run(args: argparse.Namespace) -> int:
    """Hold a drill; 1 where a key that the root names was not proved, 3 where a token failed."""
    front = Prompts(secret=getpass.getpass if sys.stdin.isatty() else None)
    wanted = _wanted(Path(args.root)) if args.root else Wanted()
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    record = Path(args.record or f"drill-{at[:10]}.json")
    if record.exists():
        raise InputRejected(
            "there is a record already",
            where=printable(str(record), 200),
            do="name another with --record",
            code="E-DRILL",
        )
    proved: list[Proved] = []
    troubles: list[str] = []
    with sources.opened(args.software, args.module) as (found, broken):
        troubles += [str(error) for error in broken]
        for source in found:
            try:
                tokens = source.tokens()
            except VestryError as error:
                if args.module or error.code != "E-MODULE-SERVICE":
                    _failed(front, error, troubles)
                continue
            for token in tokens:
                if args.token and token.info.serial.strip() not in args.token:
                    continue
                try:
                    _token(front, token, wanted, at, proved, troubles)
                except VestryError as error:  # one that was pulled out keeps nobody else from the drill
                    _failed(front, error, troubles)
    missing = drill.missing(wanted.keys.values(), proved)
    done = Drill(at, *software(), tuple(proved), missing, tuple(str(printable(t, 400)) for t in troubles))
    drives.write_file(record, drill.to_bytes(done))
    _report(args, done, record, wanted)
    if missing or not proved:
        return int(ExitStatus.DOES_NOT_HOLD)
    return int(ExitStatus.DEVICE_FAILED if troubles else ExitStatus.DONE)


def _wanted(path: Path) -> Wanted:
    folder = bundle_folder(path)
    root = bundle.open_bundle(folder).document if folder else read_document(path)
    if root.type != "root":
        raise InputRejected("this is no root", where=printable(str(path), 200), do="give the root", code="E-KEY")
    entry = root.signed["roles"]["root"]
    listed = document.keys(root)
    keys = {listed[i].fingerprint: listed[i] for i in entry["keyids"] if i in listed}
    return Wanted(keys, {k.keyid: owner(k.extra) for k in keys.values()}, entry["threshold"])


def _token(front: Prompts, token: Token, wanted: Wanted, at: str, proved: list[Proved], troubles: list[str]) -> None:
    info = token.info
    if not (info.initialised and info.pin_ready):
        return
    shown = token.public_keys()
    # Some devices show no key before they are unlocked; a YubiKey that shows none has none.
    if not any(_wanted_here(k, wanted) for k in shown) and (shown or info.reset == "puk"):
        return
    named = naming.plain(info)
    if info.tries in ("locked", "last"):
        state = "is locked" if info.tries == "locked" else "has one try left, which a drill does not use"
        troubles.append(f"the PIN of {named} {state}")
        front.tell(troubles[-1], good=False)
        return
    details = ("An empty line leaves this token out.",)
    pin = front.ask(Secret("pin", f"Type the PIN of {named}.", details=details, warning=_tries(info.tries_left)))
    if not len(pin):
        troubles.append(f"{named} was left out")
        return
    try:
        pins.refuse_factory(pin)
        with token.unlock(pin) as unlocked:
            listed = unlocked.keys()
            for held in (k for k in listed if _wanted_here(k, wanted)):
                front.waiting("The token signs; touch it if it blinks", None)
                key = Key.from_spki(held.spki)
                holder = wanted.holders.get(wanted.keys.get(key.fingerprint, key).keyid, "")
                proved.append(drill.prove(info, held, unlocked, at=at, known=wanted.keys, holder=holder))
                front.tell(f"Key {proved[-1].keyid[:8]}...{_of(holder)} signs", good=True)
    except VestryError as error:
        _failed(front, error, troubles)
    finally:
        pin.wipe()


def _wanted_here(key: TokenKey, wanted: Wanted) -> bool:
    return bool(key.spki) and (not wanted.keys or hashlib.sha256(key.spki).hexdigest() in wanted.keys)


def _failed(front: Prompts, error: VestryError, troubles: list[str]) -> None:
    troubles.append(str(error))
    front.trouble(error, "No metadata was touched; nothing was signed but the drill's own challenge.")


def _tries(left: int | None) -> str:
    return f"PIN tries left: {left}." if left is not None else ""


def _of(holder: str) -> str:
    return f" ({printable(holder, 60)})" if holder else ""


def _report(args: argparse.Namespace, done: Drill, record: Path, wanted: Wanted) -> None:
    if args.json:
        keys = [{"keyid": p.keyid, "holder": p.holder, "serial": p.serial, "uri": p.uri} for p in done.proved]
        output.emit(
            {
                "ok": not done.missing and bool(done.proved),
                "at": done.at,
                "record": str(record),
                "proved": keys,
                "missing": list(done.missing),
                "threshold": wanted.threshold,
                "troubles": list(done.troubles),
            }
        )
        return
    if wanted.keys:
        here = len(wanted.keys) - len(done.missing)
        output.line(f"{here} of {len(wanted.keys)} root keys sign; the threshold is {wanted.threshold}")
        output.line(*(f"  not proved: {i}{_of(wanted.holders.get(i, ''))}" for i in done.missing))
    else:
        output.line(f"{len(done.proved)} keys sign")
    output.line(f"recorded in {printable(str(record), 200)}")
