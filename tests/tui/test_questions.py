"""Each type of question on the screen, answered right and wrong."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from pathlib import Path

import pytest
from stage import SIZES, assert_whole, staged, text_of

from vestry.ceremony import choosing
from vestry.ceremony.dialogue import Ask, Choose, Confirm, Declined, Front, NewSecret, Noted, Secret, TypeBack
from vestry.errors import Stopped, TokenTrouble
from vestry.text import group_hex, words
from vestry.tui.glyphs import ASCII, FULL, VT, Glyphs
from vestry.tui.help_text import TEXTS
from vestry.tui.panes import Pane
from vestry.tui.widgets.line_view import LineView

DIGEST = hashlib.sha256(b"root").hexdigest()
LONG = (
    "The administrator opens the tamper-evident bag, reads its number aloud, and lays what is in it on the table. " * 3
)

CONFIRM = Confirm("present", "Look around: is everyone here?", "Olivia", ("Olivia, administrator",), yes="all are here")
CHOOSE = Choose(
    "agree",
    "Say, Alice, whether the ceremony went as the transcript has it.",
    "Alice",
    ("The head of the transcript, to be read aloud and written on paper:", " ".join(words(DIGEST))),
    options=(("agree", "I agree, and sign that"), ("disagree", "I do not agree, and sign that")),
)
SECRET = Secret(
    "pin",
    "Type the PIN of Alice's token 'alice' (YubiKey 5), serial 0007550054.",
    "Alice",
    ("It signs root, targets and bins.",),
    warning="2 tries left.",
)
NEW = NewSecret("new-pin", "Choose a PIN for Alice's token 'alice'.", "Alice", ("At least 6 characters.",), longest=12)
WORDS = TypeBack(
    "words",
    "Type words 4 and 25 of the digest of targets v123.",
    "Bartholomew",
    ("Someone else reads the words aloud from their own screen or paper.",),
    otherwise="let another holder go first",
    digest=DIGEST,
    positions=(4, 25),
)
DIGITS = TypeBack("digits", "Type the last four characters of the serial.", "Alice", ("serial 0007550054",))
ASK = Ask("export", "Name the folder to write to.", "Olivia", ("It is read back.",), default="/media/" + "stick/" * 15)
FINISHED = Confirm(
    "finished", "Read the head aloud.", "Olivia", (" ".join(words(DIGEST)), DIGEST), yes="it is on paper"
)
READ_OUT = Confirm("done", LONG, "Olivia", yes="it is done")
EVERY = (CONFIRM, CHOOSE, SECRET, NEW, WORDS, DIGITS, ASK, FINISHED, READ_OUT)


def talk(front: Front) -> None:
    """Narration that would fill the screen, if it were let."""
    for number in range(40):
        front.tell(f"Key number {number} is on the token, read back and proved: key id a5708e24...", good=True)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("glyphs", [ASCII, FULL], ids=lambda g: g.tier)
async def test_no_question_is_clipped(size: tuple[int, int], glyphs: Glyphs) -> None:
    """Without it a word at the edge, or a part of a digest, would be missing when people decide."""
    async with staged(*EVERY, size=size, glyphs=glyphs, before=talk) as stage:
        for question in EVERY:
            await stage.asked(question.name)
            assert_whole(stage.app)
            screen = text_of(stage.app)
            told = stage.app.screen.query_one("#narration", LineView)
            if told.display:
                assert "Key number 39 " in screen, "the last line of what happened is the one that counts"
                assert len(told.lines(told.size.width)) <= told.size.height
            if "lines 1-" not in screen:
                shown = set(screen.split())
                assert set(question.sentence.split()) <= shown
                if question in (WORDS, FINISHED):
                    assert all(group in screen for group in group_hex(DIGEST))
                if question in (WORDS, FINISHED, CHOOSE):
                    assert set(words(DIGEST)) <= shown
            else:
                assert question is READ_OUT or size == SIZES[0], "only a long text needs scrolling"
            pane = stage.app.page.pane
            assert isinstance(pane, Pane)
            pane.done(None)


@pytest.mark.parametrize("size", SIZES)
async def test_a_digest_to_type_from_is_whole_without_scrolling(size: tuple[int, int]) -> None:
    """Without it the words to type could be below the fold, at the moment of signing."""
    async with staged(WORDS, size=size, before=talk) as stage:
        await stage.asked()
        shown = text_of(stage.app)
        assert set(words(DIGEST)) <= set(shown.split())
        assert all(group in shown for group in group_hex(DIGEST))
        assert "Words 4 and 25 [" in shown
        assert "F4" in shown


async def test_enter_never_confirms() -> None:
    """Without it a key pressed by habit would say that people are here who are not."""
    async with staged(CONFIRM, CONFIRM) as stage:
        await stage.asked()
        await stage.pilot.press("enter", "space", "tab", "x")
        assert stage.answers == []
        await stage.pilot.press("y")
        await stage.answered(1)
        await stage.asked()
        await stage.pilot.press("n")
        await stage.answered(2)
        assert stage.answers == [True, False]


async def test_a_key_that_came_too_early_does_not_count() -> None:
    """Without it a second press of y would answer a question that nobody has read."""
    async with staged(CONFIRM, settle=60) as stage:
        await stage.asked()
        await stage.pilot.press("y", "y", "n")
        assert stage.answers == []


async def test_a_choice_takes_its_digit_only() -> None:
    """Without it Enter would take the suggestion, or a digit without an option something else."""
    many = Choose("which", "Choose.", options=tuple((f"v{n}", f"option {n}") for n in range(12)))
    async with staged(CHOOSE, many) as stage:
        await stage.asked("agree")
        await stage.pilot.press("enter", "3", "0")
        assert stage.answers == []
        await stage.pilot.press("2")
        await stage.asked("which")
        assert_whole(stage.app)
        await stage.pilot.press("b")
        await stage.answered(2)
        assert stage.answers == ["disagree", "v10"]


async def test_a_pin_is_taken_as_typed() -> None:
    """Without it a wrong character, or an empty line, would use up a try."""
    async with staged(SECRET) as stage:
        await stage.asked()
        assert "2 tries left." in text_of(stage.app)
        await stage.pilot.press("enter")
        await stage.sees("Nothing is typed yet; nothing was sent to the token.")
        assert stage.answers == []
        await stage.type("1234x")
        await stage.pilot.press("backspace", "5", "enter")
        await stage.answered()
        assert stage.answers[0].reveal() == b"12345"


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ("secret-1", "secret-2", "The two differ. Nothing was set; type both again."),
        ("short", "short", "Too short: it takes at least 6 characters."),
        ("much-too-long-1", "much-too-long-1", "Too long: it takes at most 12 characters."),
    ],
)
async def test_a_new_pin_is_compared(first: str, second: str, says: str) -> None:
    """Without it a slip of the finger would lock a token with a PIN that nobody knows."""
    async with staged(NEW) as stage:
        await stage.asked()
        await stage.type(first)
        await stage.pilot.press("enter")
        await stage.type(second)
        await stage.pilot.press("enter")
        await stage.sees(says)
        assert_whole(stage.app)
        assert stage.answers == []
        await stage.type("secret-1")
        await stage.pilot.press("enter")
        await stage.type("secret-1")
        await stage.pilot.press("enter")
        await stage.answered()
        assert stage.answers[0].reveal() == b"secret-1"


async def test_words_come_back_as_typed_and_a_wrong_pair_is_said() -> None:
    """Without it the conductor could not check them, or nobody would see that they were wrong."""

    def run(front: Front) -> None:
        answers.append(front.ask(WORDS))
        front.tell("These are not words 4 and 25 of targets. Nothing was signed.", good=False)
        answers.append(front.ask(WORDS))

    answers: list[str] = []
    async with staged(run=run) as stage:
        await stage.asked("words")
        await stage.pilot.press("enter")
        await stage.sees("Nothing is typed yet.")
        await stage.type("wrong pair")
        await stage.pilot.press("enter")
        await stage.until(lambda: len(answers) == 1)
        await stage.asked("words")
        await stage.sees("These are not words 4 and 25")
        assert_whole(stage.app)
        await stage.type("right pear")
        await stage.pilot.press("left", "left", "left", "delete", "delete", "delete", "i", "r", "enter")
        await stage.until(lambda: len(answers) == 2)
        assert answers == ["wrong pair", "right pir"]


async def test_an_empty_line_is_the_default() -> None:
    """Without it one would have to type a long path that is already there."""
    async with staged(ASK, ASK, Ask("import", "Name a folder, or leave it empty.")) as stage:
        await stage.asked()
        await stage.pilot.press("enter")
        await stage.answered(1)
        await stage.asked()
        await stage.type("/mnt/a b")
        await stage.pilot.press("enter")
        await stage.answered(2)
        await stage.asked("import")
        await stage.pilot.press("enter")
        await stage.answered(3)
        assert stage.answers == [ASK.default, "/mnt/a b", ""]


async def test_a_long_line_scrolls_and_says_so() -> None:
    """Without it one would not see what one types, or believe that the line is all there is."""
    async with staged(ASK) as stage:
        await stage.asked()
        await stage.type("x" * 40 + "0123456789" * 3)
        assert "[<" in text_of(stage.app)
        assert "0123456789" in text_of(stage.app)
        await stage.pilot.press("home")
        assert ">]" in text_of(stage.app)
        assert_whole(stage.app)


async def test_the_way_out_is_offered_under_its_key() -> None:
    """Without it a ceremony would hang on a holder who is not ready."""
    async with staged(WORDS) as stage:
        await stage.asked()
        await stage.pilot.press("f4")
        await stage.answered()
        assert isinstance(stage.answers[0], Declined)


async def test_an_exception_is_noted_in_ones_own_words() -> None:
    """Without it what went off the script would not be in the transcript."""
    async with staged(SECRET, CONFIRM) as stage:
        await stage.asked("pin")
        await stage.type("my-pin")
        await stage.pilot.press("f2")
        await stage.sees("Write what happened off the script.")
        assert_whole(stage.app)
        await stage.type("bag torn")
        await stage.pilot.press("enter")
        await stage.answered()
        assert isinstance(stage.answers[0], Noted)
        assert stage.answers[0].text == "bag torn"
        await stage.asked("present")
        await stage.pilot.press("f2", "escape")
        await stage.pilot.press("y")
        await stage.answered(2)
        assert stage.answers[1] is True


@pytest.mark.parametrize("keys", [("escape",), ("ctrl+c",), ("ctrl+q",), ("q",)])
async def test_stopping_asks_first_and_says_how_to_go_on(keys: tuple[str, ...]) -> None:
    """Without it one key would end a ceremony, or people would fear to lose what was done."""
    async with staged(CONFIRM) as stage:
        await stage.asked()
        await stage.pilot.press(*keys)
        await stage.sees("Everything recorded so far stays")
        assert "vestry run script.toml --into DIR" in text_of(stage.app)
        assert_whole(stage.app)
        await stage.pilot.press("enter", "n")
        assert stage.answers == []
        await stage.pilot.press(*keys, "y")
        await stage.answered()
        assert isinstance(stage.answers[0], Stopped)
        assert "vestry run script.toml --into DIR" in stage.answers[0].do


async def test_letters_are_letters_where_one_types() -> None:
    """Without it a PIN with a q in it would stop the ceremony."""
    async with staged(SECRET) as stage:
        await stage.asked()
        await stage.type("q-n-y?q")
        await stage.pilot.press("enter")
        await stage.answered()
        assert stage.answers[0].reveal() == b"q-n-y?q"


@pytest.mark.parametrize("size", SIZES)
async def test_trouble_stays_until_it_is_read(size: tuple[int, int]) -> None:
    """Without it a failure would scroll by, and with it whether anything was signed."""

    def run(front: Front) -> None:
        front.trouble(
            TokenTrouble("the token refused the PIN", do="type it again", code="E-PIN-WRONG"), "Nothing was signed."
        )
        read.append(True)
        front.ask(CONFIRM)

    read: list[bool] = []
    async with staged(run=run, size=size) as stage:
        await stage.sees("What happened")
        screen = text_of(stage.app)
        assert "the token refused the PIN [E-PIN-WRONG]" in screen
        assert "Nothing was signed." in screen
        assert "type it again" in screen
        assert_whole(stage.app)
        await stage.pilot.press("enter", "escape", "y")
        assert read == []
        await stage.pilot.press("g")
        await stage.asked("present")
        assert read == [True]
        await stage.sees("NO  the token refused the PIN")


async def test_help_is_there_for_each_question() -> None:
    """Without it a newcomer would have to leave the screen to learn what a step is for."""
    async with staged(*EVERY) as stage:
        for question in EVERY:
            await stage.asked(question.name)
            assert question.name in TEXTS
            await stage.pilot.press("f1")
            await stage.sees("What this proves")
            assert "What to say aloud" in text_of(stage.app)
            assert_whole(stage.app)
            await stage.pilot.press("escape")
            pane = stage.app.page.pane
            assert isinstance(pane, Pane)
            pane.done(None)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("glyphs", [ASCII, VT, FULL], ids=lambda g: g.tier)
async def test_a_digest_for_the_camera(size: tuple[int, int], glyphs: Glyphs) -> None:
    """Without it the QR code could be cut, and the words with it."""
    async with staged(FINISHED, size=size, glyphs=glyphs) as stage:
        await stage.asked()
        await stage.pilot.press("f3")
        await stage.pilot.pause()
        assert_whole(stage.app)
        if glyphs is FULL:
            assert sum("▀" in row or "▄" in row for row in text_of(stage.app).split("\n")) >= 16


async def test_waiting_says_what_is_going_on() -> None:
    """Without it a slow token would look like a program that hangs."""

    def run(front: Front) -> None:
        front.waiting("The token signs root; touch it if it blinks")
        go_on.wait(10)
        front.waiting("")
        front.ask(CONFIRM)

    go_on = threading.Event()
    async with staged(run=run) as stage:
        await stage.sees("The token signs root; touch it if it blinks")
        await stage.sees("(1 s)")
        assert_whole(stage.app)
        await stage.pilot.press("escape")
        await stage.sees("A device is at work")
        await stage.pilot.press("n")
        go_on.set()
        await stage.asked("present")


async def test_stopping_while_a_drive_is_waited_for_takes_effect_at_once() -> None:
    """Nothing is at work then, and nobody has to wait for nothing."""
    ended: list[float] = []

    def run(front: Front) -> None:
        began = time.monotonic()
        try:
            choosing.choose(front.ask, front, need=None, otherwise="name a folder", look=lambda: ())
        finally:
            ended.append(time.monotonic() - began)

    async with staged(run=run) as stage:
        await stage.sees("No drive can be used yet")
        await stage.pilot.press("escape")
        await stage.sees("Stop here?")
        assert "A device is at work" not in text_of(stage.app)
        await stage.pilot.press("y")
        await stage.until(lambda: bool(ended), "the end")
    assert ended[0] < choosing._PATIENCE / 3
    assert isinstance(stage.app.outcome, Stopped)


async def test_stopping_while_a_device_works_takes_effect_after_it() -> None:
    """Without it a stop would come between an intent and its result."""

    def run(front: Front) -> None:
        front.waiting("The token signs root")
        go_on.wait(10)
        done.append("signed")
        front.waiting("")
        front.ask(CONFIRM)

    go_on = threading.Event()
    done: list[str] = []
    async with staged(run=run) as stage:
        await stage.sees("The token signs root")
        await stage.pilot.press("escape", "y")
        go_on.set()
        await stage.until(lambda: stage.app.outcome is not None)
    assert done == ["signed"]
    assert isinstance(stage.app.outcome, Stopped)


@pytest.mark.parametrize("size", SIZES)
async def test_a_device_that_waits_for_a_touch_says_so_and_can_be_left(size: tuple[int, int]) -> None:
    """A missed touch looks like a hung program: the screen says what to do, for how long, and how to get away."""
    cancelled, ended = threading.Event(), threading.Event()

    def run(front: Front) -> None:
        front.waiting("Touch the device: it signs root", cancelled.set)
        cancelled.wait(20)
        front.waiting("", None)
        ended.set()
        front.ask(CONFIRM)

    async with staged(run=run, size=size) as stage:
        await stage.sees("Touch the device: it signs root")
        assert "stop waiting" in text_of(stage.app)
        assert_whole(stage.app)
        await stage.pilot.press("f8")
        await stage.asked("present")
        assert ended.is_set()
        assert "stop waiting" not in text_of(stage.app)


def test_every_question_has_help(repository: Path) -> None:
    """F1 at the worst moment must not say something general."""
    asked = set()
    kinds = "Confirm|Choose|Secret|NewSecret|TypeBack|Ask|ReadReview"
    for path in (repository / "src" / "vestry" / "ceremony").glob("*.py"):
        asked |= set(re.findall(rf"(?:{kinds})\(\s*\"([a-z-]+)\"", path.read_text()))
    assert asked - set(TEXTS) == set()
    assert len(asked) > 20
