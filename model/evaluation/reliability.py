"""Whether probabilities mean what they say: calibration error, reliability bins, abstention curve.

A set of predictions is a probability for each, and whether what it speaks of was true. Reliability compares the two
bin by bin; the abstention curve asks how accurate the surest share of the predictions is. Both come with intervals
over the units that were judged together (tuples, tables), because predictions of one table err together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from model.calibration import expected_calibration_error
from model.evaluation.figures import Counts, EvaluationRow, Figure, Floats, Resampling, ratio

BINS = 15
DRAWS = 200
"""Outcomes that are drawn to tell what calibration error is to be expected by chance."""
COVERAGES = (0.25, 0.5, 0.75, 1.0)
CONFIDENCES = (0.5, 0.9)
_CURVE_POINTS = 20
_MICRO = 1_000_000

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Predictions of a probability from `low` to `high`: their number, mean probability, and share that was true."""

    low: float
    high: float
    count: int
    probability: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Accuracy of the surest `coverage` of all predictions."""

    coverage: float
    accuracy: float


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Probabilities and what came true.

    Attributes:
        name: what was predicted, and on which tables.
        probabilities: float64 (n,).
        true: whether that came true, (n,).
        units: which predictions are resampled together, int64 (n,).
        two_sided: a probability below one half predicts the opposite, and is as sure of it as it is far from one half.
    """

    name: str
    probabilities: Floats
    true: Bools
    units: Ints
    two_sided: bool = False
    resampling: Resampling = field(default_factory=Resampling)

    def __len__(self) -> int:
        return len(self.probabilities)

    def error(self) -> Figure:
        """Expected calibration error over equal-width bins."""
        value = expected_calibration_error(self.probabilities, self.true.astype(np.float64), BINS)
        if len(np.unique(self.units)) < 2:
            return Figure(value)
        with_interval = self._binned().figure(_calibration_error)
        return Figure(value, with_interval.low, with_interval.high)

    def error_by_chance(self) -> float:
        """The calibration error to expect of so many predictions, were every probability right and none hung together.

        Bins of few predictions miss their probability by chance, so an error is never 0; one near this figure says
        nothing against the probabilities (Bröcker and Smith 2007, consistency resampling).
        """
        rng = np.random.default_rng(self.resampling.seed)
        places = _bins_of(self.probabilities)
        gaps = np.empty(DRAWS)
        for draw in range(DRAWS):
            missed = (rng.random(len(self)) < self.probabilities) - self.probabilities
            gaps[draw] = np.abs(np.bincount(places, missed)).sum() / len(self)
        return round(float(gaps.mean()), 6)

    def bins(self) -> tuple[ReliabilityBin, ...]:
        """The bins that hold any prediction, from low to high."""
        places = _bins_of(self.probabilities)
        found = []
        for place in np.unique(places).tolist():
            chosen = places == place
            probability, accuracy = float(self.probabilities[chosen].mean()), float(self.true[chosen].mean())
            found.append(
                ReliabilityBin(place / BINS, (place + 1) / BINS, int(chosen.sum()), round(probability, 6), accuracy)
            )
        return tuple(found)

    def curve(self) -> tuple[CurvePoint, ...]:
        """The abstention curve in steps of five per cent, from the surest predictions to all of them."""
        coverages = (np.arange(_CURVE_POINTS) + 1) / _CURVE_POINTS
        return tuple(CurvePoint(float(share), self._accuracy_at(float(share))) for share in coverages)

    def precision_at(self, confidence: float) -> tuple[Figure, int] | None:
        """Share of right predictions among those of at least `confidence`, and their number; None where none is."""
        certainty, right = self._decisions()
        sure = certainty >= confidence
        if not sure.any():
            return None
        counts = _per_unit(self.units, {"sure": sure, "right": sure & right}, self.resampling)
        return counts.figure(lambda sums: ratio(sums["right"], sums["sure"])), int(sure.sum())

    def row(self) -> EvaluationRow:
        """The figures of a table over several sets of predictions."""
        figures = {"predictions": Figure(len(self), digits=0)}
        if not len(self):
            return EvaluationRow(self.name, figures)
        figures["ECE"] = self.error()
        figures["by chance"] = Figure(self.error_by_chance())
        for share in COVERAGES:
            figures[f"right at {share:.0%}"] = Figure(self._accuracy_at(share))
        for confidence in CONFIDENCES:
            precision = self.precision_at(confidence)
            if precision is not None:
                figures[f"right if ≥ {confidence}"] = precision[0]
                figures[f"share ≥ {confidence}"] = Figure(precision[1] / len(self))
        return EvaluationRow(self.name, figures)

    def to_json(self) -> dict[str, object]:
        """Figures, bins and curve as JSON values."""
        return {
            "name": self.name,
            "figures": {name: figure.to_json() for name, figure in self.row().figures.items()},
            "bins": [
                {
                    "low": round(one.low, 6),
                    "high": round(one.high, 6),
                    "count": one.count,
                    "probability": one.probability,
                    "accuracy": round(one.accuracy, 6),
                }
                for one in self.bins()
            ],
            "abstention": [
                {"coverage": round(point.coverage, 6), "accuracy": round(point.accuracy, 6)} for point in self.curve()
            ]
            if len(self)
            else [],
        }

    def _decisions(self) -> tuple[Floats, Bools]:
        """How sure each prediction is of what it decides for, and whether that was right."""
        if not self.two_sided:
            return self.probabilities, self.true
        decided = self.probabilities >= 0.5
        return np.maximum(self.probabilities, 1.0 - self.probabilities), decided == self.true

    def _accuracy_at(self, coverage: float) -> float:
        """Expected accuracy of the surest share; among equally sure predictions any is as good as another."""
        certainty, right = self._decisions()
        levels, places = np.unique(-certainty, return_inverse=True)
        sizes = np.bincount(places, minlength=len(levels))
        reached = np.concatenate([[0.0], np.cumsum(sizes)])
        rights = np.concatenate([[0.0], np.cumsum(np.bincount(places, weights=right, minlength=len(levels)))])
        wanted = coverage * len(self)
        return float(np.interp(wanted, reached, rights) / wanted)

    def _binned(self) -> Counts:
        """Of each unit and bin: predictions, those that came true, sum of probabilities in millionths."""
        micro = np.round(self.probabilities * _MICRO).astype(np.int64)
        places = _bins_of(self.probabilities)
        columns: dict[str, npt.NDArray[np.generic]] = {}
        for place in np.unique(places).tolist():
            chosen = places == place
            columns[f"n{place}"] = chosen
            columns[f"t{place}"] = chosen & self.true
            columns[f"p{place}"] = np.where(chosen, micro, 0)
        return _per_unit(self.units, columns, self.resampling)


