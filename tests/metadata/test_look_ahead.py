"""The look ahead: what it says of losses, older roots and expiries, against trying it out."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from holders import EXPIRES, Holder, first_root, holder, next_root, signed
from hypothesis import given
from hypothesis import strategies as st

from vestry.metadata import document, drafting
from vestry.metadata.document import Document
from vestry.metadata.keys import Key
from vestry.metadata.look_ahead import LookAhead, chain, look_ahead, reserve
from vestry.metadata.review import review
from vestry.metadata.review_text import render_lines

NOW = EXPIRES - timedelta(days=365)
PEOPLE = [holder(name) for name in ("Ann", "Ben", "Carol", "Dave", "Eve")]
ONLINE = holder("online")
ROOT = signed(first_root(PEOPLE, 3, ONLINE), PEOPLE[:3])
POOL = [holder(str(n)).key for n in range(6)]


def known(keyid: str) -> str:
    return next((h.name for h in PEOPLE if h.key.keyid == keyid), "")


def ahead(new: Document, **given: Any) -> LookAhead:
    return look_ahead("root", new, now=NOW, known=known, **given)


def survives(held: list[Key], lost: set[str], threshold: int) -> bool:
    return len({k.fingerprint for k in held} - lost) >= threshold


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=6, unique=True),
    st.integers(1, 6),
    st.lists(st.integers(0, 2), min_size=6, max_size=6),
)
def test_losses_are_those_of_trying_all_subsets(which: list[int], threshold: int, owners: list[int]) -> None:
    """Someone would rely on a spare key that is none."""
    held = [POOL[i] for i in which]
    names = {POOL[i].keyid: f"P{owners[i]}" for i in which}
    found = reserve("root", "root v1", threshold, held, names.__getitem__)
    prints = [k.fingerprint for k in held]
    bearable = [
        n
        for n in range(len(held) + 1)
        if all(survives(held, set(lost), threshold) for lost in itertools.combinations(prints, n))
    ]
    assert found.keys_to_lose == max(bearable, default=-1)

    def bearable_people(gone: tuple[str, ...]) -> bool:
        return survives(held, {k.fingerprint for k in held if names[k.keyid] in gone}, threshold)

    people = sorted(set(names.values()))
    fine = [n for n in range(len(people) + 1) if all(map(bearable_people, itertools.combinations(people, n)))]
    assert found.holders_to_lose == max(fine, default=-1)
    if found.keys_to_lose >= 0:
        assert {h.name for h in found.fatal} == {p for p in people if not bearable_people((p,))}
        assert not bearable_people(tuple(h.name for h in found.worst))
        assert len(found.worst) == found.holders_to_lose + 1


@given(
    st.integers(1, 4), st.integers(1, 4), st.sets(st.integers(0, 4), min_size=4), st.sets(st.integers(0, 4), min_size=4)
)
def test_both_roots_bear_what_is_told_of_each(t_old: int, t_new: int, olds: set[int], news: set[int]) -> None:
    """The old threshold signs too, until it has: whoever looks after the wrong keys loses the root."""
    old = first_root([PEOPLE[i] for i in olds], t_old, ONLINE)
    new = next_root(old, [PEOPLE[i] for i in news], t_new)
    found = ahead(new, old=old)
    for held, threshold, by, begin in (
        (news, t_new, 2, "root (root v2): "),
        (olds, t_old, 1, "until root v2 is signed"),
    ):

        def fine(lost: tuple[int, ...], held: set[int] = held, threshold: int = threshold) -> bool:
            return len(held - set(lost)) >= threshold

        everyone = sorted(olds | news)
        bearable = max(n for n in range(len(everyone) + 1) if all(map(fine, itertools.combinations(everyone, n))))
        (told,) = (r for r in found.reserves if (r.role, r.by) == ("root", f"root v{by}"))
        assert told.keys_to_lose == bearable
        (sentence,) = (s for s in found.sentences if s.startswith(begin))
        assert (f"any {bearable} key" if bearable else "no key") in sentence


def test_keys_that_have_done_their_part_may_be_lost() -> None:
    """Published, a root is rotated by its own keys; those of the one before would be guarded for nothing."""
    new = next_root(ROOT, PEOPLE, 2)
    assert any("until root v2 is signed, root v1 is needed too" in s for s in ahead(new, old=ROOT).sentences)
    done = ahead(signed(new, PEOPLE[:3]), old=ROOT).sentences
    assert not any("root v1" in s for s in done if not s.startswith("clients"))


def test_a_key_under_two_ids_counts_once() -> None:
    """A spare that is the same key is no spare."""
    again = Key.from_dict("other", PEOPLE[0].key.to_dict())
    found = reserve("root", "root v1", 1, [PEOPLE[0].key, again], lambda _: "")
    assert (found.keys, found.keys_to_lose) == (1, 0)


def test_it_names_who_must_not_be_lost() -> None:
    """A number alone does not say whom to look after."""
    two = next_root(ROOT, PEOPLE[:3], 3)
    text = " ".join(ahead(two, old=ROOT).sentences)
    assert "no key and no holder may be lost" in text
    assert "without Ann, Ben or Carol alone, under root v2 no new root can be signed" in text
    assert "without Ann, Ben and Carol together, under root v1" in text


def test_a_holder_with_two_keys_is_lost_with_both() -> None:
    """Two tokens in one drawer burn together."""
    names = {PEOPLE[0].key.keyid: "Ann", PEOPLE[1].key.keyid: "Ann"}
    keys = [h.key for h in PEOPLE[:4]]
    found = reserve("root", "root v1", 3, keys, lambda i: names.get(i, ""))
    assert (found.keys_to_lose, found.holders_to_lose) == (1, 0)
    assert [h.name for h in found.fatal] == ["Ann"]


def test_an_unreachable_threshold_is_told() -> None:
    """Nothing may be lost where nothing works."""
    raw = {**ROOT.signed, "roles": {**ROOT.signed["roles"], "root": {**ROOT.signed["roles"]["root"], "threshold": 9}}}
    new = document.read(document.to_file(raw), where="test")
    found = ahead(new)
    assert found.reserves[0].keys_to_lose == -1
    assert any("can't be met as it is: 5 usable of 9 keys needed" in s for s in found.sentences)


def roots(*signers: list[Holder]) -> list[Document]:
    made = [signed(first_root(PEOPLE, 3, ONLINE), signers[0])]
    for by in signers[1:]:
        made.append(signed(next_root(made[-1], PEOPLE, 3), by))
    return made


def test_older_roots_lead_here_step_by_step() -> None:
    """A client years behind would be thought safe."""
    three = PEOPLE[:3]
    history = roots(three, three, three)
    new = next_root(history[-1], PEOPLE, 3)
    assert [(x.version, x.leads) for x in chain(new, history)] == [(3, True), (2, True), (1, True)]
    broken = roots(three, PEOPLE[:2], three)
    new = next_root(broken[-1], PEOPLE, 3)
    assert [(x.version, x.leads) for x in chain(new, broken)] == [(3, True), (2, True), (1, False)]
    text = " ".join(ahead(new, history=broken[:-1], old=broken[-1]).sentences)
    assert "clients that trust root v2 to v3 get here" in text
    assert "clients that trust root v1 do not get here: root v2 has 2 of 3 of root v1" in text


def test_a_gap_and_a_double_can_not_be_told() -> None:
    """Silence would read as yes."""
    three = PEOPLE[:3]
    history = roots(three, three, three)
    new = next_root(history[-1], PEOPLE, 3)
    gap = list(chain(new, [history[0], history[2]]))
    assert [(x.version, x.leads, x.why) for x in gap] == [(3, True, ""), (1, None, "root v2 is not here")]
    other = signed(next_root(history[0], PEOPLE[1:], 3), three)
    assert [x.leads for x in chain(new, [*history, other])] == [True, None, None]


def test_a_version_beyond_all_others_is_answered_at_once() -> None:
    """A root that says it is version 9,223,372,036,854,775,807 would keep whoever looks at it waiting for ever."""
    far = replace(ROOT, version=(1 << 63) - 1)
    assert [(x.version, x.leads, x.why) for x in chain(far, [ROOT])] == [
        (1, None, "root v9223372036854775806 is not here")
    ]


def test_expiries_in_order_and_what_falls_before_the_ceremony() -> None:
    """The date that is forgotten is the one that stops the index."""
    soon = EXPIRES - timedelta(days=300)
    raw = drafting.targets_with_bins(version=4, expires=soon, bins_threshold=1, bins_keys=[PEOPLE[0].key])
    early = {"targets": document.read(raw, where="test")}
    found = ahead(ROOT, others=early)
    assert [(e.role, e.before_next) for e in found.expiries] == [("targets", True), ("root", False)]
    assert found.next_ceremony == ROOT.expires
    assert any(s.startswith("targets v4 expires on ") and s.endswith("in 65 days") for s in found.sentences)
    later = ahead(ROOT, others=early, next_ceremony=NOW + timedelta(days=30))
    assert not any(e.before_next for e in later.expiries)
    assert "nothing known here expires before the next ceremony" in later.sentences[-1]


@pytest.mark.parametrize("count", [3, 201])
def test_delegated_roles_are_counted_or_said_not_to_be(count: int) -> None:
    """Half a million keys are not read for a sentence; that they are not is said."""
    role = {"keyids": [PEOPLE[0].key.keyid], "threshold": 1, "terminating": False}
    given = [{"name": f"r{n}", "paths": [f"r{n}/*"], **role} for n in range(count)]
    value = {
        "_type": "targets", "version": 1, "spec_version": "1.0.34", "expires": ROOT.signed["expires"], "targets": {},
        "delegations": {"keys": {PEOPLE[0].key.keyid: PEOPLE[0].key.to_dict()}, "roles": given},
    }  # fmt: skip
    found = look_ahead("targets", document.read(document.to_file(value), where="t"), now=NOW, delegator=ROOT)
    assert (len(found.reserves), found.uncounted) == ((4, 0) if count == 3 else (1, 201))
    assert any("201 delegated roles" in s for s in found.sentences) == (count == 201)


def test_lines_and_json_have_it() -> None:
    """What is not shown is not read."""
    found = review("root", next_root(ROOT, PEOPLE, 3), old=ROOT, now=NOW, known=known)
    flat = " ".join(" ".join(render_lines(found)).split())
    assert found.ahead is not None
    assert found.ahead.sentences
    assert all(s in flat for s in found.ahead.sentences)
    assert found.to_dict()["look_ahead"]["reserves"][0]["keys_to_lose"] == 2
    assert all(s.isascii() and s.isprintable() for s in found.ahead.sentences)
