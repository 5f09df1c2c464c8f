"""What a few labelled cells teach about their own table.

The pretrained answers come from tables that are not this one. Labelled cells, confirmed or corrected, say where this
one differs: which columns and which shapes of values are wrong throughout, how far votes are to be believed here, which
source of candidates is right, and what edit corrects a column (`model.inference.programs`). Detection and repair are
refitted on top of the calibrated probabilities (`model.inference.effects`), which stand as they are where no label
speaks against them, so that few labels do no harm. The features are those of the calibrators, in their scale, and
signs that may count more or less in this table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from model.calibration import Calibrator
from model.inference.candidates import CandidateSet
from model.inference.columns import Column, collapsed, pattern_of
from model.inference.effects import Cases, Effects, Group, fit_effects, log_odds, standardized
from model.inference.programs import ColumnPrograms, Pair, Proposal
from model.inference.suspicion import DETECTION_FEATURES, LESSON_FEATURES
from model.tuples import Cell, Evidence

Floats = npt.NDArray[np.float64]

_FEATURE_SCALE = 0.35
_CELL_SCALES = {"column": 2.0, "shape": 1.0, "value": 0.7, "state": 1.0, "program": 2.0}
_CANDIDATE_SCALES = {"column": 0.5, "source": 1.0}
"""How far weights and effects of each kind are expected to lie from zero."""

_FEATURE_LIMIT = 3.0
_SIGN_UNIT = 0.3
_MOST_SURE = 0.99
_LIKELY_PROGRAM = 0.3
_MAX_ROWS_NAMED = 5


@dataclass(frozen=True, slots=True)
class KnownCell:
    """A labelled cell, and what was said of it before it was labelled.

    Attributes:
        cell: its place in the relation that is judged.
        observed, true: its values, empty where missing; equal where the label confirms.
        probability: calibrated probability that the observed value is wrong.
        features: what labels may speak of, (len(LESSON_FEATURES),).
    """

    cell: Cell
    observed: str
    true: str
    probability: float
    features: npt.NDArray[np.float32]

    @property
    def wrong(self) -> bool:
        """Whether the label corrects the cell."""
        return self.observed != self.true


class DetectionLessons:
    """Error probabilities of a table's cells in the light of its labelled ones.

    Args:
        known: at least one, in an order that does not depend on that of the table.
        calibrator: the one of detection.
    """

    def __init__(self, known: Sequence[KnownCell], calibrator: Calibrator) -> None:
        self._calibrator = calibrator
        self.programs = learn_programs(known)
        features = np.array([one.features for one in known])
        probabilities = np.array([one.probability for one in known])
        states = self._states(features, np.array([not one.observed for one in known]))
        groups = [
            [
                *self._groups(one.cell.attribute, one.observed, one.cell.tuple_id),
                ("state", str(one.cell.attribute), state),
            ]
            for one, state in zip(known, states, strict=True)
        ]
        cases = Cases(log_odds(probabilities), self._features(features, probabilities), groups)
        labels = np.array([one.wrong for one in known], dtype=np.float64)
        self._effects = fit_effects(cases, labels, _FEATURE_SCALE, _CELL_SCALES)
        self.known_logits = self._effects.logits(cases)

    def error_probabilities(
        self, attribute: int, column: Column, features: npt.NDArray[np.float32], probabilities: Floats
    ) -> Floats:
        """Probabilities of one attribute's cells, (tuples,), from its features (tuples, features) and the probabilities
        without labels (tuples,)."""
        of_value = np.array(
            [self._effects.of(self._groups(attribute, value)) for value in (*column.distinct, "")], dtype=np.float64
        )
        states = self._states(features, column.codes < 0)
        of_state = {state: self._effects.of([("state", str(attribute), state)]) for state in sorted(set(states))}
        shift = of_value[column.codes] + np.array([of_state[state] for state in states])
        logits = log_odds(probabilities) + self._features(features, probabilities) @ self._effects.weights + shift
        return np.asarray(np.round(special.expit(logits), 6), dtype=np.float64)

    def _groups(self, attribute: int, value: str, left_out: int | None = None) -> list[Group]:
        """The groups of a cell that its value tells; a labelled one is left out of the programs that speak of it."""
        name = str(attribute)
        groups: list[Group] = [("column", name), ("shape", name, collapsed(pattern_of(value))), ("value", name, value)]
        proposals = self.programs[attribute].proposals(value, left_out) if attribute in self.programs else ()
        if proposals and proposals[0].confidence > _LIKELY_PROGRAM:
            groups.append(("program", name, str(proposals[0].program)))
        return groups

    def _features(self, features: npt.NDArray[np.float32], probabilities: Floats) -> Floats:
        own = np.clip(log_odds(probabilities) / _FEATURE_LIMIT, -_FEATURE_LIMIT, _FEATURE_LIMIT)
        signs = np.clip(features[:, len(DETECTION_FEATURES) :] / _SIGN_UNIT, -_FEATURE_LIMIT, _FEATURE_LIMIT)
        return np.concatenate((own[:, None], standardized(self._calibrator, features), signs), axis=1)

    def _states(self, features: npt.NDArray[np.float32], missing: npt.NDArray[np.bool_]) -> list[str]:
        """Of each cell: missing, or what agreeing tuples say of it."""
        contradicted = features[:, LESSON_FEATURES.index("vote_contradicts")] > 0
        polled = features[:, LESSON_FEATURES.index("vote_strength")] > 0
        told = np.select([missing, contradicted, polled], ["missing", "contradicted", "agreed"], "unpolled")
        return [str(one) for one in told]


@dataclass(frozen=True, slots=True)
class LabelledCandidates:
    """The candidates of a cell whose true value is known.

    Attributes:
        cell: its place in the relation that is judged.
        observed, true: its values, empty where missing.
    """

    cell: Cell
    observed: str
    true: str
    found: CandidateSet


class CandidateLessons:
    """Confidences of candidates in the light of cells whose true value is known.

    Args:
        labelled: what the answers are refitted to; nothing changes where there are none.
        calibrator: the one of the task.
    """

    def __init__(self, labelled: Sequence[LabelledCandidates], calibrator: Calibrator) -> None:
        self._calibrator = calibrator
        parts = [
            self._cases(
                one.found, [place for place, value in enumerate(one.found.values) if value != one.observed], one.cell
            )
            for one in labelled
        ]
        labels = [float(value == one.true) for one in labelled for value in one.found.values if value != one.observed]
        self._effects: Effects | None = None
        if labels:
            self._effects = fit_effects(Cases.of(parts), np.array(labels), _FEATURE_SCALE, _CANDIDATE_SCALES)

    def confidences(self, found: CandidateSet, confidences: Floats) -> Floats:
        """Confidences of the values of one cell, (values,), from the calibrated ones."""
        if self._effects is None or not len(confidences):
            return confidences
        cases = self._cases(found, range(len(found.values)), found.asked.cell)
        return self._effects.probabilities(cases)

    def _cases(self, found: CandidateSet, places: Sequence[int], cell: Cell) -> Cases:
        """The candidates of one cell at some places; `cell` is where it stands in the relation that is judged."""
        attribute = str(cell.attribute)
        groups: list[list[Group]] = []
        for place in places:
            sources = _sources(found, place, found.values[place])
            everywhere: list[Group] = [("source", one) for one in sources]
            groups.append([("column", attribute), *everywhere, *((*group, attribute) for group in everywhere)])
        features = found.features[list(places)]
        return Cases.calibrated(self._calibrator, features, groups)


class RepairLessons(CandidateLessons):
    """Confidences of repairs in the light of the corrected cells, and the edits that correct them.

    Args:
        corrected: labelled cells that were wrong.
        calibrator: the one of repair.
        programs: edits by attribute.
    """

    def __init__(
        self,
        corrected: Sequence[LabelledCandidates],
        calibrator: Calibrator,
        programs: Mapping[int, ColumnPrograms],
    ) -> None:
        super().__init__(corrected, calibrator)
        self._programs = programs

    def proposal(self, attribute: int, observed: str) -> Proposal | None:
        """What the edit that corrects the examples of this column best makes of an observed value."""
        proposals = self._programs[attribute].proposals(observed) if attribute in self._programs else ()
        return proposals[0] if proposals else None


def learn_programs(known: Sequence[KnownCell]) -> dict[int, ColumnPrograms]:
    """The edits that the labelled cells of each attribute teach."""
    pairs: dict[int, list[Pair]] = {}
    for one in known:
        pairs.setdefault(one.cell.attribute, []).append(Pair(one.observed, one.true, one.cell.tuple_id))
    return {attribute: ColumnPrograms(its) for attribute, its in sorted(pairs.items())}


def combined(confidences: Mapping[str, float], proposal: Proposal) -> dict[str, float]:
    """Two sources that know nothing of each other: candidates (together at most 1 sure) and an edit.

    What both say gains, what they contradict each other in is left out (Dempster's rule).
    """
    total = sum(confidences.values())
    scale = min(1.0, _MOST_SURE / total) if total else 1.0
    held = {value: confidence * scale for value, confidence in confidences.items()}
    unsure, doubt = 1.0 - sum(held.values()), 1.0 - proposal.confidence
    masses = {value: confidence * doubt for value, confidence in held.items()}
    masses[proposal.value] = held.get(proposal.value, 0.0) + proposal.confidence * unsure
    whole = sum(masses.values()) + unsure * doubt
    return {value: mass / whole for value, mass in masses.items()}


def example_evidence(proposal: Proposal, tuple_ids: Sequence[int]) -> Evidence:
    """The evidence of a value that an edit made; `tuple_ids` are the examples that taught it."""
    detail = f"{proposal.program.description}, as examples of this column were corrected"
    return Evidence("example", tuple(tuple_ids[:_MAX_ROWS_NAMED]), detail)


def _sources(found: CandidateSet, place: int, value: str) -> list[str]:
    """Where a candidate comes from."""
    told = {
        "first vote": bool(found.votes) and found.votes[0].value == value,
        "vote": any(vote.value == value for vote in found.votes[1:]),
        "respelled": found.respelled == value,
        "corrected": found.corrected == value,
        "similar": value in found.similar,
        "written": found.written[place],
        "missing": not value,
        **found.evidence.named_by(value),
        "in text": value in found.in_text[:1],
    }
    return [name for name, is_told in told.items() if is_told] or ["other"]
