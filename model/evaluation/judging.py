"""What the service's own calls say about a relation, and every probability behind it.

`clean` tells of flagged cells only, but calibration has to be measured on all of them. So what the detection
calibrator predicts in the course of a cleaning call is kept, which costs no model time and repeats nothing. That it is
what cleaning says of every flagged cell is checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from model.calibration import Calibration, Calibrator
from model.checkpoint import Checkpoint
from model.errors import CheckpointError
from model.evaluation.figures import Floats, Resampling
from model.evaluation.reliability import Bools, Ints, Reliability
from model.inference.batching import ModelTask, Progress
from model.inference.canonical import Canonical
from model.inference.cleaning import clean
from model.tuples import CleaningOptions, CleaningResult, Relation, Repair

_OUT_OF_STEP = "cleaning judges by other probabilities: its evaluation is out of step"


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A cleaning result, and the calibrated error probability of every cell, float64 (tuples, attributes)."""

    result: CleaningResult
    probabilities: Floats


def clean_and_keep(
    checkpoint: Checkpoint,
    relation: Relation,
    options: CleaningOptions | None = None,
    progress: Progress | None = None,
) -> ModelTask[Judged]:
    """Clean a relation and keep the probabilities of all its cells.

    Args:
        options: without examples, rules and a choice of attributes.

    Raises:
        CheckpointError: the checkpoint has no calibrators, or cleaning judges by something else than the calibrator.
    """
    if checkpoint.calibration is None:
        raise CheckpointError("the checkpoint has not been calibrated")
    keeper = _Keeper(checkpoint.calibration["detection"])
    calibrators = {**checkpoint.calibration.calibrators, "detection": cast(Calibrator, keeper)}
    keeping = replace(checkpoint, calibration=Calibration(calibrators, checkpoint.calibration.source))
    result = yield from clean(keeping, relation, options, progress)
    return Judged(result, _in_order(relation, keeper.kept, result))


class _Keeper:
    """A calibrator that keeps what it predicts."""

    def __init__(self, calibrator: Calibrator) -> None:
        self._calibrator = calibrator
        self.features = calibrator.features
        self.kept: list[Floats] = []

    def predict(self, features: Floats) -> Floats:
        """What the calibrator predicts."""
        probabilities = self._calibrator.predict(features)
        self.kept.append(probabilities.copy())
        return probabilities


def _in_order(relation: Relation, kept: Sequence[Floats], result: CleaningResult) -> Floats:
    """Probabilities that were predicted in canonical order, in the order of `relation`."""
    shape = len(relation), len(relation.attributes)
    flat = np.concatenate([np.zeros(0), *kept])
    if flat.size != shape[0] * shape[1]:
        raise CheckpointError(_OUT_OF_STEP)
    canonical = Canonical.of(relation)
    probabilities = np.zeros(shape)
    probabilities[np.ix_(canonical.tuple_ids, canonical.attributes)] = flat.reshape(shape)
    for repair in result.repairs:
        if abs(probabilities[repair.cell.tuple_id, repair.cell.attribute] - repair.error_probability) > 1e-6:
            raise CheckpointError(_OUT_OF_STEP)
    return probabilities


def detection_reliability(
    name: str, probabilities: Sequence[Floats], wrong: Sequence[Bools], units: Sequence[Ints], resampling: Resampling
) -> Reliability:
    """Error probabilities of all cells against whether they are wrong; each item is (tuples, attributes) of a relation.

    Args:
        units: (tuples,) which unit each tuple belongs to.
    """
    flat = [np.concatenate([one.reshape(-1) for one in part]) for part in (probabilities, wrong)]
    owner = np.concatenate([np.repeat(unit, one.shape[1]) for unit, one in zip(units, probabilities, strict=True)])
    return Reliability(name, flat[0], flat[1].astype(bool), owner, True, resampling)


@dataclass(frozen=True, slots=True)
class Choice:
    """The best candidate for one cell: how sure the model is of it, whether it is the true value, and its unit."""

    confidence: float
    right: bool
    unit: int


def best_choice(repair: Repair, true: str, unit: int) -> Choice | None:
    """The best candidate of a flagged cell, written or not; None where there is none."""
    if not repair.candidates:
        return None
    best = repair.candidates[0]
    return Choice(best.confidence, best.value == true, unit)


def choice_reliability(name: str, choices: Sequence[Choice | None], resampling: Resampling) -> Reliability:
    """Confidences of the best candidates against whether they are true."""
    made = [choice for choice in choices if choice is not None]
    return Reliability(
        name,
        np.array([choice.confidence for choice in made], dtype=np.float64),
        np.array([choice.right for choice in made], dtype=bool),
        np.array([choice.unit for choice in made], dtype=np.int64),
        resampling=resampling,
    )
