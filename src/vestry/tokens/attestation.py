"""Device makers' proofs that a key was made on a device and cannot leave it: YubiKey PIV and YubiHSM 2.

A proof is a certificate for the key (the leaf), issued by the device's own attestation key, whose certificate leads to
a root of the maker. The operator brings the maker's certificates; the maker's roots are recognised by the digests
pinned here, and any other root counts as the operator's own word. Only the chain decides: names and file names mean
nothing, and a device's attestation certificate can be replaced by its owner.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtensionOID, NameOID

from vestry.release import Release
from vestry.text import Safe, printable
from vestry.tokens import claims
from vestry.tokens.attestation_rules import Finding, Seen, finding, known, rules
from vestry.tokens.claims import Claims, Malformed

_LONGEST_CHAIN = 8
_SHORTEST_RSA = 2048
_SHORTEST_CURVE = 256
_YUBICO, _YUBICO_DER = "1.3.6.1.4.1.41482.", bytes.fromhex("2b0601040182c40a")
# Those that are acted on, identifiers of keys, and policies, which set no bounds here (RFC 5280, 4.2).
_UNDERSTOOD = frozenset(
    [
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.CERTIFICATE_POLICIES,
    ]
)
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
    certificate; `device`: it vouches for several, told apart by the name of the device's certificate, and its own path
    length is known to be wrong."""

    name: str
    lenient: bool = False
    purposes: Mapping[str, str] | None = None
    device: str = ""


