"""A script against the tokens that are here: what would come up in the middle of the ceremony comes up now.

No PIN is asked for and nothing on a token is changed. What is not here is a note: most scripts are checked at a desk.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from vestry.ceremony import forecast
from vestry.ceremony.bench import Bench
from vestry.ceremony.drafts import known_documents, known_key
from vestry.ceremony.problem import Case, Problem
from vestry.ceremony.reading import PREDECESSOR
from vestry.ceremony.script import KeySpec, TokenSpec
from vestry.ceremony.state import State
from vestry.errors import VestryError
from vestry.metadata.keys import Key
from vestry.text import printable
from vestry.tokens import capacity, naming, uri
from vestry.tokens.token import KeyKind, Token, TokenInfo

_ED25519 = "ed25519"


def look(case: Case, bench: Bench, *, day: str) -> tuple[Problem, ...]:
    """Problems of the script with the tokens that its modules show now.

    Args:
        case: Script and inputs.
        bench: Where tokens are found.
        day: The day documents are dated from where the script has none, ``YYYY-MM-DD``.
    """
    try:
        lengths = forecast.lengths(case.script, case.inputs, day=day)
    except (VestryError, KeyError, ValueError):
        lengths = {}  # told by `order.check`
    taken: set[str] = set()
    return tuple(
        problem
        for index, spec in enumerate(case.script.tokens)
        if spec.use != "software"
        for problem in _token(case, bench, index, spec, lengths, taken)
    )


def _token(
    case: Case, bench: Bench, index: int, spec: TokenSpec, lengths: Mapping[str, int], taken: set[str]
) -> Iterator[Problem]:
    """Problems of one token; its serial goes into `taken`, since one device is one holder's."""
    line = case.line("tokens", index)
    try:
        token = _find(case, bench, spec, taken)
        if token is not None:
            if token.info.serial:  # SoftHSM makes a new blank one whenever one is taken, and it has no serial
                taken.add(token.info.serial)
            yield from _looked_at(case, spec, token, line, lengths)
    except VestryError as error:
        here = error.code not in ("E-TOKEN-GONE", "E-MODULE-LOAD")
        text = f"token '{spec.name}' was not looked at: {printable(error.what, 200)}"
        yield Problem("stop" if here else "note", "TOKEN-TROUBLE" if here else "TOKEN-NOT-HERE", line, text)


def _looked_at(case: Case, spec: TokenSpec, token: Token, line: int, lengths: Mapping[str, int]) -> Iterator[Problem]:
    info, kinds = token.info, token.kinds()
    named = naming.of_holder(spec.holder, spec.name, info)
    if info.tries == "locked" and not spec.erase:
        yield Problem("stop", "TOKEN-LOCKED", line, f"the PIN of {named} is locked")
    elif info.tries in ("low", "last") and not spec.erase:
        yield Problem("warn", "TOKEN-TRIES", line, f"a wrong PIN was typed into {named}: few tries are left")
    if spec.erase and not info.reset and any(k.new for k in case.script.keys if k.token == spec.name):
        text = f"{named} can't be erased through its module: set it up with its maker's tool and write erase = false"
        yield Problem("stop", "TOKEN-NO-RESET", line, text)
    for place, key in case.numbered_keys:
        if key.token == spec.name and not key.leaves:
            yield from _key(case, place, key, token, named, kinds)
            yield from _size(case, place, key, info, named, lengths)


def _find(case: Case, bench: Bench, spec: TokenSpec, taken: Collection[str]) -> Token | None:
    """The token, as the ceremony would find it; None where a mistake in the script, told elsewhere, leaves it open."""
    keys = [k for k in case.script.keys if k.token == spec.name]
    if not spec.erase:
        return bench.named(spec)
    if any(k.new for k in keys):
        return bench.to_initialise(spec, taken)[0]
    if spec.serial:
        return bench.by_serial(spec, spec.serial, "")
    key = _known(case, keys[0]) if keys else None
    return bench.holding(spec, key) if key is not None else None


def _known(case: Case, key: KeySpec) -> Key | None:
    """A key that existed before; None where the input that tells of it is not there."""
    naming = key.public.name if key.public else "delegator" if case.script.given else PREDECESSOR
    if naming not in case.inputs:
        return None
    texts = {name: raw.decode() for name, raw in case.inputs.items()}
    return known_key(State(case.script, "", "", "", texts, known_documents(case.inputs)), key)


def _key(
    case: Case, place: int, key: KeySpec, token: Token, named: str, kinds: tuple[KeyKind, ...]
) -> Iterator[Problem]:
    line = case.line("keys", place)
    if key.taken:
        fitting = [k for k in token.public_keys() if uri.fits(key.like, uri.parse(k.uri))]
        if len(fitting) > 1 or (not fitting and token.public_keys()):
            text = f"{len(fitting) or 'no'} keys on {named} fit the uri of key '{key.name}'"
            yield Problem("stop", "KEY-URI", line, text)
    elif key.new and KeyKind(key.scheme, key.bits) not in kinds:
        bits = f" with {key.bits} bits" if key.bits else ""
        can = ", ".join(dict.fromkeys(f"{k.scheme}{f' {k.bits}' if k.bits else ''}" for k in kinds)) or "nothing"
        text = f"{named} makes no {key.scheme}{bits} key '{key.name}'; it makes {can}"
        yield Problem("stop", "KEY-NO-MECHANISM", case.line("keys", place, "scheme"), text)


def _size(
    case: Case, place: int, key: KeySpec, info: TokenInfo, named: str, lengths: Mapping[str, int]
) -> Iterator[Problem]:
    most = capacity.longest_ed25519(info)
    if key.new and key.scheme != _ED25519:
        return
    if not key.new and ((known := _known(case, key)) is None or known.scheme != _ED25519):
        return
    for role in key.roles:
        if most is not None and lengths.get(role, 0) > most:
            text = (
                f"key '{key.name}' is Ed25519, which signs whole documents: {role} will have {lengths[role]:,} bytes, "
                f"and {named} takes {most:,}; use ecdsa-sha2-nistp256 or -nistp384"
            )
            yield Problem("stop", "ED25519-SIZE", case.line("keys", place, "scheme"), text)
