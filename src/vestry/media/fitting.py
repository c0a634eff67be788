"""Whether the documents of a bundle belong together: which decides whose keys, and what follows what."""

from __future__ import annotations

import re

from vestry.errors import InputRejected, NotTrusted
from vestry.metadata import layout
from vestry.metadata.document import ROLES, Document
from vestry.metadata.thresholds import Authority, authorities, named, tally
from vestry.text import printable

_KEYID = re.compile(r"[0-9a-f]{64}")


def signers(role: str, new: Document, trusted: Document | None) -> tuple[Authority, ...]:
    """Who must sign `new`. `trusted` is the root before a root; for any other role what delegates to it."""
    if role == "root":
        return authorities(role, new, trusted=trusted, delegator=None)
    return authorities(role, new, trusted=None, delegator=trusted)


def check(
    role: str,
    new: Document,
    trusted: Document | None,
    previous: Document | None,
    signers: Authority | None = None,
    *,
    where: str,
) -> None:
    """Hold the documents of a bundle against each other. A layout comes alone, with its `signers`.

    Raises:
        InputRejected: they don't belong together.
        NotTrusted: the trusted root does not meet its own threshold, or the previous version not that of `trusted`:
            what is compared with it would be shown as unchanged, and nobody has vouched for it.
    """
    if new.signatures:
        raise _bad(where, "the unsigned document carries signatures")
    if signers is None:
        _check_role(role, new, trusted, previous, where)
    elif why := _not_a_layout(role, new, trusted or previous):
        raise _bad(where, why)


def _bad(where: str, what: str) -> InputRejected:
    return InputRejected(what, where=where, do="ask whoever made the bundle", code="E-BUNDLE-FIT")


def _check_role(role: str, new: Document, trusted: Document | None, previous: Document | None, where: str) -> None:
    kind = role if role in ROLES else "targets"
    if new.type != kind:
        raise _bad(where, f"the document is a {printable(new.type, 40)}, not the {printable(role, 40)} it should be")
    if role != "root" and trusted is None:
        raise _bad(where, "the document that delegates to this role is missing")
    ids = (key.keyid for authority in signers(role, new, trusted) for key in authority.keys)
    # A signature's file is named after it.
    if (odd := next((keyid for keyid in ids if not _KEYID.fullmatch(keyid)), None)) is not None:
        raise _bad(
            where, f"the key id '{printable(odd, 80)}' is not 64 lower-case hex digits, so nobody can sign with it"
        )
    if role == "root":
        if previous is not None:
            raise _bad(where, "a root is compared with the trusted root, and with no other version")
        if trusted is None:
            if new.version != 1:
                raise _bad(where, f"root v{new.version} comes without the root before it")
            return
        if trusted.type != "root" or trusted.version + 1 != new.version:
            raise _bad(where, f"root v{new.version} cannot follow {printable(trusted.type, 40)} v{trusted.version}")
        _holds(trusted, where)
        return
    if trusted is not None and named(trusted, role) is None:
        raise _bad(where, f"the trusted document does not delegate to {printable(role, 40)}")
    if previous is not None:
        if previous.type != new.type or previous.version >= new.version:
            raise _bad(where, f"v{new.version} cannot follow {printable(previous.type, 40)} v{previous.version}")
        _vouched(role, previous, trusted, where)


def _not_a_layout(role: str, new: Document, beside: Document | None) -> str:
    if (role, new.type) != (layout.TYPE, layout.TYPE) or beside is not None:
        return "signers are named here, which is for a layout that comes alone"
    why = layout.differs(new)
    return f"in-toto would read another layout than is signed: {printable(why, 120)}" if why else ""


def _holds(root: Document, where: str) -> None:
    for authority in authorities("root", root, trusted=None, delegator=None):
        if not (held := tally(root, authority)).met:
            raise NotTrusted(
                f"the trusted root v{root.version} is signed by {held.sentence} only",
                where=where,
                do="do not sign; start from a root that its own keys have signed",
                code="E-ROOT-UNSIGNED",
            )


def _vouched(role: str, previous: Document, trusted: Document | None, where: str) -> None:
    for authority in authorities(role, previous, delegator=trusted):
        if not (held := tally(previous, authority)).met:
            raise NotTrusted(
                f"the previous version, v{previous.version}, is signed by {held.sentence} only",
                where=where,
                do="do not sign; have the bundle made again",
                code="E-BUNDLE-PREVIOUS",
            )
