"""Intents without a result: read the token, say what it shows, and close them. Nothing is tried again blindly."""

from __future__ import annotations

from vestry.ceremony import events as e
from vestry.ceremony.collecting import keys_left
from vestry.ceremony.dialogue import Confirm
from vestry.ceremony.drafts import ceremony_key
from vestry.ceremony.provisioning import fingerprint, keep
from vestry.ceremony.room import Room
from vestry.ceremony.state import Intent
from vestry.errors import Stopped
from vestry.text import printable
from vestry.tokens.token import KeyKind, TokenKey, Unlocked


def resolve(room: Room) -> None:
    """Look into the open intent, if there is one, and record what was found."""
    intent = room.state.unanswered
    if intent is None:
        return
    room.tell(f"Line {intent.n} of the transcript has no result: the outcome is unknown. The token is read first.")
    event = intent.event
    if isinstance(event, e.InitialiseIntended):
        _initialise(room, intent, event)
    elif isinstance(event, e.GenerateIntended):
        _generate(room, intent, event)
    elif isinstance(event, e.DestroyIntended):
        _destroy(room, intent, event)
    else:
        _signature(room, intent)


def _initialise(room: Room, intent: Intent, event: e.InitialiseIntended) -> None:
    spec = room.state.script.token(event.token)
    known = {*event.others, *(f.serial for f in room.state.tokens.values())}
    here = [t for t in room.bench.tokens(spec) if t.info.initialised]
    shown = {
        t.info.serial: f"serial {t.info.serial}, label '{t.info.label}', {len(t.public_keys())} keys" for t in here
    }
    strays = [shown[t.info.serial] for t in here if t.info.serial not in {*known, event.serial}]
    if event.serial in shown:
        # A device that keeps its serial does not say whether it was erased a moment ago or has always looked like this.
        found = f"it is there, erased or not, and is erased again: {shown[event.serial]}"
    elif strays:
        found = f"initialised and not used: {'; '.join(strays)}"
    else:
        found = "no token was initialised"
    _abandon(room, intent, found)


def _generate(room: Room, intent: Intent, event: e.GenerateIntended) -> None:
    spec = room.state.script.key(event.key)
    token = room.token(event.token)
    with room.unlocked(event.token, token, f"It is read: was key '{event.key}' made before the stop?") as unlocked:
        listed = unlocked.keys()
        made = next((k for k in listed if fingerprint(k) not in event.before), None)
        if made is not None and made.spki:
            keep(room, intent.n, spec, token, unlocked, made, found=True)
            room.tell(f"Key '{event.key}' was made before the stop; it is that one, not a second", good=True)
        elif halves := _halves(unlocked, event.key, made, erased=room.state.token(event.token).erase):
            for half in halves:
                unlocked.destroy(half)
            _abandon(room, intent, f"the token held half of key '{event.key}'; it was destroyed")
        else:
            _abandon(room, intent, f"the token holds no key '{event.key}'")


def _halves(unlocked: Unlocked, label: str, made: TokenKey | None, *, erased: bool) -> tuple[TokenKey, ...]:
    """What a cut left of a key `label` in the making, by id and label: halves of no key that anything names. On a token
    that was not erased for this ceremony, what carries the label may be someone else's, unless it is the new one."""
    listed = unlocked.keys()
    whole = {(k.id, k.label) for k in listed if k.spki}
    objects = unlocked.objects() if erased else ()
    left = {(o.id, o.label) for o in objects if o.kind in ("private key", "public key") and o.label == label} - whole
    left |= {(made.id, made.label)} if made is not None else set()
    return tuple(TokenKey("", name, identity, b"", KeyKind("unknown")) for identity, name in sorted(left))


def _destroy(room: Room, intent: Intent, event: e.DestroyIntended) -> None:
    token = room.token(event.token)
    with room.unlocked(event.token, token, f"It is read: is key '{event.key}' gone?") as unlocked:
        left = keys_left(room, unlocked)
        spki = ceremony_key(room.state, room.state.script.key(event.key)).spki
        for half in (k for k in token.public_keys() if k.spki == spki and event.keyid not in left):
            unlocked.destroy(half)  # cut off between the halves: the public one is still there
        if event.keyid in left:
            _abandon(room, intent, f"the token still lists key '{event.key}'")
        else:
            room.record(e.KeyDestroyed(intent.n, event.key, event.keyid, left), intent.by)
            room.tell(f"Key '{event.key}' was destroyed before the stop", good=True)


def _signature(room: Room, intent: Intent) -> None:
    event = intent.event
    what = "the seal" if isinstance(event, e.SealIntended) else f"the signature on {getattr(event, 'role', '')}"
    go_on = room.ask(
        Confirm(
            "outcome",
            f"Decide how to go on: {what} by {printable(intent.by)} was cut off.",
            person=intent.by,
            details=(
                "The token may have signed; it keeps no record, and no signature was kept here.",
                "Signing again is safe: it signs the same bytes, the ones that were read.",
            ),
            yes="note it and sign again",
            no="stop here",
        )
    )
    if not go_on:
        raise Stopped("stopped with an outcome unknown", do="run the same line again to go on")
    _abandon(room, intent, "a token keeps no record of signatures; none was kept; the same bytes are signed again")


def _abandon(room: Room, intent: Intent, found: str) -> None:
    room.record(e.IntentAbandoned(intent.n, str(printable(found))), intent.by)
    room.tell(f"Looked into line {intent.n}: {found}", good=True)
