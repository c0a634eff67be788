"""Provisioning: erase a token or take it as it is, set its PIN, make its keys, read them back, have it prove itself."""

from __future__ import annotations

import hashlib
import secrets
from contextlib import ExitStack

from vestry.ceremony import agenda, evidence, forecast
from vestry.ceremony import events as e
from vestry.ceremony.dialogue import Choose, NewSecret
from vestry.ceremony.drafts import made_key
from vestry.ceremony.room import Room
from vestry.ceremony.script import KeySpec, ProvisionStep, TokenSpec
from vestry.ceremony.signing import CHALLENGE_BYTES, possession_message, prove_possession
from vestry.errors import Stopped, TokenTrouble
from vestry.metadata.keys import Key
from vestry.text import printable
from vestry.tokens import pins, uri
from vestry.tokens.token import KeyKind, Pin, Token, TokenInfo, TokenKey, Unlocked

SHORTEST_PIN, LONGEST_PIN = 6, 64
OFFICER_LENGTH = 16  # hex digits: exactly what a SmartCard-HSM wants, and within every other device's bounds
_OFFICER = {"so-pin": "security officer PIN", "puk": "PUK"}


def provision(room: Room, step: ProvisionStep, _: int) -> None:
    """Take the tokens of the step in turn, each from where it stands."""
    for name in agenda.unprovisioned(room.state, step):
        spec = room.state.token(name)
        facts = room.state.tokens.get(name)
        if facts is not None and facts.initialised:
            _go_on(room, spec, facts.serial)
        elif spec.erase:
            if former := room.state.former.get(name):
                _from_blank(room, spec, room.bench.by_serial(spec, former, ""))
                continue
            taken = {f.serial for n, f in room.state.tokens.items() if n != spec.name} | room.state.aside
            _from_blank(room, spec, room.blank(spec, taken))
        else:
            _as_it_is(room, spec)


def _go_on(room: Room, spec: TokenSpec, serial: str) -> None:
    """Make the keys that are missing; a YubiKey whose management key died with an earlier run is erased again."""
    token = room.token(spec.name)
    try:
        with room.unlocked(spec.name, token, "It goes on making keys.") as unlocked:
            _bring_keys(room, spec.name, token, unlocked)
    except TokenTrouble as error:
        if error.code != "E-TOKEN-OFFICER" or not spec.erase:
            raise
        room.trouble(error, spec.name)
        answer = room.ask(
            Choose(
                "again-blank",
                f"Decide how to go on with {room.describe(spec.name, token.info)}.",
                person=spec.holder,
                details=(
                    "No key of it has signed anything yet. A YubiKey is reset first, in another console:",
                    f"ykman --device {token.info.serial} piv reset",
                ),
                options=(("erase", "erase it again and make its keys anew"), ("stop", "stop here")),
            )
        )
        if answer != "erase":
            raise Stopped("stopped while a token was being set up", do="run the same line again to go on") from None
        _from_blank(room, spec, room.bench.by_serial(spec, serial, ""))


def _as_it_is(room: Room, spec: TokenSpec) -> None:
    """Take over a token that the script does not erase: its holder unlocks it, and all that it holds is noted."""
    token = room.bench.named(spec)
    # Read off the device before the PIN: a look-alike must not get to know it.
    digits = room.read_serial(spec.name, token.info)
    with room.unlocked(spec.name, token, "It is taken as it is; nothing on it is erased.") as unlocked:
        info = token.info
        holds = tuple(str(o) for o in unlocked.objects())
        event = e.TokenAdopted(
            spec.name,
            info.module,
            info.module_sha256,
            info.serial,
            info.label,
            info.manufacturer,
            info.model,
            info.firmware,
            holds,
        )
        room.record(event, spec.holder)
        room.record(e.TokenConfirmed(spec.name, info.serial, digits), spec.holder)
        room.tell(f"{room.describe(spec.name, info)} is taken as it is; it lists {len(holds)} objects", good=True)
        _bring_keys(room, spec.name, token, unlocked)


