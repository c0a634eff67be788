"""The steps of a script, read from its ``[[steps]]``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from vestry.ceremony import script as s
from vestry.ceremony.table import Source, Table, nearest, quoted
from vestry.machine.preflight import CHECKS

ROLES = ("root", "targets", "bins")


@dataclass(frozen=True)
class Names:
    """What steps may name: everyone; the roles that are drafted; all tokens, those that get a key; who may seal."""

    people: tuple[str, ...]
    roles: tuple[str, ...]
    tokens: tuple[str, ...]
    provisioned: tuple[str, ...]
    sealers: tuple[str, ...]


def read_steps(found: tuple[Table, ...], names: Names, source: Source) -> tuple[s.Step, ...]:
    """All steps, with everything spelled out that a step leaves out.

    Raises:
        InputRejected: a step is not one, or names what the script does not have.
    """
    if not found:
        source.bad((), "there are no [[steps]]", 'add each step, with do = "gather" and so on')
    return tuple(_step(item, names) for item in found)


def _step(item: Table, names: Names) -> s.Step:
    kinds = tuple(_KINDS)
    do = item.text("do", "gather")
    if do not in _KINDS:
        item.bad("do", f"there is no step {quoted(do)}", nearest(do, kinds))
    title, known, make = _KINDS[do]
    item.only(("do", "title", *known))
    return make(item, names, item.text("title", title, default=title, longest=60), item.line())


def _say(item: Table, _: Names, title: str, line: int) -> s.Step:
    text = item.text("text", "Open the bag and read its number aloud.", longest=2000, many=True)
    record = item.texts("record", "bag number") if item.has("record") else ()
    return s.SayStep(title, line, text, record)


def _gather(item: Table, names: Names, title: str, line: int) -> s.Step:
    people = item.some_of("people", names.people, "person of this script", default=names.people)
    return s.GatherStep(title, line, people)


def _preflight(item: Table, _: Names, title: str, line: int) -> s.Step:
    return s.PreflightStep(title, line, item.some_of("require", CHECKS, "check of the machine", default=()))


def _provision(item: Table, names: Names, title: str, line: int) -> s.Step:
    tokens = item.some_of("tokens", names.tokens, "token of this script", default=names.provisioned)
    if not tokens:
        item.bad("tokens", "no token of this script gets a key", "leave the step out, or add a key with a scheme")
    return s.ProvisionStep(title, line, tokens)


def _roles(item: Table, names: Names, default: tuple[str, ...] | None) -> tuple[str, ...]:
    return item.some_of("roles", names.roles, "role that this ceremony drafts", default=default)


def _draft(item: Table, names: Names, title: str, line: int) -> s.Step:
    return s.DraftStep(title, line, _roles(item, names, names.roles))


def _review(item: Table, names: Names, title: str, line: int) -> s.Step:
    return s.ReviewStep(title, line, _roles(item, names, names.roles))


def _compare(_i: Table, _n: Names, title: str, line: int) -> s.Step:
    return s.CompareStep(title, line)


def _sign(item: Table, names: Names, title: str, line: int) -> s.Step:
    signers = item.choice("signers", ("threshold", "all"), default="threshold")
    return s.SignStep(title, line, _roles(item, names, names.roles), "all" if signers == "all" else "threshold")


def _verify(item: Table, names: Names, title: str, line: int) -> s.Step:
    return s.VerifyStep(title, line, _roles(item, names, names.roles))


def _destroy(item: Table, _: Names, title: str, line: int) -> s.Step:
    # What is destroyed is always named; no silence stands for it.
    return s.DestroyStep(title, line, item.some_of("roles", ROLES, "role that a key here may have", default=None))


def _export(item: Table, _: Names, title: str, line: int) -> s.Step:
    what = item.choice("what", ("online", "all"), default="online")
    to = item.text("to", "export", default="export", longest=1000)
    if ".." in PurePosixPath(to).parts:
        item.bad("to", f"to {quoted(to)} leads out of the ceremony's folder", 'write to = "export" or a whole path')
    return s.ExportStep(title, line, "all" if what == "all" else "online", to)


def _import(item: Table, names: Names, title: str, line: int) -> s.Step:
    return s.ImportStep(title, line, item.choice("role", names.roles, default="root"))


def _seal(item: Table, names: Names, title: str, line: int) -> s.Step:
    by = item.some_of("by", names.people, "person of this script", default=names.sealers)
    if not by:
        item.bad("by", "nobody has a key to seal with", "leave the step out, or give a holder a root key")
    return s.SealStep(title, line, by)


_KINDS: Mapping[str, tuple[str, tuple[str, ...], Callable[[Table, Names, str, int], s.Step]]] = {
    "say": ("Read out", ("text", "record"), _say),
    "gather": ("Gather", ("people",), _gather),
    "preflight": ("Preflight", ("require",), _preflight),
    "provision": ("Make the keys", ("tokens",), _provision),
    "draft": ("Draft", ("roles",), _draft),
    "review": ("Review", ("roles",), _review),
    "compare": ("Compare with the last good snapshot", (), _compare),
    "sign": ("Sign", ("roles", "signers"), _sign),
    "verify": ("Verify", ("roles",), _verify),
    "destroy": ("Destroy keys", ("roles",), _destroy),
    "export": ("Export", ("what", "to"), _export),
    "import": ("Take signatures in", ("role",), _import),
    "seal": ("Seal", ("by",), _seal),
}
