"""Certificates that travel in a bundle: a commercial code-signing key holds a role, and says who vouches for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from holders import EXPIRES, holder

from vestry.cli.main import main
from vestry.errors import InputRejected
from vestry.media import bundle
from vestry.metadata import drafting

ADA = holder("ada")
PRIVATE = ec.generate_private_key(ec.SECP256R1())


def certified(private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, name: str = "Ada Ltd", days: int = 365) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Code Signing CA")])
    start = datetime.now(UTC) - timedelta(days=400)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(private.public_key())
        .serial_number(5)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=400 + days))
        .sign(private, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_certified_key_holds_a_role_and_its_certificate_travels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """Subject, issuer and validity are told when it is staged; the bundle carries it, exports it and collects it."""
    private = ec.generate_private_key(ec.SECP384R1()) if kind == "ec" else rsa.generate_private_key(65537, 3072)
    pem = tmp_path / "ada.pem"
    pem.write_text(certified(private))
    into = tmp_path / "b"
    assert main(["stage", "root", "--root-key", f"Ada={pem}", "--threshold", "1", "--into", str(into)]) == 0
    said = "".join(capsys.readouterr())
    assert "CN=Ada Ltd" in said
    assert "CN=Code Signing CA" in said
    opened = bundle.open_bundle(into)
    (keyid,) = opened.certificates
    assert keyid in opened.document.signed["keys"]
    assert (into / "certificates" / f"{keyid}.pem").read_text() == pem.read_text()
    assert main(["export", str(into), str(tmp_path / "stick")]) == 0
    carried = next((tmp_path / "stick").rglob("*.pem"))
    assert carried.read_text() == pem.read_text()


def test_an_expired_certificate_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """TUF does not ask, so a person must be told."""
    pem = tmp_path / "ada.pem"
    pem.write_text(certified(ec.generate_private_key(ec.SECP256R1()), days=-10))
    main(["stage", "root", "--root-key", f"Ada={pem}", "--threshold", "1", "--into", str(tmp_path / "b")])
    assert "EXPIRED" in "".join(capsys.readouterr())


def test_hostile_names_are_shown_not_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A subject is a stranger's text."""
    pem = tmp_path / "ada.pem"
    pem.write_text(certified(ec.generate_private_key(ec.SECP256R1()), name="Ada\x1b[2J\u202eLtd"))
    main(["stage", "root", "--root-key", f"Ada={pem}", "--threshold", "1", "--into", str(tmp_path / "b")])
    said = "".join(capsys.readouterr())
    assert "\x1b" not in said
    assert "\u202e" not in said


@pytest.fixture
def made(tmp_path: Path) -> bundle.Bundle:
    """A bundle for Ada (whose key is certified) and Bob."""
    keys = [ADA.key, holder("bob").key]
    roles = dict.fromkeys(("root", "targets", "snapshot", "timestamp"), (2, keys))
    return bundle.create(
        tmp_path / "b", role="root", unsigned=drafting.root(version=1, expires=EXPIRES, roles=roles), holders={}
    )


def test_certificates_come_back_with_signatures(made: bundle.Bundle, tmp_path: Path) -> None:
    """What a holder's token shows is added where it signs, and is gathered with the signature."""
    other = bundle.create(tmp_path / "c", role="root", unsigned=made.document.raw, holders={})
    text = certified(ADA.private)
    bundle.add_signature(other, ADA.sign(other.document), text)
    gathered = bundle.collect(made, [bundle.open_bundle(other.path)])
    assert gathered.bundle.certificates == {ADA.key.keyid: text}
    assert bundle.open_bundle(made.path).certificates == gathered.bundle.certificates


@pytest.mark.parametrize("content", ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_anything_else_is_refused(made: bundle.Bundle, content: str) -> None:
    """A bundle's folder is no place to hide files in."""
    folder = made.path / "certificates"
    folder.mkdir()
    (folder / f"{ADA.key.keyid}.pem").write_text(content)
    with pytest.raises(InputRejected):
        bundle.open_bundle(made.path)


def test_a_certificate_that_was_copied_in_must_be_for_its_key(made: bundle.Bundle) -> None:
    """SHA256SUMS does not list it; so it speaks for itself, or not at all."""
    folder = made.path / "certificates"
    folder.mkdir()
    (folder / f"{ADA.key.keyid}.pem").write_text(certified(PRIVATE))
    with pytest.raises(InputRejected):
        bundle.open_bundle(made.path)


def test_a_certificate_with_something_behind_it_is_no_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two certificates in one file: whose key would it be?"""
    pem = tmp_path / "two.pem"
    pem.write_text(certified(PRIVATE) + certified(ec.generate_private_key(ec.SECP256R1())))
    assert main(["stage", "root", "--root-key", f"Ada={pem}", "--threshold", "1", "--into", str(tmp_path / "b")]) == 2
    assert "one X.509 certificate" in capsys.readouterr().err
