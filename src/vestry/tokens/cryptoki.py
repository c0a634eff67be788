"""The three PKCS #11 calls that python-pkcs11 lacks, through ctypes on the same loaded library. Child processes only.

C_InitToken, C_GetTokenInfo (for the lengths a PIN may have) and C_CloseAllSessions, PKCS #11 2.40 sections 5.5 and 5.6.
Return values are CK_RV, as numbers.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

OK = 0x00
PIN_INCORRECT, PIN_LEN_RANGE = 0xA0, 0xA2

LABEL_LENGTH = 32
# Places in CK_FUNCTION_LIST, counted from the first function after the version.
_GET_TOKEN_INFO, _INIT_TOKEN = 6, 9
_FUNCTIONS = 68
_LONGEST_PIN = 4096


class _TokenInfo(ctypes.Structure):
    _fields_ = (
        ("label", ctypes.c_char * 32),
        ("manufacturer", ctypes.c_char * 32),
        ("model", ctypes.c_char * 16),
        ("serial", ctypes.c_char * 16),
        ("flags", ctypes.c_ulong),
        ("max_sessions", ctypes.c_ulong),
        ("sessions", ctypes.c_ulong),
        ("max_rw_sessions", ctypes.c_ulong),
        ("rw_sessions", ctypes.c_ulong),
        ("longest_pin", ctypes.c_ulong),
        ("shortest_pin", ctypes.c_ulong),
        ("memory", ctypes.c_ulong * 4),
        ("versions", ctypes.c_ubyte * 4),
        ("time", ctypes.c_char * 16),
    )


class _FunctionList(ctypes.Structure):
    _fields_ = (("version", ctypes.c_ubyte * 2), ("functions", ctypes.c_void_p * _FUNCTIONS))


@dataclass(frozen=True)
class PinRange:
    """The lengths, in bytes, that a token takes for a PIN; 0 and 0 where it gives no sensible range."""

    least: int
    most: int

    def fits(self, length: int) -> bool:
        """Whether a PIN of `length` bytes can be right."""
        return not self.most or self.least <= length <= self.most


class Cryptoki:
    """The function list of the module at `path`, which is loaded and initialised already."""

    def __init__(self, path: str) -> None:
        library = ctypes.CDLL(path)
        pointer = ctypes.POINTER(_FunctionList)()
        returned = library.C_GetFunctionList(ctypes.byref(pointer))
        if returned != OK:
            raise OSError(f"C_GetFunctionList returned {returned:#x}")
        self._library, self._list = library, pointer.contents

    def pin_range(self, slot: int) -> PinRange:
        """From CK_TOKEN_INFO."""
        call = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_ulong, ctypes.POINTER(_TokenInfo))
        info = _TokenInfo()
        if call(self._list.functions[_GET_TOKEN_INFO])(slot, ctypes.byref(info)) != OK:
            return PinRange(0, 0)
        least, most = int(info.shortest_pin), int(info.longest_pin)
        return PinRange(least, most) if 0 < most <= _LONGEST_PIN and least <= most else PinRange(0, 0)

    def init_token(self, slot: int, so_pin: bytes, label: bytes) -> int:
        """C_InitToken: erase, and set label (at most 32 bytes) and SO PIN. Returns CK_RV."""
        call = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
        function = call(self._list.functions[_INIT_TOKEN])
        return int(function(slot, so_pin, len(so_pin), label.ljust(LABEL_LENGTH)))
