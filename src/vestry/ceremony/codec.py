"""Events as JSON objects, and back: strict, driven by the types of `events.py` alone.

An event is named by its class in snake case (`SignatureAdded` is ``signature_added``) and its fields are an object with
exactly the names of the class. Nothing is converted on the way in: a number is never a string, ``true`` is never 1,
and a missing, unknown or mistyped field is refused.
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast, get_args, get_origin, get_type_hints

from vestry.ceremony.events import Event, Withheld
from vestry.errors import InputRejected
from vestry.metadata.canonical import INT_MAX, INT_MIN
from vestry.text import printable


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


_NAMES: Mapping[type, str] = {kind: _snake(kind.__name__) for kind in get_args(Event)}
_TYPES: Mapping[str, type] = {name: kind for kind, name in _NAMES.items() if kind is not Withheld}
NAMES = tuple(_TYPES)
"""What events are called, in the order of `events.py`."""
_FIELDS: Mapping[type, Mapping[str, tuple[Any, str]]] = {
    kind: {f.name: (hints[f.name], f"'{f.name}' of the event '{what}'") for f in fields(kind)}
    for kind, what in _NAMES.items()
    for hints in (get_type_hints(kind),)
}
"""Type and place of each field."""


def name_of(event: Event) -> str:
    """What the event is called in a transcript."""
    return _NAMES[type(event)]


def to_json(event: Event) -> dict[str, Any]:
    """The fields of `event` as JSON values.

    Raises:
        InputRejected: a field holds something else than its type says; nothing of the sort is ever written.
    """
    kind = type(event)
    plain = {name: _plain(getattr(event, name)) for name in _FIELDS[kind]}
    from_json(_NAMES[kind], plain)
    return plain


def from_json(what: str, fields_: object) -> Event:
    """The event called `what` with these fields.

    Raises:
        InputRejected: there is no such event, or a field is missing, unknown or of another type; says which.
    """
    kind = _TYPES.get(what)
    if kind is None:
        raise InputRejected(f"there is no event '{printable(what, 40)}'")
    if type(fields_) is not dict:
        raise InputRejected(f"the event '{what}' is not an object")
    wanted = _FIELDS[kind]
    for name in sorted(fields_.keys() - wanted.keys()):
        raise InputRejected(f"the event '{what}' has no field '{printable(str(name), 40)}'")
    for name in sorted(wanted.keys() - fields_.keys()):
        raise InputRejected(f"the event '{what}' lacks its field '{name}'")
    typed = (_typed(fields_[name], hint, where) for name, (hint, where) in wanted.items())
    return cast("Event", kind(*typed))


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


_HALF = re.compile("[\ud800-\udfff]")
_SIMPLE: Mapping[type, str] = {int: "a whole number", str: "text", bool: "true or false"}


def _typed(value: object, hint: Any, where: str) -> object:
    if hint in _SIMPLE:
        if type(value) is not hint:
            raise InputRejected(f"{where} is not {_SIMPLE[hint]}")
        if type(value) is int and not INT_MIN <= value <= INT_MAX:
            raise InputRejected(f"{where} is beyond 64 bits")
        if type(value) is str and not value.isascii() and _HALF.search(value):
            raise InputRejected(f"{where} holds half a character")
        return value
    origin, inner = get_origin(hint), get_args(hint)
    if origin is tuple:
        return _tuple(value, inner, where)
    assert origin is Mapping or isinstance(hint, types.GenericAlias), f"no JSON form for {hint}"
    if type(value) is not dict:
        raise InputRejected(f"{where} is not an object")
    return {_typed(key, str, where): _typed(item, inner[1], where) for key, item in value.items()}


def _tuple(value: object, inner: tuple[Any, ...], where: str) -> tuple[object, ...]:
    if type(value) is not list:
        raise InputRejected(f"{where} is not a list")
    if inner[-1] is Ellipsis:
        return tuple(_typed(item, inner[0], where) for item in value)
    if len(value) != len(inner):
        raise InputRejected(f"{where} does not have {len(inner)} entries")
    return tuple(_typed(item, hint, where) for item, hint in zip(value, inner, strict=True))
