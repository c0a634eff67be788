"""Clocks that jump, lie or are contradicted by a watch: told when it happens and in every replay, answered, never
fatal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from people import People

from vestry.ceremony import account, conductor, rehearsal, replay, timekeeping, transcript
from vestry.ceremony import events as e
from vestry.ceremony.clock import FixedClock
from vestry.ceremony.decide import decide
from vestry.ceremony.departing import read_watch
from vestry.ceremony.dialogue import Departed
from vestry.ceremony.state import State
from vestry.cli.main import main
from vestry.errors import Refused, Stopped
from vestry.record.record import record

NINE = datetime(2026, 11, 23, 9, tzinfo=UTC)


class Wound(FixedClock):
    """A clock that someone can set by hand."""

    def set(self, by: timedelta) -> None:
        self._now += by


def conduct(folder: Path, people: People, clock: FixedClock) -> State:
    script, inputs = rehearsal.prepare(folder, holders=3, threshold=2)
    return conductor.conduct(script, inputs, folder, people, clock=clock)


def recorded(folder: Path, kind: type) -> list[Any]:
    return [r.event for r in transcript.read(folder / "transcript.jsonl") if isinstance(r.event, kind)]


def once(act: Callable[[Any], Any], people: People) -> Callable[[Any], Any]:
    calls: list[Any] = []

    def answer(question: Any) -> Any:
        calls.append(question)
        return act(question) if len(calls) == 1 else people.sensible(question)

    return answer


@pytest.mark.parametrize("hours", [-2, 3])
def test_a_clock_set_by_hand_is_told_answered_and_holds(
    tmp_path: Path, people: People, hours: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two hours back is what a machine without a network needs when its clock runs in local time: a ceremony that
    could never hold afterwards would be worse than the wrong hour; one that says nothing would be worse still."""
    clock = Wound(NINE, timedelta(seconds=1))

    def wind(_: Any) -> bool:
        clock.set(timedelta(hours=hours))
        return True

    def watch(_: Any) -> str:
        return f"{clock._now:%H:%M:%S}"

    people.answers = {
        "present": once(wind, people),
        "clock": lambda _: "depart",
        "depart": lambda _: "watch",
        "watch": watch,
    }
    state = conduct(tmp_path / "r", people, clock)
    code = "CLOCK-JUMP" if hours > 0 else "CLOCK-BACK"
    assert [f.code for f in state.clock] == [code]
    assert any(code in line for line in people.told)
    # Drafting waited for someone to look at a watch.
    names = [q.name for q in people.asked]
    assert names.index("clock") < names.index("watch")
    assert len(recorded(tmp_path / "r", e.ClockStated)) == 1
    steps = list(replay.replay(transcript.read(tmp_path / "r" / "transcript.jsonl")))
    told = account.summary(steps, ())
    assert told["ok"]
    assert [(f["n"], f["code"]) for f in told["clock"]] == [(state.clock[0].n, code)]
    assert "about its clock" in steps[state.clock[0].n].why
    assert code in record(steps, ())
    capsys.readouterr()
    assert main(["replay", str(tmp_path / "r"), "--plain"]) == 0
    assert f"[{code}]" in capsys.readouterr().out


def test_a_steady_clock_has_no_findings(tmp_path: Path, people: People) -> None:
    """A finding in every ceremony would be read by nobody."""
    state = conduct(tmp_path / "r", people, FixedClock(NINE, timedelta(seconds=40)))
    assert state.clock == ()
    assert "clock" not in [q.name for q in people.asked]


def test_a_watch_that_contradicts_the_clock_stops_drafting_until_it_is_answered(tmp_path: Path, people: People) -> None:
    """Expiry is computed from the machine's clock: a year off, and the root is born expired or never expires."""
    calls: list[Any] = []

    def depart(question: Any) -> Any:
        if not calls:
            calls.append(question)
            raise Departed
        return people.sensible(question)

    does = iter(("watch", "clock"))
    people.answers = {
        "present": depart,
        "depart": lambda _: next(does),
        "watch": lambda _: "2027-11-23 09:00",
        "clock": lambda _: "depart",
        "why": lambda _: "the watch was read wrong",
        "agree-exception": lambda q: q.options[1 + ("1 of" in q.sentence)][0],
    }
    state = conduct(tmp_path / "r", people, FixedClock(NINE, timedelta(seconds=1)))
    (stated,) = recorded(tmp_path / "r", e.ClockStated)
    assert stated.seconds > 364 * 86400
    (answered,) = recorded(tmp_path / "r", e.ClockAnswered)
    assert len(set(answered.people)) == 2
    assert state.doubt == ""
    lines = list(transcript.read(tmp_path / "r" / "transcript.jsonl"))
    without = [x for x in lines if not isinstance(x.event, e.ClockAnswered)]
    failed = [s for s in replay.replay(without) if s.verdict == "failed"]
    assert isinstance(failed[0].recorded.event, e.Drafted)
    assert "nothing is drafted" in failed[0].why