def _from_blank(room: Room, spec: TokenSpec, blank: Token) -> None:
    info = blank.info
    if not info.reset:
        raise TokenTrouble(
            f"{room.describe(spec.name, info)} can't be erased through its module",
            do="set it up with its maker's tool, and write erase = false in the script",
            code="E-TOKEN-INIT",
        )
    with ExitStack() as secrets_held:
        pin = _new_secret(room, spec, info, "new-pin", "PIN")
        secrets_held.callback(pin.wipe)
        officer = _officer_secret(room, spec, info, pin)
        secrets_held.callback(officer.wipe)
        others = tuple(s for s in room.bench.initialised_serials(spec) if s != info.serial)
        before = tuple(str(o) for o in blank.objects())
        intent = room.record(
            e.InitialiseIntended(spec.name, info.module, info.module_sha256, info.serial, before, others), spec.holder
        )
        try:
            with room.waiting(f"The token '{spec.name}' is being erased", spec.name):
                token = blank.initialise(spec.name, officer, pin)
        except TokenTrouble as error:
            abandon(room, intent.n, error, spec.holder)
            raise
        officer.wipe()
        fresh = token.info
        with token.unlock(pin) as unlocked:
            _prove_reset(room, spec, intent.n, fresh, unlocked)
            pin.wipe()
            room.confirm_serial(spec.name, token)
            _bring_keys(room, spec.name, token, unlocked)


def _prove_reset(room: Room, spec: TokenSpec, intent: int, fresh: TokenInfo, unlocked: Unlocked) -> None:
    """Nothing of before survives, or the token is not used: a key that someone left there would pass for ours."""
    listed = unlocked.objects()
    event = e.TokenInitialised(
        intent,
        spec.name,
        fresh.serial,
        fresh.label,
        fresh.manufacturer,
        fresh.model,
        fresh.firmware,
        tuple(str(o) for o in listed if not o.device),
        tuple(str(o) for o in listed if o.device),
    )
    room.record(event, spec.holder)
    room.tell(f"{room.describe(spec.name, fresh)} is erased, its PIN is set, and nothing is left on it", good=True)


def _new_secret(
    room: Room, spec: TokenSpec, info: TokenInfo, name: str, what: str, *, apart_from: Pin | None = None
) -> Pin:
    """A new PIN, PUK or SO PIN: within the token's bounds, and in a real ceremony none that others could guess."""
    most = info.pin_most or LONGEST_PIN
    if name == "new-so-pin" and info.reset == "so-pin":
        most = max(most, OFFICER_LENGTH)  # what a module says of lengths is about the user's PIN
    least = min(max(SHORTEST_PIN, info.pin_least), most)
    why: tuple[str, ...]
    if name == "new-pin":
        why = ("It is erased then: all that is on it now is gone for good.",)
        why += ("Keep the PIN to yourself; it is never written down here.",)
    else:
        why = ("It unlocks a locked PIN. Keep it apart from the token and its PIN.",)
    how = f"{least} to {most} characters; 'vestry pin' draws one, by the machine or by dice."
    while True:
        pin = room.ask(
            NewSecret(
                name,
                f"Choose a {what} for {room.describe(spec.name, info)}.",
                person=spec.holder,
                details=(*why, how),
                shortest=least,
                longest=most,
            )
        )
        flaw = "" if room.state.script.rehearsal else pins.flaw(pin)
        if apart_from is not None and pin.same_as(apart_from):
            flaw = "is the PIN itself, which it is to unlock"
        if not flaw:
            return pin
        pin.wipe()
        room.tell(f"This {what} {flaw}. Nothing was set; choose another.", good=False)


