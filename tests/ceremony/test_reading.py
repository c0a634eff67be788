"""Reading scripts: a good one becomes typed data, a bad one becomes one exact line."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vestry.ceremony import reading, toml_lines
from vestry.ceremony import script as s
from vestry.errors import InputRejected, MediumTrouble

PUBLIC = b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n"
GOOD = f"""# A first root.
[ceremony]
title = "PyPI root key ceremony"
kind = "root"
repository = "pypi.org"
date = 2026-11-23

[[people]]
name = "Olivia"
office = "administrator"

[[people]]
name = "Alice"
office = "holder"

[[people]]
name = "Bob"
office = "holder"

[root]
threshold = 2
expires = "365d"

[targets]
threshold = 2
expires = "365d"

[bins]
threshold = 2
expires = "365d"
number = 16384
style = "succinct"

[online]
public_key = "online.pem"
sha256 = "{hashlib.sha256(PUBLIC).hexdigest()}"

[[tokens]]
name = "alice"
holder = "Alice"
use = "pkcs11"
module = "softhsm2"

[[tokens]]
name = "bob"
holder = "Bob"
use = "software"

[[keys]]
name = "alice-root"
holder = "Alice"
token = "alice"
roles = ["root"]
scheme = "ecdsa-sha2-nistp256"

[[keys]]
name = "bob-root"
holder = "Bob"
token = "bob"
roles = [
    "root",
    "targets",  # two
    "bins",
]
scheme = "rsassa-pss-sha256"

[[steps]]
do = "say"
text = '''Open the bags.
Read the numbers.'''
record = ["bag number"]

[[steps]]
do = "gather"

[[steps]]
do = "provision"
title = "Make them"

[[steps]]
do = "sign"
roles = ["root"]
signers = "all"

[[steps]]
do = "destroy"
roles = ["targets", "bins"]