def test_stopping_at_the_clock_keeps_everything(tmp_path: Path, people: People) -> None:
    """Someone must be able to set the clock and come back."""
    clock = Wound(NINE, timedelta(seconds=1))

    def wind(_: Any) -> bool:
        clock.set(timedelta(hours=1))
        return True

    people.answers = {"present": once(wind, people), "clock": lambda _: "stop"}
    with pytest.raises(Stopped, match="clock"):
        conduct(tmp_path / "r", people, clock)
    assert recorded(tmp_path / "r", e.Drafted) == []
    people.answers = {
        "clock": lambda _: "depart",
        "depart": lambda _: "watch",
        "watch": lambda _: f"{clock._now:%H:%M:%S}",
    }
    conduct(tmp_path / "r", people, clock)
    assert recorded(tmp_path / "r", e.Drafted) != []


def _line(n: int, at: str, mono: int, event: e.Event | None = None) -> e.Recorded:
    return e.Recorded(n, at, mono, "Olivia", event or e.ExceptionNoted(0, "x"), "00")


@pytest.mark.parametrize(
    ("seconds", "mono", "resumed", "codes"),
    [
        (10, 10.0, False, []),
        (10, 5.2, False, []),
        (10, 4.0, False, ["CLOCK-JUMP"]),
        (0, 5.5, False, ["CLOCK-BACK"]),
        (-10, 1.0, False, ["CLOCK-BACK"]),
        (86400, -5.0, True, []),
        (-10, -5.0, True, ["CLOCK-BACK"]),
    ],
)
def test_what_counts_as_a_jump(seconds: int, mono: float, resumed: bool, codes: list[str]) -> None:
    """Rounding is no jump, a stop over lunch is none, and a restart begins the monotonic clock anew."""
    event = e.Resumed("v", "0", 0, "0") if resumed else None
    at = (NINE + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = timekeeping.between("2026-11-23T09:00:00Z", 10**10, _line(1, at, 10**10 + int(mono * 1e9), event))
    assert [f.code for f in found] == codes


def test_a_monotonic_clock_that_runs_backwards_was_made_up(tmp_path: Path, people: People) -> None:
    """No machine's does: whoever writes lines by hand is found by it."""
    conduct(tmp_path / "r", people, FixedClock(NINE, timedelta(seconds=1)))
    lines = list(transcript.read(tmp_path / "r" / "transcript.jsonl"))
    lines[3] = lines[3]._replace(mono=0)
    assert [s.recorded.n for s in replay.replay(lines) if "monotonic" in s.why and s.verdict == "failed"] == [3]


def test_a_first_line_far_from_the_script_or_its_root_is_told(tmp_path: Path, people: People) -> None:
    """A clock that starts in 1970 or in another year shows against what people pinned."""
    state = conduct(tmp_path / "r", people, FixedClock(NINE, timedelta(seconds=1)))
    root = state.documents["root"]
    opened = _line(0, "2026-11-23T09:00:00Z", 0)
    dated = replace(state.script, date="2026-11-20")
    assert timekeeping.against(dated, root, opened) == ()
    found = timekeeping.against(dated, root, _line(0, "1970-01-01T00:00:00Z", 0))
    assert [f.code for f in found] == ["CLOCK-DATE", "CLOCK-BEFORE-ROOT"]
    late = f"{root.expires.year + 2}-01-01T00:00:00Z"
    assert [f.code for f in timekeeping.against(dated, root, _line(0, late, 0))] == ["CLOCK-DATE", "CLOCK-ROOT-EXPIRED"]


@pytest.mark.parametrize(
    ("watch", "machine", "seconds"),
    [
        ("2026-11-23T09:00:00Z", "2026-11-23T08:00:00Z", 3600),
        ("2026-11-23T09:00:00Z", "2026-11-23T09:00:00Z", 5),
        ("nine", "2026-11-23T09:00:00Z", 0),
    ],
)
def test_a_statement_that_does_not_add_up_is_refused(
    tmp_path: Path, people: People, watch: str, machine: str, seconds: int
) -> None:
    """A forged difference would lift the bar on drafting."""
    state = conduct(tmp_path / "r", people, FixedClock(NINE, timedelta(seconds=1)))
    with pytest.raises(Refused):
        decide(state, e.ClockStated(watch, machine, seconds), at="2026-11-23T09:00:00Z")


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("14:05", "2026-11-23T14:05:00Z"),
        ("14:05:30", "2026-11-23T14:05:30Z"),
        ("2026-11-22 23:59", "2026-11-22T23:59:00Z"),
        ("2026-11-22T23:59:58Z", "2026-11-22T23:59:58Z"),
        ("25:00", ""),
        ("noon", ""),
        ("", ""),
        ("\x1b[2J", ""),
    ],
)
def test_how_a_watch_is_typed(typed: str, read: str) -> None:
    """What people type by habit is understood; what is no time is never guessed at."""
    assert read_watch(typed, "2026-11-23T09:00:00Z") == read
