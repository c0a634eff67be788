"""The protocol: a ceremony's script as a paper to follow and tick off, with room for what people see and decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vestry.ceremony import script as s
from vestry.ceremony.script import Script
from vestry.metadata.policy import DEFAULT, ELSE
from vestry.record import page
from vestry.record.page import Html, facts, join, lead, paragraph, section, table, tag, text, word
from vestry.record.prompts import Outlook, foretell
from vestry.record.protocol_steps import TICK, Work, blank, grid, irreversible, work

_OFFICES = ("administrator", "holder", "witness")
_SPARE = 8
_INPUTS = {
    "online": "Online key",
    "predecessor": "Root before",
    "targets": "Targets before",
    "bins": "Bins before",
    "before": "Version before",
    "draft": "Document to sign",
    "delegator": "Delegating document",
    "good": "Last good snapshot, the list of its files",
    "now": "Snapshot now, the list of its files",
}


def protocol(script: Script, inputs: Mapping[str, bytes]) -> str:
    """The protocol as one HTML file; the same script and inputs give the same bytes.

    Args:
        script: As `reading` gives it.
        inputs: The files it names, by name.
    """
    outlook = foretell(script, inputs)
    first = page.hexadecimal(script.sha256[:16])
    return page.page(
        f"Protocol: {script.title}",
        [join((text(f"Protocol of {script.title}, {script.repository}; script "), first, text("...")))],
        [
            _about(script),
            _script(script),
            _people(script),
            _authority(script, outlook),
            _tokens(script),
            *_policy(script),
            _prompts(script, outlook),
            *_steps(script, outlook),
            _exceptions(script),
            _end(script),
        ],
        foot=join((text("This page was followed by (initials): "), blank("long"))),
        rehearsal=script.rehearsal,
    )


def _about(script: Script) -> Html:
    what = {
        "root": "the first root",
        "rotation": "the next root, from one that is trusted",
        "delegated": "the signatures on a delegated role",
        "layout": "the signatures on an in-toto layout",
    }[script.kind]
    if script.kind == "rotation" and script.drafted[1:]:
        what += f", with the next {' and '.join(script.drafted[1:])}"
    pairs = [
        ("Ceremony", text(script.title)),
        ("Makes", text(what)),
        ("Repository", text(script.repository)),
        ("Day in the script", text(script.date or "none: the day it is opened counts")),
        ("Place", blank("long")),
        ("Begun (date, UTC)", blank("long")),
        ("Ended (date, UTC)", blank("long")),
        ("Followed by (name)", blank("long")),
    ]
    how = (
        "Tick each box when you saw it happen, write the time in UTC and your initials. Compare values with the "
        "screen, and write down what the boxes ask for. What is not in this script cannot happen in the ceremony; "
        "whatever does happen beside it belongs under Exceptions. No PIN and no other secret belongs on this paper."
    )
    return join((facts(pairs), paragraph(text(how))))


def _script(script: Script) -> Html:
    named = [
        (
            _INPUTS.get(i.name, i.name[:1].upper() + i.name[1:]),
            join((text(i.path), paragraph(page.hexadecimal(i.sha256)))),
        )
        for i in script.inputs
    ]
    return section(
        "The script",
        lead(TICK, text("The SHA-256 on the screen is this one, in hex or in words:")),
        page.digest(script.sha256, qr=True),
        section("Files that it names, with their SHA-256", facts(named), level=3) if named else page.NONE,
    )


def _people(script: Script) -> Html:
    ordered = [p for office in _OFFICES for p in script.people if p.office == office]
    rows = [(word(p.name), word(p.office), page.NONE, page.NONE, page.NONE) for p in ordered]
    rows += [(page.NONE,) * 5 for _ in range(3)]
    return section("People", table(("Name", "Office", "Came", "Left", "Initials"), rows, "tall boxes"))


def _authority(script: Script, outlook: Outlook | None) -> Html:
    roles: tuple[tuple[str, s.RoleSpec | s.BinsSpec | None], ...]
    roles = (("root", script.root), ("targets", script.targets), ("bins", script.bins))
    rows = []
    if script.given is not None:
        keys = script.keys_of(script.given.role)
        wanted = str(script.given.threshold or "as its delegator says")
        who = ", ".join(k.name for k in keys) or "none"
        rows.append((word(script.given.role), word(f"{wanted} of {len(keys)}"), text(who), text("as it came")))
    for name, spec in roles:
        if spec is None:
            continue
        keys = script.keys_of(name)
        life = f"{spec.days} days" if name in script.drafted else "not drafted here"
        more = f"; {spec.number:,} bins, {spec.style}" if isinstance(spec, s.BinsSpec) else ""
        who = ", ".join(k.name for k in keys) or "none"
        rows.append((word(name), word(f"{spec.threshold} of {len(keys)}"), text(who), text(life + more)))
    before = []
    if outlook is not None and outlook.state.predecessor is not None:
        old = outlook.state.authorities("root")[0]
        before = [paragraph(text(f"The new root also needs {old.threshold} of the {len(old.keys)} keys of {old.by}."))]
    keys_table = table(
        ("Key", "Holder", "Token", "Roles", "What it is"),
        [(word(k.name), word(k.holder), word(k.token), word(", ".join(k.roles)), _key(k)) for k in script.keys],
    )
    return section(
        "Roles and keys",
        table(("Role", "Must sign", "Keys", "Life"), rows),
        *before,
        keys_table,
    )


def _key(spec: s.KeySpec) -> Html:
    if spec.keyid:
        leaving = "; leaves with this ceremony" if spec.leaves else "; stays"
        return join((text("key id "), page.hexadecimal(spec.keyid), text(leaving)))
    kind = f"{spec.scheme}, {spec.bits} bits" if spec.bits else spec.scheme
    return text(f"{'on its token already' if spec.taken else 'made here'}: {kind}")


def _tokens(script: Script) -> Html:
    rows = []
    for spec in script.tokens:
        use = {"software": "software, for practice", "plugin": f"plug-in {spec.module}"}.get(spec.use, spec.module)
        fate = "erased first" if spec.erase else "taken as it is"
        if not any(k.token == spec.name and k.new for k in script.keys):
            fate = "not changed"
        serial = word(spec.serial) if spec.serial else page.NONE
        rows.append((word(spec.name), word(spec.holder), text(f"{use}; {fate}"), serial, page.NONE, page.NONE))
    heads = ("Token", "Holder", "Module", "Serial", "Bag before", "Bag after")
    return section("Tokens", table(heads, rows, "tall bags"))


def _policy(script: Script) -> Iterator[Html]:
    policy = script.policy
    if policy == DEFAULT:
        return
    pairs = [("Stops may be overruled", text(f"by {policy.overrule} people who agree" if policy.overrule else "no"))]
    pairs += [(f"Not asked about: {code}", text(reason)) for code, reason in policy.silenced.items()]
    pairs += [(f"At least a {severity}", text(code)) for code, severity in policy.severities.items()]
    for what, days in (("at least", policy.least_days), ("at most", policy.most_days)):
        said = ", ".join(f"{'all others' if role == ELSE else role} {n}" for role, n in days.items())
        pairs.append((f"Days left, {what}", text(said or "any")))
    if policy.well_known:
        names = text(", ".join(policy.well_known))
        pairs.append((f"New names are also compared with ({len(policy.well_known):,})", names))
    yield section("How strict the reviews are", facts(pairs))


def _prompts(script: Script, outlook: Outlook | None) -> Html:
    if outlook is None:
        said = "How often people will be asked cannot be told from this script; vestry check says what is amiss."
        return section("Questions to expect", paragraph(text(said)))
    parts = ["one for each kind of difference that a comparison finds"] if script.snapshots else []
    parts += ["one for each check of the machine that does not pass", "one for each thing that goes amiss"]
    if not outlook.answers:
        parts.insert(0, "one for each finding that a review asks about")
    if any(isinstance(x, s.ImportStep) for x in script.steps):
        parts.insert(0, "one for each folder of signatures that is taken in")
    said = f"Vestry asks {outlook.total} times if nothing goes amiss, and {', '.join(parts)}."
    return section("Questions to expect", paragraph(text(said)))


def _steps(script: Script, outlook: Outlook | None) -> Iterator[Html]:
    yield section("Steps")
    edge = irreversible(script)
    for index, step in enumerate(script.steps):
        if index == edge:
            words = "Up to here everything can be repeated. What is signed from here on stays signed."
            yield tag("p", text(words), kind="line")
        count = outlook.prompts[index] if outlook else 0
        asked = f"; Vestry asks {'once' if count == 1 else f'{count} times'}" if count else ""
        title = f"Step {index + 1} of {len(script.steps)}: {step.title}"
        yield section(title, _work(index + 1, work(script, step, outlook, index)), level=3)
        if asked:
            yield paragraph(tag("small", text(f"Line {step.line} of the script{asked}.")), kind="after")


def _work(number: int, entries: Iterator[Work]) -> Html:
    rows = []
    for place, entry in enumerate(entries, 1):
        said = join((TICK, tag("span", text(entry.sentence))))
        below = join((paragraph(text(line)) for line in entry.lines), "")
        fields = join((tag("span", text(f"{name}: "), blank(size), kind="field") for name, size in entry.fields), " ")
        under = paragraph(fields) if entry.fields else page.NONE
        rows.append((text(f"{number}.{place}"), join((said, below, under, entry.extra)), page.NONE, page.NONE))
    return table(("No.", "What to do, and what to see", "UTC", "Initials"), rows, "work")


def _exceptions(script: Script) -> Html:
    rows = [(page.NONE,) * 5 for _ in range(_SPARE)]
    words = "Anything that is not in the script, that went wrong, was repeated or left out; also who came or went."
    wanted = script.exceptions
    words += (
        f" A step is skipped or repeated only if {wanted} people agree, not administrators alone, with a reason."
        if wanted
        else " No step of this script is ever skipped or repeated."
    )
    heads = ("Time", "Step", "What happened", "What was done, who decided", "Initials")
    return section("Exceptions", paragraph(text(words)), table(heads, rows, "room"))


def _end(script: Script) -> Html:
    rows = [(word(p.name), word(p.office), word("yes / no"), page.NONE) for p in script.people]
    rows += [(page.NONE, page.NONE, text("yes / no"), page.NONE)] * 2
    return section(
        "At the end",
        lead(TICK, text("Write the head of the transcript, as it is read aloud: its 32 words.")),
        grid("word"),
        lead(text("The same in hex, 16 groups of four:")),
        grid("hex"),
        lead(text("Did the ceremony go as this protocol says, exceptions included?")),
        table(("Name", "Office", "It did", "Signature and date"), rows, "room signed"),
    )
