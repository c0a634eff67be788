"""Devices and vendor modules that fail in the midst of a ceremony: one clear message, nothing lost, nothing twice."""

from __future__ import annotations

import functools
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from people import SOFTHSM, People
from small import script_text
from virtual_yubikey.bench import YKCS11, Bench
from virtual_yubikey.state import Settings

from vestry.ceremony import conductor, reading, replay, transcript
from vestry.ceremony import events as e
from vestry.ceremony.dialogue import Declined
from vestry.ceremony.script import Script
from vestry.errors import Stopped
from vestry.metadata.keys import Key
from vestry.tokens import process
from vestry.tokens.messages import Frame
from vestry.tokens.process import Pkcs11Source
from vestry.tokens.token import Pin

# A module in front of SoftHSM 2 that misbehaves once, when the file FAULT says so: "sign crash", "generate
# after-crash", "login code=164" and so on. "after" lets the real function act first.
FAULTY = r"""
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
typedef unsigned long (*call)(long, long, long, long, long, long, long, long);
struct list { unsigned char version[2]; call f[68]; };
static struct list mine;
static unsigned long act(call real, const char *me, long a, long b, long c, long d, long e, long f, long g, long h) {
    char text[64] = "", *how;
    FILE *file = fopen(getenv("FAULT"), "r");
    if (file) { fgets(text, 63, file); fclose(file); }
    how = strchr(text, ' ');
    if (!how || strncmp(text, me, how - text)) return real(a, b, c, d, e, f, g, h);
    if (!strcmp(me, "sign") && !d) return real(a, b, c, d, e, f, g, h); /* asks for the length only */
    unlink(getenv("FAULT"));
    unsigned long rv = strstr(how, "after") || strstr(how, "wrong") ? real(a, b, c, d, e, f, g, h) : 0;
    if (strstr(how, "crash")) abort();
    if (strstr(how, "hang")) sleep(600);
    if (strstr(how, "code")) return strtoul(strchr(how, '=') + 1, 0, 0);
    if (strstr(how, "wrong")) ((unsigned char *)d)[9] ^= 1;
    return rv;
}
#define WRAP(name, place) \
    static call real_##name; \
    static unsigned long name(long a, long b, long c, long d, long e, long f, long g, long h) { \
        return act(real_##name, #name, a, b, c, d, e, f, g, h); \
    }
WRAP(init, 9) WRAP(login, 18) WRAP(sign, 43) WRAP(generate, 59) WRAP(destroy, 22)
unsigned long C_GetFunctionList(struct list **out) {
    struct list *theirs;
    void *library = dlopen(LIBRARY, RTLD_NOW);
    ((unsigned long (*)(struct list **))dlsym(library, "C_GetFunctionList"))(&theirs);
    mine = *theirs;
    real_init = mine.f[9]; mine.f[9] = init;
    real_login = mine.f[18]; mine.f[18] = login;
    real_destroy = mine.f[22]; mine.f[22] = destroy;
    real_sign = mine.f[43]; mine.f[43] = sign;
    real_generate = mine.f[59]; mine.f[59] = generate;
    *out = &mine;
    return 0;
}
"""


@pytest.fixture(scope="session")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module, compiled."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed: apt-get install gcc")
    folder = tmp_path_factory.mktemp("faulty")
    (folder / "faulty.c").write_text(FAULTY)
    library = f'-DLIBRARY="{SOFTHSM}"'
    line = ["gcc", "-shared", "-fPIC", "-w", library, "-o", str(folder / "faulty.so"), str(folder / "faulty.c"), "-ldl"]
    subprocess.run(line, check=True, capture_output=True)
    return folder / "faulty.so"


@pytest.fixture
def script(
    tmp_path: Path, softhsm: Path, faulty: Path, online: Any, monkeypatch: pytest.MonkeyPatch
) -> tuple[Script, dict[str, bytes]]:
    monkeypatch.setenv("FAULT", str(tmp_path / "fault"))
    monkeypatch.setattr(process, "Limits", functools.partial(process.Limits, usual=2.0, generate=2.0))
    (tmp_path / "online.pem").write_bytes(online.pem)
    text = script_text(online, {}, {}, module=str(faulty))
    (tmp_path / "s.toml").write_text(text)
    return reading.load(tmp_path / "s.toml")


