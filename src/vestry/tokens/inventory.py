"""Which PKCS #11 modules are on this machine, and which tokens they show. Nothing is loaded into this process."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vestry.errors import TokenTrouble
from vestry.text import printable
from vestry.tokens import plugins
from vestry.tokens.process import Pkcs11Source
from vestry.tokens.token import TokenSource

_LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/lib", "/opt/yubico/lib")
_MULTIARCH = re.compile(r"[a-z0-9_]+-linux-gnu[a-z0-9]*")
_P11_KIT = (Path("/etc/pkcs11/modules"), Path("/usr/share/p11-kit/modules"))
_P11_KIT_LONGEST = 64 * 1024


@dataclass(frozen=True)
class Known:
    """A well-known module: file names relative to a library folder, and the Debian package that brings it."""

    files: tuple[str, ...]
    package: str


KNOWN: Mapping[str, Known] = {
    "softhsm2": Known(("softhsm/libsofthsm2.so", "libsofthsm2.so"), "softhsm2"),
    "ykcs11": Known(("libykcs11.so.2", "libykcs11.so", "libykcs11.dylib"), "ykcs11"),
    "opensc": Known(("opensc-pkcs11.so", "pkcs11/opensc-pkcs11.so"), "opensc-pkcs11"),
    "yubihsm": Known(("pkcs11/yubihsm_pkcs11.so", "yubihsm_pkcs11.so"), "yubihsm-pkcs11, from Yubico"),
}


def modules() -> tuple[Path, ...]:
    """Modules found here, each once, by the path it really has: well-known ones, then those p11-kit is told of."""
    found: dict[Path, None] = {}
    for name in KNOWN:
        for path in _places(name):
            found.setdefault(path.resolve())
    for folder in _P11_KIT:
        for config in sorted(folder.glob("*.module")) if folder.is_dir() else []:
            for path in _configured(config):
                found.setdefault(path.resolve())
    return tuple(found)


def find_module(name_or_path: str) -> Path:
    """The module of a well-known name (`KNOWN`), of a p11-kit configuration of that name, or at an absolute path.

    Raises:
        TokenTrouble: E-MODULE-LOAD: it says where it looked, and what to install.
    """
    shown = printable(name_or_path, 200)
    if "/" in name_or_path:
        path = Path(name_or_path)
        if path.is_absolute() and path.is_file():
            return path.resolve()
        raise TokenTrouble(
            "there is no such PKCS #11 module" if path.is_absolute() else "a module is named by its whole path",
            where=str(shown),
            do=f"give the whole path, or one of {', '.join(KNOWN)}",
            code="E-MODULE-LOAD",
        )
    for path in _places(name_or_path):
        return path.resolve()
    for folder in _P11_KIT:
        for path in _configured(folder / f"{name_or_path}.module"):
            return path.resolve()
    if name_or_path in KNOWN:
        known = KNOWN[name_or_path]
        raise TokenTrouble(
            f"the PKCS #11 module '{shown}' is not installed",
            where=f"looked for {known.files[0]} in {', '.join(str(f) for f in _folders())}",
            do=f"install the Debian package {known.package}, or give the module's whole path",
            code="E-MODULE-LOAD",
        )
    raise TokenTrouble(
        f"no PKCS #11 module is known by the name '{shown}'",
        where=f"looked in {', '.join(str(f) for f in _P11_KIT)}",
        do=f"use one of {', '.join((*KNOWN, *plugins.names()))}, or the module's whole path",
        code="E-MODULE-LOAD",
    )


def open_source(path: Path) -> Pkcs11Source:
    """The tokens of the module at `path`, in a child process that has loaded it.

    Raises:
        TokenTrouble: E-MODULE-LOAD, E-MODULE-CRASHED, E-TOKEN-HUNG.
    """
    source = Pkcs11Source(path)
    source.start()
    return source


def open_named(name_or_path: str) -> TokenSource:
    """The tokens of a PKCS #11 module or of a plug-in (`plugins`), by name, or of a module at an absolute path.

    A plug-in can't take the name of a well-known module.

    Raises:
        TokenTrouble: E-MODULE-LOAD, E-MODULE-CRASHED, E-TOKEN-HUNG.
    """
    if name_or_path not in KNOWN and name_or_path in plugins.names():
        return plugins.open_plugin(name_or_path)
    return open_source(find_module(name_or_path))


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a module's file, in hexadecimal. What it loads besides is not in it."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _folders() -> tuple[Path, ...]:
    folders: list[Path] = []
    for name in _LIBRARIES:
        folder = Path(name)
        if folder.is_dir():
            folders += [folder, *sorted(f for f in folder.iterdir() if _MULTIARCH.fullmatch(f.name) and f.is_dir())]
    return tuple(folders)


def _places(name: str) -> Iterator[Path]:
    if name in KNOWN:
        for folder in _folders():
            for file in KNOWN[name].files:
                if (folder / file).is_file():
                    yield folder / file


def _configured(config: Path) -> Iterator[Path]:
    """The module a p11-kit configuration names; relative names are looked for as p11-kit does."""
    try:
        if not config.is_file() or config.stat().st_size > _P11_KIT_LONGEST:
            return
        text = config.read_text("utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        named = Path(value.strip())
        if not colon or key.strip() != "module" or not value.strip():
            continue
        candidates = [named] if named.is_absolute() else [f / "pkcs11" / named for f in _folders()]
        for path in candidates:
            if path.is_file():
                yield path
                return
