"""Findings about what the service that a document goes to would make of it."""

from __future__ import annotations

from collections.abc import Iterator

from vestry.metadata import services
from vestry.metadata.rulebook import Context, Hit, Severity, capped, rule
from vestry.release import SECOND

_MOST = 100


@rule("SERVICE-DROPS", "stop", "The service would store other bytes than those that get signed.", since=SECOND)
def service_drops(c: Context) -> Iterator[Hit]:
    """It drops a field, so that no signature over the document as it stands would hold there. A warning where that
    comes only with the next version."""
    severity: Severity | None = "warn" if c.new.version == 1 else None
    hits = (
        Hit(x.path, f"{_name(c)} drops {x.text}; signatures over it would not hold there", severity)
        for x in services.losses(c.policy.service, c.role, c.new)
        if x.drops
    )
    yield from capped(hits, _MOST, ("*",), f"fields that {_name(c)} drops")


@rule("SERVICE-REFUSES", "stop", "The service does not take the document as it is.", since=SECOND)
def service_refuses(c: Context) -> Iterator[Hit]:
    """What would be signed could not be used."""
    losses = services.losses(c.policy.service, c.role, c.new)
    hits = (Hit(x.path, f"{_name(c)} does not take {x.text}") for x in losses if not x.drops)
    yield from capped(hits, _MOST, ("*",), f"things that {_name(c)} does not take")


def _name(c: Context) -> str:
    return services.NAMES.get(c.policy.service, "")
