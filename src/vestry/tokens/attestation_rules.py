"""What can be found in a maker's proof, each with a code, a severity and one sentence; docs/findings.md has the
reasons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from vestry.release import FIRST, Release, in_force
from vestry.text import Safe, printable
from vestry.tokens.claims import Claims

Severity = Literal["stop", "warn", "note"]

FINDINGS: Mapping[str, tuple[Severity, str]] = {
    "ATTEST-NONE": ("stop", "no maker proves where this key is"),
    "ATTEST-MALFORMED": ("stop", "the certificate is not in the maker's form"),
    "ATTEST-CHAIN": ("stop", "it does not lead to any root that was given"),
    "ATTEST-ANCHOR": ("warn", "the root it leads to is not one that is known for a maker's; it is the operator's word"),
    "ATTEST-NAMESAKE": ("stop", "the root it leads to bears the name of a maker's root, and is another certificate"),
    "ATTEST-WEAK": ("stop", "a signature or key in its chain is too weak today"),
    "ATTEST-EXPIRED": ("warn", "a certificate in its chain is not valid today"),
    "ATTEST-KEY-DIFFERS": ("stop", "it is about another key"),
    "ATTEST-KEY-OTHER": ("note", "it is about none of the keys asked for, each of which has a proof"),
    "ATTEST-SERIAL-DIFFERS": ("stop", "it is about another device"),
    "ATTEST-SERIAL-UNTOLD": ("warn", "it does not say which device it is from"),
    "ATTEST-IMPORTED": ("stop", "the key was not made on the device: copies may exist"),
    "ATTEST-EXPORTABLE": ("warn", "the key may leave the device under a wrap key"),
    "ATTEST-CAPABILITIES": ("warn", "the key may do more than sign"),
    "ATTEST-PIN-NEVER": ("warn", "the device signs with this key without a PIN"),
    "ATTEST-TOUCH-NEVER": ("note", "the device signs with this key without a touch"),
    "EUCLEAK": (
        "warn",
        "this firmware leaks ECDSA keys to a thief with a laboratory (CVE-2024-45678): replace the device in time",
    ),
    "ROCA": ("stop", "RSA keys made by this firmware can be factored (CVE-2017-15361)"),
}

SINCE: Mapping[str, Release] = {}
"""The release that a code came with, for those that came after the first."""

_EUCLEAK = {"YubiKey": (5, 7, 0), "YubiHSM 2": (2, 4, 0)}
_ROCA_FIRST, _ROCA_LAST = (4, 2, 6), (4, 3, 4)
# The moduli of CVE-2017-15361 are powers of 65537 modulo each of these primes.
_ROCA_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
_ROCA_GENERATOR = 65537


@dataclass(frozen=True)
class Finding:
    """Something in a proof. ``stop``: it does not hold; ``warn``: wants an answer; ``note``: read on. `text` is
    printable."""

    code: str
    severity: Severity
    text: Safe

    def to_dict(self) -> dict[str, str]:
        """The object of ``attest --json``."""
        return {"code": self.code, "severity": self.severity, "text": self.text}


@dataclass(frozen=True)
class Seen:
    """What rules look at: the device's claims, and the attested key."""

    claims: Claims
    key: object


def finding(code: str, text: str = "") -> Finding:
    """The finding of that code, with a sentence of its own where one is given."""
    severity, usual = FINDINGS[code]
    return Finding(code, severity, printable(text or usual, 300))


def known(found: Finding, as_of: Release | None) -> bool:
    """Whether the rules of the release `as_of` (None: today's) had this finding."""
    return in_force(SINCE.get(found.code, FIRST), as_of)


def rules(seen: Seen) -> Iterator[Finding]:
    """All that the claims themselves show."""
    said = seen.claims
    if said.origin != "generated":
        yield finding("ATTEST-IMPORTED")
    if said.exportable:
        yield finding("ATTEST-EXPORTABLE")
    if said.excess:
        yield finding("ATTEST-CAPABILITIES", f"the key may do more than sign: {', '.join(said.excess)}")
    if said.pin_policy == "never":
        yield finding("ATTEST-PIN-NEVER")
    if said.touch_policy == "never":
        yield finding("ATTEST-TOUCH-NEVER")
    firmware = said.firmware
    fixed = _EUCLEAK[said.product]
    if isinstance(seen.key, ec.EllipticCurvePublicKey) and (firmware is None or firmware < fixed):
        shown = ".".join(map(str, firmware)) if firmware else "untold"
        wanted = ".".join(map(str, fixed))
        yield finding("EUCLEAK", f"firmware {shown} (mended in {wanted}): {FINDINGS['EUCLEAK'][1]}")
    if isinstance(seen.key, rsa.RSAPublicKey):
        made = said.product == "YubiKey" and firmware is not None and _ROCA_FIRST <= firmware <= _ROCA_LAST
        if made or has_roca_fingerprint(seen.key.public_numbers().n):
            yield finding("ROCA")


def has_roca_fingerprint(modulus: int) -> bool:
    """Whether a modulus has the structure of CVE-2017-15361: for each prime, a power of 65537 (one in 2^27 has by
    chance)."""
    return all(modulus % prime in _powers(prime) for prime in _ROCA_PRIMES)


def _powers(prime: int) -> set[int]:
    found, power = {1}, _ROCA_GENERATOR % prime
    while power not in found:
        found.add(power)
        power = power * _ROCA_GENERATOR % prime
    return found
