"""python-pkcs11's exceptions, in words and codes. Child processes only.

The library's errors are flat, without text and without CK_RV; each is looked up by class. Whether the token may have
acted is decided here: a refusal is certain, a lost or confused device is not.
"""

from __future__ import annotations

from collections.abc import Mapping

from pkcs11 import exceptions as e

from vestry.errors import TokenTrouble

_GONE = (
    "the token does not answer any more",
    "look whether it is plugged in, put it back, and go on from the same place",
    "E-TOKEN-GONE",
)
_FULL = ("the token has no room left", "use another token, or destroy a key it no longer needs", "E-TOKEN-FULL")
_MECHANISM = (
    "the token or its module can't do this",
    "choose another scheme in the script, or another token",
    "E-TOKEN-MECHANISM",
)
_KEY_GONE = ("the key is no longer on the token", "look whether it is the right token", "E-KEY-GONE")
_REFUSED = ("the token was told not to, or was not touched in time", "touch it when it blinks", "E-TOKEN-REFUSED")
_NO_PIN = ("no PIN is set on this token yet", "initialise it first", "E-TOKEN-INIT")
_LENGTH = ("the PIN has a length or a character that the token does not take", "use another PIN", "E-PIN-LENGTH")
_LOCKED = ("the PIN is locked", "its keys can't be used; go on with the other holders", "E-PIN-LOCKED")
_WRONG = ("the PIN is wrong", "make sure that it is the right token; type it again with care", "E-PIN-WRONG")
_PLAIN = ("the module reports a failure", "look at the device, and run the same line again", "E-TOKEN-FAILED")

_WORDS: Mapping[type[e.PKCS11Error], tuple[str, str, str]] = {
    **dict.fromkeys((e.PinIncorrect,), _WRONG),
    **dict.fromkeys((e.PinLocked, e.PinExpired), _LOCKED),
    **dict.fromkeys((e.PinLenRange, e.PinInvalid, e.PinTooWeak), _LENGTH),
    **dict.fromkeys((e.UserPinNotInitialized,), _NO_PIN),
    **dict.fromkeys(
        (
            e.DeviceError,
            e.DeviceRemoved,
            e.TokenNotPresent,
            e.TokenNotRecognised,
            e.SlotIDInvalid,
            e.SessionHandleInvalid,
            e.SessionClosed,
            e.OperationNotInitialized,
            e.UserNotLoggedIn,
            e.NoSuchToken,
        ),
        _GONE,
    ),
    **dict.fromkeys((e.DeviceMemory,), _FULL),
    **dict.fromkeys(
        (
            e.MechanismInvalid,
            e.MechanismParamInvalid,
            e.KeySizeRange,
            e.KeyTypeInconsistent,
            e.DomainParamsInvalid,
            e.AttributeTypeInvalid,
            e.AttributeValueInvalid,
            e.AttributeReadOnly,
            e.TemplateIncomplete,
            e.TemplateInconsistent,
            e.FunctionNotSupported,
            e.DataLenRange,
            e.SessionReadOnly,
            e.TokenWriteProtected,
            e.ArgumentsBad,
        ),
        _MECHANISM,
    ),
    **dict.fromkeys((e.NoSuchKey, e.KeyHandleInvalid, e.ObjectHandleInvalid), _KEY_GONE),
    **dict.fromkeys((e.FunctionCancelled, e.FunctionRejected), _REFUSED),
}
_CERTAIN = {_WRONG, _LOCKED, _LENGTH, _NO_PIN, _FULL, _MECHANISM, _KEY_GONE, _REFUSED}


def trouble(error: e.PKCS11Error, where: str, *, acting: bool, tries_left: int | None = None) -> TokenTrouble:
    """`error` in words. `acting`: the request could have changed the token or signed."""
    words = _WORDS.get(type(error), _PLAIN)
    name = type(error).__name__
    if words is _PLAIN and "user type" in str(error).lower():
        words = (
            "this module does that for the security officer alone",
            "make the key with the maker's own tool",
            "E-TOKEN-MECHANISM",
        )
        acting = False
    what, do, code = words
    told = "" if words in {_WRONG, _LOCKED} or name == "PKCS11Error" else f" ({name})"
    return TokenTrouble(
        what + told,
        where=where,
        do=do,
        code=code,
        tries_left=tries_left,
        unknown=acting and words not in _CERTAIN,
    )
