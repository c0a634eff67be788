"""Provisioning: erase a token, set its PIN, make its keys, read them back and have it prove that it holds them."""

from __future__ import annotations

import secrets

from vestry.ceremony import agenda
from vestry.ceremony import events as e
from vestry.ceremony.dialogue import NewSecret
from vestry.ceremony.room import Room
from vestry.ceremony.script import KeySpec, ProvisionStep, TokenSpec
from vestry.ceremony.signing import CHALLENGE_BYTES, prove_possession
from vestry.errors import TokenTrouble
from vestry.metadata.keys import Key
from vestry.tokens.token import KeyKind, Pin, TokenKey, Unlocked

SHORTEST_PIN = 6


def provision(room: Room, step: ProvisionStep, _: int) -> None:
    """Take the tokens of the step in turn, each from where it stands."""
    for name in agenda.unprovisioned(room.state, step):
        spec = room.state.script.token(name)
        facts = room.state.tokens.get(name)
        if facts is None or not facts.initialised:
            _from_blank(room, spec)
        else:
            token = room.token(name)
            with room.unlocked(name, token, "It goes on making keys.") as unlocked:
                _make_keys(room, name, unlocked)


def _from_blank(room: Room, spec: TokenSpec) -> None:
    taken = {f.serial for n, f in room.state.tokens.items() if n != spec.name}
    blank = room.bench.to_initialise(spec, taken)
    info = blank.info
    pin = room.ask(
        NewSecret(
            "new-pin",
            f"Choose a PIN for {spec.holder}'s token '{spec.name}'.",
            person=spec.holder,
            details=(f"At least {SHORTEST_PIN} characters. Keep it to yourself; it is never written down here.",),
            shortest=SHORTEST_PIN,
        )
    )
    try:
        officer = _officer_pin(room, spec)
        others = tuple(s for s in room.bench.initialised_serials(spec) if s != info.serial)
        intent = room.record(
            e.InitialiseIntended(spec.name, info.module, info.module_sha256, info.serial, others), spec.holder
        )
        try:
            with room.waiting(f"The token '{spec.name}' is being erased"):
                token = blank.initialise(spec.name, officer, pin)
            fresh = token.info
            left = len(token.public_keys())
        except TokenTrouble as error:
            abandon(room, intent.n, error, spec.holder)
            raise
        finally:
            officer.wipe()
        room.record(
            e.TokenInitialised(
                intent.n,
                spec.name,
                fresh.serial,
                fresh.label,
                fresh.manufacturer,
                fresh.model,
                fresh.firmware,
                left,
            ),
            spec.holder,
        )
        room.tell(f"Token '{spec.name}' erased and its PIN set: serial {fresh.serial}", good=True)
        room.confirm_serial(spec.name, token)
        with token.unlock(pin) as unlocked:
            _make_keys(room, spec.name, unlocked)
    finally:
        pin.wipe()


def _officer_pin(room: Room, spec: TokenSpec) -> Pin:
    if spec.security_officer == "forgotten" or spec.use == "software":
        # Nobody, not even its holder, can then reset the PIN unseen; a locked token is a lost token.
        return Pin(secrets.token_hex(8))
    return room.ask(
        NewSecret(
            "new-so-pin",
            f"Choose a security officer PIN for {spec.holder}'s token '{spec.name}'.",
            person=spec.holder,
            details=("It can reset a locked PIN. Keep it apart from the token and its PIN.",),
            shortest=SHORTEST_PIN,
        )
    )


def _make_keys(room: Room, token: str, unlocked: Unlocked) -> None:
    for spec in agenda.new_keys(room.state, token):
        if spec.name not in room.state.keys:
            _make_key(room, spec, unlocked)


def _make_key(room: Room, spec: KeySpec, unlocked: Unlocked) -> None:
    serial = room.state.tokens[spec.token].serial
    intent = room.record(e.GenerateIntended(spec.name, spec.token, serial, spec.scheme, spec.bits), spec.holder)
    try:
        with room.waiting(f"The token makes key '{spec.name}'"):
            made = unlocked.generate(KeyKind(spec.scheme, spec.bits), spec.name)
        keep(room, intent.n, spec, unlocked, made, found=False)
    except TokenTrouble as error:
        abandon(room, intent.n, error, spec.holder)
        raise


def keep(room: Room, intent: int, spec: KeySpec, unlocked: Unlocked, made: TokenKey, *, found: bool) -> None:
    """Have the token prove that it holds `made`, and record the key as `spec`."""
    key = Key.from_spki(made.spki, spec.scheme)
    challenge = secrets.token_bytes(CHALLENGE_BYTES)
    proof = prove_possession(challenge, key, unlocked, made)
    event = e.KeyGenerated(
        intent, spec.name, key.pem, key.keyid, made.uri, dict(made.facts), challenge.hex(), proof.hex(), found
    )
    room.record(event, spec.holder)
    room.tell(f"Key '{spec.name}' is on the token, read back and proved: key id {key.keyid[:8]}...", good=True)


def abandon(room: Room, intent: int, error: TokenTrouble, by: str) -> None:
    """Close an intent whose failure is certain; one whose outcome is unknown stays open and is looked into."""
    if not error.unknown and room.state.unanswered is not None and room.state.unanswered.n == intent:
        room.record(e.IntentAbandoned(intent, f"it failed: {error.what}"), by)


def find(unlocked: Unlocked, key: Key) -> TokenKey:
    """The private half of `key` on an unlocked token, recognised by its public bytes.

    Raises:
        TokenTrouble: it is not there.
    """
    listed = unlocked.keys()
    for held in listed:
        if held.spki == key.spki:
            return held
    raise TokenTrouble(
        f"this token does not hold key {key.keyid[:8]}",
        do="insert the right token; nothing was signed",
        code="E-TOKEN-WRONG-KEY",
    )
