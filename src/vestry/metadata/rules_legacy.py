"""Rules about old formats: what of a document the clients of today can't read."""

from __future__ import annotations

from collections.abc import Iterator

from vestry.metadata import legacy
from vestry.metadata.rulebook import Context, Hit, rule
from vestry.release import SECOND


@rule("KEY-LEGACY", "stop", "A key is written in a form that clients of today can't read.")
def key_legacy(c: Context) -> Iterator[Hit]:
    """go-tuf before version 1 wrote ECDSA keys as raw points; Sigstore's roots 1 to 4 have them. Notary wrote DER and
    certificates in base64. PEM is what all clients read."""
    for keyid, key in c.keys.items():
        if form := key.old_form:
            who = "python-tuf and go-tuf v2 can't verify with it, tuf-js can for P-256"
            text = f"{c.label(keyid)} is {form}; {who if 'point' in form else 'no client of today can verify with it'}"
            yield Hit((*c.key_path, keyid), text)


@rule("EXPIRY-FORM", "stop", "The expiry is written in a form that some clients refuse.")
def expiry_form(c: Context) -> Iterator[Hit]:
    """TUF 1.0.34, 4.2.1, and in-toto have whole seconds and Z. python-tuf and in-toto-python refuse all else."""
    value = c.signed.get("expires")
    if isinstance(value, str) and not legacy.EXACT.fullmatch(value):
        parts = legacy.oddities(value)
        has = f"has {' and '.join(parts)}" if parts else "is not written as TUF has it"
        clients = "in-toto-python" if c.new.type == "layout" else "python-tuf"
        text = f"The expiry {value[:40]} {has}: {clients} refuses the document"
        yield Hit(("expires",), f"{text}; in UTC it is {c.new.expires:%Y-%m-%d %H:%M:%S}")


@rule("TYPE-FORM", "stop", "The type of the document is written as before TUF 1.0.", since=SECOND)
def type_form(c: Context) -> Iterator[Hit]:
    """With a capital. Clients of today know no such type."""
    if c.signed["_type"] != c.new.type:
        yield Hit(("_type",), f"The type is written {c.signed['_type']}, as before TUF 1.0: clients of today refuse it")
