"""A replay on the screen: forwards and backwards through a ceremony as it looked, event by event, with each verdict."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal

from vestry.ceremony import agenda
from vestry.ceremony.replay import ReplayStep
from vestry.text import printable
from vestry.tui import glyphs as tiers
from vestry.tui.base import QuietApp, terminal
from vestry.tui.dialogs import digest_dialog, help_dialog, outcome_dialog
from vestry.tui.glyphs import Glyphs
from vestry.tui.help_text import Help
from vestry.tui.lines import BLANK, Line, Span, Tone, hex_rows, key, line, packed, paragraph
from vestry.tui.outlook import Outlook, header_lines, outlook, rail_lines
from vestry.tui.widgets.line_view import LineView

_TONES: Mapping[str, Tone] = {
    "recomputed": "good",
    "witnessed": "plain",
    "failed": "bad",
    "withheld": "quiet",
    "unknown": "accent",
}
_HELP = Help(
    "recomputed: made again here from other lines, and found equal. witnessed: it rests on the word of people or of a "
    "device. failed: it would have been refused, or its value is another. In a published copy, withheld: it is not "
    "shown, and may be a failure; unknown: it can't be recomputed without what is withheld.",
    "The number of the line, its verdict, and why.",
    (
        "f goes to the next line that failed; whatever follows it was built upon it. s goes to the next step of the "
        "script, p to the next line by somebody else, t to the next by the same person. With Shift, each goes back. "
        "o shows what it all comes to, with every seal."
    ),
)


_JUMPS: Mapping[str, Literal["failure", "step", "other", "same"]] = {
    "f": "failure",
    "s": "step",
    "p": "other",
    "t": "same",
}


class ReplayApp(QuietApp[None]):
    """One event at a time: the frame as it was after it, and what the event says."""

    def __init__(self, steps: Sequence[ReplayStep], *, outcome: Sequence[str] = (), glyphs: Glyphs) -> None:
        super().__init__()
        self._steps, self._glyphs, self._outcome = steps, glyphs, outcome
        self._failed = [i for i, step in enumerate(steps) if step.verdict == "failed"]
        self._withheld = sum(step.verdict == "withheld" for step in steps)
        # The step of the script that is at hand before each line: it was written in that one.
        self._stages = [0, *(None if step.state is None else agenda.position(step.state) for step in steps)]
        self._frames: dict[int, Outlook] = {}
        self.at = 0

    def compose(self) -> ComposeResult:
        """Header, rail and event, keys."""
        yield LineView(self._header, glyphs=self._glyphs, id="header")
        with Horizontal(id="middle"):
            yield LineView(self._rail, glyphs=self._glyphs, id="rail")
            yield LineView(self._event, glyphs=self._glyphs, id="main")
        yield LineView(self._keys, glyphs=self._glyphs, id="keys")

    def on_mount(self) -> None:
        """Begin with the first event."""
        self.query_one("#rail").styles.border_right = (self._glyphs.border, "ansi_bright_black")
        self.go(0)

    def go(self, to: int) -> None:
        """Show event `to`, as far as there is one."""
        self.at = max(0, min(to, len(self._steps) - 1))
        for name, make in (("header", self._header), ("main", self._event), ("keys", self._keys)):
            self.query_one(f"#{name}", LineView).show(make)
        rail = self.query_one("#rail", LineView)
        _, now = rail_lines(self._frame().rail, max(1, rail.size.width), self._glyphs)
        rail.show(self._rail, anchor=now)

    def on_key(self, event: events.Key) -> None:
        """Step, jump, scroll, leave."""
        view = self.query_one("#main", LineView)
        jumps = {"right": self.at + 1, "space": self.at + 1, "left": self.at - 1, "home": 0, "end": len(self._steps)}
        scrolls = {"pagedown": view.room - 1, "pageup": 1 - view.room, "down": 1, "up": -1}
        if event.key in jumps:
            self.go(jumps[event.key])
        elif event.key in scrolls:
            view.scroll_lines(scrolls[event.key])
        elif event.key.lower() in _JUMPS and self._steps:
            self.jump(_JUMPS[event.key.lower()], back=event.key.isupper())
        elif event.key == "f1":
            self.push_screen(help_dialog(_HELP, self._glyphs))
        elif event.key == "f3" and self._steps:
            self.push_screen(digest_dialog(self._steps[self.at].recorded.head, self._glyphs))
        elif event.key == "o" and self._outcome:
            self.push_screen(outcome_dialog(self._outcome, self._glyphs))
        elif event.key in ("escape", "q", "ctrl+c", "ctrl+q"):
            self.exit()

    def jump(self, to: Literal["failure", "step", "other", "same"], *, back: bool) -> None:
        """Go to the next line, or back to the last, that failed, that is the first in a step of the script, or that is
        by somebody else or by the same person; stay where there is none.
        """
        person = self._steps[self.at].recorded.by
        span = range(self.at - 1, -1, -1) if back else range(self.at + 1, len(self._steps))
        for i in span:
            by = self._steps[i].recorded.by
            if to == "failure":
                found = self._steps[i].verdict == "failed"
            elif to == "step":
                found = i == 0 or self._stages[i] != self._stages[i - 1]
            else:
                found = (by == person) == (to == "same")
            if found:
                self.go(i)
                return

    async def action_quit(self) -> None:
        """Leave; nothing is at stake in a replay."""
        self.exit()

    def action_help_quit(self) -> None:
        """Ctrl+C leaves too."""
        self.exit()

    def _frame(self) -> Outlook:
        if self.at not in self._frames and self._steps:
            state = self._steps[self.at].state
            self._frames[self.at] = outlook(state) if state is not None else Outlook(_unfolded(self._steps[self.at]))
        return self._frames.get(self.at, Outlook("An empty transcript"))

    def _header(self, width: int) -> list[Line]:
        right: Line = (Span("REPLAY", "accent"),)
        if self._steps:
            when = self._steps[self.at].recorded.at
            right = (*right, Span(f"  {printable(when).replace('T', ' ').replace('Z', ' UTC')}")) if when else right
        return header_lines(self._frame(), right, width, self._glyphs)

    def _rail(self, width: int) -> list[Line]:
        return rail_lines(self._frame().rail, width, self._glyphs)[0]

    def _event(self, width: int) -> list[Line]:
        return event_lines(self._steps[self.at], len(self._steps), width, self._during()) if self._steps else []

    def _during(self) -> str:
        """The step of the script in which the line was written."""
        state, place = self._steps[max(0, self.at - 1)].state, self._stages[self.at]
        if state is None or place is None:
            return ""
        steps = state.script.steps
        return steps[place].title if place < len(steps) else "after the last step"

    def _keys(self, width: int) -> list[Line]:
        failed = len(self._failed)
        count: Line = (Span(f"{failed} failed", "bad"),) if failed else (Span("none failed", "good"),)
        if self._withheld:  # which may be failures
            told = Span(f"{self._withheld} withheld", "accent")
            count = (*count, Span(", "), told) if failed else (told,)
        first = [key("f", "failure")] if failed else []
        steps = [
            key("Right", "next"),
            key("Left", "back"),
            *first,
            key("s", "step"),
            key("p", "person"),
            key("t", "same"),
        ]
        more = [key("o", "outcome")] if self._outcome else []
        return packed([count, *steps, *more, key("F1", "help"), key("F3", "head"), key("Esc", "leave")], width, gap=2)


def _unfolded(step: ReplayStep) -> str:
    return "The script is withheld" if step.verdict in ("withheld", "unknown") else "This line can't be folded"


def event_lines(step: ReplayStep, of: int, width: int, during: str = "") -> list[Line]:
    """An event: its place, verdict and reason, what it is, its values, and the head after it."""
    recorded = step.recorded
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(recorded.event).__name__).capitalize()
    about = (type(recorded.event).__doc__ or "").split("\n\n")[0].replace("`", "")
    rows: list[Line] = [
        (Span(f"Line {recorded.n} of {of - 1}: ", "strong"), Span(step.verdict, _TONES[step.verdict])),
        *(paragraph(f"Step: {printable(during)}", width) if during else ()),
        *paragraph(step.why, width, "bad" if step.verdict == "failed" else "plain"),
        BLANK,
        *paragraph(f"{name}, by {printable(recorded.by)}" if recorded.by else name, width, "accent"),
        *paragraph(" ".join(about.split()), width, "quiet"),
        BLANK,
    ]
    for field in dataclasses.fields(recorded.event):
        rows += _value(field.name, getattr(recorded.event, field.name), width)
    return [*rows, BLANK, line("head after it", "quiet"), *hex_rows(recorded.head, width)]


def _value(name: str, value: object, width: int) -> list[Line]:
    title = line(name.replace("_", " "), "quiet")
    if isinstance(value, Mapping):
        rows = [row for k, v in value.items() for row in _value(f"{printable(name)} {printable(str(k))}", v, width)]
        return rows or [title, line("  none")]
    if isinstance(value, (tuple, list)):
        shown = [row for v in value for row in paragraph(printable(str(v)), width, indent=2)]
        return [title, *(shown or [line("  none")])]
    texts = [printable(text) for text in str(value).split("\n")]
    if len(texts) == 1 and len(name) + 3 + len(texts[0]) <= width and not re.fullmatch("[0-9a-f]{64}", texts[0]):
        return [(Span(f"{name.replace('_', ' ')}  ", "quiet"), Span(texts[0]))]
    return [title, *(row for text in texts for row in paragraph(text, width, indent=2))]


def run_replay(steps: Sequence[ReplayStep], outcome: Sequence[str], *, glyphs: str | None = None) -> None:
    """Step through `steps` on the full screen until a person leaves; `outcome` are lines on what it all comes to.

    Raises:
        InputRejected: there is no terminal to draw on.
        Exception: a fault of the program itself, after the terminal was restored.
    """
    app = ReplayApp(steps, outcome=outcome, glyphs=tiers.choose(glyphs, terminal=terminal()))
    app.run(mouse=False)
    if app.fault is not None:
        raise app.fault
