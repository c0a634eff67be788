"""Proof before a signature: what a client would refuse stops the ceremony before a token is touched."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from people import People

from vestry.ceremony import conductor, proof, rehearsal
from vestry.ceremony.state import State
from vestry.errors import Refused
from vestry.metadata import document

AT = "2030-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def drafted(tmp_path_factory: pytest.TempPathFactory) -> State:
    folder = tmp_path_factory.mktemp("r") / "r"
    script, inputs = rehearsal.prepare(folder, holders=3, threshold=2)
    return conductor.conduct(script, inputs, folder, People())


def spoilt(state: State, role: str, spoil: Any) -> State:
    signed = copy.deepcopy(dict(state.documents[role].signed))
    spoil(signed)
    bad = document.read(document.to_file(signed), where="test")
    return replace(state, documents={**state.documents, role: bad})


def test_good_drafts_pass_whatever_the_clock_on_the_wall_says(drafted: State) -> None:
    """A replay years later walks the same drafts at the time of the ceremony; this watches the client's clock."""
    proof.prove(drafted, at=drafted.at)
    with pytest.raises(Refused, match="xpired"):
        proof.prove(drafted, at=AT)


@pytest.mark.parametrize(
    ("role", "spoil"),
    [
        ("root", lambda s: s["roles"]["root"].update(threshold=4)),
        ("root", lambda s: s["roles"]["snapshot"].update(keyids=s["roles"]["root"]["keyids"][:1], threshold=2)),
        ("root", lambda s: s.update(expires="2020-01-01T00:00:00Z")),
        ("targets", lambda s: s.update(expires="2020-01-01T00:00:00Z")),
        ("targets", lambda s: s["delegations"]["roles"][0].update(path_hash_prefixes=["00"])),
        ("targets", lambda s: s["delegations"]["roles"][0].update(name="bans")),
        ("bins", lambda s: s["delegations"]["succinct_roles"].update(threshold=2)),
        ("bins", lambda s: s.update(expires="2020-01-01T00:00:00Z")),
    ],
)
def test_what_a_client_refuses_is_refused_here(drafted: State, role: str, spoil: Any) -> None:
    """Each of these would lock out every client if it were signed."""
    with pytest.raises(Refused) as caught:
        proof.prove(spoilt(drafted, role, spoil), at=drafted.at)
    assert caught.value.code == "E-PROOF"


def test_no_network_is_touched(drafted: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk happens on an offline machine."""
    import socket

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    proof.prove(drafted, at=drafted.at)


def test_throwaway_keys_leave_nothing(drafted: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was signed with throwaway keys must not lie around looking like metadata."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", None)
    proof.prove(drafted, at=drafted.at)
    assert list(tmp_path.iterdir()) == []
