"""Proving a script before the day: each fault is found, on its line, and found once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Key, Metadata, Root
from tuf.api.serialization.json import JSONSerializer

from vestry.ceremony import reading
from vestry.ceremony.order import check
from vestry.ceremony.problem import Problem
from vestry.cli.main import main

EXAMPLE = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
STEPS = ["gather", "preflight", "provision", "draft", "review", "sign", "verify", "destroy", "export", "seal"]
PEOPLE = [("Olivia", "administrator"), ("Walter", "witness"), *((n, "holder") for n in ("Alice", "Bob", "Carol"))]


def pem(raw: bytes = b"") -> bytes:
    key = (
        ed25519.Ed25519PublicKey.from_public_bytes(raw)
        if raw
        else ed25519.Ed25519PrivateKey.from_private_bytes(b"o" * 32).public_key()
    )
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@dataclass
class Draft:
    """A script to be bent: text made from parts, each of which a test may change."""

    head: str = 'title = "t"\nkind = "root"\nrepository = "pypi.org"\nrehearsal = true\n'
    people: list[tuple[str, str]] = field(default_factory=lambda: list(PEOPLE))
    roles: str = (
        '[root]\nthreshold = 2\nexpires = "365d"\n\n[targets]\nthreshold = 2\nexpires = "365d"\n\n'
        '[bins]\nthreshold = 2\nexpires = "365d"\nnumber = 16384\n\n'
    )
    online: bytes = field(default_factory=pem)
    tokens: str = "".join(
        f'[[tokens]]\nname = "{n.lower()}"\nholder = "{n}"\nuse = "software"\n\n' for n in ("Alice", "Bob", "Carol")
    )
    keys: list[str] = field(
        default_factory=lambda: [
            f'name = "{n.lower()}-{r}"\nholder = "{n}"\ntoken = "{n.lower()}"\nroles = ["{r}"]\nscheme = "ed25519"\n'
            for n, r in (
                *((n, "root") for n in ("Alice", "Bob", "Carol")),
                *((n, r) for r in ("targets", "bins") for n in ("Alice", "Bob")),
            )
        ]
    )
    steps: list[str] = field(
        default_factory=lambda: [f'do = "{s}"\n' + 'roles = ["targets", "bins"]\n' * (s == "destroy") for s in STEPS]
    )
    inputs: dict[str, bytes] = field(default_factory=dict)

    @property
    def text(self) -> str:
        pin = f'[online]\npublic_key = "online.pem"\nsha256 = "{hashlib.sha256(self.online).hexdigest()}"\n\n'
        people = "".join(f'[[people]]\nname = "{n}"\noffice = "{o}"\n\n' for n, o in self.people)
        keys = "".join(f"[[keys]]\n{key}\n" for key in self.keys)
        steps = "".join(f"[[steps]]\n{step}\n" for step in self.steps)
        return f"[ceremony]\n{self.head}\n{people}{self.roles}{pin if self.online else ''}{self.tokens}{keys}{steps}"

    def check(self, today: date | None = None) -> tuple[Problem, ...]:
        script = reading.read(self.text.encode(), where="s.toml")
        return check(script, {**({"online": self.online} if self.online else {}), **self.inputs}, today=today)

    def found(self) -> list[tuple[str, str]]:
        return [(p.severity, p.code) for p in self.check()]

    def line(self, marker: str) -> int:
        return self.text.count("\n", 0, self.text.index(marker)) + 1


def ordered(*names: str) -> Draft:
    made = {s.split('"')[1]: s for s in Draft().steps}
    return Draft(steps=[made.get(n, f'do = "{n}"\n') if "\n" not in n else n for n in names])


def test_a_sound_script_has_no_problem() -> None:
    assert Draft().check() == ()


def test_every_problem_is_one_printable_line_on_its_line() -> None:
    draft = Draft(roles=Draft().roles.replace("threshold = 2", "threshold = 9", 1))
    (problem,) = draft.check()
    assert problem == Problem(
        "stop", "THRESHOLD-KEYS", draft.line("threshold = 9"), "root wants 9 keys to sign and has 3"
    )
    assert json.dumps(problem.to_dict())


@pytest.mark.parametrize(
    ("steps", "severity", "code", "at"),
    [
        ("gather preflight provision draft sign review verify destroy export seal", "stop", "SIGN-BEFORE-REVIEW", 4),
        ("gather preflight provision review draft sign verify destroy export seal", "stop", "REVIEW-BEFORE-DRAFT", 3),
        ("gather preflight draft provision review sign verify destroy export seal", "stop", "DRAFT-BEFORE-KEYS", 2),
        ("gather preflight provision draft review verify sign destroy export seal", "stop", "VERIFY-BEFORE-SIGN", 5),
        ("gather preflight provision draft review destroy sign verify export seal", "stop", "DESTROY-BEFORE-SIGN", 5),
        ("gather preflight provision draft review sign destroy verify export seal", "warn", "DESTROY-BEFORE-VERIFY", 6),
        ("gather preflight provision draft review sign export verify destroy seal", "stop", "EXPORT-BEFORE-VERIFY", 6),
        ("gather preflight provision draft review sign verify destroy seal export", "stop", "AFTER-SEAL", 9),
        ("gather preflight provision draft review sign verify destroy export", "warn", "NO-SEAL", 8),
        ("gather preflight provision draft review sign verify destroy seal", "warn", "NO-EXPORT", 8),
        ("gather provision draft review sign verify destroy export seal", "warn", "NO-PREFLIGHT", 1),
        ("preflight provision draft review sign verify destroy export seal", "warn", "NOT-GATHERED", 1),
        ("gather preflight provision draft review sign verify export sign verify seal", "stop", "EXPORT-STALE", 10),
        ("gather preflight provision draft review sign verify export verify seal", "", "", 0),
        ("gather preflight provision draft draft review sign verify export seal", "warn", "TWICE", 4),
        ("gather preflight provision draft review import sign verify export seal", "", "", 0),
        ("gather preflight provision draft import review sign verify export seal", "stop", "SIGN-BEFORE-REVIEW", 4),
    ],
)
def test_the_order_of_steps(steps: str, severity: str, code: str, at: int) -> None:
    draft = ordered(*steps.split())
    found = {(p.severity, p.code, p.line) for p in draft.check()}
    lines = [s.line for s in reading.read(draft.text.encode(), where="s").steps]
    assert found == ({(severity, f"STEP-{code}", lines[at])} if code else set())


@pytest.mark.parametrize("missing", ["draft", "review", "sign", "verify"])
def test_no_stage_may_lack(missing: str) -> None:
    codes = {p.severity for p in ordered(*(s for s in STEPS if s != missing)).check()}
    assert "stop" in codes


def test_a_role_left_out_everywhere_is_missed() -> None:
    """A document that is drafted by nobody would first be missed when the keys are gone."""
    root = [f'do = "{s}"\nroles = ["root"]\n' for s in ("draft", "review", "sign", "verify")]
    draft = Draft(steps=['do = "gather"\n', 'do = "preflight"\n', 'do = "provision"\n', *root, 'do = "seal"\n'])
    assert [p.text.split(" is never ")[0] for p in draft.check() if p.code == "STEP-MISSING"] == ["targets", "bins"]


def test_delegations_are_drafted_from_the_top() -> None:
    steps = ['do = "draft"\nroles = ["bins", "targets"]\n', 'do = "draft"\nroles = ["root"]\n']
    draft = Draft()
    draft.steps[3:4] = steps
    assert ("stop", "STEP-DRAFT-ORDER") in draft.found()


@pytest.mark.parametrize(
    ("roles", "code"), [('["root"]', "STEP-DESTROYS-ROOT"), ('["root", "targets", "bins"]', "STEP-DESTROYS-ROOT")]
)
def test_root_keys_are_never_destroyed(roles: str, code: str) -> None:
    draft = Draft()
    draft.steps[7] = f'do = "destroy"\nroles = {roles}\n'
    assert draft.found() == [("stop", code)]


def test_a_key_is_not_destroyed_while_it_is_owed_elsewhere() -> None:
    """The key serves targets and bins: after targets alone is signed it still has work to do."""
    draft = Draft()
    draft.keys[3] = draft.keys[3].replace('["targets"]', '["targets", "bins"]')
    signed = ['do = "sign"\nroles = ["root", "targets"]\n', 'do = "destroy"\nroles = ["targets"]\n']
    draft.steps[5:6] = [*signed, 'do = "sign"\nroles = ["bins"]\n']
    draft.steps[8:10] = []
    assert ("stop", "STEP-DESTROY-BEFORE-SIGN") in draft.found()


def test_keys_that_are_destroyed_cannot_sign() -> None:
    draft = Draft()
    draft.steps.insert(8, 'do = "sign"\nroles = ["bins"]\n')
    assert draft.found() == [("stop", "STEP-SIGN-AFTER-DESTROY")]


def test_who_seals_has_a_root_key() -> None:
    draft = Draft()
    draft.steps[-1] = 'do = "seal"\nby = ["Alice", "Walter"]\n'
    assert draft.found() == [("stop", "SEAL-NO-KEY")]


def test_a_word_after_the_seal_is_not_sealed() -> None:
    draft = Draft()
    draft.steps.append('do = "say"\ntext = "Close the bags."\n')
    assert draft.found() == [("note", "STEP-AFTER-SEAL")]


def bent(part: str, old: str, new: str, count: int = 1) -> Draft:
    draft = Draft()
    value = getattr(draft, part)
    assert old in value
    setattr(draft, part, value.replace(old, new, count))
    return draft


def key_bent(index: int, old: str, new: str) -> Draft:
    draft = Draft()
    assert old in draft.keys[index]
    draft.keys[index] = draft.keys[index].replace(old, new)
    return draft


@pytest.mark.parametrize(
    ("draft", "wanted", "marker"),
    [
        (Draft(people=PEOPLE[1:]), [("stop", "NO-ADMINISTRATOR")], "[[people]]"),
        (Draft(people=[PEOPLE[0], *PEOPLE[2:]]), [("warn", "NO-WITNESS")], "[[people]]"),
        (Draft(people=[*PEOPLE, ("Dave", "holder")]), [("warn", "HOLDER-NO-KEY")], '[[people]]\nname = "Dave"'),
        (Draft(people=[*PEOPLE, ("Zo\u00eb", "witness")]), [("note", "NAME-NOT-ASCII")], 'name = "Zo\u00eb"'),
        (bent("roles", "threshold = 2", "threshold = 4"), [("stop", "THRESHOLD-KEYS")], "threshold = 4"),
        (bent("roles", "threshold = 2", "threshold = 3"), [("warn", "THRESHOLD-ALL")], "threshold = 3"),
        (bent("roles", "threshold = 2", "threshold = 1"), [("warn", "THRESHOLD-ONE")], "threshold = 1"),
        (bent("roles", "16384", "16383"), [("stop", "BINS-NUMBER")], "number"),
        (bent("roles", "365d", "7d", 3), [("warn", "EXPIRES")] * 3, 'expires = "7d"'),
        (bent("roles", "365d", "4000d", 3), [("warn", "EXPIRES")] * 3, 'expires = "4000d"'),
        (bent("roles", '"365d"\n\n[targets]', '"300d"\n\n[targets]'), [("warn", "EXPIRES-ORDER")] * 2, ""),
        (bent("head", "rehearsal = true", ""), [("warn", "TOKEN-SOFTWARE")] * 3, 'use = "software"'),
        (Draft(online=pem(EXAMPLE)), [("warn", "ONLINE-EXAMPLE")], "public_key"),
        (Draft(online=b"no key\n"), [("stop", "ONLINE-KEY")], "public_key"),
        (key_bent(3, '["targets"]', '["targets", "root"]'), [("stop", "KEY-SHARED"), ("warn", "KEYS-ONE-TOKEN")], ""),
        (key_bent(0, 'scheme = "ed25519"', 'keyid = "94c3d5e1"'), [("stop", "KEY-EXISTS")], "keyid"),
    ],
)
def test_people_keys_and_numbers(draft: Draft, wanted: list[tuple[str, str]], marker: str) -> None:
    found = draft.check()
    assert set(wanted) <= {(p.severity, p.code) for p in found}
    assert [(p.severity, p.code) for p in found].count(wanted[0]) == wanted.count(wanted[0])
    if marker:
        assert next(p.line for p in found if p.code == wanted[0][1]) == draft.line(marker)


def test_a_threshold_counts_people_not_keys() -> None:
    """Two keys of one person are one pair of hands."""
    draft = Draft()
    draft.keys[4] = draft.keys[4].replace("Bob", "Alice").replace('token = "bob"', 'token = "alice"')
    assert ("stop", "THRESHOLD-PEOPLE") in draft.found()


def test_nobody_can_sign_alone() -> None:
    draft = Draft()
    draft.keys.append(draft.keys[0].replace("alice-root", "alice-root-2"))
    assert {("warn", "THRESHOLD-ALONE"), ("warn", "KEYS-ONE-TOKEN")} <= set(draft.found())


def test_a_holder_owns_the_token_of_the_key() -> None:
    assert key_bent(0, 'token = "alice"', 'token = "carol"').found()[0] == ("stop", "KEY-TOKEN-HOLDER")


def test_offices_are_held_by_different_people() -> None:
    draft = Draft()
    draft.keys[2] = draft.keys[2].replace('holder = "Carol"', 'holder = "Olivia"')
    draft.tokens = draft.tokens.replace('holder = "Carol"', 'holder = "Olivia"')
    assert {("stop", "KEY-OFFICE"), ("stop", "TOKEN-OFFICE")} <= set(draft.found())


def test_two_tokens_are_not_one() -> None:
    draft = Draft()
    draft.tokens = draft.tokens.replace('use = "software"', 'use = "software"\nserial = "77"')
    assert draft.found() == [("stop", "TOKEN-SERIAL")] * 2


@pytest.mark.parametrize(
    ("table", "code"), [("[targets]", "ROLE-MISSING"), ("[bins]", "ROLE-MISSING"), ("", "ONLINE-MISSING")]
)
def test_a_first_root_comes_whole(table: str, code: str) -> None:
    draft = Draft()
    if table:
        parts = draft.roles.split("\n\n")
        draft.roles = "\n\n".join(p for p in parts if not p.startswith(table))
        draft.steps[7] = 'do = "say"\ntext = "nothing is destroyed"\n'
    else:
        draft.online = b""
    assert ("stop", code) in draft.found()


def test_inputs_are_pinned_and_the_pin_is_compared() -> None:
    draft = Draft()
    script = reading.read(draft.text.encode(), where="s")
    assert [p.code for p in check(script, {})] == ["INPUT-MISSING"]
    assert [p.code for p in check(script, {"online": pem(EXAMPLE)})] == ["ONLINE-EXAMPLE", "INPUT-DIFFERS"]
    pinned = f'sha256 = "{hashlib.sha256(draft.online).hexdigest()}"\n'
    script = reading.read(draft.text.replace(pinned, "").encode(), where="s")
    (problem,) = check(script, {"online": draft.online})
    assert problem.code == "INPUT-UNPINNED"
    assert pinned.strip() in problem.text


@pytest.mark.parametrize(
    ("today", "codes"), [("2026-11-23", []), ("2026-11-24", ["DATE-PAST"]), ("2028-01-01", ["DATE-EXPIRED"])]
)
def test_the_date_is_not_long_past(today: str, codes: list[str]) -> None:
    draft = Draft(head=Draft().head + "date = 2026-11-23\n")
    assert [p.code for p in draft.check(date.fromisoformat(today))] == codes


@cache
def signer(name: str) -> CryptoSigner:
    private = ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
    return CryptoSigner(private)


@cache
def old_root(threshold: int = 2, *, signed: bool = True, names: tuple[str, ...] = ("alice", "bob", "carol")) -> bytes:
    root = Root(expires=datetime(2027, 1, 1, tzinfo=UTC) + timedelta(0))
    for name in names:
        key: Key = signer(name).public_key
        root.add_key(key, "root")
    for role in ("targets", "snapshot", "timestamp"):
        root.add_key(signer(role).public_key, role)
    root.roles["root"].threshold = threshold
    document = Metadata(root)
    for name in names if signed else ():
        document.sign(signer(name), append=True)
    return document.to_bytes(JSONSerializer(compact=False))


def rotation(names: tuple[str, ...] = ("Alice", "Bob", "Carol"), **old: object) -> Draft:
    raw = old_root(**old)  # type: ignore[arg-type]
    draft = Draft(head=Draft().head.replace('"root"', '"rotation"'), online=b"", inputs={"predecessor": raw})
    digest = hashlib.sha256(raw).hexdigest()
    draft.roles = f'[root]\nthreshold = 2\nexpires = "365d"\nfrom = "1.root.json"\nfrom_sha256 = "{digest}"\n\n'
    draft.people = [*PEOPLE, ("Dave", "holder")]
    draft.tokens += '[[tokens]]\nname = "dave"\nholder = "Dave"\nuse = "software"\n\n'
    draft.keys = [
        f'name = "{n.lower()}-root"\nholder = "{n}"\ntoken = "{n.lower()}"\nroles = ["root"]\n'
        f'keyid = "{signer(n.lower()).public_key.keyid[:10]}"\n'
        for n in names
    ]
    draft.keys.append('name = "dave-root"\nholder = "Dave"\ntoken = "dave"\nroles = ["root"]\nscheme = "ed25519"\n')
    draft.steps = [f'do = "{s}"\n' for s in STEPS if s != "destroy"]
    return draft


def test_a_sound_rotation_has_no_problem() -> None:
    draft = rotation()
    draft.keys[2] += "leaves = true\n"
    assert draft.check() == ()


def test_every_key_of_the_predecessor_is_accounted_for() -> None:
    draft = rotation(("Alice", "Bob"))
    problems = [p for p in draft.check() if p.severity == "stop"]
    assert [p.code for p in problems] == ["KEY-FORGOTTEN"]
    assert signer("carol").public_key.keyid[:16] in problems[0].text


@pytest.mark.parametrize(
    ("keyid", "code"), [("00000000", "KEY-UNKNOWN"), (signer("alice").public_key.keyid, "KEY-TWICE")]
)
def test_key_ids_stand_for_one_key_each(keyid: str, code: str) -> None:
    draft = rotation()
    draft.keys[2] = draft.keys[2].replace(signer("carol").public_key.keyid[:10], keyid)
    (problem,) = [p for p in draft.check() if p.code == code]
    assert (problem.severity, problem.line) == (
        "stop",
        draft.line(f'keyid = "{keyid}"') if code == "KEY-UNKNOWN" else problem.line,
    )


def test_the_old_threshold_can_be_met() -> None:
    draft = rotation(("Alice",))
    assert ("stop", "OLD-THRESHOLD-KEYS") in draft.found()


def test_the_old_threshold_is_met_by_different_people() -> None:
    draft = rotation()
    for index in (1, 2):
        draft.keys[index] = draft.keys[index].replace('holder = "Bob"', 'holder = "Alice"')
        draft.keys[index] = draft.keys[index].replace('holder = "Carol"', 'holder = "Alice"')
    assert ("stop", "OLD-THRESHOLD-PEOPLE") in draft.found()


def test_keys_that_leave_may_have_to_sign() -> None:
    draft = rotation()
    draft.keys[1] += "leaves = true\n"
    draft.keys[2] += "leaves = true\n"
    draft.keys.append(draft.keys[3].replace("dave-root", "dave-2"))
    assert ("note", "OLD-THRESHOLD-LEAVERS") in draft.found()


def test_a_predecessor_holds_by_itself() -> None:
    assert ("stop", "OLD-NOT-SIGNED") in rotation(signed=False).found()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"{}", "1.root.json: signed is missing"),
        (b"\xff", "1.root.json, line 1, column 1: byte 0 is not UTF-8"),
        (b'{"signed":\n {"a": 1, "a": 2}}', '1.root.json, line 2, column 11: the key "a" stands twice in one object'),
    ],
)
def test_a_predecessor_is_a_root(raw: bytes, said: str) -> None:
    """Whoever brings a file that no client reads must be told where to look in it, and that before the day."""
    draft = rotation()
    pin = hashlib.sha256(old_root()).hexdigest()
    draft.roles = draft.roles.replace(pin, hashlib.sha256(raw).hexdigest())
    draft.inputs = {"predecessor": raw}
    (told,) = [p for p in draft.check() if p.code == "OLD-UNREADABLE"]
    assert (told.severity, told.text) == ("stop", f"the predecessor can't be read: {said}")


def test_a_token_with_a_key_that_stays_is_never_erased() -> None:
    draft = rotation()
    draft.steps[2] = 'do = "provision"\ntokens = ["alice", "dave"]\n'
    assert ("stop", "STEP-ERASES-KEY") in draft.found()


def test_a_rotation_has_no_bins() -> None:
    draft = rotation()
    draft.roles += '[bins]\nthreshold = 2\nexpires = "365d"\n\n'
    assert ("stop", "ROLE-NOT-HERE") in draft.found()


def test_a_root_key_is_not_the_online_key() -> None:
    draft = rotation()
    key = signer("bob").public_key
    draft.online = pem(bytes.fromhex(key.keyval["public"]))
    assert ("stop", "ONLINE-IS-ROOT") in draft.found()


def test_a_rotation_that_only_renews_says_so() -> None:
    draft = rotation()
    draft.keys.pop()
    draft.steps = [s for s in draft.steps if "provision" not in s]
    assert ("note", "ROTATION-RENEWS") in draft.found()


def test_ready_scripts_have_no_stop(repository: Path) -> None:
    """What is delivered to be edited must be sound but for what its readers put in."""
    scripts = sorted((repository / "ceremony-scripts").glob("*.toml"))
    if not scripts:
        pytest.skip("there are no ready scripts")
    for path in scripts:
        script = reading.read(path.read_bytes(), where=path.name)
        found = {p.code for p in check(script, {}) if p.severity == "stop"}
        assert found <= {"INPUT-MISSING", "INPUT-UNPINNED"}, path.name


def test_check_names_every_blank_at_once(
    repository: Path, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a bad day nobody should have to run it once for each of five files and five key ids."""
    scripts = repository / "ceremony-scripts"
    (tmp_path / "r.toml").write_bytes((scripts / "root-rotation.toml").read_bytes())
    root = (shared_data / "rstuf" / "root-v1.json").read_bytes()
    (tmp_path / "1.root.json").write_bytes(root)
    assert main(["check", str(tmp_path / "r.toml"), "--json"]) == 1
    found = [(p["code"], p["text"]) for p in json.loads(capsys.readouterr().out)["problems"]]
    assert [
        f'write from_sha256 = "{hashlib.sha256(root).hexdigest()}"' in t for c, t in found if c == "INPUT-DIFFERS"
    ] == [True]
    assert sum(code == "KEY-UNKNOWN" for code, _ in found) == 5
    (tmp_path / "t.toml").write_bytes((scripts / "recovery-root-threshold.toml").read_bytes())
    assert main(["check", str(tmp_path / "t.toml"), "--json"]) == 1
    missing = [p for p in json.loads(capsys.readouterr().out)["problems"] if p["code"] == "INPUT-MISSING"]
    assert len(missing) == 5
