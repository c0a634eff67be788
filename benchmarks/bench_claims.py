"""Projects moved from recently-claimed to claimed: staged, reviewed, signed with a software token and exported by the
verbs as people run them, against python-tuf making the same edit and signature. Each side runs in processes of its own.

    python benchmarks/bench_claims.py [DELEGATIONS MOVED]      (default: 500000 500)
"""

from __future__ import annotations

import json
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apart
from bench_review import claimed, key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from vestry.metadata import document, drafting
from vestry.metadata.document import Document, Signature
from vestry.metadata.drafting import Delegation
from vestry.metadata.keys import Key
from vestry.tokens.software import SoftwareSource
from vestry.tokens.token import KeyKind, Pin

PIN = "benchmark 7"
_TUF = """
import json, sys
from datetime import datetime, UTC
from pathlib import Path
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import Metadata
old, recently, listed, pem, keyid, out = sys.argv[1:]
claimed, source = Metadata.from_file(old), Metadata.from_file(recently)
signed, inner = claimed.signed, claimed.signed.delegations
for name in Path(listed).read_text().split():
    role = source.signed.delegations.roles.pop(name)
    for one in role.keyids:
        inner.keys[one] = source.signed.delegations.keys.pop(one)
    inner.roles[name] = role
signed.version += 1
signed.expires = datetime(2027, 11, 23, tzinfo=UTC)
private = load_pem_private_key(Path(pem).read_bytes(), None)
public = SSlibKey.from_crypto(private.public_key())
public.keyid = keyid
claimed.sign(CryptoSigner(private, public))
claimed.to_file(out)
"""
_SIGN = """
import re, sys
from vestry.cli.main import main
from vestry.media import bundle
from vestry.text import words
import json
pin, folder, tokens = sys.argv[1:]
digest = json.loads(open(folder + "/bundle.json").read())["digest"]
class Typist:
    def __init__(self): self.shown = ""
    def write(self, text): self.shown = (self.shown + text)[-9000:]
    def flush(self): pass
    def isatty(self): return False
    def readline(self):
        prompt = self.shown.splitlines()[-1]
        if "Type them" in prompt:
            places = re.findall(r"Type words (\\d+) and (\\d+)", self.shown)[-1]
            return " ".join(words(digest)[int(p) - 1] for p in places) + "\\n"
        return (pin if "PIN" in prompt else "yes" if "yes" in prompt else "seen, and meant") + "\\n"
sys.stdin = sys.stderr = Typist()
status = main(["sign", folder, "--software", tokens])
if status: sys.__stderr__.write(sys.stderr.shown[-600:])
sys.exit(status)
"""


def signed(raw: bytes, private: object, keyid: str) -> Document:
    """A draft with one Ed25519 signature."""
    draft = document.read(raw, where="benchmark", limits=document.intake.Limits(bytes=1 << 30))
    return draft.with_signatures([Signature(keyid, private.sign(draft.signed_bytes).hex())])  # type: ignore[attr-defined]


def prepare(folder: Path, count: int, moved: int) -> None:
    """Root, targets, claimed, recently-claimed, a list of projects and a token."""
    source = SoftwareSource(folder / "tokens")
    source.create("0000000001")
    blank = next(iter(source.tokens())).initialise("admin", Pin("12345678"), Pin(PIN))
    with blank.unlock(Pin(PIN)) as unlocked:
        admin = Key.from_spki(unlocked.generate(KeyKind("ed25519"), "claimed").spki, "ed25519")
    source.close()
    private = Ed25519PrivateKey.generate()
    mine = Key.from_spki(private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    (folder / "private.pem").write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "keyid").write_text(mine.keyid)
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=365)
    roles = dict.fromkeys(("root", "targets", "snapshot", "timestamp"), (1, [mine]))
    root = signed(drafting.root(version=1, expires=expires, roles=roles), private, mine.keyid)
    (folder / "1.root.json").write_bytes(root.raw)
    put = [
        Delegation("claimed", (admin, mine), 1, ("*/*",)),
        Delegation("recently-claimed", (mine,), 1, ("*/*",)),
    ]
    above = signed(drafting.next_delegator(None, expires=expires, put=put), private, mine.keyid)
    (folder / "1.targets.json").write_bytes(above.raw)
    content = claimed(count, set(), 7)
    sig = private.sign(content).hex()
    head = b'{"signatures":[{"keyid":"%b","sig":"%b"}],"signed":' % (mine.keyid.encode(), sig.encode())
    (folder / "7.claimed.json").write_bytes(head + content + b"}")
    names = [f"recent-{n:06d}" for n in range(4 * moved)]
    entries = []
    for name in names:
        keyid, value = key(name)
        entries.append(
            Delegation(name, (Key.from_dict(keyid, json.loads(value)),), 1, (f"{name}/*",), terminating=True)
        )
    recently = signed(drafting.next_delegator(None, expires=expires, put=entries), private, mine.keyid)
    (folder / "1.recently-claimed.json").write_bytes(recently.raw)
    (folder / "projects.txt").write_text("".join(f"{name}\n" for name in names[::4]))


def main() -> None:
    """Print a line a step."""
    count, moved = [int(a) for a in sys.argv[1:]] or [500_000, 500]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, count, moved)
        old, recently = folder / "7.claimed.json", folder / "1.recently-claimed.json"
        size = old.stat().st_size / 1e6
        print(f"{moved:,} projects moved in {count:,} delegations, {size:.0f} MB")
        them = apart.counted(
            *(sys.executable, "-c", _TUF, str(old), str(recently), str(folder / "projects.txt")),
            *(str(folder / "private.pem"), (folder / "keyid").read_text(), str(folder / "theirs.json")),
        )
        vestry = (sys.executable, "-m", "vestry")
        named = ("--root", folder / "1.root.json", "--from", old, "--recently", recently)
        bundle = folder / "bundle"
        words = (*named, "--projects", folder / "projects.txt", "--into", bundle)
        steps = {
            "stage": (*vestry, "stage", "claims", *map(str, words)),
            "review and sign": (sys.executable, "-c", _SIGN, PIN, str(bundle), str(folder / "tokens")),
            "verify": (*vestry, "verify", str(bundle)),
            "export": (*vestry, "export", str(bundle), str(folder / "out"), "--signed"),
        }
        ours = {step: apart.counted(*command) for step, command in steps.items()}
        for step, figures in ours.items():
            print(_line(step, figures))
        made, theirs = (
            json.loads((folder / "out" / "8.claimed.json").read_bytes()),
            json.loads((folder / "theirs.json").read_bytes()),
        )
        made["signed"]["expires"] = theirs["signed"]["expires"]
        assert made["signed"] == theirs["signed"], "the two edits differ"
        clock, used = (sum(figures[n] for figures in ours.values()) for n in (0, 1))
        print(_line("vestry", (clock, used, max(f[2] for f in ours.values()))), "  all of this: on disk, read back")
        print(_line("python-tuf", them), "  edit, sign, write: no check, no review")


def _line(what: str, figures: tuple[float, float, float]) -> str:
    seconds, used, peak = figures
    return f"  {what:<16}{seconds:6.1f} s  {used:6.1f} CPU s  {peak:6.0f} MiB"


if __name__ == "__main__":
    main()
