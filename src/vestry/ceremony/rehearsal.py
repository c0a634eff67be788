"""A practice ceremony: its script, its blank software tokens, its online key. Nothing to plug in."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar, cast

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from vestry.ceremony import reading
from vestry.ceremony.dialogue import (
    Ask,
    Choose,
    Confirm,
    NewSecret,
    Question,
    ReadReview,
    Secret,
    TypeBack,
)
from vestry.ceremony.script import Script
from vestry.ceremony.state import State
from vestry.errors import InputRejected, Refused, Stopped, VestryError
from vestry.media import drives
from vestry.text import words
from vestry.tokens.software import SoftwareSource
from vestry.tokens.token import Pin

T = TypeVar("T")

HOLDERS = ("Alice", "Bob", "Carol", "Dave", "Erin", "Frank", "Grace", "Heidi", "Ivan", "Judy", "Kim", "Liam")
SCRIPT = "rehearsal.toml"
ONLINE_PUBLIC, ONLINE_PRIVATE = "online.pub.pem", "online.private.pem"


def prepare(folder: Path, *, holders: int, threshold: int) -> tuple[Script, dict[str, bytes]]:
    """Make the script, tokens and online key of a rehearsal in `folder`, or find them there again.

    Returns:
        The script and its inputs, as `reading.load` gives them.

    Raises:
        InputRejected: fewer than two holders, more than there are names, or a threshold that can't be reached.
        Refused: `folder` holds something else.
    """
    if not 2 <= holders <= len(HOLDERS):
        raise InputRejected(f"{holders} holders", where="--holders", do=f"take 2 to {len(HOLDERS)}")
    if not 2 <= threshold <= holders:
        raise InputRejected(f"a threshold of {threshold} of {holders}", where="--threshold", do=f"take 2 to {holders}")
    path = folder / SCRIPT
    if not path.exists():
        if folder.exists() and not (folder.is_dir() and _begun(folder)):
            raise Refused("this folder holds something else", where=str(folder), do="give --into another folder")
        _lay_out(folder, holders, threshold)
    return reading.load(path)


def _begun(folder: Path) -> bool:
    """Whether nothing lies there, or only what a cut left of laying out a rehearsal: no token of it holds anything."""
    ours = {"tokens", *(f"{part}{n}" for n in (ONLINE_PRIVATE, ONLINE_PUBLIC, SCRIPT) for part in ("", "~"))}
    found = {path.name.removesuffix(".part") for path in folder.iterdir()}
    return found <= ours and not any(t.info.initialised for t in SoftwareSource(folder / "tokens").tokens())


def _lay_out(folder: Path, holders: int, threshold: int) -> None:
    drives.make_folder(folder)
    private = ed25519.Ed25519PrivateKey.generate()
    # The practice repository needs its online key to publish; it is worthless, and its file name says what it is.
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    drives.write_file(folder / ONLINE_PRIVATE, pem)
    drives.write_file(folder / ONLINE_PUBLIC, public)
    tokens = SoftwareSource(folder / "tokens")
    serials = [token.info.serial for token in tokens.tokens()][:holders]
    while len(serials) < holders:
        serials.append(f"{secrets.randbelow(10**10):010d}")
        tokens.create(serials[-1])
    tokens.close()
    # Last: where the script is, everything it names is.
    text = script_text(dict(zip(HOLDERS, serials, strict=False)), threshold, hashlib.sha256(public).hexdigest())
    drives.write_file(folder / SCRIPT, text.encode())


def script_text(serials: Mapping[str, str], threshold: int, online_sha256: str) -> str:
    """The script of a rehearsal, in TOML: what a real one says, on software tokens."""
    names = list(serials)
    people = "".join(f'[[people]]\nname = "{n}"\noffice = "holder"\n\n' for n in names)
    tokens = "".join(
        f'[[tokens]]\nname = "{n.lower()}"\nholder = "{n}"\nuse = "software"\nserial = "{serials[n]}"\n\n'
        for n in names
    )
    keys = "".join(_key(n, "root") for n in names) + "".join(
        _key(n, role) for role in ("targets", "bins") for n in names[:2]
    )
    sealers = ", ".join(f'"{n}"' for n in names[:threshold])
    return f"""# A practice ceremony. Everything in it is worthless, and every document it makes says so.

[ceremony]
title = "Practice root key ceremony"
kind = "root"
repository = "practice.example"
rehearsal = true

[[people]]
name = "Olivia"
office = "administrator"

[[people]]
name = "Walter"
office = "witness"

{people}[root]
threshold = {threshold}
expires = "365d"

[targets]
threshold = 2
expires = "365d"

[bins]
threshold = 2
expires = "365d"
number = 16384
style = "succinct"

[online]
public_key = "{ONLINE_PUBLIC}"
sha256 = "{online_sha256}"

{tokens}{keys}[[steps]]
do = "gather"
title = "Gather"

[[steps]]
do = "preflight"
title = "Preflight"

[[steps]]
do = "provision"
title = "Make the keys"

[[steps]]
do = "draft"
title = "Draft"

[[steps]]
do = "review"
title = "Review"

[[steps]]
do = "sign"
title = "Sign"

[[steps]]
do = "verify"
title = "Verify"

[[steps]]
do = "destroy"
title = "Destroy keys"
roles = ["targets", "bins"]

[[steps]]
do = "export"
title = "Export"
what = "online"
to = "export"

[[steps]]
do = "seal"
title = "Seal"
by = [{sealers}]
"""


def _key(holder: str, role: str) -> str:
    return (
        f'[[keys]]\nname = "{holder.lower()}-{role}"\nholder = "{holder}"\ntoken = "{holder.lower()}"\n'
        f'roles = ["{role}"]\nscheme = "ecdsa-sha2-nistp256"\n\n'
    )


class Unattended:
    """A `Front` that answers every question of a rehearsal by itself, as careful people would."""

    def ask(self, question: Question[T]) -> T:
        """Answer: yes, the first option, words read off the digest, the serial read off the token."""
        return cast("T", self._answer(question))

    def tell(self, line: str, *, good: bool | None = None) -> None:
        """Nobody is there to be told."""

    def show(self, state: State) -> None:
        """Nobody looks."""
        if not state.script.rehearsal:
            raise Refused("a real ceremony is never answered by itself")

    def trouble(self, error: VestryError, meaning: str) -> None:
        """Trouble ends it: there is nobody to look at the device."""
        raise Stopped(f"stopped: {error}; {meaning}")

    def waiting(self, what: str, cancel: Callable[[], None] | None = None, *, idle: bool = False) -> None:
        """Nobody waits."""

    def _answer(self, question: Question[T]) -> object:
        if isinstance(question, Confirm):
            return True
        if isinstance(question, Choose):
            return question.options[0][0]
        if isinstance(question, (Secret, NewSecret)):
            return Pin(f"practice-{question.person.lower()}")
        if isinstance(question, TypeBack):
            if question.positions:
                spoken = words(question.digest)
                return " ".join(spoken[p - 1] for p in question.positions)
            return question.details[0].split()[-1][-4:]
        if isinstance(question, Ask):
            return question.default or "practice"
        if isinstance(question, ReadReview):
            assert question.review is not None
            return {f"{f.code} {f.where}": "expected in a practice" for f in question.review.to_answer}
        raise TypeError(f"no answer to {type(question).__name__}")
