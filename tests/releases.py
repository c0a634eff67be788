"""Wheels and source distributions as build tools make them, and spoilt in one thing."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

Files = dict[str, bytes]


def record(files: Mapping[str, bytes], info: str) -> bytes:
    """The RECORD of these files."""
    rows = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
        for name, data in files.items()
    ]
    return "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()


def wheel_files(
    project: str, version: str, *, metadata_name: str = "", metadata_version: str = ""
) -> tuple[Files, str]:
    """What a pure wheel holds but RECORD, and the name of its folder of metadata."""
    stem = project.replace("-", "_")
    info = f"{stem}-{version}.dist-info"
    head = f"Metadata-Version: 2.1\nName: {metadata_name or project}\nVersion: {metadata_version or version}\n\nText\n"
    tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    return {
        f"{stem}/__init__.py": f"__version__ = '{version}'\n".encode(),
        f"{info}/METADATA": head.encode(),
        f"{info}/WHEEL": tags.encode(),
    }, info


def wheel(
    folder: Path,
    project: str,
    version: str,
    *,
    name: str = "",
    metadata_name: str = "",
    metadata_version: str = "",
    change: Callable[[Files, str], None] | None = None,
) -> Path:
    """A wheel. `change` may alter its files once RECORD is made."""
    files, info = wheel_files(project, version, metadata_name=metadata_name, metadata_version=metadata_version)
    files[f"{info}/RECORD"] = record(files, info)
    if change is not None:
        change(files, info)
    path = folder / (name or f"{project.replace('-', '_')}-{version}-py3-none-any.whl")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inner, data in files.items():
            archive.writestr(inner, data)
    return path


def sdist(
    folder: Path,
    project: str,
    version: str,
    *,
    name: str = "",
    top: str = "",
    metadata_version: str = "",
    more: tuple[tarfile.TarInfo, ...] = (),
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """A source distribution, with members that have no content after its files."""
    top = top or f"{project}-{version}"
    inside = {
        f"{top}/PKG-INFO": f"Metadata-Version: 2.1\nName: {project}\nVersion: {metadata_version or version}\n".encode(),
        f"{top}/setup.py": b"\n",
        **(files or {}),
    }
    path = folder / (name or f"{project}-{version}.tar.gz")
    with tarfile.open(path, "w:gz") as archive:
        for inner, data in inside.items():
            member = tarfile.TarInfo(inner)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for member in more:
            archive.addfile(member)
    return path
