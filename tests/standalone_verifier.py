"""Verify a ceremony's folder without Vestry: python3 standalone_verifier.py FOLDER

From docs/formats.md, the standard library (3.11 on) and `cryptography` alone; `vestry replay` drafts and reviews again.
Prints what does not hold, who sealed, the head and a verdict. Exit status: 0 it holds, 1 it does not, 2 wrong usage.
"""

import base64
import hashlib
import json
import re
import sys
import tomllib
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512(), "521": hashes.SHA512()}
INPUTS = "online online public_key sha256|predecessor root from from_sha256|targets targets from from_sha256|"
INPUTS += "bins bins from from_sha256|anchors attestation anchors sha256|good snapshot good good_sha256|"
INPUTS += "now snapshot now now_sha256"
SAID, UNSHOWN, GAPS, BROKEN = [], [], [], Exception  # whatever a forged value trips is a failure, not the end
written = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def must(holds, what, sure=False):
    """Note what does not hold, and go on. Where lines are withheld, only what is `sure` is a failure."""
    (SAID if sure or not GAPS else UNSHOWN).extend(() if holds else (what,))
    return bool(holds)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def parse(raw):
    def strict(pairs):
        return dict(pairs) if len(dict(pairs)) == len(pairs) else {}["a name stands twice"]

    return json.loads(raw, object_pairs_hook=strict, parse_float=int)  # a fraction is refused


def canonical(value):
    """OLPC canonical JSON: sorted, no white space, UTF-8, only quotation mark and backslash escaped."""
    if isinstance(value, dict):
        return b"{" + b",".join(canonical(k) + b":" + canonical(value[k]) for k in sorted(value)) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(canonical, value)) + b"]"
    if isinstance(value, str):
        return b'"' + value.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'
    return json.dumps(value).encode()


def public_key(key):
    text = key["keyval"]["public"]
    if key["scheme"] == "pgp+rsa-pkcsv1.5":
        return rsa.RSAPublicNumbers(int(text["e"], 16), int(text["n"], 16)).public_key()
    if key["keytype"] in ("ed25519", "eddsa"):
        return ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(text if isinstance(text, str) else text["q"]))
    return load_pem_public_key(text.encode())


