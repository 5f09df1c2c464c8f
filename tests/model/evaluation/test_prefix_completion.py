import random
from pathlib import Path

import pytest

from model.checkpoint import Checkpoint
from model.corpus import read_tables
from model.evaluation.figures import Resampling
from model.evaluation.imputation import Answers
from model.evaluation.prefix_completion import (
    TypedWindow,
    evaluate_completion,
    measure_completion,
    model_completer,
    most_frequent,
    nearest,
    type_into,
)
from model.tuples import Cell, Relation

ROWS: list[list[str | None]] = [
    ["Birmingham", "AL, south"],
    ["Birmingham", "AL, south"],
    ["Bismarck", "ND, north"],
    ["Boston", "MA, east"],
    [None, "ND, north"],
]


def test_look_ups_keep_to_the_prefix() -> None:
    relation = Relation.of(("city", "state"), ROWS)
    assert most_frequent(relation, Cell(4, 0), "Bi") == "Birmingham"
    assert nearest(relation, Cell(4, 0), "Bi") == "Bismarck"
    assert nearest(relation, Cell(4, 0), "Bo") == "Boston"
    assert most_frequent(relation, Cell(4, 0), "X") is nearest(relation, Cell(4, 0), "X") is None


def test_typed_values_are_hidden_and_begin_with_their_prefix(people: Relation) -> None:
    typed = type_into(people, random.Random(1))
    assert typed == type_into(people, random.Random(1)) != type_into(people, random.Random(2))
    assert len(set(typed.cells)) == 6
    assert sum(people.column(cell.attribute).count(people.value(cell)) > 1 for cell in typed.cells) == 3
    for cell, prefix, true in zip(typed.cells, typed.prefixes, typed.truth, strict=True):
        assert typed.relation.value(cell) is None
        assert true == people.value(cell) and len(true) >= 4
        assert true.startswith(prefix) and len(prefix) in {max(1, round(len(true) * share)) for share in (0.25, 0.5)}


def test_new_values_and_known_ones_are_counted_apart() -> None:
    relation = Relation.of(("city", "state"), [*ROWS, [None, "MA, east"]])
    typed = TypedWindow(relation, (Cell(4, 0), Cell(5, 0)), ("Bi", "Sa"), ("Bismarck", "Salem"))
    assert typed.known == (True, False)
    answers = Answers(["Bismarck", None], [0.9, 0.0], 2.0)
    table = measure_completion([typed], {"it": lambda _: answers}, Resampling())
    figures = {name: figure.value for name, figure in table.rows[0].figures.items()}
    assert figures == {"all": 50.0, "value stands elsewhere": 100.0, "new value": 0.0, "answered": 1, "cells/s": 1.0}
    assert table.reliabilities[0].probabilities.tolist() == [0.9, 0.0]


def test_the_model_completes_what_is_typed(small_corpus: Path, checkpoint: Checkpoint) -> None:
    (table,) = evaluate_completion(small_corpus, checkpoint, 2)
    assert [row.system for row in table.rows] == [
        "model",
        "model alone",
        "most frequent value with the prefix",
        "nearest row with the prefix",
    ]
    assert table.title == "half-typed values of unseen tables (6 cells of 1 windows)"
    (typed,) = [type_into(_relation(small_corpus), random.Random("0:b/two:table3.csv"))]
    looked_up = [most_frequent(typed.relation, *one) for one in zip(typed.cells, typed.prefixes, strict=True)]
    right = [answer == true for answer, true in zip(looked_up, typed.truth, strict=True)]
    assert table.rows[2].figures["all"].value == pytest.approx(100 * sum(right) / 6)


def test_the_models_answers_begin_with_the_prefix(people: Relation, checkpoint: Checkpoint) -> None:
    typed = type_into(people, random.Random(5))
    answers = model_completer(checkpoint, "model", True, None)([typed])
    assert any(answers.values)
    for value, prefix in zip(answers.values, typed.prefixes, strict=True):
        assert value is None or value.startswith(prefix)


def _relation(corpus: Path) -> Relation:
    return next(one.relation for one in read_tables(corpus / "valid.jsonl.zst") if one.repository == "b/two")
