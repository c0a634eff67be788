"""``vestry tokens``: which tokens are here, with their keys and certificates. No PIN is asked for but with --prove."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import UTC, datetime

from vestry.cli import output, prove, sources
from vestry.errors import ExitStatus, VestryError
from vestry.text import printable
from vestry.tokens import certificates, naming
from vestry.tokens.token import KeyKind, Token, TokenCertificate, TokenInfo, TokenKey


@dataclass(frozen=True)
class Listed:
    """A token and what it shows without a PIN."""

    info: TokenInfo
    keys: tuple[TokenKey, ...]
    certificates: tuple[TokenCertificate, ...]
    kinds: tuple[KeyKind, ...]


def run(args: argparse.Namespace) -> int:
    """List; 3 where a module or token failed."""
    if args.prove:
        return prove.run(args)
    listed: list[Listed] = []
    with sources.opened(args.software, args.module) as (found, troubles):
        failed: list[VestryError] = list(troubles)
        for source in found:
            try:
                tokens = source.tokens()
            except VestryError as error:
                failed.append(error)
                continue
            for token in tokens:
                try:
                    if not args.token or token.info.serial.strip() in args.token:
                        listed.append(_look(token))
                except VestryError as error:  # the others are still shown
                    failed.append(error)
    if args.json:
        output.emit({"tokens": [_object(t) for t in listed], "troubles": [error.to_dict() for error in failed]})
    else:
        now = datetime.now(UTC)
        for row in listed:
            output.line(*_lines(row, now))
        if not listed:
            output.narrate("No token is here.")
        output.narrate(*(f"vestry: {error}" for error in failed))
    # A module that was only found, and whose service does not run, is of no concern to who asked for none.
    serious = [e for e in failed if args.module or e.code != "E-MODULE-SERVICE"]
    return int(ExitStatus.DEVICE_FAILED if serious else ExitStatus.DONE)


def _look(token: Token) -> Listed:
    info = token.info
    if not info.initialised:
        return Listed(info, (), (), token.kinds())
    return Listed(info, token.public_keys(), token.certificates(), token.kinds())


def _object(listed: Listed) -> dict[str, object]:
    info = listed.info
    return {
        "module": info.module,
        "module_sha256": info.module_sha256,
        "manufacturer": info.manufacturer,
        "model": info.model,
        "serial": info.serial,
        "label": info.label,
        "firmware": info.firmware,
        "initialised": info.initialised,
        "pin_ready": info.pin_ready,
        "tries": info.tries,
        "tries_left": info.tries_left,
        "keys": [
            {"uri": k.uri, "label": k.label, "id": k.id.hex(), "scheme": k.kind.scheme, "facts": dict(k.facts)}
            for k in listed.keys
        ],
        "certificates": [_certificate(c) for c in listed.certificates],
        "makes": [{"scheme": k.scheme, "bits": k.bits} for k in listed.kinds],
    }


def _certificate(certificate: TokenCertificate) -> dict[str, object]:
    entry: dict[str, object] = {"label": certificate.label, "id": certificate.id.hex()}
    seen = certificates.read(certificate.der)
    if seen is None:
        return {**entry, "readable": False}
    times = {"not_before": seen.not_before.isoformat(), "not_after": seen.not_after.isoformat()}
    return {**entry, "readable": True, "subject": seen.subject, "issuer": seen.issuer, **times}


def _lines(listed: Listed, now: datetime) -> list[str]:
    info = listed.info
    state = "blank: nothing is on it yet" if not info.initialised else "ready" if info.pin_ready else "no PIN set"
    tries = {"low": ", few PIN tries left", "last": ", one PIN try left", "locked": ", PIN locked"}.get(info.tries, "")
    named = f"serial {naming.serial(info) or '(none)'}  {printable(info.label, 40) or '(no label)'}"
    lines = [
        f"{named}  {printable(info.manufacturer, 40)} {printable(info.model, 40)}  {state}{tries}",
        f"  module {printable(info.module, 200)}",
    ]
    for key in listed.keys:
        lines.append(f"  key {printable(key.label, 60)}  {key.kind.scheme}  {printable(key.uri, 300)}")
    for certificate in listed.certificates:
        seen = certificates.read(certificate.der)
        said = seen.line(now) if seen else "a certificate that can't be read"
        lines.append(f"  id {certificate.id.hex() or '(none)'}: {said}")
    return lines
