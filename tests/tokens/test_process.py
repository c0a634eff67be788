"""Vendor modules that crash, hang and lie, and what the child process keeps from whom."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from devices import (
    DESTROY,
    GENERATE_PAIR,
    GET_SLOT_LIST,
    INIT_PIN,
    INITIALIZE,
    LOGIN,
    LOGOUT,
    P256,
    PIN,
    SIGN,
    SO_PIN,
    refused,
    verify,
)

from vestry.errors import TokenTrouble
from vestry.tokens.children import environment
from vestry.tokens.inventory import find_module
from vestry.tokens.process import Limits, Pkcs11Source
from vestry.tokens.token import Pin, Token

SHORT = Limits(usual=1.0, generate=1.0)


def the(source: Pkcs11Source, serial: str) -> Token:
    return next(t for t in source.tokens() if t.info.serial == serial)


def children() -> list[int]:
    """Process ids of this process's module children."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes().split(b"\0")
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if b"vestry.tokens.child" in line and parent == os.getpid():
                found.append(int(folder.name))
    return found


def eventually(condition: Callable[[], bool]) -> bool:
    for _ in range(500):
        if condition():
            return True
        time.sleep(0.01)
    return False


def ended(child: int) -> bool:
    """Whether it is gone, or waits to be collected."""
    try:
        return Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize("how", ["abort", "exit"])
@pytest.mark.parametrize("place", [INITIALIZE, GET_SLOT_LIST])
def test_a_module_that_crashes(troubled: Any, place: int, how: str) -> None:
    """A vendor's segfault must be a line on the screen, not the end of the ceremony."""
    with refused("E-MODULE-CRASHED") as caught:
        troubled(place, how).tokens()
    assert not caught.value.unknown
    assert ("SIGABRT" if how == "abort" else "exit status 0") in str(caught.value)


def test_a_module_that_hangs(troubled: Any) -> None:
    """Nobody must wait for ever, and the stuck child must not stay behind."""
    with refused("E-TOKEN-HUNG"):
        troubled(GET_SLOT_LIST, "sleep", SHORT).tokens()
    assert eventually(lambda: not children())


@pytest.mark.parametrize("how", ["abort", "sleep"])
def test_trouble_while_signing_leaves_the_outcome_open(troubled: Any, alice: str, how: str) -> None:
    """The token may have signed: only reading it again, in a fresh child, may go on."""
    source = troubled(SIGN, how, SHORT)
    with the(source, alice).unlock(Pin(PIN)) as unlocked:
        (key,) = unlocked.keys()
        with refused("E-MODULE-CRASHED" if how == "abort" else "E-TOKEN-HUNG") as caught:
            unlocked.sign(key, b"m")
        assert caught.value.unknown
        with refused("E-TOKEN-GONE"):  # the login ended with the child
            unlocked.sign(key, b"m")
    os.environ.pop("TROUBLE")
    with the(source, alice).unlock(Pin(PIN)) as unlocked:
        verify(key, unlocked.sign(key, b"m"), b"m")


def test_a_key_made_in_a_crash_is_found_again(troubled: Any, alice: str) -> None:
    """The key is on the token although the module died before it could say so: it must not be made twice."""
    source = troubled(GENERATE_PAIR, "after-abort")
    with the(source, alice).unlock(Pin(PIN)) as unlocked, refused("E-MODULE-CRASHED") as caught:
        unlocked.generate(P256, "new")
    assert caught.value.unknown
    os.environ.pop("TROUBLE")
    with the(source, alice).unlock(Pin(PIN)) as unlocked:
        assert [k.label for k in sorted(unlocked.keys(), key=lambda k: k.label)] == ["kept", "new"]
        with refused("E-KEY-EXISTS"):
            unlocked.generate(P256, "new")


