"""What a script asks of a review beyond the rules themselves: expiry bounds, codes silenced and raised, overruling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from vestry.errors import InputRejected
from vestry.metadata.services import Service
from vestry.text import printable

Severity = Literal["stop", "warn", "note"]

ORDER: Mapping[str, int] = MappingProxyType({"stop": 0, "warn": 1, "note": 2})
"""Severities by gravity, the gravest first."""

ELSE = "*"
"""Stands for every role that has no bound of its own."""


def _least() -> Mapping[str, int]:
    return MappingProxyType({"root": 30, "targets": 30})


def _most() -> Mapping[str, int]:
    return MappingProxyType({"timestamp": 32, "snapshot": 366, ELSE: 731})


@dataclass(frozen=True)
class Policy:
    """How strict a review is. Without arguments, as strict as Vestry is on its own.

    Args:
        least_days: Days that must be left until expiry, by role; a role without one (and without ``*``) has no bound.
        most_days: Days that may be left at the most, likewise.
        silenced: Code -> the script's reason. Findings of it move to `Review.silenced`; a stop is never silenced.
        severities: Code -> severity that its findings have at the least. It raises and never lowers.
        overrule: People who must agree to overrule a stop; 0: nobody can.
        well_known: Names of projects, beside Vestry's own list, that new names are compared with.
        service: Which service the document goes to, where it goes to one that drops or refuses things.

    Raises:
        InputRejected: a bound is negative or above another, a reason is empty, or `severities` hold no severity.
    """

    least_days: Mapping[str, int] = field(default_factory=_least)
    most_days: Mapping[str, int] = field(default_factory=_most)
    silenced: Mapping[str, str] = field(default_factory=dict)
    severities: Mapping[str, Severity] = field(default_factory=dict)
    overrule: int = 0
    well_known: tuple[str, ...] = ()
    service: Service = ""

    def __post_init__(self) -> None:
        for name in ("least_days", "most_days", "silenced", "severities"):
            # The caller's own mapping may change later; a policy must not.
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        for role in {*self.least_days, *self.most_days}:
            least, most = self.least(role), self.most(role)
            if (least is not None and least < 0) or (most is not None and most < (least or 0)):
                _bad(f"the bounds on the expiry of {role} leave no day", "give a least that is below the most")
        for code, reason in self.silenced.items():
            if not reason.strip():
                _bad(f"{code} is silenced without a reason", "say why")
        for code, severity in self.severities.items():
            if severity not in ORDER:
                _bad(f"{code} is given the severity {severity}", "take stop, warn or note")
        if self.overrule < 0:
            _bad(f"{self.overrule} people can overrule nothing", "take 0, which is nobody, or more")

    def least(self, role: str) -> int | None:
        """Days that `role` must have left, if that is bounded."""
        return self.least_days.get(role, self.least_days.get(ELSE))

    def most(self, role: str) -> int | None:
        """Days that `role` may have left, if that is bounded."""
        return self.most_days.get(role, self.most_days.get(ELSE))

    def severity(self, code: str, found: Severity) -> Severity:
        """The severity of a finding that the rule itself holds for `found`."""
        wanted = self.severities.get(code, found)
        return wanted if ORDER[wanted] < ORDER[found] else found

    def silences(self, code: str, severity: Severity) -> bool:
        """Whether a finding is only kept, not asked about. A stop always stands."""
        return severity != "stop" and code in self.silenced

    def check(self, codes: Mapping[str, object]) -> None:
        """See that every code named is one of `codes`.

        Raises:
            InputRejected: a code that no rule has; a slip there would leave the finding as it was.
        """
        for code in (*self.silenced, *self.severities):
            if code not in codes:
                _bad(f"no rule has the code {code}", "take a code from docs/findings.md")


def _bad(what: str, todo: str) -> None:
    raise InputRejected(printable(what, 200), where="review policy", do=todo, code="E-POLICY")


DEFAULT = Policy()
"""Vestry's own."""
