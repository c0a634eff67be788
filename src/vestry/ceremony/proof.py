"""Proof before a signature: what would a client make of this draft?

The drafted documents are signed with throwaway keys of the same kinds, put in the place of the real ones, and walked
by python-tuf's own client from the trusted root (or from itself at version 1) down to a target, without a network.
What the client refuses stops the ceremony before a token is touched.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from itertools import islice
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import MetaFile, Role, Root, Snapshot, TargetFile, Targets, Timestamp

from vestry.ceremony.state import State
from vestry.errors import Refused, TokenTrouble
from vestry.media import client
from vestry.metadata import document
from vestry.metadata.canonical import encode
from vestry.metadata.document import Document
from vestry.metadata.keys import Key
from vestry.tokens import private_keys
from vestry.tokens.token import KeyKind

CLIENT = client.NAME
_WALKED = 100  # of a delegated role's targets
_TARGET = "walk/of/the/draft-1.0.tar.gz"
_CONTENT = b"a target to walk to\n"

Signed = dict[str, Any]


def prove(state: State, *, at: str) -> None:
    """Let the client walk the drafts of `state`, with the time `at` for a clock.

    Raises:
        Refused: code E-PROOF; the client would not accept them once signed, and why.
    """
    walk = _Walk(datetime.fromisoformat(at))
    try:
        if state.script.given is not None:
            _delegated(walk, state, state.script.given.role)
        else:
            _from_root(walk, state)
    except client.REFUSALS as error:
        raise Refused(
            f"a client would refuse these drafts: {type(error).__name__}: {error}",
            do="nothing was signed; correct the script and start again",
            code="E-PROOF",
        ) from error


def _from_root(walk: _Walk, state: State) -> None:
    drafts = [state.documents[role] for role in state.script.drafted]
    trusted = [state.predecessor] if state.predecessor is not None else []
    walk.understudy([*trusted, *drafts])
    root = walk.swapped(state.documents["root"])
    first = walk.swapped(state.predecessor) if state.predecessor is not None else root
    targets = Targets(expires=walk.soon).to_dict()
    if "targets" in state.documents:
        targets = walk.swapped(state.documents["targets"])
    bins = walk.swapped(state.documents["bins"]) if "bins" in state.documents else None
    files = walk.published(first, root, targets, bins)
    _client_walks(walk.signed_root(first, first), files, walk.now, {_TARGET: {}})


def _delegated(walk: _Walk, state: State, role: str) -> None:
    """The delegating document stands where the top-level targets does, under a root of throwaway keys; if it is a root
    itself, it stands as it is."""
    draft, above = state.documents[role], state.above(role)
    if above is None:
        raise ValueError(f"nothing says who signs {role}")
    entry = document.role_entry(above, role)
    if entry is None:
        raise ValueError(f"the delegating document does not name {role}")
    walk.understudy([draft])
    walk.understudy([above], None if above.type == "root" else entry["keyids"])
    signed, delegating = walk.swapped(draft), walk.swapped(above)
    paths = dict(islice(draft.signed["targets"].items(), _WALKED))
    if above.type == "root":
        root, files = delegating, walk.top(delegating, {role: signed}, {})
    else:
        root = walk.stand_in_root()
        files = walk.top(root, {"targets": delegating, role: signed}, {role: delegating})
    _client_walks(walk.signed_root(root, root), files, walk.now, paths)


class _Walk:
    """Throwaway keys, one for each real key, by the real key's bytes."""

    def __init__(self, now: datetime) -> None:
        self._signers: dict[str, CryptoSigner] = {}
        self.now = now
        self.soon = now + timedelta(days=1)

    def understudy(self, documents: list[Document], only: Collection[str] | None = None) -> None:
        for doc in documents:
            for key in document.keys(doc, only).values():
                name = key.fingerprint
                if name not in self._signers:
                    self._signers[name] = _throwaway(key)

    def swapped(self, doc: Document) -> Signed:
        """The signed part with every key that has an understudy replaced by it, and nothing else changed."""
        signed: Signed = copy.deepcopy(dict(doc.signed))
        holder = signed if signed["_type"] == "root" else signed.get("delegations", {})
        ids: dict[str, str] = {}
        new: dict[str, Signed] = {}
        for keyid, key in document.keys(doc).items():
            if (signer := self._signers.get(key.fingerprint)) is not None:
                ids[keyid] = signer.public_key.keyid
                new[keyid] = signer.public_key.to_dict()
        if "keys" in holder:
            holder["keys"] = {ids.get(k, k): new.get(k, old) for k, old in holder["keys"].items()}
        roles = list(holder["roles"].values()) if signed["_type"] == "root" else list(holder.get("roles") or [])
        if holder.get("succinct_roles"):
            roles.append(holder["succinct_roles"])
        for role in roles:
            role["keyids"] = [ids.get(k, k) for k in role["keyids"]]
        return signed

    def _sign(self, signed: Signed, *authorities: tuple[Signed, str]) -> bytes:
        keyids = dict.fromkeys(k for above, role in authorities for k in _keyids(above, role))
        by_id = {s.public_key.keyid: s for s in self._signers.values()}
        message = encode(signed)
        signatures = [{"keyid": k, "sig": by_id[k].sign(message).signature} for k in keyids if k in by_id]
        return document.to_file(signed, [document.Signature(s["keyid"], s["sig"]) for s in signatures])

    def signed_root(self, root: Signed, *authorities: Signed) -> bytes:
        return self._sign(root, *((above, "root") for above in authorities))

    def stand_in_root(self) -> Signed:
        """A root of throwaway keys, for documents that are far below the one that clients have."""
        key = CryptoSigner.generate_ed25519()
        self._signers[key.public_key.keyid] = key
        roles = dict.fromkeys(("root", "timestamp", "snapshot", "targets"), Role([key.public_key.keyid], 1))
        return Root(expires=self.soon, keys={key.public_key.keyid: key.public_key}, roles=roles).to_dict()

    def top(self, root: Signed, roles: Mapping[str, Signed], above: Mapping[str, Signed]) -> dict[str, bytes]:
        """What a repository serves of `roles`, each signed as `above` says, or else the root."""
        meta, files = {}, {}
        for role, signed in roles.items():
            meta[f"{role}.json"] = MetaFile(signed["version"])
            name = f"/m/{signed['version']}.{quote(role, '')}.json"
            files[name] = self._sign(signed, (above.get(role, root), role))
        snapshot = Snapshot(expires=self.soon, meta=meta).to_dict()
        files["/m/1.snapshot.json"] = self._sign(snapshot, (root, "snapshot"))
        timestamp = Timestamp(expires=self.soon, snapshot_meta=MetaFile(1)).to_dict()
        files["/m/timestamp.json"] = self._sign(timestamp, (root, "timestamp"))
        return files

    def published(self, first: Signed, root: Signed, targets: Signed, bins: Signed | None) -> Mapping[str, bytes]:
        """Everything a repository would serve: the drafts, and what the online key would add."""
        target = TargetFile.from_data(_TARGET, _CONTENT, ["sha256"])
        roles: dict[str, Signed] = {"targets": targets}
        above: dict[str, Signed] = {}
        files = {
            f"/m/{root['version']}.root.json": self.signed_root(root, first, root),
            f"/t/walk/of/the/{target.hashes['sha256']}.draft-1.0.tar.gz": _CONTENT,
        }
        if bins is None:
            targets["targets"] = {**targets["targets"], _TARGET: target.to_dict()}
        else:
            name = _bin_of(bins)
            leaf = Targets(expires=self.soon, targets={_TARGET: target}).to_dict()
            roles |= {"bins": bins, name: leaf}
            above |= {"bins": targets, name: bins}
        return files | self.top(root, roles, above)


