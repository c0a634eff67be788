"""How long the documents of a script will be, before there are keys: drafts with stand-ins of the same kinds.

A token that signs whole messages (Ed25519) may be unable to take a document; that must be known before its key is made.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from dataclasses import replace

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from vestry.ceremony.drafts import draft, known_documents, made_key
from vestry.ceremony.script import KeySpec, Script
from vestry.ceremony.state import KeyFacts, State
from vestry.metadata.keys import Key
from vestry.tokens import private_keys
from vestry.tokens.token import KeyKind

_EXPONENT = 65537


def lengths(script: Script, inputs: Mapping[str, bytes], *, day: str) -> dict[str, int]:
    """The length in bytes of what will be signed, by role.

    Args:
        script: The script.
        inputs: Its inputs by name.
        day: The day to count from where the script has none, ``YYYY-MM-DD``.

    Raises:
        VestryError: the script or an input does not make documents.
    """
    state = opened(script, inputs, day=day)
    return of_state(state, script.drafted)


def opened(script: Script, inputs: Mapping[str, bytes], *, day: str) -> State:
    """What a ceremony would begin with, if it were opened on `day`.

    Raises:
        VestryError: an input is not what the script wants.
    """
    texts = {item.name: inputs[item.name].decode() for item in script.inputs}
    return State(script, f"{day}T00:00:00Z", "", "", texts, known_documents(inputs))


def of_state(state: State, roles: Collection[str]) -> dict[str, int]:
    """The same for some roles of a ceremony under way; keys that are there already count as they are.

    Raises:
        VestryError: the script does not make documents.
    """
    return {role: len(drafted.signed_bytes) for role, drafted in with_drafts(state, roles).documents.items()}


def with_drafts(state: State, roles: Collection[str]) -> State:
    """`state` as it would be once every key is made and these roles drafted; keys to come have stand-ins.

    Raises:
        VestryError: the script does not make documents.
    """
    missing = {
        spec.name: _stand_in(state.script, spec)
        for spec in state.script.keys
        if spec.new and spec.name not in state.keys
    }
    state = replace(state, keys={**state.keys, **missing})
    return replace(state, documents={role: draft(state, role) for role in state.script.drafted if role in roles})


def _stand_in(script: Script, spec: KeySpec) -> KeyFacts:
    key = made_key(script, spec, Key.from_spki(_public(spec), spec.scheme))
    return KeyFacts(key.keyid, key.pem, "", spec.scheme)


def _public(spec: KeySpec) -> bytes:
    if spec.bits:
        # A number as long as a modulus does: nobody will use this key, and primes take seconds.
        modulus = secrets.randbits(spec.bits) | (1 << (spec.bits - 1)) | 1
        public = rsa.RSAPublicNumbers(_EXPONENT, modulus).public_key()
        return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private_keys.spki(private_keys.generate(KeyKind(spec.scheme)))
