"""``vestry attest``: do makers' proofs hold, and which keys have none."""

from __future__ import annotations

import argparse
import base64
import binascii
import stat
import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from vestry.cli import output
from vestry.cli.documents import read_document, read_public_key
from vestry.errors import ExitStatus, InputRejected, VestryError
from vestry.metadata import document, intake
from vestry.metadata.keys import Key
from vestry.text import Safe, group_hex, printable
from vestry.tokens import attestation
from vestry.tokens.attestation import Anchors, Attestation
from vestry.tokens.attestation_rules import Finding, finding

_LIMIT = 1 << 20
_MOST_FILES = 10_000
_MOST_LINES = 20
_DER = serialization.Encoding.DER
_CERTIFICATE, _PUBLIC = b"-----BEGIN CERTIFICATE-----", b"-----BEGIN PUBLIC KEY-----"
_END = b"-----END CERTIFICATE-----"


@dataclass
class Found:
    """What lies in the files that were given: certificates, and public keys with where they lie."""

    certificates: dict[bytes, Path] = field(default_factory=dict)
    keys: dict[bytes, Path] = field(default_factory=dict)
    damaged: dict[bytes, Path] = field(default_factory=dict)
    passed_over: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Verdict:
    """One key: its proof, or that it has none."""

    path: Path
    subject: Safe
    keyid: str
    attestation: Attestation | None
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether a maker's proof is there and holds."""
        return self.attestation is not None and all(f.severity != "stop" for f in self.findings)

    def to_dict(self) -> dict[str, object]:
        """The object of ``attest --json``."""
        proof = self.attestation
        said = proof.claims if proof else None
        return {
            "subject": self.subject,
            "file": printable(str(self.path), 300),
            "vendor": proof.vendor if proof else "",
            "model": proof.model if proof else "",
            "serial": proof.serial if proof else "",
            "firmware": proof.firmware if proof else "",
            "keyid": self.keyid,
            "anchor": proof.anchor if proof else "",
            "anchor_sha256": proof.anchor_sha256 if proof else "",
            "slot": said.slot if said else "",
            "origin": said.origin if said else "",
            "pin_policy": said.pin_policy if said else "",
            "touch_policy": said.touch_policy if said else "",
            "ok": self.ok,
            "findings": [f.to_dict() for f in self.findings],
        }


def run(args: argparse.Namespace) -> int:
    """Attest; 1 where a proof does not hold or a key has none, 2 where nothing could be read."""
    found = gather([Path(p) for p in args.paths])
    brought = gather([Path(p) for p in args.anchors]) if args.anchors else Found()
    output.narrate(*_shortened(found.passed_over), *_shortened(brought.passed_over))
    anchors = Anchors.of([*brought.certificates, *_known_roots(found)])
    expected = _expected(args.key)
    verdicts = judge(found, anchors, expected, serial=args.serial or "")
    if not verdicts:
        raise InputRejected(
            "neither an attestation nor a public key lies here",
            where=printable(" ".join(args.paths), 200),
            do="name the folder with the maker's certificates, or the files themselves",
            code="E-ATTEST",
        )
    if args.json:
        output.array([v.to_dict() for v in verdicts])
    else:
        for verdict in verdicts:
            output.line(*_lines(verdict))
        if not anchors.roots:
            output.narrate("No maker's root was given: name its certificate, or a folder of them, with --anchors.")
    return int(ExitStatus.DONE if all(v.ok for v in verdicts) else ExitStatus.DOES_NOT_HOLD)


