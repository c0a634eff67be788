"""A test authority for attestation: root, intermediate, a certificate in each card's slot F9, one for each key made.

The extensions are Yubico's, 1.3.6.1.4.1.41482.3: .3 firmware (3 bytes), .7 serial (DER INTEGER), .8 PIN and touch
policy (2 bytes), .9 form factor (1 byte). Nothing here is signed by Yubico.
"""

from __future__ import annotations

import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

ARC = "1.3.6.1.4.1.41482.3."
_FROM = datetime.datetime(2016, 3, 14, tzinfo=datetime.UTC)
_TO = datetime.datetime(2052, 4, 17, tzinfo=datetime.UTC)


class Authority:
    """Issues F9 certificates. `name` goes into the names of its root and intermediate."""

    def __init__(self, name: str) -> None:
        root, self._key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        self.root = _certificate(f"{name} Root", root.public_key(), None, root, authority=2)
        self.intermediate = _certificate(f"{name} Intermediate", self._key.public_key(), self.root, root, authority=1)

    def card_certificate(self, public: Any, firmware: bytes) -> x509.Certificate:
        """The certificate of a card's own attestation key."""
        return _certificate(
            "Yubico PIV Attestation", public, self.intermediate, self._key, extensions={3: firmware}, authority=0
        )


def key_certificate(
    slot: int, public: Any, issuer: x509.Certificate, signer: Any, extensions: dict[int, bytes]
) -> x509.Certificate:
    """What a card answers to ATTEST. `extensions`: last number of Yubico's arc, and raw value."""
    return _certificate(f"YubiKey PIV Attestation {slot:02x}", public, issuer, signer, extensions=extensions)


def placeholder(private: Any) -> x509.Certificate:
    """A certificate without meaning that a key signs for itself, as tools write one beside each new key."""
    return _certificate("placeholder", private.public_key(), None, private)


def pem(certificate: x509.Certificate) -> str:
    """As text."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def der(certificate: x509.Certificate) -> bytes:
    """As bytes."""
    return certificate.public_bytes(serialization.Encoding.DER)


def _certificate(
    name: str,
    public: Any,
    issuer: x509.Certificate | None,
    signer: Any,
    *,
    extensions: dict[int, bytes] | None = None,
    authority: int | None = None,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_FROM)
        .not_valid_after(_TO)
    )
    if authority is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=authority), critical=True)
    for last, value in (extensions or {}).items():
        oid = x509.ObjectIdentifier(f"{ARC}{last}")
        builder = builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
    return builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256())
