"""Software tokens: a folder of them, for rehearsals and tests. Not a place for a key that matters.

    FOLDER/SERIAL/token.json            what it is; names the current epoch
    FOLDER/SERIAL/EPOCH/tries           PIN tries left
    FOLDER/SERIAL/EPOCH/ID.key          one key: public half, and the private half (PKCS #8) under AES-256-GCM

The PIN becomes the key by scrypt (RFC 7914), once an unlock. Every change is one rename of a synced file, so that a
program killed at any moment leaves the state before or the state after: initialising makes a new epoch beside the old
one and then lets token.json point at it. The count of tries is written down, and synced, before a PIN is checked.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from vestry.errors import TokenTrouble
from vestry.text import printable
from vestry.tokens import private_keys
from vestry.tokens import software_files as files
from vestry.tokens.software_files import SCRYPT_N, TRIES
from vestry.tokens.token import (
    RSA_BITS,
    KeyKind,
    Pin,
    Token,
    TokenCertificate,
    TokenInfo,
    TokenKey,
    TokenObject,
    Unlocked,
)

SHORTEST_PIN, LONGEST_PIN = 4, 255
_KEY_FORMAT = "vestry software key 1"
_SERIAL = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,31}")
_LONGEST_LABEL = 32


class SoftwareSource:
    """The software tokens in `folder`, which may not exist yet. `scrypt_n` is scrypt's cost, where initialised here."""

    def __init__(self, folder: Path, *, scrypt_n: int = SCRYPT_N) -> None:
        self._folder, self._scrypt_n = folder, scrypt_n

    def create(self, serial: str) -> Token:
        """Add a blank token.

        Raises:
            TokenTrouble: E-TOKEN-INIT: not a serial number (letters, digits, ``-``, ``_``; at most 32), or taken.
        """
        if not _SERIAL.fullmatch(serial):
            raise TokenTrouble(
                f"'{printable(serial[:40])}' is no serial number for a software token",
                do="use letters, digits, '-' and '_', at most 32",
                code="E-TOKEN-INIT",
            )
        final = self._folder / serial
        with files.translated(final):
            self._folder.mkdir(parents=True, exist_ok=True)
            if final.exists():
                raise TokenTrouble("there is a software token of that serial", where=serial, code="E-TOKEN-INIT")
            new = self._folder / f".new-{secrets.token_hex(8)}"
            new.mkdir(mode=0o700)
            files.write(new / "token.json", files.state_bytes(files.State(serial)))
            new.rename(final)
            files.sync(self._folder)
        return _SoftwareToken(final, self._scrypt_n)

    def tokens(self) -> tuple[Token, ...]:
        """All tokens of the folder, by name."""
        with files.translated(self._folder):
            if not self._folder.is_dir():
                return ()
            paths = sorted(p for p in self._folder.iterdir() if not p.name.startswith("."))
            return tuple(_SoftwareToken(p, self._scrypt_n) for p in paths if (p / "token.json").is_file())

    def cancel(self) -> None:
        """Nothing here makes anyone wait."""

    def close(self) -> None:
        """Nothing is held open."""


