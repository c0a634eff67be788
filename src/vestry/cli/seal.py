"""``vestry seal``: one person, anywhere, says under a signature whether a ceremony went as its transcript has it."""

from __future__ import annotations

import argparse
import getpass
import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vestry.ceremony import late, seal, seal_keys, transcript
from vestry.ceremony.account import Account, statement
from vestry.ceremony.dialogue import Front
from vestry.ceremony.own_keys import OwnKey, describe, from_file, from_gpg
from vestry.ceremony.provisioning import find
from vestry.ceremony.replay import replay
from vestry.ceremony.signing import sign_seal
from vestry.ceremony.state import State
from vestry.cli import output, sources
from vestry.cli.replay import beside
from vestry.cli.sign import confirm, unlocked
from vestry.errors import ExitStatus, InputRejected, NotTrusted, Refused, TokenTrouble
from vestry.media import drives
from vestry.metadata.keys import Key
from vestry.plain.prompts import Prompts
from vestry.text import printable
from vestry.tokens.token import Token


def run(args: argparse.Namespace) -> int:
    """Replay, tell what holds, and seal; or print the public key that a script can name."""
    front = Prompts(secret=getpass.getpass if sys.stdin.isatty() else None)
    if args.show_key:
        with _own_key(args, front, None) as own:
            sys.stdout.write(json.dumps(dict(own.key), sort_keys=True) + "\n")
        return int(ExitStatus.DONE)
    _usage(args)
    path = Path(args.transcript)
    path = path / "transcript.jsonl" if path.is_dir() else path
    state = _told(path, front, agree=args.agree)
    with _own_key(args, front, state) as own:
        _say_whose(front, state, args.person, own)
        for line in (f"{args.person} {'agrees' if args.agree else 'does NOT agree'}.", args.reason):
            front.tell(printable(line))
        confirm(front, state.head, "the head of the transcript")
        payload = seal.late_statement(state, args.person, args.agree, args.reason, own.key)
        signature, headers = own.seal(seal.pre_authentication_encoding(payload))
    text = seal.envelope(seal.Sealed(payload, seal_keys.keyid(own.key), signature, headers))
    name = late.file_name(args.person, text)
    judged = late.judge(name, text.encode(), state.head, state)
    if judged.verdict == "failed":
        raise NotTrusted(f"the seal that was made does not hold, and was thrown away: {judged.why}", code="E-SEAL-NOT")
    file = (Path(args.output) if args.output else path.parent / late.FOLDER) / name
    drives.write_file(file, text.encode())
    _report(args, file, state, judged, text)
    return int(ExitStatus.DONE)


def _usage(args: argparse.Namespace) -> None:
    for missing, option in ((args.transcript is None, "TRANSCRIPT"), (not args.person, "--person")):
        if missing:
            raise InputRejected("it is not said", where=option, do="see vestry seal --help", code="E-USAGE")
    if args.disagree and not args.reason.strip():
        raise InputRejected("who does not agree gives a reason", where="--reason", do="say why", code="E-USAGE")


def _told(path: Path, front: Front, *, agree: bool) -> State:
    """The state at the transcript's end, after its replay was told."""
    account = Account()
    for step in replay(transcript.iter_read(path)):
        account.add(step)
    result = account.result(*beside(account.last, path))
    for line in statement(result):
        front.tell(line)
    state = account.last.state if account.last is not None else None
    if state is None or state.withheld:
        why = "this is a published copy" if state is not None or result["counts"]["withheld"] else "it can't be folded"
        raise Refused(f"{why}; nobody seals what it does not show", where=printable(path.name), code="E-SEAL-NOT")
    if agree and not (result["ok"] and result["complete"]):
        why = "a part of it does not hold" if not result["ok"] else "the ceremony is not complete"
        do = "see vestry replay; --disagree says so under your signature"
        raise Refused(f"nobody agrees to this: {why}", where=printable(path.name), do=do, code="E-SEAL-NOT")
    return state


def _say_whose(front: Front, state: State, person: str, own: OwnKey) -> None:
    try:
        named = late.whose(state, person, own.key)
    except NotTrusted as error:
        do = "take the key that the script names"
        raise Refused(f"the seal would not hold: {error.what}", do=do, code="E-SEAL-KEY") from None
    front.tell(f"Key {seal_keys.keyid(own.key)}")
    if not named:
        who = printable(person, 80)
        front.tell(f"The script names no key for {who}: that this one is theirs, readers must know from elsewhere.")


@contextmanager
def _own_key(args: argparse.Namespace, front: Front, state: State | None) -> Iterator[OwnKey]:
    if args.key is not None:
        yield from_file(Path(args.key), front)
    elif args.gpg is not None:
        yield from_gpg(args.gpg)
    else:
        with sources.opened(args.software, args.module) as (found, _):
            tokens = [t for s in found for t in s.tokens() if args.token in (None, t.info.serial.strip())]
            yield _on_token(front, state, args.person, tokens)


def _on_token(front: Front, state: State | None, person: str, tokens: list[Token]) -> OwnKey:
    """The one key there that the script names for `person`; where it names none, the one key there is."""
    held = [(key, t) for t in tokens if t.info.initialised for k in t.public_keys() for key in _usable(k.spki)]
    theirs = late.keys_of(state, person) if state is not None else frozenset()
    fitting = [(key, token) for key, token in held if not theirs or key.fingerprint in theirs]
    if not fitting:
        what = "no key here is one that the script names for them" if theirs else "no token with a key is here"
        do = "insert the token, or name a key with --key or --gpg"
        raise TokenTrouble(what, where=printable(person or "--token", 80), do=do, code="E-TOKEN-GONE")
    if len(fitting) > 1:
        do = "choose the token with --token"
        raise InputRejected(f"{len(fitting)} keys here could seal", where="--token", do=do, code="E-KEY")
    key, token = fitting[0]
    practice = state is not None and state.script.rehearsal

    def sign(message: bytes) -> tuple[bytes, str]:
        front.tell(describe(token.info))
        with unlocked(front, token, practice=practice) as opened:
            return sign_seal(message, key, opened, find(opened, key)), ""

    return OwnKey(key.to_dict(), sign)


def _usable(spki: bytes) -> list[Key]:
    try:
        return [Key.from_spki(spki)]
    except InputRejected:
        return []


def _report(args: argparse.Namespace, file: Path, state: State, judged: late.LateSeal, text: str) -> None:
    digest = hashlib.sha256(text.encode()).hexdigest()
    if args.json:
        told = {"file": str(file), "sha256": digest, "head": state.head, "key": judged.keyid, "agree": judged.agree}
        output.emit({**told, "person": judged.person, "reason": judged.reason, "why": judged.why})
        return
    output.line(f"sealed: {printable(str(file), 200)}", f"  {judged.why}")
    output.narrate("Send this file to whoever keeps the ceremony; it belongs into 'seals' beside the transcript.")
