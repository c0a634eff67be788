"""What comes from other systems to be signed, and what goes back to them: `vestry import` and `vestry export --as`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from vestry.cli import collect, output, staging
from vestry.cli.documents import read_document
from vestry.cli.review import of_bundle
from vestry.errors import ExitStatus, InputRejected, NotTrusted, Refused
from vestry.media import bundle, drives, fitting, names
from vestry.media.bundle import Bundle
from vestry.media.services import detached, project, rstuf, tuf_on_ci
from vestry.media.services.incoming import Incoming, Pending
from vestry.metadata import intake, services
from vestry.metadata.document import Document
from vestry.metadata.services import Service
from vestry.metadata.wording import owner
from vestry.text import printable

_FILE_LIMIT = 512 << 20


def recognised(path: Path, delegator: str | None) -> Incoming | None:
    """What another system wants signed, if `path` is that; None for everything else.

    Raises:
        InputRejected: it is, and is malformed.
    """
    if path.is_dir():
        return tuf_on_ci.incoming(path) if tuf_on_ci.is_checkout(path) else None
    if not path.is_file() or not _begins(path, b"{"):
        return None
    where = printable(str(path), 200)
    raw = intake.read_file(path, limit=rstuf.LIMIT)
    if detached.is_payload(raw):
        found = detached.read_payload(raw, where=where)
        role = found.type if found.type != "targets" or delegator is None else _role_of(path, found, delegator)
        return _under(Incoming("go-tuf, a payload", (Pending(role, found),)), delegator)
    if rstuf.is_payload(intake.parse(raw, where=where)):
        return _under(rstuf.incoming(rstuf.parse(raw, where=where), where=where), delegator)
    return None


def _begins(path: Path, with_: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(64).lstrip().startswith(with_)
    except OSError:
        return False  # reading it as a bundle says why


def _role_of(path: Path, found: Document, delegator: str) -> str:
    """A targets document does not say its role: it is top-level under a root, else its file's name tells."""
    above = read_document(Path(delegator))
    return found.type if above.type == "root" else path.name.split(".")[0]


def _under(found: Incoming, delegator: str | None) -> Incoming:
    if delegator is None:
        return found
    above = read_document(Path(delegator))
    documents = tuple(p if p.trusted else Pending(p.role, p.document, above) for p in found.documents)
    return Incoming(found.what, documents, found.service, found.repository, found.remarks)


def take(found: Incoming, to: Path, as_json: bool) -> int:
    """Make a bundle of each document: `to` itself for one, a folder in it for each of several."""
    for remark in (f"taken as: {found.what}", *found.remarks):
        output.narrate(remark)
    if not found.documents:
        raise Refused("nothing here waits for a signature", where=found.what, do="nothing is to be done")
    status = ExitStatus.DONE
    for pending in found.documents:
        place = to if len(found.documents) == 1 else to / names.safe_part(pending.role)
        if _create(pending, found, place, as_json):
            status = ExitStatus.DOES_NOT_HOLD
    return int(status)


def _create(pending: Pending, found: Incoming, place: Path, as_json: bool) -> bool:
    doc, above = pending.document, pending.trusted
    if above is None and not (pending.role == "root" and doc.version == 1):
        raise InputRejected(
            f"nothing here says who signs {printable(pending.role, 60)} v{doc.version}",
            where=found.what,
            do="name it: --delegator FILE, the root before it, or the document that delegates to it",
            code="E-CHAIN",
        )
    made = bundle.create(
        place,
        role=pending.role,
        unsigned=doc.with_signatures(()).raw if doc.signatures else doc.raw,
        trusted=above.raw if above is not None else None,
        holders=_holders(pending),
        repository=found.repository,
        service=found.service,
    )
    came = [(s, found.what) for s in doc.signatures if s.sig]
    collected = bundle.collect(made, (), came)
    if not as_json:
        output.line(
            f"{printable(made.role, 40)} v{doc.version} is in {printable(str(made.path), 200)}, digest:",
            *output.digest_lines(doc.digest),
        )
        output.line(*staging.found(staging.serious(of_bundle(made, now=datetime.now(UTC)))))
    return collect.finish(collected, as_json) != ExitStatus.DONE


def _holders(pending: Pending) -> Mapping[str, str]:
    who = fitting.signers(pending.role, pending.document, pending.trusted)
    named = {key.keyid: owner(key.extra) for authority in who for key in authority.keys}
    return {keyid: name for keyid, name in named.items() if name}


def write(opened: Bundle, to: Path, args: argparse.Namespace) -> int:
    """Write what another system takes, in the form `args.form`.

    Raises:
        NotTrusted: the system would drop or refuse something, or a threshold is not met where it must be.
        MediumTrouble: it cannot be written.
    """
    if opened.signers is not None:
        raise InputRejected(
            "an in-toto layout is nothing that these systems take",
            where="--as",
            do="export it with --signed alone",
            code="E-USAGE",
        )
    written = _WRITERS[args.form](opened, to, args)
    if args.json:
        output.emit({"to": str(to), "form": args.form, "files": list(written)})
    else:
        output.line(*(f"written: {printable(name, 200)}" for name in written))
    return int(ExitStatus.DONE)


