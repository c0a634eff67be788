"""What a reader must know about a document before it is signed or trusted.

Each rule is a small function with a code, a severity and one sentence, in one of the modules named `rules_*`;
docs/findings.md has a section for each code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from types import MappingProxyType

from vestry.metadata import (
    rules_delegations,
    rules_document,
    rules_keys,
    rules_layout,
    rules_legacy,
    rules_names,
    rules_services,
    rules_targets,
)
from vestry.metadata.changes import where
from vestry.metadata.policy import ORDER
from vestry.metadata.rulebook import RULES, Context, Finding, Hit, Rule, Severity, capped
from vestry.release import SECOND, in_force
from vestry.text import Safe, printable

__all__ = ["CODES", "Context", "Finding", "Severity", "Silenced", "find", "judge"]

_MODULES = (
    rules_document,
    rules_keys,
    rules_names,
    rules_delegations,
    rules_targets,
    rules_legacy,
    rules_layout,
    rules_services,
)
"""Reading them registers their rules."""

CODES: Mapping[str, Rule] = MappingProxyType(RULES)
"""Every rule by its code."""


@dataclass(frozen=True)
class Silenced:
    """A finding that the script wants nobody asked about, and the script's reason (not yet printable)."""

    finding: Finding
    reason: str

    def to_dict(self) -> dict[str, str]:
        """The object of ``review --json``."""
        return {**self.finding.to_dict(), "reason": self.reason}


def find(context: Context) -> tuple[Finding, ...]:
    """Everything that the rules find and the policy does not silence; see `judge`."""
    return judge(context)[0]


def judge(context: Context) -> tuple[tuple[Finding, ...], tuple[Silenced, ...]]:
    """Everything that the rules find, worst first, then by code and place; the same for the same context, always.

    What the policy of `context` silences stands apart.

    Raises:
        InputRejected: the policy names a code that no rule has.
    """
    context.policy.check(CODES)
    found: dict[str, Finding] = {}
    layout = context.new.type == "layout"
    for newest in CODES.values():
        rule = newest.at(context.as_of)
        if rule is None:
            continue
        if layout and not (rule.code.startswith("LAYOUT-") or rule.code in rules_layout.APPLY):
            continue
        hits = list(rule.check(context))
        for hit in _fewer(rule, hits) if in_force(SECOND, context.as_of) else hits:
            severity = context.policy.severity(rule.code, hit.severity or rule.severity)
            finding = Finding(rule.code, severity, where(hit.path), printable(hit.text))
            # Two hits at one place (a name and what it names) have one answer, as grave as the worse; both are told.
            before = found.setdefault(finding.name, finding)
            if before.text != finding.text:
                worse, other = sorted((before, finding), key=lambda f: ORDER[f.severity])
                found[finding.name] = replace(worse, text=Safe(f"{worse.text}; {other.text}"))
    listed = sorted(found.values(), key=lambda f: (ORDER[f.severity], f.code, f.where))
    quiet = context.policy.silences
    return (
        tuple(f for f in listed if not quiet(f.code, f.severity)),
        tuple(Silenced(f, context.policy.silenced[f.code]) for f in listed if quiet(f.code, f.severity)),
    )


_MANY = 200
"""Findings of one rule from which on only the gravest are told one by one. Rules about crowds stop at half of it, in
words of their own."""


def _fewer(rule: Rule, hits: list[Hit]) -> Iterable[Hit]:
    if len(hits) <= _MANY:
        return hits
    hits.sort(key=lambda h: ORDER[h.severity or rule.severity])
    shared = takewhile(lambda names: len(set(names)) == 1, zip(*(h.path[:-1] for h in hits), strict=False))
    return capped(iter(hits), _MANY // 2, (*(names[0] for names in shared), "*"), f"like these: {rule.sentence}")
