"""Tuples to label: those that stand for most of what is in doubt, each for something else."""

from __future__ import annotations

import numpy as np
import pytest

from model.inference.suggestions import suggest
from model.tuples import Cell, Relation, Suggestion

DOUBTFUL, CODES, PLAIN = range(30), range(30, 50), range(50, 60)


@pytest.fixture
def relation() -> Relation:
    """Sixty tuples: thirty amounts with a unit, twenty codes, ten numbers."""
    rows = [(f"{n} oz", "x") for n in DOUBTFUL] + [(f"A{n}", "x") for n in CODES] + [(str(n), "x") for n in PLAIN]
    return Relation.of(("amount", "kind"), rows)


def ask(relation: Relation, count: int, doubtful: float = 0.5, **given: object) -> list[Suggestion]:
    probabilities = np.full((60, 2), 0.001)
    probabilities[DOUBTFUL, 0] = doubtful - 1e-3
    options: dict[str, object] = {"attributes": (0, 1), "known": (), "confidences": {}, **given}
    return suggest(relation, probabilities, np.zeros((60, 2), bool), count=count, **options)  # type: ignore[arg-type]


def test_the_largest_doubtful_group_comes_first_and_every_group_has_its_turn(relation: Relation) -> None:
    chosen = [one.tuple_id for one in ask(relation, 9)]
    assert chosen[0] in DOUBTFUL
    assert all(set(chosen) & set(group) for group in (DOUBTFUL, CODES, PLAIN))
    assert len(set(chosen)) == 9


def test_the_reason_names_what_the_tuple_stands_for(relation: Relation) -> None:
    assert ask(relation, 1) == [Suggestion(0, "stands for 30 cells of 'amount' like '0 oz'")]


def test_labelled_tuples_are_not_asked_again_and_their_groups_less(relation: Relation) -> None:
    known = [Cell(row, attribute) for row in range(6) for attribute in (0, 1)]
    chosen = [one.tuple_id for one in ask(relation, 2, known=known)]
    assert chosen[0] in CODES and not set(chosen) & set(range(6))


def test_a_repair_in_doubt_is_doubt(relation: Relation) -> None:
    sure = {Cell(row, 0): 0.999 for row in PLAIN}
    unsure = {Cell(row, 0): 0.5 for row in PLAIN}
    known = [Cell(0, 0), Cell(30, 0), Cell(50, 0)]
    assert ask(relation, 1, doubtful=0.01, known=known, confidences=unsure)[0].tuple_id in PLAIN
    assert ask(relation, 1, doubtful=0.01, known=known, confidences=sure)[0].tuple_id not in PLAIN


def test_attributes_that_are_not_judged_do_not_count(relation: Relation) -> None:
    assert ask(relation, 1, attributes=(1,))[0].reason == "stands for 60 cells of 'kind' like 'x'"


def test_no_more_are_named_than_there_are(relation: Relation) -> None:
    known = [Cell(row, 0) for row in range(58)]
    assert sorted(one.tuple_id for one in ask(relation, 9, known=known)) == [58, 59]
