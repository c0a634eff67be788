"""Documents of other tools in old formats: read for review as what they were, and never for signing."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import Signature as LibrarySignature
from securesystemslib.signer import SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root

from vestry.errors import InputRejected
from vestry.metadata import document, layout, legacy
from vestry.metadata.changes import apply
from vestry.metadata.document import Document
from vestry.metadata.keys import Key
from vestry.metadata.review import Review, review

HASHES = {"keyid_hash_algorithms": ["sha256", "sha512"]}
P256 = {"keytype": "ecdsa-sha2-nistp256", "scheme": "ecdsa-sha2-nistp256"}
NOW = datetime(2021, 7, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Person:
    """Someone with a P-256 key, and how old and new tools write it."""

    private: ec.EllipticCurvePrivateKey

    def point(self, form: PublicFormat = PublicFormat.UncompressedPoint) -> dict[str, Any]:
        raw = self.private.public_key().public_bytes(Encoding.X962, form).hex()
        return {**HASHES, **P256, "keyval": {"public": raw}}

    def pem(self) -> dict[str, Any]:
        text = self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        return {**P256, "keyval": {"public": text}}


PEOPLE = [Person(ec.generate_private_key(ec.SECP256R1())) for _ in range(6)]


def keyid(key: dict[str, Any]) -> str:
    return hashlib.sha256(encode_canonical(key).encode()).hexdigest()


def root(
    version: int, expires: str, keys: dict[str, dict[str, Any]], threshold: int = 3, **more: Any
) -> dict[str, Any]:
    roles = {"root": {"keyids": list(keys), "threshold": threshold}}
    roles |= {role: {"keyids": list(keys)[:1], "threshold": 1} for role in ("targets", "snapshot", "timestamp")}
    common = {"_type": "root", "spec_version": "1.0", "version": version, "expires": expires}
    return {**common, "keys": keys, "roles": roles, **more}


def signed_by(signed: dict[str, Any], people: dict[str, Person], *empty: str) -> bytes:
    """The file as an old tool writes it: DER signatures in hex over OLPC canonical JSON, and empty places."""
    message = encode_canonical(signed).encode()
    found = [{"keyid": i, "sig": p.private.sign(message, ec.ECDSA(hashes.SHA256())).hex()} for i, p in people.items()]
    return json.dumps({"signed": signed, "signatures": [*found, *({"keyid": i, "sig": ""} for i in empty)]}).encode()


def history() -> list[bytes]:
    """Five versions like those of Sigstore: raw points and odd expiries, then PEM, then other key ids."""
    five = PEOPLE[:5]
    points = {keyid(p.point()): p for p in five}
    raw = {i: p.point() for i, p in points.items()}
    first = root(1, "2021-12-18T13:28:12.99008-06:00", raw, consistent_snapshot=True)
    # One holder is replaced; go-tuf writes nanoseconds.
    swapped = {keyid(p.point()): p for p in [*five[:4], PEOPLE[5]]}
    second = root(2, "2022-05-11T19:09:02.663975009Z", {i: p.point() for i, p in swapped.items()})
    third = root(3, "2022-08-01T00:00:00+02:00", {i: p.point() for i, p in swapped.items()})
    # The same keys under the same ids, in PEM: ids that are hashes of what was there before.
    fourth = root(4, "2023-01-01T00:00:00Z", {i: p.pem() for i, p in swapped.items()})
    renamed = {keyid(p.pem()): p for p in swapped.values()}
    fifth = root(5, "2023-06-01T00:00:00Z", {i: p.pem() for i, p in renamed.items()}, spec_version="1.0.31")
    both = {**dict(list(swapped.items())[:3]), **dict(list(renamed.items())[:3])}
    old, new = list(points.items()), list(swapped.items())
    return [
        signed_by(first, dict(old[:3]), old[3][0]),
        signed_by(second, dict(new[:4])),
        signed_by(third, dict(new[1:5])),
        signed_by(fourth, dict(new[:3])),
        signed_by(fifth, both),
    ]


def walk() -> list[Review]:
    old: Document | None = None
    found = []
    for raw in history():
        new = layout.read(raw, where="a root")
        found.append(review("root", new, old=old, now=NOW))
        old = new
    return found


def codes(found: Review) -> set[str]:
    return {f.code for f in found.findings}


def test_a_history_in_old_formats_is_reviewed_step_by_step() -> None:
    """An auditor could not follow a chain that began years ago, or would be told that it never held."""
    found = walk()
    for step in found:
        assert [t.met for t in step.tallies] == [True] * len(step.tallies), step.new.version
        before = step.old.signed if step.old else None
        assert apply(before, step.changes) == step.new.signed
    assert [len(step.tallies) for step in found] == [1, 2, 2, 2, 2]
    assert ["KEY-LEGACY" in codes(s) for s in found] == [True, True, True, False, False]
    assert ["EXPIRY-FORM" in codes(s) for s in found] == [True, True, True, False, False]
    # The fourth is sound in itself, but clients of the third, which has raw points, cannot get to it.
    assert ["ROOT-CHAIN-BROKEN" in codes(s) for s in found] == [False, True, True, True, False]
    assert [s.ok for s in found] == [False, False, False, False, True]
    assert ["SIGNATURE-EMPTY" in codes(s) for s in found] == [True, False, False, False, False]
    assert sorted(c.kind for c in found[1].changes if c.kind.startswith("key-")) == ["key-added", "key-removed"]
    assert not [c for c in found[2].changes if c.kind.startswith("key-")]
    rewritten = [c for c in found[3].changes if c.path[-2:] == ("keyval", "public")]
    assert len(rewritten) == 5
    assert all(
        c.text.endswith("is the same key under the same key id, written as PEM instead of hex") for c in rewritten
    )
    renamed = [c for c in found[4].changes if c.path[0] == "keys"]
    assert [c.kind for c in renamed] == ["key-renamed"] * 5
    mismatch = [f.text for f in found[3].findings if f.code == "KEYID-MISMATCH"]
    assert len(mismatch) == 1
    assert "only the raw point (as go-tuf once wrote it)" in mismatch[0]


def test_a_key_renamed_and_rewritten_at_once() -> None:
    """The same five keys would look like five strangers taking over."""
    person = PEOPLE[0]
    old, new = root(1, "2022-01-01T00:00:00Z", {"a" * 64: person.point()}, 1), None
    new = root(2, "2022-01-01T00:00:00Z", {"b" * 64: person.pem()}, 1)
    step = review(
        "root", layout.read(signed_by(new, {}), where="new"), old=layout.read(signed_by(old, {}), where="old"), now=NOW
    )
    (change,) = [c for c in step.changes if c.kind.startswith("key-")]
    assert change.kind == "key-renamed"
    assert "is the same key under another key id, bbbbbbbb, written as PEM instead of hex" in change.text


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2022-05-11T19:09:02.663975009Z", datetime(2022, 5, 11, 19, 9, 2, 663975, tzinfo=UTC)),
        ("2021-12-18T13:28:12.99008-06:00", datetime(2021, 12, 18, 19, 28, 12, 990080, tzinfo=UTC)),
        ("2022-01-01T00:00:00+02:00", datetime(2021, 12, 31, 22, tzinfo=UTC)),
        ("2016-01-01 12:30:00 UTC", datetime(2016, 1, 1, 12, 30, tzinfo=UTC)),
        ("2019-01-01T12:30:00.5", datetime(2019, 1, 1, 12, 30, 0, 500000, tzinfo=UTC)),
        ("2019-01-01 12:30:00", datetime(2019, 1, 1, 12, 30, tzinfo=UTC)),
    ],
)
def test_expiries_are_read_for_review_only(text: str, utc: datetime) -> None:
    """Whoever signs such a version today shuts python-tuf's clients out; whoever reads history must still see it."""
    raw = signed_by(root(1, text, {"a" * 64: PEOPLE[0].pem()}, 1), {})
    assert layout.read(raw, where="old").expires == utc
    with pytest.raises(InputRejected, match="not a time like"):
        document.read(raw, where="new")
    with pytest.raises((RepositoryError, ValueError)):
        Metadata.from_bytes(raw)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2022-01-01",
        "2022-1-1T0:0:0Z",
        "2022-01-01T00:00:00 PST",
        "2022-02-30T00:00:00.5Z",
        "2022-01-01T00:00:00.Z",
        "2022-01-01 00:00:00 UTC UTC",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2022-01-01T00:00:00.5Z\n",
        "2022-01-01T00:00:00+25:00",
    ],
)
def test_times_that_are_none(text: str) -> None:
    """A time that every tool reads in its own way would pass for one."""
    assert legacy.moment(text) is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda s: None, ""),
        (lambda s: s.update(_type="Root"), "TYPE-FORM"),
        (lambda s: s.update(expires="2022-01-01 12:30:00 UTC"), "EXPIRY-FORM"),
        (lambda s: s.update(expires="2022-01-01t00:00:00z"), "EXPIRY-FORM"),
        (lambda s: s.update(expires="2022-01-01T00:00:00"), "EXPIRY-FORM"),
        (lambda s: s["roles"].pop("timestamp"), "ROLE-MISSING"),
        (lambda s: s.update(spec_version="0.1"), "SPEC-VERSION"),
        (lambda s: s.update(spec_version=None), "SPEC-VERSION"),
        (lambda s: s.update(spec_version=1), "SPEC-VERSION"),
        (lambda s: s.pop("spec_version"), "SPEC-VERSION"),
        (lambda s: s["roles"].update(mirrors=s["roles"]["root"]), "ROLE-UNKNOWN"),
        (lambda s: next(iter(s["keys"].values())).pop("scheme"), "SCHEME-UNKNOWN"),
        (lambda s: s["keys"].update({keyid(PEOPLE[0].pem()): PEOPLE[0].point()}), "KEY-LEGACY"),
    ],
)
def test_what_python_tuf_can_not_take_is_told(change: Any, code: str) -> None:
    """A root that opens here, and at no client, would be signed."""
    person = PEOPLE[0]
    signed = root(1, "2022-01-01T00:00:00Z", {keyid(person.pem()): person.pem()}, 1)
    change(signed)
    raw = signed_by(signed, {next(iter(signed["keys"])): person})
    step = review("root", layout.read(raw, where="old"), now=NOW)
    assert {f.code for f in step.findings if f.severity == "stop"} - {"THRESHOLD-UNREACHABLE"} == (
        {code} if code else set()
    )
    if code:
        with pytest.raises((RepositoryError, ValueError)):
            _trusted_by_python_tuf(raw)


