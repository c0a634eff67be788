"""Rules about in-toto layouts (specification 1.0, section 4.3)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vestry.metadata.edits import named
from vestry.metadata.layout import FIELDS
from vestry.metadata.rulebook import Context, Hit, rule

_SIMPLE = frozenset({"CREATE", "DELETE", "MODIFY", "ALLOW", "DISALLOW", "REQUIRE"})
_WORDS = {"steps": "Step", "inspect": "Inspection"}
_RULE_FIELDS = {"expected_materials": "materials", "expected_products": "products"}
_GPG = re.compile("gpg|pgp", re.IGNORECASE)


def _things(c: Context, part: str) -> Mapping[str, Mapping[str, Any]]:
    return (named(c.signed.get(part, [])) or {}) if c.new.type == "layout" else {}


def _label(part: str, name: str) -> str:
    return f"{_WORDS[part]} {name[:60]}"


@rule("LAYOUT-NO-STEPS", "warn", "A layout demands no steps.")
def layout_no_steps(c: Context) -> Iterator[Hit]:
    """Whatever was done, by whomever, then fits it."""
    if c.new.type == "layout" and not _things(c, "steps"):
        yield Hit(("steps",), "The layout has no steps: nobody's work is asked for")


@rule("LAYOUT-STEP-KEYS", "warn", "A step needs more functionaries than it has.")
def layout_step_keys(c: Context) -> Iterator[Hit]:
    """Distinct keys that the layout lists count; such a step can never be verified."""
    for name, step in _things(c, "steps").items():
        ids = step.get("pubkeys", [])
        keys = {c.keys[i].fingerprint for i in ids if i in c.keys}
        threshold = step["threshold"]
        if not ids:
            yield Hit(("steps", name, "pubkeys"), f"{_label('steps', name)} has no functionaries: nobody can do it")
        elif threshold > len(keys):
            text = f"{_label('steps', name)} needs {threshold} of its functionaries, but has {len(keys)} distinct"
            yield Hit(("steps", name, "threshold"), text)
        elif threshold < 1:
            text = f"{_label('steps', name)} has threshold {threshold}: clients differ on what that means"
            yield Hit(("steps", name, "threshold"), text)


@rule("LAYOUT-KEY-MISSING", "warn", "A step names a key that the layout does not list.")
def layout_key_missing(c: Context) -> Iterator[Hit]:
    """in-toto refuses the layout as a whole or passes over that functionary."""
    for name, step in _things(c, "steps").items():
        for keyid in step.get("pubkeys", []):
            if keyid not in c.keys:
                text = f"{_label('steps', name)} names key id {c.whole(keyid)}, but the layout has no such key"
                yield Hit(("steps", name, "pubkeys", keyid), text)


@rule("LAYOUT-KEY-UNUSED", "note", "A listed key serves no step.")
def layout_key_unused(c: Context) -> Iterator[Hit]:
    """Harmless, and often a slip."""
    if c.new.type != "layout":
        return
    used = {keyid for step in _things(c, "steps").values() for keyid in step.get("pubkeys", [])}
    for keyid in c.keys:
        if keyid not in used:
            yield Hit(("keys", keyid), f"{c.label(keyid)} is listed, but serves no step")


@rule("LAYOUT-KEY-GPG", "note", "A functionary's key is a GPG key.")
def layout_key_gpg(c: Context) -> Iterator[Hit]:
    """Such keys can't be compared by their bytes here, nor their signatures verified; what stands there is shown."""
    if c.new.type != "layout":
        return
    for keyid, key in c.keys.items():
        fields = key.to_dict()
        if any(isinstance(fields.get(f), str) and _GPG.search(fields[f]) for f in ("method", "scheme", "type")):
            yield Hit(("keys", keyid), f"{c.label(keyid)} is a GPG key: it is shown as it stands, not checked")
    for signature in c.new.signatures:
        if signature.sig.startswith("gpg:"):
            text = f"The signature of key {c.whole(signature.keyid)} is made with GPG: it is not verified here"
            yield Hit(("signatures", signature.keyid), text)


@rule("LAYOUT-THRESHOLD-ONE", "note", "One functionary alone decides every step.")
def layout_threshold_one(c: Context) -> Iterator[Hit]:
    """No step is then checked against the work of a second person."""
    steps = _things(c, "steps")
    if steps and all(step["threshold"] == 1 for step in steps.values()):
        yield Hit(("steps",), "Every step has threshold 1: one functionary alone decides what comes out of it")


