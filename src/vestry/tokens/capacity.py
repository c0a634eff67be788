"""What devices can't take although their modules offer it, as their makers and their libraries have it."""

from __future__ import annotations

from vestry.tokens.token import TokenInfo

# Ed25519 signs the whole message (RFC 8032), and these pass it in one command. YubiKey: the longest APDU that Yubico's
# own libraries send; YubiHSM 2: the buffer of libyubihsm up to 2.5, as later firmware may still have it.
_YUBIKEY, _YUBIHSM = 3062, 2046


def longest_ed25519(info: TokenInfo) -> int | None:
    """The longest message, in bytes, that the device signs with Ed25519; None where no bound is known."""
    if info.model.startswith("YubiKey"):
        return _YUBIKEY
    return _YUBIHSM if info.model.startswith("YubiHSM") else None
