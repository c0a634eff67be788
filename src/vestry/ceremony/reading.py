"""Reading a ceremony script: TOML in, `Script` out, or one exact error.

Everything the script leaves out is spelled out here (all holders, all roles, all tokens), so that nothing after this
has to guess. Whether the order of its steps makes sense is for `order.py`.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn, cast

from vestry.ceremony import script as s
from vestry.ceremony import seal_keys, toml_lines
from vestry.ceremony.devices import SCHEMES, read_keys, read_tokens
from vestry.ceremony.given import read_given
from vestry.ceremony.rstuf import read_rstuf
from vestry.ceremony.steps import Names, read_steps
from vestry.ceremony.strictness import read_policy
from vestry.ceremony.table import Source, Table, alike, named_input, nearest, quoted, table, tables, unique, unseen
from vestry.errors import InputRejected
from vestry.media import snapshot
from vestry.metadata import intake
from vestry.metadata.intake import read_file
from vestry.text import printable

MAX_SCRIPT = 256 * 1024
_CLOCK_BOUND = 120  # seconds; a watch read aloud and typed is good to about one minute
MAX_INPUT = 16 * 1024 * 1024
PREDECESSOR, ONLINE, ANCHORS, KEY_OF = "predecessor", "online", "anchors", "sealing key of "

KINDS = ("root", "rotation", "delegated", "layout")
_OF_KINDS = {
    "root": KINDS[:2],
    "targets": KINDS[:2],
    "bins": KINDS[:2],
    "online": KINDS[:2],
    "rstuf": KINDS[:2],
    "snapshot": ("rotation",),
    "role": ("delegated",),
    "layout": ("layout",),
}
_TABLES = (
    "ceremony",
    "people",
    "root",
    "targets",
    "bins",
    "role",
    "layout",
    "snapshot",
    "online",
    "rstuf",
    "attestation",
    "review",
    "tokens",
    "keys",
    "steps",
)
_SECRET_NAME = re.compile(
    r"(?:^|[_.\s-])(?:user|so|my|the)?(?:pins?|puks?|pincodes?)\d*(?:$|[_.\s-])|passw|passphrase|passcode|secret|private_?key",
    re.IGNORECASE,
)
_AT = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


def load(path: Path, *, inputs: Mapping[str, Path] | None = None) -> tuple[s.Script, dict[str, bytes]]:
    """Read a script and the files it names, each compared with its pin.

    Args:
        path: The script.
        inputs: Where an input is, by name (``online``, ``predecessor``); where not given, its path in the script
            counts, from the script's own folder.

    Raises:
        InputRejected: the script or an input is not what it must be; says which line to write.
        MediumTrouble: a file can't be read.
    """
    script, source, places = _named(path, inputs or {})
    found = {}
    for item, place in places:
        found[item.name] = _input(source, item, place)
        _pinned(source, item, found[item.name])
    return script, found


def load_as_is(path: Path, *, inputs: Mapping[str, Path] | None = None) -> tuple[s.Script, dict[str, bytes]]:
    """`load` without comparing: an input that is not there is left out, and pins are for `order.check` to tell of, all
    of them at once.

    Raises:
        InputRejected: the script, or an input that is there, can't be read as what it must be.
    """
    script, source, places = _named(path, inputs or {})
    return script, {item.name: _input(source, item, place) for item, place in places if place.exists()}


def _named(path: Path, given: Mapping[str, Path]) -> tuple[s.Script, Source, list[tuple[s.Input, Path]]]:
    where = str(printable(str(path)))
    script = read(read_file(path, limit=MAX_SCRIPT), where=where)
    names = [i.name for i in script.inputs]
    for name in given:
        if name not in names:
            do = nearest(name, names) if names else "leave it out"
            raise InputRejected(f"the script names no input {quoted(name)}", where=where, do=do)
    return script, _source(script.text, where), [(i, given.get(i.name, path.parent / i.path)) for i in script.inputs]


def _pinned(source: Source, item: s.Input, raw: bytes) -> None:
    actual = hashlib.sha256(raw).hexdigest()
    place, key = item.pin, item.pin[-1]
    label = f"[{place[0]}]" if len(place) == 2 else f"[[{place[0]}]]"
    if not item.sha256:
        what = f"{label}: {quoted(item.path)} is not pinned"
        source.bad(place, what, f'add the line {key} = "{actual}"', "E-INPUT-UNPINNED")
    if item.sha256 != actual:
        what = f"{label}: {quoted(item.path)} has SHA-256 {actual}, the script says {item.sha256}"
        do = f'bring the file that was meant; if this is it, write {key} = "{actual}"'
        source.bad(place, what, do, "E-INPUT-DIFFERS")


def _input(source: Source, item: s.Input, path: Path) -> bytes:
    raw = snapshot.listing(snapshot.open_snapshot(path)) if item.folder else _file(source, item, path)
    place = item.pin
    label = f"[{place[0]}]" if len(place) == 2 else f"[[{place[0]}]]"
    if b"PRIVATE KEY" in raw:
        what = f"{label}: {quoted(item.path)} holds a private key"
        source.bad(place[:1], what, "give the public half alone", "E-SECRET")
    try:
        text = intake.decode(raw, where=quoted(item.path))
    except InputRejected as error:
        source.bad(place[:1], f"{label}: {error.where}: {error.what}", "bring the file as it was made")
    if item.name.startswith(KEY_OF):
        seal_keys.read(text, where=str(printable(str(path))))
    return raw


def _file(source: Source, item: s.Input, path: Path) -> bytes:
    try:
        return read_file(path, limit=MAX_INPUT)
    except InputRejected as error:
        if error.code != "E-SIZE":
            raise
        # Inputs become part of the transcript, whole, so that it can be replayed alone.
        what = f"{quoted(item.path)} is too large for a transcript, which holds every input: {error.what}"
        do = "sign it from a bundle instead: vestry stage, then vestry sign"
        source.bad(item.pin, what, do, "E-SIZE")


def read(raw: bytes, *, where: str) -> s.Script:
    """The script that `raw`, TOML in UTF-8, says. `where` is its name for errors.

    Raises:
        InputRejected: one line with file and line, what is wrong, and what to write instead.
    """
    text = _text(raw, where)
    data = _toml(text, where)
    source = _source(text, where)
    _no_secrets(source)
    for name in data:
        if name not in _TABLES:
            source.bad((name,), f"the table {quoted(name)} is not known", nearest(name, _TABLES))
    return _script(source, data, text, hashlib.sha256(raw).hexdigest())


def _source(text: str, where: str) -> Source:
    return Source(where, toml_lines.lines(text.replace("\r\n", "\n")))


def _text(raw: bytes, where: str) -> str:
    if len(raw) > MAX_SCRIPT:
        raise InputRejected(f"a script has at most {MAX_SCRIPT // 1024} KiB, this has {len(raw):,} bytes", where=where)
    if raw.startswith(b"\xef\xbb\xbf"):
        _refuse(where, 1, "the script begins with a byte order mark", "save it as UTF-8 without one")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        _refuse(where, line, f"byte {raw[error.start]:#04x} is not UTF-8", "save the script as UTF-8")
    for at, name in unseen(text.replace("\r\n", " \n")):
        if text[at] not in "\t\n":
            line = text.count("\n", 0, at) + 1
            _refuse(where, line, f"{name} is a character that does not show", "write the line without it")
    return text


def _toml(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _AT.fullmatch(str(error))
        said, line, column = found.groups() if found else (str(error), None, None)
        number = int(line) if line else text.rstrip("\n").count("\n") + 1
        if "overwrite" in said or "twice" in said or "Cannot mutate" in said or "more than once" in said:
            _refuse(where, number, "this name or table is written twice", "write it once")
        at = f" at column {column}" if column else " at the end of the script"
        _refuse(where, number, f"this is not TOML{at}: {printable(said, 100)}", "see the lines around it")
    except (ValueError, RecursionError):
        _refuse(where, 1, "this is not TOML: a number is too long, or lists lie too deep", "write it plainly")


def _refuse(where: str, line: int, what: str, do: str) -> NoReturn:
    raise InputRejected(what, where=f"{where}:{line}", do=do, code="E-SCRIPT")


def _no_secrets(source: Source) -> None:
    for path in sorted(source.lines, key=lambda p: source.lines[p]):
        if path and isinstance(path[-1], str) and _SECRET_NAME.search(path[-1]):
            source.bad(
                path,
                f"{quoted(path[-1])}: a script has no place for a secret",
                "remove the line, and change the secret if it was a real one; its holder types it in the ceremony",
                "E-SECRET",
            )


def _script(source: Source, data: Mapping[str, Any], text: str, sha256: str) -> s.Script:
    head = table(source, data, "ceremony", 'title, kind ("root" or "rotation") and repository')
    assert head is not None
    head.only(("title", "kind", "repository", "date", "next", "rehearsal", "exceptions", "clock_bound"))
    title = head.text("title", "Root key ceremony")
    kind = cast("s.Kind", head.choice("kind", KINDS))
    for name, kinds in _OF_KINDS.items():
        if name in data and kind not in kinds:
            do = f'leave it out, or write kind = "{kinds[0]}"'
            source.bad((name,), f"[{name}] has no place in a ceremony of the kind {quoted(kind)}", do)
    repository = head.text("repository", "pypi.org")
    day, following, rehearsal = _date(head, "date"), _date(head, "next"), head.yes("rehearsal")
    people = _people(source, data)
    exceptions = _exceptions(head, len(people))
    clock_bound = head.number("clock_bound", 1, 86400, _CLOCK_BOUND, default=_CLOCK_BOUND)
    given = read_given(source, data, kind)
    root, predecessor = _root(source, data, kind) if given is None else (None, None)
    targets = _targets(source, data, kind)
    bins = _bins(source, data, kind)
    online, online_scheme = _online(source, data)
    anchors = _anchors(source, data)
    rstuf = read_rstuf(source, data, kind)
    tokens = read_tokens(source, data, people)
    keys = read_keys(source, data, people, tokens, given)
    read_script = s.Script(
        title=title,
        kind=kind,
        repository=repository,
        people=people,
        tokens=tokens,
        keys=keys,
        root=root,
        steps=(),
        targets=targets,
        bins=bins,
        given=given,
        online=online,
        online_scheme=online_scheme,
        predecessor=predecessor,
        anchors=anchors,
        rstuf=rstuf,
        snapshots=_snapshots(source, data),
        policy=read_policy(source, data, len(people), "rstuf" if rstuf else ""),
        date=day,
        next=following,
        rehearsal=rehearsal,
        exceptions=exceptions,
        clock_bound=clock_bound,
        text=text,
        sha256=sha256,
    )
    _one_file_each(source, read_script.inputs)
    names = Names(
        people=tuple(p.name for p in people),
        roles=read_script.drafted,
        tokens=tuple(t.name for t in tokens),
        provisioned=tuple(t.name for t in tokens if any(k.token == t.name and k.new for k in keys)),
        sealers=tuple(dict.fromkeys(k.holder for k in keys if read_script.sealing_role in k.roles)),
    )
    return replace(read_script, steps=read_steps(tables(source, data, "steps"), names, source))


def _date(head: Table, name: str) -> str:
    value = head.values.get(name, "")
    if type(value) is date:
        return value.isoformat()
    if type(value) is str and re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError:
            head.bad(name, f"{name} {quoted(value)} is not in the calendar", f"write {name} = 2026-11-23")
    if head.has(name):
        head.bad(name, f"{name} {quoted(value)} is not a day", f"write {name} = 2026-11-23")
    return ""


def _exceptions(head: Table, people: int) -> int:
    # Two: one who asks and one who agrees, so that nobody alone can leave the script; more would stop a small ceremony
    # at its first broken device.
    wanted = head.number("exceptions", 0, people, 2, default=min(2, people))
    if wanted == 1 and people > 1:
        head.bad("exceptions", "one person alone would leave the script", "write 0, or at least 2")
    return wanted


def _people(source: Source, data: Mapping[str, Any]) -> tuple[s.Person, ...]:
    found = tables(source, data, "people")
    if not found:
        source.bad((), "there are no [[people]]", "add each person, with name and office")
    people = []
    for item in found:
        item.only(("name", "office", "key", "key_sha256"))
        name = item.text("name", "Alice", longest=64)
        office = item.choice("office", ("administrator", "holder", "witness"))
        named = item.has("key") or item.has("key_sha256")
        key = named_input(item, KEY_OF + name, "key", "walter.pem") if named else None
        people.append(s.Person(name, cast("s.Office", office), key))
    unique(found, "name", [p.name for p in people])
    return tuple(people)


def _threshold(item: Table) -> int:
    return item.number("threshold", 1, 1000, 2)


def _root(source: Source, data: Mapping[str, Any], kind: s.Kind) -> tuple[s.RoleSpec, s.Input | None]:
    item = table(source, data, "root", "threshold and expires")
    assert item is not None
    item.only(("threshold", "expires", "from", "from_sha256"))
    role = s.RoleSpec(_threshold(item), item.days("expires"))
    if kind == "root":
        for name in ("from", "from_sha256"):
            if item.has(name):
                item.bad(name, f"{name} belongs to a rotation", 'leave it out, or write kind = "rotation"')
        return role, None
    return role, named_input(item, PREDECESSOR, "from", "1.root.json")


def _targets(source: Source, data: Mapping[str, Any], kind: s.Kind) -> s.RoleSpec | None:
    item = table(source, data, "targets", "")
    if item is None:
        return None
    item.only(("threshold", "expires", *_FOLLOWS))
    before, version = _follows(item, kind)
    # A rotation that follows no targets document only says whose keys the new root names for the role.
    days = item.days("expires") if kind == "root" or before or item.has("expires") else 0
    return s.RoleSpec(_threshold(item), days, before, version)


def _bins(source: Source, data: Mapping[str, Any], kind: s.Kind) -> s.BinsSpec | None:
    item = table(source, data, "bins", "")
    if item is None:
        return None
    item.only(("threshold", "expires", "number", "style", *_FOLLOWS))
    before, version = _follows(item, kind)
    for name in ("number", "style"):
        if before and item.has(name):
            item.bad(name, f"{name} stays as it is in the document that is followed", "leave it out")
    style = item.choice("style", ("succinct", "prefixes"), default="succinct")
    return s.BinsSpec(
        _threshold(item),
        item.days("expires"),
        item.number("number", 2, 65536, 16384, default=16384),
        "prefixes" if style == "prefixes" else "succinct",
        before,
        version,
    )


_FOLLOWS = ("from", "from_sha256", "version")


def _follows(item: Table, kind: s.Kind) -> tuple[s.Input | None, int]:
    """The document that the new one follows, and its version where it is not the next."""
    if kind == "root" or not item.has("from"):
        for name in _FOLLOWS:
            if item.has(name):
                do = "leave it out" if kind == "root" else 'add from = "the document to follow"'
                item.bad(name, f"{name} belongs to a rotation that follows a document", do)
        return None, 0
    role = str(item.path[0])
    version = item.number("version", 2, 2**31, 2, default=0)
    return named_input(item, role, "from", f"1.{role}.json"), version


def _online(source: Source, data: Mapping[str, Any]) -> tuple[s.Input | None, str]:
    item = table(source, data, "online", "")
    if item is None:
        return None, ""
    item.only(("public_key", "sha256", "scheme"))
    return named_input(item, ONLINE, "public_key", "online.pem"), item.choice("scheme", SCHEMES, default="")


def _one_file_each(source: Source, inputs: Sequence[s.Input]) -> None:
    """The folder of the ceremony keeps them side by side, on media that may not tell upper from lower case."""
    seen: set[str] = set()
    for item in inputs:
        name = alike(PurePosixPath(item.path).name)
        if name in seen:
            what = f"[{item.pin[0]}]: another input has the same file name"
            source.bad(item.pin, what, "give one of them another name")
        seen.add(name)


def _snapshots(source: Source, data: Mapping[str, Any]) -> tuple[s.Input, ...]:
    item = table(source, data, "snapshot", "")
    if item is None:
        return ()
    item.only(("good", "good_sha256", "now", "now_sha256"))
    folders = [named_input(item, name, name, f"snapshot-{name}") for name in ("good", "now")]
    return tuple(replace(folder, folder=True) for folder in folders)


def _anchors(source: Source, data: Mapping[str, Any]) -> s.Input | None:
    item = table(source, data, "attestation", "")
    if item is None:
        return None
    item.only(("anchors", "sha256"))
    return named_input(item, ANCHORS, "anchors", "yubico.pem")