def test_a_half_destroyed_key_is_seen_and_finished(troubled: Any, alice: str) -> None:
    """Cut between the two halves, the private one must be the one that is gone; destroying again takes the rest."""
    source = troubled(DESTROY, "after-abort")
    with the(source, alice).unlock(Pin(PIN)) as unlocked:
        (key,) = unlocked.keys()
        with refused("E-MODULE-CRASHED") as caught:
            unlocked.destroy(key)
    assert caught.value.unknown
    os.environ.pop("TROUBLE")
    token = the(source, alice)
    assert [k.spki for k in token.public_keys()] == [key.spki]
    with token.unlock(Pin(PIN)) as unlocked:
        assert unlocked.keys() == ()
        unlocked.destroy(key)
    assert token.public_keys() == ()


def test_half_a_key_is_not_taken_for_one(troubled: Any, alice: str, softhsm: Path) -> None:
    """SoftHSM gives a private half its names first, and last what it signs with: killed in between, it leaves one that
    can't prove itself, however often it is asked to."""
    private = [b"".join(n.to_bytes(8) for n in (0, 2, 3)), b"".join(n.to_bytes(8) for n in (0x180, 3))]
    (path,) = [p for p in softhsm.rglob("*.object") if all(mark in p.read_bytes() for mark in private)]
    before, mark, after = path.read_bytes().partition(private[1])
    path.write_bytes(before + mark + bytes(8) + after[8 + int.from_bytes(after[:8]) :])
    with the(troubled(), alice).unlock(Pin(PIN)) as unlocked:
        (half,) = unlocked.keys()
        assert (half.label, half.spki, half.kind.scheme) == ("kept", b"", "unknown")
        unlocked.destroy(half)
        assert unlocked.objects() == ()


def test_a_pin_that_could_not_be_set(troubled: Any) -> None:
    """Erased but without a PIN: the outcome is open, and the same token can be initialised once more."""
    source = troubled(INIT_PIN, "code=0x30")
    blank = next(t for t in source.tokens() if not t.info.initialised)
    with refused("E-TOKEN-INIT") as caught:
        blank.initialise("alice", Pin(SO_PIN), Pin(PIN))
    assert caught.value.unknown
    source.close()
    source = troubled()
    (half,) = [t for t in source.tokens() if t.info.initialised]
    assert not half.info.pin_ready
    assert half.initialise("alice", Pin(SO_PIN), Pin(PIN)).info.pin_ready


@pytest.mark.parametrize(
    ("place", "how", "code", "unknown"),
    [
        (SIGN, "code=0x32", "E-TOKEN-GONE", True),  # CKR_DEVICE_REMOVED
        (SIGN, "code=0x05", "E-TOKEN-FAILED", True),  # CKR_GENERAL_ERROR
        (SIGN, "code=0x50", "E-TOKEN-REFUSED", False),  # CKR_FUNCTION_CANCELED
        (SIGN, "code=0x77777", "E-TOKEN-FAILED", True),
        (GENERATE_PAIR, "code=0x31", "E-TOKEN-FULL", False),  # CKR_DEVICE_MEMORY
        (GENERATE_PAIR, "code=0x70", "E-TOKEN-MECHANISM", False),  # CKR_MECHANISM_INVALID
        (GENERATE_PAIR, "code=0x103", "E-TOKEN-MECHANISM", False),  # CKR_USER_TYPE_INVALID
        (DESTROY, "code=0x30", "E-TOKEN-GONE", True),  # CKR_DEVICE_ERROR
    ],
)
def test_what_a_token_reports(troubled: Any, alice: str, place: int, how: str, code: str, unknown: bool) -> None:
    """Each failure in words, and whether the token may have acted."""
    with the(troubled(place, how), alice).unlock(Pin(PIN)) as unlocked:
        (key,) = unlocked.keys()
        acts = {SIGN: lambda: unlocked.sign(key, b"m"), GENERATE_PAIR: lambda: unlocked.generate(P256, "new")}
        with refused(code) as caught:
            acts.get(place, lambda: unlocked.destroy(key))()
        assert caught.value.unknown is unknown
        assert "Error" not in caught.value.what.split("(")[0]


@pytest.mark.parametrize(
    ("returned", "code"), [("0xA4", "E-PIN-LOCKED"), ("0xA2", "E-PIN-LENGTH"), ("0x07", "E-PIN-LENGTH")]
)
def test_what_a_login_reports(troubled: Any, alice: str, returned: str, code: str) -> None:
    """A locked PIN must not look like a wrong one."""
    token = the(troubled(LOGIN, f"code={returned}"), alice)
    for _ in range(2):
        with refused(code), token.unlock(Pin(PIN)):
            pytest.fail("not opened")


