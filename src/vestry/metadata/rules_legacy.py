"""Rules about old formats: what of a document the clients of today can't read."""

from __future__ import annotations

from collections.abc import Iterator

from vestry.metadata import legacy
from vestry.metadata.keys import Key
from vestry.metadata.rulebook import Context, Hit, rule


@rule("KEY-LEGACY", "stop", "A key is written as a raw point, which most clients of today can't read.")
def key_legacy(c: Context) -> Iterator[Hit]:
    """go-tuf before version 1 wrote ECDSA keys so; Sigstore's roots 1 to 4 have them. PEM is what all clients read."""
    for keyid, key in c.keys.items():
        if form := point_form(key):
            text = f"{c.label(keyid)} is {form}; python-tuf and go-tuf v2 can't verify with it, tuf-js can for P-256"
            yield Hit((*c.key_path, keyid), text)


@rule("EXPIRY-FORM", "stop", "The expiry is written in a form that some clients refuse.")
def expiry_form(c: Context) -> Iterator[Hit]:
    """TUF 1.0.34, 4.2.1, and in-toto have whole seconds and Z. python-tuf and in-toto-python refuse all else."""
    value = c.signed.get("expires")
    if isinstance(value, str) and not legacy.EXACT.fullmatch(value):
        parts = ["a fraction of a second"] * ("." in value) + ["an offset from UTC"] * (not value.endswith("Z"))
        clients = "in-toto-python refuses" if c.new.type == "layout" else "python-tuf refuses"
        text = f"The expiry {value[:40]} has {' and '.join(parts)}: {clients} the document"
        yield Hit(("expires",), f"{text}; in UTC it is {c.new.expires:%Y-%m-%d %H:%M:%S}")


def point_form(key: Key) -> str:
    """How a raw point is written; empty where the key is none."""
    if key.spki and "-----BEGIN" not in key.public and key.keytype != "ed25519":
        return "a raw point in hex" if key.public[:2] == "04" else "a compressed point in hex"
    return ""
