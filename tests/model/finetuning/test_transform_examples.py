"""Transformations that are made up are true: the output follows from the input, the same for the same numbers."""

from __future__ import annotations

import datetime
import random
import re

import numpy as np
import pytest

from model.config import TrainingConfig
from model.corpus import CorpusTable
from model.finetuning.transform_examples import INVENTED, SIMPLE, TransformFactory
from model.serialization import TupleSerializer
from model.tokenizer import SpecialToken

TRAINING = TrainingConfig(batch_tokens=512, max_tokens=256, examples_per_episode=8)
NAMES = [program.__name__ for program in SIMPLE]


@pytest.fixture
def factory(tables: list[CorpusTable], serializer: TupleSerializer) -> TransformFactory:
    return TransformFactory(tables, serializer, TRAINING)


def test_the_output_is_asked_for_and_hidden(factory: TransformFactory) -> None:
    tokenizer = factory.serializer.tokenizer
    made = [example for seed in range(20) for example in factory.examples(random.Random(seed))]
    assert len(made) > 60
    for example in made:
        one, (query,) = example.encoder_input, example.queries
        assert query.task == "transform" and query.answer[-1] == SpecialToken.END
        assert tokenizer.decode(query.answer[:-1])
        hidden = one.positions > factory.serializer.config.value_position
        own = (one.columns == query.column_id) & (one.roles == 1) & hidden
        assert one.ids[own].tolist() == [SpecialToken.MASK]
        assert len(set(one.roles.tolist())) > 1  # at least one example stands behind
        assert len(one) <= TRAINING.max_tokens


def test_the_same_numbers_make_the_same_examples(factory: TransformFactory) -> None:
    one, other, third = (factory.examples(random.Random(seed)) for seed in (4, 4, 5))
    assert [example.queries for example in one] == [example.queries for example in other]
    assert all(np.array_equal(a.encoder_input.ids, b.encoder_input.ids) for a, b in zip(one, other, strict=True))
    assert [example.queries for example in one] != [example.queries for example in third]


def test_pairs_of_one_program_are_distinct_and_not_all_alike(factory: TransformFactory) -> None:
    found = [pairs for seed in range(60) if (pairs := factory.pairs(random.Random(seed))) is not None]
    assert len(found) > 30
    for pairs in found:
        assert len(pairs) >= 3 and len(dict(pairs)) == len(pairs)
        assert all(source and output for source, output in pairs)
        assert len({output for _, output in pairs}) > 1 or len(pairs) > 6


@pytest.mark.parametrize("maker", INVENTED, ids=lambda maker: maker.__name__)
def test_invented_inputs_have_outputs(maker: object) -> None:
    for seed in range(20):
        inputs, program = maker(random.Random(seed))  # type: ignore[operator]
        assert len(inputs) > 2
        assert all(program(text) for text in inputs)


def test_dates_keep_their_day() -> None:
    (dates,) = {maker for maker in INVENTED if maker.__name__ == "_dates"}
    checked = 0
    for seed in range(400):
        inputs, program = dates(random.Random(seed))
        for text in inputs:
            output = program(text)
            if output and re.fullmatch(r"\d{4}-\d\d-\d\d", text) and re.fullmatch(r"\d\d/\d\d/\d{4}", output):
                day = datetime.date.fromisoformat(text)
                assert output in (day.strftime("%d/%m/%Y"), day.strftime("%m/%d/%Y"))
                checked += 1
    assert checked > 10


@pytest.mark.parametrize(
    ("name", "text", "possible"),
    [
        ("_initials", "international business machines", {"IBM", "ibm", "I.B.M.", "i.b.m.", "I. B. M.", "i. b. m."}),
        ("_in_brackets", "Boston (MA)", {"MA", None}),
        ("_exchanged", "a-b", {"a b", "a_b", "a/b", "a.b", "a, b", "ab", None}),
        ("_number_forms", "0042", {"00042", "000042", "0000042", "00000042", "42", "0042%", "$42.00", None}),
        ("_case", "aB", {"AB", "ab", "Ab"}),
    ],
)
def test_programs_do_what_they_are_called(name: str, text: str, possible: set[str | None]) -> None:
    maker = SIMPLE[NAMES.index(name)]
    found = {maker(random.Random(seed))(text) for seed in range(200)}
    assert found <= possible
    assert len(found) > 1
