"""The `[review]` table of a script: how strict its reviews are, beyond Vestry's own rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from vestry.ceremony.table import Source, Table, quoted, table
from vestry.metadata.findings import CODES
from vestry.metadata.policy import DEFAULT, ORDER, Policy, Severity
from vestry.metadata.services import NAMES, Service

_LONGEST = 36500
_LONGEST_NAME = 80
_MOST_NAMES = 20_000


def read_policy(source: Source, data: Mapping[str, Any], people: int, service: Service = "") -> Policy:
    """The policy of a script with `people` people, whose documents go to `service`; Vestry's own where it has none.

    Raises:
        InputRejected: as `reading.read` has it.
    """
    item = table(source, data, "review", "")
    if item is None:
        return replace(DEFAULT, service=service)
    item.only(("overrule", "silenced", "severities", "least_days", "most_days", "well_known", "service"))
    silenced = {code: inner.text(code, "why", longest=300) for inner, code in _entries(source, item, "silenced")}
    severities = {
        code: cast("Severity", inner.choice(code, tuple(ORDER))) for inner, code in _entries(source, item, "severities")
    }
    for name, codes in (("silenced", silenced), ("severities", severities)):
        for code in codes:
            if code not in CODES:
                item.bad(name, f"no finding has the code {quoted(code)}", "write a code of docs/findings.md")
    bounds = {
        name: {role: inner.number(role, 0, _LONGEST, 365) for inner, role in _entries(source, item, name)}
        for name in ("least_days", "most_days")
    }
    least, most = {**DEFAULT.least_days, **bounds["least_days"]}, {**DEFAULT.most_days, **bounds["most_days"]}
    for role in {*least, *most}:
        if role in least and role in most and least[role] > most[role]:
            item.bad("least_days", f"{quoted(role)} would have to live longer than it may", "write a smaller number")
    overrule = item.number("overrule", 0, people, 2, default=0)
    if overrule == 1:
        item.bad("overrule", "one person alone would overrule a stop", "write 0, or at least 2")
    well_known: tuple[str, ...] = ()
    if item.has("well_known"):
        well_known = item.texts("well_known", "example-project", longest=_LONGEST_NAME, most=_MOST_NAMES)
    if item.has("service"):
        named = cast("Service", item.choice("service", tuple(NAMES)))
        if service not in ("", named):
            item.bad("service", f"the documents go to {NAMES[service]}, says [{service}]", "leave one of the two out")
        service = named
    return Policy(least, most, silenced, severities, overrule, well_known, service)


def _entries(source: Source, item: Table, name: str) -> list[tuple[Table, str]]:
    if not item.has(name):
        return []
    value = item.values[name]
    if type(value) is not dict:
        item.bad(name, f"{name} is not a table", f"write [review.{name}] and its entries below")
    inner = Table(source, (*item.path, name), f"[review.{name}]", value)
    return [(inner, key) for key in value]
