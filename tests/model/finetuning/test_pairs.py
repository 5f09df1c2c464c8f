"""Trees of pairs tell matches from others on a set that they did not learn from; words are counted by table."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import Checkpoint, load_checkpoint
from model.corpus import CorpusTable
from model.errors import InputError
from model.evaluation.matching_sets import read_matching_set
from model.finetuning import pairs
from model.finetuning.pairs import LabelledPairs, corpus_pairs, count_words, fit_pairs, labelled_pairs, main
from model.inference.pairs import FEATURES, PairJudge
from model.inference.records import words
from model.serialization import TupleSerializer
from model.tuples import Relation
from tests.model.conftest import LINKED


def table(number: int, rows: list[tuple[str | None, ...]]) -> CorpusTable:
    return CorpusTable(f"owner/repo{number}:a.csv", "", "MIT", Relation.of(("text", "more"), rows))


def test_one_table_counts_a_word_four_times_at_most() -> None:
    many = table(0, [("common word", None)] * 30)
    some = [table(number, [("Word, word!", "once")] * 3) for number in range(1, 5)]
    rarity = count_words([many, *some])
    tuples = 30 + 4 * 3
    assert rarity.of("word") == pytest.approx(math.log((tuples + 1) / (4 + 4 * 3 + 1)), abs=0.05)
    assert rarity.of("common") == pytest.approx(math.log((tuples + 1) / (4 + 1)), abs=1e-6)
    assert rarity.of("twice") == pytest.approx(math.log(tuples + 1))


def test_trees_tell_matches_of_a_set_that_they_have_not_seen(linked_bench: Path, tables: list[CorpusTable]) -> None:
    rarity = count_words(tables)
    learned = [labelled_pairs(read_matching_set(linked_bench, name), ("train", "valid"), rarity) for name in LINKED]
    judge = PairJudge(rarity, fit_pairs(learned, "three"))
    assert judge.trees.features == FEATURES
    seen = fit_pairs(learned[:2])
    np.testing.assert_array_equal(judge.trees.logits(learned[2].features), seen.logits(learned[2].features))
    test = labelled_pairs(read_matching_set(linked_bench, "three"), ("test",), rarity)
    probabilities = judge.probabilities(test.features)
    assert probabilities[test.labels == 1].mean() > 0.8 > 0.2 > probabilities[test.labels == 0].mean()


def test_no_set_left_is_an_error(linked_bench: Path) -> None:
    one = LabelledPairs("one", np.zeros((4, len(FEATURES)), np.float32), np.array([0, 1, 0, 1]))
    with pytest.raises(InputError, match="none is left"):
        fit_pairs([one], "one")


def test_pairs_of_the_corpus_have_both_answers_and_follow_from_the_seed(
    tables: list[CorpusTable], serializer: TupleSerializer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "_WINDOWS", 6)
    rarity = count_words(tables)
    one, again, other = (corpus_pairs(tables, serializer, rarity, seed) for seed in (1, 1, 2))
    assert 0.1 < one.labels.mean() < 0.6
    np.testing.assert_array_equal(one.features, again.features)
    assert not np.array_equal(one.features, other.features)
    same, apart = (one.features[one.labels == label][:, FEATURES.index("cosine_of_characters")] for label in (1, 0))
    assert same.mean() > apart.mean() + 0.2


def test_the_command_adds_words_and_trees_and_leaves_the_rest(
    linked_bench: Path,
    checkpoint: Checkpoint,
    tmp_path: Path,
    tables: list[CorpusTable],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pairs, "LABELLED_SETS", LINKED)
    monkeypatch.setattr(pairs, "_WINDOWS", 3)
    monkeypatch.setattr(pairs, "read_training_tables", lambda path, rows: tables)
    folder = Path(shutil.copytree(checkpoint.path, tmp_path / "checkpoint"))
    shutil.copy(Path(load_checkpoint().path) / "judges.safetensors", folder)
    before = load_checkpoint(folder)
    arguments = ["--corpus", str(tmp_path), "--bench", str(linked_bench), "--checkpoint", str(folder)]
    monkeypatch.setattr(pairs, "corpus_path", Path)
    assert main(arguments) == 0
    loaded = load_checkpoint(folder)
    common = words(str(tables[0].relation.tuples[0][3]).casefold())[0]  # of a city, of which there are few
    assert loaded.rarity is not None and loaded.rarity.of(common) < loaded.rarity.of("never seen")
    pairs_of_one = labelled_pairs(read_matching_set(linked_bench, "one"), ("test",), loaded.rarity).features
    assert not np.array_equal(loaded.judges["match"].logits(pairs_of_one), before.judges["match"].logits(pairs_of_one))
    row = np.zeros((1, len(before.judges["detection"].features)), np.float32)
    assert loaded.judges["detection"].logits(row) == before.judges["detection"].logits(row)
    assert loaded.calibration == before.calibration
