"""The folder that travels: one unsigned document, the document that decides who signs it, one file a signature.

    bundle.json             format, role, version, digest, names of holders, length and SHA-256 of the two documents
    unsigned/<role>.json    the document, without signatures
    trusted/<n>.<role>.json the root before this one, or the document that delegates to this one; absent at root v1
    previous/<n>.<role>.json  the version before this one, where it is no root and there is one to compare with
    signatures/<keyid>.json {"keyid", "sig"}; as many as there are
    certificates/<keyid>.pem  what vouches for a key (an attestation, a certificate), where there is something
    SHA256SUMS              for ``sha256sum -c``

Everything but ``signatures/`` and ``certificates/`` is fixed when the bundle is made. A signature is proof of itself,
so copying signature files together, in any order and any number of times, gives the same bundle as `collect`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vestry.errors import InputRejected, NotTrusted, Refused
from vestry.media import description, drives, entries, evidence, fitting, names, signatures, standing
from vestry.media.aside import SetAside
from vestry.media.description import Description
from vestry.metadata import document, intake, layout
from vestry.metadata.document import Document, Signature
from vestry.metadata.services import Service
from vestry.metadata.thresholds import Authority, Tally, holds, tally
from vestry.text import printable

_SUM_LINE = re.compile(r"([0-9a-f]{64}) [ *]([^\n]+)")


@dataclass(frozen=True)
class Bundle:
    """A bundle as it was read.

    `document` is the unsigned document, `trusted` the one that decides its keys (None at root v1), `previous` what to
    compare it with where that is not `trusted`; `signatures` are all found, verified or not; `certificates` maps key
    ids to PEM, which nothing here judges. `holders` maps key ids to names, `repository` says whose metadata it is,
    `service` where the document goes, and `notes` are lines for the signers: hints of whoever made the bundle, which
    nobody signed. `signers` are who must sign a layout, which no document says.
    """

    path: Path
    role: str
    document: Document
    trusted: Document | None = None
    previous: Document | None = None
    holders: Mapping[str, str] = field(default_factory=dict)
    repository: str = ""
    notes: tuple[str, ...] = ()
    service: Service = ""
    signers: Authority | None = None
    signatures: tuple[Signature, ...] = ()
    certificates: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """``root v3``; a layout has no version. Printable."""
        version = f" v{self.document.version}" if self.document.version else ""
        return f"{printable(self.role, 80)}{version}"

    def authorities(self) -> tuple[Authority, ...]:
        """Who must sign."""
        return (self.signers,) if self.signers else fitting.signers(self.role, self.document, self.trusted)

    def vouching(self) -> Mapping[str, str]:
        """Certificates for keys that must sign; those for others stay behind."""
        asked = {key.keyid for authority in self.authorities() for key in authority.keys}
        return {keyid: text for keyid, text in self.certificates.items() if keyid in asked}

    def as_found(self) -> Document:
        """The document with every signature file, valid or not."""
        return layout.with_signatures(self.document, self.signatures)

    def signed_document(self) -> Document:
        """The document with the signatures that verify with a key that an authority names, and no other."""
        who = self.authorities()
        held = (s for s in self.signatures if not problem(who, s, self.document))
        return layout.with_signatures(self.document, held)

    def tallies(self) -> tuple[Tally, ...]:
        """Who has signed, under each authority."""
        found = self.as_found()
        return tuple(tally(found, authority) for authority in self.authorities())

    def contents(self) -> Mapping[str, bytes]:
        """All files of the bundle, for an export."""
        return files(
            self.role,
            self.as_found(),
            trusted=self.trusted,
            previous=self.previous,
            holders=self.holders,
            repository=self.repository,
            notes=self.notes,
            service=self.service,
            certificates=self.certificates,
            signers=self.signers,
        )


@dataclass(frozen=True)
class Collected:
    """What `collect` did: key ids added and already there, and what was set aside."""

    bundle: Bundle
    added: tuple[str, ...]
    known: tuple[str, ...]
    set_aside: tuple[SetAside, ...]


def files(
    role: str,
    signed: Document,
    *,
    trusted: Document | None = None,
    previous: Document | None = None,
    holders: Mapping[str, str] | None = None,
    repository: str = "",
    notes: tuple[str, ...] = (),
    service: Service = "",
    certificates: Mapping[str, str] | None = None,
    signers: Authority | None = None,
) -> Mapping[str, bytes]:
    """All files of a bundle of `signed` by name, ``SHA256SUMS`` included. Pure: same input, same bytes."""
    unsigned = layout.with_signatures(signed, ()) if signed.signatures else signed
    fixed = {f"unsigned/{names.safe_part(role)}.json": unsigned.raw}
    if trusted is not None:
        fixed[_trusted_name(trusted)] = trusted.raw
    if previous is not None:
        fixed[_previous_name(role, previous)] = previous.raw
    facts = {name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in fixed.items()}
    said = Description(
        role, unsigned.version, unsigned.digest, facts, holders or {}, repository, notes, service, signers
    )
    found = {"bundle.json": said.encode(), **fixed}
    found |= {signatures.name(s.keyid): signatures.encode(s) for s in signed.signatures}
    found |= {evidence.name(keyid): text.encode() for keyid, text in (certificates or {}).items()}
    return found | {drives.SUMS: drives.sums(found)}


def create(
    folder: Path,
    *,
    role: str,
    unsigned: bytes,
    trusted: bytes | Document | None = None,
    previous: bytes | Document | None = None,
    holders: Mapping[str, str] | None = None,
    repository: str = "",
    notes: tuple[str, ...] = (),
    service: Service = "",
    certificates: Mapping[str, str] | None = None,
    signers: Authority | None = None,
) -> Bundle:
    """Make a bundle in `folder`, which must not exist, be empty, or hold one that was cut short.

    Raises:
        InputRejected: a document is malformed, or does not fit the other.
        NotTrusted: the trusted root does not meet its own threshold, or the previous version not that of the trusted
            document.
        Refused: something is in `folder` already.
        MediumTrouble: it cannot be written.
    """
    before = _parsed(previous, "the previous version") if isinstance(previous, bytes) else previous
    new = _parsed(unsigned, "the unsigned document", before, signers)
    old = _parsed(trusted, "the trusted document") if isinstance(trusted, bytes) else trusted
    fitting.check(role, new, old, before, signers, where=printable(str(folder), 200))
    if folder.exists() and not entries.cut_short(folder):
        raise Refused(
            "something is there already",
            where=printable(str(folder), 200),
            do="name a folder that does not exist yet",
            code="E-BUNDLE-EXISTS",
        )
    said: dict[str, Any] = {
        "holders": holders,
        "repository": repository,
        "notes": notes,
        "service": service,
        "certificates": certificates,
        "signers": signers,
    }
    made = files(role, new, trusted=old, previous=before, **said)
    drives.export(made, folder)
    return of_files(made, folder, known=[d for d in (new, old, before) if d is not None])


def open_bundle(folder: Path) -> Bundle:
    """Read a bundle's folder and hold it against its own description. Signatures are read, not judged.

    Raises:
        InputRejected: not a bundle, or one with links, devices, extra files, odd names, too much in it, a digest or
            length that differs, or documents that do not fit each other; the first reason found.
        NotTrusted: as `create`.
        MediumTrouble: it can't be read.
    """
    return of_files(entries.read(folder), folder)


def of_files(found: Mapping[str, bytes], path: Path, *, known: Sequence[Document] = ()) -> Bundle:
    """A bundle of files that came together, by name; `path` is where they came from. As `open_bundle`. Documents whose
    files are `known` are not read again."""
    for name in ("bundle.json", drives.SUMS):
        if name not in found:
            raise InputRejected(
                f"{name} is missing, so this is no bundle or only part of one",
                where=_show(path),
                do="copy the whole folder again, or export it again",
                code="E-BUNDLE-PART",
            )
    said = description.parse(found["bundle.json"], where=_show(path / "bundle.json"))
    for name in found:
        if name not in said.files and name.split("/")[0] in description.DOCUMENTS:
            raise _bad(path / name, "bundle.json does not name this file", "remove it, or ask whoever made the bundle")
    contents = {name: _listed(path / name, found.get(name), facts) for name, facts in said.files.items()}
    new, old, before = _documents(said, contents, path, known)
    vouching = sorted(name for name in found if name.startswith(evidence.FOLDER))
    bundle = Bundle(
        path=path,
        role=said.role,
        document=new,
        trusted=old,
        previous=before,
        holders=said.holders,
        repository=said.repository,
        notes=said.notes,
        service=said.service,
        signers=said.signers,
        signatures=_signatures(found, path),
        certificates={Path(n).stem: evidence.parse(found[n], where=_show(path / n)) for n in vouching},
    )
    fitting.check(bundle.role, new, old, before, said.signers, where=_show(path))
    _check_sums(bundle, found, said)
    return bundle


def add_signature(bundle: Bundle, signature: Signature, certificates: str = "") -> Bundle:
    """Verify a signature, then write its file, and the `certificates` (PEM) that vouch for its key. A signature of the
    same key that verifies is left as it is.

    Raises:
        NotTrusted: no authority names the key, or it was made over other bytes; nothing is written.
        MediumTrouble: it cannot be written.
    """
    why = problem(bundle.authorities(), signature, bundle.document)
    if why:
        raise NotTrusted(
            why,
            where=printable(signature.keyid, 80),
            do="nothing was written; ask its holder to sign this bundle again",
            code="E-SIGNATURE-REFUSED",
        )
    who = bundle.authorities()
    kept = [s for s in bundle.signatures if s.keyid != signature.keyid]
    there = [s for s in bundle.signatures if s.keyid == signature.keyid and not problem(who, s, bundle.document)]
    if there:
        return bundle
    after = replace(bundle, signatures=tuple(sorted([*kept, signature], key=lambda s: s.keyid)))
    if certificates and signature.keyid not in bundle.certificates:
        after = replace(after, certificates={**bundle.certificates, signature.keyid: certificates})
        drives.write_file(bundle.path / evidence.name(signature.keyid), certificates.encode())
    drives.write_file(bundle.path / signatures.name(signature.keyid), signatures.encode(signature))
    # Sums last: until they are there, the signature is in the folder as one that was copied in by hand. They are over
    # the files as they lie there, since another program may have laid out the same JSON in another way.
    drives.write_file(bundle.path / drives.SUMS, drives.sums(entries.read(bundle.path)))
    return after


def collect(bundle: Bundle, others: Iterable[Bundle] = (), loose: Iterable[tuple[Signature, str]] = ()) -> Collected:
    """Add the signatures of other bundles of the same document, and `loose` ones, each with where it was found. Any
    order, any number of times, the same result.

    A signature that does not verify, or whose key no authority names, is set aside and reported.

    Raises:
        InputRejected: a bundle is about another document.
        MediumTrouble: a signature cannot be written.
    """
    added: list[str] = []
    known: list[str] = []
    aside: list[SetAside] = []
    valid = {s.keyid for s in bundle.signed_document().signatures}
    for signature, where, certificates in _came(bundle, others, loose):
        why = problem(bundle.authorities(), signature, bundle.document)
        if why:
            aside.append(SetAside(signature, where, why))
        elif signature.keyid in valid:
            known.append(signature.keyid)
        else:
            bundle = add_signature(bundle, signature, certificates)
            valid.add(signature.keyid)
            added.append(signature.keyid)
    return Collected(bundle, tuple(added), tuple(dict.fromkeys(known)), tuple(aside))


def _came(
    bundle: Bundle, others: Iterable[Bundle], loose: Iterable[tuple[Signature, str]]
) -> Iterator[tuple[Signature, str, str]]:
    """Signatures that came back, each with where from, and what vouches for its key."""
    for other in others:
        where = printable(str(other.path), 200)
        standing.check_same(other, bundle)
        yield from ((s, where, other.certificates.get(s.keyid, "")) for s in other.signatures)
    yield from ((s, where, "") for s, where in loose)


def problem(who: tuple[Authority, ...], signature: Signature, signed: Document) -> str:
    """Why a signature does not count; empty where it does."""
    keys = [key for authority in who for key in authority.keys if key.keyid == signature.keyid]
    if not keys:
        return "no document names this key for this role"
    # Old and new root may give one id to two keys; only a signature that holds under each of them counts anywhere.
    if not all(holds(signed, key, signature.sig) for key in keys):
        return "the signature does not verify over these bytes"
    return ""


def _listed(path: Path, data: bytes | None, facts: tuple[int, str]) -> bytes:
    length, digest = facts
    if data is None:
        raise _bad(path, "this file is missing", code="E-BUNDLE-PART")
    if len(data) != length:
        raise _bad(path, f"{len(data)} bytes, where bundle.json says {length}", code="E-BUNDLE-DIGEST")
    if hashlib.sha256(data).hexdigest() != digest:
        raise _bad(path, "its SHA-256 is not the one that bundle.json says", code="E-BUNDLE-DIGEST")
    return data


def _documents(
    said: Description, contents: Mapping[str, bytes], folder: Path, known: Sequence[Document]
) -> tuple[Document, Document | None, Document | None]:
    """The unsigned document, the trusted one and the previous version."""
    by_folder = {name.split("/")[0]: name for name in contents}

    def read(inner: str, before: Document | None = None) -> Document | None:
        if (name := by_folder.get(inner)) is None:
            return None
        there = next((d for d in known if d.raw is contents[name]), None)
        return there if there is not None else _parsed(contents[name], _show(folder / name), before, said.signers)

    old, previous = read("trusted"), read("previous")
    new = read("unsigned", previous)
    assert new is not None, "bundle.json names an unsigned document"
    if (new.version, new.digest) != (said.version, said.digest):
        raise _bad(
            folder / "bundle.json", "version or digest differ from the unsigned document's", code="E-BUNDLE-DIGEST"
        )
    wanted = {f"unsigned/{names.safe_part(said.role)}.json"} | ({_trusted_name(old)} if old is not None else set())
    wanted |= {_previous_name(said.role, previous)} if previous is not None else set()
    if set(contents) != wanted:
        raise _bad(folder / "bundle.json", f"the documents should be named {' and '.join(sorted(wanted))}")
    return new, old, previous


def _parsed(raw: bytes, where: str, before: Document | None = None, signers: Authority | None = None) -> Document:
    limits = intake.Limits(bytes=description.DOCUMENT_LIMIT)
    if signers is not None:
        return layout.read(raw, where=where, limits=limits)
    return document.read(raw, where=where, limits=limits, before=before)


def _signatures(found: Mapping[str, bytes], path: Path) -> tuple[Signature, ...]:
    names_ = sorted(name for name in found if name.startswith("signatures/"))
    return tuple(signatures.parse(found[n], Path(n).stem, where=_show(path / n)) for n in names_)


def _check_sums(bundle: Bundle, found: Mapping[str, bytes], said: Description) -> None:
    """Hold SHA256SUMS against the files, of which the documents are what `said` has of them. A signature may be newer
    than the sums: if it verifies, it needs none."""
    path = bundle.path / drives.SUMS
    listed: dict[str, str] = {}
    for line in found[drives.SUMS].decode("ascii", "replace").splitlines():
        match = _SUM_LINE.fullmatch(line)
        if match is None or match[2] in listed:
            raise _bad(path, "a line is not '<sha256>  <name>', or names a file twice")
        listed[match[2]] = match[1]
    for name in sorted(set(found) - set(listed) - {drives.SUMS}):
        if not name.startswith("signatures/") and not _vouched(bundle, name):
            raise _bad(path, f"it does not list {name}", code="E-BUNDLE-DIGEST")
    who = bundle.authorities()
    for name, digest in listed.items():
        if name not in found or name == drives.SUMS:
            raise _bad(path, f"it lists {printable(name, 120)}, which is not there", code="E-BUNDLE-PART")
        actual = said.files[name][1] if name in said.files else hashlib.sha256(found[name]).hexdigest()
        if actual == digest:
            continue
        held = [s for s in bundle.signatures if signatures.name(s.keyid) == name]
        if not held or problem(who, held[0], bundle.document):
            raise _bad(bundle.path / name, f"its SHA-256 is not the one in {drives.SUMS}", code="E-BUNDLE-DIGEST")


def _vouched(bundle: Bundle, name: str) -> bool:
    """Certificates may be newer than the sums, like signatures: they must then be for the key that names their file."""
    keys = {evidence.name(key.keyid): key for authority in bundle.authorities() for key in authority.keys}
    return name in keys and evidence.fits(bundle.certificates[keys[name].keyid], keys[name].spki)


def _show(path: Path) -> str:
    return printable(str(path), 200)


def _trusted_name(trusted: Document) -> str:
    return f"trusted/{trusted.version}.{names.safe_part(trusted.type)}.json"


def _previous_name(role: str, previous: Document) -> str:
    return f"previous/{previous.version}.{names.safe_part(role)}.json"


def _bad(path: Path, what: str, do: str = "copy the bundle again", code: str = "E-BUNDLE") -> InputRejected:
    return InputRejected(what, where=_show(path), do=do, code=code)
