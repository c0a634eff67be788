"""Rules about delegations among each other, and against those above them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from vestry.metadata.changes import moved_names
from vestry.metadata.delegation_index import Index, Pattern
from vestry.metadata.edits import DELEGATED, SUCCINCT, named, same
from vestry.metadata.lookalike import unicode_skeleton
from vestry.metadata.rulebook import Context, Hit, capped, rule

_SHOWN = 100
_MOST = 100
"""Findings of one rule that are listed one by one; a line says how many more there are."""
_ALL = (*DELEGATED, "*")
Roles = Mapping[str, Mapping[str, Any]]


def delegated(signed: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Delegated roles by name, in order; empty where there are none or their shape is odd."""
    found = signed.get("delegations")
    return named(found.get("roles")) or {} if isinstance(found, dict) else {}


def patterns(role: Mapping[str, Any]) -> list[Pattern]:
    """What a delegation covers: ("path", pattern) and ("prefix", hash prefix)."""
    found: list[Pattern] = []
    for field, kind in (("paths", "path"), ("path_hash_prefixes", "prefix")):
        values = role.get(field)
        found += [(kind, v) for v in values if isinstance(v, str)] if isinstance(values, list) else []
    return found


def fresh(c: Context, roles: Roles) -> dict[str, Mapping[str, Any]]:
    """Delegations that the old version lacks, or has with other paths or keys or at another place in the order, or that
    end the search only now."""
    before = delegated(c.old.signed) if c.old is not None else {}
    moved = moved_names(before, roles) if c.moved is None else c.moved
    fields = ("paths", "path_hash_prefixes", "terminating", "keyids", "threshold")
    return {
        name: role
        for name, role in roles.items()
        if (was := before.get(name)) is None
        or name in moved
        or (was is not role and any(not same(was.get(f), role.get(f)) for f in fields))
    }


@rule("DELEGATION-SHADOWED", "warn", "An earlier delegation ends the search before this one is asked.")
def delegation_shadowed(c: Context) -> Iterator[Hit]:
    """A terminating delegation takes all paths that it fits (TUF 1.0.34, 5.6.7.2)."""
    never = _shadowed(c).items()
    hits = (
        Hit((*DELEGATED, n), f"Delegation {n[:_SHOWN]} is never asked: {by[:_SHOWN]}, before it, ends the search")
        for n, by in never
    )
    yield from capped(hits, _MOST, _ALL, "delegations that are never asked")


def _shadowed(c: Context) -> dict[str, str]:
    """Delegations that are never asked, and the first of those that take their paths."""
    if "shadowed" in c.memo:
        return cast(dict[str, str], c.memo["shadowed"])
    ended = Index()
    roles = delegated(c.signed)
    order = list(roles)
    found: dict[str, str] = {}
    empty = True
    for place, (name, role) in enumerate(roles.items()):
        mine = patterns(role)
        if not empty and mine:
            by = [ended.first(p, place, "covers") for p in mine]
            if all(i is not None for i in by):
                found[name] = order[min(i for i in by if i is not None)]
        if role.get("terminating") is True:
            ended.add(place, mine)
            empty = False
    c.memo.update({"shadowed": found, "shadows stopped": ended.stopped})
    return found


@rule("DELEGATION-OVERLAP", "warn", "A delegation shares paths with an earlier one.")
def delegation_overlap(c: Context) -> Iterator[Hit]:
    """The earlier is asked first. A note where the later only is the wider, or where neither is new."""
    yield from capped(_overlaps(c), _MOST, _ALL, "delegations that share paths with earlier ones")


def _overlaps(c: Context) -> Iterator[Hit]:
    roles = delegated(c.signed)
    new = fresh(c, roles) if c.old is not None else {}
    order = list(roles)
    index = Index()
    shadowed = _shadowed(c)
    for place, role in enumerate(roles.values()):
        index.add(place, patterns(role))
    for place, (name, role) in enumerate(roles.items()):
        if name in shadowed:
            continue
        for pattern in patterns(role):
            part = index.first(pattern, place, "meets")
            if part is None:
                continue
            whole = index.first(pattern, place, "covers")
            earlier = order[part if whole is None else whole]
            told = whole is not None and (name in new or earlier in new)
            text = f"Delegation {name[:_SHOWN]} shares paths of {pattern[1][:_SHOWN]} with {earlier[:_SHOWN]}"
            yield Hit((*DELEGATED, name), f"{text}, which is asked first", None if told else "note")
            break
    if c.memo["shadows stopped"] or index.stopped:
        text = "The delegations have too many wildcards to compare each with each: some overlaps may not be told"
        yield Hit((*DELEGATED, "*", "compared"), text, "warn")


