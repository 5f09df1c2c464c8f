"""Invented people: the truth is who they are, households are alike, and a seed gives the same tables."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from model.evaluation.people import COLUMNS, invent_people


def test_pairs_of_the_truth_agree_on_most_fields_and_others_do_not() -> None:
    made = invent_people(400, 0.5, seed=3)
    left, right = made.tables
    assert (len(left), len(right), len(made.truth)) == (400, 400, 200)
    assert len({a for a, _ in made.truth}) == len({b for _, b in made.truth}) == 200
    same = [sum(x == y for x, y in zip(left[a], right[b], strict=True)) for a, b in made.truth]
    others = [sum(x == y for x, y in zip(left[a], right[(b + 1) % 400], strict=True)) for a, b in made.truth]
    assert sum(same) / 200 > 5 and sum(others) / 200 < 0.7
    assert all(None not in row for row in left) and any(None in row for row in right)


def test_households_share_surname_and_street() -> None:
    left, _ = invent_people(2000, 0.0, seed=1).tables
    homes = Counter((row[1], row[3], row[4]) for row in left)
    assert sum(count for count in homes.values() if count > 1) > 600


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        invent_people(50, 0.4, seed=7).write(tmp_path / name)
    for file in ("a.csv", "b.csv", "truth.csv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    with (tmp_path / "one" / "a.csv").open(encoding="utf-8", newline="") as written:
        assert tuple(next(csv.reader(written))) == COLUMNS
    assert invent_people(50, 0.4, seed=8).tables != invent_people(50, 0.4, seed=7).tables


@pytest.mark.parametrize(("count", "overlap"), [(0, 0.5), (5, 1.5)])
def test_impossible_tables_are_refused(count: int, overlap: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        invent_people(count, overlap)
