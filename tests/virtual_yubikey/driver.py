"""python-pkcs11 on ykcs11 in a process of its own: what the module does, with nothing of Vestry between.

Start: ``python -m virtual_yubikey.driver MODULE``. A line of JSON is a call, ``["sign", {...}]``; so is its answer: a
value, or ``{"error": NAME}`` with the name of python-pkcs11's exception. Bytes are hex.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# The management key of the factory. Nothing heavy is imported here: each test starts this process.
SO_PIN = "0102030405060708" * 3


class Failed(Exception):
    """The module's refusal. `name` is python-pkcs11's."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Driver:
    """Calls to the process. A token is named by its serial."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def __getattr__(self, what: str) -> Any:
        def call(**words: Any) -> Any:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps([what, words]).encode() + b"\n")
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline() or b'{"error": "the module crashed"}')
            if isinstance(answer, dict) and "error" in answer:
                raise Failed(answer["error"])
            return answer

        return call


@contextmanager
def driving(environment: Mapping[str, str]) -> Iterator[Driver]:
    """A process with ykcs11, ended afterwards."""
    from virtual_yubikey.bench import YKCS11

    with subprocess.Popen(
        [sys.executable, "-m", "virtual_yubikey.driver", str(YKCS11)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**environment, "PYTHONPATH": str(Path(__file__).parent.parent)},
    ) as process:
        try:
            yield Driver(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def main() -> None:
    """Serve calls until standard input ends."""
    import pkcs11
    from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
    from pkcs11.constants import DEFAULT
    from pkcs11.util.ec import encode_named_curve_parameters

    from vestry.tokens.cryptoki import Cryptoki

    module = sys.argv[1]
    library = pkcs11.lib(module)
    private_object = {Attribute.CLASS: ObjectClass.PRIVATE_KEY}

    def item_type(item: Any) -> Any:
        return item[Attribute.KEY_TYPE] if item[Attribute.CLASS] == ObjectClass.PUBLIC_KEY else None

    def token(serial: str) -> Any:
        present = [slot.get_token() for slot in library.get_slots(token_present=True)]
        return next(t for t in present if t.serial.decode() == serial)

    def tokens() -> Any:
        present = [slot.get_token() for slot in library.get_slots(token_present=True)]
        return [{"serial": t.serial.decode(), "label": t.label, "flags": int(t.flags)} for t in present]

    def generate(serial: str, slot: int, kind: str, so_pin: str = SO_PIN, extractable: bool | None = None) -> Any:
        common: dict[str, Any] = {
            "id": bytes([slot]),
            "label": "ignored",
            "store": True,
            "private_template": {Attribute.EXTRACTABLE: DEFAULT if extractable is None else extractable},
        }
        with token(serial).open(rw=True, so_pin=so_pin) as session:
            if kind.startswith("rsa"):
                public, _ = session.generate_keypair(
                    KeyType.RSA, int(kind[3:]), mechanism=Mechanism.RSA_PKCS_KEY_PAIR_GEN, **common
                )
            else:
                params = {Attribute.EC_PARAMS: encode_named_curve_parameters(f"secp{kind[1:]}r1")}
                domain = session.create_domain_parameters(KeyType.EC, params, local=True)
                public, _ = domain.generate_keypair(mechanism=Mechanism.EC_KEY_PAIR_GEN, **common)
            return "" if kind.startswith("rsa") else public[Attribute.EC_POINT].hex()

    def sign(serial: str, slot: int, pin: str, mechanism: int, data: str, times: int = 1, again: bool = True) -> Any:
        """As often as `times`, giving the PIN at each signature where `again`."""
        made = []
        with token(serial).open(rw=True, user_pin=pin) as session:
            (key,) = session.get_objects({**private_object, Attribute.ID: bytes([slot])})
            for _ in range(times):
                made.append(
                    bytes(
                        key.sign(bytes.fromhex(data), mechanism=Mechanism(mechanism), pin=pin if again else None)
                    ).hex()
                )
        return made

    def log_in(serial: str, pin: str) -> None:
        token(serial).open(rw=True, user_pin=pin).close()

    def objects(serial: str, pin: str | None = None) -> Any:
        with token(serial).open(user_pin=pin) as session:
            found = list(session.get_objects())
            told = []
            for item in found:
                kind = item[Attribute.CLASS].name
                shows = {"CERTIFICATE": Attribute.VALUE, "PUBLIC_KEY": Attribute.EC_POINT}.get(kind)
                value = item[shows].hex() if shows and item_type(item) != KeyType.RSA else ""
                told.append([kind, item[Attribute.ID].hex(), item[Attribute.TOKEN], item[Attribute.LABEL], value])
        return told

    def curve(serial: str, slot: int) -> Any:
        with token(serial).open() as session:
            wanted = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.ID: bytes([slot])}
            (key,) = session.get_objects(wanted)
            return key[Attribute.EC_PARAMS].hex()

    def destroy(serial: str, slot: int) -> Any:
        with token(serial).open(rw=True, so_pin=SO_PIN) as session:
            (key,) = session.get_objects({**private_object, Attribute.ID: bytes([slot])})
            key.destroy()
            return len(list(session.get_objects({Attribute.ID: bytes([slot])})))

    def set_pin(serial: str, old: str, new: str) -> None:
        with token(serial).open(rw=True) as session:
            session.set_pin(old, new)

    def initialise(serial: str, so_pin: str) -> Any:
        returned = Cryptoki(module).init_token(token(serial).slot.slot_id, so_pin.encode(), b"new label")
        library.reinitialize()
        return returned

    calls = {f.__name__: f for f in (tokens, generate, sign, log_in, objects, curve, destroy, set_pin, initialise)}
    for line in sys.stdin:
        name, words = json.loads(line)
        try:
            answer = calls[name](**words)
        except Exception as error:  # noqa: BLE001 - every one goes to the test that caused it
            answer = {"error": type(error).__name__}
            # A failed login leaks its session; nothing opens after it.
            library.reinitialize()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
