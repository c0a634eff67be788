"""Large documents: whatever is in them, the quick way says what the slow way says, or refuses with the same words."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from holders import EXPIRES, holder

from vestry.cli.main import main
from vestry.errors import InputRejected
from vestry.metadata import aside, claims, crowd, document, following, forms, intake, look_ahead, reduction, runs
from vestry.metadata.document import Document, LargeDocument
from vestry.metadata.lookalike import known_with
from vestry.metadata.review import Review, review

NOW = EXPIRES - timedelta(days=365)
Signed = dict[str, Any]
NAMES = (
    "requests",
    "Flask",
    "flask",
    "a-b",
    "a_b",
    "x.y",
    "con",
    "root",
    "nul.txt",
    "rеquests",
    "djang0",
    "p..q",
    "numpy1",
)


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def key(seed: object) -> tuple[str, dict[str, Any]]:
    public = hashlib.sha256(repr(seed).encode()).hexdigest()
    value = {"keytype": "ed25519", "keyval": {"public": public}, "scheme": "ed25519"}
    return hashlib.sha256(canonical(value)).hexdigest(), value


def delegation(name: str, keyid: str, **more: Any) -> dict[str, Any]:
    return {"keyids": [keyid], "name": name, "paths": [f"{name}/*"], "terminating": True, "threshold": 1, **more}


def several(role: Signed, keys: Signed, most: int, n: int) -> None:
    """Give a role up to so many more keys and paths."""
    more = dict(key((n, i)) for i in range(n % (most + 1)))
    keys.update(more)
    role["keyids"] += more
    role["threshold"] = 1 + n % len(role["keyids"])
    role["paths"] += [f"packages/{n}-{i}/*" for i in range(n // 2 % (most + 1))]


def targets(count: int, files: int, version: int = 1, held: int = 0) -> Signed:
    keys, roles = {}, []
    for n in range(count):
        keyid, value = key(n)
        keys[keyid] = value
        roles.append(delegation(f"project-{n:03d}", keyid))
        if held:
            several(roles[-1], keys, held, n)
    listed = {f"packages/p{n:03d}-1.0.whl": {"hashes": {"sha256": f"{n:064x}"}, "length": n} for n in range(files)}
    return {
        "_type": "targets",
        "delegations": {"keys": keys, "roles": roles},
        "expires": f"{EXPIRES:%Y-%m-%dT%H:%M:%SZ}",
        "spec_version": "1.0.34",
        "targets": listed,
        "version": version,
    }


def raw_of(signed: Signed, *, indent: int | None = None, signatures: Any = (), sort: bool = True) -> bytes:
    separators = (",", ": ") if indent is not None else (",", ":")
    value = {"signatures": list(signatures), "signed": signed}
    return json.dumps(value, sort_keys=sort, indent=indent, separators=separators).encode()


@pytest.fixture(autouse=True)
def _every_document_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "LARGE", 0)
    monkeypatch.setattr(runs, "SHORTEST", 0)
    monkeypatch.setattr(runs, "_BATCH", 2)
    monkeypatch.setattr(look_ahead, "MOST_ROLES", 4)


def slowly(raw: bytes) -> Document:
    large = crowd.LARGE
    crowd.LARGE = 1 << 60
    try:
        return document.read(raw, where="test", old_forms=True)
    finally:
        crowd.LARGE = large


def quickly(raw: bytes, before: Document | None = None) -> Document:
    return document.read(raw, where="test", old_forms=True, before=before)


def told(found: Review) -> Any:
    return (
        found.to_dict(),
        [(c.kind, c.path, c.text, c.roles, c.danger) for c in found.changes],
        found.ahead,
        found.new.signed_bytes,
        found.new.digest,
        bytes(found.new.message) == found.new.signed_bytes,
    )


def same(old: bytes, new: bytes, **given: Any) -> str:
    """How the pair was reviewed ("reduced", "whole" or "refused"); the outcome is that of the slow way."""
    outcomes: list[Any] = []
    for read in (slowly, quickly):
        try:
            was = read(old)
            now = quickly(new, was) if read is quickly else slowly(new)
        except InputRejected as error:
            outcomes.append(str(error))
        else:
            outcomes.append(review("claimed", now, old=was, now=NOW, **given))
    slow, quick = outcomes
    if isinstance(slow, str) or isinstance(quick, str):
        assert slow == quick
        return "refused"
    assert told(slow) == told(quick)
    delegator, ancestors = given.get("delegator"), given.get("ancestors", ())
    found = reduction.reduce(
        quick.old, quick.new, role="claimed", delegator=delegator, ancestors=ancestors, well_known=known_with(())
    )
    return "whole" if found is None else "reduced"


Change = Callable[[Signed, random.Random], None]


def roles(s: Signed) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = s["delegations"]["roles"]
    return found


def another_key(s: Signed, r: random.Random) -> None:
    keyid, value = key(r.random())
    s["delegations"]["keys"][keyid] = value
    role = r.choice(roles(s))
    if r.random() < 0.7:
        s["delegations"]["keys"].pop(role["keyids"][0], None)
    role["keyids"] = [keyid]


def more_of_a_role(s: Signed, r: random.Random) -> None:
    keyid, value = key(r.random())
    s["delegations"]["keys"][keyid] = value
    name = r.choice([*NAMES, f"new-{r.random():.4f}", "project-001", "PROJECT-002"])
    roles(s).insert(r.randrange(len(roles(s)) + 1), delegation(name, keyid))


def fewer(s: Signed, r: random.Random) -> None:
    if len(roles(s)) < 2:
        return
    del roles(s)[r.randrange(len(roles(s)))]


def order(s: Signed, r: random.Random) -> None:
    i, j = r.randrange(len(roles(s))), r.randrange(len(roles(s)))
    roles(s).insert(j, roles(s).pop(i))


def field_of_a_role(s: Signed, r: random.Random) -> None:
    role = r.choice(roles(s))
    name, value = r.choice(
        [
            ("threshold", 2),
            ("threshold", True),
            ("terminating", False),
            ("x-note", "hello"),
            ("name", "project-003"),
            ("paths", ["*/*"]),
            ("paths", ["project-00?/*"]),
            ("paths", ["project-004/*", "b"]),
            ("paths", ["project-005/x"]),
            ("paths", ["PROJECT-006/*"]),
            ("paths", ["../x/*"]),
            ("paths", ["numpy-*"]),
            ("paths", ["packages/djang0/*"]),
            ("paths", []),
            ("keyids", [roles(s)[0]["keyids"][0], roles(s)[-1]["keyids"][0]]),
            (
                "keyids",
                [
                    roles(s)[i % len(roles(s))]["keyids"][0]
                    for i in r.choice([(0, 0), (0, -1, 0), (-1, 0, 0), (0, 1, -1)])
                ],
            ),
            ("keyids", ["ab" * 32]),
            ("threshold", 3),
            ("paths", ["project-004/*", "b/*"]),
            ("paths", ["project-004/*", "project-004/*"]),
            ("name", "ev\u202eil"),
        ]
    )
    role[name] = value


def hash_prefixes(s: Signed, r: random.Random) -> None:
    role = r.choice(roles(s))
    role.pop("paths", None)
    role["path_hash_prefixes"] = ["a", "0b"]


def key_object(s: Signed, r: random.Random) -> None:
    keys = s["delegations"]["keys"]
    whole = sorted(keyid for keyid in keys if "keyval" in keys[keyid])
    keyid, other = r.choice(whole), keys[r.choice(whole)]
    keys[keyid] = r.choice(
        [
            {**keys[keyid], "x-name": "Ada"},
            {**keys[keyid], "keyval": {"public": other["keyval"]["public"]}},
            {**keys[keyid], "keyval": {"public": other["keyval"]["public"].upper()}},
            {**keys[keyid], "keyval": {"public": "01" + "00" * 31}},
            {**keys[keyid], "keyval": {"public": "zz"}},
            {**keys[keyid], "keytype": "ecdsa"},
            {**keys[keyid], "keyval": {**keys[keyid]["keyval"], "private": "no"}},
            holder("pem").key.to_dict(),
            {"keytype": "ed25519"},
        ]
    )


def key_comes_or_goes(s: Signed, r: random.Random) -> None:
    keys = s["delegations"]["keys"]
    if r.random() < 0.5:
        del keys[r.choice(sorted(keys))]
    else:
        keys[r.choice(["00" * 32, "ff" * 32, "odd", "\u00e4"])] = key(r.random())[1]


def files(s: Signed, r: random.Random) -> None:
    listed = s["targets"]
    path = r.choice([*sorted(listed), "x"])
    value = {"hashes": {"sha256": f"{r.getrandbits(256):064x}"}, "length": 7}
    what = r.randrange(6)
    if what == 0:
        listed.pop(path, None)
    elif what == 1:
        listed[path] = value
    elif what == 2:
        listed[r.choice(["PACKAGES/P000-1.0.whl", "packages/poOO-1.0.whl", "djang0/x", "../up", "a b", "\u00e4/b"])] = (
            value
        )
    elif what == 3:
        listed[path] = {**value, "custom": {"a": [1]}}
    elif what == 4:
        listed[path] = {"hashes": {"sha256": "ab"}, "length": 0}
    else:
        listed[f"new/{r.random()}"] = {"hashes": {"sha512": "a" * 128, "sha256": "b" * 64}, "length": 10**17}


def top(s: Signed, r: random.Random) -> None:
    s.update(
        r.choice([{"x-more": {"keys": {}, "roles": [1]}}, {"version": 9}, {"spec_version": "2.0.0"}, {"targets": {}}])
    )


CHANGES: tuple[Change, ...] = (
    another_key,
    more_of_a_role,
    fewer,
    order,
    field_of_a_role,
    hash_prefixes,
    key_object,
    key_comes_or_goes,
    files,
    top,
)


def bytes_of(signed: Signed, r: random.Random) -> bytes:
    how = r.random()
    raw = raw_of(signed, indent=1 if how < 0.15 else None, sort=how < 0.95)
    if how > 0.9:
        raw = raw.replace(b'"version":', b'"version" :', 1)
    return raw


@pytest.mark.parametrize("seed", range(8))
def test_a_pair_is_reviewed_as_the_slow_way_reviews_it(seed: int) -> None:
    """What the quick way leaves out, nobody reads: it may leave out nothing that the rules would speak of."""
    ways = []
    for n in range(60):
        r = random.Random(seed * 1000 + n)
        old = targets(r.choice([3, 8, 20]), r.choice([0, 3, 12]), held=r.choice([0, 2, 3]))
        for _ in range(r.choice([0, 0, 1, 2])):
            r.choice(CHANGES)(old, r)
        new = json.loads(json.dumps(old))
        new["version"] = 2
        for _ in range(r.randrange(5)):
            r.choice(CHANGES)(new, r)
        given: dict[str, Any] = {}
        if r.random() < 0.3:
            above = targets(2, 0)
            paths = r.choice([["*/*"], ["*"], ["project-*/*"], ["*/*", "packages/*"], ["*/*/*"]])
            roles(above).append(delegation("claimed", roles(above)[0]["keyids"][0], paths=paths))
            given = {"delegator": slowly(raw_of(above)), "ancestors": ("project-001",)}
        ways.append(same(bytes_of(old, r), bytes_of(new, r), **given))
    assert ways.count("reduced") > 10, ways


@pytest.mark.parametrize("near", [1, 500, 1 << 14])
@pytest.mark.parametrize("seed", range(6))
def test_delegations_that_moved_are_told_without_the_crowd(
    seed: int, near: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order decides who is asked first. Which of two that changed places has moved is told of the whole list."""
    monkeypatch.setattr(following, "_NEAR", near)
    for n in range(12):
        r = random.Random(seed * 100 + n)
        old = targets(30, r.choice([0, 3]))
        for _ in range(r.choice([0, 1])):
            r.choice((field_of_a_role, hash_prefixes))(old, r)
        new = json.loads(json.dumps({**old, "version": 2}))
        for _ in range(r.choice([1, 2, 6])):
            i, j, size = r.randrange(30), r.randrange(30), r.choice([1, 1, 3])
            moving = roles(new)[i : i + size]
            del roles(new)[i : i + size]
            roles(new)[j:j] = moving[:: r.choice([1, -1])]
        for _ in range(r.choice([0, 0, 2])):
            r.choice((another_key, more_of_a_role, fewer))(new, r)
        assert same(raw_of(old), raw_of(new)) in ("reduced", "refused")


