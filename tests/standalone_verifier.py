"""Verify a ceremony's folder without Vestry: python3 standalone_verifier.py FOLDER

From docs/formats.md, Python 3.11 and `cryptography` alone. Exit status: 0 it holds, 1 it does not, 2 wrong usage."""

import base64
import hashlib
import json
import re
import sys
import tomllib
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512(), "521": hashes.SHA512()}
INPUTS = "predecessor root from|targets targets from|bins bins from|good snapshot good|now snapshot now|"
INPUTS += "draft role draft|before role from|delegator role delegator|draft layout draft|before layout from|"
INPUTS += "online online public_key|anchors attestation anchors"
SAID, UNSHOWN, TOLD, GAPS, BROKEN = [], [], [], [], Exception  # whatever a forged value trips is a failure, not the end
written = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def must(holds, what, sure=False):
    there = SAID if sure or not GAPS else UNSHOWN  # where lines are withheld, only what is sure is a failure
    there += [] if holds else [f"{'FAILED' if there is SAID else 'not shown here'}: {what}"]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def parse(raw):
    return json.loads(raw, parse_float=int, object_pairs_hook=lambda p: dict(p) if len(dict(p)) == len(p) else {}[p])


def canonical(value):
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


def der(key):
    return public_key(key).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


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
    events, heads, torn = [], [bytes(32)], b""
    for line in re.findall(rb"[^\n]*\n|[^\n]+", raw):
        try:
            value, n = parse(line), len(events)
            leaf = bytes.fromhex(re.fullmatch("[0-9a-f]{64}", value.get("leaf") or value["salt"])[0])
            if event := value.get("event"):
                leaf = hashlib.sha256(b"\0" + leaf + canonical(event)).digest()
            head = hashlib.sha256(b"\1" + heads[-1] + n.to_bytes(8, "big") + leaf).digest()
            fields = {"event": event, "salt": value["salt"]} if event else {"leaf": value["leaf"]}
            assert line.decode() == written({"n": n, "head": head.hex(), **fields}) + "\n"
        except BROKEN:
            torn += line
            continue
        resumed = event is not None and event["what"] == "resumed"
        told = (event["with"]["torn_bytes"], event["with"]["torn_sha256"]) if resumed else (0, sha256(b""))
        must(told == (len(torn[:-1]), sha256(torn[:-1])), f"line {n}: does not tell of the bytes before it", sure=True)
        events.append(event)
        heads.append(head)
        torn = b""
    GAPS.extend(n for n, event in enumerate(events) if event is None)
    must(b"\n" not in torn, f"line {len(events)}: the chain does not hold", sure=True)
    return events, [head.hex() for head in heads[1:]]


def key_object(pem, scheme):
    public = load_pem_public_key(pem.encode())
    usual = {"Ed": "ed25519", "RS": "rsassa-pss-sha256", "EC": f"ecdsa-sha2-nistp{getattr(public, 'key_size', '')}"}
    scheme = scheme or usual[type(public).__name__[:2]]
    kind = scheme.split("-")[0]
    text = public.public_bytes(Encoding.Raw, PublicFormat.Raw).hex() if kind == "ed25519" else pem
    return {"keytype": {"rsassa": "rsa", "ml": "ml-dsa"}.get(kind, kind), "keyval": {"public": text}, "scheme": scheme}


def parts(document):
    if "payload" in document:
        kind, payload = document["payloadType"], base64.b64decode(document["payload"])
        message = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
        return message, {x["keyid"]: base64.b64decode(x["sig"]).hex() for x in document["signatures"]}
    return canonical(document["signed"]), {x["keyid"]: x["sig"] for x in document["signatures"]}


def check_document(role, document, trusted, above, told):
    (message, found), signed = parts(document), document.get("signed", {})
    for keyid, key in (signed if role == "root" else signed.get("delegations", {})).get("keys", {}).items():
        known = trusted and trusted["keys"].get(keyid) == key
        must(known or keyid == sha256(canonical(key)), f"{role}: {keyid} is not the SHA-256 of its key")
    must(found == told, f"{role}: has other signatures than the transcript")
    told = found if GAPS else told
    for one in above:
        at = one if "roles" in one else one["delegations"]
        entry = at["roles"][role] if at is one else next(r for r in at["roles"] if r["name"] == role)
        mine = {i: at["keys"][i] for i in entry["keyids"]}
        good = [k for i, k in mine.items() if i in told and verifies(k, bytes.fromhex(told[i]), message)]
        must(len(good) == len(set(told) & set(mine)), f"{role}: a signature does not verify", sure=True)
        found, by = len({der(k) for k in good}), f"{one['_type']} v{one['version']}"
        must(found >= entry["threshold"], f"{role}: {found} of {entry['threshold']} of {by}")


