"""Rules about delegations, files and names: near misses, and lists as large and as hostile as they come."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from growth import growth
from holders import EXPIRES, holder

from vestry.metadata import delegation_index, document
from vestry.metadata.document import Document
from vestry.metadata.findings import CODES
from vestry.metadata.review import Review, review
from vestry.metadata.rulebook import Context, Hit

NOW = EXPIRES - timedelta(days=365)
KEY = holder("key").key
SHA = {"length": 3, "hashes": {"sha256": "ab" * 32}}
STAR = ["*"]
Files = dict[str, Any]


def made(roles: dict[str, Any] | None = None, files: Files | None = None, version: int = 1) -> Document:
    """A targets with delegations (name -> paths, or whole fields) and files."""
    listed = []
    for name, value in (roles or {}).items():
        fields = value if isinstance(value, dict) else {"paths": value}
        listed.append({"name": name, "keyids": [KEY.keyid], "threshold": 1, "terminating": False, **fields})
    signed = {
        "_type": "targets",
        "version": version,
        "spec_version": "1.0.34",
        "expires": f"{EXPIRES:%Y-%m-%dT%H:%M:%SZ}",
        "targets": files or {},
        "delegations": {"keys": {KEY.keyid: KEY.to_dict()}, "roles": listed},
    }
    return document.read(document.to_file(signed), where="test")


def looked(new: Document, role: str = "targets", **given: Any) -> Review:
    return review(role, new, now=NOW, **given)


def of(code: str, found: Review) -> list[str]:
    return [f.where.removeprefix("delegations/roles/") for f in found.findings if f.code == code]


# code, role, the new document, what else the review is given: each one step away from a hit
NEAR: list[tuple[str, str, Callable[[], Document], dict[str, Any]]] = [
    ("DELEGATION-SHADOWED", "targets", lambda: made({"a": {"paths": ["x*"], "terminating": True}, "b": STAR}), {}),
    ("DELEGATION-SHADOWED", "targets", lambda: made({"a": {"paths": STAR, "terminating": True}, "b": ["x/*"]}), {}),
    ("DELEGATION-SHADOWED", "targets", lambda: made({"a": STAR, "b": STAR}), {}),
    ("DELEGATION-OVERLAP", "targets", lambda: made({"a": ["x/*"], "b": ["y/*"], "c": ["x/*/*"]}), {}),
    ("DELEGATION-OVERLAP", "targets", lambda: made({"a": ["*.zip"], "b": ["*.whl"]}), {}),
    ("DELEGATION-ESCAPES", "a", lambda: made({"b": ["docs/x*"]}), {"delegator": made({"a": ["docs/*"]})}),
    ("DELEGATION-ESCAPES", "a", lambda: made({"b": ["x"]}), {"delegator": made({"c": ["docs/*"]})}),
    ("DELEGATION-LOOP", "a", lambda: made({"b": STAR}), {"ancestors": ("targets", "c")}),
    ("DELEGATION-DIAMOND", "a", lambda: made({"b": STAR}), {"delegator": made({"a": STAR, "c": STAR})}),
    ("DELEGATION-VANISHED", "targets", lambda: made({"b": STAR, "a": STAR}), {"old": made({"a": STAR, "b": STAR})}),
    ("ROLE-NAME-CLASH", "targets", lambda: made({"a1": ["x"], "al": ["y"]}), {}),
    ("NAME-LOOKALIKE", "targets", lambda: made({"requests": ["requests/*"]}), {}),
    ("NAME-LOOKALIKE", "targets", lambda: made({"requsets": ["x"]}), {"old": made({"requsets": ["y"]})}),
    ("TARGET-CHANGED", "targets", lambda: made({}, {"a": {**SHA, "custom": 1}}), {"old": made({}, {"a": SHA})}),
    ("TARGET-VANISHED", "targets", lambda: made({}, {"a": SHA, "b": SHA}), {"old": made({}, {"a": SHA})}),
    ("TARGET-LOOKALIKE", "targets", lambda: made({}, {"a": SHA, "A": SHA}), {"old": made({}, {"a": SHA, "A": SHA})}),
    ("TARGET-LOOKALIKE", "targets", lambda: made({}, {"ab": SHA, "ac": SHA}), {}),
    ("VERSION-STEP", "targets", lambda: made(version=2), {"old": made()}),
]


@pytest.mark.parametrize(("code", "role", "make", "given"), NEAR)
def test_near_misses_are_left_in_peace(
    code: str, role: str, make: Callable[[], Document], given: dict[str, Any]
) -> None:
    """Findings about nothing teach people to answer without reading."""
    assert of(code, looked(make(), role, **given)) == []


def test_old_delegations_are_not_asked_about_again() -> None:
    """What was answered last month is a note this month."""
    roles = {"b": STAR, "a": ["x"]}
    found = looked(made(roles, version=2), old=made(roles))
    assert {f.severity for f in found.findings if f.code == "DELEGATION-OVERLAP"} <= {"note"}


def test_one_put_in_front_is_told() -> None:
    """The way to take a project's files: a role with its paths, before it."""
    old = made({"requests": ["requests/*"], "rest": ["*/*"]})
    new = made({"evil": ["requests/*"], "requests": ["requests/*"], "rest": ["*/*"]}, version=2)
    found = [f for f in looked(new, old=old).findings if f.code == "DELEGATION-OVERLAP"]
    assert [(f.severity, f.where) for f in found] == [
        ("warn", "delegations/roles/requests"),
        ("note", "delegations/roles/rest"),
    ]
    assert "with evil, which is asked first" in found[0].text


