"""Where a verb looks for tokens: a folder of software tokens, PKCS#11 modules by name or path, or those found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from vestry.errors import InputRejected, VestryError
from vestry.text import printable
from vestry.tokens import inventory
from vestry.tokens.software import SoftwareSource
from vestry.tokens.token import TokenSource


@contextmanager
def opened(software: str | None, modules: Sequence[str]) -> Iterator[tuple[list[TokenSource], list[VestryError]]]:
    """Token sources, closed at the end, and the trouble of modules that were found but did not open.

    Raises:
        InputRejected: the folder does not exist.
        TokenTrouble: a module that was named does not open.
    """
    sources: list[TokenSource] = []
    troubles: list[VestryError] = []
    with ExitStack() as stack:

        def add(source: TokenSource) -> None:
            stack.callback(source.close)
            sources.append(source)

        if software is not None:
            folder = Path(software)
            if not folder.is_dir():
                raise InputRejected(
                    "there is no folder of software tokens here",
                    where=printable(software, 200),
                    do="name the folder 'tokens' of a rehearsal, for example",
                    code="E-SOFTWARE",
                )
            add(SoftwareSource(folder))
        for name in modules:
            add(inventory.open_named(name))
        if software is None and not modules:
            for path in inventory.modules():
                try:
                    add(inventory.open_source(path))
                except VestryError as error:
                    troubles.append(error)
        yield sources, troubles
