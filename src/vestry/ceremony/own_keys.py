"""Private keys of people's own that sign seals: in a file, in a GnuPG keyring, or on a token that no script knows.

A passphrase is typed, here or into GnuPG's own prompt; it is in no argument and no environment variable.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib._gpg import functions as gpg
from securesystemslib.exceptions import Error as LibraryError
from securesystemslib.signer import GPGSigner

from vestry.ceremony import seal_keys
from vestry.ceremony.dialogue import Confirm, Question, Secret
from vestry.errors import InputRejected, Stopped, TokenTrouble
from vestry.metadata import intake
from vestry.metadata.keys import Key
from vestry.text import printable
from vestry.tokens import pins, private_keys
from vestry.tokens.token import Token, TokenInfo, Unlocked

T = TypeVar("T")

_LIMIT = 64 << 10
_FINGERPRINT = re.compile(r"[0-9a-f]{40}")
_PATIENCE = 300  # seconds for whoever types a passphrase into GnuPG's prompt


Signs = Callable[[bytes], tuple[bytes, str]]
"""Gives the signature over a message, and OpenPGP's hashed headers in hex; other keys have none."""


class Asks(Protocol):
    """Who asks people."""

    def ask(self, question: Question[T]) -> T:
        """The answer."""


@dataclass(frozen=True)
class OwnKey:
    """A key object (see `seal_keys`), and what signs with it: a signature, and OpenPGP's hashed headers in hex."""

    key: Mapping[str, Any]
    seal: Signs


def from_file(path: Path, asks: Asks) -> OwnKey:
    """The private key of a PEM file (PKCS #8, RFC 5958); where it is encrypted, its passphrase is asked for.

    Raises:
        InputRejected: it is none that can seal, or the passphrase is another.
    """
    where = str(printable(str(path), 200))
    private = _load(intake.read_file(path, limit=_LIMIT), where, asks)
    key = Key.from_spki(private_keys.spki(private), where=where)
    return OwnKey(key.to_dict(), lambda message: (private_keys.sign(private, key.scheme, message), ""))


def _load(raw: bytes, where: str, asks: Asks) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(raw, None)
    except TypeError:
        pass  # it is encrypted
    except (ValueError, UnsupportedAlgorithm):
        raise InputRejected(
            "this is no private key in PEM", where=where, do="name a PKCS #8 file, or use --gpg", code="E-SEAL-KEY"
        ) from None
    passphrase = asks.ask(Secret("passphrase", f"Type the passphrase of {where}."))
    try:
        return load_pem_private_key(raw, passphrase.reveal())
    except (ValueError, UnsupportedAlgorithm):
        raise InputRejected(
            "it does not open with this passphrase", where=where, do="run the line again", code="E-SEAL-KEY"
        ) from None
    finally:
        passphrase.wipe()


def describe(info: TokenInfo) -> str:
    """A token in words: label, model, serial; safe to show."""
    return f"token '{printable(info.label, 40)}' ({printable(info.model, 40)}), serial {printable(info.serial, 40)}"


@contextmanager
def unlocked(asks: Asks, token: Token, *, practice: bool) -> Iterator[Unlocked]:
    """The token, opened with the PIN that its holder types: one try, and whoever mistyped goes on from there. What only
    is for `practice` may have a factory's PIN."""
    info = token.info
    if info.tries == "locked":
        raise TokenTrouble(
            "the PIN of this token is locked", where=describe(info), do="use another key", code="E-PIN-LOCKED"
        )
    if (info.tries == "last" or info.tries_left == 1) and not asks.ask(
        Confirm(
            "last-try",
            "Decide whether to use the last try.",
            details=("One PIN try is left. If it is wrong, the token locks and its keys are lost.",),
            yes="use the last try",
            no="stop here",
        )
    ):
        raise Stopped("stopped before the last PIN try; nothing was signed")
    warning = f"PIN tries left: {info.tries_left}." if info.tries_left is not None else ""
    pin = asks.ask(Secret("pin", f"Type the PIN of {describe(info)}.", warning=warning))
    try:
        if not practice:
            pins.refuse_factory(pin)
        with token.unlock(pin) as opened:
            yield opened
    finally:
        pin.wipe()


def from_gpg(fingerprint: str) -> OwnKey:
    """A key of the GnuPG keyring (that of GNUPGHOME), by the whole fingerprint of the key or subkey that signs. Whether
    it has expired or was revoked is nothing that a seal knows.

    Raises:
        InputRejected: no such key is there, or it is of a kind that doesn't seal.
        TokenTrouble: GnuPG is missing or failed.
    """
    name = "".join(fingerprint.split()).lower()
    if not _FINGERPRINT.fullmatch(name):
        raise InputRejected(
            "this is not a fingerprint of 40 hex digits", where="--gpg", do="see gpg --list-keys", code="E-SEAL-KEY"
        )
    if sys.stdin.isatty() and "GPG_TTY" not in os.environ:
        with suppress(OSError):  # where GnuPG asks for a passphrase
            os.environ["GPG_TTY"] = os.ttyname(sys.stdin.fileno())
    try:
        _, public = GPGSigner.import_(name)
    except (ValueError, KeyError):
        raise InputRejected(
            "GnuPG has no such key that can be read", where="--gpg", do="see gpg --list-keys", code="E-SEAL-KEY"
        ) from None
    except (LibraryError, OSError, subprocess.SubprocessError) as error:
        raise _gpg_failed(error) from error
    value = {"keytype": public.keytype, "scheme": public.scheme, "keyval": {"public": public.keyval["public"]}}
    return OwnKey(seal_keys.checked(value, where="--gpg"), lambda message: _gpg_sign(name, message))


def _gpg_sign(name: str, message: bytes) -> tuple[bytes, str]:
    try:
        # The exclamation mark makes GnuPG take this very key, not a subkey of its own choice.
        made = gpg.create_signature(message, f"{name}!", timeout=_PATIENCE)  # type: ignore[no-untyped-call]
    except (LibraryError, OSError, ValueError, subprocess.SubprocessError) as error:
        raise _gpg_failed(error) from error
    return bytes.fromhex(made["signature"]), made["other_headers"]


def _gpg_failed(error: Exception) -> TokenTrouble:
    said = str(error).strip().splitlines()[-1:] or [type(error).__name__]
    return TokenTrouble(
        f"GnuPG signed nothing: {printable(said[0], 200)}",
        where="--gpg",
        do="see that gpg and the key's passphrase are there, then run the line again",
        code="E-GPG",
    )
