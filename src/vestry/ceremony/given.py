"""Documents that come whole into a ceremony: the tables ``[role]`` and ``[layout]`` of a script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vestry.ceremony import script as s
from vestry.ceremony.table import Source, Table, named_input, quoted, table
from vestry.metadata import layout

DRAFT, BEFORE, DELEGATOR = "draft", "before", "delegator"


def read_given(source: Source, data: Mapping[str, Any], kind: s.Kind) -> s.GivenSpec | None:
    """What a ceremony of the kind ``delegated`` or ``layout`` signs; None in the others.

    Raises:
        InputRejected: as `reading.read` has it.
    """
    if kind == "delegated":
        item = table(source, data, "role", "name, draft and delegator, each document with its SHA-256")
        assert item is not None
        return _role(item)
    if kind == "layout":
        item = table(source, data, "layout", "draft, draft_sha256 and threshold")
        assert item is not None
        item.only(("draft", "draft_sha256", "from", "from_sha256", "threshold"))
        threshold = item.number("threshold", 1, 1000, 2)
        return s.GivenSpec(layout.TYPE, named_input(item, DRAFT, DRAFT, "root.layout"), _before(item), None, threshold)
    return None


def _role(item: Table) -> s.GivenSpec:
    item.only(("name", "draft", "draft_sha256", "from", "from_sha256", "delegator", "delegator_sha256"))
    name = item.text("name", "sampleproject", longest=200)
    if name in ("root", "timestamp", "snapshot"):
        item.bad("name", f"name {quoted(name)} is no role that a targets document delegates to", "name that role")
    draft = named_input(item, DRAFT, DRAFT, "bundle/unsigned/sampleproject.json")
    delegator = named_input(item, DELEGATOR, DELEGATOR, "12.claimed.json")
    return s.GivenSpec(name, draft, _before(item), delegator)


def _before(item: Table) -> s.Input | None:
    if not item.has("from"):
        if item.has("from_sha256"):
            item.bad("from_sha256", "from_sha256 pins nothing", 'add from = "the version before", or leave it out')
        return None
    return named_input(item, BEFORE, "from", "3.sampleproject.json")