def _trusted_by_python_tuf(raw: bytes) -> None:
    theirs = Metadata[Root].from_bytes(raw)
    theirs.verify_delegate("root", theirs)


@pytest.mark.parametrize("form", [PublicFormat.UncompressedPoint, PublicFormat.CompressedPoint])
@pytest.mark.parametrize("keytype", ["ecdsa", "ecdsa-sha2-nistp256"])
def test_raw_points_verify_and_are_the_key_of_the_pem(keytype: str, form: PublicFormat) -> None:
    """A threshold that was met would show as missed, and a key that stayed as another one."""
    person = PEOPLE[0]
    key = Key.from_dict("a", person.point(form) | {"keytype": keytype})
    assert key.fingerprint == Key.from_dict("b", person.pem()).fingerprint
    signature = person.private.sign(b"bytes", ec.ECDSA(hashes.SHA256()))
    assert key.verify(signature, b"bytes")
    assert not key.verify(signature, b"other bytes")
    theirs = SSlibKey("a", keytype, key.scheme, {"public": key.public})
    with pytest.raises(UnverifiedSignatureError):  # what KEY-LEGACY says of python-tuf
        theirs.verify_signature(LibrarySignature("a", signature.hex()), b"bytes")


@pytest.mark.parametrize(
    "text", ["", "04", "04" + "ff" * 64, "05" + "00" * 32, "02" + "ff" * 32, "zz", "04" + "00" * 63]
)
def test_points_that_are_none(text: str) -> None:
    """A key that is none would count, or end the program."""
    assert legacy.raw_point(text) is None
    assert Key.from_dict("a", {**P256, "keyval": {"public": text}}).spki == b""


