"""A key that was made and can't be looked at: no real module fails so on demand, so what reads it is made to fail."""

from __future__ import annotations

from typing import Any

import pytest
from pkcs11.exceptions import DeviceRemoved, NoSuchKey, ObjectHandleInvalid

from vestry.errors import TokenTrouble
from vestry.tokens import pkcs11_keys
from vestry.tokens.token import KeyKind


@pytest.mark.parametrize(
    ("at", "error"),
    [
        ("_generate_pair", ObjectHandleInvalid),
        ("_generate_pair", NoSuchKey),
        ("held", ObjectHandleInvalid),
        ("held", DeviceRemoved),
    ],
)
def test_what_became_of_a_new_key_is_not_known_where_it_could_not_be_read(
    monkeypatch: pytest.MonkeyPatch, at: str, error: type[Exception]
) -> None:
    """With two programs on one token this happens. To call it certain that there is no key would leave a stray one."""

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(pkcs11_keys, "_generate_pair", lambda *_: None)
    monkeypatch.setattr(pkcs11_keys, at, fail)
    with pytest.raises(TokenTrouble) as caught:
        pkcs11_keys.generate(None, frozenset(), KeyKind("ed25519"), None, "1", "t")  # type: ignore[arg-type]
    assert caught.value.unknown
    assert caught.value.code == "E-TOKEN-ANSWER"
