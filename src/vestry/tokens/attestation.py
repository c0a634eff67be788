"""Device makers' proofs that a key was made on a device and cannot leave it: YubiKey PIV and YubiHSM 2.

A proof is a certificate for the key (the leaf), issued by the device's own attestation key, whose certificate leads to
a root of the maker. The operator brings the maker's certificates; the maker's roots are recognised by the digests
pinned here, and any other root counts as the operator's own word. Only the chain decides: names and file names mean
nothing, and a device's attestation certificate can be replaced by its owner.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from vestry.text import Safe, printable
from vestry.tokens import claims
from vestry.tokens.attestation_rules import Finding, Seen, finding, rules
from vestry.tokens.claims import Claims, Malformed

_LONGEST_CHAIN = 8
_SHORTEST_RSA = 2048
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_WEAK_HASHES = (hashes.MD5, hashes.SHA1)


@dataclass(frozen=True)
class Maker:
    """A maker's root. `lenient`: its devices of before 2020 have certificates that do not say that they may issue
    others; `purposes`: it vouches for several applications, told apart by the name of what issued the device's
    certificate."""

    name: str
    lenient: bool = False
    purposes: Mapping[str, str] | None = None


MAKERS: Mapping[str, Maker] = {
    "094a3ac493c2bdcd65a54bdf40190f52bb03f7156397a3fc69d8aa9a392fb724": Maker("Yubico YubiHSM Root CA"),
    "63ece914e54dd87915f34033c85af4c0696ba1512f8add66ced738331207b546": Maker(
        "Yubico PIV Root CA Serial 263751", lenient=True
    ),
    "62760c6a6ef91679f454c8902b80fd009825b3f25da90f1fbace2ec6586cd5a8": Maker(
        "Yubico Attestation Root 1", purposes={"YubiKey": "PIV Attestation", "YubiHSM 2": "YubiHSM Attestation"}
    ),
}
"""Roots of makers by the SHA-256 of their certificates."""


@dataclass(frozen=True)
class Anchors:
    """What the operator trusts: `roots` are self-signed; `others` may stand between a root and a device."""

    roots: tuple[x509.Certificate, ...] = ()
    others: tuple[x509.Certificate, ...] = ()

    @classmethod
    def of(cls, ders: Iterable[bytes]) -> Anchors:
        """From certificates in DER; what is not one is left out."""
        found = [c for c in map(parse, ders) if c is not None]
        roots = [c for c in found if _issued_by(c, c)]
        return cls(tuple(roots), tuple(c for c in found if c not in roots))

    @classmethod
    def from_pem(cls, text: str) -> Anchors:
        """From PEM, any number of certificates; none where it holds none."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = x509.load_pem_x509_certificates(text.encode())
        except ValueError:
            return cls()
        return cls.of(c.public_bytes(serialization.Encoding.DER) for c in found)


@dataclass(frozen=True)
class Attestation:
    """What a proof says, and whether it holds. `serial` is in digits as printed on the device, `firmware` dotted;
    `anchor` is the name of the root that it leads to, empty where it leads to none, and `anchor_sha256` its digest."""

    subject: Safe
    spki: bytes
    vendor: str
    model: str
    serial: str
    firmware: str
    claims: Claims | None
    anchor: Safe
    anchor_sha256: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether it holds: nothing that was found stops it."""
        return all(f.severity != "stop" for f in self.findings)


def parse(der: bytes) -> x509.Certificate | None:
    """A certificate with extensions that can be read; None for anything else."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # serial numbers of 0, which tokens give their placeholders
            found = x509.load_der_x509_certificate(der)
            found.public_key()
            list(found.extensions)
            found.subject.rfc4514_string()
            found.issuer.rfc4514_string()
            found.not_valid_after_utc  # noqa: B018 - read once, so that a date that is none shows here
    except _UNREADABLE:
        return None
    # The signature's bit string is whole bytes (RFC 5280): the library does not look at its count of unused bits.
    return found if der.endswith(b"\0" + found.signature) else None


def is_attestation(der: bytes) -> bool:
    """Whether `der` says that it attests a key of a YubiKey's PIV application or of a YubiHSM 2."""
    certificate = parse(der)
    if certificate is None or not claims.is_leaf(certificate):
        return False
    try:
        return claims.read(certificate) is not None
    except Malformed:
        return True