def check_bundle(there, role, drafted, told, known):
    listed = {x[66:]: x[:64] for x in there.pop("SHA256SUMS", b"").decode().splitlines()}
    said, digests = parse(there.get("bundle.json", b"{}")), {n: sha256(c) for n, c in there.items()}
    sigs = {s["keyid"]: s["sig"] for s in (parse(c) for n, c in there.items() if n.startswith("signatures/"))}
    foreign = [n for n, digest in digests.items() if n.startswith("trusted/") and digest not in known]
    must(not foreign, f"bundles/{role}: trusts a document that is not one of this ceremony")
    must(digests == listed, f"bundles/{role}: SHA256SUMS does not fit the files")
    files = {n: {"length": len(c), "sha256": digests[n]} for n, c in there.items() if n[:2] in ("un", "tr", "pr")}
    must((said.get("files"), said.get("digest")) == (files, drafted["digest"]), f"bundles/{role}: bundle.json lies")
    must(digests.get(f"unsigned/{role}.json") == drafted["sha256"], f"bundles/{role}: is not what was drafted")
    must(sigs == told, f"bundles/{role}: has other signatures than the transcript")


def check_seal(where, text, keys, theirs, wanted, head=None):
    envelope = parse(text)
    (message, _), payload, [entry] = parts(envelope), base64.b64decode(envelope["payload"]), envelope["signatures"]
    said, kind = parse(payload)["predicate"], envelope["payloadType"]
    person, own = said["person"], "key" in said
    key = said["key"] if own else keys[entry["keyid"]]
    whole = set(envelope) == {"payload", "payloadType", "signatures"} and kind == "application/vnd.in-toto+json"
    whole = whole and set(entry) <= {"keyid", "sig", "other_headers"} and type(said["agree"]) is bool
    whole = whole and payload == (written(parse(payload)).encode() if own else canonical(parse(payload)))
    must(whole, f"{where}: is not written as a seal is", sure=True)
    holds = verifies(key, base64.b64decode(entry["sig"]), message, entry.get("other_headers", ""))
    must(holds, f"{where}: the seal's signature does not hold", sure=True)
    named = head in (None, own and said["transcript"]["head"]) and (not own or entry["keyid"] == sha256(canonical(key)))
    must(named, f"{where}: names another head or another key", sure=True)
    must(wanted and parse(payload) == wanted(said), f"{where}: the seal says something else than the transcript")
    must(said["agree"] or said["reason"].strip(), f"{where}: does not agree, and gives no reason", sure=True)
    others = [p for p, held in theirs.items() if der(key) in held]
    known, free = person in others, head and not theirs.get(person) and not others
    must(known or free, f"{where}: the seal is not by a key of that person", sure=bool(head))
    says = "agrees" if said["agree"] else f"does not agree: {said['reason']}"
    return person, says if known else f"{says} (that the key is theirs, nothing here says)"


