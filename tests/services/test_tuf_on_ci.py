"""A signing event begun with tuf-on-ci's own signer is signed with Vestry, and the signer accepts it."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli.test_sign import Typist
from holders import Holder, holder
from people import SOFTHSM
from services.conftest import Run, load, sign
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization.json import JSONSerializer

from vestry.cli.main import main
from vestry.errors import InputRejected
from vestry.media.bundle import open_bundle
from vestry.media.services import tuf_on_ci

PIN = "271828"
EVENT = "sign/first"


@dataclass(frozen=True)
class Signer:
    """A person with a clone of the repository and a token (a P-256 key with CKA_ID 2, as in a YubiKey's slot 9c)."""

    name: str
    clone: Path
    env: dict[str, str]
    peers: Path

    def git(self, *words: str) -> None:
        subprocess.run(["git", *words], cwd=self.clone, env=self.env, check=True, capture_output=True)

    def types(self, tool: str, lines: list[str], *words: str) -> str:
        """What a tool of tuf-on-ci says, given lines to its prompts."""
        done = subprocess.run(
            [str(self.peers / tool), *words],
            check=False,
            cwd=self.clone,
            env=self.env,
            input="".join(f"{line}\n" for line in lines),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def peers(repository: Path) -> Path:
    folder = repository / ".venv" / "peers" / "bin"
    if not (folder / "tuf-on-ci-sign").exists():
        pytest.skip("tuf-on-ci-sign is not installed: make test installs it")
    return folder


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A repository with nothing in it but its first commit."""
    seed, bare = tmp_path / "seed", tmp_path / "origin.git"
    seed.mkdir()
    git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    for words in (
        ["init", "-q", "-b", "main"],
        ["commit", "-q", "--allow-empty", "-m", "Nothing yet"],
        ["clone", "-q", "--bare", ".", str(bare)],
    ):
        subprocess.run([*git, *words], cwd=seed, check=True)
    return bare


@pytest.fixture
def join(tmp_path: Path, origin: Path, peers: Path) -> Callable[[str], Signer]:
    """Someone with an account, a token and a clone."""
    if not SOFTHSM.exists() or shutil.which("softhsm2-util") is None:
        pytest.skip("softhsm2 is not installed: apt-get install softhsm2")

    def make(name: str) -> Signer:
        home = tmp_path / name
        for folder in ("tokens", "cache/tuf-on-ci-sign"):
            (home / folder).mkdir(parents=True)
        # The tool asks the network once a day for a newer version of itself; it was asked just now.
        (home / "cache/tuf-on-ci-sign/pypi_release_version").write_text("0.0.1")
        (home / "softhsm2.conf").write_text(f"directories.tokendir = {home / 'tokens'}\nlog.level = ERROR\n")
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home / "cache"),
            "XDG_DATA_HOME": str(home / "data"),
            "SOFTHSM2_CONF": str(home / "softhsm2.conf"),
            "TUF_ON_CI_TEST_KEY": "online-test-key",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            **{f"GIT_{part}_{what}": value for part in ("AUTHOR", "COMMITTER")
               for what, value in (("NAME", name), ("EMAIL", f"{name}@example.com"))},
        }  # fmt: skip
        token(home, name, env)
        clone = home / "clone"
        subprocess.run(["git", "clone", "-q", str(origin), str(clone)], env=env, check=True)
        (clone / ".tuf-on-ci-sign.ini").write_text(
            f"[settings]\nuser-name = {name}\npull-remote = origin\npush-remote = origin\npykcs11lib = {SOFTHSM}\n"
        )
        return Signer(name, clone, env, peers)

    return make


def token(home: Path, name: str, env: dict[str, str]) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = ec.generate_private_key(ec.SECP256R1())
    pem = home / "key.pem"
    pem.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    init = ["--init-token", "--free", "--label", name, "--pin", PIN, "--so-pin", "31415926"]
    put = ["--import", str(pem), "--token", name, "--label", "root", "--id", "02", "--pin", PIN]
    for words in (init, put):
        subprocess.run(["softhsm2-util", *words], env=env, check=True, capture_output=True)
    pem.unlink()


def test_an_event_of_theirs_is_signed_here_and_accepted_there(
    tmp_path: Path,
    join: Callable[[str], Signer],
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without it a signature could be made that the service's own tool throws away."""
    alice, bob = join("alice"), join("bob")
    # Root and targets by two of two; the service's online key; her own key from the token; she signs targets at once.
    answers = ["1", "alice,bob", "2", "", "", "1", "0", "", "2", "", PIN, ""]
    alice.types("tuf-on-ci-delegate", answers, EVENT)
    said = bob.types("tuf-on-ci-sign", ["2", "", PIN, PIN, ""], EVENT)
    assert "invited" in said
    alice.git("fetch", "-q")
    alice.git("checkout", "-q", f"origin/{EVENT}")
    before = load(alice.clone / "metadata" / "root.json")["signed"]

    status, out, err = run("import", alice.clone, tmp_path / "stick")
    assert status == 0, err
    assert "tuf-on-ci, a signing event" in err
    assert "1 of 2 of root v1" in out
    status, out, _ = run("review", tmp_path / "stick", "--plain")
    assert "@alice" in out
    assert status == 0
    signed_by_hand(tmp_path / "stick", alice, monkeypatch)
    status, _, err = run("export", tmp_path / "stick", alice.clone, "--as", "tuf-on-ci")
    assert status == 0, err

    alice.git("commit", "-q", "-am", "Signed with Vestry")
    alice.git("push", "-q", "origin", f"HEAD:refs/heads/{EVENT}")
    assert "Nothing to do" in alice.types("tuf-on-ci-sign", [], EVENT)
    assert "Nothing to do" in bob.types("tuf-on-ci-sign", [], EVENT)
    alice.git("checkout", "-q", f"origin/{EVENT}")
    root: Metadata[Root] = Metadata.from_file(str(alice.clone / "metadata" / "root.json"))
    root.verify_delegate("root", root)
    root.verify_delegate("targets", Metadata.from_file(str(alice.clone / "metadata" / "targets.json")))
    # Not a byte of what was signed, nor the form of the file, is other than theirs.
    written = (alice.clone / "metadata" / "root.json").read_bytes()
    assert json.loads(written)["signed"] == before
    assert root.to_bytes(JSONSerializer()) == written
    assert (alice.clone / "metadata" / "root_history" / "1.root.json").read_bytes() == written


def signed_by_hand(bundle: Path, who: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
    """`vestry sign` in lines, with the token of its holder."""
    out, err = io.StringIO(), io.StringIO()
    with monkeypatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", who.env["SOFTHSM2_CONF"])
        patch.setattr(sys, "stdin", Typist(err, open_bundle(bundle).document.digest, {"PIN": PIN}))
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        assert main(["sign", str(bundle), "--module", str(SOFTHSM)]) == 0, err.getvalue()


def test_the_samples_are_read_and_nothing_is_believed_that_was_not_signed(shared_data: Path, run: Run) -> None:
    """The published samples have XXX for signatures: their chains fit, their thresholds are not met, and it is said."""
    folders = sorted(p.parent for p in (shared_data / "tuf-on-ci").glob("*/metadata"))
    assert len(folders) == 8
    for folder in folders:
        status, out, err = run("verify", folder, "--json")
        assert status == 1, err
        for found in json.loads(out)["documents"]:
            codes = {f["code"] for f in found["findings"] if f["severity"] == "stop"}
            assert codes <= {"EXPIRY-PAST"}, (folder, found["role"], codes)
            assert not any(t["valid"] for t in found["thresholds"])
            assert any(t["invalid"] for t in found["thresholds"])
        status, out, _ = run("verify", folder, "--unsigned")
        assert status == 0, out
        assert "holds but for signatures and expiry, which were not looked at" in out
        assert "ok   signed" not in out
    found = tuf_on_ci.incoming(shared_data / "tuf-on-ci" / "test_repo3" / "good")
    assert {p.role for p in found.documents} == {"myrole", "oldrole", "targets"}


def test_what_does_not_fit_does_not_hold_without_signatures_either(tmp_path: Path, shared_data: Path, run: Run) -> None:
    """Else a folder whose documents were mixed up would hold as soon as its signatures are left out."""
    folder = tmp_path / "metadata"
    shutil.copytree(shared_data / "tuf-on-ci" / "delegated" / "metadata", folder)
    targets = folder / "2.targets.json"
    targets.write_text(targets.read_text().replace('"version": 2', '"version": 3'))
    status, out, _ = run("verify", tmp_path, "--unsigned")
    assert status == 1
    assert "snapshot lists version 2" in out
    assert run("verify", "--as-client", tmp_path, "--unsigned")[0] == 2


def test_a_checkout_that_changed_is_not_written_to(tmp_path: Path, shared_data: Path, run: Run) -> None:
    """Without it a signature could be put under a document that came after the one that was read."""
    checkout = tmp_path / "checkout"
    shutil.copytree(shared_data / "tuf-on-ci" / "test_repo3" / "good", checkout)
    (pending,) = (p for p in tuf_on_ci.incoming(checkout).documents if p.role == "targets")
    path = checkout / "metadata" / "targets.json"
    path.chmod(0o644)
    value = load(path)
    value["signed"]["version"] += 1
    path.write_text(json.dumps(value))
    with pytest.raises(InputRejected, match="another version"):
        tuf_on_ci.write(checkout, "targets", pending.document, ())


@pytest.mark.parametrize("state", ["[]", '{"invites": []}', '{"invites": {"@x": "root"}}', "{"])
def test_a_malformed_state_is_refused(tmp_path: Path, shared_data: Path, state: str) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(shared_data / "tuf-on-ci" / "test_repo3" / "good", checkout)
    (checkout / "metadata").chmod(0o755)
    (checkout / "metadata" / tuf_on_ci.STATE).write_text(state)
    with pytest.raises(InputRejected):
        tuf_on_ci.incoming(checkout)


def test_a_root_drafted_here_has_the_periods_it_wants_and_keeps_them(
    tmp_path: Path, team: list[Holder], run: Run
) -> None:
    """Without them the service's own tools fail on the root, after everyone has signed."""
    keys = [f"{one.name}={one.write_pem(tmp_path)}" for one in team]
    given = ("stage", "root", "--service", "tuf-on-ci", "--online-key", holder("online").write_pem(tmp_path))
    given = (*given, "--online-uri", "awskms:alias/tuf", "--threshold", "2")
    periods = ("--period", "root=365/60", "timestamp=2/1", "snapshot=365/60")
    status, out, _ = run(*given, "--root-key", *keys, "--into", tmp_path / "without")
    assert "SERVICE-REFUSES" in out
    status, out, _ = run(*given, "--root-key", *keys, *periods, "--into", tmp_path / "b")
    assert (status, "SERVICE-" in out) == (0, False)
    sign(tmp_path / "b", team)
    status, out, _ = run("stage", "root", "--service", "tuf-on-ci", "--from", tmp_path / "b", "--drop", "Carol",
                         "--period", "timestamp=3/1", "--threshold", "2", "--into", tmp_path / "next")  # fmt: skip
    assert (status, "SERVICE-" in out) == (0, False)
    signed = open_bundle(tmp_path / "next").document.signed
    assert [signed[f"x-tuf-on-ci-{kind}-period"] for kind in ("expiry", "signing")] == [365, 60]
    assert signed["roles"]["timestamp"]["x-tuf-on-ci-expiry-period"] == 3
    assert signed["roles"]["snapshot"]["x-tuf-on-ci-signing-period"] == 60


@pytest.mark.parametrize("words", [("root=60/365",), ("targets=9/1",), ("root=9/1", "root=8/1"), ("root=x",)])
def test_a_period_that_is_none_is_refused(tmp_path: Path, team: list[Holder], run: Run, words: tuple[str, ...]) -> None:
    """A typing error would stand in a root for years."""
    key = f"A={team[0].write_pem(tmp_path)}"
    given = ("stage", "root", "--service", "tuf-on-ci", "--root-key", key, "--into", tmp_path / "b")
    assert run(*given, "--period", *words)[0] == 2
    assert not (tmp_path / "b").exists()
