"""Token sources for tests: software, SoftHSM 2, and a module that fails on purpose."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nss
import pytest
from devices import KINDS, P256, PIN, SO_PIN, initialised

from vestry.tokens.inventory import find_module
from vestry.tokens.process import Limits, Pkcs11Source
from vestry.tokens.software import SoftwareSource
from vestry.tokens.token import KeyKind, Pin, Token, TokenSource


@dataclass
class Tokens:
    """A source and what it can do. `blank`: another blank token; `reopen`: a second view, as a new process has it."""

    name: str
    reopen: Callable[[], TokenSource]
    kinds: list[KeyKind]
    source: TokenSource
    counts_tries: bool
    counts_wrong_pins: bool = True
    shows_keys_to_all: bool = True
    made: list[str] = field(default_factory=list)

    def blank(self) -> Token:
        if isinstance(self.source, SoftwareSource):
            self.made.append(f"00000{len(self.made)}")
            return self.source.create(self.made[-1])
        return next(t for t in self.source.tokens() if not t.info.initialised)

    def ready(self, label: str = "alice", pin: str = PIN) -> Token:
        """An initialised token."""
        if self.name == "nss":
            return next(t for t in self.source.tokens() if t.info.label == nss.LABEL)
        return self.blank().initialise(label, Pin(SO_PIN), Pin(pin))


@pytest.fixture(params=["software", "softhsm2"])
def tokens(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tokens]:
    """The same tests for kinds of token that are blank at first."""
    yield from _opened(request, tmp_path)


@pytest.fixture(params=["software", "softhsm2", "nss"])
def device(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tokens]:
    """The same tests for these, and for one that is set up by its maker's tool: `ready` gives the same token again."""
    yield from _opened(request, tmp_path)


def _opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tokens]:
    opened: list[TokenSource] = []
    name = request.param
    kinds = list(KINDS)
    if name == "software":
        kinds += [KeyKind("rsassa-pss-sha512", 2048), KeyKind("ml-dsa-44/1"), KeyKind("ml-dsa-65/1")]
    elif name == "softhsm2":
        request.getfixturevalue("softhsm")
    else:
        module = request.getfixturevalue("nss_module")
        request.getfixturevalue("monkeypatch").setenv("NSS_SETTINGS", nss.database(tmp_path / "nss", PIN))
        kinds.remove(KeyKind("ed25519"))

    def reopen() -> TokenSource:
        if name == "software":
            source: TokenSource = SoftwareSource(tmp_path / "tokens", scrypt_n=16)
        else:
            source = Pkcs11Source(find_module("softhsm2") if name == "softhsm2" else module)
        opened.append(source)
        return source

    yield Tokens(
        name,
        reopen,
        kinds,
        reopen(),
        counts_tries=name == "software",
        counts_wrong_pins=name != "nss",
        shows_keys_to_all=name != "nss",
    )
    for source in opened:
        source.close()


# A module in front of SoftHSM 2 that misbehaves in one function. TROUBLE is "place:how", the place counted in
# CK_FUNCTION_LIST; "after" lets the real function act first.
SHIM = r"""
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
typedef unsigned long (*call)(long, long, long, long, long, long, long, long);
struct list { unsigned char version[2]; call f[68]; };
static struct list mine;
static call real;
static char how[16];
static unsigned long bad(long a, long b, long c, long d, long e, long f, long g, long h) {
    write(1, "noise on stdout\n", 16);
    write(2, "noise on stderr\n", 16);
    unsigned long rv = strncmp(how, "after", 5) ? 0 : real(a, b, c, d, e, f, g, h);
    if (strstr(how, "abort")) abort();
    if (strstr(how, "sleep")) sleep(600);
    if (strstr(how, "exit")) _exit(0);
    if (strstr(how, "code")) return strtoul(strchr(how, '=') + 1, 0, 0);
    return rv ? rv : real(a, b, c, d, e, f, g, h);
}
unsigned long C_GetFunctionList(struct list **out) {
    struct list *theirs;
    void *library = dlopen(LIBRARY, RTLD_NOW);
    unsigned long (*get)(struct list **) = (unsigned long (*)(struct list **))dlsym(library, "C_GetFunctionList");
    get(&theirs);
    mine = *theirs;
    const char *trouble = getenv("TROUBLE");
    if (trouble) {
        int place = atoi(trouble);
        strncpy(how, strchr(trouble, ':') + 1, 15);
        real = mine.f[place];
        mine.f[place] = bad;
    }
    *out = &mine;
    return 0;
}
"""


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The failing module, compiled."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed: apt-get install gcc")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    library = f'-DLIBRARY="{find_module("softhsm2")}"'
    line = ["gcc", "-shared", "-fPIC", "-w", library, "-o", str(folder / "shim.so"), str(folder / "shim.c"), "-ldl"]
    subprocess.run(line, check=True, capture_output=True)
    return folder / "shim.so"


Trouble = Callable[..., Pkcs11Source]


@pytest.fixture
def troubled(softhsm: Path, shim: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trouble]:
    """Sources whose module misbehaves: ``troubled(SIGN, "abort")``; without a place, one that works."""
    opened: list[Pkcs11Source] = []

    def make(place: int | None = None, how: str = "", limits: Limits | None = None) -> Pkcs11Source:
        if place is None:
            monkeypatch.delenv("TROUBLE", raising=False)
        else:
            monkeypatch.setenv("TROUBLE", f"{place}:{how}")
        opened.append(Pkcs11Source(shim, limits=limits))
        return opened[-1]

    yield make
    for source in opened:
        source.close()


@pytest.fixture
def alice(troubled: Trouble) -> str:
    """The serial of a SoftHSM token with one key, 'kept'."""
    source = troubled()
    (token,) = initialised(source, "alice")
    with token.unlock(Pin(PIN)) as unlocked:
        unlocked.generate(P256, "kept")
    serial = token.info.serial
    source.close()
    return serial
