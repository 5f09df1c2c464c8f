"""What a table says about its missing cells: resembling tuples, predictions and mentions, each with its reliability.

The sources know nothing of each other. For each value it is said what every source thinks of it, how often that source
was right in this attribute, and what they say together: the chance that at least one of them is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from model.inference.columns import Column
from model.inference.mentions import Mention, Mentions
from model.inference.neighbours import Neighbours, NeighbourVote, first_by_share
from model.inference.prediction import PredictedValue, Predictions

EVIDENCE_FEATURES = (
    "prediction_probability",
    "prediction_is_top",
    "prediction_top_probability",
    "prediction_reliability",
    "mention_probability",
    "mention_is_top",
    "mention_reliability",
    "neighbour_is_top",
    "neighbour_reliability",
    "sources_agreeing",
    "support",
    "support_is_top",
    "support_margin",
)
"""Features of a value that could fill a cell, in the order of `CellEvidence.features`."""


@dataclass(frozen=True)
class CellEvidence:
    """What each source says of one missing cell, best value first, and how often it is right in this attribute."""

    neighbours: tuple[NeighbourVote, ...] = ()
    predicted: tuple[PredictedValue, ...] = ()
    mentioned: tuple[Mention, ...] = ()
    neighbour_reliability: float = 0.0
    prediction_reliability: float = 0.0
    mention_reliability: float = 0.0

    @property
    def values(self) -> list[str]:
        """All values that a source names."""
        named = [one.value for one in self.predicted] + [one.value for one in self.mentioned]
        return list(dict.fromkeys(named + [one.value for one in self.neighbours]))

    def features(self, value: str) -> list[float]:
        """Features of one value, as `EVIDENCE_FEATURES` names them."""
        predicted, mentioned = self._predicted.get(value, 0.0), self._mentioned.get(value, 0.0)
        tops = [float(value == top) for top in self._tops]
        support = self._support.get(value, 0.0)
        best_other = max((one for other, one in self._support.items() if other != value), default=0.0)
        return [
            predicted,
            tops[0],
            self.predicted[0].probability if self.predicted else 0.0,
            self.prediction_reliability,
            mentioned,
            tops[1],
            self.mention_reliability,
            tops[2],
            self.neighbour_reliability,
            sum(tops),
            support,
            float(support > best_other),
            support - best_other,
        ]

    def named_by(self, value: str) -> dict[str, bool]:
        """Whether each source names `value` first."""
        return dict(zip(("predicted", "mentioned", "nearest"), (value == top for top in self._tops), strict=True))

    def is_predicted(self, value: str) -> bool:
        """Whether `value` is the first prediction, and more likely than not."""
        return bool(self.predicted) and self.predicted[0].value == value and self.predicted[0].probability >= 0.5

    def is_mentioned(self, value: str) -> bool:
        """Whether `value` is the first mention, and more likely than not."""
        return bool(self.mentioned) and self.mentioned[0].value == value and self.mentioned[0].probability >= 0.5

    @cached_property
    def _predicted(self) -> dict[str, float]:
        return {one.value: one.probability for one in self.predicted}

    @cached_property
    def _mentioned(self) -> dict[str, float]:
        return {one.value: one.probability for one in self.mentioned}

    @cached_property
    def _tops(self) -> tuple[str | None, str | None, str | None]:
        return (
            self.predicted[0].value if self.predicted else None,
            self.mentioned[0].value if self.mentioned else None,
            first_by_share(self.neighbours).value if self.neighbours else None,
        )

    @cached_property
    def _support(self) -> dict[str, float]:
        """The chance that at least one source is right about each value, were they independent."""
        near = {vote.value: vote.share * self.neighbour_reliability for vote in self.neighbours}
        return {
            value: 1
            - float(np.prod([1 - source.get(value, 0.0) for source in (self._predicted, self._mentioned, near)]))
            for value in self.values
        }


class FillEvidence:
    """The sources of one relation."""

    def __init__(self, columns: Sequence[Column], neighbours: Neighbours) -> None:
        self.neighbours = neighbours
        self.predictions = Predictions(columns)
        self.mentions = Mentions(columns)

    def look(self, attribute: int, tuple_ids: Sequence[int]) -> list[CellEvidence]:
        """Evidence for `attribute` of each tuple, in the order asked."""
        reliability = (
            self.neighbours.reliability(attribute),
            self.predictions.reliability(attribute),
            self.mentions.reliability(attribute),
        )
        found = zip(
            self.neighbours.votes(attribute, tuple_ids),
            self.predictions.votes(attribute, tuple_ids),
            self.mentions.votes(attribute, tuple_ids),
            strict=True,
        )
        return [CellEvidence(tuple(n), tuple(p), tuple(m), *reliability) for n, p, m in found]