@pytest.mark.parametrize("indent", [None, 1])
def test_a_file_in_the_place_of_all_others_is_told(indent: int | None) -> None:
    """Where nothing is left of the old crowd, and nothing stands around the new one."""
    old, new = targets(5, 12), targets(5, 0, version=2)
    new["targets"]["x"] = {"hashes": {"sha256": "a" * 64}, "length": 1}
    assert same(raw_of(old, indent=indent), raw_of(new, indent=indent)) == "reduced"
    told = review("claimed", quickly(raw_of(new, indent=indent)), old=quickly(raw_of(old, indent=indent)), now=NOW)
    assert "target-added" in {change.kind for change in told.changes}


def test_a_new_key_that_begins_like_one_of_the_crowd_is_told_whole() -> None:
    """Eight digits in common are made in an hour; whoever knows the old key by them would take the new one for it."""
    old, new = targets(30, 0), targets(30, 0, version=2)
    alike = roles(old)[3]["keyids"][0][:8] + "0" * 56
    new["delegations"]["keys"][alike] = key("another")[1]
    roles(new)[20]["keyids"] = [alike]
    assert same(raw_of(old), raw_of(new)) == "reduced"
    found = review("claimed", quickly(raw_of(new)), old=quickly(raw_of(old)), now=NOW)
    assert any(alike in change.text for change in found.changes)


