"""Rules about files: changed, vanished, alike; and about new names that look like well-known ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vestry.metadata.edits import DELEGATED, same, same_content
from vestry.metadata.lookalike import known_with, project_of, skeletons, unicode_skeleton
from vestry.metadata.rulebook import Context, Hit, capped, rule
from vestry.metadata.rules_delegations import delegated, patterns
from vestry.release import SECOND, in_force

_SHOWN = 100
_MOST = 100
_ALL = ("targets", "*")


def _files(signed: Mapping[str, Any]) -> Mapping[str, Any]:
    found = signed.get("targets")
    return found if isinstance(found, dict) else {}


def _before(c: Context) -> Mapping[str, Any]:
    return _files(c.old.signed) if c.old is not None else {}


@rule("TARGET-CHANGED", "warn", "A file has other content under an unchanged path.")
def target_changed(c: Context) -> Iterator[Hit]:
    """Package indexes never change a file that was published."""
    now = _files(c.signed)
    same_file = same_content if in_force(SECOND, c.as_of) else _same_description
    # The list of the changed is short where that of the files is long: sort that.
    found = sorted(p for p, was in _before(c).items() if p in now and was is not now[p] and not same_file(was, now[p]))
    hits = (Hit(("targets", p), f"Target file {p[:_SHOWN]} has other content than before") for p in found)
    yield from capped(hits, _MOST, _ALL, "files with other content than before")


def _same_description(was: Any, now: Any) -> bool:
    if not isinstance(was, dict) or not isinstance(now, dict):
        return same(was, now)
    return all(same(was.get(f), now.get(f)) for f in ("length", "hashes"))


@rule("TARGET-VANISHED", "warn", "A file of the old version is gone.")
def target_vanished(c: Context) -> Iterator[Hit]:
    """Clients can't fetch it any more. An index yanks files; it seldom removes one."""
    now = _files(c.signed)
    gone = sorted(p for p in _before(c) if p not in now)
    hits = (Hit(("targets", p), f"Target file {p[:_SHOWN]} is gone") for p in gone)
    yield from capped(hits, _MOST, _ALL, "files that are gone")


@rule("TARGET-LOOKALIKE", "warn", "A new path differs from another only by case, Unicode form or look-alike letters.")
def target_lookalike(c: Context) -> Iterator[Hit]:
    """One overwrites the other where case is not told apart, or is taken for it. A note for 0/o and the like."""
    now, before = _files(c.signed), _before(c)
    new = [p for p in now if p not in before]
    yield from capped(_twins(now, new, once=in_force(SECOND, c.as_of)), _MOST, _ALL, "new paths that look like others")


def _twins(now: Mapping[str, Any], new: list[str], *, once: bool) -> Iterator[Hit]:
    """Of paths that are all new, the first is told of, if `once`, only as what the others look like."""
    if not new:
        return
    # New paths by shape, then one pass over all: work and memory follow what is new.
    shapes: dict[str, list[str]] = {}
    for path, shape in skeletons(new):
        shapes.setdefault(shape, []).append(path)
    met: dict[str, str] = {}
    all_new = len(new) == len(now)
    wanted = {s for s, paths in shapes.items() if len(paths) > 1} if all_new else shapes.keys()
    for path, shape in skeletons(now if wanted else ()):
        if shape in wanted and path != shapes[shape][0]:
            met.setdefault(shape, path)
    for shape, other in sorted(met.items()):
        for path in shapes[shape][once and other in shapes[shape] :]:
            twin = shapes[shape][0] if path != shapes[shape][0] else other
            exact = unicode_skeleton(path) == unicode_skeleton(twin)
            how = "case, Unicode form or letters of other scripts" if exact else "letters that look alike"
            text = f"New path {path[:_SHOWN]} differs from {twin[:_SHOWN]} only by {how}"
            yield Hit(("targets", path), text, None if exact else "note")


@rule("NAME-LOOKALIKE", "warn", "A new project name looks like a well-known one.")
def name_lookalike(c: Context) -> Iterator[Hit]:
    """Names that are one slip away from others' are how people are made to install the wrong thing."""
    yield from capped(_copies(c), _MOST, (*DELEGATED, "*"), "new names that look like well-known ones")


def _copies(c: Context) -> Iterator[Hit]:
    told: dict[str, Hit] = {}
    guarded = known_with(c.policy.well_known)
    for name, path in _new_names(c):
        if name not in told and (found := guarded.like(name)):
            known, how = found
            told[name] = Hit(path, f"New name {name[:_SHOWN]} looks like the well-known {known}: it {how}")
    if told and c.old is not None:
        old = {project_of(p) for p in _before(c)}
        for role, value in delegated(c.old.signed).items():
            old |= {role, *(project_of(p) for kind, p in patterns(value) if kind == "path")}
        told = {name: hit for name, hit in told.items() if name not in old}
    yield from told.values()


def _new_names(c: Context) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names of projects that new delegations, new patterns and new files bring, each with its path."""
    was = delegated(c.old.signed) if c.old is not None else {}
    for role, value in delegated(c.signed).items():
        if role not in was:
            yield role, (*DELEGATED, role)
        elif was[role] is value or same(was[role].get("paths"), value.get("paths")):
            continue
        for kind, pattern in patterns(value):
            name = project_of(pattern) if kind == "path" else ""
            if name and name != role:
                yield name, (*DELEGATED, role, "paths", pattern)
    before = _before(c)
    last = ""
    for path in _files(c.signed):
        # Files of one project stand together as a rule.
        if path not in before and (name := project_of(path)) and name != last:
            last = name
            yield name, ("targets", path)
