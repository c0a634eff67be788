"""A ceremony script as typed data. `reading.py` makes it from TOML, `order.py` proves its order before the day.

A script is complete: what is not in it cannot happen in the ceremony, exceptions aside. The schema has no place for a
secret. Every file it names is an `Input`, pinned by SHA-256.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from vestry.metadata.policy import DEFAULT, Policy
from vestry.tokens.uri import ANY, KeyUri

Office = Literal["administrator", "holder", "witness"]
Kind = Literal["root", "rotation", "delegated", "layout"]
Use = Literal["pkcs11", "software", "plugin"]
Attestation = Literal["wanted", "required", "files", "none"]


@dataclass(frozen=True)
class Input:
    """A file the script names: its path as written, and the SHA-256 it must have, in hex. `pin` is where that stands in
    the script: a table, its place where there are several, and a key. A `folder` is a snapshot of a repository, for
    which the list of its files stands (`media/snapshot.py`)."""

    name: str
    path: str
    sha256: str
    pin: tuple[str | int, ...] = field(default=(), compare=False)
    folder: bool = False


@dataclass(frozen=True)
class GivenSpec:
    """A document that comes as it will be signed: the next version of a delegated `role`, signed by whom `delegator`
    says; or an in-toto layout (`role` is ``layout``), signed by `threshold` of the script's keys. `before` is the
    version that it follows; none for a first one."""

    role: str
    draft: Input
    before: Input | None = None
    delegator: Input | None = None
    threshold: int = 0


@dataclass(frozen=True)
class Person:
    """Someone with a part in the ceremony. `name` is unique in a script; `key` is the public key, where it names one,
    with which that person seals."""

    name: str
    office: Office
    key: Input | None = None


@dataclass(frozen=True)
class TokenSpec:
    """A token by the script's own name for it.

    `module` is a well-known name (``softhsm2``, ``ykcs11``, ``opensc``) or an absolute path, or the name of a plug-in;
    empty for software tokens. `serial` is empty where it is only known once initialised. `security_officer` says what
    becomes of the SO PIN (on PIV, the PUK): typed by the holder, or random and forgotten. A token that is not to
    `erase` keeps its keys and PIN, and must show what `like` (RFC 7512) says. `attestation` says whether a maker's
    proof of each new key is looked for on the device, must hold, comes as files, or is not asked for.
    """

    name: str
    holder: str
    use: Use
    module: str = ""
    serial: str = ""
    security_officer: Literal["holder", "forgotten"] = "forgotten"
    erase: bool = True
    attestation: Attestation = "wanted"
    like: KeyUri = ANY


@dataclass(frozen=True)
class KeySpec:
    """A key by the script's own name for it.

    A new key has a `scheme` (and `bits` for RSA) and is generated on `token`, or, where `like` (RFC 7512) says which,
    is on the token already and is taken from there. A key that the predecessor (or the delegating document) already
    names has its `keyid` instead; `leaves` says that the new root no longer names it. A signer of a layout, which no
    document names, has its `public` half in a file.
    """

    name: str
    holder: str
    token: str
    roles: tuple[str, ...]
    scheme: str = ""
    bits: int = 0
    keyid: str = ""
    leaves: bool = False
    like: KeyUri = ANY
    public: Input | None = None

    @property
    def new(self) -> bool:
        """Whether this ceremony brings it in: generated, or taken from its token."""
        return not self.keyid and self.public is None

    @property
    def taken(self) -> bool:
        """Whether it is new here and on its token already."""
        return self.new and self.like != ANY


@dataclass(frozen=True)
class RoleSpec:
    """Threshold of a role and its life in days, counted from the script's date at 00:00:00Z. `before` is the document
    that a rotation's follows, `version` the new one's where it is not the next."""

    threshold: int
    days: int
    before: Input | None = None
    version: int = 0


@dataclass(frozen=True)
class BinsSpec:
    """The role `bins` and the hash bins below it. `number` is a power of two, 2 to 65,536 (PEP 458 takes 16,384).

    `style` is ``succinct`` (TAP 15) or ``prefixes`` (explicit path_hash_prefixes). A rotation keeps both as they are in
    `before`; `version` is as in `RoleSpec`.
    """

    threshold: int
    days: int
    number: int = 16384
    style: Literal["succinct", "prefixes"] = "succinct"
    before: Input | None = None
    version: int = 0


@dataclass(frozen=True)
class RstufSpec:
    """That the root goes to RSTUF, which signs targets and bins by itself. A first root's payload says how many hash
    `bins` there are and, by role, the `days` that each version lives; `online_key_uri` is where the service finds its
    key, its own folder of keys where empty."""

    bins: int = 0
    days: Mapping[str, int] = field(default_factory=dict)
    online_key_uri: str = ""


@dataclass(frozen=True)
class Step:
    """Common to all steps. `line` is the line of its ``[[steps]]`` in the script; `title` a few words for the rail."""

    title: str
    line: int = 0


@dataclass(frozen=True)
class SayStep(Step):
    """An instruction to people; each entry of `record` is something to write down (a bag number, a serial)."""

    text: str = ""
    record: tuple[str, ...] = ()


@dataclass(frozen=True)
class GatherStep(Step):
    """Everyone named is present; an administrator says so."""

    people: tuple[str, ...] = ()


@dataclass(frozen=True)
class PreflightStep(Step):
    """The machine is looked at; checks named in `require` must pass or be waived as an exception."""

    require: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProvisionStep(Step):
    """Initialise each token, set its PIN, generate its keys, read them back, prove possession."""

    tokens: tuple[str, ...] = ()


@dataclass(frozen=True)
class DraftStep(Step):
    """Draft the documents of `roles`, and prove them with throwaway keys and a real client."""

    roles: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReviewStep(Step):
    """Read the drafts of `roles` and answer what was found."""

    roles: tuple[str, ...] = ()


@dataclass(frozen=True)
class CompareStep(Step):
    """Compare what is published with a last good snapshot, and answer for what differs."""


@dataclass(frozen=True)
class SignStep(Step):
    """Collect signatures on `roles`: up to each threshold, or of every key that may sign."""

    roles: tuple[str, ...] = ()
    signers: Literal["threshold", "all"] = "threshold"


@dataclass(frozen=True)
class VerifyStep(Step):
    """Verify the signed documents of `roles` as a client would."""

    roles: tuple[str, ...] = ()


@dataclass(frozen=True)
class DestroyStep(Step):
    """Destroy the keys of `roles` on their tokens, and look that they are gone."""

    roles: tuple[str, ...] = ()


DRIVE = "drive"


@dataclass(frozen=True)
class ExportStep(Step):
    """Write to a medium: ``online`` the signed metadata, ``all`` everything but secrets. `to` is the folder that is
    suggested, or `DRIVE`: then people choose among the drives that are here."""

    what: Literal["online", "all"] = "online"
    to: str = "export"


@dataclass(frozen=True)
class ImportStep(Step):
    """Take in signatures of `role` that holders made elsewhere, from a folder."""

    role: str = "root"


@dataclass(frozen=True)
class SealStep(Step):
    """Each of `by` signs, with a root key, that the ceremony went as recorded, or that it did not."""

    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Script:
    """A whole script. `text` is the file as read, `sha256` its digest; `date` is ``YYYY-MM-DD`` or empty (then the
    day the transcript is opened counts), and so is `next`, the day of the next ceremony. `snapshots` are the last good
    one and the one now. `rehearsal` scripts are for practice and mark their documents so. `exceptions` is how many
    people must agree before a step is skipped or repeated (0: no step ever is); `clock_bound` how many seconds a watch
    may differ from the machine's clock before drafting stops."""

    title: str
    kind: Kind
    repository: str
    people: tuple[Person, ...]
    tokens: tuple[TokenSpec, ...]
    keys: tuple[KeySpec, ...]
    root: RoleSpec | None
    steps: tuple[Step, ...]
    targets: RoleSpec | None = None
    bins: BinsSpec | None = None
    given: GivenSpec | None = None
    online: Input | None = None
    online_scheme: str = ""
    predecessor: Input | None = None
    anchors: Input | None = None
    rstuf: RstufSpec | None = None
    snapshots: tuple[Input, ...] = ()
    policy: Policy = DEFAULT
    date: str = ""
    next: str = ""
    rehearsal: bool = False
    exceptions: int = 2
    clock_bound: int = 120
    text: str = field(default="", repr=False)
    sha256: str = ""

    @property
    def inputs(self) -> tuple[Input, ...]:
        """All files the script names."""
        before = [spec.before for spec in (self.targets, self.bins) if spec is not None]
        given = [self.given.draft, self.given.before, self.given.delegator] if self.given else []
        keys = [key.public for key in self.keys] + [person.key for person in self.people]
        named = (self.predecessor, *before, *given, self.online, *keys, self.anchors, *self.snapshots)
        return tuple(i for i in named if i is not None)

    @property
    def drafted(self) -> tuple[str, ...]:
        """The roles whose documents this ceremony makes, from the delegating to the delegated. A rotation makes only
        those that follow a document."""
        if self.given is not None:
            return (self.given.role,)
        made = [r for r, spec in (("targets", self.targets), ("bins", self.bins)) if spec and self._makes(spec)]
        return ("root", *made)

    def _makes(self, spec: RoleSpec | BinsSpec) -> bool:
        return self.kind == "root" or spec.before is not None

    @cached_property  # asked at each line of a replay
    def names(self) -> frozenset[str]:
        """Who has a part in the ceremony."""
        return frozenset(person.name for person in self.people)

    @property
    def sealing_role(self) -> str:
        """The role whose keys seal the ceremony."""
        return self.given.role if self.given is not None else "root"

    def key(self, name: str) -> KeySpec:
        """The key of that name (KeyError if none)."""
        return next(k for k in self.keys if k.name == name)

    def token(self, name: str) -> TokenSpec:
        """The token of that name."""
        return next(t for t in self.tokens if t.name == name)

    def keys_of(self, role: str) -> tuple[KeySpec, ...]:
        """Keys that the new document of `role`'s delegator names, in script order."""
        return tuple(k for k in self.keys if role in k.roles and not k.leaves)
