"""Old and new layout -> the list of what changed, lossless and in in-toto's language.

As with TUF documents, `apply(old, changes(old, new))` equals `new`, canonical byte for canonical byte. Path segments
are member names; inside ``steps`` and ``inspect``, a name stands for the place of what has it. Kinds beside those of
`changes.Change`: step- and inspection-added, -removed (``{"position", "value"}``), -reordered (``{"position"}``) and
-changed (a command or artifact rules).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from difflib import SequenceMatcher
from typing import Any, TypeGuard

from vestry.metadata import quoting
from vestry.metadata.changes import Change, Names, where
from vestry.metadata.edits import Edit, Step, named, same
from vestry.metadata.keys import Key
from vestry.metadata.layout import PARTS
from vestry.metadata.layout_wording import LayoutWording

_KINDS = {"steps": "step", "inspect": "inspection"}
_COMMANDS_AND_RULES = frozenset({"expected_command", "expected_materials", "expected_products", "run"})


def changes(
    old: Mapping[str, Any] | None, new: Mapping[str, Any], *, known: Names | None = None, digits: int = 0
) -> tuple[Change, ...]:
    """What turns `old` (None: there was nothing before) into `new`, most dangerous first; `digits` as in
    `changes.changes`."""
    base = dict(old or {})
    found = [*_keys(base, new)]
    for part in PARTS:
        found += _order(base, new, part)
    found += _members(apply(base, found), new)
    found += _fields(apply(base, found), new)
    if not same(apply(base, found), new):
        # Shapes so odd that named edits and fields disagree; fields alone are exact.
        found = list(_plain(base, new, ()))
    ids = {side["keyid"] for e in found if e.kind.startswith("key-") for side in (e.old, e.new) if side}
    say = LayoutWording(old, new, known or (lambda _: ""), digits or quoting.digits(ids))
    dressed = [
        Change(e.kind, e.path, where(e.path), e.old, e.new, say.sentence(e), say.roles(e), say.danger(e)) for e in found
    ]
    return tuple(sorted(dressed, key=lambda c: (-c.danger, c.kind, c.path)))


def apply(old: Mapping[str, Any] | None, steps: Iterable[Step]) -> dict[str, Any]:
    """The new signed part, from the old one (which stays as it is) and all changes, in any order."""
    root: dict[str, Any] = copy.deepcopy(dict(old or {}))
    listed = sorted(steps, key=lambda s: (len(s.path), s.path))
    for kind in ("key-renamed", "key-removed", "key-changed", "key-added"):
        for step in (s for s in listed if s.kind == kind and s.path[0] == "keys"):
            _do_key(root, step)
    for part, kind in _KINDS.items():
        moves = [s for s in listed if s.kind in (f"{kind}-added", f"{kind}-removed", f"{kind}-reordered")]
        if moves:
            _do_order(root, part, moves)
    members = [s for s in listed if s.kind in ("key-added", "key-removed") and s.path[0] != "keys"]
    for step in (s for s in members if s.kind == "key-removed"):
        _ids(root, step).remove(step.path[-1])
    for step in sorted((s for s in members if s.kind == "key-added"), key=lambda s: int(s.new["places"][0])):
        _ids(root, step).insert(step.new["places"][0], step.path[-1])
    for step in listed:
        if step.kind.startswith("field-") or (step.kind.endswith("-changed") and step.kind != "key-changed"):
            _put(root, step)
    return copy.deepcopy(root)


def _do_key(root: dict[str, Any], step: Step) -> None:
    keys = root.setdefault("keys", {})
    if step.kind != "key-added":
        del keys[step.path[-1]]
    if step.new is not None:
        keys[step.new["keyid"]] = step.new["key"]
    if step.kind == "key-renamed":
        for thing in (named(root.get("steps", [])) or {}).values():
            ids = thing.get("pubkeys")
            if _distinct(ids) and step.old["keyid"] in ids and step.new["keyid"] not in ids:
                ids[ids.index(step.old["keyid"])] = step.new["keyid"]


def _do_order(root: dict[str, Any], part: str, moves: list[Step]) -> None:
    before = named(root.get(part, [])) or {}
    out = {s.path[-1] for s in moves if s.old is not None}
    things = [thing for name, thing in before.items() if name not in out]
    for step in sorted((s for s in moves if s.new is not None), key=lambda s: int(s.new["position"])):
        things.insert(step.new["position"], before[step.path[-1]] if step.old is not None else step.new["value"])
    root[part] = things


def _ids(root: dict[str, Any], step: Step) -> list[str]:
    found: list[str] = _at(root, step.path[:-1])
    return found


def _at(root: Any, path: tuple[str, ...]) -> Any:
    for segment in path:
        root = (named(root) or {})[segment] if isinstance(root, list) else root[segment]
    return root


def _put(root: dict[str, Any], step: Step) -> None:
    parent = _at(root, step.path[:-1])
    if step.kind == "field-removed":
        del parent[step.path[-1]]
    else:
        parent[step.path[-1]] = step.new


def _keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Edit]:
    before, after = old.get("keys", {}), new.get("keys", {})
    sides = [before, after]
    if not all(isinstance(s, dict) and all(isinstance(k, dict) for k in s.values()) for s in sides):
        return
    heirs: dict[bytes, list[str]] = {}
    for keyid in sorted(after.keys() - before.keys(), reverse=True):
        heirs.setdefault(_identity(keyid, after[keyid]), []).append(keyid)
    inherited = set()
    for keyid in sorted(before.keys() - after.keys()):
        was = _key_value(keyid, before[keyid], old)
        if heir := heirs.get(_identity(keyid, before[keyid])):
            inherited.add(heir[-1])
            yield Edit("key-renamed", ("keys", keyid), was, _key_value(heir[-1], after[heir.pop()], new))
        else:
            yield Edit("key-removed", ("keys", keyid), was, None)
    for keyid in sorted(after.keys() - before.keys() - inherited):
        yield Edit("key-added", ("keys", keyid), None, _key_value(keyid, after[keyid], new))
    for keyid in sorted(before.keys() & after.keys()):
        if _identity(keyid, before[keyid]) != _identity(keyid, after[keyid]):
            was = _key_value(keyid, before[keyid], old)
            yield Edit("key-changed", ("keys", keyid), was, _key_value(keyid, after[keyid], new))


def _identity(keyid: str, key: dict[str, Any]) -> bytes:
    read = Key.from_dict(keyid, key)
    return read.spki or repr((key.get("keytype", key.get("type")), key.get("keyval"))).encode("utf-8", "surrogatepass")


def _key_value(keyid: str, key: dict[str, Any], signed: Mapping[str, Any]) -> dict[str, Any]:
    steps = named(signed.get("steps", [])) or {}
    serves = [name for name, s in steps.items() if isinstance(s.get("pubkeys"), list) and keyid in s["pubkeys"]]
    return {"keyid": keyid, "key": key, "roles": serves}


def _order(old: Mapping[str, Any], new: Mapping[str, Any], part: str) -> Iterator[Edit]:
    """Steps or inspections that come, go, or change places."""
    before, after = named(old.get(part, [])), named(new.get(part, []))
    if before is None or after is None or part not in new:
        return
    was, now, kind = list(before), list(after), _KINDS[part]
    stayed = [n for n in was if n in after], [n for n in now if n in before]
    blocks = SequenceMatcher(None, *stayed, autojunk=False).get_matching_blocks()
    calm = {n for b in blocks for n in stayed[0][b.a : b.a + b.size]}
    for place, name in enumerate(was):
        if name not in after:
            yield Edit(f"{kind}-removed", (part, name), {"position": place, "value": before[name]}, None)
        elif name not in calm:
            yield Edit(f"{kind}-reordered", (part, name), {"position": place}, {"position": now.index(name)})
    for place, name in enumerate(now):
        if name not in before:
            yield Edit(f"{kind}-added", (part, name), None, {"position": place, "value": after[name]})


def _members(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Edit]:
    """Functionaries who join or leave a step that stays."""
    before, after = named(old.get("steps", [])) or {}, named(new.get("steps", [])) or {}
    for name in (n for n in after if n in before):
        was, now = before[name].get("pubkeys"), after[name].get("pubkeys")
        if not (_distinct(was) and _distinct(now)):
            continue
        path = ("steps", name, "pubkeys")
        for keyid in (i for i in was if i not in now):
            yield Edit("key-removed", (*path, keyid), {"keyid": keyid, "roles": [name]}, None)
        for place, keyid in enumerate(now):
            if keyid not in was:
                yield Edit("key-added", (*path, keyid), None, {"keyid": keyid, "roles": [name], "places": [place]})


def _distinct(ids: Any) -> TypeGuard[list[str]]:
    return isinstance(ids, list) and all(isinstance(i, str) for i in ids) and len(set(ids)) == len(ids)


def _fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Edit]:
    """Every other difference, member by member, and step by step."""
    for edit in _plain(old, new, ()):
        inside = _same_names(edit) if edit.path in (("steps",), ("inspect",)) else None
        if inside is None:
            yield _typed(edit)
            continue
        for name, (was, now) in inside.items():
            for inner in _plain(was, now, (*edit.path, name)):
                yield _typed(inner)


def _same_names(edit: Edit) -> dict[str, tuple[dict[str, Any], dict[str, Any]]] | None:
    before, after = named(edit.old), named(edit.new)
    if before is None or after is None or list(before) != list(after):
        return None
    return {name: (before[name], after[name]) for name in before}


def _typed(edit: Edit) -> Edit:
    """The kind that in-toto's language has for an edit of a field, where it has one."""
    path, both = edit.path, (edit.old, edit.new)
    kind = edit.kind
    if path == ("expires",) and all(isinstance(v, str) or v is None for v in both) and kind != "field-removed":
        kind = "expiry-changed"
    elif len(path) == 3 and path[0] == "steps" and path[2] == "threshold" and all(type(v) is int for v in both):
        kind = "threshold-changed"
    elif (
        len(path) == 3
        and path[0] in _KINDS
        and path[2] in _COMMANDS_AND_RULES
        and all(isinstance(v, list) for v in both)
    ):
        kind = f"{_KINDS[path[0]]}-changed"
    return Edit(kind, path, edit.old, edit.new)


def _plain(old: Mapping[str, Any], new: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Edit]:
    for name in sorted(old.keys() | new.keys()):
        at = (*path, name)
        if name not in old:
            yield Edit("field-added", at, None, new[name])
        elif name not in new:
            yield Edit("field-removed", at, old[name], None)
        elif isinstance(old[name], dict) and isinstance(new[name], dict):
            yield from _plain(old[name], new[name], at)
        elif not same(old[name], new[name]):
            yield Edit("field-changed", at, old[name], new[name])
