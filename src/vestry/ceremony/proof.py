"""Proof before a signature: what would a client make of this draft?

The drafted documents are signed with throwaway keys of the same kinds, put in the place of the real ones, and walked
by python-tuf's own client from the trusted root (or from itself at version 1) down to a target, without a network.
What the client refuses stops the ceremony before a token is touched.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import datetime, timedelta
from tempfile import TemporaryDirectory
from typing import Any

from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from vestry.ceremony.drafts import drafted_roles
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
_TARGET = "walk/of/the/draft-1.0.tar.gz"
_CONTENT = b"a target to walk to\n"

Signed = dict[str, Any]


def prove(state: State, *, at: str) -> None:
    """Let the client walk the drafts of `state`, with the time `at` for a clock.

    Raises:
        Refused: code E-PROOF; the client would not accept them once signed, and why.
    """
    walk = _Walk(datetime.fromisoformat(at))
    drafts = [state.documents[role] for role in drafted_roles(state)]
    trusted = [state.predecessor] if state.predecessor is not None else []
    try:
        walk.understudy([*trusted, *drafts])
        root = walk.swapped(state.documents["root"])
        first = walk.swapped(state.predecessor) if state.predecessor is not None else root
        targets = Targets(expires=walk.soon).to_dict()
        if "targets" in state.documents:
            targets = walk.swapped(state.documents["targets"])
        bins = walk.swapped(state.documents["bins"]) if "bins" in state.documents else None
        files = walk.published(first, root, targets, bins)
        _client_walks(walk.signed_root(first, first), files, walk.now)
    except client.REFUSALS as error:
        raise Refused(
            f"a client would refuse these drafts: {type(error).__name__}: {error}",
            do="nothing was signed; correct the script and start again",
            code="E-PROOF",
        ) from error


class _Walk:
    """Throwaway keys, one for each real key, by the real key's bytes."""

    def __init__(self, now: datetime) -> None:
        self._signers: dict[str, CryptoSigner] = {}
        self.now = now
        self.soon = now + timedelta(days=1)

    def understudy(self, documents: list[Document]) -> None:
        for doc in documents:
            for key in document.keys(doc).values():
                name = key.fingerprint
                if name not in self._signers:
                    self._signers[name] = _throwaway(key)

    def swapped(self, doc: Document) -> Signed:
        """The signed part with every key replaced by its understudy, and nothing else changed."""
        signed: Signed = copy.deepcopy(dict(doc.signed))
        holder = signed if signed["_type"] == "root" else signed.get("delegations", {})
        ids: dict[str, str] = {}
        for keyid, key in document.keys(doc).items():
            ids[keyid] = self._signers[key.fingerprint].public_key.keyid
        holder["keys"] = {ids[k]: self._key(doc, k) for k in holder.get("keys", {})}
        roles = list(holder["roles"].values()) if signed["_type"] == "root" else list(holder.get("roles") or [])
        if holder.get("succinct_roles"):
            roles.append(holder["succinct_roles"])
        for role in roles:
            role["keyids"] = [ids.get(k, k) for k in role["keyids"]]
        return signed

    def _key(self, doc: Document, keyid: str) -> Signed:
        return self._signers[document.keys(doc)[keyid].fingerprint].public_key.to_dict()

    def _sign(self, signed: Signed, *authorities: tuple[Signed, str]) -> bytes:
        keyids = dict.fromkeys(k for above, role in authorities for k in _keyids(above, role))
        by_id = {s.public_key.keyid: s for s in self._signers.values()}
        message = encode(signed)
        signatures = [{"keyid": k, "sig": by_id[k].sign(message).signature} for k in keyids if k in by_id]
        return document.to_file(signed, [document.Signature(s["keyid"], s["sig"]) for s in signatures])

    def signed_root(self, root: Signed, *authorities: Signed) -> bytes:
        return self._sign(root, *((above, "root") for above in authorities))

    def published(self, first: Signed, root: Signed, targets: Signed, bins: Signed | None) -> Mapping[str, bytes]:
        """Everything a repository would serve: the drafts, and what the online key would add."""
        target = TargetFile.from_data(_TARGET, _CONTENT, ["sha256"])
        meta = {"targets.json": MetaFile(targets["version"])}
        files = {
            f"/m/{root['version']}.root.json": self.signed_root(root, first, root),
            f"/t/walk/of/the/{target.hashes['sha256']}.draft-1.0.tar.gz": _CONTENT,
        }
        if bins is None:
            targets["targets"] = {**targets["targets"], _TARGET: target.to_dict()}
        else:
            name = _bin_of(bins)
            leaf = Targets(expires=self.soon, targets={_TARGET: target}).to_dict()
            meta |= {"bins.json": MetaFile(bins["version"]), f"{name}.json": MetaFile(1)}
            files[f"/m/{bins['version']}.bins.json"] = self._sign(bins, (targets, "bins"))
            files[f"/m/1.{name}.json"] = self._sign(leaf, (bins, name))
        files[f"/m/{targets['version']}.targets.json"] = self._sign(targets, (root, "targets"))
        snapshot = Snapshot(expires=self.soon, meta=meta).to_dict()
        files["/m/1.snapshot.json"] = self._sign(snapshot, (root, "snapshot"))
        timestamp = Timestamp(expires=self.soon, snapshot_meta=MetaFile(1)).to_dict()
        files["/m/timestamp.json"] = self._sign(timestamp, (root, "timestamp"))
        return files


def _client_walks(bootstrap: bytes, files: Mapping[str, bytes], now: datetime) -> None:
    with TemporaryDirectory(prefix="vestry-walk-") as folder:
        walker = client.updater(folder, client.Shelf(files.get), bootstrap, now=now)
        walker.refresh()
        info = walker.get_targetinfo(_TARGET)
        if info is None:
            raise ValueError(f"the delegations lead nowhere for the path {_TARGET}")
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


def verify_signed(state: State, signed: Mapping[str, Document]) -> None:
    """Verify the signed documents with python-tuf's own model, as a second opinion on the thresholds.

    Raises:
        Refused: python-tuf does not accept one of them.
    """
    try:
        root: Metadata[Root] = Metadata.from_bytes(signed["root"].raw)
        if state.predecessor is not None:
            before: Metadata[Root] = Metadata.from_bytes(state.predecessor.raw)
            before.signed.verify_delegate("root", root.signed_bytes, root.signatures)
        root.signed.verify_delegate("root", root.signed_bytes, root.signatures)
        if "targets" in signed:
            targets: Metadata[Targets] = Metadata.from_bytes(signed["targets"].raw)
            root.signed.verify_delegate("targets", targets.signed_bytes, targets.signatures)
            if "bins" in signed:
                bins: Metadata[Targets] = Metadata.from_bytes(signed["bins"].raw)
                targets.signed.verify_delegate("bins", bins.signed_bytes, bins.signatures)
    except (RepositoryError, ValueError) as error:
        raise Refused(f"{CLIENT} does not accept the signed documents: {error}", code="E-VERIFY") from error
