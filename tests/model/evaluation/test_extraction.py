"""Extraction against what people marked: counting, baselines and examples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model.checkpoint import Checkpoint
from model.errors import InputError
from model.evaluation.extraction import (
    Answer,
    MarkedText,
    after_the_name,
    all_examples,
    baselines,
    evaluate_extract,
    extraction_figures,
    first_examples,
    read_marked,
)
from model.evaluation.figures import Resampling
from model.inference.pointing import ExtractionExample

TRAIN = (
    MarkedText("Acme mug red", "mugs", "color", ("red",)),
    MarkedText("Globex mug Red", "mugs", "color", ("Red",)),
    MarkedText("red wine glass", "mugs", "color", ()),
    MarkedText("Acme mug red", "mugs", "brand", ("Acme",)),
    MarkedText("mug Acme style", "mugs", "brand", ()),
    MarkedText("mug like Acme", "mugs", "brand", ()),
)
TEST = (
    MarkedText("RED cup", "mugs", "color", ("RED",)),
    MarkedText("blue cup", "mugs", "color", ("blue",)),
    MarkedText("Acme cup", "mugs", "brand", ()),
)


def write(folder: Path, part: str, marked: tuple[MarkedText, ...]) -> None:
    (folder / "extraction").mkdir(exist_ok=True)
    lines = [
        json.dumps({"text": one.text, "category": one.category, "attribute": one.attribute, "values": one.values})
        for one in marked
    ]
    (folder / "extraction" / f"ae110k_{part}.jsonl").write_text("\n".join(lines))


def test_a_wrong_value_counts_twice_and_a_value_for_nothing_once() -> None:
    answers = {(one.category, one.text, one.attribute): Answer(None) for one in TEST}
    answers["mugs", "RED cup", "color"] = Answer("RED")
    answers["mugs", "blue cup", "color"] = Answer("cup", is_exact=False)
    answers["mugs", "Acme cup", "brand"] = Answer("Acme")
    figures = {
        name: figure.value for name, figure in extraction_figures(TEST, answers, Resampling(resamples=10)).items()
    }
    assert figures["precision"] == pytest.approx(1 / 3)
    assert figures["recall"] == pytest.approx(1 / 2)
    assert figures["F1"] == pytest.approx(2 / 5)
    assert figures["offsets match"] == pytest.approx(2 / 3)


def test_the_dictionary_says_what_was_right_where_it_stood() -> None:
    rules = baselines(TRAIN)
    likeliest, sure = rules["dictionary of the training part"], rules["dictionary, right more often than not"]
    assert [likeliest(one) for one in TEST] == ["RED", None, "Acme"]
    assert [sure(one) for one in TEST] == ["RED", None, None]
    assert after_the_name(MarkedText("mug, Color: dark-red", "mugs", "color", ())) == "dark-red"
    assert after_the_name(TEST[0]) is None


def test_examples_are_of_the_training_part() -> None:
    assert first_examples(TRAIN)["mugs", "brand"] == [ExtractionExample("Acme mug red", "Acme")]
    assert len(all_examples(TRAIN)["mugs", "color"]) == 3


def test_the_table_has_the_model_and_the_baselines(checkpoint: Checkpoint, tmp_path: Path) -> None:
    write(tmp_path, "train", TRAIN)
    with pytest.raises(InputError, match="ae110k_test"):
        read_marked(tmp_path, "test")
    write(tmp_path, "test", TEST)
    (table,) = evaluate_extract(tmp_path, checkpoint, Resampling(resamples=10))
    assert [row.system for row in table.rows[:3]] == [
        "no label", "one answered text an attribute", "the training part as examples",
    ]  # fmt: skip
    assert [row.figures["offsets match"].value for row in table.rows[:3]] == [1.0] * 3
    assert table.rows[-1].figures["F1"].value == pytest.approx(2 / 3)
    assert [len(one) for one in table.reliabilities] == [3, 3, 3]
