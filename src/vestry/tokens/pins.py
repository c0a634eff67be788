"""PINs that nobody should have, and PINs that nobody could guess.

What makers document as factory values is refused for anything but a rehearsal. New PINs are drawn from the machine's
random source or from dice, and say the entropy they have.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from vestry.errors import InputRejected, Refused
from vestry.tokens.token import Pin

# As the makers' own documentation has them: YubiKey PIV (PIN, PUK, management key), YubiHSM 2 (authentication key 1, as
# its PKCS #11 module takes it), Nitrokey HSM and SmartCard-HSM (PIN, SO PIN), SafeNet and OpenPGP cards.
_FACTORY = frozenset(
    {
        "123456",
        "12345678",
        "010203040506070801020304050607080102030405060708",
        "0001password",
        "password",
        "648219",
        "3537363231383830",
        "1234567890",
        "0000",
        "1234",
    }
)
_DIGITS, _LETTERS = "0123456789", "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # no 0 and O, no 1 and I
DIE = 6


def factory(pin: Pin) -> bool:
    """Whether makers set `pin` at the factory."""
    return pin.reveal().decode("utf-8", "replace").lower() in _FACTORY


def refuse_factory(pin: Pin) -> None:
    """Refuse a PIN that makers set at the factory; it is not used.

    Raises:
        Refused: E-PIN-FACTORY.
    """
    if factory(pin):
        raise Refused(
            "this PIN is set at the factory, and whoever reads the manual knows it; it was not used",
            do="change it with the maker's tool, then sign",
            code="E-PIN-FACTORY",
        )


def flaw(pin: Pin) -> str:
    """Why nobody should use `pin`, as the end of a sentence; empty where nothing speaks against it."""
    text = pin.reveal().decode("utf-8", "replace")
    if factory(pin):
        return "is one that makers set at the factory"
    if len(set(text)) == 1:
        return "repeats one character"
    steps = {ord(b) - ord(a) for a, b in pairwise(text)}
    if steps in ({1}, {-1}):
        return "counts up or down"
    return ""


@dataclass(frozen=True)
class Drawn:
    """A PIN that was drawn, and the entropy it has, in bits. The PIN has no place in the representation."""

    pin: str = field(repr=False)
    bits: float


def draw(length: int, *, letters: bool = False) -> Drawn:
    """Draw a PIN of `length` digits, or of letters and digits that are not mistaken for others, from `secrets`."""
    alphabet = _LETTERS if letters else _DIGITS
    while True:
        pin = "".join(secrets.choice(alphabet) for _ in range(length))
        if not flaw(Pin(pin)):
            return Drawn(pin, length * math.log2(len(alphabet)))


def rolls_needed(length: int, *, letters: bool = False) -> int:
    """How many rolls of a die `draw_from_dice` wants for that PIN."""
    base = len(_LETTERS if letters else _DIGITS)
    # Enough that the remainder of the division is biased by less than 2^-16.
    return math.ceil((length * math.log2(base) + 16) / math.log2(DIE))


def draw_from_dice(rolls: Sequence[int], length: int, *, letters: bool = False) -> Drawn:
    """Make a PIN from rolls of a die, 1 to 6 each, in order: the number that they write in base 6, modulo the number of
    such PINs. The machine adds nothing.

    Raises:
        InputRejected: too few rolls, another number than 1 to 6, or rolls that are plainly not random.
    """
    needed = rolls_needed(length, letters=letters)
    if len(rolls) < needed:
        raise InputRejected(f"{needed} rolls are needed, these are {len(rolls)}", do="roll on", code="E-DICE")
    if any(not 1 <= roll <= DIE for roll in rolls):
        raise InputRejected("a roll of a die is a number from 1 to 6", do="type them again", code="E-DICE")
    if len(set(rolls)) < DIE - 2:
        raise InputRejected(
            "these rolls show too few sides of the die", do="roll again, with a fair die", code="E-DICE"
        )
    alphabet = _LETTERS if letters else _DIGITS
    number = 0
    for roll in rolls:
        number = number * DIE + roll - 1
    number %= len(alphabet) ** length
    pin = ""
    for _ in range(length):
        number, place = divmod(number, len(alphabet))
        pin += alphabet[place]
    if why := flaw(Pin(pin)):
        raise InputRejected(f"the PIN that these rolls make {why}", do="roll again", code="E-DICE")
    return Drawn(pin, length * math.log2(len(alphabet)))
