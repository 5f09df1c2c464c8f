"""Tuples that resemble each other in the text of all cells but one vote for what is missing there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from model.inference.columns import Column
from model.inference.neighbours import Neighbours, NeighbourVote

ROWS = [
    ("310/246-1501", "arnie morton's of chicago", "los angeles"),
    ("310/246-1502", "arnie mortons of chicago", "los angeles"),
    ("212/484-5200", "oceana", "new york"),
    ("212/484-5100", "ocean grill", "new york"),
    ("404/525-2062", "bacchanalia", "atlanta"),
    ("310/246-1503", "morton's", None),
    ("212/484-5300", "oceanic", None),
]


def neighbours(rows: Sequence[tuple[str | None, ...]]) -> Neighbours:
    return Neighbours([Column([row[place] for row in rows]) for place in range(3)])


def test_the_most_similar_rows_vote_for_what_they_hold() -> None:
    first, second = neighbours(ROWS).votes(2, [5, 6])
    assert (first[0].value, first[0].is_nearest) == ("los angeles", True)
    assert (second[0].value, second[0].is_nearest) == ("new york", True)
    assert set(first[0].tuple_ids) == {0, 1}
    for votes in (first, second):
        assert sum(vote.share for vote in votes) == pytest.approx(1.0)
        assert 0 < votes[0].similarity < 1
        assert [vote.is_nearest for vote in votes[1:]] == [False] * (len(votes) - 1)


def test_the_hidden_attribute_itself_is_not_read() -> None:
    changed = [(*row[:2], "zzz" if row[2] is None else row[2]) for row in ROWS]
    for row, votes in zip((5, 6), neighbours(changed).votes(2, [5, 6]), strict=True):
        assert votes[0].value == neighbours(ROWS).votes(2, [row])[0][0].value
        assert row not in {tuple_id for vote in votes for tuple_id in vote.tuple_ids}


def test_many_rows_are_asked_as_one_by_one() -> None:
    rows = [(f"{number:03d}", f"name {number % 7}", str(number % 5)) for number in range(150)]
    made = neighbours(rows)
    together = made.votes(2, list(range(150)))
    assert together == [made.votes(2, [row])[0] for row in range(150)]
    assert all(isinstance(vote, NeighbourVote) for votes in together for vote in votes)


def test_nobody_votes_where_nothing_is_known_or_nothing_is_alike() -> None:
    assert neighbours([("a", "b", None), ("a", "b", None)]).votes(2, [0]) == [[]]
    assert neighbours([("abc", None, "x"), (None, None, None)]).votes(2, [1]) == [[]]
    assert neighbours(ROWS).votes(2, []) == []


def test_reliability_is_how_often_the_largest_share_is_right_where_it_is_known() -> None:
    rows = [(f"{area}-{number}", f"name {number}", area) for number in range(20) for area in ("310/555", "212/444")]
    told = neighbours(rows)
    shares = [max(votes, key=lambda vote: vote.share).value for votes in told.votes(2, list(range(40)))]
    right = sum(value == row[2] for value, row in zip(shares, rows, strict=True))
    assert right > 30
    assert told.reliability(2) == pytest.approx((right + 1) / 42)
    assert neighbours([("a", "b", None), ("a", "b", None)]).reliability(2) == 0.0