def der(public):
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def verifies(key, signature, message, headers=""):
    try:
        public, scheme, hashed = public_key(key), key["scheme"], bytes.fromhex(headers)
        digest = HASHES.get(scheme[-3:])
        pgp = message + hashed + b"\4\xff" + len(hashed).to_bytes(4, "big")  # RFC 4880, section 5.2.4
        kind, signed = {
            "ecdsa-": lambda: ("EC", (message, ec.ECDSA(digest))),
            "ed2551": lambda: ("Ed25519", (message,)),
            "rsassa": lambda: ("RSA", (message, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)),
            "ml-dsa": lambda: (f"MLDSA{scheme[7:9]}", (b"tuf\1" + hashlib.sha512(message).digest(),)),
            "pgp+ed": lambda: ("Ed25519", (hashlib.sha256(pgp).digest(),)),
            "pgp+rs": lambda: ("RSA", (pgp, padding.PKCS1v15(), HASHES["256"])),
        }[scheme[:6]]()
        signature = signature.rjust(public.key_size // 8, b"\0") if scheme[:6] == "pgp+rs" else signature
        public.verify(signature, *signed)
        fits = type(public).__name__ == f"{kind}PublicKey" and ("pgp+" in scheme or not headers)
        return fits and (kind != "EC" or public.curve.key_size == int(scheme[-3:]))
    except BROKEN:
        return False


def read_transcript(raw):
    """Events and heads by line number; None for an event that is withheld."""
    events, heads, torn = [], [bytes(32)], b""
    for line in re.findall(rb"[^\n]*\n|[^\n]+", raw):
        try:
            value, n = parse(line), len(events)
            leaf = bytes.fromhex(re.fullmatch("[0-9a-f]{64}", value.get("leaf") or value["salt"])[0])
            if event := value.get("event"):
                leaf = hashlib.sha256(b"\0" + leaf + canonical(event)).digest()
            head = hashlib.sha256(b"\1" + heads[-1] + n.to_bytes(8, "big") + leaf).digest()
            fields = {"event": event, "salt": value["salt"]} if event else {"leaf": value["leaf"]}
            if line.decode() != written({"n": n, "head": head.hex(), **fields}) + "\n":
                raise ValueError("not a line as a transcript writes it")
        except BROKEN:
            torn += line
            continue
        # The line feed that ends torn bytes belongs to the line that resumes.
        resumed = event is not None and event["what"] == "resumed"
        told = (event["with"]["torn_bytes"], event["with"]["torn_sha256"]) if resumed else (0, sha256(b""))
        must(told == (len(torn[:-1]), sha256(torn[:-1])), f"line {n}: does not tell of the bytes before it", sure=True)
        events.append(event)
        heads.append(head)
        torn = b""
    GAPS.extend(n for n, event in enumerate(events) if event is None)
    must(b"\n" not in torn, f"line {len(events)}: the chain does not hold", sure=True)
    return events, [head.hex() for head in heads[1:]]


def check_key(n, fields, scheme, name):
    public, kind = load_pem_public_key(fields["public"].encode()), scheme.split("-")[0]
    text = public.public_bytes(Encoding.Raw, PublicFormat.Raw).hex() if kind == "ed25519" else fields["public"]
    key = {"keytype": {"rsassa": "rsa", "ml": "ml-dsa"}.get(kind, kind), "keyval": {"public": text}, "scheme": scheme}
    must(sha256(canonical(key | name)) == fields["keyid"], f"line {n}: the key id is not the SHA-256 of the key")
    message = b"Vestry proof of possession, version 1\n" + bytes.fromhex(fields["challenge"])
    must(verifies(key, bytes.fromhex(fields["proof"]), message), f"line {n}: possession is not proved")


def check_document(role, document, trusted, signed, told):
    """Key ids, signatures and thresholds of a signed file."""
    message = canonical(document["signed"])
    holding = document["signed"] if role == "root" else document["signed"].get("delegations", {"keys": {}})
    for keyid, key in holding["keys"].items():
        known = trusted and trusted["keys"].get(keyid) == key
        must(known or keyid == sha256(canonical(key)), f"{role}: {keyid} is not the SHA-256 of its key")
    found = {s["keyid"]: s["sig"] for s in document["signatures"]}
    must(found == told, f"{role}: has other signatures than the transcript")
    told = found if GAPS else told
    before = [trusted] if trusted and role == "root" else []
    for above in (*before, signed["targets" if role == "bins" else "root"]):
        listing = above["delegations"] if role == "bins" else above
        entry, keys = listing["roles"], listing["keys"]
        entry = next(r for r in entry if r["name"] == role) if role == "bins" else entry[role]
        mine = {i: keys[i] for i in entry["keyids"]}
        good = [k for i, k in mine.items() if i in told and verifies(k, bytes.fromhex(told[i]), message)]
        must(len(good) == len(set(told) & set(mine)), f"{role}: a signature does not verify", sure=True)
        found, by = len({der(public_key(k)) for k in good}), f"{above['_type']} v{above['version']}"
        must(found >= entry["threshold"], f"{role}: {found} of {entry['threshold']} of {by}")


def check_bundle(there, role, drafted, told, known):
    listed = {x[66:]: x[:64] for x in there.pop("SHA256SUMS", b"").decode().splitlines()}
    said, digests = parse(there.get("bundle.json", b"{}")), {n: sha256(c) for n, c in there.items()}
    sigs = {s["keyid"]: s["sig"] for s in (parse(c) for n, c in there.items() if n.startswith("signatures/"))}
    foreign = [n for n, digest in digests.items() if n.startswith("trusted/") and digest not in known]
    must(not foreign, f"bundles/{role}: trusts a document that is not one of this ceremony")
    must(digests == listed, f"bundles/{role}: SHA256SUMS does not fit the files")
    files = {n: {"length": len(c), "sha256": digests[n]} for n, c in there.items() if n[:8] in ("unsigned", "trusted/")}
    must((said.get("files"), said.get("digest")) == (files, drafted["digest"]), f"bundles/{role}: bundle.json lies")
    must(digests.get(f"unsigned/{role}.json") == drafted["sha256"], f"bundles/{role}: is not what was drafted")
    must(sigs == told, f"bundles/{role}: has other signatures than the transcript")


def check_seal(where, text, keys, theirs, wanted, head=None):
    """A seal of the ceremony, or, with the last `head`, one added later. It names its own key, or one of `keys`."""
    envelope = parse(text)
    payload, kind, [entry] = base64.b64decode(envelope["payload"]), envelope["payloadType"], envelope["signatures"]
    encoded = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    signed = base64.b64decode(entry["sig"]), encoded, entry.get("other_headers", "")
    said = parse(payload)["predicate"]
    person, own = said["person"], "key" in said
    key = said["key"] if own else keys[entry["keyid"]]
    whole = set(envelope) == {"payload", "payloadType", "signatures"} and kind == "application/vnd.in-toto+json"
    whole = whole and set(entry) <= {"keyid", "sig", "other_headers"} and type(said["agree"]) is bool
    whole = whole and payload == (written(parse(payload)).encode() if own else canonical(parse(payload)))
    must(whole, f"{where}: is not written as a seal is", sure=True)
    must(verifies(key, *signed), f"{where}: the seal's signature does not hold", sure=True)
    named = head in (None, own and said["transcript"]["head"]) and (not own or entry["keyid"] == sha256(canonical(key)))
    must(named, f"{where}: names another head or another key", sure=True)
    must(wanted and parse(payload) == wanted(said), f"{where}: the seal says something else than the transcript")
    must(said["agree"] or said["reason"].strip(), f"{where}: does not agree, and gives no reason", sure=True)
    others = [p for p, held in theirs.items() if der(public_key(key)) in held]
    known, free = person in others, head and not theirs.get(person) and not others
    must(known or free, f"{where}: the seal is not by a key of that person", sure=bool(head))
    says = "agrees" if said["agree"] else f"does not agree: {said['reason']}"
    return person, says if known else f"{says} (that the key is theirs, nothing here says)"


def verify(disk):
    """Check all files, by name; gives the last head, and what each person sealed."""
    events, heads = read_transcript(disk["transcript.jsonl"])
    digests, theirs, wanted, seals = {}, {}, None, []
    try:
        if must(events and events[0] and events[0]["what"] == "opened", "line 0 is not 'opened', or is withheld"):
            theirs, wanted = check_ceremony(disk, events, heads, digests, seals)
    except BROKEN as error:
        must(False, f"cannot be read on: {error!r}")
    for name in sorted(n for n in disk if n.startswith("seals/") and n not in digests):
        try:
            seals.append(check_seal(name, disk[name], {}, theirs, wanted, heads[-1]))
        except BROKEN as error:
            must(False, f"{name}: is not a seal of this transcript: {error!r}", sure=True)
    return heads[-1] if heads else "", seals


def check_ceremony(disk, events, heads, digests, seals):
    """All that line 0 is needed for; finds digests by file, and gives what seals are held against."""
    opened, inputs, theirs = events[0]["with"], events[0]["with"]["inputs"], {}
    script = tomllib.loads(opened["script"])
    known = opened["format"] == 1 and opened["rehearsal"] == script["ceremony"].get("rehearsal", False)
    must(known, "line 0: another format, or rehearsal or not?")
    digests["script.toml"] = sha256(opened["script"].encode())
    must(digests["script.toml"] == opened["script_sha256"], "line 0: the script has another digest")
    pins = [(n, script.get(table, {}), path, pin) for n, table, path, pin in map(str.split, INPUTS.split("|"))]
    pins += [(f"sealing key of {person['name']}", person, "key", "key_sha256") for person in script["people"]]
    for name, table, path, pin in (x for x in pins if x[2] in x[1]):
        text = inputs.get(name, "")
        digests[f"inputs/{Path(table[path]).name}"] = sha256(text.encode())
        must(sha256(text.encode()) == table[pin].lower(), f"line 0: the input '{name}' is not the one that is pinned")
        if path == "key":
            own = load_pem_public_key(text.encode()) if "-----BEGIN" in text else public_key(parse(text))
            theirs[table["name"]] = {der(own)}
    made, told, drafted, files, software, head, sealed = {}, {}, {}, {}, {}, "", []

    def wanted(said):
        """What a seal must say where its signer says this much."""
        predicate = {k: said[k] for k in ("person", "agree", "reason", "key") if k in said}
        predicate |= {"ceremony": script["ceremony"]["title"], "script": {"sha256": opened["script_sha256"]}}
        predicate |= {"rehearsal": opened["rehearsal"], "software": software, "transcript": {"head": head}}
        about = [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(files.items())]
        kinds = {"_type": "https://in-toto.io/Statement/v1", "predicateType": "urn:vestry:ceremony-seal:1"}
        return {**kinds, "subject": about, "predicate": predicate}

    for n, what, fields in ((n, event["what"], event["with"]) for n, event in enumerate(events) if event):
        must((what == "opened") == (n == 0), f"line {n}: 'opened' stands here")
        intent = events[fields.get("intent", 0)] or {"what": "_intended"}  # a withheld one may be it
        fits = intent["what"].endswith("_intended") and fields.get("intent", 0) < n
        must("intent" not in fields or fits, f"line {n}: a result without its intent")
        if what in ("opened", "resumed"):
            software = {"name": fields["software"], "sha256": fields["software_sha256"]}
        elif what in ("key_generated", "key_taken"):
            scheme, holder = next((k["scheme"], k["holder"]) for k in script["keys"] if k["name"] == fields["key"])
            check_key(n, fields, scheme, {"x-rstuf-key-name": holder} if "rstuf" in script else {})
            made[fields["key"]] = fields["keyid"]
        elif what == "drafted":
            drafted[fields["role"]] = fields
        elif what in ("signature_added", "signature_imported"):
            told.setdefault(fields["role"], {})[fields["keyid"]] = fields["sig"]
        elif what == "verified":
            files |= fields["files"]
        elif what == "seal_opened":
            head = heads[n]
            must(fields["subjects"] == files, f"line {n}: the seal is not about the signed files")
        elif what == "sealed":
            said = parse(base64.b64decode(parse(fields["envelope"])["payload"]))["predicate"]
            sealed.append((n, fields, wanted({k: v for k, v in said.items() if k == "key"} | fields)))
            name = re.sub("[^A-Za-z0-9]+", "-", fields["person"]).strip("-").lower() or "person"
            digests[f"seals/{name}.json"] = sha256(fields["envelope"].encode())
    head, documents = heads[-1], {n.split(".")[1]: parse(disk[f"signed/{n}"]) for n in files}
    signed = {role: document["signed"] for role, document in documents.items()}
    trusted = parse(inputs["predecessor"])["signed"] if "predecessor" in inputs else None
    known = {*files.values(), sha256(inputs.get("predecessor", "").encode())}
    for role, fields in drafted.items():
        there = {n.split("/", 2)[2]: c for n, c in disk.items() if n.startswith(f"bundles/{role}/")}
        check_bundle(there, role, fields, told.get(role, {}), known)
    for role, document in documents.items():
        same = drafted.get(role, {}).get("digest") == sha256(canonical(signed[role]))
        must(same, f"{role}: not the document that was drafted")
        check_document(role, document, trusted, signed, told.get(role, {}))
    named = {i for d in signed.values() for i in {**d.get("keys", {}), **d.get("delegations", {}).get("keys", {})}}
    must(not documents or set(made.values()) <= named, "a key that was made is named by no signed document")
    keys = {**(trusted or {"keys": {}})["keys"], **signed.get("root", {"keys": {}})["keys"]}
    for spec in (k for k in script["keys"] if "root" in k["roles"]):
        keyid = made.get(spec["name"], spec.get("keyid", "none"))
        theirs.setdefault(spec["holder"], set()).update(der(public_key(keys[i])) for i in keys if i.startswith(keyid))
    for n, fields, expected in sealed:
        seals.append(check_seal(f"line {n}", fields["envelope"], keys, theirs, lambda _, p=expected: p))
    for name, digest in {**digests, **{f"signed/{n}": d for n, d in files.items()}}.items():
        must(sha256(disk.get(name, b"")) == digest, f"{name}: is missing, or another file", sure=name in disk)
    more = sorted(n for n in disk if n.startswith("signed/") and n.removeprefix("signed/") not in files)
    must(not more, f"files that the transcript does not know: {more}", sure=True)
    return theirs, wanted


def main(argv):
    if len(argv) != 1:
        return print(__doc__.splitlines()[0], file=sys.stderr) or 2
    head, seals, files = "", [], (p for p in Path(argv[0]).rglob("*") if p.is_file())
    try:
        head, seals = verify({p.relative_to(argv[0]).as_posix(): p.read_bytes() for p in files})
    except BROKEN as error:
        must(False, f"cannot be read on: {error!r}", sure=True)
    told = [*(f"FAILED: {x}" for x in SAID), *(f"not shown here: {x}" for x in UNSHOWN)]
    told += [*(f"sealed: {person} {said}" for person, said in seals), f"withheld: {len(GAPS)} lines", f"head: {head}"]
    holds = f"holds{' as far as it shows' if GAPS else ''}, {len(seals)} sealed it"
    told += [f"verdict: {'does not hold' if SAID else holds}"]
    print(*(ascii(line)[1:-1] for line in told), sep="\n")
    return 1 if SAID else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