def test_a_logout_that_fails_ends_the_login(troubled: Any, alice: str) -> None:
    """A module that can't log out must not leave the token open, nor spoil what was done."""
    source = troubled(LOGOUT, "code=0x30")
    with the(source, alice).unlock(Pin(PIN)) as unlocked:
        (key,) = unlocked.keys()
    with the(source, alice).unlock(Pin(PIN)) as unlocked:
        verify(key, unlocked.sign(key, b"m"), b"m")


def test_one_login_at_a_time(troubled: Any, alice: str) -> None:
    """The child never holds two PINs."""
    source = troubled()
    with the(source, alice).unlock(Pin(PIN)) as unlocked:
        with refused("E-TOKEN-BUSY"), the(source, alice).unlock(Pin(PIN)):
            pytest.fail("a second login")
        assert len(unlocked.keys()) == 1


def test_killed_in_mid_request(troubled: Any, alice: str) -> None:
    """The kernel may kill a child (out of memory): that is trouble with a code, at once."""
    source = troubled(SIGN, "sleep")
    with the(source, alice).unlock(Pin(PIN)) as unlocked:
        (key,) = unlocked.keys()
        (child,) = children()
        threading.Timer(0.1, os.kill, (child, signal.SIGKILL)).start()
        with refused("E-MODULE-CRASHED") as caught:
            unlocked.sign(key, b"m")
    assert caught.value.unknown
    assert "SIGKILL" in str(caught.value)


def test_killed_while_idle_is_started_again(troubled: Any, alice: str) -> None:
    """A child that died between two uses costs nothing."""
    source = troubled()
    token = the(source, alice)
    (child,) = children()
    os.kill(child, signal.SIGKILL)
    assert eventually(lambda: ended(child))
    assert token.info.serial == alice


def test_cancel(troubled: Any, alice: str) -> None:
    """Whoever waits for a touch that does not come can quit; afterwards the token is usable again."""
    source = troubled(SIGN, "sleep")
    with the(source, alice).unlock(Pin(PIN)) as unlocked:
        (key,) = unlocked.keys()
        threading.Timer(0.1, source.cancel).start()
        with refused("E-TOKEN-CANCELLED") as caught:
            unlocked.sign(key, b"m")
    assert caught.value.unknown
    assert len(the(source, alice).public_keys()) == 1
    source.cancel()
    assert len(the(source, alice).public_keys()) == 1


