"""The protocol: a paper that a witness can follow, made from the script alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from paper import HOSTILE, LONG, Reader, assert_harmless, hold, rotation
from people import People

from vestry.ceremony import conductor, reading, rehearsal
from vestry.ceremony import script as s
from vestry.ceremony.script import Script
from vestry.record.prompts import foretell
from vestry.record.protocol import protocol
from vestry.text import group_hex, printable, words

Make = Callable[..., tuple[Script, dict[str, bytes]]]


def vestry(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vestry", *args], capture_output=True, text=True, check=False, cwd=cwd, env=os.environ
    )


def test_all_of_the_script_is_there(pypi_root: Make) -> None:
    """What the paper leaves out, nobody ticks off."""
    script, inputs = pypi_root()
    reader = assert_harmless(protocol(script, inputs))
    said = reader.said
    assert all(group in said for line in group_hex(script.sha256) for group in line.split())
    assert all(f"{n} {word}" in said for n, word in enumerate(words(script.sha256), 1))
    for number, step in enumerate(script.steps, 1):
        assert f"Step {number} of {len(script.steps)}: {step.title}" in said
        assert f"{number}.1" in said
        if isinstance(step, s.SayStep):
            assert step.text in said
            assert all(label in said for label in step.record)
    for person in script.people:
        assert f"{person.name}{person.office}" in said
    for key in script.keys:
        assert f"Make key '{key.name}' for {', '.join(key.roles)} ({key.scheme})" in said
    for token in script.tokens:
        assert f"Insert {token.holder}'s token '{token.name}'. It is erased" in said
    assert "root3 of 5" in said
    assert "At least 3 of the 5 keys of root v1." in said
    for key in script.keys:
        if set(key.roles) & {"targets", "bins"}:
            assert f"See that {key.holder} destroys key '{key.name}'" in said
    assert "REHEARSAL" not in said


def test_the_line_is_drawn_before_the_first_signature(pypi_root: Make) -> None:
    """Whoever follows on paper must know from where on nothing can be repeated."""
    script, inputs = pypi_root()
    said = Reader(protocol(script, inputs)).said
    line = said.index("Up to here everything can be repeated.")
    assert said.index("Step 5 of 11: Review") < line < said.index("Step 6 of 11: Sign")
    assert said.count("Up to here") == 1


def test_a_rotation_says_what_the_old_root_asks_for(tmp_path: Path) -> None:
    """A new root needs the old threshold too, with keys that the script names by their ids."""
    script, inputs = rotation(tmp_path)
    said = Reader(protocol(script, inputs)).said
    assert "The new root also needs 2 of the 3 keys of root v1." in said
    assert "At least 2 of the 3 keys of root v1." in said
    assert "At least 2 of the 2 keys of root v2." in said
    assert "; leaves with this ceremony" in said
    leaving = next(k for k in script.keys if k.leaves)
    assert " ".join(leaving.keyid[i : i + 4] for i in range(0, len(leaving.keyid), 4)) in said


@pytest.mark.parametrize(("holders", "threshold"), [(2, 2), (3, 2), (5, 3)])
def test_the_number_of_questions_is_the_true_one(tmp_path: Path, holders: int, threshold: int) -> None:
    """A number that is off would have people believe that something is amiss."""
    script, inputs = rehearsal.prepare(tmp_path / "r", holders=holders, threshold=threshold)
    foretold = foretell(script, inputs)
    assert foretold is not None
    people = People()
    conductor.conduct(script, inputs, tmp_path / "r", people)
    assert foretold.total == people.count
    said = Reader(protocol(script, inputs)).said
    assert f"Vestry asks {people.count} times if nothing goes amiss" in said


def test_the_number_of_questions_of_a_rotation(tmp_path: Path) -> None:
    """Old keys and new keys count differently: tokens not erased have their serials read when they sign."""
    script, inputs = rotation(tmp_path)
    foretold = foretell(script, inputs)
    assert foretold is not None
    people = People(pins={n: f"pin-of-{n}" for n in ("Alice", "Bob", "Carol")})
    state = conductor.conduct(script, inputs, tmp_path / "n", people, tokens=tmp_path / "r" / "tokens")
    asked = sum(len(q.review.to_answer) for q in people.asked if q.name == "review")
    assert foretold.total == people.count - asked
    assert [t.holder for t in foretold.turns[4]] == list(
        dict.fromkeys(q.person for q in people.asked if q.name == "words")
    )
    assert set(state.outputs) == {"2.root.json"}


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    """A name in a script must not run in the browser that prints it, nor push the boxes off the paper."""
    folder = hold(tmp_path / "r", trouble=True)
    script, inputs = reading.load(folder / rehearsal.SCRIPT)
    page = protocol(script, inputs)
    said = assert_harmless(page).said
    assert f"Protocol: {printable(HOSTILE)}" in said
    assert f"See that {LONG} (witness) is here." in said
    assert said.count("REHEARSAL: practice only") == 1
    # Head and foot of a table are what browsers repeat on each page.
    assert "REHEARSAL" in page.partition("<thead>")[2].partition("</thead>")[0]


def test_the_same_script_gives_the_same_bytes(pypi_root: Make) -> None:
    """Two people who print it must be able to compare; stand-ins for keys are made anew each time and must not show."""
    script, inputs = pypi_root()
    assert protocol(script, inputs) == protocol(script, inputs)


def test_a_script_that_makes_no_documents_still_prints(pypi_root: Make) -> None:
    """`vestry check` tells what is wrong; the paper only says that it can't foretell."""
    script, inputs = pypi_root()
    said = Reader(protocol(script, dict.fromkeys(inputs, b"no key"))).said
    assert "cannot be told from this script" in said
    assert "Step 6 of 11: Sign" in said


def test_the_verb_writes_once(tmp_path: Path, repository: Path) -> None:
    """A paper that people have signed must not be replaced by another under the same name."""
    script = str(repository / "ceremony-scripts" / "pypi-root.toml")
    ran = vestry("print", script, "-o", "p.html", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, "")
    page = (tmp_path / "p.html").read_text()
    assert_harmless(page)
    assert vestry("print", script, "-o", "-", cwd=tmp_path).stdout == page
    assert vestry("print", script, "-o", "p.html", cwd=tmp_path).returncode == 0
    (tmp_path / "p.html").write_text("signed by Walter")
    refused = vestry("print", script, "-o", "p.html", cwd=tmp_path)
    assert refused.returncode == 1
    assert "E-OUTPUT-EXISTS" in refused.stderr
    assert (tmp_path / "p.html").read_text() == "signed by Walter"
    ran = vestry("print", script, "-o", "p.html", "--overwrite", "--json", cwd=tmp_path)
    assert ran.returncode == 0
    assert '"file": "p.html"' in ran.stdout
    assert (tmp_path / "p.html").read_text() == page
    assert vestry("print", script, "-o", "-", "--json", cwd=tmp_path).returncode == 2
    assert vestry("print", "nothing.toml", cwd=tmp_path).returncode == 2
    assert [p.name for p in tmp_path.iterdir()] == ["p.html"]
