import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from model.checkpoint import Checkpoint
from model.corpus import read_tables
from model.errors import InputError
from model.evaluation.held_out import sample_tables, training_sources, unseen_tables, validation_tables, window
from model.tuples import Relation


def trained_on(checkpoint: Checkpoint, sources: Sequence[str]) -> Checkpoint:
    return replace(checkpoint, card={**checkpoint.card, "data": {"sources": list(sources)}})


def test_unseen_tables_are_of_the_repositories_that_calibration_keeps_for_checking(
    small_corpus: Path, checkpoint: Checkpoint
) -> None:
    # Repositories in order are a/one, b/two, c/short: every second one is for checking.
    assert [table.repository for table in unseen_tables(small_corpus, checkpoint, 20).tables] == ["b/two"]
    (cut,) = unseen_tables(small_corpus, checkpoint, 20, max_rows=25).tables
    assert len(cut.relation) == 25
    with pytest.raises(InputError, match="no table of 41 rows"):
        unseen_tables(small_corpus, checkpoint, 41)


def test_the_halves_do_not_move_when_repositories_are_left_out(small_corpus: Path, checkpoint: Checkpoint) -> None:
    # Without a/one, c/short would be second, had the split come last; calibration has seen it.
    kept = unseen_tables(small_corpus, trained_on(checkpoint, ["a/one"]), 5)
    assert [table.repository for table in kept.tables] == ["b/two"]


def test_tables_whose_repository_was_trained_on_are_left_out_and_counted(
    small_corpus: Path, checkpoint: Checkpoint
) -> None:
    held_out = validation_tables(small_corpus, trained_on(checkpoint, ["x/y", "a/one"]))
    assert [table.repository for table in held_out.tables] == ["b/two", "c/short"]
    assert held_out.left_out == 3
    assert held_out.note == "3 tables of valid.jsonl.zst are left out: the weights know their repositories."
    other = trained_on(checkpoint, ["x/y"])
    assert training_sources(other) == ("x/y",)
    assert validation_tables(small_corpus, other).note.startswith("No table is from a repository")
    assert training_sources(checkpoint) is None
    assert validation_tables(small_corpus, checkpoint).note.startswith("The checkpoint's card names no training")


def test_a_shard_of_nothing_but_training_repositories_is_refused(small_corpus: Path, checkpoint: Checkpoint) -> None:
    with pytest.raises(InputError, match="nothing but tables of repositories that tiny was trained on"):
        validation_tables(small_corpus, trained_on(checkpoint, ["a/one", "b/two", "c/short"]))
    with pytest.raises(InputError, match="nothing but tables of repositories that tiny was trained on"):
        unseen_tables(small_corpus, trained_on(checkpoint, ["b/two"]), 1)


def test_a_folder_with_training_shards_only_is_refused(
    small_corpus: Path, tmp_path: Path, checkpoint: Checkpoint
) -> None:
    (tmp_path / "train-00.jsonl.zst").write_bytes((small_corpus / "valid.jsonl.zst").read_bytes())
    with pytest.raises(InputError, match=r"no valid\.jsonl\.zst"):
        unseen_tables(tmp_path, checkpoint, 1)


def test_repositories_take_turns_until_one_has_no_more_tables(small_corpus: Path) -> None:
    tables = list(read_tables(small_corpus / "valid.jsonl.zst"))
    chosen = sample_tables(tables, 4, 0)
    assert [table.repository for table in chosen] == ["a/one", "b/two", "c/short", "a/one"]
    assert len(sample_tables(tables, 100, 0)) == len(tables) == 5
    assert sample_tables(tables[::-1], 4, 0) == chosen
    assert {tuple(one.table_id for one in sample_tables(tables, 4, seed)) for seed in range(8)} != {
        tuple(one.table_id for one in chosen)
    }


def test_a_window_keeps_tuples_together_and_in_order() -> None:
    relation = Relation.of(("a", "b", "c"), [[f"a{row}", f"b{row}", f"c{row}"] for row in range(9)], "t")
    part = window(relation, random.Random(4), 3, 2)
    assert (len(part), part.name) == (3, "t")
    assert part.attributes == tuple(sorted(part.attributes)) and len(part.attributes) == 2
    first = int((part.tuples[0][0] or "")[1:])
    assert part.tuples == tuple(tuple(f"{name}{first + row}" for name in part.attributes) for row in range(3))
    assert window(relation, random.Random(4), 100, 100) == relation
