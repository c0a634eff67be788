"""What a token is to Vestry: a small protocol, references to keys, and the PIN.

A `TokenSource` (one PKCS#11 module in its child process, or one folder of software tokens) lists `Token` s. A token
is named by its `TokenInfo`; it lists the public halves of its keys without a PIN, and with one it is `Unlocked`:
generate, sign, destroy. Signatures come back in the encoding TUF stores (ECDSA: ASN.1 DER `Ecdsa-Sig-Value`, RFC 3279;
Ed25519: 64 bytes, RFC 8032; RSA-PSS: salt as long as the hash, RFC 8017).

A token signs *messages* and never digests handed to it: it hashes here, so no path signs a hash of unknown origin.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from vestry.text import printable

RSA_BITS = (2048, 3072, 4096)


class Pin:
    """A PIN on its short way from the keyboard to the token. It has no useful `repr` and can be wiped."""

    __slots__ = ("_secret",)

    def __init__(self, secret: str | bytes | bytearray) -> None:
        self._secret = bytearray(secret.encode() if isinstance(secret, str) else secret)

    def reveal(self) -> bytes:
        """The UTF-8 bytes. Only a token implementation calls this."""
        return bytes(self._secret)

    def wipe(self) -> None:
        """Overwrite the secret. Best effort: Python may hold copies; the child process's end removes those."""
        self._secret[:] = bytes(len(self._secret))
        self._secret.clear()

    def same_as(self, other: Pin) -> bool:
        """Whether both were typed alike."""
        return self._secret == other._secret

    def __len__(self) -> int:
        return len(self._secret)

    def __repr__(self) -> str:
        return "Pin(…)"

    def __reduce__(self) -> str:
        raise TypeError("a PIN is not serialised")


@dataclass(frozen=True)
class KeyKind:
    """An algorithm to generate with: a TUF `scheme` and, for RSA, the modulus length in bits (else 0)."""

    scheme: str
    bits: int = 0


@dataclass(frozen=True)
class TokenKey:
    """The public half of a key on a token.

    `uri` is its RFC 7512 reference (serial, token label, id, object label; never a PIN), `spki` the DER
    SubjectPublicKeyInfo by which it is recognised, `kind` what it can sign with. `facts` holds what the token says of
    the private half (for example ``{"sensitive": "yes", "extractable": "no", "local": "yes"}``), as text.
    """

    uri: str
    label: str
    id: bytes
    spki: bytes
    kind: KeyKind
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class TokenInfo:
    """How a token presents itself. Texts come from a device: show them only through `printable()`.

    `tries` is ``"ok"``, ``"low"``, ``"last"``, ``"locked"`` or ``""`` where the token does not tell; `tries_left` the
    exact number, where it does. `pin_ready` says that a user PIN is set.

    `reset` says what `Token.initialise` takes as its second secret: ``"so-pin"``, ``"puk"`` (PIV: the PIN's unblocking
    key; the management key is then random, and dies with the module's process), or ``""`` where only the maker's own
    tool initialises. `pin_least` and `pin_most` bound a PIN in bytes; 0 where the token does not tell.
    """

    module: str
    module_sha256: str
    manufacturer: str
    model: str
    serial: str
    label: str
    firmware: str
    initialised: bool
    pin_ready: bool
    tries: str = ""
    tries_left: int | None = None
    reset: str = "so-pin"
    pin_least: int = 0
    pin_most: int = 0


@dataclass(frozen=True)
class TokenObject:
    """Anything that a token lists: what survives an initialisation must be among these.

    `kind` is ``"private key"``, ``"public key"``, ``"certificate"``, ``"secret key"``, ``"data"`` or ``"other"``.
    `sha256` is that of the SubjectPublicKeyInfo, certificate or data, in hex; empty where the token does not show it.
    `device`: it belongs to the device itself (the maker's attestation key), and no initialisation removes it.
    """

    kind: str
    label: str
    id: bytes
    sha256: str = ""
    device: bool = False

    def __str__(self) -> str:
        named = f" '{printable(self.label, 60)}'" if self.label else ""
        return f"{self.kind}{named}, id {self.id.hex() or '(none)'}" + (
            f", sha256 {self.sha256}" if self.sha256 else ""
        )


@dataclass(frozen=True)
class TokenCertificate:
    """An X.509 certificate that a token shows without a PIN: DER, with the label and id that it goes by there."""

    label: str
    id: bytes
    der: bytes


class Unlocked(Protocol):
    """A token after its PIN was accepted."""

    def keys(self) -> tuple[TokenKey, ...]:
        """All signing keys with a private half here."""

    def objects(self) -> tuple[TokenObject, ...]:
        """Everything the token lists after login, keys that sign and all else."""

    def generate(self, kind: KeyKind, label: str) -> TokenKey:
        """Generate on the token: sensitive, not extractable, sign only; read the public half back.

        Raises:
            TokenTrouble: the token lacks the mechanism, is full, went away, or already holds a key of that label.
        """

    def sign(self, key: TokenKey, message: bytes) -> bytes:
        """Sign `message` with `key`; the caller verifies."""

    def destroy(self, key: TokenKey) -> None:
        """Destroy both halves of `key`, or where it has no public bytes, what half a key goes by its id and label. The
        caller lists the token's keys again to see that it is gone."""


class Token(Protocol):
    """One token, unopened."""

    @property
    def info(self) -> TokenInfo:
        """Read again from the token on each access."""

    def public_keys(self) -> tuple[TokenKey, ...]:
        """Keys that show without a PIN; where a token shows none before login, an empty tuple."""

    def objects(self) -> tuple[TokenObject, ...]:
        """Everything that it lists without a PIN."""

    def certificates(self) -> tuple[TokenCertificate, ...]:
        """Certificates that show without a PIN, attestations among them."""

    def kinds(self) -> tuple[KeyKind, ...]:
        """What it can generate and sign with, as far as it tells: RSA once for each length in `RSA_BITS`."""

    def initialise(self, label: str, so_pin: Pin, pin: Pin) -> Token:
        """Erase everything on it, set label, the second secret that `TokenInfo.reset` names, and the PIN. Returns the
        token as it now presents itself.

        Raises:
            TokenTrouble: not possible on this module, or it went wrong; `unknown` where it may have happened.
        """

    def unlock(self, pin: Pin) -> AbstractContextManager[Unlocked]:
        """Log in once with `pin`, log out on leaving. One try, never repeated here.

        Raises:
            TokenTrouble: code E-PIN-WRONG (with `tries_left` where known), E-PIN-LOCKED, E-TOKEN-GONE, E-TOKEN-HUNG.
        """


class TokenSource(Protocol):
    """Where tokens come from."""

    def tokens(self) -> tuple[Token, ...]:
        """Tokens present now, blank ones included (their `initialised` is false)."""

    def cancel(self) -> None:
        """End what a token is doing, from any thread; whoever waits for it gets E-TOKEN-CANCELLED."""

    def close(self) -> None:
        """Let go of module and child process."""