@pytest.mark.parametrize("seed", range(4))
def test_bytes_that_were_damaged_are_refused_with_the_same_words(seed: int) -> None:
    """A door with a second, quicker leaf must keep out the same things."""
    r = random.Random(seed)
    good = raw_of(targets(6, 3))
    was = quickly(good)
    assert isinstance(was, LargeDocument)
    for _ in range(150):
        raw = bytearray(good)
        at = r.randrange(len(raw))
        what = r.randrange(5)
        if what == 0:
            raw[at] = r.choice(b'"\\{}[],:0aZ \n\x00\xff')
        elif what == 1:
            raw[at:at] = r.choice([b" ", b"\n", b",", b'"', b"{}", b"[", b"1.5", b'"a":1,', b"\\"])
        elif what == 2:
            del raw[at : at + r.randrange(1, 80)]
        elif what == 3:
            end = at + r.randrange(1, 400)
            raw[at:at] = raw[at:end]
        else:
            end = good.find(b"},", at)
            start = good.rfind(b",{", 0, at)
            raw[at:at] = good[start : end + 1]
        outcomes = []
        for read in (slowly, quickly, lambda b: quickly(b, was)):
            try:
                found = read(bytes(raw))
                outcomes.append((found.signed_bytes, found.digest, found.signatures, found.version, found.signed))
            except InputRejected as error:
                outcomes.append(str(error))  # type: ignore[arg-type]
        assert outcomes[0] == outcomes[1] == outcomes[2]