def test_one_moved_to_the_front_is_told() -> None:
    """No pattern and no key changes, and yet another role has the say."""
    old = made({"a": ["x/*"], "b": ["y/*"], "evil": ["x/*"]})
    new = made({"evil": ["x/*"], "a": ["x/*"], "b": ["y/*"]}, version=2)
    found = [f for f in looked(new, old=old).findings if f.code == "DELEGATION-OVERLAP"]
    assert [(f.severity, f.where) for f in found] == [("warn", "delegations/roles/a")]


def test_a_new_twin_of_an_old_file() -> None:
    """The new one is told, and which one it looks like."""
    found = looked(made({}, {"pkg/a.whl": SHA, "pkg/A.whl": SHA}, 2), old=made({}, {"pkg/a.whl": SHA}))
    told = [f for f in found.findings if f.code == "TARGET-LOOKALIKE"]
    assert [f.where for f in told] == ["targets/pkg~1A.whl"]
    assert "differs from pkg/a.whl only by case" in told[0].text
    cyrillic = looked(made({}, {"a.whl": SHA, "\u0430.whl": SHA}, 2), old=made({}, {"a.whl": SHA}))
    assert [f.severity for f in cyrillic.findings if f.code == "TARGET-LOOKALIKE"] == ["warn"]


def test_lesser_hits_beyond_the_cap_stay_lesser() -> None:
    """Two hundred notes would end in a warning."""
    files = {f"a{'1' * (n % 8)}{'l' * (n // 8)}": SHA for n in range(8)}
    files |= {f"f{n}-{ch}": SHA for n in range(150) for ch in "0o"}
    severities = {f.severity for f in looked(made({}, files)).findings if f.code == "TARGET-LOOKALIKE"}
    assert severities == {"note"}


COUNT = 1_000
SHAPES: dict[str, Callable[[int], dict[str, Any]]] = {
    "all the same": lambda _: {"paths": ["x/*"]},
    "all catch all": lambda _: {"paths": ["*"], "terminating": True},
    "one folder each": lambda n: {"paths": [f"p{n}/*"], "terminating": True},
    "names of files": lambda n: {"paths": [f"p{n}-*"]},
    "wild in front": lambda n: {"paths": [f"*-{n}"], "terminating": True},
    "wild in the middle": lambda n: {"paths": [f"a*{n}*b/c"]},
    "prefixes": lambda n: {"path_hash_prefixes": [f"{n % 100:02x}"]},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_very_many_delegations_are_not_compared_each_with_each(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take a day, and a room of people waits."""
    documents = {count: made({f"r{n}": SHAPES[shape](n) for n in range(count)}) for count in (COUNT, 2 * COUNT)}

    def hit(count: int) -> dict[str, list[Hit]]:
        context = Context("targets", documents[count], None, None, (), (), NOW, lambda _: "")
        codes = [c for c in CODES if c.startswith(("DELEGATION-", "ROLE-NAME", "NAME-"))]
        return {code: list(CODES[code].check(context)) for code in codes}

    monkeypatch.setattr(delegation_index, "_MOST_STEPS", 100_000)
    # Patterns that begin with what stands for anything have no order: their comparisons are counted and end (Index).
    if not shape.startswith("wild"):
        assert growth(hit, COUNT) < 3
    hits = hit(COUNT)
    overlapping = shape in ("all the same", "prefixes")
    if overlapping:
        assert len(hits["DELEGATION-OVERLAP"]) == 101
        assert "And " in hits["DELEGATION-OVERLAP"][-1].text
    if shape == "all catch all":
        assert len(hits["DELEGATION-SHADOWED"]) == 101
        assert hits["DELEGATION-SHADOWED"][-1].text == f"And {COUNT - 101:,} more delegations that are never asked"
    if shape == "one folder each":
        assert hits["DELEGATION-OVERLAP"] == hits["DELEGATION-SHADOWED"] == []