def test_an_interrupt_does_not_mix_up_answers(troubled: Any, alice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to an interrupted request must never be taken for the answer to the next."""
    from vestry.tokens import children as module

    source = troubled()
    token = the(source, alice)
    real = module._wait

    def interrupt(reading: list[int], writing: list[int], deadline: float) -> None:
        if reading:
            raise KeyboardInterrupt
        real(reading, writing, deadline)

    monkeypatch.setattr(module, "_wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        token.public_keys()
    monkeypatch.setattr(module, "_wait", real)
    assert token.info.serial == alice


@pytest.mark.parametrize(
    "raw", [b"\xff\xff\xff\xff", b"\0\0\0\2[]", b"\0\0\0\2{}", b'\0\0\0\x0e{"parts":["a"]}'[:18], b"\0\0\0\4null"]
)
def test_a_child_that_answers_nonsense(
    softhsm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raw: bytes
) -> None:
    """What vendor code writes into the pipe is input; it must not be believed or waited for."""
    package = tmp_path / "fake" / "vestry" / "tokens"
    package.mkdir(parents=True)
    source = "import os, sys, time\nos.read(int(sys.argv[1]), 9)\nos.write(int(sys.argv[2]), {raw})\ntime.sleep(60)\n"
    (package / "child.py").write_text(source.format(raw=raw))
    (package / "__init__.py").write_text("")
    (package.parent / "__init__.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fake"))
    source_ = Pkcs11Source(find_module("softhsm2"), limits=SHORT)
    with pytest.raises(TokenTrouble) as caught:
        source_.tokens()
    assert caught.value.code in ("E-MODULE-CRASHED", "E-TOKEN-HUNG")
    source_.close()


def test_a_file_that_is_no_module(tmp_path: Path) -> None:
    """One line that names the file, for a text, a library of another kind, and nothing at all."""
    (tmp_path / "text.so").write_text("not a library")
    for path in (tmp_path / "text.so", tmp_path / "none.so", Path("/lib/x86_64-linux-gnu/libm.so.6")):
        source = Pkcs11Source(path)
        with refused("E-MODULE-LOAD") as caught:
            source.start()
        assert path.name in str(caught.value)
        assert "\n" not in str(caught.value)
        source.close()


def test_no_pin_where_others_can_look(troubled: Any, alice: str) -> None:
    """Other users read command lines, and whoever gets the disk reads environments and core dumps."""
    with the(troubled(), alice).unlock(Pin(PIN)) as unlocked:
        assert unlocked.keys()
        (child,) = children()
        proc = Path(f"/proc/{child}")
        assert b"canary" not in (proc / "cmdline").read_bytes()
        if os.geteuid() == 0:  # it is closed to others: not even its owner may look
            assert b"canary" not in (proc / "environ").read_bytes()
            for stream in ("0", "1", "2"):
                assert (proc / "fd" / stream).readlink() == Path("/dev/null")
            assert (proc / "cwd").readlink() == Path("/")
        else:
            assert proc.stat().st_uid == 0
        limits = [line.split() for line in (proc / "limits").read_text().splitlines() if "core" in line]
        assert limits[0][4:6] == ["0", "0"]
        assert os.getsid(child) == child
        os.kill(child, signal.SIGINT)
        assert unlocked.keys()


def test_the_environment_passes_settings_and_no_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A module finds its settings wherever it runs; a secret someone exported stays here."""
    monkeypatch.chdir(tmp_path)
    ours = {"SOFTHSM2_CONF": "x.conf", "VESTRY_PIN": "1", "DB_PASSWORD": "2", "HOME": "/h", "PYTHONPATH": "a:/b"}
    assert environment(ours) == {
        "SOFTHSM2_CONF": str(tmp_path / "x.conf"),
        "HOME": "/h",
        "PYTHONPATH": f"{tmp_path}/a:/b",
    }


def run(program: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_parent_never_loads_pkcs11_and_sees_no_noise(softhsm: Path, shim: Path, tmp_path: Path) -> None:
    """Vendor code here could end the program, its messages tear the screen, and a stray file on a stick be run."""
    (tmp_path / "pkcs11.py").write_text("raise SystemExit('loaded from the working directory')\n")
    program = f"""
import sys
from pathlib import Path
sys.path = [p for p in sys.path if p]
import vestry.tokens.software
from vestry.tokens.inventory import open_source
source = open_source(Path({str(shim)!r}))
source.tokens()
source.close()
bad = [m for m in sys.modules if m.split('.')[0] in ('pkcs11', 'asn1crypto') or m.startswith('vestry.tokens.pkcs11')]
assert not bad, bad
"""
    ran = run(program, tmp_path, TROUBLE=f"{GET_SLOT_LIST}:noise")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_the_child_dies_with_its_parent(softhsm: Path, shim: Path, tmp_path: Path) -> None:
    """A child left behind would keep a token open after the program was killed, even one stuck in vendor code."""
    program = f"""
import os, signal, sys, threading
from pathlib import Path
from vestry.tokens.process import Pkcs11Source
source = Pkcs11Source(Path({str(shim)!r}))
source.start()
print(source._line.child().pid, flush=True)
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGKILL)).start()
source.tokens()
"""
    ran = run(program, tmp_path, TROUBLE=f"{GET_SLOT_LIST}:sleep")
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    assert eventually(lambda: ended(int(ran.stdout)))


def test_a_child_outlives_the_thread_that_asked_for_it(troubled: Any, alice: str) -> None:
    """A screen's worker threads come and go; the login must not go with them."""
    source = troubled()
    found: list[Token] = []
    worker = threading.Thread(target=lambda: found.append(the(source, alice)))
    worker.start()
    worker.join()
    before = children()
    assert found[0].info.serial == alice
    assert children() == before


def test_two_threads_take_turns(troubled: Any, alice: str) -> None:
    """Requests that mixed on the pipe would give one thread the other's answer."""
    source = troubled()
    token = the(source, alice)
    wrong: list[object] = []

    def ask(call: Callable[[], object], right: object) -> None:
        wrong.extend(got for _ in range(50) if (got := call()) != right)

    keys, info = token.public_keys(), token.info
    threads = [
        threading.Thread(target=ask, args=(token.public_keys, keys)),
        threading.Thread(target=ask, args=(lambda: token.info, info)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_closed_source_says_so(troubled: Any) -> None:
    """Using it after the end is one clear line, and closing twice is nothing."""
    source = troubled()
    source.tokens()
    source.close()
    source.close()
    with refused("E-TOKEN-GONE"):
        source.tokens()
    assert eventually(lambda: not children())


def by_hand(program: str, folder: Path, serial: str) -> None:
    """What another program did to a token: `program` finds `session`, logged in."""
    start = f"""
import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
token = pkcs11.lib({str(find_module("softhsm2"))!r}).get_token(token_serial={serial.encode()!r})
session = token.open(rw=True, user_pin={PIN!r})
curve = {{Attribute.EC_PARAMS: bytes.fromhex("06082a8648ce3d030107")}}
domain = session.create_domain_parameters(KeyType.EC, curve, local=True)
make = dict(mechanism=Mechanism.EC_KEY_PAIR_GEN, store=True, capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY)
"""
    ran = run(start + program + "\nsession.close()\n", folder)
    assert ran.returncode == 0, ran.stderr


def test_a_key_that_asks_for_the_pin_each_time(troubled: Any, alice: str, tmp_path: Path) -> None:
    """A YubiKey's signature slot does; without it the second document would stay unsigned."""
    template = "private_template={Attribute.ALWAYS_AUTHENTICATE: True}"
    by_hand(f"domain.generate_keypair(id=b'9', label='always', {template}, **make)", tmp_path, alice)
    with the(troubled(), alice).unlock(Pin(PIN)) as unlocked:
        key = next(k for k in sorted(unlocked.keys(), key=lambda k: k.label) if k.label == "always")
        for message in (b"root", b"targets"):
            verify(key, unlocked.sign(key, message), message)


def test_a_private_half_without_a_public_one_is_listed(troubled: Any, alice: str, tmp_path: Path) -> None:
    """A key that nobody sees could sign what nobody reviewed."""
    by_hand("domain.generate_keypair(id=b'7', label='stray', **make)[0].destroy()", tmp_path, alice)
    token = the(troubled(), alice)
    assert [k.label for k in token.public_keys()] == ["kept"]
    with token.unlock(Pin(PIN)) as unlocked:
        stray = next(k for k in sorted(unlocked.keys(), key=lambda k: k.label) if k.label == "stray")
        assert (stray.spki, stray.kind.scheme) == (b"", "unknown")
        with refused("E-KEY-GONE"):
            unlocked.sign(stray, b"m")


def test_two_keys_of_one_id_are_left_alone(troubled: Any, alice: str, tmp_path: Path) -> None:
    """Other programs give ids carelessly; a guess could sign with the wrong key, or destroy it."""
    twice = "for _ in range(2): domain.generate_keypair(id=b'1', label='same', **make)"
    by_hand(twice, tmp_path, alice)
    with the(troubled(), alice).unlock(Pin(PIN)) as unlocked:
        same = [k for k in sorted(unlocked.keys(), key=lambda k: k.spki) if k.label == "same"]
        assert len({k.spki for k in same}) == 2
        for use in (lambda: unlocked.sign(same[0], b"m"), lambda: unlocked.destroy(same[0])):
            with refused("E-TOKEN-TWO-ALIKE"):
                use()
        assert len(unlocked.keys()) == 5  # each of the two with either public half, and 'kept'
