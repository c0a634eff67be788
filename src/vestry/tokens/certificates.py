"""X.509 certificates that tokens show (RFC 5280): what people read of them, and the key they are for."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from vestry.text import Safe, printable

_DER, _SPKI = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
_LONGEST = 200


@dataclass(frozen=True)
class Seen:
    """What a certificate says. `subject` and `issuer` are printable (RFC 4514); times are UTC; `spki` is the DER
    SubjectPublicKeyInfo that it is for."""

    subject: Safe
    issuer: Safe
    not_before: datetime
    not_after: datetime
    spki: bytes

    def line(self, now: datetime) -> str:
        """One line, with a word where it is not valid at `now`."""
        until = f"{self.not_before:%Y-%m-%d} to {self.not_after:%Y-%m-%d}"
        state = ", EXPIRED" if now > self.not_after else ", NOT YET VALID" if now < self.not_before else ""
        return f"certificate of {self.subject}, issued by {self.issuer}, valid {until}{state}"


def read(der: bytes) -> Seen | None:
    """What the certificate `der` says; None where it can't be read as one. Nothing in it is verified."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # serial number 0, which ykcs11 gives its placeholders
            certificate = x509.load_der_x509_certificate(der)
            return Seen(
                printable(certificate.subject.rfc4514_string(), _LONGEST),
                printable(certificate.issuer.rfc4514_string(), _LONGEST),
                certificate.not_valid_before_utc.astimezone(UTC),
                certificate.not_valid_after_utc.astimezone(UTC),
                certificate.public_key().public_bytes(_DER, _SPKI),
            )
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        return None


def pem(der: bytes) -> str:
    """`der` as PEM (RFC 7468)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM).decode("ascii")


def from_pem(text: str) -> bytes:
    """The DER of one certificate in PEM.

    Raises:
        ValueError: it is none.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return x509.load_pem_x509_certificate(text.encode("ascii")).public_bytes(_DER)
        except (TypeError, x509.InvalidVersion) as error:
            raise ValueError("not a certificate") from error