def gather(paths: Collection[Path]) -> Found:
    """Certificates and public keys, PEM or DER, in files and folders; a folder's links are not followed.

    Raises:
        InputRejected: a path is not there, a file that was named is too large, or there are too many files.
    """
    found, named = Found(), frozenset(paths)
    for count, (path, why) in enumerate(_files(paths)):
        if count == _MOST_FILES:
            raise InputRejected(
                f"more than {_MOST_FILES:,} files",
                where=printable(str(path.parent), 200),
                do="name fewer",
                code="E-ATTEST",
            )
        try:
            nothing = why or _take(found, path, intake.read_file(path, limit=_LIMIT))
        except InputRejected as error:
            if path in named:
                raise
            nothing = error.what
        if nothing:
            found.passed_over.append(f"{printable(str(path), 200)}: {nothing}; passed over")
    return found


def judge(found: Found, anchors: Anchors, expected: Sequence[Key], *, serial: str = "") -> list[Verdict]:
    """A verdict on every attested key, and on every key without an attestation."""
    leaves = {der: path for der, path in found.certificates.items() if attestation.is_attestation(der)}
    others = [der for der in found.certificates if der not in leaves]
    wanted = {k.spki for k in expected}
    verdicts = []
    proofs = [(path, attestation.verify(der, others, anchors, expected_serial=serial)) for der, path in leaves.items()]
    proved = {proof.spki for _, proof in proofs}
    # Of a folder with the proofs of many keys, those of other keys say nothing against the ones asked for.
    other = "ATTEST-KEY-OTHER" if wanted <= proved else "ATTEST-KEY-DIFFERS"
    for path, proof in proofs:
        more = (finding(other),) if wanted and proof.spki not in wanted else ()
        verdicts.append(Verdict(path, proof.subject, _keyid(proof.spki), proof, (*more, *proof.findings)))
    for path in found.damaged.values():
        verdicts.append(Verdict(path, printable(str(path), 200), "", None, (finding("ATTEST-MALFORMED"),)))
    verdicts += _strays(found, list(leaves), anchors, proved)
    missing = {} if wanted else {spki: path for spki, path in found.keys.items() if spki not in proved}
    missing |= {k.spki: Path("--key") for k in expected if k.spki not in proved}
    for spki, path in missing.items():
        subject = printable(str(path), 200)
        verdicts.append(Verdict(path, subject, _keyid(spki), None, (finding("ATTEST-NONE"),)))
    return sorted(verdicts, key=lambda v: str(v.path))


def _strays(found: Found, leaves: Sequence[bytes], anchors: Anchors, proved: set[bytes]) -> Iterator[Verdict]:
    """Certificates that prove nothing, and that somebody may have taken for a proof: not of an authority, not of the
    device of one of the leaves, and for a key that has no proof."""
    brought = {c.public_bytes(_DER) for c in (*anchors.roots, *anchors.others)}
    for der, path in found.certificates.items():
        certificate = attestation.parse(der)
        if certificate is None or der in leaves or der in brought or not attestation.is_stray(der, leaves):
            continue
        spki = attestation.spki_of(certificate)
        if spki not in proved and spki not in found.keys:
            name = printable(certificate.subject.rfc4514_string(), 120)
            text = "this certificate is no maker's proof of a key"
            yield Verdict(path, name, _keyid(spki), None, (finding("ATTEST-NONE", text),))


