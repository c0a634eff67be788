"""The kit's bill of materials, in CycloneDX 1.6 (ECMA-424): every wheel, its hash, its licence and what it needs."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from zipfile import ZipFile

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, License, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename


@dataclass(frozen=True)
class Wheel:
    """A wheel's file name, normalised name, version, SHA-256 in hex, and metadata."""

    file: str
    name: str
    version: str
    sha256: str
    metadata: Message


def make(wheels: Sequence[Path], own: Path, *, commit: str, time: int) -> str:
    """The bill as JSON text; the same for the same wheels, commit id and commit time (seconds since 1970, UTC).

    A wheel for each Python and machine is a component of its own, named by its file; what a package needs is read from
    its metadata, for any of them.
    """
    read = [_read(path) for path in wheels]
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, "".join(w.sha256 for w in read)),
        version=1,
    )
    bom.metadata.timestamp = datetime.fromtimestamp(time, UTC)
    components = {w.file: _component(w) for w in read}
    bom.metadata.component = components[own.name]
    bom.metadata.component.type = ComponentType.APPLICATION
    bom.metadata.component.properties.add(Property(name="vestry:commit", value=commit))
    for file, component in components.items():
        if file != own.name:
            bom.components.add(component)
    for wheel in read:
        needed = _needs(wheel.metadata)
        bom.register_dependency(components[wheel.file], [components[w.file] for w in read if w.name in needed])
    return JsonV1Dot6(bom).output_as_string(indent=1) + "\n"


def _read(path: Path) -> Wheel:
    name, version, _, _ = parse_wheel_filename(path.name)
    with ZipFile(path) as archive:
        inside = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(inside).decode())
    return Wheel(path.name, name, str(version), hashlib.sha256(path.read_bytes()).hexdigest(), metadata)


def _component(wheel: Wheel) -> Component:
    return Component(
        type=ComponentType.LIBRARY,
        name=wheel.name,
        version=wheel.version,
        bom_ref=wheel.file,
        purl=PackageURL("pypi", name=wheel.name, version=wheel.version, qualifiers={"file_name": wheel.file}),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=wheel.sha256)],
        licenses=_licences(wheel.metadata),
        description=wheel.metadata.get("Summary"),
    )


def _licences(metadata: Message) -> list[License]:
    if expression := metadata.get("License-Expression"):
        return [LicenseExpression(expression)]
    stated = [c.split(" :: ")[-1] for c in metadata.get_all("Classifier", []) if c.startswith("License :: ")]
    named = stated or [line for line in [metadata.get("License", "").strip()] if line and "\n" not in line]
    return [DisjunctiveLicense(name=name) for name in sorted(set(named))]


def _needs(metadata: Message) -> set[str]:
    wanted = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    return {
        canonicalize_name(r.name)
        for r in wanted
        if r.marker is None or r.marker.evaluate({"extra": "", "sys_platform": "linux"})
    }
