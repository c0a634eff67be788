"""Rules about keys and thresholds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from vestry.metadata import canonical, document
from vestry.metadata.clients import SCHEMES
from vestry.metadata.keys import Key
from vestry.metadata.rulebook import Context, Held, Hit, rule
from vestry.release import SECOND

ONLINE_ROLES = ("snapshot", "timestamp")

# Encodings of the points of small order: signatures that verify with them can be made up without a private key.
SMALL_ORDER = frozenset(
    bytes.fromhex(point)
    for y in (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    )
    for point in (y, y[:62] + f"{int(y[62:], 16) | 0x80:02x}")
)


def _several(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


@rule("THRESHOLD-LOWERED", "warn", "A role takes fewer signatures than before.")
def threshold_lowered(c: Context) -> Iterator[Hit]:
    """Fewer people than before can sign for a role."""
    for held in c.held:
        before = c.held_before.get(held.path)
        if before is not None and 0 < held.threshold < before.threshold:
            text = f"The threshold of {held.role} falls from {before.threshold} to {held.threshold}"
            yield Hit((*held.path, "threshold"), text)


@rule("THRESHOLD-ONE", "warn", "One key alone can sign root.")
def threshold_one(c: Context) -> Iterator[Hit]:
    """PEP 458: root SHOULD take more than one. Online roles have one key as a rule."""
    for held in c.held:
        if held.threshold != 1 or held.path[0] != "roles" or held.role in ONLINE_ROLES:
            continue
        text = f"One key alone can sign {held.role}: whoever has it decides"
        yield Hit((*held.path, "threshold"), text, "warn" if held.role == "root" else "note")


@rule("THRESHOLD-UNREACHABLE", "stop", "A role needs more keys than it has.")
def threshold_unreachable(c: Context) -> Iterator[Hit]:
    """Distinct, readable keys count; a key under two ids is one key."""
    for held in c.held:
        keys = len(c.usable(held.keyids))
        if held.threshold > keys:
            text = f"{held.role} needs {_several(held.threshold, 'signature')}, but has {_several(keys, 'usable key')}"
            yield Hit((*held.path, "threshold"), text)


@rule("THRESHOLD-ALL", "warn", "Root needs every one of its keys: losing one ends it.")
def threshold_all(c: Context) -> Iterator[Hit]:
    """A root that can no longer be signed can only be replaced by hand at every client."""
    for held in c.held:
        if held.path == ("roles", "root") and held.threshold == len(c.usable(held.keyids)):
            which = "its only key" if held.threshold == 1 else f"every one of its {held.threshold} keys"
            text = f"root needs {which}: when one is lost, no new root can be signed"
            yield Hit((*held.path, "threshold"), text)


@rule("KEY-TWICE", "stop", "One public key is listed under several key ids.")
def key_twice(c: Context) -> Iterator[Hit]:
    """Some clients count such a key once for each id, so its holder alone could meet a threshold."""
    by_key: dict[str, list[str]] = {}
    for keyid, key in c.keys.items():
        if key.spki:
            by_key.setdefault(key.fingerprint, []).append(keyid)
    for keyids in by_key.values():
        if len(keyids) > 1:
            first, *others = sorted(keyids)
            also = ", ".join(map(c.first, others[:4]))
            yield Hit((*c.key_path, first), f"{c.label(first)} is listed {len(keyids)} times, also as {also}")


@rule("KEY-ONLINE-AND-OFFLINE", "warn", "A key of root or targets also serves an online role.")
def key_online_and_offline(c: Context) -> Iterator[Hit]:
    """Whoever breaks into the server then holds a key that was meant to be safe from that."""
    online = {i: h.role for h in c.held if h.role in ONLINE_ROLES and h.path[0] == "roles" for i in h.keyids}
    servers = {f: role for i, role in online.items() for f in c.usable((i,))}
    for held in c.held:
        if held.path not in (("roles", "root"), ("roles", "targets")):
            continue
        for keyid in held.keyids:
            role = next((servers[f] for f in c.usable((keyid,)) if f in servers), None)
            if role is not None:
                text = f"{c.label(keyid)} signs for {held.role}, and for {role}, whose keys are online"
                yield Hit((*held.path, "keyids", keyid), text)


@rule("KEYID-MISMATCH", "warn", "A key id is not the SHA-256 of its key.")
def keyid_mismatch(c: Context) -> Iterator[Hit]:
    """TUF 1.0.34, 4.2: the id is the digest of the whole canonical key object. Some tools leave fields out of it."""
    other: dict[str, list[str]] = {}
    for keyid, key in c.keys.items():
        form = _form(keyid, key)
        if form is None:
            text = f"{c.label(keyid)} has a key id that is not the SHA-256 of its key, in no form in use"
            yield Hit((*c.key_path, keyid), text)
        elif form:
            other.setdefault(form, []).append(keyid)
    for form, keyids in other.items():
        which = ", ".join(map(c.first, sorted(keyids)[:6])) + (" ..." if len(keyids) > 6 else "")
        verb = "covers" if len(keyids) == 1 else "cover"
        text = f"{_several(len(keyids), 'key id')} {verb} only {form} of the key, not all of it: {which}"
        yield Hit((*c.key_path, min(keyids)), text)


def _form(keyid: str, key: Key) -> str | None:
    """Which part of a key its id covers: "" for all of it (as specified), None for none."""
    whole = key.to_dict()
    if _sha256(whole) == keyid:
        return ""
    three: dict[str, object] = {f: whole[f] for f in ("keytype", "scheme", "keyval") if f in whole}
    for public, how in ((key.public, ""), (key.public.strip(), " (without its last line break)")):
        bare = three | {"keyval": {"public": public}}
        legacy = bare | {"keyid_hash_algorithms": ["sha256", "sha512"]}
        for value, form in ((three, "value"), (bare, "public value"), (legacy, "value and keyid_hash_algorithms")):
            if _sha256(value) == keyid:
                return f"type, scheme{', ' if value is legacy else ' and '}{form}{how}"
    without = {"keytype": key.keytype, "keyval": {"public": key.public}}
    if _sha256(without) == keyid:
        return "type and public value"
    read = load_der_public_key(key.spki) if key.spki and key.keytype.startswith("ecdsa") else None
    if isinstance(read, EllipticCurvePublicKey):  # a key object may say of any key that it is one
        point = read.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint).hex()
        # Types were called after schemes then; a document may have been mended since, and its key ids kept.
        for keytype in (key.keytype, key.scheme):
            raw = {"keytype": keytype, "scheme": key.scheme, "keyval": {"public": point}}
            if keyid in (_sha256(raw), _sha256(raw | {"keyid_hash_algorithms": ["sha256", "sha512"]})):
                return "the raw point (as go-tuf once wrote it)"
    return "a part" if keyid in key.computed_keyids() else None


def _sha256(value: Mapping[str, object]) -> str:
    return hashlib.sha256(canonical.encode(value)).hexdigest()


@rule("KEY-UNREADABLE", "stop", "A public key can't be read, so nothing that it signs can be verified.")
def key_unreadable(c: Context) -> Iterator[Hit]:
    """Neither PEM nor the hexadecimal form that its type has, or a key of another kind than its scheme."""
    for keyid, key in c.keys.items():
        if (key.keytype, key.scheme) in SCHEMES and not c.fits(key):
            what = f"is not a key for {key.scheme}" if key.spki else f"is not a readable {key.keytype} public key"
            yield Hit((*c.key_path, keyid), f"{c.label(keyid)} {what}")


@rule("ROOT-CHAIN-BROKEN", "stop", "Clients of the old root can't verify any root after it.")
def root_chain_broken(c: Context) -> Iterator[Hit]:
    """TUF 1.0.34, 5.3.4: the old threshold signs too. Keys that no client verifies with do not count towards it."""
    if c.role != "root" or c.old is None or (before := c.held_before.get(_ROOT)) is None:
        return
    listed = document.keys(c.old)
    keys = [k for i in before.keyids if (k := listed.get(i)) is not None and c.fits(k)]
    good = {k.fingerprint for k in keys if (k.keytype, k.scheme) in SCHEMES and not k.old_form}
    if len(good) < before.threshold:
        text = f"root version {c.old.version} needs {_several(before.threshold, 'signature')}, but clients can verify"
        yield Hit(("version", "chain"), f"{text} with only {_several(len(good), 'key')} of it: none follows this root")


@rule("SCHEME-UNKNOWN", "stop", "A key has a type or scheme that today's clients refuse.")
def scheme_unknown(c: Context) -> Iterator[Hit]:
    """python-tuf refuses the whole document."""
    for keyid, key in c.keys.items():
        if (key.keytype, key.scheme) not in SCHEMES:
            kind, scheme = (text[:40] or "(none)" for text in (key.keytype, key.scheme))
            text = f"{c.label(keyid)} has type {kind} and scheme {scheme}, which clients refuse"
            yield Hit((*c.key_path, keyid, "scheme"), text)


@rule("KEY-WEAK", "stop", "A public key is weak.")
def key_weak(c: Context) -> Iterator[Hit]:
    """RSA below 2048 bits (TUF 1.0.34, 4.2); below 3072 is a note. Ed25519 points that accept forgeries."""
    for keyid, key in c.keys.items():
        try:
            public = load_der_public_key(key.spki) if key.spki else None
        except (ValueError, UnsupportedAlgorithm):
            continue
        if isinstance(public, RSAPublicKey) and public.key_size < 3072:
            text = f"{c.label(keyid)} is RSA with {public.key_size} bits"
            short = public.key_size < 2048
            yield Hit(
                (*c.key_path, keyid), text + (", which can be broken" if short else ""), None if short else "note"
            )
        if isinstance(public, Ed25519PublicKey) and public.public_bytes_raw() in SMALL_ORDER:
            yield Hit((*c.key_path, keyid), f"{c.label(keyid)} is a point for which signatures can be made up")


@rule("KEY-PRIVATE", "stop", "A key object holds private key material.")
def key_private(c: Context) -> Iterator[Hit]:
    """Once published, such a key signs for anyone."""
    for keyid, key in c.keys.items():
        value = key.to_dict().get("keyval")
        inside = value if isinstance(value, dict) else {}
        if inside.get("private") or "PRIVATE KEY" in key.public:
            yield Hit(
                (*c.key_path, keyid, "keyval"), f"{c.label(keyid)} comes with its private key: do not publish this"
            )


@rule("KEY-UNUSED", "note", "A listed key serves no role.")
def key_unused(c: Context) -> Iterator[Hit]:
    """Harmless, and often a slip."""
    used = {keyid for held in c.held for keyid in held.keyids}
    for keyid in c.keys:
        if keyid not in used:
            yield Hit((*c.key_path, keyid), f"{c.label(keyid)} is listed, but serves no role")


@rule("ROLE-KEY-MISSING", "warn", "A role names a key id that the document does not list.")
def role_key_missing(c: Context) -> Iterator[Hit]:
    """Nobody can sign with it."""
    for held in c.held:
        for keyid in held.keyids:
            if keyid not in c.keys:
                text = f"{held.role} names key id {c.whole(keyid)}, but the document has no such key"
                yield Hit((*held.path, "keyids", keyid), text)


@rule("ROOT-KEYS-TURNOVER", "note", "Fewer of the old root keys remain than the old threshold.")
def root_keys_turnover(c: Context) -> Iterator[Hit]:
    """Legal, for the old threshold signs this version; it deserves a second look."""
    before, now = c.held_before.get(_ROOT), next((h for h in c.held if h.path == _ROOT), None)
    if c.old is None or before is None or now is None:
        return
    stay = _staying(c, before, now)
    if stay < before.threshold:
        verb = "remains" if stay == 1 else "remain"
        text = f"{_several(stay, 'root key')} of version {c.old.version} {verb}; its threshold is {before.threshold}"
        yield Hit((*_ROOT, "keyids"), text)


@rule("KEYS-RENAMED", "note", "A role has the same keys as before under other ids.", since=SECOND)
def keys_renamed(c: Context) -> Iterator[Hit]:
    """To who compares ids, everybody was replaced; by their bytes nobody was."""
    if c.old is None:
        return
    for held in c.held:
        before = c.held_before.get(held.path)
        if before is None or len(before.keyids) != len(held.keyids) or set(before.keyids) == set(held.keyids):
            continue
        was, now = (_bytes(document.keys(d, h.keyids)) for d, h in ((c.old, before), (c.new, held)))
        if was == now and len(now) == len(held.keyids):
            which = "the same key" if len(now) == 1 else f"the same {len(now)} keys"
            yield Hit((*held.path, "keyids"), f"{held.role} has {which} as before, renamed")


def _bytes(keys: Mapping[str, Key]) -> list[str]:
    return sorted(key.fingerprint for key in keys.values())


def _staying(c: Context, before: Held, now: Held) -> int:
    assert c.old is not None
    old = Context(c.role, c.old, None, None, (), (), c.now, c.known, as_of=c.as_of)
    return len(old.usable(before.keyids) & c.usable(now.keyids))


_ROOT = ("roles", "root")
