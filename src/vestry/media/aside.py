"""Signatures that did not count: kept as they came, beside the bundle, with the reason. One by a key that nobody names
today may be evidence tomorrow, and what was dropped can't be asked about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vestry.media import drives, names, signatures
from vestry.metadata.document import Signature
from vestry.text import printable


@dataclass(frozen=True)
class SetAside:
    """A signature, where it came from, and why it does not count."""

    signature: Signature
    where: str
    why: str

    @property
    def keyid(self) -> str:
        """The key that it says it is by."""
        return self.signature.keyid


def beside(bundle: Path) -> Path:
    """The folder where the signatures that a bundle did not take are kept."""
    return bundle.with_name(f"{bundle.resolve().name}-set-aside")


def keep(found: Iterable[SetAside], folder: Path) -> None:
    """Keep them in `folder`, files that `vestry collect` reads, and the reasons in a text file of its name beside it.
    Doing it again changes nothing.

    Raises:
        MediumTrouble: it can't be written.
    """
    reasons = folder.with_name(f"{folder.name}.txt")
    lines = reasons.read_text("ascii", "replace").splitlines() if reasons.is_file() else []
    for one in found:
        content = signatures.encode(one.signature)
        # Other systems' files may say any key id, a path upward among them.
        name, number = f"{names.safe_part(one.keyid)}.json", 1
        place = folder / name
        while place.exists() and place.read_bytes() != content:
            number += 1
            place = folder / str(number) / name
        drives.write_file(place, content)
        line = f"{place.relative_to(folder)}  {one.why}  ({printable(one.where, 200)})"
        if line not in lines:
            lines.append(line)
    if lines:
        drives.write_file(reasons, ("\n".join(lines) + "\n").encode("ascii", "replace"))
