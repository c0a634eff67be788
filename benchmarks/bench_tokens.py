"""What Vestry adds around a token's own signing time: a child process, a pipe, and a verification of each signature.

Peer: python-pkcs11 itself, in this process, signing the same digest with the same key: on a SoftHSM 2 token, and on a
virtual YubiKey (tests/virtual_yubikey) behind Yubico's own module and a real pcscd, where the card takes 100 ms for a
signature. Medians; run in turns, so that whatever else the machine does falls on both.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pkcs11

from vestry.ceremony.signing import CHALLENGE_BYTES, prove_possession
from vestry.metadata.keys import Key
from vestry.tokens.process import Pkcs11Source
from vestry.tokens.token import KeyKind, Pin, Unlocked

SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")
KIND = KeyKind("ecdsa-sha2-nistp256")
ROUNDS = 200
DELAY_MS = 100
PIN, SO_PIN = "bench-pin-1", "bench-so-pin-1"


def median_ms(work: Callable[[], object], rounds: int) -> list[float]:
    """Times of `rounds` calls, in milliseconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1000)
    return times


def softhsm() -> None:
    """Vestry against raw python-pkcs11."""
    folder = Path(tempfile.mkdtemp(prefix="vestry-bench-"))
    (folder / "tokens").mkdir()
    conf = folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(conf)
    try:
        source = Pkcs11Source(SOFTHSM)
        blank = next(t for t in source.tokens() if not t.info.initialised)
        token = blank.initialise("bench", Pin(SO_PIN), Pin(PIN))
        with token.unlock(Pin(PIN)) as unlocked:
            made = unlocked.generate(KIND, "bench")
        raw = _raw(str(SOFTHSM))
        with token.unlock(Pin(PIN)) as unlocked:
            key = Key.from_spki(made.spki)
            message = os.urandom(CHALLENGE_BYTES)
            ours, theirs = [], []
            for _ in range(4):
                theirs += median_ms(raw, ROUNDS // 4)
                ours += median_ms(lambda: _vestry(unlocked, key, made, message), ROUNDS // 4)
        source.close()
        _print("SoftHSM 2, P-256", ours, theirs, "python-pkcs11")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def yubikey() -> None:
    """The same with a card that takes 100 ms."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    from virtual_yubikey.bench import YKCS11, running  # noqa: PLC0415 - of the tests, and not always installed
    from virtual_yubikey.room import DRIVER  # noqa: PLC0415

    missing = [n for n, p in (("ykcs11", YKCS11), ("vsmartcard-vpcd", DRIVER)) if not p.exists()]
    if missing:
        print(f"not installed: apt-get install {' '.join(missing)}")
        return
    with running() as bench:
        os.environ.update(bench.environment)
        card = bench.cards["alice"]
        card.put_key("9a", "p256", pin_policy=2)
        card.change(sign_delay_ms=DELAY_MS)
        source = Pkcs11Source(YKCS11)
        token = next(t for t in source.tokens() if t.info.serial == card.serial)
        slots = pkcs11.lib(str(YKCS11)).get_slots(token_present=True)
        raw_token = next(t for t in (s.get_token() for s in slots) if t.serial.decode().strip("\0 ") == card.serial)
        session = raw_token.open(user_pin="123456")
        private = session.get_key(id=b"\x01", object_class=pkcs11.ObjectClass.PRIVATE_KEY)
        digest = hashlib.sha256(os.urandom(64)).digest()
        message = os.urandom(CHALLENGE_BYTES)
        with token.unlock(Pin("123456")) as unlocked:
            (made,) = unlocked.keys()
            key = Key.from_spki(made.spki)
            ours, theirs = [], []
            for _ in range(4):
                theirs += median_ms(lambda: private.sign(digest, mechanism=pkcs11.Mechanism.ECDSA), 10)
                ours += median_ms(lambda: _vestry(unlocked, key, made, message), 10)
        session.close()
        source.close()
        _print(f"virtual YubiKey, {DELAY_MS} ms a signature", ours, theirs, "python-pkcs11")


def _vestry(unlocked: Unlocked, key: Key, made: object, message: bytes) -> bytes:
    return prove_possession(message, key, unlocked, made)  # type: ignore[arg-type]


def _raw(path: str) -> Callable[[], object]:
    token = pkcs11.lib(path).get_token(token_label="bench")
    session = token.open(user_pin=PIN)
    private = session.get_key(label="bench", object_class=pkcs11.ObjectClass.PRIVATE_KEY)
    digest = hashlib.sha256(os.urandom(64)).digest()
    return lambda: private.sign(digest, mechanism=pkcs11.Mechanism.ECDSA)


def _print(what: str, ours: list[float], theirs: list[float], peer: str) -> None:
    mine, peers = statistics.median(ours), statistics.median(theirs)
    added = mine - peers
    print(f"{what}: Vestry {mine:.2f} ms, {peer} {peers:.2f} ms; adds {added:.2f} ms, {added / peers:.1%}")


def main() -> int:
    """Both; what is not installed is said."""
    if SOFTHSM.exists():
        softhsm()
    else:
        print("SoftHSM 2 is not installed: apt-get install softhsm2")
    yubikey()
    return 0


if __name__ == "__main__":
    sys.exit(main())
