"""Fine-tuning to a user's own labels: a named model beside the default one, if it is the better of the two.

The adapter of one task (`model.adapters`) is trained further on three fifths of the labels, the task's calibrators are
fitted to a fifth, and a fifth judges it beside the model that it came from. Minutes on a processor are enough for a few
hundred labels; everything else of the new model is a copy of the old one, so its other answers are the same.
"""

from __future__ import annotations

import copy
import json
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from model.adapters import adapter_path, attach, continue_adapter, save_adapter
from model.calibration import Calibration, Calibrator
from model.checkpoint import Checkpoint, load_checkpoint
from model.config import TrainingConfig
from model.dataset import ExampleSource
from model.errors import InputError
from model.evaluation.figures import EvaluationRow, EvaluationTable, Figure, Resampling
from model.evaluation.reliability import Reliability
from model.finetuning.low_rank import SHAPES
from model.inference.batching import Progress
from model.models import check_name, find_model, new_model
from model.serialization import TupleSerializer
from model.training import Trainer

FEWEST_CALIBRATED = 60
"""Held-out questions that calibrators are fitted to; with fewer the default model's stay."""

_TRIED_STEPS = 4
_MOST_STEPS = 20_000
_NO_LOSS: dict[str, Any] = {"answer_weight": 0.0, "detection_weight": 0.0, "match_weight": 0.0}

Answers = TypeVar("Answers")


class Labels(Protocol[Answers]):
    """Labels of one task, split into those to train on, to calibrate by and to judge by."""

    @property
    def task(self) -> str:
        """The task, which is also the name of its adapter."""

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Labels to train on, to calibrate by, to judge by."""

    @property
    def loss(self) -> dict[str, Any]:
        """Settings of `TrainingConfig` under which this task's loss counts."""

    def source(self, serializer: TupleSerializer, training: TrainingConfig) -> ExampleSource:
        """Training examples of the labels to train on."""

    def calibrators(self, checkpoint: Checkpoint) -> dict[str, Calibrator]:
        """Calibrators fitted to what the checkpoint says of the labels to calibrate by; none for too few of them."""

    def answers(self, checkpoint: Checkpoint, progress: Progress | None) -> Answers:
        """What the checkpoint answers where it is judged."""

    def figures(
        self, who: str, answers: Answers, resampling: Resampling
    ) -> tuple[list[EvaluationRow], list[Reliability]]:
        """How good answers are, and their confidences."""

    def gain(self, before: Answers, after: Answers, resampling: Resampling) -> Figure:
        """How much better the second answers are; both are judged on the same resampled labels."""


@dataclass(frozen=True, slots=True)
class FinetuneOptions:
    """How to fine-tune.

    Attributes:
        steps: optimizer steps; None takes as many as fit into `minutes`.
        minutes: time for training alone, where no steps are named; how many steps fit depends on the machine.
        seed: of the split, of the examples and of dropout; with `steps` the result follows from it.
        learning_rate: peak of the schedule.
        batch_tokens: encoder tokens of a step.
        force: publish also what is no better than the default model.
        replace: put it in the place of a model of the same name.
    """

    steps: int | None = None
    minutes: float = 5.0
    seed: int = 0
    learning_rate: float = 6e-4
    batch_tokens: int = 1024
    force: bool = False
    replace: bool = False

    def __post_init__(self) -> None:
        if self.steps is not None and not 1 <= self.steps <= _MOST_STEPS:
            raise InputError(f"steps is 1 to {_MOST_STEPS}", field="steps")
        if not self.minutes > 0:
            raise InputError("minutes is more than 0", field="minutes")


@dataclass(frozen=True, slots=True)
class FinetuneReport:
    """What fine-tuning did.

    Attributes:
        path: where the new model is; None where it was no better and not published.
        table: both models on the labels that judge.
        gain: by how much the new one is better there, with the interval of the difference.
        labels: labels to train on, to calibrate by, to judge by.
        calibrated: whether the calibrators were fitted anew.
    """

    path: Path | None
    table: EvaluationTable
    gain: Figure
    labels: tuple[int, int, int]
    steps: int
    seconds: float
    calibrated: bool


