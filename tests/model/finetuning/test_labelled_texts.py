"""How labels are collected, split and read."""

from __future__ import annotations

import random

import pytest

from model.config import TrainingConfig
from model.errors import InputError
from model.finetuning.labelled_texts import Label, LabelledTexts, asked_of, attributes_of, collect, split
from model.serialization import TupleSerializer
from tests.model.finetuning.conftest import color_labels

TRAINING = TrainingConfig(
    steps=2, warmup_steps=0, max_tokens=256, batch_tokens=512, examples_per_episode=8, answer_weight=0.0,
    detection_weight=0.0, match_weight=0.0,
)  # fmt: skip


def test_labels_are_collected_by_text() -> None:
    labels = [
        Label("a red mug", "size", None),
        Label("a red mug", "color", "red"),
        Label("a red mug", "color", "red", "g"),
    ]
    texts = collect(labels)
    assert [(one.group, one.text, one.answers) for one in texts] == [
        ("", "a red mug", {"size": None, "color": "red"}),
        ("g", "a red mug", {"color": "red"}),
    ]
    assert attributes_of(texts, "") == ["color", "size"] and attributes_of(texts, "g") == ["color"]
    (color,) = asked_of(["color"], texts[:1])
    assert [(one.text, one.value) for one in color.examples] == [("a red mug", "red")]


@pytest.mark.parametrize(
    ("labels", "place"),
    [
        ([Label("a mug", "color", "red")], 0),
        ([Label(" ", "color", None)], 0),
        ([Label("a", "", None)], 0),
        ([Label("a red mug", "color", "red"), Label("a red mug", "color", None)], 1),
    ],
)
def test_a_label_that_does_not_fit_is_named(labels: list[Label], place: int) -> None:
    with pytest.raises(InputError) as caught:
        collect(labels)
    assert caught.value.tuple_id == place and "mug" not in str(caught.value)


def test_no_text_is_on_two_sides_and_the_order_changes_nothing() -> None:
    labels = color_labels()
    parts = split(collect(labels), 0)
    assert parts == split(collect(labels[::-1]), 0) != split(collect(labels), 1)
    sides = [{one.text for one in part} for part in (parts.training, parts.calibration, parts.judging)]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 90
    assert len(sides[0]) > 40 and min(map(len, sides)) > 8
    with pytest.raises(InputError, match="too few"):
        split(collect(labels[:2]), 0)


def test_an_example_points_at_its_answers(serializer: TupleSerializer) -> None:
    texts = collect(color_labels(12))
    source = LabelledTexts(texts, serializer, TRAINING)
    examples = source.examples(random.Random(1))
    again = source.examples(random.Random(1))
    assert len(examples) == 8
    assert [one.spans for one in examples] == [one.spans for one in again]
    spans = [span for one in examples for span in one.spans]
    answered = [span for span in spans if span.start != span.question]
    assert answered and len(answered) < len(spans)
    colors = {serializer.tokenizer.decode(one.encoder_input.ids[span.start : span.end + 1].tolist()).strip()
              for one in examples for span in one.spans if span.start != span.question}  # fmt: skip
    assert colors <= {"red", "blue", "green", "black", "white"}
