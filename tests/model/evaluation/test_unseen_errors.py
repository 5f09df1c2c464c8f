import random
from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import Checkpoint
from model.corruption import CorruptedRelation
from model.evaluation.cleaning import Judgement
from model.evaluation.figures import Resampling
from model.evaluation.unseen_errors import (
    Episode,
    evaluate_unseen_errors,
    make_episode,
    measure_unseen_cleaning,
    measure_unseen_filling,
    measure_unseen_kinds,
)
from model.inference.cleaning import FLAG_PROBABILITY
from model.tuples import Cell, Relation


def episodes() -> list[Episode]:
    clean = Relation.of(("a", "b"), [["Oslo", "1"], ["Bonn", "2"]])
    first = Relation.of(("a", "b"), [["Osol", "1"], ["Bonn", ""]])
    second = Relation.of(("a", "b"), [["Oslo", "1"], ["Bnon", "2"]])
    return [
        Episode(CorruptedRelation(first, clean, (("typo", ""), ("", "missing"))), (Cell(1, 0),)),
        Episode(CorruptedRelation(second, clean, (("", ""), ("typo", ""))), (Cell(0, 1), Cell(1, 0))),
    ]


JUDGEMENTS = {
    "it": [
        Judgement({Cell(0, 0): "Oslo", Cell(1, 1): None, Cell(0, 1): "9"}, 0.5),
        Judgement({Cell(1, 0): "Born"}, 0.5),
    ]
}


def test_cleaning_is_counted_over_all_windows() -> None:
    table = measure_unseen_cleaning(episodes(), JUDGEMENTS, "2 windows", (), Resampling())
    figures = {name: round(figure.value, 3) for name, figure in table.rows[0].figures.items()}
    assert figures == {
        "detection P": 0.75,
        "detection R": 1.0,
        "detection F1": 0.857,
        "repair P": 0.333,
        "repair R": 0.333,
        "repair F1": 0.333,
        "rows/s": 4.0,
    }
    assert table.title == "cleaning, 2 windows (3 wrong cells)"


def test_errors_are_counted_by_kind() -> None:
    table = measure_unseen_kinds(episodes(), JUDGEMENTS, "2 windows", Resampling())
    figures = {row.system: {name: figure.value for name, figure in row.figures.items()} for row in table.rows}
    assert figures == {
        "missing (1)": {"detection R": 1.0, "repair R": 0.0, "repair F1": 0.0},
        "typo (2)": {"detection R": 1.0, "repair P": 0.5, "repair R": 0.5, "repair F1": 0.5},
    }


def test_hidden_cells_are_hidden_and_filled_with_the_clean_value_in_view() -> None:
    one = episodes()[1]
    assert one.with_hidden_cells.tuples == (("Oslo", None), (None, "2"))
    assert one.hidden_truth == ("1", "Bonn")
    table = measure_unseen_filling(
        episodes(), {"it": lambda relation, cells: ["Bonn"] * len(cells)}, "2 windows", Resampling()
    )
    assert table.rows[0].figures["exact match %"].value == pytest.approx(200 / 3)
    assert table.reliabilities == ()


def test_windows_are_corrupted_as_their_seed_says(people: Relation) -> None:
    made = [make_episode(people, random.Random(seed)) for seed in range(12)]
    assert made[3] == make_episode(people, random.Random(3)) != make_episode(people, random.Random(4))
    assert sum(bool(kind) for one in made for kinds in one.corrupted.kinds for kind in kinds) > 20
    for one in made:
        assert len(set(one.hidden)) == len(one.hidden) == 10
        assert all(one.hidden_truth)


def test_the_models_probabilities_are_those_of_its_cells(small_corpus: Path, checkpoint: Checkpoint) -> None:
    stages: set[str] = set()
    cleaning, kinds, filling = evaluate_unseen_errors(
        small_corpus, checkpoint, 2, Resampling(3), lambda stage, done, total: stages.add(stage)
    )
    assert [row.system for row in cleaning.rows] == ["model", "rare to frequent", "dependency vote"]
    detection, repair = cleaning.reliabilities
    (table,) = (make_episode(one, random.Random("3:b/two:table3.csv")) for one in [_table(small_corpus)])
    assert len(detection) == len(table.corrupted.dirty) * 5
    wrong = [bool(kind) for row in table.corrupted.kinds for kind in row]
    assert detection.true.tolist() == wrong and any(wrong)
    assert len(repair) == int(np.sum(detection.probabilities >= FLAG_PROBABILITY)) > 0
    assert filling.rows[0].system == "model" and len(filling.reliabilities[0]) == 10
    assert all("dependency vote: repair F1" in row.figures for row in kinds.rows) and kinds.rows
    assert "unseen-errors, cleaning" in stages


def _table(corpus: Path) -> Relation:
    from model.corpus import read_tables

    return next(one.relation for one in read_tables(corpus / "valid.jsonl.zst") if one.repository == "b/two")
