"""Two looks at the cells of a table: each by its own statistics, then each beside what the first look says of the rest.

An error seldom comes alone: sources that disagree, a column in two formats, an export that lost its values. In a table
where nothing else is suspicious the same weak sign means less than in one where a third of a column is. So a first
judge looks at every cell for itself, and a second one sees the same statistics beside the mean suspicion of the other
cells of the column, of the table, of the tuple, and of the column's other cells that are missing or present alike.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from model.inference.columns import exact
from model.inference.statistics import CELL_FEATURES
from model.judge import Judge

FIRST_LOOK, SECOND_LOOK = "suspicion", "detection"
"""Names of the two judges of cells."""

AROUND_FEATURES = ("suspicion_of_column", "suspicion_of_table", "suspicion_of_tuple", "suspicion_of_alike")
"""Mean suspicion of the other cells, as `around` gives it."""

SECOND_FEATURES = (*CELL_FEATURES, *AROUND_FEATURES)
"""What the judge of the second look sees."""

DETECTION_FEATURES = ("detection_logit", "judge_logit")
"""What the detection calibrator weighs: the model and the judge of column statistics."""

SIGNS = (
    "is_missing",
    "is_missing_spelling",
    "is_placeholder",
    "is_respelled",
    "vote_contradicts",
    "vote_observed_share",
    "vote_strength",
    "tuple_disagreement",
)
"""Statistics that tell what kind of cell it is; flags and shares."""

LESSON_FEATURES = (*DETECTION_FEATURES, *SIGNS)
"""What labelled cells may speak of: what the calibrator weighs, and signs that count more or less in one table."""

FEWEST_TUPLES = 20
"""The second look learns from windows of at least so many tuples."""

_IS_MISSING = CELL_FEATURES.index("is_missing")
_LEAST = 1e-4


def probabilities_of(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Probabilities within 1e-4 of 0 and 1."""
    return np.clip(1.0 / (1.0 + np.exp(-logits)), _LEAST, 1.0 - _LEAST)


def around(suspicion: npt.NDArray[np.float64], missing: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """For each cell the mean suspicion of others, float32 (tuples, attributes, len(AROUND_FEATURES)).

    Args:
        suspicion: probability of each cell to be wrong at first look, (tuples, attributes).
        missing: which cells are missing, (tuples, attributes).

    The sums are exact, so that no order of tuples or attributes matters.
    """
    known = exact(suspicion)
    alike = np.where(missing, _others(np.where(missing, known, 0.0), missing, 0), 0.0)
    alike += np.where(missing, 0.0, _others(np.where(missing, 0.0, known), ~missing, 0))
    everything = np.ones_like(missing)
    means = (_others(known, everything, 0), _others(known, everything, None), _others(known, everything, 1), alike)
    return np.stack(means, axis=-1).astype(np.float32)


def _others(
    values: npt.NDArray[np.float64], counted: npt.NDArray[np.bool_], axis: int | None
) -> npt.NDArray[np.float64]:
    """Mean over the counted cells along `axis` (None: all) without the cell itself; 0 where there is no other."""
    total = values.sum(axis=axis, keepdims=True) - values
    return np.asarray(total / np.maximum(1, counted.sum(axis=axis, keepdims=True) - 1))


def second_look(judges: Mapping[str, Judge], cells: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Features of the second look, float32 (tuples, attributes, len(SECOND_FEATURES)), from those of the cells.

    Without a judge of the first look nothing is suspicious.
    """
    shape = cells.shape[:2]
    first = judges.get(FIRST_LOOK)
    suspicion = np.zeros(shape)
    if first is not None:
        suspicion = probabilities_of(first.logits(cells.reshape(-1, cells.shape[-1]))).reshape(shape)
    return np.concatenate((cells, around(suspicion, cells[..., _IS_MISSING] > 0)), axis=-1)


def judge_cells(judges: Mapping[str, Judge], seen: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Logits of the judge of the second look, (tuples, attributes); 0 where there is none.

    In a table of fewer than `FEWEST_TUPLES` the rest says too little: there the first look stands.
    """
    judge = judges.get(FIRST_LOOK if len(seen) < FEWEST_TUPLES else SECOND_LOOK)
    if judge is None:
        return np.zeros(seen.shape[:2])
    own = seen[..., : len(judge.features)]
    return judge.logits(own.reshape(-1, own.shape[-1])).reshape(seen.shape[:2])
