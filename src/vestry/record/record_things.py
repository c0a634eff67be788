"""Tokens and keys in the record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vestry.ceremony import events as e
from vestry.ceremony import script as s
from vestry.ceremony.drafts import ceremony_key, online_key
from vestry.ceremony.replay import ReplayStep
from vestry.ceremony.state import State
from vestry.errors import VestryError
from vestry.metadata.keys import Key
from vestry.record import page
from vestry.record.page import Html, facts, join, lead, paragraph, section, text

_UNTOLD = "not told"


def tokens(lines: Sequence[ReplayStep], state: State) -> Html:
    """Each token of the script as it presented itself: model, serial, firmware, module and its digest."""
    parts = [_token(lines, spec) for spec in state.script.tokens]
    return join(parts) if parts else paragraph(text("None."))


def _token(lines: Sequence[ReplayStep], spec: s.TokenSpec) -> Html:
    pairs: list[tuple[str, Html]] = [("Holder", text(spec.holder))]
    erased: e.InitialiseIntended | None = None
    for line in lines:
        event, at = line.recorded.event, line.recorded.at
        if isinstance(event, e.InitialiseIntended) and event.token == spec.name:
            erased = event
            pairs += _module(event.module, event.module_sha256)
            before = ", ".join(event.before) or "nothing that shows without a PIN"
            pairs.append(("Before", text(f"{at}: serial {event.serial or _UNTOLD}; it listed: {before}")))
        elif isinstance(event, e.TokenInitialised) and event.token == spec.name:
            pairs += _device(event)
            left = ", ".join(event.left) or "nothing"
            device = f"; of the device itself: {', '.join(event.device)}" if event.device else ""
            pairs.append(("Erased", text(f"{at}; after it, it listed {left}{device}")))
        elif isinstance(event, e.TokenAdopted) and event.token == spec.name:
            pairs += [*_module(event.module, event.module_sha256), *_device(event)]
            pairs.append(("Taken as it is", text(f"{at}; it lists: {', '.join(event.holds) or 'nothing'}")))
        elif isinstance(event, e.TokenConfirmed) and event.token == spec.name:
            if erased is None and not any(name == "Serial" for name, _ in pairs):
                pairs.append(("Serial", text(event.serial)))
            pairs.append(("Read off the device", text(f"{at}: {event.digits}, the end of serial {event.serial}")))
    if len(pairs) == 1:
        pairs.append(("In this ceremony", text("not used")))
    return section(f"Token '{spec.name}'", facts(pairs), level=3)


def _module(name: str, sha256: str) -> list[tuple[str, Html]]:
    digest = page.hexadecimal(sha256) if sha256 else text("none: no module of its own")
    return [("Module", text(name)), ("SHA-256 of the module", digest)]


def _device(event: e.TokenInitialised | e.TokenAdopted) -> list[tuple[str, Html]]:
    return [
        ("Model", text(f"{event.manufacturer} {event.model}".strip() or _UNTOLD)),
        ("Serial", text(event.serial or _UNTOLD)),
        ("Label", text(event.label or _UNTOLD)),
        ("Firmware", text(event.firmware or _UNTOLD)),
    ]


def keys(lines: Sequence[ReplayStep], state: State) -> Iterator[Html]:
    """Each key with its id and fingerprint in hex and words, and what its token and its maker said of it."""
    yield paragraph(
        text("The key id is the SHA-256 of the key as TUF writes it; the fingerprint that of its SubjectPublicKeyInfo.")
    )
    for spec in state.script.keys:
        yield section(f"Key '{spec.name}'", *_key(lines, state, spec), level=3)
    online = online_key(state)
    if online is not None:
        yield section("The online key", facts([("Scheme", text(online.scheme))]), *_names(online), level=3)


def _key(lines: Sequence[ReplayStep], state: State, spec: s.KeySpec) -> Iterator[Html]:
    pairs: list[tuple[str, Html]] = [
        ("Holder, token", text(f"{spec.holder}, '{spec.token}'")),
        ("Roles", text(", ".join(spec.roles) + ("; leaves with this ceremony" if spec.leaves else ""))),
    ]
    try:
        key = ceremony_key(state, spec)
    except VestryError:
        yield facts([*pairs, ("In this ceremony", text("not made"))])
        return
    pairs.append(("Scheme", text(f"{key.scheme}, {key.bits} bits" if key.keytype == "rsa" else key.scheme)))
    if not spec.new:
        pairs.append(("Origin", text("named by the root before")))
    for line in lines:
        pairs += _about(line, spec.name)
    known = state.keys.get(spec.name)
    if known is not None and not known.destroyed:
        kept = f"still there: {known.kept}" if known.kept else "on its token"
        pairs.append(("At the end", text(kept)))
    yield facts(pairs)
    yield from _names(key)


def _about(line: ReplayStep, name: str) -> Iterator[tuple[str, Html]]:
    event, at = line.recorded.event, line.recorded.at
    if isinstance(event, e.KeyGenerated | e.KeyTaken) and event.key == name:
        yield ("Made" if isinstance(event, e.KeyGenerated) else "Taken from its token"), text(at)
        yield "Place", text(event.uri)
        yield "The token says", text(", ".join(f"{k}: {v}" for k, v in event.facts.items()) or "nothing")
        if event.certificates:
            found = f"; findings accepted: {', '.join(event.findings)}" if event.findings else "; no finding"
            yield "Certificates", text(f"{len(event.certificates)} came with it{found}")
    elif isinstance(event, e.KeyDestroyed) and event.key == name:
        yield "Destroyed", text(f"{at}; the token then listed {len(event.left)} other keys")


def _names(key: Key) -> Iterator[Html]:
    yield lead(text("Key id:"))
    yield page.digest(key.keyid)
    yield lead(text("Fingerprint:"))
    yield page.digest(key.fingerprint)
