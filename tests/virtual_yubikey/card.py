"""A card as a reader sees it: applets to select, chained commands, long answers in pieces (ISO 7816-4, 5.1 and 5.3)."""

from __future__ import annotations

from virtual_yubikey.piv import AID as PIV_AID
from virtual_yubikey.piv import NO_INSTRUCTION, NO_OBJECT, SECURITY, WRONG_P, Piv, Status
from virtual_yubikey.state import State
from virtual_yubikey.tlv import tlv

ATR = bytes.fromhex("3bfd1300008131fe158073c021c057597562694b657940")
_MANAGEMENT_AID, _OTP_AID = bytes.fromhex("a000000527471117"), bytes.fromhex("a0000005272001")
_WRONG_LENGTH, _MORE = 0x6700, 0x6100
_CHAINED = 0x10
_PIV_AND_OTP = (0x11).to_bytes(2, "big")


class Card:
    """A card with power: from here on its `State` is all that lasts.

    Raises, from `answer`:
        piv.Removed: it leaves the reader in the midst of the command.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._selected = b""
        self._piv: Piv | None = None
        self._chain = self._rest = b""

    def answer(self, apdu: bytes) -> bytes:
        """The answer to one command, with its status word."""
        try:
            cla, ins, p1, p2 = apdu[:4]
            data, room = _body(apdu[4:])
        except (ValueError, IndexError):
            return _WRONG_LENGTH.to_bytes(2, "big")
        if ins == 0xC0 and self._rest:
            return self._piece(room)
        self._rest = b""
        if cla & _CHAINED:
            self._chain += data
            return b"\x90\x00"
        data, self._chain = self._chain + data, b""
        try:
            self._rest = self._command(ins, p1, p2, data)
        except Status as status:
            return status.word.to_bytes(2, "big")
        return self._piece(room)

    def _piece(self, room: int) -> bytes:
        piece, self._rest = self._rest[:room], self._rest[room:]
        word = _MORE | (len(self._rest) if len(self._rest) < 256 else 0) if self._rest else 0x9000
        return piece + word.to_bytes(2, "big")

    def _command(self, ins: int, p1: int, p2: int, data: bytes) -> bytes:
        if ins == 0xA4:
            return self._select(p1, data)
        if self._piv is not None:
            return self._piv.command(ins, p1, p2, data)
        if self._selected == _MANAGEMENT_AID and ins == 0x1D:
            return self._configuration(p1)
        if self._selected == _MANAGEMENT_AID and ins == 0x1C:
            raise Status(SECURITY)
        if self._selected == _OTP_AID and ins == 0x01:
            if p1 == 0x10:
                return self._state.settings.serial.to_bytes(4, "big")
            if p1 == 0x13:
                return self._configuration(0)
        if self._selected == _OTP_AID and ins == 0x03:
            return self._otp_status()
        raise Status(NO_INSTRUCTION)

    def _select(self, p1: int, name: bytes) -> bytes:
        if p1 != 0x04:
            raise Status(WRONG_P)
        if name[:5] == PIV_AID:
            if self._piv is None:
                self._piv = Piv(self._state)
            self._selected = PIV_AID
            return self._piv.select()
        known = next((aid for aid in (_MANAGEMENT_AID, _OTP_AID) if name.startswith(aid)), None)
        if known is None:
            raise Status(NO_OBJECT)
        self._selected, self._piv = known, None
        if known == _MANAGEMENT_AID:
            return f"Virtual mgr - FW version {self._state.settings.firmware}".encode()
        return self._otp_status()

    def _otp_status(self) -> bytes:
        return self._state.settings.version + bytes(3)

    def _configuration(self, page: int) -> bytes:
        if page:
            raise Status(WRONG_P)
        settings = self._state.settings
        parts = (
            tlv(0x01, _PIV_AND_OTP)
            + tlv(0x02, settings.serial.to_bytes(4, "big"))
            + tlv(0x03, _PIV_AND_OTP)
            + tlv(0x04, bytes((settings.form_factor,)))
            + tlv(0x05, settings.version)
            + tlv(0x06, bytes(2))
            + tlv(0x07, b"\x0f")
            + tlv(0x08, b"\0")
            + tlv(0x0A, b"\0")
        )
        return bytes((len(parts),)) + parts


def _body(rest: bytes) -> tuple[bytes, int]:
    """Data and the room for the answer, of a command in any of ISO 7816-4's cases."""
    if not rest:
        return b"", 256
    if len(rest) == 1:
        return b"", rest[0] or 256
    if rest[0]:
        data, expected = rest[1 : 1 + rest[0]], rest[1 + rest[0] :]
        if len(data) != rest[0] or len(expected) > 1:
            raise ValueError("a length that is not so")
        return data, (expected[0] if expected else 0) or 256
    if len(rest) == 3:
        return b"", int.from_bytes(rest[1:], "big") or 65_536
    size = int.from_bytes(rest[1:3], "big")
    data, expected = rest[3 : 3 + size], rest[3 + size :]
    if len(data) != size or len(expected) not in {0, 2}:
        raise ValueError("a length that is not so")
    return data, int.from_bytes(expected, "big") or 65_536
