"""Two versions of a role of PyPI's size, from files to the first screen, against python-tuf parsing both and making the
canonical bytes of one. Each side runs in a process of its own, from bytecode, as an installer leaves it.

    python benchmarks/bench_review.py [DELEGATIONS FILES]      (default: 500000 2000000)
"""

from __future__ import annotations

import compileall
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import apart
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import vestry

CHANGED = 1_000
RUNS = 2
_HEAD = '"expires":"2027-11-23T00:00:00Z","spec_version":"1.0.34"'
_SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(32))


def key(seed: str) -> tuple[str, str]:
    """Key id and canonical key object."""
    public = hashlib.sha256(seed.encode()).hexdigest()
    value = f'{{"keytype":"ed25519","keyval":{{"public":"{public}"}},"scheme":"ed25519"}}'
    return hashlib.sha256(value.encode()).hexdigest(), value


def claimed(count: int, changed: set[int], version: int) -> bytes:
    """A claimed role (PEP 480): a delegation, with a key of its own, for each project."""
    keys, roles = [], []
    for n in range(count):
        keyid, value = key(f"{n} new" if n in changed else str(n))
        keys.append(f'"{keyid}":{value}')
        name = f"project-{n:06d}"
        roles.append(f'{{"keyids":["{keyid}"],"name":"{name}","paths":["{name}/*"],"terminating":true,"threshold":1}}')
    inner = f'{{"keys":{{{",".join(sorted(keys))}}},"roles":[{",".join(roles)}]}}'
    return f'{{"_type":"targets","delegations":{inner},{_HEAD},"targets":{{}},"version":{version}}}'.encode()


def files(count: int, changed: set[int], version: int) -> bytes:
    """A targets role that lists files alone."""
    listed = []
    for n in range(count):
        place = hashlib.sha256(str(n).encode()).hexdigest()
        digest = hashlib.sha256((f"{n} new" if n in changed else str(n)).encode()).hexdigest()
        path = f"packages/{place[:2]}/{place[2:4]}/project_{n:07d}-1.0-py3-none-any.whl"
        listed.append(f'"{path}":{{"hashes":{{"sha256":"{digest}"}},"length":{10_000 + n}}}')
    return f'{{"_type":"targets",{_HEAD},"targets":{{{",".join(sorted(listed))}}},"version":{version}}}'.encode()


def signed(content: bytes) -> bytes:
    """With a signature by the key that `above` names."""
    keyid, _ = _signer()
    sig = _SIGNER.sign(content).hex()
    return b'{"signatures":[{"keyid":"%b","sig":"%b"}],"signed":%b}' % (keyid.encode(), sig.encode(), content)


def _signer() -> tuple[str, dict[str, object]]:
    public = _SIGNER.public_key().public_bytes_raw().hex()
    value = {"keytype": "ed25519", "keyval": {"public": public}, "scheme": "ed25519"}
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest(), value


def above(role: str) -> bytes:
    """The targets that delegates to `role`."""
    keyid, value = _signer()
    entry = {"keyids": [keyid], "name": role, "paths": ["*/*", "*/*/*/*"], "terminating": False, "threshold": 1}
    inner = {"keys": {keyid: value}, "roles": [entry]}
    head = {"_type": "targets", "expires": "2027-11-23T00:00:00Z", "spec_version": "1.0.34"}
    whole = {**head, "delegations": inner, "targets": {}, "version": 1}
    return signed(json.dumps(whole, sort_keys=True, separators=(",", ":")).encode())


_TUF = """
import sys
from tuf.api.metadata import Metadata
from tuf.api.serialization.json import CanonicalJSONSerializer
old, new = (Metadata.from_bytes(open(path, "rb").read()) for path in sys.argv[1:3])
CanonicalJSONSerializer().serialize(new.signed)
"""
_VESTRY = """
import asyncio, gc, sys
from pathlib import Path
from datetime import datetime, UTC
from vestry.cli.documents import read_for_review
from vestry.metadata.review import review
from vestry.tui.glyphs import FULL
from vestry.tui.review_app import ReviewApp
gc.disable()  # as the verb does
old = read_for_review(Path(sys.argv[1]), limit=1 << 30)
new = read_for_review(Path(sys.argv[2]), limit=1 << 30, before=old)
above = read_for_review(Path(sys.argv[3]))
found = review(sys.argv[4], new, old=old, delegator=above, now=datetime(2026, 11, 23, tzinfo=UTC))
gc.enable()
assert found.tallies[0].met and len(found.changes) > 1000, (found.tallies, len(found.changes))
async def first_screen():
    async with ReviewApp(found, glyphs=FULL).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
asyncio.run(first_screen())
"""


def measured(program: str, *arguments: str) -> tuple[float, float]:
    """Seconds, the least of a few runs, since other work on the machine only ever adds; and MiB."""
    command = (sys.executable, "-c", program, *arguments)
    return min(apart.measured(*command)[0] for _ in range(RUNS)), apart.peak(*command)


def main() -> None:
    """Print a line a comparison."""
    counts = [int(a) for a in sys.argv[1:]] or [500_000, 2_000_000]
    compileall.compile_dir(Path(vestry.__file__).parent, quiet=2)
    changed = set(random.Random(1).sample(range(min(counts)), CHANGED))
    with tempfile.TemporaryDirectory() as folder:
        for role, make, count in zip(("claimed", "files"), (claimed, files), counts, strict=False):
            names = [str(Path(folder) / f"{version}.{role}.json") for version in (1, 2)]
            for version, name, different in zip((1, 2), names, (set(), changed), strict=True):
                Path(name).write_bytes(signed(make(count, different, version)))
            over = Path(folder) / "targets.json"
            over.write_bytes(above(role))
            size = Path(names[0]).stat().st_size / 1e6
            begun = time.perf_counter()
            subprocess.run(["sha256sum", *names], check=True, stdout=subprocess.DEVNULL)
            floor = time.perf_counter() - begun
            ours, peak = measured(_VESTRY, *names, str(over), role)
            theirs, their_peak = measured(_TUF, *names)
            print(
                f"{role}: {count:,} entries, {size:.0f} MB, {CHANGED:,} changed: {ours:.2f} s and {peak:.0f} MiB to the"
                f" first screen; python-tuf {theirs:.2f} s and {their_peak:.0f} MiB:"
                f" {ours / theirs:.3f} x the time (limit 0.125), {peak / their_peak:.2f} x the memory (limit 0.33);"
                f" {ours / floor:.1f} x sha256sum of both"
            )


if __name__ == "__main__":
    main()
