"""Very many bins, verified by all cores: what is told is what reading them one by one tells."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from holders import EXPIRES, Holder, first_root, holder, signed

from vestry.metadata import document

ONLINE, MALLORY = holder("online"), holder("mallory")
BINS = [f"bin-{n:x}" for n in range(16)]

# Both ways in one process that has no other thread; three cores, wherever the test runs.
_BOTH = """
import contextlib, io, json, os, signal, sys
from vestry.cli import verify_many
from vestry.cli.main import main
os.sched_getaffinity = lambda _: {0, 1, 2}
tell, used = verify_many.tell, []
def watched(*arguments, **named):
    found = tell(*arguments, **named)
    used.append(found is not None)
    return found
verify_many.tell = watched
if sys.argv[1] == "killed":
    verify_many._answer = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
def said(folder, *form):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(["verify", *form, folder])
    return [status, out.getvalue(), err.getvalue()]
found = []
for folder in sys.argv[2:]:
    for many in (8, 1 << 30):
        verify_many.MANY = many
        found.append([said(folder), said(folder, "--json")])
print(json.dumps([found, used]))
"""


def write(folder: Path, name: str, fields: dict[str, Any], by: Holder = ONLINE) -> None:
    """A signed document of what `fields` says beside the common ones."""
    common = {"spec_version": "1.0.34", "version": 1, "expires": f"{EXPIRES:%Y-%m-%dT%H:%M:%SZ}"}
    raw = json.dumps({"signed": common | fields, "signatures": []}).encode()
    (folder / name).write_bytes(signed(document.read(raw, where=name), [by]).raw)


def write_bin(folder: Path, name: str, by: Holder = ONLINE, **fields: Any) -> None:
    """A bin of one file."""
    file = {"length": 1, "hashes": {"sha256": "00" * 32}}
    write(folder, name, {"_type": "targets", "targets": {f"{name}.whl": file}} | fields, by)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository of 16 bins below `bins`, which is below targets."""
    key = ONLINE.key
    keys = {key.keyid: key.to_dict()}
    role = {"name": "bins", "keyids": [key.keyid], "threshold": 1, "terminating": False, "paths": ["*"]}
    succinct = {"bit_length": 4, "name_prefix": "bin", "keyids": [key.keyid], "threshold": 1}
    people = [holder(n) for n in ("ada", "bob", "cleo")]
    (tmp_path / "1.root.json").write_bytes(signed(first_root([*people, ONLINE], 1, ONLINE), people).raw)
    top = {"_type": "targets", "targets": {}}
    write(tmp_path, "1.targets.json", top | {"delegations": {"keys": keys, "roles": [role]}})
    write(tmp_path, "1.bins.json", top | {"delegations": {"keys": keys, "succinct_roles": succinct}})
    meta = {f"{name}.json": {"version": 1} for name in ("targets", "bins", *BINS)}
    write(tmp_path, "1.snapshot.json", {"_type": "snapshot", "meta": meta})
    write(tmp_path, "timestamp.json", {"_type": "timestamp", "meta": {"snapshot.json": {"version": 1}}})
    for name in BINS:
        write_bin(tmp_path, f"1.{name}.json")
    return tmp_path


def both(*folders: Path, shared: bool, how: str = "") -> list[list[Any]]:
    """What is told of each folder, in lines and as JSON; both ways tell the same."""
    command = [sys.executable, "-c", _BOTH, how, *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found, used = json.loads(done.stdout)
    assert found[::2] == found[1::2]
    assert done.stderr == ""
    assert used == [shared, shared, False, False] * len(folders)
    return found[::2]


def spoil(folder: Path) -> None:
    """What can be wrong with a bin and still be read."""
    write_bin(folder, "1.bin-1.json", MALLORY)
    write_bin(folder, "1.bin-2.json", expires=f"{datetime.now() - timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}")  # noqa: DTZ005
    write_bin(folder, "2.bin-3.json", version=2)
    write_bin(folder, "7.bin-4.json")
    write_bin(folder, "1.bin-5.json", targets={"../up": {"length": 1, "hashes": {"sha256": "00" * 32}}})
    (folder / "3.bin-6.json").write_bytes((folder / "1.bin-6.json").read_bytes())
    (folder / "1.bin-7.json").unlink()


def test_bins_shared_out_are_told_as_one_by_one(folder: Path) -> None:
    """Without it a core could leave bins out, or verify them under the wrong keys."""
    spoilt = shutil.copytree(folder, folder / "spoilt")
    spoil(spoilt)
    good, bad = both(folder, spoilt, shared=True)
    assert [status for status, _, _ in good] == [0, 0]
    assert good[0][1].endswith("holds\n")
    assert len(json.loads(good[1][1])["documents"]) == 5 + 16
    assert [status for status, _, _ in bad] == [1, 1]
    roles = [d["role"] for d in json.loads(bad[1][1])["documents"] if not d["ok"]]
    assert sorted(roles) == ["bin-1", "bin-2", "bin-3", "bin-5", "snapshot"]
    assert "it lists a document that is not here: bin-7" in bad[0][1]


def test_a_core_that_dies_leaves_its_share(folder: Path) -> None:
    """A machine short of memory ends processes; the bins of one that was ended must not count as seen."""
    spoil(folder)
    ((lines, _),) = both(folder, shared=True, how="killed")
    assert lines[0] == 1


def test_what_cannot_be_shared_out_says_the_same(folder: Path) -> None:
    """A person must read which file it is, whichever core met it; and delegations spelled with an escape must be
    followed."""
    cases = [
        (_cut_short, 2, "1.bin-9.json"),
        (_link, 2, "1.bin-a.json"),
        (lambda f: write_bin(f, "1.lost.json"), 1, "no document here delegates to lost"),
        (lambda f: (f / "1.root.json").unlink(), 2, "there is no root here"),
        (lambda f: (f / "1.bins.json").unlink(), 1, "no document here delegates to bin-0"),
        (_disguised, 1, "deep v1"),
    ]
    folders = [shutil.copytree(folder, folder / f"case-{n}", ignore=_ignore_cases) for n in range(len(cases))]
    for (change, _, _), one in zip(cases, folders, strict=True):
        change(one)
    for (lines, _), (_, status, says) in zip(both(*folders, shared=False), cases, strict=True):
        assert lines[0] == status
        assert says in lines[1] + lines[2]


def _ignore_cases(_: Any, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith("case-")]


def _cut_short(folder: Path) -> None:
    (folder / "1.bin-9.json").write_bytes(b"{")


def _link(folder: Path) -> None:
    (folder / "1.bin-a.json").unlink()
    (folder / "1.bin-a.json").symlink_to("1.bin-9.json")


def _disguised(folder: Path) -> None:
    key = ONLINE.key
    role = {"name": "deep", "keyids": [key.keyid], "threshold": 1, "terminating": False, "paths": ["*"]}
    write_bin(folder, "1.bin-9.json", delegations={"keys": {key.keyid: key.to_dict()}, "roles": [role]})
    plain = (folder / "1.bin-9.json").read_bytes()
    assert b'"delegations"' in plain
    (folder / "1.bin-9.json").write_bytes(plain.replace(b'"delegations"', b'"\\u0064elegations"'))
    write_bin(folder, "1.deep.json")
