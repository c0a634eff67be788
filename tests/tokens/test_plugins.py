"""Token types of third parties, with a sample plug-in that is installed like any other distribution."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from devices import P256, PIN, SO_PIN, refused, verify

from vestry.ceremony import conductor, replay, transcript
from vestry.ceremony import events as e
from vestry.cli.main import main
from vestry.tokens import plugins
from vestry.tokens.inventory import open_named
from vestry.tokens.token import Pin

SAMPLE = '''
from pathlib import Path
from vestry.tokens.software import SoftwareSource

FOLDER = Path(__file__).parent / "tokens"

def source():
    """A plug-in keeps its tokens where it likes; this one borrows the software tokens."""
    return SoftwareSource(FOLDER)

class Broken:
    def tokens(self):
        raise RuntimeError("pin 123456 leaked")
    def cancel(self): ...
    def close(self): ...

def broken():
    return Broken()

def absent():
    raise OSError("no such device")
'''


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The plug-in, on the path as pip would have put it."""
    site = tmp_path / "site"
    info = site / "vestry_sample-1.2.dist-info"
    info.mkdir(parents=True)
    (site / "vestry_sample.py").write_text(SAMPLE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vestry-sample\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        "[vestry.tokens]\nsample = vestry_sample:source\nbroken = vestry_sample:broken\nabsent = vestry_sample:absent\n"
    )
    (info / "RECORD").write_text("vestry_sample.py,,\nvestry_sample-1.2.dist-info/METADATA,,\n")
    monkeypatch.syspath_prepend(str(site))
    yield site
    sys.modules.pop("vestry_sample", None)
    importlib.invalidate_caches()


def test_a_plug_in_is_a_token_source_like_any_other(sample: Path) -> None:
    """Named, loaded, and told in what it lists: which distribution, which digest."""
    from vestry.tokens.software import SoftwareSource

    SoftwareSource(sample / "tokens").create("0000000001")
    assert plugins.names() == ("absent", "broken", "sample")
    source = open_named("sample")
    (blank,) = source.tokens()
    token = blank.initialise("mine", Pin(SO_PIN), Pin(PIN))
    assert token.info.module == "plug-in sample 1.2"
    assert len(token.info.module_sha256) == 64
    with token.unlock(Pin(PIN)) as unlocked:
        key = unlocked.generate(P256, "k")
        verify(key, unlocked.sign(key, b"message"), b"message")
        assert [o.label for o in unlocked.objects()] == ["k"]
        unlocked.destroy(key)
    source.close()


def test_the_digest_changes_with_the_code(sample: Path) -> None:
    """A transcript that names the same digest for other code tells an auditor nothing."""
    from vestry.tokens.software import SoftwareSource

    SoftwareSource(sample / "tokens").create("0000000001")
    before = open_named("sample").tokens()[0].info.module_sha256
    (sample / "vestry_sample.py").write_text(SAMPLE + "# changed\n")
    assert open_named("sample").tokens()[0].info.module_sha256 != before


def test_no_plug_in_is_loaded_unless_it_is_named(sample: Path, softhsm: Path) -> None:
    """Whatever lies in site-packages must not run just because someone lists tokens."""
    assert main(["tokens"]) in (0, 3)
    assert "vestry_sample" not in sys.modules


def test_what_a_plug_in_raises_is_one_line(sample: Path) -> None:
    """A stranger's exception may hold anything, even a PIN; only its kind is told."""
    with refused("E-MODULE-CRASHED") as caught:
        open_named("broken").tokens()
    assert "123456" not in str(caught.value)
    with refused("E-MODULE-LOAD"):
        open_named("absent")
    with refused("E-MODULE-LOAD"):
        plugins.open_plugin("nobody")


def test_a_ceremony_on_a_plug_in(sample: Path, tmp_path: Path) -> None:
    """use = "plugin" in a script, from blank tokens to the replay."""
    from people import People

    from vestry.ceremony import reading, rehearsal

    script, inputs = rehearsal.prepare(tmp_path / "r", holders=2, threshold=2)
    text = script.text.replace('use = "software"', 'use = "plugin"\nmodule = "sample"')
    (tmp_path / "r" / "tokens").rename(sample / "tokens")
    changed = reading.read(text.encode(), where="s.toml")
    conductor.conduct(changed, inputs, tmp_path / "c", People())
    records = transcript.read(tmp_path / "c" / "transcript.jsonl")
    erased = [r.event for r in records if isinstance(r.event, e.InitialiseIntended)]
    assert {x.module for x in erased} == {"plug-in sample 1.2"}
    assert {v.verdict for v in replay.replay(records)} <= {"recomputed", "witnessed"}


def test_a_plug_in_takes_no_name_of_a_known_module(sample: Path, softhsm: Path) -> None:
    """A script that names a real module must not be answered by whatever was installed beside it."""
    points = sample / "vestry_sample-1.2.dist-info" / "entry_points.txt"
    points.write_text(points.read_text() + "softhsm2 = vestry_sample:broken\n")
    importlib.invalidate_caches()
    assert "softhsm2" in plugins.names()
    source = open_named("softhsm2")
    assert [t.info.manufacturer for t in source.tokens()] == ["SoftHSM project"]
    source.close()