def recorded(folder: Path, kind: type) -> list[Any]:
    return [r.event for r in transcript.read(folder / "transcript.jsonl") if isinstance(r.event, kind)]


def whole(folder: Path, people: People) -> None:
    """The ceremony got to its end, its transcript replays, no key was made twice, and no PIN is anywhere."""
    assert {v.verdict for v in replay.replay(transcript.read(folder / "transcript.jsonl"))} <= {
        "recomputed",
        "witnessed",
    }
    assert recorded(folder, e.Verified)
    made = Counter(x.key for x in recorded(folder, e.KeyGenerated))
    assert set(made.values()) == {1}
    signed = Counter((x.role, x.keyid) for x in recorded(folder, e.SignatureAdded))
    assert set(signed.values()) == {1}
    for path in (p for p in folder.rglob("*") if p.is_file()):
        for pin in people.pins.values():
            assert pin.encode() not in path.read_bytes(), path


SIGN, MAKE, ERASE = "signs root", "makes key 'bob-root'", "being erased"


@pytest.mark.parametrize(
    ("when", "fault", "code", "unknown"),
    [
        (SIGN, "sign crash", "E-MODULE-CRASHED", True),
        (SIGN, "sign after-crash", "E-MODULE-CRASHED", True),
        (SIGN, "sign hang", "E-TOKEN-HUNG", True),
        (SIGN, "sign code=0x32", "E-TOKEN-GONE", True),
        (SIGN, "sign code=0x30", "E-TOKEN-GONE", True),
        (SIGN, "sign wrong", "E-SIGNATURE-WRONG", False),
        (SIGN, "sign code=0x50", "E-TOKEN-REFUSED", False),
        (MAKE, "generate crash", "E-MODULE-CRASHED", True),
        (MAKE, "generate after-crash", "E-MODULE-CRASHED", True),
        (MAKE, "generate after-hang", "E-TOKEN-HUNG", True),
        (MAKE, "generate code=0x31", "E-TOKEN-FULL", False),
        (MAKE, "generate after code=0x05", "E-TOKEN-FAILED", True),
        (ERASE, "init crash", "E-MODULE-CRASHED", True),
        (ERASE, "init after-crash", "E-MODULE-CRASHED", True),
        (ERASE, "init code=0x30", "E-TOKEN-INIT", True),
    ],
)
def test_a_fault_is_one_message_and_the_ceremony_goes_on(
    tmp_path: Path,
    people: People,
    script: tuple[Script, dict[str, bytes]],
    when: str,
    fault: str,
    code: str,
    unknown: bool,
) -> None:
    """The vendor's code dies, hangs, lies or gives up in its child; the ceremony looks, says so, and goes on."""
    fired: list[str] = []

    def waiting(what: str, cancel: Any = None) -> None:
        if when in what and not fired:
            fired.append(what)
            (tmp_path / "fault").write_text(fault)

    people.waiting = waiting  # type: ignore[method-assign]
    people.answers = {"trouble": lambda _: "again"}
    folder = tmp_path / "c"
    conductor.conduct(*script, folder, people)
    assert [err.code for err, _ in people.troubles] == [code]
    told = people.troubles[0][1]
    assert told.startswith("The outcome of line" if unknown else "Nothing was signed")
    whole(folder, people)
    assert not (tmp_path / "fault").exists()


