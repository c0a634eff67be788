"""Changes, findings and signatures of one document, and what a reader made of them: `Review` -> `Reviewed`.

You sign the bytes you read: a `Reviewed` carries exactly `Document.signed_bytes` of what was reviewed, and only
`conclude` makes one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import InitVar, dataclass, field
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any

from vestry.errors import Refused
from vestry.metadata import edits, layout_changes, quoting, thresholds
from vestry.metadata import findings as rules
from vestry.metadata.changes import Change, changes
from vestry.metadata.document import Document, LargeDocument
from vestry.metadata.findings import Context, Finding, Silenced
from vestry.metadata.look_ahead import LookAhead, look_ahead
from vestry.metadata.lookalike import known_with
from vestry.metadata.policy import DEFAULT, Policy
from vestry.metadata.reduction import Reduced, reduce
from vestry.metadata.thresholds import Authority, Tally
from vestry.metadata.wording import owner
from vestry.release import Release
from vestry.text import printable


@dataclass(frozen=True)
class Review:
    """One document, as a reader gets to see it. `old` is None where nothing is compared; `names` are the holders of the
    keys that may sign, by key id, as far as they are known (not yet printable). `silenced` are findings that the
    `policy` wants nobody asked about; `ahead` is what comes after this change; `digits` how many characters of
    key ids tell them from each other. `reduced` are the parts of large
    documents that the changes are in.
    """

    role: str
    old: Document | None
    new: Document
    changes: tuple[Change, ...]
    findings: tuple[Finding, ...]
    tallies: tuple[Tally, ...]
    names: Mapping[str, str] = field(default_factory=dict)
    silenced: tuple[Silenced, ...] = ()
    policy: Policy = DEFAULT
    ahead: LookAhead | None = None
    digits: int = 8
    reduced: Reduced | None = field(default=None, repr=False)

    @property
    def signed(self) -> tuple[Mapping[str, Any] | None, Mapping[str, Any]]:
        """The old and new signed parts, as far as the changes are in them."""
        if self.reduced is not None:
            return self.reduced.old.signed, self.reduced.new.signed
        return self.old.signed if self.old is not None else None, self.new.signed

    @property
    def to_answer(self) -> tuple[Finding, ...]:
        """Findings that want an answer: stop and warn."""
        return tuple(f for f in self.findings if f.severity != "note")

    @property
    def ok(self) -> bool:
        """Whether no finding stops it."""
        return all(f.severity != "stop" for f in self.findings)

    @property
    def step(self) -> str:
        """``v4 -> v5``, or what there is instead: a first version, or a layout, which has none."""
        new, old = self.new.version, self.old
        if not new:
            return "against the earlier one" if old else "with no earlier one to compare"
        return f"v{old.version} -> v{new}" if old else f"v{new}, with no earlier version to compare"

    def to_dict(self) -> dict[str, Any]:
        """The object of ``vestry review --json``. ``sha256`` is the digest of the canonical bytes that get signed."""
        return {
            "role": self.role,
            "old_version": (self.old.version or None) if self.old else None,
            "new_version": self.new.version or None,  # a layout has none
            "sha256": self.new.digest,
            "changes": [c.to_dict() for c in self.changes],
            "findings": [f.to_dict() for f in self.findings],
            "silenced": [s.to_dict() for s in self.silenced],
            "thresholds": [t.to_dict() for t in self.tallies],
            "look_ahead": self.ahead.to_dict() if self.ahead else None,
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
    policy: Policy = DEFAULT,
    ancestors: tuple[str, ...] = (),
    history: Sequence[Document] = (),
    others: Mapping[str, Document] = MappingProxyType({}),
    next_ceremony: datetime | None = None,
    as_of: Release | None = None,
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
        policy: What the script asks beyond the rules; without it, as strict as Vestry is on its own.
        ancestors: Names of the roles above `role`, as far as they are known, for finding loops.
        history: Older trusted root documents, for telling which of them still lead a client here.
        others: Other documents by role, whose expiry is looked ahead to.
        next_ceremony: When people meet next, UTC; without it, when the root expires.
        as_of: The release whose rules are asked; without it, all that there are.

    Raises:
        InputRejected: the policy names a code that no rule has.
    """
    names = known or (lambda _: "")
    authorities = thresholds.authorities(role, new, trusted=old if role == "root" else None, delegator=delegator)
    authorities = authorities if signers is None else (signers,)
    counting: Callable[[], tuple[Tally, ...]] = partial(_tallies, new, authorities)
    reduced = None
    with ExitStack() as stack:
        if isinstance(new, LargeDocument):
            # To hash a large document and to verify its signatures takes as long as to compare it: all at once.
            new.expect_digest()
            counting = stack.enter_context(ThreadPoolExecutor(1)).submit(counting).result
            guarded = known_with(policy.well_known)
            reduced = reduce(old, new, role=role, delegator=delegator, ancestors=ancestors, well_known=guarded)
        tallies = counting()
    was, is_now = (reduced.old, reduced.new) if reduced is not None else (old, new)
    located, moved = (reduced.located, reduced.moved) if reduced is not None else (None, None)
    beside = reduced.alike if reduced is not None else ()
    digits = quoting.digits((*beside, *_key_ids((is_now, *([was] if was else ())), authorities)))
    if new.type == "layout":
        listed = layout_changes.changes(was.signed if was else None, is_now.signed, known=names, digits=digits)
    else:
        before = was.signed if was else None
        listed = changes(before, is_now.signed, known=names, located=located, moved=moved, digits=digits)
    context = Context(
        role, is_now, was, delegator, tuple(authorities), tallies, now, names, policy, ancestors, digits, as_of, moved
    )
    stand, silenced = rules.judge(context)
    ahead = None
    if new.type != "layout":
        ahead = look_ahead(
            role,
            is_now,
            old=was,
            delegator=delegator,
            now=now,
            more=reduced.delegations if reduced else 0,
            digits=digits,
            known=names,
            history=history,
            others=others,
            next_ceremony=next_ceremony,
        )
    holding = {k.keyid: names(k.keyid) or owner(k.extra) for authority in authorities for k in authority.keys}
    return Review(role, old, new, listed, stand, tallies, holding, silenced, policy, ahead, digits, reduced)


