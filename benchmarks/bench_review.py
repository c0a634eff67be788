"""Two versions of a role of PyPI's size, from files to the first screen, against python-tuf parsing both and making the
canonical bytes of one. Each side runs in a process of its own, from bytecode, as an installer leaves it.

    python benchmarks/bench_review.py [DELEGATIONS FILES [SHAPE]]      (default: 500000 2000000 plain)

Of other shapes, every entry is so: ecdsa keys, two keys and a threshold of 2, two patterns, two hashes, custom fields.
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
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import vestry

CHANGED = 1_000
SHAPES = ("plain", "ecdsa", "keys", "patterns", "hashes", "custom")
RUNS = 2
_HEAD = '"expires":"2027-11-23T00:00:00Z","spec_version":"1.0.34"'
_SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(32))


def key(seed: str, shape: str) -> tuple[str, str]:
    """Key id and key object, as JSON."""
    secret = hashlib.sha256(seed.encode())
    kind, scheme, public = "ed25519", "ed25519", secret.hexdigest()
    if shape == "ecdsa":
        point = ec.derive_private_key(int.from_bytes(secret.digest()[1:]), ec.SECP256R1()).public_key()
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        kind, scheme = "ecdsa", "ecdsa-sha2-nistp256"
        public = point.public_bytes(serialization.Encoding.PEM, form).decode().replace("\n", "\\n")
    value = f'{{"keytype":"{kind}","keyval":{{"public":"{public}"}},"scheme":"{scheme}"}}'
    return hashlib.sha256(canonical(value.encode())).hexdigest(), value


def canonical(content: bytes) -> bytes:
    """JSON as it is signed: line feeds, of PEM, are not escaped there."""
    return content.replace(b"\\n", b"\n")


def claimed(count: int, changed: set[int], version: int, shape: str) -> bytes:
    """A claimed role (PEP 480): a delegation, with a key of its own, for each project."""
    keys, roles = [], []
    each = 2 if shape == "keys" else 1
    more = ',"x-pypi-owner":"someone"' if shape == "custom" else ""
    for n in range(count):
        seed = f"{n} new" if n in changed else str(n)
        mine = dict(key(f"{seed}{' more' * m}", shape) for m in range(each))
        keys += [f'"{keyid}":{value}' for keyid, value in mine.items()]
        name = f"project-{n:06d}"
        paths = f'"{name}/*","{name}-more/*"' if shape == "patterns" else f'"{name}/*"'
        head = f'{{"keyids":{json.dumps([*mine], separators=(",", ":"))},"name":"{name}","paths":[{paths}]'
        roles.append(f'{head},"terminating":true,"threshold":{each}{more}}}')
    inner = f'{{"keys":{{{",".join(sorted(keys))}}},"roles":[{",".join(roles)}]}}'
    return f'{{"_type":"targets","delegations":{inner},{_HEAD},"targets":{{}},"version":{version}}}'.encode()


def files(count: int, changed: set[int], version: int, shape: str) -> bytes:
    """A targets role that lists files alone."""
    listed = []
    custom = '"custom":{"uploaded":1},' if shape == "custom" else ""
    for n in range(count):
        place = hashlib.sha256(str(n).encode()).hexdigest()
        digest = hashlib.sha256((f"{n} new" if n in changed else str(n)).encode()).hexdigest()
        path = f"packages/{place[:2]}/{place[2:4]}/project_{n:07d}-1.0-py3-none-any.whl"
        hashes = f'"blake2b-256":"{digest}","sha256":"{digest}"' if shape == "hashes" else f'"sha256":"{digest}"'
        listed.append(f'"{path}":{{{custom}"hashes":{{{hashes}}},"length":{10_000 + n}}}')
    return f'{{"_type":"targets",{_HEAD},"targets":{{{",".join(sorted(listed))}}},"version":{version}}}'.encode()


def signed(content: bytes) -> bytes:
    """With a signature by the key that `above` names."""
    keyid, _ = _signer()
    sig = _SIGNER.sign(canonical(content)).hex()
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
    counts = [int(a) for a in sys.argv[1:3]] or [500_000, 2_000_000]
    shape = sys.argv[3] if sys.argv[3:] else "plain"
    if shape not in SHAPES:
        raise SystemExit(f"no shape is called {shape}: {', '.join(SHAPES)}")
    compileall.compile_dir(Path(vestry.__file__).parent, quiet=2)
    changed = set(random.Random(1).sample(range(min(counts)), CHANGED))
    with tempfile.TemporaryDirectory() as folder:
        for role, make, count in zip(("claimed", "files"), (claimed, files), counts, strict=False):
            names = [str(Path(folder) / f"{version}.{role}.json") for version in (1, 2)]
            for version, name, different in zip((1, 2), names, (set(), changed), strict=True):
                Path(name).write_bytes(signed(make(count, different, version, shape)))
            over = Path(folder) / "targets.json"
            over.write_bytes(above(role))
            size = Path(names[0]).stat().st_size / 1e6
            begun = time.perf_counter()
            subprocess.run(["sha256sum", *names], check=True, stdout=subprocess.DEVNULL)
            floor = time.perf_counter() - begun
            ours, peak = measured(_VESTRY, *names, str(over), role)
            theirs, their_peak = measured(_TUF, *names)
            print(
                f"{role} ({shape}): {count:,} entries, {size:.0f} MB, {CHANGED:,} changed:"
                f" {ours:.2f} s and {peak:.0f} MiB to the first screen; python-tuf {theirs:.2f} s and"
                f" {their_peak:.0f} MiB: {ours / theirs:.3f} x the time (limit 0.125),"
                f" {peak / their_peak:.2f} x the memory (limit 0.33);"
                f" {ours / floor:.1f} x sha256sum of both"
            )


if __name__ == "__main__":
    main()