@pytest.mark.parametrize(
    ("act", "asked"),
    [("initialise", "info"), ("generate", "certificates"), ("destroy", "keys")],
)
def test_what_was_done_did_not_fail_because_of_a_question_after_it(
    tmp_path: Path,
    people: People,
    script: tuple[Script, dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
    act: str,
    asked: str,
) -> None:
    """The module acts, answers, and dies at the next question. To call the act failed would leave a key that nothing
    tells of and that its name's next one trips over, or have a key destroyed that is gone."""
    text = f'{(tmp_path / "s.toml").read_text()}[[steps]]\ntitle = "destroy"\ndo = "destroy"\nroles = ["bins"]\n'
    (tmp_path / "s.toml").write_text(text)
    seen: list[str] = []

    class Mortal(process.Child):
        def exchange(self, request: Frame, deadline: float) -> Frame:
            done = str(request.head["do"])
            if done == {0: act, 1: asked}.get(len(seen)):
                seen.append(done)
                if done == asked:
                    self.kill()
            return super().exchange(request, deadline)

    monkeypatch.setattr(process, "Child", Mortal)
    people.answers = {"trouble": lambda _: "again" if len(people.troubles) == 1 else "stop"}
    folder = tmp_path / "c"
    conductor.conduct(*reading.load(tmp_path / "s.toml"), folder, people)
    assert seen == [act, asked]
    assert [err.code for err, _ in people.troubles] == ["E-MODULE-CRASHED"]
    assert people.troubles[0][1].startswith("The outcome of line")
    whole(folder, people)
    assert not any(x.found.startswith("it failed") for x in recorded(folder, e.IntentAbandoned))


def test_a_fault_and_a_stop_and_another_day(
    tmp_path: Path, people: People, script: tuple[Script, dict[str, bytes]]
) -> None:
    """Between intent and result the operator goes home: the next run reads the token before it does anything else."""
    people.waiting = _arm(tmp_path, "makes key 'bob-root'", "generate after-crash")  # type: ignore[method-assign]
    people.answers = {"trouble": lambda _: "stop"}
    folder = tmp_path / "c"
    with pytest.raises(Stopped):
        conductor.conduct(*script, folder, people)
    again = People(pins=people.pins)
    conductor.conduct(*script, folder, again)
    assert [x.found for x in recorded(folder, e.KeyGenerated) if x.key == "bob-root"] == [True]
    assert any("made before the stop" in line for line in again.told)
    whole(folder, people)


def _arm(tmp_path: Path, when: str, fault: str) -> Callable[..., None]:
    fired: list[str] = []

    def waiting(what: str, cancel: Any = None) -> None:
        if when in what and not fired:
            fired.append(what)
            (tmp_path / "fault").write_text(fault)

    return waiting


def test_a_module_that_does_not_load(tmp_path: Path, people: People, online: Any) -> None:
    """A wrong path or a broken installation is told before anything is asked of anyone."""
    (tmp_path / "online.pem").write_bytes(online.pem)
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"\x7fELF nothing")
    (tmp_path / "s.toml").write_text(script_text(online, {}, {}, module=str(broken)))
    people.answers = {"trouble": lambda _: "stop"}
    with pytest.raises(Stopped):
        conductor.conduct(*reading.load(tmp_path / "s.toml"), tmp_path / "c", people)
    assert [err.code for err, _ in people.troubles] == ["E-MODULE-LOAD"]


@pytest.fixture(params=["Alice"])
def yubikey_script(
    request: pytest.FixtureRequest, tmp_path: Path, softhsm: Path, yubikeys: Bench, online: Any
) -> tuple[Script, dict[str, bytes]]:
    """One holder on a YubiKey, the others on SoftHSM."""
    (tmp_path / "online.pem").write_bytes(online.pem)
    old = f'holder = "{request.param}"\nuse = "pkcs11"\nmodule = "softhsm2"\n'
    text = script_text(online, {}, {})
    assert old in text
    serial = yubikeys.cards["alice"].serial
    text = text.replace(old, old.replace("softhsm2", "ykcs11") + f'serial = "{serial}"\n')
    (tmp_path / "s.toml").write_text(text)
    return reading.load(tmp_path / "s.toml")


@pytest.mark.parametrize("yubikey_script", ["Carol"], indirect=True)
def test_a_pin_is_locked_by_its_holder_and_the_others_go_on(
    tmp_path: Path, people: People, yubikey_script: tuple[Script, dict[str, bytes]], yubikeys: Bench
) -> None:
    """Three wrong PINs: each told with what is left, the last asked for first, and then another holder signs."""
    wrong: list[Any] = []

    def pin(question: Any) -> Pin:
        if question.person == "Carol":
            wrong.append(question)
            return Pin(f"9{len(wrong)}9182")
        sensible: Pin = people.sensible(question)
        return sensible

    def words(question: Any) -> Any:
        if question.person == "Alice" and len(wrong) < 3:
            raise Declined
        return people.sensible(question)

    people.answers = {"pin": pin, "words": words, "trouble": lambda _: "again" if len(people.troubles) < 9 else "stop"}
    folder = tmp_path / "c"
    conductor.conduct(*yubikey_script, folder, people)
    assert [q.warning for q in wrong][1:] == ["2 tries left.", "1 try left."]
    assert "last-try" in {q.name for q in people.asked}
    assert [err.code for err, _ in people.troubles] == ["E-PIN-WRONG", "E-PIN-WRONG", "E-PIN-LOCKED"]
    signers = {x.key for x in recorded(folder, e.SignatureIntended) if x.role == "root"}
    assert signers == {"bob-root", "alice-root"}
    assert yubikeys.cards["alice"].state()["pin_left"] == 0
    whole(folder, people)


