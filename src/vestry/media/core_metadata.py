"""Core metadata of a distribution, as far as it says whose it is: name and version (core metadata specification)."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from vestry.media.release_archives import Hit


def compare(one: str, other: str) -> str:
    """How two versions differ; empty where they are the same release (PEP 440)."""
    try:
        # In names of folders and files a hyphen, which PEP 440 reads as the sign of a post-release, is an underscore.
        return "" if Version(one.replace("_", "-")) == Version(other.replace("_", "-")) else f"{one} is not {other}"
    except InvalidVersion:
        return f"{one} is no version"


def headers(raw: bytes | None, place: str, project: str, version: str) -> Iterator[Hit]:
    """Hold ``METADATA`` or ``PKG-INFO`` against what the file is called."""
    if raw is None:
        yield Hit("DIST-METADATA", place, "is missing")
        return
    found = message_from_bytes(raw)
    for field in ("Name", "Version"):
        values = [str(v).strip() for v in found.get_all(field, [])]
        if len(values) != 1:
            yield Hit("DIST-METADATA", place, f"has {len(values)} fields {field}, where it must have one")
        elif field == "Name" and canonicalize_name(values[0]) != project:
            yield Hit("DIST-METADATA", place, f"names the project {values[0][:80]}, and the file's name {project}")
        elif field == "Version" and (differ := compare(values[0], version)):
            yield Hit("DIST-METADATA", place, f"has another version than the file's name: {differ[:80]}")
