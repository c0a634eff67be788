"""Parts of a large document: what was never plain, and some of its crowd, in their order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from vestry.metadata.document import LargeDocument
from vestry.metadata.following import Steps
from vestry.metadata.forms import KEYS, ROLES, TARGETS, Form

Numbered = list[tuple[int, bytes]]
"""Tokens of a crowd (see `runs.Run`), each with its number (0-based) in it."""


def part(
    document: LargeDocument,
    steps: Mapping[tuple[str, ...], Steps],
    *,
    old: bool,
    drawn: Mapping[tuple[str, ...], Numbered] | None = None,
) -> dict[str, Any]:
    """The signed part with what was never plain, with what the other version lacks, and with what was drawn out."""
    signed = dict(document.left.signed)
    if isinstance(signed.get("delegations"), dict):
        signed["delegations"] = dict(signed["delegations"])
    for form in (KEYS, TARGETS):
        more = [t for _, t in _own(steps[form.place], old, drawn)]
        if more:
            holder = signed if form is TARGETS else signed["delegations"]
            made = json.loads(b"{" + b",".join(_entry(form, t) for t in more) + b"}")
            holder[form.place[-1]] = dict(sorted((holder[form.place[-1]] | made).items()))
    more_roles = _own(steps[ROLES.place], old, drawn)
    if more_roles:
        made_roles = json.loads(b"[" + b",".join(_entry(ROLES, t) for _, t in more_roles) + b"]")
        by_number = list(zip((n for n, _ in more_roles), made_roles, strict=True))
        signed["delegations"]["roles"] = [e for _, e in _merged(document, by_number)]
    return signed


def _own(step: Steps, old: bool, drawn: Mapping[tuple[str, ...], Numbered] | None) -> Numbered:
    own = list(step.gone if old else step.come)
    return sorted(own + (drawn[step.form.place] if drawn else []))


def _merged(document: LargeDocument, crowd: list[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    """Delegations that are left and some of the crowd, in their order, each with its place in the whole list."""
    others = document.left.signed["delegations"]["roles"]
    runs = [(run, at) for run, at in document.left.runs if run.form is ROLES]
    sizes = [run.count for run, _ in runs]
    place = number = taken = 0
    rest = iter(crowd)
    following = next(rest, None)
    for (_, at), size in zip(runs, sizes, strict=True):
        for other in others[taken:at]:
            yield place, other
            place += 1
        taken = at
        while following is not None and following[0] < number + size:
            yield place + following[0] - number, following[1]
            following = next(rest, None)
        place, number = place + size, number + size
    for other in others[taken:]:
        yield place, other
        place += 1


def places_of(
    document: LargeDocument,
    steps: Mapping[tuple[str, ...], Steps],
    drawn: Mapping[tuple[str, ...], Numbered],
    *,
    old: bool,
) -> list[int]:
    """The places (0-based) that the delegations of such a part have in the whole list."""
    inner = document.left.signed.get("delegations")
    if not isinstance(inner, dict) or not isinstance(inner.get("roles"), list):
        return []
    return [place for place, _ in _merged(document, list(_own(steps[ROLES.place], old, drawn)))]


def all_names(document: LargeDocument) -> Iterator[str]:
    """The names of all delegations, in their order."""
    crowd = list(enumerate(name.decode() for name in document.left.names(ROLES)))
    yield from (each if isinstance(each, str) else each["name"] for _, each in _merged(document, crowd))


def how_many(document: LargeDocument) -> int:
    """How many delegations its list has."""
    inner = document.left.signed.get("delegations")
    others = inner.get("roles") if isinstance(inner, dict) else None
    crowd = sum(run.count for run, _ in document.left.runs if run.form is ROLES)
    return crowd + (len(others) if isinstance(others, list) else 0)


def _entry(form: Form, token: bytes) -> bytes:
    return form.before + token + form.after
