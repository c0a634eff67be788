"""A token of SoftHSM that was cut off in the making."""

from __future__ import annotations

from pathlib import Path

import pytest
from people import SOFTHSM

from vestry.errors import TokenTrouble
from vestry.tokens.process import Pkcs11Source
from vestry.tokens.token import KeyKind, Pin


def test_a_token_that_was_cut_off_in_the_making_is_named(softhsm: Path) -> None:
    """Its module then shows no token at all; nobody would guess which folder to take away, and the wrong one holds
    somebody's key."""
    source = Pkcs11Source(SOFTHSM)
    try:
        for label in ("whole", "cut"):
            blank = next(t for t in source.tokens() if not t.info.initialised)
            blank.initialise(label, Pin("87654321"), Pin("123456"))
        serial = next(t.info.serial for t in source.tokens() if t.info.label == "cut")
    finally:
        source.close()
    (folder,) = (p for p in softhsm.iterdir() if p.name.replace("-", "").endswith(serial))
    made = (folder / "token.object").read_bytes()
    for length in (8, 64, 104):  # what its writes leave between the file and its flags
        (folder / "token.object").write_bytes(made[:length])
        source = Pkcs11Source(SOFTHSM)
        try:
            with pytest.raises(TokenTrouble) as told:
                source.tokens()
            assert (told.value.code, told.value.where) == ("E-TOKEN-HALF-MADE", str(folder))
            folder.rename(softhsm.parent / "aside")
            assert "whole" in [t.info.label for t in source.tokens()]
            (softhsm.parent / "aside").rename(folder)
        finally:
            source.close()


def test_a_token_that_was_cut_off_at_a_login_is_named(softhsm: Path) -> None:
    """Its keys are still there, and the module says only that it has no such token: nobody may take that for a token
    in somebody's pocket, or throw the folder away."""
    source = Pkcs11Source(SOFTHSM)
    try:
        blank = next(t for t in source.tokens() if not t.info.initialised)
        with blank.initialise("kept", Pin("87654321"), Pin("123456")).unlock(Pin("123456")) as unlocked:
            unlocked.generate(KeyKind("ecdsa-sha2-nistp256"), "key")
        (folder,) = softhsm.iterdir()
        whole = (folder / "token.object").read_bytes()
        (folder / "token.object").write_bytes(b"")
        with pytest.raises(TokenTrouble) as told:
            source.tokens()
        assert (told.value.code, told.value.where) == ("E-TOKEN-DAMAGED", str(folder))
        (folder / "token.object").write_bytes(whole)
        assert "kept" in [t.info.label for t in source.tokens()]
    finally:
        source.close()
