"""The forms of plain entries, of which large documents hold very many: letter by letter, as canonical JSON has them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

_HEX = r"[0-9a-f]{64}"
# Names of devices and top-level roles have findings of their own, so they are not plain.
_ODD_NAME = r"(?i:con|prn|aux|nul|com[0-9]|lpt[0-9]|root|targets|snapshot|timestamp)[\".]"
_ROLE_NAME = rf"(?!{_ODD_NAME})(?=[^\"]{{1,100}}\")[A-Za-z0-9][A-Za-z0-9_-]*+(?:\.[A-Za-z0-9_-]++)*+"
MOST_SLASHES = 8
"""In the path of a plain file."""
_SEGMENT = r"[A-Za-z0-9_+@~-][A-Za-z0-9._+@~-]{0,199}+"
_BLAKE, _SHA256, _SHA512 = (
    rf"\"{name}\"W:W\"[0-9a-f]{{{length}}}\"" for name, length in (("blake2b-256", 64), ("sha256", 64), ("sha512", 128))
)
_HASHES = rf"(?:{_BLAKE}(?:W,W{_SHA256})?+(?:W,W{_SHA512})?+|{_SHA256}(?:W,W{_SHA512})?+|{_SHA512})"
_LENGTH = r"\"length\"W:W(?:0|[1-9][0-9]{0,17}+)W\}"


@dataclass(frozen=True)
class Form:
    """One kind of plain entry.

    `place` is its container; `entry` the expression of one, with ``W`` where white space may stand; `before` and
    `after` are what an entry begins and ends with. Between two of them stands `joint`, so that a canonical run is cut
    by it into the tokens that tell entries apart (of files, after a digit alone). `name` finds an entry's name in its
    token. `length` is that of a canonical entry, in bytes, where all have one.
    """

    place: tuple[str, ...]
    entry: str
    before: bytes
    joint: bytes
    after: bytes
    name: Callable[[bytes], bytes]
    length: int = 0

    def edge(self, raw: bytes, start: int, end: int) -> int:
        """Where the last entry begins that begins after `start`, of those that follow each other there; -1 if none."""
        back = raw.rfind(self.joint, start, end)
        while back >= 0 and self.place == ("targets",) and not raw[back - 1 : back].isdigit():
            back = raw.rfind(self.joint, start, back + len(self.joint) - 1)  # that was the end of its hashes
        return back + len(self.joint) - len(self.before) if back >= 0 else -1

    @property
    def is_list(self) -> bool:
        """Whether the container is a list of objects with names, and not an object of members."""
        return self.place[-1] == "roles"


KEYS = Form(
    ("delegations", "keys"),
    rf"\"{_HEX}\"W:W\{{W\"keytype\"W:W\"ed25519\"W,W\"keyval\"W:W\{{W\"public\"W:W\"{_HEX}\"W\}}W,W\"scheme\"W:W\"ed25519\"W\}}",
    b'"',
    b'"ed25519"},"',
    b'"ed25519"}',
    lambda token: token[:64],
    len('"":{"keytype":"ed25519","keyval":{"public":""},"scheme":"ed25519"}') + 2 * 64,
)
# One to three keys that differ, and a threshold that they reach. Groups are numbered by ``#``, since an expression of
# many entries holds that of one twice.
_ONE = rf"W\"{_HEX}\"W"
_TWO = rf"W\"(?P<a#>{_HEX})\"W,W\"(?!(?P=a#)){_HEX}\"W"
_THREE = rf"W\"(?P<b#>{_HEX})\"W,W\"(?!(?P=b#))(?P<c#>{_HEX})\"W,W\"(?!(?P=b#)|(?P=c#)){_HEX}\"W"
_PATH = rf"W\"(?:{_SEGMENT}/){{1,8}}+\*\"W"
_BETWEEN = (
    rf"\]W,W\"name\"W:W\"{_ROLE_NAME}\"W,W\"paths\"W:W\[{_PATH}(?:,{_PATH}){{0,7}}+\]W,W"
    r"\"terminating\"W:W(?:true|false)W,W\"threshold\"W:W"
)
_HELD = "|".join(f"{keys}{_BETWEEN}{least}" for keys, least in ((_ONE, "1"), (_TWO, "[12]"), (_THREE, "[123]")))
ROLES = Form(
    ("delegations", "roles"),
    rf"\{{W\"keyids\"W:W\[(?:{_HELD})W\}}",
    b"{",
    b"},{",
    b"}",
    lambda token: token[(start := token.index(b'"name":"', 75) + 8) : token.index(b'"', start)],
)
TARGETS = Form(
    ("targets",),
    rf"\"(?:{_SEGMENT}/){{0,{MOST_SLASHES}}}+{_SEGMENT}\"W:W\{{W\"hashes\"W:W\{{W{_HASHES}W\}}W,W{_LENGTH}",
    b'"',
    b'},"',
    b"}",
    lambda token: token[: token.index(b'"')],
)
FORMS = (ROLES, KEYS, TARGETS)  # the first is found fastest


@cache  # when it is needed: most documents are small
def run_pattern(form: Form, *, spaced: bool) -> re.Pattern[bytes]:
    """The expression of entries one after the other; `spaced`, with white space where that may stand."""
    white = r"[ \t\r\n]*+" if spaced else ""
    entry = form.entry.replace("W", white)
    return re.compile(f"{entry.replace('#', '1')}(?:{white},{white}{entry.replace('#', '2')})*+".encode())


@cache
def entry_pattern(form: Form) -> re.Pattern[bytes]:
    """The expression of one entry in a file without white space."""
    return re.compile(form.entry.replace("W", "").replace("#", "").encode())


@cache
def file_shape() -> re.Pattern[bytes]:
    """The expression of a plain file, with its path as a group, and of the comma before the next one: any letters are
    let through in path and digests, where expressions are slow to tell them apart.
    """
    digests = _HASHES.replace("[0-9a-f]", '[^"]')
    entry = rf'"([^"]{{1,200}}+)":\{{"hashes":\{{{digests}\}},{_LENGTH}(?:,(?=")|(?!"))'
    return re.compile(entry.replace("W", "").encode())
