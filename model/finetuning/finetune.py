"""Fine-tuning to a user's own labels: a named model beside the default one, if it is the better of the two.

The adapter of extraction (`model.adapters`) is trained further on three fifths of the labelled texts, its calibrators
are fitted to a fifth, and a fifth judges it beside the model that it came from. Minutes on a processor are enough for a
few hundred labels; everything else of the new model is a copy of the old one.
"""

from __future__ import annotations

import copy
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

from model.adapters import adapter_path, attach, continue_adapter, save_adapter
from model.calibration import Calibration, Calibrator, fit_calibrator
from model.checkpoint import Checkpoint, load_checkpoint
from model.config import TrainingConfig
from model.errors import InputError
from model.evaluation.extraction import Examples, MarkedText, Predicted, extracted, extraction_figures
from model.evaluation.extraction import extraction_reliability as reliability_of
from model.evaluation.figures import Counts, EvaluationRow, EvaluationTable, Figure, Resampling, f1
from model.finetuning.labelled_texts import (
    Label,
    LabelledText,
    LabelledTexts,
    LabelSplit,
    asked_of,
    attributes_of,
    collect,
    split,
)
from model.finetuning.low_rank import SHAPES
from model.inference.answers import FEATURES, NO_ANSWER_FEATURES, Judged
from model.inference.batching import Progress, run_task
from model.inference.extraction import ADAPTER, CALIBRATOR, NO_ANSWER_CALIBRATOR, extractor, observe
from model.inference.pointing import ExtractionExample
from model.models import check_name, find_model, new_model
from model.training import Trainer

FEWEST_CALIBRATED = 60
"""Held-out questions that calibrators are fitted to; with fewer the default model's stay."""

_TRIED_STEPS = 4
_MOST_STEPS = 20_000
_WITHOUT, _WITH = "no example", "the labels trained on as examples"


