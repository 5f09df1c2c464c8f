"""Labels of transformation: how they are split and shown, and that fine-tuning changes this task's answers alone."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from model.checkpoint import Checkpoint, load_checkpoint
from model.config import TrainingConfig
from model.errors import InputError
from model.evaluation.figures import Figure, Resampling
from model.evaluation.transformation import Output
from model.finetuning import finetune_transformation
from model.finetuning.finetune import FinetuneOptions, finetune
from model.finetuning.finetune_transformation import EXAMPLES, LabelledPairs, PairLabel, TransformLabels
from model.inference.batching import run_task
from model.inference.cleaning import clean
from model.inference.extraction import extract
from model.inference.pointing import AskedAttribute
from model.inference.transformation import FEATURES, TransformExample, transform
from model.models import model_names
from model.serialization import TupleSerializer
from model.tokenizer import SpecialToken
from model.tuples import CleaningOptions, Relation

COLORS = ("Birmingham", "Chicago", "Denver", "Anna", "Bob", "Eve", "Grace", "Weber", "Khan", "Adams", "phone", "state")
LABELS = [PairLabel(f"{word} {number}", f"{number}-{COLORS[(place * 5 + 3) % 12]}", group)
          for group in ("one", "two") for place, word in enumerate(COLORS) for number in range(3)]  # fmt: skip
FEW = [PairLabel(f"{word} {number}", str(number)) for word in COLORS[:6] for number in range(4)]
FAST = FinetuneOptions(steps=3, learning_rate=5e-2, batch_tokens=256)


def test_every_label_is_in_one_part_and_what_judges_is_asked_with_trained_pairs() -> None:
    labels = TransformLabels([*LABELS, LABELS[0]])
    assert sum(labels.sizes) == len(LABELS) and min(labels.sizes) > 0
    trained = set(labels._training)
    for case in (*labels._calibration, *labels._judging):
        assert len(case.examples) == EXAMPLES
        assert {PairLabel(one.input, one.output, case.name) for one in case.examples} <= trained
        assert not {PairLabel(one.input, one.output, case.name) for one in case.tests} & trained
    assert TransformLabels(LABELS[::-1]).sizes == labels.sizes
    assert set(TransformLabels(LABELS, seed=1)._training) != trained


@pytest.mark.parametrize(
    ("labels", "message", "number"),
    [
        ([PairLabel("a", "b"), PairLabel("a", "c")], "different outputs", 1),
        ([PairLabel("", "b")], "an input and an output", 0),
        ([PairLabel("a", "b"), PairLabel("c", "")], "an input and an output", 1),
        ([PairLabel("a" * 501, "b")], "more than 500 characters", 0),
        ([PairLabel("a", "b")], "too few labels", None),
        ([], "too few labels", None),
    ],
)
def test_labels_that_teach_nothing_are_refused(labels: list[PairLabel], message: str, number: int | None) -> None:
    with pytest.raises(InputError, match=message) as caught:
        TransformLabels(labels)
    assert caught.value.tuple_id == number


def test_groups_may_answer_one_input_differently() -> None:
    labels = [*LABELS, *(PairLabel(one.input, "x", "three") for one in LABELS[:30])]
    assert sum(TransformLabels(labels).sizes) == len(LABELS) + 30


def test_training_examples_ask_for_the_output_behind_pairs_of_the_same_group(serializer: TupleSerializer) -> None:
    source = LabelledPairs(LABELS, serializer, TrainingConfig(max_tokens=200, examples_per_episode=8))
    tokenizer = serializer.tokenizer
    outputs = {one.output for one in LABELS}
    made = [example for seed in range(5) for example in source.examples(random.Random(seed))]
    assert len(made) > 20
    for example in made:
        (query,) = example.queries
        assert query.task == "transform" and query.answer[-1] == SpecialToken.END
        assert tokenizer.decode(query.answer[:-1]) in outputs
        assert len(example.encoder_input) <= 200
    again = source.examples(random.Random(0))
    assert [one.queries for one in again] == [one.queries for one in source.examples(random.Random(0))]


def test_the_gain_is_the_rise_of_right_answers_that_are_given() -> None:
    labels = TransformLabels(LABELS)
    tests = labels._tests()
    right = [Output(case.tests[0].output, 0.9) for case in tests]
    unsure = [Output(one.value, 0.2) for one in right]
    resampling = Resampling(0)
    assert labels.gain(unsure, right, resampling).value == 1.0
    assert labels.gain(right, unsure, resampling).value == -1.0
    half = [*right[: len(right) // 2], *unsure[len(right) // 2 :]]
    figure = labels.gain(unsure, half, resampling)
    assert figure.value == pytest.approx((len(right) // 2) / len(right), abs=5e-4)
    rows, _ = labels.figures("before", half, resampling)
    assert [row.system for row in rows] == ["before", "before, never abstaining"]
    assert rows[0].figures["outputs"].value == figure.value and rows[1].figures["outputs"].value == 1.0


def test_calibrators_are_fitted_to_held_out_labels_where_there_are_enough(
    trainable: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = TransformLabels(FEW)
    assert labels.calibrators(trainable) == {}
    monkeypatch.setattr(finetune_transformation, "FEWEST_CALIBRATED", labels.sizes[1])
    fitted = labels.calibrators(trainable)
    assert set(fitted) == {"transform"} and fitted["transform"].features == FEATURES


def test_fine_tuning_changes_this_tasks_answers_and_no_others(
    trainable: Checkpoint, people: Relation, tmp_path: Path
) -> None:
    report = finetune(trainable, TransformLabels(FEW), tmp_path, "mine", FinetuneOptions(
        steps=3, learning_rate=5e-2, batch_tokens=256, force=True))  # fmt: skip
    assert report.path == tmp_path / "mine" and report.steps == 3 and not report.calibrated
    tuned = load_checkpoint(report.path, precision="float32")
    shown = [TransformExample("Anna 1", "1-Bob")]

    def transformed(checkpoint: Checkpoint) -> object:
        return run_task(checkpoint, transform(checkpoint, shown, ["Eve 2", "Weber 0"])).transformations

    assert transformed(tuned) != transformed(trainable)
    cleaned = [run_task(one, clean(one, people, CleaningOptions())).repairs for one in (trainable, tuned)]
    assert cleaned[0] == cleaned[1] and cleaned[0]
    asked = [AskedAttribute("name", None, ())]
    told = [run_task(one, extract(one, ["Anna Weber"], asked)).extractions for one in (trainable, tuned)]
    assert told[0] == told[1]
    changed = {
        path.relative_to(trainable.path).as_posix()
        for path in trainable.path.rglob("*")
        if path.is_file() and path.read_bytes() != (report.path / path.relative_to(trainable.path)).read_bytes()
    }
    assert changed == {"adapters/transform.safetensors", "card.json"}


def test_the_same_seed_and_steps_make_the_same_model(trainable: Checkpoint, tmp_path: Path) -> None:
    options = FinetuneOptions(steps=2, batch_tokens=256, force=True)
    paths = [finetune(trainable, TransformLabels(FEW), tmp_path, name, options).path for name in ("a", "b")]
    adapters = [(path / "adapters" / "transform.safetensors").read_bytes() for path in paths if path is not None]
    assert len(adapters) == 2 and adapters[0] == adapters[1]


class Worse(TransformLabels):
    """Labels by which every new model is worse."""

    def gain(self, *_: object) -> Figure:
        """A loss."""
        return Figure(-0.1, -0.2, 0.0)


def test_a_worse_model_is_published_by_force_alone(trainable: Checkpoint, tmp_path: Path) -> None:
    few = FinetuneOptions(steps=1, batch_tokens=256)
    report = finetune(trainable, Worse(FEW), tmp_path, "mine", few)
    assert report.path is None and list(tmp_path.iterdir()) == []
    forced = finetune(trainable, Worse(FEW), tmp_path, "mine", FinetuneOptions(steps=1, batch_tokens=256, force=True))
    assert forced.path is not None and model_names(tmp_path) == ["mine"]


def test_a_name_that_is_taken_or_is_none_is_refused_before_anything_is_done(
    trainable: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="a model's name"):
        finetune(trainable, TransformLabels(FEW), tmp_path, "default", FAST)
    finetune(trainable, TransformLabels(FEW), tmp_path, "mine", FinetuneOptions(steps=1, batch_tokens=256, force=True))
    with pytest.raises(InputError, match="of this name already"):
        finetune(trainable, TransformLabels(FEW), tmp_path, "mine", FAST)


def test_a_checkpoint_that_does_not_transform_cannot_be_fine_tuned(bare_checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="was not trained to transform"):
        finetune(bare_checkpoint, TransformLabels(FEW), tmp_path, "mine", FAST)


def test_the_card_tells_what_was_done_and_no_text_of_a_label(trainable: Checkpoint, tmp_path: Path) -> None:
    secret = [PairLabel(f"xq{one.input}", f"xq{one.output}", one.group) for one in FEW]
    path = finetune(trainable, TransformLabels(secret), tmp_path, "mine", FinetuneOptions(
        steps=1, batch_tokens=256, force=True)).path  # fmt: skip
    assert path is not None
    text = (path / "card.json").read_text(encoding="utf-8")
    card = json.loads(text)
    assert card["name"] == "mine" and card["finetuned"]["task"] == "transform"
    assert card["finetuned"]["base"]["sha256"] == trainable.sha256 and card["finetuned"]["steps"] == 1
    assert "xq" not in text
    assert b"xq" not in (path / "adapters" / "transform.safetensors").read_bytes()
