"""Two versions of a large document, without the plain entries that are in both and touch nothing that differs.

A review of what is left says the same as a review of the whole, for each rule looks at entries one by one, or compares
entries that are alike in something: a name, a pattern, a key. Entries of the crowd that are alike in any of that with
one that is left, or with each other, are therefore left, too. What can't be told apart so is reviewed as a whole.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import lt
from typing import Any

from vestry.metadata import look_ahead
from vestry.metadata.canonical import encode
from vestry.metadata.changes import in_order
from vestry.metadata.delegation_index import Index, segments_meet, wild
from vestry.metadata.document import Document, LargeDocument
from vestry.metadata.edits import DELEGATED, Edit, listed_ids
from vestry.metadata.following import Steps, walked
from vestry.metadata.forms import KEYS, ROLES, TARGETS, Form
from vestry.metadata.keys import ED25519_PREFIX, Key
from vestry.metadata.lookalike import Known, project_of, skeletons, unicode_skeleton
from vestry.metadata.remainder import Numbered, all_names, how_many, part, places_of
from vestry.metadata.rules_delegations import delegated, patterns
from vestry.metadata.rules_keys import SMALL_ORDER
from vestry.metadata.rules_names import fits
from vestry.metadata.runs import plain_id

_FEW = 3
"""Patterns with wildcards before their last segment that are held against each entry."""


@dataclass(frozen=True)
class Reduced:
    """Both versions without what says nothing. `places` are the places (0-based) that their delegations have in the
    whole list; `delegations` is how many of the whole new list are not here; `moved` are the names of those that
    changed their places among all.
    """

    old: Document
    new: Document
    places: tuple[list[int], list[int]]
    delegations: int
    moved: frozenset[str] = frozenset()
    alike: frozenset[str] = frozenset()
    """Ids of keys that are not here and begin like one that is."""

    def order(self) -> list[int]:
        """The old places of the delegations that both versions have, in their new order: of all, those that are not
        here among them."""
        was = dict(zip(delegated(self.old.signed), self.places[0], strict=True))
        here = set(self.places[0])
        others = [place for place in range(len(here) + self.delegations) if place not in here]
        found: list[int] = []
        taken = 0
        for n, (name, place) in enumerate(zip(delegated(self.new.signed), self.places[1], strict=True)):
            found += others[taken : place - n]
            taken = place - n
            if name in was:
                found.append(was[name])
        return found + others[taken:]

    def located(self, edit: Edit) -> Edit:
        """An edit between the reduced versions, with places as in the whole ones."""
        if edit.path[:2] != DELEGATED or not edit.kind.startswith("delegation-") or edit.kind == "delegation-changed":
            return edit
        was, now = (
            value | {"position": places[value["position"]]} if value is not None else None
            for value, places in zip((edit.old, edit.new), self.places, strict=True)
        )
        return replace(edit, old=was, new=now)


def reduce(
    old: Document | None,
    new: Document,
    *,
    role: str,
    delegator: Document | None,
    ancestors: Iterable[str],
    well_known: Known,
) -> Reduced | None:
    """Both versions reduced; None where they are not large, or must be reviewed as a whole."""
    if not isinstance(old, LargeDocument) or not isinstance(new, LargeDocument):
        return None
    crowd = _Crowd(old, new, {form.place: _steps(form, old, new) for form in (KEYS, ROLES, TARGETS)})
    given = delegator.signed.get("delegations") if delegator is not None and delegator.type == "targets" else None
    above = delegated(delegator.signed) if delegator is not None and isinstance(given, dict) else {}
    if not crowd.draw_out(
        {role, *ancestors} | above.keys(), patterns(above[role]) if role in above else None, well_known
    ):
        return None
    reduced = crowd.reduced()
    order = reduced.order()
    return reduced if all(map(lt, order, order[1:])) else crowd.moved(reduced, order)


def _steps(form: Form, old: LargeDocument, new: LargeDocument) -> Steps:
    """What differs between the crowds."""
    known = new.steps.get((id(old), form.place))
    if known is not None:
        return known
    mine, theirs = ([run for run, _ in side.left.runs if run.form is form] for side in (old, new))
    if not mine and not theirs:
        return Steps(form, (), (), ())
    if len(mine) == len(theirs) == 1:
        steps = walked(mine[0], theirs[0].raw, theirs[0].start, old.left.numbers())
        if steps is not None:
            return steps
    was, now = old.left.entries(form), new.left.entries(form)
    here, there = set(now), set(was)
    gone = tuple((n, t) for n, t in enumerate(was) if t not in here)
    come = tuple((n, t) for n, t in enumerate(now) if t not in there)
    if form.is_list:
        before = {token: n for n, token in enumerate(was)}
        calm = in_order([before[t] for t in now if t in there])
        gone = tuple((n, t) for n, t in enumerate(was) if n not in calm)
        come = tuple((n, t) for n, t in enumerate(now) if before.get(t) not in calm)
    return Steps(form, (), gone, come)


class _Crowd:
    """The entries that both versions have, and which of them are drawn out of the crowd again."""

    def __init__(self, old: LargeDocument, new: LargeDocument, steps: Mapping[tuple[str, ...], Steps]) -> None:
        self.old, self.new, self.steps = old, new, steps
        self.drawn: dict[tuple[str, ...], set[bytes]] = {form.place: set() for form in (KEYS, ROLES, TARGETS)}
        self.alike: frozenset[str] = frozenset()
        self.left = part(old, steps, old=True), part(new, steps, old=False)

    @cached_property
    def keys(self) -> list[bytes]:
        """Tokens of keys; cut up only where some are drawn out."""
        return self._both(KEYS)

    @cached_property
    def roles(self) -> list[bytes]:
        """Tokens of delegations; cut up only where they are looked at one by one."""
        return self._both(ROLES)

    @cached_property
    def targets(self) -> list[bytes]:
        """Tokens of files; cut up only where some are drawn out."""
        gone = {t for _, t in self.steps[TARGETS.place].gone}
        return [t for t in self.old.left.entries(TARGETS) if t not in gone]

    def _paths(self) -> list[bytes]:
        """The paths of the files that both versions have."""
        gone = {TARGETS.name(t) for _, t in self.steps[TARGETS.place].gone}
        return [p for run, _ in self.old.left.runs if run.form is TARGETS for p in run.names() if p not in gone]

    @cached_property
    def _names_here(self) -> dict[bytes, int]:
        """Names of the plain delegations of the old version, with their numbers."""
        return self.old.left.numbers()

    def _tokens(self, form: Form) -> list[bytes]:
        return self.roles if form is ROLES else self.keys if form is KEYS else self.targets

    def _both(self, form: Form) -> list[bytes]:
        return self._less(self.old.left.entries(form), form)

    def _less(self, old: list[bytes], form: Form) -> list[bytes]:
        """Of what stands for each old entry, what stands for those that the new version has, too."""
        stay: list[bytes] = []
        at = 0
        for n, _ in self.steps[form.place].gone:
            stay += old[at:n]
            at = n + 1
        return stay + old[at:] if at else old

    def draw_out(self, names: set[str], given: list[tuple[str, str]] | None, well_known: Known) -> bool:
        """Draw out what touches what is left; False where that can't be told."""
        if how_many(self.new) <= look_ahead.MOST_ROLES:  # these are all looked ahead for
            self.drawn[KEYS.place].update(self.keys)
            self.drawn[ROLES.place].update(self.roles)
        roles = [r for side in self.left for r in delegated(side).values()]
        files = [p for side in self.left for p in _members(side, TARGETS.place)]
        kept = {str(r["name"]) for r in roles}
        listed = [p for r in roles for kind, p in patterns(r) if kind == "path"]
        if not self._patterns(listed) or not self._outside(given):
            return False
        self._keys(roles)
        self._names(names | kept)
        self._well_known(kept | {project_of(p) for p in (*listed, *files)}, well_known)
        self._twins()
        self._pair()
        return True

    def _pair(self) -> None:
        """A key and the delegation that it is for are drawn out together."""
        drawn = {i for t in self.drawn[ROLES.place] for i in _ids(t)} | {t[:64] for t in self.drawn[KEYS.place]}
        if drawn:
            self._draw_keys(drawn)

    def _draw_keys(self, drawn: set[bytes]) -> None:
        """Delegations with one of these key ids, and all their keys."""
        roles = [t for t in self.roles if not drawn.isdisjoint(_ids(t))]
        drawn = drawn.union(*map(_ids, roles))
        self.drawn[ROLES.place].update(roles)
        self.drawn[KEYS.place].update(t for t in self.keys if t[:64] in drawn)

    def moved(self, reduced: Reduced, order: Sequence[int]) -> Reduced:
        """The same with the names of delegations that changed their places, drawn out where they were not."""
        found = set(order) - in_order(order)
        was = dict(zip(reduced.places[0], delegated(reduced.old.signed), strict=True))
        if found <= was.keys():
            return replace(reduced, moved=frozenset(was[place] for place in found))
        was = dict(enumerate(all_names(self.old)))
        moved = frozenset(was[place] for place in found)
        self.drawn[ROLES.place].update(t for t in self.roles if ROLES.name(t).decode() in moved)
        self._pair()
        return replace(self.reduced(), moved=moved)

    def _keys(self, roles: list[dict[str, Any]]) -> None:
        """Keys that are not of exactly one plain delegation, that stand here twice, that are weak, or whose id is
        another than their digest; and those whose id begins like one that is left, which need not be."""
        wanted = _apart(self._less(_found(_KEYIDS, self.old), ROLES))
        crowd = set(wanted)
        odd = {kid for kid, count in Counter(wanted).items() if count > 1} if len(crowd) != len(wanted) else set()
        del wanted
        kids = self._less(self.old.left.names(KEYS), KEYS)
        if len(crowd) != len(kids) or not crowd.issuperset(kids):
            odd |= crowd.symmetric_difference(kids)
        odd |= crowd & {i.encode() for r in roles for i in r.get("keyids", ()) if isinstance(i, str) and i.isascii()}
        shown = {i[:8].encode() for i in self._left_ids() if i.isascii()}
        self.alike = frozenset(kid.decode() for kid in kids if kid[:8] in shown)
        del crowd
        twice = {point.hex().encode() for point in SMALL_ORDER}
        for side in self.left:
            for keyid, value in _members(side, KEYS.place).items():
                der = Key.from_dict(keyid, value).spki
                if der.startswith(ED25519_PREFIX):
                    twice.add(der[len(ED25519_PREFIX) :].hex().encode())
        false = self.old.left.false_ids()
        if false:
            publics = [t[_PUBLIC] for t in self.keys]
            twice |= {p for p, count in Counter(publics).items() if count > 1}
            odd |= false | {kid for kid, public in zip(kids, publics, strict=True) if public in twice}
        else:  # an id tells its public half, so that no two keys have the same one
            odd |= {plain_id(public) for public in twice}.intersection(kids)
        del kids
        if odd:
            self._draw_keys(odd)

    def _left_ids(self) -> Iterator[str]:
        """Key ids that a reader may meet, in which as many digits are told as tell them from any that begins alike."""
        for document, signed in zip((self.old, self.new), self.left, strict=True):
            yield from listed_ids(signed)
            yield from (signature.keyid for signature in document.signatures)

    def _names(self, names: set[str]) -> None:
        """Delegations whose names look like one of `names`, or like each other's."""
        wanted = {unicode_skeleton(n).encode("utf-8", "replace") for n in names}
        here = self._names_here
        joined = b"\n".join(here)
        if joined == (small := joined.lower()):
            wanted = self._in_crowd(wanted)
            if wanted:
                self.drawn[ROLES.place].update(t for t in self.roles if ROLES.name(t) in wanted)
            return
        lower = small.split(b"\n")
        wanted |= {n for n, count in Counter(lower).items() if count > 1}
        self.drawn[ROLES.place].update(t for t in self.roles if ROLES.name(t).lower() in wanted)

    def _in_crowd(self, names: set[bytes]) -> set[bytes]:
        """Those that are names of the crowd's delegations."""
        gone = {ROLES.name(t) for _, t in self.steps[ROLES.place].gone}
        return {name for name in names if name in self._names_here and name not in gone}

    def _patterns(self, listed: list[str]) -> bool:
        """Delegations with paths in common with one that is left, or with each other."""
        alike = bool(self._names_here and self.old.left.alike)
        paths = self._less(_found(_PATHS, self.old), ROLES) if not alike else []
        prefixes = [path[:-1] for path in _apart(paths)]
        found = set(prefixes)
        wanted = {p for p, count in Counter(prefixes).items() if count > 1} if len(found) != len(prefixes) else set()
        loose: list[list[str]] = []
        for pattern in set(listed):
            parts = pattern.split("/")
            if any(wild(part) for part in parts[:-1]):
                loose.append(parts)
            elif pattern.isascii():
                wanted.add(pattern[: len(pattern) - len(parts[-1])].encode())
        if len(loose) > _FEW:
            return False
        if alike and loose:
            paths = self._less([name + b"/*" for name in self._names_here], ROLES)
            found, alike = {path[:-1] for path in paths}, False
        for prefix in found if loose else ():
            mine = prefix.decode().split("/")[:-1]
            if any(len(p) == len(mine) + 1 and all(map(segments_meet, p, mine)) for p in loose):
                wanted.add(prefix)
        if alike:
            wanted = self._in_crowd({p[:-1] for p in wanted if p.count(b"/") == 1})
            if wanted:
                self.drawn[ROLES.place].update(t for t in self.roles if ROLES.name(t) in wanted)
        elif not wanted.isdisjoint(found):
            full = {prefix + b"*" for prefix in wanted}
            self.drawn[ROLES.place].update(
                t for t, mine in zip(self.roles, paths, strict=True) if not full.isdisjoint(mine.split(_COMMA))
            )
        return True

    def _outside(self, given: list[tuple[str, str]] | None) -> bool:
        """Whether all of the crowd is within what its role was given. Where not, all that is outside is counted."""
        if given is None:
            return True
        whole = {p.count("/") for kind, p in given if kind == "path" and set(p.split("/")) == {"*"}}
        index = Index()
        index.add(0, given)
        alike = bool(self._names_here and self.old.left.alike)
        for path in (p for t in (self.roles if not alike or 1 not in whole else ()) for p in _paths(t)):
            if path.count(b"/") not in whole and index.first(("path", path.decode()), 1, "covers") is None:
                return False
        if index.stopped:
            return False
        depths = [run.depths for run, _ in self.old.left.runs if run.form is TARGETS]
        if all(known is not None and known <= whole for known in depths):
            return True
        for path in self._paths():
            if path.count(b"/") not in whole and not any(fits(kind, p, path.decode()) for kind, p in given):
                return False
        return True

    def _well_known(self, names: set[str], well_known: Known) -> None:
        """Entries that tell that a name which looks like a well-known one is not new."""
        wanted = {n.encode() for n in names if n.isascii() and well_known.like(n)}
        if not wanted:
            return
        for token in self.roles:
            projects = (project_of(path.decode()).encode() for path in _paths(token))
            if ROLES.name(token) in wanted or not wanted.isdisjoint(projects):
                self.drawn[ROLES.place].add(token)
        self._draw_files({p for p in self._paths() if project_of(p.decode()).encode() in wanted})

    def _draw_files(self, paths: set[bytes]) -> None:
        if paths:
            self.drawn[TARGETS.place].update(t for t in self.targets if TARGETS.name(t) in paths)

    def _twins(self) -> None:
        """Files that look like one that is new."""
        before, now = (_members(side, TARGETS.place) for side in self.left)
        shapes = {shape for _, shape in skeletons(p for p in now if p not in before)}
        if shapes:
            paths = [p.decode() for p in self._paths()]
            self._draw_files({path.encode() for path, shape in skeletons(paths) if shape in shapes})

    def reduced(self) -> Reduced:
        """Both versions: what was never plain, what differs, and what was drawn out, in their order."""
        sides: list[tuple[Document, list[int]]] = []
        for document, is_old in ((self.old, True), (self.new, False)):
            signed = part(document, self.steps, old=is_old, drawn=self._numbered(is_old))
            places = places_of(document, self.steps, self._numbered(is_old), old=is_old)
            named = (document.type, document.version, document.expires, document.extra)
            sides.append((Document(b"", signed, document.signatures, encode(signed), *named), places))
        for document in (self.old, self.new):
            document.left.tokens.clear()  # as large as the documents, and quickly made again
        (old, was), (new, now) = sides
        whole = how_many(self.new)
        return Reduced(old, new, (was, now), whole - len(now), alike=self.alike)

    def _numbered(self, is_old: bool) -> dict[tuple[str, ...], Numbered]:
        """What was drawn out, with its number in the crowd of one version."""
        found: dict[tuple[str, ...], Numbered] = {}
        for form in (KEYS, ROLES, TARGETS):
            drawn = self.drawn[form.place]
            step = self.steps[form.place]
            others = [n for n, _ in (step.gone if is_old else step.come)]
            listed = enumerate(self._tokens(form)) if drawn else ()
            found[form.place] = [(_shifted(n, others), t) for n, t in listed if t in drawn]
        return found


