"""A set is judged pair by pair without its own labels; fifty of them are chosen, not taken in order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.corpus import CorpusTable
from model.evaluation import pair_matching
from model.evaluation.figures import Resampling
from model.evaluation.matching_sets import read_matching_set
from model.evaluation.pair_matching import chosen_examples, measure_pairs
from model.finetuning.pairs import LEARNED_PARTS, count_words, fit_pairs, labelled_pairs
from model.inference.pairs import AlignedRelations, PairJudge
from tests.model.conftest import LINKED


@pytest.fixture(scope="module")
def judge(linked_bench: Path, tables: list[CorpusTable]) -> PairJudge:
    rarity = count_words(tables)
    learned = [labelled_pairs(read_matching_set(linked_bench, name), ("train", "valid"), rarity) for name in LINKED]
    return PairJudge(rarity, fit_pairs(learned, "one"))


def test_a_table_has_the_judge_its_examples_and_the_baseline(linked_bench: Path, judge: PairJudge) -> None:
    matching = read_matching_set(linked_bench, "one")
    own = labelled_pairs(matching, LEARNED_PARTS, judge.rarity)
    table = measure_pairs(matching, own, judge, Resampling(50))
    figures = {row.system: row.figures for row in table.rows}
    assert list(figures) == [
        "trees of the other sets",
        "the same with 50 labelled pairs",
        "character TF-IDF, threshold by all own labels",
    ]
    assert figures["trees of the other sets"]["F1"].value > 0.9
    assert figures["the same with 50 labelled pairs"]["F1"].value > 0.9
    assert "60 test pairs" in table.title


def test_half_of_the_examples_are_the_most_doubtful(
    linked_bench: Path, judge: PairJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_matching, "LABELS", 10)
    matching = read_matching_set(linked_bench, "one")
    aligned = AlignedRelations.of(*matching.relations)
    own = labelled_pairs(matching, LEARNED_PARTS, judge.rarity)
    examples = chosen_examples(matching, aligned, own, judge)
    assert 8 <= len(examples) <= 10
    left, right = aligned.rows
    train = matching.parts["train"]
    answers = {(left[one], right[other]): bool(label) for one, other, label in train}
    assert all(answers[example.left, example.right] is example.is_match for example in examples)
    doubt = np.abs(judge.probabilities(labelled_pairs(matching, ("train",), judge.rarity).features) - 0.5)
    surest = np.argsort(doubt)[:3].tolist()
    chosen = {(example.left, example.right) for example in examples}
    assert {(left[train[place][0]], right[train[place][1]]) for place in surest} <= chosen
