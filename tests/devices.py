"""What tests of tokens share: kinds of keys, PINs that can be looked for, verification by TUF's own library."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key
from securesystemslib.signer import Signature, SSlibKey

from vestry.errors import TokenTrouble
from vestry.tokens.token import KeyKind, Pin, Token, TokenKey, TokenSource

PIN, SO_PIN = "canary-pin-5127", "canary-officer-9034"
P256 = KeyKind("ecdsa-sha2-nistp256")
KINDS = [
    *(KeyKind(f"ecdsa-sha2-nistp{bits}") for bits in (256, 384, 521)),
    KeyKind("ed25519"),
    KeyKind("rsassa-pss-sha256", 2048),
]

# Places in CK_FUNCTION_LIST, for modules that fail on purpose.
INITIALIZE, GET_SLOT_LIST, INIT_PIN, LOGIN, LOGOUT, DESTROY, SIGN, GENERATE_PAIR = 0, 4, 10, 18, 19, 22, 43, 59


def verify(key: TokenKey, signature: bytes, message: bytes) -> None:
    """With the library that TUF's clients use; it raises."""
    public: Any = load_der_public_key(key.spki)
    known = SSlibKey.from_crypto(public, scheme=key.kind.scheme)
    known.verify_signature(Signature(known.keyid, signature.hex()), message)


def refused(code: str) -> Any:
    """Expects a `TokenTrouble` of that code."""
    return pytest.raises(TokenTrouble, check=lambda error: error.code == code)


def initialised(source: TokenSource, *labels: str, pin: str = PIN) -> list[Token]:
    """As many ready tokens as labels, made from the blank ones that `source` shows (SoftHSM always shows one more)."""
    made = []
    for label in labels:
        blank = next(t for t in source.tokens() if not t.info.initialised)
        made.append(blank.initialise(label, Pin(SO_PIN), Pin(pin)))
    return made


def fingerprint(path: Path) -> str:
    """SHA-256 over names and contents of a folder."""
    whole = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        whole.update(f"{file.relative_to(path)}\0".encode() + file.read_bytes() + b"\0")
    return whole.hexdigest()
