"""What every kind of token does alike: the protocol of `vestry.tokens.token`, on software and on SoftHSM 2."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
from devices import P256, PIN, SO_PIN, refused, verify
from securesystemslib.exceptions import UnverifiedSignatureError

from vestry.errors import TokenTrouble
from vestry.tokens import uri
from vestry.tokens.token import KeyKind, Pin, Token


def test_initialise(tokens: Any) -> None:
    """A blank token must show as blank, and afterwards as what it was made to be."""
    blank = tokens.blank()
    assert not blank.info.initialised
    assert not blank.info.pin_ready
    assert blank.public_keys() == ()
    token = blank.initialise("alice", Pin(SO_PIN), Pin(PIN))
    info = token.info
    assert (info.label, info.initialised, info.pin_ready, info.tries) == ("alice", True, True, "ok")
    assert info.serial
    assert [t.info for t in tokens.source.tokens() if t.info.initialised] == [info]


def test_generate_sign_verify_every_kind(device: Any) -> None:
    """Each scheme's signature verifies with the public half read back, also by a program that starts afresh."""
    token = device.ready()
    with token.unlock(Pin(PIN)) as unlocked:
        made = [unlocked.generate(kind, f"key {kind.scheme}") for kind in device.kinds]
        assert [k.kind for k in made] == device.kinds
        assert sorted(unlocked.keys(), key=lambda k: k.label) == sorted(made, key=lambda k: k.label)
        for key in made:
            for message in (b"", b"{}", b"root" * 5000):
                verify(key, unlocked.sign(key, message), message)
            with pytest.raises(UnverifiedSignatureError):
                verify(key, unlocked.sign(key, b"one"), b"two")
    seen = device.reopen().tokens()
    mine = (token.info.serial, token.info.label)
    again = next(t for t in seen if (t.info.serial, t.info.label) == mine)
    if device.shows_keys_to_all:
        assert {k.spki for k in again.public_keys()} == {k.spki for k in made}
    with again.unlock(Pin(PIN)) as unlocked:
        held = unlocked.keys()
        assert {k.spki for k in held} == {k.spki for k in made}
        for key in held:
            verify(key, unlocked.sign(key, b"again"), b"again")


def test_a_big_document_is_signed_whole(device: Any) -> None:
    """Targets metadata has megabytes; a limit on the way to the token would show on the day."""
    message = b"x" * 3_000_000
    with device.ready().unlock(Pin(PIN)) as unlocked:
        for kind in {P256, KeyKind("ed25519")} & set(device.kinds):
            key = unlocked.generate(kind, kind.scheme)
            verify(key, unlocked.sign(key, message), message)


def test_references_name_the_key(tokens: Any) -> None:
    """The URI in a transcript must lead back to this key on this token."""
    token = tokens.ready("alice; & co")
    with token.unlock(Pin(PIN)) as unlocked:
        key = unlocked.generate(P256, "root/2026 é")
    named = uri.parse(key.uri)
    assert (named.serial, named.token) == (token.info.serial, "alice; & co")
    assert (named.id, named.object, named.type) == (key.id, "root/2026 é", "private")


def test_facts(tokens: Any) -> None:
    """A key that could leave its token is no root key; what a token says of it must reach the record."""
    with tokens.ready().unlock(Pin(PIN)) as unlocked:
        facts = dict(unlocked.generate(P256, "root").facts)
    if tokens.name == "software":
        assert facts["extractable"] == "untold"
        assert facts["software"] == "yes"
    else:
        assert facts == {
            "sensitive": "yes",
            "extractable": "no",
            "always_sensitive": "yes",
            "never_extractable": "yes",
            "local": "yes",
        }


def test_wrong_pin(device: Any) -> None:
    """A wrong PIN is told, costs exactly one try, and leaves nothing behind that stands in the way."""
    token = device.ready()
    with refused("E-PIN-WRONG") as caught, token.unlock(Pin("not-the-pin")):
        pytest.fail("a wrong PIN opened the token")
    assert caught.value.tries_left == (2 if device.counts_tries else None)
    assert not caught.value.unknown
    assert token.info.tries == ("low" if device.counts_wrong_pins else "ok")
    with token.unlock(Pin(PIN)) as unlocked:
        unlocked.generate(P256, "root")
    assert token.info.tries == "ok"


@pytest.mark.parametrize("pin", ["", "123", "x" * 300])
def test_a_pin_of_impossible_length_costs_no_try(tokens: Any, pin: str) -> None:
    """Sending it would cost a try that can be spared."""
    token = tokens.ready()
    with refused("E-PIN-LENGTH"), token.unlock(Pin(pin)):
        pytest.fail("no such PIN")
    assert token.info.tries == "ok"
    with refused("E-PIN-LENGTH"):
        tokens.blank().initialise("bob", Pin(SO_PIN), Pin(pin))


