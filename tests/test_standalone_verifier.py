"""The formats are told well enough for a verifier that shares no code with Vestry, and tampering does not pass it."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paper import TORN, hold, rotation
from people import People

from vestry.ceremony import chain, codec, conductor, reading, rehearsal, transcript
from vestry.ceremony.account import summary
from vestry.ceremony.replay import replay

VERIFIER = Path(__file__).with_name("standalone_verifier.py")
TOLD = ("script.toml", "inputs", "transcript.jsonl", "bundles", "signed", "seals", "export")
Body = dict[str, Any]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hold(tmp_path_factory.mktemp("v") / "v")


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hold(tmp_path_factory.mktemp("t") / "t", trouble=True)


@pytest.fixture
def copy(plain: Path, tmp_path: Path) -> Path:
    """A copy to tamper with; what is no part of the formats (tokens, the rehearsal's own files) stays away."""
    folder = tmp_path / "copy"
    shutil.copytree(plain, folder, ignore=shutil.ignore_patterns("tokens", "rehearsal.toml"))
    for path in folder.glob("online.*.pem"):
        path.unlink()
    return folder


def verify(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    status = runpy.run_path(str(VERIFIER))["main"]([str(folder)])
    return status, capsys.readouterr().out


def lines_of(folder: Path) -> list[bytes]:
    return (folder / "transcript.jsonl").read_bytes().splitlines(keepends=True)


def rewrite(folder: Path, change: Callable[[list[Body]], list[Body] | None]) -> None:
    """Change events and make every head anew: what a forger with an editor can do at best."""
    bodies = [json.loads(line)["event"] for line in lines_of(folder)]
    bodies = change(bodies) or bodies
    out, head = [], chain.NO_HEAD
    for n, body in enumerate(bodies):
        event = codec.from_json(body["what"], body["with"])
        raw, recorded = chain.make(event, n=n, before=head, at=body["at"], mono=body["mono"], by=body["by"])
        out.append(raw)
        head = recorded.head
    (folder / "transcript.jsonl").write_bytes(b"".join(out))


def first(bodies: list[Body], what: str) -> Body:
    return next(b for b in bodies if b["what"] == what)


def test_it_shares_no_code_and_stays_short() -> None:
    """An auditor must be able to read it in one sitting, and owe nothing to the program that it checks."""
    text = VERIFIER.read_text()
    assert len(text.splitlines()) < 300
    imported = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported - {"cryptography"} <= sys.stdlib_module_names
    assert "cryptography" in imported
    assert "__import__" not in text
    assert "vestry." not in text


@pytest.mark.parametrize("which", ["plain", "troubled"])
def test_whole_ceremonies_hold(which: str, request: pytest.FixtureRequest) -> None:
    """Run as an auditor does: in a process of its own, which has never heard of Vestry."""
    folder = request.getfixturevalue(which)
    command = [sys.executable, "-I", str(VERIFIER), str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    theirs = summary(list(replay(transcript.read(folder / "transcript.jsonl"))), ())
    assert f"head: {theirs['head']}\n" in ran.stdout
    assert "verdict: holds, 2 sealed it" in ran.stdout
    if which == "troubled":
        assert "sealed: Bob does not agree: The clock was wrong" in ran.stdout
        assert TORN in (folder / "transcript.jsonl").read_bytes()
    assert subprocess.run([sys.executable, "-I", str(VERIFIER)], capture_output=True, check=False).returncode == 2


def test_a_rotation_holds_under_the_old_root_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The next root needs two thresholds; the old one is among the inputs."""
    script, inputs = rotation(tmp_path)
    people = People(pins={n: f"pin-of-{n}" for n in ("Alice", "Bob", "Carol")})
    conductor.conduct(script, inputs, tmp_path / "next", people, tokens=tmp_path / "r" / "tokens")
    status, out = verify(tmp_path / "next", capsys)
    assert status == 0, out
    assert "sealed: Alice agrees\n" in out
    rewrite(tmp_path / "next", without_a_signature)
    status, out = verify(tmp_path / "next", capsys)
    assert status == 1
    assert "root: 1 of 2 of root v1" in out
    assert "root: 1 of 2 of root v2" in out


@pytest.mark.parametrize(
    ("scheme", "bits"),
    [
        ("ed25519", 0),
        ("ecdsa-sha2-nistp384", 0),
        ("ecdsa-sha2-nistp521", 0),
        ("rsassa-pss-sha512", 2048),
        ("ml-dsa-65/1", 0),
    ],
)
def test_every_scheme_is_told(scheme: str, bits: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a signature is must be clear for each scheme that a script may name."""
    rehearsal.prepare(tmp_path / "r", holders=2, threshold=2)
    path = tmp_path / "r" / rehearsal.SCRIPT
    new = f'scheme = "{scheme}"' + (f"\nbits = {bits}" if bits else "")
    path.write_text(path.read_text().replace('scheme = "ecdsa-sha2-nistp256"', new))
    script, inputs = reading.load(path)
    conductor.conduct(script, inputs, tmp_path / "r", People())
    assert verify(tmp_path / "r", capsys)[0] == 0
    rewrite(tmp_path / "r", signature_of_another)
    status, out = verify(tmp_path / "r", capsys)
    assert status == 1
    assert "a signature does not verify" in out


def test_a_withheld_event_leaves_the_heads(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A published copy must verify without the code that made it."""
    lines = lines_of(copy)
    place = next(n for n, line in enumerate(lines) if b'"gathered"' in line)
    before = verify(copy, capsys)
    lines[place] = chain.withhold(lines[place])
    (copy / "transcript.jsonl").write_bytes(b"".join(lines))
    assert verify(copy, capsys) == (
        0,
        before[1].replace("withheld: 0", "withheld: 1").replace("holds", "holds as far as it shows"),
    )
    lines[place] = lines[place].replace(b'"leaf":"', b'"leaf":"0', 1)[:-2] + b"\n"
    (copy / "transcript.jsonl").write_bytes(b"".join(lines))
    assert verify(copy, capsys)[0] == 1


def test_bytes_in_every_file_matter(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No file of the formats may be changed, cut or lost unseen."""
    assert verify(copy, capsys)[0] == 0
    paths = [p for p in sorted(copy.rglob("*")) if p.is_file()]
    assert {p.relative_to(copy).parts[0] for p in paths} == set(TOLD)
    for path in paths:
        name, raw = path.relative_to(copy).as_posix(), path.read_bytes()
        if name == "export/SHA256SUMS":
            continue  # for the export's own reader; each file it names is checked
        for changed in (raw[:-2] + bytes([raw[-2] ^ 1]) + raw[-1:], bytes([raw[0] ^ 1]) + raw[1:], raw[:-2], b""):
            path.write_bytes(changed)
            assert verify(copy, capsys)[0] == 1, name
        path.unlink()
        # An export may have been carried away.
        assert verify(copy, capsys)[0] == (0 if name.startswith("export/") else 1), name
        path.write_bytes(raw)
    assert verify(copy, capsys)[0] == 0
    for extra in ("seals/walter.json", "signed/2.root.json", "bundles/root/signatures/x.json"):
        shutil.copy(copy / "seals" / "alice.json", copy / extra)
        assert verify(copy, capsys)[0] == 1, extra
        (copy / extra).unlink()


def test_lines_lost_doubled_swapped_or_cut_are_found(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The chain must hold every line in its place."""
    lines = lines_of(copy)
    for n in range(0, len(lines), 5):
        doubled, lost, swapped = list(lines), list(lines), list(lines)
        doubled.insert(n, lines[n])
        del lost[n]
        swapped[n], swapped[n - 1] = lines[n - 1], lines[n]
        for wrong in (doubled, lost, swapped, lines[: n + 1], [*lines[:n], b"{}\n", *lines[n:]]):
            (copy / "transcript.jsonl").write_bytes(b"".join(wrong))
            if wrong != lines:
                assert verify(copy, capsys)[0] == 1, n
    (copy / "transcript.jsonl").write_bytes(b"".join(lines).replace(b'"n":3', b'"n": 3'))
    assert verify(copy, capsys)[0] == 1


def test_torn_bytes_are_committed_to(troubled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a crash left behind is evidence, too: nobody may take it away, or put something in its place."""
    folder = tmp_path / "c"
    shutil.copytree(troubled, folder)
    raw = (folder / "transcript.jsonl").read_bytes()
    for wrong in (raw.replace(TORN + b"\n", b""), raw.replace(b"cut off", b"cut ofg"), raw.replace(TORN, TORN + b"x")):
        assert wrong != raw
        (folder / "transcript.jsonl").write_bytes(wrong)
        assert verify(folder, capsys)[0] == 1
    (folder / "transcript.jsonl").write_bytes(raw + b'{"event":')
    assert verify(folder, capsys)[0] == 0  # a write that nobody came back to


def put(what: str, **values: Any) -> Callable[[list[Body]], None]:
    return lambda bodies: first(bodies, what)["with"].update(values)


def without_a_signature(bodies: list[Body]) -> list[Body]:
    place = max(n for n, b in enumerate(bodies) if b["what"] == "signature_added" and b["with"]["role"] == "root")
    return renumbered(bodies[: place - 1] + bodies[place + 1 :], place, -2)


def renumbered(bodies: list[Body], place: int, by: int) -> list[Body]:
    for body in bodies:
        if body["with"].get("intent", 0) >= place:
            body["with"]["intent"] += by
    return bodies


def signature_of_another(bodies: list[Body]) -> None:
    added = [b["with"] for b in bodies if b["what"] == "signature_added" and b["with"]["role"] == "root"]
    added[0]["sig"], added[1]["sig"] = added[1]["sig"], added[0]["sig"]


def key_of_another(bodies: list[Body]) -> None:
    made = [b["with"] for b in bodies if b["what"] == "key_generated"]
    made[0]["public"] = made[1]["public"]


def seal_rewritten(bodies: list[Body]) -> None:
    fields = first(bodies, "sealed")["with"]
    envelope = json.loads(fields["envelope"])
    statement = json.loads(base64.b64decode(envelope["payload"]))
    statement["predicate"]["reason"] = "none"
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
    envelope["payload"] = base64.b64encode(payload).decode()
    fields["envelope"], fields["reason"] = json.dumps(envelope, sort_keys=True), "none"


def result_before_intent(bodies: list[Body]) -> None:
    place = bodies.index(first(bodies, "signature_intended"))
    bodies[place], bodies[place + 1] = bodies[place + 1], bodies[place]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("opened", script_sha256="00" * 32), "the script has another digest"),
        (put("opened", rehearsal=False), "line 0: format?"),
        (put("opened", inputs={"online": "no key"}), "the input 'online' is not the one"),
        (put("key_generated", keyid="00" * 32), "the key id is not the SHA-256"),
        (put("key_generated", proof="3000"), "possession is not proved"),
        (put("key_generated", challenge="00" * 32), "possession is not proved"),
        (key_of_another, "the key id is not the SHA-256"),
        (put("drafted", digest="00" * 32), "not the document that was drafted"),
        (put("drafted", sha256="00" * 32), "is not what was drafted"),
        (put("signature_added", sig="3000"), "other signatures than the transcript"),
        (signature_of_another, "a signature does not verify"),
        (without_a_signature, "root: 1 of 2 of root v1"),
        (put("verified", files={"1.root.json": "00" * 32}), "is missing, or another file"),
        (put("seal_opened", subjects={"1.root.json": "00" * 32}), "not about the signed files"),
        (put("sealed", agree=False, reason="bad"), "says something else than the transcript"),
        (put("sealed", person="Bob"), "says something else than the transcript"),
        (seal_rewritten, "signature does not hold"),
        (lambda bodies: first(bodies, "verified").update(by="Mallory"), "is by nobody of the script"),
        (put("token_initialised", intent=0), "a result without its intent"),
        (result_before_intent, "a result without its intent"),
        (lambda bodies: bodies[:1] + bodies, "'opened' stands here"),
        (lambda bodies: bodies[1:], "line 0 is not 'opened'"),
    ],
)
def test_a_chain_made_anew_does_not_help_a_forger(
    change: Callable[[list[Body]], list[Body] | None], said: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Events hang together with each other, with the files, and with signatures that nobody else can make."""
    assert verify(copy, capsys)[0] == 0
    rewrite(copy, change)
    status, out = verify(copy, capsys)
    assert status == 1
    assert said.replace("'", "\\'") in out or said in out, out


def test_heads_made_anew_break_every_seal(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not one event changed, only the salts: the seals still name the heads that were read aloud."""
    rewrite(copy, lambda bodies: None)
    status, out = verify(copy, capsys)
    assert status == 1
    assert out.count("says something else than the transcript") == 2


def test_a_bundle_that_trusts_another_document_is_found(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who makes the sums of a bundle anew still can't put another root into it."""
    place = copy / "bundles" / "targets"
    path = place / "trusted" / "1.root.json"
    changed = path.read_bytes() + b"\n"
    for name in ("bundle.json", "SHA256SUMS"):
        text = (place / name).read_text().replace(hashlib.sha256(path.read_bytes()).hexdigest(), "NEW")
        text = text.replace("NEW", hashlib.sha256(changed).hexdigest())
        (place / name).write_text(text.replace(f'"length": {len(changed) - 1}', f'"length": {len(changed)}'))
    path.write_bytes(changed)
    sums = place / "SHA256SUMS"
    rest = sums.read_text().splitlines()
    made = hashlib.sha256((place / "bundle.json").read_bytes()).hexdigest()
    sums.write_text("".join(f"{made if r.endswith('  bundle.json') else r[:64]}{r[64:]}\n" for r in rest))
    status, out = verify(copy, capsys)
    assert status == 1
    assert "trusts a document that is not one of this ceremony" in out
    assert "SHA256SUMS" not in out


def test_the_clocks_order_is_checked(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A monotonic clock that runs backwards was made up; a UTC clock that was set is told, and fails nothing."""

    def set_ahead(bodies: list[Body]) -> None:
        for body in bodies[20:]:
            body["at"] = body["at"].replace(body["at"][:4], str(int(body["at"][:4]) + 1))

    def backwards(bodies: list[Body]) -> None:
        bodies[20]["mono"] = bodies[19]["mono"] - 1

    rewrite(copy, set_ahead)
    assert "told: line 20: the clock was set" in verify(copy, capsys)[1]
    rewrite(copy, backwards)
    status, told = verify(copy, capsys)
    assert status == 1
    assert "line 20: the monotonic clock runs backwards" in told