def _officer_secret(room: Room, spec: TokenSpec, info: TokenInfo, pin: Pin) -> Pin:
    if spec.security_officer == "forgotten" or spec.use == "software":
        # Nobody, not even its holder, can then reset the PIN unseen; a locked token is a lost token.
        most = info.pin_most if info.reset == "puk" else 0
        return Pin(secrets.token_hex(OFFICER_LENGTH // 2)[: most or None])
    return _new_secret(room, spec, info, "new-so-pin", _OFFICER[info.reset], apart_from=pin)


def _bring_keys(room: Room, name: str, token: Token, unlocked: Unlocked) -> None:
    for spec in agenda.new_keys(room.state, name):
        if spec.name in room.state.keys:
            continue
        if spec.taken:
            _take_key(room, spec, token, unlocked)
        else:
            _make_key(room, spec, token, unlocked)


def _make_key(room: Room, spec: KeySpec, token: Token, unlocked: Unlocked) -> None:
    serial = room.state.tokens[spec.token].serial
    listed = unlocked.keys()
    before = tuple(fingerprint(k) for k in listed)
    intent = room.record(e.GenerateIntended(spec.name, spec.token, serial, spec.scheme, spec.bits, before), spec.holder)
    try:
        with room.waiting(f"The token makes key '{spec.name}'", spec.token):
            made = unlocked.generate(KeyKind(spec.scheme, spec.bits), spec.name)
        proved = _prove(room, spec, unlocked, made)
    except TokenTrouble as error:
        abandon(room, intent.n, error, spec.holder)
        raise
    _note(room, intent.n, spec, token, made, proved, found=False)


def fingerprint(key: TokenKey) -> str:
    """How a key on a token is told from others: SHA-256 of its public half, or where none shows, its id."""
    return hashlib.sha256(key.spki).hexdigest() if key.spki else f"id {key.id.hex()}"


def keep(
    room: Room, intent: int, spec: KeySpec, token: Token, unlocked: Unlocked, made: TokenKey, *, found: bool
) -> None:
    """Have the token prove that it holds `made`, look at its maker's proof, and record the key as `spec`."""
    _note(room, intent, spec, token, made, _prove(room, spec, unlocked, made), found=found)


def _note(
    room: Room,
    intent: int,
    spec: KeySpec,
    token: Token,
    made: TokenKey,
    proved: tuple[Key, bytes, bytes],
    *,
    found: bool,
) -> None:
    key, challenge, proof = proved
    shown = evidence.gather(room, spec, token, key)
    event = e.KeyGenerated(
        intent,
        spec.name,
        key.pem,
        key.keyid,
        made.uri,
        dict(made.facts),
        challenge.hex(),
        proof.hex(),
        found,
        shown.certificates,
        shown.findings,
    )
    room.record(event, spec.holder)
    room.tell(f"Key '{spec.name}' is on the token, read back and proved: key id {key.keyid[:8]}...", good=True)


def _take_key(room: Room, spec: KeySpec, token: Token, unlocked: Unlocked) -> None:
    """A key that is on the token already: the one that the script's reference fits, and no other."""
    listed = unlocked.keys()
    fitting = [k for k in listed if k.spki and uri.fits(spec.like, uri.parse(k.uri))]
    if len(fitting) != 1:
        raise TokenTrouble(
            f"{len(fitting) or 'no'} keys on the token fit the uri of key '{spec.name}'",
            where=str(room.describe(spec.name, token.info)),
            do="insert the right token, or stop and mend the uri: 'vestry tokens' lists them",
            code="E-TOKEN-WRONG-KEY" if not fitting else "E-TOKEN-TWO-ALIKE",
        )
    held = fitting[0]
    key, challenge, proof = _prove(room, spec, unlocked, held)
    shown = evidence.gather(room, spec, token, key)
    event = e.KeyTaken(
        spec.name,
        spec.token,
        room.state.tokens[spec.token].serial,
        key.pem,
        key.keyid,
        held.uri,
        dict(held.facts),
        challenge.hex(),
        proof.hex(),
        shown.certificates,
        shown.findings,
    )
    room.record(event, spec.holder)
    room.tell(f"Key '{spec.name}' was on the token and is proved: key id {key.keyid[:8]}...", good=True)


def _prove(room: Room, spec: KeySpec, unlocked: Unlocked, held: TokenKey) -> tuple[Key, bytes, bytes]:
    key = made_key(room.state.script, spec, Key.from_spki(held.spki, spec.scheme))
    challenge = secrets.token_bytes(_challenge_length(room, spec))
    with room.waiting(room.signs(f"a proof that key '{spec.name}' is there", held), spec.token):
        return key, challenge, prove_possession(challenge, key, unlocked, held)


def _challenge_length(room: Room, spec: KeySpec) -> int:
    """Ed25519 signs whole messages: the proof is as long as the longest document to come, so that a token that can't
    take it fails now, and not with a document in its hands."""
    if spec.scheme != "ed25519":
        return CHALLENGE_BYTES
    lengths = forecast.of_state(room.state, spec.roles)
    longest = max(lengths.get(role, 0) for role in spec.roles)
    return max(CHALLENGE_BYTES, longest - len(possession_message(b"")))


def abandon(room: Room, intent: int, error: TokenTrouble, by: str) -> None:
    """Close an intent whose failure is certain; one whose outcome is unknown stays open and is looked into.
    `error` is the act's own: what fails after a token acted says nothing of that, and leaves the intent open."""
    if not error.unknown and room.state.unanswered is not None and room.state.unanswered.n == intent:
        room.record(e.IntentAbandoned(intent, f"it failed: {printable(error.what)}"), by)


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