def _key_ids(documents: Iterable[Document], authorities: Iterable[Authority]) -> Iterator[str]:
    for given in documents:
        yield from edits.listed_ids(given.signed)
        yield from (s.keyid for s in given.signatures)
    yield from (key.keyid for authority in authorities for key in authority.keys)


def _tallies(new: Document, authorities: Sequence[Authority]) -> tuple[Tally, ...]:
    return tuple(thresholds.tally(new, authority) for authority in authorities)


_SEAL = object()


@dataclass(frozen=True)
class Reviewed:
    """A document that was read and answered for. `conclude` makes it, and nothing else can.

    `signed_bytes` are the canonical bytes to sign, `digest` their SHA-256 in hex, `answers` map ``"CODE where"`` to
    what the reader said, `overruled` map the stops that did not hold to the people who agreed on that.
    """

    role: str
    signed_bytes: bytes
    digest: str
    answers: Mapping[str, str]
    seal: InitVar[object]
    overruled: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self, seal: object) -> None:
        if seal is not _SEAL:
            raise Refused("what gets signed is what was reviewed", do="review the document first", code="E-UNREVIEWED")


def conclude(
    review: Review, answers: Mapping[str, str], *, overruled: Mapping[str, tuple[str, ...]] = MappingProxyType({})
) -> Reviewed:
    """End a review. `answers` map ``f"{finding.code} {finding.where}"`` to what the reader said about it; `overruled`
    map the same names of stops to the people who agree that they do not hold, who count once each.

    Raises:
        Refused: a stop finding stands, or one that wants an answer has none.
    """
    what = f"{printable(review.role, 80)} v{review.new.version}"
    agreed: dict[str, tuple[str, ...]] = {}
    for finding in review.findings:
        if finding.severity == "stop":
            people = _people(overruled.get(finding.name, ()))
            if not 0 < review.policy.overrule <= len(people):
                todo = _todo(review.policy.overrule, len(people))
                raise Refused(finding.text, where=what, do=todo, code=finding.code)
            agreed[finding.name] = people
    for finding in review.to_answer:
        if not answers.get(finding.name, "").strip():
            raise Refused(f"no answer to: {finding.text}", where=what, do="answer every finding", code=finding.code)
    kept = MappingProxyType({f.name: answers[f.name].strip() for f in review.to_answer})
    return Reviewed(review.role, review.new.signed_bytes, review.new.digest, kept, _SEAL, MappingProxyType(agreed))


def _people(names: tuple[str, ...]) -> tuple[str, ...]:
    """Different people: nobody counts twice by writing a name in another way."""
    if isinstance(names, str):  # a bare name would count for as many people as it has letters
        names = (names,)
    return tuple({" ".join(n.split()).casefold(): n.strip() for n in names if n.strip()}.values())


def _todo(needed: int, there: int) -> str:
    if not there or not needed:
        return "mend the document, then review it again"
    return f"mend the document; to overrule this takes {needed} people, and {there} agreed"