@rule("DELEGATION-ESCAPES", "warn", "A delegation hands on paths that its delegator was not given.")
def delegation_escapes(c: Context) -> Iterator[Hit]:
    """PEP 480: a delegator MUST NOT delegate what was not delegated to it. Clients pass over it (TUF 1.0.34, 5.6.7)."""
    if c.delegator is None or c.delegator.type != "targets":
        return
    given = c.delegator.delegated.get(c.role)
    if given is None:
        return
    index = Index()
    index.add(0, patterns(given))

    def outside() -> Iterator[Hit]:
        for name, role in delegated(c.signed).items():
            for pattern in patterns(role):
                if index.first(pattern, 1, "covers") is None:
                    text = f"Delegation {name[:_SHOWN]} hands on {pattern[1][:_SHOWN] or 'everything'}"
                    yield Hit((*DELEGATED, name), f"{text}, which {c.role[:_SHOWN]} itself was not given")
                    break
        if index.stopped:
            yield Hit((*DELEGATED, "*", "compared"), "The paths have too many wildcards to compare them all")

    yield from capped(outside(), _MOST, _ALL, "delegations that hand on what was not given")


@rule("DELEGATION-LOOP", "warn", "A role delegates to itself or to a role above it.")
def delegation_loop(c: Context) -> Iterator[Hit]:
    """Clients visit a role once; what stands behind the loop is never found."""
    roles = delegated(c.signed)
    for name in dict.fromkeys((c.role, *c.ancestors)):
        if name in roles:
            what = "itself" if name == c.role else f"{name[:_SHOWN]}, which stands above it"
            yield Hit((*DELEGATED, name), f"Role {c.role[:_SHOWN]} delegates to {what}: clients end the search there")


@rule("DELEGATION-DIAMOND", "warn", "A role is delegated to along two ways.")
def delegation_diamond(c: Context) -> Iterator[Hit]:
    """Each way names its own keys and paths, and clients take the way they come by first (python-tuf 2978)."""
    if c.delegator is None or c.delegator.type != "targets":
        return
    beside = c.delegator.delegated
    both = (name for name in delegated(c.signed) if name in beside and name != c.role)

    def hits() -> Iterator[Hit]:
        for name in both:
            text = f"Role {name[:_SHOWN]} gets its keys from {c.role[:_SHOWN]} and from the role above it"
            yield Hit((*DELEGATED, name), text)

    yield from capped(hits(), _MOST, _ALL, "roles that are delegated to along two ways")


@rule("DELEGATION-VANISHED", "warn", "A delegation of the old version is gone.")
def delegation_vanished(c: Context) -> Iterator[Hit]:
    """Nobody signs for its files any more, or the next delegation that fits takes them."""
    if c.old is None:
        return
    now = delegated(c.signed)
    inner = c.signed.get("delegations")
    bins = isinstance(inner, dict) and "succinct_roles" in inner
    gone = (name for name in delegated(c.old.signed) if name not in now)
    instead = "; hash bins take its place" if bins else ""
    hits = (Hit((*DELEGATED, name), f"Delegation {name[:_SHOWN]} is gone{instead}") for name in gone)
    yield from capped(hits, _MOST, _ALL, "delegations that are gone")
    was = c.old.signed.get("delegations")
    if isinstance(was, dict) and "succinct_roles" in was and not bins:
        yield Hit(SUCCINCT, "The hash bins are gone")


@rule("ROLE-NAME-CLASH", "stop", "Two role names are one on some systems, or to the eye.")
def role_name_clash(c: Context) -> Iterator[Hit]:
    """Their files would overwrite each other where case and Unicode form are not told apart."""
    first: dict[str, str] = {}

    def hits() -> Iterator[Hit]:
        for name in delegated(c.signed):
            other = first.setdefault(unicode_skeleton(name), name)
            if other != name:
                text = f"Role {name[:_SHOWN]} differs from {other[:_SHOWN]} only by case, Unicode form or look-alikes"
                yield Hit((*DELEGATED, name), text)

    yield from capped(hits(), _MOST, _ALL, "role names that clash")