def finetune(
    checkpoint: Checkpoint,
    labels: Labels[Answers],
    folder: Path,
    name: str,
    options: FinetuneOptions | None = None,
    progress: Progress | None = None,
) -> FinetuneReport:
    """Fine-tune one task to labels and publish the model as `folder/name`.

    Args:
        checkpoint: the model to begin with, in float32.

    Raises:
        InputError: the name is none or is taken, or the checkpoint was not trained for the task.
        OSError: the folder cannot be written to.
    """
    options = options or FinetuneOptions()
    check_name(name)
    if find_model(folder, name) is not None and not options.replace:
        raise InputError("there is a model of this name already", field="name")
    if not adapter_path(checkpoint, labels.task).is_file() or checkpoint.calibration is None:
        raise InputError(f"the checkpoint was not trained to {labels.task}")
    before = labels.answers(checkpoint, progress)
    with new_model(folder, name) as new:
        shutil.copytree(checkpoint.path, new.path, dirs_exist_ok=True)
        steps, seconds = _train(checkpoint, labels, new.path, options, progress)
        fitted = labels.calibrators(load_checkpoint(new.path, precision="float32"))
        Calibration.add_to(new.path / "calibration.json", fitted, of_labels=True)
        after = labels.answers(load_checkpoint(new.path, precision="float32"), progress)
        gain = labels.gain(before, after, Resampling(options.seed))
        table = _table(labels, before, after, options.seed)
        more = {"labels": labels.sizes, "steps": steps, "seed": options.seed}
        _write_card(new.path, checkpoint, name, labels.task, table, more)
        published = new.publish() if gain.value > 0 or options.force else None
    return FinetuneReport(published, table, gain, labels.sizes, steps, seconds, bool(fitted))


def _train(
    checkpoint: Checkpoint,
    labels: Labels[Answers],
    folder: Path,
    options: FinetuneOptions,
    progress: Progress | None,
) -> tuple[int, float]:
    """Train the adapter further and write it; gives steps and seconds."""
    began = time.monotonic()
    steps = options.steps
    if steps is None:
        steps, tried = 1, _trainer(checkpoint, labels, options, _TRIED_STEPS)
        try:
            tried.run()
            left = 60.0 * options.minutes - (time.monotonic() - began)
            steps = max(1, min(_MOST_STEPS, int(left * _TRIED_STEPS / max(1e-6, tried.position.seconds))))
        finally:
            shutil.rmtree(tried.folder, ignore_errors=True)
    trainer = _trainer(checkpoint, labels, options, steps)
    try:
        trainer.run(on_step=None if progress is None else lambda done: progress("train", done, steps))
    finally:
        shutil.rmtree(trainer.folder, ignore_errors=True)
    trainer.denoiser.eval()
    card = {"task": labels.task, "weights": checkpoint.sha256, "shape": asdict(SHAPES[labels.task]), "steps": steps}
    save_adapter(folder / "adapters" / f"{labels.task}.safetensors", trainer.denoiser, card)
    return steps, round(time.monotonic() - began, 1)


def _trainer(checkpoint: Checkpoint, labels: Labels[Answers], options: FinetuneOptions, steps: int) -> Trainer:
    """A run over the adapter alone, in a folder of its own that ends with it."""
    training = TrainingConfig(
        seed=options.seed,
        steps=steps,
        warmup_steps=min(20, steps // 4),
        batch_tokens=options.batch_tokens,
        learning_rate=options.learning_rate,
        weight_decay=0.0,
        episodes_per_chunk=8,
        examples_per_episode=16,
        max_tokens=min(768, options.batch_tokens),
        save_seconds=1e9,
        **_NO_LOSS | labels.loss,
    )
    torch.manual_seed(options.seed)
    denoiser = copy.deepcopy(checkpoint.denoiser).float()
    attach(denoiser, SHAPES[labels.task])
    continue_adapter(denoiser, adapter_path(checkpoint, labels.task))
    source = labels.source(checkpoint.serializer, training)
    return Trainer(denoiser, source, Path(tempfile.mkdtemp(prefix="rpt-finetune-")), torch.device("cpu"), workers=0)


def _table(labels: Labels[Answers], before: Answers, after: Answers, seed: int) -> EvaluationTable:
    rows, reliabilities = [], []
    for who, answers in (("before", before), ("after", after)):
        figures, confidences = labels.figures(who, answers, Resampling(seed))
        rows += figures
        reliabilities += confidences
    title = f"{labels.task}, {labels.sizes[-1]} held-out labels"
    notes = ("Nothing that judges was trained on or calibrated by.",)
    return EvaluationTable("finetune", title, tuple(rows), notes, tuple(reliabilities))


def _write_card(
    folder: Path, base: Checkpoint, name: str, task: str, table: EvaluationTable, more: dict[str, object]
) -> None:
    """The card of the model that it came from, with what was done to it; no text and no value of a label."""
    adapter = (folder / "adapters" / f"{task}.safetensors").read_bytes()
    digest = sha256(f"{base.sha256} {sha256(adapter).hexdigest()}".encode()).hexdigest()
    record = {
        "task": task,
        "base": {"name": base.name, "version": base.version, "sha256": base.sha256},
        "sha256": digest,
        "parameters": base.parameters,
        **more,
        "judged": table.to_json(),
    }
    card = {**base.card, "name": name, "finetuned": record}
    (folder / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
