"""A ceremony's process is cut off: nothing it connects to answers, nobody reads its memory, no crash leaves any.

All in processes of their own, since what is done can't be undone.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from virtual_yubikey.bench import Bench

from vestry.machine import isolation

INSIDE = """
import ctypes, encodings.ascii, encodings.idna, errno, os, socket, sys, threading
from vestry.machine import isolation, network
how, port = sys.argv[1], int(sys.argv[2])
if how == "user":  # as a program that an ordinary user started, which is dumpable
    os.setgid(65534), os.setuid(65534)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
if how == "threads":
    threading.Thread(target=threading.Event().wait, daemon=True).start()
if how != "outside":
    confined = isolation.enter(keep_network=how == "kept")
    print(confined.said)
    if how in ("root", "user"):
        assert isolation.isolation(confined).verdict == "pass", isolation.isolation(confined)
        assert any(flags & network.LOOPBACK for _, flags in confined.outside.look().interfaces)
for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        print(errno.errorcode.get(probe.connect_ex((address, port)), "connected"))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
    try:
        probe.sendto(b"x", ("192.0.2.9", 9))
        print("sent")
    except OSError as error:
        print(errno.errorcode[error.errno])
for name in sys.argv[3:]:
    with socket.socket(socket.AF_UNIX) as probe:
        print(errno.errorcode.get(probe.connect_ex(name.replace("@", "\\0")), "connected"))