def verify(
    leaf_der: bytes,
    others: Sequence[bytes],
    anchors: Anchors,
    *,
    expected_spki: bytes | None = None,
    expected_serial: str = "",
    now: datetime | None = None,
) -> Attestation:
    """Hold a proof against anchors. Never fails: what is wrong is a finding.

    Args:
        leaf_der: The certificate for the key, DER.
        others: What lies beside it: certificates of device and maker, in any order.
        anchors: What the operator trusts.
        expected_spki: The key it is to be for, DER SubjectPublicKeyInfo.
        expected_serial: The device it is to be from; leading zeros do not count.
        now: The time to hold validity against, UTC; now where not given.
    """
    leaf = parse(leaf_der)
    if leaf is None:
        return Attestation(
            printable("(unreadable)"), b"", "", "", "", "", None, Safe(""), "", (finding("ATTEST-MALFORMED"),)
        )
    found: list[Finding] = []
    said: Claims | None = None
    try:
        said = claims.read(leaf) if claims.is_leaf(leaf) else None
        if said is None:
            found.append(finding("ATTEST-NONE"))
    except Malformed as error:
        found.append(finding("ATTEST-MALFORMED", f"its field '{error}' is not in the maker's form"))
    pool = [c for c in map(parse, others) if c is not None]
    path = _path(leaf, [*anchors.others, *pool], anchors.roots)
    root = path[-1] if path else None
    sha256 = root.fingerprint(hashes.SHA256()).hex() if root is not None else ""
    maker = MAKERS.get(sha256)
    found += _chain(path, maker, said)
    found += _dates(path or [leaf], now or datetime.now(UTC))
    spki = spki_of(leaf)
    if expected_spki is not None and spki != expected_spki:
        found.append(finding("ATTEST-KEY-DIFFERS"))
    if said is not None:
        found += _device(path, said, expected_serial)
        found += rules(Seen(said, leaf.public_key()))
    return Attestation(
        printable(leaf.subject.rfc4514_string(), 120),
        spki,
        "Yubico" if said else "",
        said.product if said else "",
        said.serial if said else "",
        ".".join(map(str, said.firmware)) if said and said.firmware else "",
        said,
        printable(maker.name if maker else root.subject.rfc4514_string(), 120) if root is not None else Safe(""),
        sha256,
        tuple(sorted(dict.fromkeys(found), key=lambda f: ("stop", "warn", "note").index(f.severity))),
    )


def _path(
    leaf: x509.Certificate, pool: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]
) -> list[x509.Certificate]:
    """From the leaf to a root, each issued by the next; empty where there is no such path. Issuers that attest a key
    themselves are no issuers."""
    ways = [[leaf]]
    while ways:
        way = ways.pop()
        for root in roots:
            if way[-1] != root and _issued_by(way[-1], root):
                return [*way, root]
        if len(way) < _LONGEST_CHAIN:
            ways += [
                [*way, issuer]
                for issuer in dict.fromkeys(pool)
                if issuer not in way and not claims.is_leaf(issuer) and _issued_by(way[-1], issuer)
            ]
    return []


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _chain(path: Sequence[x509.Certificate], maker: Maker | None, said: Claims | None) -> Iterator[Finding]:
    if not path:
        yield finding("ATTEST-CHAIN")
        return
    if maker is None:
        yield finding("ATTEST-ANCHOR")
    if len(path) < 3:
        yield finding("ATTEST-CHAIN", "no device's certificate stands between the key and the root")
        return
    for place, issuer in enumerate(path[1:], start=1):
        constraints = _constraints(issuer)
        lenient = place == 1 and len(path) == 3 and maker is not None and maker.lenient
        if constraints is None and not lenient:
            yield finding("ATTEST-CHAIN", "a certificate between the key and the root may not issue others")
        if constraints is not None and not constraints.ca:
            yield finding("ATTEST-CHAIN", "a certificate between the key and the root may not issue others")
        # Certificate authorities between this one and the leaf (RFC 5280, 4.2.1.9).
        if constraints is not None and constraints.path_length is not None and place - 1 > constraints.path_length:
            yield finding("ATTEST-CHAIN", "the path is longer than a certificate in it allows")
    if any(_weak(c) for c in path):
        yield finding("ATTEST-WEAK")
    wanted = (maker.purposes or {}).get(said.product) if maker is not None and said is not None else None
    if wanted is not None and wanted not in path[2].subject.rfc4514_string():
        yield finding("ATTEST-CHAIN", "the maker vouches for another application of the device")


def _constraints(certificate: x509.Certificate) -> x509.BasicConstraints | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return None


def _weak(certificate: x509.Certificate) -> bool:
    key = certificate.public_key()
    short = isinstance(key, rsa.RSAPublicKey) and key.key_size < _SHORTEST_RSA
    known = isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey)
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return True
    return short or not known or isinstance(algorithm, _WEAK_HASHES)


def _dates(path: Sequence[x509.Certificate], now: datetime) -> Iterator[Finding]:
    for certificate in path:
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            yield finding("ATTEST-EXPIRED")
            return


def _device(path: Sequence[x509.Certificate], said: Claims, expected: str) -> Iterator[Finding]:
    if not said.serial:
        yield finding("ATTEST-SERIAL-UNTOLD")
        return
    own = claims.device_serial(path[1]) if len(path) > 1 else ""
    if own and own != said.serial:
        yield finding("ATTEST-SERIAL-DIFFERS", "the device's own certificate has another serial")
    if expected and expected.lstrip("0") != said.serial.lstrip("0"):
        yield finding("ATTEST-SERIAL-DIFFERS", f"it is from the device with serial {said.serial}")


def spki_of(certificate: x509.Certificate) -> bytes:
    """The DER SubjectPublicKeyInfo that a certificate is for."""
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def sha256(der: bytes) -> str:
    """SHA-256 of a certificate, in hex: how anchors are compared."""
    return hashlib.sha256(der).hexdigest()
