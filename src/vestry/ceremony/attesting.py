"""Makers' proofs of new keys, as the gate judges them: when a key comes in, and at every replay."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from vestry.ceremony import events as e
from vestry.ceremony.script import TokenSpec
from vestry.ceremony.state import State
from vestry.errors import Refused
from vestry.metadata.keys import Key
from vestry.release import release
from vestry.text import printable
from vestry.tokens import attestation, certificates
from vestry.tokens.attestation import Attestation
from vestry.tokens.attestation_rules import Finding

CODE = "E-ATTESTATION"


@dataclass(frozen=True)
class Judged:
    """What the certificates that came with a key prove: the maker's attestation, where there is one, and a sentence.
    `unheld`: there was no root to hold it against."""

    attestation: Attestation | None
    sentence: str
    unheld: bool = False

    @property
    def findings(self) -> tuple[str, ...]:
        """Codes of what was found, each once."""
        return tuple(dict.fromkeys(f.code for f in self.attestation.findings)) if self.attestation else ()

    @property
    def serious(self) -> tuple[Finding, ...]:
        """What its holder must accept, or stop at."""
        return tuple(f for f in self.attestation.findings if f.severity != "note") if self.attestation else ()

    @property
    def holds(self) -> bool:
        """Whether the maker's proof is there and holds."""
        return self.attestation is not None and self.attestation.ok and not self.unheld


def judge(
    state: State,
    spec: TokenSpec,
    serial: str,
    key: Key,
    pems: tuple[str, ...],
    *,
    now: datetime,
    today: bool = False,
) -> Judged:
    """Hold certificates (PEM) against the anchors of the script, for `key` on the token with `serial`. `now` (UTC) is
    what their validity is held against; the rules are those of the software that made the transcript, or `today`'s."""
    as_of = None if today else release(state.software)
    ders = [certificates.from_pem(text) for text in pems]
    leaves = [d for d in ders if (seen := certificates.read(d)) is not None and seen.spki == key.spki]
    proofs = [d for d in leaves if attestation.is_attestation(d)]
    if not proofs:
        return Judged(None, f"no maker's proof came with the key on '{spec.name}'")
    if state.script.anchors is None:
        found = attestation.verify(
            proofs[0], (), attestation.Anchors(), expected_spki=key.spki, expected_serial=serial, now=now, as_of=as_of
        )
        told = tuple(f for f in found.findings if f.code != "ATTEST-CHAIN")
        shown = f"the device with serial {found.serial or 'untold'} shows its maker's proof"
        why = f"{shown}; the script names no roots to hold it against"
        return Judged(replace(found, findings=told), why, unheld=True)
    anchors = attestation.Anchors.from_pem(state.inputs[state.script.anchors.name])
    others = [d for d in ders if d != proofs[0]]
    found = attestation.verify(
        proofs[0], others, anchors, expected_spki=key.spki, expected_serial=serial, now=now, as_of=as_of
    )
    if found.ok:
        return Judged(found, f"{found.vendor} proves that the key was made on the device with serial {found.serial}")
    why = next((f.text for f in found.findings if f.severity == "stop"), "it does not hold")
    return Judged(found, f"the maker's proof does not hold: {why}")


def chain(spki: bytes, ders: Iterable[bytes]) -> list[bytes]:
    """The certificates for the key `spki`, and those that may have issued them, in that order. Placeholders that a
    token signs by itself are left out."""
    named = {der: name for der in ders if (name := _names(der)) is not None}
    wanted = [d for d, (_, _, key) in named.items() if key == spki and named[d][0] != named[d][1]]
    wanted.sort(key=lambda d: not attestation.is_attestation(d))
    for der in wanted:  # grows while it is walked
        issuer = named[der][1]
        wanted += [d for d, (subject, _, _) in named.items() if subject == issuer and d not in wanted]
    return wanted


def _names(der: bytes) -> tuple[bytes, bytes, bytes] | None:
    parsed = attestation.parse(der)
    if parsed is None:
        return None
    return parsed.subject.public_bytes(), parsed.issuer.public_bytes(), attestation.spki_of(parsed)


def admit(state: State, event: e.KeyGenerated | e.KeyTaken, key: Key, at: str) -> None:
    """Refuse a key whose token must prove it, and does not, and one of whose proof `event` tells other things than were
    found at the time `at`: what its holder accepted must be what there was to accept.

    Raises:
        Refused: E-ATTESTATION.
    """
    spec = state.script.token(state.script.key(event.key).token)
    ders = chain(key.spki, [certificates.from_pem(text) for text in event.certificates])
    if tuple(map(certificates.pem, ders)) != event.certificates:
        what = "a certificate that came with it has nothing to do with it, or other text in it"
        raise Refused(what, where=f"key '{event.key}'", code=CODE)
    serial = state.tokens[spec.name].serial
    judged = judge(state, spec, serial, key, event.certificates, now=datetime.fromisoformat(at))
    if sorted(judged.findings) != sorted(event.findings):
        apart = ", ".join(sorted(set(judged.findings) ^ set(event.findings)))
        raise Refused(
            f"the findings on its maker's proof are others: {printable(apart, 200)}",
            where=f"key '{event.key}'",
            code=CODE,
        )
    if spec.attestation in ("required", "files") and not judged.holds:
        raise Refused(
            judged.sentence,
            where=f"key '{event.key}'",
            do="set this token aside and take another, as an exception; or stop",
            code=CODE,
        )