def _taken_by(service: Service, opened: Bundle) -> None:
    """Refuse what `service` would store otherwise than it was signed, or not take at all."""
    for loss in services.losses(service, opened.role, opened.document):
        if loss.drops and opened.document.version == 1:
            output.narrate(f"note: {services.NAMES[service]} drops {printable(loss.text, 200)}")
            continue
        does = "drops" if loss.drops else "does not take"
        raise NotTrusted(
            f"{services.NAMES[service]} {does} {printable(loss.text, 200)}",
            where=printable(str(opened.path), 200),
            do="draft the document again without it; nothing was written",
            code="E-SERVICE",
        )


def _bootstrap(opened: Bundle, to: Path, args: argparse.Namespace) -> Sequence[str]:
    _taken_by("rstuf", opened)
    days = dict(rstuf.DAYS)
    for pair in args.days:
        role, _, number = pair.partition("=")
        if role not in days or not number.isdecimal() or not 0 < int(number[:6]) <= 36500:
            raise InputRejected(f"'{printable(pair, 60)}' is not ROLE=DAYS", where="--days", code="E-USAGE")
        days[role] = int(number)
    bins_days = days.pop("bins")
    settings = rstuf.Settings(days, bins_days, args.bins)
    return _one(to, rstuf.Bootstrap(settings, opened.signed_document()).encode())


def _update(opened: Bundle, to: Path, _: argparse.Namespace) -> Sequence[str]:
    _taken_by("rstuf", opened)
    return _one(to, rstuf.Update({opened.role: opened.signed_document()}).encode())


def _signatures(opened: Bundle, to: Path, _: argparse.Namespace) -> Sequence[str]:
    _taken_by("rstuf", opened)
    found = opened.signed_document().signatures
    if not found:
        raise Refused("nobody has signed it yet", where=printable(str(opened.path), 200), do="sign it first")
    payloads = {s.keyid: rstuf.Signed(opened.role, s).encode() for s in found}
    if len(payloads) == 1:
        return _one(to, *payloads.values())
    drives.make_folder(to)
    role = names.safe_part(opened.role)
    return [name for keyid, data in payloads.items() for name in _one(to / f"{role}-{keyid[:8]}.json", data)]


def _checkout_of(opened: Bundle, to: Path, _: argparse.Namespace) -> Sequence[str]:
    _taken_by("tuf-on-ci", opened)
    return tuf_on_ci.write(to, opened.role, opened.document, opened.signed_document().signatures)


def _detached(opened: Bundle, to: Path, _: argparse.Namespace) -> Sequence[str]:
    drives.make_folder(to)
    role = names.safe_part(opened.role)
    written = _one(to / f"{role}.json.payload", detached.payload(opened.document))
    signed = opened.signed_document().signatures
    return [*written, *(_one(to / f"{role}.json.signatures", detached.write_signatures(signed)) if signed else ())]


def _repository(opened: Bundle, to: Path, args: argparse.Namespace) -> Sequence[str]:
    signed = complete(opened)
    role = names.safe_part(opened.role)
    versioned = opened.role == "root" or _consistent(opened)
    name = f"metadata/{signed.version}.{role}.json" if versioned else f"metadata/{role}.json"
    files = {name: signed.raw}
    if opened.role == "root":
        files["metadata/root.json"] = signed.raw
    for path, data in _targets(signed, args.files).items():
        folder, slash, last = path.rpartition("/")
        # A client asks for whichever hash it likes best (TUF 1.0.34, section 6.2).
        for digest in signed.signed["targets"][path]["hashes"].values() if versioned else ("",):
            files[f"targets/{folder}{slash}{digest}{'.' if digest else ''}{last}"] = data
    names.check(files)
    return [part for name, data in files.items() for part in _one(to / name, data)]


def _consistent(opened: Bundle) -> bool:
    """Whether names carry versions: as the repository's root says, where that is here; else as PEP 458 has it."""
    above = opened.trusted
    return above is None or above.type != "root" or above.signed.get("consistent_snapshot") is not False


def _project(opened: Bundle, to: Path, args: argparse.Namespace) -> Sequence[str]:
    signed = complete(opened)
    files = [intake.read_file(Path(file), limit=_FILE_LIMIT) for file in args.files]
    return _one(to, project.write({opened.role: signed}, files))


def _targets(signed: Document, files: Sequence[str]) -> Mapping[str, bytes]:
    data = [intake.read_file(Path(file), limit=_FILE_LIMIT) for file in files]
    return project.placed([signed], data)


def complete(opened: Bundle) -> Document:
    """The signed document of a bundle whose thresholds are met.

    Raises:
        NotTrusted: E-THRESHOLD, one is not.
    """
    for count in opened.tallies():
        if not count.met:
            raise NotTrusted(
                f"signed by {count.sentence} only",
                where=printable(str(opened.path), 200),
                do="collect the missing signatures; nothing was written",
                code="E-THRESHOLD",
            )
    return opened.signed_document()


def _one(path: Path, data: bytes) -> list[str]:
    drives.write_file(path, data)
    return [str(path)]


_WRITERS: Mapping[str, Callable[[Bundle, Path, argparse.Namespace], Sequence[str]]] = {
    "rstuf-bootstrap": _bootstrap,
    "rstuf-update": _update,
    "rstuf-sign": _signatures,
    "tuf-on-ci": _checkout_of,
    "go-tuf": _detached,
    "repository": _repository,
    "project": _project,
}