def together(name: str, parts: Sequence[Reliability]) -> Reliability:
    """The predictions of several sets as one: what errs up in one and down in another evens out. Units stay apart.

    Raises:
        ValueError: there are none, or they are not alike in being two-sided.
    """
    (two_sided,) = {one.two_sided for one in parts}
    ends = np.cumsum([0, *(int(one.units.max(initial=-1)) + 1 for one in parts)])
    return Reliability(
        name,
        np.concatenate([one.probabilities for one in parts]),
        np.concatenate([one.true for one in parts]),
        np.concatenate([one.units + end for one, end in zip(parts, ends.tolist(), strict=False)]),
        two_sided,
        parts[0].resampling,
    )


def _bins_of(probabilities: Floats) -> Ints:
    return np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)


def _per_unit(units: Ints, columns: Mapping[str, npt.NDArray[np.generic]], resampling: Resampling) -> Counts:
    """Sums of each column over the predictions of each unit."""
    _, owner = np.unique(units, return_inverse=True)
    count = int(owner.max()) + 1
    sums = [
        np.bincount(owner, weights=values.astype(np.float64), minlength=count).astype(np.int64)
        for values in columns.values()
    ]
    return Counts(tuple(columns), np.stack(sums, axis=1), resampling)


def _calibration_error(sums: Mapping[str, Floats]) -> Floats:
    places = [name[1:] for name in sums if name.startswith("n")]
    gaps = np.sum([np.abs(sums[f"p{place}"] / _MICRO - sums[f"t{place}"]) for place in places], axis=0)
    return ratio(gaps, np.sum([sums[f"n{place}"] for place in places], axis=0))