@rule("LAYOUT-RULE-UNKNOWN", "warn", "An artifact rule is none that in-toto defines.")
def layout_rule_unknown(c: Context) -> Iterator[Hit]:
    """Section 4.3.3 of the specification. Clients refuse the layout."""
    for path, what, rules in _rules(c):
        for place, one in enumerate(rules):
            if not _is_rule(one):
                shown = " ".join(one)[:100] or "(empty)"
                yield Hit((*path, str(place)), f"{what}: rule {place + 1} is none that in-toto knows: {shown}")


@rule("LAYOUT-RULES-OPEN", "warn", "Artifacts that no rule names go through.")
def layout_rules_open(c: Context) -> Iterator[Hit]:
    """in-toto allows what no rule takes, unless the last rule is DISALLOW *."""
    for path, what, rules in _rules(c):
        last = [w.upper() if n == 0 else w for n, w in enumerate(rules[-1])] if rules else []
        if last != ["DISALLOW", "*"]:
            why = "there are no rules" if not rules else f"the last rule is {' '.join(rules[-1])[:60]}, not DISALLOW *"
            yield Hit(path, f"{what}: whatever no rule names goes through, for {why}")


@rule("LAYOUT-PATTERN", "note", "A pattern means different things to different clients.")
def layout_pattern(c: Context) -> Iterator[Hit]:
    """``[!a]`` negates for in-toto-python, ``[^a]`` for in-toto-golang (GHSA-pmwq-pjrm-6p5r)."""
    for path, what, rules in _rules(c):
        for place, one in enumerate(rules):
            if any("[!" in word or "[^" in word for word in one[1:]):
                text = f"{what}: rule {place + 1} negates in brackets, which in-toto's clients read in different ways"
                yield Hit((*path, str(place)), text)


@rule("LAYOUT-RUNS", "note", "Whoever verifies runs a command.")
def layout_runs(c: Context) -> Iterator[Hit]:
    """An inspection's command runs on the verifier's machine, with the verifier's rights."""
    for name, inspection in _things(c, "inspect").items():
        command = inspection.get("run", [])
        if command:
            text = f"Inspection {name[:60]} runs on the machine of whoever verifies: {' '.join(command)[:1000]}"
            yield Hit(("inspect", name, "run"), text)


@rule("LAYOUT-FIELD", "warn", "A field that in-toto does not define.")
def layout_field(c: Context) -> Iterator[Hit]:
    """in-toto-python drops such fields when it reads a layout, in-toto-golang reads some (rootcas)."""
    if c.new.type != "layout":
        return
    places: list[tuple[tuple[str, ...], Mapping[str, Any], str]] = [((), c.signed, "layout")]
    places += [((part, name), thing, part) for part in _WORDS for name, thing in _things(c, part).items()]
    for path, value, what in places:
        for field in sorted(value.keys() - FIELDS[what]):
            whose = _label(what, path[1]) if path else "The layout"
            yield Hit((*path, field), f"{whose} has a field that in-toto does not define: {field[:100]}")
    for field in sorted(c.new.extra):
        yield Hit(("outside", field), f"Field {field[:100]} stands outside the signed part: no signature covers it")


def _rules(c: Context) -> Iterator[tuple[tuple[str, ...], str, Sequence[Sequence[str]]]]:
    """Every list of artifact rules: its path, its name, and the rules."""
    for part in _WORDS:
        for name, thing in _things(c, part).items():
            for field, what in _RULE_FIELDS.items():
                yield (part, name, field), f"{_label(part, name)}, {what}", thing.get(field, [])


def _is_rule(words: Sequence[str]) -> bool:
    upper = [w.upper() for w in words]
    if not words or upper[0] in _SIMPLE:
        return len(words) == 2
    # MATCH pattern [IN prefix] WITH MATERIALS|PRODUCTS [IN prefix] FROM step
    rest = upper[2:] if upper[0] == "MATCH" and len(words) > 2 else []
    rest = rest[2:] if rest[:1] == ["IN"] else rest
    if len(rest) < 2 or rest[0] != "WITH" or rest[1] not in ("MATERIALS", "PRODUCTS"):
        return False
    rest = rest[2:]
    rest = rest[2:] if rest[:1] == ["IN"] else rest
    return len(rest) == 2 and rest[0] == "FROM"


APPLY = frozenset(
    {
        "EXPIRY-PAST",
        "EXPIRY-FAR",
        "EXPIRY-FORM",
        "KEY-LEGACY",
        "KEY-PRIVATE",
        "KEY-TWICE",
        "KEY-UNREADABLE",
        "KEY-WEAK",
        "SIGNATURE-EMPTY",
        "SIGNATURE-INVALID",
        "SIGNATURE-UNKNOWN-KEY",
        "SIGNATURES-MANY",
        "TEXT-HOSTILE",
    }
)
"""Rules of TUF documents that hold for layouts, too; beside these and those of this module, no rule looks at one."""
