"""The gate's rules about tokens and their keys: erasing, taking over, generating, destroying."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from vestry.ceremony import agenda, attesting, drafts
from vestry.ceremony import events as e
from vestry.ceremony import script as s
from vestry.ceremony.gate import confirmed_token, key_spec, serial_digits, step_now, token_spec
from vestry.ceremony.script import TokenSpec
from vestry.ceremony.signing import possession_message
from vestry.ceremony.state import State
from vestry.errors import Refused
from vestry.metadata.keys import Key
from vestry.text import printable
from vestry.tokens.uri import KeyUri, fits, parse

UNKNOWN = "unknown:"
"""What `left` of `KeyDestroyed` has before the label of a key that is none of this ceremony."""


def _initialise(state: State, event: e.InitialiseIntended, _: str) -> None:
    step = step_now(state, s.ProvisionStep)
    spec = token_spec(state, event.token)
    if event.token not in agenda.unprovisioned(state, step):
        raise Refused(f"token '{event.token}' is not to be initialised at this step")
    if not spec.erase:
        raise Refused(f"the script does not let token '{event.token}' be erased")
    if spec.serial and event.serial != spec.serial:
        raise Refused(f"the script wants serial {spec.serial} for '{event.token}', this is {printable(event.serial)}")
    taken = {f.serial: name for name, f in state.tokens.items() if name != event.token}
    _not_aside(state, event.serial)
    if event.serial and event.serial in taken:
        raise Refused(f"serial {printable(event.serial)} is the token '{taken[event.serial]}'")


def _initialised(state: State, event: e.TokenInitialised, _: str) -> None:
    assert state.unanswered is not None
    intended = state.unanswered.event
    if not isinstance(intended, e.InitialiseIntended) or intended.token != event.token:
        raise Refused("another token was to be initialised")
    if any(f.serial == event.serial for name, f in state.tokens.items() if name != event.token):
        raise Refused(f"serial {printable(event.serial)} belongs to another token of this ceremony")
    _not_aside(state, event.serial)
    spec = token_spec(state, event.token)
    _is_meant(spec, event, replace(spec.like, token=""))  # its label is the script's name for it now
    if event.left:
        raise Refused(
            f"token '{event.token}' still holds {printable(event.left[0])} after it was erased",
            do="take another token; this one's reset is not proved",
            code="E-RESET-UNPROVED",
        )


def _adopted(state: State, event: e.TokenAdopted, _: str) -> None:
    step = step_now(state, s.ProvisionStep)
    spec = token_spec(state, event.token)
    if spec.erase or event.token not in agenda.unprovisioned(state, step):
        raise Refused(f"token '{event.token}' is not to be taken as it is at this step")
    _is_meant(spec, event, spec.like)
    taken = {f.serial: name for name, f in state.tokens.items() if name != event.token}
    _not_aside(state, event.serial)
    if event.serial in taken:
        raise Refused(f"serial {printable(event.serial)} is the token '{taken[event.serial]}'")


def _is_meant(spec: TokenSpec, event: e.TokenInitialised | e.TokenAdopted, like: KeyUri) -> None:
    shown = KeyUri(event.serial, event.label, manufacturer=event.manufacturer, model=event.model)
    if spec.serial not in ("", event.serial) or not fits(replace(like, id=b"", object=""), shown):
        raise Refused(f"serial {printable(event.serial)} is not the token that the script means by '{event.token}'")


def _not_aside(state: State, serial: str) -> None:
    if serial and serial in state.aside:
        raise Refused(f"the device with serial {printable(serial)} was set aside", do="take another device")


def _token_confirmed(state: State, event: e.TokenConfirmed, _: str) -> None:
    step_now(state, s.ProvisionStep, s.SignStep, s.DestroyStep, s.SealStep)
    facts, spec = state.tokens.get(event.token), token_spec(state, event.token)
    meant = facts.serial if facts is not None else spec.serial
    if meant not in ("", event.serial):
        raise Refused(f"token '{event.token}' has serial {printable(meant)}")
    if any(f.serial == event.serial for name, f in state.tokens.items() if name != event.token):
        raise Refused(f"serial {printable(event.serial)} belongs to another token of this ceremony")
    if event.digits != serial_digits(event.serial):
        raise Refused(
            f"'{printable(event.digits)}' is not the end of serial {printable(event.serial)}",
            do="is it the right token? read its label again",
        )


def _generate(state: State, event: e.GenerateIntended, _: str) -> None:
    step = step_now(state, s.ProvisionStep)
    spec = key_spec(state, event.key)
    if event.token not in step.tokens or spec.token != event.token or not spec.new or spec.taken:
        raise Refused(f"key '{event.key}' is not made on token '{event.token}' at this step")
    if event.key in state.keys:
        raise Refused(f"key '{event.key}' was made already; it is never made twice")
    confirmed_token(state, event.token, event.serial)
    if (event.scheme, event.bits) != (spec.scheme, spec.bits):
        raise Refused(f"the script wants {spec.scheme} for key '{event.key}'")


def _generated(state: State, event: e.KeyGenerated, at: str) -> None:
    assert state.unanswered is not None
    intended = state.unanswered.event
    if not isinstance(intended, e.GenerateIntended) or intended.key != event.key:
        raise Refused("another key was to be made")
    if intended.bits and Key.from_pem(event.public, intended.scheme).bits != intended.bits:
        raise Refused(f"key '{event.key}' has not the {intended.bits} bits that the script wants")
    _new_key(state, event, intended.scheme, at)


def _taken(state: State, event: e.KeyTaken, at: str) -> None:
    step = step_now(state, s.ProvisionStep)
    spec = key_spec(state, event.key)
    if event.token not in step.tokens or spec.token != event.token or not spec.taken or event.key in state.keys:
        raise Refused(f"key '{event.key}' is not taken from token '{event.token}' at this step")
    confirmed_token(state, event.token, event.serial)
    if not fits(replace(spec.like, type=""), parse(event.uri)):
        raise Refused(f"this is not the key that the script means by '{event.key}'")
    _new_key(state, event, spec.scheme, at)


def _new_key(state: State, event: e.KeyGenerated | e.KeyTaken, scheme: str, at: str) -> None:
    bare = Key.from_pem(event.public, scheme, where=f"key '{event.key}'")
    if bare.pem != event.public:
        raise Refused(f"the public half of '{event.key}' is not written as a key alone is")
    key = drafts.made_key(state.script, state.script.key(event.key), bare)
    if key.keyid != event.keyid:
        raise Refused(f"the key id of '{event.key}' is not the hash of the key")
    twin = next((n for n, f in state.keys.items() if Key.from_pem(f.public, f.scheme).spki == key.spki), None)
    if twin:
        raise Refused(f"key '{event.key}' is the same key as '{twin}'")
    weak = [name for name, bad in (("extractable", "yes"), ("sensitive", "no")) if event.facts.get(name) == bad]
    if weak:
        raise Refused(f"the token says that key '{event.key}' can leave it ({weak[0]}: {event.facts[weak[0]]})")
    if parse(event.uri).serial not in ("", state.tokens[state.script.key(event.key).token].serial):
        raise Refused(f"the reference to key '{event.key}' leads to another token")
    if not key.verify(bytes.fromhex(event.proof), possession_message(bytes.fromhex(event.challenge))):
        raise Refused(f"the token did not prove that it holds key '{event.key}'")
    attesting.admit(state, event, key, at)


def _destroy(state: State, event: e.DestroyIntended, _: str) -> None:
    step = step_now(state, s.DestroyStep)
    spec = key_spec(state, event.key)
    if event.key not in agenda.undestroyed(state, step) or event.token != spec.token:
        raise Refused(f"key '{event.key}' is not destroyed at this step, or not on token '{printable(event.token)}'")
    if drafts.ceremony_key(state, spec).keyid != event.keyid:
        raise Refused(f"key '{event.key}' has another key id")
    confirmed_token(state, spec.token, event.serial)


def _kept(state: State, event: e.KeyKept, _: str) -> None:
    step = step_now(state, s.DestroyStep)
    if event.key not in agenda.undestroyed(state, step) or event.key not in state.keys:
        raise Refused(f"key '{printable(event.key)}' is not destroyed at this step")
    if state.keys[event.key].keyid != event.keyid:
        raise Refused(f"key '{event.key}' has another key id")
    if not event.reason.strip():
        raise Refused("say why the key was not destroyed")


def _destroyed(state: State, event: e.KeyDestroyed, _: str) -> None:
    assert state.unanswered is not None
    intended = state.unanswered.event
    if not isinstance(intended, e.DestroyIntended) or (intended.key, intended.keyid) != (event.key, event.keyid):
        raise Refused("another key was to be destroyed")
    if event.keyid in event.left:
        raise Refused(f"the token still lists key '{event.key}'")
    named = {drafts.ceremony_key(state, k).keyid for k in state.script.keys if not k.new or k.name in state.keys}
    for left in event.left:
        if left not in named and not left.startswith(UNKNOWN):
            raise Refused(f"the token is said to list '{printable(left, 80)}', which is no key of this ceremony")


RULES: Mapping[type, Callable[[State, Any, str], None]] = {
    e.InitialiseIntended: _initialise,
    e.TokenInitialised: _initialised,
    e.TokenAdopted: _adopted,
    e.TokenConfirmed: _token_confirmed,
    e.GenerateIntended: _generate,
    e.KeyGenerated: _generated,
    e.KeyTaken: _taken,
    e.DestroyIntended: _destroy,
    e.KeyDestroyed: _destroyed,
    e.KeyKept: _kept,
}
