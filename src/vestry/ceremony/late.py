"""Seals that people add after the ceremony, elsewhere: files in ``seals/`` beside the transcript, which stays as it is.

Each names the transcript's last head and the key it was made with, so that it holds or not by itself; gathering them
is copying files together, and no two have the same name. Whose key it is, the script says, or nothing does.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from vestry.ceremony import seal, seal_keys
from vestry.ceremony.drafts import ceremony_key
from vestry.ceremony.state import State
from vestry.errors import NotTrusted, VestryError
from vestry.metadata import intake
from vestry.text import printable

FOLDER = "seals"
_LIMIT = 256 * 1024
_SAID = frozenset(("person", "agree", "reason", "key"))
_NAMED = frozenset(("ceremony", "rehearsal", "script", "transcript", "software"))


@dataclass(frozen=True)
class LateSeal:
    """A file of ``seals/`` and what it is worth: ``recomputed`` where its key is one that the script names for that
    person, ``witnessed`` where whose key it is rests on who brought it. What it says is printable; empty if it failed.
    """

    file: str
    verdict: Literal["recomputed", "witnessed", "failed"]
    why: str
    person: str = ""
    agree: bool = False
    reason: str = ""
    keyid: str = ""


def file_name(person: str, envelope: str) -> str:
    """``PERSON-DIGEST.json``: the first 16 digits of the file's SHA-256, so that one never takes another's place."""
    return f"{file_safe(person)}-{hashlib.sha256(envelope.encode()).hexdigest()[:16]}.json"


def file_safe(name: str) -> str:
    """A person's name as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower() or "person"


def keys_of(state: State, person: str) -> frozenset[str]:
    """The identities of the keys with which `person` seals: the one that the script names, and their root keys here."""
    named = next((p.key for p in state.script.people if p.name == person), None)
    found = {seal_keys.identity(seal_keys.read(state.inputs[named.name], where=person))} if named is not None else set()
    for spec in state.script.keys:
        if spec.holder == person and state.script.sealing_role in spec.roles:
            with suppress(VestryError):  # not made yet
                found.add(ceremony_key(state, spec).fingerprint)
    return frozenset(found)


def whose(state: State, person: str, key: Mapping[str, Any]) -> bool:
    """Whether the script says that `key` is `person`'s; False where it names neither.

    Raises:
        NotTrusted: the script names another key for that person, or another person for that key.
    """
    mine, identity, name = keys_of(state, person), seal_keys.identity(key), printable(person, 80)
    if identity in mine:
        return True
    if mine:
        raise NotTrusted(f"it is by another key than the script names for {name}")
    other = next((p.name for p in state.script.people if identity in keys_of(state, p.name)), "")
    if other:
        raise NotTrusted(f"it is by the key of {printable(other, 80)}, and in the name of {name}")
    return False


def read(folder: Path, own: Collection[str]) -> Iterator[tuple[str, bytes | VestryError]]:
    """Every file of ``seals/`` that is not among `own`, by name, or why it can't be read."""
    try:
        paths = sorted(p for p in (folder / FOLDER).iterdir() if p.name not in own)
    except OSError:
        return
    for path in paths:
        try:
            yield path.name, intake.read_file(path, limit=_LIMIT)
        except VestryError as error:
            yield path.name, error


def judge_all(head: str, state: State | None, folder: Path) -> tuple[LateSeal, ...]:
    """The verdict on each late seal beside the transcript that ends with `head` and `state` (None where line 0 is
    withheld, or can't be folded)."""
    own = {f"{file_safe(person)}.json" for person in state.seals} if state is not None else set()
    found = [
        LateSeal(name, "failed", str(printable(str(raw))))
        if isinstance(raw, VestryError)
        else judge(name, raw, head, state)
        for name, raw in read(folder, own)
    ]
    before = [printable(p) for p in state.seals] if state is not None else []
    people = [*before, *(x.person for x in found if x.person)]
    more = {p for p in people if people.count(p) > 1}
    return tuple(replace(x, why=f"{x.why}; not the only seal in this name") if x.person in more else x for x in found)


def judge(name: str, raw: bytes, head: str, state: State | None) -> LateSeal:
    """The verdict on one late seal; see `judge_all`."""
    try:
        sealed = seal.opened(raw, where=str(printable(name)))
        said = _predicate(sealed.payload)
        key = seal_keys.checked(said["key"], where="its key")
        if sealed.keyid != seal_keys.keyid(key):
            raise NotTrusted("it names another key than the one it was made with")
        if not seal_keys.verifies(key, sealed.signature, sealed.signed, sealed.headers):
            raise NotTrusted("its signature does not hold")
        _about(sealed.payload, said, head, state)
        verdict, why = _whose(said["person"], key, state)
    except VestryError as error:
        return LateSeal(name, "failed", str(printable(error.what)))
    person, reason = str(printable(said["person"], 80)), str(printable(said["reason"]))
    return LateSeal(name, verdict, why, person, said["agree"], reason, sealed.keyid)


def _predicate(payload: bytes) -> dict[str, Any]:
    value = intake.parse(payload, where="what was sealed")
    predicate = value.get("predicate") if isinstance(value, dict) else None
    if not isinstance(predicate, dict) or value.get("predicateType") != seal.PREDICATE_TYPE:
        raise NotTrusted("it is not a seal of a ceremony")
    if "key" not in predicate:
        raise NotTrusted("it was made in a ceremony, and this transcript has no line with it")
    shape = [predicate.get("person"), predicate.get("reason"), predicate.get("agree")]
    typed = [type(x) for x in shape] == [str, str, bool]
    if set(predicate) != _SAID | _NAMED or not typed or seal.written(value) != payload:
        raise NotTrusted("it is not written as a seal is")
    return predicate


def _about(payload: bytes, said: Mapping[str, Any], head: str, state: State | None) -> None:
    """Refuse unless it is about this transcript, all of it. What is withheld can't be compared."""
    if said["transcript"] != {"head": head}:
        raise NotTrusted("it names another head than the last of this transcript")
    if not said["agree"] and not said["reason"].strip():
        raise NotTrusted("it does not agree, and gives no reason")
    if state is None:
        return
    expected = seal.late_statement(state, said["person"], said["agree"], said["reason"], said["key"])
    wanted = json.loads(expected)["predicate"]
    if state.withheld:
        fits = all(said[name] == wanted[name] for name in ("ceremony", "rehearsal", "script"))
    else:
        fits = payload == expected
    if not fits:
        raise NotTrusted("it says something else than the transcript")


def _whose(person: str, key: Mapping[str, Any], state: State | None) -> tuple[Literal["recomputed", "witnessed"], str]:
    name = printable(person, 80)
    holds = "the statement is about this transcript and its signature verifies"
    if state is None:
        return "witnessed", f"{holds}; that the key is {name}'s rests on who brought it: the script is withheld"
    if whose(state, person, key):
        return "recomputed", f"{holds} with the key that the script names for {name}"
    who = "no key for" if any(p.name == person for p in state.script.people) else "nobody called"
    return "witnessed", f"{holds}; that the key is {name}'s rests on who brought it: the script names {who} {name}"
