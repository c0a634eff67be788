"""The events of a ceremony, one frozen type each. A transcript is a list of them; all else is a fold.

Fields are JSON-ready: strings, integers, booleans, tuples and string-keyed mappings of these. Digests are lower-case
hex SHA-256; keys are PEM SubjectPublicKeyInfo; signatures are hex as TUF stores them. No event has a place for a
secret.
An *intent* is written before a token acts and names what it is about to do; the event that answers it names its
line number as `intent`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

FORMAT = 1
"""The version of these events that `Opened` names."""


@dataclass(frozen=True)
class Opened:
    """Line 0. `inputs` maps each input's name to its whole text (PEM or JSON), so that the transcript stands alone."""

    format: int
    software: str
    software_sha256: str
    script_sha256: str
    script: str
    inputs: Mapping[str, str]
    rehearsal: bool


@dataclass(frozen=True)
class Resumed:
    """The program was started again. `torn_bytes` and `torn_sha256` commit to bytes of an unfinished line before it."""

    software: str
    software_sha256: str
    torn_bytes: int
    torn_sha256: str


@dataclass(frozen=True)
class Said:
    """Step `step` (0-based) was read out and done; `recorded` is what people wrote down."""

    step: int
    recorded: Mapping[str, str]


@dataclass(frozen=True)
class Gathered:
    """These people are present, on an administrator's word."""

    step: int
    people: tuple[str, ...]


@dataclass(frozen=True)
class PreflightTaken:
    """What the machine showed: each check's name mapped to ``pass``, ``warn``, ``stop`` or ``cannot tell`` (once
    ``unknown``) and one line."""

    step: int
    checks: Mapping[str, tuple[str, str]]
    waived: Mapping[str, str]


@dataclass(frozen=True)
class NetworkSeen:
    """The network was looked at again, as before each signature, and is not as it was recorded last (here or by
    `PreflightTaken`): verdict and line as there."""

    verdict: str
    text: str


@dataclass(frozen=True)
class InitialiseIntended:
    """About to erase a token and set its PIN. `serial` is what it shows now (may be empty on a blank one), `before`
    what it lists now without a PIN; `others` are the serials of initialised tokens in the same module, so that a stray
    one can be told after a crash. Keys of this ceremony on the token are given up."""

    token: str
    module: str
    module_sha256: str
    serial: str
    before: tuple[str, ...]
    others: tuple[str, ...]


@dataclass(frozen=True)
class TokenInitialised:
    """The token was erased; this is how it presents itself now. `left` is all it lists after login, and proves that
    nothing of before survives; `device` are objects that belong to the device itself (its maker's attestation key)."""

    intent: int
    token: str
    serial: str
    label: str
    manufacturer: str
    model: str
    firmware: str
    left: tuple[str, ...]
    device: tuple[str, ...]


@dataclass(frozen=True)
class TokenAdopted:
    """A token that the script does not erase was unlocked by its holder; `holds` is all it lists after login."""

    token: str
    module: str
    module_sha256: str
    serial: str
    label: str
    manufacturer: str
    model: str
    firmware: str
    holds: tuple[str, ...]


@dataclass(frozen=True)
class TokenConfirmed:
    """The holder typed the last characters of the serial, read off the device or its label."""

    token: str
    serial: str
    digits: str


@dataclass(frozen=True)
class GenerateIntended:
    """About to generate a key on a token. `before` are the fingerprints of the keys it has, so that a new one can be
    told after a crash."""

    key: str
    token: str
    serial: str
    scheme: str
    bits: int
    before: tuple[str, ...]


@dataclass(frozen=True)
class KeyGenerated:
    """Read back from the token. `challenge` (hex) and `proof` (a signature over it, hex) show possession; `found` says
    that the key was on the token when an intent without a result was looked into. `certificates` (PEM) are those that
    the token, or its maker's files, show for the key: attestations and any other; `findings` are what was found in
    them and accepted."""

    intent: int
    key: str
    public: str
    keyid: str
    uri: str
    facts: Mapping[str, str]
    challenge: str
    proof: str
    found: bool
    certificates: tuple[str, ...]
    findings: tuple[str, ...]


@dataclass(frozen=True)
class KeyTaken:
    """A key that was on the token already, and proved itself there. Fields as in `KeyGenerated`."""

    key: str
    token: str
    serial: str
    public: str
    keyid: str
    uri: str
    facts: Mapping[str, str]
    challenge: str
    proof: str
    certificates: tuple[str, ...]
    findings: tuple[str, ...]


@dataclass(frozen=True)
class Drafted:
    """`sha256` of the unsigned file; `digest` of the canonical bytes that will be signed."""

    role: str
    version: int
    sha256: str
    digest: str
    length: int


@dataclass(frozen=True)
class DraftProved:
    """The set, signed with throwaway keys of the same kinds, was walked by a real client from the trusted root."""

    client: str
    digests: Mapping[str, str]


@dataclass(frozen=True)
class ReviewRead:
    """The review of a document was read. `findings` are the codes and places shown; `answers` what was answered;
    `silenced` the findings that the script wants nobody asked about, with its reasons; `overruled` the stops that
    people agreed do not hold here, with their names."""

    role: str
    digest: str
    changes: int
    findings: tuple[str, ...]
    answers: Mapping[str, str]
    silenced: Mapping[str, str]
    overruled: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Compared:
    """What is published was compared with a last good snapshot, whose lists of files are inputs. `counts` are the
    differences by kind, `sha256` is the digest of the file `name` that lists them, `answers` say what is done."""

    step: int
    counts: Mapping[str, int]
    name: str
    sha256: str
    answers: Mapping[str, str]


