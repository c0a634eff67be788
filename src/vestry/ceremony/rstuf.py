"""A root that goes to RSTUF: the table ``[rstuf]`` of a script, and the payload in which its ceremony ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vestry.ceremony import script as s
from vestry.ceremony.table import Source, Table, table
from vestry.media.services import rstuf
from vestry.metadata.document import Document


def read_rstuf(source: Source, data: Mapping[str, Any], kind: s.Kind) -> s.RstufSpec | None:
    """What a script says of RSTUF; None where it has no such table.

    Raises:
        InputRejected: as `reading.read` has it.
    """
    item = table(source, data, "rstuf", "")
    if item is None:
        return None
    item.only(("bins", "expires", "online_key_uri"))
    uri = item.text("online_key_uri", "fn:online", default="", longest=1000)
    if kind != "root":
        for name in ("bins", "expires"):
            if item.has(name):
                item.bad(name, f"{name} is told to RSTUF with a first root alone", "leave it out")
        return s.RstufSpec(online_key_uri=uri)
    bins = item.number("bins", rstuf.BINS[0], rstuf.BINS[-1], rstuf.BINS[-1])
    if bins not in rstuf.BINS:
        item.bad("bins", f"bins {bins} is no power of two", f"write a power of two, 2 to {rstuf.BINS[-1]}")
    return s.RstufSpec(bins, _days(source, item), uri)


def _days(source: Source, item: Table) -> dict[str, int]:
    days = {role: number for role, number in rstuf.DAYS.items() if role != "root"}
    value = item.values.get("expires", {})
    if type(value) is not dict:
        item.bad("expires", "expires is not a table", 'write expires = { targets = "365d", timestamp = "1d" }')
    inner = Table(source, (*item.path, "expires"), "[rstuf] expires", value)
    inner.only(tuple(days))
    return days | {role: inner.days(role) for role in value}


def payload(script: s.Script, root: Document) -> tuple[str, bytes]:
    """Name and content of the file for RSTUF: the bootstrap that a first root is part of, or a metadata update.

    Args:
        script: Of kind ``root`` or ``rotation``, with its table ``[rstuf]``.
        root: The signed root.
    """
    said = script.rstuf
    assert said is not None
    assert script.root is not None
    if script.kind == "rotation":
        return "rstuf-update.json", rstuf.Update({"root": root}).encode()
    days = {"root": script.root.days, **said.days}
    settings = rstuf.Settings(days, days.pop("bins"), said.bins)
    return "rstuf-bootstrap.json", rstuf.Bootstrap(settings, root).encode()