def test_destroy(device: Any) -> None:
    """A destroyed key is off the token: not listed, not public, not usable; the others stay."""
    token = device.ready()
    with token.unlock(Pin(PIN)) as unlocked:
        kept, gone = (unlocked.generate(P256, name) for name in ("kept", "gone"))
        unlocked.destroy(gone)
        left = unlocked.keys()
        assert [k.label for k in left] == ["kept"]
        with refused("E-KEY-GONE"):
            unlocked.sign(gone, b"m")
        with refused("E-KEY-GONE"):
            unlocked.destroy(gone)
        verify(kept, unlocked.sign(kept, b"m"), b"m")
        unlocked.generate(P256, "gone")
    assert gone.spki not in {k.spki for k in token.public_keys()}


def test_a_second_key_of_one_label_is_refused(device: Any) -> None:
    """Two keys of one name can't be told apart by people."""
    with device.ready().unlock(Pin(PIN)) as unlocked:
        unlocked.generate(P256, "root")
        with refused("E-KEY-EXISTS"):
            unlocked.generate(KeyKind("ed25519"), "root")
        assert len(unlocked.keys()) == 1


@pytest.mark.parametrize(
    "kind", [KeyKind("rsassa-pss-sha256", 1024), KeyKind("rsassa-pss-sha256"), KeyKind("ecdsa"), KeyKind("x" * 5000)]
)
def test_what_can_not_be_made_is_refused(device: Any, kind: KeyKind) -> None:
    """A weak or unknown kind must end in one line before anything is made."""
    with device.ready().unlock(Pin(PIN)) as unlocked:
        with refused("E-TOKEN-MECHANISM") as caught:
            unlocked.generate(kind, "root")
        assert not caught.value.unknown
        with refused("E-TOKEN-MECHANISM"):
            unlocked.generate(P256, "")
        assert unlocked.keys() == ()


def test_tokens_of_one_label_are_told_apart_by_serial(tokens: Any) -> None:
    """Labels repeat (every YubiHSM is 'YubiHSM'); a key must be made on the token that was meant."""
    first, second = tokens.ready("same"), tokens.ready("same", pin="another-pin")
    assert first.info.serial != second.info.serial
    with first.unlock(Pin(PIN)) as unlocked:
        key = unlocked.generate(P256, "root")
    assert second.public_keys() == ()
    with second.unlock(Pin("another-pin")) as unlocked:
        assert unlocked.keys() == ()
        with refused("E-KEY-GONE"):
            unlocked.sign(key, b"m")


def test_initialising_again_erases(tokens: Any) -> None:
    """Erased means erased: old keys and the old PIN are gone, the serial stays."""
    token = tokens.ready()
    serial = token.info.serial
    with token.unlock(Pin(PIN)) as unlocked:
        unlocked.generate(P256, "root")
    again = token.initialise("bob", Pin(SO_PIN), Pin("new-pin-7"))
    assert (again.info.serial, again.info.label) == (serial, "bob")
    assert again.public_keys() == ()
    with again.unlock(Pin("new-pin-7")) as unlocked:
        assert unlocked.keys() == ()
    with refused("E-PIN-WRONG"), again.unlock(Pin(PIN)):
        pytest.fail("the old PIN opened it")


def test_a_label_too_long_is_refused(tokens: Any) -> None:
    """A cut label would name another token."""
    with refused("E-TOKEN-INIT"):
        tokens.blank().initialise("é" * 17, Pin(SO_PIN), Pin(PIN))


def test_a_login_ends_with_its_block(device: Any) -> None:
    """A token left open would sign for whoever comes next."""
    token: Token = device.ready()
    with token.unlock(Pin(PIN)) as unlocked:
        key = unlocked.generate(P256, "root")
    for use in (unlocked.keys, lambda: unlocked.sign(key, b"m"), lambda: unlocked.generate(P256, "second")):
        with refused("E-TOKEN-GONE"):
            use()
    with token.unlock(Pin(PIN)) as other:
        with refused("E-TOKEN-GONE"):
            unlocked.sign(key, b"m")
        verify(key, other.sign(key, b"m"), b"m")


def test_an_error_inside_still_locks(device: Any) -> None:
    """Leaving by an exception is leaving."""
    token = device.ready()
    with pytest.raises(ZeroDivisionError), token.unlock(Pin(PIN)) as unlocked:
        _ = 1 / 0
    with refused("E-TOKEN-GONE"):
        unlocked.keys()
    with token.unlock(Pin(PIN)):
        pass


def test_no_pin_in_texts(tokens: Any) -> None:
    """A PIN in an error, a repr or a traceback with its variables ends up in a log."""
    token = tokens.ready()
    texts = [repr(tokens.source), repr(token), repr(Pin(PIN)), str(token.info)]
    with token.unlock(Pin(PIN)) as unlocked:
        texts += [repr(unlocked), str(vars(unlocked))]
        for call in (
            lambda: unlocked.generate(KeyKind("no"), "x"),
            lambda: tokens.blank().initialise("x" * 99, Pin(SO_PIN), Pin(PIN)),
        ):
            with pytest.raises(TokenTrouble) as caught:
                call()
            texts.append(
                "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
            )
    with pytest.raises(TokenTrouble) as caught, token.unlock(Pin("canary-wrong")):
        pass
    error = caught.value
    texts += [str(error), str(error.to_dict()), repr(error), str(vars(error)), repr(error.__context__)]
    assert "canary" not in "".join(texts)
