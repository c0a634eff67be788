"""Keys in a PKCS #11 session: read, generate, sign, destroy. Child processes only.

A private half is paired with its public half by CKA_ID and, where that is shared, by label; what can't be paired is
listed all the same, without public bytes and of kind "unknown", so that nothing on a token is hidden.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pkcs11
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from pkcs11 import MGF, Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
from pkcs11.constants import DEFAULT
from pkcs11.exceptions import (
    AttributeSensitive,
    AttributeTypeInvalid,
    AttributeValueInvalid,
    DomainParamsInvalid,
    FunctionFailed,
    GeneralError,
    KeyHandleInvalid,
    NoSuchKey,
    ObjectHandleInvalid,
    PKCS11Error,
)

from vestry.errors import TokenTrouble
from vestry.text import printable
from vestry.tokens import encodings
from vestry.tokens.token import KeyKind, TokenKey
from vestry.tokens.uri import KeyUri, build

LONGEST_LABEL = 200
_ID_LENGTH = 8
_UNTOLD = (AttributeSensitive, AttributeTypeInvalid, AttributeValueInvalid, FunctionFailed, GeneralError)
_FACTS = (
    ("sensitive", Attribute.SENSITIVE),
    ("extractable", Attribute.EXTRACTABLE),
    ("always_sensitive", Attribute.ALWAYS_SENSITIVE),
    ("never_extractable", Attribute.NEVER_EXTRACTABLE),
    ("local", Attribute.LOCAL),
)
_PARAMETERS = {
    KeyType.RSA: Attribute.MODULUS,
    KeyType.EC: Attribute.EC_PARAMS,
    KeyType.EC_EDWARDS: Attribute.EC_PARAMS,
}
_PSS = {
    "sha256": (Mechanism.SHA256, MGF.SHA256, 32, Mechanism.SHA256_RSA_PKCS_PSS),
    "sha384": (Mechanism.SHA384, MGF.SHA384, 48, Mechanism.SHA384_RSA_PKCS_PSS),
    "sha512": (Mechanism.SHA512, MGF.SHA512, 64, Mechanism.SHA512_RSA_PKCS_PSS),
}


PSS_WHOLE: Mapping[str, Mechanism] = {f"rsassa-pss-{name}": row[3] for name, row in _PSS.items()}


@dataclass(frozen=True)
class Place:
    """Where a new key goes: CKA_ID and label. On PIV the id is a slot's, and the module has labels of its own, takes no
    CKA_EXTRACTABLE, and its keys never leave it."""

    id: bytes
    label: str
    piv: bool = False


@dataclass(frozen=True)
class Held:
    """A private half on the token, with the key it belongs to."""

    key: TokenKey
    private: Any


@dataclass(frozen=True)
class _Public:
    label: str
    id: bytes
    kind: KeyKind
    spki: bytes
    object: Any


def public_keys(session: pkcs11.Session, serial: str, token: str) -> tuple[TokenKey, ...]:
    """Public halves that show in `session`."""
    found = (_token_key(p, serial, token, ()) for p in _publics(session))
    return tuple(sorted(found, key=lambda k: (k.label, k.id, k.spki)))


def held(session: pkcs11.Session, serial: str, token: str) -> tuple[Held, ...]:
    """Private halves that can sign, each with its public half; one entry a public half where several fit."""
    publics = _publics(session)
    found = []
    for private in list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY})):
        if read(private, Attribute.SIGN) is False:
            continue
        facts = tuple((name, _fact(private, attribute)) for name, attribute in _FACTS)
        for public in _halves(session, private, publics):
            found.append(Held(_token_key(public, serial, token, facts), private))
    return tuple(sorted(found, key=lambda h: (h.key.label, h.key.id, h.key.spki)))


def any_always_authenticate(session: pkcs11.Session) -> bool:
    """Whether a key here wants the PIN at each signature."""
    privates = list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY}))
    return any(read(p, Attribute.ALWAYS_AUTHENTICATE) for p in privates)


def new_place(session: pkcs11.Session, label: str, token: str) -> Place:
    """A place of its own for a key labelled `label`.

    Raises:
        TokenTrouble: E-KEY-EXISTS, E-TOKEN-MECHANISM.
    """
    if not label or len(label) > LONGEST_LABEL:
        raise _cannot("a key needs a label of 1 to 200 characters", token)
    if list(session.get_objects({Attribute.LABEL: label})):
        raise TokenTrouble(
            f"the token already holds something labelled '{printable(label)}'",
            where=str(printable(token)),
            do="use that key, or destroy it first",
            code="E-KEY-EXISTS",
        )
    return Place(secrets.token_bytes(_ID_LENGTH), label)


def generate(
    session: pkcs11.Session, mechanisms: frozenset[int], kind: KeyKind, place: Place, serial: str, token: str
) -> TokenKey:
    """Generate, read back, and look that the key stays on the token.

    Raises:
        TokenTrouble: E-TOKEN-MECHANISM; E-TOKEN-ANSWER, the key then being destroyed again.
    """
    try:
        _generate_pair(session, mechanisms, kind, place, token)
    except (NoSuchKey, KeyHandleInvalid, ObjectHandleInvalid):
        raise _unread(token) from None  # it was made; another program on this token was in the way of looking at it
    try:
        listed = held(session, serial, token)
    except PKCS11Error:
        raise _unread(token) from None
    made = [h for h in listed if h.key.id == place.id and (place.piv or h.key.label == place.label)]
    if len(made) != 1 or not same_kind(made[0].key.kind, kind):
        raise _unread(token)
    facts = dict(made[0].key.facts)
    if facts["extractable"] == "yes" or facts["sensitive"] == "no":
        destroy(session, made[0].key, serial, token)
        raise _cannot("the token makes keys that can leave it; the new one was destroyed", token)
    return made[0].key


def _unread(token: str) -> TokenTrouble:
    return TokenTrouble(
        "the key that was just made can't be read back as it was asked for",
        where=str(printable(token)),
        do="look at the token's keys before anything else",
        code="E-TOKEN-ANSWER",
        unknown=True,
    )


def same_kind(found: KeyKind, wanted: KeyKind) -> bool:
    """Whether a key is of the kind asked for. An RSA key is told by its length; its hash is chosen at signing."""
    rsa = "rsassa-pss-"
    return found == wanted or (found.bits == wanted.bits and all(k.scheme.startswith(rsa) for k in (found, wanted)))


def sign(held_key: Held, mechanisms: frozenset[int], scheme: str, message: bytes, pin: str | None) -> bytes:
    """Sign `message` by `scheme`, in the encoding TUF stores."""
    private = held_key.private
    again = pin if read(private, Attribute.ALWAYS_AUTHENTICATE) else None
    if not hasattr(private, "sign"):
        raise _cannot("this key is not one that signs", held_key.key.label)
    if scheme in encodings.CURVES and held_key.key.kind.scheme == scheme:
        digest = encodings.digest(scheme, message)
        return encodings.ecdsa_der(private.sign(digest, mechanism=Mechanism.ECDSA, pin=again), scheme)
    if scheme == encodings.ED25519 == held_key.key.kind.scheme:
        return bytes(private.sign(message, mechanism=Mechanism.EDDSA, pin=again))
    if scheme in encodings.ML_DSA and held_key.key.kind.scheme == scheme:
        return bytes(private.sign(encodings.ml_dsa_message(message), mechanism=Mechanism.ML_DSA, pin=again))
    if scheme.startswith("rsassa-pss-") and held_key.key.kind.scheme.startswith("rsassa-pss-"):
        return _sign_pss(private, mechanisms, scheme, message, again)
    raise _cannot(f"this key does not sign by '{printable(scheme)}'", held_key.key.label)


def destroy(session: pkcs11.Session, key: TokenKey, serial: str, token: str) -> None:
    """Destroy the private half, then the public one: an orphan left by a cut is then harmless, and seen. Where `key`
    has no public bytes: the halves of its id and label, provided that no two of them make a whole key.

    Raises:
        TokenTrouble: E-KEY-GONE: neither half is here; E-TOKEN-TWO-ALIKE; E-TOKEN-FAILED: one is there afterwards.
    """
    if not key.spki:
        _destroy_halves(session, key, serial, token)
        return
    fitting = fitting_one(held(session, serial, token), key)
    publics = [p.object for p in _publics(session) if p.spki == key.spki]
    if fitting is None and not publics:
        raise key_gone(key)
    privates = [] if fitting is None else [fitting.private]
    for half in (*privates, *publics):
        half.destroy()
    if any(h.key.spki == key.spki for h in held(session, serial, token)) or any(
        p.spki == key.spki for p in _publics(session)
    ):
        raise TokenTrouble(
            "the token still lists a key that it was told to destroy",
            where=str(printable(token)),
            do="look at the token's keys; destroy the device if the key must be gone",
            code="E-TOKEN-FAILED",
            unknown=True,
        )


def _destroy_halves(session: pkcs11.Session, key: TokenKey, serial: str, token: str) -> None:
    if any(h.key.spki for h in held(session, serial, token) if (h.key.id, h.key.label) == (key.id, key.label)):
        raise key_gone(key)
    halves = [
        half
        for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY)
        for half in list(session.get_objects({Attribute.CLASS: kind}))
        if (identity(half), label_of(half)) == (key.id, key.label)
    ]
    if not halves:
        raise key_gone(key)
    for half in halves:
        half.destroy()


def fitting_one(known: Iterable[Held], key: TokenKey) -> Held | None:
    """The private half of `key`, recognised by public bytes; None where there is none.

    Raises:
        TokenTrouble: E-TOKEN-TWO-ALIKE: several private halves carry the id and label of that public half.
    """
    found = [h for h in known if key.spki and h.key.spki == key.spki]
    if len(found) > 1:
        raise TokenTrouble(
            f"{len(found)} private keys on the token go by the id of key '{printable(key.label, 80)}'",
            do="give them ids of their own with the maker's tool",
            code="E-TOKEN-TWO-ALIKE",
        )
    return found[0] if found else None


def key_gone(key: TokenKey) -> TokenTrouble:
    """The trouble of a key that is not on the token."""
    return TokenTrouble(
        f"the token does not hold key '{printable(key.label, 80)}'",
        do="look whether it is the right token",
        code="E-KEY-GONE",
    )


def _generate_pair(
    session: pkcs11.Session, mechanisms: frozenset[int], kind: KeyKind, place: Place, token: str
) -> None:
    public: dict[Attribute, Any] = {Attribute.PRIVATE: False}
    private: dict[Attribute, Any] = {
        Attribute.EXTRACTABLE: DEFAULT if place.piv else False,
        Attribute.SENSITIVE: True,
        Attribute.PRIVATE: True,
    }
    common: dict[str, Any] = {
        "id": place.id,
        "label": place.label,
        "store": True,
        "capabilities": MechanismFlag.SIGN | MechanismFlag.VERIFY,
        "public_template": public,
        "private_template": private,
    }
    if kind.scheme in encodings.CURVES:
        _need(mechanisms, Mechanism.EC_KEY_PAIR_GEN, kind, token)
        params = {Attribute.EC_PARAMS: encodings.CURVES[kind.scheme].oid}
        domain = session.create_domain_parameters(KeyType.EC, params, local=True)
        domain.generate_keypair(mechanism=Mechanism.EC_KEY_PAIR_GEN, **common)
    elif kind.scheme == encodings.ED25519:
        _need(mechanisms, Mechanism.EC_EDWARDS_KEY_PAIR_GEN, kind, token)
        for name in (encodings.ED25519_NAME, encodings.ED25519_OID):
            domain = session.create_domain_parameters(KeyType.EC_EDWARDS, {Attribute.EC_PARAMS: name}, local=True)
            try:
                domain.generate_keypair(mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN, **common)
                break
            except (AttributeValueInvalid, DomainParamsInvalid):
                if name == encodings.ED25519_OID:
                    raise
    elif kind.scheme.startswith("rsassa-pss-"):
        encodings.check_rsa(kind)
        _need(mechanisms, Mechanism.RSA_PKCS_KEY_PAIR_GEN, kind, token)
        session.generate_keypair(KeyType.RSA, kind.bits, mechanism=Mechanism.RSA_PKCS_KEY_PAIR_GEN, **common)
    elif kind.scheme in encodings.ML_DSA:
        _need(mechanisms, Mechanism.ML_DSA_KEY_PAIR_GEN, kind, token)
        public[Attribute.PARAMETER_SET] = encodings.ML_DSA[kind.scheme].parameter_set
        session.generate_keypair(KeyType.ML_DSA, mechanism=Mechanism.ML_DSA_KEY_PAIR_GEN, **common)
    else:
        raise _cannot(f"tokens make no key for scheme '{printable(kind.scheme, 60)}' here", token)


def _sign_pss(private: Any, mechanisms: frozenset[int], scheme: str, message: bytes, pin: str | None) -> bytes:
    name = encodings.hash_name(scheme)
    algorithm, mask, salt, whole = _PSS[name]
    param = (algorithm, mask, salt)
    if int(Mechanism.RSA_PKCS_PSS) in mechanisms:
        digest = encodings.digest(scheme, message)
        return bytes(private.sign(digest, mechanism=Mechanism.RSA_PKCS_PSS, mechanism_param=param, pin=pin))
    if int(whole) in mechanisms:
        return bytes(private.sign(message, mechanism=whole, mechanism_param=param, pin=pin))
    raise _cannot(f"the token has no RSA-PSS with {name}", "")


def _publics(session: pkcs11.Session) -> tuple[_Public, ...]:
    found = []
    for item in list(session.get_objects({Attribute.CLASS: ObjectClass.PUBLIC_KEY})):
        half = _public(item)
        if half is not None:
            found.append(half)
    return tuple(found)


def _halves(session: pkcs11.Session, private: Any, publics: Iterable[_Public]) -> tuple[_Public, ...]:
    """The public halves that `private` may belong to; never none."""
    label, own_id = label_of(private), identity(private)
    unpaired = _Public(label, own_id, KeyKind("unknown"), b"", None)
    if _unfinished(private):
        return (unpaired,)
    fitting = [p for p in publics if p.id == own_id] if own_id else [p for p in publics if p.label == label]
    narrowed = [p for p in fitting if p.label == label] or fitting
    if narrowed:
        return tuple({p.spki: p for p in narrowed}.values())
    own = _public(private) or _certified(session, label, own_id)
    return (own or unpaired,)


def _unfinished(private: Any) -> bool:
    """Whether a module was cut off while it made this private half: it has its names, and nothing yet to sign with."""
    parameters = _PARAMETERS.get(read(private, Attribute.KEY_TYPE))
    return parameters is not None and read(private, parameters) == b""


def _public(item: Any) -> _Public | None:
    """The public key that `item` shows; None where it is of no kind that TUF knows, or can't be read."""
    try:
        key_type = read(item, Attribute.KEY_TYPE)
        if key_type == KeyType.RSA:
            modulus, exponent = read(item, Attribute.MODULUS), read(item, Attribute.PUBLIC_EXPONENT)
            bits, spki = encodings.rsa_spki(modulus or b"", exponent or b"")
            kind = KeyKind("rsassa-pss-sha256", bits)
        elif key_type in (KeyType.EC, KeyType.EC_EDWARDS):
            params, point = read(item, Attribute.EC_PARAMS), read(item, Attribute.EC_POINT)
            scheme, spki = encodings.ec_spki(params or b"", point or b"")
            kind = KeyKind(scheme)
        elif key_type == KeyType.ML_DSA:
            parameter_set, value = read(item, Attribute.PARAMETER_SET), read(item, Attribute.VALUE)
            scheme, spki = encodings.ml_dsa_spki(parameter_set, value or b"")
            kind = KeyKind(scheme)
        else:
            return None
    except TokenTrouble:
        return None
    return _Public(label_of(item), identity(item), kind, spki, item)


