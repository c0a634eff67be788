"""Holders with software tokens, and a bundle or payload for them to sign."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from holders import Holder, holder

from vestry.cli.main import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """A verb as typed: status, stdout, stderr."""

    def typed(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([str(a) for a in arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    return typed


@pytest.fixture
def team() -> list[Holder]:
    return [holder(name) for name in ("Alice", "Bob", "Carol")]


def sign(bundle: Path, who: Sequence[Holder]) -> None:
    """What tokens would do: put a signature of each into a bundle, under the key id that its documents use."""
    from vestry.media.bundle import add_signature, open_bundle
    from vestry.metadata.document import Signature

    opened = open_bundle(bundle)
    keys = {k.fingerprint: k.keyid for a in opened.authorities() for k in a.keys}
    for one in who:
        sig = one.sign(opened.document).sig
        opened = add_signature(opened, Signature(keys[one.key.fingerprint], sig))


def shape(value: Any) -> Any:
    """The members of a JSON value, their order and their types, with what they hold left out."""
    if isinstance(value, dict):
        if value and all(len(k) == 64 for k in value):  # key ids
            return sorted((shape(v) for v in value.values()), key=str)
        return {k: shape(v) for k, v in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def load(path: Path) -> Any:
    return json.loads(path.read_bytes())
