"""What a reader must know about a document before it is signed or trusted.

Each rule is a small function with a code, a severity and one sentence, in one of the modules named `rules_*`;
docs/findings.md has a section for each code.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from vestry.metadata import rules_document, rules_keys, rules_layout, rules_legacy, rules_names
from vestry.metadata.changes import where
from vestry.metadata.rulebook import RULES, Context, Finding, Rule, Severity
from vestry.text import printable

__all__ = ["CODES", "Context", "Finding", "Severity", "find"]

_MODULES = (rules_document, rules_keys, rules_names, rules_legacy, rules_layout)
"""Reading them registers their rules."""

CODES: Mapping[str, Rule] = MappingProxyType(RULES)
"""Every rule by its code."""

_ORDER = {"stop": 0, "warn": 1, "note": 2}


def find(context: Context) -> tuple[Finding, ...]:
    """Everything that the rules find, worst first, then by code and place; the same for the same context, always."""
    found: dict[str, Finding] = {}
    layout = context.new.type == "layout"
    for rule in CODES.values():
        if layout and not (rule.code.startswith("LAYOUT-") or rule.code in rules_layout.APPLY):
            continue
        for hit in rule.check(context):
            finding = Finding(rule.code, hit.severity or rule.severity, where(hit.path), printable(hit.text))
            # Two hits at one place (a name and what it names) have one answer: the worse one is asked about.
            before = found.setdefault(finding.name, finding)
            if _ORDER[finding.severity] < _ORDER[before.severity]:
                found[finding.name] = finding
    return tuple(sorted(found.values(), key=lambda f: (_ORDER[f.severity], f.code, f.where)))
