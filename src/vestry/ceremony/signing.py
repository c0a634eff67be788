"""The only calls of a token's `sign`. What may be signed is one of three things, and no two can be mistaken:

- the bytes of a document that was read to its end (`Reviewed`), canonical JSON that begins with ``{``;
- a proof of possession, which begins with a fixed line of text;
- a seal, which is a DSSE pre-authentication encoding and begins with ``DSSEv1``.

Each signature is verified with the expected public key before it leaves here.
"""

from __future__ import annotations

from dataclasses import replace

from vestry.errors import TokenTrouble
from vestry.metadata.document import Signature
from vestry.metadata.keys import Key
from vestry.metadata.review import Reviewed
from vestry.tokens.token import KeyKind, TokenKey, Unlocked

CHALLENGE_BYTES = 32
_POSSESSION = b"Vestry proof of possession, version 1\n"
_DSSE = b"DSSEv1 "


def possession_message(challenge: bytes) -> bytes:
    """The message that proves possession: a fixed line and the challenge, so that it is never a TUF document."""
    return _POSSESSION + challenge


def sign_reviewed(reviewed: Reviewed, key: Key, unlocked: Unlocked, token_key: TokenKey) -> Signature:
    """Sign a document that was read. `key` is the key as the document names it.

    Raises:
        TokenTrouble: E-TOKEN-WRONG-KEY or E-SIGNATURE-WRONG; nothing was kept.
    """
    return Signature(key.keyid, _sign(reviewed.signed_bytes, key, unlocked, token_key).hex())


def prove_possession(challenge: bytes, key: Key, unlocked: Unlocked, token_key: TokenKey) -> bytes:
    """Sign a fresh challenge."""
    return _sign(possession_message(challenge), key, unlocked, token_key)


def sign_seal(encoding: bytes, key: Key, unlocked: Unlocked, token_key: TokenKey) -> bytes:
    """Sign the pre-authentication encoding of a seal (DSSE 1.0)."""
    if not encoding.startswith(_DSSE):
        raise ValueError("not a DSSE pre-authentication encoding")
    return _sign(encoding, key, unlocked, token_key)


def _sign(message: bytes, key: Key, unlocked: Unlocked, token_key: TokenKey) -> bytes:
    if token_key.spki != key.spki:
        raise TokenTrouble(
            "this token holds another key than the document names",
            where=token_key.label,
            do="insert the right token; nothing was signed",
            code="E-TOKEN-WRONG-KEY",
        )
    # A token tells an RSA key by its length alone: the hash is the one that the document's scheme names.
    kind = KeyKind(key.scheme, token_key.kind.bits)
    signature = unlocked.sign(replace(token_key, kind=kind), message)
    if not key.verify(signature, message):
        raise TokenTrouble(
            "the token returned a signature that does not verify",
            where=token_key.label,
            do="do not use this token; the signature was thrown away",
            code="E-SIGNATURE-WRONG",
        )
    return signature
