"""Key references (RFC 7512)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestry.errors import InputRejected
from vestry.tokens.uri import KeyUri, build, parse

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
uris = st.builds(
    KeyUri,
    serial=texts,
    token=texts,
    id=st.binary(max_size=32),
    object=texts,
    type=st.sampled_from(["", "private", "public", "cert"]),
    manufacturer=texts,
    model=texts,
)


@given(uris)
def test_what_is_written_reads_back(key: KeyUri) -> None:
    """A reference in a transcript is followed years later; it must lead to the same key, whatever a label holds."""
    text = build(key)
    assert text.isascii()
    assert parse(text) == key


def test_the_form() -> None:
    """Other programs (p11tool, OpenSSL's provider) read it too."""
    key = KeyUri(serial="0042", token="The token", id=b"\x02\xff", object="root/a;b", type="private")
    assert build(key) == "pkcs11:serial=0042;token=The%20token;id=%02%FF;object=root%2Fa%3Bb;type=private"


def test_examples_of_the_standard() -> None:
    """From RFC 7512 section 3, those without a PIN or a module."""
    assert parse("pkcs11:") == KeyUri()
    assert parse("pkcs11:object=my-pubkey;type=public") == KeyUri(object="my-pubkey", type="public")
    wide = parse(
        "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;"
        "object=my-certificate;type=cert;id=%69%95%3E%5C%F4%BD%EC%91;serial="
    )
    assert (wide.token, wide.manufacturer) == ("The Software PKCS#11 Softtoken", "Snake Oil, Inc.")
    assert wide.id == bytes.fromhex("69953e5cf4bdec91")
    assert parse("pkcs11:token=my-token;x-vendor=1").token == "my-token"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pkcs11",
        "PKCS12:token=a",
        "file:///etc/passwd",
        "pkcs11:token=a?pin-value=1234",
        "pkcs11:token=a?pin-source=file:/etc/token_pin",
        "pkcs11:token=a;pin-value=1234",
        "pkcs11:token=a?module-path=/tmp/evil.so",
        "pkcs11:token=a?module-name=evil",
        "pkcs11:token=a;token=b",
        "pkcs11:token",
        "pkcs11:token=a;",
        "pkcs11:token=%zz",
        "pkcs11:token=%f",
        "pkcs11:token=a b",
        "pkcs11:token=\x1b[31m",
        "pkcs11:token=é",
        "pkcs11:token=%FF",
        "pkcs11:unknown=1",
        "pkcs11:type=purse",
        "pkcs11:token=" + "a" * 3000,
    ],
)
def test_refused(text: str) -> None:
    """A reference with a PIN, a module to load, or a doubt in it must not be followed; nor may its PIN be repeated."""
    with pytest.raises(InputRejected) as caught:
        parse(text)
    assert "1234" not in str(caught.value)
    assert str(caught.value).isprintable()


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text may raise anything else."""
    for candidate in (text, f"pkcs11:{text}"):
        with contextlib.suppress(InputRejected):
            parse(candidate)
