"""A script against the documents that it follows: is every key accounted for, and can each threshold be met?"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from datetime import date

from vestry.ceremony.problem import Case, Problem, listed
from vestry.ceremony.script import GivenSpec, Input, KeySpec
from vestry.errors import VestryError
from vestry.metadata import document, layout
from vestry.metadata.document import Document
from vestry.metadata.keys import Key
from vestry.metadata.thresholds import authorities, tally
from vestry.text import printable

_SHOWN = 16


def succession(case: Case, predecessor: bytes) -> Iterator[Problem]:
    """All problems between the script and the root it follows."""
    line = case.line("root", "from")
    try:
        old = document.read(predecessor, where=_path(case.script.predecessor))
    except VestryError as error:
        yield Problem("stop", "OLD-UNREADABLE", line, f"the predecessor can't be read: {_told(error)}")
        return
    if old.type != "root":
        text = f"the predecessor is a document of type {printable(old.type)}, not a root"
        yield Problem("stop", "OLD-NOT-ROOT", line, text)
        return
    yield from _holds(old, line)
    yield from _expired(case, old, line)
    found: dict[str, list[tuple[int, KeySpec]]] = {}
    for index, spec in case.numbered_keys:
        if not spec.new:
            keyid = yield from _resolved(case, old, index, spec)
            if keyid:
                found.setdefault(keyid, []).append((index, spec))
    for keyid, specs in found.items():
        for index, spec in specs[1:]:
            text = f"key '{spec.name}' is the same key of the predecessor as '{specs[0][1].name}': {keyid[:_SHOWN]}"
            yield Problem("stop", "KEY-TWICE", case.line("keys", index, "keyid"), text)
    kept = {keyid: specs[0] for keyid, specs in found.items()}
    for role in ("root", "targets"):
        if case.threshold(role):
            yield from _accounted(case, old, role, kept)
    yield from _below(case, old)
    yield from _old_threshold(old, kept, line)
    yield from _changes_nothing(case, old)


def _path(item: Input | None) -> str:
    return printable(item.path, 60) if item is not None else ""


def _told(error: VestryError) -> str:
    return printable(f"{error.where}: {error.what}")


def _below(case: Case, root: Document) -> Iterator[Problem]:
    """The targets and bins that the new ones follow: each of its kind, and signed as the document above it says."""
    above: Document | None = root
    for role in ("targets", "bins"):
        raw = case.inputs.get(role)
        if raw is None:
            continue
        line = case.line(role, "from")
        try:
            old = document.read(raw, where=role)
        except VestryError as error:
            yield Problem("stop", "OLD-UNREADABLE", line, f"the document to follow can't be read: {_told(error)}")
            above = None
            continue
        delegated = authorities(role, old, delegator=above) if above is not None else ()
        if old.type != "targets":
            text = f"the {role} to follow is a document of type {printable(old.type)}"
            yield Problem("stop", "OLD-NOT-TARGETS", line, text)
        elif above is not None and not delegated:
            yield Problem(
                "stop", "OLD-NOT-NAMED", line, f"the document above the {role} to follow does not name {role}"
            )
        for count in (tally(old, authority) for authority in delegated):
            if not count.met:
                text = f"the {role} to follow is not signed by its threshold: {printable(count.sentence)}"
                yield Problem("stop", "OLD-NOT-SIGNED", line, text)
        spec = case.script.targets if role == "targets" else case.script.bins
        if spec is not None and spec.version and spec.version <= old.version:
            text = f"version {spec.version} can't follow version {old.version}: clients refuse to go back"
            yield Problem("stop", "OLD-VERSION", case.line(role, "version"), text)
        above = old


def given(case: Case, spec: GivenSpec) -> Iterator[Problem]:
    """All problems with a document that comes whole, under the document that says who signs it."""
    named = {"draft": spec.draft, "before": spec.before, "delegator": spec.delegator}
    read: dict[str, Document] = {}
    for name, item in named.items():
        if item is None or name not in case.inputs:
            continue
        try:
            read[name] = layout.read_strictly(case.inputs[name], where=_path(item))
        except VestryError as error:
            text = f"the {name} can't be read: {_told(error)}"
            yield Problem("stop", "OLD-UNREADABLE", case.line(*item.pin), text)
    wanted = layout.TYPE if spec.threshold else "targets"
    for name in ("draft", "before"):
        if name in read and read[name].type != wanted:
            text = f"this is a document of type {printable(read[name].type)}, not {wanted}"
            yield Problem("stop", "GIVEN-TYPE", case.line(spec.draft.pin[0], name), text)
            return
    draft, delegator = read.get("draft"), read.get("delegator")
    if draft is not None and wanted == layout.TYPE and (why := layout.differs(draft)):
        text = f"in-toto's own reader would read another layout than the one that is signed: {printable(why)}"
        yield Problem("stop", "LAYOUT-DIFFERS", case.line("layout", "draft"), text)
    if draft is not None and "before" in read and draft.version and draft.version <= read["before"].version:
        text = f"version {draft.version} can't follow version {read['before'].version}: clients refuse to go back"
        yield Problem("stop", "OLD-VERSION", case.line("role", "draft"), text)
    if delegator is not None and draft is not None:
        yield from _delegated(case, spec, draft, delegator)


def _delegated(case: Case, spec: GivenSpec, draft: Document, delegator: Document) -> Iterator[Problem]:
    line = case.line("role", "name")
    found = authorities(spec.role, draft, delegator=delegator)
    if not found:
        yield Problem(
            "stop", "OLD-NOT-NAMED", line, f"the delegating document does not name {printable(spec.role, 60)}"
        )
        return
    holders: dict[str, str] = {}
    for index, key in case.numbered_keys:
        ids = [k for k in found[0].keys if key.keyid and k.keyid.startswith(key.keyid)]
        if len(ids) != 1:
            text = f"key '{key.name}' is no key that the delegating document names for {printable(spec.role, 60)}"
            yield Problem("stop", "KEY-UNKNOWN", case.line("keys", index), text)
        else:
            holders[ids[0].fingerprint] = key.holder
    if min(len(holders), len(set(holders.values()))) < found[0].threshold:
        text = f"{found[0].threshold} of the delegator's keys must sign, and the script lists {len(holders)}"
        yield Problem("stop", "OLD-THRESHOLD-KEYS", line, f"{text}, of {len(set(holders.values()))} people")


def _holds(old: Document, line: int) -> Iterator[Problem]:
    for count in (tally(old, authority) for authority in authorities("root", old, trusted=None, delegator=None)):
        if not count.met:
            text = f"the predecessor is not signed by its own threshold: {printable(count.sentence)}"
            yield Problem("stop", "OLD-NOT-SIGNED", line, text)


def _expired(case: Case, old: Document, line: int) -> Iterator[Problem]:
    if case.script.date and old.expires.date() < date.fromisoformat(case.script.date):
        text = f"the predecessor expires on {old.expires:%Y-%m-%d}, before the day of this ceremony"
        yield Problem("note", "OLD-EXPIRED", line, text)


def _resolved(case: Case, old: Document, index: int, spec: KeySpec) -> Generator[Problem, None, str]:
    """The whole key id that `spec.keyid` begins, or an empty string and a problem."""
    line = case.line("keys", index, "keyid")
    ids = [i for i in document.keys(old) if i.startswith(spec.keyid)]
    if len(ids) == 1:
        return ids[0]
    what = f"begins {len(ids)} key ids of the predecessor: write more of it" if ids else "is no key of the predecessor"
    text = f"key '{spec.name}': {spec.keyid[:_SHOWN]} {what}"
    yield Problem("stop", "KEY-AMBIGUOUS" if ids else "KEY-UNKNOWN", line, text)
    return ""


def _accounted(case: Case, old: Document, role: str, kept: Mapping[str, tuple[int, KeySpec]]) -> Iterator[Problem]:
    named = [str(i) for i in old.signed["roles"][role]["keyids"]]
    if role != "root" and all(k.new for k in case.script.keys_of(role)) and not set(named) & set(kept):
        # Keys that were destroyed once they had signed have no holder any more.
        text = f"all {len(named)} keys of {role} in the predecessor leave: this ceremony makes them anew"
        yield Problem("note", "KEYS-ANEW", case.line(role), text)
        return
    for keyid in named:
        if keyid not in kept:
            shown = printable(keyid[:_SHOWN])
            text = (
                f"key {shown} of the predecessor's {role} is not in the script: add it, with leaves = true if it goes"
            )
            yield Problem("stop", "KEY-FORGOTTEN", case.line(role), text)
        elif role not in kept[keyid][1].roles:
            index, spec = kept[keyid]
            text = f"key '{spec.name}' serves {role} in the predecessor: name the role, with leaves = true if it goes"
            yield Problem("stop", "KEY-FORGOTTEN", case.line("keys", index, "roles"), text)
    for keyid, (index, spec) in kept.items():
        if role in spec.roles and keyid not in named:
            if spec.leaves:
                text = f"key '{spec.name}' can't leave {role}: the predecessor does not name it there"
                yield Problem("stop", "KEY-CANNOT-LEAVE", case.line("keys", index, "leaves"), text)
            else:
                text = f"key '{spec.name}' of the predecessor comes to serve {role} as well"
                yield Problem("note", "KEY-NEW-ROLE", case.line("keys", index, "roles"), text)


def _old_threshold(old: Document, kept: Mapping[str, tuple[int, KeySpec]], line: int) -> Iterator[Problem]:
    threshold = int(old.signed["roles"]["root"]["threshold"])
    known: Mapping[str, Key] = document.keys(old)
    here = [i for i in old.signed["roles"]["root"]["keyids"] if i in kept]
    keys, people = {known[i].fingerprint for i in here}, {kept[i][1].holder for i in here}
    for code, what, count in (("KEYS", "keys", len(keys)), ("PEOPLE", "people", len(people))):
        if count < threshold:
            text = f"the predecessor wants {threshold} of its keys to sign, and the script lists {count} {what} of them"
            yield Problem("stop", f"OLD-THRESHOLD-{code}", line, text)
            return
    staying = [i for i in here if not kept[i][1].leaves]
    if len(staying) < threshold:
        gone = [kept[i][1].name for i in here if kept[i][1].leaves]
        text = f"keys that leave must sign too: {listed(gone)}; the old threshold is {threshold}, {len(staying)} stay"
        yield Problem("note", "OLD-THRESHOLD-LEAVERS", line, text)


def _changes_nothing(case: Case, old: Document) -> Iterator[Problem]:
    same = all(not k.new and not k.leaves for k in case.script.keys)
    thresholds = [
        case.threshold(role) == int(old.signed["roles"][role]["threshold"])
        for role in ("root", "targets")
        if case.threshold(role)
    ]
    if same and all(thresholds) and case.script.online is None and case.drafted == ("root",):
        text = "only version and expiry change: no key comes or goes"
        yield Problem("note", "ROTATION-RENEWS", case.line("root"), text)
