"""Keys of people's own that seal: TUF key objects, and OpenPGP keys in the form that securesystemslib gives them.

A key is its object: ``keytype``, ``scheme`` and ``keyval`` with ``public`` alone. Its id is the SHA-256 of that in
canonical JSON, for OpenPGP keys too: their fingerprint covers a time that the object does not have, so nobody could
check it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import GPGKey, Signature

from vestry.errors import InputRejected
from vestry.metadata import intake
from vestry.metadata.canonical import encode
from vestry.metadata.keys import RSA_SHORTEST, Key

PGP_ED25519, PGP_RSA = "pgp+eddsa-ed25519", "pgp+rsa-pkcsv1.5"
_PGP: Mapping[str, tuple[str, frozenset[str]]] = {
    PGP_ED25519: ("eddsa", frozenset(("q",))),
    PGP_RSA: ("rsa", frozenset(("e", "n"))),
}
_HEX = re.compile(r"(?:[0-9a-f]{2})+")


def read(text: str, *, where: str) -> dict[str, Any]:
    """The key object of a file: PEM SubjectPublicKeyInfo, or the object itself in JSON.

    Raises:
        InputRejected: it is no public key that a seal can be verified with.
    """
    if "-----BEGIN" in text:
        return Key.from_pem(text, where=where).to_dict()
    return checked(intake.parse(text.encode(), where=where), where=where)


def checked(value: Any, *, where: str) -> dict[str, Any]:
    """`value`, which is a key object of the exact form that `read` gives.

    Raises:
        InputRejected: it is not.
    """
    if isinstance(value, dict) and set(value) == {"keytype", "scheme", "keyval"} and _fits(value):
        return value
    raise InputRejected(
        "this is no key that seals",
        where=where,
        do="give a public key in PEM, or an OpenPGP key (Ed25519 or RSA) as vestry seal --show-key prints it",
        code="E-SEAL-KEY",
    )


def _fits(value: Mapping[str, Any]) -> bool:
    keyval = value["keyval"]
    if not isinstance(keyval, dict) or set(keyval) != {"public"}:
        return False
    public = keyval["public"]
    if value["scheme"] in _PGP:
        keytype, names = _PGP[value["scheme"]]
        if value["keytype"] != keytype or not isinstance(public, dict) or set(public) != names:
            return False
        if not all(isinstance(x, str) and _HEX.fullmatch(x) for x in public.values()):
            return False
        return value["scheme"] != PGP_RSA or int(public["n"], 16).bit_length() >= RSA_SHORTEST
    key = Key.from_dict("", value)
    return bool(key.spki) and Key.from_spki(key.spki, key.scheme).to_dict() == value


def keyid(value: Mapping[str, Any]) -> str:
    """SHA-256 of the key object in canonical JSON."""
    return hashlib.sha256(encode(dict(value))).hexdigest()


def identity(value: Mapping[str, Any]) -> str:
    """What two objects of one key have in common, whatever a document calls it: the digest of its public half."""
    return keyid(value) if value["scheme"] in _PGP else Key.from_dict("", dict(value)).fingerprint


def is_pgp(value: Mapping[str, Any]) -> bool:
    """Whether it is an OpenPGP key, which GnuPG alone signs with."""
    return value["scheme"] in _PGP


def verifies(value: Mapping[str, Any], signature: bytes, message: bytes, headers: str = "") -> bool:
    """Whether `signature` over `message` holds under a key object that `checked` accepted. `headers` (hex) are the
    hashed part of an OpenPGP signature (RFC 4880, section 5.2.4); other signatures have none."""
    if value["scheme"] not in _PGP:
        return not headers and Key.from_dict(keyid(value), dict(value)).verify(signature, message)
    if not _HEX.fullmatch(headers):
        return False
    key = GPGKey.from_dict(keyid(value), {**value, "keyval": dict(value["keyval"])})
    try:
        key.verify_signature(Signature(key.keyid, signature.hex(), {"other_headers": headers}), message)
    except (UnverifiedSignatureError, ValueError):
        return False
    return True