def _certified(session: pkcs11.Session, label: str, own_id: bytes) -> _Public | None:
    """From a certificate of the same id, for tokens that keep no public key object."""
    if not own_id:
        return None
    from cryptography import x509  # noqa: PLC0415 - a fifth of the child's start, for the few tokens that need it

    for item in list(session.get_objects({Attribute.CLASS: ObjectClass.CERTIFICATE, Attribute.ID: own_id})):
        try:
            public = x509.load_der_x509_certificate(read(item, Attribute.VALUE) or b"").public_key()
            spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
            return _Public(label, own_id, encodings.kind_of(public), spki, item)
        except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, TokenTrouble):
            continue
    return None


def _token_key(public: _Public, serial: str, token: str, facts: tuple[tuple[str, str], ...]) -> TokenKey:
    uri = build(KeyUri(serial=serial, token=token, id=public.id, object=public.label, type="private"))
    return TokenKey(uri, public.label, public.id, public.spki, public.kind, facts)


def spki(item: Any) -> bytes | None:
    """SubjectPublicKeyInfo of a public key object; None where it is of no kind that TUF knows."""
    found = _public(item)
    return found.spki if found else None


def identity(item: Any) -> bytes:
    """CKA_ID, raw; empty where there is none."""
    value = read(item, Attribute.ID)
    return value if isinstance(value, bytes) else b""


def label_of(item: Any) -> str:
    """CKA_LABEL; empty where there is none."""
    value = read(item, Attribute.LABEL)
    return value if isinstance(value, str) else ""


def _fact(item: Any, attribute: Attribute) -> str:
    value = read(item, attribute)
    return "untold" if value is None else "yes" if value else "no"


def read(item: Any, attribute: Attribute) -> Any:
    """An attribute, or None where the token does not tell or tells nonsense. A lost token is no such answer."""
    try:
        return item[attribute]
    except (*_UNTOLD, ValueError, IndexError, KeyError, NotImplementedError, struct.error):
        return None


def _need(mechanisms: frozenset[int], mechanism: Mechanism, kind: KeyKind, token: str) -> None:
    if int(mechanism) not in mechanisms:
        raise _cannot(f"the token makes no key for scheme '{kind.scheme}'", token)


def _cannot(what: str, where: str) -> TokenTrouble:
    return TokenTrouble(
        what,
        where=str(printable(where, 80)),
        do="choose another scheme in the script, or another token",
        code="E-TOKEN-MECHANISM",
    )
