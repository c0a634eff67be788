"""One signature's file in a bundle: its name, its content, and how it is read. Nothing here judges it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from vestry.errors import InputRejected
from vestry.metadata import intake
from vestry.metadata.document import Signature
from vestry.text import printable

# Post-quantum signatures reach 50 kB, which is twice that in hex.
LIMIT = 256 << 10

_HEX = re.compile(r"(?:[0-9a-f]{2})+")


def name(keyid: str) -> str:
    """Where it lies in a bundle."""
    return f"signatures/{keyid}.json"


def encode(signature: Signature) -> bytes:
    """The file."""
    return (json.dumps({"keyid": signature.keyid, "sig": signature.sig}, indent=1) + "\n").encode()


def read(path: Path) -> Signature:
    """The signature in a file.

    Raises:
        InputRejected: it is malformed, or named after another key.
        MediumTrouble: it can't be read.
    """
    return parse(intake.read_file(path, limit=LIMIT), path.stem, where=printable(str(path), 200))


def parse(raw: bytes, named: str, *, where: str) -> Signature:
    """The signature in the content of a file that is `named` after a key id.

    Raises:
        InputRejected: it is malformed, or of another key.
    """

    def must(holds: bool, what: str) -> None:
        if not holds:
            raise InputRejected(what, where=where, do="copy the bundle again", code="E-BUNDLE")

    value = intake.parse(raw, where=where)
    is_one = isinstance(value, dict) and sorted(value) == ["keyid", "sig"]
    must(is_one, "a signature file holds keyid and sig, and nothing else")
    keyid, sig = value["keyid"], value["sig"]
    must(keyid == named, "the file is named after another key than it holds")
    must(isinstance(sig, str) and _HEX.fullmatch(sig) is not None, "sig is not lower-case hex")
    return Signature(keyid, sig)
