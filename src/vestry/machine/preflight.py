"""Is this machine fit for a ceremony? Each check says what was seen, in one line, and what that means.

What is seen here is what the kernel says; it proves nothing about a machine whose kernel lies. docs/preflight.md has a
word on each check.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vestry.machine import integrity, isolation, network, storage, system
from vestry.machine.check import Check
from vestry.machine.integrity import Module
from vestry.machine.isolation import Confinement
from vestry.text import printable

CHECKS = (
    "network",
    "isolation",
    "radios",
    "bluetooth",
    "usb",
    "clock",
    "swap",
    "core",
    "tracer",
    "entropy",
    "software",
    "modules",
    "folder",
    "space",
    "user",
    "terminal",
)
"""Names of all checks: scripts require them by these, and transcripts keep them. A name stays what it is."""


@dataclass(frozen=True)
class Plan:
    """What is to happen on this machine: the folder it is written to, sentences in which the documents contradict the
    clock, and the modules that will be loaded."""

    folder: Path
    doubts: tuple[str, ...] = ()
    modules: tuple[Module, ...] = ()


def take(plan: Plan, confined: Confinement | None = None) -> Mapping[str, Check]:
    """Every check of `CHECKS`. `confined` is how far this process was cut off; None where a ceremony is yet to be
    started, by another."""
    looks: Mapping[str, Callable[[], Check]] = {
        "network": lambda: look_at_network(confined),
        "isolation": isolation.isolable if confined is None else lambda: isolation.isolation(confined),
        "radios": network.radios,
        "bluetooth": network.bluetooth,
        "usb": lambda: storage.usb((storage.existing(plan.folder), *storage.program_places())),
        "clock": lambda: system.clock(datetime.now(UTC), plan.doubts),
        "swap": system.swap,
        "core": system.core,
        "tracer": system.tracer,
        "entropy": system.entropy,
        "software": integrity.software,
        "modules": lambda: integrity.modules(plan.modules),
        "folder": lambda: storage.folder(plan.folder),
        "space": lambda: storage.space(plan.folder),
        "user": lambda: system.user(os.geteuid()),
        "terminal": system.this_terminal,
    }
    return {name: guarded(looks[name]) for name in CHECKS}


def look_at_network(confined: Confinement | None = None) -> Check:
    """The machine's network, as it is outside of this process where that was cut off."""
    if confined is not None and confined.outside is not None:
        return network.network(confined.outside.look())
    links = network.Links()
    try:
        return network.network(links.look())
    finally:
        links.close()


def guarded(look: Callable[[], Check]) -> Check:
    """A check that can't look must not pass."""
    try:
        return look()
    except (OSError, ValueError, IndexError) as error:
        return Check("cannot tell", f"this system does not tell: {printable(str(error), 100)}")