def test_files_of_a_role_that_was_given_no_path_are_all_outside() -> None:
    """Were the given paths only looked at where there are some, no file would be said to be outside of none."""
    above = targets(1, 0)
    roles(above).append(delegation("claimed", roles(above)[0]["keyids"][0], paths=[]))
    old, new = targets(0, 12), targets(0, 12, version=2)
    same(raw_of(old), raw_of(new), delegator=slowly(raw_of(above)))


@pytest.mark.parametrize("given", ["*/", "/*", "*/*"])
def test_an_empty_segment_fits_nothing(given: str) -> None:
    """Were only the slashes of what was given counted, entries that are outside of it would be taken for inside."""
    above = targets(1, 0)
    roles(above).append(delegation("claimed", roles(above)[0]["keyids"][0], paths=[given]))
    old, new = targets(12, 12), targets(12, 12, version=2)
    how = same(raw_of(old), raw_of(new), delegator=slowly(raw_of(above)))
    assert how == ("reduced" if given == "*/*" else "whole")


@pytest.mark.parametrize(
    ("path", "digest"),
    [
        *(
            (p, "0" * 64)
            for p in (
                "a//b",
                "/a",
                "a/",
                ".a",
                "a/.b",
                "a\nb",
                "\n",
                "a/\nb",
                "\u00e4",
                "a b",
                "1/" * 9 + "1",
                "r" * 201,
                "a:b",
            )
        ),
        *(("good", d) for d in ("A" * 64, "g" + "0" * 63, "0" * 63 + "g", ":" + "0" * 63, "0" * 63, "0" * 65, "")),
    ],
)
def test_a_file_that_is_not_plain_stays_out_of_the_crowd(path: str, digest: str) -> None:
    """The letters of a run are looked at together: one that is not plain must not slip in with the others."""
    signed = targets(0, 9)
    signed["targets"] = dict(sorted({**signed["targets"], path: {"hashes": {"sha256": digest}, "length": 1}}.items()))
    raw = raw_of(signed)
    found = quickly(raw)
    assert isinstance(found, LargeDocument)
    names = [name.decode() for run, _ in found.left.runs for name in run.names()]
    assert sorted(names) == sorted(targets(0, 9)["targets"])
    assert same(raw, raw_of({**signed, "version": 2})) == "reduced"