def check_ceremony(disk, events, heads, digests, seals):
    opened, inputs, theirs = events[0]["with"], events[0]["with"]["inputs"], {}
    script = tomllib.loads(opened["script"])
    must((opened["format"], opened["rehearsal"]) == (1, script["ceremony"].get("rehearsal", False)), "line 0: format?")
    digests["script.toml"] = sha256(opened["script"].encode())
    must(digests["script.toml"] == opened["script_sha256"], "line 0: the script has another digest")
    pins = [(name, script.get(table, {}), path) for name, table, path in map(str.split, INPUTS.split("|"))]
    pins += [(f"sealing key of {person['name']}", person, "key") for person in script["people"]]
    pins += [(f"key {key['name']}", key, "public_key") for key in script["keys"]]
    for name, table, path in (x for x in pins if x[2] in x[1]):
        text, pin = inputs.get(name, ""), "sha256" if path in ("public_key", "anchors") else f"{path}_sha256"
        digests[f"inputs/{Path(table[path]).name}"] = sha256(text.encode())
        must(sha256(text.encode()) == table[pin].lower(), f"line 0: the input '{name}' is not the one that is pinned")
        if path == "key":
            theirs[table["name"]] = {der(key_object(text, "") if "BEGIN" in text else parse(text))}
    made, told, drafted, files, software, head, sealed, own, before = {}, {}, {}, {}, {}, "", [], {}, None
    for spec in (k for k in script["keys"] if "public_key" in k):
        made[spec["name"]] = sha256(canonical(key := key_object(inputs[f"key {spec['name']}"], spec.get("scheme"))))
        own[made[spec["name"]]] = key

    def wanted(said):
        predicate = {k: said[k] for k in ("person", "agree", "reason", "key") if k in said}
        predicate |= {"ceremony": script["ceremony"]["title"], "script": {"sha256": opened["script_sha256"]}}
        predicate |= {"rehearsal": opened["rehearsal"], "software": software, "transcript": {"head": head}}
        about = [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(files.items())]
        kinds = {"_type": "https://in-toto.io/Statement/v1", "predicateType": "urn:vestry:ceremony-seal:1"}
        return {**kinds, "subject": about, "predicate": predicate}

    for n, event in ((n, event) for n, event in enumerate(events) if event):
        what, fields, resumed = event["what"], event["with"], event["what"] == "resumed"
        must((what == "opened") == (n == 0), f"line {n}: 'opened' stands here")
        must(any(event["by"] == x["name"] for x in script["people"]), f"line {n}: is by nobody of the script")
        clocks = datetime.fromisoformat(event["at"]).timestamp(), event["mono"] / 1e9
        passed, ran = (now - then for now, then in zip(clocks, before if n and events[n - 1] else clocks, strict=True))
        must(resumed or ran >= 0, f"line {n}: the monotonic clock runs backwards", sure=True)
        jumped, before = passed < -5 if resumed else abs(passed - ran) > 5, clocks
        TOLD.extend([f"told: line {n}: the clock was set, or the machine slept"] if jumped else [])
        intent = events[fields.get("intent", 0)] or {"what": "_intended"}  # a withheld one may be it
        fits = intent["what"].endswith("_intended") and fields.get("intent", 0) < n
        must("intent" not in fields or fits, f"line {n}: a result without its intent")
        files |= fields["files"] if what == "verified" else {}
        head = heads[n] if what == "seal_opened" else head
        must(what != "seal_opened" or fields["subjects"] == files, f"line {n}: the seal is not about the signed files")
        drafted |= {fields["role"]: fields} if what == "drafted" else {}
        if "software" in fields:
            software = {"name": fields["software"], "sha256": fields["software_sha256"]}
        if what in ("key_generated", "key_taken"):
            spec = next(k for k in script["keys"] if k["name"] == fields["key"])
            name = {"x-rstuf-key-name": spec["holder"]} if "rstuf" in script else {}
            key = key_object(fields["public"], spec["scheme"]) | name
            must(sha256(canonical(key)) == fields["keyid"], f"line {n}: the key id is not the SHA-256 of the key")
            message = b"Vestry proof of possession, version 1\n" + bytes.fromhex(fields["challenge"])
            must(verifies(key, bytes.fromhex(fields["proof"]), message), f"line {n}: possession is not proved")
            made[fields["key"]], own[fields["keyid"]] = fields["keyid"], key
        elif what in ("signature_added", "signature_imported"):
            told.setdefault(fields["role"], {})[fields["keyid"]] = fields["sig"]
        elif what == "exported":
            folder = Path(fields["to"].partition(" on ")[0]).name
            digests |= {f"{folder}/{x}": d for x, d in fields["files"].items() if f"{folder}/{x}" in disk}
            digests |= {f"signed/{x[9:]}": d for x, d in fields["files"].items() if x.startswith("metadata/")}
        elif what == "sealed":
            said = parse(base64.b64decode(parse(fields["envelope"])["payload"]))["predicate"]
            sealed.append((n, fields, wanted(said | fields)))
            name = re.sub("[^A-Za-z0-9]+", "-", fields["person"]).strip("-").lower() or "person"
            digests[f"seals/{name}.json"] = sha256(fields["envelope"].encode())
    head, known = heads[-1], {*files.values(), *(sha256(text.encode()) for text in inputs.values())}
    documents = {n.removesuffix(".json").partition(".")[2]: parse(disk[f"signed/{n}"]) for n in files}
    signed = {role: document["signed"] for role, document in documents.items() if "signed" in document}
    trusted = parse(inputs["predecessor"])["signed"] if "predecessor" in inputs else None
    for role, fields in drafted.items():
        there = {n.split("/", 2)[2]: c for n, c in disk.items() if n.startswith(f"bundles/{role}/")}
        check_bundle(there, role, fields, told.get(role, {}), known)
    entry = {"keyids": [*own], "threshold": script.get("layout", {}).get("threshold")}
    given = {"_type": "script", "version": "", "keys": own, "roles": {"layout": entry}} if "layout" in script else None
    given = parse(inputs["delegator"])["signed"] if "role" in script else given
    for role, document in documents.items():
        same = drafted.get(role, {}).get("digest") == sha256(parts(document)[0])
        must(same, f"{role}: not the document that was drafted")
        above = [given or signed["targets" if role == "bins" else "root"], *([trusted] if role == "root" else [])]
        check_document(role, document, trusted, [x for x in above if x], told.get(role, {}))
    holding = [x for d in (given, trusted, *signed.values()) if d for x in (d, d.get("delegations", {}))]
    keys = {i: k for d in holding for i, k in d.get("keys", {}).items()}
    must(not documents or set(made.values()) <= set(keys), "a key that was made is named by no signed document")
    sealing = script["role"]["name"] if "role" in script else "layout" if given else "root"
    for spec in (k for k in script["keys"] if sealing in k["roles"]):
        keyid = made.get(spec["name"], spec.get("keyid", "none"))
        theirs.setdefault(spec["holder"], set()).update(der(keys[i]) for i in keys if i.startswith(keyid))
    for n, fields, expected in sealed:
        seals.append(check_seal(f"line {n}", fields["envelope"], keys, theirs, lambda _, p=expected: p))
    for name, digest in (*digests.items(), *((f"signed/{n}", d) for n, d in files.items())):
        must(sha256(disk.get(name, b"")) == digest, f"{name}: is missing, or another file", sure=name in disk)
    more = sorted(n for n in disk if n.startswith("signed/") and n.removeprefix("signed/") not in files)
    must(not more, f"files that the transcript does not know: {more}", sure=True)
    return theirs, wanted


