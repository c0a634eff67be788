"""The `[[tokens]]` and `[[keys]]` of a script: who holds which device, and which keys it has, gets or gives up."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from vestry.ceremony import script as s
from vestry.ceremony.steps import ROLES
from vestry.ceremony.table import Source, Table, named_input, quoted, tables, unique
from vestry.errors import InputRejected
from vestry.tokens import uri

SCHEMES = (
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ed25519",
    "rsassa-pss-sha256",
    "rsassa-pss-sha384",
    "rsassa-pss-sha512",
    "ml-dsa-44/1",
    "ml-dsa-65/1",
    "ml-dsa-87/1",
)
RSA_BITS = (2048, 3072, 4096)
ATTESTATION = ("wanted", "required", "files", "none")
_ASCII_NAME = re.compile(r"[ -~]+")
_MODULE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*|/[^\0]+")
_SHOWN = ("public_key", "sha256")
_KEYID = re.compile(r"[0-9a-f]{8,64}")


def _ascii(item: Table, name: str, value: str) -> str:
    if not _ASCII_NAME.fullmatch(value):
        item.bad(name, f"{name} {quoted(value)} has letters that a token can't keep", "write it in ASCII")
    return value


def read_tokens(source: Source, data: Mapping[str, Any], people: tuple[s.Person, ...]) -> tuple[s.TokenSpec, ...]:
    """The tokens of a script.

    Raises:
        InputRejected: as `reading.read` has it.
    """
    found = tables(source, data, "tokens")
    holders = [p.name for p in people]
    tokens = []
    for item in found:
        item.only(("name", "holder", "use", "module", "serial", "uri", "security_officer", "erase", "attestation"))
        name = _ascii(item, "name", item.text("name", "alice", longest=32))
        holder = item.named("holder", holders, "person", "[[people]]")
        use = cast("s.Use", item.choice("use", ("pkcs11", "software", "plugin")))
        officer = item.choice("security_officer", ("holder", "forgotten"), default="forgotten")
        serial = _ascii(item, "serial", item.text("serial", "12345678", longest=64)) if item.has("serial") else ""
        like = _uri(item, "pkcs11:serial=12345678;token=root") if item.has("uri") else uri.ANY
        if serial and like.serial not in ("", serial):
            item.bad("uri", f"uri has serial {quoted(like.serial)} and serial is {quoted(serial)}", "write one of them")
        erase = item.yes("erase") if item.has("erase") else True
        if not erase and not (serial or like.serial or like.token):
            item.bad("erase", "a token that is not erased is told by what it shows", "add its serial, or a uri")
        tokens.append(
            s.TokenSpec(
                name,
                holder,
                use,
                _module(item, use),
                serial or like.serial,
                "holder" if officer == "holder" else "forgotten",
                erase,
                cast("s.Attestation", item.choice("attestation", ATTESTATION, default="wanted")),
                like,
            )
        )
    unique(found, "name", [t.name for t in tokens])
    return tuple(tokens)


def _module(item: Table, use: str) -> str:
    if use == "software":
        if item.has("module"):
            item.bad("module", "a software token has no module", 'leave it out, or write use = "pkcs11"')
        return ""
    module = item.text("module", "softhsm2", longest=500)
    if not _MODULE.fullmatch(module):
        do = "write a name such as softhsm2, ykcs11 or opensc, or the whole path of the module"
        item.bad("module", f"module {quoted(module)} is neither a name nor a whole path", do)
    return module


def read_keys(
    source: Source,
    data: Mapping[str, Any],
    people: tuple[s.Person, ...],
    tokens: tuple[s.TokenSpec, ...],
    given: s.GivenSpec | None,
) -> tuple[s.KeySpec, ...]:
    """The keys of a script.

    Raises:
        InputRejected: as `reading.read` has it.
    """
    found = tables(source, data, "keys")
    if not found:
        source.bad((), "there are no [[keys]]", "add each key, with name, holder, token, roles and scheme")
    keys = []
    known = (given.role,) if given is not None else ROLES
    for item in found:
        item.only(("name", "holder", "token", "roles", "scheme", "bits", "keyid", "leaves", "uri", *_SHOWN))
        name = _ascii(item, "name", item.text("name", "alice-root", longest=64))
        holder = item.named("holder", [p.name for p in people], "person", "[[people]]")
        token = item.named("token", [t.name for t in tokens], "token", "[[tokens]]")
        roles = item.some_of("roles", known, "role that a key here may have", default=None)
        public = _public(item, name, given)
        read_kind: Callable[[Table], tuple[str, int, str]] = _kept if item.has("keyid") else _shown if public else _made
        scheme, bits, keyid = read_kind(item)
        leaves = item.yes("leaves")
        if leaves and not keyid:
            item.bad("leaves", "a new key can't leave", "leave this out, or write its keyid in the predecessor")
        like = _uri(item, "pkcs11:id=%02") if item.has("uri") else uri.ANY
        if like != uri.ANY and not keyid and not public and next(t for t in tokens if t.name == token).erase:
            item.bad(
                "uri", "a key that is there already can't be on a token that is erased", "write erase = false there"
            )
        keys.append(s.KeySpec(name, holder, token, roles, scheme, bits, keyid, leaves, like, public))
    unique(found, "name", [k.name for k in keys])
    return tuple(keys)


def _public(item: Table, name: str, given: s.GivenSpec | None) -> s.Input | None:
    if not item.has("public_key"):
        if item.has("sha256"):
            item.bad("sha256", "sha256 pins nothing", 'add public_key = "alice.pem", or leave it out')
        return None
    if given is None or not given.threshold:
        item.bad("public_key", "only the signers of a layout are named by a file", "write keyid or scheme")
    if item.has("keyid"):
        item.bad("public_key", "a key has a keyid or a public_key, not both", "write one of them")
    return named_input(item, f"key {name}", "public_key", "alice.pem")


def _shown(item: Table) -> tuple[str, int, str]:
    if item.has("bits"):
        item.bad("bits", "the public key has its own length", "leave it out")
    return item.choice("scheme", SCHEMES, default=""), 0, ""


def _kept(item: Table) -> tuple[str, int, str]:
    for name in ("scheme", "bits"):
        if item.has(name):
            item.bad(name, f"a key has {name} when it is new and keyid when it exists", "write one of them")
    keyid = item.text("keyid", "94c3d5e1")
    if not _KEYID.fullmatch(keyid):
        item.bad("keyid", f"keyid {quoted(keyid)} is not a key id", "write its first 8 to 64 digits, in lower case")
    return "", 0, keyid


def _made(item: Table) -> tuple[str, int, str]:
    scheme = item.choice("scheme", SCHEMES)
    if not scheme.startswith("rsa"):
        if item.has("bits"):
            item.bad("bits", f"bits is for RSA alone, and {scheme} has its own length", "leave it out")
        return scheme, 0, ""
    bits = item.number("bits", 0, 2**31, 3072, default=3072)
    if bits not in RSA_BITS:
        item.bad("bits", f"bits {bits} is not a length that is made here", "write 2048, 3072 or 4096")
    return scheme, bits, ""


def _uri(item: Table, example: str) -> uri.KeyUri:
    value = item.text("uri", example, longest=2000)
    try:
        return uri.parse(value)
    except InputRejected as error:
        item.bad("uri", error.what, f'write uri = "{example}" (RFC 7512)')
