"""What a ceremony's times say about the clock that gave them: pure, the same when it happens and in every replay.

UTC comes from a clock that anyone can set; the monotonic clock beside it cannot be set. Where the two disagree within
one run of the program, someone set the clock, or the machine slept.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from vestry.ceremony import events as e
from vestry.ceremony.script import Script
from vestry.metadata.document import Document

JUMP = 5
"""Seconds by which UTC may run apart from the monotonic clock between two lines: rounding, and a clock being slewed."""

_FAR_FROM_DATE = timedelta(days=30)
_LONG_EXPIRED = timedelta(days=365)
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Finding:
    """Something about the clock: the line of the transcript that shows it, a stable code, one sentence."""

    n: int
    code: str
    text: str


@lru_cache(maxsize=16)  # A replay asks for the time of a line, and for it again beside that of the next.
def parsed(time: str) -> datetime:
    """A time as events have it, ``YYYY-MM-DDTHH:MM:SSZ``.

    Raises:
        ValueError: it is written otherwise.
    """
    # Of what ISO 8601 allows, this is the one form.
    if len(time) != 20 or (time[4], time[7], time[10], time[13], time[16], time[19]) != tuple("--T::Z"):
        raise ValueError("not a time as events have it")
    return datetime.fromisoformat(time)


def between(at: str, mono: int, recorded: e.Recorded) -> tuple[Finding, ...]:
    """What the step from the line before, with its `at` and `mono`, to `recorded` shows."""
    try:
        passed = (parsed(recorded.at) - parsed(at)).total_seconds()
    except ValueError:
        return (Finding(recorded.n, "CLOCK-UNREADABLE", "the time of this line or of the one above is no time"),)
    if isinstance(recorded.event, e.Resumed):
        # Another run, perhaps after another start of the machine: its monotonic clock began anew.
        if passed < -JUMP:
            return (Finding(recorded.n, "CLOCK-BACK", f"the clock stands {-passed:.0f} s before the line above"),)
        return ()
    apart = passed - (recorded.mono - mono) / 1e9
    if abs(apart) <= JUMP:
        return ()
    way = "forward" if apart > 0 else "back"
    text = f"the clock jumped {way} by {abs(apart):.0f} s: it was set, or the machine slept"
    return (Finding(recorded.n, "CLOCK-JUMP" if apart > 0 else "CLOCK-BACK", text),)


def backwards(mono: int, recorded: e.Recorded) -> bool:
    """Whether the monotonic clock ran backwards within one run, which no machine's does."""
    return not isinstance(recorded.event, e.Resumed) and recorded.mono < mono


def against(script: Script, predecessor: Document | None, recorded: e.Recorded) -> tuple[Finding, ...]:
    """Where the time of the first line contradicts the script and the root that is trusted so far."""
    try:
        now = parsed(recorded.at)
    except ValueError:
        return (Finding(recorded.n, "CLOCK-UNREADABLE", "the time of this line is no time"),)
    return contradictions(script, predecessor, now, recorded.n)


def contradictions(script: Script, predecessor: Document | None, now: datetime, n: int = 0) -> tuple[Finding, ...]:
    """Where the time `now`, at line `n`, contradicts the script and the root that is trusted so far."""
    found = []
    if script.date:
        day = datetime.fromisoformat(script.date).replace(tzinfo=UTC)
        if abs(now - day) > _FAR_FROM_DATE:
            text = f"the clock says {now:%Y-%m-%d}; the script's date is {script.date}"
            found.append(Finding(n, "CLOCK-DATE", text))
    if predecessor is not None:
        if now - predecessor.expires > _LONG_EXPIRED:
            text = f"the clock says {now:%Y-%m-%d}; the trusted root expired on {predecessor.expires:%Y-%m-%d}"
            found.append(Finding(n, "CLOCK-ROOT-EXPIRED", text))
        longest = script.policy.most("root")
        if longest and predecessor.expires - now > timedelta(days=longest) + _DAY:
            made = predecessor.expires - timedelta(days=longest)
            text = f"the clock says {now:%Y-%m-%d}; the trusted root was hardly made before {made:%Y-%m-%d}"
            found.append(Finding(n, "CLOCK-BEFORE-ROOT", text))
    return tuple(found)


def doubts(script: Script, predecessor: Document | None, now: datetime) -> tuple[str, ...]:
    """Why the time `now` should not be believed before a ceremony begins: what `against` would find in its first line,
    and a trusted root that has expired, however lately."""
    found = [finding.text for finding in contradictions(script, predecessor, now)]
    if not found and predecessor is not None and predecessor.expires < now:
        found.append(f"the clock says {now:%Y-%m-%d}; the trusted root expired on {predecessor.expires:%Y-%m-%d}")
    return tuple(found)


def doubt(script: Script, opened_at: str, watch: str, seconds: int) -> str:
    """Why expiry should not be computed after a watch said `watch`, `seconds` ahead of the machine; empty if it may."""
    if abs(seconds) > script.clock_bound:
        return f"a watch differs from the machine's clock by {seconds:+} s; the script allows {script.clock_bound} s"
    if not script.date and abs(parsed(watch) - parsed(opened_at)) > _DAY:
        # Where the script has no date, lives count from the day on which the transcript was opened.
        return f"expiry counts from {opened_at[:10]}, when the transcript was opened; a watch says {watch[:10]}"
    return ""
