"""Events in a few words, for a log that people read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vestry.ceremony import events as e


def told(recorded: e.Recorded) -> str:
    """Who did what, without a full stop; not printable yet."""
    return f"{recorded.by} {happened(recorded.event)}".lstrip()


def happened(event: e.Event) -> str:
    """The same without who; the verb comes first."""
    return _TOLD[type(event)](event)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


_TOLD: Mapping[type, Callable[[Any], str]] = {
    e.Opened: lambda _: "opened the transcript",
    e.Resumed: lambda _: "had the program start again",
    e.Said: lambda x: f"did what step {x.step + 1} says",
    e.Gathered: lambda x: f"said who is here: {', '.join(x.people)}",
    e.PreflightTaken: lambda _: "had the machine looked at",
    e.NetworkSeen: lambda x: f"had the network looked at again: {x.verdict}",
    e.InitialiseIntended: lambda x: f"was about to erase token '{x.token}'",
    e.TokenInitialised: lambda x: f"erased token '{x.token}', serial {x.serial}",
    e.TokenAdopted: lambda x: f"unlocked token '{x.token}', serial {x.serial}, which is taken as it is",
    e.TokenConfirmed: lambda x: f"read the end of serial {x.serial} off token '{x.token}'",
    e.GenerateIntended: lambda x: f"was about to make key '{x.key}'",
    e.KeyGenerated: lambda x: f"made key '{x.key}', {x.keyid[:8]}...",
    e.KeyTaken: lambda x: f"took key '{x.key}', {x.keyid[:8]}..., from its token",
    e.Drafted: lambda x: f"drafted {x.role} v{x.version}",
    e.DraftProved: lambda x: f"had {x.client} walk the drafts",
    e.ReviewRead: lambda x: (
        f"led the reading of {x.role}, {_count(x.changes, 'change')}, {_count(len(x.findings), 'finding')}"
    ),
    e.SignatureIntended: lambda x: f"typed words of {x.role}, to sign it with key '{x.key}'",
    e.SignatureAdded: lambda x: f"signed {x.role} with key {x.keyid[:8]}...",
    e.SignatureImported: lambda x: f"took in a signature on {x.role} by key {x.keyid[:8]}... from {x.source}",
    e.Compared: lambda x: f"compared with the last good snapshot: {sum(x.counts.values()):,} differences",
    e.ImportEnded: lambda _: "said that there are no more signatures",
    e.IntentAbandoned: lambda x: f"had the outcome of line {x.intent} looked into",
    e.Verified: lambda x: f"had {_count(len(x.files), 'signed file')} verified",
    e.DestroyIntended: lambda x: f"was about to destroy key '{x.key}'",
    e.KeyDestroyed: lambda x: f"destroyed key '{x.key}'",
    e.KeyKept: lambda x: f"left key '{x.key}' as it is",
    e.Exported: lambda x: f"wrote {_count(len(x.files), 'file')} to {x.to}",
    e.SealOpened: lambda x: f"opened the seal over {_count(len(x.subjects), 'file')}",
    e.SealIntended: lambda x: f"was about to seal, and {'agreed' if x.agree else 'did not agree'}",
    e.Sealed: lambda x: f"sealed, and {'agrees' if x.agree else 'does not agree'}",
    e.TroubleMet: lambda x: f"met trouble {x.code}".rstrip(),
    e.ExceptionNoted: lambda _: "noted an exception",
    e.StepSkipped: lambda x: f"had step {x.step + 1} skipped",
    e.StepRepeated: lambda x: (
        f"had step {x.step + 1} done again"
        + (f" for token{'' if len(x.tokens) == 1 else 's'} {', '.join(x.tokens)}" if x.tokens else "")
        + (f"; serial {', '.join(x.aside)} is set aside" if x.aside else "")
    ),
    e.ClockStated: lambda x: f"read a watch: {x.watch}, {x.seconds:+} s from the machine's clock",
    e.ClockAnswered: lambda _: "went on with a clock in doubt",
    e.Withheld: lambda _: "is withheld in this copy",
}