MAKERS: Mapping[str, Maker] = {
    "094a3ac493c2bdcd65a54bdf40190f52bb03f7156397a3fc69d8aa9a392fb724": Maker("Yubico YubiHSM Root CA"),
    "63ece914e54dd87915f34033c85af4c0696ba1512f8add66ced738331207b546": Maker(
        "Yubico PIV Root CA Serial 263751", lenient=True
    ),
    "62760c6a6ef91679f454c8902b80fd009825b3f25da90f1fbace2ec6586cd5a8": Maker(
        "Yubico Attestation Root 1", purposes={"YubiKey": "PIV Attestation", "YubiHSM 2": "YubiHSM Attestation"}
    ),
    # Some YubiKeys of 2017 and 2018 have a PIV certificate from the root of U2F, whose path length of 0 forbids it.
    "0fa1386f80eb8713263ae5c1d84deb455bdf08aea50ab05503cefee82b092d42": Maker(
        "Yubico U2F Root CA Serial 457200631", lenient=True, device="Yubico PIV Attestation"
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
        except (ValueError, TypeError, x509.InvalidVersion):
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


def is_damaged(der: bytes) -> bool:
    """Whether `der` has the form of a certificate with fields of Yubico's, and cannot be read as one."""
    return der[:1] == b"\x30" and _YUBICO_DER in der and parse(der) is None


def is_stray(der: bytes, leaves: Iterable[bytes]) -> bool:
    """Whether a certificate is neither an authority's nor the issuer of one of `leaves`: what was it to prove?"""
    certificate = parse(der)
    if certificate is None:
        return False
    constraints = _constraints(certificate)
    return not (constraints is not None and constraints.ca) and not any(
        _issued_by(leaf, certificate) for leaf in map(parse, leaves) if leaf is not None
    )


def verify(
    leaf_der: bytes,
    others: Sequence[bytes],
    anchors: Anchors,
    *,
    expected_spki: bytes | None = None,
    expected_serial: str = "",
    now: datetime | None = None,
    as_of: Release | None = None,
) -> Attestation:
    """Hold a proof against anchors. Never fails: what is wrong is a finding.

    Args:
        leaf_der: The certificate for the key, DER.
        others: What lies beside it: certificates of device and maker, in any order.
        anchors: What the operator trusts.
        expected_spki: The key it is to be for, DER SubjectPublicKeyInfo.
        expected_serial: The device it is to be from; leading zeros do not count.
        now: The time to hold validity against, UTC; now where not given.
        as_of: The release whose rules are asked; today's where not given.
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
    path, against = _best(leaf, [*anchors.others, *pool], anchors.roots, said)
    root = path[-1] if path else None
    sha256 = root.fingerprint(hashes.SHA256()).hex() if root is not None else ""
    maker = MAKERS.get(sha256)
    found += against
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
        tuple(
            sorted(
                dict.fromkeys(f for f in found if known(f, as_of)),
                key=lambda f: ("stop", "warn", "note").index(f.severity),
            )
        ),
    )


def _best(
    leaf: x509.Certificate,
    pool: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    said: Claims | None,
) -> tuple[list[x509.Certificate], list[Finding]]:
    """The best way from the leaf to a root, and what speaks against it: one that holds before one that does not, a
    maker's root before another. The same key may have several certificates, and not all of them be right."""
    rated = []
    for way in _ways(leaf, pool, roots):
        maker = MAKERS.get(way[-1].fingerprint(hashes.SHA256()).hex())
        against = list(_chain(way, maker, said))
        rated.append((any(f.severity == "stop" for f in against), maker is None, len(way), way, against))
    if not rated:
        return [], [finding("ATTEST-CHAIN")]
    *_, way, against = min(rated, key=lambda r: r[:3])
    return way, against


def _ways(
    leaf: x509.Certificate, pool: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]
) -> Iterator[list[x509.Certificate]]:
    """A shortest way from the leaf to each root that it leads to, each certificate issued by the next. Issuers that
    attest a key themselves are no issuers.

    Each certificate is come to once: those of one key and name issue one another in every order, and to try all orders
    takes for ever.
    """
    issuers = [c for c in dict.fromkeys(pool) if not claims.is_leaf(c) and c not in roots]
    waiting = deque([[leaf]])
    while waiting:
        way = waiting.popleft()
        for root in [r for r in roots if r != way[-1] and _issued_by(way[-1], r)]:
            yield [*way, root]
        roots = [r for r in roots if r == way[-1] or not _issued_by(way[-1], r)]
        if len(way) < _LONGEST_CHAIN:
            above = [c for c in issuers if c != way[-1] and _issued_by(way[-1], c)]
            issuers = [c for c in issuers if c not in above]
            waiting += [[*way, c] for c in above]


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _chain(path: Sequence[x509.Certificate], maker: Maker | None, said: Claims | None) -> Iterator[Finding]:
    if maker is None:
        names = {m.name for m in MAKERS.values()}
        yield finding("ATTEST-NAMESAKE" if _name(path[-1]) in names else "ATTEST-ANCHOR")
    if len(path) < 3:
        yield finding("ATTEST-CHAIN", "no device's certificate stands between the key and the root")
        return
    for place, certificate in enumerate(path):
        yield from _may(certificate, place, last=place == len(path) - 1, maker=maker)
    if any(_weak(c) for c in path):
        yield finding("ATTEST-WEAK")
    if maker is None or said is None:
        return
    wanted = (maker.purposes or {}).get(said.product)
    if (wanted is not None and wanted not in _name(path[2])) or not _name(path[1]).startswith(maker.device):
        yield finding("ATTEST-CHAIN", "the maker vouches for another application of the device")


def _may(certificate: x509.Certificate, place: int, *, last: bool, maker: Maker | None) -> Iterator[Finding]:
    """What a certificate may not do at its place of the path (RFC 5280, 4.2.1.3, 4.2.1.9, 6.1.4); the leaf's is 0."""
    for extension in certificate.extensions:
        known = extension.oid in _UNDERSTOOD or extension.oid.dotted_string.startswith(_YUBICO)
        if extension.critical and not known:
            yield finding("ATTEST-MALFORMED", "a certificate has a critical extension that is not known")
    constraints, usage = _constraints(certificate), _usage(certificate)
    if place == 0:
        if constraints is not None and constraints.ca:
            yield finding("ATTEST-CHAIN", "the certificate is that of an authority, not of a key")
        return
    lenient = place == 1 and maker is not None and maker.lenient
    denied = not lenient if constraints is None else not constraints.ca
    # Devices' certificates are as their maker made them; authorities above them keep to the rule.
    if denied or (place > 1 and usage is not None and not usage.key_cert_sign):
        yield finding("ATTEST-CHAIN", "a certificate between the key and the root may not issue others")
    # Certificate authorities between this one and the leaf (RFC 5280, 4.2.1.9).
    length = constraints.path_length if constraints is not None else None
    if last and maker is not None and maker.device:
        length = 1
    if length is not None and place - 1 > length:
        yield finding("ATTEST-CHAIN", "the path is longer than a certificate in it allows")


def _name(certificate: x509.Certificate) -> str:
    """The common name, or the whole name where there is no single one."""
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if len(found) == 1 else certificate.subject.rfc4514_string()


def _usage(certificate: x509.Certificate) -> x509.KeyUsage | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None


def _constraints(certificate: x509.Certificate) -> x509.BasicConstraints | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return None


def _weak(certificate: x509.Certificate) -> bool:
    key = certificate.public_key()
    short = isinstance(key, rsa.RSAPublicKey) and key.key_size < _SHORTEST_RSA
    short |= isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < _SHORTEST_CURVE
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
        # Else hiding the serial would be the way around it.
        if expected:
            yield finding("ATTEST-SERIAL-DIFFERS", "it does not say that it is from the device that was expected")
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
