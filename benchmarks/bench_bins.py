"""A repository of 16,384 hash bins in one folder: `vestry verify` on all cores and on one, and python-tuf, which reads
every document and verifies it under its delegator, on one. Each runs in a process of its own. The bins are given by
succinct_roles (TAP 15), or, as PyPI was to have them (PEP 458), by a list with hash prefixes.

    python benchmarks/bench_bins.py [BINS [succinct|prefixes]]      (default: 16384, with two files for each, and both)
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apart
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Role,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)

FILES = 2
RUNS = 2
_SIGNER = CryptoSigner(Ed25519PrivateKey.generate())

_TUF = """
import sys
from pathlib import Path
from tuf.api.metadata import Metadata
found = {p.name.removesuffix(".json").removeprefix("1."): Metadata.from_bytes(p.read_bytes())
         for p in sorted(Path(sys.argv[1]).glob("*.json"))}
root, targets = found["root"], found["targets"]
for name, document in found.items():
    above = root if name in ("root", "timestamp", "snapshot", "targets") else targets
    above.signed.verify_delegate(name, document.signed_bytes, document.signatures)
    assert not document.signed.is_expired()
"""


def write(folder: Path, bins: int, style: str) -> None:
    """Root, timestamp, snapshot, targets and the bins, a power of two of them, all signed by one key."""
    expires = (datetime.now(UTC) + timedelta(days=30)).replace(microsecond=0)
    keyid = _SIGNER.public_key.keyid
    succinct = SuccinctRoles([keyid], 1, (bins - 1).bit_length(), "bin")
    root = Root(expires=expires, roles={r: Role([keyid], 1) for r in ("root", "timestamp", "snapshot", "targets")})
    root.keys[keyid] = _SIGNER.public_key
    names = list(succinct.get_roles())
    delegations = Delegations({keyid: _SIGNER.public_key}, succinct_roles=succinct)
    if style == "prefixes":
        digits = -(-succinct.bit_length // 4)
        each = 16**digits // len(names)
        prefixes = [[f"{n:0{digits}x}" for n in range(i * each, (i + 1) * each)] for i in range(len(names))]
        listed = zip(names, prefixes, strict=True)
        roles = {n: DelegatedRole(n, [keyid], 1, False, path_hash_prefixes=mine) for n, mine in listed}
        delegations = Delegations({keyid: _SIGNER.public_key}, roles)
    targets = Targets(expires=expires, delegations=delegations)
    snapshot = Snapshot(expires=expires, meta={f"{name}.json": MetaFile(1) for name in ("targets", *names)})
    documents = {"1.root": root, "timestamp": Timestamp(expires=expires), "1.snapshot": snapshot, "1.targets": targets}
    files: dict[str, dict[str, TargetFile]] = {name: {} for name in names}
    for n in range(FILES * len(names)):
        digest = hashlib.sha256(str(n).encode()).hexdigest()
        path = f"{digest[:2]}/{digest[2:4]}/{digest[4:]}/project_{n}-1.0-py3-none-any.whl"
        files[succinct.get_role_for_target(path)][path] = TargetFile(10_000 + n, {"sha256": digest}, path)
    documents |= {f"1.{name}": Targets(expires=expires, targets=files[name]) for name in names}
    for name, signed in documents.items():
        document = Metadata(signed)
        document.sign(_SIGNER)
        (folder / f"{name}.json").write_bytes(document.to_bytes())


def measured(*command: str) -> tuple[float, float]:
    """Seconds, the least of a few runs, since other work on the machine only ever adds; and MiB."""
    return min(apart.measured(*command)[0] for _ in range(RUNS)), apart.peak(*command)


def main() -> None:
    """Print a line a style."""
    bins = int(sys.argv[1]) if sys.argv[1:] else 16_384
    for style in sys.argv[2:] or ("succinct", "prefixes"):
        _compare(bins, style)


def _compare(bins: int, style: str) -> None:
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), bins, style)
        verify = (sys.executable, "-m", "vestry", "verify", folder)
        ours, peak = measured(*verify)
        alone, alone_peak = measured("taskset", "--cpu-list", str(cores[0]), *verify)
        theirs, their_peak = measured(sys.executable, "-c", _TUF, folder)
    print(
        f"{bins:,} bins ({style}): {ours:.1f} s on {len(cores)} cores, {peak:.0f} MiB in all; {alone:.1f} s"
        f" and {alone_peak:.0f} MiB on one: {ours / alone:.2f} x the time; python-tuf {theirs:.1f} s and"
        f" {their_peak:.0f} MiB: {ours / theirs:.2f} x the time"
    )


if __name__ == "__main__":
    main()