def main(argv):
    if len(argv) != 1:
        return print(__doc__.splitlines()[0], file=sys.stderr) or 2
    disk = {p.relative_to(argv[0]).as_posix(): p.read_bytes() for p in Path(argv[0]).rglob("*") if p.is_file()}
    heads, digests, theirs, wanted, seals = [], {}, {}, None, []
    try:
        events, heads = read_transcript(disk["transcript.jsonl"])
        must(shown := events and events[0] and events[0]["what"] == "opened", "line 0 is not 'opened', or is withheld")
        theirs, wanted = check_ceremony(disk, events, heads, digests, seals) if shown else (theirs, wanted)
    except BROKEN as error:
        must(False, f"cannot be read on: {error!r}")
    for name in sorted(n for n in disk if n.startswith("seals/") and n not in digests):
        try:
            seals.append(check_seal(name, disk[name], {}, theirs, wanted, heads[-1]))
        except BROKEN as error:
            must(False, f"{name}: is not a seal of this transcript: {error!r}", sure=True)
    told = [*SAID, *UNSHOWN, *TOLD, *(f"sealed: {person} {said}" for person, said in seals)]
    holds = f"holds{' as far as it shows' if GAPS else ''}, {len(seals)} sealed it"
    told += [f"withheld: {len(GAPS)} lines", f"head: {heads[-1] if heads else ''}"]
    print(*(ascii(line)[1:-1] for line in [*told, f"verdict: {'does not hold' if SAID else holds}"]), sep="\n")
    return 1 if SAID else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
