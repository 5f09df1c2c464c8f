"""Examples of pairs carry the labels of their records, alone or among rivals, from sets and from windows."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from model.config import TrainingConfig
from model.corpus import CorpusTable
from model.evaluation.matching_sets import read_matching_set
from model.finetuning.matching_examples import MatchFactory
from model.serialization import TupleSerializer
from model.tokenizer import SpecialToken
from tests.model.conftest import LINKED

TRAINING = TrainingConfig(batch_tokens=512, max_tokens=400, examples_per_episode=16, context_size=4)


def test_an_example_has_a_label_for_each_record_behind_its_target(
    linked_bench: Path, tables: list[CorpusTable], serializer: TupleSerializer
) -> None:
    sets = [read_matching_set(linked_bench, name) for name in LINKED]
    factory = MatchFactory(tables, sets, serializer, TRAINING)
    made = [example for seed in range(30) for example in factory.examples(random.Random(seed))]
    for example in made:
        assert example.encoder_input.ids[example.tuples].tolist() == [SpecialToken.TUPLE] * len(example.same)
        assert 1 <= len(example.same) == len(set(example.encoder_input.roles.tolist())) - 1
        assert len(example.encoder_input) <= TRAINING.max_tokens
    alone = np.mean([len(example.same) == 1 for example in made])
    assert 0.4 < alone < 0.95
    assert 0.05 < np.concatenate([example.same for example in made]).mean() < 0.9


@pytest.mark.parametrize("has_tables", [True, False])
def test_one_source_alone_is_enough_and_the_same_numbers_make_the_same_examples(
    linked_bench: Path, tables: list[CorpusTable], serializer: TupleSerializer, has_tables: bool
) -> None:
    sets = [] if has_tables else [read_matching_set(linked_bench, "one")]
    factory = MatchFactory(tables if has_tables else [], sets, serializer, TRAINING)
    one, again = (factory.examples(random.Random(3)) for _ in range(2))
    assert len(one) > 3
    assert all(np.array_equal(a.encoder_input.ids, b.encoder_input.ids) for a, b in zip(one, again, strict=True))
    assert all(np.array_equal(a.same, b.same) for a, b in zip(one, again, strict=True))


def test_nothing_to_learn_from_is_an_error(serializer: TupleSerializer) -> None:
    with pytest.raises(ValueError, match="neither was given"):
        MatchFactory([], [], serializer, TRAINING)
