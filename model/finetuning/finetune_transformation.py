"""Labels of transformation to fine-tune by: inputs with their outputs, in groups of one transformation each.

Pairs are split by their input. What judges is asked as a caller would ask, with a few of the pairs that are trained on
as examples. In training, some to none of the other pairs of the group stand in context.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.calibration import Calibrator, fit_calibrator
from model.checkpoint import Checkpoint
from model.config import TrainingConfig
from model.dataset import ExampleSource, Query, TrainingExample
from model.errors import InputError
from model.evaluation.figures import Counts, EvaluationRow, Figure, Resampling, ratio
from model.evaluation.reliability import Reliability
from model.evaluation.transformation import (
    Output,
    TransformCase,
    is_right,
    kept,
    observed_cases,
    served_outputs,
    transform_figures,
    transform_reliability,
)
from model.finetuning.finetune import FEWEST_CALIBRATED
from model.inference.batching import Progress
from model.inference.transformation import ADAPTER, CALIBRATOR, FEATURES, INPUT, OUTPUT, SHOWN, TransformExample
from model.serialization import Mask, TupleSerializer

EXAMPLES = 3
"""Pairs that are shown where a model is calibrated or judged."""

_SHARES = (0.6, 0.8)
_LONGEST = 500
_MOST = 200_000


@dataclass(frozen=True, slots=True)
class PairLabel:
    """An input with the output that is right; pairs of one `group` are of one transformation."""

    input: str
    output: str
    group: str = ""


class TransformLabels:
    """Labels of transformation, by group.

    Args:
        labels: inputs with their outputs.
        seed: of the split.

    Raises:
        InputError: labels contradict each other, have no input or are too long, or a part is left without labels;
            `tuple_id` says which label, from 0.
    """

    task = ADAPTER

    def __init__(self, labels: Sequence[PairLabel], seed: int = 0) -> None:
        parts = _split(_checked(labels), seed)
        self._training = parts[0]
        self._shown = {
            group: tuple(_by_lot(pairs, seed)[:EXAMPLES]) for group, pairs in sorted(_grouped(parts[0]).items())
        }
        self._calibration = self._cases(parts[1])
        self._judging = self._cases(parts[2])
        if not self._calibration or not self._judging:
            raise InputError("there are too few labels to train on some and to judge by others of the same group")

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Labels to train on, to calibrate by, to judge by."""
        return len(self._training), _size(self._calibration), _size(self._judging)

    @property
    def loss(self) -> dict[str, Any]:
        """The decoder's loss."""
        return {"answer_weight": 1.0}

    def source(self, serializer: TupleSerializer, training: TrainingConfig) -> ExampleSource:
        """Training examples of the pairs."""
        return LabelledPairs(self._training, serializer, training)

    def calibrators(self, checkpoint: Checkpoint) -> dict[str, Calibrator]:
        """The one of candidates."""
        features, right, owners = [], [], []
        number = 0
        for case, judged in zip(self._calibration, observed_cases(checkpoint, self._calibration, None), strict=True):
            for test in case.tests:
                if test.input in judged and judged[test.input].outputs:
                    one = judged[test.input]
                    features.append(one.features)
                    right += [float(output == test.output) for output in one.outputs]
                    owners += [float(number)] * len(one.outputs)
                    number += 1
        if number < FEWEST_CALIBRATED or len(set(right)) < 2:
            return {}
        return {CALIBRATOR: fit_calibrator(FEATURES, np.concatenate(features), np.array(right), np.array(owners))}

    def answers(self, checkpoint: Checkpoint, progress: Progress | None) -> list[Output]:
        """One for each pair that judges, however sure."""
        assert checkpoint.calibration is not None
        calibrator = checkpoint.calibration[CALIBRATOR]
        observed = observed_cases(checkpoint, self._judging, progress)
        cases = zip(self._judging, observed, strict=True)
        return [one for case, judged in cases for one in served_outputs(calibrator, case, judged)]

    def figures(
        self, who: str, answers: list[Output], resampling: Resampling
    ) -> tuple[list[EvaluationRow], list[Reliability]]:
        """Outputs that are right, as a caller gets them by default and without any abstention; pairs are resampled."""
        tests = self._tests()
        rows = []
        for name, outputs in ((who, [[kept(one)] for one in answers]), (f"{who}, never abstaining", _each(answers))):
            figures = transform_figures(tests, outputs, resampling)
            rows.append(EvaluationRow(name, {key: one for key, one in figures.items() if key != "cases"}))
        return rows, [transform_reliability(f"transform, {who}", tests, _each(answers), resampling)]

    def gain(self, before: list[Output], after: list[Output], resampling: Resampling) -> Figure:
        """How much the share of right outputs rises, as a caller gets them by default."""
        counted = [
            (*(is_right(case.tests[0], kept(one)) for one in both), 1)
            for case, *both in zip(self._tests(), before, after, strict=True)
        ]
        counts = Counts(("before", "after", "all"), np.array(counted, dtype=np.int64), resampling)
        return counts.figure(lambda sums: ratio(sums["after"], sums["all"]) - ratio(sums["before"], sums["all"]))

    def _cases(self, labels: Sequence[PairLabel]) -> list[TransformCase]:
        """Labels to ask, by group; those of groups that nothing is shown of are left out."""
        groups = _grouped(labels)
        return [
            TransformCase(group, tuple(map(_example, shown)), tuple(map(_example, groups[group])))
            for group, shown in self._shown.items()
            if group in groups
        ]

    def _tests(self) -> list[TransformCase]:
        """What judges, one pair each."""
        return [TransformCase(case.name, case.examples, (test,)) for case in self._judging for test in case.tests]


