"""``vestry pin``: draw a PIN, by the machine or by dice, and say the entropy it has."""

from __future__ import annotations

import argparse
import getpass
import sys

from vestry.cli import output
from vestry.errors import ExitStatus, InputRejected, Stopped
from vestry.tokens import pins


def run(args: argparse.Namespace) -> int:
    """Draw one and print it, once. Rolls are typed where nobody sees them: they are the PIN."""
    drawn = _from_dice(args.length, letters=args.letters) if args.dice else pins.draw(args.length, letters=args.letters)
    if args.json:
        output.emit({"pin": drawn.pin, "bits": round(drawn.bits, 1), "source": "dice" if args.dice else "machine"})
    else:
        output.line(drawn.pin)
        output.narrate(f"{drawn.bits:.1f} bits of entropy, if nobody else saw it.")
        output.narrate("A token that locks after three wrong tries needs no more than 20.")
    return int(ExitStatus.DONE)


def _from_dice(length: int, *, letters: bool) -> pins.Drawn:
    needed = pins.rolls_needed(length, letters=letters)
    output.narrate(
        f"Roll a die {needed} times, or {needed} dice once, and type the numbers, 1 to 6, in order. They stay hidden."
    )
    typed = getpass.getpass("Rolls: ") if sys.stdin.isatty() else sys.stdin.readline()
    if not typed.strip():
        raise Stopped("no roll was typed; no PIN was drawn")
    faces = [c for c in typed if not c.isspace() and c != ","]
    if any(c not in "123456" for c in faces):
        raise InputRejected("a roll of a die is a number from 1 to 6", do="type them again", code="E-DICE")
    return pins.draw_from_dice([int(c) for c in faces], length, letters=letters)
