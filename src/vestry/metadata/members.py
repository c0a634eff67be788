"""What a change is about, as it stands in the documents themselves: the members that get signed, not Vestry's own rows.

A path leads through member names; inside a list (of delegations, steps, inspections) a name stands for the place of
what has it, as in `changes` and `layout_changes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vestry.metadata.changes import Change

_LISTED = frozenset({"keyids", "pubkeys"})


@dataclass(frozen=True)
class Side:
    """What stands at `path` in one document. Where nothing does, `there` is false, which is not JSON's null."""

    path: tuple[str, ...]
    there: bool
    value: Any = None


def look(signed: Mapping[str, Any] | None, path: tuple[str, ...]) -> Side:
    """The member at a path of a signed part; of no document, nothing."""
    here: Any = signed
    for segment in path:
        if isinstance(here, Mapping) and segment in here:
            here = here[segment]
            continue
        found = [e for e in here if isinstance(e, Mapping) and e.get("name") == segment] if type(here) is list else []
        if len(found) != 1:
            return Side(path, there=False)
        (here,) = found
    return Side(path, signed is not None, here)


def sides(change: Change, old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> tuple[Side, Side]:
    """The members of both signed parts that a change is about.

    A key that joins or leaves a role is an entry of a list of key ids: then it is that list, whole. A renamed key
    stands under its own id on each side.
    """
    before = after = change.path
    if len(before) > 1 and before[-2] in _LISTED and change.kind in ("key-added", "key-removed"):
        before = after = before[:-1]
    elif change.kind == "key-renamed":
        after = (*before[:-1], change.new["keyid"])
    return look(old, before), look(new, after)


def told(change: Change) -> tuple[bool, bool]:
    """Whether the old and the new value of a change are there; only a field can hold a null that is."""
    field = change.kind.startswith("field-")
    old = change.old is not None or (field and change.kind != "field-added")
    new = change.new is not None or (field and change.kind != "field-removed")
    return old, new


def remark(change: Change) -> str:
    """What the members alone do not tell; empty where they tell all."""
    if change.kind.endswith("-reordered"):
        was, now = change.old["position"] + 1, change.new["position"] + 1
        place = "/".join(change.path[:-1])
        return f"It has no member of its own for this: only its place in the list {place} changed, from {was} to {now}."
    if change.path[-2:-1] and change.path[-2] in _LISTED and change.kind in ("key-added", "key-removed"):
        return "A key id has no member of its own: this is the whole list that it stands in."
    if change.kind == "delegation-added" and "position" in (change.new or {}):
        return f"Its place in the list is {change.new['position'] + 1:,}."
    if change.kind == "delegation-removed" and "position" in (change.old or {}):
        return f"Its place in the list was {change.old['position'] + 1:,}."
    return ""
