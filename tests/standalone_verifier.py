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

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512(), "521": hashes.SHA512()}
INTENTS = ("initialise_intended", "generate_intended", "signature_intended", "destroy_intended", "seal_intended")
ANSWERS = ("token_initialised", "key_generated", "signature_added", "key_destroyed", "sealed")
ANY_TIME = ("resumed", "trouble_met", "exception_noted", "clock_stated", "clock_answered")
SIGNED, SAID, BROKEN = ("signature_added", "signature_imported"), [], Exception  # a forged value may trip anything
INPUTS = "online online public_key sha256|predecessor root from from_sha256|targets targets from from_sha256|"
INPUTS += "bins bins from from_sha256|anchors attestation anchors sha256|good snapshot good good_sha256|"
INPUTS += "now snapshot now now_sha256"


def must(holds, what):
    """Note what does not hold, and go on to find the rest."""
    SAID.extend(() if holds else (what,))
    return bool(holds)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def strict(pairs):
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


def parse(raw):
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


def key_object(pem, scheme):
    public = load_pem_public_key(pem.encode())
    kind = {"ecd": "ecdsa", "ed2": "ed25519", "rsa": "rsa", "ml-": "ml-dsa"}[scheme[:3]]
    text = public.public_bytes(Encoding.Raw, PublicFormat.Raw).hex() if kind == "ed25519" else pem
    return {"keytype": kind, "keyval": {"public": text}, "scheme": scheme}


def public_key(key):
    text = key["keyval"]["public"]
    if key["keytype"] == "ed25519":
        return ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
    return load_pem_public_key(text.encode())


def verifies(key, signature, message):
    try:
        public, scheme = public_key(key), key["scheme"]
        digest = HASHES.get(scheme[-3:])
        if scheme.startswith("ecdsa-sha2-nistp") and isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(signature, message, ec.ECDSA(digest))
            return public.curve.key_size == int(scheme[-3:])
        if scheme.startswith("rsassa-pss-sha") and isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, message, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        elif scheme == "ed25519" and isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(signature, message)
        elif scheme.startswith("ml-dsa-") and type(public).__name__ == f"MLDSA{scheme[7:9]}PublicKey":
            public.verify(signature, b"tuf\1" + hashlib.sha512(message).digest())
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, KeyError, TypeError):
        return False
    return True


def read_line(line, n, head):
    value = parse(line)
    written = json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    if line != written or set(value) not in ({"event", "head", "n", "salt"}, {"head", "leaf", "n"}):
        raise ValueError("not a line as a transcript writes it")
    leaf = bytes.fromhex(re.fullmatch("[0-9a-f]{64}", value.get("leaf") or value["salt"])[0])
    if "event" in value:
        leaf = hashlib.sha256(b"\0" + leaf + canonical(value["event"])).digest()
    following = hashlib.sha256(b"\1" + head + n.to_bytes(8, "big") + leaf).digest()
    if (type(value["n"]), value["n"], value["head"]) != (int, n, following.hex()):
        raise ValueError("the head does not follow")
    return value.get("event"), following


def read_transcript(raw):
    """Events and heads by line number."""
    events, heads, torn = [], [bytes(32)], b""
    for line in re.findall(rb"[^\n]*\n|[^\n]+", raw):
        try:
            event, head = read_line(line, len(events), heads[-1])
        except BROKEN:
            torn += line
            continue
        # The line feed that ends torn bytes belongs to the line that resumes.
        found, resumed = (len(torn[:-1]), sha256(torn[:-1])), event is not None and event["what"] == "resumed"
        told = (event["with"]["torn_bytes"], event["with"]["torn_sha256"]) if resumed else None
        must(told == found if resumed else not torn, f"line {len(events)}: does not tell of the bytes before it")
        events.append(event)
        heads.append(head)
        torn = b""
    must(b"\n" not in torn, f"line {len(events)}: the chain does not hold")
    return events, [head.hex() for head in heads[1:]]


def check_order(every):
    """Intents and results, the monotonic clock, and that nothing but line 0 opens."""
    waiting, last = None, 0
    for n, what, fields, mono in every:
        forward = last <= (last := mono) or what == "resumed"
        must((what == "opened") == (n == 0) and forward, f"line {n}: 'opened' here, or the clock ran back")
        if what in ANSWERS or what == "intent_abandoned":
            fits = waiting and what in (ANSWERS[INTENTS.index(waiting[1])], "intent_abandoned")
            must(fits and fields["intent"] == waiting[0], f"line {n}: a result without its intent")
            waiting = None
        else:
            waiting = None if what == "step_repeated" and waiting and waiting[1] in INTENTS[:2] else waiting
            must(waiting is None or what in ANY_TIME, f"line {n}: stands between an intent and its result")
            waiting = (n, what) if what in INTENTS else waiting
    must(waiting is None, "the last intent has no result: its outcome is unknown")


