"""What differs between a last good version of a role and the one at hand: after a compromise, what an attacker may have
done (PEP 458, "In the Event of a Key Compromise", step 3).

Time passes between two snapshots, so targets that appeared are mostly new releases. Content that changed under the same
path, targets that vanished and versions that went back have no such reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from vestry.metadata.document import Document

Kind = Literal["changed", "vanished", "rolled-back", "delegations", "role-gone", "role-wrong", "appeared", "role-new"]

KINDS: Mapping[str, str] = {
    "changed": "other content under an unchanged path",
    "vanished": "a target that is no longer there",
    "rolled-back": "a version below the good one, or other content under the same version",
    "delegations": "other delegations or keys",
    "role-gone": "a role that is no longer there",
    "role-wrong": "a role whose file is missing, or not the one that the snapshot names",
    "appeared": "a target that was not there",
    "role-new": "a role that was not there",
}
"""Kinds of difference in the order in which they matter."""


@dataclass(frozen=True)
class Difference:
    """One difference in `role`: a target's `path`, and what the good version and the one at hand say of it. Where it
    is about the role itself the path is empty. Nothing in it is printable yet."""

    kind: Kind
    role: str
    path: str = ""
    good: Any = None
    now: Any = None

    def to_dict(self) -> dict[str, Any]:
        """As a line of the list: with what is needed to restore it."""
        return {"kind": self.kind, "role": self.role, "path": self.path, "good": self.good, "now": self.now}


def differences(role: str, good: Document, now: Document) -> Iterator[Difference]:
    """Everything that differs, but for expiry, signatures and a version that went up."""
    if now.version < good.version or (now.version == good.version and now.digest != good.digest):
        yield Difference("rolled-back", role, good=good.version, now=now.version)
    if good.signed.get("delegations") != now.signed.get("delegations"):
        yield Difference("delegations", role)
    before, after = good.signed.get("targets", {}), now.signed.get("targets", {})
    for path, entry in before.items():
        if path not in after:
            yield Difference("vanished", role, path, good=entry)
        elif after[path] != entry:
            yield Difference("changed", role, path, good=entry, now=after[path])
    for path, entry in after.items():
        if path not in before:
            yield Difference("appeared", role, path, now=entry)
