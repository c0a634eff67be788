"""Where a bundle that came stands against what is here: another bundle, or metadata that is published already.

Vestry keeps no list of what it has seen. What is known here is what lies here: the bundle of that name, those beside
it, and the metadata that a person names. A document that any of them has gone past is not signed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from vestry.errors import InputRejected
from vestry.media.repository import Link
from vestry.metadata import document
from vestry.metadata.document import Document
from vestry.text import Safe, printable

if TYPE_CHECKING:
    from vestry.media.bundle import Bundle


def check_same(came: Bundle, here: Bundle) -> None:
    """Refuse a bundle of another document than the one that is here.

    Raises:
        InputRejected: E-BUNDLE-REPOSITORY, E-BUNDLE-SUPERSEDED, or E-BUNDLE-OTHER where it is neither of them.
    """
    if (came.role, came.document.digest) == (here.role, here.document.digest):
        return
    if came.role == here.role and not related(came, here):
        raise _other_repository(came, f"{_named(here)} is here")
    if came.role == here.role and came.document.version < here.document.version:
        raise _superseded(came, f"{_titled(here)} is here")
    raise InputRejected(
        f"this bundle holds {_titled(came)} with another digest than the {_titled(here)} that is here",
        where=_where(came),
        do="collect bundles of one document only; import another one into a folder of its own",
        code="E-BUNDLE-OTHER",
    )


def check_beside(came: Bundle, beside: Iterable[Bundle]) -> list[str]:
    """Refuse a document that bundles beside it supersede.

    Returns:
        A line for each other draft of the same version.

    Raises:
        InputRejected: E-BUNDLE-SUPERSEDED.
    """
    others = []
    for here in beside:
        if here.role != came.role or not related(came, here):
            continue
        if came.document.version < here.document.version:
            raise _superseded(came, f"{_titled(here)} lies beside it, in {printable(here.path.name, 80)}")
        if (came.document.version, came.document.digest) == (here.document.version, here.document.digest):
            continue
        if came.document.version == here.document.version:
            others.append(
                f"Another {_titled(here)} lies in {printable(here.path.name, 80)}: ask which is to be signed."
            )
    return others


def check_known(came: Bundle, known: Sequence[Link]) -> None:
    """Refuse what published metadata contradicts or supersedes: `known` is in the order of trust, roots first.

    Raises:
        InputRejected: E-BUNDLE-REPOSITORY, E-BUNDLE-SUPERSEDED; E-CHAIN where what lies between is not known.
    """
    roots = [link.document for link in known if link.role == "root"]
    if came.role == "root":
        _check_root(came, roots)
        return
    assert came.trusted is not None, "every role but root comes with what delegates to it"
    if came.trusted.type == "root":
        _check_delegator(came, roots)
    else:
        _check_delegator(came, [link.document for link in known if link.role not in ("root", came.role)])
    newest = next((link.document for link in reversed(known) if link.role == came.role), None)
    if newest is not None and came.document.version <= newest.version:
        raise _superseded(came, f"{printable(came.role, 40)} v{newest.version} is known")


def related(one: Bundle, other: Bundle) -> bool:
    """Whether two bundles are for one repository, as far as they tell: a key in common, and no two different names."""
    named = one.repository and other.repository and one.repository != other.repository
    return not named and bool(_signers(one) & _signers(other))


def _check_root(came: Bundle, roots: Sequence[Document]) -> None:
    newest, version = roots[-1], came.document.version
    before = next((r for r in roots if r.version == version - 1), None)
    ours = before is not None and came.trusted is not None and before.digest == came.trusted.digest
    same = any(r.digest == came.document.digest for r in roots)
    if not (ours or same) and (before is not None or not _shares(came, newest)):
        raise _other_repository(came, f"it does not follow a root that is known; the newest is v{newest.version}")
    if version <= newest.version:
        raise _superseded(came, f"root v{newest.version} is known")
    if not ours:
        raise _gap(came, f"root v{newest.version} is the newest that is known")


def _check_delegator(came: Bundle, known: Sequence[Document]) -> None:
    trusted = came.trusted
    assert trusted is not None
    if not known or known[-1].digest == trusted.digest or (trusted.type != "root" and trusted in known):
        return
    newest = max(known, key=lambda d: d.version)
    if not _shares(came, newest):
        raise _other_repository(came, "what delegates to it is not known")
    if trusted.version <= newest.version:
        raise _superseded(came, f"its keys are those of {_of(trusted)}, and {_of(newest)} is known")
    raise _gap(came, f"{_of(trusted)} decides its keys, and is not known")


def _shares(came: Bundle, known: Document) -> bool:
    theirs = {key.fingerprint for key in document.keys(known).values()}
    mine = {key.fingerprint for key in document.keys(came.trusted or came.document).values()}
    return bool(theirs & (mine | _signers(came)))


def _signers(bundle: Bundle) -> set[str]:
    return {key.fingerprint for authority in bundle.authorities() for key in authority.keys}


def _titled(bundle: Bundle) -> str:
    return f"{printable(bundle.role, 40)} v{bundle.document.version}"


def _of(known: Document) -> str:
    return f"{printable(known.type, 40)} v{known.version}"


def _named(bundle: Bundle) -> str:
    return (
        f"that of '{printable(bundle.repository, 80)}'"
        if bundle.repository
        else f"one of other keys, {_titled(bundle)},"
    )


def _where(bundle: Bundle) -> Safe:
    return printable(str(bundle.path), 200)


def _other_repository(came: Bundle, why: str) -> InputRejected:
    name = f", '{printable(came.repository, 80)}'" if came.repository else ""
    return InputRejected(
        f"this bundle is for another repository{name}: {why}",
        where=_where(came),
        do="nothing was written; ask whoever sent it",
        code="E-BUNDLE-REPOSITORY",
    )


def _superseded(came: Bundle, why: str) -> InputRejected:
    return InputRejected(
        f"{_titled(came)} is superseded: {why}",
        where=_where(came),
        do="nothing was written; sign the newest only",
        code="E-BUNDLE-SUPERSEDED",
    )


def _gap(came: Bundle, why: str) -> InputRejected:
    return InputRejected(
        f"{_titled(came)} can't be held against what is known: {why}",
        where=_where(came),
        do="name the metadata in between, too: --known",
        code="E-CHAIN",
    )