def check_keys(every, script):
    """Key ids and proofs of possession of new keys: their ids by name, and the root keys of each person."""
    schemes, made, holders = {k["name"]: k.get("scheme", "") for k in script["keys"]}, {}, {}
    for n, what, fields in every:
        if what in ("key_generated", "key_taken"):
            key = key_object(fields["public"], schemes[fields["key"]])
            must(sha256(canonical(key)) == fields["keyid"], f"line {n}: the key id is not the SHA-256 of the key")
            message = b"Vestry proof of possession, version 1\n" + bytes.fromhex(fields["challenge"])
            must(verifies(key, bytes.fromhex(fields["proof"]), message), f"line {n}: possession is not proved")
            made[fields["key"]] = fields["keyid"]
    for spec in (k for k in script["keys"] if "root" in k["roles"]):
        holders.setdefault(spec["holder"], []).append(made.get(spec["name"], spec.get("keyid", "none")))
    return made, holders


def signatures_on(role, every):
    return {f["keyid"]: f["sig"] for _, what, f in every if what in SIGNED and f["role"] == role}


def check_document(role, document, trusted, signed, every):
    """Key ids, signatures and thresholds of a signed file."""
    message, told = canonical(document["signed"]), signatures_on(role, every)
    holding = document["signed"] if role == "root" else document["signed"].get("delegations", {"keys": {}})
    for keyid, key in holding["keys"].items():
        known = trusted and trusted["keys"].get(keyid) == key
        must(known or keyid == sha256(canonical(key)), f"{role}: {keyid} is not the SHA-256 of its key")
    found = {s["keyid"]: s["sig"] for s in document["signatures"]}
    must(found == told, f"{role}: has other signatures than the transcript")
    before = [trusted] if trusted and role == "root" else []
    for above in (*before, signed["targets" if role == "bins" else "root"]):
        listing = above["delegations"] if role == "bins" else above
        entry, keys = listing["roles"], listing["keys"]
        entry = next(r for r in entry if r["name"] == role) if role == "bins" else entry[role]
        mine = {i: keys[i] for i in entry["keyids"]}
        good = [k for i, k in mine.items() if i in told and verifies(k, bytes.fromhex(told[i]), message)]
        must(len(good) == len(set(told) & set(mine)), f"{role}: a signature does not verify")
        distinct = {public_key(k).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for k in good}
        by = f"{entry['threshold']} of {above['_type']} v{above['version']}"
        must(len(distinct) >= entry["threshold"], f"{role}: {len(distinct)} of {by}")


def check_bundle(files, role, drafted, every, known):
    """Digests and lengths in a bundle, and its SHA256SUMS."""
    there = {name.split("/", 2)[2]: raw for name, raw in files.items()}
    listed = {x[66:]: x[:64] for x in there.pop("SHA256SUMS", b"").decode().splitlines()}
    said, unsigned = parse(there.get("bundle.json", b"{}")), there.get(f"unsigned/{role}.json", b"{}")
    facts = {n: {"length": len(c), "sha256": sha256(c)} for n, c in there.items() if re.match("unsigned/|trusted/", n)}
    sigs = {s["keyid"]: s["sig"] for s in (parse(c) for n, c in there.items() if n.startswith("signatures/"))}
    foreign = [n for n, c in there.items() if n.startswith("trusted/") and sha256(c) not in known]
    must(not foreign, f"bundles/{role}: trusts a document that is not one of this ceremony")
    must({n: sha256(c) for n, c in there.items()} == listed, f"bundles/{role}: SHA256SUMS does not fit the files")
    must(facts == said.get("files"), f"bundles/{role}: bundle.json does not fit the files")
    must(sha256(unsigned) == drafted["sha256"], f"bundles/{role}: the unsigned file is not the one that was drafted")
    digest = sha256(canonical(parse(unsigned).get("signed")))
    must(said.get("digest") == digest == drafted["digest"], f"bundles/{role}: the digest of what is signed is another")
    must(sigs == signatures_on(role, every), f"bundles/{role}: has other signatures than the transcript")


def check_seal(n, fields, wanted, keys, held):
    envelope = parse(fields["envelope"])
    payload, kind, [entry] = base64.b64decode(envelope["payload"]), envelope["payloadType"], envelope["signatures"]
    encoded = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    key, signature = keys.get(entry["keyid"], {}), base64.b64decode(entry["sig"])
    must(verifies(key, signature, encoded), f"line {n}: the seal's signature does not hold")
    must(any(entry["keyid"].startswith(k) for k in held), f"line {n}: the seal is not by a root key of that person")
    must(kind == "application/vnd.in-toto+json", f"line {n}: the seal has another type of payload")
    must(payload == canonical(wanted), f"line {n}: the seal says something else than the transcript")
    must(fields["agree"] or fields["reason"].strip(), f"line {n}: a seal that does not agree gives no reason")


