"""Labelled sets are read with their pairs, and without what gives the entities away."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.errors import InputError
from model.evaluation.matching_sets import LEFT_OUT, read_entity_set, read_matching_set


def test_pairs_name_tuples_of_both_tables(linked_bench: Path) -> None:
    matching = read_matching_set(linked_bench, "one")
    first, second = matching.relations
    assert (len(first), len(second)) == (90, 80)
    assert first.attributes == ("name", "city", "class")
    assert {part: len(pairs) for part, pairs in matching.parts.items()} == {"train": 100, "valid": 20, "test": 60}
    for left, right, label in (pair for pairs in matching.parts.values() for pair in pairs):
        same = first.tuples[left][2] == second.tuples[right][2]
        assert same == bool(label)


def test_a_column_that_names_the_entity_is_left_out(linked_bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LEFT_OUT["Fodors-Zagats"] == {"class"}
    monkeypatch.setitem(LEFT_OUT, "two", frozenset({"class"}))
    assert read_matching_set(linked_bench, "two").relations[1].attributes == ("name", "city")


def test_an_entity_set_hides_its_numbers(linked_bench: Path) -> None:
    entity_set = read_entity_set(linked_bench, "cora")
    assert entity_set.relation.attributes == ("name", "city")
    assert len(entity_set.relation) == len(entity_set.entities) == 80
    assert entity_set.entities[0] == entity_set.entities[40] == "e0"


def test_a_missing_file_and_an_unknown_record_are_named(linked_bench: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing/tableA.csv"):
        read_matching_set(linked_bench, "nothing")
    folder = tmp_path / "matching" / "odd"
    folder.mkdir(parents=True)
    for name in ("tableA.csv", "tableB.csv"):
        (folder / name).write_text("id,name\n1,x\n", encoding="utf-8")
    for part in ("train", "valid", "test"):
        (folder / f"{part}.csv").write_text("ltable_id,rtable_id,label\n1,7,1\n", encoding="utf-8")
    with pytest.raises(InputError, match="odd/train.csv"):
        read_matching_set(tmp_path, "odd")
