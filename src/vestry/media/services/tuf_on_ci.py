"""A checkout of a tuf-on-ci repository in a signing event: documents with empty places for signatures.

    metadata/ROLE.json, metadata/root_history/N.root.json (the newest equals root.json)
    metadata/.signing-event-state    {"invites": {"@user": ["ROLE", …]}}

Vestry fills in ``sig`` and touches nothing else; git carries the checkout on. Who may sign root are the keys of this
root and of the one before; everyone else's keys stand in the documents of the event itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from vestry.errors import InputRejected, NotTrusted
from vestry.media import drives
from vestry.media.services.incoming import Incoming, Pending
from vestry.metadata import document, intake
from vestry.metadata.document import Document, Signature
from vestry.text import printable

LIMIT = 64 << 20
STATE = ".signing-event-state"
_ONLINE = ("timestamp", "snapshot")
_ROLES_LIMIT = 2000


def is_checkout(folder: Path) -> bool:
    """Whether a folder looks like such a checkout: no document of it has a version in its name."""
    base = folder / "metadata"
    return (base / "root.json").is_file() and not any(base.glob("[0-9]*.json"))


def signed(folder: Path) -> tuple[Pending, ...]:
    """All documents of the checkout, with the signatures in them; see `incoming`."""
    return tuple(Pending(role, found) for role, found in _documents(folder / "metadata").items())


def incoming(folder: Path) -> Incoming:
    """The documents that wait for signatures.

    Raises:
        InputRejected: a file is malformed, the state of the event is, or root's history does not fit.
        NotTrusted: nothing here delegates to a role.
    """
    base = folder / "metadata"
    found = _documents(base)
    root = found.get("root")
    if root is None:
        raise _bad("there is no root here", base)
    before = _before(base, root)
    waiting = [
        Pending(role, doc, before if role == "root" else _delegator(role, found, base))
        for role, doc in found.items()
        if role not in _ONLINE and any(not s.sig for s in doc.signatures)
    ]
    remarks = tuple(
        f"{printable(user, 60)} is invited to {printable(', '.join(roles), 200)}: their key is still to come, "
        f"and what they join will change"
        for user, roles in _invites(base).items()
    )
    return Incoming("tuf-on-ci, a signing event", tuple(waiting), "tuf-on-ci", remarks=remarks)


def write(folder: Path, role: str, signed: Document, signatures: Iterable[Signature]) -> tuple[str, ...]:
    """Put signatures into their places in the checkout's document of `role`, and sync it.

    Returns:
        The files written, relative to the folder.

    Raises:
        InputRejected: the checkout holds another document, or has no place for a signature.
        MediumTrouble: it cannot be written.
    """
    base = folder / "metadata"
    path = base / f"{role}.json"
    here = document.read(intake.read_file(path, limit=LIMIT), where=printable(str(path), 200))
    if here.digest != signed.digest:
        raise _bad("the checkout holds another version of this document than was signed", path)
    value = json.loads(here.raw)
    places: dict[str, dict[str, Any]] = {entry["keyid"]: entry for entry in value["signatures"]}
    for signature in signatures:
        if signature.keyid not in places:
            raise _bad(f"it has no place for a signature of key {printable(signature.keyid[:8])}", path)
        places[signature.keyid]["sig"] = signature.sig
    # As python-tuf writes a document, since tuf-on-ci compares files.
    content = json.dumps(value, indent=1, separators=(",", ": "), sort_keys=True).encode()
    names = [f"metadata/{role}.json"] + [f"metadata/root_history/{signed.version}.root.json"] * (role == "root")
    for name in names:
        drives.write_file(folder / name, content)
    return tuple(names)


def _documents(base: Path) -> dict[str, Document]:
    found = {}
    paths = sorted(p for p in base.glob("*.json") if not p.name.startswith("."))
    if len(paths) > _ROLES_LIMIT:
        raise _bad(f"more than {_ROLES_LIMIT} documents are here", base)
    for path in paths:
        read = document.read(intake.read_file(path, limit=LIMIT), where=printable(str(path), 200))
        found[unquote(path.name.removesuffix(".json"))] = read
    return found


def _before(base: Path, root: Document) -> Document | None:
    """The root before this one. Of this version, the history holds a copy, which must be the same."""
    history = base / "root_history"
    copy = history / f"{root.version}.root.json"
    if copy.exists() and intake.read_file(copy, limit=LIMIT) != root.raw:
        raise _bad("it is not the root.json of this version, as it should be", copy)
    if root.version == 1:
        return None
    path = history / f"{root.version - 1}.root.json"
    return document.read(intake.read_file(path, limit=LIMIT), where=printable(str(path), 200))


def _delegator(role: str, found: Mapping[str, Document], base: Path) -> Document:
    above = found.get("root" if role == "targets" else "targets")
    if above is None or document.role_entry(above, role) is None:
        raise NotTrusted(
            f"no document here delegates to {printable(role, 60)}",
            where=printable(str(base), 200),
            do="bring the whole checkout",
            code="E-CHAIN",
        )
    return above


def _invites(base: Path) -> Mapping[str, list[str]]:
    path = base / STATE
    if not path.exists():
        return {}
    value = intake.parse(intake.read_file(path, limit=1 << 20), where=printable(str(path), 200))
    invites = value.get("invites") if isinstance(value, dict) else None
    if not isinstance(invites, dict) or not all(
        isinstance(roles, list) and all(isinstance(role, str) for role in roles) for roles in invites.values()
    ):
        raise _bad("it does not say who is invited", path)
    return invites


def _bad(what: str, path: Path) -> InputRejected:
    return InputRejected(
        what, where=printable(str(path), 200), do="bring the checkout of the signing event again", code="E-SERVICE"
    )
