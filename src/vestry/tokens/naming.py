"""How people call a token: its product and serial, as they are printed on the device."""

from __future__ import annotations

from vestry.text import Safe, printable
from vestry.tokens.token import TokenInfo

_GROUP = 3
# What modules call a device -> what its maker prints on it.
_MODELS = (
    ("YubiKey YK5", "YubiKey 5"),
    ("YubiKey YK4", "YubiKey 4"),
    ("YubiKey NEO", "YubiKey NEO"),
    ("YubiKey", "YubiKey"),
    ("YubiHSM", "YubiHSM 2"),
)


def product(info: TokenInfo) -> str:
    """``YubiKey 5``, ``YubiHSM 2``, ``Nitrokey HSM``; empty for anything else."""
    for model, name in _MODELS:
        if info.model.startswith(model):
            return name
    return "Nitrokey HSM" if info.serial.startswith("DENK") else ""


def serial(info: TokenInfo) -> Safe:
    """The serial; where it is a number on a known device, in groups of three: ``12 345 678``."""
    if not (product(info) and info.serial.isascii() and info.serial.isdigit()):
        return printable(info.serial, 60)
    digits = info.serial.lstrip("0") or "0"
    first = len(digits) % _GROUP
    groups = [digits[:first]] * bool(first) + [digits[i : i + _GROUP] for i in range(first, len(digits), _GROUP)]
    return printable(" ".join(groups))


def of_holder(holder: str, name: str, info: TokenInfo) -> Safe:
    """A token in words: whose, what, serial."""
    known = product(info)
    what = f"{known} '{name}'" if known else f"token '{name}' ({info.model.strip() or 'model untold'})"
    whose = printable(f"{holder}'s {what}")
    return Safe(f"{whose}, serial {serial(info)}") if info.serial else whose


def plain(info: TokenInfo) -> Safe:
    """A token in words where its holder is not known: what, label, serial."""
    what = product(info) or f"token '{info.label}' ({info.model.strip() or 'model untold'})"
    return Safe(f"{printable(what)}, serial {serial(info)}")
