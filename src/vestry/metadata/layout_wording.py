"""What a change of an in-toto layout means, in one sentence, and how dangerous it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vestry.metadata import quoting
from vestry.metadata.edits import Edit
from vestry.metadata.quoting import clip
from vestry.metadata.wording import key_label, owner
from vestry.text import Safe, printable

_COMMAND = 1000
"""Commands and rules decide what runs on other people's machines: characters of one that are shown."""

_FIELDS = {
    "expected_command": "expected command",
    "expected_materials": "material rules",
    "expected_products": "product rules",
    "run": "command",
}


class LayoutWording:
    """Sentences about the edits between two layouts."""

    def __init__(
        self, old: Mapping[str, Any] | None, new: Mapping[str, Any], known: Callable[[str], str], digits: int
    ) -> None:
        self._old, self._new, self._known, self._digits = old, new, known, digits

    def sentence(self, edit: Edit) -> Safe:
        """One sentence without its full stop."""
        if edit.kind.startswith("key-"):
            return printable(self._key(edit))
        if edit.path == ("expires",):
            return printable(self._expires(edit))
        what = _what(edit.path)
        if edit.kind.startswith(("step-", "inspection-")) and not edit.kind.endswith("-changed"):
            return printable(f"{what} {self._moved(edit)}")
        if edit.kind == "threshold-changed":
            return printable(f"{what}: threshold {'falls' if edit.new < edit.old else 'rises'} {_from_to(edit)}")
        if edit.kind in ("step-changed", "inspection-changed"):
            return printable(f"{what}: {_content(edit)}")
        if what and edit.path[2:] == ("pubkeys",) and edit.kind == "field-changed":
            return printable(f"{what}: its functionaries are listed in another order")
        place = (
            f"{what}: field {clip(quoting.place(edit.path[2:]))}" if what else f"Field {clip(quoting.place(edit.path))}"
        )
        if edit.path[0] == "keys" and len(edit.path) > 2:
            place = f"{self._label(edit.path[1])}: field {clip(quoting.place(edit.path[2:]))}"
        return printable(f"{place} {_set(edit)}")

    def roles(self, edit: Edit) -> tuple[str, ...]:
        """The steps that an edit is about."""
        if edit.kind.startswith("key-"):
            return tuple(dict.fromkeys(r for side in (edit.old, edit.new) if side for r in side["roles"]))
        return (edit.path[1],) if edit.path[0] == "steps" and len(edit.path) > 1 else ()

    def danger(self, edit: Edit) -> int:
        """0 (bookkeeping) to 99 (decides whom or what verifiers trust, or what runs on their machines)."""
        kind, path = edit.kind, edit.path
        if kind.startswith("key-"):
            return _KEYS[kind] if self.roles(edit) else 40
        if kind == "threshold-changed":
            return 90 if edit.new < edit.old else 82
        if path[0] == "inspect":
            return 88 if path[2:] in ((), ("run",)) else 76
        if path[0] == "steps":
            return 52 if path[2:] == ("expected_command",) else 76
        return {"expires": 45, "readme": 10, "_type": 10}.get(path[0], 55)

    def _label(self, keyid: str) -> str:
        keys = [side.get("keys") for side in (self._new, self._old or {})]
        objects = [k[keyid] for k in keys if isinstance(k, dict) and isinstance(k.get(keyid), dict)]
        name = next(filter(None, [self._known(keyid), *(owner(key) for key in objects)]), "")
        return key_label(keyid, name, self._digits)

    def _key(self, edit: Edit) -> str:
        value = edit.new or edit.old
        label, steps = self._label(value["keyid"]), _steps(value["roles"])
        if len(edit.path) > 2:
            joins = edit.kind == "key-added"
            low = label[:1].lower() + label[1:]
            return f"{_what(edit.path)}: {low} {'is added to' if joins else 'is taken from'} its functionaries"
        if edit.kind == "key-added":
            return f"{label}, {_scheme(value['key'])}, is listed: {steps}"
        if edit.kind == "key-removed":
            return f"{label} is dropped; before, {steps}"
        if edit.kind == "key-renamed":
            was = self._label(edit.old["keyid"])
            return (
                f"{was} is the same key under another key id, {clip(value['keyid'], self._digits, tell=False)}: {steps}"
            )
        return f"{label} keeps its key id, but another key stands behind it: {steps}"

    def _expires(self, edit: Edit) -> str:
        if edit.kind == "field-removed":
            return f"Expiry is dropped (it was {quoting.one(edit.old)})"
        return f"Expires {quoting.one(edit.new)}" + (f" instead of {quoting.one(edit.old)}" if edit.old else "")

    def _moved(self, edit: Edit) -> str:
        if edit.new is None:
            return "is dropped"
        place = edit.new["position"] + 1
        if edit.old is not None:
            return f"moves from place {edit.old['position'] + 1} to {place}"
        thing = edit.new["value"]
        if edit.path[0] == "inspect":
            return f"is added at place {place}; verifiers run: {clip(_line(thing.get('run', [])), _COMMAND)}"
        ids = thing.get("pubkeys", [])
        count = len(ids) if isinstance(ids, list) else 0
        needs = f"{quoting.one(thing.get('threshold'))} of {count} {'key' if count == 1 else 'keys'}"
        command = clip(_line(thing.get("expected_command", [])), _COMMAND)
        return f"is added at place {place}: {needs}, expected command: {command}"