@dataclass(frozen=True, slots=True)
class FinetuneOptions:
    """How to fine-tune.

    Attributes:
        steps: optimizer steps; None takes as many as fit into `minutes`.
        minutes: time for training alone, where no steps are named; how many steps fit depends on the machine.
        seed: of the split, of the examples and of dropout; with `steps` the result follows from it.
        learning_rate: peak of the schedule.
        batch_tokens: encoder tokens of a step.
        force: publish also what is worse than the default model.
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
        path: where the new model is; None where it was worse and not published.
        table: both models on the texts that judge, asked without and with examples.
        gain: F1 after less F1 before, without examples, with the interval of the difference.
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
    labels: Sequence[Label],
    folder: Path,
    name: str,
    options: FinetuneOptions | None = None,
    progress: Progress | None = None,
) -> FinetuneReport:
    """Fine-tune extraction to labels and publish the model as `folder/name`.

    Args:
        checkpoint: the model to begin with, in float32.

    Raises:
        InputError: the name is none or is taken, the labels contradict each other or are too few, or the checkpoint was
            not trained to extract.
        OSError: the folder cannot be written to.
    """
    options = options or FinetuneOptions()
    check_name(name)
    if find_model(folder, name) is not None and not options.replace:
        raise InputError("there is a model of this name already", field="name")
    parts = split(collect(labels), options.seed)
    if not adapter_path(checkpoint, ADAPTER).is_file() or checkpoint.calibration is None:
        raise InputError("the checkpoint was not trained to extract")
    before = _judge(checkpoint, parts, options.seed, progress)
    with new_model(folder, name) as new:
        shutil.copytree(checkpoint.path, new.path, dirs_exist_ok=True)
        steps, seconds = _train(checkpoint, parts.training, new.path, options, progress)
        trained = load_checkpoint(new.path, precision="float32")
        fitted = _calibrators(trained, parts)
        Calibration.add_to(new.path / "calibration.json", fitted)
        after = _judge(load_checkpoint(new.path, precision="float32"), parts, options.seed, progress)
        gain = _gain(parts.judging, before[_WITHOUT], after[_WITHOUT], options.seed)
        table = _table(parts, before, after, options.seed)
        counts = (_size(parts.training), _size(parts.calibration), _size(parts.judging))
        _write_card(new.path, checkpoint, name, table, {"labels": counts, "steps": steps, "seed": options.seed})
        published = new.publish() if gain.value >= 0 or options.force else None
    return FinetuneReport(published, table, gain, counts, steps, seconds, bool(fitted))


def _train(
    checkpoint: Checkpoint,
    texts: Sequence[LabelledText],
    folder: Path,
    options: FinetuneOptions,
    progress: Progress | None,
) -> tuple[int, float]:
    """Train the adapter further and write it; gives steps and seconds."""
    began = time.monotonic()
    steps = options.steps
    if steps is None:
        steps, tried = 1, _trainer(checkpoint, texts, options, _TRIED_STEPS)
        try:
            tried.run()
            left = 60.0 * options.minutes - (time.monotonic() - began)
            steps = max(1, min(_MOST_STEPS, int(left * _TRIED_STEPS / max(1e-6, tried.position.seconds))))
        finally:
            shutil.rmtree(tried.folder, ignore_errors=True)
    trainer = _trainer(checkpoint, texts, options, steps)
    try:
        trainer.run(on_step=None if progress is None else lambda done: progress("train", done, steps))
    finally:
        shutil.rmtree(trainer.folder, ignore_errors=True)
    trainer.denoiser.eval()
    card = {"task": ADAPTER, "weights": checkpoint.sha256, "shape": asdict(SHAPES[ADAPTER]), "steps": steps}
    save_adapter(folder / "adapters" / f"{ADAPTER}.safetensors", trainer.denoiser, card)
    return steps, round(time.monotonic() - began, 1)


def _trainer(checkpoint: Checkpoint, texts: Sequence[LabelledText], options: FinetuneOptions, steps: int) -> Trainer:
    """A run over the adapter alone, in a folder of its own that ends with it."""
    training = TrainingConfig(
        seed=options.seed,
        steps=steps,
        warmup_steps=min(20, steps // 4),
        batch_tokens=options.batch_tokens,
        learning_rate=options.learning_rate,
        weight_decay=0.0,
        answer_weight=0.0,
        detection_weight=0.0,
        match_weight=0.0,
        episodes_per_chunk=8,
        examples_per_episode=16,
        max_tokens=min(768, options.batch_tokens),
        save_seconds=1e9,
    )
    torch.manual_seed(options.seed)
    denoiser = copy.deepcopy(checkpoint.denoiser).float()
    attach(denoiser, SHAPES[ADAPTER])
    continue_adapter(denoiser, adapter_path(checkpoint, ADAPTER))
    source = LabelledTexts(texts, checkpoint.serializer, training)
    return Trainer(denoiser, source, Path(tempfile.mkdtemp(prefix="rpt-finetune-")), torch.device("cpu"), workers=0)


def _calibrators(checkpoint: Checkpoint, parts: LabelSplit) -> dict[str, Calibrator]:
    """The calibrators of extraction, fitted to held-out labels asked without and with examples; none for too few."""
    weights = extractor(checkpoint)
    known: list[tuple[Judged, tuple[int, int] | None, int]] = []
    numbers = {one.text: number for number, one in enumerate(parts.calibration)}
    for group in sorted({one.group for one in parts.calibration}):
        texts = [one for one in parts.calibration if one.group == group]
        names = attributes_of([*parts.training, *parts.calibration], group)
        for shown in ([], [one for one in parts.training if one.group == group]):
            observed, _ = run_task(checkpoint, observe(weights, [one.text for one in texts], asked_of(names, shown)))
            for one in texts:
                judged = observed.judge(one.text)
                for name, value in one.answers.items():
                    start = one.text.index(value) if value is not None else -1
                    place = None if value is None else (start, start + len(value))
                    known.append((judged[names.index(name)], place, numbers[one.text]))
    candidates = [judged for judged, _, _ in known if judged.candidates]
    if len(known) < FEWEST_CALIBRATED or len({number for *_, number in known}) < 2 or not candidates:
        return {}
    features = np.concatenate([judged.features for judged, _, _ in known])
    labels = np.array([float((one.start, one.end) == place) for judged, place, _ in known for one in judged.candidates])
    owners = np.repeat([float(number) for *_, number in known], [len(judged.candidates) for judged, _, _ in known])
    if len(set(labels.tolist())) < 2 or len({place is None for _, place, _ in known}) < 2:
        return {}
    calibrator = fit_calibrator(FEATURES, features, labels, owners)
    about = np.stack([judged.no_answer_features(calibrator.predict(judged.features)) for judged, _, _ in known])
    none = np.array([float(place is None) for _, place, _ in known])
    nothing = fit_calibrator(NO_ANSWER_FEATURES, about, none, np.array([float(number) for *_, number in known]))
    return {CALIBRATOR: calibrator, NO_ANSWER_CALIBRATOR: nothing}


def marked(texts: Sequence[LabelledText]) -> list[MarkedText]:
    """The labels as an evaluation reads them."""
    return [
        MarkedText(one.text, one.group, name, () if value is None else (value,))
        for one in texts
        for name, value in sorted(one.answers.items())
    ]


def _judge(checkpoint: Checkpoint, parts: LabelSplit, seed: int, progress: Progress | None) -> dict[str, Predicted]:
    """Answers about the texts that judge, without examples and with the labels trained on."""
    test = marked(parts.judging)
    examples: dict[tuple[str, str], list[ExtractionExample]] = {}
    for one in parts.training:
        for name, value in one.answers.items():
            examples.setdefault((one.group, name), []).append(ExtractionExample(one.text, value))
    ways: dict[str, Examples] = {_WITHOUT: {}, _WITH: examples}
    return {way: extracted(checkpoint, test, given, progress) for way, given in ways.items()}


def _gain(texts: Sequence[LabelledText], before: Predicted, after: Predicted, seed: int) -> Figure:
    """How much F1 rises; both models are judged on the same resampled labels."""
    counted = []
    for one in marked(texts):
        key = (one.category, one.text, one.attribute)
        row = [bool(one.values)]
        for answers in (before, after):
            value = answers[key].value
            row += [value is not None and value in one.values, value is not None]
        counted.append(row)
    names = ("wanted", "right_before", "given_before", "right_after", "given_after")
    counts = Counts(names, np.array(counted, dtype=np.int64), Resampling(seed))
    return counts.figure(
        lambda sums: (
            f1(sums["right_after"], sums["given_after"], sums["wanted"])
            - f1(sums["right_before"], sums["given_before"], sums["wanted"])
        )
    )


def _table(parts: LabelSplit, before: dict[str, Predicted], after: dict[str, Predicted], seed: int) -> EvaluationTable:
    test = marked(parts.judging)
    rows, reliabilities = [], []
    for who, found in (("before", before), ("after", after)):
        for way, answers in found.items():
            rows.append(EvaluationRow(f"{who}, {way}", extraction_figures(test, answers, Resampling(seed))))
            reliabilities.append(reliability_of(f"{who}, {way}", test, answers, Resampling(seed)))
    title = f"held-out labels ({len(test)} of {len(parts.judging)} texts)"
    notes = ("No text that judges was trained on or calibrated by.",)
    return EvaluationTable("finetune", title, tuple(rows), notes, tuple(reliabilities))


def _size(texts: Sequence[LabelledText]) -> int:
    return sum(len(one.answers) for one in texts)


def _write_card(folder: Path, base: Checkpoint, name: str, table: EvaluationTable, more: dict[str, object]) -> None:
    """The card of the model that it came from, with what was done to it; no text and no value of a label."""
    adapter = (folder / "adapters" / f"{ADAPTER}.safetensors").read_bytes()
    digest = sha256(f"{base.sha256} {sha256(adapter).hexdigest()}".encode()).hexdigest()
    record = {
        "task": "extract",
        "base": {"name": base.name, "version": base.version, "sha256": base.sha256},
        "sha256": digest,
        "parameters": base.parameters,
        **more,
        "judged": table.to_json(),
    }
    card = {**base.card, "name": name, "finetuned": record}
    (folder / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
