"""Text for people: the allowlist of characters, and digests as words and groups."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestry.text import group_hex, printable, printable_again, words
from vestry.words import EVEN, ODD

_ESCAPED = re.compile(r"\\\\|\\u\{([0-9a-f]+)\}")


def restored(shown: str) -> str:
    """What `printable` was given."""
    return _ESCAPED.sub(lambda m: "\\" if m[1] is None else chr(int(m[1], 16)), shown)


@given(st.text(st.characters()))
def test_printable_shows_ascii_only_and_hides_nothing(text: str) -> None:
    """Without it an escape sequence or a bidirectional control could reach the terminal, or two texts look the same."""
    shown = printable(text)
    assert all(" " <= c <= "~" for c in shown)
    assert restored(shown) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;owned\x07", "\\u{1b}]0;owned\\u{7}"),
        ("\x9b31m", "\\u{9b}31m"),
        ("a\u202eb", "a\\u{202e}b"),
        ("\u3164\u2800", "\\u{3164}\\u{2800}"),
        ("\U0001f511", "\\u{1f511}"),
        ("\ud800", "\\u{d800}"),
        ("\\u{41}", "\\\\u{41}"),
        ("line\nline\ttab\x7f", "line\\u{a}line\\u{9}tab\\u{7f}"),
        ("[bold]plain[/bold]", "[bold]plain[/bold]"),
    ],
)
def test_hostile_text(text: str, shown: str) -> None:
    """Without it one of the known ways to fool a terminal could come back unseen."""
    assert printable(text) == shown


@given(st.text(st.characters()), st.integers(3, 40))
def test_a_limit_holds_and_cuts_no_escape(text: str, limit: int) -> None:
    """Without it a long name could push what matters off the screen, or half an escape pass for text."""
    shown, whole = printable(text, limit), printable(text)
    assert len(shown) <= limit
    if shown != whole:
        assert shown.endswith("...")
        assert whole.startswith(printable(restored(shown[:-3])))
        assert len(whole) > limit


def test_what_was_escaped_is_not_escaped_again_and_what_was_not_is() -> None:
    """An event's text was made printable when it was recorded, unless a forger wrote it."""
    assert printable_again(printable("a\u202eb\\")) == printable("a\u202eb\\")
    assert printable_again("a\u202eb\\") == printable("a\u202eb\\")
    assert printable_again("abcdef", 5) == "ab..."


def test_the_published_example_in_words() -> None:
    """Without it words read aloud here would not be the words that others read aloud."""
    spoken = """topmost Istanbul Pluto vagabond treadmill Pacific brackish dictator goldfish Medusa
        afflict bravado chatter revolver Dupont midsummer stopwatch whimsical cowbell bottomless"""
    assert words("E58294F2E9A227486E8B061B31CC528FD7FA3F19") == tuple(spoken.split())


def test_the_word_list_is_the_published_one() -> None:
    """Without it a word changed by an editor would go unnoticed until two people disagree about a digest."""
    both = "\n".join(f"{even} {odd}" for even, odd in zip(EVEN, ODD, strict=True))
    assert (
        hashlib.sha256(both.encode()).hexdigest() == "0b9fb31fd0fd7fc54489ce2dd9ca0cecc282424bfa170647920025b80e0518d2"
    )
    assert len(EVEN) == len(ODD) == 256
    assert len({w.lower() for w in EVEN + ODD}) == 512
    assert (EVEN[0], ODD[0], EVEN[255], ODD[255]) == ("aardvark", "adroitness", "Zulu", "Yucatan")


@given(st.binary(min_size=1, max_size=64))
def test_words_tell_digests_apart_and_hear_a_swap(digest: bytes) -> None:
    """Without it different digests could sound alike, or two words change places unheard."""
    spoken = words(digest)
    assert bytes((ODD if i % 2 else EVEN).index(w) for i, w in enumerate(spoken)) == digest
    assert words(digest.hex()) == spoken
    assert all((w in ODD) == bool(i % 2) for i, w in enumerate(spoken))


def test_a_sha256_in_groups() -> None:
    """Without it a digest on the screen could not be compared with one on paper, group by group."""
    digest = hashlib.sha256(b"vestry").hexdigest()
    first, second = group_hex(digest)
    assert len(first.split(" ")) == len(second.split(" ")) == 8
    assert f"{first} {second}".replace(" ", "") == digest
    assert len(words(digest)) == 32
