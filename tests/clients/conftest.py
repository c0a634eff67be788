"""A repository on loopback, and the clients that come to it."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tuf.ngclient import Updater

from vestry.media.client import REFUSALS


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the loopback address that serves it."""
    folder = tmp_path / "www"
    (folder / "metadata").mkdir(parents=True)
    (folder / "targets").mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass(frozen=True)
class Outcome:
    """What a client made of a repository: the file it downloaded, or why it refused."""

    file: Path | None = None
    why: str = ""


Client = Callable[[Path, str, bytes | None, str], Outcome]
"""A client with its files in a folder, at an address, that trusts a root (or what it trusts already), for a target."""


def ngclient(home: Path, url: str, root: bytes | None, path: str) -> Outcome:
    home.mkdir(exist_ok=True)
    file = home / path.rsplit("/", 1)[-1]
    try:
        updater = Updater(
            metadata_dir=str(home / "metadata"),
            metadata_base_url=f"{url}/metadata/",
            target_dir=str(home),
            target_base_url=f"{url}/targets/",
            bootstrap=root,
        )
        info = updater.get_targetinfo(path)
        if info is None:
            return Outcome(why=f"nobody lists {path}")
        updater.download_target(info, str(file))
    except REFUSALS as error:
        return Outcome(why=f"{type(error).__name__}: {error}")
    return Outcome(file)


@pytest.fixture(scope="session")
def tuf_js(repository: Path) -> Client:
    """tuf-js under Node.js: a client by other people, in another language."""
    folder = repository / "tests" / "clients" / "tuf_js"
    node = shutil.which("node") or shutil.which("nodejs")
    if node is None:
        pytest.skip("node is not installed: apt-get install nodejs npm")
    if not (folder / "node_modules" / "tuf-js").is_dir():
        pytest.skip("tuf-js is not installed: make test installs it with npm")

    def walk(home: Path, url: str, root: bytes | None, path: str) -> Outcome:
        (home / "metadata").mkdir(parents=True, exist_ok=True)
        (home / "targets").mkdir(exist_ok=True)
        if root is not None:
            (home / "metadata" / "root.json").write_bytes(root)
        said = subprocess.run(
            [node, str(folder / "walk.cjs"), str(home), f"{url}/metadata/", f"{url}/targets/", path],
            capture_output=True,
            check=True,
            timeout=60,
        )
        found = json.loads(said.stdout)
        if not found["ok"]:
            return Outcome(why=found["why"])
        return Outcome(Path(shutil.copy(found["files"][0], home / path.rsplit("/", 1)[-1])))

    return walk


@pytest.fixture(params=["python-tuf", "tuf-js"])
def any_client(request: pytest.FixtureRequest) -> Client:
    """Each client in turn."""
    if request.param == "python-tuf":
        return ngclient
    found: Client = request.getfixturevalue("tuf_js")
    return found
