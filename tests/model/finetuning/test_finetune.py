"""A fine-tuned model answers its task otherwise and all else alike, and one that is no better is not published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from model.checkpoint import Checkpoint, load_checkpoint
from model.errors import InputError
from model.evaluation.figures import Figure
from model.finetuning import finetune_extraction
from model.finetuning.finetune import FinetuneOptions, FinetuneReport, finetune
from model.finetuning.finetune_extraction import ExtractionLabels
from model.inference.batching import run_task
from model.inference.cleaning import clean
from model.inference.extraction import extract
from model.inference.pointing import AskedAttribute
from model.models import model_names
from model.tuples import Relation
from tests.model.finetuning.conftest import color_labels

OPTIONS = FinetuneOptions(steps=30, learning_rate=1e-2, force=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, trainable: Checkpoint) -> tuple[Path, FinetuneReport]:
    folder = tmp_path_factory.mktemp("models")
    return folder, finetune(trainable, ExtractionLabels(color_labels()), folder, "colors", OPTIONS)


def test_the_task_is_answered_otherwise_and_the_rest_alike(
    made: tuple[Path, FinetuneReport], trainable: Checkpoint, people: Relation
) -> None:
    folder, report = made
    assert report.path == folder / "colors"
    tuned = load_checkpoint(report.path, precision="float32")
    asked = [AskedAttribute("color"), AskedAttribute("size")]
    texts = ["200 red lamp", "201 plain mug", "202 blue shoe"]
    before = run_task(trainable, extract(trainable, texts, asked)).extractions
    after = run_task(tuned, extract(tuned, texts, asked)).extractions
    assert [(one.outcome, one.value, one.confidence) for one in before] != [
        (one.outcome, one.value, one.confidence) for one in after
    ]
    assert tuned.sha256 == trainable.sha256
    assert run_task(tuned, clean(tuned, people)).repairs == run_task(trainable, clean(trainable, people)).repairs


def test_it_learns_what_the_labels_say(made: tuple[Path, FinetuneReport]) -> None:
    _, report = made
    figures: Mapping[str, float] = {row.system: row.figures["F1"].value for row in report.table.rows}
    assert figures["after, no example"] > figures["before, no example"]
    assert report.gain.value == pytest.approx(figures["after, no example"] - figures["before, no example"])
    assert report.gain.low is not None and report.gain.low < report.gain.value
    assert sum(report.labels) == 180 and report.steps == 30


def test_calibrators_of_labels_are_told_from_others(
    tmp_path: Path, trainable: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert trainable.calibration is not None
    fitted = {"extraction": trainable.calibration["extraction"]}
    monkeypatch.setattr(ExtractionLabels, "calibrators", lambda *_: fitted)
    report = finetune(trainable, ExtractionLabels(color_labels(30)), tmp_path, "own", replace(OPTIONS, steps=1))
    assert report.calibrated and report.path is not None
    calibration = load_checkpoint(report.path).calibration
    assert calibration is not None and calibration.of_labels == {"extraction"}


def test_the_card_tells_what_was_done_and_no_text(made: tuple[Path, FinetuneReport], trainable: Checkpoint) -> None:
    folder, report = made
    text = (folder / "colors" / "card.json").read_text(encoding="utf-8")
    card = json.loads(text)
    assert card["name"] == "colors"
    assert card["finetuned"]["base"] == {"name": "tiny", "version": "1.2.3", "sha256": trainable.sha256}
    assert card["finetuned"]["labels"] == list(report.labels) and len(card["finetuned"]["sha256"]) == 64
    assert "lamp" not in text and "plain" not in text
    assert not [path for path in folder.rglob("*") if path.suffix in (".pt", ".pkl", ".bin")]


def test_the_same_seed_and_steps_make_the_same_model(tmp_path: Path, trainable: Checkpoint) -> None:
    options = replace(OPTIONS, steps=3)
    files = []
    for name in ("one", "two"):
        finetune(trainable, ExtractionLabels(color_labels(40)), tmp_path, name, options)
        files.append((tmp_path / name / "adapters" / "extract.safetensors").read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize("gain", [-0.01, 0.0])
def test_a_model_that_is_no_better_is_not_published(
    tmp_path: Path, trainable: Checkpoint, monkeypatch: pytest.MonkeyPatch, gain: float
) -> None:
    monkeypatch.setattr(finetune_extraction, "_gain", lambda *_: Figure(gain, -0.1, 0.1))
    report = finetune(
        trainable, ExtractionLabels(color_labels(40)), tmp_path, "worse", replace(OPTIONS, steps=1, force=False)
    )
    assert report.path is None and model_names(tmp_path) == [] and list(tmp_path.iterdir()) == []


def test_few_held_out_labels_leave_the_calibrators(tmp_path: Path, trainable: Checkpoint) -> None:
    report = finetune(trainable, ExtractionLabels(color_labels(30)), tmp_path, "few", replace(OPTIONS, steps=1))
    assert not report.calibrated and report.path is not None
    kept = load_checkpoint(report.path).calibration
    assert kept is not None and trainable.calibration is not None
    assert kept.calibrators == trainable.calibration.calibrators and not kept.of_labels


def test_a_name_that_is_taken_is_refused_before_anything_is_trained(
    made: tuple[Path, FinetuneReport], trainable: Checkpoint
) -> None:
    folder, _ = made
    with pytest.raises(InputError, match="already"):
        finetune(trainable, ExtractionLabels(color_labels(30)), folder, "colors", OPTIONS)
    with pytest.raises(InputError, match="1 to 64"):
        finetune(trainable, ExtractionLabels(color_labels(30)), folder, "default", OPTIONS)
    for wrong in ({"steps": 0}, {"minutes": 0.0}):
        with pytest.raises(InputError):
            FinetuneOptions(**wrong)
