"""A second opinion on signed documents, from libraries that clients use: python-tuf's model, or securesystemslib."""

from __future__ import annotations

import json
from typing import Any

import securesystemslib
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import Error
from securesystemslib.signer import Key as SSlibKey
from securesystemslib.signer import Signature
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata

from vestry.ceremony.proof import CLIENT
from vestry.ceremony.state import State
from vestry.errors import Refused
from vestry.metadata import layout
from vestry.metadata.document import Document
from vestry.text import printable

_LIBRARY = f"securesystemslib {securesystemslib.__version__}"


def ask(state: State, role: str) -> str:
    """Have the signed document of `role` verified; gives the library's name and version.

    Raises:
        Refused: it does not accept it; code E-VERIFY.
    """
    signed = state.signed(role)
    who = _LIBRARY if signed.type == layout.TYPE else CLIENT
    try:
        if signed.type == layout.TYPE:
            _layout(state, role, signed)
        else:
            _tuf(state, role, signed)
    except (RepositoryError, Error, ValueError, KeyError) as error:
        what = f"{who} does not accept the signed {printable(role, 60)}: {printable(str(error), 200)}"
        raise Refused(what, code="E-VERIFY") from error
    return who


def _tuf(state: State, role: str, signed: Document) -> None:
    read: Metadata[Any] = Metadata.from_bytes(signed.raw)
    above = [state.predecessor, signed] if role == "root" else [state.above(role)]
    for document in (d for d in above if d is not None):
        delegating: Metadata[Any] = Metadata.from_bytes(document.raw)
        delegating.signed.verify_delegate(role, read.signed_bytes, read.signatures)


def _layout(state: State, role: str, signed: Document) -> None:
    (authority,) = state.authorities(role)
    keys = [SSlibKey.from_dict(k.keyid, k.to_dict()) for k in authority.keys]
    top = json.loads(signed.raw)
    if "payload" in top:
        Envelope.from_dict(top).verify(keys, authority.threshold)
        return
    by_id = {s["keyid"]: Signature.from_dict(s) for s in top["signatures"]}
    for key in keys:
        if key.keyid in by_id:
            key.verify_signature(by_id[key.keyid], signed.signed_bytes)
    if sum(key.keyid in by_id for key in keys) < authority.threshold:
        raise ValueError(f"fewer than {authority.threshold} of its signers signed it")
