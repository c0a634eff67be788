"""PINs that everybody knows, and PINs that nobody can."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestry.cli.main import main
from vestry.errors import InputRejected
from vestry.tokens import pins
from vestry.tokens.token import Pin


@pytest.mark.parametrize("known", ["123456", "12345678", "0001password", "648219", "3537363231383830"])
def test_factory_values_are_refused(known: str) -> None:
    """A device that keeps the PIN of its manual is open to whoever finds it."""
    assert pins.factory(Pin(known))
    assert "factory" in pins.flaw(Pin(known))


@pytest.mark.parametrize("weak", ["000000", "aaaaaaaa", "456789", "987654", "abcdef"])
def test_patterns_are_refused(weak: str) -> None:
    """What an eye sees over a shoulder at once."""
    assert pins.flaw(Pin(weak))


@pytest.mark.parametrize("fine", ["274016", "correct horse", "A7KQ2P", "123457"])
def test_others_pass(fine: str) -> None:
    """A check that refuses all PINs would teach people to work around it."""
    assert not pins.flaw(Pin(fine))


def test_the_machine_draws_evenly() -> None:
    """A generator that prefers some digits has less entropy than it says."""
    counted = Counter("".join(pins.draw(8).pin for _ in range(2000)))
    assert set(counted) == set("0123456789")
    assert max(counted.values()) < 1.25 * min(counted.values())


@given(st.lists(st.integers(1, 6), min_size=40, max_size=60), st.booleans())
def test_dice_alone_decide(rolls: list[int], letters: bool) -> None:
    """The same rolls give the same PIN: the machine adds nothing that a reader could not check."""
    try:
        drawn = pins.draw_from_dice(rolls, 8, letters=letters)
    except InputRejected:
        return
    assert drawn == pins.draw_from_dice(rolls, 8, letters=letters)
    assert len(drawn.pin) == 8
    # The pin is the number that the rolls write in base 6: checked the other way round.
    alphabet = pins._LETTERS if letters else pins._DIGITS
    number = sum(alphabet.index(c) * len(alphabet) ** place for place, c in enumerate(drawn.pin))
    assert number == int("".join(str(r - 1) for r in rolls), 6) % len(alphabet) ** 8


@pytest.mark.parametrize("rolls", [[1, 2, 3], [7] * 40, [1] * 40, [0] * 40])
def test_bad_rolls_are_refused(rolls: list[int]) -> None:
    """Too few rolls, or a die with seven sides, make a PIN with less entropy than told."""
    with pytest.raises(InputRejected):
        pins.draw_from_dice(rolls, 8)


def test_enough_rolls_are_asked_for() -> None:
    """8 digits have 26.6 bits; the rolls must have 16 more, so that the remainder favours nothing."""
    assert 6 ** pins.rolls_needed(8) >= 10**8 * 2**16


def test_a_drawn_pin_has_no_representation() -> None:
    """A PIN in a traceback is a PIN on a screen."""
    drawn = pins.draw(8)
    assert drawn.pin not in repr(drawn)


def test_the_verb(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The PIN alone on stdout, its entropy beside it."""
    assert main(["pin", "--length", "6"]) == 0
    out, err = capsys.readouterr()
    assert len(out.strip()) == 6
    assert "19.9 bits" in err
    for bad in ("5", "65", "x"):
        assert main(["pin", "--length", bad]) == 2
