"""``vestry sign``: read a bundle's review, answer it, type two words of the digest, and add one signature."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom

from vestry.ceremony import own_keys
from vestry.ceremony.dialogue import Front, ReadReview, TypeBack
from vestry.ceremony.drafts import REHEARSAL_FIELD
from vestry.ceremony.provisioning import find
from vestry.ceremony.signing import sign_reviewed
from vestry.cli import output, sources
from vestry.cli.collect import holder
from vestry.cli.documents import open_bundle, read_public_key
from vestry.cli.review import decided_by, of_bundle
from vestry.errors import ExitStatus, InputRejected, Refused, Stopped, TokenTrouble, VestryError
from vestry.machine import isolation
from vestry.media import bundle
from vestry.media.bundle import Bundle
from vestry.metadata.document import Signature
from vestry.metadata.keys import Key
from vestry.metadata.review import Review, Reviewed, conclude
from vestry.plain.prompts import Prompts
from vestry.text import printable, words
from vestry.tokens import certificates
from vestry.tokens.token import Token, TokenSource, Unlocked

_WORDS_TYPED = 2
_WORDS_TRIES = 3


def run(args: argparse.Namespace) -> int:
    """Sign once. Nothing is asked for that cannot lead to a signature: the token is found first."""
    confined = isolation.enter(keep_network=args.keep_network)
    front = Prompts(secret=getpass.getpass if sys.stdin.isatty() else None)
    opened = open_bundle(args.bundle)
    front.tell(confined.said, good=confined.isolated or None)
    review = of_bundle(opened, now=datetime.now(UTC))
    stopping = [f for f in review.findings if f.severity == "stop"]
    if stopping:
        raise Refused(
            f"{stopping[0].text} ({stopping[0].code})",
            where=printable(str(opened.path), 200),
            do="see vestry review; this document must not be signed",
            code="E-REVIEW-STOP",
        )
    with sources.opened(args.software, args.module) as (found, troubles):
        key, token = choose(opened, found, wanted=args.key, serial=args.token, troubles=troubles)
        front.tell(f"Key {key.keyid} of {holder(opened, key.keyid) or 'an unnamed holder'}")
        front.tell(own_keys.describe(token.info))
        vouching = _certificates(token, key)
        for der in vouching:
            if (seen := certificates.read(der)) is not None:
                front.tell(seen.line(datetime.now(UTC)))
        for line in decided_by(opened):
            front.tell(line)
        reviewed = read(front, review)
        confirm(front, review.new.digest, "the digest")
        with unlocked(front, token, practice=REHEARSAL_FIELD in review.signed[1]) as open_token:
            signature = sign_reviewed(reviewed, key, open_token, find(open_token, key))
    after = bundle.add_signature(opened, signature, "".join(certificates.pem(der) for der in vouching))
    _report(args, after, signature)
    return int(ExitStatus.DONE)


def choose(
    opened: Bundle,
    found: Sequence[TokenSource],
    *,
    wanted: str | None,
    serial: str | None,
    troubles: Sequence[VestryError] = (),
) -> tuple[Key, Token]:
    """The one key that may sign, has not signed, and lies on a token here. A module that fails is of concern only where
    no other shows such a key; so are the `troubles` that there were before.

    Raises:
        Refused: every key found has signed already.
        InputRejected: several keys or tokens would do.
        VestryError: none is here, or the first trouble that may be why.
    """
    asked = {key.keyid: key for authority in opened.authorities() for key in authority.keys}
    candidates = [key for key in asked.values() if wanted is None or _is(key, wanted, opened.holders)]
    if not candidates:
        raise InputRejected(
            f"no key of {printable(opened.role, 40)} goes by that",
            where="--key",
            do="give a holder's name, a key id from its beginning, or a public key file",
            code="E-KEY",
        )
    signed = {s.keyid for s in opened.signed_document().signatures}
    failed = list(troubles)
    here: list[tuple[Key, Token]] = []
    for source in found:
        try:
            here += [
                (key, token)
                for token in source.tokens()
                if token.info.initialised and (serial is None or token.info.serial.strip() == serial)
                for key in _held(token, candidates)
            ]
        except TokenTrouble as error:
            failed.append(error)
    if not here and serial is not None and len(candidates) == 1:
        # Some devices show no key before they are unlocked; the one that was named is looked into then.
        silent = [t for s in found for t in s.tokens() if t.info.serial.strip() == serial and not t.public_keys()]
        here = [(candidates[0], t) for t in silent if t.info.pin_ready]
    left = [(key, token) for key, token in here if key.keyid not in signed]
    if not here and failed:
        raise failed[0]
    if not here:
        raise TokenTrouble(
            "no token here holds a key that may sign this",
            where=opened.title,
            do="insert your token, or name it: --module, or --software for practice tokens",
            code="E-TOKEN-GONE",
        )
    if not left:
        raise Refused(
            "the key on this token has signed already",
            where=printable(str(opened.path), 200),
            do="send the bundle back, or insert another token",
            code="E-SIGNED",
        )
    if len(left) > 1:
        names = ", ".join(f"{holder(opened, k.keyid) or k.keyid[:8]} ({printable(t.info.serial, 40)})" for k, t in left)
        raise InputRejected(
            f"{len(left)} keys here may sign: {names}",
            where="sign",
            do="choose one with --key or --token",
            code="E-KEY",
        )
    return left[0]


def read(front: Front, review: Review) -> Reviewed:
    """Have the review read and its findings answered."""
    sentence = "Read what changes, and answer what was found."
    return conclude(review, front.ask(ReadReview("review", sentence, review=review)))


def confirm(front: Front, digest: str, what: str) -> None:
    """Have two words of `digest`, which people call `what`, typed, at places of the program's choice.

    Raises:
        Stopped: they were wrong three times.
    """
    right = words(digest)
    for _ in range(_WORDS_TRIES):
        places = tuple(sorted(SystemRandom().sample(range(1, len(right) + 1), _WORDS_TYPED)))
        typed = front.ask(
            TypeBack(
                "words",
                f"Type words {places[0]} and {places[1]} of {what}.",
                details=("Compare all of it with what the others have, and let someone read the two aloud.",),
                digest=digest,
                positions=places,
            )
        )
        if [w.lower() for w in typed.split()] == [right[p - 1].lower() for p in places]:
            return
        front.tell(f"These are not words {places[0]} and {places[1]}. Nothing was signed.", good=False)
    raise Stopped("the words were wrong three times; nothing was signed", do=f"compare {what}, then sign again")


@contextmanager
def unlocked(front: Front, token: Token, *, practice: bool) -> Iterator[Unlocked]:
    """As `own_keys.unlocked`; and while it is open, people are told to touch it."""
    with own_keys.unlocked(front, token, practice=practice) as opened:
        front.waiting("The token signs; touch it if it blinks")
        try:
            yield opened
        finally:
            front.waiting("")


def _certificates(token: Token, key: Key) -> tuple[bytes, ...]:
    """The certificates on the token that are for `key`, as DER: its own, and its maker's attestation."""
    found = (c.der for c in token.certificates())
    return tuple(der for der in found if (seen := certificates.read(der)) is not None and seen.spki == key.spki)


def _held(token: Token, candidates: Sequence[Key]) -> list[Key]:
    on_it = {k.spki for k in token.public_keys()}
    return [key for key in candidates if key.spki and key.spki in on_it]


def _is(key: Key, wanted: str, holders: Mapping[str, str]) -> bool:
    if holders.get(key.keyid) == wanted or (len(wanted) >= 8 and key.keyid.startswith(wanted.lower())):
        return True
    path = Path(wanted)
    if not path.is_file():
        return False
    return read_public_key(path).fingerprint == key.fingerprint


def _report(args: argparse.Namespace, after: Bundle, signature: Signature) -> None:
    if args.json:
        output.emit(
            {
                "bundle": str(after.path),
                "keyid": signature.keyid,
                "sig": signature.sig,
                "thresholds": [t.to_dict() for t in after.tallies()],
            }
        )
        return
    output.line(f"signed with key {signature.keyid}; it verifies, and is in the bundle")
    output.line(*(f"  {count.sentence}" for count in after.tallies()))
    file = f"{printable(str(after.path), 200)}/signatures/{signature.keyid}.json"
    output.narrate(
        "Send the bundle back, or this signature alone: as its file, or to a camera:", f"  vestry qr show {file}"
    )
