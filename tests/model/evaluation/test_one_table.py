"""Two tables are resolved as one, by trees that know nothing of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from model.checkpoint import Checkpoint, load_checkpoint
from model.evaluation import one_table
from model.evaluation.matching_sets import read_matching_set
from model.evaluation.one_table import evaluate_one_table, put_together
from model.finetuning.pairs import fit_pairs
from model.tuples import RecordPlace
from tests.model.conftest import LINKED


def test_both_tables_stand_one_after_the_other_with_their_entities(linked_bench: Path) -> None:
    matching = read_matching_set(linked_bench, "one")
    relation, truth = put_together(matching)
    first, second = matching.relations
    assert len(relation) == len(first) + len(second) == len(truth)
    matches = [(left, right) for part in matching.parts.values() for left, right, label in part if label]
    for left, right in matches:
        assert truth[RecordPlace(0, left)] == truth[RecordPlace(0, len(first) + right)]
        name = second.attributes.index(relation.attributes[0])
        assert relation.tuples[len(first) + right][0] == second.tuples[right][name]
    assert len(set(truth.values())) == len(relation) - len(set(matches))


def test_each_set_is_judged_by_trees_of_the_others(linked_bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = load_checkpoint()
    left_out = []

    def fit(learned: object, name: str) -> object:
        left_out.append(name)
        return fit_pairs(learned, name)  # type: ignore[arg-type]

    monkeypatch.setattr(one_table, "LABELLED_SETS", LINKED)
    monkeypatch.setattr(one_table, "LINKED_SETS", LINKED[:2])
    monkeypatch.setattr(one_table, "PEOPLE", 60)
    monkeypatch.setattr(one_table, "fit_pairs", fit)
    (table,) = evaluate_one_table(linked_bench, None, shipped)
    *sets, people = left_out
    assert sets == list(LINKED[:2]) and people == "60 + 60 invented people"
    figures = {row.system: row.figures for row in table.rows}
    assert [name.partition(":")[0] for name in figures] == [name for name in left_out for _ in range(3)]
    assert figures[people]["true entities"].value == 90  # of 120 records 30 are somebody else's second one
    assert figures["one"]["pairwise F1"].value > 0.9
    assert figures["one"]["true entities"].value == len(
        set(put_together(read_matching_set(linked_bench, "one"))[1].values())
    )


def test_a_checkpoint_without_counted_words_has_no_table(linked_bench: Path, bare_checkpoint: Checkpoint) -> None:
    assert evaluate_one_table(linked_bench, None, replace(bare_checkpoint, rarity=None)) == []