def _shifted(n: int, others: list[int]) -> int:
    """The number of what is `n`-th (0-based) when the entries with numbers in `others`, which rise, are left out."""
    low, high = n, n + len(others)
    while low < high:
        middle = (low + high) // 2
        if middle + 1 - bisect_left(others, middle + 1) > n:
            high = middle
        else:
            low = middle + 1
    return low


_PUBLIC = slice(107, 171)
"""Where the public half stands in the token of a key, which all have one length; its object begins at 67."""
_COMMA = b'","'
_KEYIDS = re.compile(rb'"keyids":\["([^\]]*)"\]')
_PATHS = re.compile(rb'"paths":\["([^\]]*)"\]')


def _ids(token: bytes) -> list[bytes]:
    """The key ids of a plain delegation."""
    return token[11 : token.index(b'"]', 75)].split(_COMMA)


def _paths(token: bytes) -> list[bytes]:
    """The patterns of a plain delegation."""
    start = token.index(b'"paths":["', 86) + 10
    return token[start : token.index(b'"]', start)].split(_COMMA)


def _apart(lists: list[bytes]) -> list[bytes]:
    """The strings of lists, of which each comes without its first and its last quote."""
    together = _COMMA.join(lists)
    return lists if together.count(_COMMA) < len(lists) else together.split(_COMMA)


def _found(pattern: re.Pattern[bytes], document: LargeDocument) -> list[bytes]:
    """What stands at one place of all plain delegations, in their order."""
    runs = [run for run, _ in document.left.runs if run.form is ROLES]
    return [found for run in runs for found in pattern.findall(run.raw, run.start, run.end)]


def _members(signed: Any, place: tuple[str, ...]) -> Mapping[str, Any]:
    for name in place:
        signed = signed.get(name) if isinstance(signed, dict) else None
    return signed if isinstance(signed, dict) else {}
