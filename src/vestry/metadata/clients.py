"""What the clients of today read and verify: python-tuf, where they differ, which is the strictest about form."""

from __future__ import annotations

import re

from vestry.metadata import legacy
from vestry.metadata.document import ROLES, Document, keys
from vestry.metadata.keys import Key

SCHEMES = frozenset(
    [("ed25519", "ed25519")]
    + [("ecdsa", f"ecdsa-sha2-nistp{n}") for n in (256, 384, 521)]
    + [(f"ecdsa-sha2-nistp{n}", f"ecdsa-sha2-nistp{n}") for n in (256, 384, 521)]
    + [("rsa", f"{padding}-sha{n}") for padding in ("rsassa-pss", "rsa-pkcs1v15") for n in (256, 384, 512)]
    + [("ml-dsa", f"ml-dsa-{n}/1") for n in (44, 65, 87)]
)
"""Key types and schemes that python-tuf's clients verify; a document with any other is refused by them as a whole."""

_SPEC = re.compile(r"1\.[0-9]+(\.[0-9]+)?", re.ASCII)


def verifies(key: Key) -> bool:
    """Whether clients can verify with it."""
    return (key.keytype, key.scheme) in SCHEMES and key.usable and not key.old_form


def refusal(root: Document) -> str:
    """Why python-tuf can't read a root at all; empty where it can."""
    signed = root.signed
    if (kind := signed["_type"]) != "root":
        return f"its type is {kind[:40]}"
    if not (isinstance(spec := signed.get("spec_version"), str) and _SPEC.fullmatch(spec)):
        return "its spec_version is none that is understood"
    if not legacy.EXACT.fullmatch(signed["expires"]):
        return f"its expiry is written {signed['expires'][:40]}"
    odd = [k for k in keys(root).values() if (k.keytype, k.scheme) not in SCHEMES]
    if odd:
        return f"it has a key of type {odd[0].keytype[:40] or '(none)'} and scheme {odd[0].scheme[:40] or '(none)'}"
    if missing := [role for role in ROLES if role not in signed["roles"]]:
        return f"it does not name the role {missing[0]}"
    if others := sorted(signed["roles"].keys() - set(ROLES)):
        return f"it names the role {others[0][:40]}"
    if len({s.keyid for s in root.signatures}) < len(root.signatures):
        return "a key id has several signatures"
    return ""