@pytest.mark.parametrize("other", [b"0", b"a", b'"', b"F"])
def test_many_keys_at_once_are_the_keys_one_by_one(other: bytes) -> None:
    """A letter of a constant part that is a digit, too ("e" of "keytype"), may be no other one."""
    good = canonical(dict(key(n) for n in range(7)))
    pattern = forms.run_pattern(forms.KEYS, spaced=False)
    for at in range(len(good)):
        raw = good[:at] + other + good[at + 1 :]
        for start in (0, at):
            one_by_one = [m.span() for m in pattern.finditer(raw, start)]
            assert list(runs._spans(forms.KEYS, raw, False, start, len(raw))) == one_by_one


def test_the_crowd_is_left_out() -> None:
    """Without this, all of the above would hold for a quick way that never goes."""
    old = targets(50, 20)
    new = json.loads(json.dumps(old))
    another_key(new, random.Random(1))
    new["version"] = 2
    was = quickly(raw_of(old))
    now = quickly(raw_of(new), was)
    assert isinstance(was, LargeDocument)
    assert isinstance(now, LargeDocument)
    assert now.steps
    found = reduction.reduce(was, now, role="claimed", delegator=None, ancestors=(), well_known=known_with(()))
    assert found is not None
    assert len(found.new.signed["delegations"]["roles"]) == 1
    assert found.new.signed["targets"] == {}


@pytest.mark.parametrize("indent", [None, 1])
def test_whether_claimed_projects_end_the_search_is_told_of_any_file(indent: int | None) -> None:
    """Were the file asked as it stands, an indented one would end no search, and a field of any name could."""
    signed = targets(4, 0)
    signed["x-note"] = {"terminating": False}
    raw = raw_of(signed, indent=indent)
    assert isinstance(quickly(raw), LargeDocument)
    assert claims._endings(quickly(raw)) == claims._endings(slowly(raw)) == {True}


def test_of_two_claimed_names_that_look_alike_the_same_is_told() -> None:
    """Were it the first that is met, a plain delegation would come after all that are not."""
    signed = targets(2, 0)
    for role, name in zip(roles(signed), ("a_b", "a-b"), strict=True):
        role["name"] = name
    roles(signed)[1]["x-note"] = "not plain"
    told = [claims._claimed(read(raw_of(signed)), frozenset(["A-B"]))[1] for read in (slowly, quickly)]
    assert told == [{"A-B": "a-b"}] * 2


def test_limits_hold_for_large_documents() -> None:
    """Size is refused before anything is looked for."""
    raw = raw_of(targets(9, 0))
    with pytest.raises(InputRejected, match="more than the"):
        document.read(raw, where="test", limits=intake.Limits(bytes=len(raw) - 1))


