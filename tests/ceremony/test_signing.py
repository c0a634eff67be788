"""You sign the bytes you read: there is one way to a token's `sign`, and it takes a review that was read."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from vestry.ceremony.signing import possession_message, prove_possession, sign_seal
from vestry.errors import TokenTrouble
from vestry.metadata.keys import Key
from vestry.tokens.token import KeyKind, TokenKey

KIND = KeyKind("ecdsa-sha2-nistp256")


class Held:
    """An unlocked token that lies: it signs something else than it is given, where `lie` says so."""

    def __init__(self, lie: bytes = b"") -> None:
        self.private, self.lie, self.signed = ec.generate_private_key(ec.SECP256R1()), lie, []
        spki = self.private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.key = TokenKey("pkcs11:object=k", "k", b"\1", spki, KIND)

    def keys(self) -> tuple[TokenKey, ...]:
        return (self.key,)

    def generate(self, kind: KeyKind, label: str) -> TokenKey:
        raise AssertionError(kind, label)

    def sign(self, key: TokenKey, message: bytes) -> bytes:
        self.signed.append(message)
        return self.private.sign(self.lie or message, ec.ECDSA(hashes.SHA256()))

    def destroy(self, key: TokenKey) -> None:
        raise AssertionError(key)


def test_only_one_module_lets_tokens_sign(repository: Path) -> None:
    """A second call of a token's `sign` would be a way around the review."""
    callers = set()
    for path in (repository / "src" / "vestry").rglob("*.py"):
        if "tokens" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            # The module `private_keys` signs with keys in memory: those of a file that someone seals with.
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "private_keys.sign":
                continue
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "sign":
                callers.add(path.relative_to(repository / "src" / "vestry").as_posix())
    # The proof of a draft signs with throwaway keys in memory, and can't reach a token.
    assert callers == {"ceremony/signing.py", "ceremony/proof.py"}
    proof = ast.parse((repository / "src" / "vestry" / "ceremony" / "proof.py").read_text())
    imported = {
        f"{node.module}.{name.name}"
        for node in ast.walk(proof)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vestry.tokens")
        for name in node.names
    }
    assert imported == {"vestry.tokens.private_keys", "vestry.tokens.token.KeyKind"}


def test_a_wrong_signature_never_leaves() -> None:
    """A token that returns a signature over other bytes must not get it into a bundle."""
    token = Held(lie=b"something else")
    with pytest.raises(TokenTrouble) as caught:
        prove_possession(b"\0" * 32, Key.from_spki(token.key.spki, KIND.scheme), token, token.key)
    assert caught.value.code == "E-SIGNATURE-WRONG"


def test_another_key_never_signs() -> None:
    """A switched token is found before it signs, not after."""
    token, other = Held(), Held()
    with pytest.raises(TokenTrouble) as caught:
        prove_possession(b"\0" * 32, Key.from_spki(other.key.spki, KIND.scheme), token, token.key)
    assert caught.value.code == "E-TOKEN-WRONG-KEY"
    assert token.signed == []


def test_what_is_signed_for_one_end_is_no_use_for_another() -> None:
    """A challenge or a seal that parses as metadata could be turned into a signature on it."""
    assert not possession_message(b"{}" * 16).startswith(b"{")
    token = Held()
    with pytest.raises(ValueError, match="DSSE"):
        sign_seal(b'{"_type":"root"}', Key.from_spki(token.key.spki, KIND.scheme), token, token.key)
    assert token.signed == []
