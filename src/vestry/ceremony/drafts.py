"""The documents of a ceremony, drafted from its script and keys: a pure function, so that anyone can do it again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from vestry.errors import InputRejected, Refused
from vestry.metadata import document, drafting, layout, services
from vestry.metadata.document import Document
from vestry.metadata.keys import Key
from vestry.text import printable

if TYPE_CHECKING:
    from vestry.ceremony.script import BinsSpec, KeySpec, RoleSpec, Script
    from vestry.ceremony.state import State

FILE_NAMES = "{version}.{role}.json"
_DOCUMENTS = ("predecessor", "targets", "bins", "draft", "before", "delegator")
REHEARSAL_FIELD = "x-vestry-rehearsal"


def file_name(role: str, version: int) -> str:
    """Name of a signed document under consistent snapshots (TUF 1.0.34, section 6). A layout, which has no version, is
    called as in-toto's own tools call it."""
    if not version:
        return "root.layout"
    return FILE_NAMES.format(version=version, role=role)


def known_key(state: State, spec: KeySpec) -> Key:
    """The key that existed before this ceremony: the file of its public half, or what `spec.keyid`, whole or its first
    characters, stands for in the predecessor or the delegating document."""
    if spec.public is not None:
        return Key.from_pem(state.inputs[spec.public.name], spec.scheme, where=spec.public.path)
    naming = state.known.get("delegator") or state.predecessor
    if naming is None:
        raise InputRejected(f"key '{spec.name}' has a key id, but there is no predecessor", where="script")
    found = [k for i, k in document.keys(naming).items() if i.startswith(spec.keyid)]
    if len(found) != 1:
        raise InputRejected(
            f"key id {spec.keyid} of '{spec.name}' stands for {len(found)} keys of the predecessor",
            where="script",
            do="write the whole key id",
        )
    return found[0]


def ceremony_key(state: State, spec: KeySpec) -> Key:
    """The TUF key that a script's key stands for, as generated or as the predecessor names it.

    Raises:
        Refused: it was not generated yet.
    """
    if not spec.new:
        return known_key(state, spec)
    facts = state.keys.get(spec.name)
    if facts is None:
        raise Refused(f"key '{spec.name}' was not generated yet{_skipped(state, spec.token)}")
    return made_key(state.script, spec, Key.from_pem(facts.public, facts.scheme, where=f"key '{spec.name}'"))


def made_key(script: Script, spec: KeySpec, key: Key) -> Key:
    """`key`, which a token made as `spec`, as the documents name it: RSTUF has the holder's name in it."""
    return services.with_fields(key, services.key_fields("rstuf", spec.holder)) if script.rstuf else key


def _skipped(state: State, token: str) -> str:
    """Which skipped step would have brought the keys of `token`."""
    for index in state.skipped:
        step = state.script.steps[index]
        if token in getattr(step, "tokens", ()):
            return f": step {index + 1}, '{printable(step.title)}', was skipped; repeat it first"
    return ""


def known_documents(inputs: Mapping[str, bytes]) -> Mapping[str, Document]:
    """The documents among a script's inputs.

    Raises:
        InputRejected: one of them is not what its name says.
    """
    return {name: layout.read_strictly(raw, where=name) for name, raw in inputs.items() if name in _DOCUMENTS}


def holders(state: State) -> dict[str, str]:
    """Names of holders by key id, as far as keys are made; the online key goes by that name."""
    known = [k for k in state.script.keys if not k.new or k.name in state.keys]
    names = {ceremony_key(state, k).keyid: k.holder for k in known}
    online = online_key(state)
    return {online.keyid: "the online key", **names} if online else names


def online_key(state: State) -> Key | None:
    """The online key, imported as a public key; None where the script has none."""
    if state.script.online is None:
        return None
    name = state.script.online.name
    key = Key.from_pem(state.inputs[name], state.script.online_scheme, where=name)
    if state.script.rstuf is None:
        return key
    return services.with_fields(key, services.rstuf_online_fields(key, state.script.rstuf.online_key_uri))


def reference_time(state: State) -> datetime:
    """Midnight UTC of the script's date, or of the day the transcript was opened; lives of roles count from here."""
    day = state.script.date or state.opened_at[:10]
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def draft(state: State, role: str) -> Document:
    """The unsigned document of `role`.

    Raises:
        Refused: a key is missing.
        InputRejected: an input can't be followed.
    """
    script, start, where = state.script, reference_time(state), f"draft of {role}"
    if script.given is not None and role == script.given.role:
        given = state.known["draft"]
        if given.type == layout.TYPE and (why := layout.differs(given)):
            raise InputRejected(f"in-toto would read another layout than is signed: {printable(why)}", where=where)
        return layout.with_signatures(given, ())
    if role == "root" and script.root:
        return document.read(_root(state, script.root, start), where=where)
    if role == "targets" and script.targets:
        return document.read(_targets(state, script.targets, start), where=where)
    if role == "bins" and script.bins:
        return document.read(_bins(state, script.bins, start), where=where)
    raise Refused(f"the script does not describe a document '{role}'")


def _targets(state: State, spec: RoleSpec, start: datetime) -> bytes:
    bins = (state.script.bins.threshold, _keys(state, "bins")) if state.script.bins else None
    expires, extra = start + timedelta(days=spec.days), _marks(state)
    if before := state.before("targets"):
        new = {"bins": bins} if bins else {}
        return drafting.rekeyed(before, expires=expires, keys=new.get, version=spec.version, extra=extra)
    if bins is None:
        raise Refused("the script does not say who signs bins")
    return drafting.targets_with_bins(
        version=1, expires=expires, bins_threshold=bins[0], bins_keys=bins[1], extra=extra
    )


def _bins(state: State, spec: BinsSpec, start: datetime) -> bytes:
    expires, extra, online = start + timedelta(days=spec.days), _marks(state), online_key(state)
    if before := state.before("bins"):
        new = (1, [online]) if online else None
        return drafting.rekeyed(before, expires=expires, keys=lambda _: new, version=spec.version, extra=extra)
    if online is None:
        raise Refused("the script names no online key")
    return drafting.bins(version=1, expires=expires, number=spec.number, online=online, style=spec.style, extra=extra)


def _root(state: State, spec: RoleSpec, start: datetime) -> bytes:
    script, online, extra = state.script, online_key(state), _marks(state)
    expires = start + timedelta(days=spec.days)
    roles: dict[str, tuple[int, list[Key]]] = {}
    if script.targets and _keys(state, "targets"):
        roles["targets"] = (script.targets.threshold, _keys(state, "targets"))
    if online:
        roles["timestamp"] = roles["snapshot"] = (1, [online])
        if script.rstuf:
            roles["targets"] = (1, [online])
    root = (spec.threshold, _keys(state, "root"))
    if state.predecessor is not None:
        return drafting.next_root(state.predecessor, expires=expires, root=root, roles=roles, extra=extra or None)
    return drafting.root(version=1, expires=expires, roles={"root": root, **roles}, extra=extra)


def _keys(state: State, role: str) -> list[Key]:
    return [ceremony_key(state, spec) for spec in state.script.keys_of(role)]


def _marks(state: State) -> Mapping[str, object]:
    # Custom fields are signed and kept by clients, so a practice document can never pass for a real one.
    return {REHEARSAL_FIELD: "made in a rehearsal; never publish"} if state.script.rehearsal else {}
