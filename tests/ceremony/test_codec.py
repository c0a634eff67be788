"""Events as JSON and back: strict both ways."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vestry.ceremony import codec
from vestry.ceremony.events import Event, GenerateIntended, PreflightTaken, Said, SignatureAdded, Withheld
from vestry.errors import InputRejected

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
st.register_type_strategy(str, TEXT)
st.register_type_strategy(int, st.integers(-(2**63), 2**64 - 1))
EVENTS = st.one_of([st.from_type(kind) for kind in get_args(Event)])


@given(EVENTS)
def test_every_event_survives_a_round_trip(event: Event) -> None:
    assume(not isinstance(event, Withheld))
    plain = json.loads(json.dumps(codec.to_json(event)))
    assert codec.from_json(codec.name_of(event), plain) == event


def test_no_line_can_say_that_its_event_is_withheld() -> None:
    """Only a line without an event withholds one; a forger can't write that nothing is to be looked at here."""
    with pytest.raises(InputRejected, match="no event"):
        codec.from_json("withheld", {})


def test_names_are_the_classes_in_snake_case() -> None:
    assert codec.name_of(SignatureAdded(1, "root", "d", "k", "s")) == "signature_added"
    names = {codec.name_of(object.__new__(kind)) for kind in get_args(Event)}
    assert len(names) == len(get_args(Event))


GOOD: dict[str, Any] = {"key": "k", "token": "t", "serial": "1", "scheme": "ed25519", "bits": 0, "before": []}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"bits": True}, "'bits' .* is not a whole number"),
        ({"bits": 1.0}, "'bits' .* is not a whole number"),
        ({"bits": "0"}, "'bits' .* is not a whole number"),
        ({"bits": None}, "'bits' .* is not a whole number"),
        ({"bits": 2**64}, "'bits' .* is beyond 64 bits"),
        ({"key": 1}, "'key' .* is not text"),
        ({"key": ["k"]}, "'key' .* is not text"),
        ({"key": "\ud800"}, "half a character"),
        ({"pin": "123456"}, "has no field 'pin'"),
    ],
)
def test_nothing_is_converted(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InputRejected, match=says):
        codec.from_json("generate_intended", {**GOOD, **change})


@pytest.mark.parametrize("missing", [f.name for f in fields(GenerateIntended)])
def test_no_field_may_lack(missing: str) -> None:
    with pytest.raises(InputRejected, match=f"lacks its field '{missing}'"):
        codec.from_json("generate_intended", {k: v for k, v in GOOD.items() if k != missing})


@pytest.mark.parametrize("what", ["", "GenerateIntended", "generate-intended", "event", "no_such", "__class__"])
def test_unknown_events_are_refused(what: str) -> None:
    with pytest.raises(InputRejected, match="no event"):
        codec.from_json(what, GOOD)


@pytest.mark.parametrize("fields_", [None, [], "x", 1, [["key", "k"]]])
def test_fields_are_an_object(fields_: object) -> None:
    with pytest.raises(InputRejected, match="not an object"):
        codec.from_json("generate_intended", fields_)


@pytest.mark.parametrize(
    "checks", [{"swap": ["pass"]}, {"swap": ["pass", "x", "y"]}, {"swap": "pass"}, {"swap": ["pass", 1]}, []]
)
def test_pairs_are_pairs(checks: object) -> None:
    with pytest.raises(InputRejected):
        codec.from_json("preflight_taken", {"step": 0, "checks": checks, "waived": {}})


def test_an_event_with_a_wrong_value_is_never_written() -> None:
    with pytest.raises(InputRejected):
        codec.to_json(Said("0", {}))  # type: ignore[arg-type]
    with pytest.raises(InputRejected):
        codec.to_json(PreflightTaken(0, {"swap": ("pass",)}, {}))  # type: ignore[dict-item]