def _client_walks(bootstrap: bytes, files: Mapping[str, bytes], now: datetime, paths: Mapping[str, Signed]) -> None:
    """Look for each of `paths`, where what is said of it must be found; and download the one target that is there."""
    with TemporaryDirectory(prefix="vestry-walk-") as folder:
        walker = client.updater(folder, client.Shelf(files.get), bootstrap, now=now)
        walker.refresh()
        for path, wanted in paths.items():
            info = walker.get_targetinfo(path)
            if info is None or not wanted.items() <= info.to_dict().items():
                raise ValueError(f"the delegations do not lead to {path}")
            if path == _TARGET:
                walker.download_target(info)


def _keyids(above: Signed, role: str) -> list[str]:
    if above["_type"] == "root":
        return list(above["roles"][role]["keyids"])
    delegations = above["delegations"]
    if delegations.get("succinct_roles"):
        return list(delegations["succinct_roles"]["keyids"])
    return [k for entry in delegations["roles"] if entry["name"] == role for k in entry["keyids"]]


def _bin_of(bins: Signed) -> str:
    delegations = Targets.from_dict(copy.deepcopy(bins)).delegations
    found = next(iter(delegations.get_roles_for_target(_TARGET)), None) if delegations else None
    if found is None:
        raise ValueError(f"no bin is responsible for the path {_TARGET}")
    return str(found[0])


def _throwaway(key: Key) -> CryptoSigner:
    kind = KeyKind(key.scheme, key.bits if key.keytype == "rsa" else 0)
    try:
        private: Any = private_keys.generate(kind)
    except TokenTrouble:
        raise ValueError(f"no throwaway key of scheme {key.scheme}") from None
    return CryptoSigner(private, SSlibKey.from_crypto(private.public_key(), scheme=key.scheme))
