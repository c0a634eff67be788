"""Run a ceremony on the full screen: the conductor in a thread of its own, the screen in this one."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from textual.binding import Binding

from vestry.ceremony.dialogue import Front
from vestry.errors import ExitStatus, Stopped, VestryError
from vestry.tui import glyphs as tiers
from vestry.tui.base import QuietApp, terminal
from vestry.tui.ceremony import CeremonyScreen
from vestry.tui.dialogs import stop_dialog
from vestry.tui.front import Ended, ScreenFront
from vestry.tui.glyphs import Glyphs
from vestry.tui.outlook import Outlook
from vestry.tui.panes import SETTLE

_PATIENCE = 1.0


class CeremonyApp(QuietApp[None]):
    """The screen of one ceremony. `outcome` is what ended it: None when it went to its end."""

    BINDINGS = [  # noqa: RUF012 - as Textual declares it
        Binding("escape", "stop", priority=False, show=False),
        Binding("ctrl+c", "stop", priority=True, show=False),
        Binding("ctrl+q", "stop", priority=True, show=False),
        Binding("q", "stop", priority=False, show=False),
    ]

    def __init__(
        self,
        run: Callable[[Front], None],
        *,
        title: str,
        rehearsal: bool,
        offline: Callable[[], bool | None],
        isolated: bool = False,
        glyphs: Glyphs,
        resume_hint: str = "",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        settle: float = SETTLE,
    ) -> None:
        super().__init__()
        self._run_ceremony, self._resume = run, resume_hint
        self.outcome: Exception | None = None
        self.page = CeremonyScreen(
            Outlook(title, rehearsal=rehearsal),
            offline=offline,
            isolated=isolated,
            glyphs=glyphs,
            now=now,
            settle=settle,
        )
        self.front = ScreenFront(self.page, self._stopped)
        self._glyphs = glyphs
        # A daemon: a person who interrupts twice must get the prompt back, even with a device that hangs.
        self._conductor = threading.Thread(target=self._conduct, name="conductor", daemon=True)

    def on_mount(self) -> None:
        """Show the screen, start the conductor."""
        self.push_screen(self.page)
        self.call_after_refresh(self._conductor.start)

    def on_unmount(self) -> None:
        """End whatever waits for an answer."""
        self.front.close()

    def leaving(self) -> None:
        """A signal: nothing is asked any more."""
        self.front.close()

    def join(self) -> None:
        """Wait for the conductor's thread: what it records is then on disk, and the transcript is closed."""
        if self._conductor.ident is None:
            return
        self._conductor.join(_PATIENCE)
        if self._conductor.is_alive():
            with suppress(OSError):
                sys.stderr.write("vestry: a device is still at work; waiting for it, so that its result is kept\n")
            self._conductor.join()

    def on_ended(self, _: Ended) -> None:
        """The conductor is done, or has failed."""
        self.exit()

    def action_stop(self) -> None:
        """Ask before stopping; from within another panel, that panel goes first."""
        if self.screen is self.page:
            dialog = stop_dialog(self._resume, busy=bool(self.page.busy), glyphs=self._glyphs)
            self.push_screen(dialog, lambda answer: self.front.close() if answer == "stop" else None)

    def _stopped(self) -> Stopped:
        return Stopped(
            "stopped; everything recorded stays", do=f"to go on, run {self._resume or 'the same line again'}"
        )

    def _conduct(self) -> None:
        try:
            self._run_ceremony(self.front)
        except Exception as error:  # noqa: BLE001 - carried to the thread that waits, which raises or prints it
            self.outcome = error
        finally:
            try:
                self.post_message(Ended())
            except RuntimeError:
                return  # the screen has gone already; nobody is left to tell


def run_ceremony(
    run: Callable[[Front], None],
    *,
    title: str,
    rehearsal: bool,
    offline: Callable[[], bool | None],
    isolated: bool = False,
    glyphs: str | None = None,
    resume_hint: str = "",
) -> int:
    """Run `run` on the full screen.

    Args:
        run: The ceremony; called once, in a thread of its own, with the screen as its `Front`.
        title: What the header says until the first state is shown.
        rehearsal: Whether the band of a rehearsal shows from the start.
        offline: Whether the machine has no network now; None where that is not known. Asked again and again.
        isolated: Whether this program was cut off from any.
        glyphs: ``ascii``, ``vt`` or ``full``; found out where not given.
        resume_hint: The command line that goes on from here, for those who stop.

    Returns:
        The exit status: 0 done, else that of the `VestryError` that ended it, whose line is then on stderr.

    Raises:
        InputRejected: there is no terminal to draw on.
        Exception: a fault of the program itself, after the terminal was restored.
    """
    app = CeremonyApp(
        run,
        title=title,
        rehearsal=rehearsal,
        offline=offline,
        isolated=isolated,
        glyphs=tiers.choose(glyphs, terminal=terminal()),
        resume_hint=resume_hint,
    )
    app.run(mouse=False)
    app.join()
    if app.fault is not None:
        raise app.fault
    if app.outcome is None:
        return int(ExitStatus.DONE)
    if not isinstance(app.outcome, VestryError):
        raise app.outcome
    # After a hangup there is nobody to read it.
    with suppress(OSError):
        sys.stderr.write(f"vestry: {app.outcome}\n")
    return int(app.outcome.status)
