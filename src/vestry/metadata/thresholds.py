"""Who must sign a document, and who has. Distinct keys are counted, by their bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from vestry.errors import NotTrusted
from vestry.metadata import document as documents
from vestry.metadata.document import Document, LargeDocument
from vestry.metadata.keys import Key
from vestry.text import printable

_TRIED = 10  # a key id has one signature; thousands of wrong ones must not cost hours (CVE-2020-6173)


@dataclass(frozen=True)
class Authority:
    """What one trusted document says about who signs `role`: `by` names the document ("root v4")."""

    by: str
    role: str
    threshold: int
    keys: tuple[Key, ...]


@dataclass(frozen=True)
class Tally:
    """Signatures under one authority, by key id. `valid` holds one id for each distinct key that signed these bytes."""

    by: str
    threshold: int
    valid: tuple[str, ...]
    invalid: tuple[str, ...]
    missing: tuple[str, ...]
    met: bool

    @property
    def sentence(self) -> str:
        """In words: "2 of 3 of root v4"."""
        return f"{len(self.valid)} of {self.threshold} of {self.by}"

    def to_dict(self) -> dict[str, Any]:
        """As an object for ``--json``."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def authorities(
    role: str, new: Document, *, trusted: Document | None = None, delegator: Document | None = None
) -> tuple[Authority, ...]:
    """Who must sign `new`.

    A root: the trusted root before it, if there is one, and the new root itself (TUF 1.0.34, section 5.3.4). Any other
    role: its delegator; where that does not name the role, nobody.
    """
    if role == "root":
        above = [trusted] if trusted is not None else []
        found = [named(doc, "root") for doc in (*above, new)]
    else:
        found = [named(delegator, role)] if delegator is not None else []
    return tuple(a for a in found if a is not None)


def named(above: Document, role: str) -> Authority | None:
    """What `above` says about who signs `role`; None where it does not name it."""
    entry = documents.role_entry(above, role)
    if entry is None:
        return None
    keys = documents.keys(above, entry["keyids"])
    who = tuple(keys[i] for i in dict.fromkeys(entry["keyids"]) if i in keys)
    return Authority(f"{above.type} v{above.version}", role, entry["threshold"], who)


def tally(new: Document, authority: Authority) -> Tally:
    """Verify each signature of `new` that `authority` names, and count distinct keys.

    A key under two ids counts once, and so does a signature that stands twice; ids that are not named count nowhere. An
    id is missing where its key has not signed under another one either.
    """
    given: dict[str, dict[str, None]] = {}
    for signature in (s for s in new.signatures if s.sig):  # tuf-on-ci keeps empty places for those who will sign
        given.setdefault(signature.keyid, {})[signature.sig] = None
    valid: dict[str, str] = {}
    invalid: list[str] = []
    absent: list[Key] = []
    for key in authority.keys:
        signatures = given.get(key.keyid)
        if not signatures:
            absent.append(key)
        elif any(holds(new, key, sig) for sig in islice(signatures, _TRIED)):
            valid.setdefault(key.fingerprint, key.keyid)
        else:
            invalid.append(key.keyid)
    return Tally(
        authority.by,
        authority.threshold,
        tuple(valid.values()),
        tuple(invalid),
        tuple(key.keyid for key in absent if key.fingerprint not in valid),
        len(valid) >= authority.threshold,
    )


def verify_signature(who: Iterable[Authority], keyid: str, signature: bytes, signed_bytes: bytes) -> Key:
    """The key under which `signature` holds.

    Raises:
        NotTrusted: no authority names `keyid`, or the signature does not hold under what it names.
    """
    keys = [key for authority in who for key in authority.keys if key.keyid == keyid]
    if not keys:
        raise NotTrusted(f"no document names key {printable(keyid[:8])} for this role", code="E-SIGNATURE-KEY")
    # Old and new root may give one id to two keys; only a signature that holds under each of them counts anywhere.
    if not all(key.verify(signature, signed_bytes) for key in keys):
        raise NotTrusted(
            f"the signature of key {printable(keyid[:8])} does not hold over these bytes", code="E-SIGNATURE-WRONG"
        )
    return keys[0]


def holds(signed: Document, key: Key, sig: str) -> bool:
    """Whether a signature, as a document has it, holds over a document, under one key."""
    # To hash half a million delegations takes a second, and a signature is met at every door it goes through.
    told = signed.verdicts if isinstance(signed, LargeDocument) else {}
    if (key, sig) not in told:
        try:
            told[key, sig] = key.verify(key.signature(sig), signed.message)
        except ValueError:
            told[key, sig] = False
    return told[key, sig]
