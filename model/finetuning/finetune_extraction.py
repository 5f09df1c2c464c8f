"""Labels of extraction to fine-tune by: what texts tell of attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from model.calibration import Calibrator, fit_calibrator
from model.checkpoint import Checkpoint
from model.config import TrainingConfig
from model.dataset import ExampleSource
from model.evaluation.extraction import (
    Examples,
    MarkedText,
    Predicted,
    extracted,
    extraction_figures,
    extraction_reliability,
)
from model.evaluation.figures import Counts, EvaluationRow, Figure, Resampling, f1
from model.evaluation.reliability import Reliability
from model.finetuning.finetune import FEWEST_CALIBRATED
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
from model.inference.answers import DIRECTIONS, FEATURES, NO_ANSWER_FEATURES, Judged
from model.inference.batching import Progress, run_task
from model.inference.extraction import ADAPTER, CALIBRATOR, NO_ANSWER_CALIBRATOR, extractor, observe
from model.inference.pointing import ExtractionExample
from model.serialization import TupleSerializer

_WITHOUT, _WITH = "no example", "the labels trained on as examples"


class ExtractionLabels:
    """Labels of extraction.

    Args:
        labels: what is known of texts.
        seed: of the split.

    Raises:
        InputError: the labels contradict each other or are too few.
    """

    task = ADAPTER

    def __init__(self, labels: Sequence[Label], seed: int = 0) -> None:
        self.parts: LabelSplit = split(collect(labels), seed)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Labels to train on, to calibrate by, to judge by."""
        parts = self.parts
        return _size(parts.training), _size(parts.calibration), _size(parts.judging)

    @property
    def loss(self) -> dict[str, Any]:
        """Spans always count where examples have any."""
        return {}

    def source(self, serializer: TupleSerializer, training: TrainingConfig) -> ExampleSource:
        """Training examples of the labelled texts."""
        return LabelledTexts(self.parts.training, serializer, training)

    def calibrators(self, checkpoint: Checkpoint) -> dict[str, Calibrator]:
        """Those of values and of there being none, fitted to labels asked without and with examples."""
        return _calibrators(checkpoint, self.parts)

    def answers(self, checkpoint: Checkpoint, progress: Progress | None) -> dict[str, Predicted]:
        """Answers about the texts that judge, without examples and with the labels trained on."""
        return _judge(checkpoint, self.parts, progress)

    def figures(
        self, who: str, answers: dict[str, Predicted], resampling: Resampling
    ) -> tuple[list[EvaluationRow], list[Reliability]]:
        """Precision, recall and F1 of either way to ask."""
        test = marked(self.parts.judging)
        names = {way: f"{who}, {way}" for way in answers}
        rows = [EvaluationRow(names[way], extraction_figures(test, one, resampling)) for way, one in answers.items()]
        told = [extraction_reliability(names[way], test, one, resampling) for way, one in answers.items()]
        return rows, told

    def gain(self, before: dict[str, Predicted], after: dict[str, Predicted], resampling: Resampling) -> Figure:
        """How much F1 rises where no example is given."""
        return _gain(self.parts.judging, before[_WITHOUT], after[_WITHOUT], resampling)


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
    calibrator = fit_calibrator(FEATURES, features, labels, owners, directions=DIRECTIONS)
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


def _judge(checkpoint: Checkpoint, parts: LabelSplit, progress: Progress | None) -> dict[str, Predicted]:
    """Answers about the texts that judge, without examples and with the labels trained on."""
    test = marked(parts.judging)
    examples: dict[tuple[str, str], list[ExtractionExample]] = {}
    for one in parts.training:
        for name, value in one.answers.items():
            examples.setdefault((one.group, name), []).append(ExtractionExample(one.text, value))
    ways: dict[str, Examples] = {_WITHOUT: {}, _WITH: examples}
    return {way: extracted(checkpoint, test, given, progress) for way, given in ways.items()}


def _gain(texts: Sequence[LabelledText], before: Predicted, after: Predicted, resampling: Resampling) -> Figure:
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
    counts = Counts(names, np.array(counted, dtype=np.int64), resampling)
    return counts.figure(
        lambda sums: (
            f1(sums["right_after"], sums["given_after"], sums["wanted"])
            - f1(sums["right_before"], sums["given_before"], sums["wanted"])
        )
    )


def _size(texts: Sequence[LabelledText]) -> int:
    return sum(len(one.answers) for one in texts)
