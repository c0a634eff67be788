"""Years of a repository, as other people's clients see them, and `vestry verify --as-client` beside them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clients.conftest import Client
from clients.years import WHEEL, Years, wheel
from people import People

from vestry.cli.main import main


@pytest.fixture(scope="module")
def created(tmp_path_factory: pytest.TempPathFactory) -> Years:
    """The first ceremony, once for all tests here."""
    folder = tmp_path_factory.mktemp("created")
    made = Years(folder / "ceremonies", folder / "www", People())
    for part in (made.home, made.www / "metadata", made.www / "targets"):
        part.mkdir(parents=True)
    made.create()
    made.publish()
    return made


@pytest.fixture
def years(tmp_path: Path, served: tuple[Path, str], created: Years) -> Years:
    shutil.copytree(created.home, tmp_path / "ceremonies")
    shutil.copytree(created.www, served[0], dirs_exist_ok=True)
    copied = {"holders": dict(created.holders), "serials": dict(created.serials)}
    people = People(pins=dict(created.people.pins))
    return replace(created, home=tmp_path / "ceremonies", www=served[0], people=people, **copied)


def verdict(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    status = main(["verify", "--as-client", "--json", *arguments])
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    return status, said


def test_both_clients_follow_the_years_and_pip_installs_what_they_verified(
    tmp_path: Path,
    served: tuple[Path, str],
    years: Years,
    any_client: Client,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without it a root could come out of Vestry that only Vestry, or only one client, follows."""
    url, first = served[1], years.root.read_bytes()
    early, late = tmp_path / "early", tmp_path / "late"
    assert any_client(early, url, first, WHEEL).why == ""
    for leaves, joins, threshold in (("Erin", "Frank", 3), ("Dave", "Grace", 2), ("Alice", "Heidi", 4)):
        years.rotate(leaves, joins, threshold)
    years.publish()
    assert years.version == 4
    assert any_client(early, url, None, WHEEL).why == ""
    stolen = years.home / "first" / "online.private.pem"
    years.publish(private=years.recover())
    assert years.version == 5
    # One that was there all the time, and one that wakes up with the first root.
    for home, root in ((early, None), (late, first)):
        outcome = any_client(home, url, root, WHEEL)
        assert outcome.why == ""
        assert outcome.file is not None
        assert outcome.file.read_bytes() == wheel()
        kept = json.loads((home / "metadata" / "root.json").read_bytes())
        assert kept["signed"]["version"] == 5
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(site)]
    subprocess.run([*pip, str(outcome.file)], check=True, capture_output=True)
    said = subprocess.run(
        [sys.executable, "-c", "import sampleproject; print(sampleproject.SAYS)"],
        env={"PYTHONPATH": str(site)},
        capture_output=True,
        check=True,
        text=True,
    )
    assert said.stdout == "from a verified wheel\n"
    trusted = tmp_path / "trusted.json"
    trusted.write_bytes(first)
    status, walk = verdict(capsys, str(served[0]), "--trusted", str(trusted))
    assert status == 0
    assert walk["roots"] == [1, 2, 3, 4, 5]
    assert walk["roles"]["bins"] == 2
    assert walk["targets"] == [{"path": WHEEL, "ok": True, "why": "", "file": True}]
    # Whoever has the old online key can't go on with it.
    years.publish(private=stolen)
    assert any_client(early, url, None, WHEEL).why
    assert verdict(capsys, str(served[0]), "--trusted", str(trusted))[0] == 1


def spoil(years: Years, how: str) -> None:
    if how == "a target changed after signing":
        years.file().write_bytes(wheel().replace(b"verified", b"replaced"))
    elif how == "an expired role":
        years.publish(days=-1)
    elif how == "a threshold that is missing in root":
        years.rotate("Erin", "Frank", 3)
        years.change_signatures("2.root.json", 2)
    else:
        assert how == "a threshold that is missing in bins"
        years.change_signatures("1.bins.json", 1)


@pytest.mark.parametrize(
    "how",
    [
        "a target changed after signing",
        "an expired role",
        "a threshold that is missing in root",
        "a threshold that is missing in bins",
    ],
)
def test_what_is_wrong_is_refused_by_everyone(
    tmp_path: Path,
    served: tuple[Path, str],
    years: Years,
    any_client: Client,
    how: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without it Vestry could say that something holds which clients refuse, or the other way round."""
    first = years.root.read_bytes()
    assert any_client(tmp_path / "before", served[1], first, WHEEL).why == ""
    assert verdict(capsys, str(served[0]))[0] == 0
    spoil(years, how)
    assert any_client(tmp_path / "after", served[1], first, WHEEL).why
    status, walk = verdict(capsys, str(served[0]))
    assert status == 1
    assert walk["refused"] or [t["why"] for t in walk["targets"]] != [""]
    if "target" not in how:
        # Who signed what, and until when, is found without a client, too.
        assert main(["verify", str(served[0])]) == 1
