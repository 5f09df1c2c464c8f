"""Made-up texts: answers stand where they are said to stand, and what has no answer is said to have none."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from model.config import TrainingConfig
from model.corpus import CorpusTable
from model.dataset import TrainingExample, make_chunk
from model.finetuning.extraction_examples import ExtractionFactory
from model.serialization import TupleSerializer
from model.tokenizer import SpecialToken, TupleTokenizer
from model.tuples import Relation

TRAINING = TrainingConfig(max_tokens=512, batch_tokens=2048, episodes_per_chunk=2)


@pytest.fixture(scope="module")
def factory(tables: Sequence[CorpusTable], serializer: TupleSerializer) -> ExtractionFactory:
    """Over the small tables."""
    return ExtractionFactory(tables, serializer, TRAINING)


def answers(example: TrainingExample, tokenizer: TupleTokenizer) -> dict[str, str | None]:
    """Question to answer, as text."""
    ids = example.encoder_input.ids.tolist()
    told: dict[str, str | None] = {}
    for span in example.spans:
        begin = max(place for place in range(span.question) if ids[place] == SpecialToken.ATTRIBUTE)
        name = tokenizer.decode(ids[begin : span.question])
        told[name] = None if span.start == span.question else _text(ids[span.start : span.end + 1], tokenizer).strip()
    return told


def _text(ids: Sequence[int], tokenizer: TupleTokenizer) -> str:
    """The text of some tokens, without the name of a piece between them."""
    kept: list[int] = []
    in_name = False
    for token in ids:
        in_name = token == SpecialToken.ATTRIBUTE or (in_name and token != SpecialToken.VALUE)
        kept += [] if in_name else [token]
    return tokenizer.decode(kept)


def test_answers_that_stand_in_another_text_are_found(serializer: TupleSerializer, tokenizer: TupleTokenizer) -> None:
    names = ["Anna", "Bob", "Chloé", "Dmitri", "Eve", "Farid", "Grace", "Anna"]
    cities = ["Denver", "Chicago", "New York", "Birmingham", "San Francisco", "Denver", "Chicago", "New York"]
    rows = [[f"{name} was born in {city}", city, "10001"] for name, city in zip(names, cities, strict=True)]
    table = CorpusTable("a/b:c", "people", "MIT", Relation.of(("story", "city", "zip"), rows))
    factory = ExtractionFactory([table], serializer, TRAINING)
    told = []
    for number in range(60):
        for example in factory.examples(random.Random(number)):
            text = tokenizer.decode(example.encoder_input.ids[: example.spans[0].question].tolist())
            if "was born in" in text:
                told.append((text, {name.lower(): value for name, value in answers(example, tokenizer).items()}))
    found = [city for city in (one.get("city") for _, one in told) if city]
    assert len(found) > 50
    assert {value.lower() for value in found} == {city.lower() for city in cities}
    untold = [one["zip"] for text, one in told if "zip" in one and "10001" not in text]
    assert len(untold) > 20
    assert set(untold) == {None}


def test_many_questions_have_no_answer_and_half_of_the_examples_show_some(factory: ExtractionFactory) -> None:
    made = [example for number in range(40) for example in factory.examples(random.Random(number))]
    spans = [span for example in made for span in example.spans]
    absent = sum(span.start == span.question for span in spans) / len(spans)
    assert 0.3 < absent < 0.65
    shown = [len(example.encoder_input.context_index) for example in made]
    assert 0.3 < sum(count == 0 for count in shown) / len(made) < 0.6
    assert set(shown) == {0, 1, 2, 3}
    assert max(len(example.encoder_input) for example in made) <= TRAINING.max_tokens
    assert max(len(example.spans) for example in made) > 3


def test_spans_point_at_tokens_of_the_text_and_at_questions(factory: ExtractionFactory) -> None:
    for number in range(40):
        for example in factory.examples(random.Random(number)):
            ids = example.encoder_input.ids
            for span in example.spans:
                assert ids[span.question] == SpecialToken.VALUE
                assert ids[span.question + 1] == SpecialToken.MASK
                assert span.start <= span.end <= span.question
                assert span.end < example.spans[0].question or span.start == span.end == span.question


def test_examples_follow_from_the_seed(factory: ExtractionFactory) -> None:
    one, other = (factory.examples(random.Random(5)) for _ in range(2))
    assert [a.spans for a in one] == [b.spans for b in other]
    assert all((a.encoder_input.ids == b.encoder_input.ids).all() for a, b in zip(one, other, strict=True))
    different = factory.examples(random.Random(6))
    assert [a.encoder_input.ids.tolist() for a in one] != [b.encoder_input.ids.tolist() for b in different]


def test_a_chunk_of_examples_trains_spans_alone(factory: ExtractionFactory) -> None:
    batches = make_chunk(factory, 3)
    assert sum(len(batch.span_question) for batch in batches) > 50
    assert sum(len(batch.target_id) + len(batch.cell_index) for batch in batches) == 0