def _files(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Files, each with why it is passed over, if it is. One that was named is never passed over."""
    for path in paths:
        if not path.is_dir() or path.is_symlink():
            yield path, ""
            continue
        for inner in sorted(path.rglob("*")):
            state = inner.lstat()
            if stat.S_ISREG(state.st_mode):
                large = f"{state.st_size:,} bytes are more than the {_LIMIT:,} allowed"
                yield inner, large if state.st_size > _LIMIT else ""
            elif not stat.S_ISDIR(state.st_mode):
                yield inner, "not a regular file"


def _shortened(lines: Sequence[str]) -> list[str]:
    more = len(lines) - _MOST_LINES
    return [*lines[:_MOST_LINES], *([f"and {more} more"] if more > 0 else [])]


def _take(found: Found, path: Path, raw: bytes) -> str:
    """Keep what a file holds; why nothing of it was kept, or an empty string."""
    nothing = "neither a certificate nor a public key"
    if _CERTIFICATE in raw:
        ders = [d for d in map(_der, raw.split(_CERTIFICATE)[1:]) if d is not None]
        found.certificates.update({d: path for d in ders if attestation.parse(d) is not None})
        found.damaged.update({d: path for d in ders if attestation.is_damaged(d)})
        return "" if ders else nothing
    if _PUBLIC in raw:
        try:
            found.keys.setdefault(Key.from_pem(raw.decode("ascii", "replace"), where=str(path)).spki, path)
        except VestryError:
            return nothing
        return ""
    if b"PRIVATE KEY-----" in raw:
        return "a private key, which has no place here"
    if attestation.parse(raw) is not None:
        found.certificates[raw] = path
        return ""
    if attestation.is_damaged(raw):
        found.damaged[raw] = path
        return ""
    try:
        found.keys.setdefault(Key.from_spki(raw, where=str(path)).spki, path)
    except VestryError:
        return nothing
    return ""


def _der(piece: bytes) -> bytes | None:
    try:
        der = base64.b64decode(b"".join(piece.split(_END)[0].split()), validate=True)
    except binascii.Error:
        return None
    return der if attestation.parse(der) is not None or attestation.is_damaged(der) else None


def _known_roots(found: Found) -> Iterator[bytes]:
    """Roots of makers that lie among the files themselves: they are recognised by their digest, wherever they lie."""
    for der in found.certificates:
        if attestation.sha256(der) in attestation.MAKERS:
            yield der


def _expected(paths: Sequence[str]) -> list[Key]:
    """The keys that proofs are to be for: public keys, or those of root and targets in a root that are not online."""
    found: list[Key] = []
    for text in paths:
        path = Path(text)
        if path.suffix != ".json":
            found.append(read_public_key(path))
            continue
        root = read_document(path)
        if root.type != "root":
            raise InputRejected("this is not a root", where=printable(text, 200), do="give a root, or a PEM public key")
        ids = {role: (document.role_entry(root, role) or {}).get("keyids", []) for role in document.ROLES}
        offline = set(ids["root"] + ids["targets"]) - set(ids["snapshot"] + ids["timestamp"])
        found += [k for keyid, k in document.keys(root).items() if keyid in offline and k.spki]
    return found


def _keyid(spki: bytes) -> str:
    try:
        return Key.from_spki(spki).keyid if spki else ""
    except VestryError:
        return ""  # a key that TUF does not use


def _lines(verdict: Verdict) -> list[str]:
    proof = verdict.attestation
    head = (
        f"{'holds' if verdict.ok else 'DOES NOT HOLD' if proof else 'UNATTESTED'}: {printable(str(verdict.path), 200)}"
    )
    lines = [head]
    if proof is not None:
        said = proof.claims
        lines.append(f"  {proof.subject}")
        if said is not None:
            facts = [f"serial {proof.serial or 'untold'}", f"firmware {proof.firmware or 'untold'}"]
            facts += [f"slot {said.slot}"] if said.slot else []
            facts += [said.origin, "may leave under a wrap key" if said.exportable else "cannot leave"]
            facts += [f"PIN {said.pin_policy}, touch {said.touch_policy}"] if said.pin_policy else []
            text = f"{proof.vendor} {proof.model}: {', '.join(facts)}"
            lines += textwrap.wrap(text, 78, initial_indent="  ", subsequent_indent="    ")
        lines.append(f"  root: {proof.anchor or 'none'}")
    if verdict.keyid:
        lines.append("  key id")
        lines += [f"    {row}" for row in group_hex(verdict.keyid)]
    for found in verdict.findings:
        text = f"{found.severity}: {found.text} [{found.code}]"
        lines += textwrap.wrap(text, 78, initial_indent="  ", subsequent_indent="    ", break_long_words=False)
    return [*lines, ""]