class _SoftwareToken:
    def __init__(self, path: Path, scrypt_n: int) -> None:
        self._path, self._scrypt_n = path, scrypt_n

    @property
    def info(self) -> TokenInfo:
        state = files.load(self._path)
        left = files.tries(self._path, state) if state.epoch else None
        return TokenInfo(
            module="software",
            module_sha256="",
            manufacturer="Vestry",
            model="software token",
            serial=state.serial,
            label=state.label,
            firmware="1",
            initialised=bool(state.epoch),
            pin_ready=bool(state.epoch),
            tries="" if left is None else {0: "locked", 1: "last", TRIES: "ok"}.get(left, "low"),
            tries_left=left,
            pin_least=SHORTEST_PIN,
            pin_most=LONGEST_PIN,
        )

    def public_keys(self) -> tuple[TokenKey, ...]:
        return files.keys(self._path, self._only())

    def objects(self) -> tuple[TokenObject, ...]:
        return _objects(self.public_keys())

    def certificates(self) -> tuple[TokenCertificate, ...]:
        return ()

    def kinds(self) -> tuple[KeyKind, ...]:
        return tuple(
            KeyKind(scheme, bits)
            for scheme in private_keys.SCHEMES
            for bits in (RSA_BITS if scheme.startswith("rsa") else (0,))
        )

    def initialise(self, label: str, so_pin: Pin, pin: Pin) -> Token:
        state = self._only()
        _check_pin(pin, "PIN", self._path)
        _check_pin(so_pin, "security officer PIN", self._path)
        if len(label.encode()) > _LONGEST_LABEL:
            raise TokenTrouble(
                "a token's label has at most 32 bytes", where=str(printable(label[:80])), code="E-TOKEN-INIT"
            )
        epoch, salt = secrets.token_hex(8), secrets.token_bytes(16)
        fresh = files.State(state.serial, label, epoch, self._scrypt_n, salt)
        check = _seal(_derive(fresh, pin), b"", _pin_context(fresh))
        with files.translated(self._path, acting=True):
            (self._path / epoch).mkdir(mode=0o700)
            files.write(self._path / epoch / "tries", files.count(TRIES))
            files.sync(self._path)
            files.write(
                self._path / "token.json",
                files.state_bytes(files.State(state.serial, label, epoch, fresh.n, salt, check)),
            )
            files.sweep(self._path, epoch)
        return _SoftwareToken(self._path, self._scrypt_n)

    @contextmanager
    def unlock(self, pin: Pin) -> Iterator[Unlocked]:
        state = self._only()
        if not state.epoch:
            raise TokenTrouble(
                "the token is blank: it has no PIN yet", where=_name(state), do="initialise it", code="E-TOKEN-INIT"
            )
        left = files.tries(self._path, state)
        if left <= 0:
            raise _locked(state)
        _check_pin(pin, "PIN", self._path)
        counter = self._path / state.epoch / "tries"
        with files.translated(self._path):
            files.write(counter, files.count(left - 1))
            key = _derive(state, pin)
            try:
                AESGCM(key).decrypt(state.check[:12], state.check[12:], _pin_context(state))
            except InvalidTag:
                if left == 1:
                    raise _locked(state) from None
                raise TokenTrouble(
                    "the PIN is wrong",
                    where=_name(state),
                    do=f"type it with care: {left - 1} {'try is' if left == 2 else 'tries are'} left",
                    code="E-PIN-WRONG",
                    tries_left=left - 1,
                ) from None
            files.write(counter, files.count(TRIES))
            files.sweep(self._path, state.epoch)
        opened = _SoftwareUnlocked(self._path, state.epoch, bytearray(key))
        try:
            yield opened
        finally:
            opened.lock()

    def _only(self) -> files.State:
        state = files.load(self._path)
        with files.translated(self._path.parent):
            others = [p for p in self._path.parent.iterdir() if p != self._path]
        for other in others:
            if not other.name.startswith(".") and (other / "token.json").is_file():
                seen = files.load(other)
                if (seen.serial, seen.label) == (state.serial, state.label):
                    raise TokenTrouble(
                        "two software tokens show the same serial and label",
                        where=_name(state),
                        do="take the copy away",
                        code="E-TOKEN-TWO-ALIKE",
                    )
        return state

    def __repr__(self) -> str:
        return f"<software token {self._path.name}>"


