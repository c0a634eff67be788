"""Events as JSON objects, and back: strict, driven by the types of `events.py` alone.

An event is named by its class in snake case (`SignatureAdded` is ``signature_added``) and its fields are an object with
exactly the names of the class. Nothing is converted on the way in: a number is never a string, ``true`` is never 1,
and a missing, unknown or mistyped field is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Set
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
    if fields_.keys() != wanted.keys():
        raise InputRejected(_other_fields(what, fields_.keys(), wanted.keys()))
    return cast("Event", kind(*[read(fields_[name], where) for name, (read, where) in wanted.items()]))


def _other_fields(what: str, there: Set[Any], wanted: Set[str]) -> str:
    for name in sorted(there - wanted):
        return f"the event '{what}' has no field '{printable(str(name), 40)}'"
    return f"the event '{what}' lacks its field '{min(wanted - there)}'"


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


_HALF = re.compile("[\ud800-\udfff]")
_Read = Callable[[object, str], object]
"""Takes a JSON value, and what to call its place, to the value of a field, or refuses it."""


def _text(value: object, where: str) -> str:
    if type(value) is not str:
        raise InputRejected(f"{where} is not text")
    if not value.isascii() and _HALF.search(value):
        raise InputRejected(f"{where} holds half a character")
    return value


def _whole(value: object, where: str) -> int:
    if type(value) is not int:
        raise InputRejected(f"{where} is not a whole number")
    if not INT_MIN <= value <= INT_MAX:
        raise InputRejected(f"{where} is beyond 64 bits")
    return value


def _truth(value: object, where: str) -> bool:
    if type(value) is not bool:
        raise InputRejected(f"{where} is not true or false")
    return value


_SIMPLE: Mapping[type, _Read] = {str: _text, int: _whole, bool: _truth}


def _reader(hint: Any) -> _Read:
    """What reads a field of the type `hint`."""
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    origin, inner = get_origin(hint), get_args(hint)
    if origin is tuple:
        return _list(_reader(inner[0])) if inner[-1] is Ellipsis else _row(tuple(map(_reader, inner)))
    assert origin is Mapping, f"no JSON form for {hint}"
    return _object(_reader(inner[1]))


def _list(item: _Read) -> _Read:
    def read(value: object, where: str) -> tuple[object, ...]:
        if type(value) is not list:
            raise InputRejected(f"{where} is not a list")
        return tuple(item(one, where) for one in value)

    return read


def _row(items: tuple[_Read, ...]) -> _Read:
    def read(value: object, where: str) -> tuple[object, ...]:
        if type(value) is not list:
            raise InputRejected(f"{where} is not a list")
        if len(value) != len(items):
            raise InputRejected(f"{where} does not have {len(items)} entries")
        return tuple(item(one, where) for item, one in zip(items, value, strict=True))

    return read


def _object(item: _Read) -> _Read:
    def read(value: object, where: str) -> dict[str, object]:
        if type(value) is not dict:
            raise InputRejected(f"{where} is not an object")
        return {_text(key, where): item(one, where) for key, one in value.items()}

    return read


_FIELDS: Mapping[type, Mapping[str, tuple[_Read, str]]] = {
    kind: {f.name: (_reader(hints[f.name]), f"'{f.name}' of the event '{what}'") for f in fields(kind)}
    for kind, what in _NAMES.items()
    for hints in (get_type_hints(kind),)
}
"""What reads each field, in the order of its class, and what to call it."""
