"""What the service's own calls say about a relation, and every probability behind it.

`clean` tells of flagged cells only, but calibration has to be measured on all of them. So the answers that the network
gives in the course of a cleaning call are kept, and the judgement of the cells is repeated from them, which costs no
model time. That the two agree on every flagged cell is checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.checkpoint import Checkpoint
from model.errors import CheckpointError
from model.evaluation.figures import Floats, Resampling
from model.evaluation.reliability import Bools, Ints, Reliability
from model.inference.batching import DetectCall, ModelTask, Progress
from model.inference.canonical import Canonical
from model.inference.cleaning import calibrated, clean, detect, detection_features
from model.inference.reading import Reader
from model.inference.statistics import RelationStatistics
from model.tuples import CleaningOptions, CleaningResult, Relation, Repair


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
        CheckpointError: the checkpoint has no calibrators, or cleaning judges otherwise than this module repeats.
    """
    task = clean(checkpoint, relation, options, progress)
    kept: list[np.ndarray] = []
    answers = None
    while True:
        try:
            calls = next(task) if answers is None else task.send(answers)
        except StopIteration as stop:
            result: CleaningResult = stop.value
            break
        answers = yield calls
        pairs = zip(calls, answers, strict=True)
        kept += [answer for call, answer in pairs if isinstance(call, DetectCall) and isinstance(answer, np.ndarray)]
    probabilities = _repeated(checkpoint, relation, kept) if len(relation) else np.zeros((0, len(relation.attributes)))
    for repair in result.repairs:
        if abs(probabilities[repair.cell.tuple_id, repair.cell.attribute] - repair.error_probability) > 1e-6:
            raise CheckpointError(
                "the error probabilities of cleaning cannot be repeated: their evaluation is out of step"
            )
    return Judged(result, probabilities)


def _repeated(checkpoint: Checkpoint, relation: Relation, kept: Sequence[np.ndarray]) -> Floats:
    """Error probabilities in the order of `relation`, from the detection answers in the order they were asked for."""
    assert checkpoint.calibration is not None
    canonical = Canonical.of(relation)
    task = detect(Reader(checkpoint, canonical.relation))
    answers = iter(kept)
    calls = next(task)
    while True:
        given = [next(answers, None) for _ in calls]
        if any(answer is None for answer in given):
            raise CheckpointError("cleaning asked for fewer judgements than there are cells")
        try:
            calls = task.send([answer for answer in given if answer is not None])
        except StopIteration as stop:
            logits: np.ndarray = stop.value
            break
    features = detection_features(logits, RelationStatistics(canonical.relation))
    flat = calibrated(checkpoint.calibration, "detection", features.reshape(-1, features.shape[-1]), True)
    probabilities = np.zeros((len(relation), len(relation.attributes)))
    probabilities[np.ix_(canonical.tuple_ids, canonical.attributes)] = flat.reshape(logits.shape)
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
