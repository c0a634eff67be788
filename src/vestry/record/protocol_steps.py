"""The steps of a script in words, verb first, with what a witness writes down at each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vestry.ceremony import script as s
from vestry.ceremony.script import Script
from vestry.metadata.comparison import KINDS
from vestry.record.page import NONE, Html, join, paragraph, tag, text
from vestry.record.prompts import Outlook

TICK = Html('<span class="box"></span>')
_WORDS, _GROUPS, _A_ROW = 32, 16, 8


@dataclass(frozen=True)
class Work:
    """One line to tick: a sentence, lines below it, fields to fill in (name, and how wide), and whatever else."""

    sentence: str
    lines: tuple[str, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()
    extra: Html = NONE


def blank(size: str = "") -> Html:
    """A line to write on: ``short``, ``long``, or between."""
    return Html(f'<span class="blank {size}"></span>' if size else '<span class="blank"></span>')


def grid(what: str) -> Html:
    """Numbered cells for the 32 words of a digest (``word``), or its 16 groups of hex."""
    count = _WORDS if what == "word" else _GROUPS
    cells = [tag("td", tag("small", text(n))) for n in range(1, count + 1)]
    rows = join((tag("tr", *cells[i : i + _A_ROW]) for i in range(0, count, _A_ROW)), "\n")
    return Html(f'<table class="grid">\n<tbody>\n{rows}\n</tbody>\n</table>\n')


def irreversible(script: Script) -> int:
    """Index of the first step that cannot be taken back, as the rail on the screen has it: the first signature; without
    one, the first signature from elsewhere or the first key that ends. The number of steps where there is none."""
    for kinds in ((s.SignStep,), (s.ImportStep, s.DestroyStep)):
        for index, step in enumerate(script.steps):
            if isinstance(step, kinds):
                return index
    return len(script.steps)


def work(script: Script, step: s.Step, outlook: Outlook | None, index: int) -> Iterator[Work]:
    """The lines of a step, in the order in which they happen."""
    return _WORK[type(step)](script, step, outlook, index)


def _say(_: Script, step: s.SayStep, _o: Outlook | None, _i: int) -> Iterator[Work]:
    fields = tuple((label, "long") for label in step.record)
    yield Work("Read this out, and do it:", tuple(line for line in step.text.split("\n") if line.strip()), fields)


def _gather(script: Script, step: s.GatherStep, _o: Outlook | None, _i: int) -> Iterator[Work]:
    offices = {p.name: p.office for p in script.people}
    for name in step.people:
        yield Work(f"See that {name} ({offices[name]}) is here.")


def _preflight(_: Script, step: s.PreflightStep, _o: Outlook | None, _i: int) -> Iterator[Work]:
    yield Work("Look at the machine: read each check off the screen.", (), (("checks that do not pass", "long"),))
    for check in step.require:
        yield Work(
            f"See that the check '{check}' passes.", (), (("pass, or the reason why it is passed over", "long"),)
        )
    yield Work("Compare the clock on the screen with a watch.", (), (("watch, UTC", ""), ("screen, UTC", "")))


def _provision(script: Script, step: s.ProvisionStep, _o: Outlook | None, _i: int) -> Iterator[Work]:
    for name in step.tokens:
        spec = script.token(name)
        wanted = (f"The script wants serial {spec.serial}.",) if spec.serial else ()
        fields = (("serial", ""), ("model", ""), ("bag number", ""))
        if spec.erase:
            yield Work(f"Insert {spec.holder}'s token '{name}'. It is erased; nothing on it stays.", wanted, fields)
            kept = spec.security_officer == "holder" and spec.use != "software"
            secret = "a PIN and a security officer PIN" if kept else "a PIN"
            yield Work(f"See that {spec.holder} chooses {secret} unseen.")
        else:
            yield Work(f"Insert {spec.holder}'s token '{name}'. Nothing on it is erased.", wanted, fields)
            yield Work(f"See that {spec.holder} types the PIN unseen.")
        yield Work(
            f"Hear {spec.holder} read the last four characters of the serial off the device.",
            (),
            (("last four", "short"),),
        )
        for key in (k for k in script.keys if k.token == name and k.new):
            kind = f"{key.scheme}, {key.bits} bits" if key.bits else key.scheme
            verb = "Take" if key.taken else "Make"
            yield Work(
                f"{verb} key '{key.name}' for {', '.join(key.roles)} ({kind}).",
                (),
                (("key id, first eight digits", "short"), ("last eight", "short")),
            )


def _draft(_: Script, step: s.DraftStep, _o: Outlook | None, _i: int) -> Iterator[Work]:
    for role in step.roles:
        yield Work(
            f"Draft {role}; write down the words of its digest.",
            (),
            (("version", "short"), ("expires", "")),
            grid("word"),
        )
    yield Work("See that a client accepts the drafts under throwaway keys.", (), (("client", ""),))


def _review(_: Script, step: s.ReviewStep, _o: Outlook | None, _i: int) -> Iterator[Work]:
    for role in step.roles:
        yield Work(
            f"Read what {role} says, to its end; compare the words of its digest with those above.",
            (),
            (("changes", "short"), ("findings", "short"), ("answered", "long")),
        )


def _compare(_: Script, _s: s.CompareStep, _o: Outlook | None, _i: int) -> Iterator[Work]:
    for kind, what in KINDS.items():
        yield Work(f"{kind}: {what}.", (), (("how many", "short"), ("what is done about it", "long")))


def _sign(script: Script, step: s.SignStep, outlook: Outlook | None, index: int) -> Iterator[Work]:
    turns = outlook.turns.get(index, ()) if outlook else ()
    for turn in turns:
        roles = list(dict.fromkeys(role for role, _ in turn.wanted))
        for role in roles:
            yield Work(
                f"Read aloud the words of {role} that {turn.holder} is asked for; see that {turn.holder} types them.",
                (),
                (("places", "short"), ("words", "")),
            )
        for role, key in turn.wanted:
            token = script.key(key).token
            yield Work(
                f"See that {turn.holder} signs {role} with key '{key}' on token '{token}', and that it verifies."
            )
    who = "all of them sign" if step.signers == "all" else "signing ends when every threshold is met"
    more = f"The turns above are those of the script's order; {who}. If another holder signs, write it here:"
    spare = (("holder", ""), ("role", "short"), ("key", ""), ("words", ""))
    yield Work(more if turns else "Collect the signatures; write down each:", (), spare)
    for _ in range(2):
        yield Work("Another:", (), spare)


def _import(_s: Script, step: s.ImportStep, _o: Outlook | None, _i: int) -> Iterator[Work]:
    for _ in range(3):
        yield Work(
            f"Take in signatures of {step.role} that were made elsewhere.",
            (),
            (("from (medium, folder)", ""), ("key id, first eight digits", ""), ("holder", "")),
        )
    yield Work("Say that there are no more.")


def _verify(_: Script, step: s.VerifyStep, outlook: Outlook | None, _i: int) -> Iterator[Work]:
    for role in step.roles:
        needs: tuple[str, ...] = ()
        if outlook is not None and role in outlook.state.documents:
            every = outlook.state.authorities(role)
            needs = tuple(f"At least {a.threshold} of the {len(a.keys)} keys of {a.by}." for a in every)
        yield Work(f"Count the signatures on {role}; see that the threshold is met.", needs, (("signatures", "short"),))
    yield Work("See that python-tuf accepts the signed documents.")


def _destroy(script: Script, step: s.DestroyStep, _o: Outlook | None, _i: int) -> Iterator[Work]:
    for key in script.keys:
        if set(key.roles) & set(step.roles):
            yield Work(
                f"See that {key.holder} destroys key '{key.name}' on token '{key.token}', and that it is gone.",
                (),
                (("if it is kept, why", "long"),),
            )


def _export(_: Script, step: s.ExportStep, _o: Outlook | None, _i: int) -> Iterator[Work]:
    what = {"online": "the signed metadata", "all": "everything but secrets"}[step.what]
    suggested = f"The script suggests the folder {step.to}."
    yield Work(
        f"Write {what} to a medium; see that it is read back and equal.",
        ("The drive is chosen among those that are here." if step.to == s.DRIVE else suggested,),
        (("medium", ""), ("folder", ""), ("files", "short"), ("bag number", "")),
    )


def _seal(_: Script, step: s.SealStep, _o: Outlook | None, _i: int) -> Iterator[Work]:
    yield Work("Read the head of the transcript aloud; write down its words.", (), (), grid("word"))
    for person in step.by:
        yield Work(
            f"Hear {person} say whether the ceremony went as recorded; see that {person} signs that.",
            (),
            (),
            paragraph(TICK, text("agrees "), TICK, text("does not agree, because: "), blank("long")),
        )


_WORK: Mapping[type, Callable[[Script, Any, Outlook | None, int], Iterator[Work]]] = {
    s.SayStep: _say,
    s.GatherStep: _gather,
    s.PreflightStep: _preflight,
    s.ProvisionStep: _provision,
    s.DraftStep: _draft,
    s.ReviewStep: _review,
    s.CompareStep: _compare,
    s.SignStep: _sign,
    s.ImportStep: _import,
    s.VerifyStep: _verify,
    s.DestroyStep: _destroy,
    s.ExportStep: _export,
    s.SealStep: _seal,
}
