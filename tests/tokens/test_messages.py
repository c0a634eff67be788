"""Frames between Vestry and a module's child."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vestry.errors import TokenTrouble
from vestry.tokens import messages
from vestry.tokens.messages import Frame, FrameError
from vestry.tokens.token import KeyKind, TokenInfo, TokenKey

keys = st.builds(
    TokenKey,
    uri=st.text(),
    label=st.text(),
    id=st.binary(),
    spki=st.binary(),
    kind=st.builds(KeyKind, st.text(), st.integers()),
    facts=st.lists(st.tuples(st.text(), st.text())).map(tuple),
)
infos = st.builds(
    TokenInfo,
    *[st.text()] * 7,
    initialised=st.booleans(),
    pin_ready=st.booleans(),
    tries=st.sampled_from(["", "ok", "low", "last", "locked"]),
    tries_left=st.none() | st.integers(),
)


def sent(frame: Frame) -> Frame:
    pipe = io.BytesIO()
    messages.write_frame(frame, lambda data: pipe.write(data) and None)
    pipe.seek(0)
    return messages.read_frame(pipe.read)


@given(keys, infos, st.lists(st.binary(max_size=50)))
def test_what_is_sent_arrives(key: TokenKey, info: TokenInfo, parts: list[bytes]) -> None:
    """A key or a token that changed on the way would be another one."""
    got = sent(Frame({"key": messages.key_to(key), "token": messages.info_to(info)}, tuple(parts)))
    assert messages.key_from(messages.item(got.head, "key")) == key
    assert messages.info_from(messages.item(got.head, "token")) == info
    assert got.parts == tuple(parts)


@settings(max_examples=40)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.dictionaries(st.text(), c)))
def test_any_object_is_decoded_or_refused(value: Any) -> None:
    """A child's answer of the wrong form must be told as that, not as a crash of ours."""
    head = value if isinstance(value, dict) else {"x": value}
    for decode in (messages.key_from, messages.info_from, messages.trouble_from, messages.named_from):
        with pytest.raises(FrameError):
            decode(head)


@pytest.mark.parametrize(
    "change", [{"id": "zz"}, {"id": 1}, {"bits": True}, {"bits": "1"}, {"facts": [1]}, {"spki": None}]
)
def test_fields_of_the_wrong_type(change: dict[str, object]) -> None:
    """Each field is checked; none is taken on trust."""
    good = messages.key_to(TokenKey("u", "l", b"i", b"s", KeyKind("ed25519"), (("local", "yes"),)))
    assert messages.key_from(good)
    with pytest.raises(FrameError):
        messages.key_from({**good, **change})


def test_trouble_keeps_its_meaning() -> None:
    """Whether something may have been signed, and how many tries are left, decides what people do next."""
    error = TokenTrouble("what", where="where", do="do", code="E-X", tries_left=1, unknown=True)
    again = messages.trouble_from(json.loads(json.dumps(messages.trouble_to(error))))
    assert vars(again) == vars(error)


def test_a_frame_does_not_show_its_parts() -> None:
    """They are PINs."""
    assert "canary" not in repr(Frame({"do": "login"}, (b"canary",)))