class _SoftwareUnlocked:
    def __init__(self, path: Path, epoch: str, key: bytearray) -> None:
        self._path, self._epoch, self._key = path, epoch, key

    def keys(self) -> tuple[TokenKey, ...]:
        return files.keys(self._path, self._state())

    def objects(self) -> tuple[TokenObject, ...]:
        return tuple(TokenObject("private key", k.label, k.id, hashlib.sha256(k.spki).hexdigest()) for k in self.keys())

    def generate(self, kind: KeyKind, label: str) -> TokenKey:
        state = self._state()
        if not label or len(label) > 200:
            raise TokenTrouble(
                "a key needs a label of 1 to 200 characters", where=_name(state), code="E-TOKEN-MECHANISM"
            )
        if any(k.label == label for k in files.keys(self._path, state)):
            raise TokenTrouble(
                f"the token already holds a key labelled '{printable(label)}'",
                where=_name(state),
                do="use that key, or destroy it first",
                code="E-KEY-EXISTS",
            )
        private = private_keys.generate(kind)
        identity = secrets.token_bytes(8)
        public: dict[str, str | int] = {
            "format": _KEY_FORMAT,
            "id": identity.hex(),
            "label": label,
            "scheme": kind.scheme,
            "bits": kind.bits,
            "spki": private_keys.spki(private).hex(),
        }
        sealed = _seal(bytes(self._key), private_keys.to_der(private), _key_context(state, public))
        with files.translated(self._path, acting=True):
            files.write(
                self._path / state.epoch / f"{identity.hex()}.key", files.to_json({**public, "sealed": sealed.hex()})
            )
        return next(k for k in files.keys(self._path, state) if k.id == identity)

    def sign(self, key: TokenKey, message: bytes) -> bytes:
        state = self._state()
        file = self._file(state, key)
        with files.translated(self._path):
            entry = files.read_json(file)
        public = {k: v for k, v in entry.items() if k != "sealed"}
        try:
            sealed = bytes.fromhex(str(entry["sealed"]))
            der = AESGCM(bytes(self._key)).decrypt(sealed[:12], sealed[12:], _key_context(state, public))
        except (InvalidTag, KeyError, ValueError):
            raise files.damaged(self._path) from None
        return private_keys.sign(serialization.load_der_private_key(der, None), str(entry["scheme"]), message)

    def destroy(self, key: TokenKey) -> None:
        """Take the key's file out of the token, then overwrite, sync and unlink it; the next unlock finishes it.

        That cannot promise that the bytes are gone: journals, flash translation layers and backups keep copies. What
        was there is a private half under AES-GCM, worth nothing without the PIN.
        """
        file = self._file(self._state(), key)
        with files.translated(self._path, acting=True):
            file.rename(file.with_name(f"{files.GONE}{file.stem}"))
            files.sync(file.parent)
            files.sweep(self._path, self._epoch)

    def lock(self) -> None:
        """Forget the key made of the PIN; best effort, as Python may hold copies."""
        self._key[:] = bytes(len(self._key))
        self._key.clear()

    def _state(self) -> files.State:
        state = files.load(self._path)
        if not self._key or state.epoch != self._epoch:
            raise TokenTrouble(
                "the token is locked again", where=_name(state), do="unlock it with its PIN", code="E-TOKEN-GONE"
            )
        return state

    def _file(self, state: files.State, key: TokenKey) -> Path:
        for held in files.keys(self._path, state):
            if held.spki == key.spki:
                return self._path / state.epoch / f"{held.id.hex()}.key"
        raise TokenTrouble(
            f"the token does not hold key '{printable(key.label[:80])}'",
            where=_name(state),
            do="look whether it is the right token",
            code="E-KEY-GONE",
        )

    def __repr__(self) -> str:
        return f"<software token {self._path.name}, unlocked>"


def _objects(keys: tuple[TokenKey, ...]) -> tuple[TokenObject, ...]:
    return tuple(TokenObject("private key", k.label, k.id, hashlib.sha256(k.spki).hexdigest()) for k in keys)


def _derive(state: files.State, pin: Pin) -> bytes:
    return Scrypt(salt=state.salt, length=32, n=state.n, r=8, p=1).derive(pin.reveal())


def _seal(key: bytes, plain: bytes, context: bytes) -> bytes:
    nonce = secrets.token_bytes(12)
    return nonce + AESGCM(key).encrypt(nonce, plain, context)


def _pin_context(state: files.State) -> bytes:
    return files.to_json({"pin of": state.serial, "label": state.label, "epoch": state.epoch, "n": state.n})


def _key_context(state: files.State, public: Mapping[str, object]) -> bytes:
    return files.to_json({**public, "token": state.serial, "epoch": state.epoch})


def _check_pin(pin: Pin, what: str, path: Path) -> None:
    if not SHORTEST_PIN <= len(pin) <= LONGEST_PIN:
        raise TokenTrouble(
            f"the {what} has {'too few' if len(pin) < SHORTEST_PIN else 'too many'} characters; no try was used",
            where=f"software token {printable(path.name)}",
            do=f"use {SHORTEST_PIN} to {LONGEST_PIN}",
            code="E-PIN-LENGTH",
        )


def _name(state: files.State) -> str:
    return f"software token {printable(state.serial[:40])}"


def _locked(state: files.State) -> TokenTrouble:
    return TokenTrouble(
        "the PIN is locked after too many wrong tries",
        where=_name(state),
        do="its keys can't be used any more; go on with the other holders",
        code="E-PIN-LOCKED",
        tries_left=0,
    )
