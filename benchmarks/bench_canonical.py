"""Canonical JSON against securesystemslib's, over a document of PyPI's size: 16,384 bins with explicit prefixes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from securesystemslib.formats import encode_canonical

from vestry.metadata.canonical import encode

RUNS = 7


def bins() -> dict[str, object]:
    """The signed part of a targets document with 16,384 delegations by path hash prefix, four each."""
    keyid = "ab" * 32
    key = {"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": "-----BEGIN PUBLIC KEY-----\n"}}
    roles = [
        {
            "name": f"bin-{n:04x}",
            "keyids": [keyid],
            "threshold": 1,
            "terminating": False,
            "path_hash_prefixes": [f"{4 * n + i:04x}" for i in range(4)],
        }
        for n in range(16384)
    ]
    return {
        "_type": "targets",
        "spec_version": "1.0.34",
        "version": 1,
        "expires": "2027-11-23T00:00:00Z",
        "targets": {},
        "delegations": {"keys": {keyid: key}, "roles": roles},
    }


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> None:
    """Measure, after looking that both give the same bytes."""
    value = bins()
    theirs = encode_canonical(value)
    if encode(value) != (theirs.encode() if isinstance(theirs, str) else theirs):
        raise SystemExit("the two encodings differ")
    pairs = [(seconds(lambda: encode(value)), seconds(lambda: encode_canonical(value))) for _ in range(RUNS)]
    mine, other = statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)
    print(
        f"canonical JSON: {other / mine:.1f} x as fast as securesystemslib ({mine * 1000:.1f} : {other * 1000:.0f} ms)"
    )


if __name__ == "__main__":
    main()
