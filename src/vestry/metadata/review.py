"""Changes, findings and signatures of one document, and what a reader made of them: `Review` -> `Reviewed`.

You sign the bytes you read: a `Reviewed` carries exactly `Document.signed_bytes` of what was reviewed, and only
`conclude` makes one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from vestry.errors import Refused
from vestry.metadata import findings as rules
from vestry.metadata import layout_changes, thresholds
from vestry.metadata.changes import Change, changes
from vestry.metadata.document import Document
from vestry.metadata.findings import Context, Finding
from vestry.metadata.thresholds import Authority, Tally
from vestry.metadata.wording import owner
from vestry.text import printable


@dataclass(frozen=True)
class Review:
    """One document, as a reader gets to see it. `old` is None where nothing is compared; `names` are the holders of the
    keys that may sign, by key id, as far as they are known (not yet printable)."""

    role: str
    old: Document | None
    new: Document
    changes: tuple[Change, ...]
    findings: tuple[Finding, ...]
    tallies: tuple[Tally, ...]
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def to_answer(self) -> tuple[Finding, ...]:
        """Findings that want an answer: stop and warn."""
        return tuple(f for f in self.findings if f.severity != "note")

    @property
    def ok(self) -> bool:
        """Whether no finding stops it."""
        return all(f.severity != "stop" for f in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """The object of ``vestry review --json``. ``sha256`` is the digest of the canonical bytes that get signed."""
        return {
            "role": self.role,
            "old_version": (self.old.version or None) if self.old else None,
            "new_version": self.new.version or None,  # a layout has none
            "sha256": self.new.digest,
            "changes": [c.to_dict() for c in self.changes],
            "findings": [f.to_dict() for f in self.findings],
            "thresholds": [t.to_dict() for t in self.tallies],
            "ok": self.ok,
        }


def review(
    role: str,
    new: Document,
    *,
    old: Document | None = None,
    delegator: Document | None = None,
    now: datetime,
    known: Callable[[str], str] | None = None,
    signers: Authority | None = None,
) -> Review:
    """Review `new` as a document of `role`.

    Args:
        role: Its role: root, targets, snapshot, timestamp, or a delegated one.
        new: The document under review, with the signatures it has so far.
        old: The version that it follows; for root, the one that is trusted.
        delegator: The document that gives `role` its keys; none for root.
        now: The time to measure expiry by, UTC.
        known: Names of holders by key id, where they are known from elsewhere.
        signers: Who must sign, where no document says it: for a layout, the keys that the reader brought.
    """
    names = known or (lambda _: "")
    authorities = thresholds.authorities(role, new, trusted=old if role == "root" else None, delegator=delegator)
    authorities = authorities if signers is None else (signers,)
    tallies = tuple(thresholds.tally(new, authority) for authority in authorities)
    compare = layout_changes.changes if new.type == "layout" else changes
    listed = compare(old.signed if old else None, new.signed, known=names)
    context = Context(role, new, old, delegator, tuple(authorities), tallies, now, names)
    holding = {k.keyid: names(k.keyid) or owner(k.extra) for authority in authorities for k in authority.keys}
    return Review(role, old, new, listed, rules.find(context), tallies, holding)


_SEAL = object()


@dataclass(frozen=True)
class Reviewed:
    """A document that was read and answered for. `conclude` makes it, and nothing else can.

    `signed_bytes` are the canonical bytes to sign, `digest` their SHA-256 in hex, `answers` map ``"CODE where"`` to
    what the reader said.
    """

    role: str
    signed_bytes: bytes
    digest: str
    answers: Mapping[str, str]
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        if seal is not _SEAL:
            raise Refused("what gets signed is what was reviewed", do="review the document first", code="E-UNREVIEWED")


def conclude(review: Review, answers: Mapping[str, str]) -> Reviewed:
    """End a review. `answers` map ``f"{finding.code} {finding.where}"`` to what the reader said about it.

    Raises:
        Refused: a stop finding stands, or one that wants an answer has none.
    """
    what = f"{printable(review.role, 80)} v{review.new.version}"
    for finding in review.findings:
        if finding.severity == "stop":
            raise Refused(finding.text, where=what, do="mend the document, then review it again", code=finding.code)
    for finding in review.to_answer:
        if not answers.get(finding.name, "").strip():
            raise Refused(f"no answer to: {finding.text}", where=what, do="answer every finding", code=finding.code)
    kept = MappingProxyType({f.name: answers[f.name].strip() for f in review.to_answer})
    return Reviewed(review.role, review.new.signed_bytes, review.new.digest, kept, _SEAL)
