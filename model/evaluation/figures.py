"""Figures with intervals, in tables that print aligned.

An interval is a bootstrap over the units that were judged (tuples, cells), with a seed: the same counts give
the same interval. A figure that was not measured is absent, never a zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from model.evaluation.reliability import Reliability

Floats = npt.NDArray[np.float64]

HOW_TO_READ = (
    "ECE: expected calibration error over 15 bins; “by chance”: what it would be if every probability were right, as "
    "few predictions never meet them exactly. “right at 25 %”: accuracy of the surest quarter, and so on to all; "
    "“right if ≥ 0.9”: accuracy where the model is at least that sure, and on what share of the predictions it is."
)

RESAMPLES = 1000
_QUANTILES = (0.025, 0.975)
_CHUNK = 100


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number, as `low`…`high` with 95 % where units could be resampled.

    Attributes:
        digits: decimals to print.
    """

    value: float
    low: float | None = None
    high: float | None = None
    digits: int = 3

    def __str__(self) -> str:
        text = f"{self.value:.{self.digits}f}"
        if self.low is None or self.high is None:
            return text
        return f"{text} [{self.low:.{self.digits}f}, {self.high:.{self.digits}f}]"

    def to_json(self) -> dict[str, float]:
        """Value and, where there is one, the interval."""
        named = {"value": self.value, "low": self.low, "high": self.high}
        return {name: round(number, 6) for name, number in named.items() if number is not None}


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """One system's figures by column name."""

    system: str
    figures: Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class EvaluationTable:
    """What was measured on one set: systems are rows, figures are columns.

    Attributes:
        task: the name of what was measured, such as `cleaning`.
        title: the set, and how many units of it were judged.
        notes: how to read the table, one sentence each.
        reliabilities: the model's probabilities on this set against what was true.
    """

    task: str
    title: str
    rows: tuple[EvaluationRow, ...]
    notes: tuple[str, ...] = ()
    reliabilities: tuple[Reliability, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all figures, in order of first appearance."""
        return _columns(self.rows)

    def with_reliabilities(self, *more: Reliability) -> EvaluationTable:
        """The same with further reliabilities behind its own."""
        return replace(self, reliabilities=(*self.reliabilities, *more))

    def to_markdown(self) -> str:
        """A heading, the aligned table, the notes, and a table of what the probabilities are worth."""
        lines = [f"## {self.task}: {self.title}", "", *align(*cells_of(self.rows, "system"))]
        lines += [f"\n{note}" for note in self.notes]
        if self.reliabilities:
            lines += [
                "",
                *align(*cells_of([one.row() for one in self.reliabilities], "probabilities")),
                "",
                HOW_TO_READ,
            ]
        return "\n".join(lines)

    def to_json(self) -> dict[str, object]:
        """The same as JSON values."""
        rows = [
            {"system": row.system, "figures": {name: figure.to_json() for name, figure in row.figures.items()}}
            for row in self.rows
        ]
        return {
            "task": self.task,
            "title": self.title,
            "rows": rows,
            "notes": list(self.notes),
            "reliability": [one.to_json() for one in self.reliabilities],
        }


def cells_of(rows: Sequence[EvaluationRow], first: str) -> tuple[list[str], list[list[str]]]:
    """Header and body of a table as text; a figure that a row lacks is a dash."""
    columns = _columns(rows)
    body = [[row.system, *(str(row.figures[name]) if name in row.figures else "–" for name in columns)] for row in rows]
    return [first, *columns], body


def _columns(rows: Sequence[EvaluationRow]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for row in rows for name in row.figures))


@dataclass(frozen=True, slots=True)
class Resampling:
    """How intervals are made."""

    seed: int = 0
    resamples: int = RESAMPLES


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted on each unit, int64 (units, names): ratios of their sums are the figures."""

    names: tuple[str, ...]
    values: npt.NDArray[np.int64]
    resampling: Resampling = field(default_factory=Resampling)

    def figure(self, of: Callable[[Mapping[str, Floats]], Floats], digits: int = 3) -> Figure:
        """A figure that is a function of the summed counts, with its interval.

        Args:
            of: sums by name, each (resamples,) or (1,), to the figure, same shape.
        """
        value = float(of(self._sums(np.ones((1, len(self.values)))))[0])
        if len(self.values) < 2:
            return Figure(value, digits=digits)
        resampled = np.concatenate([of(self._sums(weights)) for weights in self._weights()])
        low, high = (float(one) for one in np.quantile(resampled, _QUANTILES))
        return Figure(value, low, high, digits)

    def _weights(self) -> list[Floats]:
        rng = np.random.default_rng(self.resampling.seed)
        count = len(self.values)
        sizes = [
            min(_CHUNK, self.resampling.resamples - start) for start in range(0, self.resampling.resamples, _CHUNK)
        ]
        return [rng.multinomial(count, np.full(count, 1.0 / count), size=size).astype(np.float64) for size in sizes]

    def _sums(self, weights: Floats) -> dict[str, Floats]:
        sums = weights @ self.values.astype(np.float64)
        return {name: sums[:, place] for place, name in enumerate(self.names)}


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Elementwise quotient, 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def f1(right: Floats, given: Floats, wanted: Floats) -> Floats:
    """Harmonic mean of right/given and right/wanted, 0 where nothing is right."""
    return ratio(2.0 * right, given + wanted)


def accuracy(right: Sequence[bool], resampling: Resampling, digits: int = 1) -> Figure:
    """Share of right answers in per cent, with its interval; absent answers are wrong ones."""
    counts = Counts(("right", "all"), np.array([[one, 1] for one in right], dtype=np.int64).reshape(-1, 2), resampling)
    return counts.figure(lambda sums: 100.0 * ratio(sums["right"], sums["all"]), digits)


def mean(values: Sequence[float], resampling: Resampling, digits: int = 3) -> Figure:
    """Mean of scores in 0…1, each taken to a millionth, with its interval."""
    micro = [[round(1_000_000 * value), 1] for value in values]
    counts = Counts(("score", "all"), np.array(micro, dtype=np.int64).reshape(-1, 2), resampling)
    return counts.figure(lambda sums: ratio(sums["score"] / 1_000_000, sums["all"]), digits)


def align(header: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table with equally wide columns, the first to the left and the others to the right."""
    widths = [max(3, *(len(row[place]) for row in (header, *body))) for place in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [("-" * width if place == 0 else "-" * (width - 1) + ":") for place, width in enumerate(widths)]
    return [line(header), line(rule), *(line(row) for row in body)]
