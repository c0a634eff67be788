"""Seals in a ceremony by people whose key is none of its keys: on their own token, in a file, in GnuPG's keyring."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vestry.ceremony import own_keys, seal_keys
from vestry.ceremony.dialogue import Ask, Choose
from vestry.ceremony.own_keys import Signs
from vestry.ceremony.provisioning import find
from vestry.ceremony.room import Room
from vestry.ceremony.seal import SealingKey
from vestry.ceremony.signing import sign_seal
from vestry.errors import Refused
from vestry.metadata.keys import Key
from vestry.text import printable

_ON_TOKEN = ("token", "on a token, which is plugged in")
_IN_FILE = ("file", "in a file, on a medium of mine")


@contextmanager
def opened(room: Room, person: str, key: SealingKey) -> Iterator[Signs]:
    """What signs with the private half of `key`, of which the script has the public half for `person`.

    Raises:
        VestryError: it is not there, does not open, or is another key.
    """
    if seal_keys.is_pgp(key.value):
        yield _fitting(person, key, own_keys.from_gpg(_fingerprint(room, person)))
    elif _place(room, person) == "file":
        yield _fitting(person, key, own_keys.from_file(_file(room, person), room))
    else:
        public = Key.from_dict(key.keyid, dict(key.value))
        token = room.bench.showing(public, person)
        room.tell(own_keys.describe(token.info))
        with own_keys.unlocked(room, token, practice=room.state.script.rehearsal) as unlocked:
            held = find(unlocked, public)

            def sign(message: bytes) -> tuple[bytes, str]:
                with room.waiting(room.signs("the seal", held)):
                    return sign_seal(message, public, unlocked, held), ""

            yield sign


def _fitting(person: str, key: SealingKey, own: own_keys.OwnKey) -> Signs:
    if dict(own.key) != dict(key.value):
        what = f"this is another key than the script names for {printable(person, 80)}"
        raise Refused(what, do="take the key that the script names", code="E-SEAL-KEY")
    return own.seal


def _place(room: Room, person: str) -> str:
    details = ("The script has the public half; the other is used here once, and nothing of it is kept.",)
    places = (_ON_TOKEN, _IN_FILE)
    return room.ask(Choose("own-key", "Say where your key is.", person=person, details=details, options=places))


def _file(room: Room, person: str) -> Path:
    sentence = "Write where the file with your private key is, from the root of this machine."
    return Path(room.ask(Ask("key-file", sentence, person=person))).expanduser()


def _fingerprint(room: Room, person: str) -> str:
    details = ("GnuPG asks for its passphrase in its own prompt. On the full screen, open the key before, elsewhere.",)
    return room.ask(Ask("fingerprint", "Write the fingerprint of your OpenPGP key.", person=person, details=details))