def verify(disk):
    """Check all files, by name; gives the last head, and what each person sealed."""
    events, heads = read_transcript(disk["transcript.jsonl"])
    if not must(events and events[0] and events[0]["what"] == "opened", "line 0 is not 'opened', or is withheld"):
        return "", {}
    every = [(n, event["what"], event["with"]) for n, event in enumerate(events) if event]
    if None not in events:  # what is withheld may be the result of an intent
        check_order([(*line, event["mono"]) for line, event in zip(every, events, strict=True)])
    opened, inputs = every[0][2], every[0][2]["inputs"]
    script = tomllib.loads(opened["script"])
    rehearsal = script["ceremony"].get("rehearsal", False)
    must(opened["format"] == 1 and opened["rehearsal"] == rehearsal, "line 0: another format, or rehearsal or not?")
    digests = {"script.toml": sha256(opened["script"].encode())}
    must(digests["script.toml"] == opened["script_sha256"], "line 0: the script has another digest")
    for name, table, path, pin in (line.split() for line in INPUTS.split("|")):
        if path in script.get(table, {}):
            raw = inputs.get(name, "").encode()
            must(sha256(raw) == script[table][pin].lower(), f"line 0: the input '{name}' is not the one that is pinned")
            digests[f"inputs/{Path(script[table][path]).name}"] = sha256(raw)
    (made, holders), drafted = check_keys(every, script), {f["role"]: f for _, what, f in every if what == "drafted"}
    files = {name: digest for _, what, f in every if what == "verified" for name, digest in f["files"].items()}
    documents = {n.split(".")[1]: parse(disk[f"signed/{n}"]) for n in files}
    signed = {role: document["signed"] for role, document in documents.items()}
    trusted = parse(inputs["predecessor"])["signed"] if "predecessor" in inputs else None
    for role, document in documents.items():
        must(sha256(canonical(signed[role])) == drafted[role]["digest"], f"{role}: not the document that was drafted")
        check_document(role, document, trusted, signed, every)
    named = {i for d in signed.values() for i in {**d.get("keys", {}), **d.get("delegations", {}).get("keys", {})}}
    must(not documents or set(made.values()) <= named, "a key that was made is named by no signed document")
    known = {*files.values(), sha256(inputs.get("predecessor", "").encode())}
    for role, fields in drafted.items():
        check_bundle({n: c for n, c in disk.items() if n.startswith(f"bundles/{role}/")}, role, fields, every, known)
    keys = {**(trusted or {"keys": {}})["keys"], **signed.get("root", {"keys": {}})["keys"]}
    digests |= {f"signed/{n}": d for n, d in files.items()}
    so_far, seals, software, head = {}, {}, {}, ""
    for n, what, fields in every:
        if what in ("opened", "resumed"):
            software = {"name": fields["software"], "sha256": fields["software_sha256"]}
        elif what == "verified":
            so_far |= fields["files"]
        elif what == "exported":
            to, meta = Path(fields["to"]).name, {k: d for k, d in fields["files"].items() if k.startswith("metadata/")}
            must(meta == {f"metadata/{k}": d for k, d in so_far.items()}, f"line {n}: other files than the signed ones")
            here = any(name.startswith(f"{to}/") for name in disk)
            digests |= {f"{to}/{k}": d for k, d in fields["files"].items()} if here else {}
        elif what == "seal_opened":
            head = heads[n]
            must(fields["subjects"] == so_far, f"line {n}: the seal is not about the signed files")
        elif what == "sealed":
            person, about = fields["person"], [{"name": k, "digest": {"sha256": d}} for k, d in sorted(files.items())]
            said = {k: fields[k] for k in ("person", "agree", "reason")} | {"ceremony": script["ceremony"]["title"]}
            said |= {"rehearsal": rehearsal, "script": {"sha256": opened["script_sha256"]}, "software": software}
            wanted = {"_type": "https://in-toto.io/Statement/v1", "subject": about}
            wanted["predicate"] = said | {"transcript": {"head": head}}
            wanted["predicateType"] = "urn:vestry:ceremony-seal:1"
            check_seal(n, fields, wanted, keys, holders.get(person, ()))
            name = re.sub("[^A-Za-z0-9]+", "-", person).strip("-").lower() or "person"
            digests[f"seals/{name}.json"] = sha256(fields["envelope"].encode())
            seals[person] = "agrees" if fields["agree"] else f"does not agree: {fields['reason']}"
    for name, digest in digests.items():
        must(sha256(disk.get(name, b"")) == digest, f"{name}: is missing, or has another digest")
    more = sorted(n for n in disk if n.startswith(("signed/", "seals/")) and n not in digests)
    must(not more, f"files that the transcript does not know: {more}")
    return heads[-1], seals


def main(argv):
    if len(argv) != 1:
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    head, seals = "", {}
    try:
        files = (p for p in Path(argv[0]).rglob("*") if p.is_file())
        head, seals = verify({p.relative_to(argv[0]).as_posix(): p.read_bytes() for p in files})
    except BROKEN as error:
        SAID.append(f"cannot be read on: {error!r}")
    for line in [*(f"FAILED: {x}" for x in SAID), *(f"sealed: {person} {said}" for person, said in seals.items())]:
        print(ascii(line)[1:-1])
    print(f"head: {head}\nverdict: {'does not hold' if SAID else f'holds, {len(seals)} sealed it'}")
    return 1 if SAID else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