def test_another_token_in_its_slot_is_not_taken(
    tmp_path: Path, people: People, yubikey_script: tuple[Script, dict[str, bytes]], yubikeys: Bench
) -> None:
    """Swapped between the making of keys and the signing: another serial is not asked for a PIN, the same serial with
    other keys does not sign."""
    card = yubikeys.cards["alice"]
    seen: list[str] = []

    def words(question: Any) -> Any:
        if question.person == "Alice" and not seen:
            seen.append("swapped")
            yubikeys.card("copy", Settings(serial=int(card.serial))).insert(0)
            yubikeys.cards["copy"].set_secrets(pin=people.pins["Alice"])
            yubikeys.cards["copy"].put_key("9c", "p256")
        return people.sensible(question)

    def trouble(_: Any) -> str:
        card.insert(0)
        return "again"

    people.answers = {"words": words, "trouble": trouble}
    conductor.conduct(*yubikey_script, tmp_path / "c", people)
    assert [err.code for err, _ in people.troubles] == ["E-TOKEN-WRONG-KEY"]
    assert yubikeys.cards["copy"].state()["signatures"] == 0
    whole(tmp_path / "c", people)


def test_a_token_that_is_gone_before_its_pin(
    tmp_path: Path, people: People, yubikey_script: tuple[Script, dict[str, bytes]], yubikeys: Bench
) -> None:
    """Nobody types a PIN for a token that is not there."""
    card = yubikeys.cards["alice"]
    gone: list[str] = []

    def words(question: Any) -> Any:
        if question.person == "Alice" and not gone:
            gone.append("out")
            card.remove()
        return people.sensible(question)

    def trouble(_: Any) -> str:
        card.insert(0)
        return "again"

    people.answers = {"words": words, "trouble": trouble}
    conductor.conduct(*yubikey_script, tmp_path / "c", people)
    assert [err.code for err, _ in people.troubles] == ["E-TOKEN-GONE"]
    assert "not there" in people.troubles[0][0].what
    whole(tmp_path / "c", people)


@pytest.mark.parametrize("attested", [True, False])
def test_a_token_that_shows_another_public_key(
    tmp_path: Path, attested: bool, people: People, yubikey_script: tuple[Script, dict[str, bytes]], yubikeys: Bench
) -> None:
    """A public half that is not of the private one: the proof of possession fails, and the key is not used."""
    card = yubikeys.cards["alice"]
    lied: list[str] = []

    def waiting(what: str, cancel: Any = None) -> None:
        if "makes key 'alice-root'" in what and not lied:
            lied.append(what)
            card.lie_about_next_key(attested=attested)

    people.waiting = waiting  # type: ignore[method-assign]
    people.answers = {"trouble": lambda _: "stop"}
    with pytest.raises(Stopped):
        conductor.conduct(*yubikey_script, tmp_path / "c", people)
    assert [err.code for err, _ in people.troubles] in (["E-SIGNATURE-WRONG"], ["E-KEY-GONE"])
    assert recorded(tmp_path / "c", e.KeyGenerated) == []


def test_two_programs_on_one_token(softhsm: Path, yubikeys: Bench) -> None:
    """Another program signs with the same device at the same time: every signature is whole, or there is a clear
    error."""
    yubikeys.cards["alice"].put_key("9a", "p256")
    errors: list[BaseException] = []
    made: list[bool] = []

    def work() -> None:
        source = Pkcs11Source(YKCS11)
        try:
            token = next(t for t in source.tokens() if t.info.serial == yubikeys.cards["alice"].serial)
            with token.unlock(Pin("123456")) as unlocked:
                (held,) = unlocked.keys()
                key = Key.from_spki(held.spki)
                made.extend(key.verify(unlocked.sign(held, bytes([n])), bytes([n])) for n in range(10))
        except BaseException as error:  # noqa: BLE001 - looked at below
            errors.append(error)
        finally:
            source.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert made == [True] * 20
