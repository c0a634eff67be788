"""What a delegation is for: PEP 480 has a delegatee sign nothing, and delegate nothing, that it was not given."""

from __future__ import annotations

from collections.abc import Mapping

from vestry.metadata.delegation_index import Index, Pattern
from vestry.metadata.document import Document, role_entry
from vestry.metadata.rules_delegations import patterns
from vestry.metadata.rules_names import fits


def above(role: str, documents: Mapping[str, Document]) -> tuple[str, ...]:
    """The delegated roles of `documents` from which delegations lead to `role`; itself is not among them."""
    found = [role]
    for name in found:
        for other, document in documents.items():
            if document.type == "targets" and other not in found and role_entry(document, name) is not None:
                found.append(other)
    return tuple(found[1:])


def given(delegator: Document, role: str) -> tuple[Pattern, ...]:
    """What `delegator` gives to a delegated role, as ("path", pattern) and ("prefix", hash prefix); of hash bins
    (TAP 15), the prefixes of that bin."""
    entry = role_entry(delegator, role)
    if entry is None:
        return ()
    if "bit_length" in entry:
        bits, number = entry["bit_length"], int(role.rpartition("-")[2], 16)
        digits = -(-bits // 4)
        first = number << (4 * digits - bits)
        return tuple(("prefix", f"{p:0{digits}x}") for p in range(first, first + (1 << (4 * digits - bits))))
    return tuple(patterns(entry))


def allows(delegator: Document, role: str, path: str) -> bool:
    """Whether a target path is among what `delegator` gives to `role`."""
    return any(fits(kind, pattern, path) for kind, pattern in given(delegator, role))


def covers(delegator: Document, role: str, pattern: Pattern) -> bool:
    """Whether every path under `pattern` is among what `delegator` gives to `role`, as far as one of its patterns alone
    shows."""
    index = Index()
    index.add(0, list(given(delegator, role)))
    return index.first(pattern, 1, "covers") is not None


def place(delegator: Document, role: str, name: str) -> tuple[str, ...]:
    """Target paths that a file of this name can have under `role`: the bare name where that is given to it, else the
    name in each folder that a pattern has before its last slash, if the folder has no wildcards."""
    listed = given(delegator, role)
    if allows(delegator, role, name):
        return (name,)
    folders = dict.fromkeys(pattern.rpartition("/")[0] for kind, pattern in listed if kind == "path" and "/" in pattern)
    paths = (f"{folder}/{name}" for folder in folders if not any(ch in folder for ch in "*?["))
    return tuple(path for path in paths if allows(delegator, role, path))