[[steps]]
do = "seal"
"""


def read(text: str) -> s.Script:
    return reading.read(text.encode(), where="pypi-root.toml")


def line_of(text: str, marker: str) -> int:
    return text.count("\n", 0, text.index(marker)) + 1


def test_a_script_is_read_whole() -> None:
    script = read(GOOD)
    assert script.title == "PyPI root key ceremony"
    assert (script.kind, script.date, script.rehearsal) == ("root", "2026-11-23", False)
    assert script.people[0] == s.Person("Olivia", "administrator")
    assert script.tokens == (
        s.TokenSpec("alice", "Alice", "pkcs11", "softhsm2"),
        s.TokenSpec("bob", "Bob", "software"),
    )
    assert script.keys[0] == s.KeySpec("alice-root", "Alice", "alice", ("root",), "ecdsa-sha2-nistp256")
    assert (script.keys[1].bits, script.keys[1].roles) == (3072, ("root", "targets", "bins"))
    assert script.root == s.RoleSpec(2, 365)
    assert script.bins == s.BinsSpec(2, 365, 16384, "succinct")
    assert script.online == s.Input("online", "online.pem", hashlib.sha256(PUBLIC).hexdigest())
    assert (script.text, script.sha256) == (GOOD, hashlib.sha256(GOOD.encode()).hexdigest())


def test_what_steps_leave_out_is_spelled_out() -> None:
    """Nothing after the reader may guess what an absent list means."""
    say, gather, provision, sign, destroy, seal = read(GOOD).steps
    assert isinstance(say, s.SayStep)
    assert (say.text, say.record) == ("Open the bags. Read the numbers.", ("bag number",))
    assert isinstance(gather, s.GatherStep)
    assert gather.people == ("Olivia", "Alice", "Bob")
    assert isinstance(provision, s.ProvisionStep)
    assert (provision.tokens, provision.title) == (("alice", "bob"), "Make them")
    assert isinstance(sign, s.SignStep)
    assert (sign.roles, sign.signers) == (("root",), "all")
    assert isinstance(destroy, s.DestroyStep)
    assert isinstance(seal, s.SealStep)
    assert seal.by == ("Alice", "Bob")
    lines = [i + 1 for i, line in enumerate(GOOD.splitlines()) if line == "[[steps]]"]
    assert [step.line for step in read(GOOD).steps] == lines


def rotation() -> str:
    text = re.sub(r"\[(targets|bins|online)\]\n(?:.+\n)+\n", "", GOOD).replace('kind = "root"', 'kind = "rotation"')
    text = text.replace("[root]", '[root]\nfrom = "1.root.json"\nfrom_sha256 = "' + "AB" * 32 + '"')
    text = text.replace('roles = ["targets", "bins"]', 'roles = ["root"]')
    return text.replace('scheme = "ecdsa-sha2-nistp256"', 'keyid = "94c3d5e1"\nleaves = true')


def test_a_rotation_is_read() -> None:
    script = read(rotation())
    assert script.predecessor == s.Input("predecessor", "1.root.json", "ab" * 32)
    assert (script.keys[0].keyid, script.keys[0].leaves, script.keys[0].new) == ("94c3d5e1", True, False)
    provision = script.steps[2]
    assert isinstance(provision, s.ProvisionStep)
    assert provision.tokens == ("bob",), "a token whose key is kept must not be among those that are erased"


def test_line_ends_of_other_systems_are_read_alike() -> None:
    script = read(GOOD.replace("\n", "\r\n"))
    assert [x.line for x in script.steps] == [x.line for x in read(GOOD).steps]
    assert script.text.encode() == GOOD.replace("\n", "\r\n").encode()


# what is replaced, what by, on whose line the error stands, and parts of what it says
BAD: list[tuple[str, str, str, tuple[str, ...]]] = [
    ("ecdsa-sha2-nistp256", "ecdsa", '"ecdsa"', ("[[keys]] 'alice-root': scheme 'ecdsa' is not known", "nistp384")),
    ("[root]\nthreshold = 2", "[root]\nthreshhold = 2", "threshhold", ("'threshhold'", "did you mean 'threshold'?")),
    ("[root]\nthreshold = 2\n", "[root]\n", "[root]", ("[root]: threshold is missing", "threshold = 2")),
    ("threshold = 2", 'threshold = "2"', '"2"', ("threshold is text, not a number",)),
    ("threshold = 2", "threshold = 2.0", "2.0", ("a number with a point, not a number",)),
    ("threshold = 2", "threshold = true", "= true", ("threshold is true or false, not a number",)),
    ("threshold = 2", "threshold = 0", "= 0", ("threshold 0 is out of range", "from 1")),
    ("threshold = 2", "threshold = -1", "= -1", ("out of range",)),
    ('expires = "365d"', 'expires = "1 year"', "1 year", ("'1 year' is not a number of days", '"365d"')),
    ('expires = "365d"', "expires = 365", "= 365", ("expires is a number, not text",)),
    ('expires = "365d"', 'expires = "0d"', "0d", ("not a number of days",)),
    ('expires = "365d"', 'expires = "99999d"', "99999d", ("not a number of days",)),
    ('kind = "root"', 'kind = "Root"', '"Root"', ("kind 'Root' is not known", "root, rotation")),
    ('kind = "root"\n', "", "[ceremony]", ("kind is missing",)),
    ('repository = "pypi.org"\n', "", "[ceremony]", ("repository is missing",)),
    ("[ceremony]", "[ceremoni]", "[ceremoni]", ("the table 'ceremoni' is not known", "did you mean 'ceremony'?")),
    ("[[people]]", "[[persons]]", "[[persons]]", ("'persons' is not known",)),
    ("[root]", "[[root]]", "[[root]]", ("not one table", "[root]")),
    ("date = 2026-11-23", 'date = "23.11.2026"', "23.11.2026", ("not a day", "2026-11-23")),
    ("date = 2026-11-23", 'date = "2026-02-30"', "2026-02-30", ("not in the calendar",)),
    ("date = 2026-11-23", 'next = "in a year"', "in a year", ("next", "not a day")),
    ("date = 2026-11-23", "date = 2026-11-23T09:00:00Z", "T09", ("not a day",)),
    ("date = 2026-11-23", "date = 2026-02-30", "2026-02-30", ("not TOML",)),
    ("date = 2026-11-23", 'rehearsal = "yes"', '"yes"', ("rehearsal is text, not true or false",)),
    ('office = "administrator"', 'office = "boss"', "boss", ("[[people]] 'Olivia'", "administrator, holder, witness")),
    ('name = "Bob"', 'name = "Alice"', '"Alice"\noffice = "holder"\n\n[root]', ("'Alice' is taken already",)),
    ('name = "Bob"', 'name = "alice"', '"alice"\noffice', ("'alice' is taken already",)),
    ('name = "Bob"', 'name = ""', 'name = ""', ("name is empty",)),
    ('name = "Bob"', 'name = "Bob "', '"Bob "', ("begins or ends with a space",)),
    ('name = "Bob"', 'name = "B\\u202Eob"', "u202E", ("U+202E", "does not show")),
    ('name = "Bob"', 'name = "B\\u001bob"', "u001b", ("U+001B", "does not show")),
    ('name = "Bob"', 'name = "B\u202eob"', "\u202e", ("U+202E", "does not show")),
    ('name = "Bob"', 'name = "Zoe\u0308"', "\u0308", ("several characters",)),
    ("# two", "# two \u200b", "\u200b", ("U+200B",)),
    ('name = "Bob"', f'name = "{"B" * 65}"', "BBB", ("65 characters", "at most 64")),
    ('holder = "Bob"', 'holder = "Rob"', '"Rob"', ("holder 'Rob' is no person of this script", "did you mean 'Bob'?")),
    ('token = "bob"', 'token = "bop"', '"bop"', ("token 'bop' is no token", "did you mean 'bob'?")),
    ('token = "bob"\n', "", '[[keys]]\nname = "bob-root"', ("token is missing",)),
    ('"targets",  # two', '"target",', '"target"', ("roles has 'target'", "did you mean 'targets'?")),
    ('"targets",  # two', '"root",', '"root",\n    "bins"', ("has 'root' twice",)),
    ('"targets",  # two', "7,", "7,", ("an entry that is a number",)),
    ('roles = ["root"]\nscheme', "roles = []\nscheme", "roles = []", ("roles is empty",)),
    ('roles = ["root"]\nscheme', 'roles = "root"\nscheme', 'roles = "root"', ("roles is text, not a list",)),
    (
        'roles = ["root"]\nscheme',
        'roles = ["timestamp"]\nscheme',
        '"timestamp"',
        ("'timestamp'", "root, targets, bins"),
    ),
    (
        'scheme = "rsassa-pss-sha256"',
        'scheme = "rsassa-pss-sha256"\nbits = 1024',
        "bits",
        ("1024", "2048, 3072 or 4096"),
    ),
    ('scheme = "ecdsa-sha2-nistp256"', 'scheme = "ed25519"\nbits = 256', "bits", ("bits is for RSA alone",)),
    ('scheme = "ecdsa-sha2-nistp256"\n', "", '[[keys]]\nname = "alice-root"', ("scheme is missing",)),
    ('scheme = "ecdsa-sha2-nistp256"', 'keyid = "xyz"', "xyz", ("keyid 'xyz' is not a key id",)),
    ('scheme = "ecdsa-sha2-nistp256"', 'keyid = "94C3D5E1"', "94C3", ("lower case",)),
    ('scheme = "ecdsa-sha2-nistp256"', 'scheme = "ed25519"\nkeyid = "94c3d5e1"', "scheme = ", ("write one of them",)),
    ('scheme = "ecdsa-sha2-nistp256"', 'scheme = "ed25519"\nleaves = true', "leaves", ("a new key can't leave",)),
    ('name = "bob-root"', 'name = "alice-root"', 'name = "alice-root"\nholder = "Bob"', ("taken already",)),
    ('name = "bob-root"', 'name = "b\u00f6b"', "b\u00f6b", ("in ASCII",)),
    ('use = "software"', 'use = "softhsm"', '"softhsm"', ("use 'softhsm' is not known", "pkcs11, software")),
    (
        'use = "software"',
        'use = "software"\nmodule = "softhsm2"',
        'module = "softhsm2"\n\n[[keys]]',
        ("has no module",),
    ),
    ('module = "softhsm2"\n', "", '[[tokens]]\nname = "alice"', ("module is missing",)),
    ('module = "softhsm2"', 'module = "lib/x.so"', "lib/x.so", ("whole path",)),
    ('module = "softhsm2"', 'module = "softhsm2"\nsecurity_officer = "me"', '"me"', ("holder, forgotten",)),
    ('module = "softhsm2"', 'module = "softhsm2"\nserial = 123', "= 123", ("serial is a number, not text",)),
    ('module = "softhsm2"', 'module = "softhsm2"\npin = "873021"', "pin =", ("no place for a secret", "E-SECRET")),
    ('module = "softhsm2"', 'module = "softhsm2"\nuser_PIN = 1', "user_PIN", ("no place for a secret",)),
    ('kind = "root"', 'kind = "root"\nPassword = "x"', "Password", ("no place for a secret",)),
    ("# A first root.", "[secrets]\n", "[secrets]", ("no place for a secret",)),
    ("[online]\n", '[online]\nprivate_key = "x"\n', "private_key", ("no place for a secret",)),
    ('public_key = "online.pem"', 'public_key = "keys/"', "keys/", ("is not a file",)),
    ("sha256 = ", "sha256 = 'abc' # ", "'abc'", ("sha256 is not a SHA-256", "64 hex digits")),
    ("number = 16384", "number = 1", "= 1\n", ("out of range", "2 to 65536")),
    ('style = "succinct"', 'style = "suffix"', "suffix", ("succinct, prefixes",)),
    ("[root]\n", '[root]\nfrom = "1.root.json"\n', "from", ("belongs to a rotation",)),
    ('kind = "root"', 'kind = "rotation"', "[root]", ("from is missing", "1.root.json")),
    ('do = "gather"', 'do = "gahter"', "gahter", ("there is no step 'gahter'", "did you mean 'gather'?")),
    ('do = "gather"', 'doo = "gather"', "[[steps]]\ndoo", ("do is missing",)),
    ('do = "gather"', 'do = "gather"\ntokens = []', "tokens = []", ("'tokens' is not known here",)),
    ('do = "gather"', 'do = "gather"\npeople = ["Olivia",\n "Eve"]', '"Eve"', ("'Eve', which is no person",)),
    ('do = "gather"', 'do = "preflight"\nrequire = ["newtork"]', "newtork", ("did you mean 'network'?",)),
    ('title = "Make them"', 'tokens = ["carol"]', '"carol"', ("'carol', which is no token",)),
    ('title = "Make them"', f'title = "{"x" * 61}"', "xxx", ("61 characters",)),
    ('signers = "all"', 'signers = "some"', '"some"', ("threshold, all",)),
    ('roles = ["targets", "bins"]\n', "", '[[steps]]\ndo = "destroy"', ("roles is missing",)),
    ('do = "seal"', 'do = "export"\nto = "../x"', "../x", ("leads out",)),
    ('do = "seal"', 'do = "export"\nwhat = "keys"', '"keys"', ("online, all",)),
    ('do = "seal"', 'do = "import"\nrole = "snapshot"', "snapshot", ("root, targets, bins",)),
    ('do = "seal"', 'do = "seal"\nby = ["Mallory"]', "Mallory", ("no person",)),
    ("text = '''Open the bags.\nRead the numbers.'''\n", "", '[[steps]]\ndo = "say"', ("text is missing",)),
    ('record = ["bag number"]', 'record = ["bag\\tnumber"]', "bag\\tnumber", ("U+0009",)),
    ('title = "PyPI root key ceremony"', 'title = "a"\ntitle = "b"', 'title = "b"', ("written twice",)),
    ("[targets]", "[root]", '[root]\nthreshold = 2\nexpires = "365d"\n\n[bins]', ("written twice",)),
    ('kind = "root"', "kind = root", "kind = root", ("not TOML at column",)),
    ('kind = "root"', 'kind "root"', 'kind "root"', ("not TOML at column",)),
    ('kind = "root"', 'kind = "root', 'kind = "root\n', ("not TOML",)),
    ("[ceremony]", "[ceremony", "[ceremony\n", ("not TOML",)),
]


@pytest.mark.parametrize(("old", "new", "at", "says"), BAD, ids=[f"{i:02}" for i in range(len(BAD))])
def test_a_bad_script_is_one_exact_line(old: str, new: str, at: str, says: tuple[str, ...]) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    with pytest.raises(InputRejected) as caught:
        read(text)
    line = str(caught.value)
    assert line.startswith(f"pypi-root.toml:{line_of(text, at)}: "), line
    assert all(part in line for part in says), line
    assert all(" " <= c <= "~" for c in line), "only what shows plainly may reach a terminal"
    assert "873021" not in line, "a secret is never repeated"
    assert caught.value.do, "it must say what to write instead"


@pytest.mark.parametrize("name", ["people", "keys", "steps"])
def test_an_absent_list_is_missed(name: str) -> None:
    text = re.sub(rf"\[\[{name}\]\]\n(?:.+\n)+\n?", "", GOOD)
    with pytest.raises(InputRejected, match=rf"no \[\[{name}\]\]"):
        read(text)


@pytest.mark.parametrize("name", ["ceremony", "root"])
def test_an_absent_table_is_missed(name: str) -> None:
    with pytest.raises(InputRejected, match=rf"the table \[{name}\] is missing"):
        read(re.sub(rf"\[{name}\]\n(?:.+\n)+\n", "", GOOD))


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "pypi-root.toml:1: .*missing"),
        (b"\xef\xbb\xbf[ceremony]", "byte order mark"),
        (b"[ceremony]\ntitle = '\xff'", "pypi-root.toml:2: byte 0xff is not UTF-8"),
        (b"[ceremony]\x00", "pypi-root.toml:1: U\\+0000"),
        (b"#" * (reading.MAX_SCRIPT + 1), "at most 256 KiB"),
        (b"a = " + b"[" * 50_000, "not TOML"),
        (b"a = " + b"9" * 5_000, "not TOML"),
        (b"a.b.c = 1", "'a' is not known"),
        (b"ceremony = 1", "not one table"),
        (b"people = [1, 2]\n[ceremony]\ntitle='t'\nkind='root'\nrepository='r'", "not a list of tables"),
    ],
)
def test_hostile_bytes_are_one_line_too(raw: bytes, says: str) -> None:
    with pytest.raises(InputRejected, match=says):
        reading.read(raw, where="pypi-root.toml")


@settings(max_examples=150)
@given(st.data())
def test_any_damage_is_a_script_or_one_error(data: st.DataObject) -> None:
    """Whatever happens to a script, the reader never fails in another way."""
    raw = bytearray(GOOD.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 12))] = data.draw(st.binary(max_size=6))
    said = "s.toml:1: "
    try:
        reading.read(bytes(raw), where="s.toml")
    except InputRejected as error:
        said = str(error)
    assert re.match(r"s\.toml:\d+: ", said)


TOML = st.recursive(
    st.one_of(st.integers(), st.booleans(), st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=5)),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.tuples(st.sampled_from(["one", "two.three", '"a b"', "'c'"]), TOML, st.integers(0, 2)), max_size=6))
def test_every_value_has_its_line(values: list[tuple[str, Any, int]]) -> None:
    """Lines are counted by a small reader of our own; it must see the tables that Python's sees."""
    text = "".join(f"[[{'x'}]]{chr(10) * (gap + 1)}{name} = {_toml(value)} # c\n" for name, value, gap in values)
    found = toml_lines.lines(text)
    for index, entry in enumerate(tomllib.loads(text).get("x", [])):
        for name in entry:
            line = found["x", index, name]
            assert text.splitlines()[line - 1].strip().startswith((name, f'"{name}"', f"'{name}'"))


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ",\n ".join(map(_toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def test_lines_of_unusual_toml() -> None:
    text = (
        'a.b = 1\n"c\\u0041" = """x\n"y" ""z"""\n'
        "[d]\n e = [ {f = 1}, # [\n {g = '}'} ]\n[[d.h]]\n[[d.h]]\n[d.h.i]\nj = 1\n"
    )
    found = toml_lines.lines(text)
    assert tomllib.loads(text)["d"]["h"][1]["i"]["j"] == 1
    wanted = {("a", "b"): 1, ("cA",): 2, ("d",): 4, ("d", "e", 0, "f"): 5, ("d", "e", 1, "g"): 6, ("d", "h", 1): 8}
    assert {path: found[path] for path in wanted} == wanted
    assert found["d", "h", 1, "i", "j"] == 10


def test_inputs_are_read_from_beside_the_script(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(GOOD)
    (tmp_path / "online.pem").write_bytes(PUBLIC)
    script, inputs = reading.load(tmp_path / "s.toml")
    assert inputs == {"online": PUBLIC}
    assert script == reading.read(GOOD.encode(), where="elsewhere")


def test_an_input_may_be_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(GOOD)
    (tmp_path / "other").write_bytes(PUBLIC)
    assert reading.load(tmp_path / "s.toml", inputs={"online": tmp_path / "other"})[1] == {"online": PUBLIC}
    with pytest.raises(InputRejected, match="names no input 'onlin'; did you mean 'online'"):
        reading.load(tmp_path / "s.toml", inputs={"onlin": tmp_path / "other"})


@pytest.mark.parametrize(
    ("old", "content", "at", "says"),
    [
        (f'sha256 = "{hashlib.sha256(PUBLIC).hexdigest()}"\n', PUBLIC, "[online]", "add the line sha256 = "),
        ("", PUBLIC + b"\n", "sha256 = ", "the script says"),
        ("", b"-----BEGIN PRIVATE KEY-----", "[online]", "holds a private key"),
        ("", b"\xff\xfe", "[online]", "line 1, column 1: byte 0 is not UTF-8"),
    ],
)
def test_an_input_must_be_the_one_that_was_meant(tmp_path: Path, old: str, content: bytes, at: str, says: str) -> None:
    text = GOOD.replace(old, "") if old else GOOD
    digest = hashlib.sha256(content).hexdigest()
    if says not in ("the script says", "add the line sha256 = "):
        text = text.replace(hashlib.sha256(PUBLIC).hexdigest(), digest)
    (tmp_path / "s.toml").write_text(text)
    (tmp_path / "online.pem").write_bytes(content)
    with pytest.raises(InputRejected) as caught:
        reading.load(tmp_path / "s.toml")
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}/s.toml:{line_of(text, at)}: ")
    if "sha256 =" in says or "script says" in says:
        assert f'sha256 = "{digest}"' in str(caught.value), "the exact line to write is there to copy"


def test_a_missing_input_is_told(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(GOOD)
    with pytest.raises((MediumTrouble, InputRejected), match=r"online\.pem"):
        reading.load(tmp_path / "s.toml")
