"""The child process of one PKCS #11 module: ``python -m vestry.tokens.child REQUESTS ANSWERS PARENT``.

It reads requests from one pipe and answers on another (both inherited, as `messages` describes them), in one thread,
until the pipe ends. It never outlives its parent, leaves no core dump, can't be traced, and has no terminal.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

from vestry.errors import TokenTrouble
from vestry.machine.isolation import seal_memory
from vestry.tokens import messages
from vestry.tokens.messages import Frame

_SET_DEATH_SIGNAL = 1  # linux/prctl.h


def main(arguments: list[str]) -> int:
    """Serve until the pipe ends. Arguments: descriptors of requests and answers, process id of the parent."""
    requests, answers, parent = (int(a) for a in arguments)
    harden(parent)
    try:
        from vestry.tokens.pkcs11 import Module  # noqa: PLC0415 - after hardening: it loads foreign code
    except ImportError as error:
        return _unable(requests, answers, f"this installation lacks a library: {error.name}")

    module: Module | None = None
    while True:
        try:
            request = messages.read_frame(_reader(requests))
        except EOFError:
            break
        try:
            if request.head.get("do") == "load":
                module = Module(messages.text(request.head, "path"))
                answer = Frame({})
            else:
                assert module is not None, "load comes first"
                answer = module.answer(request)
        except TokenTrouble as trouble:
            answer = Frame({"trouble": messages.trouble_to(trouble)})
        messages.write_frame(answer, _writer(answers))
        del request, answer
    if module is not None:
        module.close()
    return 0


def harden(parent: int) -> None:
    """No core dump, no tracing, no terminal's interrupt, and death with the parent (Linux)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    seal_memory()
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)


def _unable(requests: int, answers: int, why: str) -> int:
    """Answer the first request, which is to load a module, with why that can't be."""
    messages.read_frame(_reader(requests))
    trouble = TokenTrouble(why, do="install Vestry again, with what it needs", code="E-MODULE-LOAD")
    messages.write_frame(Frame({"trouble": messages.trouble_to(trouble)}), _writer(answers))
    return 1


def _reader(descriptor: int) -> Callable[[int], bytes]:
    def read(length: int) -> bytes:
        pieces = bytearray()
        while len(pieces) < length:
            piece = os.read(descriptor, min(length - len(pieces), 1 << 20))
            if not piece:
                raise EOFError
            pieces += piece
        return bytes(pieces)

    return read


def _writer(descriptor: int) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    return write


if __name__ == "__main__":
    status = main(sys.argv[1:])
    # Vendor libraries crash in their own exit handlers; nothing here needs any.
    os._exit(status)