@dataclass(frozen=True)
class SignatureIntended:
    """About to sign. `words` are the words of the digest that the holder typed, by their 1-based places."""

    role: str
    digest: str
    keyid: str
    key: str
    serial: str
    words: Mapping[str, str]


@dataclass(frozen=True)
class SignatureAdded:
    """A signature that verifies with the key that the document names."""

    intent: int
    role: str
    digest: str
    keyid: str
    sig: str


@dataclass(frozen=True)
class SignatureImported:
    """A signature made elsewhere, taken from a medium; verified like any other."""

    role: str
    digest: str
    keyid: str
    sig: str
    source: str


@dataclass(frozen=True)
class ImportEnded:
    """No more signatures are taken in at this step."""

    step: int


@dataclass(frozen=True)
class IntentAbandoned:
    """An intent without a result was looked into; `found` says what the token shows. Nothing of it was kept."""

    intent: int
    found: str


@dataclass(frozen=True)
class Verified:
    """The signed documents hold: `files` maps file names to the SHA-256 of the signed files."""

    step: int
    client: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class DestroyIntended:
    """About to destroy a key."""

    key: str
    keyid: str
    token: str
    serial: str


@dataclass(frozen=True)
class KeyDestroyed:
    """The token no longer lists the key. `left` are the key ids that it still lists."""

    intent: int
    key: str
    keyid: str
    left: tuple[str, ...]


@dataclass(frozen=True)
class KeyKept:
    """A key that the script destroys was left as it is, with a reason, since its token did not let it be destroyed."""

    key: str
    keyid: str
    reason: str


@dataclass(frozen=True)
class Exported:
    """Written, synced, read back and compared. `files` maps names below `to` to SHA-256."""

    step: int
    to: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class SealOpened:
    """What the seals are about: the outputs and their digests. The seals name this event's head."""

    step: int
    subjects: Mapping[str, str]


@dataclass(frozen=True)
class SealIntended:
    """About to sign a seal with a token."""

    person: str
    agree: bool
    keyid: str


@dataclass(frozen=True)
class Sealed:
    """A seal: DSSE envelope (JSON text) over an in-toto Statement, with its `agree` and `reason`."""

    intent: int
    person: str
    agree: bool
    reason: str
    envelope: str


@dataclass(frozen=True)
class TroubleMet:
    """A token or medium failed, or refused a PIN: `code` and one line. Nothing else changes by it."""

    token: str
    code: str
    text: str


@dataclass(frozen=True)
class ExceptionNoted:
    """Something off the script, in someone's words."""

    step: int
    text: str


@dataclass(frozen=True)
class StepSkipped:
    """Step `step`, the one at hand, is passed over for `reason`; `people` are those who agreed to it."""

    step: int
    reason: str
    people: tuple[str, ...]


@dataclass(frozen=True)
class StepRepeated:
    """Step `step` is to be done again for `reason`; `people` agreed. What it gave is given up: for a provision step the
    `tokens` named and their keys, and with them all drafts and reviews. `aside` are the serials of devices that are not
    used again in this ceremony: another device takes the place."""

    step: int
    reason: str
    people: tuple[str, ...]
    tokens: tuple[str, ...]
    aside: tuple[str, ...]


@dataclass(frozen=True)
class ClockStated:
    """Someone read a watch: `watch` is what it said and `machine` what this machine's clock said then, both in UTC as
    ``YYYY-MM-DDTHH:MM:SSZ``; `seconds` is the first less the second."""

    watch: str
    machine: str
    seconds: int


@dataclass(frozen=True)
class ClockAnswered:
    """Why the ceremony goes on with a clock that is in doubt; `people` agreed."""

    reason: str
    people: tuple[str, ...]


@dataclass(frozen=True)
class Withheld:
    """Whoever published this copy withholds what happened here.

    No line is ever written with it: see `chain`."""


Event = (
    Opened
    | Resumed
    | Said
    | Gathered
    | PreflightTaken
    | NetworkSeen
    | InitialiseIntended
    | TokenInitialised
    | TokenAdopted
    | TokenConfirmed
    | GenerateIntended
    | KeyGenerated
    | KeyTaken
    | Drafted
    | DraftProved
    | ReviewRead
    | Compared
    | SignatureIntended
    | SignatureAdded
    | SignatureImported
    | ImportEnded
    | IntentAbandoned
    | Verified
    | DestroyIntended
    | KeyDestroyed
    | KeyKept
    | Exported
    | SealOpened
    | SealIntended
    | Sealed
    | TroubleMet
    | ExceptionNoted
    | StepSkipped
    | StepRepeated
    | ClockStated
    | ClockAnswered
    | Withheld
)


class Recorded(NamedTuple):
    """An event in its transcript: line number, UTC time (``YYYY-MM-DDTHH:MM:SSZ``), monotonic nanoseconds, and the
    person who acted. `head` is the chain's head after it, in hex. A withheld one has no time and nobody.

    A tuple, since one is made for each line that is read, and a frozen dataclass takes four times as long."""

    n: int
    at: str
    mono: int
    by: str
    event: Event
    head: str