"""


@pytest.fixture
def server() -> Iterator[int]:
    """A server on loopback, IPv4 and IPv6; its port."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listening:
        yield listening.getsockname()[1]


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *(str(a) for a in arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def unix_servers() -> Iterator[tuple[str, str]]:
    """Two more, on an abstract Unix socket (@, unix(7)) and on one in the file system, which anyone may use."""
    folder = Path(tempfile.mkdtemp(prefix="s-"))  # short, and open to another user
    folder.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as abstract, socket.socket(socket.AF_UNIX) as named:
        for server, name in ((abstract, f"\0{folder}"), (named, f"{folder}/s")):
            server.bind(name)
            server.listen()
        (folder / "s").chmod(0o777)
        yield f"@{folder}", f"{folder}/s"
    shutil.rmtree(folder)


def needs_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")


@pytest.mark.parametrize("how", ["root", "user"])
def test_connect_works_outside_and_fails_inside(server: int, unix_servers: tuple[str, str], how: str) -> None:
    """Without it a ceremony would be one mistake away from a network. What is a file, like pcscd's socket, answers."""
    needs_root()
    outside = run(INSIDE, "outside", server, *unix_servers).stdout.split()
    assert outside[:2] + outside[3:] == ["connected"] * 4
    ran = run(INSIDE, how, server, *unix_servers)
    said, *answers = ran.stdout.splitlines()
    if "not cut off" in said:
        pytest.skip(said)
    assert answers[0] == answers[2] == "ENETUNREACH", ran
    assert answers[1] in ("ENETUNREACH", "EADDRNOTAVAIL"), ran
    assert answers[3:] == ["ECONNREFUSED", "connected"], ran


CARDS = """
import ctypes, os, struct, sys
from vestry.machine import isolation
from vestry.tokens import inventory
from vestry.tokens.token import Pin
if sys.argv[1] == "powerless":  # but for CAP_SETFCAP, without which nobody maps root into a namespace
    ctypes.CDLL(None).capset(struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", 1 << 31, 1 << 31, 0, 0, 0, 0))
before = os.readlink("/proc/self/ns/user")
print(isolation.enter().isolated, os.readlink("/proc/self/ns/user") != before)
source = inventory.open_named("ykcs11")
for token in source.tokens():
    with token.unlock(Pin(b"123456")):
        print(token.info.serial)
source.close()
"""


@pytest.mark.parametrize("how", ["root", "powerless"])
def test_yubikeys_answer_a_process_that_is_cut_off(yubikeys: Bench, how: str) -> None:
    """The smart card service is outside, behind a socket in the file system; a ceremony needs both."""
    needs_root()
    ran = run(CARDS, how)
    own_user_namespace = str(how == "powerless")
    assert ran.stdout.split() == ["True", own_user_namespace, *(card.serial for card in yubikeys.cards.values())], ran


MODULE = """
import subprocess, sys
from vestry.machine import isolation
from vestry.tokens import inventory
if sys.argv[2] == "inside":
    isolation.enter()
source = inventory.open_named("softhsm2")
connect = "import socket, sys; print(socket.socket().connect_ex(('127.0.0.1', int(sys.argv[1]))))"
where = f"--net=/proc/{source._line.child().pid}/ns/net"
subprocess.run(["nsenter", where, sys.executable, "-c", connect, sys.argv[1]], check=True)
source.close()
"""


@pytest.mark.parametrize(("where", "answer"), [("outside", 0), ("inside", errno.ENETUNREACH)])
def test_a_tokens_module_is_cut_off_too(server: int, softhsm: Path, where: str, answer: int) -> None:
    """A vendor's code is what one would least like to have a network: connect() from where its process is."""
    needs_root()
    ran = run(MODULE, server, where)
    assert ran.stdout.split() == [str(answer)], ran


@pytest.mark.parametrize(("how", "says"), [("kept", "keeps the network"), ("threads", "threads run already")])
def test_a_process_that_is_not_cut_off_says_so(server: int, how: str, says: str) -> None:
    """It goes on, and never claims what is not so."""
    ran = run(INSIDE, how, server)
    assert says in ran.stdout, ran
    assert "connected" in ran.stdout


REFUSED = """
from vestry.machine import isolation
print(isolation.isolable().line)
confined = isolation.enter()
print(confined.isolated, confined.said)
print(isolation.isolation(confined).verdict)
"""


@pytest.mark.parametrize(
    ("limit", "power"), [("max_net_namespaces", "setpriv"), ("max_user_namespaces", "setpriv --bounding-set -all")]
)
def test_a_system_that_does_not_allow_it_is_told(limit: str, power: str) -> None:
    """As in most containers: no power over networks, or no more namespaces."""
    # The limit is that of a user namespace of the test's own, never this machine's.
    line = f'echo 0 > /proc/sys/user/{limit} && exec {power} "$0" -c "$1"'
    ran = subprocess.run(
        ["unshare", "-r", "sh", "-c", line, sys.executable, REFUSED], capture_output=True, text=True, check=False
    )
    if "unshare" in ran.stderr:
        pytest.skip(f"no user namespace to set a limit in: {ran.stderr[-200:]}")
    foreseen, entered, after = ran.stdout.splitlines()
    assert "can't be cut off" in foreseen
    assert entered == "False this program is not cut off from the network: this system allows no more namespaces"
    assert after == "warn"


CRASH = """
import os, resource, sys
from vestry.machine import isolation
os.chdir(sys.argv[1])
resource.setrlimit(resource.RLIMIT_CORE, (1 << 30, 1 << 30))
if sys.argv[2] == "sealed":
    isolation.enter(keep_network=True)
if sys.argv[3] == "child":
    import subprocess
    subprocess.run([sys.executable, "-c", "import os; os.abort()"])
os.abort()
"""


@pytest.mark.parametrize("who", ["itself", "child"])
def test_a_crash_leaves_no_core_dump(tmp_path: Path, who: str) -> None:
    if Path("/proc/sys/kernel/core_pattern").read_text().strip() != "core":
        pytest.skip("core dumps of this machine go elsewhere")
    for how in ("open", "sealed"):
        (tmp_path / how).mkdir()
        assert run(CRASH, tmp_path / how, how, who).returncode == -6
    assert list((tmp_path / "open").iterdir())
    assert not list((tmp_path / "sealed").iterdir())


PEEK = """
import ctypes, os, signal
from vestry.machine import isolation
os.setgid(65534), os.setuid(65534)
def readable(pid):
    try:
        open(f"/proc/{pid}/mem", "rb").close()
        return True
    except PermissionError:
        return False
for sealed in (False, True):
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as a program that was started by this user
        if sealed:
            isolation.enter(keep_network=True)
        os.write(tell, b"x")
        signal.pause()
    os.close(tell)
    os.read(ready, 1)
    print(readable(child))
    os.kill(child, 9)
    os.waitpid(child, 0)
"""


def test_memory_is_not_read_by_another_process_of_the_same_user() -> None:
    needs_root()
    assert run(PEEK).stdout.split() == ["True", "False"]


def test_an_interface_that_is_put_into_the_namespace_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only root can do that, from outside; the claim on the screen must not outlive it."""
    confined = isolation.Confinement(True, "cut off")
    assert isolation.isolation(confined).verdict == "stop", "this process has loopback up, at least"


def test_a_whole_ceremony_goes_to_its_end_cut_off(tmp_path: Path) -> None:
    """What nobody could rehearse under isolation would be switched off on the day."""
    ran = run_verb("rehearse", "--unattended", "--holders", "2", "--threshold", "2", "--into", str(tmp_path / "r"))
    assert ran.returncode == 0, ran.stderr
    lines = (tmp_path / "r" / "transcript.jsonl").read_text().splitlines()
    events = [json.loads(line)["event"] for line in lines]
    (taken,) = (e["with"]["checks"] for e in events if e["what"] == "preflight_taken")
    cut_off = taken["isolation"][0] == "pass"
    assert cut_off != any(e["with"]["code"] == "E-ISOLATION" for e in events if e["what"] == "trouble_met")
    assert cut_off or os.geteuid() != 0, taken


def run_verb(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vestry", *arguments], capture_output=True, text=True, check=False, timeout=120
    )