class LabelledPairs:
    """Training examples of labelled pairs; every example follows from the generator it is drawn by."""

    def __init__(self, pairs: Sequence[PairLabel], serializer: TupleSerializer, training: TrainingConfig) -> None:
        self.serializer = serializer
        self.training = training
        self._pairs = list(pairs)
        self._groups = _grouped(pairs)

    def examples(self, rng: random.Random) -> list[TrainingExample]:
        """The examples of one episode."""
        chosen = rng.sample(self._pairs, min(len(self._pairs), self.training.examples_per_episode))
        made = (self._example(one, rng) for one in chosen)
        return [example for example in made if example is not None]

    def _example(self, one: PairLabel, rng: random.Random) -> TrainingExample | None:
        """One pair, asked behind some of its group; None where it is too long, or cannot be written."""
        others = self._groups[one.group]
        drawn = rng.sample(others, min(len(others), rng.randint(1, SHOWN + 1)))
        behind = [(other.input, other.output) for other in drawn if other is not one]
        columns = rng.sample(range(1, self.serializer.config.max_attributes + 1), 2)
        answer = self.serializer.answer_ids(one.output)
        encoded = self.serializer.serialize((INPUT, OUTPUT), (one.input, Mask()), behind, columns)
        if answer is None or len(encoded) > self.training.max_tokens:
            return None
        return TrainingExample(encoded, queries=(Query(ADAPTER, columns[1], tuple(answer)),))


def _checked(labels: Sequence[PairLabel]) -> list[PairLabel]:
    """Labels without repetitions, in an order of their own."""
    if len(labels) > _MOST:
        raise InputError(f"there are {len(labels)} labels, at most {_MOST} are taken")
    known: dict[tuple[str, str], PairLabel] = {}
    for number, one in enumerate(labels):
        if not one.input or not one.output:
            raise InputError("a label needs an input and an output", tuple_id=number)
        if max(len(one.input), len(one.output)) > _LONGEST:
            raise InputError(f"a label has more than {_LONGEST} characters", tuple_id=number)
        if known.setdefault((one.group, one.input), one).output != one.output:
            raise InputError("two labels of one input have different outputs", tuple_id=number)
    return [known[key] for key in sorted(known)]


def _split(labels: Sequence[PairLabel], seed: int) -> tuple[list[PairLabel], ...]:
    """Three fifths to train on, a fifth to calibrate by, a fifth to judge by, by a hash of each input."""
    parts: tuple[list[PairLabel], ...] = ([], [], [])
    for one in labels:
        parts[sum(_lot(one, seed) >= share for share in _SHARES)].append(one)
    return parts


def _lot(one: PairLabel, seed: int) -> float:
    """A number from 0 to 1 that follows from the input and the seed."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{one.input}".encode()).digest()[:8], "big") / 2**64


def _by_lot(labels: Sequence[PairLabel], seed: int) -> list[PairLabel]:
    return sorted(labels, key=lambda one: (_lot(one, seed), one.input))


def _grouped(labels: Sequence[PairLabel]) -> dict[str, list[PairLabel]]:
    groups: dict[str, list[PairLabel]] = defaultdict(list)
    for one in labels:
        groups[one.group].append(one)
    return dict(groups)


def _example(one: PairLabel) -> TransformExample:
    return TransformExample(one.input, one.output)


def _size(cases: Sequence[TransformCase]) -> int:
    return sum(len(case.tests) for case in cases)


def _each(answers: Sequence[Output]) -> list[list[Output]]:
    return [[one] for one in answers]