def test_a_large_role_is_reviewed_under_its_delegator_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever signs claimed must see who has signed it; only the document above says who may."""
    signer = holder("signer")
    above = targets(3, 0)
    above["delegations"]["keys"][signer.key.keyid] = signer.key.to_dict()
    roles(above).append(delegation("claimed", signer.key.keyid, paths=["*/*"]))
    old, new = targets(40, 0), targets(40, 0, version=2)
    another_key(new, random.Random(1))
    (tmp_path / "targets.json").write_bytes(raw_of(above))
    for version, signed in ((1, old), (2, new)):
        unsigned = document.read(raw_of(signed), where="test")
        sig = signer.sign(unsigned)
        raw = raw_of(signed, signatures=[{"keyid": sig.keyid, "sig": sig.sig}])
        (tmp_path / f"{version}.claimed.json").write_bytes(raw)
    paths = [str(tmp_path / f"{version}.claimed.json") for version in (1, 2)]
    main(["review", *paths, "--delegator", str(tmp_path / "targets.json"), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["role"] == "claimed"
    assert found["thresholds"][0]["met"]
    assert {c["kind"] for c in found["changes"]} >= {"key-added", "version-changed"}
    (tmp_path / "2.other.json").write_bytes((tmp_path / "2.claimed.json").read_bytes())
    assert (
        main(["review", paths[0], str(tmp_path / "2.other.json"), "--delegator", str(tmp_path / "targets.json")]) == 2
    )
    assert "names no role 'other'" in capsys.readouterr().err


def _false_id(s: Signed, n: int) -> None:
    """The `n`-th delegation's key gets an id that is not its digest."""
    role = roles(s)[n]
    false = hashlib.sha256(b"false").hexdigest()
    s["delegations"]["keys"][false] = s["delegations"]["keys"].pop(role["keyids"][0])
    role["keyids"] = [false]


def _file_outside(s: Signed, n: int) -> None:
    names = sorted(s["targets"])
    s["targets"][names[n].replace("packages/", "packages/deep/")] = s["targets"].pop(names[n])


def _fewer_files(s: Signed, n: int) -> None:
    del s["targets"][sorted(s["targets"])[n]]


@pytest.mark.parametrize("n", [0, 39, 79])
@pytest.mark.parametrize("change", [_false_id, _file_outside, _fewer_files])
@pytest.mark.parametrize("sides", ["both", "old", "new"])
def test_a_second_core_finds_what_one_finds(
    change: Callable[[Signed, int], None], n: int, sides: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without: what stands in the half of a file that a child looks at may be overlooked, or be cut in two."""
    old, new = targets(80, 80), targets(80, 80, version=2)
    for side, signed in (("old", old), ("new", new)):
        if sides in ("both", side):
            change(signed, n)
    raws = raw_of(old), raw_of(new)
    entry = delegation("claimed", key("above")[0], paths=["*/*"])
    above = targets(0, 0)
    above["delegations"] = {"keys": dict([key("above")]), "roles": [entry]}
    delegator = document.read(raw_of(above), where="above")

    def found() -> tuple[Any, ...]:
        was = quickly(raws[0])
        now = quickly(raws[1], was)
        assert isinstance(was, LargeDocument)
        runs = [(r.form.place, r.start, r.end) for r, _ in was.left.runs]
        said = told(review("claimed", now, old=was, delegator=delegator, now=NOW))
        return runs, bool(was.left.ids and was.left.ids.answer), said

    apart = found()
    monkeypatch.setattr(aside, "WORTH", 1)
    monkeypatch.setattr(aside, "possible", lambda: True)
    forks = []
    fork = os.fork
    monkeypatch.setattr(os, "fork", lambda: forks.append(1) or fork())
    aside_too = found()
    assert len(forks) >= 2
    assert aside_too[0] == apart[0]
    assert aside_too[1] == (change is not _false_id or sides == "new")
    assert aside_too[2] == apart[2]
    slow = told(review("claimed", slowly(raws[1]), old=slowly(raws[0]), delegator=delegator, now=NOW))
    assert aside_too[2] == slow


def _dies() -> bytes:
    raise RuntimeError("in a child")


def _is_killed() -> bytes:
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


def test_without_a_child_or_its_answer_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without: half an answer, or none, may be taken for one that says that all is well."""

    def refused() -> int:
        raise BlockingIOError(11, "no more processes")

    monkeypatch.setattr(aside, "possible", lambda: True)
    assert aside.Aside(lambda: b"x" * 200_000).answer == b"x" * 200_000
    assert aside.Aside(_dies).answer is None
    assert aside.Aside(_is_killed).answer is None
    monkeypatch.setattr(os, "fork", refused)
    assert aside.Aside(lambda: b"").answer is None
    monkeypatch.setattr(aside, "possible", lambda: False)
    assert aside.Aside(lambda: b"").answer is None
