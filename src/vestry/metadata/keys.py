"""Keys as TUF names them, and as their bytes are.

A key id is what a document calls a key; the DER SubjectPublicKeyInfo (`spki`) is what the key is. Distinct keys are
counted by `fingerprint`, never by key id.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import KEY_FOR_TYPE_AND_SCHEME, SSlibKey
from securesystemslib.signer import Signature as LibrarySignature

from vestry.errors import InputRejected
from vestry.metadata import legacy
from vestry.metadata.canonical import encode
from vestry.text import printable

RSA_SHORTEST = 2048
ED25519_PREFIX = bytes.fromhex("302a300506032b6570032100")
"""What a DER SubjectPublicKeyInfo has before the 32 bytes of an Ed25519 key (RFC 8410, section 4)."""
_ED25519_LENGTH = 32
_REMEMBERED = 1 << 13
"""Keys whose kind is remembered: each is asked for several times in a review."""

_CURVES: Mapping[str, str] = {
    "secp256r1": "ecdsa-sha2-nistp256",
    "secp384r1": "ecdsa-sha2-nistp384",
    "secp521r1": "ecdsa-sha2-nistp521",
}
_PSS_HASHES: Mapping[str, hashes.HashAlgorithm] = {
    "rsassa-pss-sha256": hashes.SHA256(),
    "rsassa-pss-sha384": hashes.SHA384(),
    "rsassa-pss-sha512": hashes.SHA512(),
}


@dataclass(frozen=True)
class Key:
    """A key object of TUF (1.0.34, section 4.2).

    `public` is ``keyval.public`` as it stands in the file; `extra` keeps every other field of the object, other entries
    of ``keyval`` under that name; `spki` is DER, and empty where the public half can't be read. `odd` is the whole
    object where it lacks the shape that TUF demands, else None.
    """

    keyid: str
    keytype: str
    scheme: str
    public: str
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    spki: bytes = field(default=b"", repr=False)
    odd: Mapping[str, Any] | None = field(default=None, repr=False, hash=False)

    @classmethod
    def from_spki(cls, der: bytes, scheme: str = "", where: str = "key") -> Key:
        """The key of a DER SubjectPublicKeyInfo, with the key id that securesystemslib gives it.

        Args:
            der: SubjectPublicKeyInfo (RFC 5280, section 4.1).
            scheme: The signature scheme; without it, the usual one of the key's type.
            where: What to call the key in errors.

        Raises:
            InputRejected: the type is not one that TUF uses, RSA is shorter than 2048 bits, or the scheme doesn't fit.
        """
        try:
            public = serialization.load_der_public_key(der)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InputRejected("not a public key that can be read", where=where) from error
        usual = _usual_scheme(public, where)
        if isinstance(public, rsa.RSAPublicKey) and scheme in _PSS_HASHES:
            usual = scheme
        if scheme and scheme != usual:
            raise InputRejected(f"a key of scheme {usual} is none of scheme {printable(scheme, 40)}", where=where)
        made = SSlibKey.from_crypto(public, scheme=usual)
        canonical = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return cls(made.keyid, made.keytype, made.scheme, made.keyval["public"], {}, canonical)

    @classmethod
    def from_pem(cls, text: str, scheme: str = "", where: str = "key") -> Key:
        """The key of a PEM SubjectPublicKeyInfo; see `from_spki`."""
        if "PRIVATE KEY-----" in text:
            raise InputRejected("this is a private key", where=where, do="take it away; only public keys belong here")
        blocks = text.count("-----BEGIN")
        if blocks > 1:
            raise InputRejected(
                f"{blocks} PEM blocks stand here, not one", where=where, do="give each key its own file"
            )
        try:
            public = serialization.load_pem_public_key(text.encode())
        except (ValueError, UnsupportedAlgorithm) as error:
            begin = "it begins -----BEGIN PUBLIC KEY-----"
            raise InputRejected("not a PEM public key", where=where, do=begin) from error
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return cls.from_spki(der, scheme, where)

    @classmethod
    def from_dict(cls, keyid: str, value: Any) -> Key:
        """The key object `value` as a document has it under `keyid`. Never fails: what can't be read has no `spki`."""
        fields = dict(value) if isinstance(value, dict) else {}
        keyval = fields.get("keyval")
        inner = dict(keyval) if isinstance(keyval, dict) else {}
        extra = {k: v for k, v in fields.items() if k not in ("keytype", "scheme", "keyval")}
        if set(inner) - {"public"}:
            extra["keyval"] = {k: v for k, v in inner.items() if k != "public"}
        found = (fields.get("keytype"), fields.get("scheme"), inner.get("public"))
        keytype, scheme, public = (x if isinstance(x, str) else "" for x in found)
        odd = None if all(isinstance(x, str) for x in found) else fields
        return cls(keyid, keytype, scheme, public, extra, _spki(keytype, public), odd)

    def to_dict(self) -> dict[str, Any]:
        """The key object, every field of it."""
        if self.odd is not None:
            return dict(self.odd)
        rest = {k: v for k, v in self.extra.items() if k != "keyval"}
        return {
            "keytype": self.keytype,
            "scheme": self.scheme,
            "keyval": {**self.extra.get("keyval", {}), "public": self.public},
            **rest,
        }

    @property
    def pem(self) -> str:
        """PEM SubjectPublicKeyInfo.

        Raises:
            InputRejected: the public half can't be read.
        """
        if not self.spki:
            raise InputRejected("its public half can't be read", where=f"key {printable(self.keyid[:16])}")
        public = serialization.load_der_public_key(self.spki)
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return public.public_bytes(serialization.Encoding.PEM, form).decode()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the SPKI in hex: the key itself, whatever a document calls it; of its text, where unreadable."""
        return hashlib.sha256(self.spki or f"unreadable:{self.keytype}:{self.public}".encode()).hexdigest()

    @property
    def bits(self) -> int:
        """Length of an RSA modulus; 0 for other keys."""
        if not self.spki:
            return 0
        public = serialization.load_der_public_key(self.spki)
        return public.key_size if isinstance(public, rsa.RSAPublicKey) else 0

    @property
    def old_form(self) -> str:
        """How the public half is written, where it can be read here but not by clients of today; else empty."""
        found = legacy.public_key(self.keytype, self.public) if not _as_today(self.keytype, self.public) else None
        return found[1] if found is not None else ""

    @property
    def algorithm(self) -> tuple[str, str]:
        """The key type and scheme to verify by. Before TUF 1.0 keys named no scheme, for each type had one; Notary's
        types say besides where a certificate stands for the key."""
        if self.scheme or not self.spki:
            return self.keytype, self.scheme
        kind = _kind(self.spki)
        return self.keytype.removesuffix("-x509"), "rsassa-pss-sha256" if kind == "rsa" else kind

    @property
    def usable(self) -> bool:
        """Whether the public half can be read and is of the kind that the scheme names; else no signature holds."""
        scheme = self.algorithm[1].replace("ml-dsa-", "mldsa")
        return bool(self.spki) and scheme.startswith(_kind(self.spki) or "-")

    @property
    def _rewritten(self) -> str:
        """The public half as clients of today read it, for the library that verifies."""
        return self.spki[-_ED25519_LENGTH:].hex() if self.keytype == "ed25519" else self.pem

    def signature(self, text: str) -> bytes:
        """The bytes of a signature as a document has it: in hex; for a key that names no scheme, see `legacy`.

        Raises:
            ValueError: it is none.
        """
        return bytes.fromhex(text) if self.scheme else legacy.signature(self.keytype, text)

    def verify(self, signature: bytes, message: bytes | memoryview) -> bool:
        """Whether `signature` (in TUF's encoding) over `message` holds under this key and scheme.

        securesystemslib accepts any PSS salt length; here the salt is as long as the hash (RFC 8017, section 9.1), as
        other clients demand.
        """
        # The library checks type and scheme apart, while clients refuse a pair that they don't know.
        keytype, scheme = self.algorithm
        if KEY_FOR_TYPE_AND_SCHEME.get((keytype, scheme)) is not SSlibKey:
            return False
        key = SSlibKey(self.keyid, keytype, scheme, {"public": self._rewritten if self.old_form else self.public})
        try:
            with warnings.catch_warnings():
                # Old key type names are a matter for findings, not for the screen.
                warnings.simplefilter("ignore", DeprecationWarning)
                key.verify_signature(LibrarySignature(self.keyid, signature.hex()), cast(bytes, message))
        except UnverifiedSignatureError:  # the base of what else can go wrong in verifying
            return False
        return self._salt_fits(signature, message)

    def _salt_fits(self, signature: bytes, message: bytes | memoryview) -> bool:
        digest = _PSS_HASHES.get(self.algorithm[1])
        if digest is None:
            return True
        public = serialization.load_der_public_key(self.spki) if self.spki else None
        if not isinstance(public, rsa.RSAPublicKey):
            return False
        try:
            public.verify(signature, bytes(message), padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        except InvalidSignature:
            return False
        return True

    def computed_keyids(self) -> frozenset[str]:
        """The ids that this key may rightly have.

        SHA-256 in hex of the canonical key object (TUF 1.0.34, section 4.2), of its three required fields alone (as
        securesystemslib has it), and of those with ``keyid_hash_algorithms`` (as python-tuf once had it).
        """
        three = {"keytype": self.keytype, "scheme": self.scheme, "keyval": {"public": self.public}}
        legacy = {**three, "keyid_hash_algorithms": ["sha256", "sha512"]}
        return frozenset(hashlib.sha256(encode(form)).hexdigest() for form in (self.to_dict(), three, legacy))


def _usual_scheme(public: Any, where: str) -> str:
    if isinstance(public, ed25519.Ed25519PublicKey):
        return "ed25519"
    if isinstance(public, ec.EllipticCurvePublicKey):
        if public.curve.name not in _CURVES:
            raise InputRejected(f"keys on the curve {public.curve.name} are not used in TUF", where=where)
        return _CURVES[public.curve.name]
    if isinstance(public, rsa.RSAPublicKey):
        if public.key_size < RSA_SHORTEST:
            raise InputRejected(f"RSA with {public.key_size} bits is too short", where=where, do="take 3072 or more")
        return "rsassa-pss-sha256"
    name = type(public).__name__.removesuffix("PublicKey")
    if name.startswith("MLDSA"):
        return f"ml-dsa-{name.removeprefix('MLDSA')}/1"
    raise InputRejected(f"keys of the type {name} are not used in TUF", where=where)


@lru_cache(_REMEMBERED)
def _kind(spki: bytes) -> str:
    """What the schemes of a key that can be read begin with, but for the hyphen of ML-DSA; empty where none does."""
    if spki.startswith(ED25519_PREFIX):
        return "ed25519"
    public = serialization.load_der_public_key(spki)
    if isinstance(public, ec.EllipticCurvePublicKey):
        return _CURVES.get(public.curve.name, "")
    if isinstance(public, rsa.RSAPublicKey):
        return "rsa"
    return type(public).__name__.removesuffix("PublicKey").lower()  # MLDSA65PublicKey


def _spki(keytype: str, text: str) -> bytes:
    found = _as_today(keytype, text)
    if not found and (old := legacy.public_key(keytype, text)) is not None:
        found = _der(old[0])
    return found


@lru_cache(_REMEMBERED)
def _as_today(keytype: str, text: str) -> bytes:
    """DER of a public half that is written as clients of today read it; empty where they can't."""
    try:
        if keytype == "ed25519":
            point = bytes.fromhex(text)  # whose 32 bytes are not looked at until something is verified
            return ED25519_PREFIX + point if len(point) == _ED25519_LENGTH else b""
        return _der(serialization.load_pem_public_key(text.encode())) if "-----BEGIN" in text else b""
    except (ValueError, UnsupportedAlgorithm):
        return b""


def _der(public: Any) -> bytes:
    return bytes(public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
