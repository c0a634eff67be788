"""What a rule of a review sees, and how it says what it found."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import Any

from vestry.metadata import document
from vestry.metadata.document import Document
from vestry.metadata.edits import holders, key_ids
from vestry.metadata.keys import Key
from vestry.metadata.policy import DEFAULT, ORDER, Policy, Severity
from vestry.metadata.quoting import clip
from vestry.metadata.thresholds import Authority, Tally
from vestry.metadata.wording import key_label, owner
from vestry.release import FIRST, SECOND, Release, in_force
from vestry.text import Safe

__all__ = ["RULES", "Check", "Context", "Finding", "Held", "Hit", "Rule", "Severity", "capped", "rule"]


@dataclass(frozen=True)
class Finding:
    """Something a reader must know. ``stop``: do not sign; ``warn``: wants an answer; ``note``: read on.

    `where` is a path in the signed part (or ``signatures/<key id>``), printable and unambiguous; `text` one printable
    sentence. Code and place together name a finding in a review and in a transcript.
    """

    code: str
    severity: Severity
    where: Safe
    text: Safe

    @property
    def name(self) -> str:
        """What an answer to it is filed under."""
        return f"{self.code} {self.where}"

    def to_dict(self) -> dict[str, str]:
        """The object of ``review --json``."""
        return {"code": self.code, "severity": self.severity, "where": self.where, "text": self.text}


@dataclass(frozen=True)
class Hit:
    """What a rule yields: a path, a sentence (both as they are, not yet printable), and a severity of its own."""

    path: tuple[str, ...]
    text: str
    severity: Severity | None = None


@dataclass(frozen=True)
class Held:
    """A role as its delegator has it: who may sign, and how many must. `threshold` is 0 where it is no whole number."""

    role: str
    path: tuple[str, ...]
    threshold: int
    keyids: tuple[str, ...]


@dataclass(frozen=True)
class Context:
    """All that rules may look at. `now` is UTC and given, never read from a clock; `ancestors` name the roles above
    the one under review, as far as they are known."""

    role: str
    new: Document
    old: Document | None
    delegator: Document | None
    authorities: tuple[Authority, ...]
    tallies: tuple[Tally, ...]
    now: datetime
    known: Callable[[str], str]
    policy: Policy = DEFAULT
    ancestors: tuple[str, ...] = ()
    digits: int = 8
    """Characters of key ids that tell them from each other; see `quoting.digits`."""
    as_of: Release | None = None
    """The release whose rules are asked; None for all that there are today."""
    moved: Container[str] | None = None
    """Delegations that changed their places, where both documents are parts of larger ones."""
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What one rule found out and another can use."""

    @cached_property
    def signed(self) -> Mapping[str, Any]:
        """The signed part under review."""
        return self.new.signed

    @cached_property
    def keys(self) -> Mapping[str, Key]:
        """Keys that the document lists, for itself (root) or for its delegations."""
        return document.keys(self.new) if self.new.type in ("root", "targets", "layout") else {}

    @cached_property
    def key_path(self) -> tuple[str, ...]:
        """Where they stand."""
        return ("keys",) if self.new.type in ("root", "layout") else ("delegations", "keys")

    @cached_property
    def held(self) -> tuple[Held, ...]:
        """Every role that the document gives keys to."""
        return tuple(_held(self.signed))

    @cached_property
    def held_before(self) -> Mapping[tuple[str, ...], Held]:
        """The same of the old version, by path."""
        return {h.path: h for h in _held(self.old.signed)} if self.old else {}

    def usable(self, keyids: tuple[str, ...]) -> set[str]:
        """Fingerprints of the keys behind these ids that can verify anything: keys of one fingerprint are one key."""
        return {k.fingerprint for i in keyids if (k := self.keys.get(i)) is not None and self.fits(k)}

    def fits(self, key: Key) -> bool:
        """Whether a key can be read and fits its scheme, which the first release did not ask."""
        return key.usable if in_force(SECOND, self.as_of) else bool(key.spki)

    def label(self, keyid: str) -> str:
        """``Key 3f2a1b2c (Carol)``."""
        key = self.keys.get(keyid)
        return key_label(keyid, self.known(keyid) or (owner(key.extra) if key else ""), self.digits)

    def first(self, keyid: str) -> str:
        """As many of its characters as tell it from others."""
        return keyid[: self.digits]

    def whole(self, keyid: str) -> str:
        """A key id of which nothing else is known: a digest is never cut."""
        return clip(keyid, max(64, self.digits))


def _held(signed: Mapping[str, Any]) -> Iterator[Held]:
    for name, path, role in holders(signed):
        threshold = role.get("threshold")
        yield Held(name, path, threshold if type(threshold) is int else 0, tuple(key_ids(role) or ()))


def capped(hits: Iterator[Hit], most: int, path: tuple[str, ...], what: str) -> Iterator[Hit]:
    """The first `most` hits, and one at `path` that says how many more there are.

    Nobody answers a hundred thousand questions. The line for the others is as grave as the gravest of them.
    """
    yield from islice(hits, most)
    more, worst = 0, None
    for hit in hits:
        more += 1
        if more == 1:
            worst = hit.severity
        elif worst is None or hit.severity is None:
            worst = None  # the severity of the rule itself, which its hits only ever lower
        elif ORDER[hit.severity] < ORDER[worst]:
            worst = hit.severity
    if more:
        yield Hit(path, f"And {more:,} more {what}", worst)


Check = Callable[[Context], Iterator[Hit]]


@dataclass(frozen=True)
class Rule:
    """One rule: its code, its severity where a hit has none of its own, and what it is about in one sentence. `since`
    is the release it came with; `before` what the same code stood for until then."""

    code: str
    severity: Severity
    sentence: str
    check: Check
    since: Release = FIRST
    before: Rule | None = None

    def at(self, as_of: Release | None) -> Rule | None:
        """The rule as it was at a release (None: today); None where it was not there yet."""
        found: Rule | None = self
        while found is not None and not in_force(found.since, as_of):
            found = found.before
        return found


RULES: dict[str, Rule] = {}
"""All rules by code, in the order in which their modules were read."""


def rule(code: str, severity: Severity, sentence: str, since: Release = FIRST) -> Callable[[Check], Check]:
    """Register a rule that comes with the release `since`.

    A rule that changes what it finds stays where it is, and its new form is registered after it under the same code:
    reviews of earlier releases are replayed with the old one.
    """

    def register(check: Check) -> Check:
        before = RULES.get(code)
        assert before is None or before.since < since, f"two rules {code} of one release"
        RULES[code] = Rule(code, severity, sentence, check, since, before)
        return check

    return register
