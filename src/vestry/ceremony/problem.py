"""What is wrong with a script as a whole, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from vestry.ceremony import toml_lines
from vestry.ceremony.script import KeySpec, Script

Severity = Literal["stop", "warn", "note"]


@dataclass(frozen=True)
class Problem:
    """Something to mend (``stop``), to think about (``warn``) or to know (``note``). `line` counts from 1; `text` is
    one printable line. docs/errors.md lists the codes."""

    severity: Severity
    code: str
    line: int
    text: str

    def to_dict(self) -> dict[str, str | int]:
        """The same as a JSON object."""
        return {"severity": self.severity, "code": self.code, "line": self.line, "text": self.text}


@dataclass(frozen=True)
class Case:
    """A script to look at, with the bytes of its inputs by name."""

    script: Script
    inputs: Mapping[str, bytes]

    @cached_property
    def _lines(self) -> Mapping[toml_lines.Path, int]:
        return toml_lines.lines(self.script.text.replace("\r\n", "\n"))

    def line(self, *path: str | int) -> int:
        """Where that stands in the script, or what is around it."""
        return toml_lines.line_of(self._lines, path)

    @property
    def numbered_keys(self) -> Iterator[tuple[int, KeySpec]]:
        """The keys with their places in the script."""
        return iter(enumerate(self.script.keys))

    @property
    def drafted(self) -> tuple[str, ...]:
        """The roles whose documents the ceremony makes, from the delegating to the delegated."""
        return self.script.drafted

    def threshold(self, role: str) -> int:
        """The threshold that the script sets for `role`; 0 where it sets none."""
        script = self.script
        spec = {"root": script.root, "targets": script.targets, "bins": script.bins}.get(role, script.given)
        return spec.threshold if spec is not None else 0


def listed(names: list[str] | tuple[str, ...]) -> str:
    """Names as one writes them in a sentence."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