def _certificate(private: ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
    made = made.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + timedelta(days=9))
    return made.sign(private, hashes.SHA256()).public_bytes(Encoding.PEM)


def test_roots_of_notary_and_of_the_first_go_tuf_are_verified() -> None:
    """Years of a repository that began before TUF 1.0 would count as signed by nobody, and each key as another one once
    it is written in today's form."""
    private = PEOPLE[0].private
    public = private.public_key()
    edwards = ed25519.Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
    raw = edwards.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    forms = {
        "DER in base64": ("ecdsa", b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))),
        "DER in hex": ("ecdsa", public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo).hex().encode()),
        "a certificate": ("ecdsa-x509", _certificate(private)),
        "a certificate in base64": ("ecdsa-x509", b64encode(_certificate(private))),
        "base64": ("ed25519", b64encode(raw)),
        "": ("ed25519", raw.hex().encode()),
    }
    for form, (keytype, text) in forms.items():
        key = {"keytype": keytype, "keyval": {"private": None, "public": text.decode()}}
        signed = root(1, "2017-01-01T00:00:00.5-07:00", {"a" * 64: key}, 1, _type="Root")
        message = encode_canonical(signed).encode()
        if keytype == "ed25519":
            today = {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": raw.hex()}}
            made = edwards.sign(message)
        else:
            today = PEOPLE[0].pem()
            made = b"".join(
                n.to_bytes(32, "big") for n in decode_dss_signature(private.sign(message, ec.ECDSA(hashes.SHA256())))
            )
        signature = {"keyid": "a" * 64, "method": keytype, "sig": b64encode(made).decode()}
        old = layout.read(json.dumps({"signed": signed, "signatures": [signature]}).encode(), where=form)
        first = review("root", old, now=NOW)
        assert [t.met for t in first.tallies] == [True], form
        told = [f.text for f in first.findings if f.code == "KEY-LEGACY"]
        assert [f"Key aaaaaaaa is {form};" in text for text in told] == [True] * bool(form)
        rewritten = signed_by(root(2, "2022-01-01T00:00:00Z", {"b" * 64: today}, 1), {})
        (change,) = [
            c
            for c in review("root", layout.read(rewritten, where="new"), old=old, now=NOW).changes
            if c.kind.startswith("key-")
        ]
        assert change.kind == "key-renamed"
        broken = made[:-1] + bytes([made[-1] ^ 1])
        signature["sig"] = b64encode(broken).decode()
        forged = layout.read(json.dumps({"signed": signed, "signatures": [signature]}).encode(), where=form)
        assert [t.met for t in review("root", forged, now=NOW).tallies] == [False]


def test_unknown_kinds_of_keys_are_shown() -> None:
    """One key of a kind that came later or went away would keep a whole history shut."""
    odd = {"keytype": "sigstore-oidc", "scheme": "Fulcio", "keyval": {"identity": "a@b.c", "issuer": "https://x"}}
    older = {"keytype": "rsa", "keyval": {"public": "x"}}
    raw = signed_by(root(1, "2022-01-01T00:00:00Z", {"a" * 64: odd, "b" * 64: older}, 1), {})
    with pytest.raises(InputRejected, match="keyval/public is missing"):
        document.read(raw, where="new")
    step = review("root", layout.read(raw, where="old"), now=NOW)
    assert len([f for f in step.findings if f.code == "SCHEME-UNKNOWN"]) == 2
    assert not step.tallies[0].met


def test_a_key_of_another_kind_than_it_says_is_shown() -> None:
    """One such key, under an id that is made up, would keep the whole document shut."""
    edwards = ed25519.Ed25519PrivateKey.generate().public_key()
    text = edwards.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    raw = signed_by(root(1, "2022-01-01T00:00:00Z", {"a" * 64: {**P256, "keyval": {"public": text}}}, 1), {})
    told = codes(review("root", layout.read(raw, where="odd"), now=NOW))
    assert {"KEY-UNREADABLE", "KEYID-MISMATCH"} <= told


@pytest.mark.parametrize(
    ("id_of", "said"),
    [
        (lambda p: keyid({"keytype": P256["keytype"], "keyval": p.pem()["keyval"]}), "only type and public value"),
        (lambda p: keyid(p.pem() | HASHES), "type, scheme, value and keyid_hash_algorithms"),
        (lambda p: keyid(p.point()), "the raw point (as go-tuf once wrote it)"),
        (lambda p: "0" * 64, "in no form in use"),
    ],
)
def test_which_hash_a_key_id_is(id_of: Any, said: str) -> None:
    """A key id that an old tool made in its own way could not be told from one that is made up."""
    person = PEOPLE[0]
    raw = signed_by(root(1, "2022-01-01T00:00:00Z", {id_of(person): person.pem()}, 1), {})
    step = review("root", layout.read(raw, where="old"), now=NOW)
    assert any(said in f.text for f in step.findings if f.code == "KEYID-MISMATCH")


def test_every_published_document_opens(shared_data: Path) -> None:
    """A document that the world trusts, or trusted once, could not be looked at."""
    refused = {}
    seen = 0
    for path in sorted(p for p in shared_data.rglob("*") if p.is_file()):
        try:
            value = json.loads(path.read_bytes())
        except ValueError:
            continue
        if not isinstance(value, dict) or not {"signed", "payload"} & value.keys():
            continue
        try:
            new = layout.read(path.read_bytes(), where=path.name)
        except InputRejected as error:
            refused[path.name] = str(error)
            continue
        seen += 1
        review(new.type, new, now=NOW)
    assert seen > 150
    # Links are no metadata to review; the templates have no expiry, so that every tool makes up its own.
    assert {name for name in refused if not name.endswith(".link")} == {"demo.layout.template"}
    assert all("link" in why for name, why in refused.items() if name.endswith(".link"))


def test_a_go_tuf_repository_with_long_fractions(shared_data: Path) -> None:
    """go-tuf's own test data would stay shut."""
    folder = shared_data / "vectors/go-tuf/internal/testutils/repository_data/repository/metadata"
    step = review("root", layout.read((folder / "1.root.json").read_bytes(), where="root"), now=NOW)
    assert "EXPIRY-FORM" in codes(step)
    assert replace(step.new).expires == datetime(2030, 8, 15, 14, 30, 45, tzinfo=UTC)