def _what(path: tuple[str, ...]) -> str:
    kind = {"steps": "Step", "inspect": "Inspection"}.get(path[0])
    return f"{kind} {clip(path[1], 60)}" if kind and len(path) > 1 else ""


def _content(edit: Edit) -> str:
    what = _FIELDS[edit.path[2]]
    if edit.path[2] in ("run", "expected_command"):
        runs = ", which verifiers run," if edit.path[2] == "run" else ""
        was, now = quoting.texts(_line(edit.old), _line(edit.new), _COMMAND)
        return f"{what}{runs} changes from {was} to {now}"
    gone = [r for r in edit.old if r not in edit.new]
    come = [r for r in edit.new if r not in edit.old]
    parts = [f"lose {_some(gone)}"] * bool(gone) + [f"gain {_some(come)}"] * bool(come)
    return f"{what} {' and '.join(parts) or 'come in another order or number'}"


def _some(rules: Sequence[Any]) -> str:
    shown = "; ".join(clip(_line(r), _COMMAND) for r in rules[:6])
    return shown + (f" and {len(rules) - 6:,} more" if len(rules) > 6 else "")


def _line(words: Any) -> str:
    """A command or rule, word for word: quoted where a space or nothing would blur where a word ends."""
    if not isinstance(words, list) or not words:
        return "nothing" if words == [] else quoting.one(words)
    quoted = [w if isinstance(w, str) and w and not set(w) & set(" \"'") else json.dumps(w) for w in words]
    return " ".join(quoted)


def _steps(names: Sequence[str]) -> str:
    if not names:
        return "it serves no step"
    shown = ", ".join(clip(n, 60) for n in names[:4]) + (f" and {len(names) - 4:,} more" if len(names) > 4 else "")
    return f"it serves {'step' if len(names) == 1 else 'steps'} {shown}"


def _scheme(key: Mapping[str, Any]) -> str:
    """How a key signs; GPG keys have a method in place of a scheme."""
    found = [key.get(field) for field in ("scheme", "method", "keytype", "type")]
    return clip(next((f for f in found if isinstance(f, str)), "of no known kind"), 40)


def _set(edit: Edit) -> str:
    if edit.kind == "field-added":
        return f"is {quoting.one(edit.new)}"
    if edit.kind == "field-removed":
        return f"is dropped (it was {quoting.one(edit.old)})"
    return f"changes {_from_to(edit)}"


def _from_to(edit: Edit) -> str:
    was, now = quoting.pair(edit.old, edit.new)
    return f"from {was} to {now}"


_KEYS = {"key-changed": 94, "key-added": 84, "key-removed": 80, "key-renamed": 60}
