"""The documents of a ceremony, drafted from its script and keys: a pure function, so that anyone can do it again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from vestry.errors import InputRejected, Refused
from vestry.metadata import document, drafting
from vestry.metadata.keys import Key
from vestry.text import printable

if TYPE_CHECKING:
    from vestry.ceremony.script import KeySpec
    from vestry.ceremony.state import State

FILE_NAMES = "{version}.{role}.json"
REHEARSAL_FIELD = "x-vestry-rehearsal"


def file_name(role: str, version: int) -> str:
    """Name of a signed document under consistent snapshots (TUF 1.0.34, section 6)."""
    return FILE_NAMES.format(version=version, role=role)


def predecessor_key(state: State, spec: KeySpec) -> Key:
    """The key of the trusted root that `spec.keyid`, whole or its first characters, stands for."""
    if state.predecessor is None:
        raise InputRejected(f"key '{spec.name}' has a key id, but there is no predecessor", where="script")
    found = [k for i, k in document.keys(state.predecessor).items() if i.startswith(spec.keyid)]
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
        return predecessor_key(state, spec)
    facts = state.keys.get(spec.name)
    if facts is None:
        raise Refused(f"key '{spec.name}' was not generated yet{_skipped(state, spec.token)}")
    return Key.from_pem(facts.public, facts.scheme, where=f"key '{spec.name}'")


def _skipped(state: State, token: str) -> str:
    """Which skipped step would have brought the keys of `token`."""
    for index in state.skipped:
        step = state.script.steps[index]
        if token in getattr(step, "tokens", ()):
            return f": step {index + 1}, '{printable(step.title)}', was skipped; repeat it first"
    return ""


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
    return Key.from_pem(state.online, state.script.online_scheme, where=state.script.online.name)


def reference_time(state: State) -> datetime:
    """Midnight UTC of the script's date, or of the day the transcript was opened; lives of roles count from here."""
    day = state.script.date or state.opened_at[:10]
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def drafted_roles(state: State) -> tuple[str, ...]:
    """The roles whose documents this ceremony makes, from the delegating to the delegated."""
    script = state.script
    return tuple(
        role
        for role, spec in (("root", script.root), ("targets", script.targets), ("bins", script.bins))
        if spec is not None and (script.kind == "root" or role == "root")
    )


def draft(state: State, role: str) -> bytes:
    """The unsigned file of `role`, as bytes.

    Raises:
        Refused: a key is missing.
    """
    start = reference_time(state)
    extra = _marks(state)
    online = online_key(state)
    if role == "root":
        return _root(state, start + timedelta(days=state.script.root.days), online, extra)
    if role == "targets" and state.script.targets and state.script.bins:
        return drafting.targets_with_bins(
            version=1,
            expires=start + timedelta(days=state.script.targets.days),
            bins_threshold=state.script.bins.threshold,
            bins_keys=_keys(state, "bins"),
            extra=extra,
        )
    if role == "bins" and state.script.bins and online:
        return drafting.bins(
            version=1,
            expires=start + timedelta(days=state.script.bins.days),
            number=state.script.bins.number,
            online=online,
            style=state.script.bins.style,
            extra=extra,
        )
    raise Refused(f"the script does not describe a document '{role}'")


def _root(state: State, expires: datetime, online: Key | None, extra: Mapping[str, object]) -> bytes:
    script = state.script
    roles: dict[str, tuple[int, list[Key]]] = {}
    if script.targets and _keys(state, "targets"):
        roles["targets"] = (script.targets.threshold, _keys(state, "targets"))
    if online:
        roles["timestamp"] = roles["snapshot"] = (1, [online])
    root = (script.root.threshold, _keys(state, "root"))
    if state.predecessor is not None:
        return drafting.next_root(state.predecessor, expires=expires, root=root, roles=roles, extra=extra or None)
    return drafting.root(version=1, expires=expires, roles={"root": root, **roles}, extra=extra)


def _keys(state: State, role: str) -> list[Key]:
    return [ceremony_key(state, spec) for spec in state.script.keys_of(role)]


def _marks(state: State) -> Mapping[str, object]:
    # Custom fields are signed and kept by clients, so a practice document can never pass for a real one.
    return {REHEARSAL_FIELD: "made in a rehearsal; never publish"} if state.script.rehearsal else {}
