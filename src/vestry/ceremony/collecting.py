"""Collecting signatures: each holder's turn, the destruction of keys that have done their work, and the seals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import SystemRandom

from vestry.ceremony import agenda, own_seal, seal
from vestry.ceremony import events as e
from vestry.ceremony.decide import WORDS_TYPED
from vestry.ceremony.decide_tokens import UNKNOWN
from vestry.ceremony.dialogue import Ask, Choose, Declined, TypeBack
from vestry.ceremony.drafts import ceremony_key
from vestry.ceremony.own_keys import Signs
from vestry.ceremony.provisioning import abandon, find
from vestry.ceremony.room import Room
from vestry.ceremony.script import DestroyStep, KeySpec, SealStep, SignStep
from vestry.ceremony.signing import sign_reviewed, sign_seal
from vestry.errors import Refused, Stopped, TokenTrouble
from vestry.text import printable, words
from vestry.tokens.token import Unlocked


def sign(room: Room, step: SignStep, _: int) -> None:
    """Call holders to sign, in script order, until the step wants no more."""
    passed_over: set[str] = set()
    while agenda.unsigned(room.state, step):
        turns = agenda.turns(room.state, step)
        if not turns:
            raise Refused("no key of the script can add the missing signatures", do="note an exception and stop")
        turn = next((t for t in turns if t.holder not in passed_over), None)
        if turn is None:
            passed_over.clear()
            continue
        try:
            _turn(room, step, turn, others=len(turns) > 1)
        except Declined:
            passed_over.add(turn.holder)
            room.tell(f"{turn.holder} is passed over for now")


def _turn(room: Room, step: SignStep, turn: agenda.Turn, *, others: bool) -> None:
    room.look_at_network()  # before anything is typed, and again before the token acts
    typed = {role: _confirm_words(room, turn.holder, role, others=others) for role in dict(turn.wanted)}
    by_token: dict[str, list[tuple[str, str]]] = {}
    for role, name in turn.wanted:
        by_token.setdefault(room.state.script.key(name).token, []).append((role, name))
    for token_name, pairs in by_token.items():
        token = room.token(token_name)
        why = f"It signs {_list([role for role, _ in pairs])}."
        with room.unlocked(token_name, token, why) as unlocked:
            for role, name in pairs:
                still = {pair for t in agenda.turns(room.state, step) for pair in t.wanted}
                if (role, name) in still:
                    _sign_one(room, unlocked, role, name, typed[role])


def _confirm_words(room: Room, holder: str, role: str, *, others: bool) -> dict[str, str]:
    draft = room.state.documents[role]
    right = words(draft.digest)
    while True:
        # Fresh places each time, so that typing them cannot become a habit.
        places = sorted(SystemRandom().sample(range(1, len(right) + 1), WORDS_TYPED))
        typed = room.ask(
            TypeBack(
                "words",
                f"Type words {places[0]} and {places[1]} of the digest of {role} v{draft.version}.",
                person=holder,
                details=("Someone else reads the words aloud from their own screen or paper.",),
                digest=draft.digest,
                positions=tuple(places),
                otherwise="let another holder go first" if others else "",
            )
        )
        given = typed.split()
        if [w.lower() for w in given] == [right[p - 1].lower() for p in places]:
            return {str(p): right[p - 1] for p in places}
        room.tell(f"These are not words {places[0]} and {places[1]} of {role}. Nothing was signed.", good=False)


def _sign_one(room: Room, unlocked: Unlocked, role: str, name: str, typed: dict[str, str]) -> None:
    spec = room.state.script.key(name)
    key = ceremony_key(room.state, spec)
    to_sign = room.reviewed(role)
    held = find(unlocked, key)
    serial = room.state.tokens[spec.token].serial
    room.look_at_network()
    intent = room.record(
        e.SignatureIntended(role, to_sign.digest, key.keyid, name, serial, typed),
        spec.holder,
    )
    try:
        with room.waiting(room.signs(role, held), spec.token):
            signature = sign_reviewed(to_sign, key, unlocked, held)
    except TokenTrouble as error:
        abandon(room, intent.n, error, spec.holder)
        raise
    room.record(e.SignatureAdded(intent.n, role, to_sign.digest, key.keyid, signature.sig), spec.holder)
    room.tell(f"{spec.holder} signed {role}; the signature verifies with key {key.keyid[:8]}...", good=True)


def destroy(room: Room, step: DestroyStep, _: int) -> None:
    """Destroy the keys of the step, token by token, and look that each is gone."""
    by_token: dict[str, list[str]] = {}
    for name in agenda.undestroyed(room.state, step):
        by_token.setdefault(room.state.script.key(name).token, []).append(name)
    for token_name, every in by_token.items():
        names = [n for n in every if n not in room.state.keys or not room.state.keys[n].destroyed]
        try:
            token = room.token(token_name)
            why = f"It destroys {_list(names)} for good; the other keys on it stay."
            with room.unlocked(token_name, token, why) as unlocked:
                for name in names:
                    _destroy_one(room, unlocked, name)
        except TokenTrouble as error:
            if room.state.unanswered is not None:
                raise  # looked into first
            _keep_instead(room, token_name, names, error)


def _keep_instead(room: Room, token: str, names: list[str], error: TokenTrouble) -> None:
    """A token that does not let its keys be destroyed must not hold up what comes after: people decide, and say why."""
    room.trouble(error, token)
    holder = room.holder(token)
    answer = room.ask(
        Choose(
            "not-destroyed",
            f"Decide how to go on with {_list(names)} on {holder}'s token '{token}'.",
            person=holder,
            details=("A key that is kept must be destroyed later, with its device if need be.",),
            options=(
                ("again", "try again"),
                ("keep", "go on without destroying; say why, for the transcript"),
                ("stop", "stop here"),
            ),
        )
    )
    if answer == "stop":
        raise Stopped("stopped before keys were destroyed", do="run the same line again to go on")
    if answer == "again":
        return
    reason = ""
    while not reason.strip():
        reason = room.ask(
            Ask("reason", "Write why they are not destroyed now, and what happens to them.", person=holder)
        )
    for name in names:
        facts = room.state.keys[name]
        if not facts.destroyed:
            room.record(e.KeyKept(name, facts.keyid, str(printable(reason))), holder)
            room.tell(f"Key '{name}' is kept; the transcript says why", good=None)


def _destroy_one(room: Room, unlocked: Unlocked, name: str) -> None:
    spec = room.state.script.key(name)
    key = ceremony_key(room.state, spec)
    held = find(unlocked, key)
    serial = room.state.tokens[spec.token].serial
    intent = room.record(e.DestroyIntended(name, key.keyid, spec.token, serial), spec.holder)
    try:
        with room.waiting(f"The token destroys key '{name}'", spec.token):
            unlocked.destroy(held)
    except TokenTrouble as error:
        abandon(room, intent.n, error, spec.holder)
        raise
    left = keys_left(room, unlocked)
    room.record(e.KeyDestroyed(intent.n, name, key.keyid, left), spec.holder)
    room.tell(f"Key '{name}' is destroyed; the token no longer lists it", good=True)


def keys_left(room: Room, unlocked: Unlocked) -> tuple[str, ...]:
    """Key ids of this ceremony that the token still lists, and the labels of any others."""
    ours = {ceremony_key(room.state, k).spki: ceremony_key(room.state, k).keyid for k in _known_keys(room)}
    listed = unlocked.keys()
    return tuple(ours.get(k.spki, f"{UNKNOWN}{k.label}") for k in listed)


def _known_keys(room: Room) -> list[KeySpec]:
    return [k for k in room.state.script.keys if not k.new or k.name in room.state.keys]


def seal_ceremony(room: Room, step: SealStep, index: int) -> None:
    """Have each person of the step say, under a signature, whether the ceremony went as recorded."""
    if room.state.seal is None:
        room.record(e.SealOpened(index, dict(room.state.outputs)), room.administrator)
    head = words(room.state.seal_head)
    for person in step.by:
        if person not in room.state.seals:
            _seal_one(room, person, head)


def _seal_one(room: Room, person: str, head: tuple[str, ...]) -> None:
    verdict = room.ask(
        Choose(
            "agree",
            f"Say, {person}, whether the ceremony went as the transcript has it.",
            person=person,
            details=("The head of the transcript, to be read aloud:", " ".join(head), room.state.seal_head),
            options=(("agree", "I agree, and sign that"), ("disagree", "I do not agree, and sign that")),
        )
    )
    agree = verdict == "agree"
    reason = ""
    while not agree and not reason.strip():
        reason = room.ask(Ask("reason", "Write why not; it is part of what you sign.", person=person))
    key = seal.sealing_key(room.state, person)
    payload = seal.statement(room.state, person, agree, reason, key)
    with own_seal.opened(room, person, key) if key.spec is None else _seals(room, key.spec) as sign:
        room.look_at_network()
        intent = room.record(e.SealIntended(person, agree, key.keyid), person)
        try:
            signature, headers = sign(seal.pre_authentication_encoding(payload))
        except TokenTrouble as error:
            abandon(room, intent.n, error, person)
            raise
    envelope = seal.envelope(seal.Sealed(payload, key.keyid, signature, headers))
    room.record(e.Sealed(intent.n, person, agree, reason, envelope), person)
    room.tell(f"{person} sealed the ceremony and {'agrees' if agree else 'does not agree'}", good=agree)


@contextmanager
def _seals(room: Room, spec: KeySpec) -> Iterator[Signs]:
    """What signs a seal with a key of the ceremony, on its token."""
    key = ceremony_key(room.state, spec)
    with room.unlocked(spec.token, room.token(spec.token), "It signs the seal.") as unlocked:
        held = find(unlocked, key)

        def sign(message: bytes) -> tuple[bytes, str]:
            with room.waiting(room.signs("the seal", held), spec.token):
                return sign_seal(message, key, unlocked, held), ""

        yield sign


def _list(items: list[str]) -> str:
    unique = list(dict.fromkeys(items))
    return unique[0] if len(unique) == 1 else f"{', '.join(unique[:-1])} and {unique[-1]}"
