"""How candidate pairs of two tables stand, in numbers that mean the same everywhere, and how probable that makes them.

The lexical features of pairs become one logit by a regression and trees that the tables themselves teach; how a pair's
logit stands among those of its rivals, and beside those of strangers, becomes log-odds. A calibrator that is fitted to
labelled pairs of other tables makes a probability of them (`model.finetuning.matching`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.calibration import Calibrator
from model.inference.columns import Floats, Ints
from model.inference.rival_trees import with_trees
from model.inference.rivals import standing, strangers, taught_by_rivals
from model.inference.similarity import GENERAL, PairFeatures

RIVAL_FEATURES = (
    "odds_of_left",
    "odds_of_right",
    "odds_of_left_if_mutual",
    "odds_of_right_if_mutual",
    "is_mutual",
)
"""Log-odds that a pair's left and right record have no stranger in it, the same where both have no better pair, and
whether they have none."""

_LEAST = 1e-3


@dataclass(frozen=True, slots=True)
class Standings:
    """How candidate pairs of two tables stand.

    Attributes:
        evidence: float32 (pairs, len(RIVAL_FEATURES)).
        shares_matched: estimates of the share of records with a match, of the left and of the right table.
    """

    evidence: npt.NDArray[np.float32]
    shares_matched: tuple[float, float]

    def probabilities(self, calibrator: Calibrator) -> Floats:
        """Calibrated probability of each pair to be one entity, (pairs,)."""
        return calibrator.predict(self.evidence)


def stand(
    compared: PairFeatures, left: Ints, right: Ints, contents: Ints, told: Ints | None = None
) -> Standings | None:
    """How each candidate pair stands among its rivals; None where the tables are too small to teach what a match is.

    Args:
        contents: the same number for records that hold the same, (records,).
        told: 1 for pairs that are known to match, -1 for pairs that do not, 0 for all others, (pairs,).
    """
    first, second = (compared.values[:, GENERAL.index(name)].astype(np.float64) for name in GENERAL[:2])
    logits = taught_by_rivals(compared.values, left, right, first, second, told)
    if logits is None:
        return None
    ranked = standing(left, right, with_trees(compared.values, left, right, logits, contents, told))
    sides = strangers(left, ranked, ranked.rank_left), strangers(right, ranked, ranked.rank_right)
    odds = [_log_odds(side.probability) for side in sides]
    mutual = ranked.is_mutual.astype(np.float64)
    evidence = np.stack([*odds, *(one * mutual for one in odds), mutual], axis=1).astype(np.float32)
    return Standings(evidence, (sides[0].share_matched, sides[1].share_matched))


def _log_odds(probability: Floats) -> Floats:
    inside = np.clip(probability, _LEAST, 1 - _LEAST)
    return np.asarray(np.log(inside / (1 - inside)))
